/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding RTM_*LINK, RTM_*ROUTE, and what happens on clsact. */
#include "kernel/links_decode.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <net/if_arp.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* Attributes by type, of those that matter; NULL: absent. */
struct attrs {
	const struct nlattr **table;
	uint16_t max;
};

static int take_attr(const struct nlattr *attr, void *ctx)
{
	struct attrs *a = ctx;

	if (mnl_attr_get_type(attr) <= a->max)
		a->table[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static bool get_u32(const struct nlattr *attr, uint32_t *ret_value)
{
	if (!attr || mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
		return false;
	*ret_value = mnl_attr_get_u32(attr);
	return true;
}

/* Whether all attributes behind a header of this size lie within the message. */
static bool message_is_whole(const struct nlmsghdr *nlh, size_t header_len)
{
	return nlh->nlmsg_len >= MNL_NLMSG_HDRLEN + MNL_ALIGN(header_len);
}

static bool link_kind_is(const struct nlattr *link_info, const char *kind)
{
	const struct nlattr *found[IFLA_INFO_MAX + 1] = {0};
	struct attrs a = {found, IFLA_INFO_MAX};

	if (!link_info || mnl_attr_parse_nested(link_info, take_attr, &a) < 0 || !found[IFLA_INFO_KIND])
		return false;
	return mnl_attr_validate(found[IFLA_INFO_KIND], MNL_TYPE_STRING) >= 0 &&
	       mnl_attr_get_payload_len(found[IFLA_INFO_KIND]) > strlen(kind) &&
	       strcmp(mnl_attr_get_str(found[IFLA_INFO_KIND]), kind) == 0;
}

static void decode_attrs(const struct nlattr *const *found, struct link_news *n)
{
	n->link.is_veth = link_kind_is(found[IFLA_LINKINFO], "veth");
	/* The kernel adds it where the other end lives in another namespace, even one without an id here (-1). */
	n->link.peer_is_elsewhere = n->link.is_veth && found[IFLA_LINK_NETNSID];
	(void)get_u32(found[IFLA_MTU], &n->link.mtu);
	(void)get_u32(found[IFLA_MASTER], &n->link.master_ifindex);
	(void)get_u32(found[IFLA_LINK], &n->peer_ifindex);
}

int links_decode_link(const struct nlmsghdr *nlh, struct link_news *ret_news)
{
	const struct nlattr *found[IFLA_MAX + 1] = {0};
	struct attrs a = {found, IFLA_MAX};
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct link_news n = {0};

	if (nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK)
		return 0;
	if (!message_is_whole(nlh, sizeof(*ifi)) || ifi->ifi_index <= 0)
		return -EBADMSG;
	if (ifi->ifi_family != AF_UNSPEC)
		return 0;
	n.link.ifindex = (uint32_t)ifi->ifi_index;
	n.is_gone = nlh->nlmsg_type == RTM_DELLINK;
	if (n.is_gone) {
		*ret_news = n;
		return 1;
	}
	if (mnl_attr_parse(nlh, sizeof(*ifi), take_attr, &a) < 0 || !found[IFLA_IFNAME] ||
	    mnl_attr_validate(found[IFLA_IFNAME], MNL_TYPE_NUL_STRING) < 0 ||
	    mnl_attr_get_payload_len(found[IFLA_IFNAME]) > sizeof(n.link.name))
		return -EBADMSG;
	strcpy(n.link.name, mnl_attr_get_str(found[IFLA_IFNAME]));
	n.link.is_up = ifi->ifi_flags & IFF_UP;
	n.link.is_loopback = ifi->ifi_type == ARPHRD_LOOPBACK;
	n.link.has_ethernet_header = ifi->ifi_type == ARPHRD_ETHER || n.link.is_loopback;
	decode_attrs(found, &n);
	*ret_news = n;
	return 1;
}

static int decode_multipath(const struct nlattr *multipath, uint32_t *ret_ifindexes, size_t max)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(multipath);
	int len = mnl_attr_get_payload_len(multipath), count = 0;

	while (RTNH_OK(hop, len)) {
		if ((size_t)count < max)
			ret_ifindexes[count] = (uint32_t)hop->rtnh_ifindex;
		count++;
		len -= (int)RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
	return count;
}

int links_decode_default_route(const struct nlmsghdr *nlh, uint32_t *ret_ifindexes, size_t max)
{
	const struct nlattr *found[RTA_MAX + 1] = {0};
	struct attrs a = {found, RTA_MAX};
	const struct rtmsg *route = mnl_nlmsg_get_payload(nlh);
	uint32_t table, ifindex;

	if (nlh->nlmsg_type != RTM_NEWROUTE && nlh->nlmsg_type != RTM_DELROUTE)
		return 0;
	if (!message_is_whole(nlh, sizeof(*route)))
		return -EBADMSG;
	if (route->rtm_dst_len != 0 || route->rtm_type != RTN_UNICAST ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6))
		return 0;
	if (mnl_attr_parse(nlh, sizeof(*route), take_attr, &a) < 0)
		return -EBADMSG;
	table = route->rtm_table;
	(void)get_u32(found[RTA_TABLE], &table);
	if (table != RT_TABLE_MAIN)
		return 0;
	if (found[RTA_MULTIPATH])
		return decode_multipath(found[RTA_MULTIPATH], ret_ifindexes, max);
	if (!get_u32(found[RTA_OIF], &ifindex))
		return 0;
	if (max > 0)
		ret_ifindexes[0] = ifindex;
	return 1;
}

int64_t links_decode_tc(const struct nlmsghdr *nlh)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(nlh);
	uint32_t parent = nlh->nlmsg_type == RTM_NEWQDISC || nlh->nlmsg_type == RTM_DELQDISC
				  ? TC_H_CLSACT
				  : TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);

	if (nlh->nlmsg_type != RTM_NEWQDISC && nlh->nlmsg_type != RTM_DELQDISC && nlh->nlmsg_type != RTM_NEWTFILTER &&
	    nlh->nlmsg_type != RTM_DELTFILTER)
		return 0;
	if (!message_is_whole(nlh, sizeof(*tc)))
		return -EBADMSG;
	/* The number of a shared block is negative here (TCM_IFINDEX_MAGIC_BLOCK). */
	return tc->tcm_ifindex > 0 && tc->tcm_parent == parent ? tc->tcm_ifindex : 0;
}
