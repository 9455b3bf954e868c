/* SPDX-License-Identifier: Apache-2.0 */
/* One epoll loop. A handle that is removed stays allocated until the events fetched with it are worked off, so that
 * callbacks may remove any handle. */
#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 32

enum handle_kind { HANDLE_FD, HANDLE_TIMER, HANDLE_SIGNALS };

struct loop_handle {
	struct loop *loop;
	struct loop_handle *next;
	struct loop_handle **back; /* the pointer that points here */
	enum handle_kind kind;
	int fd; /* -1: removed */
	union {
		loop_fd_fn on_fd;
		loop_timer_fn on_timer;
		loop_signal_fn on_signal;
	};
	void *ctx;
};

struct loop {
	int epoll_fd;
	bool is_stopped;
	int code;
	struct loop_handle *handles;
	struct loop_handle *removed; /* freed when no fetched event can point to them */
};

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

static void free_removed(struct loop *l)
{
	while (l->removed) {
		struct loop_handle *h = l->removed;

		l->removed = h->next;
		free(h);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->handles)
		loop_remove(l, l->handles);
	free_removed(l);
	close(l->epoll_fd);
	free(l);
}

static void link_handle(struct loop *l, struct loop_handle *h)
{
	h->next = l->handles;
	if (h->next)
		h->next->back = &h->next;
	h->back = &l->handles;
	l->handles = h;
}

static void unlink_handle(struct loop_handle *h)
{
	*h->back = h->next;
	if (h->next)
		h->next->back = h->back;
}

/* The descriptor stays the caller's on failure. */
static struct loop_handle *add(struct loop *l, enum handle_kind kind, int fd, uint32_t events, void *ctx)
{
	struct loop_handle *h = calloc(1, sizeof(*h));
	struct epoll_event ev = {.events = events, .data.ptr = h};

	if (!h)
		return NULL;
	*h = (struct loop_handle){.loop = l, .kind = kind, .fd = fd, .ctx = ctx};
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		free(h);
		return NULL;
	}
	link_handle(l, h);
	return h;
}

struct loop_handle *loop_add_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn fn, void *ctx)
{
	struct loop_handle *h = add(l, HANDLE_FD, fd, events, ctx);

	if (h)
		h->on_fd = fn;
	return h;
}

int loop_set_events(struct loop_handle *h, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = h};

	return epoll_ctl(h->loop->epoll_fd, EPOLL_CTL_MOD, h->fd, &ev) ? -errno : 0;
}

static struct timespec timespec_of_ms(uint64_t ms)
{
	return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

int loop_set_timer(struct loop_handle *h, uint64_t first_ms, uint64_t period_ms)
{
	struct itimerspec spec = {.it_value = timespec_of_ms(first_ms), .it_interval = timespec_of_ms(period_ms)};

	return timerfd_settime(h->fd, 0, &spec, NULL) ? -errno : 0;
}

/* Closes a descriptor of our own without losing the cause of the failure before it. */
static void close_keep_errno(int fd)
{
	int err = errno;

	close(fd);
	errno = err;
}

struct loop_handle *loop_add_timer(struct loop *l, uint64_t first_ms, uint64_t period_ms, loop_timer_fn fn, void *ctx)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct loop_handle *h;
	int err;

	if (fd < 0)
		return NULL;
	h = add(l, HANDLE_TIMER, fd, EPOLLIN, ctx);
	if (!h) {
		close_keep_errno(fd);
		return NULL;
	}
	h->on_timer = fn;
	err = loop_set_timer(h, first_ms, period_ms);
	if (err) {
		loop_remove(l, h);
		errno = -err;
		return NULL;
	}
	return h;
}

struct loop_handle *loop_add_signals(struct loop *l, const sigset_t *set, loop_signal_fn fn, void *ctx)
{
	struct loop_handle *h;
	int fd;

	if (sigprocmask(SIG_BLOCK, set, NULL))
		return NULL;
	fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return NULL;
	h = add(l, HANDLE_SIGNALS, fd, EPOLLIN, ctx);
	if (!h) {
		close_keep_errno(fd);
		return NULL;
	}
	h->on_signal = fn;
	return h;
}

void loop_remove(struct loop *l, struct loop_handle *h)
{
	if (!h || h->fd < 0)
		return;
	/* Fails where the caller has closed the descriptor already, which is as good. */
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, h->fd, NULL);
	if (h->kind != HANDLE_FD)
		close(h->fd);
	h->fd = -1;
	unlink_handle(h);
	h->next = l->removed;
	l->removed = h;
}

static void dispatch_timer(struct loop_handle *h)
{
	uint64_t expirations;

	/* Nothing to read: it was set anew by a callback before this one. */
	if (read(h->fd, &expirations, sizeof(expirations)) == sizeof(expirations))
		h->on_timer(h->ctx);
}

static void dispatch_signals(struct loop_handle *h)
{
	struct signalfd_siginfo info;

	while (h->fd >= 0 && read(h->fd, &info, sizeof(info)) == sizeof(info))
		h->on_signal(h->ctx, (int)info.ssi_signo);
}

static void dispatch(struct loop_handle *h, uint32_t events)
{
	if (h->fd < 0)
		return;
	switch (h->kind) {
	case HANDLE_FD:
		h->on_fd(h->ctx, events);
		return;
	case HANDLE_TIMER:
		dispatch_timer(h);
		return;
	case HANDLE_SIGNALS:
		dispatch_signals(h);
		return;
	}
}

int loop_run(struct loop *l)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	l->is_stopped = false;
	while (!l->is_stopped) {
		int n = epoll_wait(l->epoll_fd, events, EVENTS_AT_ONCE, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n && !l->is_stopped; i++)
			dispatch(events[i].data.ptr, events[i].events);
		free_removed(l);
	}
	return l->code;
}

void loop_stop(struct loop *l, int code)
{
	l->is_stopped = true;
	l->code = code;
}
