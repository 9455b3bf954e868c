/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs, taken apart again by a reader of this file's own: it knows nodens/abi.h and RFC 1035, and nothing of render.c.
 * Each list is read as a message that begins with a question, so that its pointers have to be right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/render.h"
#include "kube_text.h"

#define TTL    77
#define POISON 0xee

/* ---- reading a blob ---- */

struct reader {
	uint8_t message[12 + 255 + 4 + 65536]; /* header, question, records */
	size_t question_len;
	char text[65536]; /* what was read: one line per record */
	size_t len;
};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void say(struct reader *r, const char *text)
{
	size_t len = strlen(text);

	assert_true(r->len + len < sizeof(r->text));
	memcpy(r->text + r->len, text, len + 1);
	r->len += len;
}

/* The name at off, pointers followed; returns what it takes there. At most `end` octets of the message exist. */
static size_t read_name(struct reader *r, size_t off, size_t end, bool may_point)
{
	size_t taken = 0, hops = 0, at = off;
	char label[65];

	for (;;) {
		assert_true(at < end);
		if (r->message[at] >= 0xc0) {
			assert_true(may_point);
			assert_true(++hops == 1);
			taken = at + 2 - off;
			at = get16(&r->message[at]) & 0x3fff;
			assert_true(at < off);
			continue;
		}
		assert_true(r->message[at] <= 63);
		if (!r->message[at])
			break;
		memcpy(label, &r->message[at + 1], r->message[at]);
		label[r->message[at]] = '\0';
		say(r, label);
		say(r, ".");
		at += 1 + r->message[at];
	}
	return taken ? taken : at + 1 - off;
}

static void read_rdata(struct reader *r, uint16_t type, size_t off, size_t len)
{
	char text[INET6_ADDRSTRLEN] = "";

	switch (type) {
	case 1:
		assert_int_equal(len, 4);
		say(r, inet_ntop(AF_INET, &r->message[off], text, sizeof(text)));
		break;
	case 28:
		assert_int_equal(len, 16);
		say(r, inet_ntop(AF_INET6, &r->message[off], text, sizeof(text)));
		break;
	case 12:
		assert_int_equal(read_name(r, off, off + len, false), len);
		break;
	case 33:
		snprintf(text, sizeof(text), "%u:%u:%u:", get16(&r->message[off]), get16(&r->message[off + 2]),
			 get16(&r->message[off + 4]));
		say(r, text);
		assert_int_equal(read_name(r, off + 6, off + len, false), len - 6);
		break;
	default:
		fail_msg("type %u", type);
	}
}

/* One record; returns where it ends. */
static size_t read_rr(struct reader *r, size_t off, size_t end)
{
	size_t at = off + read_name(r, off, end, true);
	char text[32];

	assert_true(at + 10 <= end);
	assert_int_equal(get16(&r->message[at + 2]), 1);
	assert_int_equal(get32(&r->message[at + 4]), TTL);
	snprintf(text, sizeof(text), " %u ", get16(&r->message[at]));
	say(r, text);
	assert_true(at + 10 + get16(&r->message[at + 8]) <= end);
	read_rdata(r, get16(&r->message[at]), at + 10, get16(&r->message[at + 8]));
	say(r, "\n");
	return at + 10 + get16(&r->message[at + 8]);
}

static void start_message(struct reader *r, const struct nodens_name *blob)
{
	memset(r, 0, sizeof(*r));
	memcpy(r->message + 12, blob->name, blob->name_len);
	r->question_len = blob->name_len + 4U;
}

static uint16_t plain_sum(const uint8_t *data, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)sum);
}

static void read_array(struct reader *r, const struct nodens_name *blob, const struct nodens_section *s, size_t rr_len)
{
	const uint8_t *rrs = (const uint8_t *)blob + s->off;
	size_t len = s->count * rr_len, at = 12 + r->question_len;
	/* An answer of 4096 octets may begin at any record: so many follow it, the first ones once more behind the last. */
	size_t repeated = (s->count < 4096 / rr_len ? s->count : 4096 / rr_len) - 1;

	assert_int_equal(s->off % 2, 0);
	assert_true(s->off + len + repeated * rr_len <= blob->blob_len);
	assert_memory_equal(rrs + len, rrs, repeated * rr_len);
	assert_int_equal(s->sum, plain_sum(rrs, len));
	for (size_t i = 0; i < s->count; i++) {
		memcpy(&r->message[at], rrs + i * rr_len, rr_len);
		assert_int_equal(read_rr(r, at, at + rr_len), at + rr_len);
	}
}

