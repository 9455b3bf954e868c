/* SPDX-License-Identifier: Apache-2.0 */
/* Native XDP on interfaces: pinned links, and which of those that are found are ours. */
#include "kernel/attach_xdp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel/bpf_messages.h"

#define PROG_NAME    "nodens_xdp"
#define PATH_MAX_LEN 320

struct xdp_link {
	uint32_t type;
	uint32_t prog_id;
	uint32_t ifindex; /* 0: its interface is gone */
};

static int pin_path(const char *dir, uint32_t ifindex, char ret_path[PATH_MAX_LEN], struct error *e)
{
	int len = snprintf(ret_path, PATH_MAX_LEN, "%s/xdp_%u", dir, ifindex);

	return len < PATH_MAX_LEN ? 0 : error_set(e, -ENAMETOOLONG, "%s: too long", dir);
}

/* ---- whose is it ------------------------------------------------------------------------------------------------ */

static int link_describe(int fd, struct xdp_link *ret_link)
{
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	*ret_link = (struct xdp_link){.type = info.type, .prog_id = info.prog_id, .ifindex = info.xdp.ifindex};
	return 0;
}

static bool prog_is_ours(int fd, uint32_t *ret_id)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return false;
	*ret_id = info.id;
	return strcmp(info.name, PROG_NAME) == 0;
}

/* Among the programs pinned by generations (DIR/g<number>/xdp; dir is DIR/links). */
static bool prog_id_is_pinned(const char *dir, uint32_t prog_id)
{
	char path[PATH_MAX_LEN + sizeof(((struct dirent *)0)->d_name)];
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
		snprintf(path, sizeof(path), "%s/../%s/xdp", dir, entry->d_name);
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
static bool link_is_ours(const char *dir, const struct xdp_link *link)
{
	uint32_t id;
	bool is_ours;
	int fd;

	if (link->type != BPF_LINK_TYPE_XDP)
		return false;
	fd = bpf_prog_get_fd_by_id(link->prog_id);
	if (fd < 0)
		return prog_id_is_pinned(dir, link->prog_id);
	is_ours = prog_is_ours(fd, &id);
	close(fd);
	return is_ours;
}

/* ---- what is on the interface ------------------------------------------------------------------------------------ */

/* Ids of the programs there, 0: none. */
static int query(uint32_t ifindex, uint32_t *ret_native, uint32_t *ret_other)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);
	int err = bpf_xdp_query((int)ifindex, 0, &opts);

	if (err < 0)
		return err;
	*ret_native = opts.drv_prog_id;
	*ret_other = opts.skb_prog_id ?: opts.hw_prog_id;
	return 0;
}

int attach_xdp_check(uint32_t ifindex, uint32_t prog_id)
{
	uint32_t native = 0, other = 0;
	int err = query(ifindex, &native, &other);

	return err < 0 ? err : native == prog_id;
}

static int refuse_foreign(uint32_t ifindex, struct error *e)
{
	uint32_t native = 0, other = 0;

	if (query(ifindex, &native, &other) < 0 || (!native && !other))
		return 0;
	return error_set(e, -EBUSY, "another XDP program is there (id %u%s): left alone", native ?: other,
			 native ? "" : ", not in native mode");
}

/*
 * Why the kernel refuses a link, in its own words: it has them for who attaches by netlink only. Should it take the
 * program that way, what hindered the link is gone, and the program is taken off again.
 */
static int explain_refusal(uint32_t ifindex, int prog_fd, int err, struct error *e)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = prog_fd);

	if (err == -EOPNOTSUPP)
		return error_set(e, err, "the driver has no native XDP");
	if (err != -EPERM &&
	    bpf_xdp_attach((int)ifindex, prog_fd, XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL) == 0)
		(void)bpf_xdp_detach((int)ifindex, XDP_FLAGS_DRV_MODE | XDP_FLAGS_REPLACE, &opts);
	return bpf_messages_explain(e, err, "attaching XDP in native mode");
}

/* ---- links ------------------------------------------------------------------------------------------------------ */

/* Opens the pinned link of the interface. -ENOENT: no pin; -EEXIST: a pin that is not ours, left alone. */
static int link_open(const char *dir, uint32_t ifindex, struct xdp_link *ret_link, struct error *e)
{
	char path[PATH_MAX_LEN];
	int fd, err = pin_path(dir, ifindex, path, e);

	if (err)
		return err;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return error_set(e, -errno, "opening %s: %s", path, strerror(errno));
	err = link_describe(fd, ret_link);
	if (!err && !link_is_ours(dir, ret_link))
		err = -EEXIST;
	if (!err)
		return fd;
	close(fd);
	return error_set(e, err, "%s is no XDP link of %s: left alone, remove it by hand", path, PROG_NAME);
}

