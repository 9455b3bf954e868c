#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240 3000
# alone
"""
Rounds of what can happen to an agent (killed, stopped, ended, upgraded to another layout, killed while it starts), with
objects that change before, meanwhile and after, while a pod asks 20,000 times a second. No query is lost, no answer is
wrong, and none is older than it may be.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import load
import node
import tap
from agent import LOCK_S, OTHER_LAYOUT, SIGTERM_WITHIN_S, STALE_AFTER_S, Agent, History, other

LONG = os.environ.get("LONG") == "1"
ROUNDS = int(os.environ.get("ROUNDS", "0")) or (150 if LONG else 20)
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
RATE = 20_000
# Of all rounds together: the machine may be busy.
RATE_AT_LEAST = 10_000
SHAPE = load.Shape(100, 1, 12)
AWAY_S = STALE_AFTER_S + 0.6
SETTLE_S = 0.4
# Behind a change, so that its effect is seen within the round.
SEEN_S = 0.7


class World:
	def __init__(self, agent, history, dice):
		self.agent, self.history, self.dice = agent, history, dice
		self.binaries = [node.binary(), OTHER_LAYOUT]
		self.slowest_end_s = 0.0
		self.seen = {}

	def next_change(self, kind):
		"""When the objects change in this round: by turns, for each kind."""
		self.seen[kind] = self.seen.get(kind, 0) + 1
		return CHANGES[(self.seen[kind] - 1) % len(CHANGES)]

	def kill(self):
		self.agent.kill()
		self.history.stopped()

	def end(self):
		self.slowest_end_s = max(self.slowest_end_s, self.agent.terminate())
		self.history.stopped()

	def start(self):
		self.history.starts()
		self.agent.start()

	def upgrade(self):
		self.agent.binary = self.binaries[self.binaries.index(self.agent.binary) - 1]

	def away(self, seconds, changes):
		"""Time goes by; something changes somewhere in it."""
		first = self.dice.uniform(0, seconds)
		time.sleep(first)
		if changes:
			self.history.change()
		time.sleep(seconds - first)


def kill(world, changes):
	world.kill()
	world.away(world.dice.uniform(0, 0.4), changes)
	world.start()


def kill_for_long(world, changes):
	world.kill()
	world.away(AWAY_S, changes)
	world.start()


def stop(world, changes):
	world.agent.freeze()
	world.history.stopped()
	world.away(world.dice.uniform(0.1, STALE_AFTER_S / 2), changes)
	world.history.goes_on()
	world.agent.thaw()


def stop_for_long(world, changes):
	world.agent.freeze()
	world.history.stopped()
	world.away(AWAY_S, changes)
	world.history.goes_on()
	world.agent.thaw()


def restart(world, changes):
	world.end()
	world.away(world.dice.uniform(0, 0.2), changes)
	world.start()


def upgrade(world, changes):
	world.end()
	world.away(world.dice.uniform(0, 0.2), changes)
	world.upgrade()
	world.start()


def upgrade_after_crash(world, changes):
	world.kill()
	world.away(world.dice.uniform(0, 0.2), changes)
	world.upgrade()
	world.start()


def upgrade_side_by_side(world, changes):
	"""The new one is there, waiting for the lock, before the old one goes."""
	former, begin = world.agent.process, world.agent.log_length()
	world.upgrade()
	world.agent.spawn()
	world.away(0.3, False)
	former.send_signal(world.dice.choice((signal.SIGTERM, signal.SIGKILL)))
	former.wait(node.ENDS_WITHIN_S)
	world.history.stopped()
	# It may have the lock by now, and have read the objects: what changes from here on it has as long for as one that runs.
	world.history.starts(LOCK_S)
	if changes:
		world.history.change()
	node.wait_until(lambda: 'msg="ready"' in world.agent.log_from(begin), "the new agent")


def kill_starting(world, changes):
	"""Again and again before it is ready, or just then."""
	world.kill()
	for number in range(3):
		world.history.starts()
		world.agent.spawn()
		world.away(world.dice.uniform(0.02, 0.5), changes and number == 1)
		world.kill()
	world.start()


CHANGES = ("meanwhile", "before", "after", "meanwhile", "never")
KINDS = (kill, kill_for_long, stop, stop_for_long, restart, upgrade, upgrade_after_crash, upgrade_side_by_side, kill_starting)


def plan(dice, rounds):
	"""Every kind equally often, in any order."""
	kinds = []
	while len(kinds) < rounds:
		kinds += dice.sample(KINDS, len(KINDS))
	return kinds[:rounds]


def run_round(world, kind, number):
	world.history.round = number
	world.history.load.begin_round(number)
	when = world.next_change(kind)
	if when == "before":
		world.history.change()
		time.sleep(world.dice.uniform(0, 0.02))
	kind(world, when == "meanwhile")
	if when == "after":
		time.sleep(world.dice.uniform(0, 0.1))
		world.history.change()
	time.sleep(SETTLE_S if when == "never" else SEEN_S)
	return "%s, change %s" % (kind.__name__.replace("_", " "), when)


def report(tap_, number, what, r):
	return tap_.ok(r["lost"] == 0 and r["wrong"] == 0 and r["answered"] > 0, "round %d: %s: %s" % (number, what, load.describe(r)))


def run_rounds(tap_, world, kinds):
	told = []
	for number, kind in enumerate(kinds, 1):
		told.append(run_round(world, kind, number))
		# The last second of the round before is back by now.
		if number > 1:
			report(tap_, number - 1, told[number - 2], world.history.load.round(number - 1))
	result = world.history.load.stop()
	report(tap_, len(kinds), told[-1], world.history.load.round(len(kinds)))
	return result


def check_sound(tap_):
	dice = random.Random(SEED)
	with Agent(SHAPE.objects(1)) as agent, load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
		world = World(agent, History(agent, load_), dice)
		result = run_rounds(tap_, world, plan(dice, ROUNDS))
		total = load_.total(range(1, ROUNDS + 1))
		rounds = [load_.round(number) for number in range(1, ROUNDS + 1)]
		# Of the end of a round some were not known when it was told.
		tap_.ok(total["lost"] == 0 and total["wrong"] == 0, "all rounds: nothing is lost, nothing wrong: %s" % load.describe(total))
		seconds = sum(r["ended_ns"] - r["began_ns"] for r in rounds) / 1e9
		tap_.note("all rounds: " + ", ".join("%s %d" % (name, total[name]) for name in (
			"sent", "answered", "passed", "missed", "lost", "late", "wrong")))
		tap_.note(load_.error_text())
		rate = sum(r["sent"] for r in rounds) / seconds
		tap_.note("%.0f queries/s for %.0f s; %s" % (rate, seconds, result))
		if total["lost"] or total["wrong"]:
			tap_.note(agent.log_text())
	tap_.ok(rate >= RATE_AT_LEAST, "at least %d queries/s" % RATE_AT_LEAST, rate)
	tap_.ok(result["dropped_by_pod_sockets"] + result["dropped_by_upstream_socket"] == 0, "no socket of the test was full", result)
	tap_.ok(world.slowest_end_s < SIGTERM_WITHIN_S, "SIGTERM ends the agent within %d s" % SIGTERM_WITHIN_S, world.slowest_end_s)
	tap_.ok(total["passed"] > 0, "while the agent is away for long the upstream answers", total)


def check_fault(tap_):
	"""Without the gate the node speaks on for as long as its agent is away."""
	for kind in (kill_for_long, stop_for_long):
		with Agent(SHAPE.objects(1), binary=other("nodens-no-gate")) as agent, \
		     load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
			world = World(agent, History(agent, load_), random.Random(SEED))
			what = run_round(world, kind, 1) if kind else ""
			load_.stop()
			r = load_.round(1)
			tap_.ok(r["spoken"] > 0, "a build without the heartbeat gate is found: %s: %s" % (what, load.describe(r)), r)


def main(tap_):
	node.enter_namespaces()
	tap_.note("SEED=%d ROUNDS=%d" % (SEED, ROUNDS))
	check_sound(tap_)
	check_fault(tap_)


if __name__ == "__main__":
	tap.run(main)
