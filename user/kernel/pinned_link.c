/* SPDX-License-Identifier: Apache-2.0 */
/* Pinned links: which of those that are found are ours, and their way from creation to removal. */
#include "kernel/pinned_link.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel/attach_internal.h"

/* A link as the kernel describes it. */
struct found_link {
	uint32_t type;
	uint32_t prog_id;
	uint32_t ifindex; /* 0: its interface is gone */
	uint32_t attach_type;
};

static void pin_path(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex,
		     char ret_path[ATTACH_PATH_MAX])
{
	snprintf(ret_path, ATTACH_PATH_MAX, "%s/%s_%u", dir, kind->prefix, ifindex);
}

/* ---- whose is it ------------------------------------------------------------------------------------------------ */

static int describe(int fd, struct found_link *ret_link)
{
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	/* info.tcx of newer headers has ifindex and attach type where info.netns has its inode and attach type; info.xdp
	 * has the ifindex there and nothing behind it. */
	*ret_link = (struct found_link){.type = info.type,
					.prog_id = info.prog_id,
					.ifindex = info.netns.netns_ino,
					.attach_type = info.netns.attach_type};
	return 0;
}

static bool prog_is_ours(const struct pinned_link_kind *kind, int fd, uint32_t *ret_id)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return false;
	*ret_id = info.id;
	return strcmp(info.name, kind->program_name) == 0;
}

/* Among the programs pinned by generations; dir is DIR/links. */
static bool prog_id_is_pinned(const struct pinned_link_kind *kind, const char *dir, uint32_t prog_id)
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
		snprintf(path, sizeof(path), "%s/../%s/%s", dir, entry->d_name, kind->program_pin);
		fd = bpf_obj_get(path);
		if (fd < 0)
			continue;
		is_found = prog_is_ours(kind, fd, &id) && id == prog_id;
		close(fd);
	}
	closedir(d);
	return is_found;
}

/* By name; without CAP_SYS_ADMIN, which opening a program by its id needs, by the pins of our generations. */
static bool link_is_ours(const struct pinned_link_kind *kind, const char *dir, const struct found_link *link)
{
	uint32_t id;
	bool is_ours;
	int fd;

	if (link->type != kind->link_type || link->attach_type != kind->attach_type)
		return false;
	fd = bpf_prog_get_fd_by_id(link->prog_id);
	if (fd < 0)
		return prog_id_is_pinned(kind, dir, link->prog_id);
	is_ours = prog_is_ours(kind, fd, &id);
	close(fd);
	return is_ours;
}

/* ---- one link --------------------------------------------------------------------------------------------------- */

/* -ENOENT: no pin; -EEXIST: a pin that is not ours, left alone. */
static int open_link(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex,
		     struct found_link *ret_link, struct error *e)
{
	char path[ATTACH_PATH_MAX];
	int fd, err;

	pin_path(kind, dir, ifindex, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return error_set(e, -errno, "opening %s: %s", path, strerror(errno));
	err = describe(fd, ret_link);
	if (!err && !link_is_ours(kind, dir, ret_link))
		err = -EEXIST;
	if (!err)
		return fd;
	close(fd);
	return error_set(e, err, "%s is no link of ours: left alone, remove it by hand", path);
}

static int create(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	char path[ATTACH_PATH_MAX];
	int err = 0, fd;

	/* Else the link would be there for a moment, again and again. */
	if (access(dir, F_OK) < 0)
		return error_set(e, -errno, "%s: %s (nodens detach --force?)", dir, strerror(errno));
	fd = kind->create(ifindex, prog_fd, e);
	if (fd < 0)
		return fd;
	pin_path(kind, dir, ifindex, path);
	if (bpf_obj_pin(fd, path) < 0)
		err = error_set(e, -errno, "pinning the link to %s: %s", path, strerror(errno));
	/* Without a pin the link goes with its descriptor. */
	close(fd);
	return err;
}

static int update(const struct pinned_link_kind *kind, int link_fd, int prog_fd, struct error *e)
{
	if (bpf_link_update(link_fd, prog_fd, NULL) < 0)
		return error_set(e, -errno, "updating the %s link: %s", kind->prefix, strerror(errno));
	return 0;
}

/* A link that only loses its pin goes some milliseconds later, when the kernel frees the inode: detach it now. For a tcx link
 * the kernel waits for an RCU grace period, with the lock of the network's configuration held. */
static int end(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, int link_fd, struct error *e)
{
	if (bpf_link_detach(link_fd) < 0 && errno != ENOLINK)
		return error_set(e, -errno, "detaching %s_%u: %s", kind->prefix, ifindex, strerror(errno));
	return pinned_link_unpin(kind, dir, ifindex, e);
}

/* ---- interfaces ------------------------------------------------------------------------------------------------- */

int pinned_link_add(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	struct found_link link;
	int err, fd = open_link(kind, dir, ifindex, &link, e);

	if (fd == -ENOENT)
		return create(kind, dir, ifindex, prog_fd, e);
	if (fd < 0)
		return fd;
	/* An interface of another network namespace may have the same number: is the program on this one here? */
	if (link.ifindex == ifindex && kind->check(ifindex, link.prog_id) == 1) {
		err = update(kind, fd, prog_fd, e);
		close(fd);
		return err;
	}
	/* Ours, but its interface is gone or in another network namespace. */
	err = end(kind, dir, ifindex, fd, e);
	close(fd);
	return err ? err : create(kind, dir, ifindex, prog_fd, e);
}

int pinned_link_switch(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, int prog_fd,
		       struct error *e)
{
	struct found_link link;
	int err, fd = open_link(kind, dir, ifindex, &link, e);

	if (fd < 0)
		return fd;
	err = link.ifindex == 0 ? error_set(e, -ENODEV, "the interface is gone") : update(kind, fd, prog_fd, e);
	close(fd);
	return err;
}

int pinned_link_remove(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, struct error *e)
{
	struct found_link link;
	int err, fd = open_link(kind, dir, ifindex, &link, e);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	err = end(kind, dir, ifindex, fd, e);
	close(fd);
	return err ? err : 1;
}

int pinned_link_find(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, struct error *e)
{
	struct found_link link;
	int fd = open_link(kind, dir, ifindex, &link, e);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	/* Not held until the pin goes: who lets go last, and by a descriptor, waits until the link is off. */
	close(fd);
	return 1;
}

int pinned_link_unpin(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, struct error *e)
{
	char path[ATTACH_PATH_MAX];

	pin_path(kind, dir, ifindex, path);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(e, -errno, "removing %s: %s", path, strerror(errno));
	return 0;
}
