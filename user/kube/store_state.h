/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the store share. store.c: objects and their changes; store_entries.c: what belongs to one service name;
 * store_flush.c: records on their way to the sink. */
#pragma once

#include <string.h>

#include "base/hmap.h"
#include "kube/store.h"
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

static inline bool store_has_ptr(const struct store *s)
{
	return s->params.level != ANSWER_HEADLESS;
}

static inline bool store_ptr_is_passed(const struct store *s)
{
	return s->stats.unknown_address_objects > 0;
}

/* kind: enum kube_kind for a slot, ENTRY_KIND for an entry: these are in maps of their own. */
#define ENTRY_KIND 0
static inline uint64_t store_key_hash(uint64_t kind, const char *namespace, const char *name)
{
	return hmap_hash(name, strlen(name), hmap_hash(namespace, strlen(namespace), kind));
}

/* ---- store_entries.c ---- */

/* NULL: there is none; of entry_get: no memory. */
struct entry *entry_find(const struct store *s, const char *namespace, const char *name);
struct entry *entry_get(struct store *s, const char *namespace, const char *name);
void entry_free(struct entry *e);
/* Valid until the next call. 0 or -ENOMEM. */
int entry_view(struct store *s, const struct entry *e, struct service_view *ret_view);
/* Before the first change since the last flush: remembers what the sink has. NULL: nothing. 0 or -ENOMEM. */
int entry_touch(struct store *s, struct entry *e);
/* Room for one slice more. 0 or -ENOMEM. */
int entry_reserve(struct entry *e);
/* Room was reserved. NULL: a slice without a service. */
void entry_join(struct entry *e, struct slot *slot);
/* Out of its entry, which may go with it. */
void entry_leave(struct store *s, struct slot *slot);
/* Frees it when nothing belongs to it and nothing has to be flushed. NULL is allowed. */
void entry_drop_if_unused(struct store *s, struct entry *e);
