/* SPDX-License-Identifier: Apache-2.0 */
/* --interface: which interfaces are ours, with what flags, and why the others are not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "interfaces.h"

/* A pod's veth; rows change what they are about. */
static struct link_info pod(const char *name)
{
	struct link_info l = {.ifindex = 7,
			      .mtu = 1500,
			      .is_up = true,
			      .is_veth = true,
			      .has_ethernet_header = true,
			      .peer_is_elsewhere = true};

	snprintf(l.name, sizeof(l.name), "%s", name);
	return l;
}

static struct link_info nic(const char *name)
{
	struct link_info l = {
		.ifindex = 2, .mtu = 1500, .is_up = true, .has_ethernet_header = true, .has_default_route = true};

	snprintf(l.name, sizeof(l.name), "%s", name);
	return l;
}

static struct link_info local_veth(const char *name)
{
	struct link_info l = pod(name);

	l.peer_is_elsewhere = false;
	return l;
}

/* A node that is itself a container: its uplink is a veth. */
static struct link_info uplink_veth(const char *name)
{
	struct link_info l = pod(name);

	l.has_default_route = true;
	return l;
}

static struct link_info tunnel(const char *name)
{
	struct link_info l = nic(name);

	l.has_ethernet_header = false;
	return l;
}

#define PEER  NODENS_INTERFACE_PEER
#define ALLOW NODENS_INTERFACE_ALLOW

