/* SPDX-License-Identifier: Apache-2.0 */
/* Names between text and wire format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "dns/name.h"

#define L60	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L63	  L60 "aaa"
#define ROW(wire) wire, sizeof(wire) /* the literal's NUL is the root label */

struct parse_row {
	const char *sentence;
	const char *text;
	const char *wire;
	size_t len;
	const char *formatted; /* NULL: text */
};

static const struct parse_row parse_rows[] = {
	{"a name", "cluster.local.", ROW("\7cluster\5local")},
	{"the dot at the end may be missing", "cluster.local", ROW("\7cluster\5local"), "cluster.local."},
	{"letters become small", "Cluster.LOCAL", ROW("\7cluster\5local"), "cluster.local."},
	{"the root", ".", ROW("")},
	{"one label", "a.", ROW("\1a")},
	{"digits, hyphens and underscores are plain", "_a-1._tcp.", ROW("\4_a-1\4_tcp")},
	{"an escaped dot belongs to the label", "a\\.b.c.", ROW("\3a.b\1c")},
	{"an escaped backslash", "a\\\\.", ROW("\2a\\")},
	{"decimal escapes", "\\000\\255\\032.", ROW("\3\0\377 ")},
	{"decimal escapes of letters become small letters", "\\065b.", ROW("\2ab"), "ab."},
	{"octets outside ASCII are not letters", "\\195\\132.", ROW("\2\303\204")},
	{"printable octets are escaped by a backslash", "\\@\\*.", ROW("\2@*")},
	{"printable octets need no escape in", "@*.", ROW("\2@*"), "\\@\\*."},
	{"a label of 63 octets", L63 ".", ROW("\77" L63)},
	{"a name of 255 octets", L63 "." L63 "." L63 "." L60 "a.", ROW("\77" L63 "\77" L63 "\77" L63 "\75" L60 "a")},
};

static void names_are_parsed_and_formatted(void **state)
{
	const struct parse_row *row;
	char text[DNS_NAME_TEXT_MAX];
	struct dns_name name;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(parse_rows) / sizeof(parse_rows[0]); i++) {
		row = &parse_rows[i];
		assert_int_equal(dns_name_parse(row->text, &name, NULL), 0);
		assert_int_equal(name.len, row->len);
		assert_memory_equal(name.data, row->wire, row->len);
		assert_true(dns_name_is_valid(name.data, name.len));
		len = dns_name_format(name.data, name.len, text, sizeof(text));
		assert_int_equal(len, strlen(text));
		assert_string_equal(text, row->formatted ? row->formatted : row->text);
	}
}

struct refuse_row {
	const char *sentence;
	const char *text;
	const char *cause;
};

static const struct refuse_row refuse_rows[] = {
	{"nothing", "", "empty name"},
	{"a dot in front", ".a", "empty label"},
	{"two dots", "a..b", "empty label"},
	{"two dots at the end", "a..", "empty label"},
	{"only dots", "..", "empty label"},
	{"a label of 64 octets", L63 "a.b", "longer than 63"},
	{"a name of 256 octets", L63 "." L63 "." L63 "." L60 "aa", "longer than 255"},
	{"a backslash at the end", "a\\", "bad escape"},
	{"a decimal escape of two digits", "a\\12.b", "bad escape"},
	{"a decimal escape beyond an octet", "\\256", "bad escape"},
};

static void bad_names_are_refused_with_the_cause(void **state)
{
	struct dns_name name = {.len = 42};
	struct error e;

	(void)state;
	for (size_t i = 0; i < sizeof(refuse_rows) / sizeof(refuse_rows[0]); i++) {
		e.text[0] = '\0';
		assert_int_equal(dns_name_parse(refuse_rows[i].text, &name, &e), -EINVAL);
		assert_non_null(strstr(e.text, refuse_rows[i].cause));
		assert_int_equal(name.len, 42);
	}
}

static void text_is_cut_to_the_room_there_is(void **state)
{
	char text[8];

	(void)state;
	for (size_t cap = 0; cap <= sizeof(text); cap++) {
		memset(text, '#', sizeof(text));
		assert_int_equal(dns_name_format((const uint8_t *)"\1a\1\0", 5, text, cap), 7);
		if (cap)
			assert_int_equal(strncmp(text, "a.\\000.", cap - 1), 0);
		if (cap)
			assert_int_equal(text[cap - 1], '\0');
		for (size_t i = cap; i < sizeof(text); i++)
			assert_int_equal(text[i], '#');
	}
}

static void the_longest_text_fits(void **state)
{
	uint8_t wire[NODENS_NAME_MAX] = {0};
	char text[DNS_NAME_TEXT_MAX];

	(void)state;
	/* 63 + 63 + 63 + 61 octets, each escaped to four characters. */
	wire[0] = wire[64] = wire[128] = 63;
	wire[192] = 61;
	assert_true(dns_name_is_valid(wire, sizeof(wire)));
	assert_int_equal(dns_name_format(wire, sizeof(wire), text, sizeof(text)), 4 * 250 + 4);
	assert_int_equal(strlen(text), 4 * 250 + 4);
}

struct valid_row {
	const char *sentence;
	const char *wire;
	size_t len;
	bool is_valid;
};

