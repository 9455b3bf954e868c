#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300 900
"""
Every question that was put to CoreDNS, put to the datapath over the same objects, through TC and in turn through XDP with and
without room at the frame's end. What it answers must be CoreDNS's answer but
for: order of records, SOA serial, compression, case inside RDATA and of glue owners, TC where only the interface's MTU forces
it. It may pass a question on, but not one that the oracle, from the objects alone, says must be answered.
"""

import collections
import gzip
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import dns.name
import dns.rdataclass
import dns.rdatatype

import bpf
import message
import node
import oracle
import packet
import tap
import xdp
from message import A, AAAA, Edns, MESSAGE_MAX, PTR, Question, SRV, TC

DATA = Path(__file__).resolve().parents[1] / "data" / "coredns"
SETS = ("scenario", "random-11", "random-12")
MTU, SMALL_MTU = 9000, 1500
LEAST = 200  # answers per type and family
TYPES = {A: "A", AAAA: "AAAA", SRV: "SRV", PTR: "PTR"}


def load(name):
    with gzip.open(DATA / (name + "-objects.json.gz"), "rt") as objects, gzip.open(DATA / (name + "-answers.jsonl.gz"), "rt") as answers:
        return json.load(objects)["items"], [json.loads(line) for line in answers]


def question_of(asked, ident):
    """The question as it was recorded: plain with RD where nothing else is told."""
    edns = asked.get("edns")
    if edns is not None:
        options = tuple((code, bytes.fromhex(data)) for code, data in edns.get("opts", ()))
        z = edns.get("z", 0) | (0x8000 if edns.get("do") else 0)
        edns = Edns(edns["size"], z, edns.get("version", 0), options)
    flags = sum(message.FLAGS[flag] for flag in asked.get("flags", ["RD"])) | asked.get("opcode", 0) << 11
    return Question(dns.name.from_text(asked["name"]).to_wire(), dns.rdatatype.from_text(asked["type"]), flags,
            dns.rdataclass.from_text(asked.get("cls", "IN")), ident, edns, questions=asked.get("qd", 1))


def is_plain(question):
    """What the datapath considers at all."""
    options = question.edns.options if question.edns else ()
    is_known = not options or (len(options) == 1 and options[0][0] == message.COOKIE
                               and (len(options[0][1]) == 8 or 16 <= len(options[0][1]) <= 40))
    return (is_known and not (question.edns and question.edns.version) and question.qclass == message.IN
        and question.questions == 1 and not question.flags & (TC | message.QR | 0x7800))


def comparable(records):
    """Recorded records as a sorted list in which what may differ is equal."""
    return sorted((owner.lower(), ttl, kind, without_serial(kind, data.lower())) for owner, ttl, _, kind, data in records)


def without_serial(kind, data):
    if kind != "SOA":
        return data
    mname, rname, _, *timers = data.split()
    return " ".join([mname, rname, "SERIAL", *timers])


def recorded_form(records):
    return [(name.to_text(), ttl, "IN", dns.rdatatype.to_text(rdata.rdtype), rdata.to_text()) for name, ttl, rdata in records]


def record_len(record):
    """Octets as CoreDNS compresses a record when it has to."""
    _, _, _, kind, data = record
    if kind in ("A", "AAAA"):
        return message.A_LEN if kind == "A" else message.AAAA_LEN
    return (message.SRV_LEN if kind == "SRV" else message.PTR_LEN) + len(dns.name.from_text(data.split()[-1]).to_wire())


def possible_counts(records, room):
    """(least, most) whole records that fit, over all orders."""
    def fill(sizes):
        used = count = 0
        for size in sizes:
            if used + size > room:
                break
            used, count = used + size, count + 1
        return count

    sizes = sorted(map(record_len, records))
    return fill(reversed(sizes)), fill(sizes)


def need(condition, what, *values):
    if not condition:
        raise AssertionError("%s: %s" % (what, ", ".join(map(repr, values))))


