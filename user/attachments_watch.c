/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others do to our programs, and trying again. Filters and qdiscs that change are told by netlink. Links that are
 * unpinned or detached are told by nobody: rounds look at all of them, the more there are the more seldom.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attachments_state.h"
#include "base/log.h"

/* A round costs a system call for each interface: some 0.05 % of one CPU, however many there are. */
#define ROUND_MS     1000
#define ROUND_ONE_MS 4
/* Who changes one filter is about to change more. */
#define SUSPECT_MS 20

uint64_t attachments_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- when ------------------------------------------------------------------------------------------------------- */

static void schedule_at(struct attachments *a, uint64_t when_ms)
{
	uint64_t now_ms = attachments_now_ms();

	if (!a->due || !when_ms || (a->due_ms && a->due_ms <= when_ms))
		return;
	a->due_ms = when_ms;
	(void)loop_set_timer(a->due, when_ms > now_ms ? when_ms - now_ms : 1, 0);
}

void attachments_schedule(struct attachments *a, const struct attachment *at)
{
	schedule_at(a, at->tc.pace.due_ms);
	schedule_at(a, at->xdp.pace.due_ms);
	schedule_at(a, at->check_ms);
	/* The turn ends by itself. */
	if (a->worked_ms)
		schedule_at(a, attachments_now_ms());
}

void attachments_tell_change(struct attachments *a)
{
	if (!a->generation)
		return;
	a->is_change_due = true;
	schedule_at(a, attachments_now_ms());
}

void attachments_suspect(struct attachments *a, struct attachment *at)
{
	if (!at->tc.is_attached || at->check_ms)
		return;
	at->check_ms = attachments_now_ms() + SUSPECT_MS;
	attachments_schedule(a, at);
}

/* ---- what became of it ------------------------------------------------------------------------------------------ */

void attachments_note_loss(struct attachments *a, struct attachment *at, struct attachment_try *try, const char *what)
{
	try->is_attached = false;
	pace_lose(&try->pace, attachments_now_ms());
	if (!pace_is_slow(&try->pace))
		log_warn("somebody took a program of ours off an interface: putting it back",
			 LOG_TEXT("interface", at->link.name), LOG_TEXT("program", what),
			 LOG_NUM("times", try->pace.losses), LOG_NUM("in_ms", try->pace.due_ms - try->pace.lost_ms));
	else if (!try->is_slow_told)
		log_error("somebody takes a program of ours off an interface again and again: putting it back seldom "
			  "only",
			  LOG_TEXT("interface", at->link.name), LOG_TEXT("program", what),
			  LOG_NUM("times", try->pace.losses), LOG_NUM("every_s", PACE_SLOW_MS / 1000));
	try->is_slow_told = pace_is_slow(&try->pace);
	attachments_schedule(a, at);
}

static void lose(struct attachments *a, struct attachment *at)
{
	attachments_note_loss(a, at, &at->tc, "tc");
	snprintf(at->entry.reason, sizeof(at->entry.reason), "taken off by somebody else (%u times): put back %s",
		 at->tc.pace.losses, pace_is_slow(&at->tc.pace) ? "seldom only" : "in a moment");
	at->entry.hook = NODENS_HOOK_NONE;
	at->entry.priority = at->entry.handle = 0;
	attachments_list(a, at);
	attachments_tell_change(a);
}

/* Whoever comes before us once more stays there: no fight for the head. */
static void move_front(struct attachments *a, struct attachment *at)
{
	struct error e = {0};

	if (at->was_moved)
		return;
	at->was_moved = true;
	log_info("a filter of another owner came before ours: moving in front of it once",
		 LOG_TEXT("interface", at->link.name));
	if (attach_move_front(a->attach, at->link.ifindex, generation_tc_fd(a->generation), &e))
		log_warn("a filter cannot be moved", LOG_TEXT("interface", at->link.name), LOG_TEXT("cause", e.text));
}

static void check(struct attachments *a, struct attachment *at, uint32_t prog_id)
{
	struct error e = {0};
	int presence;

	at->check_ms = 0;
	if (!at->tc.is_attached || !prog_id)
		return;
	presence = attach_check(a->attach, at->link.ifindex, prog_id, &e);
	if (presence == ATTACH_LOST)
		lose(a, at);
	else if (presence == ATTACH_BEHIND)
		move_front(a, at);
	/* An interface that is gone is told by netlink; whatever else goes wrong is seen at the next look. */
}

/* The id of a program that may not be there. */
static uint32_t id_of(int prog_fd)
{
	return prog_fd < 0 ? 0 : attach_program_id(prog_fd);
}

static void check_all(struct attachments *a, bool is_tc_too)
{
	uint32_t tc = id_of(generation_tc_fd(a->generation)), xdp = id_of(generation_xdp_fd(a->generation));

	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		struct attachment *at = hmap_entry(n, struct attachment, node);

		if (is_tc_too)
			check(a, at, tc);
		attachments_xdp_check(a, at, xdp);
	}
}

void attachments_check_all(struct attachments *a)
{
	check_all(a, true);
}

/* ---- timers ----------------------------------------------------------------------------------------------------- */

static bool is_due(const struct attachment_try *try, uint64_t now_ms)
{
	return !try->is_attached && try->pace.due_ms && try->pace.due_ms <= now_ms;
}

static void tell_if_changed(struct attachments *a)
{
	if (a->is_change_due && a->on_change)
		a->on_change(a->on_change_ctx);
	a->is_change_due = false;
}

static void on_due(void *ctx)
{
	struct attachments *a = ctx;
	uint64_t now_ms = attachments_now_ms();
	uint32_t prog_id = id_of(generation_tc_fd(a->generation));

	a->due_ms = a->worked_ms = 0;
	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		struct attachment *at = hmap_entry(n, struct attachment, node);

		if (at->check_ms && at->check_ms <= now_ms)
			check(a, at, prog_id);
		if (a->worked_ms < ATTACHMENTS_WORK_MS && (is_due(&at->tc, now_ms) || is_due(&at->xdp, now_ms))) {
			attachments_settle(a, at);
			a->is_change_due = true;
		}
		attachments_schedule(a, at);
	}
	tell_if_changed(a);
}

/* Filters are told of by netlink, and a look at them is a dump. */
static void on_round(void *ctx)
{
	struct attachments *a = ctx;

	check_all(a, attach_hook(a->attach) == NODENS_HOOK_TCX);
	(void)loop_set_timer(a->rounds, ROUND_MS + a->all.count * ROUND_ONE_MS, 0);
}

int attachments_watch_start(struct attachments *a)
{
	a->due = loop_add_timer(a->loop, 0, 0, on_due, a);
	a->rounds = a->due ? loop_add_timer(a->loop, ROUND_MS, 0, on_round, a) : NULL;
	return a->rounds ? 0 : -errno;
}

void attachments_watch_end(struct attachments *a)
{
	loop_remove(a->loop, a->rounds);
	loop_remove(a->loop, a->due);
}
