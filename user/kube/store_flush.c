/* SPDX-License-Identifier: Apache-2.0 */
/* Records of what changed since the last flush, or of everything, on their way to the sink. */
#include "kube/store_state.h"

#include <errno.h>

struct flush {
	struct store *store;
	const struct store_sink *sink;
};

static int flush_set(void *ctx, const struct record_set *set)
{
	struct flush *f = ctx;
	int err = owners_add(&f->store->emitted, &set->owner);

	if (err == 0)
		err = f->sink->put(f->sink->ctx, set);
	return err < 0 ? err : 0;
}

static int flush_entry(struct store *s, struct entry *e, const struct store_sink *sink)
{
	struct flush f = {s, sink};
	struct service_view view;
	int err = entry_view(s, e, &view);

	owners_clear(&s->emitted);
	if (err == 0)
		err = records_build(&view, &s->params, flush_set, &f);
	if (err == 0)
		err = owners_each_missing(&e->old, &s->emitted, sink->remove, sink->ctx);
	/* Half a flush: the sink may have the old names and the new ones. */
	if (err < 0)
		return owners_append(&e->old, &s->emitted) < 0 ? -ENOMEM : err;
	owners_done(&e->old);
	return 0;
}

int store_flush(struct store *s, const struct store_sink *sink)
{
	while (s->dirty_first) {
		struct entry *e = s->dirty_first;
		int err = flush_entry(s, e, sink);

		if (err < 0)
			return err;
		s->dirty_first = e->next_dirty;
		if (!s->dirty_first)
			s->dirty_last = NULL;
		e->is_dirty = false;
		entry_drop_if_unused(s, e);
	}
	return store_has_ptr(s) ? ptr_flush(&s->ptr, &s->params, store_ptr_is_passed(s), sink) : 0;
}

void store_forget_changes(struct store *s)
{
	while (s->dirty_first) {
		struct entry *e = s->dirty_first;

		s->dirty_first = e->next_dirty;
		e->is_dirty = false;
		owners_done(&e->old);
		entry_drop_if_unused(s, e);
	}
	s->dirty_last = NULL;
	if (store_has_ptr(s))
		ptr_forget_changes(&s->ptr);
}

static int emit_set(void *ctx, const struct record_set *set)
{
	const struct store_sink *sink = ctx;
	int err = sink->put(sink->ctx, set);

	return err < 0 ? err : 0;
}

int store_emit_all(struct store *s, const struct store_sink *sink)
{
	struct hmap_node *n;

	for (n = hmap_first(&s->entries); n; n = hmap_next(&s->entries, n)) {
		struct service_view view;
		int err = entry_view(s, hmap_entry(n, struct entry, node), &view);

		if (err == 0)
			err = records_build(&view, &s->params, emit_set, (void *)sink);
		if (err < 0)
			return err;
	}
	return store_has_ptr(s) ? ptr_emit_all(&s->ptr, &s->params, store_ptr_is_passed(s), sink) : 0;
}