static void each_interface_gets_what_the_rules_say(void **state)
{
	const struct {
		const char *sentence;
		const char *specs[4];
		bool has_allow;
		struct link_info link;
		enum interface_decision decision;
		uint32_t flags;
		const char *reason; /* a part of it */
	} rows[] = {
		{"a pod's veth by default", {0}, false, pod("veth1"), INTERFACE_WANTED, PEER, ""},
		{"pods by name", {"pods"}, false, pod("cali12"), INTERFACE_WANTED, PEER, ""},
		{"pods with the hook", {"pods:tc"}, false, pod("cali12"), INTERFACE_WANTED, PEER, ""},
		{"a NIC is no candidate", {0}, false, nic("eth0"), INTERFACE_UNRELATED, 0, ""},
		{"a NIC is no candidate, allowed or not", {0}, true, nic("eth0"), INTERFACE_UNRELATED, 0, ""},
		{"a veth pair within the node",
		 {0},
		 true,
		 local_veth("cilium_host"),
		 INTERFACE_SKIPPED,
		 0,
		 "same network namespace"},
		{"the node's own uplink is a veth",
		 {0},
		 true,
		 uplink_veth("eth0"),
		 INTERFACE_SKIPPED,
		 0,
		 "default route"},
		{"a NAME replaces the default",
		 {"eth1"},
		 true,
		 pod("veth1"),
		 INTERFACE_SKIPPED,
		 0,
		 "no --interface names it"},
		{"a NIC by NAME with --allow-from", {"eth1"}, true, nic("eth1"), INTERFACE_WANTED, ALLOW, ""},
		{"a NIC by NAME without", {"eth1"}, false, nic("eth1"), INTERFACE_SKIPPED, 0, "--allow-from"},
		{"a NIC by GLOB without", {"eth*:tc"}, false, nic("eth1"), INTERFACE_SKIPPED, 0, "--allow-from"},
		{"a tunnel", {"wg0"}, true, tunnel("wg0"), INTERFACE_SKIPPED, 0, "Ethernet"},
		{"a pod's veth by NAME needs no --allow-from",
		 {"veth1"},
		 false,
		 pod("veth1"),
		 INTERFACE_WANTED,
		 PEER,
		 ""},
		{"the uplink veth by NAME is no pod's",
		 {"eth0"},
		 true,
		 uplink_veth("eth0"),
		 INTERFACE_WANTED,
		 PEER | ALLOW,
		 ""},
		{"a veth pair within the node by NAME", {"v0"}, true, local_veth("v0"), INTERFACE_WANTED, ALLOW, ""},
		{"!GLOB alone subtracts from pods",
		 {"!veth9*"},
		 false,
		 pod("veth91"),
		 INTERFACE_SKIPPED,
		 0,
		 "left out"},
		{"!GLOB leaves the others", {"!veth9*"}, false, pod("veth81"), INTERFACE_WANTED, PEER, ""},
		{"!GLOB wins over a NAME, in any order",
		 {"!veth*", "veth91"},
		 false,
		 pod("veth91"),
		 INTERFACE_SKIPPED,
		 0,
		 "left out"},
		{"!GLOB of what nobody wants", {"!eth*"}, false, nic("eth0"), INTERFACE_UNRELATED, 0, ""},
		{"pods and a NAME: the pod", {"pods", "eth1"}, true, pod("veth1"), INTERFACE_WANTED, PEER, ""},
		{"pods and a NAME: the NIC", {"pods", "eth1"}, true, nic("eth1"), INTERFACE_WANTED, ALLOW, ""},
		{"pods and a NAME: another NIC", {"pods", "eth1"}, true, nic("eth2"), INTERFACE_UNRELATED, 0, ""},
		{"a GLOB is of the whole name", {"eth"}, true, nic("eth1"), INTERFACE_UNRELATED, 0, ""},
		{"an interface called pods is not what pods means",
		 {"pods"},
		 true,
		 nic("pods"),
		 INTERFACE_UNRELATED,
		 0,
		 ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct interface_rules rules;
		struct interface_choice c;
		struct error e = {0};
		size_t n = 0;

		while (n < 4 && rows[i].specs[n])
			n++;
		assert_int_equal(interfaces_parse(rows[i].specs, n, rows[i].has_allow, &rules, &e), 0);
		interfaces_choose(&rules, &rows[i].link, &c);
		if (c.decision != rows[i].decision || c.flags != rows[i].flags || !strstr(c.reason, rows[i].reason))
			fail_msg("%s: decision %d flags %u reason \"%s\"", rows[i].sentence, c.decision, c.flags,
				 c.reason);
		if (c.decision != INTERFACE_SKIPPED)
			assert_string_equal(c.reason, "");
		interfaces_done(&rules);
	}
}

static void only_a_whole_name_makes_a_missing_allow_from_an_error(void **state)
{
	const char *const by_name[] = {"eth1"}, *const by_glob[] = {"eth?"};
	struct link_info link = nic("eth1");
	struct interface_rules rules;
	struct interface_choice c;
	struct error e = {0};

	(void)state;
	assert_int_equal(interfaces_parse(by_name, 1, false, &rules, &e), 0);
	interfaces_choose(&rules, &link, &c);
	assert_true(c.lacks_allow && c.is_named);
	assert_true(interfaces_rule_names(&rules.rules[0], "eth1"));
	interfaces_done(&rules);
	assert_int_equal(interfaces_parse(by_glob, 1, false, &rules, &e), 0);
	interfaces_choose(&rules, &link, &c);
	assert_true(c.lacks_allow && !c.is_named);
	assert_false(interfaces_rule_names(&rules.rules[0], "eth1"));
	interfaces_done(&rules);
}

static void xdp_is_wanted_where_a_rule_that_matches_asks_for_it(void **state)
{
	const char *const specs[] = {"eth1:xdp", "ens*:xdp", "ens9:tc", "wlan0", "pods", "!ens7"};
	static const struct {
		const char *name;
		enum interface_decision decision;
		bool is_xdp;
	} rows[] = {
		{"eth1", INTERFACE_WANTED, true},     {"ens3", INTERFACE_WANTED, true},
		{"ens9", INTERFACE_WANTED, true},     {"wlan0", INTERFACE_WANTED, false},
		{"eth2", INTERFACE_UNRELATED, false}, {"ens7", INTERFACE_SKIPPED, false},
	};
	struct interface_rules rules;
	struct error e = {0};

	(void)state;
	assert_int_equal(interfaces_parse(specs, sizeof(specs) / sizeof(specs[0]), true, &rules, &e), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct link_info link = nic(rows[i].name);
		struct interface_choice c;

		interfaces_choose(&rules, &link, &c);
		if (c.decision != rows[i].decision || c.is_xdp != rows[i].is_xdp)
			fail_msg("%s: decision %d, XDP %d", rows[i].name, c.decision, c.is_xdp);
	}
	interfaces_done(&rules);
}

static void a_bad_spec_is_refused_with_its_cause(void **state)
{
	static const struct {
		const char *spec, *cause;
	} rows[] = {
		{"pods:xdp", "network cards"},
		{"!eth0:xdp", "left out on every hook"},
		{"eth0:ebpf", "neither tc nor xdp"},
		{"!eth0:tc", "left out on every hook"},
		{"", "no interface name"},
		{"!", "no interface name"},
		{":tc", "no interface name"},
		{"abcdefghijklmnop", "longer than an interface name"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa*", "too long"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct interface_rules rules;
		struct error e = {0};

		assert_int_equal(interfaces_parse(&rows[i].spec, 1, true, &rules, &e), -EINVAL);
		assert_non_null(strstr(e.text, rows[i].cause));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_interface_gets_what_the_rules_say),
		cmocka_unit_test(only_a_whole_name_makes_a_missing_allow_from_an_error),
		cmocka_unit_test(xdp_is_wanted_where_a_rule_that_matches_asks_for_it),
		cmocka_unit_test(a_bad_spec_is_refused_with_its_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
