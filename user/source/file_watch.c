/* SPDX-License-Identifier: Apache-2.0 */
/* inotify on the way to a file. */
#include "source/file_watch.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/file_read.h"

/* As the kernel's own limit (path_resolution(7)). */
#define LINKS_MAX 40

/* IN_MODIFY is not among them: a file is read when its writer closes it. IN_ATTRIB: it may have become readable. */
#define EVENTS                                                                                                       \
	(IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ATTRIB | IN_DELETE_SELF |         \
	 IN_MOVE_SELF)

struct rule {
	int wd;
	char *folder;
	char *name; /* NULL: all names that count in a folder of files */
};

struct rules {
	struct rule *list;
	size_t count;
	size_t cap;
};

struct file_watch {
	int fd;
	char *path; /* absolute */
	struct rules rules;
};

static void rules_done(struct rules *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->list[i].folder);
		free(r->list[i].name);
	}
	free(r->list);
	*r = (struct rules){0};
}

static bool rules_have(const struct rules *r, int wd)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->list[i].wd == wd)
			return true;
	return false;
}

static int rules_add(struct rules *r, int wd, const char *folder, const char *name)
{
	struct rule rule = {.wd = wd, .folder = strdup(folder), .name = name ? strdup(name) : NULL};

	if (r->count == r->cap) {
		size_t cap = 2 * r->cap + 16;
		struct rule *list = reallocarray(r->list, cap, sizeof(*list));

		if (list) {
			r->list = list;
			r->cap = cap;
		}
	}
	if (r->count == r->cap || !rule.folder || (name && !rule.name)) {
		free(rule.folder);
		free(rule.name);
		return -ENOMEM;
	}
	r->list[r->count++] = rule;
	return 0;
}

/* A relative path stays what it is now: absolute by the working folder. */
static char *absolute(const char *path)
{
	char *cwd, *text = NULL;

	if (path[0] == '/')
		return strdup(path);
	cwd = getcwd(NULL, 0);
	if (cwd && asprintf(&text, "%s/%s", cwd, path) < 0)
		text = NULL;
	free(cwd);
	return text;
}

struct file_watch *file_watch_new(const char *path, struct error *e)
{
	struct file_watch *w = calloc(1, sizeof(*w));
	int saved;

	if (!w)
		return NULL;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	w->path = w->fd < 0 ? NULL : absolute(path);
	if (w->path)
		return w;
	saved = errno;
	(void)error_set(e, -saved, "%s: cannot be watched: %s", path, strerror(saved));
	file_watch_free(w);
	return NULL;
}

void file_watch_free(struct file_watch *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	rules_done(&w->rules);
	free(w->path);
	free(w);
}

int file_watch_fd(const struct file_watch *w)
{
	return w->fd;
}

/* ---- following ---- */

struct walk {
	struct file_watch *w;
	struct rules rules;
	char folder[PATH_MAX];	/* resolved, "" is the root */
	char pending[PATH_MAX]; /* what is still to come */
	int links;
};

static int watch(struct walk *k, const char *name)
{
	const char *folder = k->folder[0] ? k->folder : "/";
	int wd = inotify_add_watch(k->w->fd, folder, EVENTS | IN_ONLYDIR);

	return wd < 0 ? -errno : rules_add(&k->rules, wd, folder, name);
}

/* false: there is none. */
static bool take_component(struct walk *k, char ret_name[NAME_MAX + 1])
{
	char *from = k->pending + strspn(k->pending, "/");
	size_t len = strcspn(from, "/");

	if (len == 0 || len > NAME_MAX)
		return false;
	memcpy(ret_name, from, len);
	ret_name[len] = '\0';
	memmove(k->pending, from + len, strlen(from + len) + 1);
	return true;
}

static bool enter(struct walk *k, const char *name)
{
	size_t len = strlen(k->folder);

	if (len + 1 + strlen(name) >= sizeof(k->folder))
		return false;
	k->folder[len] = '/';
	strcpy(k->folder + len + 1, name);
	return true;
}

static void leave(struct walk *k)
{
	char *slash = strrchr(k->folder, '/');

	if (slash)
		*slash = '\0';
}

/* folder/name is a symlink: what it says comes next. The folder is that which holds the link. */
static bool follow_link(struct walk *k, const char *link)
{
	char target[PATH_MAX];
	ssize_t len = readlink(link, target, sizeof(target) - 1);

	if (len <= 0 || ++k->links > LINKS_MAX || (size_t)len + 1 + strlen(k->pending) >= sizeof(k->pending))
		return false;
	memmove(k->pending + len + 1, k->pending, strlen(k->pending) + 1);
	memcpy(k->pending, target, (size_t)len);
	k->pending[len] = '/';
	if (target[0] == '/')
		k->folder[0] = '\0';
	return true;
}

