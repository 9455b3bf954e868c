#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600 900
"""
Random questions about random clusters, each through TC, XDP, or XDP where no frame has room at its end, each answer checked in full: frame, header, question, records against the oracle's,
OPT, sizes; each is parsed by dnspython. SEED=n repeats a run, ANSWERS=n asks for another number of answers.
"""

import collections
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import message
import node
import oracle
import packet
import tap
import xdp
from message import A, AA, AAAA, AD, CD, Edns, MESSAGE_MAX, PTR, Question, RA, RD, SRV, Z
from randomcluster import NAME_MAX, RandomCluster, wire_len

ANSWERS = int(os.environ.get("ANSWERS", "52000"))
ZONES = ("z", "cluster.local", "%s.%s" % ("a" * 30, "b" * 28))
MTUS = (1500, 9000)
SHORTEST = wire_len("s.n.svc.z")
NODATA_TYPES = (2, 5, 6, 15, 16, 43, 64, 65, 255, 257, 65280)
# (share of questions, what)
KINDS = ((0.27, "A"), (0.22, "AAAA"), (0.21, "SRV"), (0.16, "PTR"), (0.14, "NODATA"))
# At least so many of 52,000, in proportion.
LEAST = {"A": 9000, "AAAA": 7000, "SRV": 6000, "PTR": 5000, "NODATA": 4500, "truncated": 2000, "IPv4": 20000, "IPv6": 20000,
         "VLAN": 7000, "EDNS": 20000, "no EDNS": 15000, "COOKIE": 6000, "0x20": 30000, "glue dropped": 80, "SRV dropped": 400,
         "checksum 0": 500, "partial checksum": 1000, "passed": 2000, "tc": 18000, "xdp": 10000, "xdp without tail room": 8000}
XDP_HOOKS = ("xdp", "xdp without tail room")


class Questions:
    """Names of an oracle by what they have."""

    def __init__(self, rng, known):
        self.rng, self.oracle = rng, known
        names = sorted(name for name, entry in known.names.items() if not entry.is_passed and wire_len(name) <= NAME_MAX)
        self.names = names
        forward = [name for name in names if not known.names[name].is_reverse]
        self.by_kind = {
            "A": [name for name in forward if known.names[name].a],
            "AAAA": [name for name in forward if known.names[name].aaaa],
            "SRV": [name for name in forward if known.names[name].srv],
            "PTR": [name for name in names if known.names[name].is_reverse],
            "NODATA": forward,
        }
        # Names that truncate are few among all: they are asked for more often.
        self.large = {kind: [name for name in self.by_kind[kind] if len(getattr(known.names[name], kind.lower())) >= 15]
                      for kind in ("A", "AAAA", "SRV")}

    def kind(self):
        return self.rng.choices([kind for _, kind in KINDS], [share for share, _ in KINDS])[0]

    def name(self, kind):
        large = self.large.get(kind)
        return self.rng.choice(large if large and self.rng.random() < 0.15 else self.by_kind[kind])

    def qtype(self, kind, name):
        if kind != "NODATA":
            return {"A": A, "AAAA": AAAA, "SRV": SRV, "PTR": PTR}[kind]
        entry = self.oracle.names[name]
        missing = [qtype for qtype, has in ((A, entry.a), (AAAA, entry.aaaa), (SRV, entry.srv)) if not has]
        return self.rng.choice(missing * 4 + list(NODATA_TYPES))

    def spelling(self, name):
        style = self.rng.random()
        if style < 0.2:
            return name
        if style < 0.25:
            return name.upper()
        return "".join(letter.upper() if self.rng.getrandbits(1) else letter for letter in name)

    def edns(self):
        rng = self.rng
        if rng.random() < 0.4:
            return None
        options = ()
        if rng.random() < 0.35:
            options = ((message.COOKIE, rng.randbytes(rng.choice((8, rng.randint(16, 40))))),)
        size = rng.choices((0, 512, 1232, rng.randint(513, 1500), 4096, 65535), (1, 3, 4, 3, 0.5, 0.5))[0]
        return Edns(size, rng.choice((0, 0, 0x8000, rng.getrandbits(16))), 0, options)

    def flags(self):
        """Any of the bits that do not make it another kind of message, and an rcode."""
        return self.rng.getrandbits(16) & (RD | CD | AD | AA | RA | Z | 0x000F)

    def question(self, kind):
        name = self.name(kind)
        question = Question(self.spelling(name), self.qtype(kind, name), self.flags(), ident=self.rng.getrandbits(16), edns=self.edns())
        if question.edns and self.rng.random() < 0.1:
            # Around the size of the whole answer, where whole and truncated meet.
            whole = message.full_len(question, self.oracle.names[name])
            question.edns.size = min(65535, max(512, whole + self.rng.choice((-40, -17, -16, -1, 0, 1))))
        return name, question

    def unknown(self):
        """A name close to a known one, or a short one, that is not there."""
        rng = self.rng
        while True:
            name = rng.choice(self.names)
            at = rng.randrange(len(name))
            name = rng.choice((name[:at] + rng.choice("abc123") + name[at + 1 :], name[at:].lstrip("."), rng.choice("xyz") + "." + name,
                               rng.choice("abcxyz") * rng.randint(1, 9))).strip(".")
            if name and ".." not in name and wire_len(name) <= NAME_MAX and self.oracle.find(name) is None and max(map(len, name.split("."))) <= 63:
                return Question(self.spelling(name), rng.choice((A, AAAA, SRV, PTR)), self.flags(), ident=rng.getrandbits(16), edns=self.edns())


