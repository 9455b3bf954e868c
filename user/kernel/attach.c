/* SPDX-License-Identifier: Apache-2.0 */
/* The datapath on interfaces: pinned tcx links, adoption of found ones, and the choice between tcx and clsact. */
#include "kernel/attach_internal.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/bpf_messages.h"

/* linux/bpf.h of Linux 6.6 and later; older headers lack them. */
#define TCX_INGRESS	 ((enum bpf_attach_type)46) /* BPF_TCX_INGRESS */
#define TCX_BEFORE	 8U			    /* BPF_F_BEFORE: alone, the head of the chain */
#define LINK_TYPE_TCX	 11U			    /* BPF_LINK_TYPE_TCX */

#define LOOPBACK_IFINDEX 1

struct attach {
	char dir[ATTACH_DIR_MAX];
	enum nodens_hook hook;
};

/* A link as the kernel describes it. */
struct found_link {
	uint32_t type;
	uint32_t prog_id;
	uint32_t ifindex; /* 0: its interface is gone */
	uint32_t attach_type;
};

static void pin_path(const char *dir, uint32_t ifindex, char ret_path[ATTACH_PATH_MAX])
{
	snprintf(ret_path, ATTACH_PATH_MAX, "%s/tcx_%u", dir, ifindex);
}

/* ---- whose is it ------------------------------------------------------------------------------------------------ */

static int link_describe(int fd, struct found_link *ret_link)
{
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	/* info.tcx of newer headers: ifindex and attach type where info.netns has its inode and attach type. */
	*ret_link = (struct found_link){.type = info.type,
					.prog_id = info.prog_id,
					.ifindex = info.netns.netns_ino,
					.attach_type = info.netns.attach_type};
	return 0;
}

static bool prog_is_ours(int fd, uint32_t *ret_id)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return false;
	*ret_id = info.id;
	return strcmp(info.name, ATTACH_PROG_NAME) == 0;
}

/* Among the programs pinned by generations (DIR/g<number>/tc; dir is DIR/links). */
static bool prog_id_is_pinned(const char *dir, uint32_t prog_id)
{
	char path[ATTACH_PATH_MAX + sizeof(((struct dirent *)0)->d_name)];
	bool is_found = false;
	DIR *d;

	snprintf(path, sizeof(path), "%s/..", dir);
	d = opendir(path);
	if (!d)
		return false;
	for (struct dirent *entry = readdir(d); entry && !is_found; entry = readdir(d)) {
		uint32_t id;
		int fd;

		if (entry->d_name[0] != 'g')
			continue;
		snprintf(path, sizeof(path), "%s/../%s/tc", dir, entry->d_name);
		fd = bpf_obj_get(path);
		if (fd < 0)
			continue;
		is_found = prog_is_ours(fd, &id) && id == prog_id;
		close(fd);
	}
	closedir(d);
	return is_found;
}

/* By name; without CAP_SYS_ADMIN, which opening a program by its id needs, by the pins of our generations. */
static bool link_is_ours(const char *dir, const struct found_link *link)
{
	uint32_t id;
	bool is_ours;
	int fd;

	if (link->type != LINK_TYPE_TCX || link->attach_type != TCX_INGRESS)
		return false;
	fd = bpf_prog_get_fd_by_id(link->prog_id);
	if (fd < 0)
		return prog_id_is_pinned(dir, link->prog_id);
	is_ours = prog_is_ours(fd, &id);
	close(fd);
	return is_ours;
}

/* An interface of another network namespace may have the same number: is the program on this one here? */
static bool prog_is_on_hook(uint32_t ifindex, uint32_t prog_id)
{
	__u32 ids[64], count = sizeof(ids) / sizeof(ids[0]);

	if (bpf_prog_query((int)ifindex, TCX_INGRESS, 0, NULL, ids, &count) < 0)
		return false;
	for (__u32 i = 0; i < count; i++) {
		if (ids[i] == prog_id)
			return true;
	}
	return false;
}

/* ---- tcx -------------------------------------------------------------------------------------------------------- */

/* Opens the pinned link of the interface. -ENOENT: no pin; -EEXIST: a pin that is not ours, left alone. */
static int tcx_open(const char *dir, uint32_t ifindex, struct found_link *ret_link, struct error *e)
{
	char path[ATTACH_PATH_MAX];
	int fd, err;

	pin_path(dir, ifindex, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return error_set(e, -errno, "opening %s: %s", path, strerror(errno));
	err = link_describe(fd, ret_link);
	if (!err && !link_is_ours(dir, ret_link))
		err = -EEXIST;
	if (!err)
		return fd;
	close(fd);
	return error_set(e, err, "%s is no tcx link of %s: left alone, remove it by hand", path, ATTACH_PROG_NAME);
}

static int tcx_create(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = TCX_BEFORE);
	char path[ATTACH_PATH_MAX];
	int err = 0, fd;

	bpf_messages_start();
	fd = bpf_link_create(prog_fd, (int)ifindex, TCX_INGRESS, &opts);
	if (fd < 0)
		return bpf_messages_explain(e, -errno, "making a tcx link");
	pin_path(dir, ifindex, path);
	if (bpf_obj_pin(fd, path) < 0)
		err = error_set(e, -errno, "pinning the link to %s: %s", path, strerror(errno));
	/* Without a pin the link goes with its descriptor. */
	close(fd);
	return err;
}

static int tcx_update(int link_fd, int prog_fd, struct error *e)
{
	if (bpf_link_update(link_fd, prog_fd, NULL) < 0)
		return error_set(e, -errno, "updating the tcx link: %s", strerror(errno));
	return 0;
}

