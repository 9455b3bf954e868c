/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the store: who holds which address, kept up to date object by object, for PTR.
 * A change is prepared (may fail, changes nothing that can be seen) and then committed (cannot fail).
 */
#pragma once

#include <stdbool.h>

#include "base/hmap.h"
#include "kube/store.h"

/* What holds addresses: lives as long as it is in the table; its object may be exchanged by ptr_commit's caller. */
struct ptr_owner {
	struct kube_object *object;
};

struct ptr_node;

struct ptr_table {
	struct hmap nodes;
	struct ptr_node *dirty_first;
	struct ptr_node *dirty_last;
	/* For one set at a time. */
	struct address_holder *holders;
	char (*labels)[64];
	size_t holder_cap;
};

struct ptr_change {
	struct ptr_touch *touches;
	size_t count;
};

void ptr_init(struct ptr_table *t);
void ptr_done(struct ptr_table *t);

/* old and new: what owner held and what it will hold; either may be NULL. 0 or -ENOMEM. */
int ptr_prepare(struct ptr_table *t, const struct kube_object *old, const struct kube_object *new,
		struct ptr_change *ret_change);
void ptr_commit(struct ptr_table *t, const struct ptr_owner *owner, struct ptr_change *change);
void ptr_cancel(struct ptr_table *t, struct ptr_change *change);

/* Whether a slice of another service than this one, or of none, holds the address. */
bool ptr_is_held_elsewhere(const struct ptr_table *t, const struct kube_addr *addr, const char *namespace,
			   const char *service);

void ptr_touch_all(struct ptr_table *t);
/* is_passed: no PTR can be known to be whole. */
int ptr_flush(struct ptr_table *t, const struct record_params *params, bool is_passed, const struct store_sink *sink);
/* What is dirty is so no longer. */
void ptr_forget_changes(struct ptr_table *t);
int ptr_emit_all(struct ptr_table *t, const struct record_params *params, bool is_passed,
		 const struct store_sink *sink);
