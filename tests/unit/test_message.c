/* SPDX-License-Identifier: Apache-2.0 */
/* `nodens lookup`'s messages: queries built, responses printed, and responses that nobody honest would send. */
#include <errno.h>
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/jsonout.h"
#include "dns/message.h"
#include "frame.h"

/* Octets from a text of hex digits; blanks are skipped. */
static size_t unhex(const char *text, uint8_t *ret)
{
	size_t n = 0;
	unsigned int octet;

	for (; *text; text++) {
		if (*text == ' ')
			continue;
		assert_int_equal(sscanf(text, "%2x", &octet), 1);
		ret[n++] = (uint8_t)octet;
		text++;
	}
	return n;
}

/* Printed text; the caller frees it. */
static char *print(const uint8_t *message, size_t len, int *ret_err)
{
	struct error e = {0};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	*ret_err = message_print(out, message, len, &e);
	fclose(out);
	if (*ret_err)
		assert_true(e.text[0]);
	return text;
}

static char *print_json(const uint8_t *message, size_t len, int *ret_err)
{
	struct error e = {0};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct jsonout j;

	jsonout_init(&j, out);
	jsonout_open_object(&j, NULL);
	*ret_err = message_print_json(&j, message, len, &e);
	jsonout_close(&j, '}');
	fclose(out);
	return text;
}

/* ---- queries ---- */

static struct message_query query_of(const char *name, const char *type)
{
	struct message_query q = {.id = 0x1234};
	struct error e = {0};

	assert_int_equal(dns_name_parse(name, &q.name, &e), 0);
	assert_true(message_parse_type(type, &q.type));
	return q;
}

static void a_query_without_edns(void **state)
{
	struct message_query q = query_of("a.bc", "AAAA");
	uint8_t got[MESSAGE_QUERY_MAX], want[64];
	size_t n = unhex("1234 0100 0001 0000 0000 0000 01 61 02 6263 00 001c 0001", want);

	(void)state;
	assert_int_equal(message_build_query(&q, got), n);
	assert_memory_equal(got, want, n);
}

static void a_query_with_everything(void **state)
{
	struct message_query q = query_of("a.bc", "SRV");
	uint8_t got[MESSAGE_QUERY_MAX], want[64];
	size_t n = unhex("1234 0100 0001 0000 0000 0001 01 61 02 6263 00 0021 0001 00 0029 04d0 00 00 8000 000c 000a "
			 "0008 0102030405060708",
			 want);

	(void)state;
	q.has_edns = q.is_dnssec_ok = q.has_cookie = true;
	q.udp_size = 1232;
	memcpy(q.cookie, "\1\2\3\4\5\6\7\10", 8);
	assert_int_equal(message_build_query(&q, got), n);
	assert_memory_equal(got, want, n);
}

static void types_have_names_and_numbers(void **state)
{
	char text[16];
	uint16_t type;

	(void)state;
	assert_true(message_parse_type("srv", &type) && type == 33);
	assert_true(message_parse_type("TYPE65280", &type) && type == 65280);
	assert_true(message_parse_type("type1", &type) && type == 1);
	assert_false(message_parse_type("TYPE65536", &type));
	assert_false(message_parse_type("TYPE", &type));
	assert_false(message_parse_type("TYPE1x", &type));
	assert_false(message_parse_type("", &type));
	message_format_type(28, text);
	assert_string_equal(text, "AAAA");
	message_format_type(65280, text);
	assert_string_equal(text, "TYPE65280");
}

/* ---- responses ---- */

#define QUESTION "03 777777 01 7a 00 0001 0001" /* www.z. A, at 12 */

static void an_answer_is_printed_as_dig_does(void **state)
{
	uint8_t m[256];
	size_t n = unhex("0007 8580 0001 0002 0000 0001 " QUESTION " c00c 0001 0001 00000005 0004 0a000001"
			 " c00c 0001 0001 00000005 0004 0a000002 00 0029 04d0 00008000 000c 000a 0008 0102030405060708",
			 m);
	int err;
	char *text = print(m, n, &err);

	(void)state;
	assert_int_equal(err, 0);
	assert_string_equal(
		text, ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 7\n"
		      ";; flags: qr aa rd ra; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 1\n\n"
		      ";; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags: do; udp: 1232\n; COOKIE: 0102030405060708\n"
		      ";; QUESTION SECTION:\n;www.z.\t\tIN\tA\n\n"
		      ";; ANSWER SECTION:\nwww.z.\t5\tIN\tA\t10.0.0.1\nwww.z.\t5\tIN\tA\t10.0.0.2\n\n");
	free(text);
}

