#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180 180
"""
Beside kube-proxy: the server addresses are ClusterIPs that netfilter translates to a resolver in another pod, by iptables and
by nftables, for routed pods and for ports of a bridge. Hits leave no trace in conntrack; misses, TCP and the node's own queries
go their translated way and come back.
"""

import contextlib
import itertools
import os
import resource
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import cluster
import kubeproxy
import node
import packet
import podnet
import tap
from lab import FAMILIES, NAME, OBJECTS, UNKNOWN, Lab, Sniffer, check, question
from message import AAAA, Question

SERVER = {4: packet.SERVER4, 6: packet.SERVER6}
POD = {4: packet.POD4, 6: packet.POD6}
RESOLVER = {4: "10.0.1.53", 6: "fd00:10:0:1::53"}
PODS = {4: "10.0.1.0/24", 6: "fd00:10:0:1::/64"}
UPLINK = {4: "198.51.100.1", 6: "fd00:198:51::1"}
NODE = {4: (UPLINK[4], podnet.NODE4), 6: (UPLINK[6], podnet.NODE6)}
GATEWAY = {4: "169.254.1.1", 6: "fe80::1"}
BRIDGE = "br0"
BRIDGE_SYSCTLS = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")

QUERIES = 1000  # each from a port of its own: one conntrack entry each, if anything makes one
ROUNDS = 40
LOOKUPS = 25
KEPT_S = 3600  # an entry outlives the test, however slow the machine

DNS = [cluster.service("kube-system", "kube-dns", cluster.ports(("dns", 53, "UDP"), ("dns-tcp", 53)), (SERVER[4], SERVER[6])),
       *(cluster.slice_of("kube-system", "kube-dns", "v%d" % family, [cluster.endpoint(RESOLVER[family])],
			  cluster.ports(("dns", 53, "UDP"), ("dns-tcp", 53))) for family in FAMILIES)]

# ---- ways a pod hangs on the node ----


def route_pod(pod, address):
	"""As Calico does: no address of the node on the veth but a link-local one, ARP by proxy."""
	podnet.run("ip address add %s/64 dev %s nodad" % (GATEWAY[6], pod.name))
	podnet.run("ip route add %s/32 dev %s" % (address[4], pod.name))
	podnet.run("ip -6 route add %s/128 dev %s" % (address[6], pod.name))
	podnet.sysctl("net.ipv4.conf.%s.proxy_arp" % pod.name, 1)
	podnet.sysctl("net.ipv4.neigh.%s.proxy_delay" % pod.name, 0)
	with podnet.inside(pod):
		podnet.skip_dad("eth0")
	for words in ("ip link set lo up", "ip link set eth0 up", "ip address add %s/32 dev eth0" % address[4],
		      "ip address add %s/128 dev eth0 nodad" % address[6], "ip route add %s dev eth0 scope link" % GATEWAY[4],
		      "ip route add default via %s dev eth0" % GATEWAY[4], "ip -6 route add default via %s dev eth0" % GATEWAY[6]):
		podnet.pod_run(pod, words)
	podnet.wait_local(address[6], pod=pod)


def bridge_pod(pod, address):
	podnet.run("ip link set %s master %s" % (pod.name, BRIDGE))
	podnet.run("ip link set %s type bridge_slave hairpin on" % pod.name)
	podnet.configure_pod(pod, address[4], address[6])
	podnet.wait_local(podnet.NODE6)


def add_bridge():
	podnet.run("ip link add %s type bridge" % BRIDGE)
	podnet.run("ip link set %s up" % BRIDGE)
	podnet.run("ip address add %s/24 dev %s" % (podnet.NODE4, BRIDGE))
	podnet.run("ip address add %s/64 dev %s nodad" % (podnet.NODE6, BRIDGE))


def keep_bridged_from_netfilter(is_kept):
	for name in BRIDGE_SYSCTLS:
		podnet.sysctl(name, 0 if is_kept else 1)


