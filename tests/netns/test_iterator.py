#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 300
"""
`cat DIR/current/records`: the lines of `nodens records` by the kernel alone, at most 3.5 KiB of them for a name; also with the
agent dead, and while records change. SEED=n repeats a run.
"""

import ipaddress
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import cluster
import node
import packet
import tap
from message import Question
from randomcluster import RandomCluster

NAME_TEXT_MAX = 3584
ZONE = r"cluster.local"
# A zone may have any octet in it.
ODD_ZONE = r"o\.d\"d.\007\032\255x"
UPDATES = 300 if os.environ.get("LONG") == "1" else 60
LINE = re.compile(r"""(?P<owner>\S+)\ \d+\ IN\ (A\ \d+\.\d+\.\d+\.\d+|AAAA\ [0-9a-f:.]+|SRV\ \d+\ \d+\ \d+\ \S+\.|PTR\ \S+\.)
    |;\ (?P<told>\S+)\ (is|and\ all\ names|has\ more|(A|AAAA|SRV|PTR)\ is)\ .*|;\ (?P<more>\d+)\ more""", re.VERBOSE)


def cat(running):
    done = subprocess.run(["cat", running.dir / "current" / "records"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    return done.stdout.decode("ascii")


def read_on(fd, size):
    """All that is left, by reads of at most `size` octets."""
    pieces = []
    while piece := os.read(fd, size):
        pieces.append(piece)
    os.close(fd)
    return b"".join(pieces).decode("ascii")


def blocks(text):
    """{owner: its lines}, in the order in which they stand. A line "; N more" belongs to the name before."""
    found, owner = {}, None
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        assert match, "no such line: %r" % line
        if not match["more"]:
            owner = match["owner"] or match["told"]
        found.setdefault(owner, []).append(line)
    return found


def records(running):
    """What `nodens records` says of the loaded maps, without its zones."""
    done = subprocess.run([node.binary(), "records", "--bpffs", running.dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return blocks("".join(line + "\n" for line in done.stdout.splitlines()
                          if line and not line.startswith(("$", "; zone")) and not line.endswith("; synthetic")))


def cut(lines):
    """The first 3.5 KiB of a name, whole lines, and how many records are left."""
    kept, used = [], 0
    for line in lines:
        used += len(line) + 1
        if used > NAME_TEXT_MAX:
            break
        kept.append(line)
    left = sum(not line.startswith(";") for line in lines[len(kept):])
    # A comment that no longer fits is no record.
    return kept + ["; %d more" % left] if left else kept


def odd_addresses():
    """IPv6 addresses with runs of zeros of every length, anywhere, as an API server has them: canonical, unicast."""
    rng = random.Random(6)
    words = [[0 if run >> i & 1 else rng.choice((1, 0xA, 0x10, 0x100, 0x1000, 0xFEED)) for i in range(8)] for run in range(254)]
    addresses = {ipaddress.IPv6Address(b"".join(word.to_bytes(2, "big") for word in address)) for address in words}
    # Not IPv4 in disguise, which no service has.
    return sorted(str(address) for address in addresses if address.packed[:12] != bytes(12))


def objects(rng, zone):
    made = RandomCluster(rng, zone)
    made.fill()
    return [*made.objects,
        # A service each, as so many are cut.
        *[o for number, address in enumerate(odd_addresses()) for o in cluster.headless("odd", "a%d" % number, [cluster.endpoint(address)])],
        *cluster.headless("odd", "many", [cluster.endpoint("10.9.%d.%d" % divmod(i, 250)) for i in range(400)]),
        *cluster.headless("odd", "dual", [cluster.endpoint("10.8.0.%d" % i, hostname="h-%d" % i) for i in range(1, 50)]
                          + [cluster.endpoint("fd00:8::%x" % i, hostname="h-%d" % i) for i in range(1, 50)]),
        *cluster.headless("odd", "shared", [cluster.endpoint("10.7.0.1", hostname="h-%d" % i) for i in range(60)]),
        *cluster.headless("odd", "broken", [cluster.endpoint("010.1.6.1"), *[cluster.endpoint("10.6.0.%d" % i) for i in range(1, 9)]]),
        cluster.external_name("odd", "external", "www.example.com")]


def compare(got, want):
    failures = ["%s is in one of both only" % owner for owner in set(got) ^ set(want)]
    failures += ["%s:\n%s\nwant\n%s" % (owner, "\n".join(got[owner]), "\n".join(cut(want[owner])))
                 for owner in set(got) & set(want) if got[owner] != cut(want[owner])]
    return failures


def check_equal(t, rng, zone):
    with node.Node(objects(rng, zone), ["--zone", zone]) as running:
        text, want = cat(running), records(running)
        got = blocks(text)
        cut_names = sum(lines[-1].endswith(" more") for lines in got.values())
        notes = sum(line.startswith("; ") and not line.endswith(" more") for lines in got.values() for line in lines)
        six = {line.split()[-1] for lines in got.values() for line in lines if " IN AAAA " in line}
        t.note("zone %s: %d names, %d lines, %d cut, %d comments, %d IPv6 addresses" % (zone, len(got), len(text.splitlines()), cut_names, notes, len(six)))
        missing = set(map(ipaddress.IPv6Address, odd_addresses())) - set(map(ipaddress.IPv6Address, six))
        t.ok(not missing, "zone %s: runs of zeros of every length were among the addresses" % zone, missing)
        t.none_of(compare(got, want), "zone %s: every line is that of `nodens records`" % zone)
        t.ok(len(want) > 500 and cut_names >= 3 and notes >= 5, "zone %s: names that are cut and passed were among them" % zone, len(want))
        t.ok(read_on(os.open(running.dir / "current" / "records", os.O_RDONLY), 61) == text, "zone %s: in small pieces it is the same" % zone)
        begun = os.open(running.dir / "current" / "records", os.O_RDONLY)
        head = os.read(begun, 61).decode("ascii")
        running.kill()
        t.ok(cat(running) == text, "zone %s: with the agent dead the same can be read" % zone)
        running.restart()
        t.ok(head + read_on(begun, 4096) == text, "zone %s: who began to read one generation ends with it, also when another one is there" % zone)


# ---- while records change ----


def version(number):
    """Every name there changes with each version, in length too."""
    few = 1 + number % 250 % 7
    return [o for service in range(200) for o in cluster.headless("c", "s%03d" % service, [
        cluster.endpoint("10.%d.%d.%d" % (number % 250, service, i)) for i in range(1, few + 1)])]


class Reader(threading.Thread):
    """Reads again and again. Every name must be whole and of one version."""

    def __init__(self, running):
        super().__init__(daemon=True)
        self.running, self.is_ending = running, threading.Event()
        self.reads, self.failures, self.versions = 0, [], set()

    def run(self):
        while not self.is_ending.is_set() and len(self.failures) < 5:
            try:
                self.read()
            except (AssertionError, OSError) as e:
                self.failures.append(str(e))

    def read(self):
        found = blocks(cat(self.running))
        self.reads += 1
        for service in range(200):
            lines = found.get("s%03d.c.svc.cluster.local." % service, [])
            addresses = [line.split()[-1] for line in lines if " IN A " in line]
            numbers = {int(address.split(".")[1]) for address in addresses}
            want = ["10.%d.%d.%d" % (number, service, i) for number in numbers for i in range(1, 2 + number % 7)]
            if len(numbers) != 1 or sorted(addresses) != sorted(want):
                self.failures.append("s%03d: %s" % (service, lines))
                return
            self.versions |= numbers


def second_octet(running, query):
    """Of the last address in the live generation's answer."""
    program = bpf.Program(running.dir / "current" / "tc")
    try:
        return program.run(query, running.ifindex)[1][-3]
    finally:
        program.close()


def check_changing(t):
    with node.Node(version(6)) as running:
        readers = [Reader(running) for _ in range(3)]
        for reader in readers:
            reader.start()
        ask = packet.query_frame(Question("s000.c.svc.cluster.local").wire())

        def has_seen_enough():
            return all(r.reads >= 3 for r in readers) and len(set().union(*(r.versions for r in readers))) >= 10

        number, began = 7, time.monotonic()
        while number < UPDATES or not has_seen_enough() and time.monotonic() - began < node.READY_WITHIN_S:
            running.write(version(number))
            node.wait_until(lambda: second_octet(running, ask) == number % 250, "version %d" % number)
            number += 1
        for reader in readers:
            reader.is_ending.set()
            reader.join(30)
        t.note("%d reads, %d versions seen during %d updates" % (
            sum(r.reads for r in readers), len(set().union(*(r.versions for r in readers))), number))
        t.none_of([failure for reader in readers for failure in reader.failures],
            "three readers at once, while all records change: every name is whole and of one version")
        t.ok(has_seen_enough(), "they read while records changed")


# ---- without iterators ----


def status(running, *arguments):
    return subprocess.run([node.binary(), "status", "--bpffs", running.dir, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def check_absent(t):
    """A kernel without BTF, as far as user space can tell."""
    subprocess.run(["mount", "-t", "tmpfs", "nodens-test", "/sys/kernel/btf"], check=True)
    try:
        with node.Node(version(3)) as running:
            ask = packet.query_frame(Question("s000.c.svc.cluster.local").wire())
            t.equal(running.ask(ask)[0], "answered", "without the kernel's types the agent answers")
            t.ok(not (running.dir / "current" / "records").exists(), "and there are no records to read")
            note = json.loads(status(running, "-o", "json"))["records_note"]
            t.ok("/sys/kernel/btf/vmlinux" in note, "and the status tells why", note)
            t.ok(status(running).count(note) == 1, "once, to people too", status(running))
    finally:
        subprocess.run(["umount", "/sys/kernel/btf"], check=True)


def main(t):
    seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
    t.note("SEED=%d" % seed)
    if not Path("/sys/kernel/btf/vmlinux").exists():
        t.skip("iterators", "this kernel has no types of its own")
        return
    for zone in (ZONE, ODD_ZONE):
        check_equal(t, random.Random("%d %s" % (seed, zone)), zone)
    check_changing(t)
    check_absent(t)


if __name__ == "__main__":
    node.enter_namespaces()
    tap.run(main)
