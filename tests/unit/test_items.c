/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner: what is JSON and what is not, and the cutting of lists into items. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kube/items.h"

/* Everything handed out, as text. */
struct record {
	char text[4096];
	size_t len;
	int stop_at; /* item index at which the callback fails; -1: never */
};

static void record_add(struct record *r, const char *what, size_t index, const char *json, size_t len)
{
	r->len += (size_t)snprintf(r->text + r->len, sizeof(r->text) - r->len, "%s%zu=%.*s;", what, index,
				   json ? (int)len : 3, json ? json : "BIG");
}

static int on_member(void *ctx, size_t which, const char *json, size_t len, struct error *e)
{
	(void)e;
	record_add(ctx, "m", which, json, len);
	return 0;
}

static int on_item(void *ctx, size_t index, const char *json, size_t len, struct error *e)
{
	struct record *r = ctx;

	if (r->stop_at == (int)index)
		return error_set(e, -EPIPE, "stopped");
	record_add(r, "i", index, json, len);
	return 0;
}

/* Feeds in pieces of `piece` octets. */
static int scan(const char *text, size_t len, size_t piece, struct record *ret_record, struct error *e)
{
	static const char *const wanted[] = {"kind", "metadata", NULL};
	struct items_callbacks cb = {on_member, on_item, wanted};
	struct items *it = items_new(&cb, ret_record);
	int err = 0;

	assert_non_null(it);
	for (size_t at = 0; at < len && err == 0; at += piece) {
		size_t left = len - at;
		size_t n = left < piece ? left : piece;
		/* A block of its own, so that a sanitizer sees reads beyond it. */
		char *block = malloc(n);

		memcpy(block, text + at, n);
		err = items_feed(it, block, n, e);
		free(block);
	}
	if (err == 0)
		err = items_finish(it, e);
	items_free(it);
	return err;
}

static const char list_text[] =
	"{\n \"abcd\": [1,{\"items\":[2]}],\n \"kind\" : \"List\", \"items\": [ {\"x\":\"\\u00e9]}\\\\\"},\t"
				"-0.5e+3 ,[],true,null,\"s\", 7 ],\n\"metadata\":{\"y\":{}} , \"z\":false }\n ";

static void a_list_is_cut_the_same_in_pieces_of_any_length(void **state)
{
	struct record whole = {.stop_at = -1};
	struct error e = {0};

	(void)state;
	assert_int_equal(scan(list_text, strlen(list_text), strlen(list_text), &whole, &e), 0);
	assert_string_equal(whole.text, "m0=\"List\";i0={\"x\":\"\\u00e9]}\\\\\"};i1=-0.5e+3;i2=[];i3=true;i4=null;"
					"i5=\"s\";i6=7;m1={\"y\":{}};");
	for (size_t piece = 1; piece < 60; piece++) {
		struct record r = {.stop_at = -1};

		assert_int_equal(scan(list_text, strlen(list_text), piece, &r, &e), 0);
		assert_string_equal(r.text, whole.text);
	}
}

static void truncated_text_is_refused_at_every_offset(void **state)
{
	static const char text[] = "{\"kind\":\"List\",\"items\":[{\"a\":[1.5,-2e3,true,false,null,\"\\u00e9\\n\"]},{}]}";

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++)
		for (size_t piece = 1; piece < 4; piece++) {
			struct record r = {.stop_at = -1};
			struct error e = {0};

			if (scan(text, len, piece, &r, &e) != -EINVAL)
				fail_msg("accepted after %zu octets", len);
			assert_true(e.text[0] != '\0');
		}
}

static void every_octet_replaced_by_any_other_never_crashes(void **state)
{
	static const char text[] = "{\"kind\":\"List\",\"items\":[{\"a\":[1.5,\"\\u00e9\"]},null]}";
	char copy[sizeof(text)];

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		for (int c = 0; c < 256; c++) {
			struct record whole = {.stop_at = -1}, pieces = {.stop_at = -1};
			struct error e = {0};

			memcpy(copy, text, sizeof(text));
			copy[i] = (char)c;
			assert_int_equal(scan(copy, sizeof(text) - 1, sizeof(text), &whole, &e),
					 scan(copy, sizeof(text) - 1, 1, &pieces, &e));
			assert_string_equal(whole.text, pieces.text);
		}
}

