/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON from the API server or from kubectl to kube_objects. The only module that includes cJSON. A list is cut into its
 * items while it arrives (no tree of the whole list is ever built); each item is decoded and reduced on its own.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "kube/object.h"

/*
 * One object in the form the API server returns, kind from its "kind" or from fallback_kind ("Service",
 * "EndpointSlice"; NULL: none) as list items have none.
 *
 *  0        *ret_object is the caller's (kube_object_free), possibly with `broken` set; or NULL: another kind, ignored
 *  -EINVAL  not an object whose kind, namespace and name can be told, or a slice of which it cannot be told to which
 *           service it belongs: e says why ("metadata.namespace is a number")
 *  -ENOMEM
 */
int kube_decode_object(const char *json, size_t len, const char *fallback_kind, const char *origin,
		       struct kube_object **ret_object, struct error *e);

/* ---- for list.c: texts that items.h handed out, so their syntax is known to be good ---- */

/* As kube_decode_object; besides, -ENODATA: it has no kind of its own and fallback_kind is NULL. */
int kube_decode_item(const char *json, size_t len, const char *fallback_kind, const char *origin,
		     struct kube_object **ret_object, struct error *e);
/* A JSON string; *ret_text is the caller's (free). -EINVAL: it is something else. */
int kube_decode_text(const char *json, size_t len, char **ret_text, struct error *e);
/* metadata of a list: "" for what is missing; the caller's (free). */
int kube_decode_list_meta(const char *json, size_t len, char **ret_version, char **ret_continue, struct error *e);

/* ---- lists, fed in pieces (list.c) ---- */

struct kube_list;

/* An item was decoded; the object is the callee's now. */
typedef int (*kube_list_item_fn)(void *ctx, struct kube_object *object);
/* An item whose kind, namespace or name cannot be told, or that is larger than ITEMS_ITEM_MAX; index counts from 0.
 * What becomes of it is the caller's matter (docs/design.md: it closes the gate). */
typedef int (*kube_list_nameless_fn)(void *ctx, size_t index, const struct error *e);

/* Accepts kind List, ServiceList, EndpointSliceList; items may come before or after kind, apiVersion, metadata.
 * origin is copied and prefixes every message and object ("FILE:items[3]"). NULL: -ENOMEM. */
struct kube_list *kube_list_new(const char *origin, kube_list_item_fn on_item, kube_list_nameless_fn on_nameless,
				void *ctx);
/* -EINVAL: not JSON (with line and column) or no list; or the callback's negative result. After an error only
 * kube_list_free may follow. */
int kube_list_feed(struct kube_list *l, const char *data, size_t len, struct error *e);
/* The end was reached: -EINVAL if the text is incomplete or was no list. */
int kube_list_finish(struct kube_list *l, struct error *e);
/* metadata.resourceVersion and metadata.continue, "" if missing; valid until kube_list_free. */
const char *kube_list_resource_version(const struct kube_list *l);
const char *kube_list_continue(const struct kube_list *l);
void kube_list_free(struct kube_list *l);
