#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 300
"""
The agent dies, hangs, comes back, goes: what a pod sees of it, asked all the time. And `nodens detach`, which leaves
nothing.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import node
import podnet
import tap
from lab import OBJECTS, UNKNOWN, Lab, ask_all, check, question
from message import Question

STALE_AFTER_S = 3.0
# Jiffies, the time between two beats (a quarter of it, and the loop's own delays).
STALE_SLACK_S = 1.0
PAUSE_S = 0.005


class Asking(podnet.Background):
	"""A pod that asks every few milliseconds and notes (when it asked, who answered)."""

	def __init__(self, lab):
		super().__init__()
		self.lab = lab
		self.results = []  # (seconds, "node", "upstream" or what went wrong)

	def _run(self):
		with podnet.Client(self.lab.pod) as client:
			while not self._ending.is_set():
				began = time.monotonic()
				self.results.append((began, self._ask(client)))
				time.sleep(PAUSE_S)

	@staticmethod
	def _ask(client):
		asked = question("three")
		wire = client.ask(asked.wire())
		if podnet.is_from_upstream(wire):
			return "upstream"
		try:
			check(asked, wire, 4)
		except AssertionError as e:
			return str(e)
		return "node"

	def between(self, begin, end):
		"""Who answered in that time, without doubles."""
		return {who for when, who in self.results if begin <= when < end}

	def wait_for(self, who, within_s):
		"""Until somebody else answers; when that was."""
		begin = len(self.results)
		node.wait_until(lambda: any(w == who for _, w in self.results[begin:]), "an answer of the " + who, within_s)
		return next(when for when, w in self.results[begin:] if w == who)


def nodens(lab, command):
	return subprocess.run([node.binary(), command, "--bpffs", str(lab.dir)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
			      text=True, check=False)


def hooks(lab):
	"""What stands on the veth's hooks, as far as anybody can see."""
	name = lab.pod.name
	return {"tcx": bpf.tcx_programs(lab.pod.ifindex), "qdisc": podnet.run("tc qdisc show dev " + name),
		"ingress": podnet.run("tc filter show dev %s ingress" % name, check=False),
		"egress": podnet.run("tc filter show dev %s egress" % name, check=False)}


def count_attached(lab):
	"""tcx, or a clsact filter below Linux 6.6."""
	found = hooks(lab)
	return len(found["tcx"]) + sum("nodens" in line for line in found["ingress"].splitlines())


def check_silence(tap_, lab, asking, died, name):
	"""From the agent's last sign of life to the end of the datapath's patience."""
	passed = asking.wait_for("upstream", STALE_AFTER_S + STALE_SLACK_S + 2)
	tap_.note("%s: passed on after %.2f s" % (name, passed - died))
	tap_.equal(asking.between(died, died + STALE_AFTER_S - STALE_SLACK_S), {"node"}, "%s: answers go on at first" % name)
	tap_.ok(STALE_AFTER_S - STALE_SLACK_S <= passed - died <= STALE_AFTER_S + STALE_SLACK_S,
		"%s: everything is passed on after --stale-after" % name, passed - died)
	before = lab.counters.read()
	time.sleep(0.3)
	moved = lab.moved(before)
	tap_.ok(set(moved) == {"stale"}, "%s: the verdict is stale" % name, moved)


def test_crash(tap_, lab):
	with Asking(lab) as asking:
		asking.wait_for("node", 5)
		begin = died = time.monotonic()
		generation = lab.status()["generation"]
		lab.kill()
		check_silence(tap_, lab, asking, died, "after SIGKILL")
		with tap_.case("`nodens status` says that the agent is not alive"):
			done = nodens(lab, "status")
			assert done.returncode == 1 and "no sign of life" in done.stdout, done
		lab.restart()
		with tap_.case("the agent that comes back answers from a fresh generation, its links adopted"):
			back = asking.wait_for("node", 5)
			time.sleep(0.3)
			assert asking.between(back, time.monotonic()) == {"node"}, asking.between(back, time.monotonic())
			status = lab.status()
			assert status["generation"] == generation + 1, status["generation"]
			assert count_attached(lab) == 1, hooks(lab)
		others = asking.between(begin, time.monotonic()) - {"node", "upstream"}
		tap_.equal(others, set(), "no query was lost and no answer wrong from crash to return")


