#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300 900
# alone
"""
SIGKILL at any moment of starting, publishing and switching, also right behind each change of what outlives the agent: the old
generation answers or the new one does, and the next agent finds and removes what was left half done. The same when descriptors
run out in the middle of it.
"""

import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import load
import node
import podnet
import tap
from agent import OTHER_LAYOUT, SIGTERM_WITHIN_S, Agent, other
from test_limits import STALE_AFTER_S, Filling, fillers, status

LONG = os.environ.get("LONG") == "1"
STARTS, SWITCHES = (120, 40) if LONG else (20, 6)
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
SHAPE = load.Shape(50, 1, 12)
RATE = 10_000
LINK = "links/"
# Of pins, links and folders, by one start: more than there are.
CHANGES = 60
AGENTS = (node.binary(), OTHER_LAYOUT)


def check_whole(agent):
	"""Between two agents: nothing yet, or a generation of which all is there, and which says so."""
	current = agent.dir / "current"
	if not current.is_symlink():
		return
	for pin in ("tc", "explain", "index", "arena", "config", "interfaces"):
		os.close(bpf.obj_get(current / pin))
	states = [state for state in (read_status(binary, agent) for binary in AGENTS) if state.get("gate")]
	assert len(states) == 1 and states[0]["gate"] != "not-synced" and states[0]["synced_ms"] and states[0]["names"], states