static void read_list(struct reader *r, const struct nodens_name *blob, const struct nodens_section *s)
{
	const struct nodens_list *list = (const void *)((const uint8_t *)blob + s->off);
	const uint8_t *rrs = (const uint8_t *)list + list->rrs_off;
	size_t first = 12 + r->question_len, at = first, count = list->answers + list->additionals;

	assert_int_equal(s->off % 8, 0);
	assert_int_equal(list->rrs_off % 8, 0);
	assert_true(list->rrs_off >= sizeof(*list) + 2 * count && list->rrs_off < sizeof(*list) + 2 * count + 8);
	for (size_t i = sizeof(*list) + 2 * count; i < list->rrs_off; i++)
		assert_int_equal(((const uint8_t *)list)[i], 0);
	assert_int_equal(list->answers, s->count);
	assert_true(list->answers > 0);
	assert_true(list->rrs_len <= NODENS_MESSAGE_MAX);
	assert_true(s->off + list->rrs_off + list->rrs_len <= blob->blob_len);
	assert_int_equal(s->sum, plain_sum(rrs, list->rrs_len));
	for (size_t i = 0; i < sizeof(list->reserved); i++)
		assert_int_equal(list->reserved[i], 0);
	memcpy(&r->message[first], rrs, list->rrs_len);
	for (size_t i = 0; i < count; i++) {
		if (i == list->answers)
			say(r, "additional\n");
		at = read_rr(r, at, first + list->rrs_len);
		assert_int_equal(list->end[i], at - first);
		if (i + 1U == list->answers)
			assert_int_equal(list->answers_len, at - first);
	}
	assert_int_equal(at - first, list->rrs_len);
	if (list->is_cut)
		say(r, "cut\n");
}

static void read_section(struct reader *r, const struct nodens_name *blob, int slot)
{
	static const char *const titles[] = {"[A]\n", "[AAAA]\n", "[SRV]\n"};
	const struct nodens_section *s = &blob->section[slot];

	say(r, blob->flags & NODENS_NAME_REVERSE && !slot ? "[PTR]\n" : titles[slot]);
	if (s->off == NODENS_SECTION_PASS)
		say(r, "passed\n");
	if (s->off == NODENS_SECTION_PASS || !s->off) {
		assert_int_equal(s->count, 0);
		assert_int_equal(s->sum, 0);
		return;
	}
	if (slot == NODENS_SLOT_SRV || blob->flags & NODENS_NAME_REVERSE)
		read_list(r, blob, s);
	else
		read_array(r, blob, s, slot == NODENS_SLOT_A ? 16 : 28);
}

/* The whole blob as text. */
static void read_blob(struct reader *r, const struct nodens_name *blob, size_t len)
{
	size_t padded = (blob->name_len + 7U) / 8 * 8;

	start_message(r, blob);
	assert_int_equal(blob->blob_len, len);
	assert_int_equal(blob->reserved, 0);
	assert_true(len >= 32 + padded);
	for (size_t i = blob->name_len; i < padded; i++)
		assert_int_equal(((const uint8_t *)blob->name)[i], 0);
	(void)read_name(r, 12, 12 + blob->name_len, false);
	say(r, blob->flags & NODENS_NAME_PASS ? " passed" : "");
	say(r, blob->flags & NODENS_NAME_CUT ? " cut" : "");
	say(r, "\n");
	for (int slot = 0; slot < NODENS_SLOT_COUNT; slot++)
		read_section(r, blob, slot);
}

static struct reader *render_and_read(const struct record_set *set, size_t *ret_len)
{
	const struct render_params params = {.ttl_s = TTL};
	size_t bound = render_blob_bound(set), len = 0;
	uint8_t *buffer = malloc(bound + 1);
	struct reader *r = malloc(sizeof(*r));

	assert_non_null(buffer);
	assert_non_null(r);
	/* Zeros between the parts must be written, and nothing behind the end. */
	memset(buffer, POISON, bound + 1);
	assert_int_equal(render_blob(set, &params, buffer, bound, &len), 0);
	assert_true(len <= bound);
	for (size_t i = len; i <= bound; i++)
		assert_int_equal(buffer[i], POISON);
	read_blob(r, (const struct nodens_name *)buffer, len);
	/* The exact length is enough, one octet less is not. */
	assert_int_equal(render_blob(set, &params, buffer, len, &len), 0);
	assert_int_equal(render_blob(set, &params, buffer, len - 1, &bound), -ENOSPC);
	if (ret_len)
		*ret_len = len;
	free(buffer);
	return r;
}

