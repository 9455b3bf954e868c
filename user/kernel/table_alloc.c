/* SPDX-License-Identifier: Apache-2.0 */
/* Units of the arena: bump allocation page by page, free lists per size class. */
#include "kernel/table_alloc.h"

#include <stdlib.h>
#include <string.h>

#include "nodens/limits.h"

/* Set in a list's element whose units were in a blob before; unit numbers need 26 bits. */
#define WAS_USED (1U << 31)

_Static_assert((uint64_t)NODENS_PAGES_MAX *NODENS_UNITS_PER_PAGE <= WAS_USED, "unit numbers leave bit 31 free");

/* Classes 0 to 15 hold 1 to 16 units; from there eight to each doubling. */
static uint32_t class_units(uint32_t class)
{
	uint32_t doubling;

	if (class < 16)
		return class + 1;
	doubling = (class - 16) / 8;
	return (16U << doubling) + (((class - 16) % 8 + 1) << (doubling + 1));
}

/* The smallest class with room for this many. */
static uint32_t class_for(uint32_t units)
{
	uint32_t doubling, step;

	if (units <= 16)
		return units - 1;
	doubling = 31 - (uint32_t)__builtin_clz((units - 1) / 16);
	step = 2U << doubling;
	return 16 + doubling * 8 + (units - (16U << doubling) + step - 1) / step - 1;
}

/* The largest class that fits into this many. */
static uint32_t class_within(uint32_t units)
{
	uint32_t class = class_for(units);

	return class_units(class) > units ? class - 1 : class;
}

_Static_assert(NODENS_UNITS_PER_PAGE == 1U << 14, "the last class is one page");

static void list_push(struct table_alloc *a, uint32_t class, uint32_t element)
{
	struct table_alloc_list *list = &a->lists[class];

	if (list->count == list->cap) {
		uint32_t cap = list->cap ? list->cap * 2 : 16;
		uint32_t *blocks = realloc(list->blocks, cap * sizeof(*blocks));

		if (!blocks)
			return;
		list->blocks = blocks;
		list->cap = cap;
	}
	list->blocks[list->count++] = element;
	a->filled[class / 32] |= 1U << (class % 32);
}

static uint32_t list_pop(struct table_alloc *a, uint32_t class)
{
	struct table_alloc_list *list = &a->lists[class];
	uint32_t element = list->blocks[--list->count];

	if (list->count == 0)
		a->filled[class / 32] &= ~(1U << (class % 32));
	return element;
}

/* The first class from `class` on that has a free block; TABLE_ALLOC_CLASSES: none. */
static uint32_t class_find_filled(const struct table_alloc *a, uint32_t class)
{
	for (uint32_t word = class / 32; word < TABLE_ALLOC_CLASSES / 32; word++) {
		uint32_t bits = a->filled[word];

		if (word == class / 32)
			bits &= ~0U << (class % 32);
		if (bits)
			return word * 32 + (uint32_t)__builtin_ctz(bits);
	}
	return TABLE_ALLOC_CLASSES;
}

/* Puts units that belong to no block into the lists, largest class first. */
static void give_pieces(struct table_alloc *a, uint32_t element, uint32_t units)
{
	while (units > 0) {
		uint32_t class = class_within(units);

		list_push(a, class, element);
		element += class_units(class);
		units -= class_units(class);
	}
}

/* From units never given out; what is left of a page too short for it goes to the lists. */
static uint32_t take_fresh(struct table_alloc *a, uint32_t units)
{
	uint32_t left, block;

	if (a->next >= a->end)
		return 0;
	left = NODENS_UNITS_PER_PAGE - a->next % NODENS_UNITS_PER_PAGE;
	if (left < units) {
		if (a->next + left >= a->end)
			return 0;
		give_pieces(a, a->next, left);
		a->next += left;
	}
	block = a->next;
	a->next += units;
	return block;
}

static uint32_t take_split(struct table_alloc *a, uint32_t class)
{
	uint32_t larger = class_find_filled(a, class);
	uint32_t element;

	if (larger == TABLE_ALLOC_CLASSES)
		return 0;
	element = list_pop(a, larger);
	give_pieces(a, element + class_units(class), class_units(larger) - class_units(class));
	return element;
}

void table_alloc_init(struct table_alloc *a, uint32_t page_count)
{
	memset(a, 0, sizeof(*a));
	a->next = 1;
	a->end = page_count * NODENS_UNITS_PER_PAGE;
}

void table_alloc_done(struct table_alloc *a)
{
	for (uint32_t i = 0; i < TABLE_ALLOC_CLASSES; i++)
		free(a->lists[i].blocks);
}

uint32_t table_alloc_round(uint32_t units)
{
	return class_units(class_for(units));
}

uint32_t table_alloc_take(struct table_alloc *a, uint32_t units, bool *ret_is_reused)
{
	uint32_t class = class_for(units);
	uint32_t element;

	if (a->lists[class].count > 0)
		element = list_pop(a, class);
	else
		element = take_fresh(a, class_units(class));
	if (!element)
		element = take_split(a, class);
	if (!element)
		return 0;
	*ret_is_reused = element & WAS_USED;
	return element & ~WAS_USED;
}

void table_alloc_give(struct table_alloc *a, uint32_t block, uint32_t units)
{
	list_push(a, class_for(units), block | WAS_USED);
}
