/* SPDX-License-Identifier: Apache-2.0 */
/* What several watches tell, made into one stream of states and changes. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "source/kube_state.h"

/* Bookmarks alone do not need a line in the status each. */
#define STATUS_MS 1000

/* ---- status ---- */

/* The older one: what both watches are not older than. "" : cannot be told. */
static void keep_older(char version[32], const char *other, bool is_first)
{
	uint64_t a = kube_version_number(version), b = kube_version_number(other);

	if (is_first || (a && b && b < a))
		strcpy(version, other);
	else if (!a || !b)
		version[0] = '\0';
}

static void collect_status(struct kube_source *s)
{
	struct nodens_api_status *st = &s->status;
	bool has[] = {[KUBE_SERVICE] = false, [KUBE_SLICE] = false};
	char *versions[] = {[KUBE_SERVICE] = st->service_version, [KUBE_SLICE] = st->slice_version};

	st->events = st->relists = st->reconnects = 0;
	st->service_version[0] = st->slice_version[0] = '\0';
	st->octets = kube_client_octets(s->client);
	for (unsigned int i = 0; i < s->count; i++) {
		const struct kube_watch *w = &s->watches[i];
		struct watcher_stats stats;

		watcher_get_stats(w->watcher, &stats);
		st->events += stats.events;
		st->relists += stats.relists;
		st->reconnects += stats.reconnects;
		if (!w->is_synced)
			continue;
		keep_older(versions[w->kind], watcher_version(w->watcher), !has[w->kind]);
		has[w->kind] = true;
	}
}

static void tell_status(struct kube_source *s)
{
	if (s->is_status_due)
		(void)loop_set_timer(s->status_timer, 0, 0);
	s->is_status_due = false;
	collect_status(s);
	s->cb.on_api_status(s->ctx, &s->status);
}

void kube_on_status_timer(void *ctx)
{
	tell_status(ctx);
}

static void tell_status_soon(struct kube_source *s)
{
	if (s->is_status_due)
		return;
	s->is_status_due = loop_set_timer(s->status_timer, STATUS_MS, 0) == 0;
}

/* ---- doubts ---- */

static void tell_doubt(struct kube_source *s)
{
	bool is_doubted = s->doubt.reason[0] != '\0';

	if (is_doubted == s->is_doubt_told)
		return;
	s->is_doubt_told = is_doubted;
	s->cb.on_doubt(s->ctx, is_doubted ? s->doubt.reason : NULL);
}

static void arm_doubt(struct kube_source *s)
{
	(void)loop_set_timer(s->doubt_timer, kube_doubt_next_ms(&s->doubt, clock_monotonic_ms()), 0);
}

/* The server is another one than the versions are of. */
static void start_over(struct kube_source *s)
{
	kube_doubt_forget(&s->doubt);
	kube_objects_forget_versions(&s->objects);
	for (unsigned int i = 0; i < s->count; i++)
		watcher_relist(s->watches[i].watcher, true);
}

void kube_on_doubt_timer(void *ctx)
{
	struct kube_source *s = ctx;
	unsigned int all = 0;

	for (unsigned int i = 0; i < s->count; i++) {
		unsigned int causes = kube_doubt_begin(&s->doubt, i, clock_monotonic_ms());

		all |= causes;
		if (!causes)
			continue;
		s->status.errors.silent += causes & DOUBT_STALE && watcher_is_watching(s->watches[i].watcher);
		watcher_relist(s->watches[i].watcher, false);
	}
	/* Nothing is answered from what is in doubt, before anything else. */
	tell_doubt(s);
	if (all & DOUBT_VERSION)
		start_over(s);
	arm_doubt(s);
	tell_status_soon(s);
}

static void lose_object(struct kube_watch *w)
{
	kube_doubt_no_memory(&w->source->doubt, w->index);
	tell_doubt(w->source);
	watcher_relist(w->watcher, false);
}

/* ---- objects ---- */

static void put(struct kube_watch *w, struct kube_object *object)
{
	struct kube_source *s = w->source;
	int err = kube_objects_put(&s->objects, w->index, object);

	if (err > 0) {
		s->cb.on_put(s->ctx, object);
		return;
	}
	kube_object_free(object);
	if (err < 0)
		lose_object(w);
}

static void keep_changed(struct kube_watch *w, struct kube_object *object)
{
	if (w->changed_count == w->changed_cap) {
		size_t cap = 2 * w->changed_cap + 16;
		struct kube_object **changed = reallocarray(w->changed, cap, sizeof(struct kube_object *));

		if (!changed) {
			kube_object_free(object);
			lose_object(w);
			return;
		}
		w->changed = changed;
		w->changed_cap = cap;
	}
	w->changed[w->changed_count++] = object;
}

void kube_drop_changed(struct kube_watch *w)
{
	for (size_t i = 0; i < w->changed_count; i++)
		kube_object_free(w->changed[i]);
	free(w->changed);
	w->changed = NULL;
	w->changed_count = w->changed_cap = 0;
}

/* Gone again before its list is complete. */
static void drop_listed(struct kube_watch *w, enum kube_kind kind, const char *namespace, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < w->changed_count; i++) {
		struct kube_object *o = w->changed[i];

		if (strcmp(o->name, name) == 0 && strcmp(o->namespace, namespace) == 0)
			kube_object_free(o);
		else
			w->changed[count++] = o;
	}
	w->changed_count = count;
	kube_objects_unlist(&w->source->objects, w->index, kind, namespace, name);
}

