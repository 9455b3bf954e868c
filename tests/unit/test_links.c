/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces: rtnetlink messages decoded, and (as root) a namespace followed as it changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <net/if_arp.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include "kernel/links_decode.h"
#include "kernel_env.h"

/* ---- messages -----------------------------------------------------------------------------------------------------
 */

static _Alignas(struct nlmsghdr) uint8_t buffer[2048];

static struct nlmsghdr *start_message(uint16_t type, size_t header_len, void **ret_header)
{
	struct nlmsghdr *nlh;

	memset(buffer, 0, sizeof(buffer));
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = type;
	*ret_header = mnl_nlmsg_put_extra_header(nlh, header_len);
	return nlh;
}

static struct nlmsghdr *start_link(uint16_t type, int ifindex, uint16_t arp_type, uint32_t flags, const char *name)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi;
	void *header;

	nlh = start_message(type, sizeof(*ifi), &header);
	ifi = header;
	ifi->ifi_index = ifindex;
	ifi->ifi_type = arp_type;
	ifi->ifi_flags = flags;
	if (name)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return nlh;
}

static void put_kind(struct nlmsghdr *nlh, const char *kind)
{
	struct nlattr *info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);

	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kind);
	mnl_attr_nest_end(nlh, info);
}

static void a_pod_veth_on_a_bridge_is_decoded(void **state)
{
	struct nlmsghdr *nlh = start_link(RTM_NEWLINK, 12, ARPHRD_ETHER, IFF_UP | IFF_RUNNING, "veth0a1b2c3d");
	struct link_news n;

	(void)state;
	mnl_attr_put_u32(nlh, IFLA_MTU, 1450);
	mnl_attr_put_u32(nlh, IFLA_MASTER, 4);
	mnl_attr_put_u32(nlh, IFLA_LINK, 2);
	put_kind(nlh, "veth");
	mnl_attr_put_u32(nlh, IFLA_LINK_NETNSID, 0);
	assert_int_equal(links_decode_link(nlh, &n), 1);
	assert_false(n.is_gone);
	assert_int_equal(n.link.ifindex, 12);
	assert_string_equal(n.link.name, "veth0a1b2c3d");
	assert_int_equal(n.link.mtu, 1450);
	assert_int_equal(n.link.master_ifindex, 4);
	assert_int_equal(n.peer_ifindex, 2);
	assert_true(n.link.is_up && n.link.is_veth && n.link.peer_is_elsewhere && n.link.has_ethernet_header);
	assert_false(n.link.is_loopback || n.link.has_default_route);
}

struct link_row {
	const char *what;
	const char *kind;
	bool has_netnsid;
	uint16_t arp_type;
	uint32_t flags;
	bool is_up, is_veth, is_loopback, has_ethernet_header, peer_is_elsewhere;
};