/* ---- sets ---- */

static struct dns_name name_of(const char *text)
{
	struct dns_name n;

	assert_int_equal(dns_name_parse(text, &n, NULL), 0);
	return n;
}

static void expect(const struct record_set *set, const char *expected, size_t expected_len)
{
	size_t len;
	struct reader *r = render_and_read(set, &len);

	assert_string_equal(r->text, expected);
	assert_int_equal(len, expected_len);
	free(r);
}

/* 10.0.X.Y; freed by the caller. */
static struct in_addr *many_a(size_t count)
{
	struct in_addr *a = calloc(count, sizeof(*a));

	for (size_t i = 0; i < count; i++)
		a[i].s_addr = htonl(0x0a000000U + (uint32_t)i);
	return a;
}

static struct in6_addr *many_aaaa(size_t count)
{
	struct in6_addr *a = calloc(count, sizeof(*a));

	for (size_t i = 0; i < count; i++) {
		a[i].s6_addr[0] = 0xfd;
		a[i].s6_addr[14] = (uint8_t)(i >> 8);
		a[i].s6_addr[15] = (uint8_t)i;
	}
	return a;
}

/* ---- tests ---- */

static void a_name_without_records_is_nodata_for_every_type(void **state)
{
	struct record_set set = {.owner = name_of("a.b.")};

	(void)state;
	expect(&set, "a.b.\n[A]\n[AAAA]\n[SRV]\n", 40);
}

static void a_small_name_with_addresses_is_in_two_cache_lines(void **state)
{
	struct in_addr *a = many_a(2);
	struct record_set set = {.owner = name_of("s.n.svc.cluster.local."), .a = a, .a_count = 2};

	(void)state;
	expect(&set,
	       "s.n.svc.cluster.local.\n[A]\ns.n.svc.cluster.local. 1 10.0.0.0\ns.n.svc.cluster.local. 1 10.0.0.1\n"
	       "[AAAA]\n[SRV]\n",
	       32 + 24 + 3 * 16);
	free(a);
}

static void both_families(void **state)
{
	struct in6_addr *aaaa = many_aaaa(3);
	struct in_addr *a = many_a(1);
	struct record_set set = {.owner = name_of("x."), .a = a, .a_count = 1, .aaaa = aaaa, .aaaa_count = 3};

	(void)state;
	expect(&set, "x.\n[A]\nx. 1 10.0.0.0\n[AAAA]\nx. 28 fd00::\nx. 28 fd00::1\nx. 28 fd00::2\n[SRV]\n",
	       32 + 8 + 16 + 5 * 28);
	free(aaaa);
	free(a);
}

static void srv_with_glue_of_both_families(void **state)
{
	struct dns_name targets[] = {name_of("web-0.s."), name_of("web-11.s."), name_of("s.")};
	struct srv_record srvs[] = {{33, 80, 0}, {33, 443, 0}, {33, 80, 1}, {1, 65535, 2}};
	struct srv_glue glue[] = {{1, kube_text_addr("10.0.0.2")},
				  {0, kube_text_addr("10.0.0.1")},
				  {0, kube_text_addr("fd00::1")},
				  {2, kube_text_addr("fd00::2")}};
	struct record_set set = {.owner = name_of("s."),
				 .srvs = srvs,
				 .srv_count = 4,
				 .glue = glue,
				 .glue_count = 4,
				 .targets = targets,
				 .target_count = 3};
	/* Odd lengths: 18 + 9, 18 + 9, 18 + 10, 18 + 3; the list's head 16 + 8 * 2. */
	const size_t rrs_len = 27 + 27 + 28 + 21 + 16 + 16 + 28 + 28;

	(void)state;
	expect(&set,
	       "s.\n[A]\n[AAAA]\n[SRV]\n"
	       "s. 33 0:33:80:web-0.s.\ns. 33 0:33:443:web-0.s.\ns. 33 0:33:80:web-11.s.\ns. 33 0:1:65535:s.\n"
	       "additional\n"
	       "web-11.s. 1 10.0.0.2\nweb-0.s. 1 10.0.0.1\nweb-0.s. 28 fd00::1\ns. 28 fd00::2\n",
	       32 + 8 + 32 + rrs_len);
}

