# SPDX-License-Identifier: Apache-2.0
"""Questions to a running CoreDNS, many at a time, and its answers in the form of the recorded ones."""

import select
import socket
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "datapath")]

import dns.message

import message
import test_coredns
from message import A, AAAA, TC, Question

COREDNS = ("127.0.0.1", 53)
SILENCE_S = 2.0
AWAKE_WITHIN_S = 60
SO_RCVBUFFORCE = 33


def recorded(wire):
	"""A message in the form of the recorded answers."""
	read = dns.message.from_wire(wire, one_rr_per_rrset=True)
	flags = struct.unpack_from("!H", wire, 2)[0]
	sections = {name: test_coredns.recorded_form([(rrset.name, rrset.ttl, rrset[0]) for rrset in getattr(read, name)])
		for name in ("answer", "authority", "additional")}
	opt = None
	if read.opt is not None:
		opt = {"version": read.edns, "size": read.payload, "z": read.ednsflags & 0xFFFF,
			"options": [[option.otype, option.to_wire().hex()] for option in read.options]}
	return {"flags": [name for name, bit in message.FLAGS.items() if flags & bit], "rcode": flags & 15, "opt": opt, **sections}


def ask_tcp(wire):
	with socket.create_connection(COREDNS, AWAKE_WITHIN_S) as stream:
		stream.sendall(struct.pack("!H", len(wire)) + wire)
		with stream.makefile("rb") as lines:
			return lines.read(struct.unpack("!H", lines.read(2))[0])


def wait_awake():
	"""Until CoreDNS answers something: then it is not its turn on a busy machine that others wait for."""
	with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
		s.connect(COREDNS)
		s.settimeout(AWAKE_WITHIN_S)
		s.send(Question("awake.cluster.local").wire())
		s.recv(65535)


class Pipe:
	"""Questions to CoreDNS over one socket, some at a time. What is not answered soon no longer keeps others from being sent."""

	WINDOW, SOON_S = 24, 0.2

	def __init__(self, wires):
		self.wires, self.answers = wires, [None] * len(wires)
		self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
		self.socket.connect(COREDNS)

	def run(self):
		window, following = set(), 0
		with self.socket:
			while following < len(self.wires) or window:
				while following < len(self.wires) and len(window) < self.WINDOW:
					self.socket.send(self.wires[following])
					window.add(following)
					following += 1
				if not self._receive(self.SOON_S, window):
					wait_awake()
					if not self._receive(self.SOON_S, window):
						window.clear()
			wait_awake()
			while None in self.answers and self._receive(SILENCE_S, window):
				pass
		return self.answers

	def _receive(self, within_s, window):
		if not select.select([self.socket], [], [], within_s)[0]:
			return False
		wire = self.socket.recv(65535)
		number = struct.unpack_from("!H", wire)[0]
		self.answers[number] = wire
		window.discard(number)
		return True


def ask_coredns(asked):
	"""Rows as in the recorded answers: q, a (None: CoreDNS kept silent), tcp where a was truncated."""
	rows = []
	for begin in range(0, len(asked), 0x10000):
		part = asked[begin : begin + 0x10000]
		wires = [test_coredns.question_of(q, number).wire() for number, q in enumerate(part)]
		for q, wire, answer in zip(part, wires, Pipe(wires).run()):
			rows.append({"q": q, "a": recorded(answer) if answer else None})
			if answer and answer[2] & (TC >> 8):
				rows[-1]["tcp"] = recorded(ask_tcp(wire))
	return rows


def addresses_of(wire):
	return sorted(rdata.address for _, _, rdata in message.Answer(wire).answer if rdata.rdtype in (A, AAAA))


def coredns_addresses(name):
	with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
		s.connect(COREDNS)
		s.settimeout(0.5)
		try:
			s.send(Question(name).wire())
			return addresses_of(s.recv(65535))
		except OSError:  # not there yet
			return None
