/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON from the API server or from kubectl to kube_objects. The only module (decode*.c) that includes cJSON. A list is cut into its
 * items while it arrives (no tree of the whole list is ever built); each item is decoded and reduced on its own.
 */
#pragma once

#include <stdbool.h>
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

/* ---- watches ---- */

enum kube_event_type { KUBE_EVENT_PUT, KUBE_EVENT_DELETED, KUBE_EVENT_BOOKMARK, KUBE_EVENT_ERROR };

struct kube_event {
	enum kube_event_type type;
	/* PUT: whole; DELETED: kind, namespace, name at least. NULL: an object of a kind that we do not know. Else NULL. */
	struct kube_object *object;
	char resource_version[32];  /* of the object or bookmark; "" : missing */
	bool is_initial_end;	    /* BOOKMARK: the streaming list is complete (k8s.io/initial-events-end) */
	int status_code;	    /* ERROR: Status.code, 0: none */
	bool is_version_unknown;    /* ERROR: the server does not know the version asked for yet */
	char message[256];	    /* ERROR: reason and message, made printable */
};

/* One line of a watch. *ret_event's object is the caller's. -EINVAL with e: not an event, or its object cannot be named (as
 * kube_decode_object); -ENOMEM. */
int kube_decode_event(const char *json, size_t len, struct kube_event *ret_event, struct error *e);

/* The body of an error response: a Status in JSON, or any text (429 is text/plain). Never fails: what cannot be read gives 0 and
 * the beginning of the text, made printable. *ret_is_version: the server does not know the version asked for yet
 * (cause ResourceVersionTooLarge). */
void kube_decode_status(const char *body, size_t len, int *ret_code, char ret_message[256], bool *ret_is_version);

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
