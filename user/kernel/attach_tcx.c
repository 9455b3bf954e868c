/* SPDX-License-Identifier: Apache-2.0 */
/* The tcx hook: pinned links at the head of the chain, and which of those that are found are ours. */
#include "kernel/attach_internal.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel/bpf_messages.h"

/* linux/bpf.h of Linux 6.6 and later; older headers lack them. */
#define TCX_BEFORE	 8U  /* BPF_F_BEFORE: alone, the head of the chain */
#define LINK_TYPE_TCX	 11U /* BPF_LINK_TYPE_TCX */

#define LOOPBACK_IFINDEX 1

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

int tcx_query(uint32_t ifindex, uint32_t ret_ids[TCX_PROGRAMS_MAX], size_t *ret_count)
{
	__u32 count = TCX_PROGRAMS_MAX;

	if (bpf_prog_query((int)ifindex, TCX_INGRESS, 0, NULL, ret_ids, &count) < 0) {
		/* Nobody was ever on this hook; or no such hook in this kernel. */
		if (errno != ENOENT && errno != EINVAL)
			return -errno;
		count = 0;
	}
	*ret_count = count;
	return 0;
}

int tcx_check(uint32_t ifindex, uint32_t prog_id)
{
	uint32_t ids[TCX_PROGRAMS_MAX];
	size_t count;
	int err = tcx_query(ifindex, ids, &count);

	if (err)
		return err;
	for (size_t i = 0; i < count; i++) {
		if (ids[i] == prog_id)
			return ATTACH_PRESENT;
	}
	return ATTACH_LOST;
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
	return error_set(e, err, "links/tcx_%u is not a link of ours: left alone, remove it by hand", ifindex);
}

static int tcx_create(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = TCX_BEFORE);
	char path[ATTACH_PATH_MAX];
	int err = 0, fd;

	/* Else the link would be there for a moment, again and again. */
	if (access(dir, F_OK) < 0)
		return error_set(e, -errno, "%s: %s (nodens detach --force?)", dir, strerror(errno));
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

int tcx_add(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	struct found_link link;
	int err, fd = tcx_open(dir, ifindex, &link, e);

	if (fd == -ENOENT)
		return tcx_create(dir, ifindex, prog_fd, e);
	if (fd < 0)
		return fd;
	/* An interface of another network namespace may have the same number: is the program on this one here? */
	if (link.ifindex == ifindex && tcx_check(ifindex, link.prog_id) == ATTACH_PRESENT) {
		err = tcx_update(fd, prog_fd, e);
		close(fd);
		return err;
	}
	/* Ours, but its interface is gone or in another network namespace. */
	err = tcx_end(dir, ifindex, fd, e);
	close(fd);
	return err ? err : tcx_create(dir, ifindex, prog_fd, e);
}

int tcx_switch(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	struct found_link link;
	int err, fd = tcx_open(dir, ifindex, &link, e);

	if (fd < 0)
		return fd;
	err = link.ifindex == 0 ? error_set(e, -ENODEV, "the interface is gone") : tcx_update(fd, prog_fd, e);
	close(fd);
	return err;
}

int tcx_remove(const char *dir, uint32_t ifindex, struct error *e)
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
int tcx_probe(enum nodens_hook *ret_hook, struct error *e)
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
