/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces as they are and as they change. Events come on a socket that never blocks, dumps run on others: each
 * change after the subscription is seen in a dump or as an event behind it.
 */
#include "kernel/links.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "kernel/links_decode.h"
#include "kernel/netlink.h"

#define RECEIVE_LEN 65536
/* A burst of pods fits without an overrun: some 1,500 messages. */
#define EVENT_BUFFER_LEN (4 << 20)
#define EVENTS_PER_TURN	 1024
#define MULTIPATH_MAX	 64
#define RETRY_MS	 1000

struct known {
	struct link_info link;
	uint32_t peer_ifindex;
	bool is_seen;	    /* in the running resync */
	bool route_is_seen; /* in the running dump of routes */
};

struct links {
	struct loop *loop;
	struct loop_handle *handle;
	struct loop_handle *retry; /* timer of a resync that failed */
	struct mnl_socket *events;
	struct links_callbacks cb;
	void *ctx;
	struct known *known; /* sorted by ifindex */
	size_t count;
	size_t cap;
	bool is_resync;	     /* tell links even if nothing changed */
	bool routes_changed; /* a dump of routes is due */
	bool peers_changed;  /* a dump of links is due */
	bool is_out_of_memory;
	_Alignas(struct nlmsghdr) uint8_t buffer[RECEIVE_LEN];
};

/* ---- known links ------------------------------------------------------------------------------------------------ */

/* Where ifindex is or belongs. */
static size_t known_position(const struct links *n, uint32_t ifindex)
{
	size_t low = 0, high = n->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (n->known[middle].link.ifindex < ifindex)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct known *known_find(struct links *n, uint32_t ifindex)
{
	size_t at = known_position(n, ifindex);

	return at < n->count && n->known[at].link.ifindex == ifindex ? &n->known[at] : NULL;
}

/* A new one, with nothing in it but ifindex. NULL: out of memory. */
static struct known *known_add(struct links *n, uint32_t ifindex)
{
	size_t at = known_position(n, ifindex);

	if (n->count == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 64;
		struct known *known = realloc(n->known, cap * sizeof(*known));

		if (!known)
			return NULL;
		n->known = known;
		n->cap = cap;
	}
	memmove(&n->known[at + 1], &n->known[at], (n->count - at) * sizeof(n->known[0]));
	n->count++;
	n->known[at] = (struct known){.link.ifindex = ifindex};
	return &n->known[at];
}

static void known_remove(struct links *n, uint32_t ifindex)
{
	struct known *k = known_find(n, ifindex);

	if (!k)
		return;
	if (k->link.has_default_route)
		n->routes_changed = true;
	n->count--;
	memmove(k, k + 1, (size_t)(n->known + n->count - k) * sizeof(*k));
	n->cb.on_gone(n->ctx, ifindex);
}

static bool links_are_equal(const struct link_info *a, const struct link_info *b)
{
	return a->ifindex == b->ifindex && strcmp(a->name, b->name) == 0 && a->mtu == b->mtu && a->is_up == b->is_up &&
	       a->is_veth == b->is_veth && a->is_loopback == b->is_loopback &&
	       a->has_ethernet_header == b->has_ethernet_header && a->peer_is_elsewhere == b->peer_is_elsewhere &&
	       a->has_default_route == b->has_default_route && a->master_ifindex == b->master_ifindex;
}

static void tell(struct links *n, const struct link_info *link)
{
	struct link_info copy = *link;

	n->cb.on_link(n->ctx, &copy);
}

static int known_update(struct links *n, const struct link_news *news)
{
	struct known *k = known_find(n, news->link.ifindex);
	struct link_info next = news->link;
	bool is_new = !k;

	if (!k)
		k = known_add(n, next.ifindex);
	if (!k)
		return -ENOMEM;
	/* IPv4 routes of a link that goes down vanish without a message of their own. */
	if (k->link.has_default_route && k->link.is_up && !next.is_up)
		n->routes_changed = true;
	next.has_default_route = k->link.has_default_route;
	k->peer_ifindex = news->peer_ifindex;
	k->is_seen = true;
	if (!is_new && !n->is_resync && links_are_equal(&k->link, &next))
		return 0;
	k->link = next;
	/* During a resync they are told at the end, with their routes. */
	if (!n->is_resync)
		tell(n, &next);
	return 0;
}

/* ---- dumps ------------------------------------------------------------------------------------------------------ */

/* The family is the first octet of the header, be it ifinfomsg or rtmsg. */
static int dump(struct links *n, uint16_t type, uint8_t family, size_t header_len, mnl_cb_t fn)
{
	_Alignas(struct nlmsghdr) uint8_t request[MNL_NLMSG_HDRLEN + 64] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);

	nlh->nlmsg_type = type;
	*(uint8_t *)mnl_nlmsg_put_extra_header(nlh, header_len) = family;
	return netlink_dump(nlh, fn, n);
}

