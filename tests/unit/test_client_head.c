/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a response: when to come again, and what must do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kube/client_head.h"

static const struct {
	const char *sentence, *lines[6];
	uint64_t retry_after_ms;
} heads[] = {
	{"seconds", {"Retry-After: 3"}, 3000},
	{"no space behind the colon, any case, blanks at the end", {"retry-after:3  "}, 3000},
	{"at most an hour", {"Retry-After: 99999"}, 3600000},
	{"more digits than any number has", {"Retry-After: 99999999999999999999999999"}, 3600000},
	{"negative is no number of seconds", {"Retry-After: -5"}, 0},
	{"words", {"Retry-After: soon"}, 0},
	{"nothing", {"Retry-After:"}, 0},
	{"a date, by the server's clock",
	 {"Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT"},
	 60000},
	{"the date of the answer may come later",
	 {"Retry-After: Sun, 06 Nov 1994 08:50:37 GMT", "Date: Sun, 06 Nov 1994 08:49:37 GMT"},
	 60000},
	{"a date by our clock", {"Retry-After: Thu, 01 Jan 1970 00:16:45 GMT"}, 5000},
	{"a date gone by", {"Retry-After: Thu, 01 Jan 1970 00:16:00 GMT"}, 0},
	{"a far date", {"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"}, 3600000},
	{"the date of RFC 850",
	 {"Date: Sunday, 06-Nov-94 08:49:37 GMT", "Retry-After: Sunday, 06-Nov-94 08:49:39 GMT"},
	 2000},
	{"the date of asctime", {"Date: Sun Nov  6 08:49:37 1994", "Retry-After: Sun Nov  6 08:49:38 1994"}, 1000},
};

static void retry_after_is_understood_in_its_forms_and_bounded(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		struct client_head h = {0};

		assert_false(client_head_line(&h, "HTTP/1.1 503 Busy\r\n", 19, 1000));
		for (const char *const *line = heads[i].lines; *line; line++)
			assert_false(client_head_line(&h, *line, strlen(*line), 1000));
		assert_true(client_head_line(&h, "\r\n", 2, 1000));
		if (h.response.retry_after_ms != heads[i].retry_after_ms)
			fail_msg("%s: %llu", heads[i].sentence, (unsigned long long)h.response.retry_after_ms);
	}
}

static void long_and_odd_head_lines_do_no_harm(void **state)
{
	struct client_head h = {0};
	char line[2000];

	(void)state;
	memset(line, 'a', sizeof(line));
	memcpy(line, "Content-Type: ", 14);
	assert_false(client_head_line(&h, "HTTP/2 200 \r\n", 13, 0));
	assert_false(client_head_line(&h, line, sizeof(line), 0));
	assert_false(client_head_line(&h, line, 300, 0));
	assert_int_equal(strlen(h.response.content_type), sizeof(h.response.content_type) - 1);
	assert_false(client_head_line(&h, ":", 1, 0));
	assert_false(client_head_line(&h, "\0\0", 2, 0));
	assert_false(client_head_line(&h, "HTTP/1.1 x", 10, 0));
	assert_true(client_head_line(&h, "", 0, 0));
	assert_int_equal(h.response.status, 200);
	/* Trailers change nothing. */
	assert_false(client_head_line(&h, "Retry-After: 5", 14, 0));
	assert_false(client_head_line(&h, "\r\n", 2, 0));
	assert_int_equal(h.response.retry_after_ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retry_after_is_understood_in_its_forms_and_bounded),
		cmocka_unit_test(long_and_odd_head_lines_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
