/* SPDX-License-Identifier: Apache-2.0 */
/* An intrusive hash map: the nodes live in the caller's structures. Grows by doubling; never fails after hmap_init
 * unless memory runs out, and then it stays valid with longer chains. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hmap_node {
	struct hmap_node *next;
	uint64_t hash;
};

struct hmap {
	struct hmap_node **buckets;
	size_t mask; /* buckets - 1 */
	size_t count;
	struct hmap_node *only; /* the one chain while there are no buckets: few nodes, or no memory */
};

void hmap_init(struct hmap *m);
/* Frees the buckets, not the nodes. */
void hmap_done(struct hmap *m);
void hmap_insert(struct hmap *m, struct hmap_node *node, uint64_t hash);
/* The node must be in the map. */
void hmap_remove(struct hmap *m, struct hmap_node *node);
/* First node with this hash; go on with hmap_next_same. The caller compares keys. NULL: none. */
struct hmap_node *hmap_first_same(const struct hmap *m, uint64_t hash);
struct hmap_node *hmap_next_same(const struct hmap_node *node);
/* Any order; the node returned last may be removed before the next call only if its successor was fetched first. */
struct hmap_node *hmap_first(const struct hmap *m);
struct hmap_node *hmap_next(const struct hmap *m, const struct hmap_node *node);

/* SipHash-1-3 of len octets, keyed once per process with random bytes (names come from whoever can create objects). */
uint64_t hmap_hash(const void *data, size_t len, uint64_t seed);

#define hmap_entry(node, type, member) ((type *)((char *)(node) - offsetof(type, member)))