static int take_link(const struct nlmsghdr *nlh, void *ctx)
{
	struct links *n = ctx;
	struct link_news news;

	if (links_decode_link(nlh, &news) <= 0)
		return MNL_CB_OK;
	if (news.is_gone)
		known_remove(n, news.link.ifindex);
	else if (known_update(n, &news) < 0)
		n->is_out_of_memory = true;
	return MNL_CB_OK;
}

static int take_route(const struct nlmsghdr *nlh, void *ctx)
{
	struct links *n = ctx;
	uint32_t ifindexes[MULTIPATH_MAX];
	int count = links_decode_default_route(nlh, ifindexes, MULTIPATH_MAX);

	for (int i = 0; i < count && i < MULTIPATH_MAX; i++) {
		struct known *k = known_find(n, ifindexes[i]);

		if (k)
			k->route_is_seen = true;
	}
	return MNL_CB_OK;
}

/* Reads the default routes anew and tells the links that gained or lost one. */
static int sync_routes(struct links *n)
{
	int err;

	for (size_t i = 0; i < n->count; i++)
		n->known[i].route_is_seen = false;
	n->routes_changed = false;
	err = dump(n, RTM_GETROUTE, AF_INET, sizeof(struct rtmsg), take_route);
	if (!err)
		err = dump(n, RTM_GETROUTE, AF_INET6, sizeof(struct rtmsg), take_route);
	if (err)
		return err;
	for (size_t i = 0; i < n->count; i++) {
		struct known *k = &n->known[i];

		if (k->link.has_default_route == k->route_is_seen)
			continue;
		k->link.has_default_route = k->route_is_seen;
		if (!n->is_resync)
			tell(n, &k->link);
	}
	return 0;
}

static void remove_unseen(struct links *n)
{
	for (size_t i = n->count; i-- > 0;) {
		if (!n->known[i].is_seen)
			known_remove(n, n->known[i].link.ifindex);
	}
}

/* Everything anew: what went is told first, then all that exist. */
static int resync(struct links *n)
{
	int err;

	for (size_t i = 0; i < n->count; i++)
		n->known[i].is_seen = false;
	n->is_resync = true;
	n->is_out_of_memory = false;
	err = dump(n, RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), take_link);
	if (!err)
		err = sync_routes(n);
	n->is_resync = false;
	if (err || n->is_out_of_memory)
		return err ? err : -ENOMEM;
	remove_unseen(n);
	for (size_t i = 0; i < n->count; i++)
		tell(n, &n->known[i].link);
	n->cb.on_synced(n->ctx);
	return 0;
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

/* The peer of a veth left this namespace (or both ends go): the end that stays here gets no message of its own. One end
 * of a new pair is told before it has a peer (0). */
static void recheck_peer_of(struct links *n, uint32_t gone_ifindex)
{
	for (size_t i = 0; i < n->count && !n->peers_changed; i++) {
		const struct known *k = &n->known[i];

		n->peers_changed = k->link.is_veth && !k->link.peer_is_elsewhere &&
				   (k->peer_ifindex == gone_ifindex || k->peer_ifindex == 0);
	}
}

