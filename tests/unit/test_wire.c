/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded writer and the sum; errors in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/wire.h"

static void integers_are_in_network_byte_order(void **state)
{
	const uint8_t expected[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 'a', 'b', 0, 0, 0};
	uint8_t buffer[16];
	struct wire w;

	(void)state;
	wire_init(&w, buffer, sizeof(buffer));
	wire_put_u8(&w, 0x01);
	wire_put_u16(&w, 0x0203);
	wire_put_u32(&w, 0x04050607);
	wire_put_bytes(&w, "ab", 2);
	wire_put_bytes(&w, NULL, 0);
	wire_put_zeros(&w, 3);
	assert_false(w.overflow);
	assert_int_equal(w.len, sizeof(expected));
	assert_memory_equal(buffer, expected, sizeof(expected));
}

struct fit_row {
	const char *sentence;
	size_t cap;
	size_t before; /* octets written first */
	size_t put;
	bool overflow;
	size_t len;
};

static const struct fit_row fit_rows[] = {
	{"what just fits is written", 4, 2, 2, false, 4},
	{"one octet too many is not written at all", 4, 3, 2, true, 3},
	{"nothing fits nothing", 0, 0, 0, false, 0},
	{"an octet does not fit nothing", 0, 0, 1, true, 0},
	{"a length that would wrap around does not fit", 4, 2, SIZE_MAX, true, 2},
};

static void what_does_not_fit_is_not_written(void **state)
{
	const struct fit_row *row;
	uint8_t buffer[8];
	struct wire w;

	(void)state;
	for (size_t i = 0; i < sizeof(fit_rows) / sizeof(fit_rows[0]); i++) {
		row = &fit_rows[i];
		memset(buffer, 0xee, sizeof(buffer));
		wire_init(&w, buffer, row->cap);
		wire_put_zeros(&w, row->before);
		wire_put_zeros(&w, row->put);
		assert_int_equal(w.overflow, row->overflow);
		assert_int_equal(w.len, row->len);
		for (size_t k = row->len; k < sizeof(buffer); k++)
			assert_int_equal(buffer[k], 0xee);
	}
}

static void the_error_sticks(void **state)
{
	uint8_t buffer[4] = {0};
	struct wire w;

	(void)state;
	wire_init(&w, buffer, sizeof(buffer));
	wire_put_u16(&w, 1);
	wire_put_u32(&w, 2);
	wire_put_u8(&w, 3);
	wire_align(&w, 4);
	assert_true(w.overflow);
	assert_int_equal(w.len, 2);
	assert_int_equal(buffer[2], 0);
}

static void alignment_fills_with_zeros(void **state)
{
	const size_t lens[][2] = {{0, 0}, {1, 8}, {7, 8}, {8, 8}, {9, 16}};
	uint8_t buffer[32];
	struct wire w;

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		memset(buffer, 0xee, sizeof(buffer));
		wire_init(&w, buffer, sizeof(buffer));
		for (size_t k = 0; k < lens[i][0]; k++)
			wire_put_u8(&w, 1);
		wire_align(&w, 8);
		assert_int_equal(w.len, lens[i][1]);
		for (size_t k = lens[i][0]; k < lens[i][1]; k++)
			assert_int_equal(buffer[k], 0);
	}
}

struct sum_row {
	const char *sentence;
	const char *data;
	size_t len;
	uint16_t sum; /* of words in network byte order */
};

static const struct sum_row sum_rows[] = {
	{"nothing is 0", "", 0, 0},
	{"the example of RFC 1071 section 3", "\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", 8, 0xddf2},
	{"an odd last octet has a zero behind it", "\x12\x34\x56", 3, 0x6834},
	{"one octet", "\xab", 1, 0xab00},
	{"six octets", "\x00\x01\x00\x02\x00\x03", 6, 6},
	{"carries are added again", "\xff\xff\x00\x01", 4, 1},
	{"two carries", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10, 0xffff},
};

static void sums_are_those_of_rfc_1071(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sum_rows) / sizeof(sum_rows[0]); i++)
		assert_int_equal(ntohs(wire_sum(sum_rows[i].data, sum_rows[i].len)), sum_rows[i].sum);
}

static void sum_of_any_length_is_that_of_the_plain_definition(void **state)
{
	uint8_t data[300];
	uint32_t sum;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 167 + 13);
	for (size_t len = 0; len <= 256; len++) {
		/* Also from an odd address. */
		const uint8_t *at = data + len % 4;

		sum = 0;
		for (size_t i = 0; i < len; i++)
			sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		assert_int_equal(ntohs(wire_sum(at, len)), sum);
	}
}

static void errors_are_set_and_prefixed(void **state)
{
	struct error e = {{0}};

	(void)state;
	assert_int_equal(error_set(&e, -EINVAL, "port %d", 53), -EINVAL);
	assert_string_equal(e.text, "port 53");
	assert_int_equal(error_prefix(&e, -ENOENT, "%s", "a.json"), -ENOENT);
	assert_string_equal(e.text, "a.json: port 53");
	error_set(&e, 0, "again: %s", e.text);
	assert_string_equal(e.text, "again: a.json: port 53");
	e.text[0] = '\0';
	error_prefix(&e, 0, "alone");
	assert_string_equal(e.text, "alone");
	assert_int_equal(error_set(NULL, -EIO, "nobody listens"), -EIO);
	assert_int_equal(error_prefix(NULL, -EIO, "nobody listens"), -EIO);
}

static void long_errors_are_cut(void **state)
{
	struct error e;

	(void)state;
	error_set(&e, 0, "%0600d", 7);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	error_prefix(&e, 0, "front");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_int_equal(strncmp(e.text, "front: 000", 10), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_in_network_byte_order),
		cmocka_unit_test(what_does_not_fit_is_not_written),
		cmocka_unit_test(the_error_sticks),
		cmocka_unit_test(alignment_fills_with_zeros),
		cmocka_unit_test(sums_are_those_of_rfc_1071),
		cmocka_unit_test(sum_of_any_length_is_that_of_the_plain_definition),
		cmocka_unit_test(errors_are_set_and_prefixed),
		cmocka_unit_test(long_errors_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
