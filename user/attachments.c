/* SPDX-License-Identifier: Apache-2.0 */
/* The datapath on the interfaces that --interface chooses. */
#include "attachments.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "base/log.h"
#include "kernel/attach.h"

struct attachment {
	struct hmap_node node; /* by ifindex */
	struct link_info link;
	struct nodens_interface entry;
	bool is_listed; /* entry is in the interface map */
	bool is_attached;
};

struct attachments {
	struct attach *attach;
	struct links *links;
	const struct interface_rules *rules;
	struct generation *generation; /* NULL: not started */
	struct hmap all;
	bool *is_absence_told; /* for each rule */
	void (*on_change)(void *ctx);
	void *on_change_ctx;
};

static struct attachment *find(const struct attachments *a, uint32_t ifindex)
{
	for (struct hmap_node *n = hmap_first_same(&a->all, ifindex); n; n = hmap_next_same(n)) {
		struct attachment *at = hmap_entry(n, struct attachment, node);

		if (at->link.ifindex == ifindex)
			return at;
	}
	return NULL;
}

/* ---- one interface ---- */

static void write_entry(struct attachments *a, struct attachment *at)
{
	struct error e = {0};

	if (generation_set_interface(a->generation, at->link.ifindex, &at->entry, &e))
		log_error("the interface map cannot be written", LOG_TEXT("interface", at->link.name),
			  LOG_TEXT("cause", e.text));
	at->is_listed = true;
}

static void drop_entry(struct attachments *a, struct attachment *at)
{
	if (at->is_listed)
		(void)generation_remove_interface(a->generation, at->link.ifindex);
	at->is_listed = false;
}

static void detach(struct attachments *a, struct attachment *at)
{
	struct error e = {0};

	if (at->is_attached && attach_remove(a->attach, at->link.ifindex, &e))
		log_warn("an interface cannot be detached", LOG_TEXT("interface", at->link.name),
			 LOG_TEXT("cause", e.text));
	else if (at->is_attached)
		log_info("detached", LOG_TEXT("interface", at->link.name));
	at->is_attached = false;
}

static void list_as_skipped(struct attachments *a, struct attachment *at, const char *reason)
{
	at->entry.hook = NODENS_HOOK_NONE;
	at->entry.priority = at->entry.handle = 0;
	snprintf(at->entry.reason, sizeof(at->entry.reason), "%.*s", (int)sizeof(at->entry.reason) - 1, reason);
	write_entry(a, at);
}

static void attach_one(struct attachments *a, struct attachment *at)
{
	struct error e = {0};
	bool had_failed = at->is_listed && !at->is_attached && at->entry.reason[0];
	char before[sizeof(at->entry.reason)];
	int err;

	memcpy(before, at->entry.reason, sizeof(before));
	/* Listed first: a program that runs before it finds its interface would pass. */
	at->entry.hook = attach_hook(a->attach);
	at->entry.reason[0] = '\0';
	write_entry(a, at);
	err = attach_add(a->attach, at->link.ifindex, generation_tc_fd(a->generation), &at->entry, &e);
	if (err) {
		list_as_skipped(a, at, e.text[0] ? e.text : strerror(-err));
		if (!had_failed || strcmp(before, at->entry.reason) != 0)
			log_error("an interface cannot be attached", LOG_TEXT("interface", at->link.name),
				  LOG_TEXT("cause", at->entry.reason));
		return;
	}
	write_entry(a, at);
	if (!at->is_attached)
		log_info("attached", LOG_TEXT("interface", at->link.name), LOG_NUM("ifindex", at->link.ifindex),
			 LOG_TEXT("hook", at->entry.hook == NODENS_HOOK_TCX ? "tcx" : "clsact"));
	at->is_attached = true;
}

