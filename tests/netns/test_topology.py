#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 300
"""
Ways a pod may hang on its node: a veth that is a port of a bridge; a routed one with a gateway of 169.254.1.1; a pod that
forwards for a namespace behind it, so that an answer goes on over another link.
"""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import node
import packet
import podnet
import tap
from lab import FAMILIES, OBJECTS, UNKNOWN, Lab, Sniffer, ask_all, check, question
from message import Question

BRIDGE, BRIDGE_MAC = "br0", "02:00:00:00:00:01"
ROUTED_GATEWAY4, ROUTED_GATEWAY6 = "169.254.1.1", "fe80::1"
INNER4, INNER6 = "10.0.9.2", "fd00:10:0:9::2"
INNER_GATEWAY4, INNER_GATEWAY6 = "10.0.9.1", "fd00:10:0:9::1"


def check_way(tap_, lab, name):
	"""Hits are answered, misses arrive as they are and are answered by the upstream."""
	for family in FAMILIES:
		before, errors = lab.counters.read(), podnet.checksum_errors(lab.pod)
		with tap_.case("%s, IPv%d: every query is answered" % (name, family)):
			ask_all(lab.pod, family, 10)
			assert set(lab.moved(before)) == set(node.ANSWERS), lab.moved(before)
			assert podnet.checksum_errors(lab.pod) == errors
		with tap_.case("%s, IPv%d: what is not ours passes" % (name, family)), podnet.Client(lab.pod, family) as client:
			lab.upstream.take()
			query = Question(UNKNOWN, ident=family).wire()
			answer = client.ask(query)
			assert lab.upstream.wait_for(1) == [(query, packet.POD4 if family == 4 else packet.POD6)]
			assert answer == podnet.upstream_answer(query), answer


# ---- bridge ----


def configure_bridge(pod):
	podnet.run("ip link add %s address %s type bridge" % (BRIDGE, BRIDGE_MAC))
	podnet.run("ip link set %s up" % BRIDGE)
	podnet.run("ip link set %s master %s" % (pod.name, BRIDGE))
	podnet.run("ip address add %s/24 dev %s" % (podnet.NODE4, BRIDGE))
	podnet.run("ip address add %s/64 dev %s nodad" % (podnet.NODE6, BRIDGE))
	podnet.configure_pod(pod)
	podnet.wait_local(podnet.NODE6)
	podnet.configure_servers()


def test_bridge(tap_):
	with Lab(OBJECTS, configure=configure_bridge) as lab:
		with tap_.case("the port is attached"):
			node.wait_until(lambda: lab.interface(lab.pod.ifindex)[1], "the agent on the bridge's port")
		check_way(tap_, lab, "a port of a bridge")
		with tap_.case("the port's queries are addressed to the bridge (PACKET_OTHERHOST), and answered"):
			check_kind(lab)
	podnet.run("ip link del %s" % BRIDGE)


def check_kind(lab):
	with contextlib.closing(Sniffer(lab.pod.name)) as sniffer, podnet.Client(lab.pod) as client:
		asked = question("one")
		check(asked, client.ask(asked.wire()), 4)
		kind, _ = sniffer.find(asked.wire())
	assert kind == socket.PACKET_OTHERHOST, kind


# ---- routed ----


def configure_routed(pod):
	"""As Calico does: no address of the node on the veth but a link-local one, ARP by proxy."""
	for words in ("ip address add %s/64 dev %s nodad" % (ROUTED_GATEWAY6, pod.name),
		      "ip route add %s/32 dev %s" % (packet.POD4, pod.name),
		      "ip -6 route add %s/128 dev %s" % (packet.POD6, pod.name)):
		podnet.run(words)
	for name in ("proxy_arp", "forwarding", "rp_filter"):
		podnet.sysctl("net.ipv4.conf.%s.%s" % (pod.name, name), 1)
	podnet.sysctl("net.ipv4.neigh.%s.proxy_delay" % pod.name, 0)
	for words in ("ip address add %s/32 dev eth0" % packet.POD4,
		      "ip address add %s/128 dev eth0 nodad" % packet.POD6,
		      "ip route add %s dev eth0 scope link" % ROUTED_GATEWAY4, "ip route replace default via %s dev eth0" % ROUTED_GATEWAY4,
		      "ip -6 route replace default via %s dev eth0" % ROUTED_GATEWAY6):
		podnet.pod_run(pod, words)
	podnet.wait_local(packet.POD6, pod=pod)
	podnet.configure_servers()