static void kinds_of_links_are_told_apart(void **state)
{
	static const struct link_row rows[] = {
		{"loopback", NULL, false, ARPHRD_LOOPBACK, IFF_UP | IFF_LOOPBACK, true, false, true, true, false},
		{"a veth with both ends here", "veth", false, ARPHRD_ETHER, 0, false, true, false, true, false},
		{"a VLAN whose device is elsewhere", "vlan", true, ARPHRD_ETHER, IFF_UP, true, false, false, true,
		 false},
		{"a NIC", NULL, false, ARPHRD_ETHER, IFF_UP, true, false, false, true, false},
		{"a tunnel", "ipip", false, ARPHRD_TUNNEL, IFF_UP, true, false, false, false, false},
		{"a kind that begins like veth", "vethernet", true, ARPHRD_ETHER, IFF_UP, true, false, false, true,
		 false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct link_row *r = &rows[i];
		struct nlmsghdr *nlh = start_link(RTM_NEWLINK, 3, r->arp_type, r->flags, "x");
		struct link_news n;

		if (r->kind)
			put_kind(nlh, r->kind);
		if (r->has_netnsid)
			mnl_attr_put_u32(nlh, IFLA_LINK_NETNSID, (uint32_t)-1);
		assert_int_equal(links_decode_link(nlh, &n), 1);
		if (n.link.is_up != r->is_up || n.link.is_veth != r->is_veth || n.link.is_loopback != r->is_loopback ||
		    n.link.has_ethernet_header != r->has_ethernet_header ||
		    n.link.peer_is_elsewhere != r->peer_is_elsewhere)
			fail_msg("%s", r->what);
	}
}

static void a_peer_in_a_namespace_without_an_id_is_elsewhere(void **state)
{
	struct nlmsghdr *nlh = start_link(RTM_NEWLINK, 3, ARPHRD_ETHER, 0, "x");
	struct link_news n;

	(void)state;
	put_kind(nlh, "veth");
	mnl_attr_put_u32(nlh, IFLA_LINK_NETNSID, (uint32_t)-1);
	assert_int_equal(links_decode_link(nlh, &n), 1);
	assert_true(n.link.peer_is_elsewhere);
}

static void a_link_that_goes_is_told_by_its_number(void **state)
{
	struct nlmsghdr *nlh = start_link(RTM_DELLINK, 9, ARPHRD_ETHER, 0, NULL);
	struct link_news n;

	(void)state;
	assert_int_equal(links_decode_link(nlh, &n), 1);
	assert_true(n.is_gone);
	assert_int_equal(n.link.ifindex, 9);
}

static void a_port_that_leaves_its_bridge_is_not_gone(void **state)
{
	struct nlmsghdr *nlh = start_link(RTM_DELLINK, 9, ARPHRD_ETHER, IFF_UP, "veth1");
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct link_news n;

	(void)state;
	ifi->ifi_family = AF_BRIDGE;
	assert_int_equal(links_decode_link(nlh, &n), 0);
}

static void broken_link_messages_are_refused(void **state)
{
	struct link_news n;
	struct nlmsghdr *nlh;

	(void)state;
	nlh = start_link(RTM_NEWLINK, 9, ARPHRD_ETHER, 0, NULL);
	assert_int_equal(links_decode_link(nlh, &n), -EBADMSG);
	nlh = start_link(RTM_NEWLINK, 9, ARPHRD_ETHER, 0, "sixteen_letters_");
	assert_int_equal(links_decode_link(nlh, &n), -EBADMSG);
	nlh = start_link(RTM_NEWLINK, 9, ARPHRD_ETHER, 0, NULL);
	mnl_attr_put(nlh, IFLA_IFNAME, 4, "name"); /* no zero at the end */
	assert_int_equal(links_decode_link(nlh, &n), -EBADMSG);
	nlh = start_link(RTM_NEWLINK, 0, ARPHRD_ETHER, 0, "x");
	assert_int_equal(links_decode_link(nlh, &n), -EBADMSG);
	nlh = start_link(RTM_NEWLINK, 9, ARPHRD_ETHER, 0, "x");
	nlh->nlmsg_len = MNL_NLMSG_HDRLEN + 4;
	assert_int_equal(links_decode_link(nlh, &n), -EBADMSG);
	nlh = start_link(RTM_NEWADDR, 9, ARPHRD_ETHER, 0, "x");
	assert_int_equal(links_decode_link(nlh, &n), 0);
}

static void attributes_of_a_wrong_size_count_as_absent(void **state)
{
	struct nlmsghdr *nlh = start_link(RTM_NEWLINK, 9, ARPHRD_ETHER, 0, "x");
	struct link_news n;

	(void)state;
	mnl_attr_put_u16(nlh, IFLA_MTU, 1500);
	mnl_attr_put(nlh, IFLA_MASTER, 0, NULL);
	mnl_attr_put_u32(nlh, IFLA_LINKINFO, 0x12345678);
	assert_int_equal(links_decode_link(nlh, &n), 1);
	assert_int_equal(n.link.mtu, 0);
	assert_int_equal(n.link.master_ifindex, 0);
	assert_false(n.link.is_veth);
}

static struct nlmsghdr *start_route(uint8_t family, uint8_t dst_len, uint8_t table, uint8_t type)
{
	struct nlmsghdr *nlh;
	struct rtmsg *route;
	void *header;

	nlh = start_message(RTM_NEWROUTE, sizeof(*route), &header);
	route = header;
	route->rtm_family = family;
	route->rtm_dst_len = dst_len;
	route->rtm_table = table;
	route->rtm_type = type;
	return nlh;
}

static void only_default_routes_of_the_main_table_count(void **state)
{
	static const struct {
		const char *what;
		uint8_t family, dst_len, table, type;
		int count;
	} rows[] = {
		{"IPv4 default", AF_INET, 0, RT_TABLE_MAIN, RTN_UNICAST, 1},
		{"IPv6 default", AF_INET6, 0, RT_TABLE_MAIN, RTN_UNICAST, 1},
		{"a subnet", AF_INET, 24, RT_TABLE_MAIN, RTN_UNICAST, 0},
		{"another table", AF_INET, 0, 100, RTN_UNICAST, 0},
		{"unreachable default", AF_INET6, 0, RT_TABLE_MAIN, RTN_UNREACHABLE, 0},
		{"another family", AF_MPLS, 0, RT_TABLE_MAIN, RTN_UNICAST, 0},
	};
	uint32_t ifindexes[4];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct nlmsghdr *nlh = start_route(rows[i].family, rows[i].dst_len, rows[i].table, rows[i].type);

		mnl_attr_put_u32(nlh, RTA_OIF, 5);
		ifindexes[0] = 0;
		if (links_decode_default_route(nlh, ifindexes, 4) != rows[i].count)
			fail_msg("%s", rows[i].what);
		assert_int_equal(ifindexes[0], rows[i].count ? 5 : 0);
	}
}

