/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the log: form, escaping, levels, cuts. Read back from a file in the place of stderr. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static char captured[32768];

/* What the call writes to stderr, behind the time stamp ("ts=… " or {"ts":"…",). */
#define CAPTURE(call)                                                            \
	do {                                                                     \
		FILE *file = tmpfile();                                          \
		int saved = dup(STDERR_FILENO);                                  \
		dup2(fileno(file), STDERR_FILENO);                               \
		call;                                                            \
		dup2(saved, STDERR_FILENO);                                      \
		close(saved);                                                    \
		rewind(file);                                                    \
		captured[fread(captured, 1, sizeof(captured) - 1, file)] = '\0'; \
		fclose(file);                                                    \
	} while (0)

static const char *behind_time(void)
{
	const char *level = strstr(captured, "level");

	return level ? level : captured;
}

static void logfmt_quotes_what_needs_it(void **state)
{
	(void)state;
	log_init(LOG_LOGFMT, LOG_INFO);
	CAPTURE(log_info("file applied", LOG_TEXT("path", "/a/b.json"), LOG_TEXT("cause", "no \"x\"\nline\\"),
			 LOG_NUM("n", -3), LOG_TEXT("empty", ""), LOG_TEXT("none", NULL), LOG_TEXT("eq", "a=b")));
	assert_string_equal(behind_time(),
			    "level=info msg=\"file applied\" path=/a/b.json cause=\"no \\\"x\\\"\\nline\\\\\" n=-3 "
			    "empty=\"\" none=\"\" eq=\"a=b\"\n");
	assert_memory_equal(captured, "ts=20", 5);
}

static void json_is_one_object_a_line(void **state)
{
	(void)state;
	log_init(LOG_JSON, LOG_INFO);
	CAPTURE(log_warn("a \"b\"", LOG_TEXT("k", "x\ty\x01"), LOG_NUM("n", 7)));
	assert_string_equal(behind_time(),
			    "level\":\"warn\",\"msg\":\"a \\\"b\\\"\",\"k\":\"x\\ty\\u0001\",\"n\":7}\n");
	assert_memory_equal(captured, "{\"ts\":\"20", 9);
}

static void lines_below_the_level_are_not_written(void **state)
{
	(void)state;
	log_init(LOG_LOGFMT, LOG_WARN);
	CAPTURE(log_info("quiet"));
	assert_string_equal(captured, "");
	log_init(LOG_LOGFMT, LOG_DEBUG);
	CAPTURE(log_debug("loud"));
	assert_string_equal(behind_time(), "level=debug msg=\"loud\"\n");
}

static void octets_that_are_not_utf8_are_escaped_and_text_in_utf8_is_kept(void **state)
{
	(void)state;
	log_init(LOG_JSON, LOG_INFO);
	CAPTURE(log_info("m", LOG_TEXT("k", "\xff\xc3\xa9\xc0\x80\xed\xa0\x80")));
	assert_string_equal(
		behind_time(),
		"level\":\"info\",\"msg\":\"m\",\"k\":\"\\u00ff\xc3\xa9\\u00c0\\u0080\\u00ed\\u00a0\\u0080\"}\n");
}

static void a_line_that_is_too_long_is_cut_and_stays_one_line(void **state)
{
	char *text = malloc(20001);

	(void)state;
	memset(text, '"', 20000);
	text[20000] = '\0';
	log_init(LOG_JSON, LOG_INFO);
	CAPTURE(log_info("m", LOG_TEXT("k", text), LOG_TEXT("behind", "x")));
	assert_true(strlen(captured) <= 8192);
	assert_string_equal(captured + strlen(captured) - 3, "\"}\n");
	assert_ptr_equal(strchr(captured, '\n'), captured + strlen(captured) - 1);
	log_init(LOG_LOGFMT, LOG_INFO);
	CAPTURE(log_info(text));
	assert_true(strlen(captured) <= 8192);
	assert_ptr_equal(strchr(captured, '\n'), captured + strlen(captured) - 1);
	free(text);
}

static void a_pipe_that_nobody_reads_does_not_stop_the_writer_and_what_is_missing_is_told(void **state)
{
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t len, rest;

	(void)state;
	log_init(LOG_LOGFMT, LOG_INFO);
	assert_int_equal(pipe(ends), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
	dup2(ends[1], STDERR_FILENO);
	for (int i = 0; i < 200; i++)
		log_info("one of many lines, of which a page holds some forty or so", LOG_NUM("i", i));
	len = read(ends[0], captured, sizeof(captured) - 1);
	log_info("first behind the gap");
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_true(len > 0);
	rest = read(ends[0], captured + len, sizeof(captured) - 1 - (size_t)len);
	assert_true(rest > 0);
	captured[len + rest] = '\0';
	assert_non_null(strstr(captured, "msg=\"lines were left out of the log: nobody read it\" lines=1"));
	assert_non_null(strstr(captured, "i=0\n"));
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logfmt_quotes_what_needs_it),
		cmocka_unit_test(json_is_one_object_a_line),
		cmocka_unit_test(lines_below_the_level_are_not_written),
		cmocka_unit_test(octets_that_are_not_utf8_are_escaped_and_text_in_utf8_is_kept),
		cmocka_unit_test(a_line_that_is_too_long_is_cut_and_stays_one_line),
		cmocka_unit_test(a_pipe_that_nobody_reads_does_not_stop_the_writer_and_what_is_missing_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
