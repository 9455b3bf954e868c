#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180 300
"""
Native XDP with real packets, on a veth that stands for a network card: its other end has an XDP program too, without which a
frame sent back is never fetched. What XDP has no room for, the TC program of the same interface answers. First as a pod's
interface, then as one that is no pod's and answers only --allow-from.
"""

import itertools
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import cluster
import message
import node
import oracle
import packet
import podnet
import tap
from lab import ETH_P_ALL, FAMILIES, NAME, OBJECTS, PACKET_AUXDATA, SOL_PACKET, UNKNOWN, Lab, ask_all, check, question
from message import A, AAAA, SRV, Edns, Question

# What head growth holds on every kernel: 208 octets. One more does not fit everywhere.
SIZES = {1: 16, 5: 80, 13: 208, 40: 640}
SIZED = [o for count in SIZES for o in cluster.headless("lab", "n%d" % count, [cluster.endpoint("10.3.%d.%d" % (count, i)) for i in range(count)])]
ENTRIES = oracle.Oracle(OBJECTS + SIZED)
HOOK_XDP = 3  # NODENS_HOOK_XDP
FLAG_ALLOW = 2  # NODENS_INTERFACE_ALLOW
QUERIES = 100


def load_pinned(code, name):
	"""An XDP program that returns code for every frame, pinned."""
	pin = node.Node.scratch.path / "bpf" / name
	fd = bpf.prog_load_verdict(code, name, bpf.BPF_PROG_TYPE_XDP)
	pin.unlink(missing_ok=True)
	bpf.obj_pin(fd, pin)
	os.close(fd)
	return pin


def configure(pod):
	"""The pod's end fetches what comes back."""
	podnet.configure(pod)
	podnet.pod_run(pod, "ip link set dev eth0 xdpdrv pinned %s" % load_pinned(bpf.XDP_PASS, "peer_pass"))


def configure_nic(pod):
	"""The node's way into the world, so that it is no pod's."""
	configure(pod)
	podnet.run("ip route replace default via %s dev %s" % (packet.POD4, pod.name))
	podnet.run("ip -6 route replace default via %s dev %s" % (packet.POD6, pod.name))


def words_of(lab):
	"""mtu, hook, flags, priority, handle, xdp of the interface map."""
	interfaces = bpf.obj_get(lab.dir / "current" / "interfaces")
	try:
		entry = bpf.map_lookup(interfaces, struct.pack("=I", lab.pod.ifindex), node.INTERFACE_LEN)
	finally:
		os.close(interfaces)
	return struct.unpack_from("=6I", entry) if entry else (0,) * 6


def wait_xdp(lab, flags=0):
	node.wait_until(lambda: words_of(lab)[5] == HOOK_XDP and words_of(lab)[2] & flags == flags, "XDP on %s" % lab.pod.name)


def sent_back(lab):
	"""Frames that left by XDP_TX."""
	return sum(int(count) for count in re.findall(r"rx_queue_\d+_xdp_tx: (\d+)", podnet.run("ethtool", "-S", lab.pod.name)))


def check_sent_back(lab, before, count):
	"""The driver counts a frame when the other end has it."""
	node.wait_until(lambda: sent_back(lab) - before >= count, "%d frames sent back, not %d" % (count, sent_back(lab) - before))
	assert sent_back(lab) - before == count, sent_back(lab) - before


def program_id(lab):
	match = re.search(r"prog/xdp id (\d+)", podnet.run("ip link show dev %s" % lab.pod.name))
	return int(match[1]) if match else 0


def ask_many(lab, family, asked_of, count):
	with podnet.Client(lab.pod, family) as client:
		for _ in range(count):
			asked = asked_of()
			wire = client.ask(asked.wire())
			assert wire is not None, "no answer to %s" % asked.name
			assert not podnet.is_from_upstream(wire), "the upstream answered %s" % asked.name
			message.check_answer(asked, wire, ENTRIES.find(asked.name), asked.limit(family, lab.mtu))


# ---- a pod's interface ----


