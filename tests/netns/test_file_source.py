#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 150 400
# alone
"""
Objects in a file, changed under a running agent while a pod asks: how soon the new answer is seen, what a broken file does,
and a file that grows a thousandfold.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import cluster
import message
import node
import oracle
import podnet
import tap
from lab import IDENTS, Lab
from message import A, Question

LONG = os.environ.get("LONG") == "1"
ROUNDS = 300 if LONG else 60
WITHIN_MS = 100  # far above what is measured: a lost event or a timer in the way is found all the same
NAME = "%s.lab.svc.cluster.local"
PER_SERVICE = 100
SERVICES = 300  # of PER_SERVICE endpoints, each with a name and a PTR: 60,000 names
SMALL = 5
WINDOW = 64
GROWTH_WITHIN_S = 60


def document(objects):
	return json.dumps({"kind": "List", "apiVersion": "v1", "items": objects})


def question(name, qtype=A):
	return Question(name, qtype, ident=next(IDENTS) & 0xFFFF)


def addresses_of(wire):
	return sorted(rdata.address for _, _, rdata in message.Answer(wire).answer)


# ---- latency ----


def flip(number):
	"""A service whose addresses tell which file they are from, beside others that stay."""
	objects = cluster.headless("lab", "flip", [cluster.endpoint("10.9.%d.%d" % (number % 250, i)) for i in range(1, 4)])
	for i in range(20):
		objects += cluster.headless("lab", "still%d" % i, [cluster.endpoint("10.8.%d.%d" % (i, j)) for j in range(1, 11)])
	return objects, ["10.9.%d.%d" % (number % 250, i) for i in range(1, 4)]


def measure(lab, client, number, old):
	"""Milliseconds from rename() to the first new answer, and the new addresses."""
	objects, new = flip(number)
	aside = lab.file.with_suffix(".new")
	aside.write_text(document(objects), encoding="ascii")
	query = question(NAME % "flip").wire()
	began = time.monotonic_ns()
	os.rename(aside, lab.file)
	while True:
		wire = client.ask(query)
		now = time.monotonic_ns()
		assert wire is not None and not podnet.is_from_upstream(wire), "lost, or passed on: %s" % wire
		got = addresses_of(wire)
		if got == new:
			return (now - began) / 1e6, new
		assert got == old, "neither old nor new: %s" % got
		assert now - began < node.READY_WITHIN_S * 1e9, "the new file was not taken"


def test_latency(tap_, lab):
	_, old = flip(0)
	taken_ms = []
	with tap_.case("each of %d files, replaced by rename, is answered from; every answer before is the old one" % ROUNDS):
		with podnet.Client(lab.pod) as client:
			for number in range(1, ROUNDS + 1):
				ms, old = measure(lab, client, number, old)
				taken_ms.append(ms)
	if not taken_ms:
		return
	taken_ms.sort()
	tap_.note("rename to new answer: median %.2f ms, 90%% %.2f ms, longest %.2f ms, of %d" % (
		statistics.median(taken_ms), taken_ms[len(taken_ms) * 9 // 10], taken_ms[-1], len(taken_ms)))
	tap_.ok(statistics.median(taken_ms) <= WITHIN_MS, "the new answer is there within %d ms (median)" % WITHIN_MS, taken_ms)


def test_counts(tap_, lab, before):
	"""What replaced blobs leave in status: quarantine, grace periods, reuse."""
	names = ("updates", "retired_blobs", "grace_periods", "reused_blobs")
	with tap_.case("status tells that blobs were retired, waited for and reused"):
		node.wait_until(lambda: all(lab.status()[name] > before[name] for name in names), "moved counts of %s" % (names,))
		node.wait_until(lambda: lab.status()["quarantined_blobs"] == 0, "an empty quarantine")
		# Status is written now and then: what it says may be from before the last of the files.
		node.wait_until(lambda: lab.status()["retired_blobs"] - before["retired_blobs"] >= ROUNDS, "a retired blob for each file")
	after = lab.status()
	tap_.note(", ".join("%s %d → %d" % (name, before[name], after[name]) for name in ("generation", "quarantined_blobs", *names)))
	is_one_generation = after["generation"] == before["generation"]
	tap_.ok(after["retired_blobs"] >= ROUNDS and is_one_generation, "each change retired a blob, none made a generation", after)


# ---- files that cannot be taken ----


# What is written, and what status says of it.
BROKEN = {
	"a file that is not JSON": ("{ nonsense", "line 1, column 3"),
	"a file that ends too early": (document([])[:-3], "ends too early"),
	"a file that is no list": (json.dumps({"kind": "ConfigMap", "apiVersion": "v1"}), "ConfigMap"),
	"an empty file": ("", "empty"),
}


def test_broken(tap_, lab, expected):
	for name, (text, words) in BROKEN.items():
		with tap_.case("%s is refused, told in status, and what was loaded stays" % name), podnet.Client(lab.pod) as client:
			lab.write(text)
			node.wait_until(lambda: words in lab.status()["source_error"], "%r in status" % words)
			status = lab.status()
			assert str(lab.file) in status["source_error"], status["source_error"]
			assert status["gate"] == "open" and status["source_error_ms"] >= status["source_ok_ms"] > 0, status
			tap_.note(status["source_error"].replace(str(lab.file.parent), "…"))
			assert addresses_of(client.ask(question(NAME % "flip").wire())) == expected
	with tap_.case("a good file ends the error"), podnet.Client(lab.pod) as client:
		objects, new = flip(ROUNDS + 1)
		lab.write(objects)
		node.wait_until(lambda: lab.status()["source_error"] == "", "no error in status")
		assert addresses_of(client.ask(question(NAME % "flip").wire())) == new


# ---- growth ----


def address(service, i):
	return "10.%d.%d.%d" % (16 + service // 200, service % 200, i + 1)


def services(count, per_service):
	objects = []
	for s in range(count):
		objects += cluster.headless("lab", "s%d" % s, [cluster.endpoint(address(s, i)) for i in range(per_service)])
	return objects


class Stream(podnet.Background):
	"""Asks for one of the first names again and again, one query at a time; every answer must be the node's and right."""

	def __init__(self, lab):
		super().__init__()
		self.lab, self.asked, self.failures = lab, 0, []

	def go_on(self, count=300):
		"""Until so many more were asked."""
		wanted = self.asked + count
		node.wait_until(lambda: self.asked >= wanted, "%d more queries" % count)

	def _run(self):
		with podnet.Client(self.lab.pod) as client:
			while not self._ending.is_set():
				number = self.asked % SMALL
				want = address(0, number)
				wire = client.ask(question("%s.%s" % (want.replace(".", "-"), NAME % "s0")).wire())
				self.asked += 1
				if wire is None or podnet.is_from_upstream(wire) or addresses_of(wire) != [want]:
					self.failures.append("query %d: %s" % (self.asked, wire))