/* Brings one interface into the state that the rules want. */
static void settle(struct attachments *a, struct attachment *at)
{
	struct interface_choice choice;

	interfaces_choose(a->rules, &at->link, &choice);
	snprintf(at->entry.name, sizeof(at->entry.name), "%s", at->link.name);
	at->entry.mtu = at->link.mtu;
	at->entry.flags = choice.flags;
	if (choice.decision == INTERFACE_WANTED) {
		if (at->is_attached)
			write_entry(a, at);
		else
			attach_one(a, at);
		return;
	}
	detach(a, at);
	if (choice.decision == INTERFACE_SKIPPED)
		list_as_skipped(a, at, choice.reason);
	else
		drop_entry(a, at);
	if (choice.lacks_allow && choice.is_named)
		log_warn("an interface is not a pod's and there is no --allow-from: left out",
			 LOG_TEXT("interface", at->link.name));
}

/* ---- events ---- */

static void tell_change(struct attachments *a)
{
	if (a->generation && a->on_change)
		a->on_change(a->on_change_ctx);
}

/* What settle looks at; other changes of a link (statistics, addresses) come often and need nothing. */
static bool is_same(const struct link_info *a, const struct link_info *b)
{
	return strcmp(a->name, b->name) == 0 && a->mtu == b->mtu && a->is_veth == b->is_veth &&
	       a->has_ethernet_header == b->has_ethernet_header && a->peer_is_elsewhere == b->peer_is_elsewhere &&
	       a->has_default_route == b->has_default_route && a->is_up == b->is_up;
}

static void on_link(void *ctx, const struct link_info *link)
{
	struct attachments *a = ctx;
	struct attachment *at = find(a, link->ifindex);
	bool is_new = !at;

	if (is_new) {
		at = calloc(1, sizeof(*at));
		if (!at) {
			log_error("out of memory for an interface", LOG_TEXT("interface", link->name));
			return;
		}
		at->link = *link;
		hmap_insert(&a->all, &at->node, link->ifindex);
	}
	if (!is_new && is_same(&at->link, link))
		return;
	at->link = *link;
	if (!a->generation)
		return;
	settle(a, at);
	tell_change(a);
}

static void on_gone(void *ctx, uint32_t ifindex)
{
	struct attachments *a = ctx;
	struct attachment *at = find(a, ifindex);
	struct error e = {0};

	if (!at)
		return;
	if (at->is_attached) {
		(void)attach_remove(a->attach, ifindex, &e);
		log_info("interface gone", LOG_TEXT("interface", at->link.name));
	}
	if (a->generation)
		drop_entry(a, at);
	hmap_remove(&a->all, &at->node);
	free(at);
	tell_change(a);
}

static bool exists(const struct attachments *a, const char *name)
{
	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		if (strcmp(hmap_entry(n, struct attachment, node)->link.name, name) == 0)
			return true;
	}
	return false;
}

static bool is_absent(const struct attachments *a, const struct interface_rule *rule)
{
	return interfaces_rule_names(rule, rule->pattern) && !exists(a, rule->pattern);
}

static void tell_absent(struct attachments *a)
{
	for (size_t i = 0; i < a->rules->count; i++) {
		const struct interface_rule *rule = &a->rules->rules[i];
		bool is_missing = is_absent(a, rule);

		if (is_missing && !a->is_absence_told[i])
			log_warn("an interface does not exist yet: waiting for it",
				 LOG_TEXT("interface", rule->pattern));
		a->is_absence_told[i] = is_missing;
	}
}

static void on_synced(void *ctx)
{
	struct attachments *a = ctx;

	if (a->generation)
		tell_absent(a);
}

/* ---- all of them ---- */

struct attachments *attachments_new(struct loop *l, const char *dir, const struct interface_rules *rules,
				    struct error *e)
{
	static const struct links_callbacks callbacks = {
		.on_link = on_link, .on_gone = on_gone, .on_synced = on_synced};
	struct attachments *a = calloc(1, sizeof(*a));
	char link_dir[PATH_MAX];

