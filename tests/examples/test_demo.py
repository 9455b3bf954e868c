#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo` as a user sees it: it ends by itself in less than a minute and shows what it promises."""
# timeout: 130 130
# alone

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib")]

import tap

LIMIT_S = 60


def sections(text):
    """{first words of the headline: text below it}."""
    parts = re.split(r"^== (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def section(found, beginning):
    return next((body for head, body in found.items() if head.startswith(beginning)), "")


def reached(text):
    return [int(x) for x in re.findall(r"reached the upstream: (\d+)$", text, re.MULTILINE)]


def row(text, name):
    found = re.search(rf"^ *{re.escape(name)} +(\d+) +(\d+)$", text, re.MULTILINE)
    assert found, f"no row {name!r} in\n{text}"
    return int(found.group(1)), int(found.group(2))


def main(t):
    started = time.monotonic()
    done = subprocess.run([ROOT / "demo/demo.sh"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    took_s = time.monotonic() - started
    found = sections(done.stdout)
    t.ok(done.returncode == 0, "the demo ends with success", done.stdout[-3000:] + done.stderr[-3000:])
    t.ok(took_s < LIMIT_S, f"the demo ends within {LIMIT_S} s", f"{took_s:.1f} s")
    with t.case("without nodens the query reaches the upstream"):
        assert reached(section(found, "Without nodens"))[0] == 1
    with t.case("A, SRV and NODATA are answered in the kernel"):
        text = section(found, "Answered in the kernel")
        assert reached(text) == [0, 0, 0] and "172.17.0.5" in text and "0 100 5432 postgresql-sfs-0" in text and "SOA" in text, text
    with t.case("a name from outside reaches the upstream and is answered"):
        text = section(found, "Not a name of the cluster")
        assert reached(text) == [1] and "192.0.2.80" in text, text
    with t.case("three addresses after scaling, in each of three answers"):
        text = section(found, "The StatefulSet is scaled")
        assert reached(text) == [0, 0, 0] and len(re.findall(r"\sIN\s+A\s+172\.17\.0\.[578]$", text, re.MULTILINE)) == 9, text
    with t.case("bpftool shows zone, TTL, state, server and verdicts by name"):
        text = section(found, "The same by bpftool")
        for word in ('"zone": "cluster.local"', '"ttl_s": 5', '"gate"', '"address": "10.96.0.10:53"', '"answered"'):
            assert word in text, f"{word} in\n{text}"
    with t.case("lookup shows an answer, and why another name is passed on"):
        text = section(found, "What the agent says")
        assert "172.17.0.8" in text and "not in the index" in text, text
    with t.case("a killed agent: answers at first, then everything passes and is answered"):
        text = section(found, "The agent is killed")
        assert reached(text) == [0, 1] and text.count("172.17.0.5") == 2, text
    with t.case("detach leaves nothing"):
        assert "programs, maps and links left: 0" in section(found, "Removed"), section(found, "Removed")
    with t.case("under load no query is lost and none reaches the upstream"):
        text = section(found, "Figures")
        t.note(text.rstrip())
        assert row(text, "of these unanswered")[1] == 0 and row(text, "of these reached the upstream")[1] == 0, text
        assert row(text, "of these reached the upstream")[0] >= 0.99 * row(text, "queries sent")[0], text


tap.run(main)
