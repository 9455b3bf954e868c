# SPDX-License-Identifier: Apache-2.0
"""
The load on a node under test: tests/tools/load.c as a process, the file it shares with the test, and the objects whose
versions their addresses tell. The layout of the file is read from tests/tools/load_shared.h.
"""

import json
import mmap
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import cluster
import node
import packet
import podnet

BUILD = Path(os.environ.get("BUILD", "build"))
TOOL = node.ROOT / BUILD / "tests/tools/load"
SLOW_READER = node.ROOT / BUILD / "survive/slow_reader.bpf.o"
READY_WITHIN_S = 60
ENDS_WITHIN_S = 30
U64 = struct.Struct("=Q")

_HEADER = (node.ROOT / "tests/tools/load_shared.h").read_text()


def _define(name):
	return int(re.search(r"^#define %s (\d+)$" % name, _HEADER, re.MULTILINE).group(1))


def _members(name):
	"""Names of the __u64 members of a struct of them alone, in order."""
	body = re.search(r"struct %s \{(.*?)^\};" % name, _HEADER, re.MULTILINE | re.DOTALL).group(1)
	body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
	return [word for line in re.findall(r"__u64 ([^;]+);", body) for word in line.split(", ")]


ROUND, VERSION = _members("load_round"), _members("load_version")
CONTROL = ("should_stop", "round", "is_ready")
ROUNDS, VERSIONS = _define("LOAD_ROUNDS"), _define("LOAD_VERSIONS")
ROUNDS_AT = 8 * len(CONTROL)
VERSIONS_AT = ROUNDS_AT + 8 * len(ROUND) * ROUNDS
LENGTH = VERSIONS_AT + 8 * len(VERSION) * VERSIONS


def now():
	"""Nanoseconds of the clock that the generator uses."""
	return time.monotonic_ns()


def count(name, version, fewest, most):
	mixed = (name * 0x9E3779B9 & 0xFFFFFFFF) ^ (version * 0x85EBCA6B & 0xFFFFFFFF)
	return fewest + (mixed >> 8) % (most - fewest + 1)


def address(name, version, index):
	return "%d.%d.%d.%d" % (16 + (version >> 12), name << 1 | index >> 4, version >> 4 & 255, (version & 15) << 4 | index & 15)


def service(name, version, fewest, most):
	addresses = [address(name, version, i) for i in range(count(name, version, fewest, most))]
	return cluster.headless("load", "n%d" % name, [cluster.endpoint(a) for a in addresses])


class Shape:
	"""So many names of so many addresses."""

	def __init__(self, names, fewest, most):
		self.names, self.fewest, self.most = names, fewest, most

	def objects(self, version):
		return [o for name in range(self.names) for o in service(name, version, self.fewest, self.most)]


class Load:
	"""Runs from __enter__ to stop(). Round 0 is what it takes until the network of a new pod works."""

	def __init__(self, scratch, pod, shape, rate, slow=None):
		self.pod, self.shape, self.rate, self.slow = pod, shape, rate, slow
		self.path = scratch / "load"
		with open(self.path, "wb") as f:
			f.truncate(LENGTH)
		with open(self.path, "r+b") as f:
			self.memory = mmap.mmap(f.fileno(), LENGTH)
		self.set_version(1, "begin_ns", 1)
		self.errors = open(scratch / "load.errors", "w+", encoding="ascii")
		self.process = None
		self.result = {}

	def __enter__(self):
		command = [TOOL, self.path, podnet.net_path(self.pod), packet.SERVER4, self.rate, self.shape.names, self.shape.fewest,
			   self.shape.most]
		if self.slow:
			command += [SLOW_READER, *self.slow]
		self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=self.errors, text=True,
						preexec_fn=node._die_with_parent)
		try:
			node.wait_until(lambda: self.round(0)["missed"] or self.process.poll() is not None, "an answer of the upstream", READY_WITHIN_S)
		except AssertionError as e:
			raise RuntimeError("%s\n%s" % (e, self._network())) from None
		if self.process.poll() is not None:
			raise RuntimeError("the load ended: " + self.error_text())
		return self

	def _network(self):
		"""How it looks on both sides."""
		words = ("ip -s link", "ip address", "ip route", "ip neighbour")
		return "\n".join([podnet.run(w, check=False) for w in words] + [podnet.pod_run(self.pod, w, check=False) for w in words])

	def __exit__(self, *_):
		if self.process and self.process.poll() is None:
			self.process.kill()
			self.process.wait()
		self.errors.close()
		self.memory.close()

	def error_text(self):
		self.errors.seek(0)
		return self.errors.read()

	def stop(self):
		"""What the process tells beside the counters of the rounds."""
		self._put(0, 1)
		output, _ = self.process.communicate(timeout=ENDS_WITHIN_S)
		if self.process.returncode:
			raise RuntimeError("the load failed: " + self.error_text())
		self.result = json.loads(output)
		return self.result

	# ---- the shared file ----

	def _get(self, word):
		return U64.unpack_from(self.memory, 8 * word)[0]

	def _put(self, word, value):
		U64.pack_into(self.memory, 8 * word, value)

	def begin_round(self, number):
		self._put(1, number)

	def round(self, number):
		words = struct.unpack_from("=%dQ" % len(ROUND), self.memory, ROUNDS_AT + 8 * len(ROUND) * number)
		return dict(zip(ROUND, words))

	def total(self, numbers):
		rounds = [self.round(number) for number in numbers]
		total = {name: sum(r[name] for r in rounds) for name in ROUND}
		total.update({name: max(r[name] for r in rounds) for name in ("oldest_ns", "slowest_ns")})
		return total

	def set_round(self, number, name, value):
		U64.pack_into(self.memory, ROUNDS_AT + 8 * (len(ROUND) * number + ROUND.index(name)), int(value))

	def _version_at(self, version, name):
		return VERSIONS_AT + 8 * (len(VERSION) * version + VERSION.index(name))

	def version(self, version, name):
		return U64.unpack_from(self.memory, self._version_at(version, name))[0]

	def set_version(self, version, name, value):
		U64.pack_into(self.memory, self._version_at(version, name), int(value))


def describe(r):
	"""One line of a round, as people read it."""
	seconds = max(1, r["ended_ns"] - r["began_ns"]) / 1e9
	kinds = ["%s %d" % (name, r[name]) for name in ("torn", "foreign", "early", "stale", "spoken", "late") if r[name]]
	return "sent %d (%.0f/s), answered %d, passed %d, lost %d, wrong %d, oldest %.0f ms, slowest %.0f ms%s" % (
		r["sent"], r["sent"] / seconds, r["answered"], r["passed"], r["lost"], r["wrong"], r["oldest_ns"] / 1e6,
		r["slowest_ns"] / 1e6, "; " + ", ".join(kinds) if kinds else "")
