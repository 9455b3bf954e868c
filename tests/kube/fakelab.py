# SPDX-License-Identifier: Apache-2.0
"""
A node whose agent follows a fake API server (tests/lib/fakeapi.py), a pod that asks, and an upstream whose answers are told apart:
what the tests test_fake_*.py have in common.
"""

import collections
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import cluster
import fakeapi
import message
import node
import packet
import podnet
from lab import IDENTS, Lab
from message import A, PTR, Question

SERVERS = (packet.SERVER4, packet.SERVER6)
UPSTREAM = "upstream"
LOST = "lost"
PAUSE_S = 0.004
TOKEN = "the-right-token"
AT_A_TIME = 8  # scenarios
LOGS = itertools.count()  # not by id(lab): the next one may stand where the last one did
SOON_S = 60  # what is expected at once; only a machine that is very busy needs more than a part of a second

controller_labels = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
headless_label = {"service.kubernetes.io/headless": ""}


# ---- objects ----


def addresses(third, count=3):
	return ["10.1.%d.%d" % (third, i) for i in range(1, count + 1)]


def endpoints(*texts):
	return [cluster.endpoint(text) for text in texts]


def with_labels(item, **labels):
	"""labels: names with __ for / and . are not needed: give a dict by **{}."""
	return {**item, "metadata": {**item["metadata"], "labels": {**(item["metadata"].get("labels") or {}), **labels}}}


def headless(name, *texts, namespace="lab"):
	"""[Service, slices] as the real controller labels them."""
	service, *slices = cluster.headless(namespace, name, endpoints(*texts))
	return [service] + [with_labels(item, **controller_labels, **headless_label) for item in slices]


def slice_with(name, *texts, namespace="lab"):
	"""The one slice of a headless service."""
	return headless(name, *texts, namespace=namespace)[1]


def clusterip(name, address, *texts, namespace="lab"):
	item = cluster.slice_of(namespace, name, "s0", endpoints(*texts))
	return [cluster.service(namespace, name, cluster_ips=(address,)), with_labels(item, **controller_labels)]


STAY = tuple(sorted(addresses(1)))
FLIP = tuple(sorted(addresses(2)))
VIP = "10.96.7.7"


def base_objects():
	"""`stay` never changes, `flip` does, `gone` is deleted."""
	return [*headless("stay", *STAY), *headless("flip", *FLIP), *headless("gone", "10.1.3.1"), *clusterip("vip", VIP, "10.1.4.1")]


# ---- kubeconfig ----


def kubeconfig_text(server, user="", ca=None, context="fake", current=None, extra=""):
	"""user: lines of the user's part, extra: of the cluster's, each 'key: value'."""
	cluster_lines = ["server: " + server] + (["certificate-authority: " + ca] if ca else []) + [line for line in extra.splitlines() if line]
	return "\n".join([
		"apiVersion: v1", "kind: Config", "current-context: %s" % (current or context), "clusters:", "- name: fake-cluster", "  cluster:",
		*("    " + line for line in cluster_lines), "users:", "- name: fake-user", "  user:" if user else "  user: {}",
		*("    " + line for line in user.splitlines()), "contexts:", "- name: %s" % context, "  context:", "    cluster: fake-cluster",
		"    user: fake-user", ""])


# ---- the node ----


