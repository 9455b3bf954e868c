/* SPDX-License-Identifier: Apache-2.0 */
/* The objects by key, grouped by service; which of these changed since the last flush. */
#include "kube/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "kube/store_owners.h"
#include "kube/store_ptr.h"

/* One object. */
struct slot {
	struct hmap_node node;
	struct ptr_owner owner; /* holds the object */
	struct entry *entry;	/* NULL: a slice without a service */
	uint64_t round;		/* the replacement it was last put in */
	/* Among those whose object is broken. broken_back: the pointer that points here; NULL: it is not broken. */
	struct slot *next_broken;
	struct slot **broken_back;
};

/* What belongs to one service name: kept while anything does, or while it has to be flushed. */
struct entry {
	struct hmap_node node;
	struct slot *service;
	struct slot **slices; /* sorted by name, so that records do not depend on the order of arrival */
	size_t slice_count;
	size_t slice_cap;
	bool is_dirty;
	struct entry *next_dirty;
	struct owners old; /* with is_dirty: owner names as the sink has them */
	const char *namespace;
	const char *name;
	char text[];
};

struct store {
	struct record_params params;
	struct hmap slots;
	struct hmap entries;
	struct entry *dirty_first;
	struct entry *dirty_last;
	struct slot *first_broken;
	uint64_t broken_version;
	struct ptr_table ptr; /* unused at ANSWER_HEADLESS */
	struct store_stats stats;
	uint64_t round;
	const struct kube_object **view; /* scratch: the slices of one entry */
	size_t view_cap;
	struct owners emitted; /* scratch: of the entry being flushed */
};

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

static void entry_free(struct entry *e)
{
	owners_done(&e->old);
	free(e->slices);
	free(e);
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

static bool has_ptr(const struct store *s)
{
	return s->params.level != ANSWER_HEADLESS;
}

static bool ptr_is_passed(const struct store *s)
{
	return s->stats.unknown_address_objects > 0;
}

/* ---- keys ---- */

static uint64_t key_hash(uint64_t kind, const char *namespace, const char *name)
{
	return hmap_hash(name, strlen(name), hmap_hash(namespace, strlen(namespace), kind));
}

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

static struct entry *entry_find(const struct store *s, const char *namespace, const char *name, uint64_t hash)
{
	struct hmap_node *n = hmap_first_same(&s->entries, hash);

	for (; n; n = hmap_next_same(n)) {
		struct entry *e = hmap_entry(n, struct entry, node);

		if (strcmp(e->name, name) == 0 && strcmp(e->namespace, namespace) == 0)
			return e;
	}
	return NULL;
}

static struct entry *entry_get(struct store *s, const char *namespace, const char *name)
{
	size_t namespace_len = strlen(namespace) + 1, name_len = strlen(name) + 1;
	uint64_t hash = key_hash(0, namespace, name);
	struct entry *e = entry_find(s, namespace, name, hash);

	if (e)
		return e;
	e = calloc(1, sizeof(*e) + namespace_len + name_len);
	if (!e)
		return NULL;
	e->namespace = memcpy(e->text, namespace, namespace_len);
	e->name = memcpy(e->text + namespace_len, name, name_len);
	hmap_insert(&s->entries, &e->node, hash);
	return e;
}

/* The service an object belongs to; "": none. */
static const char *service_of(const struct kube_object *o)
{
	return o->kind == KUBE_SERVICE ? o->name : o->slice.service;
}

/* ---- entries ---- */

static int entry_view(struct store *s, const struct entry *e, struct service_view *ret_view)
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

/* Before the first change since the last flush: remembers what the sink has. */
static int entry_touch(struct store *s, struct entry *e)
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

static void entry_drop_if_unused(struct store *s, struct entry *e)
{
	if (!e || e->is_dirty || e->service || e->slice_count > 0)
		return;
	hmap_remove(&s->entries, &e->node);
	entry_free(e);
}

static int entry_reserve(struct entry *e)
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

/* Room was reserved. */
static void entry_join(struct entry *e, struct slot *slot)
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

static void entry_leave(struct store *s, struct slot *slot)
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

/* ---- changes ---- */

static void count_object(struct store *s, const struct kube_object *o, size_t one)
{
	bool was_passed = ptr_is_passed(s);

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
	if (was_passed != ptr_is_passed(s))
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
	if (err == 0 && has_ptr(s))
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
	if (new &&is_moved)
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
	uint64_t hash = key_hash(object->kind, object->namespace, object->name);
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
	struct slot *slot = slot_find(s, kind, namespace, name, key_hash(kind, namespace, name));

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

/* ---- flush ---- */

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
	return has_ptr(s) ? ptr_flush(&s->ptr, &s->params, ptr_is_passed(s), sink) : 0;
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
	if (has_ptr(s))
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
	return has_ptr(s) ? ptr_emit_all(&s->ptr, &s->params, ptr_is_passed(s), sink) : 0;
}

/* ---- questions ---- */

void store_stats(const struct store *s, struct store_stats *ret_stats)
{
	*ret_stats = s->stats;
}

const struct kube_object *store_find(const struct store *s, enum kube_kind kind, const char *namespace,
				     const char *name)
{
	struct slot *slot = slot_find(s, kind, namespace, name, key_hash(kind, namespace, name));

	return slot ? slot->owner.object : NULL;
}

void store_each_slice_of(const struct store *s, const char *namespace, const char *service,
			 void (*fn)(void *ctx, const struct kube_object *slice), void *ctx)
{
	struct entry *e = entry_find(s, namespace, service, key_hash(0, namespace, service));

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
