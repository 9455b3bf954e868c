/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the API source: what its files share. kube.c makes it, kube_tell.c turns what the watches tell into states
 * and changes. */
#pragma once

#include "kube/watcher.h"
#include "source/kube_doubt.h"
#include "source/kube_objects.h"
#include "source/kube_trouble.h"
#include "source/source_ops.h"

struct kube_source;

struct kube_watch {
	struct kube_source *source;
	unsigned int index;
	struct watcher *watcher;
	enum kube_kind kind;
	char path[128], selectors[192];
	bool is_synced, is_listing;
	bool is_awaited; /* its list ends a resync */
	/* What a later list has changed, until it is complete. */
	struct kube_object **changed;
	size_t changed_count, changed_cap;
};

struct kube_source {
	struct source source;
	struct loop *loop;
	struct source_callbacks cb;
	void *ctx;
	struct kube_client *client;
	struct kube_watch watches[KUBE_WATCHES_MAX];
	unsigned int count;
	struct kube_objects objects;
	struct kube_doubt doubt;
	bool is_doubt_told;
	struct kube_trouble trouble;
	struct loop_handle *doubt_timer, *trouble_timer, *status_timer;
	bool is_begun, is_replaced; /* on_replace, on_replaced were called */
	bool is_status_due;	    /* its timer runs */
	struct nodens_api_status status;
};

/* What a watcher tells; its context is the struct kube_watch. */
extern const struct watcher_callbacks kube_watcher_callbacks;
/* Of the source's timers; their context is the struct kube_source. */
void kube_on_doubt_timer(void *ctx);
void kube_on_trouble_timer(void *ctx);
void kube_on_status_timer(void *ctx);
/* Of a list that has not been completed. */
void kube_drop_changed(struct kube_watch *w);
