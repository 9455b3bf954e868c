/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs as zone files and JSON, damaged blobs, and what named-checkzone and kzonecheck say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dns/render.h"
#include "dns/zonefile.h"
#include "kube/decode.h"
#include "kube/store.h"

#define ALL_JSON "tests/data/scenarios/all.json"

static struct dns_name name(const char *text)
{
	struct dns_name n;

	assert_int_equal(dns_name_parse(text, &n, NULL), 0);
	return n;
}

/* ---- a table of blobs ---- */

struct blobs {
	struct zonefile_entry *entries;
	size_t count;
};

/* Of exact size, so that a sanitizer sees what is read beyond. */
static struct nodens_name *render(const struct record_set *set, uint32_t ttl_s)
{
	struct render_params params = {.ttl_s = ttl_s};
	size_t cap = render_blob_bound(set), len;
	void *buffer = aligned_alloc(8, (cap + 7) & ~(size_t)7);
	struct nodens_name *blob;

	assert_int_equal(render_blob(set, &params, buffer, cap, &len), 0);
	blob = malloc(len);
	memcpy(blob, buffer, len);
	free(buffer);
	assert_int_equal(blob->blob_len, len);
	assert_true(zonefile_blob_is_valid(blob, len));
	return blob;
}

static int add_set(void *ctx, const struct record_set *set)
{
	struct blobs *b = ctx;

	b->entries = reallocarray(b->entries, b->count + 1, sizeof(*b->entries));
	b->entries[b->count++].blob = render(set, 5);
	return 0;
}

static int never(void *ctx, const struct dns_name *owner)
{
	(void)ctx;
	(void)owner;
	return -1;
}

static void blobs_done(struct blobs *b)
{
	for (size_t i = 0; i < b->count; i++)
		free((void *)b->entries[i].blob);
	free(b->entries);
}

static void add_a(struct blobs *b, const char *owner, uint32_t addr)
{
	struct in_addr a = {htonl(addr)};
	struct record_set set = {.owner = name(owner), .a = &a, .a_count = 1};

	add_set(b, &set);
}

static void add_ptr(struct blobs *b, const char *owner, const char *target)
{
	struct dns_name ptr = name(target);
	struct record_set set = {.owner = name(owner), .is_reverse = true, .ptrs = &ptr, .ptr_count = 1};

	add_set(b, &set);
}

static void add_passed(struct blobs *b, const char *owner, bool is_cut)
{
	struct record_set set = {.owner = name(owner), .is_passed = true, .is_cut = is_cut};

	add_set(b, &set);
}

/* count SRV records with two glue records each. */
static void add_srv(struct blobs *b, const char *owner, uint32_t count)
{
	struct srv_record *srvs = calloc(count, sizeof(*srvs));
	struct srv_glue *glue = calloc(2 * (size_t)count, sizeof(*glue));
	struct dns_name *targets = calloc(count, sizeof(*targets));
	struct record_set set = {.owner = name(owner), .srvs = srvs, .glue = glue, .targets = targets};
	char text[64];

	for (uint32_t i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "web-%u.web.ns.svc.cluster.local", i);
		targets[i] = name(text);
		srvs[i] = (struct srv_record){.weight = 50, .port = 80, .target = i};
		glue[2 * i] = (struct srv_glue){i, {.family = AF_INET, .octets = {10, 0, 0, (uint8_t)i}}};
		glue[2 * i + 1] = (struct srv_glue){i, {.family = AF_INET6, .octets = {0xfd, [15] = (uint8_t)i}}};
	}
	set.srv_count = set.target_count = count;
	set.glue_count = 2 * (size_t)count;
	add_set(b, &set);
	free(srvs);
	free(glue);
	free(targets);
}

static char *print(struct blobs *b, enum zonefile_format format, const char *only)
{
	struct dns_name only_name = {.len = 0};
	struct zonefile_params params = {
		.zone = name("cluster.local"),
		.only_zone_of = only ? &only_name : NULL,
		.ttl_s = 5,
		.soa_serial = 1700000000,
		.format = format,
	};
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (only)
		only_name = name(only);
	assert_int_equal(zonefile_print(f, b->entries, b->count, &params), 0);
	fclose(f);
	return text;
}

/* ---- text ---- */

#define HEAD(zone, below)                                                                                            \
	"; zone " zone "\n$ORIGIN " zone "\n$TTL 5\n" zone " 5 IN SOA ns.dns." below " hostmaster." below             \
	" 1700000000 7200 1800 86400 5 ; synthetic\n" zone " 5 IN NS ns.dns." below " ; synthetic\nns.dns." below    \
	" 5 IN A 192.0.2.1 ; synthetic\n"
