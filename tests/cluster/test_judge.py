#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 60 60
"""
The steady client and its judge, who tell what a whole cluster's pods see, in a small world where each fault can be planted: what is lost,
refused, wrong by itself, of another name, of a time before or after. And none of these where all is well.
"""

import functools
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lib"), str(Path(__file__).resolve().parent)]

import cluster
import judge
import lab
import node
import oracle
import packet
import podnet
import steady
import tap
from judge import History, Judge, Phase
from message import AAAA, PTR, SRV, Edns, Question

RATE = 500
SOME = 200  # queries
AGE_NS = 1_000_000_000
CHANGE_AGE_NS = node.READY_WITHIN_S * 1_000_000_000  # how soon the agent sees a change is not what is judged here
QUESTIONS = [Question(lab.NAME % "three"), Question(lab.NAME % "three", AAAA),
	Question(lab.NAME % "three", SRV, edns=Edns(1232)), Question(lab.NAME % "one", AAAA), Question(lab.NAME % "one"),
	Question("1.1.1.10.in-addr.arpa", PTR)]


def pod_popen(pod, *command, **options):
	return subprocess.Popen(["nsenter", "--net=" + podnet.net_path(pod), *command], preexec_fn=node._die_with_parent, **options)


def truth(objects):
	known = oracle.Oracle(objects)
	return [judge.expected_of(known, question) for question in QUESTIONS]


def phase(name, client, act=lambda: None):
	act()
	one = Phase(name, time.monotonic_ns(), AGE_NS)
	one.ended_ns = client.wait(SOME)
	return one


def changed(last):
	return cluster.headless("lab", "one", [cluster.endpoint("10.1.1.%d" % last)]) + lab.OBJECTS[2:]


def has_answer_with(client, address):
	return any(packet.pack_address(address) in wire for wire, _ in list(client.answers.values()))


def is_all(one, *kinds):
	return one.counts["sent"] == sum(one.counts[kind] for kind in kinds) >= SOME and one.counts[kinds[0]] > 0


def run_phases(running, client):
	"""The same questions while ever more is taken away. By default the kernel refuses but six times at once, then once a second."""
	podnet.sysctl("net.ipv4.icmp_ratelimit", 0)
	yield phase("answered", client)
	yield phase("the upstream alone", client, running.kill_and_detach)
	yield phase("refused", client, running.close_upstream)
	yield phase("lost", client, running.drop_all)


class World(lab.Lab):
	def kill_and_detach(self):
		self._close()
		self.kill()
		self._detach()

	def close_upstream(self):
		self.upstream.close()

	@staticmethod
	def drop_all():
		podnet.run("ip address flush dev lo scope global")


def check_phases(t):
	with World(lab.OBJECTS) as running, steady.Steady(functools.partial(pod_popen, running.pod), packet.SERVER4, RATE, QUESTIONS) as client:
		phases = list(run_phases(running, client))
		client.stop()
		histories = [History(records) for records in truth(lab.OBJECTS)]
		well, upstream, refused, lost = Judge(client, histories, phases).run()
		for one in phases:
			t.note("%s: %s" % (one.name, one))
		t.ok(is_all(well, judge.KERNEL), "what the agent answers is right, and known as its own", well.told)
		t.ok(is_all(upstream, "unreadable", "lost"), "an upstream that is not CoreDNS is found", upstream.counts)
		t.ok(is_all(refused, "lost") and any(what.startswith("lost: refused") for what in refused.told), "a closed port counts as lost", refused.told)
		t.ok(is_all(lost, "lost"), "an address that is gone counts as lost", lost.counts)
		nobodys = judged(client, [History(judge.NOTHING)] * len(QUESTIONS), lost)
		t.ok(is_all(nobodys, "silent"), "but not where the name was nobody's: then it was CoreDNS that kept silent", nobodys.counts)
		check_faults(t, client, histories, phases[0])


def judged(client, histories, one):
	return Judge(client, histories, [Phase(one.name, one.began_ns, AGE_NS, one.ended_ns)]).run()[0]


def check_faults(t, client, histories, one):
	"""The same answers of the first phase beside a truth that is another."""
	share = one.counts["sent"] // len(QUESTIONS)
	for name, records in (("a wrong record", frozenset(("answer", owner, kind, "10.9.9.9") for _, owner, kind, _ in histories[0].versions[0].records)),
			("one record too few", frozenset(sorted(histories[0].versions[0].records)[1:])), ("a name that is gone", judge.NOTHING)):
		found = judged(client, [History(records), *histories[1:]], one)
		t.ok(abs(found.counts["never right"] - share) <= 1 and found.wrong == found.counts["never right"], "told as wrong: beside %s" % name, found.counts)
	now = histories[0].versions[0].records
	late, early = History(now), History(frozenset())
	late.add(frozenset(), one.began_ns - 2 * AGE_NS, one.began_ns - 2 * AGE_NS)
	early.add(now, one.ended_ns + CHANGE_AGE_NS, one.ended_ns + CHANGE_AGE_NS)
	found = judged(client, [late, *histories[1:]], one)
	t.ok(abs(found.counts["too old"] - share) <= 1, "told as too old: replaced before, by more than is allowed", found.counts)
	found = judged(client, [early, *histories[1:]], one)
	t.ok(abs(found.counts["never right"] - share) <= 1, "told as never right: written only afterwards", found.counts)


def check_change(t):
	"""A change while it asks: each version in its time, and nothing between."""
	with World(changed(1)) as running, steady.Steady(functools.partial(pod_popen, running.pod), packet.SERVER4, RATE, QUESTIONS) as client:
		histories = [History(records) for records in truth(changed(1))]
		one = Phase("a change", time.monotonic_ns(), CHANGE_AGE_NS)
		client.wait(SOME)
		began_ns = time.monotonic_ns()
		running.write(changed(2))
		for history, records in zip(histories, truth(changed(2))):
			history.add(records, began_ns, time.monotonic_ns())
		node.wait_until(lambda: has_answer_with(client, "10.1.1.2"), "an answer with the new address")
		one.ended_ns = client.wait(SOME)
		client.stop()
		Judge(client, histories, [one]).run()
		t.note("%s: %s" % (one.name, one))
		gone = next(history for history, question in zip(histories, QUESTIONS) if question.qtype == PTR)
		t.equal(gone.versions[-1].records, judge.NOTHING, "the old address's name is gone")
		t.ok(one.wrong == one.counts["unreadable"] and 0 < one.wrong <= one.counts["sent"] // len(QUESTIONS) + 1, "only for that one the upstream is asked", one.told)
		t.ok(one.counts[judge.KERNEL] + one.wrong + one.counts["silent"] == one.counts["sent"] >= 2 * SOME, "a changed name is answered before and after, right at each time", one.counts)


def main(t):
	check_phases(t)
	check_change(t)


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
