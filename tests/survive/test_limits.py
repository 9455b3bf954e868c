#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300 300
# alone
"""
More names than there is room for, and tables that grow, while a pod asks: what does not fit is passed on, counted and told;
all else is right, and nothing is lost on the way there and back.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import cluster
import load
import message
import node
import oracle
import podnet
import tap
from agent import RUNNING_S, Agent, History
from message import A, PTR, Question

LONG = os.environ.get("LONG") == "1"
SHAPE = load.Shape(50, 1, 12)
RATE = 20_000
FILLERS = 600 if LONG else 200
PER_FILLER = 100
TIGHT = ["--max-memory", "8Mi"]
TAKES_S = 120
# A change brings all objects to read once more.
FILLING_RUNNING_S = RUNNING_S * FILLERS / 200
# Here it is the loader that is looked at, also where the machine is busy.
STALE_AFTER_S = 15
WINDOW = 64
# What there is room for, of all: neither nothing nor nearly everything.
SHARE = (0.05, 0.95)


def filler_address(filler, i):
	return "10.%d.%d.%d" % (filler // 250, filler % 250, i + 1)


def fillers():
	return [o for f in range(FILLERS) for o in cluster.headless(
		"fill", "f%d" % f, [cluster.endpoint(filler_address(f, i)) for i in range(PER_FILLER)])]


def wanted():
	"""(name, type): the end of its one answer."""
	names = {}
	for f in range(FILLERS):
		for i in range(PER_FILLER):
			text = filler_address(f, i)
			owner = "%s.f%d.fill.svc.cluster.local" % (text.replace(".", "-"), f)
			names[owner, A] = bytes(map(int, text.split(".")))
			names[oracle.reverse_name(text), PTR] = message.name_wire(owner)
	return names


def ask_all(pod, names):
	"""How many were answered and how many passed on; what was lost or wrong."""
	answered, passed, failures, keys = 0, 0, [], list(names)
	with podnet.Client(pod) as client:
		for begin in range(0, len(keys), WINDOW):
			window = dict(enumerate(keys[begin : begin + WINDOW]))
			for ident, (name, qtype) in window.items():
				client.send(Question(name, qtype, ident=ident).wire())
			while window:
				wire, _ = client.receive()
				if wire is None:
					failures += ["lost: %s %d" % key for key in window.values()]
					break
				key = window.pop(int.from_bytes(wire[:2], "big"))
				if podnet.is_from_upstream(wire):
					passed += 1
				elif wire[2:4] == b"\x85\0" and wire[6:8] == b"\0\1" and wire.endswith(names[key]):
					answered += 1
				else:
					failures.append("wrong: %s: %s" % (key, wire.hex()))
	return answered, passed, failures


def status(agent):
	"""Also when the agent is late: it has much to read."""
	return json.loads(subprocess.run([node.binary(), "status", "-o", "json", "--bpffs", str(agent.dir)], stdout=subprocess.PIPE,
					 stderr=subprocess.DEVNULL, check=False).stdout)


class Filling(History):
	"""Versions with or without the fillers."""

	def __init__(self, agent, load_):
		super().__init__(agent, load_, self._write, FILLING_RUNNING_S)
		self.more = []

	def _write(self, objects):
		self.agent.write(objects + self.more)

	def fill(self, more):
		self.more = more
		self.write(self.load.shape.objects(self.version))


def wait_names(agent, condition, what):
	node.wait_until(lambda: condition(status(agent)), what, TAKES_S)
	return status(agent)


def check_load(tap_, load_, numbers, what, may_pass):
	r = load_.total(numbers)
	tap_.ok(r["lost"] == 0 and r["wrong"] == 0, "%s: nothing is lost, nothing wrong: %s" % (what, load.describe(r)), load_.error_text())
	tap_.ok(r["answered"] > 0 and (may_pass or r["passed"] == 0), "%s: %s" % (what, "it is asked" if may_pass else "nothing is passed on"), r)


def test_growth(tap_):
	"""With room enough."""
	with Agent(SHAPE.objects(1), stale_after_s=STALE_AFTER_S) as agent, load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
		history = Filling(agent, load_)
		before = status(agent)
		load_.begin_round(1)
		history.fill(fillers())
		began = time.monotonic()
		full = wait_names(agent, lambda s: s["names"] >= 2 * FILLERS * PER_FILLER, "all names")
		grown_s = time.monotonic() - began
		history.change()
		time.sleep(0.6)
		load_.begin_round(2)
		history.fill([])
		empty = wait_names(agent, lambda s: s["names"] < FILLERS * PER_FILLER, "the small state")
		time.sleep(0.6)
		load_.stop()
		tap_.note("names %d → %d → %d, generation %d → %d → %d, bytes of maps %d → %d → %d; %.2f s until it was full" % (*(
			s[name] for name in ("names", "generation", "map_bytes") for s in (before, full, empty)), grown_s))
		tap_.ok(full["growths"] > before["growths"] and full["unfit_names"] == 0, "a larger generation holds all names", full)
		check_load(tap_, load_, (1,), "growing", False)
		check_load(tap_, load_, (2,), "shrinking", False)


def test_tight(tap_):
	"""Without."""
	names = wanted()
	with Agent(SHAPE.objects(1), TIGHT, stale_after_s=STALE_AFTER_S) as agent, load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
		history = Filling(agent, load_)
		before = status(agent)
		tap_.ok(before["unfit_names"] == 0, "at first all names fit", before)
		load_.begin_round(1)
		history.fill(fillers())
		full = wait_names(agent, lambda s: s["unfit_names"] > 0, "names that do not fit")
		tap_.note("names %d, unfit %d, bytes of maps %d" % (full["names"], full["unfit_names"], full["map_bytes"]))
		tap_.ok(full["map_bytes"] * 2 <= 8 << 20, "two generations stay within --max-memory", full["map_bytes"])
		tap_.ok("not all names fit into --max-memory" in agent.log_text(), "the log tells it", agent.log_text())
		tap_.ok("unfit=%d" % full["unfit_names"] in agent.log_text(), "and how many", agent.log_text())
		answered, passed, failures = ask_all(agent.pod, names)
		tap_.none_of(failures, "each of %d names is answered right or passed on (%d, %d)" % (len(names), answered, passed))
		tap_.ok(SHARE[0] < answered / len(names) < SHARE[1], "those that fit are answered", (answered, passed))
		tap_.ok(passed <= full["unfit_names"], "only those that do not fit are passed on", (passed, full["unfit_names"]))
		for _ in range(10):
			history.change()
			time.sleep(0.1)
		time.sleep(0.6)
		load_.begin_round(2)
		history.fill([])
		empty = wait_names(agent, lambda s: s["unfit_names"] == 0, "an end of it")
		time.sleep(0.6)
		load_.begin_round(3)
		history.change()
		time.sleep(0.6)
		load_.stop()
		tap_.note("names %d, unfit %d afterwards" % (empty["names"], empty["unfit_names"]))
		check_load(tap_, load_, (1, 2), "with too many names", True)
		check_load(tap_, load_, (3,), "when they are gone", False)


def main(tap_):
	node.enter_namespaces()
	test_growth(tap_)
	test_tight(tap_)


if __name__ == "__main__":
	tap.run(main)