struct syntax {
	const char *what;
	const char *text;
	const char *error; /* NULL: well-formed */
};

static const struct syntax syntaxes[] = {
	{"an empty object", "{}", NULL},
	{"white space around", " \t\r\n{ \"a\" : 1 }\n", NULL},
	{"zero", "{\"a\":0}", NULL},
	{"minus zero", "{\"a\":-0}", NULL},
	{"fraction and exponent", "{\"a\":[0.5,1e5,1E-5,1.25e+10]}", NULL},
	{"all escapes", "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\uD83D\\uDE00\"}", NULL},
	{"octets beyond ASCII", "{\"a\":\"\xc3\xa9\xff\"}", NULL},
	{"nothing", "", "empty"},
	{"only white space", " \n ", "empty"},
	{"an array outside", "[]", "line 1, column 1: expected an object, found '['"},
	{"a byte order mark", "\xef\xbb\xbf{}", "line 1, column 1: expected an object, found octet 0xef"},
	{"text behind the end", "{}\n{}", "line 2, column 1: expected nothing more, found '{'"},
	{"comma before the end of an object", "{\"a\":1,}", "line 1, column 8: expected a key, found '}'"},
	{"comma before the end of an array", "{\"a\":[1,]}", "line 1, column 9: expected a value, found ']'"},
	{"missing comma", "{\"a\":1 \"b\":2}", "line 1, column 8: expected ',' or '}', found '\"'"},
	{"missing colon", "{\"a\" 1}", "line 1, column 6: expected ':', found '1'"},
	{"wrong bracket", "{\"a\":[1}}", "line 1, column 8: expected ',' or ']', found '}'"},
	{"a key without quotes", "{a:1}", "line 1, column 2: expected a key or '}', found 'a'"},
	{"single quotes", "{'a':1}", "line 1, column 2: expected a key or '}', found '''"},
	{"leading zero", "{\"a\":01}", "line 1, column 7: expected ',' or '}', found '1'"},
	{"leading plus", "{\"a\":+1}", "line 1, column 6: expected a value, found '+'"},
	{"a lone minus", "{\"a\":-}", "line 1, column 7: expected a digit, found '}'"},
	{"a dot without digits", "{\"a\":1.}", "line 1, column 8: expected a digit, found '}'"},
	{"an exponent without digits", "{\"a\":1e}", "line 1, column 8: expected a digit, found '}'"},
	{"an exponent with only a sign", "{\"a\":1e+}", "line 1, column 9: expected a digit, found '}'"},
	{"NaN", "{\"a\":NaN}", "line 1, column 6: expected a value, found 'N'"},
	{"a misspelt literal", "{\"a\":trUe}", "line 1, column 8: expected true, false or null, found 'U'"},
	{"a literal that goes on", "{\"a\":nulll}", "line 1, column 10: expected ',' or '}', found 'l'"},
	{"a raw newline in a string", "{\"a\":\"x\n\"}", "line 1, column 8: expected the rest of a string, found octet 0x0a"},
	{"an unknown escape", "{\"a\":\"\\x\"}", "line 1, column 8: expected an escape, found 'x'"},
	{"a bad hexadecimal digit", "{\"a\":\"\\u12g4\"}", "line 1, column 11: expected a hexadecimal digit, found 'g'"},
	{"a comment", "{\n  // no\n}", "line 2, column 3: expected a key or '}', found '/'"},
	{"an end that is missing", "{\"a\":\n[1", "line 2, column 3: the text ends too early"},
	{"line and column count on", "{\n\t\"a\": [\n1,\n  2 3]}", "line 4, column 5: expected ',' or ']', found '3'"},
};

static void syntax_is_checked_strictly(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(syntaxes) / sizeof(syntaxes[0]); i++) {
		const struct syntax *s = &syntaxes[i];
		struct error e = {0};
		int err = items_check_object(s->text, strlen(s->text), &e);

		if (err != (s->error ? -EINVAL : 0) || (s->error && strcmp(e.text, s->error) != 0))
			fail_msg("%s: %d \"%s\"", s->what, err, e.text);
	}
}

static void a_nul_octet_is_no_end(void **state)
{
	struct error e = {0};

	(void)state;
	assert_int_equal(items_check_object("{\"a\":1\0}", 8, &e), -EINVAL);
	assert_int_equal(items_check_object("{\"a\\\0\":1}", 9, &e), -EINVAL);
}