static void put_changed(struct kube_watch *w)
{
	for (size_t i = 0; i < w->changed_count; i++)
		put(w, w->changed[i]);
	w->changed_count = 0;
	kube_drop_changed(w);
}

static void on_gone(void *ctx, enum kube_kind kind, const char *namespace, const char *name)
{
	struct kube_source *s = ctx;

	s->cb.on_delete(s->ctx, kind, namespace, name);
}

/* ---- what a watcher tells ---- */

static void on_list(void *ctx)
{
	struct kube_watch *w = ctx;
	struct kube_source *s = w->source;

	w->is_listing = true;
	kube_drop_changed(w);
	kube_objects_begin_list(&s->objects, w->index);
	if (s->is_begun)
		return;
	s->is_begun = true;
	s->cb.on_replace(s->ctx);
}

/* The first list goes on at once: nothing is answered before it is complete. */
static void on_object(void *ctx, struct kube_object *object)
{
	struct kube_watch *w = ctx;

	if (!w->is_listing || !w->is_synced)
		put(w, object);
	else if (kube_objects_is_same(&w->source->objects, w->index, object))
		kube_object_free(object);
	else
		keep_changed(w, object);
}

static void on_deleted(void *ctx, enum kube_kind kind, const char *namespace, const char *name)
{
	struct kube_watch *w = ctx;
	struct kube_source *s = w->source;

	if (w->is_listing && w->is_synced)
		drop_listed(w, kind, namespace, name);
	else if (kube_objects_remove(&s->objects, w->index, kind, namespace, name))
		s->cb.on_delete(s->ctx, kind, namespace, name);
}

static bool are_all_synced(const struct kube_source *s)
{
	for (unsigned int i = 0; i < s->count; i++)
		if (!s->watches[i].is_synced)
			return false;
	return true;
}

static bool is_any_awaited(const struct kube_source *s)
{
	for (unsigned int i = 0; i < s->count; i++)
		if (s->watches[i].is_awaited)
			return true;
	return false;
}

/* was_awaited: with the last of these everything was read anew. */
static void apply_list(struct kube_source *s, bool was_awaited)
{
	if (s->is_replaced && was_awaited && !is_any_awaited(s)) {
		s->cb.on_replaced(s->ctx, 0, NULL);
	} else if (s->is_replaced) {
		s->cb.on_batch(s->ctx);
	} else if (are_all_synced(s)) {
		s->is_replaced = true;
		s->cb.on_replaced(s->ctx, 0, NULL);
	}
}

static void on_listed(void *ctx, size_t nameless, const char *why)
{
	struct kube_watch *w = ctx;
	struct kube_source *s = w->source;
	bool was_awaited = w->is_awaited;

	/* A new doubt is told before the records change, that one is gone afterwards. */
	kube_doubt_listed(&s->doubt, w->index, nameless, why, clock_monotonic_ms());
	if (s->doubt.reason[0])
		tell_doubt(s);
	w->is_listing = w->is_awaited = false;
	put_changed(w);
	kube_objects_end_list(&s->objects, w->index, on_gone, s);
	w->is_synced = true;
	apply_list(s, was_awaited);
	tell_doubt(s);
	arm_doubt(s);
	tell_status(s);
}

static void on_batch(void *ctx)
{
	struct kube_watch *w = ctx;
	struct kube_source *s = w->source;

	if (s->is_replaced)
		s->cb.on_batch(s->ctx);
	tell_status(s);
}

static void on_alive(void *ctx)
{
	struct kube_watch *w = ctx;

	kube_doubt_alive(&w->source->doubt, w->index, clock_monotonic_ms());
	w->source->status.event_ms = clock_real_ms();
	tell_status_soon(w->source);
}

/* ---- troubles ---- */

static void tell_trouble(struct kube_source *s)
{
	const struct error *e = NULL;

	if (kube_trouble_take_news(&s->trouble, &e))
		s->cb.on_error(s->ctx, e);
	(void)loop_set_timer(s->trouble_timer, kube_trouble_next_ms(&s->trouble, clock_monotonic_ms()), 0);
}

void kube_on_trouble_timer(void *ctx)
{
	struct kube_source *s = ctx;

	kube_trouble_begin(&s->trouble, clock_monotonic_ms());
	tell_trouble(s);
}

static void on_accepted(void *ctx)
{
	struct kube_watch *w = ctx;

	kube_doubt_accepted(&w->source->doubt, w->index);
	kube_trouble_accepted(&w->source->trouble, w->index);
	for (unsigned int i = 0; i < w->source->count; i++)
		watcher_hurry(w->source->watches[i].watcher);
	tell_status_soon(w->source);
}

static void on_trouble(void *ctx, enum watcher_trouble trouble, const struct error *e)
{
	struct kube_watch *w = ctx;
	struct kube_source *s = w->source;
	uint64_t now_ms = clock_monotonic_ms();

	kube_doubt_trouble(&s->doubt, w->index, trouble, now_ms);
	arm_doubt(s);
	kube_trouble_set(&s->trouble, w->index, e, now_ms);
	tell_trouble(s);
	tell_status(s);
}

const struct watcher_callbacks kube_watcher_callbacks = {.on_list = on_list,
							 .on_object = on_object,
							 .on_deleted = on_deleted,
							 .on_listed = on_listed,
							 .on_batch = on_batch,
							 .on_alive = on_alive,
							 .on_accepted = on_accepted,
							 .on_trouble = on_trouble};
