#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600 600
# alone
"""
The agent as a DaemonSet on a real node, with kube-proxy's rules by iptables and nftables, routed pods (ptp) and a bridge. What pods are told: each name in the
kernel, as CoreDNS tells it, without an entry in conntrack. And when: changes of a slice, a StatefulSet whose pods are replaced one by one, a pod that becomes
ready and unready, each beside CoreDNS asked directly in the same run.
"""

import contextlib
import functools
import json
import random
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("lib", "kube", "datapath")]
sys.path.insert(0, str(Path(__file__).resolve().parent))

import deployed
import judge
import message
import node as lab_node
import oracle
import real_coredns
import realnode
import steady
import tap
import test_coredns
import truth
import workloads
from judge import COREDNS, KERNEL, NOTHING
from message import A, AAAA, PTR, SRV, TXT, Edns, Question

COMBINATIONS = (("iptables", "ptp"), ("nftables", "bridge"))
MTU = 1500
STEPS = 40
RATE = 500  # of each client that waits for a change: two milliseconds between its questions
SEEN_WITHIN_S = 30
# Far above what is measured: a lost event or a timer in the way is found all the same.
MEDIAN_MS = 100
CHANGE_MS = 3000
EXTERNAL, EXTERNAL_ADDRESS = "www.external.test", "192.0.2.77"
FLIPS = 2


