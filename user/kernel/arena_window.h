/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena of a large generation, of which only some pages are mapped at a time: a mapped page of a BPF array counts as
 * resident memory of its process, and a hundred MiB of records that nobody touches would stand there for as long as the
 * agent runs. Address space is reserved for all pages, so that a blob is always at the same place while its page is mapped.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Pages mapped at once. The table never needs more than two together. */
#define ARENA_WINDOW_PAGES 16

struct arena_window;

/* fd: a mmapable array of page_count elements, stride octets apart. It stays the caller's. -ENOTSUP: the stride is no
 * multiple of the system's page; -errno with e. */
int arena_window_new(int fd, uint32_t page_count, size_t stride, struct arena_window **ret_window, struct error *e);
/* NULL is allowed. */
void arena_window_free(struct arena_window *w);
uint8_t *arena_window_base(const struct arena_window *w);
/* Maps the page, and takes the one away that was mapped longest ago. A mapping that the kernel refuses ends the process: what
 * is loaded stays right without it, and the next agent begins anew. */
void arena_window_map(void *window, uint32_t page);
