#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300 300
# alone
"""
The dead-man's switch: an agent whose loop stands still, or that the kernel kills for its memory, costs the pods nothing.
They are answered until --stale-after, then by the upstream, and again when it is back. What it cannot read it leaves alone.
"""

import ctypes
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import load
import node
import podnet
import tap
from agent import OTHER_LAYOUT, SIGTERM_WITHIN_S, STALE_AFTER_S, Agent, History
from test_limits import STALE_AFTER_S as PATIENT_S
from test_limits import Filling, fillers

SHAPE = load.Shape(50, 1, 12)
RATE = 20_000
AWAY_S = STALE_AFTER_S + 1.0
F_SETPIPE_SZ = 1031
# Changes with a line each: more than the pipe of a log that nobody reads holds.
LINES = 60
# Beyond what the agent has with the small state: not enough to read the large one.
MEMORY_MORE = 256 << 10


def nodens(agent, *words):
	return subprocess.run([node.binary(), *words, "--bpffs", str(agent.dir)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
			      text=True, check=False)


def status(agent):
	return json.loads(subprocess.run([node.binary(), "status", "-o", "json", "--bpffs", str(agent.dir)], stdout=subprocess.PIPE,
					 stderr=subprocess.DEVNULL, check=False).stdout)


def moved(agent, queries):
	"""Verdicts that are counted while there are so many queries, but for other traffic."""
	before, after = status(agent)["verdicts"], {}

	def are_enough():
		after.update(status(agent)["verdicts"])
		return sum(after[name] - before[name] for name in after if name != "not_dns") >= queries
	node.wait_until(are_enough, "%d queries" % queries)
	return {name for name in after if after[name] != before[name]} - {"not_dns"}


def check_silence(tap_, agent, what):
	"""Once it has been away for long enough."""
	tap_.equal(moved(agent, RATE // 4), {"stale"}, "%s: everything is passed on, and counted as stale" % what)
	done = nodens(agent, "status")
	tap_.ok(done.returncode == 1 and "no sign of life" in done.stdout, "%s: nodens status says so" % what, done.stdout)


def check_round(tap_, load_, number, what):
	r = load_.round(number)
	tap_.ok(r["lost"] == 0 and r["wrong"] == 0 and r["answered"] > 0, "%s: %s" % (what, load.describe(r)), load_.error_text())


def answers_again(load_, number):
	load_.begin_round(number)
	node.wait_until(lambda: load_.round(number)["answered"] > 100, "answers of the node")


# ---- a loop that stands still ----


class DeadMount:
	"""A file system whose server does not answer: who looks into it waits, as with a network file system. False: there is no
	such kind here."""

	def __init__(self, path):
		self.path = path
		path.mkdir()
		try:
			self.fd = os.open("/dev/fuse", os.O_RDWR)
		except OSError:
			self.fd = None
			return
		options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % self.fd
		if ctypes.CDLL(None, use_errno=True).mount(b"dead", os.fsencode(path), b"fuse", 0, options):
			self.end()

	def __bool__(self):
		return self.fd is not None

	def end(self):
		"""Who waits gets an error."""
		if self.fd is not None:
			os.close(self.fd)
		self.fd = None


def lead_to(agent, target):
	"""The file of the source becomes a link, at once."""
	link = agent.file.with_suffix(".link")
	link.symlink_to(target)
	link.rename(agent.file)


def test_blocked(tap_):
	with Agent(SHAPE.objects(1)) as agent, load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
		history = History(agent, load_)
		mount = DeadMount(agent.scratch_path() / "dead")
		if not mount:
			tap_.skip("a loop that waits for a file system that hangs", "no FUSE here")
			return
		try:
			block(tap_, agent, load_, history, mount)
		finally:
			mount.end()


def block(tap_, agent, load_, history, mount):
	history.round = 1
	load_.begin_round(1)
	lead_to(agent, mount.path / "objects.json")
	node.wait_until(lambda: is_waiting(agent), "a loop that waits")
	history.stopped()
	history.change_unseen()
	time.sleep(AWAY_S)
	check_silence(tap_, agent, "a loop that waits for a file system that hangs")
	mount.end()
	time.sleep(0.5)
	tap_.ok(load_.round(1)["spoken"] == 0, "as long as the source cannot be read after that it stays so", load_.round(1))
	history.goes_on()
	agent.write(SHAPE.objects(history.version))
	with tap_.case("with the source back the node answers again, with what is true now"):
		answers_again(load_, 2)
	time.sleep(0.6)
	load_.stop()
	check_round(tap_, load_, 1, "a loop that waits")
	check_round(tap_, load_, 2, "a loop that goes on")


def is_waiting(agent):
	"""For the file system, as the kernel says: a beat may also be late. Where it does not: the next beats do not come."""
	try:
		return "fuse" in Path("/proc/%d/stack" % agent.process.pid).read_text(encoding="ascii")
	except OSError:
		before = status(agent)["heartbeat_ms"]
		time.sleep(STALE_AFTER_S)
		return status(agent)["heartbeat_ms"] == before


def wait_beats(agent):
	"""The loop goes round: two beats from now on."""
	for _ in range(2):
		before = status(agent)["heartbeat_ms"]
		node.wait_until(lambda b=before: status(agent)["heartbeat_ms"] != b, "a beat")


def test_unread_log(tap_):
	"""A log that nobody reads is no reason to stop, nor not to end."""
	reading, writing = os.pipe()
	fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)
	with Agent(SHAPE.objects(1), stale_after_s=PATIENT_S) as agent, load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
		history = History(agent, load_)
		agent.terminate()
		history.stopped()
		history.starts()
		agent.spawn(stderr=writing)
		os.close(writing)
		node.wait_until(lambda: status(agent)["pid"] == agent.process.pid and status(agent)["ready_ms"], "the agent")
		history.round = 1
		load_.begin_round(1)
		for _ in range(LINES):
			history.change()
			time.sleep(0.01)
		wait_beats(agent)
		time.sleep(0.6)
		load_.stop()
		check_round(tap_, load_, 1, "a log that nobody reads")
		tap_.ok(load_.round(1)["passed"] == 0, "a log that nobody reads: the agent goes on", load_.round(1))
		took_s = agent.terminate()
		tap_.ok(took_s < SIGTERM_WITHIN_S, "a log that nobody reads: SIGTERM ends the agent within %d s" % SIGTERM_WITHIN_S, took_s)
	os.close(reading)


def test_fifo(tap_):
	"""Something to read that never ends, or never comes."""
	with Agent(SHAPE.objects(1), stale_after_s=PATIENT_S) as agent, load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
		load_.begin_round(1)
		agent.file.unlink()
		os.mkfifo(agent.file)
		with tap_.case("a FIFO in the place of the file: told, and what is loaded stays"):
			node.wait_until(lambda: status(agent)["source_error"], "an error of the source")
			tap_.note(status(agent)["source_error"].split("/")[-1])
		wait_beats(agent)
		load_.stop()
		check_round(tap_, load_, 1, "a FIFO in the place of the file")
		tap_.ok(load_.round(1)["passed"] == 0, "a FIFO in the place of the file: the loop does not wait for it", load_.round(1))


# ---- memory ----


class Cgroup:
	"""A memory cgroup of its own, version 1 or 2. `path` is None where there is none to be had."""

	V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")

	def __init__(self):
		self.path = None
		is_v1 = (self.V1 / "memory.limit_in_bytes").exists()
		self.names = ("memory.usage_in_bytes", "memory.limit_in_bytes") if is_v1 else ("memory.current", "memory.max")
		path = (self.V1 if is_v1 else self.V2) / ("nodens-test-%d" % os.getpid())
		try:
			path.mkdir()
			self.path = path if (path / self.names[1]).exists() else None
		except OSError:
			return
		if not self.path:
			path.rmdir()

	def used(self):
		return int((self.path / self.names[0]).read_text())

	def limit(self, octets):
		(self.path / self.names[1]).write_text(str(octets))
		if (self.path / "memory.swap.max").exists():
			(self.path / "memory.swap.max").write_text("0")

	def enter(self):
		(self.path / "cgroup.procs").write_text(str(os.getpid()))

	def remove(self):
		if self.path and self.path.exists():
			node.wait_until(lambda: not (self.path / "cgroup.procs").read_text(), "an empty cgroup")
			self.path.rmdir()


def test_memory(tap_):
	cgroup = Cgroup()
	if not cgroup.path:
		tap_.skip("an agent that the kernel kills for its memory", "no memory cgroup can be made here")
		return
	try:
		with Agent(SHAPE.objects(1)) as agent, load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
			kill_for_memory(tap_, cgroup, agent, load_)
	finally:
		cgroup.remove()


def kill_for_memory(tap_, cgroup, agent, load_):
	history = Filling(agent, load_)
	agent.terminate()
	history.stopped()
	history.starts()
	agent.prepare = cgroup.enter
	agent.start()
	tap_.note("%.1f MiB with the small state" % (cgroup.used() / (1 << 20)))
	cgroup.limit(cgroup.used() + MEMORY_MORE)
	history.round = 1
	load_.begin_round(1)
	history.fill(fillers())
	agent.process.wait(node.READY_WITHIN_S)
	history.stopped()
	tap_.note(agent.log_text().splitlines()[-1])
	tap_.equal(agent.process.returncode, -9, "with too many objects for its memory the kernel kills the agent")
	time.sleep(AWAY_S)
	check_silence(tap_, agent, "an agent without memory")
	history.change()
	history.starts()
	agent.prepare = None
	agent.start()
	with tap_.case("with more memory it starts, and answers"):
		answers_again(load_, 2)
	time.sleep(0.6)
	load_.stop()
	check_round(tap_, load_, 1, "an agent without memory")
	check_round(tap_, load_, 2, "with more memory")


# ---- another layout ----


def test_layout(tap_):
	with Agent(SHAPE.objects(1), binary=OTHER_LAYOUT) as agent:
		for words in (["status"], ["lookup", "n0.load.svc.cluster.local"], ["records"]):
			done = nodens(agent, *words)
			tap_.ok(done.returncode == 1 and "this program reads layout" in done.stdout,
				"maps of another layout: nodens %s does not read them and says so" % words[0], done.stdout)
		agent.terminate()
		done = nodens(agent, "detach")
		tap_.equal(done.returncode, 0, "nodens detach takes the other version away")
		left = [str(path) for path in agent.dir.rglob("*")] if agent.dir.exists() else []
		tap_.equal(left, [], "and all of it")


def main(tap_):
	node.enter_namespaces()
	test_blocked(tap_)
	test_unread_log(tap_)
	test_fifo(tap_)
	test_memory(tap_)
	test_layout(tap_)


if __name__ == "__main__":
	tap.run(main)
