/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a stream into lines while it arrives in pieces of any length. A line lying whole in one piece is not copied. */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct lines {
	char *part; /* heap: the beginning of a line whose end has not come */
	size_t len, capacity;
	size_t line_max;
};

/* A non-zero result ends the feed and is returned. Empty lines are not told. */
typedef int (*lines_fn)(void *ctx, const char *line, size_t len);

void lines_init(struct lines *l, size_t line_max);
/* -EMSGSIZE with e: longer than line_max. -ENOMEM. */
int lines_feed(struct lines *l, const char *data, size_t len, lines_fn fn, void *ctx, struct error *e);
/* Octets of a line that did not end. */
size_t lines_rest(const struct lines *l);
/* Frees; may be fed anew afterwards. */
void lines_reset(struct lines *l);
