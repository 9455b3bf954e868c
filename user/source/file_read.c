/* SPDX-License-Identifier: Apache-2.0 */
/* A file or a folder of files to objects. */
#include "source/file_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kube/decode.h"

#define PIECE_LEN (64U << 10)

struct key {
	struct hmap_node node;
	const struct kube_object *object;
};

/* Keys are only needed while reading. */
static void free_keys(struct file_state *s)
{
	struct hmap_node *n = hmap_first(&s->keys);

	while (n) {
		struct hmap_node *next = hmap_next(&s->keys, n);

		free(hmap_entry(n, struct key, node));
		n = next;
	}
	hmap_done(&s->keys);
}

void file_state_done(struct file_state *s)
{
	free_keys(s);
	for (size_t i = 0; i < s->count; i++)
		kube_object_free(s->objects[i]);
	free(s->objects);
	*s = (struct file_state){0};
}

void file_state_deliver(struct file_state *s, const struct source_callbacks *cb, void *ctx)
{
	cb->on_replace(ctx);
	for (size_t i = 0; i < s->count; i++)
		cb->on_put(ctx, s->objects[i]);
	s->count = 0;
	cb->on_replaced(ctx, s->nameless, s->why);
	file_state_done(s);
}

/* ---- items ---- */

static uint64_t object_hash(const struct kube_object *o)
{
	uint64_t seed = hmap_hash(o->namespace, strlen(o->namespace), o->kind);

	return hmap_hash(o->name, strlen(o->name), seed);
}

static const struct kube_object *find_same(const struct file_state *s, const struct kube_object *o, uint64_t hash)
{
	struct hmap_node *n = hmap_first_same(&s->keys, hash);

	for (; n; n = hmap_next_same(n)) {
		const struct kube_object *other = hmap_entry(n, struct key, node)->object;

		if (other->kind == o->kind && strcmp(other->name, o->name) == 0 &&
		    strcmp(other->namespace, o->namespace) == 0)
			return other;
	}
	return NULL;
}

static int refuse_double(struct file_state *s, const struct kube_object *a, const struct kube_object *b)
{
	const char *kind = a->kind == KUBE_SERVICE ? "Service" : "EndpointSlice";

	return error_set(&s->error, -EEXIST, "%s %s/%s is in %s and in %s", kind, a->namespace, a->name, a->origin,
			 b->origin);
}

static int reserve(struct file_state *s)
{
	size_t cap = 2 * s->cap + 64;
	struct kube_object **objects;

	if (s->count < s->cap)
		return 0;
	objects = reallocarray(s->objects, cap, sizeof(struct kube_object *));
	if (!objects)
		return error_set(&s->error, -ENOMEM, "out of memory");
	s->objects = objects;
	s->cap = cap;
	return 0;
}

static int add_object(struct file_state *s, struct kube_object *o)
{
	uint64_t hash = object_hash(o);
	const struct kube_object *same = find_same(s, o, hash);
	struct key *key;

	if (same)
		return refuse_double(s, same, o);
	if (reserve(s) < 0)
		return -ENOMEM;
	key = malloc(sizeof(*key));
	if (!key)
		return error_set(&s->error, -ENOMEM, "out of memory");
	key->object = o;
	hmap_insert(&s->keys, &key->node, hash);
	s->objects[s->count++] = o;
	return 0;
}

static int on_item(void *ctx, struct kube_object *o)
{
	int err = add_object(ctx, o);

	if (err < 0)
		kube_object_free(o);
	return err;
}

static int on_nameless(void *ctx, size_t index, const struct error *e)
{
	struct file_state *s = ctx;

	(void)index;
	if (s->nameless++ == 0)
		memcpy(s->why, e->text, sizeof(s->why));
	return 0;
}

/* ---- files ---- */

static int refuse(const char *path, int err, struct error *e)
{
	if (err == ENOENT)
		return error_set(e, -err, "%s: no such file", path);
	return error_set(e, -err, "%s: %s", path, strerror(err));
}

