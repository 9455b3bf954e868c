/* SPDX-License-Identifier: Apache-2.0 */
/* What a list or a watch brings, read while it arrives. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kube/watcher_state.h"

static int stop(struct watcher *w, enum watcher_stop why, enum watcher_trouble trouble)
{
	w->stop = why;
	w->stop_trouble = trouble;
	return -ECANCELED;
}

/* The cause stands in w->stop_cause. */
static int stop_unread(struct watcher *w, int err)
{
	return stop(w, err == -ENOMEM ? STOP_MEMORY : STOP_MALFORMED, WATCHER_UNREACHABLE);
}

static void listed(struct watcher *w, const char *version)
{
	const char *why = w->nameless ? w->nameless_why.text : NULL;

	strcpy(w->version, version);
	w->stats.relists += w->is_synced;
	w->is_synced = true;
	w->needs_list = w->needs_probe = w->is_plain_once = w->is_suspect = false;
	w->has_sign = true;
	w->cb.on_alive(w->ctx);
	w->cb.on_listed(w->ctx, w->nameless, why);
	watcher_tell_fine(w);
}

/* ---- lists ---- */

static int on_item(void *ctx, struct kube_object *object)
{
	struct watcher *w = ctx;

	if (w->phase == WATCHER_PROBING) {
		kube_object_free(object);
		return 0;
	}
	if (object->kind != w->params.kind) {
		(void)error_set(&w->stop_cause, 0, "a list of other objects: %s/%s", object->namespace, object->name);
		kube_object_free(object);
		return -EINVAL;
	}
	w->cb.on_object(w->ctx, object);
	return 0;
}

static int on_nameless(void *ctx, size_t index, const struct error *why)
{
	struct watcher *w = ctx;

	(void)index;
	if (w->phase == WATCHER_PROBING)
		return 0;
	if (w->nameless++ == 0)
		w->nameless_why = *why;
	return 0;
}

static int take_list(struct watcher *w, const char *data, size_t len)
{
	int err;

	if (!w->list)
		w->list = kube_list_new(w->params.path, on_item, on_nameless, w);
	if (!w->list)
		return stop_unread(w, error_set(&w->stop_cause, -ENOMEM, "out of memory"));
	err = kube_list_feed(w->list, data, len, &w->stop_cause);
	return err < 0 ? stop_unread(w, err) : 0;
}

static int check_version(const char *version, struct error *e)
{
	if (version[0] == '\0')
		return error_set(e, -EINVAL, "the list has no resourceVersion");
	if (strlen(version) >= WATCHER_VERSION_SIZE)
		return error_set(e, -EINVAL, "the list's resourceVersion is longer than %d octets",
				 WATCHER_VERSION_SIZE - 1);
	return 0;
}

static int finish_list(struct watcher *w)
{
	int err;

	if (!w->list)
		return stop_unread(w, error_set(&w->stop_cause, -EINVAL, "an empty answer"));
	err = kube_list_finish(w->list, &w->stop_cause);
	if (err == 0)
		err = check_version(kube_list_resource_version(w->list), &w->stop_cause);
	return err < 0 ? stop_unread(w, err) : 0;
}

/* At another version something may have changed without a word of the watch: who is on the way may swallow it. */
int watcher_end_probe(struct watcher *w)
{
	int err = finish_list(w);

	if (err < 0)
		return err;
	w->needs_probe = false;
	if (strcmp(kube_list_resource_version(w->list), w->version) != 0) {
		w->needs_list = w->is_plain_once = true;
		return 0;
	}
	w->is_suspect = false;
	w->cb.on_alive(w->ctx);
	watcher_tell_fine(w);
	return 0;
}

int watcher_end_list(struct watcher *w)
{
	const char *more;
	int err = finish_list(w);

	if (err < 0)
		return err;
	more = kube_list_continue(w->list);
	free(w->more);
	w->more = NULL;
	if (more[0] == '\0') {
		listed(w, kube_list_resource_version(w->list));
		return 0;
	}
	w->more = strdup(more);
	return w->more ? 1 : stop_unread(w, error_set(&w->stop_cause, -ENOMEM, "out of memory"));
}

/* ---- events ---- */