static const struct valid_row valid_rows[] = {
	{"nothing is no name", "", 0, false},
	{"the root", "\0", 1, true},
	{"no root label", "\1a", 2, false},
	{"octets behind the root", "\1a\0\0", 4, false},
	{"a label beyond the end", "\5ab", 4, false},
	{"a label that ends with the octets", "\2ab", 3, false},
	{"a label of 64 octets", "\100" L63 "a", 66, false},
	{"a compression pointer", "\300\14", 2, false},
	{"any octets in a label", "\3\0.\377", 5, true},
};

static void validity_of_wire_format(void **state)
{
	uint8_t longest[NODENS_NAME_MAX + 1] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(valid_rows) / sizeof(valid_rows[0]); i++)
		assert_int_equal(dns_name_is_valid((const uint8_t *)valid_rows[i].wire, valid_rows[i].len),
				 valid_rows[i].is_valid);
	longest[0] = longest[64] = longest[128] = 63;
	longest[192] = 62;
	assert_false(dns_name_is_valid(longest, sizeof(longest)));
}

static void building_label_by_label(void **state)
{
	struct dns_name zone, name;

	(void)state;
	assert_int_equal(dns_name_parse("cluster.local", &zone, NULL), 0);
	dns_name_begin(&name);
	dns_name_add_label(&name, "Web-0xxx", 5);
	dns_name_add_label(&name, "svc", 3);
	assert_true(dns_name_end(&name, &zone));
	assert_int_equal(name.len, 25);
	assert_memory_equal(name.data, "\5web-0\3svc\7cluster\5local", 25);
}

struct build_row {
	const char *sentence;
	size_t labels[6]; /* lengths, 0 ends */
	bool has_empty;
	bool is_good;
};

static const struct build_row build_rows[] = {
	{"255 octets with the zone", {63, 63, 63, 47}, false, true},
	{"256 octets with the zone", {63, 63, 63, 48}, false, false},
	{"255 octets before the zone", {63, 63, 63, 62}, false, false},
	{"far too long", {63, 63, 63, 63, 63}, false, false},
	{"a label of 64 octets, good ones behind it", {64, 1}, false, false},
	{"an empty label, good ones behind it", {1, 1}, true, false},
	{"only the zone", {0}, false, true},
};

static void building_fails_once_and_for_all(void **state)
{
	const struct build_row *row;
	struct dns_name zone, name;
	char label[65];

	(void)state;
	memset(label, 'x', sizeof(label));
	assert_int_equal(dns_name_parse("cluster.local", &zone, NULL), 0);
	for (size_t i = 0; i < sizeof(build_rows) / sizeof(build_rows[0]); i++) {
		row = &build_rows[i];
		dns_name_begin(&name);
		if (row->has_empty)
			dns_name_add_label(&name, label, 0);
		for (size_t k = 0; row->labels[k]; k++)
			dns_name_add_label(&name, label, row->labels[k]);
		assert_int_equal(dns_name_end(&name, &zone), row->is_good);
		assert_int_equal(dns_name_is_valid(name.data, name.len), row->is_good);
		assert_int_equal(name.len != 0, row->is_good);
	}
}

struct reverse_row {
	const char *addr;
	const char *name;
};

static const struct reverse_row reverse_rows[] = {
	{"10.50.0.1", "1.0.50.10.in-addr.arpa."},
	{"0.9.10.99", "99.10.9.0.in-addr.arpa."},
	{"100.105.199.255", "255.199.105.100.in-addr.arpa."},
	{"fd00:50::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.0.0.0.0.d.f.ip6.arpa."},
	{"2001:db8:1234:5678:9abc:def0:fedc:ba98",
	 "8.9.a.b.c.d.e.f.0.f.e.d.c.b.a.9.8.7.6.5.4.3.2.1.8.b.d.0.1.0.0.2.ip6.arpa."},
};

static void reverse_names(void **state)
{
	char text[DNS_NAME_TEXT_MAX];
	struct dns_name name, parsed;
	uint8_t addr[16];
	int family;

	(void)state;
	for (size_t i = 0; i < sizeof(reverse_rows) / sizeof(reverse_rows[0]); i++) {
		family = strchr(reverse_rows[i].addr, ':') ? AF_INET6 : AF_INET;
		assert_int_equal(inet_pton(family, reverse_rows[i].addr, addr), 1);
		dns_name_reverse(family, addr, &name);
		dns_name_format(name.data, name.len, text, sizeof(text));
		assert_string_equal(text, reverse_rows[i].name);
		assert_int_equal(dns_name_parse(text, &parsed, NULL), 0);
		assert_true(dns_name_equal(&parsed, &name));
	}
}

static void equality_is_of_all_octets(void **state)
{
	struct dns_name a, b, c;

	(void)state;
	assert_int_equal(dns_name_parse("ab.c", &a, NULL), 0);
	assert_int_equal(dns_name_parse("a.bc", &b, NULL), 0);
	assert_int_equal(dns_name_parse("AB.C.", &c, NULL), 0);
	assert_false(dns_name_equal(&a, &b));
	assert_true(dns_name_equal(&a, &c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_parsed_and_formatted),
		cmocka_unit_test(bad_names_are_refused_with_the_cause),
		cmocka_unit_test(text_is_cut_to_the_room_there_is),
		cmocka_unit_test(the_longest_text_fits),
		cmocka_unit_test(validity_of_wire_format),
		cmocka_unit_test(building_label_by_label),
		cmocka_unit_test(building_fails_once_and_for_all),
		cmocka_unit_test(reverse_names),
		cmocka_unit_test(equality_is_of_all_octets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