static void everything_at_once_keeps_its_order(void **state)
{
	struct in6_addr *aaaa = many_aaaa(1);
	struct in_addr *a = many_a(1);
	struct dns_name targets[] = {name_of("t.s.")};
	struct srv_record srvs[] = {{100, 53, 0}};
	struct srv_glue glue[] = {{0, kube_text_addr("10.0.0.0")}};
	struct record_set set = {.owner = name_of("s."),
				 .a = a,
				 .a_count = 1,
				 .aaaa = aaaa,
				 .aaaa_count = 1,
				 .srvs = srvs,
				 .srv_count = 1,
				 .glue = glue,
				 .glue_count = 1,
				 .targets = targets,
				 .target_count = 1};

	(void)state;
	/* 40 + 16 + 28 = 84, zeros to 88; list 16 + 2 * 2, zeros to 24; SRV 18 + 5; glue 16. */
	expect(&set,
	       "s.\n[A]\ns. 1 10.0.0.0\n[AAAA]\ns. 28 fd00::\n[SRV]\ns. 33 0:100:53:t.s.\nadditional\nt.s. 1 "
	       "10.0.0.0\n",
	       88 + 24 + 23 + 16);
	free(aaaa);
	free(a);
}

static void ptr_records(void **state)
{
	struct dns_name ptrs[] = {name_of("pa.ptr-a."), name_of("pb.ptr-b.")};
	struct record_set set = {
		.owner = name_of("1.15.50.10.in-addr.arpa."), .is_reverse = true, .ptrs = ptrs, .ptr_count = 2};

	(void)state;
	expect(&set,
	       "1.15.50.10.in-addr.arpa.\n[PTR]\n1.15.50.10.in-addr.arpa. 12 pa.ptr-a.\n"
	       "1.15.50.10.in-addr.arpa. 12 pb.ptr-b.\n[AAAA]\n[SRV]\n",
	       32 + 32 + 24 + 2 * (12 + 10));
}

static void passed_names_have_no_sections(void **state)
{
	struct in_addr *a = many_a(1);
	struct record_set set = {.owner = name_of("s."), .is_passed = true, .a = a, .a_count = 1, .srv_is_cut = true};

	(void)state;
	expect(&set, "s. passed\n[A]\n[AAAA]\n[SRV]\n", 40);
	set.is_cut = true;
	expect(&set, "s. passed cut\n[A]\n[AAAA]\n[SRV]\n", 40);
	set.is_passed = false;
	set.a_count = 0;
	set.srv_is_cut = false;
	/* is_cut means something only with is_passed. */
	expect(&set, "s.\n[A]\n[AAAA]\n[SRV]\n", 40);
	set = (struct record_set){.owner = name_of("s."), .is_passed = true, .is_reverse = true};
	expect(&set, "s. passed\n[PTR]\n[AAAA]\n[SRV]\n", 40);
	free(a);
}

struct cut_row {
	const char *sentence;
	size_t srvs;
	size_t glue;
	size_t answers;
	size_t additionals;
	bool is_cut;
};

/* SRV 18 + "t." 3 = 21 octets, all of one target; glue of 16. */
static const struct cut_row cut_rows[] = {
	{"195 SRV records are 4095 octets and fit", 195, 0, 195, 0, false},
	{"the 196th does not", 196, 0, 195, 0, true},
	{"glue goes before an SRV record does", 195, 1, 195, 0, true},
	{"with an SRV record too many all glue is left out", 400, 50, 195, 0, true},
	{"glue as far as it fits", 180, 50, 180, 19, true},
	{"176 SRV records and 25 glue records are 4096 octets and fit", 176, 25, 176, 25, false},
	{"the 26th glue record does not", 176, 26, 176, 25, true},
};

static void srv_lists_are_cut_at_a_message(void **state)
{
	struct srv_record srvs[400];
	struct srv_glue glue[50];
	struct dns_name target = name_of("t.");
	struct record_set set = {
		.owner = name_of("s."), .srvs = srvs, .glue = glue, .targets = &target, .target_count = 1};
	const struct cut_row *row;
	size_t answers, additionals;
	struct reader *r;

	(void)state;
	for (size_t i = 0; i < 400; i++)
		srvs[i] = (struct srv_record){1, (uint16_t)i, 0};
	for (size_t i = 0; i < 50; i++)
		glue[i] = (struct srv_glue){0, kube_text_addr("10.0.0.1")};
	for (size_t i = 0; i < sizeof(cut_rows) / sizeof(cut_rows[0]); i++) {
		row = &cut_rows[i];
		set.srv_count = row->srvs;
		set.glue_count = row->glue;
		r = render_and_read(&set, NULL);
		answers = additionals = 0;
		for (char *at = r->text; (at = strstr(at, "s. 33 ")); at++)
			answers++;
		for (char *at = r->text; (at = strstr(at, "t. 1 10.0.0.1")); at++)
			additionals++;
		if (answers != row->answers || additionals != row->additionals)
			print_message("row: %s\n", row->sentence);
		assert_int_equal(answers, row->answers);
		assert_int_equal(additionals, row->additionals);
		assert_int_equal(strstr(r->text, "cut\n") != NULL, row->is_cut);
		free(r);
	}
}

