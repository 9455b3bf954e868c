/* SPDX-License-Identifier: Apache-2.0 */
/* What the controller_*.c files share. */
#pragma once

#include "base/hmap.h"
#include "controller.h"
#include "gate.h"
#include "heartbeat.h"
#include "loader.h"
#include "source/source.h"

struct controller {
	const struct controller_params *params;
	struct loop *loop;
	int lock_fd;
	struct store *store;
	struct source *source;
	struct loader *loader;
	struct attachments *attachments;
	struct gate gate;
	struct heartbeat heart;
	struct server_set servers; /* those in the maps */
	struct hmap told_broken;   /* struct told_object: warned of already */
	/* Kept here, copied into the map of the live generation, so that a switch loses nothing. */
	struct nodens_status status;
	uint32_t soa_serial;
	unsigned int beats, objects_read;
	bool is_live; /* the first generation is published */
	int failed;   /* -errno of a callback: the loop was stopped for it */
	struct error failure;
};

static inline struct generation *controller_generation(const struct controller *c)
{
	return loader_generation(c->loader);
}

/* Moves the deadline on, once the datapath is live. */
void controller_beat(struct controller *c);

/* controller_source.c: what the source tells. */
extern const struct source_callbacks controller_source_callbacks;
void controller_forget_broken(struct controller *c);
/* Brings the store's changes into the maps, and everything that hangs on them. Stops the loop on failure. */
void controller_apply(struct controller *c);

/* controller_publish.c: a generation and what is beside the records in it. */
int controller_publish_first(struct controller *c, struct error *e);
int controller_switch(void *ctx, struct generation *old, struct generation *fresh, struct error *e);
/* Server addresses as flags, store and interfaces have them now. */
int controller_update_servers(struct controller *c, struct error *e);
void controller_write_config(struct controller *c, struct generation *g);
void controller_write_status(struct controller *c);
void controller_apply_gate(struct controller *c);
void controller_tell_status(struct controller *c);
