/* SPDX-License-Identifier: Apache-2.0 */
/* Writes indented JSON to a stream, value by value. */
#include "base/jsonout.h"

#include <inttypes.h>

#include "base/utf8.h"

void jsonout_init(struct jsonout *j, FILE *out)
{
	*j = (struct jsonout){.out = out};
}

static void put_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (const char *s = text; *s;) {
		size_t n = utf8_len(s);

		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			fprintf(out, "\\u%04x", *s);
		else if (n == 0)
			fputs("\\ufffd", out);
		else
			fwrite(s, 1, n, out);
		s += n ? n : 1;
	}
	fputc('"', out);
}

static void new_line(struct jsonout *j)
{
	fputc('\n', j->out);
	for (unsigned int i = 0; i < j->depth; i++)
		fputs("  ", j->out);
}

static void begin_value(struct jsonout *j, const char *key)
{
	if (j->depth) {
		if (j->has_member[j->depth])
			fputc(',', j->out);
		j->has_member[j->depth] = true;
		new_line(j);
	}
	if (key) {
		put_string(j->out, key);
		fputs(": ", j->out);
	}
}

static void open_level(struct jsonout *j, const char *key, char bracket)
{
	begin_value(j, key);
	fputc(bracket, j->out);
	if (j->depth + 1 < JSONOUT_DEPTH_MAX)
		j->depth++;
	j->has_member[j->depth] = false;
}

void jsonout_open_object(struct jsonout *j, const char *key)
{
	open_level(j, key, '{');
}

void jsonout_open_array(struct jsonout *j, const char *key)
{
	open_level(j, key, '[');
}

void jsonout_close(struct jsonout *j, char bracket)
{
	bool had_member = j->has_member[j->depth];

	j->depth--;
	if (had_member)
		new_line(j);
	fputc(bracket, j->out);
	if (j->depth == 0)
		fputc('\n', j->out);
}

void jsonout_text(struct jsonout *j, const char *key, const char *value)
{
	begin_value(j, key);
	put_string(j->out, value);
}

void jsonout_number(struct jsonout *j, const char *key, uint64_t value)
{
	begin_value(j, key);
	fprintf(j->out, "%" PRIu64, value);
}

void jsonout_bool(struct jsonout *j, const char *key, bool value)
{
	begin_value(j, key);
	fputs(value ? "true" : "false", j->out);
}