static void a_table_number_beyond_255_is_in_its_attribute(void **state)
{
	struct nlmsghdr *nlh = start_route(AF_INET, 0, RT_TABLE_COMPAT, RTN_UNICAST);
	uint32_t ifindexes[4];

	(void)state;
	mnl_attr_put_u32(nlh, RTA_OIF, 5);
	mnl_attr_put_u32(nlh, RTA_TABLE, 1000);
	assert_int_equal(links_decode_default_route(nlh, ifindexes, 4), 0);
	nlh = start_route(AF_INET, 0, RT_TABLE_COMPAT, RTN_UNICAST);
	mnl_attr_put_u32(nlh, RTA_OIF, 5);
	mnl_attr_put_u32(nlh, RTA_TABLE, RT_TABLE_MAIN);
	assert_int_equal(links_decode_default_route(nlh, ifindexes, 4), 1);
}

static void all_interfaces_of_a_multipath_route_count(void **state)
{
	struct rtnexthop hops[3] = {{.rtnh_len = sizeof(hops[0]), .rtnh_ifindex = 3},
				    {.rtnh_len = sizeof(hops[0]), .rtnh_ifindex = 8},
				    {.rtnh_len = sizeof(hops[0]), .rtnh_ifindex = 9}};
	struct nlmsghdr *nlh = start_route(AF_INET, 0, RT_TABLE_MAIN, RTN_UNICAST);
	uint32_t ifindexes[2] = {0};

	(void)state;
	mnl_attr_put(nlh, RTA_MULTIPATH, sizeof(hops), hops);
	assert_int_equal(links_decode_default_route(nlh, ifindexes, 2), 3);
	assert_int_equal(ifindexes[0], 3);
	assert_int_equal(ifindexes[1], 8);
	/* A length that runs over the end of the attribute ends the list. */
	hops[1].rtnh_len = 200;
	nlh = start_route(AF_INET, 0, RT_TABLE_MAIN, RTN_UNICAST);
	mnl_attr_put(nlh, RTA_MULTIPATH, sizeof(hops), hops);
	assert_int_equal(links_decode_default_route(nlh, ifindexes, 2), 1);
	hops[0].rtnh_len = 0;
	nlh = start_route(AF_INET, 0, RT_TABLE_MAIN, RTN_UNICAST);
	mnl_attr_put(nlh, RTA_MULTIPATH, sizeof(hops), hops);
	assert_int_equal(links_decode_default_route(nlh, ifindexes, 2), 0);
}

