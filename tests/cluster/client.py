#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
A DNS client for a pod's network namespace. It judges nothing: it tells what it sent, what came back, and when.

    client.py once SERVER SECONDS   each message of the input is sent; in its order the answers, waited for so long
    client.py steady SERVER RATE    the messages in turns, RATE a second, until the input ends

The input has one message a line, as hex without its ID; for `steady` an empty line stands behind the last. Each is asked from a socket of its own, as resolvers do.
Output of `steady`, times in nanoseconds of CLOCK_MONOTONIC:

    a NUMBER HEX                    an answer that is new; `bad-id` before HEX where its ID is another
    q QUERY SENT TAKEN ANSWER       QUERY counts from 0; taken: when it was in hand. ANSWER: a number, `lost` (none within a second), `refused`
    e SKIPPED                       the end; so many could not be sent in time
"""

import contextlib
import os
import random
import resource
import select
import socket
import struct
import sys
import time

LOST_NS = 1_000_000_000
BEHIND_NS = 50_000_000  # a burst of what was missed would measure the burst
FLUSH_NS = 20_000_000
SO_TIMESTAMPNS = 35
LOST, REFUSED = "lost", "refused"


class Query:
	"""One question under way."""

	def __init__(self, server, number, wire, lost_ns=LOST_NS):
		self.number, self.lost_ns = number, lost_ns
		self.ident = struct.pack("!H", random.getrandbits(16))
		self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
		self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
		self.is_sent = True
		self.sent_ns = time.monotonic_ns()
		try:
			self.socket.connect((server, 53))
			self.sent_ns = time.monotonic_ns()
			self.socket.send(self.ident + wire)
		except OSError:  # no route, or a rule's reject
			self.is_sent = False

	def take(self):
		"""The answer's octets, REFUSED, LOST when its time is over, None: nothing yet."""
		if not self.is_sent:
			return REFUSED
		try:
			data, control, _, _ = self.socket.recvmsg(65535, 64)
		except BlockingIOError:
			return LOST if time.monotonic_ns() - self.sent_ns >= self.lost_ns else None
		except OSError:
			return REFUSED
		return data if self._came_ns(control) - self.sent_ns < self.lost_ns else LOST

	@staticmethod
	def _came_ns(control):
		"""By the kernel's stamp: one that waited for this process is not late."""
		for level, kind, data in control:
			if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
				seconds, nanoseconds = struct.unpack("=qq", data)
				return time.monotonic_ns() - (time.time_ns() - seconds * 1_000_000_000 - nanoseconds)
		return time.monotonic_ns()

	def close(self):
		self.socket.close()


class Steady:
	def __init__(self, server, rate, wires):
		self.server, self.wires = server, wires
		self.period_ns = 1_000_000_000 // rate
		self.epoll = select.epoll()
		self.epoll.register(sys.stdin.fileno(), select.EPOLLIN)
		self.open = {}  # descriptor -> Query, oldest first
		self.answers = {}
		self.lines = []
		self.flushed_ns = 0
		self.sent = self.skipped = 0
		self.is_ending = False

	def run(self):
		with contextlib.suppress(PermissionError):  # it watches others: on a busy machine it must not be what is late
			os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
		due_ns = time.monotonic_ns()
		while not self.is_ending or self.open:
			now_ns = time.monotonic_ns()
			if now_ns > due_ns + BEHIND_NS:
				self.skipped += (now_ns - due_ns) // self.period_ns
				due_ns = now_ns
			while due_ns <= now_ns and not self.is_ending:
				self._send()
				due_ns += self.period_ns
			self._receive(due_ns)
			self._expire()
			self._flush(FLUSH_NS)
		self.lines.append("e %d" % self.skipped)
		self._flush(0)

	def _send(self):
		query = Query(self.server, self.sent, self.wires[self.sent % len(self.wires)])
		self.sent += 1
		if not self._try(query):
			self.open[query.socket.fileno()] = query
			self.epoll.register(query.socket.fileno(), select.EPOLLIN | select.EPOLLERR)

	def _try(self, query):
		"""True when it is over."""
		answer = query.take()
		if answer is None:
			return False
		taken_ns = time.monotonic_ns()
		query.close()
		self.lines.append("q %d %d %d %s" % (query.number, query.sent_ns, taken_ns, answer if isinstance(answer, str) else self._number_of(query, answer)))
		return True

	def _number_of(self, query, answer):
		text = ("" if answer[:2] == query.ident else "bad-id ") + answer[2:].hex()
		if text not in self.answers:
			self.answers[text] = len(self.answers)
			self.lines.append("a %d %s" % (self.answers[text], text))
		return self.answers[text]

	def _receive(self, due_ns):
		wait_s = 0.05 if self.is_ending else max(0, due_ns - time.monotonic_ns()) / 1e9
		for descriptor, _ in self.epoll.poll(wait_s):
			if descriptor == sys.stdin.fileno():
				self.epoll.unregister(descriptor)
				self.is_ending = True
			elif self._try(self.open[descriptor]):
				del self.open[descriptor]

	def _expire(self):
		oldest_ns = time.monotonic_ns() - LOST_NS
		for descriptor, query in list(self.open.items()):
			if query.sent_ns > oldest_ns:
				break
			if self._try(query):
				del self.open[descriptor]

	def _flush(self, after_ns):
		now_ns = time.monotonic_ns()
		if self.lines and now_ns >= self.flushed_ns + after_ns:
			print("\n".join(self.lines), flush=True)
			self.lines, self.flushed_ns = [], now_ns


def ask(server, wire, within_s):
	query = Query(server, 0, wire, within_s * 1_000_000_000)
	while True:
		answer = query.take()
		if answer is not None:
			query.close()
			return answer
		select.select([query.socket], [], [], within_s)


def read_wires():
	return [bytes.fromhex(line) for line in iter(lambda: sys.stdin.readline().strip(), "")]


def main():
	mode, server, *rest = sys.argv[1:]
	_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
	resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a second's questions without an answer
	wires = read_wires()
	if mode == "once":
		for wire in wires:
			answer = ask(server, wire, int(rest[0]))
			print(answer if isinstance(answer, str) else answer[2:].hex())
	else:
		Steady(server, int(rest[0]), wires).run()


if __name__ == "__main__":
	main()