#define CLUSTER_HEAD HEAD("cluster.local.", "cluster.local.")

static void names_are_printed_by_zone_in_canonical_order(void **state)
{
	struct blobs b = {.count = 0};
	char *text;

	(void)state;
	add_ptr(&b, "1.0.0.10.in-addr.arpa", "web-0.web.ns.svc.cluster.local");
	add_a(&b, "web.zz.svc.cluster.local", 0x0a000002);
	add_ptr(&b, "2.0.16.172.in-addr.arpa", "x.ns.svc.cluster.local");
	add_a(&b, "z.web.ns.svc.cluster.local", 0x0a000003);
	add_a(&b, "web.ns.svc.cluster.local", 0x0a000001);
	add_ptr(&b, "2.0.0.10.in-addr.arpa", "web-1.web.ns.svc.cluster.local");
	add_a(&b, "a0.web.ns.svc.cluster.local", 0x0a000005);
	add_a(&b, "a.web.ns.svc.cluster.local", 0x0a000004);
	add_ptr(&b, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "six.ns.svc.cluster.local");
	text = print(&b, ZONEFILE_TEXT, NULL);
	assert_string_equal(text, CLUSTER_HEAD
			    "web.ns.svc.cluster.local. 5 IN A 10.0.0.1\n"
			    "a.web.ns.svc.cluster.local. 5 IN A 10.0.0.4\n"
			    "a0.web.ns.svc.cluster.local. 5 IN A 10.0.0.5\n"
			    "z.web.ns.svc.cluster.local. 5 IN A 10.0.0.3\n"
			    "web.zz.svc.cluster.local. 5 IN A 10.0.0.2\n"
			    "\n" HEAD("10.in-addr.arpa.", "10.in-addr.arpa.")
			    "1.0.0.10.in-addr.arpa. 5 IN PTR web-0.web.ns.svc.cluster.local.\n"
			    "2.0.0.10.in-addr.arpa. 5 IN PTR web-1.web.ns.svc.cluster.local.\n"
			    "\n" HEAD("172.in-addr.arpa.", "172.in-addr.arpa.")
			    "2.0.16.172.in-addr.arpa. 5 IN PTR x.ns.svc.cluster.local.\n"
			    "\n" HEAD("0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", "0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.")
			    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 5 IN PTR "
			    "six.ns.svc.cluster.local.\n\n");
	free(text);
	blobs_done(&b);
}

static void the_zone_of_a_name_can_be_chosen(void **state)
{
	struct blobs b = {.count = 0};
	char *text;

	(void)state;
	add_ptr(&b, "1.0.0.10.in-addr.arpa", "web-0.web.ns.svc.cluster.local");
	add_a(&b, "web.ns.svc.cluster.local", 0x0a000001);
	text = print(&b, ZONEFILE_TEXT, "9.9.9.10.in-addr.arpa");
	assert_string_equal(text, HEAD("10.in-addr.arpa.", "10.in-addr.arpa.")
			    "1.0.0.10.in-addr.arpa. 5 IN PTR web-0.web.ns.svc.cluster.local.\n\n");
	free(text);
	text = print(&b, ZONEFILE_TEXT, "cluster.local");
	assert_string_equal(text, CLUSTER_HEAD "web.ns.svc.cluster.local. 5 IN A 10.0.0.1\n\n");
	free(text);
	text = print(&b, ZONEFILE_TEXT, "1.1.1.11.in-addr.arpa");
	assert_string_equal(text, HEAD("11.in-addr.arpa.", "11.in-addr.arpa.") "\n");
	free(text);
	/* Not a name below the cluster domain: its text only ends alike. */
	text = print(&b, ZONEFILE_TEXT, "xcluster.local");
	assert_string_equal(text, HEAD(".", "") "\n");
	free(text);
	blobs_done(&b);
}

static void nothing_loaded_is_an_empty_cluster_zone(void **state)
{
	struct blobs b = {.count = 0};
	char *text = print(&b, ZONEFILE_TEXT, NULL);

	(void)state;
	assert_string_equal(text, CLUSTER_HEAD "\n");
	free(text);
	text = print(&b, ZONEFILE_JSON, NULL);
	assert_non_null(strstr(text, "\"cluster.local.\""));
	free(text);
}

