/* SPDX-License-Identifier: Apache-2.0 */
/* The datapath on the interfaces that --interface chooses. */
#include "attachments_state.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kernel/attach_xdp.h"

static struct attachment *find(const struct attachments *a, uint32_t ifindex)
{
	for (struct hmap_node *n = hmap_first_same(&a->all, ifindex); n; n = hmap_next_same(n)) {
		struct attachment *at = hmap_entry(n, struct attachment, node);

		if (at->link.ifindex == ifindex)
			return at;
	}
	return NULL;
}

/* ---- events ---- */

/* What settle looks at; other changes of a link (statistics, addresses) come often and need nothing. */
static bool is_same(const struct link_info *a, const struct link_info *b)
{
	return strcmp(a->name, b->name) == 0 && a->mtu == b->mtu && a->is_veth == b->is_veth &&
	       a->has_ethernet_header == b->has_ethernet_header && a->peer_is_elsewhere == b->peer_is_elsewhere &&
	       a->has_default_route == b->has_default_route && a->is_up == b->is_up;
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

static void on_link(void *ctx, const struct link_info *link)
{
	struct attachments *a = ctx;
	struct attachment *at = find(a, link->ifindex);
	bool is_new = !at, is_renamed;

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
	is_renamed = strcmp(at->link.name, link->name) != 0;
	at->link = *link;
	if (!a->generation)
		return;
	attachments_settle(a, at);
	if (is_new || is_renamed)
		tell_absent(a);
	attachments_tell_change(a);
}

static void on_gone(void *ctx, uint32_t ifindex)
{
	struct attachments *a = ctx;
	struct attachment *at = find(a, ifindex);

	if (!at)
		return;
	attachments_forget(a, at);
	hmap_remove(&a->all, &at->node);
	free(at);
	if (a->generation)
		tell_absent(a);
	attachments_tell_change(a);
}

static void on_tc(void *ctx, uint32_t ifindex, bool is_qdisc_gone)
{
	struct attachments *a = ctx;
	struct attachment *at = a->generation ? find(a, ifindex) : NULL;

	if (is_qdisc_gone)
		attach_qdisc_gone(a->attach, ifindex);
	if (at)
		attachments_suspect(a, at);
}

static void on_synced(void *ctx)
{
	struct attachments *a = ctx;

	if (!a->generation)
		return;
	tell_absent(a);
	attachments_check_all(a);
}

/* ---- all of them ---- */

struct attachments *attachments_new(struct loop *l, const char *dir, const struct interface_rules *rules,
				    struct error *e)
{
	struct links_callbacks callbacks = {.on_link = on_link, .on_gone = on_gone, .on_synced = on_synced};
	struct attachments *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	snprintf(a->link_dir, sizeof(a->link_dir), "%s/links", dir);
	a->loop = l;
	a->rules = rules;
	hmap_init(&a->all);
	a->is_absence_told = calloc(rules->count, sizeof(bool));
	a->attach = a->is_absence_told ? attach_new(a->link_dir, e) : NULL;
	if (a->attach && attach_hook(a->attach) == NODENS_HOOK_CLSACT)
		callbacks.on_tc = on_tc;
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
	attachments_watch_end(a);
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
	a->is_starting = true;
	if (attachments_watch_start(a))
		log_error("interfaces are not watched: what others remove is not put back",
			  LOG_TEXT("cause", strerror(errno)));
	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		struct attachment *at = hmap_entry(n, struct attachment, node);

		attachments_settle(a, at);
		/* A former agent may have been told otherwise. */
		if (!at->tc.is_attached && (at->tc.pace.failures || !at->tc.pace.due_ms))
			(void)attach_remove(a->attach, at->link.ifindex, &e);
		if (!at->xdp.is_attached)
			(void)attach_xdp_remove(a->link_dir, at->link.ifindex, &e);
		/* A filter that was adopted may stand behind others by now. */
		attachments_suspect(a, at);
		if (a->is_starting && a->on_progress)
			a->is_starting = a->on_progress(a->on_progress_ctx) == 0;
	}
	a->is_starting = false;
	tell_absent(a);
}

/* By the pins, not by the former agent's map of interfaces: that may be of another layout, or gone. */
void attachments_sweep(struct attachments *a)
{
	static const char *const kinds[] = {"tcx_%u", "xdp_%u", "qdisc_%u"};
	DIR *d = opendir(a->link_dir);
	struct error e = {0};

	if (!d)
		return;
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		uint32_t ifindex = 0;

		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && ifindex == 0; i++)
			(void)sscanf(entry->d_name, kinds[i], &ifindex);
		if (ifindex == 0 || find(a, ifindex))
			continue;
		(void)attach_remove(a->attach, ifindex, &e);
		(void)attach_xdp_remove(a->link_dir, ifindex, &e);
	}
	closedir(d);
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

void attachments_switch(struct attachments *a, struct generation *g)
{
	a->generation = g;
	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		struct attachment *at = hmap_entry(n, struct attachment, node);

		if (at->tc.is_attached)
			attachments_switch_one(a, at);
	}
}

void attachments_count(const struct attachments *a, struct attachment_counts *ret_counts)
{
	struct attachment_counts c = {0};

	for (struct hmap_node *n = hmap_first(&a->all); n; n = hmap_next(&a->all, n)) {
		const struct attachment *at = hmap_entry(n, struct attachment, node);
		struct interface_choice choice;

		interfaces_choose(a->rules, &at->link, &choice);
		c.attached += at->tc.is_attached;
		c.failed += choice.decision == INTERFACE_WANTED && !at->tc.is_attached;
		c.skipped += choice.decision == INTERFACE_SKIPPED;
	}
	for (size_t i = 0; i < a->rules->count; i++)
		c.absent += is_absent(a, &a->rules->rules[i]);
	*ret_counts = c;
}

void attachments_on_progress(struct attachments *a, int (*fn)(void *ctx), void *ctx)
{
	a->on_progress = fn;
	a->on_progress_ctx = ctx;
}

void attachments_on_change(struct attachments *a, void (*fn)(void *ctx), void *ctx)
{
	a->on_change = fn;
	a->on_change_ctx = ctx;
}
