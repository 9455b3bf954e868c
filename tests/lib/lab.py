# SPDX-License-Identifier: Apache-2.0
"""
A node with the agent, one pod with an address and an upstream, over a few services; and questions about these whose answers
are checked in full.
"""

import itertools
import json
import socket
import struct

import cluster
import message
import node
import oracle
import packet
import podnet
from message import A, AAAA, SRV, TXT, Edns, Question

SOL_PACKET, PACKET_AUXDATA, TP_STATUS_CSUMNOTREADY = 263, 8, 8
ETH_P_ALL = 3

THREE = [cluster.endpoint("10.1.0.%d" % i, hostname="h%d" % i) for i in range(1, 4)] + [
	cluster.endpoint("fd00:1::%x" % i, hostname="h%d" % i) for i in range(1, 3)]
OBJECTS = [
	*cluster.headless("lab", "one", [cluster.endpoint("10.1.1.1")]),
	*cluster.headless("lab", "three", THREE),
	*cluster.headless("lab", "many", [cluster.endpoint("10.2.0.%d" % i) for i in range(1, 101)]),
]
ENTRIES = oracle.Oracle(OBJECTS)
NAME = "%s.lab.svc.cluster.local"
FAMILIES = (4, 6)
UNKNOWN = "www.example.com"
IDENTS = itertools.count(1)


def question(service, qtype=A, **fields):
	return Question(NAME % service, qtype, ident=next(IDENTS) & 0xFFFF, **fields)


def questions():
	"""Every way an answer is made: rotation, one record, NODATA, lists with glue, cut."""
	return [question("three"), question("one"), question("three", AAAA), question("one", TXT), question("three", SRV, edns=Edns(4096)),
		question("many"), question("many", A, edns=Edns(1232))]


def check(asked, wire, family, mtu=1500):
	"""The verdict's name; AssertionError where the answer is not ours and right."""
	assert wire is not None, "no answer to %s %d" % (asked.name, asked.qtype)
	assert not podnet.is_from_upstream(wire), "the upstream answered %s %d" % (asked.name, asked.qtype)
	return message.check_answer(asked, wire, ENTRIES.find(asked.name), asked.limit(family, mtu))


def ask_all(pod, family, rounds=1, **client):
	with podnet.Client(pod, family, **client) as sender:
		for _ in range(rounds):
			for asked in questions():
				check(asked, sender.ask(asked.wire()), family)


class Lab(node.Node):
	"""A node with one configured pod (`pod`), the agent and an upstream (`upstream`)."""

	def __init__(self, objects, arguments=(), mtu=1500, configure=podnet.configure):
		"""configure(pod) gives the pod its way to the server addresses."""
		super().__init__(objects, arguments, (mtu,))
		self.mtu, self.configure = mtu, configure

	def __enter__(self):
		podnet.skip_dad("default")
		super().__enter__()
		try:
			self.pod = self.pods[self.mtu]
			self.configure(self.pod)
			self.upstream = self.start_upstream()
		except BaseException:
			self.__exit__()
			raise
		return self

	def __exit__(self, *arguments):
		if hasattr(self, "upstream"):
			self.upstream.close()
		podnet.run("ip address flush dev lo scope global", check=False)
		super().__exit__(*arguments)

	def start_upstream(self):
		"""On the node's own addresses, unless a subclass has it elsewhere."""
		return podnet.Upstream()

	def status(self):
		return json.loads(podnet.run(node.binary(), "status", "-o", "json", "--bpffs", self.dir))

	def moved(self, before):
		"""Verdicts counted since `before` (counters.read()), but for other traffic (neighbour discovery)."""
		after = self.counters.read()
		return {name: after[name] - before[name] for name in after if after[name] != before[name] and name != "not_dns"}


class Sniffer:
	"""What comes out of the pod, before TC sees it."""

	def __init__(self, interface):
		self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
		self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
		self.socket.bind((interface, ETH_P_ALL))
		self.socket.settimeout(podnet.ANSWER_WITHIN_S)

	def find(self, payload):
		"""(kind of packet (PACKET_HOST …), whether its checksum is left to the device) of the datagram with this payload."""
		while True:
			frame, control, _, address = self.socket.recvmsg(65535, 256)
			if frame.endswith(payload):
				status, = [struct.unpack_from("=I", data)[0] for level, kind, data in control if (level, kind) == (SOL_PACKET, PACKET_AUXDATA)]
				return address[2], bool(status & TP_STATUS_CSUMNOTREADY)

	def close(self):
		self.socket.close()