static void each_type_of_record(void **state)
{
	static const struct {
		const char *record, *text;
	} rows[] = {
		{"c00c 001c 0001 00000005 0010 fd000000000000000000000000000001", "www.z.\t5\tIN\tAAAA\tfd00::1\n"},
		{"c00c 0021 0001 00000005 0008 0000 0021 0050 c010", "www.z.\t5\tIN\tSRV\t0 33 80 z.\n"},
		{"c00c 000c 0001 00000005 0004 01 61 c010", "www.z.\t5\tIN\tPTR\ta.z.\n"},
		{"c010 0006 0001 00000005 0018 c00c c010 00000001 00001c20 00000708 00015180 0000001e",
		 "z.\t5\tIN\tSOA\twww.z. z. 1 7200 1800 86400 30\n"},
		{"c00c 0010 0001 00000005 0006 03 612261 01 07", "www.z.\t5\tIN\tTXT\t\"a\\\"a\" \"\\007\"\n"},
		{"c00c ff00 0001 00000005 0002 abcd", "www.z.\t5\tIN\tTYPE65280\t\\# 2 abcd\n"},
		{"c00c ff00 0003 00000005 0000", "www.z.\t5\tCLASS3\tTYPE65280\t\\# 0\n"},
		{"c00c 0001 0001 00000005 0003 0a0000", "www.z.\t5\tIN\tA\t\\# 3 0a0000\n"},
		{"c00c 0021 0001 00000005 0005 0000 0021 00", "www.z.\t5\tIN\tSRV\t\\# 5 0000002100\n"},
		{"c00c 000c 0001 00000005 0003 c010 00", "www.z.\t5\tIN\tPTR\t\\# 3 c01000\n"},
		{"c00c 0010 0001 00000005 0002 05 61", "www.z.\t5\tIN\tTXT\t\\# 2 0561\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t m[256];
		size_t n = unhex("0007 8400 0001 0001 0000 0000 " QUESTION, m);
		char *text, *found;
		int err;

		n += unhex(rows[i].record, m + n);
		text = print(m, n, &err);
		assert_int_equal(err, 0);
		found = strstr(text, ";; ANSWER SECTION:\n");
		assert_non_null(found);
		if (strncmp(found + 19, rows[i].text, strlen(rows[i].text)) != 0)
			fail_msg("%s printed as %s", rows[i].text, found + 19);
		free(text);
	}
}

static void json_has_all_sections(void **state)
{
	uint8_t m[256];
	size_t n = unhex("0007 8603 0001 0001 0000 0001 " QUESTION
			 " c00c 0001 0001 00000005 0004 0a000001 00 0029 04d0 00008000 0000",
			 m);
	int err;
	char *text = print_json(m, n, &err);

	(void)state;
	assert_int_equal(err, 0);
	assert_non_null(strstr(text, "\"status\": \"NXDOMAIN\""));
	assert_non_null(strstr(text, "\"flags\": \"qr aa tc\""));
	assert_non_null(strstr(text, "\"data\": \"10.0.0.1\""));
	assert_non_null(strstr(text, "\"udp_size\": 1232"));
	assert_non_null(strstr(text, "\"authority\": []"));
	free(text);
}

static void a_question_for_opt_is_no_opt_record(void **state)
{
	uint8_t m[64];
	size_t n = unhex("0007 8400 0001 0000 0000 0000 00 0029 0001", m);
	int err;

	(void)state;
	free(print(m, n, &err));
	assert_int_equal(err, 0);
	free(print_json(m, n, &err));
	assert_int_equal(err, 0);
}

static void damaged_messages_are_refused(void **state)
{
	static const struct {
		const char *sentence, *hex;
	} rows[] = {
		{"nothing", ""},
		{"half a header", "0007 8400 00"},
		{"no question", "0007 8400 0001 0000 0000 0000"},
		{"a pointer to itself", "0007 8400 0001 0000 0000 0000 c00c 0001 0001"},
		{"a pointer forward", "0007 8400 0001 0000 0000 0000 c010 0001 0001 00"},
		{"two pointers to each other", "0007 8400 0002 0000 0000 0000 c012 0001 0001 c00c 0001 0001"},
		{"a pointer into its own run", "0007 8400 0001 0000 0000 0000 01 61 c00c 0001 0001"},
		{"a pointer cut in two", "0007 8400 0001 0000 0000 0000 c0"},
		{"a label type that is not in use", "0007 8400 0001 0000 0000 0000 41 61 00 0001 0001"},
		{"a label over the end", "0007 8400 0001 0000 0000 0000 05 6161"},
		{"no class", "0007 8400 0001 0000 0000 0000 00 0001"},
		{"RDATA over the end",
		 "0007 8400 0001 0001 0000 0000 " QUESTION " c00c 0001 0001 00000005 0005 0a000001"},
		{"more records promised than there are", "0007 8400 0001 ffff 0000 0000 " QUESTION},
		{"octets behind it", "0007 8400 0001 0000 0000 0000 " QUESTION " 00"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t m[256];
		size_t n = unhex(rows[i].hex, m);
		int err;

		free(print(m, n, &err));
		if (err != -EBADMSG)
			fail_msg("%s: %d", rows[i].sentence, err);
		free(print_json(m, n, &err));
		if (err != -EBADMSG)
			fail_msg("%s as JSON: %d", rows[i].sentence, err);
	}
}

/* 127 labels are the most; pointers may not make a name longer than 255 octets. */
static void a_name_that_grows_by_pointers_is_refused(void **state)
{
	uint8_t m[512];
	size_t n = unhex("0007 8400 0002 0000 0000 0000", m);
	int err;

	(void)state;
	for (int i = 0; i < 3; i++) {
		m[n++] = 63;
		memset(m + n, 'a', 63);
		n += 63;
	}
	n += unhex("00 0001 0001", m + n);
	m[n++] = 63;
	memset(m + n, 'b', 63);
	n += 63;
	n += unhex("c00c 0001 0001", m + n);
	free(print(m, n, &err));
	assert_int_equal(err, -EBADMSG);
}

/* Every octet of a rich message replaced, and cut everywhere: sanitizers see each read outside. */
static void any_octets_are_read_within_bounds(void **state)
{
	uint8_t m[256];
	size_t n = unhex("0007 8580 0001 0003 0001 0001 " QUESTION " c00c 0021 0001 00000005 0008 0000 0021 0050 c010"
			 " c00c 0010 0001 00000005 0006 03 612261 01 07 c00c 000c 0001 00000005 0004 01 61 c010"
			 " c010 0006 0001 00000005 0018 c00c c010 00000001 00001c20 00000708 00015180 0000001e"
			 " 00 0029 04d0 00008000 000c 000a 0008 0102030405060708",
			 m);
	int err;

	(void)state;
	srandom(1);
	for (size_t cut = 0; cut <= n; cut++) {
		uint8_t *exact = malloc(cut + !cut);

		memcpy(exact, m, cut);
		free(print(exact, cut, &err));
		assert_int_equal(err, cut == n ? 0 : -EBADMSG);
		free(exact);
	}
	for (int round = 0; round < 20000; round++) {
		uint8_t *exact = malloc(n);

		memcpy(exact, m, n);
		for (int i = 0; i < 1 + round % 4; i++)
			exact[(size_t)random() % n] = (uint8_t)(round % 3 ? random() : 0xc0 | (random() & 1));
		free(round % 2 ? print(exact, n, &err) : print_json(exact, n, &err));
		free(exact);
	}
}

/* ---- frames ---- */

static uint16_t sum_of(const uint8_t *data, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)data[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void frames_have_right_checksums(void **state)
{
	(void)state;
	for (size_t len = 12; len < 80; len++) {
		struct server_addr v4 = {.family = AF_INET, .octets = {10, 96, 0, 10}, .port = htons(53)};
		struct server_addr v6 = {.family = AF_INET6, .octets = {0xfd, [15] = 0xa}, .port = htons(5353)};
		uint8_t message[80], frame[256];
		const uint8_t *found;
		size_t n, found_len;

		for (size_t i = 0; i < len; i++)
			message[i] = (uint8_t)(i * 37 + len);
		n = frame_build_query(&v4, message, len, frame, sizeof(frame));
		assert_int_equal(n, 14 + 20 + 8 + len);
		assert_int_equal(sum_of(frame + 14, 20, 0), 0xffff);
		assert_int_equal(sum_of(frame + 26, 8 + 8 + len, (uint32_t)(17 + 8 + len)), 0xffff);
		assert_true(frame_find_message(frame, n, &found, &found_len));
		assert_int_equal(found_len, len);
		assert_memory_equal(found, message, len);
		assert_false(frame_find_message(frame, n - 1, &found, &found_len));
		n = frame_build_query(&v6, message, len, frame, sizeof(frame));
		assert_int_equal(n, 14 + 40 + 8 + len);
		assert_int_equal(sum_of(frame + 22, 32 + 8 + len, (uint32_t)(17 + 8 + len)), 0xffff);
		assert_int_equal(frame[56] << 8 | frame[57], 5353);
		assert_true(frame_find_message(frame, n, &found, &found_len));
		assert_memory_equal(found, message, len);
		assert_int_equal(frame_build_query(&v6, message, len, frame, n - 1), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_without_edns),
		cmocka_unit_test(a_query_with_everything),
		cmocka_unit_test(types_have_names_and_numbers),
		cmocka_unit_test(an_answer_is_printed_as_dig_does),
		cmocka_unit_test(each_type_of_record),
		cmocka_unit_test(json_has_all_sections),
		cmocka_unit_test(a_question_for_opt_is_no_opt_record),
		cmocka_unit_test(damaged_messages_are_refused),
		cmocka_unit_test(a_name_that_grows_by_pointers_is_refused),
		cmocka_unit_test(any_octets_are_read_within_bounds),
		cmocka_unit_test(frames_have_right_checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
