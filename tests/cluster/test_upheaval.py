#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 450 450
# alone
"""
A client in a pod of a real node asks steadily for names of the cluster while everything around it is replaced, killed, restarted or taken away: a StatefulSet's pods, the
agent's pod, kubelet, containerd, kube-proxy, the API server, CoreDNS. None of its queries is lost, and each answer is a whole set of records that was current when
it was asked for. Meanwhile one service changes all the time. In the end the agent is removed, and nothing of it is left on the node.
"""

import contextlib
import functools
import json
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
import realnode
import steady
import tap
import truth
import workloads
from judge import COREDNS, KERNEL, History, Judge, Phase
from message import A, AAAA, PTR, SRV, Edns, Question

RATE = 800
STEP_PERIOD_S = 0.2
SOME = 1500  # queries of the steady client: how long a phase lasts at least
DOWN = 4000  # … and how long the API server is down
AGE_NS = 3_000_000_000           # how old an answer may be while the agent runs: far more than is measured
STALE_AGE_NS = 18_000_000_000    # … and while it is replaced: --stale-after, and the way back
READY_WITHIN_S = 90
EXTERNAL = "www.external.test"
COREDNS_COMMAND = "^/coredns -conf /etc/coredns/Corefile"  # the pod's; another one is the node's resolver
STEP_QUESTION = Question(workloads.name_of(workloads.STEP))
GONE_WITHIN_S = 60
HANDOVER_NS = 100_000_000
REMOVED = "removed, as docs/deploy.md has it"


def questions(node):
	"""Names that do not change, the one that is written again and again, and a StatefulSet's."""
	cluster_ip = node.api.get({"kind": "Service", "metadata": {"namespace": workloads.NAMESPACE, "name": "web"}})["spec"]["clusterIP"]
	cache, web = workloads.name_of("cache"), workloads.name_of("web")
	fixed = [Question("kubernetes.default.svc.cluster.local"), Question(web), Question(web, AAAA), Question("_http._tcp." + web, SRV, edns=Edns(1232)), Question(cache),
		Question("node-1." + cache), Question("_http._tcp." + cache, SRV, edns=Edns(1232)), Question(oracle.reverse_name(cluster_ip), PTR),
		Question(oracle.reverse_name(workloads.HAND_MADE[0]), PTR), Question(workloads.name_of("legacy"))]
	database = workloads.name_of("db")
	moving = [Question(database), Question("db-0." + database), Question("db-2." + database)]
	return [STEP_QUESTION, *fixed, STEP_QUESTION, *moving]


