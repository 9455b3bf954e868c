/* SPDX-License-Identifier: Apache-2.0 */
/* A list of objects, decoded item by item while its text arrives. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/decode.h"
#include "kube/items.h"

/* An item that has no kind of its own, kept until the list's kind is known. */
struct pending {
	size_t index;
	char *json;
	size_t len;
};

struct kube_list {
	struct items *items;
	char *origin;
	kube_list_item_fn on_item;
	kube_list_nameless_fn on_nameless;
	void *ctx;
	bool has_kind;
	const char *item_kind; /* NULL: items name their own */
	char *resource_version;
	char *more;
	struct pending *pending;
	size_t pending_count;
	size_t pending_cap;
};

enum wanted { WANTED_KIND, WANTED_METADATA };

static int on_member(void *ctx, size_t which, const char *json, size_t len, struct error *e);
static int on_item(void *ctx, size_t index, const char *json, size_t len, struct error *e);

struct kube_list *kube_list_new(const char *origin, kube_list_item_fn fn, kube_list_nameless_fn on_nameless, void *ctx)
{
	static const char *const wanted[] = {[WANTED_KIND] = "kind", [WANTED_METADATA] = "metadata", NULL};
	struct items_callbacks cb = {.on_member = on_member, .on_item = on_item, .wanted = wanted};
	struct kube_list *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->origin = strdup(origin);
	l->items = items_new(&cb, l);
	l->on_item = fn;
	l->on_nameless = on_nameless;
	l->ctx = ctx;
	if (!l->origin || !l->items) {
		kube_list_free(l);
		return NULL;
	}
	return l;
}

void kube_list_free(struct kube_list *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->pending_count; i++)
		free(l->pending[i].json);
	free(l->pending);
	items_free(l->items);
	free(l->origin);
	free(l->resource_version);
	free(l->more);
	free(l);
}

/* ---- items ---- */

static int nameless(struct kube_list *l, size_t index, const char *origin, struct error *why)
{
	(void)error_prefix(why, 0, "%s", origin);
	return l->on_nameless(l->ctx, index, why);
}

static int keep_pending(struct kube_list *l, size_t index, const char *json, size_t len)
{
	struct pending *p;

	if (l->pending_count == l->pending_cap) {
		size_t cap = 2 * l->pending_cap + 16;

		p = reallocarray(l->pending, cap, sizeof(*p));
		if (!p)
			return -ENOMEM;
		l->pending = p;
		l->pending_cap = cap;
	}
	p = &l->pending[l->pending_count];
	*p = (struct pending){.index = index, .json = malloc(len), .len = len};
	if (!p->json)
		return -ENOMEM;
	memcpy(p->json, json, len);
	l->pending_count++;
	return 0;
}

static int on_item(void *ctx, size_t index, const char *json, size_t len, struct error *e)
{
	struct kube_list *l = ctx;
	struct kube_object *object = NULL;
	struct error why = {0};
	char origin[4200]; /* a path and an index */
	int err;

	snprintf(origin, sizeof(origin), "%s:items[%zu]", l->origin, index);
	if (json)
		err = kube_decode_item(json, len, l->item_kind, origin, &object, &why);
	else
		err = error_set(&why, -EINVAL, "larger than %zu octets", ITEMS_ITEM_MAX);
	if (err == -ENODATA && !l->has_kind)
		err = keep_pending(l, index, json, len);
	else if (err == -ENODATA || err == -EINVAL)
		return nameless(l, index, origin, &why);
	if (err < 0)
		return error_set(e, err, "out of memory");
	return object ? l->on_item(l->ctx, object) : 0;
}

static int decode_pending(struct kube_list *l, struct error *e)
{
	for (size_t i = 0; i < l->pending_count; i++) {
		int err = on_item(l, l->pending[i].index, l->pending[i].json, l->pending[i].len, e);

		if (err < 0)
			return err;
		free(l->pending[i].json);
		l->pending[i].json = NULL;
	}
	l->pending_count = 0;
	return 0;
}

/* ---- members ---- */

static int set_kind(struct kube_list *l, const char *kind, struct error *e)
{
	static const struct {
		const char *list;
		const char *item;
	} kinds[] = {{"List", NULL}, {"ServiceList", "Service"}, {"EndpointSliceList", "EndpointSlice"}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kind, kinds[i].list) != 0)
			continue;
		l->has_kind = true;
		l->item_kind = kinds[i].item;
		return decode_pending(l, e);
	}
	return error_set(e, -EINVAL, "kind is \"%.64s\", not List, ServiceList or EndpointSliceList", kind);
}

static int on_kind(struct kube_list *l, const char *json, size_t len, struct error *e)
{
	char *kind = NULL;
	int err = kube_decode_text(json, len, &kind, e);

	if (err < 0)
		return error_prefix(e, err, "kind");
	err = set_kind(l, kind, e);
	free(kind);
	return err;
}

static int on_member(void *ctx, size_t which, const char *json, size_t len, struct error *e)
{
	struct kube_list *l = ctx;

	if (which == WANTED_KIND)
		return on_kind(l, json, len, e);
	return kube_decode_list_meta(json, len, &l->resource_version, &l->more, e);
}

/* ---- the text ---- */

static int with_origin(const struct kube_list *l, int err, struct error *e)
{
	return err < 0 ? error_prefix(e, err, "%s", l->origin) : err;
}

int kube_list_feed(struct kube_list *l, const char *data, size_t len, struct error *e)
{
	return with_origin(l, items_feed(l->items, data, len, e), e);
}

int kube_list_finish(struct kube_list *l, struct error *e)
{
	int err = items_finish(l->items, e);

	if (err == 0 && !l->has_kind)
		err = error_set(e, -EINVAL, "not a list: kind is missing");
	return with_origin(l, err, e);
}

const char *kube_list_resource_version(const struct kube_list *l)
{
	return l->resource_version ? l->resource_version : "";
}

const char *kube_list_continue(const struct kube_list *l)
{
	return l->more ? l->more : "";
}
