/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of pins in the bpffs: who owns it, its lock, generations coming and going. */
#include "kernel/generation_internal.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* ---- the folder ------------------------------------------------------------------------------------------------- */

static int check_is_bpffs(int fd, const char *path, struct error *e)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	if (fs.f_type == BPF_FS_MAGIC)
		return 0;
	return error_set(e, -ENODEV, "%s is not on a BPF file system: mount -t bpf bpf /sys/fs/bpf", path);
}

static int check_is_ours(int fd, const char *path, struct error *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	if (st.st_uid != 0)
		return error_set(e, -EPERM, "%s belongs to user %u, not to root: refused", path, st.st_uid);
	if ((st.st_mode & 07777) != 0700)
		return error_set(e, -EPERM, "%s has mode %04o, not 0700: refused", path, st.st_mode & 07777);
	return 0;
}

/* What the user can do about it, behind the cause. */
static const char *way_out(int errnum)
{
	return errnum == EACCES ? ": it is root's (UID 0 is needed)" : "";
}

int generation_check_place(const char *dir, struct error *e)
{
	char copy[GENERATION_PATH_MAX];
	const char *parent;
	int fd, err;

	if (strlen(dir) >= GENERATION_DIR_MAX)
		return error_set(e, -ENAMETOOLONG, "%s: at most %d octets", dir, GENERATION_DIR_MAX - 1);
	snprintf(copy, sizeof(copy), "%s", dir);
	parent = dirname(copy);
	fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "%s: %s (is a BPF file system mounted? mount -t bpf bpf /sys/fs/bpf)",
				 parent, strerror(errno));
	err = check_is_bpffs(fd, parent, e);
	close(fd);
	return err;
}

/* A folder of ours at path, made if it is missing. */
static int prepare_folder(const char *path, struct error *e)
{
	int fd, err;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(e, -errno, "making %s: %s%s", path, strerror(errno), way_out(errno));
	/* O_PATH: another user's folder can be looked at, and be named, without permission to read it. */
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	err = check_is_bpffs(fd, path, e);
	if (!err)
		err = check_is_ours(fd, path, e);
	close(fd);
	return err;
}

int generation_prepare_dir(const char *dir, struct error *e)
{
	char links[GENERATION_PATH_MAX];
	int err = generation_check_place(dir, e);

	if (err)
		return err;
	snprintf(links, sizeof(links), "%s/links", dir);
	err = prepare_folder(dir, e);
	return err ? err : prepare_folder(links, e);
}

static bool is_at(int fd, const char *dir)
{
	struct stat open_one, named;

	return fstat(fd, &open_one) == 0 && stat(dir, &named) == 0 && open_one.st_dev == named.st_dev &&
	       open_one.st_ino == named.st_ino;
}

int generation_lock_dir(const char *dir, struct error *e)
{
	int err, fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_set(e, -errno, "%s: %s%s", dir, strerror(errno), way_out(errno));
	/* Whoever has the lock removes folders here: never those of another file system, nor the root of a bpffs. */
	err = generation_check_place(dir, e);
	if (!err)
		err = check_is_bpffs(fd, dir, e);
	if (err) {
		close(fd);
		return err;
	}
	err = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	if (!err && is_at(fd, dir))
		return fd;
	close(fd);
	if (!err)
		return error_set(e, -ENOENT, "%s was removed", dir);
	return error_set(e, err, err == -EWOULDBLOCK ? "%s is locked by another agent" : "locking %s failed", dir);
}

/* ---- generations in it ------------------------------------------------------------------------------------------ */

/* g<number>, decimal, without zeros in front. */
static bool parse_number(const char *name, uint64_t *ret_number)
{
	char *end;

	if (name[0] != 'g' || name[1] < '1' || name[1] > '9' || strlen(name) > 20)
		return false;
	*ret_number = strtoull(name + 1, &end, 10);
	return *end == '\0';
}

int generation_find_highest(const char *dir, uint64_t *ret_number, struct error *e)
{
	uint64_t number, highest = 0;
	DIR *d = opendir(dir);

	if (!d)
		return error_set(e, -errno, "%s: %s", dir, strerror(errno));
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		if (parse_number(entry->d_name, &number) && number > highest)
			highest = number;
	}
	closedir(d);
	*ret_number = highest;
	return 0;
}

int generation_find_current(const char *dir, uint64_t *ret_number, struct error *e)
{
	char path[GENERATION_PATH_MAX], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/current", dir);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0 && errno == ENOENT) {
		/* A container that lacks the mount looks like a node without an agent. */
		if (generation_check_place(dir, e))
			return error_prefix(e, -ENOENT, "nothing is loaded");
		return error_set(e, -ENOENT, "nothing is loaded: %s does not exist", path);
	}
	if (n < 0)
		return error_set(e, -errno, "%s: %s%s", path, strerror(errno), way_out(errno));
	target[n] = '\0';
	if (!parse_number(target, ret_number))
		return error_set(e, -EINVAL, "%s points to %s, which is no generation", path, target);
	return 0;
}

