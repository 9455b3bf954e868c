/* SPDX-License-Identifier: Apache-2.0 */
/* The datapath on the interfaces that --interface chooses, now and as they come and go, and the interface map that
 * tells of them. An interface that cannot be attached is logged and shown, and never ends the agent. */
#pragma once

#include "base/loop.h"
#include "interfaces.h"
#include "kernel/generation.h"

struct attachments;

struct attachment_counts {
	size_t attached;
	size_t skipped;
	size_t failed;
	size_t absent; /* --interface NAME that does not exist yet */
};

/* Learns all interfaces; nothing is attached before attachments_start. dir: the pin folder. rules outlive it. NULL with
 * e. */
struct attachments *attachments_new(struct loop *l, const char *dir, const struct interface_rules *rules,
				    struct error *e);
/* Leaves everything attached. NULL is allowed. */
void attachments_free(struct attachments *a);
/* -EINVAL with e: an interface asked for by its name needs --allow-from and has none. */
int attachments_check(const struct attachments *a, struct error *e);
/* Attaches this generation's program everywhere it is wanted (adopting links of a former agent), and follows changes
 * from now on. */
void attachments_start(struct attachments *a, struct generation *g);
/* Called while attachments_start attaches, now and then: a sign of life may be due. Not 0: it is to end; the rest is
 * attached from the loop. */
void attachments_on_progress(struct attachments *a, int (*fn)(void *ctx), void *ctx);
/* Removes what a former agent left for interfaces that went while none ran. */
void attachments_sweep(struct attachments *a);
/* Writes the interface map of a generation that is about to become the live one. */
int attachments_publish(const struct attachments *a, struct generation *g, struct error *e);
/* Switches every link to this generation's program, one after the other, each atomically. */
void attachments_switch(struct attachments *a, struct generation *g);
void attachments_count(const struct attachments *a, struct attachment_counts *ret_counts);
/* Called on each change after attachments_start: to tell the service manager. */
void attachments_on_change(struct attachments *a, void (*fn)(void *ctx), void *ctx);
