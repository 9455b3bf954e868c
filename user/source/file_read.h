/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the file source: a file or a folder of files read into memory, all or nothing. */
#pragma once

#include "base/hmap.h"
#include "source/source.h"

struct file_state {
	struct kube_object **objects;
	size_t count;
	size_t cap;
	struct hmap keys; /* to see the same object twice */
	size_t nameless;
	char why[sizeof(((struct error *)0)->text)]; /* of the first nameless item, "" without */
	struct error error;			     /* from inside of a callback */
};

/* can_wait: pipes are read too, until their end. 0, or -errno with the cause in e, and *ret_state untouched. */
int file_state_read(const char *path, bool can_wait, struct file_state *ret_state, struct error *e);
/* Hands the objects over; the state is empty then. */
void file_state_deliver(struct file_state *s, const struct source_callbacks *cb, void *ctx);
void file_state_done(struct file_state *s);

/* Which files of a folder are read: *.json, none that begins with a dot. */
bool file_name_counts(const char *name);