static void depth_is_bounded(void **state)
{
	char text[400] = "{\"a\":";
	struct error e = {0};

	(void)state;
	memset(text + 5, '[', ITEMS_DEPTH_MAX - 1);
	memset(text + 5 + ITEMS_DEPTH_MAX - 1, ']', ITEMS_DEPTH_MAX - 1);
	strcpy(text + 5 + 2 * (ITEMS_DEPTH_MAX - 1), "}");
	assert_int_equal(items_check_object(text, strlen(text), &e), 0);
	memset(text + 5, '[', ITEMS_DEPTH_MAX);
	memset(text + 5 + ITEMS_DEPTH_MAX, ']', ITEMS_DEPTH_MAX);
	strcpy(text + 5 + 2 * ITEMS_DEPTH_MAX, "}");
	assert_int_equal(items_check_object(text, strlen(text), &e), -EINVAL);
	assert_string_equal(e.text, "line 1, column 133: nested too deeply");
}

static const struct syntax lists[] = {
	{"items null is an empty list", "{\"items\":null}", NULL},
	{"no items", "{\"kind\":\"List\"}", "not a list: it has no items"},
	{"items as an object", "{\"items\":{}}", "line 1, column 10: items is not an array"},
	{"items twice", "{\"items\":[],\"items\":[]}", "line 1, column 21: items comes twice"},
	{"kind twice", "{\"kind\":\"List\",\n\"kind\":\"List\",\"items\":[]}", "line 2, column 8: kind comes twice"},
	{"a key with an escape", "{\"\\u0069tems\":[]}", "line 1, column 3: a key of the list is written with an escape"},
	{"items in an inner object do not count", "{\"a\":{\"items\":[]}}", "not a list: it has no items"},
	{"a key that begins with items", "{\"itemsx\":[]}", "not a list: it has no items"},
	{"a key that is only the beginning", "{\"item\":[]}", "not a list: it has no items"},
};

static void lists_have_items_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct record r = {.stop_at = -1};
		struct error e = {0};
		int err = scan(lists[i].text, strlen(lists[i].text), 1000, &r, &e);

		if (err != (lists[i].error ? -EINVAL : 0) || (lists[i].error && strcmp(e.text, lists[i].error) != 0))
			fail_msg("%s: %d \"%s\"", lists[i].what, err, e.text);
	}
}

static void a_callback_can_end_the_feed(void **state)
{
	static const char text[] = "{\"items\":[1,2,3]}";
	struct record r = {.stop_at = 1};
	struct error e = {0};

	(void)state;
	assert_int_equal(scan(text, strlen(text), 3, &r, &e), -EPIPE);
	assert_string_equal(e.text, "stopped");
	assert_string_equal(r.text, "i0=1;");
}

/* The item of `len` octets stands between two small ones. */
static char *make_large(size_t len)
{
	static const char head[] = "{\"items\":[1,\"", tail[] = "\",3]}";
	char *text = malloc(sizeof(head) + len + sizeof(tail));

	strcpy(text, head);
	memset(text + sizeof(head) - 1, 'x', len - 2);
	strcpy(text + sizeof(head) - 1 + len - 2, tail);
	return text;
}

static void too_large_an_item_is_told_and_the_rest_goes_on(void **state)
{
	static const size_t pieces[] = {1 << 16, 1 << 30};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char *text = make_large(ITEMS_ITEM_MAX + 1);
		struct record r = {.stop_at = -1};
		struct error e = {0};

		assert_int_equal(scan(text, strlen(text), pieces[i], &r, &e), 0);
		assert_string_equal(r.text, "i0=1;i1=BIG;i2=3;");
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_is_cut_the_same_in_pieces_of_any_length),
		cmocka_unit_test(truncated_text_is_refused_at_every_offset),
		cmocka_unit_test(every_octet_replaced_by_any_other_never_crashes),
		cmocka_unit_test(syntax_is_checked_strictly),
		cmocka_unit_test(a_nul_octet_is_no_end),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(lists_have_items_once),
		cmocka_unit_test(a_callback_can_end_the_feed),
		cmocka_unit_test(too_large_an_item_is_told_and_the_rest_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