def framing(rng, family):
    """(fields of the frame, how the checksum is judged, what to count)."""
    fields, counted = {}, []
    if rng.random() < 0.2:
        fields["tags"] = ((rng.choice((packet.ETH_P_8021Q, packet.ETH_P_8021AD)), rng.getrandbits(16)),)
        counted.append("VLAN")
    sport = rng.choice((1, 1024, 65535, rng.randint(1024, 65535), rng.randint(1024, 65535)))
    l4, checksum = {"sport": sport}, "full"
    draw = rng.random()
    if draw < 0.1 and family == 4:
        l4["checksum"] = 0
        counted.append("checksum 0")
    elif draw > 0.9:
        l4["checksum"], checksum = "partial", "partial"
        counted.append("partial checksum")
    fields["l4"] = l4
    if family == 4:
        fields["src"] = "%d.%d.%d.%d" % (rng.choice((10, 100, 172, 192, 203)), *(rng.randrange(256) for _ in range(3)))
        fields["ip"] = {"ident": rng.getrandbits(16), "ttl": rng.randint(1, 255), "tos": rng.getrandbits(8), "fragment": rng.choice((0, 0x4000))}
    else:
        fields["src"] = "fd00:%x:%x::%x" % tuple(rng.getrandbits(16) for _ in range(3))
        fields["ip"] = {"hops": rng.randint(1, 255), "flow": rng.getrandbits(20), "traffic": rng.getrandbits(8)}
    return fields, checksum, counted


class Run:
    def __init__(self, rng, zone, counts, lengths):
        self.rng, self.zone = rng, zone
        made = RandomCluster(rng, zone)
        made.fill()
        made.climb()
        self.objects = made.objects
        self.oracle = oracle.Oracle(self.objects, zone)
        self.questions = Questions(rng, self.oracle)
        self.counts, self.lengths = counts, lengths
        self.failures = []
        self.verdicts = collections.Counter()
        self.xdp_programs = {}

    def open(self, running):
        self.xdp_programs = xdp.programs(running)

    def run(self, running, hook, data, ifindex):
        """(TC's or XDP's code for an answer, its code for what passes, the code, the frame afterwards)."""
        if hook == "tc":
            return bpf.TC_ACT_REDIRECT, bpf.TC_ACT_UNSPEC, *running.tc.run(data, ifindex)
        return bpf.XDP_TX, bpf.XDP_PASS, *self.xdp_programs[hook].run(data, ifindex)

    def check(self, question, name, data, out, checksum, limit):
        wire = packet.check_answer_frame(data, out, checksum)
        return message.check_answer(question, wire, self.oracle.names[name], limit, zone=self.zone), wire

    def ask(self, running, kind, name=None):
        """One question of this kind; of this name where one is given. True: it was answered."""
        rng = self.rng
        family = rng.choice((4, 6))
        mtu = MTUS[rng.random() < 0.2]
        if kind == "unknown":
            question = self.questions.unknown()
        elif name is None:
            name, question = self.questions.question(kind)
        else:
            question = Question(self.questions.spelling(name), self.questions.qtype(kind, name), ident=rng.getrandbits(16))
        fields, checksum, counted = framing(rng, family)
        data = packet.query_frame(question.wire(), family, **fields)
        hook = rng.choice(("tc", *self.xdp_programs))
        answered, passed, code, out = self.run(running, hook, data, running.pods[mtu].ifindex)
        limit = question.limit(family, mtu)
        if code == passed:
            self.check_passed(kind, name, question, limit, data, out, hook)
            return False
        checksum = checksum if hook == "tc" else "full"  # nobody completes it behind XDP
        try:
            if code != answered or kind == "unknown":
                raise AssertionError("return code %d" % code)
            verdict, wire = self.check(question, name, data, out, checksum, limit)
        except AssertionError as e:
            self.failures.append("%s: %s type %d IPv%d limit %d %s: %s\nquery %s\nanswer %s" % (
                hook, name, question.qtype, family, limit, question.edns, e, data.hex(), out.hex()))
            return False
        self.verdicts[verdict] += 1
        self.lengths[len(question.name_wire)] += 1
        self.counts.update([kind if verdict != "nodata" else "NODATA", "IPv%d" % family, "EDNS" if question.edns else "no EDNS",
                            hook, *counted, *self.traits(question, name, verdict, wire)])
        return True

    def traits(self, question, name, verdict, wire):
        if question.edns and question.edns.options:
            yield "COOKIE"
        if question.name_wire != message.name_wire(name):
            yield "0x20"
        if verdict == "truncated":
            yield "truncated"
            if question.qtype == SRV:
                yield "glue dropped" if int.from_bytes(wire[6:8], "big") == len(self.oracle.names[name].srv) else "SRV dropped"

    def check_passed(self, kind, name, question, limit, data, out, hook):
        self.counts["passed"] += 1
        self.verdicts["passed" if hook == "tc" else "passed by XDP"] += 1
        if out != data:
            self.failures.append("%s: passed but changed: %s" % (hook, data.hex()))
        elif kind != "unknown":
            size = message.full_len(question, self.oracle.names[name])
            if hook != "tc" and self.has_no_room(question, size, limit, len(data), hook):
                self.counts[hook + ", no room"] += 1
            elif size <= min(limit, MESSAGE_MAX) or (limit <= MESSAGE_MAX and question.qtype != PTR):
                self.failures.append("%s type %d passed: %d octets, limit %d" % (name, question.qtype, size, limit))

    @staticmethod
    def has_no_room(question, size, limit, query_len, hook):
        """XDP may have passed it for want of room. A truncated answer is at most a record shorter than its limit."""
        longest = min(size, limit, MESSAGE_MAX)
        return not xdp.has_room(hook, query_len, query_len + longest - len(question.wire()))

    def every_length(self, running):
        """Each length of name once, whatever chance says."""
        by_length = {}
        for name in self.questions.names:
            by_length.setdefault(wire_len(name), []).append(name)
        for length in sorted(set(by_length) - set(self.lengths)):
            name = self.rng.choice(by_length[length])
            self.ask(running, "PTR" if self.oracle.names[name].is_reverse else "NODATA", name)