static int feed_all(struct kube_list *list, int fd, const char *path, struct error *e)
{
	char *piece = malloc(PIECE_LEN);
	ssize_t len = 1;
	int err = 0;

	if (!piece)
		return error_set(e, -ENOMEM, "out of memory");
	while (err == 0 && len > 0) {
		len = read(fd, piece, PIECE_LEN);
		if (len > 0)
			err = kube_list_feed(list, piece, (size_t)len, e);
		else if (len < 0 && errno == EINTR)
			len = 1;
		else if (len < 0)
			err = refuse(path, errno, e);
	}
	free(piece);
	return err < 0 ? err : kube_list_finish(list, e);
}

static int read_fd(struct file_state *s, int fd, const char *path, struct error *e)
{
	struct kube_list *list = kube_list_new(path, on_item, on_nameless, s);
	int err;

	if (!list)
		return error_set(e, -ENOMEM, "out of memory");
	err = feed_all(list, fd, path, e);
	kube_list_free(list);
	if (err < 0 && s->error.text[0])
		return error_set(e, err, "%s", s->error.text);
	return err;
}

/* What is opened must not block: a pipe is only read where that is meant. */
static int read_file(struct file_state *s, const char *path, bool can_wait, struct error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (can_wait ? 0 : O_NONBLOCK));
	struct stat st;
	int err;

	if (fd < 0)
		return refuse(path, errno, e);
	if (fstat(fd, &st) < 0)
		err = refuse(path, errno, e);
	else if (!S_ISREG(st.st_mode) && !(can_wait && S_ISFIFO(st.st_mode)))
		err = error_set(e, -EINVAL, "%s: not a regular file", path);
	else
		err = read_fd(s, fd, path, e);
	close(fd);
	return err;
}

/* ---- folders ---- */

bool file_name_counts(const char *name)
{
	static const char suffix[] = ".json";
	size_t len = strlen(name);

	return name[0] != '.' && len >= sizeof(suffix) && strcmp(name + len - (sizeof(suffix) - 1), suffix) == 0;
}

static int keep_entry(const struct dirent *entry)
{
	return file_name_counts(entry->d_name);
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* 1: read, 0: a folder. */
static int read_entry(struct file_state *s, const char *folder, const char *name, bool can_wait, struct error *e)
{
	size_t len = strlen(folder);
	struct stat st;
	char *path;
	int err;

	while (len > 1 && folder[len - 1] == '/')
		len--;
	if (asprintf(&path, "%.*s/%s", (int)len, folder, name) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		free(path);
		return 0;
	}
	err = read_file(s, path, can_wait, e);
	free(path);
	return err < 0 ? err : 1;
}

static int read_folder(struct file_state *s, const char *path, bool can_wait, struct error *e)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, keep_entry, compare_entries);
	int files = 0, err = 0;

	if (count < 0)
		return refuse(path, errno, e);
	for (int i = 0; i < count; i++) {
		if (err >= 0)
			err = read_entry(s, path, entries[i]->d_name, can_wait, e);
		files += err > 0;
		free(entries[i]);
	}
	free(entries);
	if (err >= 0 && files == 0)
		err = error_set(e, -ENOENT, "%s: no *.json files in this folder", path);
	return err < 0 ? err : 0;
}

int file_state_read(const char *path, bool can_wait, struct file_state *ret_state, struct error *e)
{
	struct file_state s = {0};
	struct stat st;
	int err;

	hmap_init(&s.keys);
	if (stat(path, &st) < 0)
		return refuse(path, errno, e);
	err = S_ISDIR(st.st_mode) ? read_folder(&s, path, can_wait, e) : read_file(&s, path, can_wait, e);
	if (err < 0) {
		file_state_done(&s);
		return err;
	}
	free_keys(&s);
	*ret_state = s;
	return 0;
}