static struct nlmsghdr *start_tc(uint16_t type, int ifindex, uint32_t parent)
{
	struct nlmsghdr *nlh;
	struct tcmsg *tc;
	void *header;

	nlh = start_message(type, sizeof(*tc), &header);
	tc = header;
	tc->tcm_ifindex = ifindex;
	tc->tcm_parent = parent;
	return nlh;
}

static void only_what_happens_on_clsact_ingress_is_told(void **state)
{
	static const struct {
		const char *what;
		uint16_t type;
		int ifindex;
		uint32_t parent;
		int64_t told;
	} rows[] = {
		{"a filter at ingress came", RTM_NEWTFILTER, 7, 0xfffffff2, 7},
		{"a filter at ingress went", RTM_DELTFILTER, 7, 0xfffffff2, 7},
		{"a filter at egress", RTM_DELTFILTER, 7, 0xfffffff3, 0},
		{"the clsact qdisc came", RTM_NEWQDISC, 7, 0xfffffff1, 7},
		{"the clsact qdisc went", RTM_DELQDISC, 7, 0xfffffff1, 7},
		{"the root qdisc went", RTM_DELQDISC, 7, 0xffffffff, 0},
		{"a filter of a shared block", RTM_DELTFILTER, -1, 0xfffffff2, 0},
		{"a class", RTM_NEWTCLASS, 7, 0xfffffff1, 0},
		{"a link", RTM_NEWLINK, 7, 0xfffffff1, 0},
	};
	struct nlmsghdr *nlh;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		nlh = start_tc(rows[i].type, rows[i].ifindex, rows[i].parent);
		if (links_decode_tc(nlh) != rows[i].told)
			fail_msg("%s", rows[i].what);
	}
	nlh = start_tc(RTM_DELQDISC, 7, 0xfffffff1);
	nlh->nlmsg_len -= 4;
	assert_int_equal(links_decode_tc(nlh), -EBADMSG);
}

/* Every octet of a real-looking message in turn takes several values: nothing outside of the message is read (seen by
 * sanitizers: the message lies at the end of its memory). */
static void damaged_messages_never_lead_outside(void **state)
{
	struct nlmsghdr *nlh = start_link(RTM_NEWLINK, 12, ARPHRD_ETHER, IFF_UP, "veth0");
	size_t len;

	(void)state;
	put_kind(nlh, "veth");
	mnl_attr_put_u32(nlh, IFLA_MTU, 1450);
	len = nlh->nlmsg_len;
	for (size_t i = MNL_NLMSG_HDRLEN; i < len; i++) {
		for (unsigned int value = 0; value < 256; value += 5) {
			uint8_t *copy = malloc(len);
			struct link_news n;

			memcpy(copy, buffer, len);
			copy[i] = (uint8_t)value;
			(void)links_decode_link((struct nlmsghdr *)copy, &n);
			free(copy);
		}
	}
}

/* ---- a namespace that changes ---------------------------------------------------------------------------------- */

struct seen {
	struct loop *loop;
	struct link_info links[512];
	size_t count;
	unsigned int told;
	unsigned int gone;
	unsigned int synced;
	char wanted[IFNAMSIZ]; /* stop when this one is told with… */
	bool (*is_reached)(const struct link_info *link);
	uint32_t wanted_gone; /* … or this one is gone */
};

