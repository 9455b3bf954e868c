/* SPDX-License-Identifier: Apache-2.0 */
/* One interface: attached, taken off, listed in the interface map with the reason why not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attachments_state.h"
#include "base/log.h"

/* Skipped ones are listed for people only: they may not fill the map. */
#define LISTED_SKIPPED_MAX (NODENS_INTERFACES_MAX / 2)

/* ---- the interface map ------------------------------------------------------------------------------------------ */

static void tell_unwritten(struct attachments *a, const struct attachment *at, int err, const struct error *e)
{
	if (err != -E2BIG) {
		log_error("the interface map cannot be written", LOG_TEXT("interface", at->link.name),
			  LOG_TEXT("cause", e->text));
		return;
	}
	if (!a->is_full_told)
		log_error("more interfaces than the interface map holds: the queries of the others are passed on",
			  LOG_NUM("most", NODENS_INTERFACES_MAX), LOG_TEXT("first", at->link.name));
	a->is_full_told = true;
}

static int write_entry(struct attachments *a, struct attachment *at)
{
	struct error e = {0};
	int err;

	if (at->entry.hook == NODENS_HOOK_NONE && !at->is_listed && a->listed >= LISTED_SKIPPED_MAX)
		return 0;
	err = generation_set_interface(a->generation, at->link.ifindex, &at->entry, &e);
	if (err) {
		tell_unwritten(a, at, err, &e);
		return err;
	}
	a->listed += !at->is_listed;
	at->is_listed = true;
	return 0;
}

void attachments_list(struct attachments *a, struct attachment *at)
{
	(void)write_entry(a, at);
}

static void drop_entry(struct attachments *a, struct attachment *at)
{
	if (!at->is_listed)
		return;
	(void)generation_remove_interface(a->generation, at->link.ifindex);
	a->listed--;
	at->is_listed = false;
	a->is_full_told &= a->listed >= NODENS_INTERFACES_MAX - 1;
}

void attachments_set_reason(struct attachment *at, const char *reason)
{
	snprintf(at->entry.reason, sizeof(at->entry.reason), "%.*s", (int)sizeof(at->entry.reason) - 1, reason);
}

static void list_without_hook(struct attachments *a, struct attachment *at, const char *reason)
{
	at->entry.hook = NODENS_HOOK_NONE;
	at->entry.priority = at->entry.handle = 0;
	attachments_set_reason(at, reason);
	(void)write_entry(a, at);
}

/* ---- off and on ------------------------------------------------------------------------------------------------- */

static void detach(struct attachments *a, struct attachment *at)
{
	struct error e = {0};
	int err;

	attachments_xdp_detach(a, at);
	err = at->tc.was_attached ? attach_remove(a->attach, at->link.ifindex, &e) : 0;

	if (err)
		log_warn("an interface cannot be detached", LOG_TEXT("interface", at->link.name),
			 LOG_TEXT("cause", e.text));
	else if (at->tc.is_attached)
		log_info("detached", LOG_TEXT("interface", at->link.name));
	at->tc = (struct attachment_try){.was_attached = err != 0};
}

bool attachments_note_failure(struct attachment_try *try, const char *cause, char *ret_text, size_t len)
{
	bool is_told = try->pace.failures > 0 && strncmp(try->failure, cause, sizeof(try->failure) - 1) == 0;
	char tries[32] = "";

	snprintf(try->failure, sizeof(try->failure), "%s", cause);
	pace_fail(&try->pace, attachments_now_ms());
	if (try->pace.failures > 1)
		snprintf(tries, sizeof(tries), " (tried %u times)", try->pace.failures);
	snprintf(ret_text, len, "%.*s%s", (int)(len - strlen(tries) - 1), cause, tries);
	return is_told;
}

static void note_failure(struct attachments *a, struct attachment *at, const char *cause)
{
	char text[sizeof(at->entry.reason)];
	bool is_told = attachments_note_failure(&at->tc, cause, text, sizeof(text));

	list_without_hook(a, at, text);
	if (!is_told)
		log_error("an interface cannot be attached: it is tried again", LOG_TEXT("interface", at->link.name),
			  LOG_TEXT("cause", cause));
	attachments_schedule(a, at);
}

