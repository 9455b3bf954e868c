#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 120
# alone
"""The end of an agent that takes its programs off many pods, which the kernel does one by one, with a lock held that others wait for."""

import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import node
import podnet
import tap
from lab import OBJECTS, Lab

PODS, GROUP = 250, 77
SIGTERM_WITHIN_S = 1.0


class DetachingLab(Lab):
	before_exec = staticmethod(node.before_others)


def names():
	return ["i%d" % number for number in range(PODS)]


def add_pods(namespace_of):
	lines = ["link add %s group %d type veth peer name j%d netns %d" % (name, GROUP, number, namespace_of) for number, name in enumerate(names())]
	subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def hooks_of(lab):
	return {entry["name"]: (entry["hook"], entry["ifindex"]) for entry in lab.status()["interfaces"]}


def main(tap_):
	node.enter_namespaces()
	with DetachingLab(OBJECTS, ["--on-exit", "detach"]) as lab:
		add_pods(lab.pod.process.pid)
		node.wait_until(lambda: all(hooks_of(lab).get(name, ("none", 0))[0] != "none" for name in names()), "a program on each of %d pods" % PODS)
		indexes = [hooks_of(lab)[name][1] for name in names()]
		tap_.ok(all(map(bpf.tcx_programs, indexes)), "each of %d pods has a program" % PODS)
		began = time.monotonic()
		code, took_s = node.end_before_others(lab.process)
		tap_.ok(code == 0 and took_s < SIGTERM_WITHIN_S, "--on-exit detach with %d pods: SIGTERM ends the agent within %d s" % (PODS, SIGTERM_WITHIN_S),
			(code, took_s))
		lab._close()
		with tap_.case("and nothing of ours is left, neither pinned nor, once the kernel has had its time for each link, on an interface"):
			assert not lab.dir.exists(), list(lab.dir.rglob("*"))
			node.wait_until(lambda: not any(map(bpf.tcx_programs, indexes)), "the end of all links", 60)
		tap_.note("ended after %.2f s, all off after %.2f s" % (took_s, time.monotonic() - began))
		podnet.run("ip link del group %d" % GROUP)


if __name__ == "__main__":
	tap.run(main)