def test_quick_restart(tap_, lab):
	"""An upgrade: the old datapath answers until the new one does."""
	with Asking(lab) as asking:
		asking.wait_for("node", 5)
		begin = time.monotonic()
		lab.kill()
		lab.restart()
		time.sleep(0.3)
		answered_by = asking.between(begin, time.monotonic())
		tap_.equal(answered_by, {"node"}, "a restart within --stale-after: every query is answered by the node")


def test_hang(tap_, lab):
	with Asking(lab) as asking:
		asking.wait_for("node", 5)
		died = time.monotonic()
		lab.process.send_signal(signal.SIGSTOP)
		check_silence(tap_, lab, asking, died, "after SIGSTOP")
		lab.process.send_signal(signal.SIGCONT)
		with tap_.case("after SIGCONT the node answers again"):
			asking.wait_for("node", 2)


def pinned_ids(directory):
	"""(kind, id) of everything pinned below, without doubles."""
	return {bpf.obj_id(path) for path in directory.rglob("*") if path.is_file() and not path.is_symlink()}


def test_keep(tap_, lab):
	"""SIGTERM with --on-exit keep, the default."""
	with tap_.case("after SIGTERM the datapath stays and answers until --stale-after"):
		lab.process.terminate()
		assert lab.process.wait(5) == 0
		ask_all(lab.pod, 4)


def test_detach(tap_, lab, hooks_before):
	ids = pinned_ids(lab.dir)
	kinds = {kind for kind, _ in ids}
	tap_.ok({"prog", "map"} <= kinds and all(bpf.id_exists(*pair) for pair in ids), "before: programs and maps are loaded", ids)
	done = nodens(lab, "detach")
	tap_.note(done.stdout)
	tap_.equal(done.returncode, 0, "nodens detach succeeds")
	lab._close()
	with tap_.case("after: each of our %d programs, maps and links is gone from the kernel" % len(ids)):
		node.wait_until(lambda: not any(bpf.id_exists(*pair) for pair in ids), "their end", 5)
	with tap_.case("after: the hooks are as before the agent"):
		assert hooks(lab) == hooks_before, hooks(lab)
	left = [path for path in lab.dir.rglob("*") if not path.is_dir()] if lab.dir.exists() else []
	tap_.equal(left, [], "after: nothing is pinned")
	with tap_.case("after: the upstream answers the pod"), podnet.Client(lab.pod) as client:
		for query in (question("three"), Question(UNKNOWN)):
			assert podnet.is_from_upstream(client.ask(query.wire()))
	tap_.equal(nodens(lab, "detach").returncode, 0, "a second nodens detach finds nothing and succeeds")


def test_detach_on_exit(tap_):
	with Lab(OBJECTS, ["--on-exit", "detach"]) as lab:
		ids = pinned_ids(lab.dir)
		ask_all(lab.pod, 4)
		lab.process.terminate()
		with tap_.case("--on-exit detach: SIGTERM leaves nothing"):
			assert lab.process.wait(5) == 0
			lab._close()
			node.wait_until(lambda: not any(bpf.id_exists(*pair) for pair in ids), "the end of programs, maps and links", 5)
			assert count_attached(lab) == 0, hooks(lab)
			with podnet.Client(lab.pod) as client:
				assert podnet.is_from_upstream(client.ask(question("three").wire()))


def hooks_of_a_fresh_pod():
	pod = node.Pod()
	try:
		return {"tcx": bpf.tcx_programs(pod.ifindex), "qdisc": podnet.run("tc qdisc show dev " + pod.name), "ingress": "", "egress": ""}
	finally:
		pod.remove()
		podnet.run("ip link del " + pod.name, check=False)


def main(tap_):
	node.enter_namespaces()
	before = hooks_of_a_fresh_pod()
	with Lab(OBJECTS, ["--stale-after", "%dms" % (STALE_AFTER_S * 1000)]) as lab:
		for test in (test_crash, test_quick_restart, test_hang, test_keep):
			test(tap_, lab)
		test_detach(tap_, lab, before)
	test_detach_on_exit(tap_)


if __name__ == "__main__":
	tap.run(main)
