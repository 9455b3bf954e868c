#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 200 900
# alone
"""
The same with objects from an API server: it is cut off for a while or for long, the agent is killed, stopped or upgraded
meanwhile, and objects change all the time. Nothing is lost, nothing wrong, nothing older than --api-stale-after.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import fakeapi
import load
import message
import node
import packet
import podnet
import stalls
import tap
from agent import OTHER_LAYOUT, STALE_AFTER_S, START_S, Agent, History

LONG = os.environ.get("LONG") == "1"
ROUNDS = 24 if LONG else 8
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
SHAPE = load.Shape(50, 1, 12)
RATE = 20_000
API_STALE_S = 3.0
# By its timers.
API_SLACK_S = 1.0
AWAY_S = STALE_AFTER_S + 0.6
CURRENT_WITHIN_S = 60
SEEN_S = 0.6
# With as many random times the spread of first requests shows itself whole, or nearly.
RETURNS = 12 if LONG else 4
DEFAULT_STALE_AFTER_S = 15


class ApiAgent(Agent):
	def __init__(self, api, stale_after_s=STALE_AFTER_S):
		super().__init__([], ["--api-stale-after", "%dms" % (API_STALE_S * 1000)], stale_after_s=stale_after_s)
		self.kubeconfig = self.scratch_path() / "kubeconfig"
		self.kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "c",
			"clusters": [{"name": "c", "cluster": {"server": api.url}}], "users": [{"name": "u", "user": {}}],
			"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))

	def command(self):
		return [self.binary, "run", "--source", "kube:%s" % self.kubeconfig, "--server", packet.SERVER4, "--interface", "pods",
			*self.arguments, "--bpffs", str(self.dir)]

	def status(self):
		done = subprocess.run([self.binary, "status", "-o", "json", "--bpffs", str(self.dir)], stdout=subprocess.PIPE,
				      stderr=subprocess.DEVNULL, check=False)
		return json.loads(done.stdout) if done.stdout else {}

	def wait_current(self):
		"""Until it answers from what the server has."""
		def is_current():
			s = self.status()
			return s.get("alive") and s["pid"] == self.process.pid and s["gate"] == "open" and not s["source_error"]
		node.wait_until(is_current, "an agent that answers\n" + self.log_text(), CURRENT_WITHIN_S)


class ApiHistory(History):
	"""Slices put to the server; and a server that is away, whose agent may say what it knew until --api-stale-after."""

	def __init__(self, agent, load_, api):
		super().__init__(agent, load_, lambda objects: api.store.put(*(o for o in objects if o["kind"] == "EndpointSlice")))
		self.api, self.cut_at = api, None

	def cut(self):
		self.api.refuse()
		self.cut_at = load.now()
		for version in self._open_versions():
			self._forbid(version, self._api_deadline())
		self.load.set_round(self.round, "silent_from_ns", self._api_deadline())

	def listen(self):
		self.load.set_round(self.round, "silent_until_ns", load.now())
		self.cut_at = None
		self.api.listen()

	def _api_deadline(self):
		return self.cut_at + (API_STALE_S + API_SLACK_S) * 1e9

	def _when_forbidden(self, replaced):
		when = super()._when_forbidden(replaced)
		return max(when, self._api_deadline()) if self.cut_at and not self.gone else when


def cut(agent, history, dice):
	history.cut()
	history.change()
	time.sleep(dice.uniform(0.2, 1.5))
	history.listen()


def cut_for_long(_agent, history, _dice):
	history.cut()
	history.change()
	time.sleep(API_STALE_S + API_SLACK_S + 1)
	history.listen()


def kill(agent, history, dice):
	agent.kill()
	history.stopped()
	history.change()
	time.sleep(dice.uniform(0, AWAY_S))
	history.starts()
	agent.start()


def kill_without_server(agent, history, dice):
	"""It comes back before its server does."""
	history.cut()
	agent.kill()
	history.stopped()
	history.change()
	time.sleep(dice.uniform(0, 0.3))
	agent.spawn()
	time.sleep(AWAY_S)
	history.starts()
	history.listen()


def stop_for_long(agent, history, _dice):
	agent.freeze()
	history.stopped()
	history.change()
	time.sleep(AWAY_S)
	history.goes_on()
	agent.thaw()


def upgrade(agent, history, dice):
	agent.terminate()
	history.stopped()
	history.change()
	agent.binary = OTHER_LAYOUT if agent.binary != OTHER_LAYOUT else node.binary()
	history.starts()
	agent.start()


KINDS = (cut, cut_for_long, kill, kill_without_server, stop_for_long, upgrade)


def address_of(client, name):
	wire = client.ask(message.Question(name).wire(), 0.2)
	return wire and message.Answer(wire).answer[0][2].address


def test_returns(tap_):
	"""Where the former datapath answers for long, first requests may wait the longest."""
	shape, slowest_s = load.Shape(1, 1, 1), 0
	with fakeapi.FakeApi(shape.objects(1)) as api, ApiAgent(api, DEFAULT_STALE_AFTER_S) as agent, podnet.Client(agent.pod) as client, \
	     stalls.Stalls(node.BEFORE_OTHERS) as machine:
		for version in range(2, RETURNS + 2):
			agent.kill()
			api.store.put(shape.objects(version)[1])
			mark, began = machine.mark(), time.monotonic()
			agent.spawn()
			node.wait_until(lambda: address_of(client, "n0.load.svc.cluster.local") == load.address(0, version, 0),
				"the new address\n" + agent.log_text())
			took_s, lost_s = time.monotonic() - began, machine.lost_s(mark)
			tap_.note("%.2f s, %.2f s of them the machine's" % (took_s, lost_s))
			slowest_s = max(slowest_s, took_s - lost_s)
		tap_.ok(slowest_s < START_S, "what changed while no agent ran is seen within %d s of the next one's start" % START_S, slowest_s)
		tap_.note("after %.2f s at most, of %d" % (slowest_s, RETURNS))


def test_rounds(tap_):
	tap_.note("SEED=%d" % SEED)
	dice = random.Random(SEED)
	with fakeapi.FakeApi(SHAPE.objects(1), bookmark_s=0.3) as api, ApiAgent(api) as agent, \
	     load.Load(agent.scratch_path(), agent.pod, SHAPE, RATE) as load_:
		history = ApiHistory(agent, load_, api)
		kinds = [KINDS[i % len(KINDS)] for i in range(ROUNDS)]
		dice.shuffle(kinds)
		for number, kind in enumerate(kinds, 1):
			history.round = number
			load_.begin_round(number)
			kind(agent, history, dice)
			agent.wait_current()
			history.change()
			time.sleep(SEEN_S)
		load_.stop()
		for number, kind in enumerate(kinds, 1):
			r = load_.round(number)
			tap_.ok(r["lost"] == 0 and r["wrong"] == 0 and r["answered"] > 0,
				"round %d: %s: %s" % (number, kind.__name__.replace("_", " "), load.describe(r)))
		if load_.total(range(1, ROUNDS + 1))["wrong"]:
			tap_.note(load_.error_text())
			tap_.note(agent.log_text())


def main(tap_):
	node.enter_namespaces()
	node.Node.scratch = node.Scratch()
	# The API server is in this process: what it takes is in what is measured of the agent.
	os.setpriority(os.PRIO_PROCESS, 0, node.BEFORE_OTHERS)
	test_rounds(tap_)
	test_returns(tap_)


if __name__ == "__main__":
	tap.run(main)
