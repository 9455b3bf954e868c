/* SPDX-License-Identifier: Apache-2.0 */
/* Where objects come from: one interface for the file and the API. A source lives on the loop and calls back from it. */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "kube/object.h"

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
	/* The source cannot be read; what was delivered stays. Called once for each change of cause. */
	void (*on_error)(void *ctx, const struct error *e);
};

struct source;

/* path: a file or a directory of *.json files. Reads it at once through the callbacks, then watches it with inotify (also
 * when it is replaced by rename or through a symlink as ConfigMap mounts are). A file that cannot be read at start is an
 * error: NULL with e. The callbacks struct is copied. */
struct source *source_file_new(struct loop *l, const char *path, const struct source_callbacks *cb, void *ctx, struct error *e);
/* Reads the whole state again now (after a suspend). */
void source_resync(struct source *s);
void source_free(struct source *s);

/* Reads a file or directory once without a loop (`nodens records --source file:…`): 0 or -errno with e. */
int source_file_read(const char *path, const struct source_callbacks *cb, void *ctx, struct error *e);