class ProxiedLab(Lab):
	"""The node routes between its pods; a proxy of kubeproxy.py is between the ClusterIPs and the resolver's
	pod, where the upstream is."""

	servers = ()  # as the cluster's objects name them

	def __init__(self, proxy, is_bridge):
		super().__init__([*DNS, *OBJECTS], configure=self.configure_node)
		self.proxy, self.is_bridge = proxy, is_bridge
		self.add_pod = bridge_pod if is_bridge else route_pod
		self.last = contextlib.ExitStack()

	def __exit__(self, *arguments):
		super().__exit__(*arguments)
		self.last.close()

	def configure_node(self, pod):
		for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter"):
			podnet.sysctl(name, 1)
		self.add_link("uplink0", "ip link add uplink0 type veth peer name uplink1")
		for words in ("ip link set uplink0 up", "ip link set uplink1 up", "ip address add %s/24 dev uplink0" % UPLINK[4],
			      "ip address add %s/64 dev uplink0 nodad" % UPLINK[6], "ip route add default dev uplink0",
			      "ip -6 route add default dev uplink0"):
			podnet.run(words)
		if self.is_bridge:
			add_bridge()
			keep_bridged_from_netfilter(False)
			self.last.callback(podnet.run, "ip link del " + BRIDGE)
		self.add_pod(pod, POD)
		with podnet.inside(pod):
			podnet.sysctl("net.ipv4.conf.all.rp_filter", 1)
		self.last.enter_context(self.proxy(SERVER, RESOLVER, PODS))
		for name in ("udp_timeout", "udp_timeout_stream"):
			podnet.sysctl("net.netfilter.nf_conntrack_" + name, KEPT_S)

	def add_link(self, name, command):
		podnet.run(command)
		self.last.callback(podnet.run, "ip link del " + name)

	def start_upstream(self):
		self.resolver = node.Pod()
		self.last.callback(podnet.run, "ip link del " + self.resolver.name, check=False)
		self.last.callback(self.resolver.remove)
		self.add_pod(self.resolver, RESOLVER)
		node.wait_until(lambda: self.interface(self.resolver.ifindex)[1], "the agent on the resolver's pod")
		with podnet.inside(self.resolver):
			return podnet.Upstream(RESOLVER.values())


# ---- conntrack ----


def forget():
	podnet.run("conntrack -F")


def entries(family):
	"""Those from the pod, whatever their protocol: the node and its bridge have multicast of their own."""
	lines = podnet.run("conntrack -L -f ipv%d" % family).splitlines()
	return [line for line in lines if " src=%s " % POD[family] in line]


def ask_from_many_ports(lab, family):
	"""The same name from QUERIES sockets that are open at once. Yields question and answer of each."""
	with contextlib.ExitStack() as stack:
		clients = [stack.enter_context(podnet.Client(lab.pod, family)) for _ in range(QUERIES)]
		for client in clients:
			asked = question("three")
			yield asked, client.ask(asked.wire())


def test_hits(tap_, lab, name, family):
	forget()
	lab.upstream.take()
	before = lab.counters.read()
	with tap_.case("%s: %d hits from as many connected sockets are answered in the kernel" % (name, QUERIES)):
		for asked, answer in ask_from_many_ports(lab, family):
			check(asked, answer, family)
		assert lab.moved(before) == {"answered": QUERIES}, lab.moved(before)
		assert not lab.upstream.take()
	tap_.equal(entries(family), [], "%s: they leave no entry in conntrack" % name)
	with tap_.case("%s: a miss leaves one" % name), podnet.Client(lab.pod, family) as client:
		assert podnet.is_from_upstream(client.ask(Question(UNKNOWN).wire()))
		assert len(entries(family)) == 1, entries(family)


def test_control(tap_, lab, name):
	"""Without the agent's programs the same queries show what they cost."""
	lab.kill()
	podnet.run(node.binary(), "detach", "--bpffs", lab.dir)
	for family in FAMILIES:
		forget()
		lab.upstream.take()
		with tap_.case("%s, IPv%d: without nodens the upstream answers, and the same %d queries leave as many entries" % (name, family, QUERIES)):
			assert all(podnet.is_from_upstream(answer) for _, answer in ask_from_many_ports(lab, family))
			assert len(lab.upstream.take()) == QUERIES
			count = len(entries(family))
			assert count >= QUERIES, count
			tap_.note("%d entries" % count)


# ---- hits and misses ----


def test_sources(tap_, lab, name, family):
	with podnet.Client(lab.pod, family, is_connected=False) as client:
		for what, asked in (("a hit", question("three")), ("a miss", Question(UNKNOWN, ident=family))):
			with tap_.case("%s: the answer to %s comes from the ClusterIP" % (name, what)):
				lab.upstream.take()
				client.send(asked.wire())
				answer, source = client.receive()
				assert source == (SERVER[family], 53), source
				if what == "a hit":
					check(asked, answer, family)
					assert not lab.upstream.take()
				else:
					assert lab.upstream.wait_for(1) == [(asked.wire(), POD[family])]
					assert answer == podnet.upstream_answer(asked.wire()), answer