/* A link that only loses its pin goes some milliseconds later, when the kernel frees the inode: detach it now. */
static int tcx_end(const char *dir, uint32_t ifindex, int link_fd, struct error *e)
{
	char path[ATTACH_PATH_MAX];

	pin_path(dir, ifindex, path);
	if (bpf_link_detach(link_fd) < 0 && errno != ENOLINK)
		return error_set(e, -errno, "detaching %s: %s", path, strerror(errno));
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(e, -errno, "removing %s: %s", path, strerror(errno));
	return 0;
}

static int tcx_add(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	struct found_link link;
	int err, fd = tcx_open(dir, ifindex, &link, e);

	if (fd == -ENOENT)
		return tcx_create(dir, ifindex, prog_fd, e);
	if (fd < 0)
		return fd;
	if (link.ifindex == ifindex && prog_is_on_hook(ifindex, link.prog_id)) {
		err = tcx_update(fd, prog_fd, e);
		close(fd);
		return err;
	}
	/* Ours, but its interface is gone or in another network namespace. */
	err = tcx_end(dir, ifindex, fd, e);
	close(fd);
	return err ? err : tcx_create(dir, ifindex, prog_fd, e);
}

static int tcx_switch(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	struct found_link link;
	int err, fd = tcx_open(dir, ifindex, &link, e);

	if (fd < 0)
		return fd;
	err = link.ifindex == 0 ? error_set(e, -ENODEV, "the interface is gone") : tcx_update(fd, prog_fd, e);
	close(fd);
	return err;
}

/* 1: removed, 0: there was none. */
static int tcx_remove(const char *dir, uint32_t ifindex, struct error *e)
{
	struct found_link link;
	int err, fd = tcx_open(dir, ifindex, &link, e);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	err = tcx_end(dir, ifindex, fd, e);
	close(fd);
	return err ? err : 1;
}

/* Linux 6.6 knows the hook: older ones say EINVAL. */
static int probe_hook(enum nodens_hook *ret_hook, struct error *e)
{
	__u32 count = 0;

	if (bpf_prog_query(LOOPBACK_IFINDEX, TCX_INGRESS, 0, NULL, NULL, &count) == 0)
		*ret_hook = NODENS_HOOK_TCX;
	else if (errno == EINVAL)
		*ret_hook = NODENS_HOOK_CLSACT;
	else
		return bpf_messages_explain(e, -errno, "probing for tcx");
	return 0;
}

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
	return a;
}

struct attach *attach_new(const char *dir, struct error *e)
{
	enum nodens_hook hook = NODENS_HOOK_NONE;

	bpf_messages_start();
	return probe_hook(&hook, e) < 0 ? NULL : attach_new_hook(dir, hook, e);
}

void attach_free(struct attach *a)
{
	free(a);
}

enum nodens_hook attach_hook(const struct attach *a)
{
	return a->hook;
}

/* Puts the interface in front of what went wrong. */
static int name_interface(struct error *e, int err, uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	return err >= 0 ? err
			: error_prefix(e, err, "interface %u (%s)", ifindex, if_indextoname(ifindex, name) ?: "gone");
}

int attach_add(struct attach *a, uint32_t ifindex, int prog_fd, struct nodens_interface *entry, struct error *e)
{
	bool is_tcx = a->hook == NODENS_HOOK_TCX;
	int err = is_tcx ? tcx_add(a->dir, ifindex, prog_fd, e) : clsact_add(a->dir, ifindex, prog_fd, e);

	if (err)
		return name_interface(e, err, ifindex);
	entry->hook = a->hook;
	entry->priority = is_tcx ? 0 : CLSACT_PRIORITY;
	entry->handle = is_tcx ? 0 : CLSACT_HANDLE;
	return 0;
}

int attach_switch(struct attach *a, uint32_t ifindex, int prog_fd, struct error *e)
{
	bool is_tcx = a->hook == NODENS_HOOK_TCX;
	int err = is_tcx ? tcx_switch(a->dir, ifindex, prog_fd, e) : clsact_switch(ifindex, prog_fd, e);

	return name_interface(e, err, ifindex);
}

int attach_remove(struct attach *a, uint32_t ifindex, struct error *e)
{
	bool is_tcx = a->hook == NODENS_HOOK_TCX;
	int err = is_tcx ? tcx_remove(a->dir, ifindex, e) : clsact_remove(a->dir, ifindex, e);

	return err < 0 ? name_interface(e, err, ifindex) : 0;
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

static int remove_links(const char *dir, removed_fn removed, void *ctx, struct error *e)
{
	int first_err = 0;
	DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : error_set(e, -errno, "%s: %s", dir, strerror(errno));
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		unsigned int ifindex;
		int err;

		if (sscanf(entry->d_name, "tcx_%u", &ifindex) != 1)
			continue;
		err = tcx_remove(dir, ifindex, e);
		if (err > 0)
			tell_removed(removed, ctx, "tcx link", ifindex);
		else if (err < 0 && !first_err)
			first_err = err;
	}
	closedir(d);
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
			first_err = err;
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
int attach_remove_all(const char *dir, removed_fn removed, void *ctx, struct error *e)
{
	int err_links, err_filters;

	if (strlen(dir) >= ATTACH_DIR_MAX)
		return error_set(e, -ENAMETOOLONG, "%s: too long", dir);
	err_links = remove_links(dir, removed, ctx, e);
	err_filters = remove_filters(dir, removed, ctx, e);
	remove_markers(dir);
	return err_links ? err_links : err_filters;
}
