#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 400 600
"""
The agent as it runs in a pod (a service account's token over IPv6), through restarts of the real API server, of the agent
and of both, while objects change; pods are answered all the time, and what vanished meanwhile is gone afterwards.
"""

import os
import random
import sys
import threading
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lib"), str(Path(__file__).resolve().parent)]

import kubeapi
import node
import podnet
import real_agent
import real_compare
import real_coredns
import realkube
import tap
from message import Question
from real_objects import Objects

LONG = os.environ.get("LONG") == "1"
STALE_AFTER = "200s"  # both restarting takes seconds, and on a busy machine many
SOME = 20  # questions
WRITES = 800  # more than a server makes by itself when it starts
RESTORED_WITHIN_S = 120  # 30 s of not knowing the version, and what is tried again in between
ACCOUNT_DIR = "/run/secrets/kubernetes.io/serviceaccount"  # /var/run is /run
STEADY, STEADY_ADDRESSES = "steady.kept.svc.cluster.local", ["10.7.0.1", "10.7.0.2"]


class InCluster(real_agent.KubeNode):
	"""As the only process of a container: environment and files that a kubelet provides, nothing else."""

	def __init__(self, world, arguments=()):
		super().__init__(world, arguments)
		self.account = node.Node.scratch.path / "account"
		self.account.mkdir(exist_ok=True)
		(self.account / "token").write_text(token_of(world))
		(self.account / "ca.crt").write_text(Path(world.certificates.path("ca.crt")).read_text())
		(self.account / "namespace").write_text("kube-system")

	def source(self):
		return "kube"

	def command(self):
		# A mount namespace of its own, so that /run of this machine stays as it is.
		script = 'mount -t tmpfs tmpfs /run && mkdir -p %s && cp "$0"/* %s && exec "$@"' % (ACCOUNT_DIR, ACCOUNT_DIR)
		return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(self.account), *super().command()]

	def _spawn(self, notify_path):
		os.environ.update(KUBERNETES_SERVICE_HOST="::1", KUBERNETES_SERVICE_PORT=str(realkube.API_PORT))
		super()._spawn(notify_path)


def token_of(world):
	world.api.create({"kind": "ServiceAccount", "metadata": {"namespace": "kube-system", "name": "nodens"}})
	request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
	return world.api.request("POST", kubeapi.path_of("ServiceAccount", "kube-system", "nodens", "token"), request)["status"]["token"]


def service(name, addresses):
	metadata = {"namespace": "kept", "name": name}
	return [{"kind": "Service", "metadata": metadata, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}},
		{"kind": "EndpointSlice", "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
			"endpoints": [{"addresses": [address]} for address in addresses], "ports": [{"port": 80}]}]


class Asking(threading.Thread):
	"""A pod that asks for one name all the time; CoreDNS is stopped, so that only the datapath can answer."""

	def __init__(self, pod):
		super().__init__(daemon=True)
		self.pod, self.stopping = pod, threading.Event()
		self.asked, self.failures = 0, []

	def run(self):
		with podnet.Client(self.pod) as client:
			while not self.stopping.wait(0.002):
				wire = client.ask(Question(STEADY, ident=self.asked & 0xFFFF).wire())
				self.asked += 1
				if wire is None or real_coredns.addresses_of(wire) != STEADY_ADDRESSES:
					self.failures.append("number %d: %s" % (self.asked, wire and wire.hex()))

	def more(self):
		"""Until some more questions are over, all asked from now on but one."""
		wanted = self.asked + SOME + 1
		node.wait_until(lambda: self.asked >= wanted, "%d more questions of the pod" % SOME)

	def __enter__(self):
		self.start()
		return self

	def __exit__(self, *_):
		self.stopping.set()
		self.join(10)


