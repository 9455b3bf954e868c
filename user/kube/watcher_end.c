/* SPDX-License-Identifier: Apache-2.0 */
/* How a request ended, and what follows from it. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "kube/watcher_state.h"

/* A watch that ends sooner and without a word did not work. */
#define WATCH_LEAST_MS 1000
/* The server's owner has this long to let us in again before everything is passed on (source/kube_doubt.c): asked often, so that
 * the answer is known by then. */
#define REFUSED_PATIENCE_MS 10000
#define REFUSED_WAIT_MS	    1000
/* Answers that make no sense are forgotten when the last one was so long ago. */
#define BAD_FORGOTTEN_MS 60000

/* ---- failures ---- */

static void wait_and_tell(struct watcher *w, uint64_t ms, enum watcher_trouble trouble, const struct error *e)
{
	struct error told = *e;

	w->phase = WATCHER_WAITING;
	w->is_suspect = true;
	/* Another server may be there now, at the same version by chance. */
	w->needs_probe = false;
	w->is_troubled = true;
	watcher_set_timer(w, ms);
	/* What is wrong with a list tells where it came from. */
	if (strncmp(told.text, w->params.path, strlen(w->params.path)) != 0)
		(void)error_prefix(&told, 0, "%s", w->params.path);
	w->cb.on_trouble(w->ctx, trouble, &told);
}

void watcher_fail(struct watcher *w, enum watcher_trouble trouble, const struct error *e)
{
	uint64_t at_least_ms = w->response.status == 200 ? 0 : w->response.retry_after_ms;
	uint64_t now_ms = clock_monotonic_ms(), wait_ms;
	bool is_refused = trouble == WATCHER_REFUSED;

	/* A server that is just up again refuses for a moment; the waits of the outage say nothing of that. */
	if (is_refused && !w->refused_ms)
		backoff_reset(&w->backoff);
	w->refused_ms = !is_refused ? 0 : w->refused_ms ? w->refused_ms : now_ms;
	w->is_unreached = w->response.status == 0;
	wait_ms = backoff_next_ms(&w->backoff, watcher_random_number(), at_least_ms);
	if (is_refused && !at_least_ms && now_ms - w->refused_ms < REFUSED_PATIENCE_MS && wait_ms > REFUSED_WAIT_MS)
		wait_ms = 1 + wait_ms % REFUSED_WAIT_MS;
	wait_and_tell(w, wait_ms, trouble, e);
}

/* An answer that makes no sense. It may come again each time although requests succeed in between. */
static void fail_bad(struct watcher *w, enum watcher_trouble trouble, const struct error *e)
{
	uint64_t now_ms = clock_monotonic_ms();

	if (w->bad_ms && now_ms - w->bad_ms > BAD_FORGOTTEN_MS)
		backoff_reset(&w->bad_backoff);
	w->bad_ms = now_ms;
	wait_and_tell(w, backoff_next_ms(&w->bad_backoff, watcher_random_number(), 0), trouble, e);
}

/* A status code other than 200. */
static void fail_status(struct watcher *w)
{
	struct nodens_api_errors *n = w->params.errors;
	int code = w->response.status, ignored;
	bool is_invalid = code == 400 || code == 422, is_version_unknown;
	enum watcher_trouble trouble = WATCHER_UNREACHABLE;
	char message[256];
	struct error e;

	kube_decode_status(w->body, w->body_len, &ignored, message, &is_version_unknown);
	(void)error_set(&e, 0, "HTTP %d: %s", code, message);
	if (is_invalid && w->phase == WATCHER_STREAMING) {
		w->is_plain = true;
		watcher_begin(w);
		return;
	}
	/* It does not take such a question: the whole state tells as well. */
	if (is_invalid && w->phase == WATCHER_PROBING) {
		w->needs_list = w->is_plain_once = true;
		watcher_begin(w);
		return;
	}
	if (code == 401 || code == 403) {
		n->refused++;
		trouble = WATCHER_REFUSED;
	} else if (code == 429) {
		n->throttled++;
	} else if (code == 410) {
		n->expired++;
		w->needs_list = true;
	} else {
		n->failed++;
	}
	/* A version of another server may not even have its form. */
	if (is_version_unknown || (is_invalid && w->version[0]))
		trouble = WATCHER_VERSION;
	watcher_fail(w, trouble, &e);
}

static void fail_cut(struct watcher *w, const char *what)
{
	struct error e;

	w->params.errors->cut++;
	(void)error_set(&e, 0, "%s", what);
	watcher_fail(w, WATCHER_UNREACHABLE, &e);
}

static void fail_stopped(struct watcher *w)
{
	bool is_again = w->bad_ms && clock_monotonic_ms() - w->bad_ms < BAD_FORGOTTEN_MS;

	switch (w->stop) {
	case STOP_PLAIN:
		w->is_plain = true;
		watcher_begin(w);
		return;
	case STOP_LISTED:
		watcher_begin(w);
		return;
	case STOP_MALFORMED:
		w->params.errors->malformed++;
		w->needs_list = true;
		/* A list tells an object without a name from garbage. */
		w->is_plain_once = true;
		break;
	case STOP_EXPIRED:
		w->needs_list = true;
		break;
	case STOP_ERROR:
		w->needs_list |= is_again;
		break;
	case STOP_NONE:
	case STOP_MEMORY:
		break;
	}
	fail_bad(w, w->stop_trouble, &w->stop_cause);
}

/* ---- ends ---- */

/* The body of the answer is complete, its status 200. */
static void end_list(struct watcher *w)
{
	if (watcher_end_list(w) < 0)
		fail_stopped(w);
	else
		watcher_begin(w);
}

static void end_probe(struct watcher *w)
{
	if (watcher_end_probe(w) < 0)
		fail_stopped(w);
	else
		watcher_begin(w);
}

static void end_watch(struct watcher *w)
{
	if (lines_rest(&w->lines)) {
		fail_cut(w, "the watch ended in the middle of a line");
		return;
	}
	if (!w->has_sign && clock_monotonic_ms() - w->began_ms < WATCH_LEAST_MS) {
		fail_cut(w, "the watch ended at once");
		return;
	}
	if (w->has_sign)
		watcher_tell_fine(w);
	else if (w->is_suspect)
		w->needs_list = w->is_plain_once = true;
	else
		w->needs_probe = true;
	watcher_begin(w);
}

static void end_complete(struct watcher *w)
{
	switch (w->phase) {
	case WATCHER_LISTING:
		end_list(w);
		return;
	case WATCHER_PROBING:
		end_probe(w);
		return;
	case WATCHER_STREAMING:
		fail_cut(w, "the streaming list ended before its end");
		return;
	case WATCHER_WATCHING:
		end_watch(w);
		return;
	case WATCHER_WAITING:
		return;
	}
}

void watcher_end(struct watcher *w, enum kube_end end, const struct error *e)
{
	w->request = NULL;
	if (w->is_restarted) {
		watcher_begin(w);
		return;
	}
	if (w->response.status && w->response.status != 200) {
		fail_status(w);
		return;
	}
	switch (end) {
	case KUBE_END_COMPLETE:
		end_complete(w);
		return;
	case KUBE_END_STOPPED:
		fail_stopped(w);
		return;
	case KUBE_END_CUT:
		w->params.errors->cut++;
		break;
	case KUBE_END_CONNECT:
	case KUBE_END_LOCAL:
		w->params.errors->connect++;
		break;
	}
	watcher_fail(w, WATCHER_UNREACHABLE, e);
}
