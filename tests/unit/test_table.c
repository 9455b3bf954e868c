/* SPDX-License-Identifier: Apache-2.0 */
/* Names and blobs in plain memory: places, collisions, allocation, quarantine, readers beside the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "kernel/table.h"
#include "kernel/table_alloc.h"
#include "nodens/hash.h"
#include "table_blob.h"

#define STRIDE	    (NODENS_PAGE_LEN + NODENS_PAGE_SLACK)
#define RECORDS_MAX 60000

struct memory {
	struct table_memory mem;
	struct table *table;
};

static uint64_t blob_buffer[(RECORDS_MAX * NODENS_A_LEN + NODENS_MESSAGE_MAX + 256) / 8];

/* A fixed key: what happens in these tests happens each time. */
static void memory_init(struct memory *m, uint32_t bucket_count, uint32_t page_count)
{
	uint64_t state = 0x243f6a8885a308d3ULL;

	m->mem = (struct table_memory){.bucket_count = bucket_count, .page_stride = STRIDE, .page_count = page_count};
	m->mem.buckets = aligned_alloc(64, (size_t)bucket_count * NODENS_BUCKET_LEN);
	m->mem.arena = calloc(page_count, STRIDE);
	assert_non_null(m->mem.buckets);
	assert_non_null(m->mem.arena);
	memset(m->mem.buckets, 0, (size_t)bucket_count * NODENS_BUCKET_LEN);
	for (int i = 0; i < NODENS_HASH_KEY_WORDS; i++) {
		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		m->mem.hash_key[i] = (state ^ state >> 29) | 1;
	}
	m->table = table_new(&m->mem);
	assert_non_null(m->table);
}

static void memory_done(struct memory *m)
{
	table_free(m->table);
	free(m->mem.buckets);
	free(m->mem.arena);
}

static int put(struct memory *m, uint32_t number, uint32_t version, uint32_t records)
{
	size_t len = blob_make(blob_buffer, number, version, records);

	return table_put(m->table, (const struct nodens_name *)blob_buffer, len);
}

static int put_out(struct memory *m, uint32_t number)
{
	uint8_t name[BLOB_NAME_MAX];
	size_t len = blob_name(number, name);

	return table_remove(m->table, name, len);
}

static const struct nodens_name *find(const struct memory *m, uint32_t number)
{
	uint8_t name[BLOB_NAME_MAX];
	size_t len = blob_name(number, name);

	return table_find(m->table, name, len);
}

static bool holds(const struct memory *m, uint32_t number, uint32_t records)
{
	const struct nodens_name *b = find(m, number);

	return b && b->section[NODENS_SLOT_A].count == records && blob_is_whole(b, b->blob_len, number);
}

static void end_grace(struct memory *m)
{
	struct table_batch *batch = table_take_retired(m->table);

	if (batch)
		table_reclaim(m->table, batch);
}

static struct table_stats stats(const struct memory *m)
{
	struct table_stats s;

