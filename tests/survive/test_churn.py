#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 400 600
# alone
"""
A thousand endpoints that change each second, of names that a pod asks for 20,000 times a second. Every answer is one whole
state of its name that was true between the query and the answer, give or take 50 ms; none is lost. Then the same with answers
held up in the middle of the datapath, so that an update that is not safe shows: two such builds are found.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import load
import node
import podnet
import stalls
import tap
from agent import Agent, other

LONG = os.environ.get("LONG") == "1"
SECONDS = 30 if LONG else 10
SLOW_SECONDS, FAULT_SECONDS = 30 if LONG else 8, 120  # a fault: at most, it ends when it is found
RATE, RATE_AT_LEAST = 20_000, 10_000
# All names change with each file: so many slices and ten times as many endpoints.
SHAPE = load.Shape(5, 29, 29)
PERIOD_S = 0.02
CHANGES_AT_LEAST = 1000
TRUE_NS = 50_000_000
# Looked at each 20 us of its time; held up for 200 us in the datapath: longer than it takes to write several names.
SLOW = (20_000, 200_000)


class Writer:
	"""New files at a steady pace, each with all names anew."""

	def __init__(self, agent, load_):
		self.agent, self.load = agent, load_
		self.version = 1

	def write(self):
		objects = self.load.shape.objects(self.version + 1)
		self.load.set_version(self.version + 1, "begin_ns", load.now())
		self.agent.write(objects)
		replaced = load.now()
		self.load.set_version(self.version, "replaced_ns", replaced)
		self.version += 1

	def run(self, seconds, should_end=lambda: False):
		"""Seconds that it took."""
		began = due = time.monotonic()
		while time.monotonic() < began + seconds and not should_end():
			self.write()
			due += PERIOD_S
			time.sleep(max(0, due - time.monotonic()))
		return time.monotonic() - began


def status(agent):
	return json.loads(podnet.run(agent.binary, "status", "-o", "json", "--bpffs", agent.dir))


def churn(tap_, seconds, slow=None):
	"""The round, the tool's words, the agent's status, the changes of endpoints a second, and what the machine took beyond the usual."""
	with Agent(SHAPE.objects(1)) as agent, load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE, slow) as load_, \
	     stalls.Stalls(node.BEFORE_OTHERS, agent.pods[1500].ifindex) as machine:
		writer = Writer(agent, load_)
		load_.begin_round(1)
		taken = writer.run(seconds)
		load_.begin_round(2)
		after = status(agent)
		result = load_.stop()
		# The agent may have to wait twice in a row.
		excess_ns = 2 * machine.longest_ns()
		r = load_.round(1)
		tap_.note("the machine kept us waiting for %.0f ms at most, beyond the usual" % (excess_ns / 2e6))
		tap_.note("%s; %s" % (load.describe(r), result))
		tap_.note("%d files of %d slices in %.1f s; updates %d, grace periods %d, reused %d, growths %d" % (
			writer.version - 1, SHAPE.names, taken, *(after[name] for name in (
				"updates", "grace_periods", "reused_blobs", "growths"))))
		tap_.note(load_.error_text())
	return r, result, after, (writer.version - 1) * SHAPE.names * SHAPE.fewest / taken, excess_ns


def check_sound(tap_):
	r, result, after, changes, excess_ns = churn(tap_, SECONDS)
	tap_.ok(changes >= CHANGES_AT_LEAST, "at least %d changes of endpoints a second" % CHANGES_AT_LEAST, changes)
	tap_.ok(r["sent"] / (r["ended_ns"] - r["began_ns"]) * 1e9 >= RATE_AT_LEAST, "at least %d queries/s" % RATE_AT_LEAST, r)
	tap_.ok(r["torn"] + r["foreign"] + r["early"] == 0, "every answer is one whole state of its own name", r)
	tap_.ok(r["oldest_ns"] <= TRUE_NS + excess_ns, "every answer was true within 50 ms of the query (and %.0f that the machine took)" % (excess_ns / 1e6),
		load.describe(r))
	tap_.ok(r["lost"] == 0 and r["passed"] == 0, "no query is lost or passed on", r)
	tap_.ok(result["dropped_by_pod_sockets"] + result["dropped_by_upstream_socket"] == 0, "no socket of the test was full", result)
	tap_.ok(after["reused_blobs"] > 1000 and after["grace_periods"] > 10, "room was given back and used again", after)


def check_held_up(tap_):
	r, result, _, _, _ = churn(tap_, SLOW_SECONDS, SLOW)
	tap_.ok(result["held_up"] > 100, "answers are held up in the datapath", result)
	tap_.ok(r["torn"] + r["foreign"] + r["early"] == 0 and r["answered"] > 1000,
		"every answer is one whole state of its own name, also of those that were held up", r)


def check_fault(tap_, binary, what):
	if len(os.sched_getaffinity(0)) < 2:
		tap_.skip("%s is found" % what, "on one CPU nothing is written while it is read")
		return
	with Agent(SHAPE.objects(1), binary=other(binary)) as agent, \
	     load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE, SLOW) as load_:
		load_.begin_round(1)
		seconds = Writer(agent, load_).run(FAULT_SECONDS, lambda: load_.round(1)["torn"] + load_.round(1)["foreign"] > 0)
		load_.stop()
		r = load_.round(1)
		tap_.ok(r["torn"] + r["foreign"] > 0, "%s is found (%.1f s: torn %d, foreign %d)" % (what, seconds, r["torn"], r["foreign"]), r)


def main(tap_):
	node.enter_namespaces()
	check_sound(tap_)
	check_held_up(tap_)
	check_fault(tap_, "nodens-rewrite-live", "a build that writes over live records")
	check_fault(tap_, "nodens-no-grace", "a build without grace periods")


if __name__ == "__main__":
	tap.run(main)
