#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
10,000 services with 150,000 endpoints in a real API server: how long the agent takes to follow them all, its memory then and
at the most, and what it receives for one change. SERVICES=n and PER_SERVICE=n ask for other sizes.
"""

import os
import re
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lib"), str(Path(__file__).resolve().parent)]

import kubeapi
import node
import podnet
import real_agent
import realkube
import tap

SERVICES = int(os.environ.get("SERVICES", "10000"))
PER_SERVICE = int(os.environ.get("PER_SERVICE", "15"))
NAMESPACES = 50
WRITERS = 4
CHANGES = 200
SETTLED_S = 5  # for the kernel's and the allocator's laggards


def address(number):
	return "10.%d.%d.%d" % (number >> 16 & 0xFF, number >> 8 & 0xFF, number & 0xFF)


def objects_of(service):
	"""One in two headless; a slice as the real controller writes it."""
	metadata = {"namespace": "scale-%d" % (service % NAMESPACES), "name": "service-%d" % service}
	spec = {"ports": [{"name": "http", "port": 80, "targetPort": 8080}], **({"clusterIP": "None"} if service % 2 else {})}
	yield {"kind": "Service", "metadata": metadata, "spec": spec}
	labels = {"kubernetes.io/service-name": metadata["name"], "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
	if service % 2:
		labels["service.kubernetes.io/headless"] = ""
	yield {"kind": "EndpointSlice", "metadata": {**metadata, "name": metadata["name"] + "-abcde", "labels": labels}, "addressType": "IPv4",
		"ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": [{"addresses": [address(service * PER_SERVICE + i)],
			"conditions": {"ready": True, "serving": True, "terminating": False}, "nodeName": "node-%d" % (i % 100), "zone": "zone-a",
			"targetRef": {"kind": "Pod", "namespace": metadata["namespace"], "name": "%s-7d9c5b6f4-%05d" % (metadata["name"], i),
				"uid": "8c20e92a-890d-420e-a9bf-e71bb3b5d1ab"}} for i in range(PER_SERVICE)]}


def create_all(world):
	world.api.create_all(kubeapi.namespace("scale-%d" % number) for number in range(NAMESPACES))
	failures = []

	def write(writer):
		api = world.api.copy()
		try:
			for service in range(writer, SERVICES, WRITERS):
				api.create_all(objects_of(service))
		except Exception as e:  # told by the one who waits
			failures.append(e)
		finally:
			api.close()
	threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
	for thread in threads:
		thread.start()
	for thread in threads:
		thread.join()
	if failures:
		raise failures[0]


def memory_text(pid):
	"""Resident memory at the most and now; of that what is mapped of BPF maps, which the kernel has anyway."""
	fields = dict(line.split(":", 1) for line in Path("/proc/%d/status" % pid).read_text().splitlines())
	mib = {name: int(fields[name].split()[0]) / 1024 for name in ("VmHWM", "VmRSS", "RssAnon")}
	maps, is_map = 0, False
	for line in Path("/proc/%d/smaps" % pid).read_text().splitlines():
		if re.match("[0-9a-f]+-", line):
			is_map = line.endswith("bpf-map")
		elif line.startswith("Rss:") and is_map:
			maps += int(line.split()[1])
	return "resident %.1f MiB (at the most %.1f), of that %.1f allocated and %.1f of mapped BPF maps" % (
		mib["VmRSS"], mib["VmHWM"], mib["RssAnon"], maps / 1024)


def cpu_s(pid):
	fields = Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
	return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def received(running):
	return running.status()["api"]["octets"]


def test_changes(tap_, world, running, round_):
	"""One pod replaced by another in each of many headless services: what watching it costs."""
	items = [item for service in range(1, 2 * CHANGES, 2) for item in objects_of(service) if item["kind"] == "EndpointSlice"]
	before, cpu = received(running), cpu_s(running.process.pid)
	for number, item in enumerate(items):
		item["endpoints"][0]["addresses"] = ["10.200.%d.%d" % (round_, number)]
		world.api.patch(item, {"endpoints": item["endpoints"]})
	running.sync()
	after = received(running)
	tap_.note("%d changes of slices with %d endpoints: %.3f ms of CPU and %d octets received each" % (
		CHANGES, PER_SERVICE, (cpu_s(running.process.pid) - cpu) * 1e3 / CHANGES, (after - before) // CHANGES))


def test_agent(tap_, world, level, round_):
	with real_agent.KubeNode(world, ["--answer", level, "--max-memory", "1Gi"], mtus=(1500,)) as running:
		seconds = time.monotonic() - running.spawned_at
		pid = running.process.pid
		tap_.note("--answer %s: ready after %.2f s, %.2f s of CPU; %s" % (level, seconds, cpu_s(pid), memory_text(pid)))
		running.sync()
		time.sleep(SETTLED_S)
		tap_.note("--answer %s: settled: %s" % (level, memory_text(pid)))
		found = running.status()
		tap_.note("status: %s" % {name: found.get(name) for name in ("names", "map_bytes", "generation", "growths", "unfit_names", "api")})
		tap_.ok(found["unfit_names"] == 0 and found["names"] > SERVICES, "--answer %s: all names are there" % level, found)
		test_changes(tap_, world, running, round_)
		tap_.note("--answer %s: after the changes: %s" % (level, memory_text(pid)))


def main(tap_):
	parts = realkube.parts_or_skip(tap_)
	if parts is None:
		return
	podnet.skip_dad("default")
	with realkube.World(parts, controllers=False) as world:
		world.create_dns_service()
		world.start_coredns()
		began = time.monotonic()
		create_all(world)
		tap_.note("%d services with %d endpoints written in %.0f s" % (SERVICES, SERVICES * PER_SERVICE, time.monotonic() - began))
		for round_, level in enumerate(("services", "headless")):
			test_agent(tap_, world, level, round_)
		tap_.note("CoreDNS: %s" % memory_text(world.processes["coredns"].pid))


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
