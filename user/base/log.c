/* SPDX-License-Identifier: Apache-2.0 */
/* Structured logging: one line is formatted in memory and written at once, so that lines never mix. */
#include "base/log.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

#define LINE_MAX_LEN 8192

static enum log_format log_format = LOG_LOGFMT;
static enum log_level log_level = LOG_INFO;

struct line {
	char text[LINE_MAX_LEN];
	size_t len; /* never beyond sizeof text - 2: the newline and what closes the object always fit */
};

static void put(struct line *l, const char *text, size_t n)
{
	size_t room = sizeof(l->text) - 4 - l->len;

	if (n > room)
		n = room;
	memcpy(l->text + l->len, text, n);
	l->len += n;
}

static void put_text(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

static void put_format(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_format(struct line *l, const char *format, ...)
{
	char buf[64];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(buf, sizeof(buf), format, ap);
	va_end(ap);
	put_text(l, buf);
}

static size_t put_escaped_char(struct line *l, const char *s)
{
	size_t n;

	switch (*s) {
	case '"':
		put_text(l, "\\\"");
		return 1;
	case '\\':
		put_text(l, "\\\\");
		return 1;
	case '\n':
		put_text(l, "\\n");
		return 1;
	case '\t':
		put_text(l, "\\t");
		return 1;
	case '\r':
		put_text(l, "\\r");
		return 1;
	}
	/* JSON must be UTF-8 whatever an object's text holds. */
	n = utf8_len(s);
	if (n == 0 || (unsigned char)*s < 0x20 || *s == 0x7f) {
		put_format(l, "\\u%04x", (unsigned char)*s);
		return 1;
	}
	/* A sequence is written whole or not at all. */
	if (n <= sizeof(l->text) - 4 - l->len)
		put(l, s, n);
	return n;
}

static void put_quoted(struct line *l, const char *text)
{
	/* Room for the quote that ends the value, also in a line that is cut. */
	const size_t keep = 16;

	put(l, "\"", 1);
	while (*text && l->len + keep < sizeof(l->text) - 4)
		text += put_escaped_char(l, text);
	put(l, "\"", 1);
}

static bool is_bare(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' || *text == 0x7f || (*text & 0x80))
			return false;
	}
	return true;
}

static void put_time(struct line *l)
{
	struct timespec now;
	struct tm tm;
	char buf[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm);
	put_format(l, "%s.%03ldZ", buf, now.tv_nsec / 1000000);
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG:
		return "debug";
	case LOG_INFO:
		return "info";
	case LOG_WARN:
		return "warn";
	case LOG_ERROR:
		return "error";
	}
	return "unknown";
}

static void put_logfmt(struct line *l, enum log_level level, const char *msg, const struct log_field *fields, size_t n)
{
	put_text(l, "ts=");
	put_time(l);
	put_format(l, " level=%s msg=", level_name(level));
	put_quoted(l, msg);
	for (size_t i = 0; i < n; i++) {
		put_format(l, " %s=", fields[i].key);
		if (!fields[i].text)
			put_format(l, "%lld", (long long)fields[i].number);
		else if (is_bare(fields[i].text))
			put_text(l, fields[i].text);
		else
			put_quoted(l, fields[i].text);
	}
}

static void put_json(struct line *l, enum log_level level, const char *msg, const struct log_field *fields, size_t n)
{
	put_text(l, "{\"ts\":\"");
	put_time(l);
	put_format(l, "\",\"level\":\"%s\",\"msg\":", level_name(level));
	put_quoted(l, msg);
	for (size_t i = 0; i < n; i++) {
		/* A field that would be cut is left out: half an object is not JSON. */
		if (l->len + strlen(fields[i].key) + 64 > sizeof(l->text))
			break;
		put(l, ",", 1);
		put_quoted(l, fields[i].key);
		put(l, ":", 1);
		if (fields[i].text)
			put_quoted(l, fields[i].text);
		else
			put_format(l, "%lld", (long long)fields[i].number);
	}
	l->text[l->len++] = '}';
}

void log_init(enum log_format format, enum log_level level)
{
	log_format = format;
	log_level = level;
}

/* ---- writing: a reader that stands still (a full pipe) must not stop the agent; lines are dropped meanwhile ---- */

static uint64_t dropped_lines;
static bool is_cut; /* the last line has no end yet */

/* Pieces that a pipe takes whole once it has room. false: it has none. */
static bool put_octets(const char *text, size_t len)
{
	struct pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT};

	while (len > 0) {
		ssize_t n =
			poll(&stderr_poll, 1, 0) > 0 ? write(STDERR_FILENO, text, len < PIPE_BUF ? len : PIPE_BUF) : -1;

		if (n < 0)
			return false;
		text += n;
		len -= (size_t)n;
		is_cut = len > 0;
	}
	return true;
}

static void format_line(struct line *l, enum log_level level, const char *msg, const struct log_field *fields, size_t n)
{
	l->len = 0;
	if (log_format == LOG_JSON)
		put_json(l, level, msg, fields, n);
	else
		put_logfmt(l, level, msg, fields, n);
	l->text[l->len++] = '\n';
}

static bool tell_dropped(void)
{
	const struct log_field count = LOG_NUM("lines", dropped_lines);
	struct line l;

	if (is_cut && !put_octets("\n", 1))
		return false;
	format_line(&l, LOG_WARN, "lines were left out of the log: nobody read it", &count, 1);
	if (!put_octets(l.text, l.len))
		return false;
	dropped_lines = 0;
	return true;
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields, size_t n)
{
	struct line l;

	if (level < log_level)
		return;
	if (!dropped_lines || tell_dropped()) {
		format_line(&l, level, msg, fields, n);
		if (put_octets(l.text, l.len))
			return;
	}
	dropped_lines++;
}
