#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300 600
# alone
"""
A write to the real API server, and when a client in a pod first sees it: with the agent on its veth, and in a pod without,
asking CoreDNS. The same server, the same run, in turns.
"""

import itertools
import os
import struct
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lib"), str(Path(__file__).resolve().parent)]

import kubeapi
import node
import packet
import podnet
import real_agent
import realkube
import tap
from message import A, IN, Question

ROUNDS = 400 if os.environ.get("LONG") == "1" else 100
SEEN_WITHIN_S = 30
# Between questions: the datapath answers in the asker's own time, and one that never sleeps keeps the agent from a CPU.
PAUSE_S = 50e-6
# Far above what is measured on a machine with nothing else to do: a lost event or a timer in the way is found all the same.
MEDIAN_MS = 100
OTHERS = 200  # services that stay as they are
TTL = {"agent": 7, "CoreDNS": 5}  # tells whose answer it is
NAME = "flip.fresh.svc.cluster.local"


def slice_of(service, addresses):
	return {"kind": "EndpointSlice", "metadata": {"namespace": "fresh", "name": service, "labels": {"kubernetes.io/service-name": service}},
		"addressType": "IPv4", "endpoints": endpoints(addresses), "ports": [{"name": "http", "port": 80}]}


def endpoints(addresses):
	return [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]


def create(api):
	api.create(kubeapi.namespace("fresh"))
	for number in range(OTHERS + 1):
		name = "other-%d" % number if number else "flip"
		api.create_all([{"kind": "Service", "metadata": {"namespace": "fresh", "name": name}, "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}},
			slice_of(name, ["10.9.%d.%d" % (number, last) for last in (1, 2, 3)])])


class Plain(node.Pod):
	"""A pod whose veth the agent leaves alone."""

	def configure(self):
		podnet.run("ip address add 10.0.2.1/24 dev %s" % self.name)
		podnet.run("ip address add fd00:10:0:2::1/64 dev %s nodad" % self.name)
		podnet.configure_pod(self, "10.0.2.5", "fd00:10:0:2::5", "10.0.2.1", "fd00:10:0:2::1")


class Flips:
	def __init__(self, api, start):
		self.api, self.flip = api, slice_of("flip", [])
		self.numbers = itertools.count(1)
		self.old = packet.pack_address(start)

	def measure(self, client, ttl):
		"""Milliseconds to the first new answer: from the server's response to the write, and from before it was sent."""
		number = next(self.numbers)
		addresses = ["10.%d.%d.%d" % (100 + number // 256, number % 256, last) for last in (1, 2, 3)]
		query, new = Question(NAME, ident=number & 0xFFFF).wire(), packet.pack_address(addresses[0])
		began = time.monotonic_ns()
		self.api.patch(self.flip, {"endpoints": endpoints(addresses)})
		accepted = time.monotonic_ns()
		while True:
			wire = client.ask(query)
			now = time.monotonic_ns()
			assert wire is not None and (self.old in wire or new in wire), "neither old nor new: %s" % (wire and wire.hex())
			assert struct.pack("!HHI", A, IN, ttl) in wire, "another one's answer: %s" % wire.hex()
			if new in wire:
				break
			assert now - accepted < SEEN_WITHIN_S * 1e9, "the change was not seen within %d s" % SEEN_WITHIN_S
			time.sleep(PAUSE_S)
		self.old = new
		return (now - accepted) / 1e6, (now - began) / 1e6


def figures(values):
	values = sorted(values)
	return "median %.2f ms, 90%% %.2f ms, longest %.2f ms" % (values[len(values) // 2], values[len(values) * 9 // 10], values[-1])


def report(tap_, seen):
	for who, pairs in seen.items():
		tap_.note("%s: accepted to seen: %s; sent to seen: %s; of %d" % (who, *(figures(values) for values in zip(*pairs)), len(pairs)))
	medians = {who: sorted(after for after, _ in pairs)[len(pairs) // 2] for who, pairs in seen.items()}
	tap_.note("the agent's median is %.2f times CoreDNS's" % (medians["agent"] / medians["CoreDNS"]))
	tap_.ok(medians["agent"] <= MEDIAN_MS, "a change accepted by the API is seen in a pod within %d ms (median)" % MEDIAN_MS, medians)


def catch_up(client, old):
	"""The one that was not asked meanwhile has the last change too."""
	node.wait_until(lambda: old in (client.ask(Question(NAME).wire()) or b""), "the last change", SEEN_WITHIN_S)


def main(tap_):
	parts = realkube.parts_or_skip(tap_)
	if parts is None:
		return
	podnet.skip_dad("default")
	with realkube.World(parts, controllers=False) as world:
		world.create_dns_service()
		world.start_coredns(TTL["CoreDNS"])
		create(world.api)
		plain = Plain()
		with real_agent.KubeNode(world, ["--interface", "!" + plain.name, "--ttl", str(TTL["agent"])], mtus=(1500,)) as running:
			podnet.configure(running.pods[1500])
			plain.configure()
			running.sync()
			flips, seen = Flips(world.api, "10.9.0.1"), {"agent": [], "CoreDNS": []}
			before = running.status()
			with podnet.Client(running.pods[1500]) as agent, podnet.Client(plain) as coredns:
				with tap_.case("each of %d changes is seen; every answer before is the old one" % (2 * ROUNDS)):
					for _ in range(ROUNDS):
						for who, client in (("agent", agent), ("CoreDNS", coredns)):
							catch_up(client, flips.old)
							seen[who].append(flips.measure(client, TTL[who]))
			after = running.status()
			tap_.note(", ".join("%s %s → %s" % (name, before[name], after[name]) for name in ("names", "generation", "growths")))
			report(tap_, seen)
		plain.remove()


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