def read_status(binary, agent):
	"""Without what is told of it where the maps are of another layout."""
	done = subprocess.run([binary, "status", "-o", "json", "--bpffs", str(agent.dir)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
			      check=False)
	return json.loads(done.stdout)


def check_clean(agent):
	"""Under a running agent: one generation, the link that leads to it, one link for the one pod."""
	names = agent.names()
	target = os.readlink(agent.dir / "current")
	links = [name for name in names if name.startswith(LINK)]
	assert sorted(set(names) - set(links)) == sorted(["current", "links", target]), names
	assert len(links) == 1, names


def spawn_killed_behind(agent, change):
	"""An agent that is killed behind its so many-th change, or ready."""
	begin = agent.log_length()
	agent.environment = {"LD_PRELOAD": other("kill_behind.so"), "KILL_BEHIND": str(change)}
	agent.spawn()
	agent.environment = {}
	node.wait_until(lambda: agent.process.poll() is not None or 'msg="ready"' in agent.log_from(begin), "its end")


def kill_starting(agent, history, dice, starts, longest_s):
	"""Kills at moments spread over the whole start, and beyond; by turns with kills behind one change."""
	changes = dice.sample(range(1, CHANGES + 1), starts // 2)
	for number in range(starts):
		agent.binary = dice.choice(AGENTS)
		history.starts()
		if number % 2:
			spawn_killed_behind(agent, changes.pop())
		else:
			agent.spawn()
			time.sleep(dice.uniform(0, longest_s))
		agent.kill()
		history.stopped()
		check_whole(agent)
		if number % 5 == 2:
			history.change()


def start_and_check(agent, history):
	history.starts()
	began = time.monotonic()
	agent.start()
	check_clean(agent)
	return time.monotonic() - began


def kill_switching(agent, history, dice, more):
	"""Kills while another generation is made for a state that is much larger, or smaller again."""
	history.round += 1
	history.load.begin_round(history.round)
	history.fill(more)
	time.sleep(dice.uniform(0, 0.6))
	agent.kill()
	history.stopped()
	check_whole(agent)
	history.change()
	start_and_check(agent, history)


def report(tap_, load_, numbers, what):
	r = load_.total(numbers)
	tap_.ok(r["lost"] == 0 and r["wrong"] == 0 and r["answered"] > 0, "%s: %s" % (what, load.describe(r)), load_.error_text())


def test_kills(tap_):
	dice = random.Random(SEED)
	with Agent(SHAPE.objects(1)) as agent, load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
		history = Filling(agent, load_)
		history.round = 1
		load_.begin_round(1)
		agent.kill()
		history.stopped()
		longest_s = start_and_check(agent, history) * 1.2
		agent.kill()
		history.stopped()
		with tap_.case("killed %d times within %.2f s of its start: what is there is whole" % (STARTS, longest_s)):
			kill_starting(agent, history, dice, STARTS, longest_s)
		with tap_.case("the next agent leaves nothing of that"):
			start_and_check(agent, history)
		first = history.round + 1
		agent.binary = node.binary()
		with tap_.case("killed %d times while it grows or shrinks: likewise" % SWITCHES):
			for number in range(SWITCHES):
				kill_switching(agent, history, dice, [] if number % 2 else fillers())
		time.sleep(0.6)
		load_.stop()
		report(tap_, load_, range(1, first), "killed while starting")
		report(tap_, load_, range(first, history.round + 1), "killed while switching")
		took_s = agent.terminate()
		tap_.ok(took_s < SIGTERM_WITHIN_S, "SIGTERM ends it within %d s" % SIGTERM_WITHIN_S, took_s)
		check_detached(tap_, agent)


def check_detached(tap_, agent):
	"""After all that `nodens detach` leaves nothing."""
	done = podnet.run(node.binary(), "detach", "--bpffs", agent.dir)
	tap_.note(done)
	left = [str(path) for path in agent.dir.rglob("*")] if agent.dir.exists() else []
	tap_.equal(left, [], "nodens detach: nothing is left in the folder")
	tap_.equal(bpf.tcx_programs(agent.pods[1500].ifindex), [], "nor on the hook")


def test_gone_interface(tap_):
	"""What a former agent, of another version, had on an interface that is no more."""
	with Agent(SHAPE.objects(1), binary=OTHER_LAYOUT) as agent:
		extra = node.Pod()
		try:
			node.wait_until(lambda: sum(name.startswith(LINK) for name in agent.names()) == 2, "a link for another pod")
			agent.kill()
		finally:
			extra.remove()
			podnet.run("ip link del %s" % extra.name, check=False)
		agent.binary = node.binary()
		agent.start()
		with tap_.case("the link of an interface that went while no agent ran is gone with it"):
			node.wait_until(lambda: sum(name.startswith(LINK) for name in agent.names()) == 1, "one link, of %s" % agent.names())


def count_descriptors(agent):
	return len(os.listdir("/proc/%d/fd" % agent.process.pid))


def test_no_descriptors(tap_):
	"""What fails in the middle of making a generation leaves the one that is there, which goes on."""
	with Agent(SHAPE.objects(1), stale_after_s=STALE_AFTER_S) as agent, \
	     load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
		history = Filling(agent, load_)
		load_.begin_round(1)
		_, hard = resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE)
		resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (count_descriptors(agent) + 8, hard))
		before = status(agent)
		history.fill(fillers())
		with tap_.case("without descriptors for a larger generation it says so"):
			node.wait_until(lambda: "another generation cannot be made" in agent.log_text(), "a warning")
			node.wait_until(lambda: status(agent)["unfit_names"] > 0, "names without room")
			assert "Too many open files" in agent.log_text(), agent.log_text()
		after = status(agent)
		tap_.ok(after["generation"] == before["generation"] and after["names"] > before["names"],
			"the generation that was there is filled up, and goes on", after)
		with tap_.case("and is the only one"):
			check_clean(agent)
		history.change()
		time.sleep(0.6)
		load_.begin_round(2)
		resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
		history.fill([])
		node.wait_until(lambda: status(agent)["unfit_names"] == 0, "an end of it")
		history.fill(fillers())
		with tap_.case("with descriptors again it grows"):
			node.wait_until(lambda: status(agent)["growths"] > 0, "a larger generation")
			node.wait_until(lambda: status(agent)["unfit_names"] == 0, "room for all names")
		time.sleep(0.6)
		load_.stop()
		report(tap_, load_, (1, 2), "without descriptors, and with them")


def main(tap_):
	node.enter_namespaces()
	tap_.note("SEED=%d" % SEED)
	test_kills(tap_)
	test_gone_interface(tap_)
	test_no_descriptors(tap_)


if __name__ == "__main__":
	tap.run(main)