static struct link_info *seen_find(struct seen *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->links[i].name, name) == 0)
			return &s->links[i];
	}
	return NULL;
}

static void on_link(void *ctx, const struct link_info *link)
{
	struct seen *s = ctx;
	size_t i = 0;

	while (i < s->count && s->links[i].ifindex != link->ifindex)
		i++;
	assert_true(i < 512);
	s->links[i] = *link;
	s->count += i == s->count;
	s->told++;
	if (s->is_reached && strcmp(link->name, s->wanted) == 0 && s->is_reached(link))
		loop_stop(s->loop, 1);
}

static void on_gone(void *ctx, uint32_t ifindex)
{
	struct seen *s = ctx;

	for (size_t i = 0; i < s->count; i++) {
		if (s->links[i].ifindex == ifindex)
			s->links[i] = s->links[--s->count];
	}
	s->gone++;
	if (s->wanted_gone == ifindex)
		loop_stop(s->loop, 1);
}

static void on_synced(void *ctx)
{
	((struct seen *)ctx)->synced++;
}

static void give_up(void *ctx)
{
	loop_stop(((struct seen *)ctx)->loop, 0);
}

/* Runs the loop until the link is as wanted; fails after half a minute, for which a machine must be very busy. */
static void run_until(struct seen *s, const char *name, bool (*is_reached)(const struct link_info *link), uint32_t gone)
{
	struct link_info *known = seen_find(s, name);
	struct loop_handle *timer;
	int ret;

	if (known && is_reached && is_reached(known))
		return;
	timer = loop_add_timer(s->loop, 30000, 0, give_up, s);
	strcpy(s->wanted, name);
	s->is_reached = is_reached;
	s->wanted_gone = gone;
	ret = loop_run(s->loop);
	s->is_reached = NULL;
	s->wanted_gone = 0;
	loop_remove(s->loop, timer);
	if (ret != 1)
		fail_msg("%s: not told within half a minute", name);
}

static bool is_there(const struct link_info *link)
{
	return link->ifindex != 0;
}

static bool is_up(const struct link_info *link)
{
	return link->is_up;
}

static bool has_mtu_1400(const struct link_info *link)
{
	return link->mtu == 1400;
}

static bool is_elsewhere(const struct link_info *link)
{
	return link->peer_is_elsewhere;
}

static bool has_route(const struct link_info *link)
{
	return link->has_default_route;
}

static bool has_no_route(const struct link_info *link)
{
	return !link->has_default_route;
}

static bool has_master(const struct link_info *link)
{
	return link->master_ifindex != 0;
}

static bool has_no_master(const struct link_info *link)
{
	return link->master_ifindex == 0;
}

static struct links *follow(struct seen *s)
{
	const struct links_callbacks cb = {.on_link = on_link, .on_gone = on_gone, .on_synced = on_synced};
	struct error error = {0};
	struct links *n;

	memset(s, 0, sizeof(*s));
	s->loop = loop_new();
	assert_non_null(s->loop);
	n = links_new(s->loop, &cb, s, &error);
	if (!n)
		fail_msg("%s", error.text);
	return n;
}

static void unfollow(struct seen *s, struct links *n)
{
	links_free(n);
	loop_free(s->loop);
	(void)command(
		"ip -o link | grep -o 'veth[0-9a-z]*' | sort -u | while read v; do ip link del $v 2>/dev/null; done");
	(void)command("ip link del br9 2>/dev/null");
}

static void what_exists_is_told_at_the_start(void **state)
{
	struct links *n;
	struct seen s;

	(void)state;
	kernel_env_need();
	assert_int_equal(command("ip link set lo up; ip link add vetha type veth peer name vethb; ip link set vetha up;"
				 "ip link set vethb up; ip addr add 192.0.2.1/24 dev vetha;"
				 "ip route add default via 192.0.2.254"),
			 0);
	n = follow(&s);
	assert_int_equal(s.synced, 1);
	assert_true(seen_find(&s, "lo")->is_loopback);
	assert_true(seen_find(&s, "vetha")->has_default_route);
	assert_false(seen_find(&s, "vethb")->has_default_route);
	assert_true(seen_find(&s, "vetha")->is_veth);
	assert_false(seen_find(&s, "vetha")->peer_is_elsewhere);
	assert_int_equal(s.told, s.count);
	unfollow(&s, n);
}

