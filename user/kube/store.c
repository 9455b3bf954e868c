/* SPDX-License-Identifier: Apache-2.0 */
/* The objects by key, grouped by service; which of these changed since the last flush. */
#include "kube/store_state.h"

#include <errno.h>
#include <stdlib.h>

struct store *store_new(const struct record_params *params)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->params = *params;
	hmap_init(&s->slots);
	hmap_init(&s->entries);
	ptr_init(&s->ptr);
	return s;
}

static void slot_free(struct slot *slot)
{
	kube_object_free(slot->owner.object);
	free(slot);
}

void store_free(struct store *s)
{
	struct hmap_node *n, *next;

	if (!s)
		return;
	for (n = hmap_first(&s->slots); n; n = next) {
		next = hmap_next(&s->slots, n);
		slot_free(hmap_entry(n, struct slot, node));
	}
	for (n = hmap_first(&s->entries); n; n = next) {
		next = hmap_next(&s->entries, n);
		entry_free(hmap_entry(n, struct entry, node));
	}
	hmap_done(&s->slots);
	hmap_done(&s->entries);
	ptr_done(&s->ptr);
	owners_done(&s->emitted);
	free(s->view);
	free(s);
}

/* ---- keys ---- */

static struct slot *slot_find(const struct store *s, enum kube_kind kind, const char *namespace, const char *name,
			      uint64_t hash)
{
	struct hmap_node *n = hmap_first_same(&s->slots, hash);

	for (; n; n = hmap_next_same(n)) {
		struct slot *slot = hmap_entry(n, struct slot, node);
		const struct kube_object *o = slot->owner.object;

		if (o->kind == kind && strcmp(o->name, name) == 0 && strcmp(o->namespace, namespace) == 0)
			return slot;
	}
	return NULL;
}

/* The service an object belongs to; "": none. */
static const char *service_of(const struct kube_object *o)
{
	return o->kind == KUBE_SERVICE ? o->name : o->slice.service;
}

/* ---- changes ---- */

static void count_object(struct store *s, const struct kube_object *o, size_t one)
{
	bool was_passed = store_ptr_is_passed(s);

	if (!o)
		return;
	if (o->kind == KUBE_SERVICE)
		s->stats.services += one;
	else
		s->stats.slices += one;
	if (o->kind == KUBE_SLICE)
		s->stats.endpoints += one * o->slice.endpoint_count;
	if (o->broken)
		s->stats.broken += one;
	if (o->has_unknown_addresses)
		s->stats.unknown_address_objects += one;
	if (was_passed != store_ptr_is_passed(s))
		ptr_touch_all(&s->ptr);
}

/* After its object was exchanged. */
static void list_broken(struct store *s, struct slot *slot, bool was_broken)
{
	bool is_broken = slot->owner.object && slot->owner.object->broken;

	s->broken_version += was_broken || is_broken;
	if (slot->broken_back && !is_broken) {
		*slot->broken_back = slot->next_broken;
		if (slot->next_broken)
			slot->next_broken->broken_back = slot->broken_back;
		slot->broken_back = NULL;
	} else if (!slot->broken_back && is_broken) {
		slot->next_broken = s->first_broken;
		if (slot->next_broken)
			slot->next_broken->broken_back = &slot->next_broken;
		slot->broken_back = &s->first_broken;
		s->first_broken = slot;
	}
}

/* Everything that can fail about a change of old to new (either may be NULL). */
static int prepare(struct store *s, struct entry *old_entry, const struct kube_object *old, struct entry *new_entry,
		   const struct kube_object *new, struct ptr_change *change)
{
	int err = entry_touch(s, old_entry);

	if (err == 0)
		err = entry_touch(s, new_entry);
	if (err == 0 && new_entry)
		err = entry_reserve(new_entry);
	if (err == 0 && store_has_ptr(s))
		err = ptr_prepare(&s->ptr, old, new, change);
	return err;
}

/* Puts the object (NULL: nothing) into the slot. Cannot fail. */
static void commit(struct store *s, struct slot *slot, struct entry *new_entry, struct kube_object *new,
		   struct ptr_change *change)
{
	struct kube_object *old = slot->owner.object;
	bool is_moved = !old || !new || slot->entry != new_entry;