class Test:
	def __init__(self, tap_, world, running, rng):
		self.tap, self.world, self.running, self.rng = tap_, world, running, rng
		self.number = 0
		self.asking = None

	def change(self):
		"""One service vanishes, one comes; what must be known of both afterwards."""
		self.number += 1
		self.world.api.create_all(service("new-%d" % self.number, ["10.7.1.%d" % self.number]))
		if self.number > 1:
			for item in service("new-%d" % (self.number - 1), []):
				self.world.api.delete(item)

	def is_followed(self):
		self.running.reopen()
		wanted = {STEADY: STEADY_ADDRESSES, "new-%d.kept.svc.cluster.local" % self.number: ["10.7.1.%d" % self.number],
			"new-%d.kept.svc.cluster.local" % (self.number - 1): None}
		return {name: self.running.addresses(name) for name in wanted} == wanted

	def follow(self, what):
		with self.tap.case(what + ": what came is answered, what went is gone"):
			node.wait_until(self.is_followed, "the agent caught up; log:\n" + self.running.log_text()[-2000:], real_agent.SYNC_WITHIN_S)

	def restart_server(self):
		self.world.stop("kube-apiserver")
		self.asking.more()
		self.world.start_api_server()

	def restart_agent(self):
		self.running.kill()
		self.asking.more()
		self.change()
		self.running.restart()

	def both(self):
		self.running.kill()
		self.restart_server()
		self.change()
		self.running.restart()

	def run(self):
		self.world.api.create_all([kubeapi.namespace("kept"), *service("steady", STEADY_ADDRESSES)])
		self.change()
		self.follow("in a pod, by a service account")
		with Asking(self.running.pods[real_agent.SMALL_MTU]) as self.asking:
			for what, action in (("the API server restarted", self.restart_server), ("the agent restarted", self.restart_agent),
					("both restarted", self.both)):
				action()
				self.change()
				self.follow(what)
			with self.tap.case("it asked all the time: while the one was away, and the other, and both"):
				self.asking.more()
		self.tap.note("%d questions meanwhile" % self.asking.asked)
		self.tap.none_of(self.asking.failures, "all the while a pod was answered rightly")

	def compare(self):
		"""And nothing else was left behind or lost. Each question is to move one counter: what the pod's stack sends by itself
		(router solicitations, ARP) would move one too."""
		podnet.pod_run(self.running.pods[real_agent.SMALL_MTU], "ip link set eth0 down")
		self.world.start_coredns()
		self.running.sync()
		items = self.world.objects()
		rows = real_coredns.ask_coredns(real_compare.questions_about(self.rng, items, 0.02))
		real_compare.compare(self.tap, "after the restarts", self.running, items, rows)


def version_of(world):
	return int(world.api.request("GET", kubeapi.path_of("Namespace"))["metadata"]["resourceVersion"])


def versions_held(running):
	return [int(running.status()["api"][watch] or 0) for watch in ("service_version", "slice_version")]


def test_restored(tap_, parts):
	"""Another past under the same address: what the agent holds is not what is true, and nobody tells it."""
	with realkube.World(parts, controllers=False) as world:
		world.create_dns_service()
		world.api.create_all([kubeapi.namespace("kept"), *service("steady", STEADY_ADDRESSES)])
		for number in range(WRITES):
			world.api.create(kubeapi.namespace("past-%d" % number))
		with real_agent.KubeNode(world) as running:
			# An event of each watch tells the agent how far the server is; a list may be older, and the status tells of it a little later.
			written = version_of(world)
			world.put_marker()
			node.wait_until(lambda: min(versions_held(running)) > written and running.addresses(STEADY) == STEADY_ADDRESSES, "answers from before")
			held = versions_held(running)
			world.forget_all()
			world.create_dns_service()
			world.api.create_all([kubeapi.namespace("kept"), *service("other", ["10.7.9.1"])])
			now = version_of(world)
			tap_.ok(min(held) > now, "the agent holds versions that the server does not know", (held, now))

			def is_new():
				running.reopen()
				return running.addresses(STEADY) is None and running.addresses("other.kept.svc.cluster.local") == ["10.7.9.1"]
			with tap_.case("a server that lost its past is believed in the end"):
				try:
					node.wait_until(is_new, "only what is there now", RESTORED_WITHIN_S)
				except AssertionError as e:
					raise AssertionError("%s; log:\n%s" % (e, running.log_text()[-4000:])) from None


def main(tap_):
	parts = realkube.parts_or_skip(tap_)
	if parts is None:
		return
	seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
	tap_.note("SEED=%d" % seed)
	podnet.skip_dad("default")
	rng = random.Random(seed)
	with realkube.World(parts, controllers=False) as world:
		world.create_dns_service()
		world.api.create_all(Objects(rng).fill(1, ()).items)
		with InCluster(world, ["--stale-after", STALE_AFTER]) as running:
			podnet.configure(running.pods[real_agent.SMALL_MTU])
			test = Test(tap_, world, running, rng)
			test.run()
			test.compare()
	if LONG:
		test_restored(tap_, parts)


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
