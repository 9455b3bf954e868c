# SPDX-License-Identifier: Apache-2.0
"""
Questions about the objects of a cluster, and the agent's answers to them beside CoreDNS's: equal but for README.md's closed
list, or passed on. Comparing is done by the same code as over the recorded answers.
"""

import collections
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "datapath")]

import dns.rdatatype

import bpf
import message
import oracle
import packet
import test_coredns
from message import A, AAAA, ANY, COOKIE, MX, PTR, SOA, SRV, TXT
from real_agent import MTU, SMALL_MTU

MAIN_TYPES = (A, AAAA, SRV, PTR)
UDP_PAYLOAD_MAX = 65507  # what a client offers beyond that CoreDNS fills, and cannot send
OTHER_TYPES = (TXT, MX, SOA, ANY, 2, 5, 43, 64, 65, 257, 65280)


# ---- questions ----


def edns_variants(rng):
	"""As clients send it, and as they hardly do: None, or what test_coredns.question_of reads."""
	return (None, {"size": 1232}, {"size": 512}, {"size": 4096}, {"size": 0}, {"size": 65535}, {"size": rng.randint(513, 4096)},
		{"size": 1232, "do": True}, {"size": 1232, "z": rng.getrandbits(15)}, {"size": 1232, "opts": [(COOKIE, rng.randbytes(8).hex())]},
		{"size": 4096, "opts": [(COOKIE, rng.randbytes(rng.randint(16, 40)).hex())]}, {"size": 1232, "opts": [(8, "000118000a0000")]},
		{"size": 1232, "opts": [(COOKIE, "0102"), (3, "")]}, {"size": 1232, "version": 1})


def spelling(rng, name):
	style = rng.random()
	if style < 0.6:
		return name
	return name.upper() if style < 0.65 else "".join(letter.upper() if rng.getrandbits(1) else letter for letter in name)


def ask_for(rng, name, qtype, edns):
	asked = {"name": spelling(rng, name) + ".", "type": dns.rdatatype.to_text(qtype)}
	if edns:
		asked["edns"] = edns
	if rng.random() < 0.2:
		asked["flags"] = rng.choice((["RD", "CD"], [], ["RD", "AD"], ["RD", "Z"], ["CD"]))
	return asked


def neighbours(rng, name):
	"""Names next to a name that is there: mostly ones that are not."""
	first, _, rest = name.partition(".")
	return [rest, "x." + name, "_tcp." + name, "*." + name, first + "x." + rest, first.lstrip("_") + "." + rest, "_http._tcp." + name, "www.example.com." + name]


def names_of(items, zone="cluster.local"):
	"""Names that objects touch, also where nothing answers: not ready, gone, external, odd; and names of the zone."""
	found = {zone, "svc." + zone, "ns.dns." + zone, "dns-version." + zone, "10-1-2-3.default.pod." + zone, "nothing.default.svc." + zone,
		"www.example.com", "1.1.168.192.in-addr.arpa"}
	for item in items:
		found.add("%s.svc.%s" % (item["metadata"]["namespace"], zone))
		found.update((names_of_service if item["kind"] == "Service" else names_of_slice)(item, zone))
	return {name for name in found if is_askable(name)}


def _with_ports(base, ports):
	return [base] + ["_%s._%s.%s" % (port.get("name"), (port.get("protocol") or "TCP").lower(), base) for port in ports or []]


def names_of_service(item, zone):
	base = "%s.%s.svc.%s" % (item["metadata"]["name"], item["metadata"]["namespace"], zone)
	addresses = item["spec"].get("clusterIPs") or []
	return _with_ports(base, item["spec"].get("ports")) + [oracle.reverse_name(address) for address in addresses if address != "None"]


def names_of_slice(item, zone):
	service = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name") or "x"
	base = "%s.%s.svc.%s" % (service, item["metadata"]["namespace"], zone)
	found = _with_ports(base, item.get("ports"))
	for endpoint in item.get("endpoints") or []:
		for address in endpoint["addresses"]:
			found.append(oracle.endpoint_label(endpoint, address).lower() + "." + base)
			if item["addressType"] != "FQDN" and not address.startswith("0"):
				found.append(oracle.reverse_name(address))
	return found


def is_askable(name):
	labels = name.split(".")
	return len(name) + 2 <= 255 and all(0 < len(text) <= 63 for text in labels)


def questions_about(rng, items, share_of_variants):
	"""Every name with every main type and some others; a share of them with each EDNS variant; names beside them."""
	known = oracle.Oracle(items)
	return questions_on(rng, sorted(names_of(items) | {name for name in known.names if is_askable(name)}), share_of_variants)