	ptr_commit(&s->ptr, &slot->owner, change);
	if (old && is_moved)
		entry_leave(s, slot);
	slot->owner.object = new;
	if (new && is_moved)
		entry_join(new_entry, slot);
	/* The new one first, so that the number of unknown ones does not pass zero in between. */
	count_object(s, new, 1);
	count_object(s, old, (size_t)-1);
	list_broken(s, slot, old && old->broken);
	kube_object_free(old);
}

static int change_slot(struct store *s, struct slot *slot, struct kube_object *new)
{
	const char *service = new ? service_of(new) : "";
	struct entry *new_entry = service[0] ? entry_get(s, new->namespace, service) : NULL;
	struct ptr_change change = {0};
	int err = service[0] && !new_entry ? -ENOMEM : 0;

	if (err == 0)
		err = prepare(s, slot->entry, slot->owner.object, new_entry, new, &change);
	if (err < 0) {
		entry_drop_if_unused(s, new_entry);
		return err;
	}
	commit(s, slot, new_entry, new, &change);
	return 0;
}

static int put_new(struct store *s, struct kube_object *object, uint64_t hash)
{
	struct slot *slot = calloc(1, sizeof(*slot));
	int err = slot ? change_slot(s, slot, object) : -ENOMEM;

	if (err < 0) {
		free(slot);
		return err;
	}
	slot->round = s->round;
	hmap_insert(&s->slots, &slot->node, hash);
	return 0;
}

int store_put(struct store *s, struct kube_object *object)
{
	uint64_t hash = store_key_hash(object->kind, object->namespace, object->name);
	struct slot *slot = slot_find(s, object->kind, object->namespace, object->name, hash);
	int err;

	if (slot && kube_object_equal(slot->owner.object, object)) {
		/* The same records; but version and origin may be newer. */
		slot->round = s->round;
		kube_object_free(slot->owner.object);
		slot->owner.object = object;
		return 0;
	}
	err = slot ? change_slot(s, slot, object) : put_new(s, object, hash);
	if (err < 0) {
		kube_object_free(object);
		return err;
	}
	if (slot)
		slot->round = s->round;
	return 1;
}

static int delete_slot(struct store *s, struct slot *slot)
{
	int err = change_slot(s, slot, NULL);

	if (err < 0)
		return err;
	hmap_remove(&s->slots, &slot->node);
	slot_free(slot);
	return 1;
}

int store_delete(struct store *s, enum kube_kind kind, const char *namespace, const char *name)
{
	struct slot *slot = slot_find(s, kind, namespace, name, store_key_hash(kind, namespace, name));

	return slot ? delete_slot(s, slot) : 0;
}

void store_replace_begin(struct store *s)
{
	s->round++;
}

int store_replace_end(struct store *s)
{
	struct hmap_node *n = hmap_first(&s->slots);

	while (n) {
		struct hmap_node *next = hmap_next(&s->slots, n);
		struct slot *slot = hmap_entry(n, struct slot, node);
		int err = slot->round == s->round ? 0 : delete_slot(s, slot);

		if (err < 0)
			return err;
		n = next;
	}
	return 0;
}

/* ---- questions ---- */

void store_stats(const struct store *s, struct store_stats *ret_stats)
{
	*ret_stats = s->stats;
}

const struct kube_object *store_find(const struct store *s, enum kube_kind kind, const char *namespace,
				     const char *name)
{
	struct slot *slot = slot_find(s, kind, namespace, name, store_key_hash(kind, namespace, name));

	return slot ? slot->owner.object : NULL;
}

void store_each_slice_of(const struct store *s, const char *namespace, const char *service,
			 void (*fn)(void *ctx, const struct kube_object *slice), void *ctx)
{
	struct entry *e = entry_find(s, namespace, service);

	for (size_t i = 0; e && i < e->slice_count; i++)
		fn(ctx, e->slices[i]->owner.object);
}

bool store_address_is_elsewhere(const struct store *s, const struct kube_addr *addr, const char *namespace,
				const char *service)
{
	return ptr_is_held_elsewhere(&s->ptr, addr, namespace, service);
}

uint64_t store_broken_version(const struct store *s)
{
	return s->broken_version;
}

void store_each_broken(const struct store *s, void (*fn)(void *ctx, const struct kube_object *object), void *ctx)
{
	for (const struct slot *slot = s->first_broken; slot; slot = slot->next_broken)
		fn(ctx, slot->owner.object);
}
