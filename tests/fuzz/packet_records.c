/* SPDX-License-Identifier: Apache-2.0 */
/* Record sets for the packet target: counts around every bound, names of many lengths. */
#include "packet_records.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>

#include "dns/render.h"
#include "fuzz.h"
#include "host/kernel.h"
#include "kernel/table.h"

#define SETS_MAX 80
#define BUCKETS 64
#define PAGES 2
#define PAGE_STRIDE (NODENS_PAGE_LEN + NODENS_PAGE_SLACK)

static struct packet_records records;

static void *array(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	FUZZ_CHECK(p, "memory");
	return p;
}

static struct dns_name name_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static struct dns_name name_of(const char *format, ...)
{
	struct dns_name name;
	struct error e = {0};
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	FUZZ_CHECK(dns_name_parse(text, &name, &e) == 0, "%s: %s", text, e.text);
	return name;
}

static struct record_set *add(struct dns_name owner)
{
	struct record_set *set = &records.sets[records.count++];

	FUZZ_CHECK(records.count <= SETS_MAX, "too many sets");
	set->owner = owner;
	return set;
}

static void add_a(struct record_set *set, size_t count)
{
	set->a_count = count;
	set->a = array(count, sizeof(*set->a));
	for (size_t i = 0; i < count; i++)
		set->a[i].s_addr = htonl((uint32_t)(0x0a000000 + records.count * 0x10000 + i));
}

static void add_aaaa(struct record_set *set, size_t count)
{
	set->aaaa_count = count;
	set->aaaa = array(count, sizeof(*set->aaaa));
	for (size_t i = 0; i < count; i++) {
		uint8_t *at = set->aaaa[i].s6_addr;

		at[0] = 0xfd;
		at[13] = (uint8_t)records.count;
		at[14] = (uint8_t)(i >> 8);
		at[15] = (uint8_t)i;
	}
}

/* SRV records with a target each, and for each target so many addresses. */
static void add_srv(struct record_set *set, size_t count, size_t glue_each, const char *below)
{
	set->srv_count = set->target_count = count;
	set->srvs = array(count, sizeof(*set->srvs));
	set->targets = array(count, sizeof(*set->targets));
	set->glue_count = count * glue_each;
	set->glue = array(set->glue_count, sizeof(*set->glue));
	for (size_t i = 0; i < count; i++) {
		set->targets[i] = name_of("e%zu.%s", i, below);
		set->srvs[i] = (struct srv_record){.weight = (uint16_t)(100 / count), .port = (uint16_t)(8000 + i), .target = (uint32_t)i};
	}
	for (size_t i = 0; i < set->glue_count; i++) {
		struct srv_glue *glue = &set->glue[i];

		glue->target = (uint32_t)(i / glue_each);
		glue->addr.family = i % glue_each ? AF_INET6 : AF_INET;
		glue->addr.octets[0] = 10;
		glue->addr.octets[2] = (uint8_t)(i >> 8);
		glue->addr.octets[3] = (uint8_t)i;
	}
}

static void add_ptr(const char *owner, size_t count)
{
	struct record_set *set = add(name_of("%s", owner));

	set->is_reverse = true;
	set->ptr_count = count;
	set->ptrs = array(count, sizeof(*set->ptrs));
	for (size_t i = 0; i < count; i++)
		set->ptrs[i] = name_of("pod-%zu.web.default.svc." PACKET_ZONE, i);
}

/* Addresses alone, at names of 26 to 255 octets. */
static void add_lengths(void)
{
	static const size_t lengths[] = {27, 28, 31, 32, 33, 39, 40, 41, 63, 64, 65, 127, 128, 129, 200, 247, 248, 249, 254, 255};
	static const char rest[] = ".svc." PACKET_ZONE; /* 19 octets in wire format */
	char text[512];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t left = lengths[i] - 19, at = 0; /* each label one more than its letters */

		while (left > 0) {
			size_t take = left > 64 ? (left - 64 == 1 ? 63 : 64) : left;

			at += at ? (size_t)snprintf(text + at, sizeof(text) - at, ".") : 0;
			for (size_t n = 1; n < take; n++)
				text[at++] = (char)('a' + (n + i) % 26);
			left -= take;
		}
		snprintf(text + at, sizeof(text) - at, "%s", rest);
		add(name_of("%s", text));
		FUZZ_CHECK(records.sets[records.count - 1].owner.len == lengths[i], "a name of %zu octets", lengths[i]);
		add_a(&records.sets[records.count - 1], 1 + i % 3);
		add_aaaa(&records.sets[records.count - 1], i % 4);
	}
}