static void note_success(struct attachments *a, struct attachment *at)
{
	char text[sizeof(at->entry.reason)] = "";

	if (pace_is_slow(&at->tc.pace))
		snprintf(text, sizeof(text), "taken off again and again by somebody else: put back seldom only");
	attachments_set_reason(at, text);
	(void)write_entry(a, at);
	if (!at->tc.is_attached)
		log_info("attached", LOG_TEXT("interface", at->link.name), LOG_NUM("ifindex", at->link.ifindex),
			 LOG_TEXT("hook", at->entry.hook == NODENS_HOOK_TCX ? "tcx" : "clsact"));
	pace_succeed(&at->tc.pace);
	at->tc.is_attached = at->tc.was_attached = true;
}

static void attach_one(struct attachments *a, struct attachment *at)
{
	struct error e = {0};
	int err;

	/* Listed first: a program that runs before it finds its interface would pass. */
	at->entry.hook = attach_hook(a->attach);
	at->entry.reason[0] = '\0';
	err = write_entry(a, at);
	if (err) {
		at->entry.hook = NODENS_HOOK_NONE;
		return note_failure(a, at, err == -E2BIG ? "the interface map is full" : strerror(-err));
	}
	err = attach_add(a->attach, at->link.ifindex, generation_tc_fd(a->generation), &at->entry, &e);
	if (err)
		return note_failure(a, at, e.text[0] ? e.text : strerror(-err));
	note_success(a, at);
}

/* A new tcx link waits for an RCU grace period, some 15 ms: a hundred new pods would keep the loop from its beat. What
 * is too much for one turn waits for the next. */
static void attach_in_turn(struct attachments *a, struct attachment *at)
{
	uint64_t began_ms = attachments_now_ms();

	if (a->is_starting || a->worked_ms < ATTACHMENTS_WORK_MS) {
		attach_one(a, at);
		a->worked_ms += attachments_now_ms() - began_ms;
	} else {
		if (!at->tc.pace.due_ms)
			list_without_hook(a, at, "waits for its turn");
		at->tc.pace.due_ms = began_ms;
	}
	attachments_schedule(a, at);
}

bool attachments_is_waiting(const struct attachment_try *try)
{
	return try->pace.failures == 0 && try->pace.due_ms > attachments_now_ms();
}

static void tell_lacking(struct attachment *at, const struct interface_choice *choice)
{
	if (choice->lacks_allow && choice->is_named && !at->is_lacking_told)
		log_warn("an interface is not a pod's and there is no --allow-from: left out",
			 LOG_TEXT("interface", at->link.name));
	at->is_lacking_told = choice->lacks_allow;
}

void attachments_settle(struct attachments *a, struct attachment *at)
{
	struct interface_choice choice;

	interfaces_choose(a->rules, &at->link, &choice);
	snprintf(at->entry.name, sizeof(at->entry.name), "%s", at->link.name);
	at->entry.mtu = at->link.mtu;
	at->entry.flags = choice.flags;
	at->is_xdp_wanted = choice.is_xdp;
	if (choice.decision == INTERFACE_WANTED) {
		if (at->tc.is_attached || attachments_is_waiting(&at->tc))
			(void)write_entry(a, at);
		else
			attach_in_turn(a, at);
		attachments_xdp_settle(a, at);
		return;
	}
	detach(a, at);
	if (choice.decision == INTERFACE_SKIPPED)
		list_without_hook(a, at, choice.reason);
	else
		drop_entry(a, at);
	tell_lacking(at, &choice);
}

void attachments_forget(struct attachments *a, struct attachment *at)
{
	struct error e = {0};

	attachments_xdp_detach(a, at);
	/* Of one that moved to another network namespace the link is taken off there. */
	if (at->tc.was_attached)
		(void)attach_remove(a->attach, at->link.ifindex, &e);
	if (at->tc.is_attached)
		log_info("interface gone", LOG_TEXT("interface", at->link.name));
	if (a->generation)
		drop_entry(a, at);
}

/* Nothing may go on running the old program: its records are never changed again. */
void attachments_switch_one(struct attachments *a, struct attachment *at)
{
	struct error e = {0};

	if (attach_switch(a->attach, at->link.ifindex, generation_tc_fd(a->generation), &e) == 0)
		return attachments_xdp_switch(a, at);
	log_warn("an interface cannot be switched over: attaching it anew", LOG_TEXT("interface", at->link.name),
		 LOG_TEXT("cause", e.text));
	detach(a, at);
	attachments_settle(a, at);
}
