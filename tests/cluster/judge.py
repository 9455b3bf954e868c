# SPDX-License-Identifier: Apache-2.0
"""
What a steady client was told, judged: who answered, and whether that was one whole set of records which was current between the
sending of the question and the answer, give or take the age that is allowed.
"""

import collections
import dataclasses
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("lib", "datapath")]

import message
import test_coredns

KERNEL, COREDNS = "kernel", "CoreDNS"
KERNEL_TTL_S, COREDNS_TTL_S = 5, 30  # --ttl's default, and what kubeadm writes
POINTER = 0xC0
TOLD = 12
NXDOMAIN = 3
SECTIONS = ("answer", "additional")
NOTHING = "no such name"


@dataclasses.dataclass(frozen=True)
class Reading:
	"""An answer: who sent it, and its records in no order; NOTHING for NXDOMAIN; or what is wrong with it by itself."""
	who: str = None
	records: object = None
	fault: str = None


def records_of(answer):
	"""{(section, owner, type, data)}, letter case apart."""
	return frozenset((section, owner.lower().rstrip("."), kind, data.lower())
		for section in SECTIONS for owner, _, _, kind, data in test_coredns.recorded_form(getattr(answer, section)))


def expected_of(oracle_, question):
	"""The same as the objects have it; NOTHING where CoreDNS knows no such name."""
	name = question.name.lower()
	entry = oracle_.find(name)
	if entry is None:
		return NOTHING
	pairs = zip(SECTIONS, message.expected_records(entry, question.qtype))
	return frozenset((section, owner.rstrip("."), kind, data.lower()) for section, records in pairs for owner, kind, data in test_coredns.records_text(records, name))


def who_sent(question, answer):
	"""The datapath compresses from the first record on, CoreDNS only what is too long otherwise; and their TTLs differ, where no cache makes them less."""
	behind = message.HEADER_LEN + len(question.question_wire())
	who = KERNEL if answer.wire[behind] >= POINTER else COREDNS
	ttls = {record[1] for record in answer.answer + answer.authority + answer.additional}
	message._need(ttls == {KERNEL_TTL_S} if who == KERNEL else max(ttls) <= COREDNS_TTL_S, "the TTL is the sender's", who, ttls)
	return who


def read(question, wire):
	"""wire: without its ID."""
	try:
		answer = message.Answer(question.wire()[:2] + wire)
		if answer.flags & 15 == NXDOMAIN:
			message._need(answer.flags & message.AA and not answer.answer, "NXDOMAIN of the zone", answer.message)
			return Reading(COREDNS, NOTHING)
		message.check_frame_of(question, answer)
		message._need(not answer.is_truncated, "whole", answer.message)
		message._need(answer.answer or answer.authority, "records or an SOA", answer.message)
		return Reading(who_sent(question, answer), records_of(answer))
	except (AssertionError, IndexError) as e:
		return Reading(fault=str(e))


@dataclasses.dataclass
class Version:
	records: object
	began_ns: int            # it cannot be known before
	replaced_ns: int = None  # something newer is there; None: no


class History:
	"""The versions of one question's answer in the order of time."""

	def __init__(self, records, began_ns=0):
		self.versions = []
		self._same = collections.defaultdict(list)  # records -> versions that have them
		self._append(Version(records, began_ns))

	def _append(self, version):
		self.versions.append(version)
		self._same[version.records].append(version)

	def add(self, records, began_ns, replaced_ns):
		"""replaced_ns: from when on the one before is old."""
		if records != self.versions[-1].records:
			self.versions[-1].replaced_ns = replaced_ns
			self._append(Version(records, began_ns))

	def find_age(self, records, sent_ns, taken_ns):
		"""How long something newer was there when these were asked for, in ns: 0 for none; None: they were never right before they were taken."""
		ages = [max(0, sent_ns - (v.replaced_ns or sent_ns)) for v in self._same.get(records, ()) if v.began_ns <= taken_ns]
		return min(ages, default=None)


