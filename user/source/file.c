/* SPDX-License-Identifier: Apache-2.0 */
/* The file source: reads a file or a folder, and again whenever it changes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "source/file_read.h"
#include "source/file_watch.h"
#include "source/source_ops.h"

/* Changes that come together (a new file and the removal of the old one) are read once. Far below the 20 ms within
 * which a change is applied; not restarted by further events, so that it cannot be put off forever. */
#define SETTLE_MS 2

struct file_source {
	struct source source;
	struct loop *loop;
	struct loop_handle *events;
	struct loop_handle *timer;
	struct file_watch *watch;
	bool is_timer_armed;
	char *path;
	struct source_callbacks cb;
	void *ctx;
	struct error last; /* the cause told last; "" if the last reading was good */
};

static int read_state(struct file_source *s, struct file_state *ret_state, struct error *e)
{
	int err = file_watch_follow(s->watch, e);

	return err < 0 ? err : file_state_read(s->path, false, ret_state, e);
}

static void read_again(struct file_source *s)
{
	struct file_state state;
	struct error e = {0};

	if (read_state(s, &state, &e) == 0) {
		s->last.text[0] = '\0';
		file_state_deliver(&state, &s->cb, s->ctx);
		return;
	}
	if (strcmp(e.text, s->last.text) == 0)
		return;
	s->last = e;
	s->cb.on_error(s->ctx, &e);
}

static void on_timer(void *ctx)
{
	struct file_source *s = ctx;

	s->is_timer_armed = false;
	read_again(s);
}

static void on_events(void *ctx, uint32_t events)
{
	struct file_source *s = ctx;

	(void)events;
	if (!file_watch_take(s->watch) || s->is_timer_armed)
		return;
	s->is_timer_armed = loop_set_timer(s->timer, SETTLE_MS, 0) == 0;
	if (!s->is_timer_armed)
		read_again(s);
}

static int join_loop(struct file_source *s, struct error *e)
{
	s->timer = loop_add_timer(s->loop, 0, 0, on_timer, s);
	if (s->timer)
		s->events = loop_add_fd(s->loop, file_watch_fd(s->watch), EPOLLIN, on_events, s);
	return s->events ? 0 : error_set(e, -errno, "%s: cannot be watched: %s", s->path, strerror(errno));
}

static void resync(struct source *source)
{
	read_again((struct file_source *)source);
}

static void free_source(struct source *source)
{
	struct file_source *s = (struct file_source *)source;

	loop_remove(s->loop, s->events);
	loop_remove(s->loop, s->timer);
	file_watch_free(s->watch);
	free(s->path);
	free(s);
}

static const struct source_ops ops = {.resync = resync, .free = free_source};

static struct file_source *make(struct loop *l, const char *path, const struct source_callbacks *cb, void *ctx,
				struct error *e)
{
	struct file_source *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->source.ops = &ops;
	s->loop = l;
	s->cb = *cb;
	s->ctx = ctx;
	s->path = strdup(path);
	s->watch = s->path ? file_watch_new(path, e) : NULL;
	if (!s->watch) {
		free_source(&s->source);
		return NULL;
	}
	return s;
}

struct source *source_file_new(struct loop *l, const char *path, const struct source_callbacks *cb, void *ctx,
			       struct error *e)
{
	struct file_state state;
	struct file_source *s;

	(void)error_set(e, 0, "%s: out of memory", path); /* unless a cause is told */
	s = make(l, path, cb, ctx, e);
	if (!s)
		return NULL;
	if (read_state(s, &state, e) < 0) {
		free_source(&s->source);
		return NULL;
	}
	if (join_loop(s, e) < 0) {
		file_state_done(&state);
		free_source(&s->source);
		return NULL;
	}
	file_state_deliver(&state, &s->cb, s->ctx);
	return &s->source;
}

int source_file_read(const char *path, const struct source_callbacks *cb, void *ctx, struct error *e)
{
	struct file_state state;
	int err = file_state_read(path, true, &state, e);

	if (err < 0)
		return err;
	file_state_deliver(&state, cb, ctx);
	return 0;
}