static int link_create(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	char path[PATH_MAX_LEN], name[IF_NAMESIZE];
	int fd, err = refuse_foreign(ifindex, e);

	/* A link would say EINVAL. */
	if (!if_indextoname(ifindex, name))
		return error_set(e, -ENODEV, "the interface is gone");
	if (!err)
		err = pin_path(dir, ifindex, path, e);
	if (err)
		return err;
	bpf_messages_start();
	fd = bpf_link_create(prog_fd, (int)ifindex, BPF_XDP, &opts);
	if (fd < 0)
		return explain_refusal(ifindex, prog_fd, -errno, e);
	if (bpf_obj_pin(fd, path) < 0)
		err = error_set(e, -errno, "pinning the link to %s: %s", path, strerror(errno));
	/* Without a pin the link goes with its descriptor. */
	close(fd);
	return err;
}

static int link_update(int link_fd, int prog_fd, struct error *e)
{
	if (bpf_link_update(link_fd, prog_fd, NULL) < 0)
		return error_set(e, -errno, "updating the XDP link: %s", strerror(errno));
	return 0;
}

/* A link that only loses its pin goes some milliseconds later, when the kernel frees the inode: detach it now. */
static int link_end(const char *dir, uint32_t ifindex, int link_fd, struct error *e)
{
	char path[PATH_MAX_LEN];
	int err = pin_path(dir, ifindex, path, e);

	if (err)
		return err;
	if (bpf_link_detach(link_fd) < 0 && errno != ENOLINK)
		return error_set(e, -errno, "detaching %s: %s", path, strerror(errno));
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(e, -errno, "removing %s: %s", path, strerror(errno));
	return 0;
}

static int link_add(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	struct xdp_link link;
	int err, fd = link_open(dir, ifindex, &link, e);

	if (fd == -ENOENT)
		return link_create(dir, ifindex, prog_fd, e);
	if (fd < 0)
		return fd;
	/* An interface of another network namespace may have the same number. */
	if (link.ifindex == ifindex && attach_xdp_check(ifindex, link.prog_id) == 1) {
		err = link_update(fd, prog_fd, e);
		close(fd);
		return err;
	}
	/* Ours, but its interface is gone or in another network namespace. */
	err = link_end(dir, ifindex, fd, e);
	close(fd);
	return err ? err : link_create(dir, ifindex, prog_fd, e);
}

static int link_switch(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	struct xdp_link link;
	int err, fd = link_open(dir, ifindex, &link, e);

	if (fd < 0)
		return fd;
	err = link.ifindex == 0 ? error_set(e, -ENODEV, "the interface is gone") : link_update(fd, prog_fd, e);
	close(fd);
	return err;
}

/* 1: removed, 0: there was none. */
static int link_remove(const char *dir, uint32_t ifindex, struct error *e)
{
	struct xdp_link link;
	int err, fd = link_open(dir, ifindex, &link, e);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	err = link_end(dir, ifindex, fd, e);
	close(fd);
	return err ? err : 1;
}

/* ---- interfaces ------------------------------------------------------------------------------------------------- */

/* Puts the interface in front of what went wrong. */
static int name_interface(struct error *e, int err, uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	return err >= 0 ? err
			: error_prefix(e, err, "interface %u (%s)", ifindex, if_indextoname(ifindex, name) ?: "gone");
}

int attach_xdp_add(const char *dir, uint32_t ifindex, int prog_fd, struct nodens_interface *entry, struct error *e)
{
	int err = link_add(dir, ifindex, prog_fd, e);

	if (err)
		return name_interface(e, err, ifindex);
	entry->xdp = NODENS_HOOK_XDP;
	return 0;
}

int attach_xdp_switch(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	return name_interface(e, link_switch(dir, ifindex, prog_fd, e), ifindex);
}

int attach_xdp_remove(const char *dir, uint32_t ifindex, struct error *e)
{
	int err = link_remove(dir, ifindex, e);

	return err < 0 ? name_interface(e, err, ifindex) : 0;
}

static void tell_removed(void (*removed)(void *ctx, const char *what), void *ctx, uint32_t ifindex)
{
	char name[IF_NAMESIZE], text[96];

	snprintf(text, sizeof(text), "XDP link on %s (%u)",
		 if_indextoname(ifindex, name) ?: "an interface that is gone", ifindex);
	removed(ctx, text);
}

int attach_xdp_remove_all(const char *dir, void (*removed)(void *ctx, const char *what), void *ctx, struct error *e)
{
	int first_err = 0;
	DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : error_set(e, -errno, "%s: %s", dir, strerror(errno));
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		unsigned int ifindex;
		int err;

		if (sscanf(entry->d_name, "xdp_%u", &ifindex) != 1)
			continue;
		err = link_remove(dir, ifindex, e);
		if (err > 0)
			tell_removed(removed, ctx, ifindex);
		else if (err < 0 && !first_err)
			first_err = err;
	}
	closedir(d);
	return first_err;
}
