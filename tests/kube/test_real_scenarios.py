#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 400 400
"""
The services of tests/data/scenarios through a real API server: their pods are made and told ready, so that the real
controllers write the slices. Then pods become unready, ready, and go; a StatefulSet grows and shrinks; slices are mirrored
from Endpoints. At each step the agent's answers are compared with CoreDNS's.
"""

import contextlib
import dataclasses
import json
import os
import random
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lib"), str(Path(__file__).resolve().parent)]

import kubeapi
import node
import oracle
import packet
import podnet
import real_agent
import real_compare
import real_coredns
import realkube
import tap
from kubeapi import ApiError, bare
from message import A, AAAA

SCENARIOS = node.ROOT / "tests/data/scenarios/all.json"
CONTROLLER = "endpointslice-controller.k8s.io"
MANAGED_BY, SERVICE_NAME = "endpointslice.kubernetes.io/managed-by", "kubernetes.io/service-name"
ZONE = "svc.cluster.local"
# The slice controller gathers changes of a service for a second.
FLIP_WITHIN_S = 60


def key(item):
	return item["metadata"]["namespace"], item["metadata"]["name"]


def records(items):
	"""{name: its records, in no order}."""
	return {name: [sorted(field) if isinstance(field, list) else field for field in dataclasses.astuple(entry)]
		for name, entry in oracle.Oracle(items).names.items()}


class Scenario:
	"""Objects as recorded, taken apart into what a user writes: Services, pods, and slices that no controller wrote."""

	def __init__(self, items):
		self.items = items
		own = [item for item in items if key(item) != ("default", "kubernetes")]  # the server's own
		self.services = {key(item): bare(item) for item in own if item["kind"] == "Service"}
		slices = [item for item in own if item["kind"] == "EndpointSlice"]
		self.hand_made = [bare(item) for item in slices if item["metadata"]["labels"].get(MANAGED_BY) != CONTROLLER]
		self.pods, self.statuses = {}, {}
		for item in slices:
			if item["metadata"]["labels"].get(MANAGED_BY) == CONTROLLER:
				self._take_pods(item)

	def _take_pods(self, item):
		namespace, service = item["metadata"]["namespace"], item["metadata"]["labels"][SERVICE_NAME]
		for endpoint in item["endpoints"]:
			name = endpoint["targetRef"]["name"]
			pod = self.pods.setdefault((namespace, name), kubeapi.pod(namespace, name, {}))
			pod["metadata"]["labels"].update(self.services[namespace, service]["spec"]["selector"])
			if endpoint.get("hostname"):
				pod["spec"].update({"hostname": endpoint["hostname"], "subdomain": service})
			self.statuses[namespace, name] = kubeapi.pod_status(endpoint["addresses"], endpoint["conditions"]["serving"])

	def create(self, api):
		for namespace in sorted({namespace for namespace, _ in self.services}):
			with contextlib.suppress(ApiError):  # kube-system is there
				api.create(kubeapi.namespace(namespace))
		api.create_all([*self.services.values(), *self.hand_made, *self.pods.values()])
		for name, pod in self.pods.items():
			api.patch(pod, self.statuses[name], "status")