class Comparison:
    """One recorded question and answer against one answer of ours."""

    def __init__(self, row, question, wire, limit):
        self.row, self.question, self.limit = row, question, limit
        self.theirs = row["a"]
        self.full = row.get("tcp", self.theirs)
        self.ours = message.Answer(wire)
        need(len(wire) <= limit, "within the size limit", len(wire), limit)

    def check(self):
        message.check_frame_of(self.question, self.ours)
        need(self.theirs["rcode"] == 0 and "AA" in self.theirs["flags"], "CoreDNS says so too", self.theirs["rcode"], self.theirs["flags"])
        need(("RD" in self.theirs["flags"], "CD" in self.theirs["flags"])
             == (bool(self.ours.flags & message.RD), bool(self.ours.flags & message.CD)), "RD and CD", self.theirs["flags"])
        self.check_opt()
        self.check_owners()
        need(comparable(recorded_form(self.ours.authority)) == comparable(self.theirs["authority"]), "authority", self.ours.message)
        if self.ours.is_truncated:
            self.check_truncated()
        else:
            need("TC" not in self.theirs["flags"] or "tcp" in self.row["q"], "TC as CoreDNS", self.theirs["flags"])
            for section in ("answer", "additional"):
                got, want = (comparable(records) for records in (recorded_form(getattr(self.ours, section)), self.full[section]))
                need(got == want, section, got, want)

    def check_opt(self):
        opt = self.theirs["opt"]
        need((opt is None) == (self.ours.message.opt is None), "OPT", opt)
        if opt:
            got = self.ours.message
            options = [[option.otype, option.to_wire().hex()] for option in got.options]
            need([got.edns, got.payload, got.ednsflags & 0xFFFF, options]
                 == [opt["version"], opt["size"], opt["z"], [list(o) for o in opt["options"]]], "OPT as CoreDNS", got.options, opt)

    def check_owners(self):
        """The case of owners of answers and of the SOA is CoreDNS's."""
        for section in ("answer", "authority"):
            got = {record[0] for record in recorded_form(getattr(self.ours, section))}
            need(got <= {record[0] for record in self.full[section]}, "case of owners", got)

    def check_truncated(self):
        client = self.question.limit(4, 1 << 17)
        size = self.question.base_len() + sum(map(record_len, self.full["answer"] + self.full["additional"]))
        need(size > self.limit, "TC only where it does not fit", size, self.limit)
        for section in ("answer", "additional"):
            got = comparable(recorded_form(getattr(self.ours, section)))
            need(len(got) == len(set(got)), "no record twice", got)
            need(set(got) <= set(comparable(self.full[section])), section + " holds nothing foreign", got)
        is_theirs = client <= self.limit and "tcp" not in self.row["q"]
        need(not is_theirs or "TC" in self.theirs["flags"], "TC only where CoreDNS or the MTU has it", self.theirs["flags"])
        room = self.limit - self.question.base_len()
        self.check_count("answer", room, is_theirs)
        if len(self.ours.answer) == len(self.full["answer"]):
            self.check_count("additional", room - sum(map(record_len, self.full["answer"])), is_theirs)
        else:
            need(not self.ours.additional, "glue goes first", self.ours.message)

    def check_count(self, section, room, is_theirs):
        """As many as CoreDNS has; where records differ in length, as many as some order gives."""
        least, most = possible_counts(self.full[section], room)
        got, theirs = len(getattr(self.ours, section)), len(self.theirs[section])
        need(not is_theirs or least <= theirs <= most, "the count of CoreDNS is possible: " + section, least, theirs, most)
        need(least <= got <= most, "as many whole records as fit: " + section, least, got, most, theirs)


