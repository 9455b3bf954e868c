#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 120
"""
The agent on a network card with native XDP in the driver. Runs in the guests of test_kernels.py: these have two virtio cards on
one bridge outside; the second one gets a network namespace that stands for another machine.
"""

import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import cases
import hooks
import message
import node
import packet
import podnet
import tagged
import tap
from lab import ENTRIES, FAMILIES, NAME, OBJECTS, UNKNOWN, Lab, ask_all, check, question
from message import A, Edns, Question

OUTSIDER4 = "10.0.9.9"
ALLOW = ("10.0.1.0/24", "fd00:10:0:1::/64", *tagged.ALLOW)
QUERIES = 20


class Wire:
	"""The cards: `nic0` on the node, eth0 on the other machine. Has what node.Pod has."""

	name = "nic0"

	def __init__(self):
		self.process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=node._die_with_parent)
		own = os.readlink("/proc/self/ns/net")
		node.wait_until(lambda: os.readlink(podnet.net_path(self)) != own, "a network namespace for the other machine")
		for card, pid in (("eth0", os.getpid()), ("eth1", self.process.pid)):
			podnet.run("nsenter --net=/proc/1/ns/net ip link set %s netns %d" % (card, pid))
		podnet.run("ip link set eth0 name " + self.name)
		podnet.pod_run(self, "ip link set eth1 name eth0")
		podnet.run("ip link set %s up" % self.name)
		self.ifindex = socket.if_nametoindex(self.name)

	def remove(self):
		"""A card stays."""

	def close(self):
		self.process.kill()
		self.process.wait()


class CardLab(Lab):
	"""The agent on the card alone."""

	interfaces = ("--interface", Wire.name + ":xdp", *(word for network in ALLOW for word in ("--allow-from", network)))

	def __init__(self, wire):
		super().__init__(OBJECTS)
		self.wire = wire

	def _start(self):
		self.pods[self.mtu] = self.wire
		self.log = tempfile.TemporaryFile(dir=node.Node.scratch.path)
		self._run()


def entry_of(lab):
	entry, = [x for x in lab.status()["interfaces"] if x["name"] == Wire.name]
	return entry


def sent_back():
	"""Frames that the driver sent by XDP_TX."""
	return sum(int(count) for count in re.findall(r"rx(?:_queue_)?\d+_xdp_tx: (\d+)", podnet.run("ethtool -S " + Wire.name)))


def ask(client, asked):
	"""Asks once; the verdict's name by the answer."""
	wire = client.ask(asked.wire())
	assert wire is not None, "no answer to %s" % asked.name
	assert not podnet.is_from_upstream(wire), "the upstream answered %s" % asked.name
	return message.check_answer(asked, wire, ENTRIES.find(asked.name), asked.limit(client.family, 1500))


# ---- hooks ----


def test_hooks(t, lab):
	node.wait_until(lambda: entry_of(lab)["xdp"], "XDP on the card")
	t.equal(entry_of(lab)["hook"], cases.hook_wanted(), "status says that the card has TC by %s beside XDP" % cases.hook_wanted())
	t.equal(hooks.xdp_id(Wire.name), bpf.obj_id(lab.dir / "current" / "xdp")[1], "the card has the generation's XDP program")
	mode = podnet.run("ip -d link show dev " + Wire.name)
	t.ok("prog/xdp id" in mode and "xdpgeneric" not in mode, "in the driver, no generic XDP", mode)
	t.ok("virtio_net" in podnet.run("ethtool -i " + Wire.name), "the driver is virtio_net")


def test_answers(t, lab):
	for family in FAMILIES:
		with t.case("every kind of answer over IPv%d, checked in full" % family):
			ask_all(lab.pod, family, 5)
		with t.case("%d small answers over IPv%d: each one counted, each one sent back by the driver" % (QUERIES, family)):
			counted, before = lab.counters.read(), sent_back()
			with podnet.Client(lab.pod, family) as client:
				for _ in range(QUERIES):
					assert ask(client, question("three")) == "answered"
			assert lab.moved(counted) == {"answered": QUERIES}, lab.moved(counted)
			assert sent_back() - before == QUERIES, sent_back() - before
		with t.case("%d answers over IPv%d that fill the packet: each one counted once, by whichever hook has room" % (QUERIES, family)):
			counted, before = lab.counters.read(), sent_back()
			with podnet.Client(lab.pod, family) as client:
				for _ in range(QUERIES):
					assert ask(client, question("many", A, edns=Edns(1452))) == "truncated"
			assert lab.moved(counted) == {"truncated": QUERIES}, lab.moved(counted)
			t.note("of %d large answers over IPv%d, %d by XDP, the others by TC" % (QUERIES, family, sent_back() - before))
	t.equal(podnet.checksum_errors(lab.pod), 0, "no answer had a wrong checksum")