static void links_are_followed_from_birth_to_end(void **state)
{
	struct links *n;
	struct seen s;
	uint32_t ifindex;

	(void)state;
	kernel_env_need();
	n = follow(&s);
	assert_int_equal(command("ip link add vetha type veth peer name vethb"), 0);
	run_until(&s, "vetha", is_there, 0);
	assert_int_equal(command("ip link set vetha up"), 0);
	run_until(&s, "vetha", is_up, 0);
	assert_int_equal(command("ip link set vetha mtu 1400"), 0);
	run_until(&s, "vetha", has_mtu_1400, 0);
	assert_int_equal(command("ip link set vethb name vethx"), 0);
	run_until(&s, "vethx", is_there, 0);
	assert_null(seen_find(&s, "vethb"));
	assert_int_equal(command("ip link add br9 type bridge && ip link set vetha master br9"), 0);
	run_until(&s, "vetha", has_master, 0);
	assert_int_equal(command("ip link set vetha nomaster"), 0);
	run_until(&s, "vetha", has_no_master, 0);
	assert_int_equal(s.gone, 0);
	ifindex = seen_find(&s, "vetha")->ifindex;
	assert_int_equal(command("ip link del vetha"), 0);
	run_until(&s, "vetha", NULL, ifindex);
	unfollow(&s, n);
}

/* A process in a network namespace of its own. */
static pid_t start_namespace(void)
{
	int ends[2];
	char is_there = 0;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) == 0 && write(ends[1], "1", 1) == 1)
			pause();
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &is_there, 1), 1);
	close(ends[0]);
	return pid;
}

/* The peer moves away while both ends are down: the end that stays is not told of by the kernel. */
static void check_move(const char *moved, const char *stays)
{
	struct links *n;
	struct seen s;
	pid_t pid = start_namespace();

	n = follow(&s);
	assert_int_equal(command("ip link add vetha type veth peer name vethb"), 0);
	run_until(&s, "vethb", is_there, 0);
	run_until(&s, "vetha", is_there, 0);
	assert_false(seen_find(&s, stays)->peer_is_elsewhere);
	usleep(100000);
	assert_int_equal(command("ip link set %s netns %d", moved, pid), 0);
	run_until(&s, stays, is_elsewhere, 0);
	assert_null(seen_find(&s, moved));
	(void)command("ip link del %s", stays);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unfollow(&s, n);
}

static void a_peer_that_moves_away_is_noticed(void **state)
{
	(void)state;
	kernel_env_need();
	check_move("vethb", "vetha");
	check_move("vetha", "vethb");
}

static bool is_here(const struct link_info *link)
{
	return !link->peer_is_elsewhere;
}