def test_attached(t, lab):
	t.equal(program_id(lab), bpf.obj_id(lab.dir / "current" / "xdp")[1], "the interface has the generation's program")
	mode = podnet.run("ip -d link show dev %s" % lab.pod.name)
	t.ok(" xdp " in mode or "\n    prog/xdp" in mode, "in native mode", mode)
	t.ok("xdpgeneric" not in mode, "and in no other", mode)


def test_answers(t, lab):
	for family in FAMILIES:
		with t.case("every kind of answer over IPv%d, by whichever of both hooks" % family):
			ask_all(lab.pod, family, 10)
	t.equal(podnet.checksum_errors(lab.pod), 0, "no answer had a wrong checksum")


def test_who(t, lab):
	"""Small answers leave by XDP, whether the frame grows at its end or at its head; large ones by whoever has room."""
	for family, count in itertools.product(FAMILIES, (1, 5, 13)):
		with t.case("%d A over IPv%d leave by XDP, each" % (count, family)):
			before, counted = sent_back(lab), lab.counters.read()
			ask_many(lab, family, lambda: question("n%d" % count), QUERIES)
			assert lab.moved(counted) == {"answered": QUERIES}, lab.moved(counted)
			check_sent_back(lab, before, QUERIES)
	for family in FAMILIES:
		with t.case("40 A over IPv%d: what XDP has no room for leaves by TC, each query in one verdict" % family):
			before, counted = sent_back(lab), lab.counters.read()
			ask_many(lab, family, lambda: question("n40", edns=Edns(1232)), QUERIES)
			assert lab.moved(counted) == {"answered": QUERIES}, lab.moved(counted)
			t.note("of %d, %d by XDP" % (QUERIES, sent_back(lab) - before))


def test_offloads(t, lab):
	for host, pod in itertools.product((True, False), repeat=2):
		podnet.offload(lab.pod.name, host)
		podnet.offload("eth0", pod, lab.pod)
		with t.case("tx offload %s on the node and %s in the pod" % tuple("on" if x else "off" for x in (host, pod))):
			for family in FAMILIES:
				ask_all(lab.pod, family, 5)
				ask_many(lab, family, lambda: question("n40", edns=Edns(1232)), 20)
			assert podnet.checksum_errors(lab.pod) == 0, podnet.checksum_errors(lab.pod)
	podnet.offload(lab.pod.name, True)
	podnet.offload("eth0", True, lab.pod)


def test_dig(t, lab):
	for server, qtype, want in ((packet.SERVER4, "A", ["10.1.0.1", "10.1.0.2", "10.1.0.3"]), (packet.SERVER6, "AAAA", ["fd00:1::1", "fd00:1::2"])):
		with t.case("dig asks %s" % server):
			out = podnet.pod_run(lab.pod, "dig", "@" + server, "+tries=1", "+timeout=%d" % podnet.ANSWER_WITHIN_S, "+short", NAME % "three", qtype)
			assert sorted(out.split()) == want, out
	with t.case("dig gets 100 A, larger than XDP has room for"):
		out = podnet.pod_run(lab.pod, "dig", "@" + packet.SERVER4, "+tries=1", "+timeout=%d" % podnet.ANSWER_WITHIN_S, "+short", "+bufsize=1232", "+ignore", NAME % "many")
		assert len(out.split()) == 72, out  # dig's cookie takes the room of one


def test_misses(t, lab):
	with t.case("hits and misses in turn on one socket, 200 each"), podnet.Client(lab.pod) as client:
		lab.upstream.take()
		for _ in range(200):
			asked = question("three")
			check(asked, client.ask(asked.wire()), 4)
			assert podnet.is_from_upstream(client.ask(Question(UNKNOWN).wire()))
		assert len(lab.upstream.take()) == 200
	t.equal(podnet.checksum_errors(lab.pod), 0, "no checksum was wrong on the way")


# ---- frames built here ----


