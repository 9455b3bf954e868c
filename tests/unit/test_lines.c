/* SPDX-License-Identifier: Apache-2.0 */
/* Lines out of pieces of any length. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kube/lines.h"

struct told {
	char text[256];
	size_t len;
	int result; /* of the callback */
	const char *piece, *line;
};

static int on_line(void *ctx, const char *line, size_t len)
{
	struct told *t = ctx;

	t->len += (size_t)snprintf(t->text + t->len, sizeof(t->text) - t->len, "%.*s|", (int)len, line);
	t->line = line;
	return t->result;
}

static int feed(struct lines *l, struct told *t, const char *text, size_t len, struct error *e)
{
	char *piece = malloc(len + 1); /* of exact size, so that a sanitizer sees who reads on */
	int err;

	assert_non_null(piece);
	memcpy(piece, text, len);
	piece = realloc(piece, len ? len : 1);
	assert_non_null(piece);
	t->piece = piece;
	err = lines_feed(l, piece, len, on_line, t, e);
	free(piece);
	return err;
}

static void lines_are_the_same_in_pieces_of_any_length(void **state)
{
	const char *text = "one\n\n{\"two\":2}\nthree and a long one\n\n\nfour\nrest";

	(void)state;
	for (size_t size = 1; size <= strlen(text); size++) {
		struct lines l;
		struct told t = {0};

		lines_init(&l, 64);
		for (size_t at = 0; at < strlen(text); at += size) {
			size_t left = strlen(text) - at;

			assert_int_equal(feed(&l, &t, text + at, left < size ? left : size, NULL), 0);
		}
		assert_string_equal(t.text, "one|{\"two\":2}|three and a long one|four|");
		assert_int_equal(lines_rest(&l), 4);
		lines_reset(&l);
		assert_int_equal(lines_rest(&l), 0);
	}
}

static void a_line_whole_in_a_piece_is_not_copied(void **state)
{
	struct lines l;
	struct told t = {0};

	(void)state;
	lines_init(&l, 64);
	assert_int_equal(feed(&l, &t, "one\ntwo\n", 8, NULL), 0);
	assert_ptr_equal(t.line, t.piece + 4);
	assert_null(l.part);
}

static void a_line_may_be_as_long_as_the_limit_and_no_longer(void **state)
{
	static const char text[] = "12345678\n123456789\n";
	struct lines l;

	(void)state;
	for (size_t size = 1; size < sizeof(text); size++) {
		struct told t = {0};
		struct error e = {0};
		int err = 0;

		lines_init(&l, 8);
		for (size_t at = 0; at < sizeof(text) - 1 && err == 0; at += size)
			err = feed(&l, &t, text + at, sizeof(text) - 1 - at < size ? sizeof(text) - 1 - at : size, &e);
		assert_int_equal(err, -EMSGSIZE);
		assert_string_equal(e.text, "a line of more than 8 octets");
		assert_string_equal(t.text, "12345678|");
		lines_reset(&l);
	}
}

static void a_callback_ends_the_feed(void **state)
{
	struct lines l;
	struct told t = {.result = -ECANCELED};

	(void)state;
	lines_init(&l, 64);
	assert_int_equal(feed(&l, &t, "one\ntwo\n", 8, NULL), -ECANCELED);
	assert_string_equal(t.text, "one|");
	t = (struct told){.result = 7};
	assert_int_equal(feed(&l, &t, "on", 2, NULL), 0);
	assert_int_equal(feed(&l, &t, "e\ntwo\n", 6, NULL), 7);
	assert_string_equal(t.text, "one|");
	lines_reset(&l);
}

static void what_a_huge_line_needed_is_given_back(void **state)
{
	size_t len = (size_t)3 << 20;
	char *text = malloc(len);
	struct lines l;
	struct told t = {0};

	(void)state;
	assert_non_null(text);
	memset(text, 'x', len);
	lines_init(&l, 2 * len);
	assert_int_equal(lines_feed(&l, text, len, on_line, &t, NULL), 0);
	assert_int_equal(lines_rest(&l), len);
	assert_int_equal(lines_feed(&l, "\n", 1, on_line, &t, NULL), 0);
	assert_int_equal(l.capacity, 0);
	assert_int_equal(feed(&l, &t, "o", 1, NULL), 0);
	t.len = 0;
	assert_int_equal(feed(&l, &t, "ne\n", 3, NULL), 0);
	assert_string_equal(t.text, "one|");
	lines_reset(&l);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_the_same_in_pieces_of_any_length),
		cmocka_unit_test(a_line_whole_in_a_piece_is_not_copied),
		cmocka_unit_test(a_line_may_be_as_long_as_the_limit_and_no_longer),
		cmocka_unit_test(a_callback_ends_the_feed),
		cmocka_unit_test(what_a_huge_line_needed_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