	table_stats(m->table, &s);
	return s;
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static void what_is_put_is_found_until_it_is_removed(void **state)
{
	struct memory m;

	(void)state;
	memory_init(&m, 256, 1);
	assert_null(find(&m, 1));
	assert_int_equal(put(&m, 1, 1, 3), 1);
	assert_true(holds(&m, 1, 3));
	assert_null(find(&m, 2));
	assert_int_equal(put_out(&m, 2), 0);
	assert_int_equal(put_out(&m, 1), 1);
	assert_null(find(&m, 1));
	assert_int_equal(put_out(&m, 1), 0);
	assert_int_equal(put(&m, 1, 2, 5), 1);
	assert_true(holds(&m, 1, 5));
	memory_done(&m);
}

static void equal_octets_are_not_written_again(void **state)
{
	struct memory m;
	const struct nodens_name *before;

	(void)state;
	memory_init(&m, 256, 1);
	assert_int_equal(put(&m, 1, 1, 3), 1);
	before = find(&m, 1);
	assert_int_equal(put(&m, 1, 1, 3), 0);
	assert_ptr_equal(find(&m, 1), before);
	assert_int_equal(stats(&m).retired, 0);
	assert_int_equal(put(&m, 1, 2, 3), 1);
	assert_ptr_not_equal(find(&m, 1), before);
	assert_int_equal(stats(&m).retired, 1);
	memory_done(&m);
}

static void a_replaced_blob_keeps_its_octets_until_the_grace_period_is_over(void **state)
{
	struct memory m;
	const struct nodens_name *old;
	struct table_batch *batch;

	(void)state;
	memory_init(&m, 256, 1);
	assert_int_equal(put(&m, 1, 1, 3), 1);
	old = find(&m, 1);
	for (uint32_t version = 2; version < 200; version++)
		assert_int_equal(put(&m, 1, version, 3), 1);
	assert_true(blob_is_whole(old, old->blob_len, 1));
	batch = table_take_retired(m.table);
	assert_non_null(batch);
	for (uint32_t version = 200; version < 400; version++)
		assert_int_equal(put(&m, 1, version, 3), 1);
	assert_true(blob_is_whole(old, old->blob_len, 1));
	assert_int_equal(stats(&m).reused, 0);
	table_reclaim(m.table, batch);
	for (uint32_t version = 400; version < 600; version++)
		assert_int_equal(put(&m, 1, version, 3), 1);
	assert_int_equal(stats(&m).reused, 198);
	memory_done(&m);
}

static void what_is_no_blob_is_refused(void **state)
{
	struct nodens_name *b = (struct nodens_name *)blob_buffer;
	struct memory m;
	size_t len;

	(void)state;
	memory_init(&m, 256, 2);
	len = blob_make(blob_buffer, 1, 1, 3);
	assert_int_equal(table_put(m.table, b, len - 1), -EINVAL);
	assert_int_equal(table_put(m.table, b, 16), -EINVAL);
	b->name_len = 0;
	assert_int_equal(table_put(m.table, b, len), -EINVAL);
	len = blob_make(blob_buffer, 1, 1, 0);
	b->name_len = 255;
	assert_int_equal(table_put(m.table, b, len), -EINVAL);
	memory_done(&m);
}

static void a_blob_of_a_whole_page_fits_and_a_longer_one_does_not(void **state)
{
	struct nodens_name *b = calloc(1, NODENS_PAGE_LEN + 64);
	struct memory m;

	(void)state;
	assert_non_null(b);
	memory_init(&m, 256, 3);
	blob_make(b, 7, 1, 1);
	b->blob_len = NODENS_PAGE_LEN + 1;
	assert_int_equal(table_put(m.table, b, NODENS_PAGE_LEN + 1), -EINVAL);
	b->blob_len = NODENS_PAGE_LEN;
	assert_int_equal(table_put(m.table, b, NODENS_PAGE_LEN), 1);
	assert_ptr_equal(find(&m, 7), m.mem.arena + STRIDE);
	/* The rest of page 0 was put aside, not lost. */
	assert_int_equal(put(&m, 8, 1, 60000), 1);
	assert_true((const uint8_t *)find(&m, 8) < m.mem.arena + NODENS_PAGE_LEN ||
		    (const uint8_t *)find(&m, 8) >= m.mem.arena + 2 * STRIDE);
	assert_int_equal(stats(&m).names, 2);
	free(b);
	memory_done(&m);
}

static int count_name(void *ctx, const struct nodens_name *blob)
{
	uint32_t *seen = ctx, number;

	assert_int_equal(sscanf((const char *)blob->name + 2, "%06x", &number), 1);
	seen[number]++;
	return 0;
}

static int stop_at_three(void *ctx, const struct nodens_name *blob)
{
	(void)blob;
	return ++*(int *)ctx == 3 ? 42 : 0;
}

static void each_live_name_is_visited_once(void **state)
{
	uint32_t seen[1000] = {0};
	struct memory m;
	int calls = 0;

	(void)state;
	memory_init(&m, 256, 1);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(put(&m, i, 1, 1), 1);
	for (uint32_t i = 0; i < 1000; i += 3)
		assert_int_equal(put_out(&m, i), 1);
	assert_int_equal(table_each(m.table, count_name, seen), 0);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(seen[i], i % 3 != 0);
	assert_int_equal(table_each(m.table, stop_at_three, &calls), 42);
	assert_int_equal(calls, 3);
	memory_done(&m);
}

static void the_hash_is_over_the_words_of_the_name(void **state)
{
	uint64_t key[NODENS_HASH_KEY_WORDS];
	uint8_t name[24] = "\x07"
			   "example"
			   "\x03"
			   "org";
	uint64_t words[3], h = 0;

	(void)state;
	for (uint32_t i = 0; i < NODENS_HASH_KEY_WORDS; i++)
		key[i] = 0x9e3779b97f4a7c15ULL * (i + 1) | 1;
	memcpy(words, name, sizeof(words));
	for (int i = 0; i < 2; i++)
		h += nodens_hash_word(words[i], key[2 * i], key[2 * i + 1]);
	assert_true(table_hash(key, name, 13) == nodens_hash_finish(h));
	/* Octets behind the name do not count. */
	memset(name + 13, 0xff, sizeof(name) - 13);
	assert_true(table_hash(key, name, 13) == nodens_hash_finish(h));
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Names that differ only in the highest octet of some words: a sum of products modulo 2^64 alone gives all of them no more
 * than 256 values, whatever the key. */
static void names_that_differ_in_the_highest_octets_of_words_do_not_collide(void **state)
{
	uint64_t key[NODENS_HASH_KEY_WORDS], hash[1296], random = 1;
	uint8_t name[17] = "\x07svc-ab?\x07ns-abc?";
	size_t n = 0;

	(void)state;
	for (int round = 0; round < 20; round++, n = 0) {
		for (size_t i = 0; i < NODENS_HASH_KEY_WORDS; i++) {
			random = random * 6364136223846793005ULL + 1442695040888963407ULL;
			key[i] = (random ^ random >> 29) | 1;
		}
		for (int a = 0; a < 36; a++) {
			for (int b = 0; b < 36; b++) {
				name[7] = (uint8_t)(a < 26 ? 'a' + a : '0' + a - 26);
				name[15] = (uint8_t)(b < 26 ? 'a' + b : '0' + b - 26);
				hash[n++] = table_hash(key, name, 17);
			}
		}
		qsort(hash, n, sizeof(*hash), compare_u64);
		for (size_t i = 1; i < n; i++)
			assert_true(hash[i - 1] != hash[i]);
	}
}

/* ---- places ----------------------------------------------------------------------------------------------------- */

static void a_full_pair_of_buckets_is_enospc_and_changes_nothing(void **state)
{
	struct memory m;
	uint32_t number = 0, stored = 0;
	struct table_stats before, after;
	int err;

	(void)state;
	memory_init(&m, 256, 1);
	for (;; number++) {
		before = stats(&m);
		err = put(&m, number, 1, 1);
		if (err != 1)
			break;
		stored++;
	}
	assert_int_equal(err, -ENOSPC);
	after = stats(&m);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_in_range(stored, 256 * 8 * 2 / 3, 256 * 8);
	for (uint32_t i = 0; i < number; i++)
		assert_true(holds(&m, i, 1));
	/* The names that are there can still change. */
	for (uint32_t i = 0; i < number; i++)
		assert_int_equal(put(&m, i, 2, 1), 1);
	memory_done(&m);
}

static void tables_fill_beyond_what_a_generation_begins_with(void **state)
{
	(void)state;
	for (uint32_t buckets = 1024; buckets <= 65536; buckets *= 8) {
		uint32_t number = 0;
		struct memory m;

		memory_init(&m, buckets, buckets / 1024 + 1);
		while (put(&m, number, 1, 1) == 1)
			number++;
		print_message("%u buckets: first name without a place at %.1f %%\n", buckets,
			      number / (buckets * 0.08));
		assert_true(number > buckets * 8 * 2 / 3);
		memory_done(&m);
	}
}

/* A collision made by hand, whatever the hash: the blob that the entry of name 1 points to gets another name. */
static void another_name_with_the_same_tag_is_enospc(void **state)
{
	struct memory m;
	uint8_t *letter;

	(void)state;
	memory_init(&m, 256, 1);
	assert_int_equal(put(&m, 1, 1, 3), 1);
	letter = (uint8_t *)find(&m, 1)->name + 1;
	*letter = 'x';
	assert_int_equal(put(&m, 1, 1, 3), -ENOSPC);
	assert_int_equal(put(&m, 1, 2, 5), -ENOSPC);
	assert_null(find(&m, 1));
	assert_int_equal(put_out(&m, 1), 0);
	assert_int_equal(stats(&m).names, 1);
	assert_int_equal(stats(&m).retired, 0);
	/* The other name is still answered, and can go. */
	*letter = 'n';
	assert_true(holds(&m, 1, 3));
	assert_int_equal(put_out(&m, 1), 1);
	assert_int_equal(put(&m, 1, 2, 5), 1);
	memory_done(&m);
}

static void names_of_one_tag_share_both_buckets_or_none(void **state)
{
	const uint32_t mask = 1023;

	(void)state;
	for (uint64_t i = 0; i < 200000; i++) {
		uint64_t a = (i * 0x9e3779b97f4a7c15ULL & ~0xffffffffULL) | (uint32_t)(i * 2654435761U);
		uint64_t b = (a & ~0xffffffffULL) | (uint32_t)(i * 40503U + 12345);
		uint32_t a1 = nodens_hash_bucket1(a, mask), a2 = nodens_hash_bucket2(a, mask);
		uint32_t b1 = nodens_hash_bucket1(b, mask), b2 = nodens_hash_bucket2(b, mask);

		assert_int_equal(nodens_hash_tag(a), nodens_hash_tag(b));
		if (a1 == b1 || a1 == b2 || a2 == b1 || a2 == b2)
			assert_true((a1 == b1 && a2 == b2) || (a1 == b2 && a2 == b1));
	}
}

/* ---- arena ------------------------------------------------------------------------------------------------------ */

static void size_classes_waste_at_most_an_eighth_and_end_with_a_page(void **state)
{
	(void)state;
	for (uint32_t units = 1; units <= NODENS_UNITS_PER_PAGE; units++) {
		uint32_t rounded = table_alloc_round(units);

		assert_true(rounded >= units && (uint64_t)rounded * 8 <= (uint64_t)units * 9);
		assert_true(units > 16 || rounded == units);
		assert_int_equal(table_alloc_round(rounded), rounded);
	}
	assert_int_equal(table_alloc_round(NODENS_UNITS_PER_PAGE), NODENS_UNITS_PER_PAGE);
}

/* Random takes and gives against a map of units: no block overlaps another, crosses a page or is unit 0. */
static void blocks_never_overlap_nor_cross_a_page(void **state)
{
	enum { PAGES = 3, BLOCKS = 400 };
	static uint8_t used[PAGES * NODENS_UNITS_PER_PAGE];
	struct {
		uint32_t at, units;
	} blocks[BLOCKS] = {0};
	struct table_alloc a;
	uint32_t refused = 0;
	bool is_reused;

	(void)state;
	memset(used, 0, sizeof(used));
	table_alloc_init(&a, PAGES);
	srand(20261121);
	for (int step = 0; step < 100000; step++) {
		int i = rand() % BLOCKS;
		uint32_t units;

		if (blocks[i].at) {
			memset(used + blocks[i].at, 0, blocks[i].units);
			table_alloc_give(&a, blocks[i].at, blocks[i].units);
			blocks[i].at = 0;
			continue;
		}
		units = table_alloc_round(1 + (uint32_t)rand() % (rand() % 8 ? 12 : 2000));
		blocks[i].at = table_alloc_take(&a, units, &is_reused);
		blocks[i].units = units;
		if (!blocks[i].at) {
			refused++;
			continue;
		}
		assert_int_equal(blocks[i].at / NODENS_UNITS_PER_PAGE,
				 (blocks[i].at + units - 1) / NODENS_UNITS_PER_PAGE);
		assert_true(blocks[i].at + units <= sizeof(used));
		for (uint32_t u = 0; u < units; u++)
			assert_int_equal(used[blocks[i].at + u]++, 0);
	}
	assert_int_equal(used[0], 0);
	assert_true(refused > 0 && refused < 20000);
	table_alloc_done(&a);
}

static void a_full_arena_is_enomem_and_changes_nothing(void **state)
{
	struct memory m;
	uint32_t number = 0;

	(void)state;
	memory_init(&m, 4096, 1);
	while (put(&m, number, 1, 40) == 1)
		number++;
	assert_int_equal(put(&m, number, 1, 40), -ENOMEM);
	assert_null(find(&m, number));
	assert_int_equal(stats(&m).names, number);
	/* 40 records, 39 of them twice, and a head of 48 octets: 1,312 octets take 21 units, in a class of 22, of 16,383. */
	assert_int_equal(number, 16383 / 22);
	assert_int_equal(stats(&m).live_bytes, (uint64_t)number * 22 * 64);
	assert_int_equal(put(&m, 0, 2, 40), -ENOMEM);
	assert_true(holds(&m, 0, 40));
	/* Room comes back after a grace period, and is split for smaller blobs. */
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(put_out(&m, i), 1);
	assert_int_equal(put(&m, number, 1, 40), -ENOMEM);
	end_grace(&m);
	for (uint32_t i = 0; i < 500; i++)
		assert_int_equal(put(&m, 100000 + i, 1, 4), 1);
	for (uint32_t i = 100; i < number; i++)
		assert_true(holds(&m, i, 40));
	for (uint32_t i = 0; i < 500; i++)
		assert_true(holds(&m, 100000 + i, 4));
	memory_done(&m);
}

static void stats_follow_every_change(void **state)
{
	struct memory m;
	struct table_batch *batch;

	(void)state;
	memory_init(&m, 256, 1);
	assert_null(table_take_retired(m.table));
	put(&m, 1, 1, 1); /* 64 octets: 1 unit */
	put(&m, 2, 1, 2); /* 80 octets: 2 units */
	assert_int_equal(stats(&m).names, 2);
	assert_int_equal(stats(&m).live_bytes, 3 * 64);
	put(&m, 1, 2, 1);
	put_out(&m, 2);
	assert_int_equal(stats(&m).names, 1);
	assert_int_equal(stats(&m).live_bytes, 64);
	assert_int_equal(stats(&m).quarantined, 2);
	assert_int_equal(stats(&m).retired, 2);
	batch = table_take_retired(m.table);
	assert_int_equal(stats(&m).quarantined, 2);
	table_reclaim(m.table, batch);
	assert_int_equal(stats(&m).quarantined, 0);
	assert_int_equal(stats(&m).reused, 0);
	put(&m, 3, 1, 2);
	assert_int_equal(stats(&m).reused, 1);
	assert_int_equal(stats(&m).retired, 2);
	memory_done(&m);
}

/* Names come, change size and go at random; what the table holds is what a plain array says. */
static void a_long_random_run_agrees_with_a_model(void **state)
{
	enum { NAMES = 3000 };
	static uint32_t model[NAMES]; /* records, 0: absent */
	struct memory m;

	(void)state;
	memset(model, 0, sizeof(model));
	memory_init(&m, 1024, 4);
	srand(7);
	for (uint32_t step = 0; step < 200000; step++) {
		uint32_t i = (uint32_t)rand() % NAMES, records = 1 + (uint32_t)rand() % (rand() % 20 ? 6 : 100);

		if (rand() % 3 == 0) {
			assert_int_equal(put_out(&m, i), model[i] != 0);
			model[i] = 0;
		} else {
			assert_int_equal(put(&m, i, step, records), 1);
			model[i] = records;
		}
		if (step % 64 == 0)
			end_grace(&m);
	}
	for (uint32_t i = 0; i < NAMES; i++)
		assert_true(model[i] ? holds(&m, i, model[i]) : !find(&m, i));
	assert_true(stats(&m).reused > 100000);
	memory_done(&m);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Each is there afterwards. */
static void put_many(uint32_t names, uint32_t buckets, uint32_t pages)
{
	uint64_t buffer[32] = {0};
	struct memory m;

	memory_init(&m, buckets, pages);
	for (uint32_t i = 0; i < names; i++) {
		size_t len = blob_make(buffer, i, 1, 3);

		assert_int_equal(table_put(m.table, (const struct nodens_name *)buffer, len), 1);
	}
	for (uint32_t i = 0; i < names; i++)
		assert_true(holds(&m, i, 3));
	assert_int_equal(stats(&m).names, names);
	memory_done(&m);
}

static void loads_150_000_names(void **state)
{
	(void)state;
	put_many(150000, 32768, 24);
}

static void loads_a_million_names(void **state)
{
	(void)state;
	put_many(1000000, 262144, 128);
}

/* ---- a reader beside the writer --------------------------------------------------------------------------------- */

enum { LIVE_NAMES = 64, LIVE_RECORDS = 24 };

struct live {
	struct memory m;
	bool stop;
	uint64_t epoch;	    /* of the writer */
	uint64_t quiescent; /* the epoch that the reader saw when it held nothing */
	uint64_t reads; /* and torn: the reader's alone, but for looks at how many there are */
	uint64_t torn;
};

/* What the datapath does: the entry once, then the blob. */
static void read_one(struct live *l, uint32_t number)
{
	static _Thread_local uint64_t copy[128];
	struct table_memory *mem = &l->m.mem;
	uint8_t name[BLOB_NAME_MAX];
	size_t name_len = blob_name(number, name);
	uint64_t h = table_hash(mem->hash_key, name, name_len);
	uint32_t mask = mem->bucket_count - 1;
	uint32_t at[2] = {nodens_hash_bucket1(h, mask), nodens_hash_bucket2(h, mask)};

	for (int i = 0; i < 2 * NODENS_BUCKET_ENTRIES; i++) {
		__u64 *entry = &mem->buckets[at[i / NODENS_BUCKET_ENTRIES]].entry[i % NODENS_BUCKET_ENTRIES];
		uint64_t found = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
		const struct nodens_name *b;
		uint32_t len;

		if (found >> 32 != nodens_hash_tag(h))
			continue;
		b = (const struct nodens_name *)(mem->arena + (uint32_t)found / NODENS_UNITS_PER_PAGE * STRIDE +
						 (uint32_t)found % NODENS_UNITS_PER_PAGE * NODENS_UNIT_LEN);
		len = b->blob_len;
		if (len > sizeof(copy)) {
			l->torn++;
			return;
		}
		memcpy(copy, b, len);
		__atomic_store_n(&l->reads, l->reads + 1, __ATOMIC_RELAXED);
		l->torn += !blob_is_whole((const struct nodens_name *)copy, len, number);
		return;
	}
}

static void *reader(void *ctx)
{
	struct live *l = ctx;

	for (uint32_t i = 0; !__atomic_load_n(&l->stop, __ATOMIC_RELAXED); i++) {
		__atomic_store_n(&l->quiescent, __atomic_load_n(&l->epoch, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
		read_one(l, i % LIVE_NAMES);
	}
	__atomic_store_n(&l->quiescent, UINT64_MAX, __ATOMIC_RELEASE);
	return NULL;
}

/* Begins a grace period with the reader, or ends the one that is over. */
static void advance_grace(struct live *l, struct table_batch **waiting)
{
	if (*waiting && __atomic_load_n(&l->quiescent, __ATOMIC_ACQUIRE) < l->epoch)
		return;
	if (*waiting)
		table_reclaim(l->m.table, *waiting);
	*waiting = table_take_retired(l->m.table);
	__atomic_store_n(&l->epoch, l->epoch + 1, __ATOMIC_RELEASE);
}

/* What was in the arena when the index was about to be written. */
static struct {
	void *buckets;
	size_t buckets_len, arena_len;
	const uint8_t *arena;
	uint8_t *copy;
	int stores;
} at_store;

static void on_store(int signo, siginfo_t *info, void *ctx)
{
	uintptr_t off = (uintptr_t)info->si_addr - (uintptr_t)at_store.buckets;

	(void)ctx;
	if (off >= at_store.buckets_len || mprotect(at_store.buckets, at_store.buckets_len, PROT_READ | PROT_WRITE)) {
		(void)signal(signo, SIG_DFL);
		return;
	}
	memcpy(at_store.copy, at_store.arena, at_store.arena_len);
	at_store.stores++;
}

/* A reader beside the writer may come between or not; the write of an entry itself does. */
static void a_blob_is_whole_before_its_entry_is_set(void **state)
{
	const struct sigaction act = {.sa_sigaction = on_store, .sa_flags = SA_SIGINFO};
	struct sigaction former;
	struct memory m;
	void *buckets;

	(void)state;
	memory_init(&m, 256, 1);
	table_free(m.table);
	buckets = m.mem.buckets;
	at_store.buckets_len = (size_t)256 * NODENS_BUCKET_LEN;
	at_store.buckets = mmap(NULL, at_store.buckets_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(at_store.buckets != MAP_FAILED);
	at_store.arena_len = STRIDE;
	at_store.arena = m.mem.arena;
	at_store.copy = malloc(STRIDE);
	assert_non_null(at_store.copy);
	m.mem.buckets = at_store.buckets;
	m.table = table_new(&m.mem);
	assert_non_null(m.table);
	assert_int_equal(sigaction(SIGSEGV, &act, &former), 0);
	for (uint32_t version = 1; version <= 4; version++) {
		const struct nodens_name *b;

		at_store.stores = 0;
		assert_int_equal(mprotect(at_store.buckets, at_store.buckets_len, PROT_READ), 0);
		assert_int_equal(put(&m, 1, version, 3 * version), 1);
		assert_int_equal(at_store.stores, 1);
		b = find(&m, 1);
		assert_non_null(b);
		assert_memory_equal(at_store.copy + ((const uint8_t *)b - at_store.arena), b, b->blob_len);
	}
	assert_int_equal(sigaction(SIGSEGV, &former, NULL), 0);
	m.mem.buckets = buckets;
	memory_done(&m);
	free(at_store.copy);
	munmap(at_store.buckets, at_store.buckets_len);
}

/* A busy machine may let one of the two wait as long as it likes. */
static bool has_seen_enough(struct live *l, uint64_t updates)
{
	return __atomic_load_n(&l->reads, __ATOMIC_RELAXED) > 1000 && updates > 1000 && stats(&l->m).reused > 1000;
}

static void a_reader_never_sees_half_a_blob(void **state)
{
	struct live l = {.epoch = 1};
	struct table_batch *waiting = NULL;
	pthread_t thread;
	uint64_t updates = 0;
	double end, far;

	(void)state;
	memory_init(&l.m, 256, 2);
	for (uint32_t i = 0; i < LIVE_NAMES; i++)
		assert_int_equal(put(&l.m, i, 1, LIVE_RECORDS), 1);
	assert_int_equal(pthread_create(&thread, NULL, reader, &l), 0);
	end = seconds() + 1.5;
	far = end + 60;
	for (uint32_t version = 2; seconds() < (has_seen_enough(&l, updates) ? end : far); version++) {
		if (__atomic_load_n(&l.torn, __ATOMIC_RELAXED))
			break;
		uint32_t number = version * 2654435761U >> 26;
		int err = put(&l.m, number, version, LIVE_RECORDS - version % 3);

		/* The arena is small on purpose: what is freed is taken again as soon as it may be. */
		assert_true(err == 1 || err == -ENOMEM);
		updates += err == 1;
		if (version % 64 == 0)
			advance_grace(&l, &waiting);
		if (version % 1001 == 0) {
			(void)put_out(&l.m, number);
			(void)put(&l.m, number, version, LIVE_RECORDS);
		}
	}
	__atomic_store_n(&l.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	if (waiting)
		table_reclaim(l.m.table, waiting);
	print_message("%llu updates, %llu reads, %llu torn, %llu reused\n", (unsigned long long)updates,
		      (unsigned long long)l.reads, (unsigned long long)l.torn, (unsigned long long)stats(&l.m).reused);
	assert_int_equal(l.torn, 0);
	assert_true(has_seen_enough(&l, updates));
	memory_done(&l.m);
}

/* ---- copies for other processes --------------------------------------------------------------------------------- */

static int count_copy(void *ctx, struct nodens_name *copy, size_t len)
{
	uint32_t number;

	assert_int_equal(sscanf((const char *)copy->name + 2, "%06x", &number), 1);
	assert_true(blob_is_whole(copy, len, number));
	((uint32_t *)ctx)[number]++;
	free(copy);
	return 0;
}

static void copies_are_those_of_all_live_names(void **state)
{
	uint32_t seen[500] = {0};
	struct memory m;

	(void)state;
	memory_init(&m, 256, 2);
	for (uint32_t i = 0; i < 500; i++)
		assert_int_equal(put(&m, i, 1, 1 + i % 50), 1);
	assert_int_equal(table_copy_each(&m.mem, count_copy, seen), 0);
	for (uint32_t i = 0; i < 500; i++)
		assert_int_equal(seen[i], 1);
	memory_done(&m);
}

static uint64_t *entry_of(const struct memory *m, uint32_t number)
{
	const uint8_t *blob = (const uint8_t *)find(m, number);
	uint32_t unit = (uint32_t)((size_t)(blob - m->mem.arena) % STRIDE / 64 +
				   (size_t)(blob - m->mem.arena) / STRIDE * NODENS_UNITS_PER_PAGE);
	uint64_t *entries = (uint64_t *)m->mem.buckets;

	for (size_t i = 0; i < (size_t)m->mem.bucket_count * NODENS_BUCKET_ENTRIES; i++) {
		if ((uint32_t)entries[i] == unit && entries[i])
			return &entries[i];
	}
	fail();
	return NULL;
}

/* Each row damages one name of five; the other four are still told. */
static void damaged_entries_are_left_out_and_told(void **state)
{
	static const struct {
		const char *what;
		uint64_t entry; /* or-ed in, 0: the blob is damaged instead */
		size_t off;	/* in the blob */
		uint32_t value;
		size_t len;
	} rows[] = {
		{"a blob behind the last page", 0xffffffffULL, 0, 0, 0},
		{"a blob on a page that is not there", 1ULL << 20, 0, 0, 0},
		{"blob_len beyond the page", 0, offsetof(struct nodens_name, blob_len), NODENS_PAGE_LEN, 4},
		{"blob_len of 4 GiB", 0, offsetof(struct nodens_name, blob_len), 0xffffffff, 4},
		{"blob_len shorter than the header", 0, offsetof(struct nodens_name, blob_len), 31, 4},
		{"name_len 0", 0, offsetof(struct nodens_name, name_len), 0, 1},
		{"name_len beyond the blob", 0, offsetof(struct nodens_name, name_len), 255, 1},
		{"name_len that does not end at the root label", 0, offsetof(struct nodens_name, name_len), 13, 1},
		{"a label of 64 octets", 0, sizeof(struct nodens_name), 64, 1},
		{"a section behind the blob", 0, offsetof(struct nodens_name, section[0].off), 4000, 4},
		{"a section at 4 GiB", 0, offsetof(struct nodens_name, section[0].off), 0xfffffff0, 4},
		{"a section within the header", 0, offsetof(struct nodens_name, section[0].off), 8, 4},
		{"more records than octets", 0, offsetof(struct nodens_name, section[0].count), 65535, 2},
		{"SRV section off by one", 0, offsetof(struct nodens_name, section[2]), 49, 4},
	};

	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		uint32_t seen[5] = {0};
		struct memory m;

		memory_init(&m, 256, 1);
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(put(&m, i, 1, 3), 1);
		if (rows[r].entry)
			*entry_of(&m, 2) |= rows[r].entry;
		else
			memcpy((uint8_t *)find(&m, 2) + rows[r].off, &rows[r].value, rows[r].len);
		if (table_copy_each(&m.mem, count_copy, seen) != -EBADMSG || seen[2] != 0)
			fail_msg("not found out: %s", rows[r].what);
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(seen[i], i != 2);
		memory_done(&m);
	}
}

/* 2 answers and 1 additional of 20 octets each. */
static size_t make_list_blob(struct nodens_name *b)
{
	struct nodens_list *list;

	blob_make(b, 2, 1, 0);
	b->section[NODENS_SLOT_SRV] = (struct nodens_section){.off = b->section[NODENS_SLOT_A].off, .count = 2};
	b->section[NODENS_SLOT_A].off = 0;
	list = (struct nodens_list *)((uint8_t *)b + b->section[NODENS_SLOT_SRV].off);
	memset(list, 0, 24 + 60);
	*list = (struct nodens_list){.answers = 2, .additionals = 1, .answers_len = 40, .rrs_len = 60, .rrs_off = 24};
	memcpy(list->end, (uint16_t[]){20, 40, 60}, 6);
	b->blob_len = b->section[NODENS_SLOT_SRV].off + 24 + 60;
	return b->blob_len;
}

/* Reads all that a list says it has. */
static int walk_list(void *ctx, struct nodens_name *copy, size_t len)
{
	const struct nodens_section *s = &copy->section[NODENS_SLOT_SRV];
	const struct nodens_list *list = (const struct nodens_list *)((const uint8_t *)copy + s->off);
	uint32_t records = (uint32_t)list->answers + list->additionals, last = 0;

	assert_true(s->off + 16 + 2 * records <= len);
	for (uint32_t i = 0; i < records; i++) {
		assert_in_range(list->end[i], last, len - s->off - list->rrs_off);
		last = list->end[i];
	}
	++*(int *)ctx;
	free(copy);
	return 0;
}

/* Each field of the header and each end in turn takes awkward values: told and sound, or left out. */
static void damaged_lists_never_lead_outside(void **state)
{
	static const uint16_t values[] = {0, 1, 2, 3, 15, 16, 17, 21, 22, 25, 41, 61, 85, 255, 4096, 32768, 65535};
	struct nodens_name *b = (struct nodens_name *)blob_buffer;
	int told = 0, rows = 0, whole = 0;

	(void)state;
	for (size_t field = 0; field <= 11; field++) {
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
			size_t len = make_list_blob(b);
			struct memory m;
			int err;

			if (field < 11)
				((uint16_t *)((uint8_t *)b + b->section[NODENS_SLOT_SRV].off))[field] = values[v];
			memory_init(&m, 256, 1);
			assert_int_equal(table_put(m.table, b, len), 1);
			err = table_copy_each(&m.mem, walk_list, field < 11 ? &told : &whole);
			assert_true(err == 0 || err == -EBADMSG);
			rows++;
			memory_done(&m);
		}
	}
	assert_int_equal(whole, sizeof(values) / sizeof(values[0]));
	/* Most values are wrong in most fields. */
	assert_true(told < rows / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_found_until_it_is_removed),
		cmocka_unit_test(equal_octets_are_not_written_again),
		cmocka_unit_test(a_replaced_blob_keeps_its_octets_until_the_grace_period_is_over),
		cmocka_unit_test(what_is_no_blob_is_refused),
		cmocka_unit_test(a_blob_of_a_whole_page_fits_and_a_longer_one_does_not),
		cmocka_unit_test(each_live_name_is_visited_once),
		cmocka_unit_test(the_hash_is_over_the_words_of_the_name),
		cmocka_unit_test(names_that_differ_in_the_highest_octets_of_words_do_not_collide),
		cmocka_unit_test(a_full_pair_of_buckets_is_enospc_and_changes_nothing),
		cmocka_unit_test(tables_fill_beyond_what_a_generation_begins_with),
		cmocka_unit_test(another_name_with_the_same_tag_is_enospc),
		cmocka_unit_test(names_of_one_tag_share_both_buckets_or_none),
		cmocka_unit_test(size_classes_waste_at_most_an_eighth_and_end_with_a_page),
		cmocka_unit_test(blocks_never_overlap_nor_cross_a_page),
		cmocka_unit_test(a_full_arena_is_enomem_and_changes_nothing),
		cmocka_unit_test(stats_follow_every_change),
		cmocka_unit_test(a_long_random_run_agrees_with_a_model),
		cmocka_unit_test(loads_150_000_names),
		cmocka_unit_test(loads_a_million_names),
		cmocka_unit_test(a_blob_is_whole_before_its_entry_is_set),
		cmocka_unit_test(a_reader_never_sees_half_a_blob),
		cmocka_unit_test(copies_are_those_of_all_live_names),
		cmocka_unit_test(damaged_entries_are_left_out_and_told),
		cmocka_unit_test(damaged_lists_never_lead_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