class Raw:
	"""A packet socket on the pod's interface."""

	def __init__(self, lab):
		with podnet.inside(lab.pod):
			self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
			self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
			self.socket.bind(("eth0", ETH_P_ALL))
			self.mac = self.socket.getsockname()[4]
		text = re.search(r"link/ether ([0-9a-f:]+)", podnet.run("ip link show dev %s" % lab.pod.name))[1]
		self.node_mac = bytes.fromhex(text.replace(":", ""))

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.socket.close()

	def frame(self, asked, family, **fields):
		return packet.query_frame(asked.wire(), family, ether={"src": self.mac, "dst": self.node_mac}, **fields)

	def ask(self, query, within_s=podnet.ANSWER_WITHIN_S):
		"""The frame that comes back with the query's ports, its tag where it was; None: nothing does."""
		self.socket.send(query)
		deadline = time.monotonic() + within_s
		while (left := deadline - time.monotonic()) > 0:
			self.socket.settimeout(left)
			try:
				frame, control, _, address = self.socket.recvmsg(65535, 256)
			except TimeoutError:
				break
			if address[2] == socket.PACKET_OUTGOING or frame[6:12] != self.node_mac or b"\x03svc" not in frame:
				continue
			return self.with_tag(frame, control)
		return None

	@staticmethod
	def with_tag(frame, control):
		"""The kernel takes a tag out of the frame and tells it beside: tp_status, tp_len, …, tp_vlan_tci, tp_vlan_tpid."""
		for level, kind, data in control:
			if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
				status, tci, tpid = struct.unpack_from("=I12xHH", data)
				if status & 0x10:  # TP_STATUS_VLAN_VALID
					return frame[:12] + struct.pack("!HH", tpid if status & 0x40 else packet.ETH_P_8021Q, tci) + frame[12:]
		return frame


def test_vlan(t, lab):
	with Raw(lab) as raw:
		for family, tpid, count in itertools.product(FAMILIES, (packet.ETH_P_8021Q, packet.ETH_P_8021AD), (1, 13)):
			with t.case("a frame with a tag of %#x, %d A over IPv%d, is answered with its tag by XDP" % (tpid, count, family)):
				before, asked = sent_back(lab), question("n%d" % count)
				query = raw.frame(asked, family, tags=((tpid, 0x2007),))
				answer = raw.ask(query)
				assert answer is not None, "no answer"
				wire = packet.check_answer_frame(query, answer)
				assert message.check_answer(asked, wire, ENTRIES.find(asked.name), asked.limit(family, lab.mtu)) == "answered"
				check_sent_back(lab, before, 1)


def test_two_tags(t, lab):
	"""XDP sees both in the frame. TC finds the outer one beside the packet, where it is no part of what TC sees."""
	with Raw(lab) as raw:
		for family, outer in itertools.product(FAMILIES, (packet.ETH_P_8021Q, packet.ETH_P_8021AD)):
			with t.case("a query with two tags, the outer one of %#x, is answered by neither XDP nor TC, IPv%d" % (outer, family)):
				before, asked = lab.counters.read(), question("one")
				raw.socket.send(raw.frame(asked, family, tags=((outer, 7), (packet.ETH_P_8021Q, 8))))
				# Frames keep their order: with this one's answer the other has been looked at.
				query = raw.frame(asked, family, tags=((outer, 7),))
				answer = raw.ask(query)
				assert answer is not None, "no answer to a query with one tag"
				check(asked, packet.check_answer_frame(query, answer), family)
				assert lab.moved(before) == {"answered": 1}, lab.moved(before)


# ---- generations ----


class Load(threading.Thread):
	"""Asks all the time; every query must be answered by us."""

	def __init__(self, lab, family):
		super().__init__(daemon=True)
		self.client, self.family, self.is_ending = podnet.Client(lab.pod, family), family, threading.Event()
		self.answers, self.failures = 0, []

	def run(self):
		kinds = itertools.cycle((("three", A), ("one", A), ("three", AAAA), ("three", SRV)))
		with self.client:
			while not self.is_ending.is_set() and len(self.failures) < 5:
				asked = question(*next(kinds))
				try:
					check(asked, self.client.ask(asked.wire()), self.family)
					self.answers += 1
				except AssertionError as e:
					self.failures.append("IPv%d, after %d answers: %s" % (self.family, self.answers, e))

	def go_on(self, count=30):
		"""Until so many more are answered, or something went wrong."""
		wanted = self.answers + count
		node.wait_until(lambda: self.answers >= wanted or self.failures, "%d more answers" % count)

	def end(self):
		self.is_ending.set()
		self.join(podnet.ANSWER_WITHIN_S + 20)