static void what_the_builder_cut_is_marked(void **state)
{
	struct srv_record srv = {1, 80, 0};
	struct dns_name target = name_of("t.");
	struct record_set set = {.owner = name_of("s."),
				 .srv_is_cut = true,
				 .srvs = &srv,
				 .srv_count = 1,
				 .targets = &target,
				 .target_count = 1};
	struct srv_glue stray = {1, kube_text_addr("10.0.0.1")};

	(void)state;
	expect(&set, "s.\n[A]\n[AAAA]\n[SRV]\ns. 33 0:1:80:t.\ncut\n", 40 + 24 + 21);
	/* Cut to nothing is not NODATA. */
	set.srv_count = 0;
	expect(&set, "s.\n[A]\n[AAAA]\n[SRV]\npassed\n", 40);
	/* Glue that belongs to no SRV record has nothing to point to. */
	set.srv_count = 1;
	set.glue = &stray;
	set.glue_count = 1;
	expect(&set, "s.\n[A]\n[AAAA]\n[SRV]\npassed\n", 40);
}

static void the_longest_names_fit_a_pointer(void **state)
{
	char text[260];
	struct dns_name targets[40];
	struct srv_record srvs[40];
	struct srv_glue glue;
	struct record_set set = {.srvs = srvs, .glue = &glue, .glue_count = 1, .targets = targets};
	struct reader *r;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[63] = text[127] = text[191] = '.';
	text[253] = '\0';
	set.owner = name_of(text);
	assert_int_equal(set.owner.len, 255);
	/* 14 * (18 + 255) + 16 = 3838 octets; the last target is the one pointed to. */
	for (size_t i = 0; i < 14; i++) {
		text[0] = (char)('a' + i);
		targets[i] = name_of(text);
		srvs[i] = (struct srv_record){7, 80, (uint32_t)i};
	}
	set.srv_count = set.target_count = 14;
	glue = (struct srv_glue){13, kube_text_addr("10.9.8.7")};
	r = render_and_read(&set, NULL);
	assert_non_null(strstr(r->text, "additional\nnxxx"));
	assert_non_null(strstr(r->text, " 1 10.9.8.7\n"));
	free(r);
}

static void too_many_ptr_records_are_passed(void **state)
{
	struct dns_name ptrs[400];
	struct record_set set = {.owner = name_of("1.in-addr.arpa."), .is_reverse = true, .ptrs = ptrs};
	struct reader *r;

	(void)state;
	for (size_t i = 0; i < 400; i++)
		ptrs[i] = name_of("aa.");
	/* 12 + 4 octets each: 256 are a message. */
	set.ptr_count = 256;
	r = render_and_read(&set, NULL);
	assert_non_null(strstr(r->text, "[PTR]\n1.in-addr.arpa. 12 aa.\n"));
	free(r);
	set.ptr_count = 257;
	expect(&set, "1.in-addr.arpa.\n[PTR]\npassed\n[AAAA]\n[SRV]\n", 32 + 16);
}

struct page_row {
	const char *sentence;
	size_t a;
	size_t aaaa;
	bool is_a_passed;
	bool is_aaaa_passed;
};

static const struct page_row page_rows[] = {
	{"65,000 A records fit a page", 65000, 0, false, false},
	{"as many as a page holds behind the head, 255 of them twice: (1048576 - 40 - 8) / 16 - 255", 65278, 0, false, false},
	{"one A record more does not fit", 65279, 0, true, false},
	{"one more does not fit", 65534, 0, true, false},
	{"more than 16 bits can count", 70000, 0, true, false},
	{"37,302 AAAA records fit a page, 145 of them twice", 0, 37302, false, false},
	{"one more does not", 0, 37303, false, true},
	{"A goes first; AAAA has to fit in what is left", 40000, 20000, false, true},
	{"A does not fit, AAAA does", 66000, 20000, true, false},
	{"both fit", 30000, 20000, false, false},
};

