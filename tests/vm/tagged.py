# SPDX-License-Identifier: Apache-2.0
"""VLAN-tagged traffic (802.1Q) between a node and what is at the other end of one of its links."""

import socket

import packet
import podnet
from lab import FAMILIES, check, questions

VLAN = 7
NODE4, NODE6 = "10.0.7.1", "fd00:10:0:7::1"
POD4, POD6 = "10.0.7.2", "fd00:10:0:7::2"
ALLOW = ("10.0.7.0/24", "fd00:10:0:7::/64")


class Tagged:
	"""A VLAN on both ends of a pod's link, by which the pod reaches the servers as long as this is open."""

	def __init__(self, pod):
		self.pod, self.node_end = pod, "vlan%d" % VLAN

	def __enter__(self):
		podnet.run("ip link add link %s name %s type vlan id %d" % (self.pod.name, self.node_end, VLAN))
		podnet.run("ip link set %s up" % self.node_end)
		podnet.pod_run(self.pod, "ip link add link eth0 name tagged type vlan id %d" % VLAN)
		podnet.pod_run(self.pod, "ip link set tagged up")
		for node, pod, server, prefix in ((NODE4, POD4, packet.SERVER4, 24), (NODE6, POD6, packet.SERVER6, 64)):
			flags = "nodad" if ":" in node else ""
			podnet.run("ip address add %s/%d dev %s %s" % (node, prefix, self.node_end, flags))
			podnet.pod_run(self.pod, "ip address add %s/%d dev tagged %s" % (pod, prefix, flags))
			podnet.pod_run(self.pod, "ip route add %s via %s" % (server, node))
		podnet.wait_local(NODE6)
		podnet.wait_local(POD6, pod=self.pod)
		return self

	def __exit__(self, *_):
		podnet.pod_run(self.pod, "ip link del tagged", check=False)
		podnet.run("ip link del %s" % self.node_end, check=False)

	def client(self, family):
		"""Takes only what comes with the tag."""
		client = podnet.Client(self.pod, family)
		client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"tagged\0")
		return client

	def ask_all(self, family, rounds=1):
		"""How many questions were asked and answered."""
		asked = [x for _ in range(rounds) for x in questions()]
		with self.client(family) as client:
			for one in asked:
				check(one, client.ask(one.wire()), family)
		return len(asked)


def test_tagged(t, lab, what):
	"""Questions with a tag, through whatever hooks the link has."""
	with Tagged(lab.pod) as tagged:
		for family in FAMILIES:
			with t.case("IPv%d with a VLAN tag, %s: answered by the datapath, with the tag" % (family, what)):
				before = lab.counters.read()
				count = tagged.ask_all(family, 3)
				assert sum(lab.moved(before).values()) == count, lab.moved(before)
