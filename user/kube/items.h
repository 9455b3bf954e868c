/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts a JSON list into its items while it arrives in pieces of any length: a strict scanner (RFC 8259) that builds no
 * tree. Text of an item is only copied where it lies across two pieces.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Larger items are scanned but not handed out. The API server refuses objects of more than 3 MiB. */
#define ITEMS_ITEM_MAX ((size_t)4 << 20)
/* Objects of the API nest about 20 levels (managedFields). */
#define ITEMS_DEPTH_MAX 128

struct items;

/* The texts live until the callback returns; they are well-formed JSON. A negative result ends the feed and is
 * returned. */
struct items_callbacks {
	/* Value of a top-level member that was asked for: which is its index in `wanted`. */
	int (*on_member)(void *ctx, size_t which, const char *json, size_t len, struct error *e);
	/* json NULL: larger than ITEMS_ITEM_MAX. */
	int (*on_item)(void *ctx, size_t index, const char *json, size_t len, struct error *e);
	const char *const *wanted; /* at most 8, ended by NULL; static */
};

/* NULL: out of memory. The callbacks struct is copied. */
struct items *items_new(const struct items_callbacks *cb, void *ctx);
/* -EINVAL with line and column (in octets, from 1), also for a top-level member that comes twice. */
int items_feed(struct items *it, const char *data, size_t len, struct error *e);
/* -EINVAL: the text is incomplete, or has no member "items". */
int items_finish(struct items *it, struct error *e);
void items_free(struct items *it);

/* True syntax check of one whole text whose outermost value is an object: 0 or -EINVAL with line and column. */
int items_check_object(const char *json, size_t len, struct error *e);
