/* SPDX-License-Identifier: Apache-2.0 */
/* What the attachments*.c files share. */
#pragma once

#include <limits.h>

#include "attachments.h"
#include "base/hmap.h"
#include "kernel/attach.h"
#include "pace.h"

/* Of attaching in one turn of the loop. */
#define ATTACHMENTS_WORK_MS 50

/* One program on one interface. */
struct attachment_try {
	bool is_attached;
	bool was_attached; /* something of ours may be left */
	bool is_slow_told; /* that it goes on at the slow pace */
	struct pace pace;  /* when it is tried again */
	char failure[128]; /* why it could not be attached last */
};

struct attachment {
	struct hmap_node node; /* by ifindex */
	struct link_info link;
	struct nodens_interface entry;
	struct attachment_try tc;
	struct attachment_try xdp; /* only while TC is attached */
	uint64_t check_ms; /* when to look whether the program is still there; 0: at the next round */
	bool is_listed;	   /* entry is in the interface map */
	bool is_xdp_wanted;
	bool was_moved;	      /* in front of a filter that came later: once */
	bool is_lacking_told; /* that --allow-from is missing */
	bool is_veth_told;    /* what XDP on a veth costs */
	bool is_tags_told;    /* that the card keeps VLAN tags from XDP */
};

struct attachments {
	struct loop *loop;
	struct attach *attach;
	char link_dir[PATH_MAX]; /* pins of links */
	struct links *links;
	const struct interface_rules *rules;
	struct generation *generation; /* NULL: not started */
	struct hmap all;
	size_t listed;		    /* in the interface map */
	bool is_full_told;	    /* that the map is full */
	struct loop_handle *due;    /* timer of what is tried again or looked at once more */
	struct loop_handle *rounds; /* timer of the next look at all of them */
	uint64_t due_ms;	    /* when `due` fires; 0: disarmed */
	uint64_t worked_ms;	     /* attaching since the loop had its turn */
	bool is_change_due;	     /* on_change is to be called */
	bool is_starting;	     /* then all are attached in one go */
	bool *is_absence_told;	    /* for each rule */
	void (*on_change)(void *ctx);
	void *on_change_ctx;
	int (*on_progress)(void *ctx);
	void *on_progress_ctx;
};

/* attachments_settle.c: one interface. */

/* Counts a failure and says in ret_text why, how often and, cut, all in len octets. true: the same cause was told already. */
bool attachments_note_failure(struct attachment_try *try, const char *cause, char *ret_text, size_t len);
/* Somebody took us off: not before its time, whatever else happens to the interface. */
bool attachments_is_waiting(const struct attachment_try *try);
void attachments_set_reason(struct attachment *at, const char *reason);
/* Brings it into the state that the rules want. */
void attachments_settle(struct attachments *a, struct attachment *at);
/* Writes at->entry into the interface map. */
void attachments_list(struct attachments *a, struct attachment *at);
/* Switches it to the program of a->generation. */
void attachments_switch_one(struct attachments *a, struct attachment *at);
/* It is gone or no longer known: nothing of ours stays behind. */
void attachments_forget(struct attachments *a, struct attachment *at);

/* attachments_xdp.c: XDP in front of TC, on an interface that has TC; without it TC goes on alone. */

void attachments_xdp_settle(struct attachments *a, struct attachment *at);
void attachments_xdp_switch(struct attachments *a, struct attachment *at);
void attachments_xdp_detach(struct attachments *a, struct attachment *at);
/* Looks whether the program with this id is still there. */
void attachments_xdp_check(struct attachments *a, struct attachment *at, uint32_t prog_id);

/* attachments_watch.c: what others do to it, and trying again. */

int attachments_watch_start(struct attachments *a);
void attachments_watch_end(struct attachments *a);
/* Something happened to the filters of this interface: looked at in a moment. */
void attachments_suspect(struct attachments *a, struct attachment *at);
/* Looks at all of them now. */
void attachments_check_all(struct attachments *a);
/* Tells whoever asked for changes, once for all of a turn. */
void attachments_tell_change(struct attachments *a);
/* Counts a loss and tells of it; `what` was taken off. */
void attachments_note_loss(struct attachments *a, struct attachment *at, struct attachment_try *try, const char *what);
/* Makes sure that the timer fires for what is due and for at->check_ms. */
void attachments_schedule(struct attachments *a, const struct attachment *at);
uint64_t attachments_now_ms(void);
