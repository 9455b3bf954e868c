#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
What the agent's container needs: memory charged to a control group that holds the agent alone, BPF maps included, for clusters of
several sizes; at the most while it starts, when all is loaded, and at the most while a twice as large generation is filled beside the
one in use. SIZES="100 1000" asks for other sizes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "kube")]

import node
import scale
import tap

SIZES = [int(x) for x in os.environ.get("SIZES", "100 1000 5000 10000").split()]
LIMIT_MIB = 512  # deploy/kubernetes/base/daemonset.yaml, deploy/systemd/nodens.service
GROWS_WITHIN_S = 120
MIB = 1 << 20


class Group:
	"""A control group with the memory controller, of version 1 or 2. Use with `with`."""

	def __init__(self, name):
		root = Path("/sys/fs/cgroup/memory")
		self.is_v1 = (root / "memory.max_usage_in_bytes").exists()
		self.path = (root if self.is_v1 else Path("/sys/fs/cgroup")) / name
		self.peak_file = "memory.max_usage_in_bytes" if self.is_v1 else "memory.peak"

	def __enter__(self):
		self.path.mkdir()
		return self

	def __exit__(self, *_):
		self.path.rmdir()

	def enter(self):
		(self.path / "cgroup.procs").write_text(str(os.getpid()))

	def _read(self, name):
		return int((self.path / name).read_text()) / MIB

	def peak(self):
		return self._read(self.peak_file)

	def usage(self):
		return self._read("memory.usage_in_bytes" if self.is_v1 else "memory.current")


class GroupedNode(node.Node):
	def __init__(self, objects, group):
		super().__init__(objects)
		self.group = group

	def before_exec(self):  # hides the class's
		node._die_with_parent()
		self.group.enter()

	def status(self):
		return json.loads(subprocess.run([node.binary(), "status", "-o", "json", "--bpffs", self.dir], stdout=subprocess.PIPE, check=False).stdout)


def with_address(item, service):
	"""What the API server adds to a Service that is not headless."""
	if item["kind"] == "Service":
		item["spec"].setdefault("clusterIP", "10.96.%d.%d" % (service >> 8 & 0xFF, service & 0xFF))
	return item


def objects_of(services):
	return [with_address(item, service) for service in range(services) for item in scale.objects_of(service)]


def measure(t, services):
	with Group("nodens-memory-%d" % os.getpid()) as group, GroupedNode(objects_of(services), group) as running:
		first, peak, usage = running.status(), group.peak(), group.usage()
		running.write(objects_of(2 * services))
		node.wait_until(lambda: running.status()["services"] >= 2 * services, "the larger state", GROWS_WITHIN_S)
		second, grown_peak, grown_usage = running.status(), group.peak(), group.usage()
		for found, most, now in ((first, peak, usage), (second, grown_peak, grown_usage)):
			t.note("%6d services, %6d endpoints, %6d names (%d have no room): %4.0f MiB of maps; container %4.0f MiB, at the most %4.0f MiB" % (
				found["services"], found["endpoints"], found["names"], found["unfit_names"], found["map_bytes"] / MIB, now, most))
		t.ok(grown_peak < LIMIT_MIB, "twice %d services fit into a container of %d MiB" % (services, LIMIT_MIB), "%.0f MiB" % grown_peak)


def main(t):
	for services in SIZES:
		measure(t, services)


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
