/* SPDX-License-Identifier: Apache-2.0 */
/* Where objects come from: one interface for the file and the API. A source lives on the loop and calls back from it. */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "kube/config.h"
#include "kube/object.h"
#include "nodens/abi.h"

struct source_callbacks {
	/* A whole new state follows: on_put for each object, then on_replaced. */
	void (*on_replace)(void *ctx);
	/* The object is the callee's. Outside of on_replace … on_replaced: one change. */
	void (*on_put)(void *ctx, struct kube_object *object);
	void (*on_delete)(void *ctx, enum kube_kind kind, const char *namespace, const char *name);
	/* The state is complete: apply. nameless counts items whose name cannot be told (0: none); why names the first. */
	void (*on_replaced)(void *ctx, size_t nameless, const char *why);
	/* Changes since the last call are consistent: apply them. */
	void (*on_batch)(void *ctx);
	/* The source cannot be read; what was delivered stays. Called once for each change of cause. e NULL: it can be read
	 * again (told also by on_replaced). */
	void (*on_error)(void *ctx, const struct error *e);
	/* What was delivered may be too old to answer from, and why; NULL: no longer. Called on changes only. */
	void (*on_doubt)(void *ctx, const char *reason);
	/* The source's own counters changed (kube only); copied by the callee when it next writes its status. */
	void (*on_api_status)(void *ctx, const struct nodens_api_status *status);
};

struct source;

/* path: a file or a directory of *.json files. Reads it at once through the callbacks, then watches it with inotify (also
 * when it is replaced by rename or through a symlink as ConfigMap mounts are). A file that cannot be read at start is an
 * error: NULL with e. The callbacks struct is copied. */
struct source *source_file_new(struct loop *l, const char *path, const struct source_callbacks *cb, void *ctx, struct error *e);
/*
 * Services and EndpointSlices of an API server: first the whole state (on_replace … on_replaced, once every watch is
 * synced), then changes. A relist is delivered as the changes that it found, in one batch. Requests go out from the loop;
 * that the server cannot be reached is never an error here but on_error, and is tried again for ever.
 */
struct source_kube_params {
	const struct kube_config *config; /* outlives the source */
	/* Only what headless names need is watched: headless Services, their slices, and the DNS service's object. */
	bool is_headless_only;
	const char *dns_namespace, *dns_service;
	uint64_t api_stale_after_ms;
	/* First lists are put off by a random time up to this; 0: at once. */
	uint64_t spread_ms;
	/* Never older than this (saved by a former agent, for the same server identity); "" : any. */
	char service_version[32], slice_version[32];
};

/* NULL with e: out of memory, or a configuration that cannot work (unreadable CA file). */
struct source *source_kube_new(struct loop *l, const struct source_kube_params *params, const struct source_callbacks *cb,
			       void *ctx, struct error *e);

/* Reads the whole state again now (after a suspend). Once it is read on_replaced tells so, also where nothing changed (an
 * API's: without on_replace before it, the changes found are told as such). */
void source_resync(struct source *s);
void source_free(struct source *s);

/* Reads a file or directory once without a loop (`nodens records --source file:…`): 0 or -errno with e. */
int source_file_read(const char *path, const struct source_callbacks *cb, void *ctx, struct error *e);