def test_outsider(t, lab):
	"""Not within --allow-from."""
	podnet.pod_run(lab.pod, "ip address add %s/32 dev eth0" % OUTSIDER4)
	podnet.run("ip route add %s dev %s" % (OUTSIDER4, Wire.name))
	with t.case("a source that is not allowed gets the upstream's answer"):
		counted = lab.counters.read()
		lab.upstream.take()
		text = podnet.pod_run(lab.pod, "dig", "@" + packet.SERVER4, "-b", OUTSIDER4, "+tries=1", "+timeout=%d" % podnet.ANSWER_WITHIN_S, "+noedns", NAME % "three", "A")
		assert cases.records(text, "A") == [podnet.UPSTREAM_ADDRESS], text
		assert [source for _, source in lab.upstream.wait_for(1)] == [OUTSIDER4]
		assert lab.moved(counted) == {"source": 1}, lab.moved(counted)
	podnet.pod_run(lab.pod, "ip address del %s/32 dev eth0" % OUTSIDER4)


def test_tagged_xdp(t, lab):
	before = sent_back()
	tagged.test_tagged(t, lab, "the tag in the frame (XDP)")
	t.ok(sent_back() > before, "tagged answers were sent back by the driver", sent_back() - before)


# ---- others, and the end ----


def test_detach(t, lab):
	listed = cases.loaded()
	mine = {kind: listed[kind] - lab.before[kind] for kind in listed}
	t.note("loaded by the agent: " + ", ".join("%d %ss" % (len(ids), kind) for kind, ids in mine.items()))
	t.ok(mine["prog"] and mine["map"] and mine["link"] and hooks.xdp_id(Wire.name) in mine["prog"], "the agent's programs, maps and links are listed", mine)
	lab.process.terminate()
	lab.process.wait(node.ENDS_WITHIN_S)
	with t.case("with the agent gone the card goes on answering"), podnet.Client(lab.pod) as client:
		before = sent_back()
		assert ask(client, question("three")) == "answered" and sent_back() == before + 1
	t.equal(cases.nodens(lab, "detach").returncode, 0, "nodens detach succeeds")
	lab._close()
	with t.case("it leaves no program, map or link in the kernel"):
		node.wait_until(lambda: not any(cases.loaded()[kind] & ids for kind, ids in mine.items()), "their end")
	t.equal((hooks.xdp_id(Wire.name), hooks.filters(Wire.name), hooks.has_clsact(Wire.name)), (0, [], False), "nothing is on the card")
	t.ok(not lab.dir.exists(), "it leaves no pin")
	with t.case("the upstream answers again"):
		assert podnet.UPSTREAM_ADDRESS in cases.dig(lab, 4, "+noedns", NAME % "three", "A")


def test_foreign(t, lab):
	with hooks.xdp_program(lab.pod.ifindex, hooks.XDP_PASS, "foreign") as foreign:
		lab._run()
		node.wait_until(lambda: "id %d" % foreign in lab.log_text(), "the foreign program's id in the log")
		entry = entry_of(lab)
		t.ok(not entry["xdp"] and entry["hook"] == cases.hook_wanted(), "beside a foreign XDP program TC is attached alone", entry)
		t.ok("id %d" % foreign in entry["reason"], "and status names the program", entry)
		t.equal(hooks.xdp_id(Wire.name), foreign, "the foreign program is where it was")
		for family in FAMILIES:
			with t.case("TC answers alone on the card, IPv%d" % family):
				before = sent_back()
				ask_all(lab.pod, family, 3)
				assert sent_back() == before, sent_back() - before
		tagged.test_tagged(t, lab, "the tag beside the packet (TC)")
		with t.case("what is not the cluster's reaches the upstream"), podnet.Client(lab.pod) as client:
			assert podnet.is_from_upstream(client.ask(Question(UNKNOWN).wire()))


def main(t):
	node.enter_namespaces()
	# Below Linux 5.11 the limit counts for BPF; cases.py is about that.
	resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
	wire = Wire()
	before = cases.loaded()
	try:
		with CardLab(wire) as lab:
			lab.before = before
			for test in (test_hooks, cases.test_dig, test_answers, test_outsider, test_tagged_xdp, test_detach, test_foreign):
				test(t, lab)
	finally:
		wire.close()


if __name__ == "__main__":
	tap.run(main)
