#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 300
"""
The agent dies, hangs, comes back, goes: what a pod sees of it, asked all the time. And `nodens detach`, which leaves
nothing.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import node
import podnet
import tap
from lab import OBJECTS, UNKNOWN, Lab, ask_all, check, question
from message import Question

# Long enough that in the time before it somebody asks and the agent beats, on a machine that stops either for seconds.
STALE_AFTER_S = 6.0
# For what must be over before that, on a machine with other things to do.
PATIENT = ["--stale-after", "60s"]
# The deadline is in jiffies and read by ticks.
TICKS_S = 0.1
PAUSE_S = 0.005


class PunctualLab(Lab):
	before_exec = staticmethod(node.before_others)


class Asking(podnet.Background):
	"""A pod that asks every few milliseconds and notes (when it asked, when it had the answer, who answered)."""

	def __init__(self, lab):
		super().__init__()
		self.lab = lab
		self.results = []  # (seconds, seconds, "node", "upstream" or what went wrong)

	def _run(self):
		with podnet.Client(self.lab.pod) as client:
			while not self._ending.is_set():
				began = time.monotonic()
				who = self._ask(client)
				self.results.append((began, time.monotonic(), who))
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
		"""Who answered what was asked and answered in that time, without doubles."""
		return {who for when, ended, who in list(self.results) if begin <= when and ended < end}

	def go_on(self, begin, count=20):
		"""Until so many more were asked and answered since `begin`: the asking thread may get no CPU for a while."""
		node.wait_until(lambda: sum(when >= begin for when, _, _ in list(self.results)) >= count, "%d more answers" % count)

	def wait_for(self, who):
		"""Until somebody else answers; when that was asked."""
		begin = len(self.results)
		node.wait_until(lambda: any(w == who for _, _, w in self.results[begin:]), "an answer of the " + who)
		return next(when for when, _, w in self.results[begin:] if w == who)


def nodens(lab, *command):
	return subprocess.run([node.binary(), *command, "--bpffs", str(lab.dir)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
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


def time_of_day_offset():
	"""Of both clocks, read at once: of several readings the one that took least, as this may be stopped in between."""
	readings = []
	for _ in range(20):
		began = time.monotonic()
		offset = time.time() - began
		readings.append((time.monotonic() - began, offset))
	return min(readings)[1]


def last_beat(lab):
	"""Of an agent that beats no more, in seconds of our clock."""
	status = json.loads(nodens(lab, "status", "-o", "json").stdout)
	return status["heartbeat_ms"] / 1000 - time_of_day_offset()


def check_silence(tap_, lab, asking, died, name):
	"""From the agent's last sign of life to the end of the datapath's patience. When we look is the machine's matter: what counts is
	when each query was asked and answered."""
	deadline = last_beat(lab) + STALE_AFTER_S
	passed = asking.wait_for("upstream")
	tap_.note("%s: passed on after %.2f s, %.2f s behind the last beat" % (name, passed - died, passed - deadline + STALE_AFTER_S))
	tap_.ok(deadline - died <= STALE_AFTER_S + TICKS_S, "%s: there is no beat any more" % name, deadline - died)
	tap_.equal(asking.between(died, deadline - TICKS_S), {"node"}, "%s: answers go on at first" % name)
	asking.go_on(deadline + TICKS_S)
	late = asking.between(deadline + TICKS_S, time.monotonic())
	tap_.equal(late, {"upstream"}, "%s: everything is passed on after --stale-after" % name)
	before = lab.counters.read()
	asking.go_on(time.monotonic())
	moved = lab.moved(before)
	tap_.ok(set(moved) == {"stale"}, "%s: the verdict is stale" % name, moved)


def test_crash(tap_, lab):
	with Asking(lab) as asking:
		asking.wait_for("node")
		generation = lab.status()["generation"]
		lab.kill()
		begin = died = time.monotonic()
		check_silence(tap_, lab, asking, died, "after SIGKILL")
		with tap_.case("`nodens status` says that the agent is not alive"):
			done = nodens(lab, "status")
			assert done.returncode == 1 and "no sign of life" in done.stdout, done
		lab.restart()
		with tap_.case("the agent that comes back answers from a fresh generation, its links adopted"):
			back = asking.wait_for("node")
			asking.go_on(back)
			assert asking.between(back, time.monotonic()) == {"node"}, asking.between(back, time.monotonic())
			status = lab.status()
			assert status["generation"] == generation + 1, status["generation"]
			assert count_attached(lab) == 1, hooks(lab)
		others = asking.between(begin, time.monotonic()) - {"node", "upstream"}
		tap_.equal(others, set(), "no query was lost and no answer wrong from crash to return")


def test_quick_restart(tap_, lab):
	"""An upgrade: the old datapath answers until the new one does."""
	lab.arguments = PATIENT
	lab.kill()
	lab.restart()
	with Asking(lab) as asking:
		asking.wait_for("node")
		begin = time.monotonic()
		lab.kill()
		lab.restart()
		asking.go_on(time.monotonic())
		answered_by = asking.between(begin, time.monotonic())
		tap_.equal(answered_by, {"node"}, "a restart within --stale-after: every query is answered by the node")


def test_hang(tap_, lab):
	with Asking(lab) as asking:
		asking.wait_for("node")
		lab.freeze()
		died = time.monotonic()
		check_silence(tap_, lab, asking, died, "after SIGSTOP")
		lab.process.send_signal(signal.SIGCONT)
		with tap_.case("after SIGCONT the node answers again"):
			asking.wait_for("node")


def pinned_ids(directory):
	"""(kind, id) of everything pinned below, without doubles."""
	return {bpf.obj_id(path) for path in directory.rglob("*") if path.is_file() and not path.is_symlink()}


def test_keep(tap_, lab):
	"""SIGTERM with --on-exit keep, the default."""
	with tap_.case("after SIGTERM the datapath stays and answers until --stale-after"):
		lab.process.terminate()
		assert lab.process.wait(node.ENDS_WITHIN_S) == 0
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
		node.wait_until(lambda: not any(bpf.id_exists(*pair) for pair in ids), "their end")
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
			assert lab.process.wait(node.ENDS_WITHIN_S) == 0
			lab._close()
			node.wait_until(lambda: not any(bpf.id_exists(*pair) for pair in ids), "the end of programs, maps and links")
			assert count_attached(lab) == 0, hooks(lab)
			with podnet.Client(lab.pod) as client:
				assert podnet.is_from_upstream(client.ask(question("three").wire()))


def test_takes_over(tap_):
	"""The folder that a second agent waits for goes with the first one."""
	with Lab(OBJECTS, ["--on-exit", "detach"]) as lab, tempfile.TemporaryFile() as log:
		first, ids = lab.process, pinned_ids(lab.dir)
		lab.process = subprocess.Popen([*first.args[:-2], "--bpffs", str(lab.dir)], stdout=log, stderr=log, preexec_fn=node._die_with_parent)
		node.wait_until(lambda: b"holds the lock" in os.pread(log.fileno(), 1 << 20, 0), "a second agent that waits")
		first.terminate()
		assert first.wait(node.ENDS_WITHIN_S) == 0
		lab._close()
		with tap_.case("--on-exit detach: an agent that waits for the lock makes all of it anew"):
			node.wait_until(lambda: b'msg="ready"' in os.pread(log.fileno(), 1 << 20, 0) or lab.process.poll() is not None, "the second agent")
			assert lab.process.poll() is None, os.pread(log.fileno(), 1 << 20, 0).decode()
			# A link that only lost its pin is on the hook until the kernel has freed it, behind the first agent's end.
			node.wait_until(lambda: not any(bpf.id_exists(*pair) for pair in ids), "the end of what the first agent had")
			assert not pinned_ids(lab.dir) & ids and count_attached(lab) == 1, hooks(lab)
			ask_all(lab.pod, 4)


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
	with PunctualLab(OBJECTS, ["--stale-after", "%dms" % (STALE_AFTER_S * 1000)]) as lab:
		for test in (test_crash, test_hang, test_quick_restart, test_keep):
			test(tap_, lab)
		test_detach(tap_, lab, before)
	test_detach_on_exit(tap_)
	test_takes_over(tap_)


if __name__ == "__main__":
	tap.run(main)
