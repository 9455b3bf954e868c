/* SPDX-License-Identifier: Apache-2.0 */
/* Packed owner names and the difference of two lists of them: n log n. */
#include "kube/store_owners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int reserve(struct owners *o, size_t more)
{
	size_t cap = 2 * (o->len + more);
	uint8_t *data;

	if (o->len + more <= o->cap)
		return 0;
	data = realloc(o->data, cap);
	if (!data)
		return -ENOMEM;
	o->data = data;
	o->cap = cap;
	return 0;
}

int owners_add(void *owners, const struct dns_name *name)
{
	struct owners *o = owners;

	if (reserve(o, 1 + (size_t)name->len) < 0)
		return -ENOMEM;
	o->data[o->len] = name->len;
	memcpy(o->data + o->len + 1, name->data, name->len);
	o->len += 1 + (size_t)name->len;
	o->count++;
	return 0;
}

int owners_append(struct owners *o, const struct owners *more)
{
	if (more->len == 0)
		return 0;
	if (reserve(o, more->len) < 0)
		return -ENOMEM;
	memcpy(o->data + o->len, more->data, more->len);
	o->len += more->len;
	o->count += more->count;
	return 0;
}

void owners_clear(struct owners *o)
{
	o->len = 0;
	o->count = 0;
}

void owners_done(struct owners *o)
{
	free(o->data);
	*o = (struct owners){0};
}

/* Any total order will do: the length octet comes first. */
static int compare(const void *left, const void *right)
{
	const uint8_t *a = *(const uint8_t *const *)left, *b = *(const uint8_t *const *)right;

	return memcmp(a, b, 1 + (size_t)(a[0] < b[0] ? a[0] : b[0]));
}

static const uint8_t **sorted(const struct owners *o)
{
	const uint8_t **list = reallocarray(NULL, o->count + 1, sizeof(const uint8_t *));
	const uint8_t *at = o->data;

	if (!list)
		return NULL;
	for (size_t i = 0; i < o->count; i++, at += 1 + (size_t)at[0])
		list[i] = at;
	qsort(list, o->count, sizeof(const uint8_t *), compare);
	return list;
}

static int call(const uint8_t *packed, int (*fn)(void *ctx, const struct dns_name *name), void *ctx)
{
	struct dns_name name = {.len = packed[0]};
	int err;

	memcpy(name.data, packed + 1, packed[0]);
	err = fn(ctx, &name);
	return err < 0 ? err : 0;
}

static int merge(const uint8_t **old, size_t old_count, const uint8_t **new, size_t new_count,
		 int (*fn)(void *ctx, const struct dns_name *name), void *ctx)
{
	size_t k = 0;

	for (size_t i = 0; i < old_count; i++) {
		int err;

		if (i > 0 && compare(&old[i - 1], &old[i]) == 0)
			continue;
		while (k < new_count && compare(&new[k], &old[i]) < 0)
			k++;
		if (k < new_count && compare(&new[k], &old[i]) == 0)
			continue;
		err = call(old[i], fn, ctx);
		if (err < 0)
			return err;
	}
	return 0;
}

int owners_each_missing(const struct owners *old, const struct owners *new,
			int (*fn)(void *ctx, const struct dns_name *name), void *ctx)
{
	const uint8_t **old_sorted, **new_sorted;
	int err = -ENOMEM;

	/* Most changes leave the names as they were. */
	if (old->len == 0 || (old->len == new->len && memcmp(old->data, new->data, old->len) == 0))
		return 0;
	old_sorted = sorted(old);
	new_sorted = sorted(new);
	if (old_sorted && new_sorted)
		err = merge(old_sorted, old->count, new_sorted, new->count, fn, ctx);
	free(old_sorted);
	free(new_sorted);
	return err;
}
