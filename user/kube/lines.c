/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a stream into lines. */
#include "kube/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST ((size_t)16 << 10)

void lines_init(struct lines *l, size_t line_max)
{
	*l = (struct lines){.line_max = line_max};
}

static int reserve(struct lines *l, size_t len)
{
	size_t capacity = l->capacity ? l->capacity : CAPACITY_FIRST;
	char *part;

	while (capacity < len)
		capacity *= 2;
	if (capacity == l->capacity)
		return 0;
	part = realloc(l->part, capacity);
	if (!part)
		return -ENOMEM;
	l->part = part;
	l->capacity = capacity;
	return 0;
}

static int keep(struct lines *l, const char *data, size_t len, struct error *e)
{
	if (len == 0)
		return 0;
	if (reserve(l, l->len + len) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	memcpy(l->part + l->len, data, len);
	l->len += len;
	return 0;
}

/* The end of a line that began in an earlier piece. What it needed is given back when it was much. */
static int end_part(struct lines *l, const char *data, size_t len, lines_fn fn, void *ctx, struct error *e)
{
	int err = keep(l, data, len, e);

	if (err < 0)
		return err;
	err = fn(ctx, l->part, l->len);
	l->len = 0;
	if (l->capacity > 64 * CAPACITY_FIRST)
		lines_reset(l);
	return err;
}

int lines_feed(struct lines *l, const char *data, size_t len, lines_fn fn, void *ctx, struct error *e)
{
	const char *end = data + len;

	while (data < end) {
		const char *newline = memchr(data, '\n', (size_t)(end - data));
		size_t n = (size_t)((newline ? newline : end) - data);
		int err = 0;

		if (l->len + n > l->line_max)
			return error_set(e, -EMSGSIZE, "a line of more than %zu octets", l->line_max);
		if (!newline)
			return keep(l, data, n, e);
		if (l->len)
			err = end_part(l, data, n, fn, ctx, e);
		else if (n)
			err = fn(ctx, data, n);
		if (err)
			return err;
		data = newline + 1;
	}
	return 0;
}

size_t lines_rest(const struct lines *l)
{
	return l->len;
}

void lines_reset(struct lines *l)
{
	free(l->part);
	lines_init(l, l->line_max);
}