static void all_types_of_a_name_are_printed(void **state)
{
	struct in_addr a[] = {{htonl(0x0a000001)}, {htonl(0x0a000002)}};
	struct in6_addr aaaa = {.s6_addr = {0xfd, [15] = 7}};
	struct dns_name target = name("web-0.web.ns.svc.cluster.local");
	struct srv_record srv = {.weight = 100, .port = 8080};
	struct srv_glue glue = {.addr = {.family = AF_INET, .octets = {10, 0, 0, 1}}};
	struct record_set set = {.owner = name("_http._tcp.web.ns.svc.cluster.local"), .a = a, .a_count = 2, .aaaa = &aaaa,
				 .aaaa_count = 1, .srvs = &srv, .srv_count = 1, .glue = &glue, .glue_count = 1,
				 .targets = &target, .target_count = 1};
	struct blobs b = {.count = 0};
	char *text;

	(void)state;
	add_set(&b, &set);
	text = print(&b, ZONEFILE_TEXT, NULL);
	assert_string_equal(text, CLUSTER_HEAD
			    "_http._tcp.web.ns.svc.cluster.local. 5 IN A 10.0.0.1\n"
			    "_http._tcp.web.ns.svc.cluster.local. 5 IN A 10.0.0.2\n"
			    "_http._tcp.web.ns.svc.cluster.local. 5 IN AAAA fd00::7\n"
			    "_http._tcp.web.ns.svc.cluster.local. 5 IN SRV 0 100 8080 web-0.web.ns.svc.cluster.local.\n\n");
	free(text);
	blobs_done(&b);
}

static void what_is_passed_or_cut_is_told(void **state)
{
	struct blobs b = {.count = 0};
	char *text;
	struct nodens_name *blob;

	(void)state;
	add_passed(&b, "bad.ns.svc.cluster.local", true);
	add_passed(&b, "1.0.0.10.in-addr.arpa", false);
	add_srv(&b, "web.ns.svc.cluster.local", 200);
	add_a(&b, "x.ns.svc.cluster.local", 1);
	blob = (struct nodens_name *)b.entries[3].blob;
	blob->section[NODENS_SLOT_A] = (struct nodens_section){.off = NODENS_SECTION_PASS};
	text = print(&b, ZONEFILE_TEXT, NULL);
	assert_non_null(strstr(text, "\n; bad.ns.svc.cluster.local. and all names below it are passed on to the upstream: "
				     "not wholly known\n"));
	assert_non_null(strstr(text, "\n; 1.0.0.10.in-addr.arpa. is passed on to the upstream: not wholly known\n"));
	assert_non_null(strstr(text, "\nweb.ns.svc.cluster.local. 5 IN SRV 0 50 80 web-0.web.ns.svc.cluster.local.\n"));
	assert_non_null(strstr(text, "\n; web.ns.svc.cluster.local. has more SRV records than these: what no message can "
				     "hold is not stored\n"));
	assert_non_null(strstr(text, "\n; x.ns.svc.cluster.local. A is passed on to the upstream: it cannot be stored "
				     "whole\n"));
	free(text);
	text = print(&b, ZONEFILE_JSON, NULL);
	assert_non_null(strstr(text, "\"with_names_below\": true"));
	assert_non_null(strstr(text, "\"type\": \"*\""));
	free(text);
	blobs_done(&b);
}

/* ---- damage ---- */

static void check_damage(struct nodens_name *blob, size_t len)
{
	uint8_t *octets = (uint8_t *)blob;

	for (size_t cut = 0; cut < len; cut++) {
		struct nodens_name *copy = malloc(cut ? cut : 1);

		memcpy(copy, blob, cut);
		assert_false(zonefile_blob_is_valid(copy, cut));
		if (cut >= sizeof(*copy)) {
			copy->blob_len = (uint32_t)cut;
			(void)zonefile_blob_is_valid(copy, cut);
		}
		free(copy);
	}
	for (size_t i = 0; i < len; i++)
		for (int k = 0; k < 10; k++) {
			static const uint8_t values[] = {0, 1, 2, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xc1, 0xff};
			uint8_t old = octets[i];
			struct blobs one = {.entries = &(struct zonefile_entry){blob}, .count = 1};

			octets[i] = values[k];
			/* What passes for valid can be printed. */
			if (zonefile_blob_is_valid(blob, len))
				free(print(&one, ZONEFILE_TEXT, NULL));
			octets[i] = old;
		}
	assert_true(zonefile_blob_is_valid(blob, len));
}

