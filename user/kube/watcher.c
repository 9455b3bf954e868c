/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked next, and when: one request at a time. */
#include "kube/watcher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "kube/watcher_state.h"
#include "kube/watcher_target.h"

/* Far above the 3 MiB that the server takes for an object, and enough for an object that is told as too large. */
#define LINE_OCTETS_MAX ((size_t)16 << 20)

/* A streaming list without event or marker for so long: the server does not know the parameter. */
#define MARKER_MS	10000
#define LIST_SILENCE_MS 30000
/* Bookmarks come about each minute; in a quiet collection the first one of a watch was seen after two. */
#define WATCH_SILENCE_MS 180000
#define WATCH_LONGEST_S	 600
/* Bookmarks come about 2 s and 1 s before timeoutSeconds ends, if the server knows our version. */
#define WATCH_SHORTEST_S 5
#define WATCH_GRACE_MS	 5000

#define RETRY_FIRST_MS	 100
#define RETRY_MOST_MS	 30000

uint64_t watcher_random_number(void)
{
	uint64_t n = 0;

	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
		n = clock_real_ms() * 0x9e3779b97f4a7c15ULL;
	return n;
}

void watcher_set_timer(struct watcher *w, uint64_t ms)
{
	/* Cannot fail: the descriptor is ours, the time well-formed. */
	(void)loop_set_timer(w->timer, ms, 0);
}

void watcher_tell_fine(struct watcher *w)
{
	backoff_reset(&w->backoff);
	w->refused_ms = 0;
	if (!w->is_troubled)
		return;
	w->is_troubled = false;
	w->cb.on_trouble(w->ctx, WATCHER_FINE, NULL);
}

/* ---- the answer as it comes ---- */

uint64_t watcher_silence_ms(const struct watcher *w)
{
	uint64_t watch_ms = w->watch_s * 1000 + WATCH_GRACE_MS;

	switch (w->phase) {
	case WATCHER_STREAMING:
		return MARKER_MS;
	case WATCHER_WATCHING:
		return watch_ms < WATCH_SILENCE_MS ? watch_ms : WATCH_SILENCE_MS;
	case WATCHER_LISTING:
	case WATCHER_PROBING:
	case WATCHER_WAITING:
		break;
	}
	return LIST_SILENCE_MS;
}

static void on_head(void *ctx, const struct kube_response *response)
{
	struct watcher *w = ctx;

	w->response = *response;
	w->began_ms = clock_monotonic_ms();
	if (response->status != 200) {
		watcher_set_timer(w, LIST_SILENCE_MS);
		return;
	}
	watcher_set_timer(w, watcher_silence_ms(w));
	w->stats.reconnects += w->is_resumed;
	w->is_feeding = true;
	w->cb.on_accepted(w->ctx);
	if (w->phase != WATCHER_WATCHING && w->phase != WATCHER_PROBING && !w->more) {
		w->nameless = 0;
		w->cb.on_list(w->ctx);
	}
	w->is_feeding = false;
}

static void take_body(struct watcher *w, const char *data, size_t len)
{
	size_t room = sizeof(w->body) - w->body_len;

	memcpy(w->body + w->body_len, data, len < room ? len : room);
	w->body_len += len < room ? len : room;
}

static int on_data(void *ctx, const char *data, size_t len)
{
	struct watcher *w = ctx;
	bool had_sign = w->has_sign;
	int err;

	if (w->response.status != 200) {
		take_body(w, data, len);
		return 0;
	}
	w->is_feeding = true;
	w->has_sign = false;
	err = watcher_take(w, data, len);
	w->is_feeding = false;
	/* In a watch only what is understood is a sign of life: octets may drip in without an end. */
	if (err == 0 && (w->has_sign || w->phase != WATCHER_WATCHING))
		watcher_set_timer(w, watcher_silence_ms(w));
	w->has_sign |= had_sign;
	return err || w->is_restarted ? -1 : 0;
}

static void on_end(void *ctx, enum kube_end end, const struct error *e)
{
	watcher_end(ctx, end, e);
}

/* ---- requests ---- */

bool watcher_is_hasty(const struct watcher *w)
{
	return w->params.quiet_max_ms && w->params.quiet_max_ms < WATCH_SILENCE_MS;
}

static uint64_t choose_watch_s(const struct watcher *w)
{
	uint64_t most = WATCH_LONGEST_S;

	/* A streaming list needs time, and tells by its marker that the version is known. */
	if (w->is_suspect && !w->needs_list)
		return WATCH_SHORTEST_S;
	if (watcher_is_hasty(w) && !w->needs_list)
		most = w->params.quiet_max_ms / 2000;
	if (most <= WATCH_SHORTEST_S)
		return WATCH_SHORTEST_S;
	/* At any time in its second half, so that many agents do not come back in step. */
	return most - watcher_random_number() %
			      (most / 2 < most - WATCH_SHORTEST_S ? most / 2 + 1 : most - WATCH_SHORTEST_S + 1);
}

