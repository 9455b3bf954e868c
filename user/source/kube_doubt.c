/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what was delivered may be too old. */
#include "source/kube_doubt.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define REFUSED_MS 10000
#define VERSION_MS 30000

__attribute__((format(printf, 4, 5))) static void add(struct kube_doubt *d, unsigned int watch,
						      enum kube_doubt_cause cause, const char *format, ...)
{
	va_list args;

	d->watches[watch].causes |= cause;
	if (d->reason[0])
		return;
	va_start(args, format);
	(void)vsnprintf(d->reason, sizeof(d->reason), format, args);
	va_end(args);
}

void kube_doubt_alive(struct kube_doubt *d, unsigned int watch, uint64_t now_ms)
{
	d->watches[watch].alive_ms = now_ms;
}

void kube_doubt_accepted(struct kube_doubt *d, unsigned int watch)
{
	d->watches[watch].refused_ms = 0;
}

void kube_doubt_trouble(struct kube_doubt *d, unsigned int watch, enum watcher_trouble trouble, uint64_t now_ms)
{
	struct kube_doubt_watch *w = &d->watches[watch];

	switch (trouble) {
	case WATCHER_FINE:
		w->refused_ms = w->version_ms = 0;
		break;
	case WATCHER_REFUSED:
		if (!w->refused_ms)
			w->refused_ms = now_ms;
		break;
	case WATCHER_VERSION:
		w->refused_ms = 0; /* it let us in */
		if (!w->version_ms)
			w->version_ms = now_ms;
		break;
	case WATCHER_UNREACHABLE: /* says nothing of the others */
		break;
	}
}

void kube_doubt_listed(struct kube_doubt *d, unsigned int watch, size_t nameless, const char *why, uint64_t now_ms)
{
	struct kube_doubt_watch *w = &d->watches[watch];
	unsigned int all = 0;

	w->alive_ms = now_ms;
	w->refused_ms = w->version_ms = 0;
	w->causes = 0;
	if (nameless)
		add(d, watch, DOUBT_NAMELESS, "%zu object%s cannot be named: %s", nameless, nameless == 1 ? "" : "s",
		    why);
	for (unsigned int i = 0; i < d->count; i++)
		all |= d->watches[i].causes;
	if (!all)
		d->reason[0] = '\0';
}

void kube_doubt_no_memory(struct kube_doubt *d, unsigned int watch)
{
	add(d, watch, DOUBT_MEMORY, "out of memory for an object of %s", d->watches[watch].path);
}

static bool is_due(uint64_t since_ms, uint64_t span_ms, uint64_t now_ms)
{
	return since_ms && now_ms >= since_ms + span_ms;
}

unsigned int kube_doubt_begin(struct kube_doubt *d, unsigned int watch, uint64_t now_ms)
{
	struct kube_doubt_watch *w = &d->watches[watch];
	unsigned int before = w->causes;

	if (!(before & DOUBT_VERSION) && is_due(w->version_ms, VERSION_MS, now_ms))
		add(d, watch, DOUBT_VERSION,
		    "%s: the server has not known our version for %d s: restored, or another one", w->path,
		    VERSION_MS / 1000);
	if (!(before & DOUBT_REFUSED) && is_due(w->refused_ms, REFUSED_MS, now_ms))
		add(d, watch, DOUBT_REFUSED, "%s: the server has refused us for %d s (401 or 403)", w->path,
		    REFUSED_MS / 1000);
	if (!(before & DOUBT_STALE) && is_due(w->alive_ms, d->stale_after_ms, now_ms))
		add(d, watch, DOUBT_STALE, "%s: no event and no bookmark for %" PRIu64 " s", w->path,
		    d->stale_after_ms / 1000);
	return w->causes & ~before;
}

static uint64_t sooner(uint64_t best_ms, uint64_t since_ms, uint64_t span_ms, bool has_begun, uint64_t now_ms)
{
	uint64_t left_ms = since_ms + span_ms > now_ms ? since_ms + span_ms - now_ms : 1;

	return since_ms && !has_begun && (!best_ms || left_ms < best_ms) ? left_ms : best_ms;
}

uint64_t kube_doubt_next_ms(const struct kube_doubt *d, uint64_t now_ms)
{
	uint64_t best_ms = 0;

	for (unsigned int i = 0; i < d->count; i++) {
		const struct kube_doubt_watch *w = &d->watches[i];

		best_ms = sooner(best_ms, w->version_ms, VERSION_MS, w->causes & DOUBT_VERSION, now_ms);
		best_ms = sooner(best_ms, w->refused_ms, REFUSED_MS, w->causes & DOUBT_REFUSED, now_ms);
		best_ms = sooner(best_ms, w->alive_ms, d->stale_after_ms, w->causes & DOUBT_STALE, now_ms);
	}
	return best_ms;
}

void kube_doubt_forget(struct kube_doubt *d)
{
	for (unsigned int i = 0; i < d->count; i++) {
		d->watches[i].causes |= DOUBT_VERSION;
		d->watches[i].version_ms = 0;
	}
}