class KubeLab(Lab):
	"""The agent with --source kube:…, over api. Without is_ready it is only started."""

	def __init__(self, api, arguments=(), source=None, environment=None, servers=SERVERS, user="token: " + TOKEN, is_ready=True,
		     configure=podnet.configure):
		super().__init__([], arguments, configure=configure)
		self.api, self.source, self.environment, self.servers = api, source, environment or {}, servers
		self.is_ready = is_ready
		self.kubeconfig = node.Node.scratch.path / "kubeconfig"
		if api is not None:
			self.kubeconfig.write_text(kubeconfig_text(api.url, user, api.pki.ca if api.pki else None), encoding="ascii")
		self.log_path = node.Node.scratch.path / ("agent-%d.log" % next(LOGS))

	def _start(self):
		for mtu in self.mtus:
			self.pods[mtu] = node.Pod(mtu)
		# Each write goes to the end, wherever a reader stands.
		self.log = open(self.log_path, "a+b", buffering=0)
		self._run()

	def _run(self):
		if self.is_ready:
			super()._run()
		else:
			self._spawn("")

	def command(self):
		source = self.source or "kube:%s" % self.kubeconfig
		servers = [word for address in self.servers for word in ("--server", address)]
		return [node.binary(), "run", "--source", source, *servers, *self.arguments, "--bpffs", str(self.dir)]

	def _spawn(self, notify_path):
		environment = {**os.environ, **self.environment, **({"NOTIFY_SOCKET": notify_path} if notify_path else {})}
		self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, preexec_fn=node._die_with_parent, env=environment)

	def wait_ready(self, within_s=node.READY_WITHIN_S):
		def is_ready():
			assert self.process.poll() is None, "the agent ended:\n" + self.log_text()
			return self.is_said_ready()
		node.wait_until(is_ready, "readiness:\n" + self.log_text(), within_s)

	def is_said_ready(self):
		done = subprocess.run([node.binary(), "status", "--ready", "--bpffs", str(self.dir)], stdout=subprocess.DEVNULL,
				      stderr=subprocess.DEVNULL, check=False)
		return done.returncode == 0

	def stop(self):
		"""SIGTERM; the seconds it took to end."""
		code, took_s = node.end_before_others(self.process)
		assert code == 0, "exit code %d" % code
		return took_s

	# -- what a pod sees --

	def ask(self, name, qtype=A, server=None):
		"""Sorted addresses (or PTR targets), UPSTREAM, or LOST."""
		with podnet.Client(self.pod, server=server) as client:
			return read(client.ask(Question(full(name), qtype, ident=next(IDENTS) & 0xFFFF).wire()))

	def wait_answer(self, name, wanted, within_s=SOON_S, qtype=A, server=None):
		last = []

		def is_there():
			last[:] = [self.ask(name, qtype, server)]
			return last[0] == wanted
		try:
			node.wait_until(is_there, "", within_s)
		except AssertionError:
			raise AssertionError("%s: %s and not %s after %d s\n%s" % (name, last, wanted, within_s, self.log_tail())) from None

	# -- what the agent says --

	def status(self):
		"""Empty as long as there is none."""
		done = subprocess.run([node.binary(), "status", "-o", "json", "--bpffs", str(self.dir)], stdout=subprocess.PIPE,
				      stderr=subprocess.DEVNULL, text=True, check=False)
		return json.loads(done.stdout) if done.stdout.startswith("{") else collections.defaultdict(str)

	def counts(self):
		"""The API part of status, errors by kind in it."""
		return self.status()["api"] or {"errors": {}}

	def lines(self, words):
		return [line for line in self.log_text().splitlines() if words in line]

	def log_tail(self, count=30):
		return "\n".join(self.log_text().splitlines()[-count:])


def full(name):
	return name if "." in name else "%s.lab.svc.cluster.local" % name


def read(wire):
	if wire is None:
		return LOST
	if podnet.is_from_upstream(wire):
		return UPSTREAM
	answer = message.Answer(wire)
	return tuple(sorted(message.text_of(rdata.target) if rdata.rdtype == PTR else rdata.address for _, _, rdata in answer.answer))


class Asking(podnet.Background):
	"""A pod that asks for the same names every few milliseconds and notes who answered what."""

	def __init__(self, lab, *names):
		super().__init__()
		self.lab, self.names = lab, names or ("stay",)
		self.results = []  # (seconds, name, answer): when it was asked
		self.ended = []  # when the answer was there, for each

	def __enter__(self):
		super().__enter__()
		self._wait_asked(0)
		return self

	def _wait_asked(self, since):
		"""Each name was asked since then, and that is in results: a busy machine may leave this thread waiting for long."""
		node.wait_until(lambda: {asked for when, asked, _ in list(self.results) if when >= since} == set(self.names), "a query of each name", SOON_S)

	def _run(self):
		with podnet.Client(self.lab.pod) as client:
			while not self._ending.is_set():
				for name in self.names:
					began = time.monotonic()
					answer = read(client.ask(Question(full(name), ident=next(IDENTS) & 0xFFFF).wire()))
					self.ended.append(time.monotonic())
					self.results.append((began, name, answer))
				time.sleep(PAUSE_S)

	def answers(self, name="stay", begin=0, end=float("inf")):
		"""All answers to that name, each once."""
		return {answer for when, asked, answer in list(self.results) if asked == name and begin <= when < end}

	def answered_by(self, end, name="stay", begin=0):
		"""All answers that were there by then, each once."""
		return {answer for (when, asked, answer), ended in list(zip(self.results, self.ended)) if asked == name and begin <= when and ended < end}

	def wait_for(self, wanted, name="stay", within_s=SOON_S, since=None):
		"""When it was answered so first from now on (or since)."""
		begin = time.monotonic() if since is None else since

		def found():
			return [when for when, asked, answer in list(self.results) if asked == name and answer == wanted and when >= begin]
		try:
			node.wait_until(found, "", within_s)
		except AssertionError:
			raise AssertionError("%s: %s and not %s after %d s\n%s" % (name, self.answers(name, begin), wanted, within_s, self.lab.log_tail())) from None
		return found()[0]

	def check_only(self, wanted, name="stay", begin=0, end=float("inf")):
		"""Nothing else between begin and end; without an end: up to now, and once more from now on."""
		if end == float("inf"):
			self._wait_asked(time.monotonic())
		seen = self.answers(name, begin, end)
		assert seen == {wanted}, "%s: %s and not only %s\n%s" % (name, seen, wanted, self.lab.log_tail())