/* The end that stays gets no message of its own: it is no pod's veth any more. */
static void a_peer_that_moves_here_is_noticed(void **state)
{
	struct links *n;
	struct seen s;
	pid_t pid;

	(void)state;
	kernel_env_need();
	pid = start_namespace();
	n = follow(&s);
	usleep(100000);
	assert_int_equal(command("ip link add vetha type veth peer name vethb netns %d", pid), 0);
	run_until(&s, "vetha", is_elsewhere, 0);
	assert_int_equal(command("nsenter --net=/proc/%d/ns/net ip link set vethb netns %d", pid, getpid()), 0);
	run_until(&s, "vetha", is_here, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unfollow(&s, n);
}

static void default_routes_come_and_go(void **state)
{
	struct links *n;
	struct seen s;

	(void)state;
	kernel_env_need();
	n = follow(&s);
	assert_int_equal(
		command("ip link add vetha type veth peer name vethb; ip link set vethb up; ip link set vetha up;"
			"ip addr add 192.0.2.1/24 dev vetha; ip addr add 198.51.100.1/24 dev vethb"),
		0);
	run_until(&s, "vetha", is_up, 0);
	assert_int_equal(
		command("ip route add 203.0.113.0/24 via 192.0.2.254; ip route add default via 192.0.2.254 table 77;"
			"ip route add default via 192.0.2.254"),
		0);
	run_until(&s, "vetha", has_route, 0);
	assert_int_equal(command("ip route replace default nexthop via 198.51.100.9 nexthop via 192.0.2.254"), 0);
	run_until(&s, "vethb", has_route, 0);
	assert_true(seen_find(&s, "vetha")->has_default_route);
	assert_int_equal(command("ip route replace default via 192.0.2.254"), 0);
	run_until(&s, "vethb", has_no_route, 0);
	/* Its routes vanish with it, without a message of their own. */
	assert_int_equal(command("ip link set vetha down"), 0);
	run_until(&s, "vetha", has_no_route, 0);
	assert_int_equal(
		command("ip -6 addr add 2001:db8::1/64 dev vethb nodad; ip -6 route add default via 2001:db8::2"), 0);
	run_until(&s, "vethb", has_route, 0);
	assert_int_equal(command("ip -6 route del default"), 0);
	run_until(&s, "vethb", has_no_route, 0);
	unfollow(&s, n);
}

static void an_overrun_of_the_socket_is_made_good(void **state)
{
	struct links *n;
	struct seen s;

	(void)state;
	kernel_env_need();
	assert_int_equal(command("ip link add veth0 type veth peer name vethgone"), 0);
	n = follow(&s);
	/* Some 10,000 messages while nobody reads. */
	assert_int_equal(command("for i in $(seq 1 5000); do echo link set lo mtu $((2000 + $i)); done | ip -batch -;"
				 "ip link del veth0;"
				 "for i in $(seq 1 20); do echo link add veth$i type veth peer name vethp$i; done | ip "
				 "-batch -"),
			 0);
	run_until(&s, "vethp20", is_there, 0);
	assert_int_equal(s.synced, 2);
	assert_null(seen_find(&s, "vethgone"));
	assert_non_null(seen_find(&s, "veth1"));
	assert_int_equal(seen_find(&s, "lo")->mtu, 7000);
	unfollow(&s, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_veth_on_a_bridge_is_decoded),
		cmocka_unit_test(kinds_of_links_are_told_apart),
		cmocka_unit_test(a_peer_in_a_namespace_without_an_id_is_elsewhere),
		cmocka_unit_test(a_link_that_goes_is_told_by_its_number),
		cmocka_unit_test(a_port_that_leaves_its_bridge_is_not_gone),
		cmocka_unit_test(broken_link_messages_are_refused),
		cmocka_unit_test(attributes_of_a_wrong_size_count_as_absent),
		cmocka_unit_test(only_default_routes_of_the_main_table_count),
		cmocka_unit_test(a_table_number_beyond_255_is_in_its_attribute),
		cmocka_unit_test(all_interfaces_of_a_multipath_route_count),
		cmocka_unit_test(only_what_happens_on_clsact_ingress_is_told),
		cmocka_unit_test(damaged_messages_never_lead_outside),
		cmocka_unit_test(what_exists_is_told_at_the_start),
		cmocka_unit_test(links_are_followed_from_birth_to_end),
		cmocka_unit_test(a_peer_that_moves_away_is_noticed),
		cmocka_unit_test(a_peer_that_moves_here_is_noticed),
		cmocka_unit_test(default_routes_come_and_go),
		cmocka_unit_test(an_overrun_of_the_socket_is_made_good),
	};

	return cmocka_run_group_tests(tests, kernel_env_setup, kernel_env_teardown);
}
