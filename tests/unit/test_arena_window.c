/* SPDX-License-Identifier: Apache-2.0 */
/* A table over an arena of which only some pages are mapped at a time: the same records, and little resident memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/arena_window.h"
#include "kernel/table.h"
#include "table_blob.h"

#define STRIDE	(NODENS_PAGE_LEN + NODENS_PAGE_SLACK)
#define PAGES	48
#define BUCKETS 16384
#define NAMES	34000
#define RECORDS 30
#define CHANGES 60000

static uint64_t blob_buffer[4096];

struct fixture {
	int fd;
	struct arena_window *window;
	struct table_memory mem, whole;
	struct table *table;
	uint32_t version[NAMES]; /* 0: removed */
};

static void begin(struct fixture *f)
{
	struct error e = {0};

	memset(f, 0, sizeof(*f));
	f->fd = memfd_create("arena", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, (off_t)PAGES * STRIDE), 0);
	assert_int_equal(arena_window_new(f->fd, PAGES, STRIDE, &f->window, &e), 0);
	f->mem = (struct table_memory){.bucket_count = BUCKETS,
				       .page_stride = STRIDE,
				       .page_count = PAGES,
				       .arena = arena_window_base(f->window),
				       .map_page = arena_window_map,
				       .map_ctx = f->window};
	f->mem.buckets = aligned_alloc(64, (size_t)BUCKETS * NODENS_BUCKET_LEN);
	memset(f->mem.buckets, 0, (size_t)BUCKETS * NODENS_BUCKET_LEN);
	for (uint64_t i = 0; i < NODENS_HASH_KEY_WORDS; i++)
		f->mem.hash_key[i] = ((i + 1) * 0x9e3779b97f4a7c15ULL ^ i << 40) | 1;
	f->table = table_new(&f->mem);
	assert_non_null(f->table);
}

static void end(struct fixture *f)
{
	table_free(f->table);
	arena_window_free(f->window);
	free(f->mem.buckets);
	close(f->fd);
}

static void put(struct fixture *f, uint32_t number, uint32_t version)
{
	size_t len = blob_make(blob_buffer, number, version, RECORDS);

	assert_int_equal(table_put(f->table, (const struct nodens_name *)blob_buffer, len), 1);
	f->version[number] = version;
}

static void reclaim(struct fixture *f)
{
	struct table_batch *batch = table_take_retired(f->table);

	if (batch)
		table_reclaim(f->table, batch);
}

/* Octets of the arena that are resident through the window. */
static size_t resident(const struct fixture *f)
{
	uintptr_t base = (uintptr_t)f->mem.arena, from = 0, to = 0;
	FILE *maps = fopen("/proc/self/smaps", "re");
	size_t kib, sum = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			continue;
		if (sscanf(line, "Rss: %zu kB", &kib) == 1 && from >= base && to <= base + (size_t)PAGES * STRIDE)
			sum += kib * 1024;
	}
	fclose(maps);
	return sum;
}

static int check_copy(void *ctx, struct nodens_name *copy, size_t len)
{
	struct fixture *f = ctx;
	uint32_t number;

	assert_int_equal(sscanf((const char *)copy->name + 2, "%06x", &number), 1);
	assert_true(blob_is_whole(copy, len, number));
	assert_true(number < NAMES && f->version[number]);
	blob_make(blob_buffer, number, f->version[number], RECORDS);
	assert_memory_equal(copy, blob_buffer, len);
	f->version[number] = 0; /* seen */
	free(copy);
	return 0;
}

/* What a reader with all pages mapped sees: every name once, as it was put last. */
static void check_all(struct fixture *f)
{
	struct table_memory whole = f->mem;

	whole.map_page = NULL;
	whole.arena = mmap(NULL, (size_t)PAGES * STRIDE, PROT_READ, MAP_SHARED, f->fd, 0);
	assert_true(whole.arena != MAP_FAILED);
	assert_int_equal(table_copy_each(&whole, check_copy, f), 0);
	for (uint32_t i = 0; i < NAMES; i++)
		assert_int_equal(f->version[i], 0);
	munmap(whole.arena, (size_t)PAGES * STRIDE);
}

static void records_are_the_same_and_few_pages_resident(void **state)
{
	static struct fixture f;
	uint64_t random = 88172645463325252ULL;
	uint8_t name[BLOB_NAME_MAX];
	struct table_stats stats;

	(void)state;
	begin(&f);
	for (uint32_t i = 0; i < NAMES; i++)
		put(&f, i, 1);
	for (uint32_t i = 2; i < CHANGES; i++) {
		uint32_t number;

		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		number = (uint32_t)(random % NAMES);
		if (random >> 60 == 0) {
			assert_int_equal(table_remove(f.table, name, blob_name(number, name)), f.version[number] != 0);
			f.version[number] = 0;
		} else {
			put(&f, number, i);
		}
		if (i % 512 == 0)
			reclaim(&f);
	}
	table_stats(f.table, &stats);
	assert_true(stats.live_bytes > (uint64_t)3 * ARENA_WINDOW_PAGES * NODENS_PAGE_LEN / 2);
	assert_in_range(resident(&f), 1, (size_t)ARENA_WINDOW_PAGES * STRIDE);
	check_all(&f);
	end(&f);
}

static void a_stride_that_cannot_be_mapped_alone_is_refused(void **state)
{
	struct arena_window *w = NULL;
	struct error e = {0};

	(void)state;
	assert_int_equal(arena_window_new(-1, 4, STRIDE + 8, &w, &e), -ENOTSUP);
	assert_null(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_the_same_and_few_pages_resident),
		cmocka_unit_test(a_stride_that_cannot_be_mapped_alone_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