static void damaged_blobs_are_refused_or_printed_never_read_beyond(void **state)
{
	struct blobs b = {.count = 0};

	(void)state;
	add_a(&b, "web.ns.svc.cluster.local", 0x0a000001);
	add_srv(&b, "_http._tcp.web.ns.svc.cluster.local", 3);
	add_ptr(&b, "1.0.0.10.in-addr.arpa", "web-0.web.ns.svc.cluster.local");
	add_passed(&b, "bad.ns.svc.cluster.local", true);
	for (size_t i = 0; i < b.count; i++)
		check_damage((struct nodens_name *)b.entries[i].blob, b.entries[i].blob->blob_len);
	blobs_done(&b);
}

/* Each of these is a single lie about a good blob. */
static void lie_name_len(struct nodens_name *b) { b->name_len = 0; }
static void lie_blob_len(struct nodens_name *b) { b->blob_len += 8; }
static void lie_flags(struct nodens_name *b) { b->flags = 0x40; }
static void lie_count(struct nodens_name *b) { b->section[NODENS_SLOT_SRV].count++; }
static void lie_off(struct nodens_name *b) { b->section[NODENS_SLOT_SRV].off += 8; }
static void lie_off_huge(struct nodens_name *b) { b->section[NODENS_SLOT_SRV].off = 0xfffffff8; }
static void lie_off_head(struct nodens_name *b) { b->section[NODENS_SLOT_SRV].off = 0; }
static void lie_empty_off(struct nodens_name *b) { b->section[NODENS_SLOT_AAAA].off = 64; }
static void lie_a_count(struct nodens_name *b) { b->section[NODENS_SLOT_A] = (struct nodens_section){64, 65535, 0}; }

static struct nodens_list *list(struct nodens_name *b)
{
	return (void *)((uint8_t *)b + b->section[NODENS_SLOT_SRV].off);
}

static void lie_rrs_off(struct nodens_name *b) { list(b)->rrs_off = 0xfff8; }
static void lie_rrs_off_low(struct nodens_name *b) { list(b)->rrs_off = 16; }
static void lie_rrs_len(struct nodens_name *b) { list(b)->rrs_len = 0xffff; }
static void lie_additionals(struct nodens_name *b) { list(b)->additionals = 0xffff; }
static void lie_answers_len(struct nodens_name *b) { list(b)->answers_len--; }
static void lie_end(struct nodens_name *b) { list(b)->end[0] = 0; }
static void lie_end_high(struct nodens_name *b) { list(b)->end[1] = 0xffff; }

/* The target of the first SRV record is the root, with octets behind it. */
static void lie_early_end(struct nodens_name *b)
{
	((uint8_t *)list(b))[list(b)->rrs_off + 18] = 0;
}

/* The target of the first SRV record points to itself. */
static void lie_loop(struct nodens_name *b)
{
	uint8_t *rr = (uint8_t *)list(b) + list(b)->rrs_off;
	size_t at = 12 + (size_t)b->name_len + 4 + 18;

	rr[18] = (uint8_t)(0xc0 | at >> 8);
	rr[19] = (uint8_t)at;
}

static void every_lie_is_seen(void **state)
{
	static void (*const lies[])(struct nodens_name *) = {
		lie_name_len, lie_blob_len,    lie_flags,   lie_count,	     lie_off,	      lie_off_huge,
		lie_off_head, lie_empty_off,   lie_a_count, lie_rrs_off,     lie_rrs_off_low, lie_rrs_len,
		lie_end,      lie_additionals, lie_end_high, lie_answers_len, lie_loop,
		lie_early_end,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct blobs b = {.count = 0};
		size_t len;

		add_srv(&b, "web.ns.svc.cluster.local", 3);
		len = b.entries[0].blob->blob_len;
		lies[i]((struct nodens_name *)b.entries[0].blob);
		if (zonefile_blob_is_valid(b.entries[0].blob, len))
			fail_msg("lie %zu was believed", i);
		blobs_done(&b);
	}
}

