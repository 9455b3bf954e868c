# SPDX-License-Identifier: Apache-2.0
"""The agent on a node of node.py, following the API server of a World (realkube.py)."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "datapath")]

import bpf
import node
import packet
import test_coredns
from message import A, Question
from real_coredns import addresses_of, coredns_addresses

MTU, SMALL_MTU = test_coredns.MTU, test_coredns.SMALL_MTU
SYNC_WITHIN_S = 120


class KubeNode(node.Node):
	"""The agent following a World's API server; server addresses are those of the DNS Service that is there."""

	def __init__(self, world, arguments=(), mtus=(MTU, SMALL_MTU), kubeconfig="nodens"):
		super().__init__([], arguments, mtus)
		self.world, self.kubeconfig = world, world.kubeconfigs[kubeconfig]

	def source(self):
		return "kube:" + self.kubeconfig

	def command(self):
		return [node.binary(), "run", "--source", self.source(), "--interface", "pods", *self.arguments, "--bpffs", str(self.dir)]

	def _spawn(self, notify_path):
		self.spawned_at = time.monotonic()
		self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, preexec_fn=self.before_exec,
			env={**os.environ, "NOTIFY_SOCKET": notify_path})

	def reopen(self):
		"""The programs and maps of the generation that is current now."""
		self._close()
		self._open()

	def addresses(self, name, qtype=A):
		"""A or AAAA records of a name by a test run; None where it is passed on."""
		frame = packet.query_frame(Question(name, qtype).wire())
		code, out = self.tc.run(frame, self.ifindex)
		return addresses_of(packet.check_answer_frame(frame, out)) if code == bpf.TC_ACT_REDIRECT else None

	def status(self):
		done = subprocess.run([node.binary(), "status", "-o", "json", "--bpffs", self.dir], stdout=subprocess.PIPE, check=False)
		return json.loads(done.stdout)

	def sync(self, within_s=SYNC_WITHIN_S):
		"""Waits until CoreDNS and the agent have seen all that was written so far."""
		name, addresses = self.world.put_marker()
		self.write_source()
		node.wait_until(lambda: coredns_addresses(name) == addresses, "CoreDNS has seen all", within_s)

		def has_seen():
			if self.process.poll() is not None:
				raise RuntimeError("the agent ended:\n%s" % self.log_text())
			self.reopen()
			return self.addresses(name) == addresses
		try:
			node.wait_until(has_seen, "the agent has seen all", within_s)
		except AssertionError as e:
			raise AssertionError("%s\n%s" % (e, self.log_text()[-3000:])) from None

	def write_source(self):
		pass


class FileNode(KubeNode):
	"""The same over a file, which is written anew at each sync: tells a fault of the source from one of what follows it."""

	def source(self):
		self.write_source()
		return "file:%s" % self.file

	def command(self):
		return [*super().command(), "--server", packet.SERVER4, "--server", packet.SERVER6]

	def write_source(self):
		self.write(self.world.objects())


def node_class():
	return FileNode if os.environ.get("KUBE_SOURCE") == "file" else KubeNode
