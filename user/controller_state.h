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
	bool is_running;	   /* start is over: from here on callbacks go on by themselves */
	bool is_live;		   /* the first generation is published; until synced it holds no records */
	struct generation *former; /* of the agent before, until we are live; NULL: none that can be read */
	uint64_t former_until_ms;  /* CLOCK_MONOTONIC: one that cannot be read may serve until then; 0: none */
	uint64_t error_told_ms;	   /* CLOCK_MONOTONIC: when a cause for that was logged last */
	bool are_servers_stale;	   /* an object that they may hang on has changed */
	bool is_told_serverless;
	uint64_t broken_version; /* of the store, when its broken objects were told last */
	int failed;		 /* -errno of a callback: the loop was stopped for it */
	struct error failure;
};

static inline struct generation *controller_generation(const struct controller *c)
{
	return loader_generation(c->loader);
}

/* Until it is ready, the service manager is told that the start goes on. */
#define CONTROLLER_START_GOES_ON "EXTEND_TIMEOUT_USEC=60000000"

/* Moves the deadline on, once the datapath is live. */
void controller_beat(struct controller *c);

static inline bool controller_is_kube(const struct controller *c)
{
	return !c->params->source_path;
}

static inline bool controller_is_synced(const struct controller *c)
{
	return c->status.synced_ms != 0;
}

/* Something long goes on: beats. -EINTR: the agent was told to end. */
int controller_on_progress(void *ctx);

/* controller_start.c: with the lock held, everything but the heartbeat. */
int controller_load(struct controller *c, struct error *e);
/* The first generation: with the records of the source, or before the source has told them empty and not answering. */
int controller_go_live(struct controller *c, struct error *e);
/* Ends the loop with this failure; the first one counts. e NULL: the words of err. */
void controller_fail(struct controller *c, int err, const struct error *e);

/* controller_former.c: what the agent before this one left. */
void controller_open_former(struct controller *c);
void controller_close_former(struct controller *c);
/* How long its datapath still answers; 0: not at all, or there is none. */
uint64_t controller_former_serves_ms(const struct controller *c);
/* How far its records had come goes into c->status.api, if they were this server's. */
void controller_take_position(struct controller *c);
/* Says in its status, which is what people see, who runs now. */
void controller_tell_former(struct controller *c);

/* controller_source.c: what the source tells. */
extern const struct source_callbacks controller_source_callbacks;
void controller_forget_broken(struct controller *c);
/* The reason for which the gate is shut until the source has told its first state. */
void controller_tell_waiting(struct controller *c);
/* Brings the store's changes into the maps, and everything that hangs on them. Stops the loop on failure. */
void controller_apply(struct controller *c);

/* controller_publish.c: a generation and what is beside the records in it. */
int controller_publish_first(struct controller *c, struct error *e);
int controller_switch(void *ctx, struct generation *old, struct generation *fresh, struct error *e);
/* Server addresses as flags, store and interfaces have them now; not before the source is synced. */
int controller_update_servers(struct controller *c, struct error *e);
void controller_write_config(struct controller *c, struct generation *g);
void controller_write_status(struct controller *c);
void controller_apply_gate(struct controller *c);
/* To the service manager. */
void controller_tell_status(struct controller *c);
void controller_tell_ready(struct controller *c);