def figures(values):
	values = sorted(values)
	if len(values) < 10:
		return ", ".join("%.1f" % value for value in values) + " ms"
	return "median %.1f ms, 90%% %.1f ms, longest %.1f ms" % (values[len(values) // 2], values[len(values) * 9 // 10], values[-1])


def at_our_ttl(row):
	"""A recorded answer of CoreDNS as it were with our TTL. Names for addresses come from a cache that counts theirs down."""
	theirs, ours = judge.COREDNS_TTL_S, judge.KERNEL_TTL_S
	for section in ("answer", "authority", "additional"):
		for number, (owner, ttl, cls, kind, data) in enumerate(row[section]):
			assert ttl == theirs or kind in ("PTR", "SOA") and ttl <= theirs, "TTL %d of %s" % (ttl, owner)
			data = "%s %d" % (data.rsplit(" ", 1)[0], ours) if kind == "SOA" else data
			row[section][number] = (owner, ours, cls, kind, data)
	return row


class Scenario:
	def __init__(self, t, node, name, rng):
		self.t, self.node, self.name, self.rng, self.api = t, node, name, rng, node.api
		self.agent = deployed.Deployed(node)
		self.asker = self.node.pod_ip(workloads.NAMESPACE, "asker")
		self.coredns = self._find_coredns()

	def _find_coredns(self):
		pod, = (pod for pod in self.api.list("Pod", "kube-system") if pod["metadata"].get("labels", {}).get("k8s-app") == "kube-dns")
		return pod["status"]["podIP"]

	def case(self, text):
		return self.t.case("%s: %s" % (self.name, text))

	def ask(self, questions):
		"""From a pod, the cluster's DNS address."""
		return steady.ask_once(functools.partial(self.node.pod_run, workloads.NAMESPACE, "asker"), self.node.dns_ip, questions)

	def ask_coredns(self, questions):
		"""From the node, the address of CoreDNS's pod."""
		return steady.ask_once(self.node.run, self.coredns, questions)

	# ---- names ----

	def items(self):
		return self.api.list("Service") + self.api.list("EndpointSlice")

	def questions(self):
		"""Each name of the objects that must be answered, with each type."""
		known = oracle.Oracle(self.items())
		asked = [Question(name, qtype, edns=Edns(1232) if qtype == SRV or self.rng.getrandbits(1) else None, ident=self.rng.getrandbits(16))
			for name in sorted(known.names) for qtype in (A, AAAA, SRV, TXT, PTR) if known.must_answer(name, qtype)]
		assert len(asked) > 100, len(asked)
		return asked

	def conntrack(self):
		"""Entries of the asker's queries."""
		return self.node.run("conntrack", "-L", "-p", "udp", "-s", self.asker, "--dport", "53").stdout.splitlines()

	def forget_conntrack(self):
		self.node.run("conntrack", "-D", "-p", "udp", "-s", self.asker, "--dport", "53", check=False)

	def before(self):
		questions = self.questions()
		answers = self.ask(questions)
		with self.case("without the agent CoreDNS answers each name, and conntrack has an entry for each query (control)"):
			for question, wire in zip(questions, answers):
				reading = judge.read(question, wire)
				assert reading.who == COREDNS, "%s %d: %s" % (question.name, question.qtype, reading)
			assert len(self.conntrack()) >= len(questions) * 9 // 10, (len(self.conntrack()), len(questions))

	def deploy(self):
		began = time.monotonic()
		with self.case("the DaemonSet is applied and becomes ready"):
			self.agent.apply()
			self.agent.wait()
		took = time.monotonic() - began
		status = self.agent.status()
		self.t.note("%s: kubectl apply to ready %.1f s; agent's start to synced %d ms, to ready %d ms; %d names, maps %.1f MiB" % (self.name, took,
			status["synced_ms"] - status["started_ms"], status["ready_ms"] - status["started_ms"], status["names"], status["map_bytes"] / 2**20))
		hooks = {item["name"]: item["hook"] for item in status["interfaces"] if item["hook"] != "none"}
		self.t.ok(len(hooks) >= len(workloads.ASKERS), "%s: it is on the pods' interfaces" % self.name, status["interfaces"])

	def memory(self):
		"""As the kubelet tells it."""
		summary = json.loads(self.node.kubectl("get", "--raw", "/api/v1/nodes/%s/proxy/stats/summary" % realnode.realkube.NODE_NAME))
		for pod in summary["pods"]:
			for container in pod.get("containers", ()):
				if container["name"] == deployed.NAME:
					self.t.note("%s: the agent's container: %.1f MiB working set" % (self.name, container["memory"]["workingSetBytes"] / 2**20))

	def names(self):
		questions = self.questions()
		self.forget_conntrack()
		before = self.agent.verdicts()
		answers = self.ask(questions)
		after = self.agent.verdicts()
		left = self.conntrack()
		self.t.none_of(left, "%s: %d queries answered in the kernel leave no entry in conntrack" % (self.name, len(questions)))
		counted = sum(after[name] - before[name] for name in lab_node.ANSWERS)
		self.t.equal(counted, len(questions), "%s: the datapath has counted each as answered" % self.name)
		theirs = self.ask_coredns(questions)
		self.t.none_of(self.compare(questions, answers, theirs), "%s: each of %d answers is the kernel's, and CoreDNS's" % (self.name, len(questions)))
		least = sum(wire[4:6] != b"\0\0" for wire in theirs)  # those with records: NODATA is the same for all names of the zone
		for name, ours, others in (("another name's records", answers, theirs[1:] + theirs[:1]), ("an answer that is not the kernel's", theirs, theirs)):
			self.t.ok(len(self.compare(questions, ours, others)) >= least > len(questions) // 4, "%s: %s would be told (control)" % (self.name, name), least)

	def compare(self, questions, ours, theirs):
		failures = []
		for question, our_wire, their_wire in zip(questions, ours, theirs):
			try:
				assert our_wire and their_wire, "no answer: %s, CoreDNS %s" % (our_wire, their_wire)
				reading = judge.read(question, our_wire)
				assert reading.who == KERNEL, reading
				ident = question.wire()[:2]
				row = {"q": {"name": question.name, "type": question.qtype}, "a": at_our_ttl(real_coredns.recorded(ident + their_wire))}
				test_coredns.Comparison(row, question, ident + our_wire, question.limit(4, MTU)).check()
			except AssertionError as e:
				failures.append("%s %d: %s" % (question.name, question.qtype, e))
		return failures

	def passed_on(self):
		"""What is not the kernel's comes from CoreDNS, by kube-proxy's rules, and leaves entries."""
		self.forget_conntrack()
		gone, external, outside, pod = self.ask([Question(workloads.name_of("nothing")), Question(EXTERNAL), Question(workloads.name_of("outside")),
			Question("%s.%s.pod.cluster.local" % (self.asker.replace(".", "-"), workloads.NAMESPACE))])
		with self.case("names of nobody, of pods, of others and ExternalName are CoreDNS's"):
			assert judge.read(Question(workloads.name_of("nothing")), gone).records == NOTHING, gone
			for wire in (external, outside):
				answer = message.Answer(b"\0\0" + wire)
				assert [rdata.address for _, _, rdata in answer.answer if rdata.rdtype == A] == [EXTERNAL_ADDRESS], answer.message
			assert [rdata.address for _, _, rdata in message.Answer(b"\0\0" + pod).answer] == [self.asker], pod
		self.t.equal(len(self.conntrack()), 4, "%s: and have an entry in conntrack each (control)" % self.name)

	# ---- changes ----

	@contextlib.contextmanager
	def watching(self, questions):
		"""A client in a pod, and one that asks CoreDNS itself, as long as it lasts."""
		in_pod = steady.Steady(functools.partial(self.node.pod_popen, workloads.NAMESPACE, "asker"), self.node.dns_ip, RATE, questions)
		with in_pod, steady.Steady(self.node.popen, self.coredns, RATE, questions) as direct:
			yield Sides(in_pod, direct)

	def steps(self):
		question = Question(workloads.name_of(workloads.STEP))
		writer = truth.Writer(self.api, question)
		seen = {KERNEL: [], COREDNS: []}
		with self.watching([question]) as sides, self.case("each of %d changes of a slice is seen in a pod" % STEPS):
			for _ in range(STEPS):
				records, _, accepted_ns = writer.write()
				for who, taken_ns in sides.wait(0, lambda found, wanted=records: found == wanted, accepted_ns, by={KERNEL: KERNEL, COREDNS: COREDNS}).items():
					seen[who].append((taken_ns - accepted_ns) / 1e6)
		if len(seen[KERNEL]) < STEPS:
			return
		for who, values in seen.items():
			self.t.note("%s: a write's acceptance to the first new answer, %s: %s" % (self.name, who, figures(values)))
		median = sorted(seen[KERNEL])[len(seen[KERNEL]) // 2]
		self.t.ok(median <= MEDIAN_MS, "%s: within %d ms (median)" % (self.name, MEDIAN_MS), seen)

	def restart_database(self):
		"""Each of its pods gets another address; its name is the same."""
		hosts = ["db-%d" % number for number in range(workloads.DB_REPLICAS)]
		questions = [Question("%s.%s" % (host, workloads.name_of("db"))) for host in hosts]
		pods, slices = truth.Watch(self.api, "Pod"), truth.Watch(self.api, "EndpointSlice")
		old = {host: self.node.pod_ip(workloads.NAMESPACE, host) for host in hosts}
		took = {"ready to slice": [], KERNEL: [], COREDNS: []}
		with self.watching(questions) as sides, self.case("a StatefulSet's rolling restart: each new address under its old name, in the pod soon after the slice has it"):
			began_ns = time.monotonic_ns()
			self.node.kubectl("--namespace", workloads.NAMESPACE, "rollout", "restart", "statefulset/db")
			self.node.kubectl("--namespace", workloads.NAMESPACE, "rollout", "status", "statefulset/db", "--timeout=90s")
			for number, host in enumerate(hosts):
				new = self.node.pod_ip(workloads.NAMESPACE, host)
				assert new != old[host], "%s has its old address %s" % (host, new)
				ready_ns, _ = pods.find(lambda pod, host=host, new=new: pod["metadata"]["name"] == host and is_ready_at(pod, new), began_ns)
				slice_ns, _ = slices.find(lambda item, host=host, new=new: has_endpoint(item, host, new), began_ns)
				took["ready to slice"].append((slice_ns - ready_ns) / 1e6)
				for who, taken_ns in sides.wait(number, lambda found, new=new: addresses(found) == [new], began_ns).items():
					took[who].append((taken_ns - slice_ns) / 1e6)
			assert max(took[KERNEL]) <= CHANGE_MS, took
		pods.stop()
		slices.stop()
		self.t.note("%s: StatefulSet: pod's Ready to the slice: %s; the slice's event to the first new answer, kernel: %s; CoreDNS: %s" % (self.name, figures(took["ready to slice"]),
			figures(took[KERNEL]), figures(took[COREDNS])))

	def flip(self):
		"""The readiness of the one pod behind a headless service: its name comes and goes."""
		question = Question(workloads.name_of("flip"))
		slices = truth.Watch(self.api, "EndpointSlice")
		address = self.node.pod_ip(workloads.NAMESPACE, "flip")
		took = {(is_ready, what): [] for is_ready in (True, False) for what in ("file", KERNEL, COREDNS)}
		with self.watching([question]) as sides, self.case("a pod that becomes ready and unready comes and goes, in the pod soon after the slice"):
			for is_ready in (True, False) * FLIPS:
				began_ns = time.monotonic_ns()
				self.node.run(*(("touch",) if is_ready else ("rm",)), workloads.READY_FILE)
				wanted = [address] if is_ready else []
				slice_ns, _ = slices.find(lambda item, wanted=wanted: is_of(item, "flip") and ready_addresses(item) == wanted, began_ns)
				for who, taken_ns in sides.wait(0, lambda found, wanted=wanted: addresses(found) == wanted, began_ns).items():
					took[is_ready, who].append((taken_ns - slice_ns) / 1e6)
					if who == KERNEL:
						took[is_ready, "file"].append((taken_ns - began_ns) / 1e6)
				assert max(took[is_ready, KERNEL]) <= CHANGE_MS, took
		slices.stop()
		for is_ready in (True, False):
			self.t.note("%s: %s: probe's file to the pod's client: %s; slice's event to it: %s; to CoreDNS's: %s" % (self.name, "ready" if is_ready else "unready",
				*(figures(took[is_ready, what]) for what in ("file", KERNEL, COREDNS))))


class Sides:
	"""A client in a pod and one of CoreDNS itself, with the same questions."""

	def __init__(self, in_pod, direct):
		self.clients = {KERNEL: in_pod, COREDNS: direct}

	def wait(self, number, condition, after_ns, by=None):
		"""{who: when it first had an answer to question `number`, sent after after_ns, whose records are right}. by: who must have answered all until then."""
		found = {}

		def look():
			for who, client in self.clients.items():
				if who not in found:
					found.update({who: taken_ns for taken_ns in self._first(client, number, condition, after_ns, by and by[who])})
			return len(found) == len(self.clients)
		lab_node.wait_until(look, "the change, seen by both (so far: %s)" % list(found), SEEN_WITHIN_S)
		return found

	@staticmethod
	def _first(client, number, condition, after_ns, by):
		queries = client.queries
		for at in range(max(0, bisect_sent(queries, after_ns)), len(queries)):
			asked, sent_ns, taken_ns, answer = queries[at]
			if asked == number and sent_ns >= after_ns and not isinstance(answer, str):
				reading = judge.read(client.questions[number], client.answers[answer][0])
				assert by in (None, reading.who), "answered by %s: %s" % (reading.who, reading)
				if reading.fault is None and condition(reading.records):
					yield taken_ns
					return


def bisect_sent(queries, after_ns):
	"""Where those sent after it may begin: they stand in the order in which they were over, a second apart at most."""
	low, high = 0, len(queries)
	while low < high:
		middle = (low + high) // 2
		if queries[middle][2] < after_ns:
			low = middle + 1
		else:
			high = middle
	return low


def addresses(records):
	return [] if records == NOTHING else sorted(data for section, _, kind, data in records if (section, kind) == ("answer", "A"))


def is_ready_at(pod, address):
	status = pod["status"]
	return status.get("podIP") == address and any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", ()))


def is_of(item, service):
	return item["metadata"]["labels"].get("kubernetes.io/service-name") == service


def ready_addresses(item):
	return sorted(address for endpoint in item.get("endpoints") or [] if endpoint["conditions"].get("ready") is not False for address in endpoint["addresses"])


def has_endpoint(item, hostname, address):
	return is_of(item, "db") and any(endpoint.get("hostname") == hostname and endpoint["addresses"] == [address] and endpoint["conditions"].get("ready") is not False
		for endpoint in item.get("endpoints") or [])


def run(t, proxy_mode, cni, rng):
	name = "%s, %s" % (proxy_mode, cni)
	began = time.monotonic()
	with realnode.RealNode(proxy_mode, cni) as node:
		node_s = time.monotonic() - began
		workloads.start(node)
		t.note("%s: the node was ready after %.1f s, the workloads after %.1f s" % (name, node_s, time.monotonic() - began))
		scenario = Scenario(t, node, name, rng)
		for step in (scenario.before, scenario.deploy, scenario.names, scenario.passed_on, scenario.steps, scenario.restart_database, scenario.flip, scenario.names,
				scenario.memory):
			step()


def main(t):
	seed = random.SystemRandom().getrandbits(32)
	t.note("seed %d" % seed)
	if realnode.parts_or_skip(t) is None:
		return
	for proxy_mode, cni in [pair for pair in COMBINATIONS if set(sys.argv[1:]) <= set(pair)]:
		run(t, proxy_mode, cni, random.Random(seed))


if __name__ == "__main__":
	lab_node.enter_namespaces()
	tap.run(main)
