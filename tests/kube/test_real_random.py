#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600 1800
"""
Random objects in a real API server, changed while everything runs: what the agent answers is CoreDNS's answer, what must be
answered is answered. Once with streaming lists, once without and with another TTL, once at --answer headless. SEED=n
repeats a run.
"""

import collections
import os
import random
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lib"), str(Path(__file__).resolve().parent)]

import node
import podnet
import real_agent
import real_compare
import real_coredns
import realkube
import tap
from real_objects import Mutations, Objects

LONG = os.environ.get("LONG") == "1"
BOTH, IPV4, IPV6 = ("IPv4", "IPv6"), ("IPv4",), ("IPv6",)
# Where chance gives all endpoints of a large service one name, there are too few AAAA questions with an answer: one has a name for each.
OWN_NAMES = (100, IPV6, "hostname")
LARGE = ((110, BOTH, None), (150, IPV4, None), (260, IPV6, None), (400, BOTH, None), (1000, IPV4, None), OWN_NAMES)
# (streaming lists, TTL, namespaces, large services, rounds of changes, share of names asked in each variant)
WORLDS = ((True, 5, 6, LARGE, 3, 0.1), (False, 30, 6, LARGE, 3, 0.1)) if LONG else (
	(True, 5, 2, ((120, BOTH, None), (300, IPV4, None), OWN_NAMES), 3, 0.03), (False, 30, 1, ((150, IPV6, None), OWN_NAMES), 2, 0.03))
CHANGES = 60  # writes a round
MOST = 3000 if LONG else 1500  # questions after a round
LEAST = {"A": 300, "AAAA": 200, "SRV": 200, "PTR of IPv4": 200, "PTR of IPv6": 100, "NODATA": 300, "truncated": 20}


def limited(rng, asked, most):
	return asked if len(asked) <= most else [asked[i] for i in sorted(rng.sample(range(len(asked)), most))]


class Test:
	def __init__(self, tap_, world, seed, ttl):
		self.tap, self.world, self.ttl = tap_, world, ttl
		self.rng = random.Random("%d %d" % (seed, ttl))
		self.what = "SEED=%d, streaming lists %s, TTL %d" % (seed, "on" if world.has_watch_list else "off", ttl)
		self.counts = collections.Counter()

	def compare(self, running, what, items, asked, level="services"):
		rows = real_coredns.ask_coredns(asked)
		self.counts += real_compare.compare(self.tap, "%s: %s" % (self.what, what), running, items, rows, level, self.ttl)

	def changed(self, before, after):
		"""Items whose names a round touched, and some that it left alone."""
		identity = lambda item: (item["kind"], item["metadata"]["namespace"], item["metadata"]["name"], item["metadata"]["resourceVersion"])
		old, new = {identity(item): item for item in before}, {identity(item): item for item in after}
		touched = [old[k] for k in old.keys() - new.keys()] + [new[k] for k in new.keys() - old.keys()]
		rest = [new[k] for k in sorted(old.keys() & new.keys())]
		return touched, self.rng.sample(rest, min(len(rest), 20))

	def rounds(self, running, made, items, count):
		mutations = Mutations(made, self.world.api, items)
		for number in range(count):
			mutations.run(CHANGES)
			running.sync()
			before, items = items, self.world.objects()
			touched, rest = self.changed(before, items)
			names = sorted(real_compare.names_of(touched) | real_compare.names_of(rest))
			asked = limited(self.rng, real_compare.questions_on(self.rng, names, 0.02), MOST)
			self.compare(running, "after %d changes" % ((number + 1) * CHANGES), items, asked)
		return items

	def run(self, namespaces, large, rounds, share):
		made = Objects(self.rng).fill(namespaces, large)
		self.world.api.create_all(made.items)
		self.tap.note("%s: %d objects" % (self.what, len(made.items)))
		arguments = ["--ttl", str(self.ttl)]
		with real_agent.node_class()(self.world, arguments) as running:
			running.sync()
			items = self.world.objects()
			self.compare(running, "at first", items, real_compare.questions_about(self.rng, items, share))
			items = self.rounds(running, made, items, rounds)
		with real_agent.node_class()(self.world, [*arguments, "--answer", "headless"]) as running:
			running.sync()
			items = self.world.objects()
			asked = limited(self.rng, real_compare.questions_about(self.rng, items, 0.02), 2 * MOST)
			self.compare(running, "--answer headless", items, asked, "headless")


def main(tap_):
	parts = realkube.parts_or_skip(tap_)
	if parts is None:
		return
	seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
	tap_.note("SEED=%d" % seed)
	podnet.skip_dad("default")
	counts = collections.Counter()
	for has_watch_list, ttl, *size in WORLDS:
		with realkube.World(parts, has_watch_list, controllers=False) as world:
			world.create_dns_service()
			world.start_coredns(ttl)
			test = Test(tap_, world, seed, ttl)
			test.run(*size)
			counts += test.counts
	for kind, least in LEAST.items():
		for family in (4, 6):
			tap_.ok(counts[kind, family] >= least, "at least %d required answers were compared: %s over IPv%d (%d)" % (
				least, kind, family, counts[kind, family]))


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