class Upheaval:
	def __init__(self, t, node):
		self.t, self.node, self.api = t, node, node.api
		self.agent = deployed.Deployed(node)
		self.phases = []
		self.started = 0

	def run(self):
		self.agent.apply()
		self.agent.wait()
		self.truth = truth.Truth(self.api)
		self.writer = truth.Writer(self.api, STEP_QUESTION)
		asked = questions(self.node)
		popen = functools.partial(self.node.pod_popen, workloads.NAMESPACE, "client")
		with steady.Steady(popen, self.node.dns_ip, RATE, asked) as self.client:
			self.writer.start(STEP_PERIOD_S)
			for name, act, age_ns in self.plan():
				with self.phase(name, age_ns):
					act()
			self.writer.stop()
			self.remove()
			self.plant_loss()
			self.client.stop()
		self.truth.stop()
		self.judge(asked)

	def plan(self):
		return (
			("nothing happens", lambda: None, AGE_NS),
			("a StatefulSet's pods are replaced", self.restart_database, AGE_NS),
			("the DaemonSet's template changes", self.roll_out, STALE_AGE_NS),
			("the agent's pod is deleted", self.delete_pod, STALE_AGE_NS),
			("the agent is killed", self.kill_agent, STALE_AGE_NS),
			("the API server is down", self.stop_api_server, AGE_NS),
			("kubelet is restarted", lambda: self.restart("kubelet"), AGE_NS),
			("containerd is restarted", lambda: self.restart("containerd"), AGE_NS),
			("kube-proxy is restarted", lambda: self.restart("kube-proxy"), AGE_NS),
			("CoreDNS has no replicas", self.scale_coredns_down, AGE_NS),
			("… and the agent's pod is deleted", self.delete_pod, STALE_AGE_NS),
			("CoreDNS is back", self.scale_coredns_up, AGE_NS),
		)

	@contextlib.contextmanager
	def phase(self, name, age_ns):
		"""Whatever happens, the client asks on before and after it."""
		one = Phase(name, time.monotonic_ns(), age_ns)
		self.phases.append(one)
		with self.t.case(name + ": done"):
			yield
		one.ended_ns = self.client.wait(SOME)

	# ---- what happens ----

	def kubectl(self, *arguments):
		return self.node.kubectl("--namespace", workloads.NAMESPACE, *arguments)

	def restart_database(self):
		self.kubectl("rollout", "restart", "statefulset/db")
		self.kubectl("rollout", "status", "statefulset/db", "--timeout=%ds" % READY_WITHIN_S)

	def wait_for_agent(self, before):
		"""Until another pod than the one before is ready."""
		self.node.wait(lambda: self.agent.uid_of_ready() not in (None, before), "another pod of the agent is ready", READY_WITHIN_S)

	def roll_out(self):
		before = self.agent.uid_of_ready()
		self.agent.change_template(1)
		self.agent.wait()
		assert self.agent.uid_of_ready() not in (None, before), "the pod is another one"

	def delete_pod(self):
		before = self.agent.uid_of_ready()
		self.agent.delete_pod()
		self.wait_for_agent(before)

	def kill(self, command):
		"""Those of the node's own processes that were started so; their PIDs there."""
		pids = self.pids_of(command)
		for pid in pids:
			self.node.run("kill", "-KILL", pid, check=False)
		return pids

	def pids_of(self, command):
		return self.node.run("pgrep", "-f", command, check=False).stdout.split()

	def kill_agent(self):
		"""As the kernel's OOM killer does; the kubelet starts the container anew."""
		started_ms = self.agent.status()["started_ms"]
		assert self.kill("^nodens run"), "the agent runs"
		self.node.wait(lambda: self.has_started(started_ms), "the agent, once more", READY_WITHIN_S)

	def has_started(self, after_ms):
		text = self.agent.nodens("status", "--ready", "-o", "json", check=False)
		status = json.loads(text) if text.startswith("{") else {"started_ms": 0}
		return status["started_ms"] > after_ms and not status["fault"]

	def restart(self, name):
		self.node.restart_part(name)
		self.node.wait_ready(None, "node/" + realnode.realkube.NODE_NAME)

	def stop_api_server(self):
		"""Nothing can be written; what was is answered."""
		self.writer.stop()
		self.node.stop_part("kube-apiserver")
		self.client.wait(DOWN)
		self.node.start_part("kube-apiserver")
		self.writer.start(STEP_PERIOD_S)

	def is_external_answered(self):
		"""It is asked again and again: a second each is enough."""
		wire, = steady.ask_once(functools.partial(self.node.pod_run, workloads.NAMESPACE, "asker"), self.node.dns_ip, [Question(EXTERNAL)], 1)
		return wire is not None and bool(message.Answer(b"\0\0" + wire).answer)

	def scale_coredns(self, replicas):
		self.agent.kubectl("scale", "deployment/coredns", "--replicas=%d" % replicas)

	def end_coredns(self):
		"""Without waiting for its lame duck time: killed once its pod is to go, so that no container comes after it."""
		self.scale_coredns(0)
		self.node.wait(lambda: all("deletionTimestamp" in pod["metadata"] for pod in self.coredns_pods()), "a scale-down", READY_WITHIN_S)
		self.kill(COREDNS_COMMAND)
		self.node.wait(lambda: not self.is_coredns_there() and not self.is_external_answered(), "an end of CoreDNS", READY_WITHIN_S)

	def coredns_pods(self):
		return [pod for pod in self.api.list("Pod", deployed.NAMESPACE) if pod["metadata"].get("labels", {}).get("k8s-app") == "kube-dns"]

	def is_coredns_there(self):
		"""Its process: as long as it is, rules of kube-proxy may lead to it."""
		return bool(self.pids_of(COREDNS_COMMAND))

	def scale_coredns_down(self):
		assert self.is_coredns_there(), "CoreDNS runs"
		# A kubelet that starts takes every pod for unready until it has probed it: CoreDNS leaves its Service for a moment.
		self.node.wait(self.is_external_answered, "an external name is answered before", READY_WITHIN_S)
		self.end_coredns()
		self.client.wait(SOME)
		assert not self.is_external_answered(), "an external name is answered by nobody"

	def scale_coredns_up(self):
		self.scale_coredns(1)
		self.node.wait_ready("kube-system", "deployment/coredns")
		self.node.wait(self.is_external_answered, "an answer to an external name", READY_WITHIN_S)

	# ---- the end ----

	def remove(self):
		# Listed before and after: a link may come or go in between, with a pod.
		listed, ids = self.agent.listed(), self.agent.ids()
		kinds = {kind for kind, _ in ids}
		self.t.ok(kinds == {"prog", "map", "link"} and ids <= listed | self.agent.listed(), "before the removal bpftool lists our programs, maps and links", sorted(kinds))
		self.t.ok(any("/nodens/" in path for path in self.agent.paths()), "and the bpffs our pins")
		with self.phase(REMOVED, STALE_AGE_NS):
			self.agent.delete()
			self.agent.remove()
		with self.t.case("of the %d programs, maps and links nothing is left, nor a pin, nor a filter" % len(ids)):
			lab_node.wait_until(lambda: not ids & self.agent.listed(), "their end", GONE_WITHIN_S)
			assert not self.agent.ids() and not self.agent.paths() and not self.agent.filters(), (self.agent.ids(), self.agent.paths(), self.agent.filters())
		with self.phase("without the agent", AGE_NS):
			pass

	def plant_loss(self):
		"""Without agent and without CoreDNS the steady client must tell of it."""
		self.end_coredns()
		with self.phase("without the agent and CoreDNS (control)", AGE_NS):
			pass

	# ---- the judgement ----

	def histories(self, asked):
		return [self.writer.history if question is STEP_QUESTION else history for question, history in zip(asked, self.truth.histories(asked))]

	def judge(self, asked):
		histories = self.histories(asked)
		Judge(self.client, histories, self.phases).run()
		*phases, without, nobody = self.phases
		undisturbed = ("CoreDNS has no replicas", "… and the agent's pod is deleted")
		for one in self.phases:
			self.t.note("%s: %s" % (one.name, one))
		for one in phases:
			lost = lost_in_kernel(one)
			self.t.ok(not lost and one.wrong == 0 and one.counts["sent"] >= SOME, "%s: 0 lost, 0 wrong" % one.name, one.told or one.counts)
			if one.name in undisturbed:
				self.t.equal(one.counts[KERNEL], one.counts["sent"], "%s: all answered in the kernel" % one.name)
		answered = without.counts[COREDNS]
		self.t.ok(not without.wrong and without.counts["sent"] * 9 // 10 <= answered and not without.counts[KERNEL], "without the agent CoreDNS answers (control)", without.counts)
		self.t.ok(nobody.lost == nobody.counts["sent"] >= SOME, "without either all is told as lost (control)", nobody.counts)
		sent = sum(one.counts["sent"] for one in phases)
		self.t.note("%d queries: %s %d, %s %d, lost %d, wrong %d; %d not sent in time; %d versions of a service" % (sent, KERNEL, sum(one.counts[KERNEL] for one in phases), COREDNS,
			sum(one.counts[COREDNS] for one in phases), sum(one.lost for one in phases), sum(one.wrong for one in phases), self.client.skipped, self.writer.number))
		self.check_faults(histories)

	def check_faults(self, histories):
		"""The same answers beside a truth that is another."""
		first = self.phases[0]
		wrong = History(frozenset())
		stuck = History(histories[0].versions[0].records)
		for name, number, history in (("a wrong set of records", 1, wrong), ("a service that never changed", 0, stuck)):
			again = Phase(first.name, first.began_ns, AGE_NS, first.ended_ns)
			Judge(self.client, [history if at == number else other for at, other in enumerate(histories)], [again]).run()
			self.t.ok(again.wrong > 0 and again.lost == 0, "beside %s the same answers are told as wrong (control)" % name, again.counts)


def lost_in_kernel(one):
	"""Those lost before CoreDNS had the word: in the removal it does from the detaching on, and what it answers to is its own matter."""
	until_ns = one.first_ns.get(COREDNS, one.ended_ns) + HANDOVER_NS if one.name == REMOVED else one.ended_ns
	return [sent_ns for sent_ns in one.lost_ns if sent_ns <= until_ns]


def main(t):
	if realnode.parts_or_skip(t) is None:
		return
	with realnode.RealNode("iptables", "bridge") as node:
		workloads.start(node)
		node.run("touch", workloads.READY_FILE)
		Upheaval(t, node).run()


if __name__ == "__main__":
	lab_node.enter_namespaces()
	tap.run(main)
