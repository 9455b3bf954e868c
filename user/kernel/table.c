/* SPDX-License-Identifier: Apache-2.0 */
/* Two-choice buckets of eight entries over an arena of blobs; the one writer of both. */
#include "kernel/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/table_alloc.h"
#include "nodens/hash.h"

/*
 * Faults for the test of the torn-read test, off in every build that is not asked for them by name:
 * NODENS_FAULT_NO_GRACE gives units out again at once, NODENS_FAULT_REWRITE_LIVE writes over a blob that readers use.
 */
#ifdef NODENS_FAULT_NO_GRACE
#define FAULT_NO_GRACE 1
#else
#define FAULT_NO_GRACE 0
#endif
#ifdef NODENS_FAULT_REWRITE_LIVE
#define FAULT_REWRITE_LIVE 1
#else
#define FAULT_REWRITE_LIVE 0
#endif

struct table_batch {
	uint32_t *blobs;
	size_t count;
};

struct table {
	struct table_memory mem;
	struct table_alloc alloc;
	uint32_t *retired;
	size_t retired_count;
	size_t retired_cap;
	struct table_stats stats;
};

uint64_t table_hash(const uint64_t key[NODENS_HASH_KEY_WORDS], const uint8_t *name, size_t name_len)
{
	uint64_t h = 0;

	for (size_t i = 0; 8 * i < name_len; i++) {
		uint64_t word = 0;

		memcpy(&word, name + 8 * i, name_len - 8 * i < 8 ? name_len - 8 * i : 8);
		h += nodens_hash_word(word, key[2 * i], key[2 * i + 1]);
	}
	return nodens_hash_finish(h);
}

static uint32_t units_of(const struct nodens_name *blob)
{
	return table_alloc_round((blob->blob_len + NODENS_UNIT_LEN - 1) / NODENS_UNIT_LEN);
}

static struct nodens_name *blob_at(const struct table *t, uint32_t block)
{
	uint32_t number = block / NODENS_UNITS_PER_PAGE;
	uint8_t *page = t->mem.arena + number * t->mem.page_stride;

	if (t->mem.map_page)
		t->mem.map_page(t->mem.map_ctx, number);
	return (struct nodens_name *)(page + block % NODENS_UNITS_PER_PAGE * NODENS_UNIT_LEN);
}

static bool blob_has_name(const struct nodens_name *blob, const uint8_t *name, size_t name_len)
{
	return blob->name_len == name_len && memcmp(blob->name, name, name_len) == 0;
}

/* ---- buckets ---------------------------------------------------------------------------------------------------- */

/* Where a name is, or may go. */
struct place {
	uint32_t tag;
	struct nodens_bucket *bucket[2];
	uint64_t *entry; /* has this tag; NULL: none has */
};

static uint64_t *bucket_find_tag(struct nodens_bucket *b, uint32_t tag)
{
	for (size_t i = 0; i < NODENS_BUCKET_ENTRIES; i++) {
		if (b->entry[i] >> 32 == tag)
			return (uint64_t *)&b->entry[i];
	}
	return NULL;
}

static uint64_t *bucket_find_empty(struct nodens_bucket *b)
{
	return bucket_find_tag(b, 0);
}

static size_t bucket_count_used(const struct nodens_bucket *b)
{
	size_t used = 0;

	for (size_t i = 0; i < NODENS_BUCKET_ENTRIES; i++)
		used += b->entry[i] != 0;
	return used;
}

/*
 * The datapath stops at the first entry with the tag: bucket 1 from entry 0 on, then bucket 2. So no two names with one
 * tag may share a bucket that either of them can be in. Looking into both buckets of one name is enough: two names of
 * one tag have the same pair of buckets or disjoint pairs, because bucket 2 is bucket 1 xor a function of the tag.
 */
static void place_find(const struct table *t, const uint8_t *name, size_t name_len, struct place *ret_place)
{
	uint64_t h = table_hash(t->mem.hash_key, name, name_len);
	uint32_t mask = t->mem.bucket_count - 1;
	struct place *p = ret_place;

	p->tag = nodens_hash_tag(h);
	p->bucket[0] = &t->mem.buckets[nodens_hash_bucket1(h, mask)];
	p->bucket[1] = &t->mem.buckets[nodens_hash_bucket2(h, mask)];
	p->entry = bucket_find_tag(p->bucket[0], p->tag);
	if (!p->entry)
		p->entry = bucket_find_tag(p->bucket[1], p->tag);
}

/* The datapath looks into bucket 1 first: it is preferred while it has room, the emptier one above that. */
#define PREFERRED_ENTRIES (NODENS_BUCKET_ENTRIES / 2)

static uint64_t *place_find_empty(const struct place *p)
{
	unsigned int used = bucket_count_used(p->bucket[0]);
	bool second = used > PREFERRED_ENTRIES && bucket_count_used(p->bucket[1]) < used;

	return bucket_find_empty(p->bucket[second]);
}

static void entry_set(uint64_t *entry, uint32_t tag, uint32_t block)
{
	__atomic_store_n(entry, (uint64_t)tag << 32 | block, __ATOMIC_RELEASE);
}

/* ---- quarantine ------------------------------------------------------------------------------------------------- */

static bool retired_push(struct table *t, uint32_t block)
{
	size_t cap = t->retired_cap ? t->retired_cap * 2 : 64;
	uint32_t *retired = t->retired;

	if (t->retired_count == t->retired_cap) {
		retired = realloc(t->retired, cap * sizeof(*retired));
		if (!retired)
			return false;
		t->retired = retired;
		t->retired_cap = cap;
	}
	retired[t->retired_count++] = block;
	return true;
}

