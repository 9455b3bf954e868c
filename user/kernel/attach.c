/* SPDX-License-Identifier: Apache-2.0 */
/* The datapath on interfaces: the choice between tcx and clsact, and the removal of all that is ours. */
#include "kernel/attach_internal.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernel/attach_xdp.h"
#include "kernel/bpf_messages.h"

struct attach {
	char dir[ATTACH_DIR_MAX];
	enum nodens_hook hook;
};

/* ---- interfaces ------------------------------------------------------------------------------------------------- */

struct attach *attach_new_hook(const char *dir, enum nodens_hook hook, struct error *e)
{
	struct attach *a = strlen(dir) < ATTACH_DIR_MAX ? calloc(1, sizeof(*a)) : NULL;

	if (!a) {
		(void)error_set(e, -ENOMEM, "%s: too long, or out of memory", dir);
		return NULL;
	}
	strcpy(a->dir, dir);
	a->hook = hook;
	clsact_forget_unsure(dir);
	return a;
}

struct attach *attach_new(const char *dir, struct error *e)
{
	enum nodens_hook hook = NODENS_HOOK_NONE;

	bpf_messages_start();
	return tcx_probe(&hook, e) < 0 ? NULL : attach_new_hook(dir, hook, e);
}

void attach_free(struct attach *a)
{
	free(a);
}

enum nodens_hook attach_hook(const struct attach *a)
{
	return a->hook;
}

/* The caller knows what the interface is called, but not that it is gone. */
static int explain(struct error *e, int err, uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	return err >= 0 || if_indextoname(ifindex, name) ? err : error_prefix(e, err, "the interface is gone");
}

int attach_add(struct attach *a, uint32_t ifindex, int prog_fd, struct nodens_interface *entry, struct error *e)
{
	bool is_tcx = a->hook == NODENS_HOOK_TCX;
	int err = is_tcx ? tcx_add(a->dir, ifindex, prog_fd, e) : clsact_add(a->dir, ifindex, prog_fd, e);

	if (err)
		return explain(e, err, ifindex);
	entry->hook = a->hook;
	entry->priority = is_tcx ? 0 : CLSACT_PRIORITY;
	entry->handle = is_tcx ? 0 : CLSACT_HANDLE;
	return 0;
}

int attach_switch(struct attach *a, uint32_t ifindex, int prog_fd, struct error *e)
{
	bool is_tcx = a->hook == NODENS_HOOK_TCX;
	int err = is_tcx ? tcx_switch(a->dir, ifindex, prog_fd, e) : clsact_switch(ifindex, prog_fd, e);

	return explain(e, err, ifindex);
}

int attach_remove(struct attach *a, uint32_t ifindex, struct error *e)
{
	bool is_tcx = a->hook == NODENS_HOOK_TCX;
	int err = is_tcx ? tcx_remove(a->dir, ifindex, e) : clsact_remove(a->dir, ifindex, e);

	return err < 0 ? explain(e, err, ifindex) : 0;
}

/* ---- what became of it ------------------------------------------------------------------------------------------ */

void attach_qdisc_gone(struct attach *a, uint32_t ifindex)
{
	clsact_forget_qdisc(a->dir, ifindex);
}

uint32_t attach_program_id(int prog_fd)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(prog_fd, &info, &len) < 0 ? 0 : info.id;
}

int attach_check(const struct attach *a, uint32_t ifindex, uint32_t prog_id, struct error *e)
{
	int err;

	if (a->hook == NODENS_HOOK_CLSACT)
		return explain(e, clsact_check(ifindex, prog_id, e), ifindex);
	err = tcx_check(ifindex, prog_id);
	if (err >= 0)
		return err;
	return explain(e, error_set(e, err, "asking for its tcx programs: %s", strerror(-err)), ifindex);
}

