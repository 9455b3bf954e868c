/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink messages to what links.c keeps. Pure: octets in, structures out. */
#pragma once

#include <linux/netlink.h>
#include <stddef.h>

#include "kernel/links.h"

/* One message about a link. */
struct link_news {
	struct link_info link; /* has_default_route is not told by it: false */
	uint32_t peer_ifindex; /* IFLA_LINK, 0: none */
	bool is_gone;	       /* RTM_DELLINK: only ifindex is meant */
};

/* 1: *ret_news is written, 0: of no interest (other types; AF_BRIDGE messages, which tell of a port and not of the
 * link: its RTM_DELLINK means "left the bridge"), -EBADMSG. */
int links_decode_link(const struct nlmsghdr *nlh, struct link_news *ret_news);

/* A default route that leads somewhere: main table, unicast, destination length 0. Returns how many interfaces carry it
 * (more than one: multipath), of which the first `max` are written; 0: it is no such route; -EBADMSG. */
int links_decode_default_route(const struct nlmsghdr *nlh, uint32_t *ret_ifindexes, size_t max);

/* The interface on whose clsact hook a filter or the qdisc itself came, went or changed (RTM_*TFILTER, RTM_*QDISC);
 * 0: of no interest (other parents, blocks shared by several interfaces), -EBADMSG. */
int64_t links_decode_tc(const struct nlmsghdr *nlh);