def test_routed(tap_):
	with Lab(OBJECTS) as lab:
		uplink = node.Pod()
		try:
			with tap_.case("a veth that gets the node's default route is left alone"):
				node.wait_until(lambda: lab.interface(uplink.ifindex)[1], "the agent on a second pod")
				podnet.run("ip address add 198.51.100.1/24 dev %s" % uplink.name)
				podnet.pod_run(uplink, "ip link set eth0 up")
				podnet.run("ip route add default via 198.51.100.2 dev %s" % uplink.name)
				node.wait_until(lambda: not lab.interface(uplink.ifindex)[1], "the agent off the uplink")
			podnet.run("ip address flush dev %s" % lab.pod.name)
			podnet.pod_run(lab.pod, "ip address flush dev eth0")
			configure_routed(lab.pod)
			check_way(tap_, lab, "a routed pod with a gateway of 169.254.1.1")
			with tap_.case("after its neighbours were forgotten the pod is answered as before"):
				podnet.pod_run(lab.pod, "ip neigh flush all")
				ask_all(lab.pod, 4)
		finally:
			uplink.remove()


# ---- a pod that forwards ----


class Inner:
	"""A namespace behind the pod, which routes for it."""

	def __init__(self, pod):
		self.process = subprocess.Popen(["nsenter", "--net=" + podnet.net_path(pod), "unshare", "--net", "sleep", "infinity"],
						preexec_fn=node._die_with_parent)
		own = [os.readlink("/proc/self/ns/net"), os.readlink(podnet.net_path(pod))]
		node.wait_until(lambda: os.readlink(podnet.net_path(self)) not in own, "a network namespace behind the pod")
		with podnet.inside(pod):
			podnet.skip_dad("default")
		podnet.pod_run(pod, "ip link add in0 type veth peer name eth0 netns %d" % self.process.pid)
		for words in ("ip link set in0 up", "ip address add %s/24 dev in0" % INNER_GATEWAY4,
			      "ip address add %s/64 dev in0 nodad" % INNER_GATEWAY6):
			podnet.pod_run(pod, words)
		with podnet.inside(pod):
			podnet.sysctl("net.ipv4.ip_forward", 1)
			podnet.sysctl("net.ipv6.conf.all.forwarding", 1)
		podnet.configure_pod(self, INNER4, INNER6, INNER_GATEWAY4, INNER_GATEWAY6)
		podnet.wait_local(INNER_GATEWAY6, pod=pod)
		podnet.run("ip route add %s/32 via %s" % (INNER4, packet.POD4))
		podnet.run("ip -6 route add %s/128 via %s" % (INNER6, packet.POD6))

	def remove(self):
		self.process.kill()
		self.process.wait()


def test_forwarder(tap_):
	with Lab(OBJECTS) as lab:
		inner = Inner(lab.pod)
		try:
			for states in itertools.product((True, False), repeat=3):
				check_forwarder(tap_, lab, inner, *states)
		finally:
			inner.remove()


def check_forwarder(tap_, lab, inner, on_inner, on_link, on_pod):
	"""A query whose checksum is left to the device arrives so at the node where both links on its way can: its answer goes
	out on a link that may not."""
	podnet.offload("eth0", on_inner, inner)
	podnet.offload("in0", on_link, lab.pod)
	podnet.offload("eth0", on_pod, lab.pod)
	states = tuple("on" if state else "off" for state in (on_inner, on_link, on_pod))
	name = "tx offload %s behind the pod, %s towards it, %s on the pod's veth" % states
	for family in FAMILIES:
		before, errors = lab.counters.read(), podnet.checksum_errors(inner) + podnet.checksum_errors(lab.pod)
		with tap_.case("%s: answers over IPv%d are valid" % (name, family)):
			ask_all(inner, family, 5)
			assert podnet.checksum_errors(inner) + podnet.checksum_errors(lab.pod) == errors, "wrong checksums"
			assert set(lab.moved(before)) == set(node.ANSWERS), lab.moved(before)
		with tap_.case("%s: misses over IPv%d come back" % (name, family)), podnet.Client(inner, family) as client:
			assert podnet.is_from_upstream(client.ask(Question(UNKNOWN).wire()))
	with tap_.case("%s: the node sees the checksum as meant" % name):
		with contextlib.closing(Sniffer(lab.pod.name)) as sniffer, podnet.Client(inner) as client:
			asked = question("three")
			check(asked, client.ask(asked.wire()), 4)
			_, is_partial = sniffer.find(asked.wire())
		assert is_partial == (on_inner and on_pod), is_partial


def main(tap_):
	node.enter_namespaces()
	for test in (test_bridge, test_routed, test_forwarder):
		test(tap_)


if __name__ == "__main__":
	tap.run(main)
