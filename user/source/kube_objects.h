/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the API source: which objects were told, at which version, and which watches have each. An object whose
 * labels are edited may leave one watch and enter another, in any order: it is gone when no watch has it any more.
 */
#pragma once

#include <stdint.h>

#include "base/hmap.h"
#include "kube/object.h"

#define KUBE_WATCHES_MAX 4

struct kube_objects {
	struct hmap known;
};

void kube_objects_init(struct kube_objects *t);
void kube_objects_done(struct kube_objects *t);

/* Watch number `watch` has this object. 1: it is new or changed: tell it; 0: nothing new, or another watch has told a
 * later version; -ENOMEM. */
int kube_objects_put(struct kube_objects *t, unsigned int watch, const struct kube_object *o);
/* Watch number `watch` has it no more. True: nor has any other: tell that it is gone. */
bool kube_objects_remove(struct kube_objects *t, unsigned int watch, enum kube_kind kind, const char *namespace,
			 const char *name);

/* A list of this watch begins: begin, then put or is_same for each object, then end, which calls fn for what is gone.
 */
void kube_objects_begin_list(struct kube_objects *t, unsigned int watch);
/* True: as put would return 0, and it is put. False: nothing was done. */
bool kube_objects_is_same(struct kube_objects *t, unsigned int watch, const struct kube_object *o);
/* It is not in the list after all. */
void kube_objects_unlist(struct kube_objects *t, unsigned int watch, enum kube_kind kind, const char *namespace,
			 const char *name);
void kube_objects_end_list(struct kube_objects *t, unsigned int watch,
			   void (*fn)(void *ctx, enum kube_kind kind, const char *namespace, const char *name),
			   void *ctx);

/* Versions told from now on are those of another server: none compares with one before. */
void kube_objects_forget_versions(struct kube_objects *t);

/* A version as a number, 0: it is none (versions are decimal and comparable since Kubernetes 1.35, KEP-5504, and were
 * so in effect before). */
uint64_t kube_version_number(const char *version);
