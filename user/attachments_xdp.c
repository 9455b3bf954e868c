/* SPDX-License-Identifier: Apache-2.0 */
/* XDP in front of TC on the interfaces that ask for it. Whatever goes wrong with it, TC goes on alone. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attachments_state.h"
#include "base/log.h"
#include "kernel/attach_xdp.h"

static void list(struct attachments *a, struct attachment *at, enum nodens_hook xdp, const char *reason)
{
	at->entry.xdp = xdp;
	attachments_set_reason(at, reason);
	attachments_list(a, at);
}

static void note_failure(struct attachments *a, struct attachment *at, const char *cause)
{
	char text[sizeof(at->entry.reason) - 5], reason[sizeof(at->entry.reason)];
	bool is_told = attachments_note_failure(&at->xdp, cause, text, sizeof(text));

	snprintf(reason, sizeof(reason), "XDP: %s", text);
	list(a, at, NODENS_HOOK_NONE, reason);
	if (!is_told)
		log_error("an interface gets no XDP: TC goes on alone, and it is tried again",
			  LOG_TEXT("interface", at->link.name), LOG_TEXT("cause", cause));
	attachments_schedule(a, at);
}

/* A property of the veth driver: a frame sent back is only fetched where the peer runs a program, too. */
static void warn_of_veth(struct attachment *at)
{
	if (at->link.is_veth && !at->is_veth_told)
		log_warn(
			"XDP on a veth: answers are lost unless its peer has an XDP program too, large packets are not "
			"passed whole any more (GSO), and its MTU is limited; leave :xdp out for pods",
			LOG_TEXT("interface", at->link.name));
	at->is_veth_told = true;
}

/* Its own VLAN devices see the tags; an XDP program never does. */
static void warn_of_tags(struct attachment *at)
{
	if (!at->is_tags_told && attach_xdp_misses_tags(at->link.name))
		log_warn("XDP on an interface that takes VLAN tags out of frames: answers to queries with a tag go without "
			 "it and are lost; where VLANs are in use: ethtool -K NAME rxvlan off",
			 LOG_TEXT("interface", at->link.name));
	at->is_tags_told = true;
}

static void attach_one(struct attachments *a, struct attachment *at)
{
	int err, prog_fd = generation_xdp_fd(a->generation);
	struct error e = {0};

	if (prog_fd < 0)
		return note_failure(a, at, generation_xdp_note(a->generation));
	err = attach_xdp_add(a->link_dir, at->link.ifindex, prog_fd, &at->entry, &e);
	if (err)
		return note_failure(a, at, e.text[0] ? e.text : strerror(-err));
	warn_of_veth(at);
	warn_of_tags(at);
	log_info("attached", LOG_TEXT("interface", at->link.name), LOG_NUM("ifindex", at->link.ifindex),
		 LOG_TEXT("hook", "xdp"));
	pace_succeed(&at->xdp.pace);
	at->xdp.is_attached = at->xdp.was_attached = true;
	list(a, at, NODENS_HOOK_XDP,
	     pace_is_slow(&at->xdp.pace) ? "XDP: taken off again and again by somebody else: put back seldom only"
					 : "");
}

void attachments_xdp_settle(struct attachments *a, struct attachment *at)
{
	if (!at->is_xdp_wanted)
		return attachments_xdp_detach(a, at);
	/* Its time comes with TC's. */
	if (!at->tc.is_attached)
		at->xdp.pace.due_ms = 0;
	else if (!at->xdp.is_attached && !attachments_is_waiting(&at->xdp))
		attach_one(a, at);
}

void attachments_xdp_detach(struct attachments *a, struct attachment *at)
{
	struct error e = {0};
	int err = at->xdp.was_attached ? attach_xdp_remove(a->link_dir, at->link.ifindex, &e) : 0;

	if (err)
		log_warn("XDP cannot be taken off an interface", LOG_TEXT("interface", at->link.name),
			 LOG_TEXT("cause", e.text));
	at->xdp = (struct attachment_try){.was_attached = err != 0};
	at->entry.xdp = NODENS_HOOK_NONE;
}

/* Nothing may go on running the old program. */
void attachments_xdp_switch(struct attachments *a, struct attachment *at)
{
	int prog_fd = generation_xdp_fd(a->generation);
	struct error e = {0};

	if (!at->xdp.is_attached)
		return;
	if (prog_fd >= 0 && attach_xdp_switch(a->link_dir, at->link.ifindex, prog_fd, &e) == 0)
		return;
	log_warn("XDP of an interface cannot be switched over: attaching it anew", LOG_TEXT("interface", at->link.name),
		 LOG_TEXT("cause", e.text));
	attachments_xdp_detach(a, at);
	attachments_xdp_settle(a, at);
}

void attachments_xdp_check(struct attachments *a, struct attachment *at, uint32_t prog_id)
{
	char reason[sizeof(at->entry.reason)];

	if (!at->xdp.is_attached || !prog_id || attach_xdp_check(at->link.ifindex, prog_id) != 0)
		return;
	attachments_note_loss(a, at, &at->xdp, "xdp");
	snprintf(reason, sizeof(reason), "XDP: taken off by somebody else (%u times): put back %s", at->xdp.pace.losses,
		 pace_is_slow(&at->xdp.pace) ? "seldom only" : "in a moment");
	list(a, at, NODENS_HOOK_NONE, reason);
}