def run_zone(tap_, rng, zone, wanted, counts, lengths):
    run = Run(rng, zone, counts, lengths)
    started = time.monotonic()
    with node.Node(run.objects, ["--zone", zone], mtus=MTUS) as running:
        run.open(running)
        before = running.counters.read()
        answered = 0
        while answered < wanted and len(run.failures) < 50:
            is_unknown = rng.random() < 0.05
            answered += run.ask(running, "unknown" if is_unknown else run.questions.kind())
        run.every_length(running)
        moved = {name: count - before[name] for name, count in running.counters.read().items()}
    tap_.note("zone %s: %d objects, %d names, %d answers in %.1f s" % (
        zone, len(run.objects), len(run.oracle.names), sum(run.verdicts[name] for name in node.ANSWERS), time.monotonic() - started))
    tap_.none_of(run.failures, "zone %s: every answer is whole and right, everything else passes unchanged" % zone)
    counted = {name: moved[name] for name in node.ANSWERS}
    counted["passed"] = sum(moved.values()) - sum(counted.values())
    tap_.equal(counted, {name: run.verdicts[name] for name in (*node.ANSWERS, "passed")}, "zone %s: the counters say the same" % zone)


def main(tap_):
    seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
    tap_.note("SEED=%d" % seed)
    counts, lengths = collections.Counter(), collections.Counter()
    for number, zone in enumerate(ZONES):
        run_zone(tap_, random.Random("%d %s" % (seed, zone)), zone, ANSWERS // len(ZONES) + (number == 0), counts, lengths)
    answers = counts["IPv4"] + counts["IPv6"]
    tap_.ok(answers >= min(ANSWERS, 50000), "%d answers were checked in full" % answers)
    tap_.note("no room: %s" % {trait: count for trait, count in counts.items() if "no room" in trait})
    for trait, least in LEAST.items():
        if trait in XDP_HOOKS and not any(counts[hook] for hook in XDP_HOOKS):
            tap_.skip("answers by %s" % trait, "Linux 5.15 runs XDP programs as on an interface")
            continue
        least = least * ANSWERS // 52000
        tap_.ok(counts[trait] >= least, "at least %d: %s (%d)" % (least, trait, counts[trait]))
    missing = sorted(set(range(SHORTEST, NAME_MAX + 1)) - set(lengths))
    tap_.ok(not missing, "names of every length from %d to %d octets were answered" % (SHORTEST, NAME_MAX), missing)


if __name__ == "__main__":
    node.enter_namespaces()
    tap.run(main)
