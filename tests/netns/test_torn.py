#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 900 1600
# alone
"""
Torn reads: names are rewritten at full speed while a reader in a pod asks for them over a veth. Every answer is one version
of its name, whole; none is lost and none passed on. Two faulty builds show that the test would see it: one that gives units
out again without a grace period, one that writes over live blobs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import node
import packet
import podnet
import tap

LONG = os.environ.get("LONG") == "1"
TOOLS = Path(os.environ.get("BUILD", "build")) / "tests/tools"
SLACK_S = 20

# (what, answers, seconds at most, names, fewest and most records, pages). With two CPUs and nothing else to do a tenth of that time is enough.
VARIED = ("64 names of 1 to 40 records", 10_000_000 if LONG else 4_000_000, 600 if LONG else 300, 64, 1, 40, 16)
# Large blobs of one size class, few of them: a reader is long in a blob that is about to be reused.
HOT = ("4 names of 193 to 200 records", 2_500_000 if LONG else 1_000_000, 400 if LONG else 200, 4, 193, 200, 2)
FAULT_ANSWERS, FAULT_SECONDS = 10_000_000, 120  # at most: it ends with the first wrong ones


class Runs:
	"""Runs the tool again and again on one veth."""

	def __init__(self, scratch, pod):
		self.scratch, self.pod, self.count = scratch, pod, 0

	def __call__(self, tool, answers, seconds, names, fewest, most, pages):
		self.count += 1
		command = [TOOLS / tool, self.scratch.path / "bpf" / ("torn%d" % self.count), self.pod.name, podnet.net_path(self.pod),
			   packet.SERVER4, answers, seconds, names, fewest, most, pages]
		done = subprocess.run(list(map(str, command)), cwd=node.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
				      check=False, timeout=seconds + SLACK_S)
		assert done.returncode == 0, done.stderr
		return json.loads(done.stdout)


def describe(result):
	rates = {name: "%.0f k/s" % (result[name] / max(1, result["ms"])) for name in ("answers", "updates")}
	return "%s (%s, %s)" % (", ".join("%s %s" % pair for pair in result.items() if pair[1] != ""), rates["answers"], rates["updates"])


def check_sound(tap_, runs, what, answers, seconds, *shape):
	result = runs("torn", answers, seconds, *shape)
	tap_.note("%s: %s" % (what, describe(result)))
	tap_.ok(result["answers"] >= answers, "%s: %d answers within %d s" % (what, answers, seconds), result)
	tap_.ok(result["wrong"] == 0, "%s: no answer is wrong" % what, result)
	tap_.ok(result["checksum_errors"] == 0, "%s: no answer has a wrong checksum" % what, result)
	tap_.ok(result["lost"] == 0 and result["passed"] == 0, "%s: no query is lost or passed on" % what, result)
	tap_.ok(result["updates"] > 10_000, "%s: names were rewritten all the time" % what, result)
	tap_.ok(result["grace_periods"] >= 10 and result["quarantined_most"] > 0 and result["reused"] > 1000,
		"%s: blobs went through quarantine and grace periods and were reused" % what, result)
	tap_.ok(result["updates"] - result["retired"] in range(-result["updates"] // 100, result["updates"] // 100 + 1),
		"%s: each version that was replaced was retired" % what, result)
	return result


def check_fault(tap_, runs, tool, what):
	if len(os.sched_getaffinity(0)) < 2:
		tap_.skip("%s: wrong answers are seen" % what, "on one CPU nothing is written while it is read")
		return
	_, _, _, *shape = HOT
	result = runs(tool, FAULT_ANSWERS, FAULT_SECONDS, *shape)
	tap_.note("%s: %s" % (what, describe(result)))
	tap_.ok(result["wrong"] > 0, "%s: wrong answers are seen" % what, result)


def main(tap_):
	node.enter_namespaces()
	scratch = node.Scratch()
	pod = node.Pod(9000)
	try:
		podnet.configure(pod)
		# What is passed on must not be answered by anybody, not by an ICMP message either.
		podnet.run("ip address del %s/32 dev lo" % packet.SERVER4)
		podnet.run("ip route add blackhole %s/32" % packet.SERVER4)
		runs = Runs(scratch, pod)
		check_fault(tap_, runs, "torn-rewrite-live", "a build that rewrites live blobs")
		check_fault(tap_, runs, "torn-no-grace", "a build without grace periods")
		answers = sum(check_sound(tap_, runs, *plan)["answers"] for plan in (VARIED, HOT))
		tap_.ok(answers >= 5_000_000, "five million answers", answers)
	finally:
		pod.remove()


if __name__ == "__main__":
	tap.run(main)
