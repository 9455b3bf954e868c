# SPDX-License-Identifier: Apache-2.0
"""
What a busy machine takes from a process of the agent's priority (node.BEFORE_OTHERS), measured beside the agent: a test that
holds a time against a limit allows so much on top, and no more.

	with Stalls() as stalls:
		mark = stalls.mark()
		...
		stalls.lost_s(mark)

One process on each CPU does what the agent has to wait for as well, over and over: a sleep of a moment, a grace period, the end of
an inotify (a work queue), and where asked for the lock of the network. Rounds that take longer than usual are the machine's: CPUs
that a host gives to others, kernel threads that are late. What the agent does with its own time makes none of them longer; kernel work that it causes may, so a
fault of that kind is to be planted where this is used: an agent that waits for each of 250 links to be off still takes 3.7 s.
"""

import ctypes
import mmap
import os
import platform
import struct
import signal
import subprocess
import sys
import tempfile
import time

import bpf

SLEEP_S = 0.002
# A round on a machine that is not busy, and some more.
USUAL_NS = 25_000_000
SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
MEMBARRIER_CMD_GLOBAL = 1
U64 = struct.Struct("=Q")
ROUNDS, BEGAN, LOST, LONGEST = range(4)
PR_SET_PDEATHSIG = 1
IN_CREATE = 0x100
READY_WITHIN_S = 60


class Stalls:
	def __init__(self, nice, ifindex=0):
		"""ifindex: its hook is asked for, under the lock of the network."""
		self.arguments, self.processes, self.memories = [str(nice), str(ifindex)], [], []

	def __enter__(self):
		for cpu in sorted(os.sched_getaffinity(0)):
			with tempfile.TemporaryFile() as f:
				f.truncate(mmap.PAGESIZE)
				self.memories.append(mmap.mmap(f.fileno(), mmap.PAGESIZE))
				self.processes.append(subprocess.Popen([sys.executable, __file__, str(f.fileno()), str(cpu), *self.arguments], pass_fds=[f.fileno()]))
		deadline = time.monotonic() + READY_WITHIN_S
		while not all(self._get(memory, ROUNDS) for memory in self.memories):
			assert time.monotonic() < deadline, "no rounds of a process on each CPU"
			time.sleep(0.005)
		return self

	def __exit__(self, *_):
		for process in self.processes:
			process.kill()
			process.wait()

	@staticmethod
	def _get(memory, word):
		return U64.unpack_from(memory, 8 * word)[0]

	def _current_ns(self, memory):
		"""Beyond the usual, of the round that is not at its end."""
		return max(0, time.monotonic_ns() - self._get(memory, BEGAN) - USUAL_NS)

	def mark(self):
		return [self._get(memory, LOST) for memory in self.memories]

	def lost_s(self, mark):
		"""Since then, in all, on the CPU that lost most."""
		return max(self._get(memory, LOST) - before + self._current_ns(memory) for memory, before in zip(self.memories, mark)) / 1e9

	def longest_ns(self):
		"""The longest round since the start, beyond the usual."""
		return max(max(self._get(memory, LONGEST), self._current_ns(memory)) for memory in self.memories)


def measure(memory, cpu, nice, ifindex):
	def put(word, value):
		U64.pack_into(memory, 8 * word, value)
	libc, number = ctypes.CDLL(None, use_errno=True), SYS_MEMBARRIER.get(platform.machine())
	libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
	os.setpriority(os.PRIO_PROCESS, 0, nice)
	os.sched_setaffinity(0, {cpu})
	lost = longest = rounds = 0
	while True:
		began = time.monotonic_ns()
		put(BEGAN, began)
		time.sleep(SLEEP_S)
		if ifindex:
			bpf.tcx_programs(ifindex)
		if number:
			libc.syscall(number, MEMBARRIER_CMD_GLOBAL, 0, 0)
		inotify = libc.inotify_init1(0)
		libc.inotify_add_watch(inotify, b"/", IN_CREATE)
		os.close(inotify)
		over = time.monotonic_ns() - began - USUAL_NS
		rounds += 1
		if over > 0:
			lost += over
			longest = max(longest, over)
			put(LONGEST, longest)
			put(LOST, lost)
		put(ROUNDS, rounds)


if __name__ == "__main__":
	measure(mmap.mmap(int(sys.argv[1]), mmap.PAGESIZE), *map(int, sys.argv[2:]))
