/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One collection of the API followed for ever: streaming list (sendInitialEvents) or list, then watch, resumed from the
 * last resource version; relists when that is too old. Callbacks come from the loop.
 *
 *   listing  ── initial-events-end / list complete ──▶  watching  ── clean end, cut, silence ──▶ waiting ──▶ watching
 *      ▲                                                   │ 410, ERROR event                      (backoff)
 *      └──────────────────── waiting ◀─────────────────────┘
 *
 * A watch from a version that the server does not know yet is silent for ever (200 and nothing). So the watch after a
 * failure is a short one: the server shows a sign of life before its end (a bookmark), or the next request is a list,
 * which tells a version that is not known (504).
 *
 * Where nothing changes some servers send no bookmarks. A watch without a failure before it that ends without a sign is
 * followed by a probe, a list of no object: at the same version nothing has changed, at any other a list is needed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kube/client.h"
#include "kube/object.h"
#include "nodens/abi.h"

struct watcher;

struct watcher_params {
	const char *path;      /* "/api/v1/services" */
	const char *selectors; /* percent-encoded, "fieldSelector=spec.clusterIP%3DNone"; "" : none */
	enum kube_kind kind;   /* objects of other kinds are ignored; a list of them is refused */
	char version[32];      /* the first list is not older than this; "" : any */
	uint64_t delay_ms;     /* before the first request */
	/* Watches are made so short that a quiet server shows a sign of life within this; 0: its own pace will do (a
	 * bookmark about each minute). */
	uint64_t quiet_max_ms;
	struct nodens_api_errors *errors; /* counted there; outlives the watcher */
};

enum watcher_trouble {
	WATCHER_FINE,
	WATCHER_UNREACHABLE, /* connection, 5xx, 429, cut, malformed */
	WATCHER_REFUSED,     /* 401, 403 */
	WATCHER_VERSION,     /* the server does not know our version yet (504 with ResourceVersionTooLarge) */
};

struct watcher_callbacks {
	/* A (re)list begins: on_object for all that exist, then on_listed. May begin again before on_listed. */
	void (*on_list)(void *ctx);
	/* The object is the callee's; while listing: one of those that exist, else added or changed. */
	void (*on_object)(void *ctx, struct kube_object *object);
	/* While listing: one of those that were told in it is gone again. */
	void (*on_deleted)(void *ctx, enum kube_kind kind, const char *namespace, const char *name);
	/* Complete; what was not told is gone. nameless, why: as on_replaced of source.h. */
	void (*on_listed)(void *ctx, size_t nameless, const char *why);
	/* The events that arrived in one piece were told. */
	void (*on_batch)(void *ctx);
	/* An event, a bookmark, or a whole list was understood: a sign of life of the server. */
	void (*on_alive)(void *ctx);
	/* A request was accepted (200); whether it works shows later. */
	void (*on_accepted)(void *ctx);
	/* Told on each failed attempt and once with WATCHER_FINE and NULL when it works again. */
	void (*on_trouble)(void *ctx, enum watcher_trouble trouble, const struct error *e);
};

/* Starts by itself after delay_ms. params and callbacks are copied, the texts outlive the watcher. NULL: -ENOMEM. */
struct watcher *watcher_new(struct loop *l, struct kube_client *client, const struct watcher_params *params,
			    const struct watcher_callbacks *cb, void *ctx);
/* Not from its own callbacks. NULL is allowed. */
void watcher_free(struct watcher *w);
/* Lists again now, not older than the last version seen; forget_version: at any version (the server is another one).
 * Allowed from its callbacks. */
void watcher_relist(struct watcher *w, bool forget_version);
/* The server is there again, as others have seen: if it waits for that, it tries again at once. */
void watcher_hurry(struct watcher *w);
/* Listed once. */
bool watcher_is_synced(const struct watcher *w);
/* A watch is open: its silence is the server's. */
bool watcher_is_watching(const struct watcher *w);
/* The last one seen, "" : none. */
const char *watcher_version(const struct watcher *w);
struct watcher_stats {
	uint64_t events;     /* after a list */
	uint64_t relists;    /* completed, but for the first */
	uint64_t reconnects; /* watches taken up again where the last one ended */
};
void watcher_get_stats(const struct watcher *w, struct watcher_stats *ret_stats);