def questions_on(rng, names, share_of_variants):
	asked = []
	for name in names:
		for qtype in (*MAIN_TYPES, rng.choice(OTHER_TYPES)):
			asked.append(ask_for(rng, name, qtype, rng.choice(edns_variants(rng)[:10])))
		if rng.random() < share_of_variants:
			qtype = rng.choice(MAIN_TYPES)
			asked += [ask_for(rng, name, qtype, edns) for edns in edns_variants(rng)]
		beside = rng.choice(neighbours(rng, name))
		if is_askable(beside):
			asked.append(ask_for(rng, beside, rng.choice(MAIN_TYPES), None))
	rng.shuffle(asked)  # every other one goes over the other family
	return asked


# ---- answers ----


def is_cut_over_tcp(row):
	return "tcp" in row and "TC" in row["tcp"]["flags"]


class Required(oracle.Oracle):
	"""What must be answered, by the contract's rule for objects that are not understood: what they touch is passed on whole."""

	def _add_reverse(self):
		super()._add_reverse()
		for item in (item for items in self._slices.values() for item in items):
			addresses = [address for endpoint in item.get("endpoints") or [] for address in endpoint["addresses"]]
			if item["addressType"] != "FQDN" and not all(map(oracle._is_canonical, addresses)):
				for address in filter(oracle._is_canonical, addresses):
					self.names.setdefault(oracle.reverse_name(address), oracle.Entry(is_reverse=True)).is_passed = True


class Run(test_coredns.Run):
	"""As over recorded answers; besides, CoreDNS may keep silent: then the question must be passed on, unless its answer was
	too large for a datagram. That, and what is too large for TCP, is nowhere whole: such answers are compared with the oracle's."""

	xdp_programs = ()  # the hooks are the datapath suite's matter

	def __init__(self, items, running, level, ttl):
		self.node, self.ttl = running, ttl
		self.oracle = Required(items, level=level)
		self.counts, self.verdicts = collections.Counter(), collections.Counter()
		self.failures, self.passed, self.oracle_failures = [], [], []

	def ask(self, row, ident, family, mtu):
		if row["a"] is not None and not is_cut_over_tcp(row):
			super().ask(row, ident, family, mtu)
		else:
			self.ask_without_theirs(row, ident, family, mtu)

	def ask_without_theirs(self, row, ident, family, mtu):
		question = test_coredns.question_of(row["q"], ident)
		data = packet.query_frame(question.wire(), family)
		verdict, code, out = self.node.ask(data, self.node.pods[mtu].ifindex)
		self.verdicts[verdict] += 1
		try:
			if code == bpf.TC_ACT_UNSPEC and out == data:
				return
			is_unsendable = row["q"].get("edns", {}).get("size", 0) > UDP_PAYLOAD_MAX
			assert row["a"] is not None or is_unsendable, "answered, where CoreDNS kept silent"
			entry = self.oracle.find(row["q"]["name"].rstrip("."))
			assert entry is not None, "answered, where nothing is known"
			message.check_answer(question, packet.check_answer_frame(data, out), entry, question.limit(family, mtu), self.ttl)
		except AssertionError as e:
			self.failures.append("%s: %s" % (row["q"], e))

	def check_oracle(self, row):
		if row["a"] is not None and not is_cut_over_tcp(row):
			super().check_oracle(row)

	def ask_all(self, rows):
		for number, row in enumerate(rows):
			self.check_oracle(row)
			families = (4, 6) if row["q"]["type"] == "PTR" else (4 + 2 * (number % 2),)
			for family in families:
				self.ask(row, number & 0xFFFF, family, MTU)
			if row["q"].get("edns", {}).get("size", 0) > 1400 or "tcp" in row:
				self.ask(row, number & 0xFFFF, families[0], SMALL_MTU)


def shortened(text, most=1000):
	return text if len(text) <= most else "%s … %s" % (text[: most // 2], text[-most // 2 :])


def compare(tap, what, running, items, rows, level="services", ttl=5):
	"""Three results, and the counts of what was compared."""
	run = Run(items, running, level, ttl)
	run.ask_all(rows)
	silent = sum(row["a"] is None for row in rows)
	tap.note("%s: %d questions (CoreDNS silent at %d), %s" % (what, len(rows), silent, dict(run.verdicts)))
	for failures, name in ((run.oracle_failures, "the oracle's records are CoreDNS's"), (run.failures, "every answer is CoreDNS's"),
			(run.passed, "none passed that must be answered")):
		tap.none_of([shortened(text) for text in failures], "%s: %s" % (what, name))
	return collections.Counter(run.counts)