def wait_requests(api, mark, predicate, count=1, within_s=SOON_S):
	"""The requests since mark that match, as soon as there are that many."""
	node.wait_until(lambda: len(api.since(mark, predicate)) >= count, "%d requests; seen: %s" % (count, api.requests[mark:]), within_s)
	return api.since(mark, predicate)


def wait_watches(api, count, within_s=SOON_S):
	"""So many watches run and are not about to be taken up again."""
	node.wait_until(lambda: len(api.watches()) == count, "%d running watches, not %d" % (count, len(api.watches())), within_s)


def wait_counted(lab, api):
	"""The counts in status, as soon as they are of all that was told: they are written behind the answers."""
	counts = {}

	def is_there():
		counts.update(lab.counts())
		return counts.get("slice_version") == str(api.store.version) == counts.get("service_version")
	node.wait_until(is_there, "bookmarks of version %d in status" % api.store.version)
	return counts


def wait_signs(api):
	"""Each running watch has had a bookmark that was sent behind the call."""
	had = [(stream, stream.bookmarks) for stream in api.watches()]
	node.wait_until(lambda: all(stream.bookmarks >= count + 2 for stream, count in had), "bookmarks")


def mute_one(api, resource):
	"""A running watch of that resource, open and silent from here on. One that ends by itself just now is not it."""
	while True:
		node.wait_until(lambda: api.watches(resource), "a watch")
		stream = api.watches(resource)[0]
		stream.mute()
		node.wait_until(lambda: stream.is_muted or stream.request.ended.is_set(), "silence")
		if stream.is_muted:
			return stream


def moved(before, after):
	"""What went up in the counts of status, errors among them."""
	def flat(counts):
		return {**{name: value for name, value in counts.items() if isinstance(value, int)}, **counts.get("errors", {})}
	return {name: value - flat(before)[name] for name, value in flat(after).items() if isinstance(value, int) and value != flat(before)[name]}


def make_api(objects=None, **parameters):
	parameters.setdefault("token", TOKEN)
	return fakeapi.FakeApi(base_objects() if objects is None else objects, **parameters)


# ---- scenarios that mostly wait ----


def run_scenarios(tap_, scenarios):
	"""Each function of the dict in a process and namespaces of its own, several at a time, the first of the dict first; their results
	become ours."""
	if len(sys.argv) == 3 and sys.argv[1] == "--scenario":
		begin()
		scenarios[sys.argv[2]](tap_)
		return
	waiting, running = list(scenarios), {}
	while waiting or running:
		while waiting and len(running) < AT_A_TIME:
			name = waiting.pop(0)
			out = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
			running[name] = out, subprocess.Popen([sys.executable, "-u", sys.argv[0], "--scenario", name], stdout=out, stderr=out,
				preexec_fn=node._die_with_parent)
		for name, (out, process) in list(running.items()):
			if process.poll() is not None:
				del running[name]
				out.seek(0)
				adopt(tap_, name, out.read().splitlines(), process.returncode)
				out.close()
		time.sleep(0.02)


def adopt(tap_, name, lines, code):
	results, plan = [], None  # (is ok, text, lines after it)
	for line in lines:
		found = re.match(r"^(not )?ok \d+ - (.*)$", line)
		if found:
			results.append((not found.group(1), found.group(2), []))
		elif line.startswith("1.."):
			plan = int(line[3:])
		elif results and not re.match(r"^# \d+ failed, ", line):
			results[-1][2].append(line.removeprefix("# "))
	for is_ok, text, details in results:
		tap_.ok(is_ok, text)
		tap_.note("\n".join(details))
	whole = plan == len(results) and plan > 0 and (code == 0) == all(is_ok for is_ok, _, _ in results)
	if not whole:
		tap_.ok(False, "%s ran to its end" % name, "exit code %s, plan %s, %d results\n%s" % (code, plan, len(results), "\n".join(lines[-30:])))


def in_turn(*tests):
	"""Several tests as one scenario."""
	def run(tap_):
		for test in tests:
			test(tap_)
	return run


# ---- the start of each test ----


def begin():
	"""Call it first: namespaces of its own, and the scratch folder in them."""
	node.enter_namespaces()
	node.Node.scratch = node.Scratch()


def dump(value):
	return json.dumps(value, indent=1)
