/* SPDX-License-Identifier: Apache-2.0 */
/* What belongs to one service name: its Service and slices, and what of it has to be flushed. */
#include "kube/store_state.h"

#include <errno.h>
#include <stdlib.h>

struct entry *entry_find(const struct store *s, const char *namespace, const char *name)
{
	struct hmap_node *n = hmap_first_same(&s->entries, store_key_hash(ENTRY_KIND, namespace, name));

	for (; n; n = hmap_next_same(n)) {
		struct entry *e = hmap_entry(n, struct entry, node);

		if (strcmp(e->name, name) == 0 && strcmp(e->namespace, namespace) == 0)
			return e;
	}
	return NULL;
}

struct entry *entry_get(struct store *s, const char *namespace, const char *name)
{
	size_t namespace_len = strlen(namespace) + 1, name_len = strlen(name) + 1;
	struct entry *e = entry_find(s, namespace, name);

	if (e)
		return e;
	e = calloc(1, sizeof(*e) + namespace_len + name_len);
	if (!e)
		return NULL;
	e->namespace = memcpy(e->text, namespace, namespace_len);
	e->name = memcpy(e->text + namespace_len, name, name_len);
	hmap_insert(&s->entries, &e->node, store_key_hash(ENTRY_KIND, namespace, name));
	return e;
}

void entry_free(struct entry *e)
{
	owners_done(&e->old);
	free(e->slices);
	free(e);
}

int entry_view(struct store *s, const struct entry *e, struct service_view *ret_view)
{
	if (e->slice_count > s->view_cap) {
		size_t cap = e->slice_count + e->slice_count / 2;
		const struct kube_object **view = reallocarray(s->view, cap, sizeof(*view));

		if (!view)
			return -ENOMEM;
		s->view = view;
		s->view_cap = cap;
	}
	for (size_t i = 0; i < e->slice_count; i++)
		s->view[i] = e->slices[i]->owner.object;
	*ret_view = (struct service_view){
		.namespace = e->namespace,
		.name = e->name,
		.service = e->service ? e->service->owner.object : NULL,
		.slices = s->view,
		.slice_count = e->slice_count,
	};
	return 0;
}

int entry_touch(struct store *s, struct entry *e)
{
	struct service_view view;
	int err;

	if (!e || e->is_dirty)
		return 0;
	err = entry_view(s, e, &view);
	if (err == 0)
		err = records_owners(&view, &s->params, owners_add, &e->old);
	if (err < 0) {
		owners_done(&e->old);
		return err;
	}
	e->is_dirty = true;
	e->next_dirty = NULL;
	if (s->dirty_last)
		s->dirty_last->next_dirty = e;
	else
		s->dirty_first = e;
	s->dirty_last = e;
	return 0;
}

void entry_drop_if_unused(struct store *s, struct entry *e)
{
	if (!e || e->is_dirty || e->service || e->slice_count > 0)
		return;
	hmap_remove(&s->entries, &e->node);
	entry_free(e);
}

int entry_reserve(struct entry *e)
{
	size_t cap = e->slice_cap ? 2 * e->slice_cap : 1;
	struct slot **slices;

	if (e->slice_count < e->slice_cap)
		return 0;
	slices = reallocarray(e->slices, cap, sizeof(struct slot *));
	if (!slices)
		return -ENOMEM;
	e->slices = slices;
	e->slice_cap = cap;
	return 0;
}

/* Where a slice of this name is or belongs. */
static size_t slice_position(const struct entry *e, const char *name)
{
	size_t low = 0, high = e->slice_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(e->slices[middle]->owner.object->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void entry_join(struct entry *e, struct slot *slot)
{
	size_t at;

	slot->entry = e;
	if (!e)
		return;
	if (slot->owner.object->kind == KUBE_SERVICE) {
		e->service = slot;
		return;
	}
	at = slice_position(e, slot->owner.object->name);
	memmove(&e->slices[at + 1], &e->slices[at], (e->slice_count - at) * sizeof(struct slot *));
	e->slices[at] = slot;
	e->slice_count++;
}

void entry_leave(struct store *s, struct slot *slot)
{
	struct entry *e = slot->entry;
	size_t at;

	slot->entry = NULL;
	if (!e)
		return;
	if (slot->owner.object->kind == KUBE_SERVICE) {
		e->service = NULL;
	} else {
		at = slice_position(e, slot->owner.object->name);
		e->slice_count--;
		memmove(&e->slices[at], &e->slices[at + 1], (e->slice_count - at) * sizeof(struct slot *));
	}
	entry_drop_if_unused(s, e);
}
