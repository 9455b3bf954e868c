/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an API server or a file may send: lists in pieces, single objects, watch events, refusals; then the way of what was
 * understood: store, records, blobs, table. Every blob must be whole and hold what its set has; after any sequence of changes the
 * table must be the one that a fresh store gives for the same objects.
 *
 * Input: how it is cut into pieces, its form, then the text.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "dns/render.h"
#include "dns/zonefile.h"
#include "fuzz.h"
#include "kernel/table.h"
#include "kube/decode.h"
#include "kube/store.h"

#define BUCKETS 512
#define PAGE_STRIDE (NODENS_PAGE_LEN + NODENS_PAGE_SLACK)

struct world {
	struct store *store;
	struct table *table;
	struct nodens_bucket *buckets;
};

static const struct render_params render_params = {.ttl_s = 5};

static struct record_params record_params(void)
{
	struct record_params params = {.level = ANSWER_SERVICES};
	struct error e = {0};

	FUZZ_CHECK(dns_name_parse("cluster.local", &params.zone, &e) == 0, "%s", e.text);
	return params;
}

/* ---- tables ---- */

/* Zeros, the same address range each time: fresh pages are cheaper than a megabyte of them from the heap. */
static uint8_t *take_arena(size_t number)
{
	static uint8_t *arenas[2];

	if (!arenas[number])
		arenas[number] = mmap(NULL, PAGE_STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FUZZ_CHECK(arenas[number] != MAP_FAILED && madvise(arenas[number], PAGE_STRIDE, MADV_DONTNEED) == 0, "memory");
	return arenas[number];
}

static void world_open(struct world *w, size_t number)
{
	struct table_memory memory = {.bucket_count = BUCKETS, .page_stride = PAGE_STRIDE, .page_count = 1};
	struct record_params params = record_params();

	memory.buckets = w->buckets = calloc(BUCKETS, sizeof(*memory.buckets));
	memory.arena = take_arena(number);
	for (size_t i = 0; i < NODENS_HASH_KEY_WORDS; i++)
		memory.hash_key[i] = (i + 1) * 0x9e3779b97f4a7c15ULL | 1;
	w->table = table_new(&memory);
	w->store = store_new(&params);
	FUZZ_CHECK(w->buckets && w->table && w->store, "memory");
}

static void world_close(struct world *w)
{
	store_free(w->store);
	table_free(w->table);
	free(w->buckets);
}

static void check_blob(const struct record_set *set, const struct nodens_name *blob, size_t len)
{
	FUZZ_CHECK(blob->blob_len == len && len <= NODENS_PAGE_LEN, "a blob of %zu octets says %u", len, blob->blob_len);
	FUZZ_CHECK(zonefile_blob_is_valid(blob, len), "a blob that cannot be read");
	FUZZ_CHECK(blob->name_len == set->owner.len && memcmp(blob->name, set->owner.data, set->owner.len) == 0, "the owner");
	FUZZ_CHECK(dns_name_is_valid(set->owner.data, set->owner.len), "an owner that is no name");
	FUZZ_CHECK(!(blob->flags & NODENS_NAME_PASS) == !set->is_passed, "passed or not");
	if (set->is_passed)
		return;
	FUZZ_CHECK(!(blob->flags & NODENS_NAME_REVERSE) == !set->is_reverse, "reverse or not");
	FUZZ_CHECK(blob->section[NODENS_SLOT_A].off == NODENS_SECTION_PASS ||
		   blob->section[NODENS_SLOT_A].count == (set->is_reverse ? set->ptr_count : set->a_count), "A or PTR records");
	FUZZ_CHECK(blob->section[NODENS_SLOT_AAAA].off == NODENS_SECTION_PASS || blob->section[NODENS_SLOT_AAAA].count == set->aaaa_count,
		   "AAAA records");
	FUZZ_CHECK(blob->section[NODENS_SLOT_SRV].count <= set->srv_count, "SRV records");
}

static int put(void *ctx, const struct record_set *set)
{
	struct world *w = ctx;
	size_t cap = (render_blob_bound(set) + 7) & ~(size_t)7, len;
	void *blob = aligned_alloc(8, cap);
	int err;

	FUZZ_CHECK(blob, "memory");
	err = render_blob(set, &render_params, blob, cap, &len);
	FUZZ_CHECK(err == 0, "a set is not rendered: %d", err);
	check_blob(set, blob, len);
	err = table_put(w->table, blob, len);
	FUZZ_CHECK(err == 0 || err == 1 || err == -ENOSPC || err == -ENOMEM, "a blob is not stored: %d", err);
	free(blob);
	return 0;
}

static int take_away(void *ctx, const struct dns_name *owner)
{
	struct world *w = ctx;

	FUZZ_CHECK(dns_name_is_valid(owner->data, owner->len), "an owner that is no name");
	(void)table_remove(w->table, owner->data, owner->len);
	return 0;
}

static void flush(struct world *w)
{
	const struct store_sink sink = {.put = put, .remove = take_away, .ctx = w};

	struct table_batch *batch;

	FUZZ_CHECK(store_flush(w->store, &sink) == 0, "a flush");
	batch = table_take_retired(w->table);
	if (batch)
		table_reclaim(w->table, batch);
}

/* ---- the same from nothing ---- */

struct comparison {
	const struct table *other;
	size_t count;
};

static int compare_blob(void *ctx, const struct nodens_name *blob)
{
	struct comparison *c = ctx;
	const struct nodens_name *other = table_find(c->other, (const uint8_t *)blob->name, blob->name_len);

	FUZZ_CHECK(other && other->blob_len == blob->blob_len && memcmp(other, blob, blob->blob_len) == 0,
		   "step by step %s other records than at once", other ? "gives" : "loses a name, or has");
	c->count++;
	return 0;
}

/* What the sink of a fresh generation is given must be what the steps led to. */
static void check_steps(struct world *w)
{
	struct world whole;
	struct comparison c = {0};
	struct table_stats stats;

	world_open(&whole, 1);
	const struct store_sink sink = {.put = put, .remove = take_away, .ctx = &whole};

	FUZZ_CHECK(store_emit_all(w->store, &sink) == 0, "all records");
	c.other = w->table;
	table_each(whole.table, compare_blob, &c);
	table_stats(w->table, &stats);
	FUZZ_CHECK(c.count == stats.names, "%zu names at once, %zu step by step", c.count, (size_t)stats.names);
	world_close(&whole);
}

/* ---- objects ---- */

static void check_object(const struct kube_object *o)
{
	struct kube_object *copy = kube_object_copy(o);

	FUZZ_CHECK(copy && kube_object_equal(o, copy) && kube_object_equal(copy, o), "a copy is equal");
	FUZZ_CHECK(o->namespace && o->namespace[0] && o->name && o->name[0], "an object without a name");
	kube_object_free(copy);
}

static int take_object(void *ctx, struct kube_object *object)
{
	struct world *w = ctx;

	check_object(object);
	FUZZ_CHECK(store_put(w->store, object) >= 0, "an object is not stored");
	flush(w);
	return 0;
}

static int take_nameless(void *ctx, size_t index, const struct error *e)
{
	(void)ctx;
	(void)index;
	FUZZ_CHECK(e->text[0], "a cause");
	return 0;
}

/* Pieces of 1, 2, 3 … octets by the head, each a block of its own. */
static void feed_list(struct world *w, uint8_t pieces, const uint8_t *data, size_t len)
{
	struct kube_list *l = kube_list_new("fuzz", take_object, take_nameless, w);
	struct error e = {0};
	size_t piece = 1 + (size_t)pieces * 3, done = 0;
	int err = 0;

	FUZZ_CHECK(l, "memory");
	while (err == 0 && done < len) {
		size_t n = len - done < piece ? len - done : piece;
		char *copy = fuzz_copy(data + done, n);

		err = kube_list_feed(l, copy, n, &e);
		free(copy);
		done += n;
	}
	if (err == 0)
		err = kube_list_finish(l, &e);
	FUZZ_CHECK(err == 0 || (err == -EINVAL && e.text[0]), "a list: %d %s", err, e.text);
	if (err == 0)
		FUZZ_CHECK(kube_list_resource_version(l) && kube_list_continue(l), "a list's metadata");
	kube_list_free(l);
}

static void feed_object(struct world *w, const uint8_t *data, size_t len)
{
	static const char *const kinds[] = {NULL, "Service", "EndpointSlice"};
	char *copy = fuzz_copy(data, len);
	struct kube_object *object = NULL;
	struct error e = {0};
	int err = kube_decode_object(copy, len, kinds[len % 3], "fuzz", &object, &e);

	free(copy);
	FUZZ_CHECK(err == 0 || (err == -EINVAL && e.text[0] && !object), "an object: %d %s", err, e.text);
	if (object)
		take_object(w, object);
}

static void feed_event(struct world *w, const uint8_t *line, size_t len)
{
	char *copy = fuzz_copy(line, len);
	struct kube_event event = {0};
	struct error e = {0};
	int err = kube_decode_event(copy, len, &event, &e);

	free(copy);
	FUZZ_CHECK(err == 0 || (err == -EINVAL && e.text[0]), "an event: %d %s", err, e.text);
	if (err != 0)
		return;
	FUZZ_CHECK(memchr(event.message, '\0', sizeof(event.message)) && memchr(event.resource_version, '\0', sizeof(event.resource_version)),
		   "texts of an event end");
	if (event.type == KUBE_EVENT_DELETED && event.object)
		FUZZ_CHECK(store_delete(w->store, event.object->kind, event.object->namespace, event.object->name) >= 0, "a deletion");
	if (event.type == KUBE_EVENT_PUT && event.object)
		take_object(w, event.object);
	else
		kube_object_free(event.object);
	flush(w);
}

static void feed_events(struct world *w, const uint8_t *data, size_t len)
{
	while (len > 0) {
		const uint8_t *end = memchr(data, '\n', len);
		size_t line = end ? (size_t)(end - data) : len;

		feed_event(w, data, line);
		data += line;
		len -= line;
		if (len > 0) {
			data++;
			len--;
		}
	}
}

static void feed_status(const uint8_t *data, size_t len)
{
	char *copy = fuzz_copy(data, len), message[256];
	bool is_version;
	int code;

	kube_decode_status(copy, len, &code, message, &is_version);
	FUZZ_CHECK(memchr(message, '\0', sizeof(message)), "a message ends");
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world w;

	if (len < 2)
		return -1;
	world_open(&w, 0);
	switch (data[1] % 4) {
	case 0:
		feed_list(&w, data[0], data + 2, len - 2);
		break;
	case 1:
		feed_object(&w, data + 2, len - 2);
		break;
	case 2:
		feed_events(&w, data + 2, len - 2);
		break;
	default:
		feed_status(data + 2, len - 2);
		break;
	}
	check_steps(&w);
	/* As a relist that brings nothing: all names go. */
	store_replace_begin(w.store);
	FUZZ_CHECK(store_replace_end(w.store) >= 0, "an empty state");
	flush(&w);
	struct table_stats stats;

	table_stats(w.table, &stats);
	FUZZ_CHECK(stats.names == 0, "%zu names without objects", (size_t)stats.names);
	world_close(&w);
	return 0;
}