class Test:
	def __init__(self, tap_, world, rng):
		self.tap, self.world, self.rng, self.api = tap_, world, rng, world.api
		self.running = None

	def wait_for(self, names, what, names6=()):
		"""names: {name: its A records, None: passed on}, by the agent; what the controllers write is awaited. names6: AAAA records:
		of each family there is a slice, written one after the other."""
		def matches():
			self.running.write_source()
			self.running.reopen()
			asked = [(name, A, wanted) for name, wanted in names.items()] + [(name, AAAA, wanted) for name, wanted in dict(names6).items()]
			return all(self.running.addresses("%s.%s" % (name, ZONE), qtype) == wanted for name, qtype, wanted in asked)
		with self.tap.case("the agent answers: " + what):
			node.wait_until(matches, "%s; log:\n%s" % (names, self.running.log_text()[-2000:]), FLIP_WITHIN_S)

	def compare(self, what):
		self.running.sync()
		items = self.world.objects()
		rows = real_coredns.ask_coredns(real_compare.questions_about(self.rng, items, share_of_variants=0.3))
		real_compare.compare(self.tap, what, self.running, items, rows)
		return items

	def scenarios(self, scenario):
		expected = records(scenario.items)

		def same():
			found = records(self.world.objects())
			return all(found.get(name) == wanted for name, wanted in expected.items())
		with self.tap.case("the real controllers write what was recorded: %d names of %d services" % (len(expected), len(scenario.services) + 1)):
			node.wait_until(same, "slices as recorded", FLIP_WITHIN_S)
		self.compare("scenarios")

	def ready(self, name, is_ready):
		pod = kubeapi.pod("default", name, {})
		address = next(a["ip"] for a in self.api.get(pod)["status"]["podIPs"])
		self.api.patch(pod, kubeapi.pod_status([address], is_ready), "status")

	def flips(self):
		self.ready("test-0", False)
		self.wait_for({"test-0.headful.default": None, "test-1.headful.default": ["10.42.1.11"]}, "a pod became unready: its name is gone")
		self.ready("test-0", True)
		self.wait_for({"test-0.headful.default": ["10.42.1.10"]}, "it became ready: its name is back")
		name = "my-app-deployment-7d9c5b6f4-%s"
		three = ["10.42.0.137", "10.42.0.138", "10.42.0.139"]
		for suffix, left in (("a0x2k", three[1:]), ("b1x2k", three[2:]), ("c2x2k", None)):
			self.ready(name % suffix, False)
			self.wait_for({"my-headless-service.default": left}, "%d of 3 behind a headless service" % len(left or ()))
		self.compare("nothing ready behind a headless service")
		self.ready(name % "b1x2k", True)
		self.wait_for({"my-headless-service.default": three[1:2]}, "one of 3 is back")
		# A pod that ends stays for its grace period: not ready, but serving.
		self.api.delete(kubeapi.pod("default", "test-1", {}))
		self.wait_for({"test-1.headful.default": None, "headful.default": self.cluster_ip("headful")}, "a terminating pod is left out, its service stays")
		self.api.delete(kubeapi.pod("default", "test-1", {}), gracePeriodSeconds=0)
		self.compare("after readiness changed")

	def cluster_ip(self, name):
		return self.api.get({"kind": "Service", "metadata": {"namespace": "default", "name": name}})["spec"]["clusterIPs"]

	def stateful_set(self):
		labels = {"app": "web"}
		item = {"kind": "StatefulSet", "metadata": {"namespace": "default", "name": "web"}, "spec": {
			"serviceName": "web", "replicas": 3, "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels}, "template": {
				"metadata": {"labels": labels}, "spec": kubeapi.pod("default", "x", labels)["spec"]}}}
		self.api.create_all([{"kind": "Service", "metadata": {"namespace": "default", "name": "web"}, "spec": {
			"clusterIP": "None", "selector": labels, "ports": [{"name": "http", "port": 80}], "ipFamilyPolicy": "RequireDualStack"}}, item])
		addresses6 = ["fd00:42::%x" % number for number in range(1, 4)]
		for number in range(3):
			self.start_pod("web-%d" % number, ["10.42.9.%d" % number, addresses6[number]])
		each = {"web-%d.web.default" % number: ["10.42.9.%d" % number] for number in range(3)}
		each6 = {"web-%d.web.default" % number: [addresses6[number]] for number in range(3)}
		self.wait_for({**each, "web.default": ["10.42.9.0", "10.42.9.1", "10.42.9.2"]}, "a StatefulSet's pods by their names",
			{**each6, "web.default": addresses6})
		self.compare("StatefulSet")
		self.api.patch(item, {"spec": {"replicas": 1}})
		for number in (2, 1):
			self.end_pod("web-%d" % number)
		self.wait_for({"web-1.web.default": None, "web-2.web.default": None, "web.default": ["10.42.9.0"]}, "a StatefulSet that shrank",
			{"web-1.web.default": None, "web-2.web.default": None, "web.default": addresses6[:1]})

	def start_pod(self, name, addresses):
		"""What scheduler and kubelet do once the controller made it."""
		pod = kubeapi.pod("default", name, {})

		def is_there():
			try:
				return self.api.patch(pod, kubeapi.pod_status(addresses, True), "status")
			except ApiError as e:
				if e.status != 404:
					raise
				return False
		node.wait_until(is_there, "the controller made %s" % name, FLIP_WITHIN_S)

	def end_pod(self, name):
		pod = kubeapi.pod("default", name, {})
		node.wait_until(lambda: "deletionTimestamp" in self.api.get(pod)["metadata"], "the controller deletes %s" % name, FLIP_WITHIN_S)
		self.api.delete(pod, gracePeriodSeconds=0)

	def mirrored(self):
		"""Endpoints of a service without selector: the mirroring controller makes the slice."""
		metadata = {"namespace": "default", "name": "by-hand"}
		self.api.create_all([{"kind": "Service", "metadata": metadata, "spec": {"clusterIP": "None", "ports": [{"name": "db", "port": 5432}]}},
			{"kind": "Endpoints", "metadata": metadata, "subsets": [{"addresses": [{"ip": "10.42.8.1", "hostname": "db-0"}, {"ip": "10.42.8.2"}],
				"notReadyAddresses": [{"ip": "10.42.8.3"}], "ports": [{"name": "db", "port": 5432}]}]}])
		self.wait_for({"by-hand.default": ["10.42.8.1", "10.42.8.2"], "db-0.by-hand.default": ["10.42.8.1"]}, "a slice mirrored from Endpoints")
		self.compare("mirrored")

	def run(self, scenario):
		arguments = ["--server", packet.SERVER4, "--server", packet.SERVER6]  # the recorded kube-dns has IPv4 alone
		with real_agent.node_class()(self.world, arguments, kubeconfig="nodens-certificate") as self.running:
			self.scenarios(scenario)
			self.flips()
			self.stateful_set()
			self.mirrored()


def may_list(client):
	"""Roles that were just written are heeded once the server's own watch has told of them."""
	try:
		return [client.list(kind) for kind in ("Service", "EndpointSlice")]
	except ApiError as e:
		if e.status != 403:
			raise
		return False


def test_identity(tap_, world):
	"""The role that the documentation gives is enough, and is no more."""
	client = world.client("nodens")
	node.wait_until(lambda: may_list(client), "the server heeds the role")
	for kind in ("Service", "EndpointSlice"):
		tap_.ok(client.list(kind) is not None, "nodens may list: " + kind)
	for what, attempt in {"pods": lambda: client.list("Pod"), "one Service": lambda: client.request("GET", kubeapi.path_of("Service", "default", "kubernetes")),
			"namespaces": lambda: client.list("Namespace")}.items():
		try:
			attempt()
			tap_.ok(False, "nodens may not read: " + what)
		except ApiError as e:
			tap_.equal(e.status, 403, "nodens may not read: " + what)
	client.close()


def main(tap_):
	parts = realkube.parts_or_skip(tap_)
	if parts is None:
		return
	seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
	tap_.note("SEED=%d" % seed)
	podnet.skip_dad("default")
	scenario = Scenario(json.loads(SCENARIOS.read_text())["items"])
	with realkube.World(parts) as world:
		world.start_coredns()
		scenario.create(world.api)
		test_identity(tap_, world)
		Test(tap_, world, random.Random(seed)).run(scenario)


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
