/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records that CoreDNS's kubernetes plugin gives for one service, from its objects. Pure: no I/O, no clock.
 * The rules and how each was measured: docs/records.md.
 */
#pragma once

#include "dns/name.h"
#include "kube/object.h"

enum answer_level { ANSWER_HEADLESS, ANSWER_SERVICES };

struct srv_record {
	uint16_t weight;
	uint16_t port;
	uint32_t target; /* index into record_set.targets */
};

/* An address record of the additional section. */
struct srv_glue {
	uint32_t target; /* index into record_set.targets */
	struct kube_addr addr;
};

/* Everything about one owner name. Arrays belong to the builder and live until the emit function returns. */
struct record_set {
	struct dns_name owner;
	bool is_passed;  /* exists but is not wholly known or understood: everything about it is passed on */
	bool is_cut;     /* with is_passed: so is everything below it */
	bool is_reverse; /* a name in a reverse zone: only ptrs */

	struct in_addr *a; /* without duplicates */
	size_t a_count;
	struct in6_addr *aaaa;
	size_t aaaa_count;
	/* Only as many as a message can hold are built (srv_is_cut tells); weights and duplicates were counted over all. */
	struct srv_record *srvs;
	size_t srv_count;
	struct srv_glue *glue;
	size_t glue_count;
	bool srv_is_cut;
	struct dns_name *targets; /* of srvs and glue */
	size_t target_count;
	struct dns_name *ptrs;
	size_t ptr_count;
};

/* Non-zero ends the build and is returned. */
typedef int (*record_emit_fn)(void *ctx, const struct record_set *set);

/* One service with everything that belongs to it. */
struct service_view {
	const char *namespace;
	const char *name;
	const struct kube_object *service;       /* NULL: slices without a service answer only PTR */
	const struct kube_object *const *slices; /* in any order */
	size_t slice_count;
};

struct record_params {
	struct dns_name zone;
	enum answer_level level;
};

/*
 * Emits each owner name of the service once, the service's own name first. Broken objects: the service's name is
 * emitted as passed and cut, each name that could be told as passed. ExternalName, FQDN slices: likewise.
 * Nothing is emitted for a service that does not exist, or a headless one with no ready address.
 * Returns 0, -ENOMEM, or what emit returned. Work is linear in the service (times log n).
 */
int records_build(const struct service_view *view, const struct record_params *params, record_emit_fn emit, void *ctx);

/* Owner names only, as records_build would emit them (same order); cheaper. */
typedef int (*record_owner_fn)(void *ctx, const struct dns_name *owner);
int records_owners(const struct service_view *view, const struct record_params *params, record_owner_fn emit, void *ctx);

/* The name of an endpoint below its service: hostname, or the address with '-' for '.' and ':' and a '0' behind it if it
 * would end in '-'. ret_label holds at least 64 octets; returns its length. */
size_t records_endpoint_label(const struct kube_endpoint *ep, const struct kube_addr *addr, char ret_label[64]);

/* One holder of an address, for PTR. */
struct address_holder {
	const char *namespace;
	const char *service;         /* "" : a slice without the label: CoreDNS answers nothing, so we pass */
	const char *endpoint_label;  /* NULL: it is the service's cluster IP */
	bool is_passed;              /* the object is broken: the address is passed on */
};

/* The PTR set of an address from all its READY holders: a cluster IP wins; else each distinct name once.
 * set->is_passed where a holder is. false: nothing holds it, so there is no such name. ret_set's arrays are allocated in
 * *ret_ptrs (free() it). */
bool records_build_ptr(const struct kube_addr *addr, const struct address_holder *holders, size_t count,
		       const struct record_params *params, struct record_set *ret_set, struct dns_name **ret_ptrs);