static int pin_one(int fd, const char *folder, const char *name, struct error *e)
{
	char path[GENERATION_PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (bpf_obj_pin(fd, path) < 0)
		return error_set(e, -errno, "pinning %s: %s", path, strerror(errno));
	return 0;
}

static int pin_all(const struct generation *g, const char *folder, struct error *e)
{
	int err = 0;

	for (int i = 0; !err && i < PROG_COUNT; i++) {
		if (g->prog_fd[i] >= 0)
			err = pin_one(g->prog_fd[i], folder, generation_prog_names[i], e);
	}
	for (int i = 0; !err && i < MAP_PINNED; i++)
		err = pin_one(g->map_fd[i], folder, generation_map_names[i], e);
	return err;
}

/* Removes a folder of pins with all that is in it. */
static int remove_folder(const char *path, struct error *e)
{
	DIR *d = opendir(path);
	int err = 0;

	if (!d)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	for (struct dirent *entry = readdir(d); entry && !err; entry = readdir(d)) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(d), entry->d_name, 0) < 0)
			err = error_set(e, -errno, "removing %s/%s: %s", path, entry->d_name, strerror(errno));
	}
	closedir(d);
	if (!err && rmdir(path) < 0)
		err = error_set(e, -errno, "removing %s: %s", path, strerror(errno));
	return err;
}

/* Makes the folder g<number>. A number that another generation took meanwhile goes up. */
static int make_folder(struct generation *g, char *ret_path, size_t size, struct error *e)
{
	for (;;) {
		uint64_t highest;
		int err;

		snprintf(ret_path, size, "%s/g%" PRIu64, g->dir, g->number);
		if (mkdir(ret_path, 0700) == 0)
			return 0;
		if (errno != EEXIST)
			return error_set(e, -errno, "making %s: %s", ret_path, strerror(errno));
		err = generation_find_highest(g->dir, &highest, e);
		if (err)
			return err;
		g->number = highest + 1;
		generation_status(g)->generation = g->number;
	}
}

/* A new symlink renamed over the old one: whoever opens `current` finds the one or the other. */
static int move_current(const struct generation *g, struct error *e)
{
	char path[GENERATION_PATH_MAX], next[GENERATION_PATH_MAX], target[32];

	snprintf(path, sizeof(path), "%s/current", g->dir);
	snprintf(next, sizeof(next), "%s/current_next", g->dir);
	snprintf(target, sizeof(target), "g%" PRIu64, g->number);
	if (unlink(next) < 0 && errno != ENOENT)
		return error_set(e, -errno, "removing %s: %s", next, strerror(errno));
	if (symlink(target, next) < 0 || rename(next, path) < 0)
		return error_set(e, -errno, "moving %s to %s: %s", path, target, strerror(errno));
	return 0;
}

int generation_publish(struct generation *g, struct error *e)
{
	char path[GENERATION_PATH_MAX];
	int err = make_folder(g, path, sizeof(path), e);

	if (err)
		return err;
	err = pin_all(g, path, e);
	if (!err) {
		generation_publish_records(g, path);
		err = move_current(g, e);
	}
	if (err)
		(void)remove_folder(path, NULL);
	return err;
}

static int remove_current(const char *dir, struct error *e)
{
	static const char *const names[] = {"current", "current_next"};
	char path[GENERATION_PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (unlink(path) < 0 && errno != ENOENT)
			return error_set(e, -errno, "removing %s: %s", path, strerror(errno));
	}
	return 0;
}

int generation_remove_others(const char *dir, const struct generation *keep, struct error *e)
{
	char path[GENERATION_PATH_MAX];
	uint64_t number;
	int err = 0;
	DIR *d;

	if (strlen(dir) >= GENERATION_DIR_MAX)
		return error_set(e, -ENAMETOOLONG, "%s: too long", dir);
	if (!keep)
		err = remove_current(dir, e);
	if (err)
		return err;
	d = opendir(dir);
	if (!d)
		return errno == ENOENT ? 0 : error_set(e, -errno, "%s: %s", dir, strerror(errno));
	for (struct dirent *entry = readdir(d); entry && !err; entry = readdir(d)) {
		if (!parse_number(entry->d_name, &number) || (keep && number == keep->number))
			continue;
		snprintf(path, sizeof(path), "%s/g%" PRIu64, dir, number);
		err = remove_folder(path, e);
	}
	closedir(d);
	return err;
}
