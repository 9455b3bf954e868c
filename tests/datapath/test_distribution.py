#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
The order of addresses is fresh for each query, and a truncated answer is a fresh part of all: every record equally often
first, every record equally often in. A number of runs that is always the same; each assertion fails by chance once in a
million runs of something right (stats.FALSE_ALARM, shared among the values it looks at). TC and XDP take turns.
"""

import collections
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import cluster
import message
import node
import oracle
import packet
import stats
import tap
import xdp
from message import A, AAAA, Edns, Question

ORDER_RUNS = 30000
CUT_RUNS = 20000
CHECKED_EACH = 500  # every so many answers are read by dnspython too

SIX = ["10.1.0.%d" % i for i in range(1, 4)], ["fd00:1::%x" % i for i in range(1, 4)]
BIG = ["10.2.%d.%d" % divmod(i, 200) for i in range(400)]
OBJECTS = [
    *cluster.headless("t", "few", [cluster.endpoint(address) for address in itertools.chain(*SIX)]),
    *cluster.headless("t", "big", [cluster.endpoint(address) for address in BIG]),
]


class Runs:
    """Answers to one question, their addresses in order, read at fixed offsets."""

    def __init__(self, node_, question, entry, limit):
        self.node, self.question, self.entry, self.limit = node_, question, entry, limit
        self.hooks = [(node_.tc, bpf.TC_ACT_REDIRECT)]
        if xdp.can_run(node_.xdp):
            self.hooks.append((node_.xdp, bpf.XDP_TX))
        self.frame = packet.query_frame(question.wire())
        self.start = packet.ETH_LEN + packet.IPV4_LEN + packet.UDP_LEN + message.HEADER_LEN + len(question.question_wire())
        self.step, self.address = (16, 4) if question.qtype == A else (28, 16)

    def __call__(self, count):
        for number in range(count):
            program, answered = self.hooks[number % len(self.hooks)]
            code, out = program.run(self.frame, self.node.ifindex)
            assert code == answered, code
            if number % CHECKED_EACH == 0:
                message.check_answer(self.question, packet.check_answer_frame(self.frame, out), self.entry, self.limit)
            records = int.from_bytes(out[self.start - len(self.question.question_wire()) - 6 :][:2], "big")
            ends = [self.start + self.step * (i + 1) for i in range(records)]
            yield tuple(out[end - self.address : end] for end in ends)


def check_order(tap_, running, qtype):
    question = Question("few.t.svc.cluster.local", qtype)
    entry = oracle.Oracle(OBJECTS).find("few.t.svc.cluster.local")
    orders = collections.Counter(Runs(running, question, entry, 512)(ORDER_RUNS))
    first = collections.Counter()
    for order, count in orders.items():
        first[order[0]] += count
    p = stats.chi_squared_p(list(first.values()))
    name = "A" if qtype == A else "AAAA"
    tap_.note("%s: first %s, p = %.3g; %d orders" % (name, sorted(first.values()), p, len(orders)))
    tap_.ok(len(first) == 3 and p > stats.FALSE_ALARM, "each of three %s is first equally often" % name, first)
    some = next(iter(orders))
    rotations = {some[i:] + some[:i] for i in range(3)}
    tap_.ok(rotations <= set(orders), "every rotation of three %s is seen" % name, orders)
    uneven = stats.chi_squared_p([orders[order] for order in sorted(orders)])
    tap_.ok(uneven > stats.FALSE_ALARM, "each order of three %s that is seen is seen equally often" % name, orders)
    check_fresh(tap_, running, question, entry, name)


def check_fresh(tap_, running, question, entry, name):
    """Who is first does not depend on who was first before: all nine pairs equally often."""
    firsts = [order[0] for order in Runs(running, question, entry, 512)(ORDER_RUNS)]
    pairs = collections.Counter(zip(firsts[::2], firsts[1::2]))
    p = stats.chi_squared_p([pairs[a, b] for a in set(firsts) for b in set(firsts)])
    tap_.ok(p > stats.FALSE_ALARM, "the order of %s is fresh for each query" % name, "p = %g: %s" % (p, pairs))


def check_cut(tap_, running, size):
    question = Question("big.t.svc.cluster.local", A, edns=Edns(size) if size else None)
    entry = oracle.Oracle(OBJECTS).find("big.t.svc.cluster.local")
    taken, first = collections.Counter(), collections.Counter()
    sizes = set()
    for addresses in Runs(running, question, entry, question.limit(4, 1500))(CUT_RUNS):
        taken.update(addresses)
        first[addresses[0]] += 1
        sizes.add(len(addresses))
    what = "truncated to %s" % (size or "512 without an OPT")
    tap_.ok(len(sizes) == 1, what + ": always as many records", sizes)
    share = sizes.pop() / len(BIG)
    keys = [packet.pack_address(address) for address in BIG]
    least, most = (extreme(taken[key] for key in keys) for extreme in (min, max))
    p = len(keys) * min(stats.binomial_p(count, CUT_RUNS, share) for count in (least, most))
    tap_.note("%s: %d of 400, each in %d to %d of %d answers, worst p = %.3g" % (
        what, round(share * len(BIG)), least, most, CUT_RUNS, p))
    tap_.ok(p > stats.FALSE_ALARM, what + ": every record is in equally often", "worst p = %g" % p)
    p = stats.chi_squared_p([first[key] for key in keys])
    tap_.ok(p > stats.FALSE_ALARM, what + ": every record is first equally often", "p = %g" % p)


def check_statistics(tap_):
    """What judges must be right itself: known values, and unevenness that it must see."""
    tap_.ok(abs(stats.gamma_upper(1, 5) - 0.006737946999085467) < 1e-12, "the chi-squared tail of 2 degrees at 10")
    tap_.ok(abs(stats.gamma_upper(199.5, 199.5) - 0.4906) < 1e-3, "the chi-squared tail of 399 degrees at 399")
    tap_.ok(abs(stats.binomial_p(0, 10, 0.5) - 2 / 1024) < 1e-12, "the binomial tail")
    tap_.ok(stats.chi_squared_p([10000, 10000, 10700]) < stats.FALSE_ALARM < stats.chi_squared_p([10000, 10050, 9950]),
        "three records of which one is first 7 % more often are seen as uneven")


def main(tap_):
    check_statistics(tap_)
    with node.Node(OBJECTS) as running:
        check_order(tap_, running, A)
        check_order(tap_, running, AAAA)
        check_cut(tap_, running, None)
        check_cut(tap_, running, 1232)


if __name__ == "__main__":
    node.enter_namespaces()
    tap.run(main)