static void add_sets(void)
{
	static const size_t counts[] = {1, 2, 3, 7, 28, 29, 100, 253, 254, 255, 256, 257, 300, 2000};
	static const char web[] = "web.default.svc." PACKET_ZONE;
	char label[61] = "", below[256];

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct record_set *set = add(name_of("n%zu.default.svc." PACKET_ZONE, counts[i]));

		add_a(set, counts[i]);
		add_aaaa(set, i % 3 == 2 ? 0 : counts[i]);
	}
	add_srv(add(name_of("_http._tcp.%s", web)), 3, 2, web);
	add_srv(add(name_of("_one._tcp.%s", web)), 1, 1, web);
	add_srv(add(name_of("_bare._tcp.%s", web)), 2, 0, web);
	add_srv(add(name_of("_many._tcp.%s", web)), 12, 1, web);
	add_srv(add(name_of("_all._tcp.%s", web)), 50, 1, web);
	add_srv(add(name_of("_cut._tcp.%s", web)), 120, 1, web);
	/* Long records: what is stored of the set ends well below the longest message. */
	memset(label, 'x', sizeof(label) - 1);
	snprintf(below, sizeof(below), "%s.%s.%s.svc." PACKET_ZONE, label, label, label);
	add_srv(add(name_of("_long._tcp.%s", web)), 30, 1, below);
	add_srv(&records.sets[0], 2, 2, web); /* with addresses beside them */
	add_srv(&records.sets[5], 20, 2, web);
	add_ptr("5.1.0.10.in-addr.arpa", 1);
	add_ptr("6.1.0.10.in-addr.arpa", 3);
	add_ptr("7.1.0.10.in-addr.arpa", 60);
	add_ptr("8.1.0.10.in-addr.arpa", 200);
	add_ptr("5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.0.1.0.0.0.0.d.f.ip6.arpa", 2);
	add(name_of("passed.default.svc." PACKET_ZONE))->is_passed = true;
	records.sets[records.count - 1].is_cut = true;
	add(name_of("4.1.0.10.in-addr.arpa"))->is_reverse = true;
	records.sets[records.count - 1].is_passed = true;
	add_lengths();
}

static void load(struct table *table, const struct record_set *set)
{
	const struct render_params params = {.ttl_s = PACKET_TTL_S};
	size_t cap = (render_blob_bound(set) + 7) & ~(size_t)7, len;
	void *blob = aligned_alloc(8, cap);
	int err;

	FUZZ_CHECK(blob, "memory");
	err = render_blob(set, &params, blob, cap, &len);
	FUZZ_CHECK(err == 0, "a set is not rendered: %d", err);
	err = table_put(table, blob, len);
	FUZZ_CHECK(err == 1, "a blob is not stored: %d", err);
	free(blob);
}

static void set_config(void)
{
	struct nodens_config *config = &kernel_maps.config;
	const struct render_params params = {.ttl_s = PACKET_TTL_S};

	*config = (struct nodens_config){
		.abi_version = NODENS_ABI_VERSION,
		.soa_serial = PACKET_SERIAL,
		.ttl_s = PACKET_TTL_S,
		.zone_len = records.zone.len,
		.soa_len = NODENS_SOA_LEN,
	};
	FUZZ_CHECK(render_soa(&params, config->soa) == NODENS_SOA_LEN, "the SOA's length");
}

const struct packet_records *packet_records_load(void)
{
	struct table_memory memory = {.bucket_count = BUCKETS, .page_stride = PAGE_STRIDE, .page_count = PAGES};
	struct table *table;

	if (records.count)
		return &records;
	records.zone = name_of(PACKET_ZONE);
	records.sets = array(SETS_MAX, sizeof(*records.sets));
	add_sets();
	memory.buckets = array(BUCKETS, sizeof(*memory.buckets));
	memory.arena = array(PAGES, PAGE_STRIDE);
	for (size_t i = 0; i < NODENS_HASH_KEY_WORDS; i++)
		memory.hash_key[i] = (i + 1) * 0x9e3779b97f4a7c15ULL | 1;
	table = table_new(&memory);
	FUZZ_CHECK(table, "memory");
	for (size_t i = 0; i < records.count; i++)
		load(table, &records.sets[i]);
	kernel_set_hash_key(memory.hash_key, BUCKETS - 1);
	kernel_maps.buckets = memory.buckets;
	kernel_maps.bucket_count = BUCKETS;
	kernel_maps.arena = memory.arena;
	kernel_maps.page_stride = PAGE_STRIDE;
	kernel_maps.page_count = PAGES;
	set_config();
	/* What was stored stays; it is not changed any more. */
	table_free(table);
	return &records;
}
