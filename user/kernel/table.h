/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index and arena as memory: names in, blobs out (layouts: nodens/abi.h). Knows no system call: works on mapped BPF maps
 * and, in tests, on plain memory.
 *
 * Readers run at any time, on other CPUs, without locks. Invariants that keep them right:
 *   1. a blob is complete before an entry points to it (release store), and is never written again while it is live;
 *   2. an entry changes by one 64-bit store;
 *   3. the units of a blob that was live are given out again only after a grace period (table_take_retired … table_reclaim).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodens/abi.h"
#include "nodens/hash.h"

struct table;

struct table_memory {
	struct nodens_bucket *buckets;
	uint32_t bucket_count; /* power of two */
	uint8_t *arena;        /* page i begins at arena + i * page_stride */
	size_t page_stride;    /* >= NODENS_PAGE_LEN + NODENS_PAGE_SLACK, as the kernel rounds it */
	uint32_t page_count;
	uint64_t hash_key[NODENS_HASH_KEY_WORDS];
	/* Called before a page is touched, where not all are accessible at once; the one asked for before stays so. Never
	 * fails. NULL: all are. */
	void (*map_page)(void *map_ctx, uint32_t page);
	void *map_ctx;
};

struct table_stats {
	uint64_t names;
	uint64_t live_bytes;   /* of live blobs, whole units */
	uint64_t quarantined;  /* blobs */
	uint64_t retired;      /* blobs, ever */
	uint64_t reused;       /* blobs ever given out again */
};

/* Takes empty memory (all zeros), which stays the caller's. NULL: -ENOMEM. */
struct table *table_new(const struct table_memory *mem);
void table_free(struct table *t);

/*
 * Inserts or replaces the blob of its name (blob->name, name_len). The octets are copied.
 *  1         written
 *  0         the same octets were there already
 *  -ENOSPC   no place in both buckets, or another name has the same tag there (needs a new key): nothing changed
 *  -ENOMEM   no room in the arena: nothing changed
 *  -EINVAL   longer than a page, or no blob (blob_len is not len, no name)
 */
int table_put(struct table *t, const struct nodens_name *blob, size_t len);
/* 1: removed, 0: was not there. */
int table_remove(struct table *t, const uint8_t *name, size_t name_len);
/* NULL: not there. Valid until the name's next change. */
const struct nodens_name *table_find(const struct table *t, const uint8_t *name, size_t name_len);

/* Blobs that lost their entry since the last call, as one batch for a grace period: NULL: none. */
struct table_batch;
struct table_batch *table_take_retired(struct table *t);
/* The batch's grace period is over: its units may be given out again. Frees the batch. */
void table_reclaim(struct table *t, struct table_batch *batch);

/* Calls fn for each live blob; a non-zero result ends it and is returned. */
int table_each(const struct table *t, int (*fn)(void *ctx, const struct nodens_name *blob), void *ctx);
void table_stats(const struct table *t, struct table_stats *ret_stats);

/* The keyed hash of a lower-case wire name, as the datapath computes it. */
uint64_t table_hash(const uint64_t key[NODENS_HASH_KEY_WORDS], const uint8_t *name, size_t name_len);

/* The same walk over memory that another process writes (nodens records): entries are read once each, blobs are copied
 * and checked. Calls fn with a copy that it must free(). A non-zero result ends it and is returned; else 0, -ENOMEM, or
 * -EBADMSG: entries that point to no blob, or to one whose parts lie outside of it, were left out. */
int table_copy_each(const struct table_memory *mem, int (*fn)(void *ctx, struct nodens_name *copy, size_t len), void *ctx);
