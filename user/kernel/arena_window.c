/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of the arena as they are needed. */
#include "kernel/arena_window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

#define NO_PAGE UINT32_MAX

struct arena_window {
	int fd;
	size_t stride;
	uint32_t page_count;
	uint8_t *base;
	uint32_t pages[ARENA_WINDOW_PAGES]; /* mapped; NO_PAGE: none */
	unsigned int oldest;
	uint32_t last; /* asked for last */
	uint64_t *mapped; /* one bit a page */
};

static void *reserve(void *at, size_t len, int flags)
{
	return mmap(at, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

int arena_window_new(int fd, uint32_t page_count, size_t stride, struct arena_window **ret_window, struct error *e)
{
	struct arena_window *w;

	if (stride % (size_t)sysconf(_SC_PAGESIZE) != 0)
		return -ENOTSUP;
	w = calloc(1, sizeof(*w));
	if (!w)
		return error_set(e, -ENOMEM, "out of memory");
	*w = (struct arena_window){.fd = fd, .stride = stride, .page_count = page_count, .last = NO_PAGE};
	for (size_t i = 0; i < ARENA_WINDOW_PAGES; i++)
		w->pages[i] = NO_PAGE;
	w->mapped = calloc(page_count / 64 + 1, sizeof(*w->mapped));
	w->base = w->mapped ? reserve(NULL, page_count * stride, 0) : MAP_FAILED;
	if (w->base == MAP_FAILED) {
		int err = error_set(e, -ENOMEM, "address space for %u pages of records: %s", page_count,
				    strerror(errno));

		free(w->mapped);
		free(w);
		return err;
	}
	*ret_window = w;
	return 0;
}

void arena_window_free(struct arena_window *w)
{
	if (!w)
		return;
	munmap(w->base, w->page_count * w->stride);
	free(w->mapped);
	free(w);
}

uint8_t *arena_window_base(const struct arena_window *w)
{
	return w->base;
}

static void end_process(uint32_t page, const char *action)
{
	int err = errno;

	log_error("a page of the records cannot be mapped: ending, what is loaded stays",
		  LOG_NUM("page", page), LOG_TEXT("action", action), LOG_TEXT("cause", strerror(err)));
	abort();
}

static void take_away(struct arena_window *w, uint32_t page)
{
	if (page == NO_PAGE)
		return;
	if (reserve(w->base + page * w->stride, w->stride, MAP_FIXED) == MAP_FAILED)
		end_process(page, "unmap");
	w->mapped[page / 64] &= ~(1ULL << page % 64);
}

void arena_window_map(void *window, uint32_t page)
{
	struct arena_window *w = window;
	void *at = w->base + page * w->stride;

	if (page == w->last || w->mapped[page / 64] & 1ULL << page % 64) {
		w->last = page;
		return;
	}
	take_away(w, w->pages[w->oldest]);
	if (mmap(at, w->stride, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, w->fd, (off_t)(page * w->stride)) ==
	    MAP_FAILED)
		end_process(page, "map");
	w->mapped[page / 64] |= 1ULL << page % 64;
	w->pages[w->oldest] = page;
	w->oldest = (w->oldest + 1) % ARENA_WINDOW_PAGES;
	w->last = page;
}