	if (!a)
		return NULL;
	snprintf(link_dir, sizeof(link_dir), "%s/links", dir);
	a->rules = rules;
	hmap_init(&a->all);
	a->is_absence_told = calloc(rules->count, sizeof(bool));
	a->attach = a->is_absence_told ? attach_new(link_dir, e) : NULL;
	a->links = a->attach ? links_new(l, &callbacks, a, e) : NULL;
	if (!a->links) {
		attachments_free(a);
		return NULL;
	}
	return a;
}

void attachments_free(struct attachments *a)
{
	struct hmap_node *next;

	if (!a)
		return;
	links_free(a->links);
	attach_free(a->attach);
	for (struct hmap_node *n = hmap_first(&a->all); n; n = next) {
		next = hmap_next(&a->all, n);
		hmap_remove(&a->all, n);
		free(hmap_entry(n, struct attachment, node));
	}
	hmap_done(&a->all);
	free(a->is_absence_told);
	free(a);
}

int attachments_check(const struct attachments *a, struct error *e)
{
	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		const struct attachment *at = hmap_entry(n, struct attachment, node);
		struct interface_choice choice;

		interfaces_choose(a->rules, &at->link, &choice);
		if (choice.lacks_allow && choice.is_named)
			return error_set(
				e, -EINVAL,
				"%s is not a pod's interface: --allow-from is required there, or the node would "
				"answer spoofed queries",
				at->link.name);
	}
	return 0;
}

void attachments_start(struct attachments *a, struct generation *g)
{
	struct error e = {0};

	a->generation = g;
	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		struct attachment *at = hmap_entry(n, struct attachment, node);

		settle(a, at);
		/* A former agent may have been told otherwise. */
		if (!at->is_attached)
			(void)attach_remove(a->attach, at->link.ifindex, &e);
	}
	tell_absent(a);
}

static void sweep_one(void *ctx, uint32_t ifindex, const struct nodens_interface *entry)
{
	struct attachments *a = ctx;
	struct error e = {0};

	if (entry->hook != NODENS_HOOK_NONE && !find(a, ifindex))
		(void)attach_remove(a->attach, ifindex, &e);
}

void attachments_sweep(struct attachments *a, const struct generation *former)
{
	(void)generation_each_interface(former, sweep_one, a);
}

int attachments_publish(const struct attachments *a, struct generation *g, struct error *e)
{
	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		const struct attachment *at = hmap_entry(n, struct attachment, node);
		int err = at->is_listed ? generation_set_interface(g, at->link.ifindex, &at->entry, e) : 0;

		if (err)
			return err;
	}
	return 0;
}

/* Nothing may go on running the old program: its records are never changed again. */
static void switch_one(struct attachments *a, struct attachment *at)
{
	struct error e = {0};

	if (attach_switch(a->attach, at->link.ifindex, generation_tc_fd(a->generation), &e) == 0)
		return;
	log_warn("an interface cannot be switched over: attaching it anew", LOG_TEXT("interface", at->link.name),
		 LOG_TEXT("cause", e.text));
	detach(a, at);
	settle(a, at);
}

void attachments_switch(struct attachments *a, struct generation *g)
{
	a->generation = g;
	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		struct attachment *at = hmap_entry(n, struct attachment, node);

		if (at->is_attached)
			switch_one(a, at);
	}
}

void attachments_count(const struct attachments *a, struct attachment_counts *ret_counts)
{
	struct attachment_counts c = {0};

	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		const struct attachment *at = hmap_entry(n, struct attachment, node);
		struct interface_choice choice;

		interfaces_choose(a->rules, &at->link, &choice);
		c.attached += at->is_attached;
		c.failed += choice.decision == INTERFACE_WANTED && !at->is_attached;
		c.skipped += choice.decision == INTERFACE_SKIPPED;
	}
	for (size_t i = 0; i < a->rules->count; i++)
		c.absent += is_absent(a, &a->rules->rules[i]);
	*ret_counts = c;
}

void attachments_on_change(struct attachments *a, void (*fn)(void *ctx), void *ctx)
{
	a->on_change = fn;
	a->on_change_ctx = ctx;
}