/* A target may be compressed, though the renderer does not do so. */
static void pointers_in_targets_are_followed(void **state)
{
	struct blobs b = {.count = 0};
	struct nodens_name *blob;
	struct nodens_list *l;
	uint8_t *rr;
	char *text;

	(void)state;
	add_srv(&b, "_a._b.web.ns.svc.cluster.local", 1);
	blob = (struct nodens_name *)b.entries[0].blob;
	l = list(blob);
	/* web-0 and a pointer to web.ns.svc.cluster.local in the question, behind _a and _b. */
	rr = (uint8_t *)l + l->rrs_off;
	rr[11] = 6 + 6 + 2;
	rr[18 + 6] = 0xc0;
	rr[18 + 7] = 12 + 6;
	l->answers = 1;
	l->additionals = 0;
	l->end[0] = l->answers_len = l->rrs_len = 12 + 6 + 6 + 2;
	assert_true(zonefile_blob_is_valid(blob, blob->blob_len));
	text = print(&b, ZONEFILE_TEXT, NULL);
	assert_non_null(strstr(text, "SRV 0 50 80 web-0.web.ns.svc.cluster.local.\n"));
	free(text);
	blobs_done(&b);
}

/* ---- with the real checkers ---- */

static int put_object(void *ctx, struct kube_object *o)
{
	return store_put(ctx, o) < 0 ? -1 : 0;
}

static int no_nameless(void *ctx, size_t index, const struct error *e)
{
	(void)ctx;
	(void)index;
	(void)e;
	return -1;
}

static void load_scenarios(struct blobs *b)
{
	struct record_params params = {.zone = name("cluster.local"), .level = ANSWER_SERVICES};
	struct store *s = store_new(&params);
	struct kube_list *l = kube_list_new(ALL_JSON, put_object, no_nameless, s);
	struct store_sink sink = {add_set, never, b};
	FILE *f = fopen(ALL_JSON, "r");
	char piece[4096];
	size_t len;

	if (!f)
		fail_msg("%s cannot be opened; tests run in the top folder", ALL_JSON);
	while ((len = fread(piece, 1, sizeof(piece), f)) > 0)
		assert_int_equal(kube_list_feed(l, piece, len, NULL), 0);
	assert_int_equal(kube_list_finish(l, NULL), 0);
	fclose(f);
	assert_int_equal(store_emit_all(s, &sink), 0);
	kube_list_free(l);
	store_free(s);
}

static void check_zone(struct blobs *b, const char *of, const char *zone, const char *checker)
{
	char path[] = "/tmp/nodens-zone-XXXXXX", command[256];
	char *text = print(b, ZONEFILE_TEXT, of);
	FILE *f = fdopen(mkstemp(path), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	snprintf(command, sizeof(command), checker, zone, path);
	if (system(command) != 0)
		fail_msg("%s:\n%s", command, text);
	free(text);
	unlink(path);
}

static void check_zones(const char *tool, const char *checker)
{
	static const char *const zones[][2] = {
		{"cluster.local", "cluster.local"},	      {"1.1.1.10.in-addr.arpa", "10.in-addr.arpa"},
		{"1.1.1.172.in-addr.arpa", "172.in-addr.arpa"}, {"1.1.1.9.in-addr.arpa", "9.in-addr.arpa"},
		{"0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa"},
	};
	char command[128];
	struct blobs b = {.count = 0};

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1 || test -x /usr/sbin/%s", tool, tool);
	if (system(command) != 0)
		skip();
	load_scenarios(&b);
	add_srv(&b, "cut.ns.svc.cluster.local", 200);
	add_passed(&b, "bad.ns.svc.cluster.local", true);
	add_ptr(&b, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "six.ns.svc.cluster.local");
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
		check_zone(&b, zones[i][0], zones[i][1], checker);
	blobs_done(&b);
}

static void named_checkzone_accepts_each_zone(void **state)
{
	(void)state;
	check_zones("named-checkzone", "PATH=$PATH:/usr/sbin named-checkzone -q %s %s");
}

static void kzonecheck_accepts_each_zone(void **state)
{
	(void)state;
	check_zones("kzonecheck", "kzonecheck -o %s %s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_printed_by_zone_in_canonical_order),
		cmocka_unit_test(the_zone_of_a_name_can_be_chosen),
		cmocka_unit_test(nothing_loaded_is_an_empty_cluster_zone),
		cmocka_unit_test(all_types_of_a_name_are_printed),
		cmocka_unit_test(what_is_passed_or_cut_is_told),
		cmocka_unit_test(damaged_blobs_are_refused_or_printed_never_read_beyond),
		cmocka_unit_test(every_lie_is_seen),
		cmocka_unit_test(pointers_in_targets_are_followed),
		cmocka_unit_test(named_checkzone_accepts_each_zone),
		cmocka_unit_test(kzonecheck_accepts_each_zone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