/* One component behind the folder. false: the way ends here. */
static bool step(struct walk *k, const char *name, int *ret_err)
{
	struct stat st;
	char *path;

	if (strcmp(name, ".") == 0)
		return true;
	if (strcmp(name, "..") == 0) {
		leave(k);
		return true;
	}
	*ret_err = watch(k, name); /* before looking, so that nothing changes unseen */
	if (!enter(k, name) || lstat(k->folder, &st) < 0)
		return false;
	if (!S_ISLNK(st.st_mode))
		return S_ISDIR(st.st_mode);
	path = strdup(k->folder);
	leave(k);
	if (path && follow_link(k, path)) {
		free(path);
		return true;
	}
	free(path);
	return false;
}

/* Result: of the last watch. A folder on the way that must not be read can be passed through all the same. */
static int walk_path(struct walk *k, const char *path, bool *ret_is_folder)
{
	char name[NAME_MAX + 1];
	int err = 0;

	*ret_is_folder = false;
	if (strlen(path) >= sizeof(k->pending))
		return -ENAMETOOLONG;
	strcpy(k->pending, path);
	k->folder[0] = '\0';
	k->links = 0;
	while (take_component(k, name))
		if (!step(k, name, &err))
			return err;
	*ret_is_folder = true;
	return err;
}

/* Files of the folder that are links elsewhere. */
static int walk_links(struct walk *k)
{
	char folder[PATH_MAX], path[2 * PATH_MAX];
	struct dirent *entry;
	bool is_folder;
	DIR *dir;
	int err = watch(k, NULL);

	strcpy(folder, k->folder);
	dir = err < 0 ? NULL : opendir(folder[0] ? folder : "/");
	while (dir && err == 0 && (entry = readdir(dir))) {
		if (!file_name_counts(entry->d_name) || (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		err = walk_path(k, path, &is_folder);
	}
	if (dir)
		closedir(dir);
	return err;
}

static void drop_unused(struct file_watch *w, const struct rules *kept)
{
	for (size_t i = 0; i < w->rules.count; i++) {
		int wd = w->rules.list[i].wd;

		if (!rules_have(kept, wd))
			(void)inotify_rm_watch(w->fd, wd);
	}
}

int file_watch_follow(struct file_watch *w, struct error *e)
{
	struct walk *k = calloc(1, sizeof(*k));
	bool is_folder;
	int err;

	if (!k)
		return error_set(e, -ENOMEM, "out of memory");
	k->w = w;
	err = walk_path(k, w->path, &is_folder);
	if (is_folder)
		err = walk_links(k);
	drop_unused(w, &k->rules);
	rules_done(&w->rules);
	w->rules = k->rules;
	free(k);
	return err < 0 ? error_set(e, err, "%s: its folder cannot be watched: %s", w->path, strerror(-err)) : 0;
}

/* ---- events ---- */

/* A regular file that was just created is empty: its writer closes it later. Links come whole. */
static bool creation_counts(const struct rule *rule, const struct inotify_event *event)
{
	char path[PATH_MAX + NAME_MAX + 2];
	struct stat st;

	if (event->mask & IN_ISDIR)
		return true;
	snprintf(path, sizeof(path), "%s/%s", rule->folder, event->name);
	return lstat(path, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_nlink > 1);
}

static bool rule_matches(const struct rule *rule, const struct inotify_event *event)
{
	if (rule->wd != event->wd)
		return false;
	if (event->len == 0)
		return true; /* the folder itself */
	if (rule->name ? strcmp(rule->name, event->name) != 0 : !file_name_counts(event->name))
		return false;
	return !(event->mask & IN_CREATE) || creation_counts(rule, event);
}

static bool event_counts(const struct file_watch *w, const struct inotify_event *event)
{
	if (event->mask & IN_Q_OVERFLOW)
		return true;
	for (size_t i = 0; i < w->rules.count; i++)
		if (rule_matches(&w->rules.list[i], event))
			return true;
	return false;
}

bool file_watch_take(struct file_watch *w)
{
	char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool is_change = false;
	ssize_t len;

	while ((len = read(w->fd, buffer, sizeof(buffer))) > 0)
		for (char *at = buffer; at < buffer + len;) {
			const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

			is_change = is_change || event_counts(w, event);
			at += sizeof(*event) + event->len;
		}
	return is_change;
}