int attach_move_front(struct attach *a, uint32_t ifindex, int prog_fd, struct error *e)
{
	if (a->hook != NODENS_HOOK_CLSACT)
		return 0;
	return explain(e, clsact_move_front(ifindex, prog_fd, e), ifindex);
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

typedef void (*removed_fn)(void *ctx, const char *what);

static void tell_removed(removed_fn removed, void *ctx, const char *what, uint32_t ifindex)
{
	char name[IF_NAMESIZE], text[96];

	snprintf(text, sizeof(text), "%s on %s (%u)", what,
		 if_indextoname(ifindex, name) ?: "an interface that is gone", ifindex);
	removed(ctx, text);
}

/* Interfaces, in the order in which their pins were found. */
struct interface_list {
	uint32_t *ifindexes; /* heap */
	size_t count;
};

static int list_links(const char *dir, struct interface_list *ret_list, struct error *e)
{
	struct interface_list l = {0};
	unsigned int ifindex;
	DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : error_set(e, -errno, "%s: %s", dir, strerror(errno));
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		uint32_t *grown;

		if (sscanf(entry->d_name, "tcx_%u", &ifindex) != 1)
			continue;
		grown = reallocarray(l.ifindexes, l.count + 1, sizeof(*grown));
		if (!grown)
			break;
		l.ifindexes = grown;
		l.ifindexes[l.count++] = ifindex;
	}
	closedir(d);
	*ret_list = l;
	return 0;
}

/* The first failure counts, and the rest goes on. */
static void note_removal(int err, uint32_t ifindex, removed_fn removed, void *ctx, int *first_err)
{
	if (err > 0)
		tell_removed(removed, ctx, "tcx link", ifindex);
	else if (err < 0 && !*first_err)
		*first_err = err;
}

/* All are looked at before the first one loses its pin: then the kernel holds the lock that looking takes. */
static void drop_links(const char *dir, const struct interface_list *l, size_t from, removed_fn removed, void *ctx,
		       int *first_err, struct error *e)
{
	for (size_t i = from; i < l->count; i++) {
		int err = tcx_find(dir, l->ifindexes[i], e);

		note_removal(err, l->ifindexes[i], removed, ctx, first_err);
		if (err <= 0)
			l->ifindexes[i] = 0;
	}
	for (size_t i = from; i < l->count; i++)
		note_removal(l->ifindexes[i] ? tcx_unpin(dir, l->ifindexes[i], e) : 0, 0, removed, ctx, first_err);
}

static int remove_links(const char *dir, uint64_t patience_ms, removed_fn removed, void *ctx, struct error *e)
{
	uint64_t began_ms = clock_monotonic_ms();
	struct interface_list l = {0};
	int first_err = list_links(dir, &l, e);
	size_t i = 0;

	for (; i < l.count && clock_monotonic_ms() - began_ms < patience_ms; i++)
		note_removal(tcx_remove(dir, l.ifindexes[i], e), l.ifindexes[i], removed, ctx, &first_err);
	drop_links(dir, &l, i, removed, ctx, &first_err, e);
	free(l.ifindexes);
	return first_err;
}

static int remove_filters(const char *dir, removed_fn removed, void *ctx, struct error *e)
{
	struct if_nameindex *all = if_nameindex();
	int first_err = 0;

	if (!all)
		return error_set(e, -errno, "listing interfaces: %s", strerror(errno));
	for (struct if_nameindex *i = all; i->if_index != 0; i++) {
		int err = clsact_remove(dir, i->if_index, e);

		if (err > 0)
			tell_removed(removed, ctx, "clsact filter", i->if_index);
		else if (err < 0 && !first_err)
			first_err = error_prefix(e, err, "interface %s", i->if_name);
	}
	if_freenameindex(all);
	return first_err;
}

/* Markers of qdiscs whose interface is gone. */
static void remove_markers(const char *dir)
{
	DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		if (strncmp(entry->d_name, "qdisc_", 6) == 0)
			(void)unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR);
	}
	closedir(d);
}

/* Goes on behind a failure: what can be removed is removed. */
int attach_remove_all(const char *dir, uint64_t patience_ms, removed_fn removed, void *ctx, struct error *e)
{
	int err_xdp, err_links, err_filters;

	if (strlen(dir) >= ATTACH_DIR_MAX)
		return error_set(e, -ENAMETOOLONG, "%s: too long", dir);
	clsact_forget_unsure(dir);
	err_filters = remove_filters(dir, removed, ctx, e);
	remove_markers(dir);
	err_xdp = attach_xdp_remove_all(dir, removed, ctx, e);
	/* Last: where the kernel takes links off by itself, whoever asks for filters or anything else of the network waits. */
	err_links = remove_links(dir, patience_ms, removed, ctx, e);
	if (err_xdp)
		return err_xdp;
	return err_links ? err_links : err_filters;
}
