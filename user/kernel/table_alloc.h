/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which 64-octet units of the arena are in use. Blocks have size classes (exact up to 16 units, then eight classes per
 * doubling: at most 12.5 % more than asked for). What is free is kept in arrays outside of the arena, four octets a
 * block, so that memory which readers may still look at is never written here.
 *
 * Blocks are split, never joined: a generation that is fragmented runs out of room and is replaced by a fresh one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TABLE_ALLOC_CLASSES 96

struct table_alloc_list {
	uint32_t *blocks;
	uint32_t count;
	uint32_t cap;
};

struct table_alloc {
	uint32_t next;				   /* first unit never given out */
	uint32_t end;				   /* units in the arena */
	uint32_t filled[TABLE_ALLOC_CLASSES / 32]; /* bit set: the list of this class is not empty */
	struct table_alloc_list lists[TABLE_ALLOC_CLASSES];
};

/* Unit 0 is never given out: 0 means "none" in an entry. */
void table_alloc_init(struct table_alloc *a, uint32_t page_count);
void table_alloc_done(struct table_alloc *a);
/* Units that a block for so many units really takes; units <= NODENS_UNITS_PER_PAGE. */
uint32_t table_alloc_round(uint32_t units);
/* First unit of a block that does not cross a page; 0: no room. *ret_is_reused: it was given back once. */
uint32_t table_alloc_take(struct table_alloc *a, uint32_t units, bool *ret_is_reused);
/* The same number of units as it was taken with. Without memory for the list it stays unused. */
void table_alloc_give(struct table_alloc *a, uint32_t block, uint32_t units);