def ask_everything(lab):
	"""Every endpoint's name and PTR, many queries under way at once. Those that are lost or wrong."""
	wanted = {}
	for s in range(SERVICES):
		for i in range(PER_SERVICE):
			text = address(s, i)
			owner = "%s.%s" % (text.replace(".", "-"), NAME % ("s%d" % s))
			wanted[owner, A] = bytes(map(int, text.split(".")))
			wanted[oracle.reverse_name(text), message.PTR] = message.name_wire(owner)
	failures, keys = [], list(wanted)
	with podnet.Client(lab.pod) as client:
		for begin in range(0, len(keys), WINDOW):
			window = dict(enumerate(keys[begin : begin + WINDOW]))
			for ident, (name, qtype) in window.items():
				client.send(Question(name, qtype, ident=ident).wire())
			while window:
				wire, _ = client.receive()
				if wire is None:
					failures += window.values()
					break
				key = window.pop(int.from_bytes(wire[:2], "big"))
				# One record: its RDATA is the end of the message.
				if wire[2:4] != b"\x85\0" or wire[6:8] != b"\0\1" or not wire.endswith(wanted[key]):
					failures.append((key, wire))
	return len(keys), failures


def is_from_node(wire):
	"""Not the upstream's; and no answer in time is nobody's."""
	return wire is not None and not podnet.is_from_upstream(wire)


def test_growth(tap_, lab):
	text = document(services(SERVICES, PER_SERVICE))
	before = lab.status()
	lab.upstream.take()
	with Stream(lab) as stream:
		stream.go_on()
		began, asked_before = time.monotonic(), stream.asked
		lab.write(text)
		last = oracle.reverse_name(address(SERVICES - 1, PER_SERVICE - 1))
		with tap_.case("a file of %d MB is taken" % (len(text) >> 20)), podnet.Client(lab.pod) as client:
			query = question(last, message.PTR).wire()
			node.wait_until(lambda: is_from_node(client.ask(query)), "an answer for the last name", GROWTH_WITHIN_S)
			tap_.note("%.2f s from rename to the last name" % (time.monotonic() - began))
		asked_meanwhile = stream.asked - asked_before
		stream.go_on()
	# It is written now and then.
	node.wait_until(lambda: lab.status()["generation"] > before["generation"] and lab.status()["names"] >= 2 * SERVICES * PER_SERVICE, "the new tables in status")
	after = lab.status()
	changes = ", ".join("%s %d → %d" % (name, before[name], after[name]) for name in ("names", "generation", "growths", "map_bytes"))
	tap_.note("%d queries, %d of them while it grew; %s" % (stream.asked, asked_meanwhile, changes))
	tap_.none_of(stream.failures, "while it grows no query is lost, passed on or answered wrong")
	tap_.ok(stream.asked > 500 and asked_meanwhile > 0, "it was asked all the time", (stream.asked, asked_meanwhile))
	tap_.ok(after["generation"] > before["generation"] and after["growths"] > before["growths"], "the generation went up", after)
	tap_.ok(after["names"] >= 2 * SERVICES * PER_SERVICE and after["unfit_names"] == 0, "all names are in the index", after)
	asked, failures = ask_everything(lab)
	tap_.none_of(list(map(repr, failures)), "each of %d names is answered with its one record" % asked)


def main(tap_):
	node.enter_namespaces()
	with Lab(flip(0)[0]) as lab:
		before = lab.status()
		test_latency(tap_, lab)
		test_counts(tap_, lab, before)
		test_broken(tap_, lab, flip(ROUNDS)[1])
	with Lab(services(1, SMALL)) as lab:
		test_growth(tap_, lab)


if __name__ == "__main__":
	tap.run(main)