def test_switching(t, lab):
	loads = [Load(lab, family) for family in FAMILIES]
	ids = {program_id(lab)}
	for load in loads:
		load.start()
	for _ in range(4):
		lab.kill()
		lab.restart()
		node.wait_until(lambda: program_id(lab) == bpf.obj_id(lab.dir / "current" / "xdp")[1], "the new program on the old link")
		ids.add(program_id(lab))
		for load in loads:
			load.go_on()
	for load in loads:
		load.end()
	t.note("%d answers during %d switches" % (sum(load.answers for load in loads), len(ids) - 1))
	t.none_of([failure for load in loads for failure in load.failures], "no query is lost or passed on while XDP is switched over")
	t.ok(len(ids) == 5 and all(load.answers > 100 for load in loads), "it was switched four times, under load", ids)


def test_foreign(t, lab):
	lab.kill()
	podnet.run(node.binary(), "detach", "--bpffs", lab.dir)
	t.equal(program_id(lab), 0, "detach takes XDP off")
	podnet.run("ip link set dev %s xdpdrv pinned %s" % (lab.pod.name, load_pinned(bpf.XDP_PASS, "foreign")))
	foreign = program_id(lab)
	lab.restart()
	node.wait_until(lambda: "id %d" % foreign in lab.log_text(), "the foreign program's id in the log")
	t.ok(words_of(lab)[5] == 0 and words_of(lab)[1] != 0, "beside a foreign XDP program TC is attached alone", words_of(lab))
	with t.case("TC answers alone"):
		before = sent_back(lab)
		ask_all(lab.pod, 4)
		assert sent_back(lab) == before
	t.equal(program_id(lab), foreign, "the foreign program is where it was")
	podnet.run("ip link set dev %s xdpdrv off" % lab.pod.name)


# ---- a card's interface ----


def test_allowed(t, lab):
	wait_xdp(lab, FLAG_ALLOW)
	with Raw(lab) as raw:
		for family, source in ((4, packet.POD4), (6, packet.POD6)):
			with t.case("a source within --allow-from is answered by XDP, IPv%d" % family):
				before, asked = sent_back(lab), question("three")
				query = raw.frame(asked, family, src=source)
				answer = raw.ask(query)
				assert answer is not None, "no answer"
				check(asked, packet.check_answer_frame(query, answer), family)
				check_sent_back(lab, before, 1)
		for family, source in ((4, "10.0.2.5"), (4, "192.0.2.1"), (6, "fd00:10:0:2::5"), (6, "2001:db8::1")):
			with t.case("a spoofed source (%s) goes to the upstream" % source):
				before, counted, asked = sent_back(lab), lab.counters.read(), question("three")
				lab.upstream.take()
				answer = raw.ask(raw.frame(asked, family, src=source))
				assert podnet.is_from_upstream(answer), answer and answer.hex()
				assert lab.upstream.wait_for(1) == [(asked.wire(), source)]
				assert sent_back(lab) == before and lab.moved(counted) == {"source": 1}, lab.moved(counted)


def test_gone(t, lab):
	lab.kill()
	with t.case("with the agent dead XDP goes on answering"):
		before = sent_back(lab)
		with podnet.Client(lab.pod) as client:
			asked = question("three")
			check(asked, client.ask(asked.wire()), 4)
		check_sent_back(lab, before, 1)
	podnet.run(node.binary(), "detach", "--bpffs", lab.dir)
	t.equal((program_id(lab), [p.name for p in lab.dir.rglob("*") if not p.is_dir()]), (0, []), "detach leaves nothing")


def main(t):
	node.enter_namespaces()
	objects = OBJECTS + SIZED
	with Lab(objects, ["--interface", "pod*:xdp"], configure=configure) as lab:
		wait_xdp(lab)
		for test in (test_attached, test_answers, test_who, test_offloads, test_dig, test_misses, test_vlan, test_two_tags, test_switching, test_foreign):
			test(t, lab)
	with Lab(objects, ["--interface", "pod*:xdp", "--allow-from", "10.0.1.0/24", "--allow-from", "fd00:10:0:1::/64"], configure=configure_nic) as lab:
		for test in (test_allowed, test_gone):
			test(t, lab)


if __name__ == "__main__":
	tap.run(main)
