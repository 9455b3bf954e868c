#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 600
"""
Fuzz targets under address and undefined behaviour sanitizers. Normally each runs its corpus once; with LONG=1 or FUZZ_SECONDS=n
libFuzzer goes on from there for as many seconds. What it finds is left in $BUILD/fuzz/crashes, with the command that runs it again.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))

import tap  # noqa: E402

BUILD = Path(os.environ.get("BUILD", "build"))
TARGETS = os.environ.get("FUZZ_TARGETS", "packet objects kubeconfig text http").split()
SECONDS = int(os.environ.get("FUZZ_SECONDS") or (15 if os.environ.get("LONG") == "1" else 0))
MAX_LEN = {"packet": 900, "objects": 6000, "kubeconfig": 3000, "text": 700, "http": 3000}
# Inputs that each target ran at least, in a corpus that is whole.
LEAST = {"packet": 200, "objects": 80, "kubeconfig": 40, "text": 100, "http": 20}
SHOWN_LINES = 40


def corpus(target):
    return ROOT / "tests/fuzz/corpus" / target


def run(command, limit_s):
    """(exit status, what it said); a run that does not end has failed."""
    environment = dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1", ASAN_OPTIONS="detect_leaks=1:abort_on_error=0")
    try:
        done = subprocess.run(["nice", *map(str, command)], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=limit_s)
    except subprocess.TimeoutExpired as e:
        return None, (e.stdout or b"").decode("utf-8", "replace") + "\nnot ended within %d s" % limit_s
    return done.returncode, done.stdout.decode("utf-8", "replace")


def tail(text):
    return "\n".join(text.splitlines()[-SHOWN_LINES:])


def replay(tap_, target):
    program = BUILD / "san/tests/fuzz" / target
    if not (ROOT / program).exists():
        tap_.ok(False, "%s is built" % target, "make BUILD=%s check-fuzz builds %s" % (BUILD, program))
        return
    status, said = run([program, corpus(target)], 60)
    ran = re.search(r"^(\d+) inputs$", said, re.MULTILINE)
    tap_.ok(status == 0 and ran and int(ran.group(1)) >= LEAST[target],
            "%s: the %s inputs of its corpus" % (target, ran.group(1) if ran else "?"), tail(said))


def fuzz(tap_, target):
    program = BUILD / "fuzz" / target
    crashes, grown = (ROOT / BUILD / "fuzz" / name / target for name in ("crashes", "grown"))
    if not (ROOT / program).exists():
        tap_.ok(False, "%s is built" % target, "make BUILD=%s fuzz-programs builds %s" % (BUILD, program))
        return
    for folder in (crashes, grown):
        folder.mkdir(parents=True, exist_ok=True)
    words = ROOT / "tests/fuzz" / (target + ".dict")
    command = [program, "-max_total_time=%d" % SECONDS, "-max_len=%d" % MAX_LEN[target], "-timeout=60", "-rss_limit_mb=1024",
               "-print_final_stats=1", "-artifact_prefix=%s/" % crashes, *(["-dict=%s" % words] if words.exists() else []), grown, corpus(target)]
    status, said = run(command, SECONDS + 90)
    found = re.findall(r"Test unit written to (\S+)", said)
    runs, speed = (re.search(r"stat::%s:\s+(\d+)" % what, said) for what in ("number_of_executed_units", "average_exec_per_sec"))
    edges, reached = re.search(r"(\d+) inline 8-bit counters", said), re.findall(r"\bcov: (\d+)", said)
    if runs:
        tap_.note("%s: %s inputs in %d s, %s a second, %s of %s edges; %s" % (
            target, runs.group(1), SECONDS, speed.group(1), reached[-1] if reached else "?", edges.group(1), "; ".join(re.findall(r"Seed: \d+", said))))
    again = "\nagain: %s %s" % (program, found[0]) if found else ""
    tap_.ok(status == 0 and runs and int(runs.group(1)) >= LEAST[target], "%s: %d s of fuzzing" % (target, SECONDS), tail(said) + again)


def main(tap_):
    for target in TARGETS:
        (fuzz if SECONDS else replay)(tap_, target)


if __name__ == "__main__":
    tap.run(main)