/* A veth came to where its peer is (or both do now live here): the peer is not told of it either. */
static void recheck_peer_here(struct links *n, const struct link_news *news)
{
	const struct known *peer = known_find(n, news->peer_ifindex);

	n->peers_changed |= news->link.is_veth && !news->link.peer_is_elsewhere && peer && peer->link.peer_is_elsewhere;
}

static int take_event(const struct nlmsghdr *nlh, void *ctx)
{
	struct links *n = ctx;
	int64_t tc_ifindex = n->cb.on_tc ? links_decode_tc(nlh) : 0;
	uint32_t ifindexes[1];

	if (tc_ifindex > 0)
		n->cb.on_tc(n->ctx, (uint32_t)tc_ifindex, nlh->nlmsg_type == RTM_DELQDISC);
	if (links_decode_default_route(nlh, ifindexes, 1) != 0)
		n->routes_changed = true;
	return take_link(nlh, ctx);
}

static int work_off(struct links *n, size_t len)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)n->buffer;
	int left = (int)len;

	if (mnl_cb_run(n->buffer, len, 0, 0, take_event, n) < 0)
		return -errno;
	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		struct link_news news;

		if (links_decode_link(nlh, &news) <= 0)
			continue;
		if (news.is_gone)
			recheck_peer_of(n, news.link.ifindex);
		else
			recheck_peer_here(n, &news);
	}
	return n->is_out_of_memory ? -ENOMEM : 0;
}

static int sync_peers(struct links *n)
{
	n->peers_changed = false;
	return dump(n, RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), take_link);
}

static void resync_or_retry(void *ctx)
{
	struct links *n = ctx;

	(void)loop_set_timer(n->retry, resync(n) < 0 ? RETRY_MS : 0, 0);
}

static void on_events(void *ctx, uint32_t events)
{
	struct links *n = ctx;
	int err = 0;

	(void)events;
	/* One dump for many events; but others of the loop have their turn, too. */
	for (unsigned int i = 0; i < EVENTS_PER_TURN && !err; i++) {
		ssize_t len = mnl_socket_recvfrom(n->events, n->buffer, sizeof(n->buffer));

		if (len < 0 && errno == EAGAIN)
			break;
		err = len < 0 ? -errno : work_off(n, (size_t)len);
	}
	if (!err && n->peers_changed)
		err = sync_peers(n);
	if (!err && n->is_out_of_memory)
		err = -ENOMEM;
	if (!err && n->routes_changed)
		err = sync_routes(n);
	/* Overrun (ENOBUFS) or anything else that may have lost a message. */
	if (err)
		resync_or_retry(n);
}

/* ---- the module ------------------------------------------------------------------------------------------------- */

static int open_events(struct links *n)
{
	const unsigned int groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | (n->cb.on_tc ? RTMGRP_TC : 0);
	const int size = EVENT_BUFFER_LEN;
	int fd;

	n->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!n->events)
		return -errno;
	fd = mnl_socket_get_fd(n->events);
	/* FORCE goes beyond net.core.rmem_max and needs CAP_NET_ADMIN. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_bind(n->events, groups, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return 0;
}

static int start(struct links *n)
{
	int err = open_events(n);

	if (err)
		return err;
	n->handle = loop_add_fd(n->loop, mnl_socket_get_fd(n->events), EPOLLIN, on_events, n);
	n->retry = n->handle ? loop_add_timer(n->loop, 0, 0, resync_or_retry, n) : NULL;
	return n->retry ? resync(n) : -errno;
}

struct links *links_new(struct loop *l, const struct links_callbacks *cb, void *ctx, struct error *e)
{
	struct links *n = calloc(1, sizeof(*n));
	int err = -ENOMEM;

	if (n) {
		n->loop = l;
		n->cb = *cb;
		n->ctx = ctx;
		err = start(n);
	}
	if (!err)
		return n;
	(void)error_set(e, err, "reading network interfaces by netlink: %s", strerror(-err));
	links_free(n);
	return NULL;
}

void links_free(struct links *n)
{
	if (!n)
		return;
	loop_remove(n->loop, n->retry);
	loop_remove(n->loop, n->handle);
	if (n->events)
		mnl_socket_close(n->events);
	free(n->known);
	free(n);
}
