/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the API source: whether what was delivered may be too old to answer from. Pure: times are arguments
 * (CLOCK_MONOTONIC, never 0).
 *
 *   stale    no event, bookmark or list from a watch for stale_after_ms
 *   refused  401 or 403 and nothing better for 10 s
 *   version  the server has not known a version for 30 s
 *   nameless a list holds objects that cannot be named
 *   memory   an object was lost for want of memory
 *
 * Each is gone when the watch in question was listed anew: a watch that is taken up again does not tell when it has
 * caught up.
 */
#pragma once

#include <stdbool.h>

#include "kube/watcher.h"
#include "source/kube_objects.h"

enum kube_doubt_cause {
	DOUBT_STALE = 1,
	DOUBT_REFUSED = 2,
	DOUBT_VERSION = 4,
	DOUBT_NAMELESS = 8,
	DOUBT_MEMORY = 16,
};

struct kube_doubt_watch {
	const char *path;    /* for messages */
	uint64_t alive_ms;   /* 0: not listed yet */
	uint64_t refused_ms; /* since when, 0: not */
	uint64_t version_ms; /* since when, 0: not */
	unsigned int causes;
};

struct kube_doubt {
	uint64_t stale_after_ms;
	struct kube_doubt_watch watches[KUBE_WATCHES_MAX];
	unsigned int count;
	char reason[256]; /* of the first doubt; stands until all are gone. "" : none */
};

void kube_doubt_alive(struct kube_doubt *d, unsigned int watch, uint64_t now_ms);
void kube_doubt_accepted(struct kube_doubt *d, unsigned int watch);
void kube_doubt_trouble(struct kube_doubt *d, unsigned int watch, enum watcher_trouble trouble, uint64_t now_ms);
void kube_doubt_listed(struct kube_doubt *d, unsigned int watch, size_t nameless, const char *why, uint64_t now_ms);
void kube_doubt_no_memory(struct kube_doubt *d, unsigned int watch);
/* Begins the doubts that are due. Returns the causes that began for this watch: it must be listed anew; with
 * DOUBT_VERSION at any version. */
unsigned int kube_doubt_begin(struct kube_doubt *d, unsigned int watch, uint64_t now_ms);
/* When to ask again, in ms from now; 0: no need. */
uint64_t kube_doubt_next_ms(const struct kube_doubt *d, uint64_t now_ms);
/* The version of every watch is forgotten: all are in doubt until they are listed. */
void kube_doubt_forget(struct kube_doubt *d);
