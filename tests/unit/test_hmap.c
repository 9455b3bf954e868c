/* SPDX-License-Identifier: Apache-2.0 */
/* The hash map, held against a plain array that knows what is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"

#define ITEMS 5000

struct item {
	struct hmap_node node;
	uint32_t key;
	bool is_in;
	int seen;
};

static struct item *find(const struct hmap *m, uint32_t key, uint64_t hash)
{
	struct item *item;

	for (struct hmap_node *n = hmap_first_same(m, hash); n; n = hmap_next_same(n)) {
		item = hmap_entry(n, struct item, node);
		if (item->key == key)
			return item;
	}
	return NULL;
}

/* Few distinct hashes on purpose: chains and nodes of one hash. */
static uint64_t poor_hash(uint32_t key)
{
	return key % 97 * 0x100000001ULL;
}

static void check(const struct hmap *m, struct item *items, size_t expected)
{
	size_t walked = 0;

	for (size_t i = 0; i < ITEMS; i++) {
		items[i].seen = 0;
		assert_ptr_equal(find(m, items[i].key, poor_hash(items[i].key)), items[i].is_in ? &items[i] : NULL);
	}
	for (struct hmap_node *n = hmap_first(m); n; n = hmap_next(m, n), walked++)
		assert_int_equal(hmap_entry(n, struct item, node)->seen++, 0);
	assert_int_equal(walked, expected);
	assert_int_equal(m->count, expected);
}

static void items_are_found_until_they_are_removed(void **state)
{
	struct item *items = calloc(ITEMS, sizeof(*items));
	struct hmap m;
	size_t count = 0;

	(void)state;
	hmap_init(&m);
	for (uint32_t i = 0; i < ITEMS; i++)
		items[i].key = i;
	check(&m, items, 0);
	srand(1);
	for (int round = 0; round < 20000; round++) {
		struct item *item = &items[rand() % ITEMS];

		if (item->is_in)
			hmap_remove(&m, &item->node);
		else
			hmap_insert(&m, &item->node, poor_hash(item->key));
		item->is_in = !item->is_in;
		count = item->is_in ? count + 1 : count - 1;
		/* The first ones one by one: there the map is a chain, then gets its buckets. */
		if (round < 40 || round % 4000 == 0)
			check(&m, items, count);
	}
	check(&m, items, count);
	hmap_done(&m);
	assert_int_equal(m.count, 0);
	assert_null(hmap_first(&m));
	free(items);
}

static void a_map_of_zeros_is_empty_and_usable(void **state)
{
	struct item item = {.key = 1};
	struct hmap m = {0};

	(void)state;
	assert_null(hmap_first(&m));
	assert_null(hmap_first_same(&m, 0));
	hmap_insert(&m, &item.node, 7);
	assert_ptr_equal(hmap_first_same(&m, 7), &item.node);
	assert_null(hmap_first_same(&m, 8));
	hmap_remove(&m, &item.node);
	assert_null(hmap_first(&m));
	hmap_done(&m);
}

static void all_may_be_removed_during_a_walk(void **state)
{
	struct item *items = calloc(100, sizeof(*items));
	struct hmap_node *node, *next;
	struct hmap m;

	(void)state;
	hmap_init(&m);
	for (uint32_t i = 0; i < 100; i++)
		hmap_insert(&m, &items[i].node, i);
	for (node = hmap_first(&m); node; node = next) {
		next = hmap_next(&m, node);
		hmap_remove(&m, node);
	}
	assert_int_equal(m.count, 0);
	hmap_done(&m);
	free(items);
}

static void hashes_tell_data_length_and_seed_apart(void **state)
{
	const char zeros[32] = {0};
	uint64_t hashes[2 * sizeof(zeros)];

	(void)state;
	assert_true(hmap_hash("abc", 3, 1) == hmap_hash("abc", 3, 1));
	for (size_t i = 0; i < sizeof(zeros); i++) {
		hashes[2 * i] = hmap_hash(zeros, i, 0);
		hashes[2 * i + 1] = hmap_hash(zeros, i, 1);
	}
	for (size_t i = 0; i < 2 * sizeof(zeros); i++)
		for (size_t k = 0; k < i; k++)
			assert_true(hashes[i] != hashes[k]);
}

static void hashes_spread_over_low_bits(void **state)
{
	size_t buckets[256] = {0};

	(void)state;
	for (uint32_t i = 0; i < 256 * 64; i++)
		buckets[hmap_hash(&i, sizeof(i), 0) & 255]++;
	/* 64 each in the mean, standard deviation 8: eight deviations. */
	for (size_t i = 0; i < 256; i++)
		assert_in_range(buckets[i], 1, 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_are_found_until_they_are_removed),
		cmocka_unit_test(a_map_of_zeros_is_empty_and_usable),
		cmocka_unit_test(all_may_be_removed_during_a_walk),
		cmocka_unit_test(hashes_tell_data_length_and_seed_apart),
		cmocka_unit_test(hashes_spread_over_low_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