static void what_a_page_cannot_hold_is_passed(void **state)
{
	const struct render_params params = {.ttl_s = TTL};
	struct in6_addr *aaaa = many_aaaa(70000);
	struct in_addr *a = many_a(70000);
	struct nodens_name *blob = malloc(NODENS_PAGE_LEN);
	const struct page_row *row;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(page_rows) / sizeof(page_rows[0]); i++) {
		struct record_set set = {.owner = name_of("s."), .a = a, .aaaa = aaaa};
		const struct nodens_section *s = blob->section;

		row = &page_rows[i];
		set.a_count = row->a;
		set.aaaa_count = row->aaaa;
		assert_true(render_blob_bound(&set) <= NODENS_PAGE_LEN);
		assert_int_equal(render_blob(&set, &params, blob, render_blob_bound(&set), &len), 0);
		assert_int_equal(s[0].off, row->is_a_passed ? NODENS_SECTION_PASS : row->a ? 40 : 0);
		assert_int_equal(s[0].count, row->is_a_passed ? 0 : row->a);
		assert_int_equal(s[1].off == NODENS_SECTION_PASS, row->is_aaaa_passed);
		assert_int_equal(s[1].count, row->is_aaaa_passed ? 0 : row->aaaa);
		assert_int_equal(len, 40 + 16 * nodens_stored_records(s[0].count, 16) + 28 * nodens_stored_records(s[1].count, 28));
		if (s[0].count)
			assert_int_equal(s[0].sum, plain_sum((uint8_t *)blob + s[0].off, 16 * s[0].count));
		if (s[1].count)
			assert_int_equal(s[1].sum, plain_sum((uint8_t *)blob + s[1].off, 28 * s[1].count));
	}
	free(blob);
	free(aaaa);
	free(a);
}

static void soa_of_the_zone(void **state)
{
	static const uint8_t expected[] = {
		0,  0,	 0,   6,   0,	1,   0,	   0,	 0,   5,   0,	 42,	  /* owner, SOA, IN, TTL, RDLENGTH */
		2,  'n', 's', 3,   'd', 'n', 's',  0,	 0,			  /* MNAME */
		10, 'h', 'o', 's', 't', 'm', 'a',  's',	 't', 'e', 'r',	 0,    0, /* RNAME */
		0,  0,	 0,   0,   0,	0,   0x1c, 0x20, 0,   0,   0x07, 0x08, 0, 0x01, 0x51, 0x80, 0, 0, 0, 5,
	};
	uint8_t soa[NODENS_SOA_MAX];

	(void)state;
	assert_int_equal(sizeof(expected), NODENS_SOA_LEN);
	assert_int_equal(render_soa(&(struct render_params){5}, soa), NODENS_SOA_LEN);
	assert_memory_equal(soa, expected, sizeof(expected));
	/* CoreDNS: TTL min(ttl, 300), MINIMUM ttl. */
	assert_int_equal(render_soa(&(struct render_params){3600}, soa), NODENS_SOA_LEN);
	assert_int_equal(get32(soa + 6), 300);
	assert_int_equal(get32(soa + 50), 3600);
	assert_int_equal(get16(soa + NODENS_SOA_OWNER_OFF), 0);
	assert_int_equal(get16(soa + NODENS_SOA_MNAME_OFF), 0);
	assert_int_equal(get16(soa + NODENS_SOA_RNAME_OFF), 0);
	assert_int_equal(get32(soa + NODENS_SOA_SERIAL_OFF), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_without_records_is_nodata_for_every_type),
		cmocka_unit_test(a_small_name_with_addresses_is_in_two_cache_lines),
		cmocka_unit_test(both_families),
		cmocka_unit_test(srv_with_glue_of_both_families),
		cmocka_unit_test(everything_at_once_keeps_its_order),
		cmocka_unit_test(ptr_records),
		cmocka_unit_test(passed_names_have_no_sections),
		cmocka_unit_test(srv_lists_are_cut_at_a_message),
		cmocka_unit_test(what_the_builder_cut_is_marked),
		cmocka_unit_test(the_longest_names_fit_a_pointer),
		cmocka_unit_test(too_many_ptr_records_are_passed),
		cmocka_unit_test(what_a_page_cannot_hold_is_passed),
		cmocka_unit_test(soa_of_the_zone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
