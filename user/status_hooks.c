/* SPDX-License-Identifier: Apache-2.0 */
/* Who else is on the hooks of our interfaces, for `nodens status`. */
#include "status_hooks.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/neighbours.h"

struct hook_entry {
	uint32_t ifindex;
	char interface[16];
	struct neighbour who;
};

struct status_hooks {
	struct hook_entry *entries; /* heap; by interface, and there in the order in which they run */
	size_t count;
	size_t shared; /* interfaces with others on them */
	const struct status_interface *asked;
	bool is_asked_shared;
	struct error error; /* the first one */
};

static void take(void *ctx, const struct neighbour *who)
{
	struct status_hooks *h = ctx;
	struct hook_entry *entries = reallocarray(h->entries, h->count + 1, sizeof(*entries));
	struct hook_entry *entry;

	if (!entries)
		return;
	h->entries = entries;
	entry = &entries[h->count++];
	*entry = (struct hook_entry){.ifindex = h->asked->ifindex, .who = *who};
	snprintf(entry->interface, sizeof(entry->interface), "%s", h->asked->entry.name);
	h->is_asked_shared |= !who->is_ours;
}

static void ask(struct status_hooks *h, const struct neighbours *n, const struct status_interface *i)
{
	struct error e = {0};

	h->asked = i;
	h->is_asked_shared = false;
	if (neighbours_each(n, i->ifindex, take, h, &e) && !h->error.text[0]) {
		(void)error_prefix(&e, 0, "%s", i->entry.name);
		h->error = e;
	}
	h->shared += h->is_asked_shared;
}

struct status_hooks *status_hooks_collect(const char *dir, const struct status_interface *interfaces, size_t count)
{
	struct status_hooks *h = calloc(1, sizeof(*h));
	struct neighbours *n = h ? neighbours_new(dir) : NULL;

	for (size_t i = 0; n && i < count; i++) {
		if (interfaces[i].entry.hook != NODENS_HOOK_NONE || status_interface_has_failed(&interfaces[i]))
			ask(h, n, &interfaces[i]);
	}
	neighbours_free(n);
	return h;
}

void status_hooks_free(struct status_hooks *h)
{
	if (!h)
		return;
	free(h->entries);
	free(h);
}

static const char *hook_name(enum nodens_hook hook)
{
	switch (hook) {
	case NODENS_HOOK_NONE:
		break;
	case NODENS_HOOK_TCX:
		return "tcx";
	case NODENS_HOOK_CLSACT:
		return "clsact";
	case NODENS_HOOK_XDP:
		return "xdp";
	}
	return "none";
}

/* ---- text ---- */

static bool is_shared(const struct status_hooks *h, size_t first)
{
	for (size_t i = first; i < h->count && h->entries[i].ifindex == h->entries[first].ifindex; i++) {
		if (!h->entries[i].who.is_ours)
			return true;
	}
	return false;
}

static void print_entry(FILE *out, const struct hook_entry *entry)
{
	const struct neighbour *who = &entry->who;

	fprintf(out, "  %-16s %-8s", entry->interface, hook_name(who->hook));
	if (who->hook == NODENS_HOOK_CLSACT)
		fprintf(out, " priority %u, handle 0x%x, %s", who->priority, who->handle, who->kind);
	if (who->prog_id)
		fprintf(out, " program %u", who->prog_id);
	fprintf(out, "%s%s%s\n", who->name[0] ? " " : "", who->name, who->is_ours ? " (ours)" : "");
}

void status_hooks_print_text(FILE *out, const struct status_hooks *h)
{
	bool is_shown = false;

	if (!h || (!h->shared && !h->error.text[0]))
		return;
	fprintf(out, "\nhooks       %zu interface%s shared with others, in the order in which they run\n", h->shared,
		h->shared == 1 ? "" : "s");
	if (h->error.text[0])
		fprintf(out, "  NOT KNOWN: %s\n", h->error.text);
	for (size_t i = 0; i < h->count; i++) {
		if (i == 0 || h->entries[i].ifindex != h->entries[i - 1].ifindex)
			is_shown = is_shared(h, i);
		if (is_shown)
			print_entry(out, &h->entries[i]);
	}
}

/* ---- JSON ---- */

void status_hooks_put_json(struct jsonout *j, const struct status_hooks *h)
{
	jsonout_open_array(j, "hooks");
	for (size_t i = 0; h && i < h->count; i++) {
		const struct hook_entry *entry = &h->entries[i];

		jsonout_open_object(j, NULL);
		jsonout_text(j, "interface", entry->interface);
		jsonout_number(j, "ifindex", entry->ifindex);
		jsonout_text(j, "hook", hook_name(entry->who.hook));
		jsonout_bool(j, "ours", entry->who.is_ours);
		jsonout_number(j, "program", entry->who.prog_id);
		jsonout_text(j, "name", entry->who.name);
		jsonout_text(j, "kind", entry->who.kind);
		jsonout_number(j, "priority", entry->who.priority);
		jsonout_number(j, "handle", entry->who.handle);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	jsonout_text(j, "hooks_error", h ? h->error.text : "out of memory");
}