def test_alternating(tap_, lab, name, family):
	with tap_.case("%s: hits and misses in turn on one socket" % name), podnet.Client(lab.pod, family) as client:
		lab.upstream.take()
		for _ in range(ROUNDS):
			asked = question("three")
			check(asked, client.ask(asked.wire()), family)
			assert podnet.is_from_upstream(client.ask(Question(UNKNOWN).wire()))
		assert len(lab.upstream.take()) == ROUNDS


def unknown(qtype):
	return Question(UNKNOWN, qtype, ident=0xFFFF - qtype)


PAIRS = {"two hits": lambda: (question("three"), question("three", AAAA)), "two misses": lambda: (unknown(1), unknown(AAAA)),
	 "a miss and a hit": lambda: (unknown(1), question("three", AAAA)), "a hit and a miss": lambda: (question("three"), unknown(AAAA))}


def test_pairs(tap_, lab, name, family):
	for what, pair in PAIRS.items():
		with tap_.case("%s: A and AAAA back to back on one socket, %s" % (name, what)), podnet.Client(lab.pod, family) as client:
			for _ in range(ROUNDS):
				check_pair(client, family, pair())


def check_pair(client, family, pair):
	waiting = {asked.ident: asked for asked in pair}
	for asked in pair:
		client.send(asked.wire())
	for _ in pair:
		answer, _ = client.receive()
		assert answer is not None, "no answer"
		asked = waiting.pop(int.from_bytes(answer[:2], "big"))
		if asked.name == UNKNOWN:
			assert answer == podnet.upstream_answer(asked.wire()), answer
		else:
			check(asked, answer, family)


# ---- TCP ----


def test_tcp(tap_, lab, name, family):
	query = question("three").wire()
	with tap_.case("%s: TCP goes to the upstream, also for a name that we know" % name):
		lab.upstream.seen_tcp.clear()
		with podnet.inside(lab.pod):
			connection = socket.create_connection((SERVER[family], 53), podnet.ANSWER_WITHIN_S)
		with connection:
			connection.sendall(struct.pack("!H", len(query)) + query)
			answer = connection.makefile("rb").read()
		assert answer[2:] == podnet.upstream_answer(query), answer
		assert lab.upstream.seen_tcp == [(query, POD[family])], lab.upstream.seen_tcp
	with tap_.case("%s: after a truncated answer dig comes back over TCP" % name):
		lab.upstream.seen_tcp.clear()
		out = podnet.pod_run(lab.pod, "dig", "@" + SERVER[family], "+tries=1", "+timeout=%d" % podnet.ANSWER_WITHIN_S, "+noedns", "+short", NAME % "many")
		assert out.strip() == podnet.UPSTREAM_ADDRESS, out
		assert [source for _, source in lab.upstream.seen_tcp] == [POD[family]], lab.upstream.seen_tcp


# ---- glibc ----

RESOLV_CONF = "nameserver %s\nsearch lab.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:%d\n"


class Capture(Sniffer):
	def queries(self, family):
		"""(source port, type) of each query that came out of the pod up to now. They have no OPT."""
		self.socket.setblocking(False)
		ip_len = packet.IPV4_LEN if family == 4 else packet.IPV6_LEN
		found = []
		with contextlib.suppress(BlockingIOError):
			while True:
				frame, address = self.socket.recvfrom(65535)
				udp = frame[packet.ETH_LEN + ip_len :]
				is_query = frame.find(packet.pack_address(SERVER[family]), packet.ETH_LEN) >= 0 and udp[2:4] == b"\0\x35"
				if address[2] != socket.PACKET_OUTGOING and is_query:
					found.append((int.from_bytes(udp[:2], "big"), int.from_bytes(udp[-4:-2], "big")))
		return found


def getent(lab, family, names):
	"""Addresses that glibc's getaddrinfo finds for each name, in the pod, with nothing in /etc but its resolver's files."""
	etc = node.Node.scratch.path / "etc"
	etc.mkdir(exist_ok=True)
	(etc / "resolv.conf").write_text(RESOLV_CONF % (SERVER[family], podnet.ANSWER_WITHIN_S))
	(etc / "nsswitch.conf").write_text("hosts: dns\n")
	script = 'mount --bind "$0" /etc && exec getent ahosts "$@"'
	out = podnet.run("nsenter", "--net=" + podnet.net_path(lab.pod), "unshare", "--mount", "sh", "-c", script, etc, *names)
	return [line.split()[0] for line in out.splitlines() if line.split()[1] == "STREAM"]