@dataclasses.dataclass
class Phase:
	name: str
	began_ns: int
	age_allowed_ns: int
	ended_ns: int = None
	counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
	oldest_ns: int = 0
	slowest_ns: int = 0
	first_ns: dict = dataclasses.field(default_factory=dict)  # who answered: when his first was sent
	lost_ns: list = dataclasses.field(default_factory=list)   # when they were sent
	told: list = dataclasses.field(default_factory=list)

	def add(self, what, text):
		self.counts[what] += 1
		if len(self.told) < TOLD:
			self.told.append("%s: %s" % (what, text))

	def __str__(self):
		counts = self.counts
		silent = ", CoreDNS silent %d" % counts["silent"] if counts["silent"] else ""
		return "%.1f s, sent %d: %s %d, %s %d, lost %d, wrong %d%s, oldest %.0f ms, slowest %.0f ms" % ((self.ended_ns - self.began_ns) / 1e9, counts["sent"], KERNEL,
			counts[KERNEL], COREDNS, counts[COREDNS], self.lost, self.wrong, silent, self.oldest_ns / 1e6, self.slowest_ns / 1e6)

	@property
	def lost(self):
		return self.counts["lost"]

	@property
	def wrong(self):
		return sum(self.counts[what] for what in ("unreadable", "never right", "too old"))


class Judge:
	"""histories: one for each of the steady client's questions. A query belongs to the phase in which it was sent."""

	def __init__(self, steady, histories, phases):
		self.steady, self.histories, self.phases = steady, histories, phases
		self.readings = {}

	def run(self):
		at = 0
		for query in sorted(self.steady.queries, key=lambda query: query[1]):
			while at < len(self.phases) and query[1] >= self.phases[at].ended_ns:
				at += 1
			if at < len(self.phases) and query[1] >= self.phases[at].began_ns:
				self._judge(self.phases[at], *query)
		return self.phases

	def _judge(self, phase, number, sent_ns, taken_ns, answer):
		question = self.steady.questions[number]
		phase.counts["sent"] += 1
		what = "%s %d, sent at %.3f s of the phase" % (question.name, question.qtype, (sent_ns - phase.began_ns) / 1e9)
		if isinstance(answer, str):
			self._lose(phase, number, sent_ns, taken_ns, "%s: %s" % (answer, what))
			return
		phase.slowest_ns = max(phase.slowest_ns, taken_ns - sent_ns)
		reading = self._read(number, answer)
		if reading.fault:
			phase.add("unreadable", "%s: %s" % (what, reading.fault))
			return
		age_ns = self.histories[number].find_age(reading.records, sent_ns, taken_ns)
		if age_ns is None or age_ns > phase.age_allowed_ns:
			phase.add("never right" if age_ns is None else "too old", "%s, by %s, %s: %s; versions %s" % (what, reading.who,
				"%.0f ms" % (age_ns / 1e6) if age_ns is not None else "-", reading.records, self.histories[number].versions[-3:]))
			return
		phase.oldest_ns = max(phase.oldest_ns, age_ns)
		phase.counts[reading.who] += 1
		phase.first_ns.setdefault(reading.who, sent_ns)

	def _lose(self, phase, number, sent_ns, taken_ns, what):
		"""A name that is nobody's at that time is passed on: then CoreDNS kept silent."""
		age_ns = self.histories[number].find_age(NOTHING, sent_ns, taken_ns)
		if age_ns is not None and age_ns <= phase.age_allowed_ns:
			phase.add("silent", "CoreDNS, which was asked: " + what)
			return
		phase.lost_ns.append(sent_ns)
		phase.add("lost", what)

	def _read(self, number, answer):
		key = number, answer
		if key not in self.readings:
			wire, is_id_right = self.steady.answers[answer]
			self.readings[key] = read(self.steady.questions[number], wire) if is_id_right else Reading(fault="another ID")
		return self.readings[key]