static char *choose_target(struct watcher *w)
{
	const struct watcher_params *p = &w->params;

	if (!w->needs_list && w->needs_probe) {
		w->phase = WATCHER_PROBING;
		return watcher_target_probe(p->path, p->selectors, w->version);
	}
	if (!w->needs_list) {
		w->phase = WATCHER_WATCHING;
		w->watch_s = choose_watch_s(w);
		return watcher_target_watch(p->path, p->selectors, w->version, w->watch_s);
	}
	if (w->is_plain || w->is_plain_once) {
		w->phase = WATCHER_LISTING;
		return watcher_target_list(p->path, p->selectors, w->version, w->more ? w->more : "");
	}
	w->phase = WATCHER_STREAMING;
	w->watch_s = choose_watch_s(w);
	return watcher_target_stream(p->path, p->selectors, w->version, w->watch_s);
}

static void forget_answer(struct watcher *w)
{
	bool was_listed = (w->phase == WATCHER_LISTING && !w->needs_list) || w->stop == STOP_LISTED;
	bool is_next_page = w->phase == WATCHER_LISTING && w->more && w->stop == STOP_NONE && w->response.status == 200;

	if (!is_next_page || w->is_restarted) {
		free(w->more);
		w->more = NULL;
	}
	w->is_resumed = w->is_synced && !w->needs_list && !w->needs_probe && !was_listed;
	w->response = (struct kube_response){0};
	w->is_restarted = w->is_unreached = false;
	w->has_sign = false;
	w->stop = STOP_NONE;
	w->body_len = 0;
	lines_reset(&w->lines);
	kube_list_free(w->list);
	w->list = NULL;
}

/* The next request, now. */
void watcher_begin(struct watcher *w)
{
	static const struct kube_request_callbacks cb = {.on_head = on_head, .on_data = on_data, .on_end = on_end};
	struct error e = {0};
	char *target;

	forget_answer(w);
	w->began_ms = clock_monotonic_ms();
	target = choose_target(w);
	watcher_set_timer(w, 0);
	if (target)
		w->request = kube_client_get(w->client, target, w->phase == WATCHER_LISTING, &cb, w, &e);
	else
		(void)error_set(&e, -ENOMEM, "out of memory");
	free(target);
	if (!w->request) {
		w->params.errors->connect++;
		watcher_fail(w, WATCHER_UNREACHABLE, &e);
	}
}

/* Nothing was heard for too long. */
static void cut_silent(struct watcher *w)
{
	struct error e;

	kube_request_cancel(w->request);
	w->request = NULL;
	if (w->phase == WATCHER_STREAMING && w->response.status == 200) {
		w->is_plain = true;
		watcher_begin(w);
		return;
	}
	w->params.errors->silent++;
	/* There may be nothing to tell: a collection without a change has no bookmarks on some servers. */
	if (watcher_is_watching(w) && !w->is_suspect) {
		w->needs_probe = true;
		watcher_begin(w);
		return;
	}
	(void)error_set(&e, 0, "the server is silent: cut");
	/* The short watch after a failure: a list tells what is wrong. */
	if (w->phase == WATCHER_WATCHING && w->is_suspect) {
		w->needs_list = true;
		w->is_plain_once = true;
	}
	watcher_fail(w, WATCHER_UNREACHABLE, &e);
}

static void on_timer(void *ctx)
{
	struct watcher *w = ctx;

	if (w->phase == WATCHER_WAITING)
		watcher_begin(w);
	else
		cut_silent(w);
}

/* ---- the watcher ---- */

struct watcher *watcher_new(struct loop *l, struct kube_client *client, const struct watcher_params *params,
			    const struct watcher_callbacks *cb, void *ctx)
{
	struct watcher *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->loop = l;
	w->client = client;
	w->params = *params;
	w->cb = *cb;
	w->ctx = ctx;
	w->needs_list = true;
	w->backoff = w->bad_backoff = (struct backoff){.first_ms = RETRY_FIRST_MS, .most_ms = RETRY_MOST_MS};
	strcpy(w->version, params->version);
	lines_init(&w->lines, LINE_OCTETS_MAX);
	w->timer = loop_add_timer(l, params->delay_ms ? params->delay_ms : 1, 0, on_timer, w);
	if (!w->timer) {
		free(w);
		return NULL;
	}
	return w;
}

void watcher_free(struct watcher *w)
{
	if (!w)
		return;
	kube_request_cancel(w->request);
	loop_remove(w->loop, w->timer);
	kube_list_free(w->list);
	lines_reset(&w->lines);
	free(w->more);
	free(w);
}

void watcher_relist(struct watcher *w, bool forget_version)
{
	w->needs_list = true;
	if (forget_version) {
		w->version[0] = '\0';
		w->is_plain = w->is_plain_once = false;
		backoff_reset(&w->bad_backoff);
	}
	if (w->is_feeding) {
		w->is_restarted = true;
		return;
	}
	kube_request_cancel(w->request);
	w->request = NULL;
	w->phase = WATCHER_WAITING;
	watcher_set_timer(w, 1);
}

void watcher_hurry(struct watcher *w)
{
	if (w->phase == WATCHER_WAITING && w->is_unreached)
		watcher_set_timer(w, 1 + watcher_random_number() % RETRY_FIRST_MS);
	w->is_unreached = false;
}

bool watcher_is_synced(const struct watcher *w)
{
	return w->is_synced;
}

bool watcher_is_watching(const struct watcher *w)
{
	return w->phase == WATCHER_WATCHING && w->response.status == 200;
}

const char *watcher_version(const struct watcher *w)
{
	return w->version;
}

void watcher_get_stats(const struct watcher *w, struct watcher_stats *ret_stats)
{
	*ret_stats = w->stats;
}