def test_glibc(tap_, lab, name, family):
	wanted = sorted(["10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00:1::1", "fd00:1::2"])
	with tap_.case("%s: glibc's getaddrinfo, %d times A and AAAA from one socket" % (name, LOOKUPS)):
		with contextlib.closing(Capture(lab.pod.name)) as capture:
			forget()
			before = lab.counters.read()
			found = getent(lab, family, ["three"] * LOOKUPS)
			queries = capture.queries(family)
		assert sorted(found) == sorted(wanted * LOOKUPS), found
		assert lab.moved(before) == {"answered": 2 * LOOKUPS}, lab.moved(before)
		assert not entries(family), entries(family)
		pairs = list(zip(queries[::2], queries[1::2]))
		assert len(queries) == 2 * LOOKUPS and all(a[0] == b[0] and {a[1], b[1]} == {1, AAAA} for a, b in pairs), queries
	with tap_.case("%s: and names that are not the cluster's" % name):
		found = getent(lab, family, ["three", UNKNOWN + ".", "three", UNKNOWN + "."])
		assert sorted(set(found)) == sorted([*wanted, podnet.UPSTREAM_ADDRESS]), found


# ---- masquerade ----


def test_masquerade(tap_, lab, name, family):
	with podnet.Client(lab.resolver, family) as client:
		with tap_.case("%s: the resolver's own pod asks the ClusterIP: a hit is answered" % name):
			lab.upstream.take()
			asked = question("three")
			check(asked, client.ask(asked.wire()), family)
			assert not lab.upstream.take()
		with tap_.case("%s: a miss comes back to it from the node's address (hairpin), and is answered" % name):
			check_masqueraded(lab, client, Question(UNKNOWN), family)
	with tap_.case("%s: the node's own query goes to the upstream, also for a name that we know" % name):
		before = lab.counters.read()
		with NodeClient(family) as client:
			check_masqueraded(lab, client, question("three"), family)
		assert not lab.moved(before), lab.moved(before)


class NodeClient(podnet.Client):
	"""On the node itself, or in a pod of its network namespace."""

	def __init__(self, family):
		self.family, self.server, self.is_connected = family, (SERVER[family], 53), True
		self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
		self.socket.connect(self.server)


def check_masqueraded(lab, client, asked, family):
	answer = client.ask(asked.wire())
	(payload, source), = lab.upstream.wait_for(1) or [(None, None)]
	assert payload == asked.wire() and source in NODE[family], (payload, source)
	assert answer == podnet.upstream_answer(asked.wire()), answer


# ---- bridge ----


def test_without_br_netfilter(tap_, lab, name, family):
	"""The resolver's answer is switched past the translation. Shows that the cases above went through it."""
	keep_bridged_from_netfilter(True)
	try:
		forget()
		with podnet.Client(lab.pod, family, is_connected=False) as client:
			with tap_.case("%s: with bridged frames kept from netfilter the upstream's answer is from the wrong address" % name):
				client.send(Question(UNKNOWN).wire())
				assert client.receive()[1] == (RESOLVER[family], 53)
			with tap_.case("%s: ours is from the right one" % name):
				asked = question("three")
				client.send(asked.wire())
				answer, source = client.receive()
				check(asked, answer, family)
				assert source == (SERVER[family], 53), source
	finally:
		keep_bridged_from_netfilter(False)


# ---- all of it ----


def test_proxy(tap_, lab, name):
	errors = podnet.checksum_errors(lab.pod)
	for family in FAMILIES:
		for test in (test_hits, test_sources, test_alternating, test_pairs, test_tcp, test_glibc, test_masquerade):
			test(tap_, lab, "%s, IPv%d" % (name, family), family)
		if lab.is_bridge:
			test_without_br_netfilter(tap_, lab, "%s, IPv%d" % (name, family), family)
	tap_.equal(podnet.checksum_errors(lab.pod), errors, "%s: no datagram with a wrong checksum" % name)
	test_control(tap_, lab, name)


def has_br_netfilter():
	return all(os.path.exists("/proc/sys/" + name.replace(".", "/")) for name in BRIDGE_SYSCTLS)


def main(tap_):
	node.enter_namespaces()
	_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
	resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
	tap_.note(podnet.run("iptables --version") + podnet.run("nft --version"))
	for (way, is_bridge), proxy in itertools.product((("routed", False), ("bridge", True)), (kubeproxy.iptables, kubeproxy.nftables)):
		name = "%s, %s" % (proxy.__name__, way)
		if is_bridge and not has_br_netfilter():
			tap_.skip(name, "the kernel has no br_netfilter, or it is not loaded (modprobe br_netfilter)")
			continue
		with ProxiedLab(proxy, is_bridge) as lab:
			test_proxy(tap_, lab, name)


if __name__ == "__main__":
	tap.run(main)