static int take_error(struct watcher *w, const struct kube_event *ev)
{
	struct nodens_api_errors *n = w->params.errors;
	bool is_refused = ev->status_code == 401 || ev->status_code == 403;

	(void)error_set(&w->stop_cause, 0, "ERROR event: %d %s", ev->status_code, ev->message);
	if (ev->status_code == 410) {
		n->expired++;
		return stop(w, STOP_EXPIRED, WATCHER_UNREACHABLE);
	}
	if (is_refused)
		n->refused++;
	else if (ev->status_code == 429)
		n->throttled++;
	else
		n->failed++;
	if (ev->is_version_unknown)
		return stop(w, STOP_ERROR, WATCHER_VERSION);
	return stop(w, STOP_ERROR, is_refused ? WATCHER_REFUSED : WATCHER_UNREACHABLE);
}

/* The first bookmark of a streaming list is its marker, or the server has not understood what was asked. */
static int take_marker(struct watcher *w, const struct kube_event *ev)
{
	if (!ev->is_initial_end)
		return stop(w, STOP_PLAIN, WATCHER_FINE);
	w->phase = WATCHER_WATCHING;
	listed(w, ev->resource_version);
	return watcher_is_hasty(w) ? stop(w, STOP_LISTED, WATCHER_FINE) : 0;
}

/* A server whose marker is not ready with the last object sends it in place of a later bookmark, and changes go in front
 * (k8s.io/apiserver, cacher.go: setInitialEventsEndBookmarkIfRequested). */
static void take_initial(struct watcher *w, struct kube_event *ev)
{
	struct kube_object *o = ev->object;

	if (o && o->kind == w->params.kind && ev->type == KUBE_EVENT_PUT) {
		w->cb.on_object(w->ctx, o);
		return;
	}
	if (o && o->kind == w->params.kind)
		w->cb.on_deleted(w->ctx, o->kind, o->namespace, o->name);
	kube_object_free(o);
}

static void take_change(struct watcher *w, struct kube_event *ev)
{
	struct kube_object *o = ev->object;

	if (!o || o->kind != w->params.kind) {
		kube_object_free(o);
		return;
	}
	w->stats.events++;
	w->has_told = true;
	if (ev->type == KUBE_EVENT_PUT) {
		w->cb.on_object(w->ctx, o);
		return;
	}
	w->cb.on_deleted(w->ctx, o->kind, o->namespace, o->name);
	kube_object_free(o);
}

static int take_event(struct watcher *w, struct kube_event *ev)
{
	if (ev->type == KUBE_EVENT_ERROR)
		return take_error(w, ev);
	if (w->phase == WATCHER_STREAMING && ev->type == KUBE_EVENT_BOOKMARK)
		return take_marker(w, ev);
	if (w->phase == WATCHER_STREAMING) {
		take_initial(w, ev);
		return 0;
	}
	if (ev->resource_version[0])
		strcpy(w->version, ev->resource_version);
	w->has_sign = true;
	w->is_suspect = false;
	if (ev->type != KUBE_EVENT_BOOKMARK)
		take_change(w, ev);
	w->cb.on_alive(w->ctx);
	watcher_tell_fine(w);
	return 0;
}

static int on_line(void *ctx, const char *line, size_t len)
{
	struct watcher *w = ctx;
	struct kube_event ev;
	int err;

	/* A list was asked for by a callback: what is still here belongs to the former state. */
	if (w->is_restarted)
		return -ECANCELED;
	err = kube_decode_event(line, len, &ev, &w->stop_cause);
	return err < 0 ? stop_unread(w, error_prefix(&w->stop_cause, err, "event")) : take_event(w, &ev);
}

static int take_lines(struct watcher *w, const char *data, size_t len)
{
	int err;

	w->has_told = false;
	err = lines_feed(&w->lines, data, len, on_line, w, &w->stop_cause);
	/* What was understood before stays true. */
	if (w->has_told)
		w->cb.on_batch(w->ctx);
	return err && err != -ECANCELED ? stop_unread(w, err) : err;
}

int watcher_take(struct watcher *w, const char *data, size_t len)
{
	return w->phase == WATCHER_WATCHING || w->phase == WATCHER_STREAMING ? take_lines(w, data, len) : take_list(w, data, len);
}
