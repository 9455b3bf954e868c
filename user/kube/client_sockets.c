/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's sockets and its timer on the event loop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "kube/client_curl.h"

static void on_socket_ready(void *ctx, uint32_t events)
{
	const struct socket *s = ctx;
	struct kube_client *c = s->client;
	int fd = s->fd; /* s may go within */

	client_enter(c);
	client_run(c, fd,
		   (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
			   (events & EPOLLERR ? CURL_CSELECT_ERR : 0));
	client_leave(c);
}

static void drop_socket(struct kube_client *c, int fd)
{
	for (struct socket **p = &c->sockets; *p; p = &(*p)->next) {
		struct socket *s = *p;

		if (s->fd != fd)
			continue;
		*p = s->next;
		loop_remove(c->loop, s->handle);
		free(s);
		return;
	}
}

static struct socket *find_socket(struct kube_client *c, int fd)
{
	struct socket *s = c->sockets;

	while (s && s->fd != fd)
		s = s->next;
	return s;
}

static bool watch_socket(struct kube_client *c, int fd, uint32_t events)
{
	struct socket *s = find_socket(c, fd);

	if (s && !loop_set_events(s->handle, events))
		return true;
	drop_socket(c, fd);
	s = calloc(1, sizeof(*s));
	if (!s)
		return false;
	*s = (struct socket){.client = c, .fd = fd, .next = c->sockets};
	s->handle = loop_add_fd(c->loop, fd, events, on_socket_ready, s);
	if (!s->handle) {
		free(s);
		return false;
	}
	c->sockets = s;
	return true;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct kube_client *c = ctx;
	uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);

	(void)easy;
	(void)socket_ctx;
	if (what == CURL_POLL_REMOVE || !events) {
		drop_socket(c, fd);
	} else if (!watch_socket(c, fd, events)) {
		drop_socket(c, fd);
		c->has_lost_socket = true;
		client_kick(c);
	}
	return 0;
}

/* libcurl tells CURL_POLL_REMOVE before it closes, but has not always done so: a number closed here is never watched
 * on. */
int client_socket_close(void *ctx, curl_socket_t fd)
{
	drop_socket(ctx, fd);
	return close(fd);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct kube_client *c = ctx;

	(void)multi;
	if (!c->timer)
		return 0;
	c->is_due = timeout_ms == 0;
	(void)loop_set_timer(c->timer, timeout_ms > 0 ? (uint64_t)timeout_ms : 0, 0);
	if (c->is_due)
		client_kick(c);
	return 0;
}

static void on_timer(void *ctx)
{
	struct kube_client *c = ctx;

	client_enter(c);
	client_run(c, CURL_SOCKET_TIMEOUT, 0);
	client_leave(c);
}

int client_sockets_init(struct kube_client *c, struct error *e)
{
	if (curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) ||
	    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) ||
	    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) ||
	    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c))
		return error_set(e, -ENOMEM, "libcurl: out of memory");
	c->timer = loop_add_timer(c->loop, 0, 0, on_timer, c);
	return c->timer ? 0 : error_set(e, -errno, "event loop: %s", strerror(errno));
}

void client_sockets_done(struct kube_client *c)
{
	while (c->sockets)
		drop_socket(c, c->sockets->fd);
	loop_remove(c->loop, c->timer);
}
