/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records from the store into the maps: flushes changes into the live generation, hands freed blobs to their grace
 * period, and when a table is full fills a larger generation aside. Knows no interface and no server: the caller's
 * on_switch brings them over.
 *
 * --max-memory covers two generations, the live one and the one being filled, so that one alone may take half of it.
 */
#pragma once

#include "base/loop.h"
#include "dns/render.h"
#include "kernel/generation.h"
#include "kube/store.h"

struct loader;

struct loader_params {
	const char *dir;     /* copied */
	struct store *store; /* outlives the loader */
	struct loop *loop;
	struct render_params render;
	uint64_t max_memory;

	/* Called every few thousand names: a long load must not look like silence. A negative result ends it and is
	 * returned. */
	int (*on_progress)(void *ctx);
	/* `fresh` holds all records: publish it and bring everything over from `old`, which is freed afterwards. A
	 * negative result: the old one stays. */
	int (*on_switch)(void *ctx, struct generation *old, struct generation *fresh, struct error *e);
	void *ctx;
};

/* What the loader adds to struct nodens_status. */
struct loader_stats {
	uint64_t passed_names, unfit_names, updates, growths;
	uint64_t quarantined, retired, reused, grace_periods;
};

struct loader *loader_new(const struct loader_params *params);
/* Waits for grace periods under way. The generation stays pinned. NULL is allowed. */
void loader_free(struct loader *l);

/* Makes the first generation, of a size for what the store holds; it is empty and not published. */
int loader_begin(struct loader *l, struct error *e);
/* Brings what changed in the store into the maps. *ret_changed: records changed. Names that do not fit are passed on
 * and logged once; an error is one of the system. */
int loader_flush(struct loader *l, bool *ret_changed, struct error *e);

/* Each second or so: hands on to a grace period what was freed while another one was under way. */
void loader_tick(struct loader *l);

/* The live generation, NULL before loader_begin. Changes only within loader_flush. */
struct generation *loader_generation(const struct loader *l);
void loader_stats(const struct loader *l, struct loader_stats *ret_stats);

/* The size for so many names and octets of blobs, cut so that it takes at most max_bytes. */
struct generation_size loader_cap_size(struct generation_size size, uint64_t max_bytes);
