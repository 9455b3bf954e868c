/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of the cluster, and which names a change touches. Objects go in; what comes out at store_flush is the
 * smallest set of record sets that may have changed: those of the services touched, and the PTRs of the addresses touched.
 */
#pragma once

#include "dns/records.h"
#include "kube/object.h"

struct store;

struct store_stats {
	size_t services;
	size_t slices;
	size_t endpoints;
	size_t broken;    /* objects with `broken` set */
	size_t unknown_address_objects; /* while > 0 no PTR is answered: they are all emitted as passed */
};

/* put: this owner now has these records. remove: this owner is gone (it may never have been there).
 * A negative result ends the flush and is returned; what was not flushed stays dirty. */
struct store_sink {
	int (*put)(void *ctx, const struct record_set *set);
	int (*remove)(void *ctx, const struct dns_name *owner);
	void *ctx;
};

/* NULL: -ENOMEM. */
struct store *store_new(const struct record_params *params);
void store_free(struct store *s);

/* Takes the object, also on failure. An object equal to the one present changes nothing. 1: something changed, 0: not,
 * or -ENOMEM. */
int store_put(struct store *s, struct kube_object *object);
/* 1: it was there, 0: it was not, or -ENOMEM. */
int store_delete(struct store *s, enum kube_kind kind, const char *namespace, const char *name);

/* A whole new state (a file, a relist): begin, put everything, end: what was not put in between is deleted. */
void store_replace_begin(struct store *s);
int store_replace_end(struct store *s);

/* Emits what changed since the last flush. */
int store_flush(struct store *s, const struct store_sink *sink);
/* Emits everything (a fresh generation); what is dirty stays dirty. */
int store_emit_all(struct store *s, const struct store_sink *sink);
/* The sink has everything as it is now, and nothing else (a fresh generation took the place of the old one): nothing is
 * left to flush. */
void store_forget_changes(struct store *s);

void store_stats(const struct store *s, struct store_stats *ret_stats);
/* The object or NULL; valid until the next change. */
const struct kube_object *store_find(const struct store *s, enum kube_kind kind, const char *namespace, const char *name);
/* All slices of a service, for server addresses (--dns-service): calls fn for each. */
void store_each_slice_of(const struct store *s, const char *namespace, const char *service,
			 void (*fn)(void *ctx, const struct kube_object *slice), void *ctx);
/* Whether a slice of another service than this one (or of none) has the address at a ready endpoint. Never at level
 * headless, where addresses are not kept. */
bool store_address_is_elsewhere(const struct store *s, const struct kube_addr *addr, const char *namespace,
				const char *service);
/* Grows whenever the objects with `broken` set, or their causes, may have become others. */
uint64_t store_broken_version(const struct store *s);
/* Calls fn for each object with `broken` set; costs as much as there are of these. */
void store_each_broken(const struct store *s, void (*fn)(void *ctx, const struct kube_object *object), void *ctx);