static void units_free(struct table *t, uint32_t block)
{
	table_alloc_give(&t->alloc, block, units_of(blob_at(t, block)));
}

/* No entry points to it any more; running readers may still be in it. Without memory to note it the units stay unused,
 * so that taking a record away never fails. */
static void blob_retire(struct table *t, uint32_t block)
{
	t->stats.live_bytes -= (uint64_t)units_of(blob_at(t, block)) * NODENS_UNIT_LEN;
	t->stats.retired++;
	if (FAULT_NO_GRACE)
		return units_free(t, block);
	if (retired_push(t, block))
		t->stats.quarantined++;
}

struct table_batch *table_take_retired(struct table *t)
{
	struct table_batch *b;

	if (t->retired_count == 0)
		return NULL;
	b = malloc(sizeof(*b));
	if (!b)
		return NULL;
	*b = (struct table_batch){.blobs = t->retired, .count = t->retired_count};
	t->retired = NULL;
	t->retired_count = t->retired_cap = 0;
	return b;
}

void table_reclaim(struct table *t, struct table_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		units_free(t, batch->blobs[i]);
	t->stats.quarantined -= batch->count;
	free(batch->blobs);
	free(batch);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

struct table *table_new(const struct table_memory *mem)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->mem = *mem;
	table_alloc_init(&t->alloc, mem->page_count);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	table_alloc_done(&t->alloc);
	free(t->retired);
	free(t);
}

static bool blob_is_storable(const struct nodens_name *blob, size_t len)
{
	if (len < sizeof(*blob) || len > NODENS_PAGE_LEN || blob->blob_len != len)
		return false;
	return blob->name_len > 0 && sizeof(*blob) + blob->name_len <= len;
}

/* Copies the blob to fresh units. 0: no room. */
static uint32_t blob_write(struct table *t, const struct nodens_name *blob, size_t len)
{
	uint32_t units = units_of(blob);
	bool is_reused;
	uint32_t block = table_alloc_take(&t->alloc, units, &is_reused);
	uint8_t *to;

	if (!block)
		return 0;
	to = (uint8_t *)blob_at(t, block);
	memcpy(to, blob, len);
	/* Nothing of an earlier blob stays behind this one. */
	memset(to + len, 0, (size_t)units * NODENS_UNIT_LEN - len);
	t->stats.live_bytes += (uint64_t)units * NODENS_UNIT_LEN;
	t->stats.reused += is_reused;
	return block;
}

static int name_insert(struct table *t, const struct place *p, const struct nodens_name *blob, size_t len)
{
	uint64_t *entry = place_find_empty(p);
	uint32_t block;

	if (!entry)
		return -ENOSPC;
	block = blob_write(t, blob, len);
	if (!block)
		return -ENOMEM;
	entry_set(entry, p->tag, block);
	t->stats.names++;
	return 1;
}

static int name_replace(struct table *t, const struct place *p, const struct nodens_name *blob, size_t len)
{
	uint32_t old_block = (uint32_t)*p->entry, block;
	struct nodens_name *old = blob_at(t, old_block);

	if (old->blob_len == len && memcmp(old, blob, len) == 0)
		return 0;
	if (FAULT_REWRITE_LIVE && units_of(old) == units_of(blob))
		return memcpy(old, blob, len), 1;
	block = blob_write(t, blob, len);
	if (!block)
		return -ENOMEM;
	entry_set(p->entry, p->tag, block);
	blob_retire(t, old_block);
	return 1;
}

int table_put(struct table *t, const struct nodens_name *blob, size_t len)
{
	struct place p;

	if (!blob_is_storable(blob, len))
		return -EINVAL;
	place_find(t, (const uint8_t *)blob->name, blob->name_len, &p);
	if (!p.entry)
		return name_insert(t, &p, blob, len);
	if (!blob_has_name(blob_at(t, (uint32_t)*p.entry), (const uint8_t *)blob->name, blob->name_len))
		return -ENOSPC;
	return name_replace(t, &p, blob, len);
}

/* The entry of this name, NULL: not there. */
static uint64_t *entry_find(const struct table *t, const uint8_t *name, size_t name_len)
{
	struct place p;

	if (name_len == 0 || name_len > NODENS_NAME_MAX)
		return NULL;
	place_find(t, name, name_len, &p);
	if (!p.entry || !blob_has_name(blob_at(t, (uint32_t)*p.entry), name, name_len))
		return NULL;
	return p.entry;
}

const struct nodens_name *table_find(const struct table *t, const uint8_t *name, size_t name_len)
{
	const uint64_t *entry = entry_find(t, name, name_len);

	return entry ? blob_at(t, (uint32_t)*entry) : NULL;
}

int table_remove(struct table *t, const uint8_t *name, size_t name_len)
{
	uint64_t *entry = entry_find(t, name, name_len);
	uint32_t block;

	if (!entry)
		return 0;
	block = (uint32_t)*entry;
	entry_set(entry, 0, 0);
	t->stats.names--;
	blob_retire(t, block);
	return 1;
}

int table_each(const struct table *t, int (*fn)(void *ctx, const struct nodens_name *blob), void *ctx)
{
	const uint64_t *entries = (const uint64_t *)t->mem.buckets;
	size_t count = (size_t)t->mem.bucket_count * NODENS_BUCKET_ENTRIES;

	for (size_t i = 0; i < count; i++) {
		int err = entries[i] ? fn(ctx, blob_at(t, (uint32_t)entries[i])) : 0;

		if (err)
			return err;
	}
	return 0;
}

void table_stats(const struct table *t, struct table_stats *ret_stats)
{
	*ret_stats = t->stats;
}