class Run:
    def __init__(self, name, items, running):
        self.name, self.node = name, running
        self.oracle = oracle.Oracle(items)
        self.counts = collections.Counter()
        self.verdicts = collections.Counter()
        self.failures, self.passed, self.oracle_failures = [], [], []
        self.xdp_programs = list(xdp.programs(running).items())

    def ask_xdp(self, row, question, data, family, mtu, length):
        """What TC has answered with a frame of this length, once more through XDP."""
        hook, program = self.xdp_programs[question.ident % len(self.xdp_programs)]
        verdict, code, out = self.node.ask_xdp(data, self.node.pods[mtu].ifindex, program)
        has_room = xdp.has_room(hook, len(data), length)
        if code == bpf.XDP_PASS:
            need(out == data and not has_room, hook + " passes for want of room alone", out != data)
            self.verdicts[hook + ", no room"] += 1
            return
        need(code == bpf.XDP_TX and has_room is not False, hook, code)
        self.check(row, question, data, out, verdict, family, mtu)
        self.verdicts[hook] += 1

    def check(self, row, question, data, out, verdict, family, mtu):
        comparison = Comparison(row, question, packet.check_answer_frame(data, out), question.limit(family, mtu))
        comparison.check()
        need(verdict == self.verdict_of(comparison), "counted right", verdict)
        return comparison

    def ask(self, row, ident, family, mtu):
        question = question_of(row["q"], ident)
        if not question.questions:
            question.name_wire = b"\0"
        data = packet.query_frame(question.wire(), family)
        verdict, code, out = self.node.ask(data, self.node.pods[mtu].ifindex)
        self.verdicts[verdict] += 1
        must = is_plain(question) and self.oracle.must_answer(row["q"]["name"].rstrip("."), question.qtype)
        if code != bpf.TC_ACT_REDIRECT:
            if out != data or verdict in node.ANSWERS or any(
                    program.run(data, self.node.pods[mtu].ifindex) != (bpf.XDP_PASS, data) for _, program in self.xdp_programs):
                self.failures.append("passed but changed, or answered by XDP: %s" % row["q"])
            elif must and not self.may_be_too_big(question, row, question.limit(family, mtu), verdict):
                self.passed.append("%s: %s" % (verdict, row["q"]))
            return
        try:
            comparison = self.check(row, question, data, out, verdict, family, mtu)
            if self.xdp_programs:
                self.ask_xdp(row, question, data, family, mtu, len(out))
        except AssertionError as e:
            self.failures.append("%s over IPv%d, MTU %d: %s" % (row["q"], family, mtu, e))
            return
        if must:
            self.counts[self.key(question, comparison, row), family] += 1

    @staticmethod
    def verdict_of(comparison):
        if comparison.ours.is_truncated:
            return "truncated"
        return "answered" if comparison.ours.answer else "nodata"

    @staticmethod
    def may_be_too_big(question, row, limit, verdict):
        """Larger than is ever built, and nobody else's limit; PTR is never cut."""
        if verdict != "too_big":
            return False
        full = row.get("tcp", row["a"])
        size = question.base_len() + sum(map(record_len, full["answer"] + full["additional"]))
        return size > (limit if question.qtype == PTR else MESSAGE_MAX) and (limit > MESSAGE_MAX or question.qtype == PTR)

    @staticmethod
    def key(question, comparison, row):
        if comparison.ours.is_truncated:
            return "truncated"
        if not comparison.ours.answer:
            return "NODATA"
        name = TYPES[question.qtype]
        return name if name != "PTR" else "PTR of IPv6" if "ip6" in row["q"]["name"].lower() else "PTR of IPv4"

    def check_oracle(self, row):
        """The oracle itself against CoreDNS: a test that judges must be right."""
        question = question_of(row["q"], 0)
        name = row["q"]["name"].rstrip(".")
        if not is_plain(question) or not self.oracle.must_answer(name, question.qtype):
            return
        full = row.get("tcp", row["a"])
        answers, glue = message.expected_records(self.oracle.find(name), question.qtype)
        got = sorted(records_text(answers, name)), sorted(records_text(glue, name))
        want = tuple(sorted((o.lower().rstrip("."), k, d.lower()) for o, _, _, k, d in full[s]) for s in ("answer", "additional"))
        if row["a"]["rcode"] != 0 or got != want:
            self.oracle_failures.append("%s: %s, CoreDNS %s" % (row["q"], got, want))


def records_text(records, name):
    for kind, owner, value in records:
        text = value if kind in (A, AAAA) else value + "." if kind == PTR else "0 %d %d %s." % value
        yield (owner or name).lower(), dns.rdatatype.to_text(kind), text


def check_set(tap_, name, totals):
    items, rows = load(name)
    with node.Node(items, mtus=(MTU, SMALL_MTU)) as running:
        run = Run(name, items, running)
        for number, row in enumerate(rows):
            run.check_oracle(row)
            # Each question over one family in turn; over the other too, and over a small MTU, where there is little of it.
            families = (4, 6) if row["q"]["type"] == "PTR" else (4 + 2 * (number % 2),)
            for family in families:
                run.ask(row, number & 0xFFFF, family, MTU)
            if row["q"].get("edns", {}).get("size", 0) > 1400 or "tcp" in row:
                run.ask(row, number & 0xFFFF, families[0], SMALL_MTU)
    tap_.note("%s: %d questions, %s" % (name, len(rows), dict(run.verdicts)))
    tap_.none_of(run.oracle_failures, "%s: the oracle's records are CoreDNS's" % name)
    tap_.none_of(run.failures, "%s: every answer is CoreDNS's" % name)
    tap_.none_of(run.passed, "%s: none passed that must be answered" % name)
    totals.update(run.counts)


def main(tap_):
    totals = collections.Counter()
    for name in SETS:
        check_set(tap_, name, totals)
    for kind in ("A", "AAAA", "SRV", "PTR of IPv4", "PTR of IPv6", "NODATA", "truncated"):
        for family in (4, 6):
            count = totals[kind, family]
            tap_.note("%s over IPv%d: %d" % (kind, family, count))
            tap_.ok(count >= LEAST, "at least %d required answers were compared: %s over IPv%d" % (LEAST, kind, family), count)


if __name__ == "__main__":
    node.enter_namespaces()
    tap.run(main)
