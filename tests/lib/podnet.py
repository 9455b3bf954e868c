# SPDX-License-Identifier: Apache-2.0
"""
Inside a pod of node.py: addresses and routes, sockets that live in its namespace, its counters, and a DNS client. And on
the node: an upstream resolver that keeps every octet it gets.
"""

import contextlib
import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import threading
import time

import node
import packet

CLONE_NEWNET = 0x40000000
ANSWER_WITHIN_S = 10.0 * node.PATIENCE  # what is lost is lost for ever: only a very busy machine comes near it
NODE4, NODE6 = "10.0.1.1", "fd00:10:0:1::1"
# The upstream's answers carry this, and no answer of ours does.
UPSTREAM_ADDRESS = "192.0.2.53"

_libc = ctypes.CDLL(None, use_errno=True)


def run(*command, check=True):
	"""Output of a command (one string: split at blanks, or several arguments)."""
	words = command[0].split() if len(command) == 1 else [str(word) for word in command]
	done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
	if check and done.returncode:
		raise AssertionError("%s: %s" % (" ".join(words), done.stdout))
	return done.stdout


def net_path(pod):
	return "/proc/%d/ns/net" % pod.process.pid


def pod_run(pod, *command, check=True):
	words = command[0].split() if len(command) == 1 else command
	return run("nsenter", "--net=" + net_path(pod), *words, check=check)


def _setns(path):
	fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
	try:
		if _libc.setns(fd, CLONE_NEWNET):
			number = ctypes.get_errno()
			raise OSError(number, os.strerror(number), path)
	finally:
		os.close(fd)


def inside(pod):
	"""This thread in the pod's network namespace: sockets made here stay there."""
	return inside_net(net_path(pod))


@contextlib.contextmanager
def inside_net(path):
	own = "/proc/thread-self/ns/net"
	back = os.open(own, os.O_RDONLY | os.O_CLOEXEC)
	_setns(path)
	try:
		yield
	finally:
		_libc.setns(back, CLONE_NEWNET)
		os.close(back)


def sysctl(name, value):
	"""In the network namespace of this thread."""
	with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as f:
		f.write(str(value))


def skip_dad(interface):
	"""No duplicate address detection on an interface that is still down ("default": on those made later): for a second or
	two it keeps a router from asking for neighbours."""
	sysctl("net.ipv6.conf.%s.accept_dad" % interface, 0)


def wait_local(*addresses, pod=None):
	"""Until IPv6 addresses just given are served: the kernel adds their routes later, from a work queue, and has none till then."""
	def is_local(address):
		words = "ip -6 route get %s" % address
		return (pod_run(pod, words, check=False) if pod else run(words, check=False)).startswith("local ")
	for address in addresses:
		node.wait_until(lambda: is_local(address), "a local route for %s" % address)  # pylint: disable=cell-var-from-loop


def configure(pod):
	"""The pod's addresses, the node's on the other end, default routes by it; and the server addresses on the node."""
	for address, prefix in ((NODE4, 24), (NODE6, 64)):
		run("ip address add %s/%d dev %s %s" % (address, prefix, pod.name, "nodad" if ":" in address else ""))
	configure_pod(pod)
	wait_local(NODE6)
	configure_servers()


def configure_pod(pod, address4=packet.POD4, address6=packet.POD6, gateway4=NODE4, gateway6=NODE6):
	with inside(pod):
		skip_dad("eth0")
	pod_run(pod, "ip link set lo up")
	pod_run(pod, "ip link set eth0 up")
	pod_run(pod, "ip address add %s/24 dev eth0" % address4)
	pod_run(pod, "ip address add %s/64 dev eth0 nodad" % address6)
	pod_run(pod, "ip route replace default via %s" % gateway4)
	pod_run(pod, "ip -6 route replace default via %s" % gateway6)
	wait_local(address6, pod=pod)


@contextlib.contextmanager
def fixed_gateway(pod):
	"""Neither end asks for the other's MAC address: beside a program at the veth's egress that drops all there is, the answer
	to the pod's question and the node's own question would be lost too, and nothing could be sent once the entry is old."""
	def mac(words):
		return json.loads(words("ip -j link show dev " + (pod.name if words is run else "eth0")))[0]["address"]

	def inner(words):
		return pod_run(pod, words)
	ends = ((inner, "eth0", mac(run), (NODE4, NODE6)), (run, pod.name, mac(inner), (packet.POD4, packet.POD6)))
	for words, interface, address_of_other, addresses in ends:
		for address in addresses:
			words("ip neighbour replace %s lladdr %s dev %s nud permanent" % (address, address_of_other, interface))
	yield
	for words, interface, _, addresses in ends:
		for address in addresses:
			words("ip neighbour del %s dev %s" % (address, interface))


def configure_servers():
	run("ip address replace %s/32 dev lo" % packet.SERVER4)
	run("ip address replace %s/128 dev lo nodad" % packet.SERVER6)
	wait_local(packet.SERVER6)


def offload(interface, is_on, pod=None):
	"""Checksum offload of sending, as ethtool -K has it."""
	words = "ethtool -K %s tx %s" % (interface, "on" if is_on else "off")
	pod_run(pod, words) if pod else run(words)


def checksum_errors(pod):
	"""Datagrams that the pod's stack dropped for a wrong checksum, of both families."""
	root = "/proc/%d/net/" % pod.process.pid
	with open(root + "snmp", encoding="ascii") as f:
		names, values = [line.split() for line in f if line.startswith("Udp:")]
	total = int(values[names.index("InCsumErrors")])
	with open(root + "snmp6", encoding="ascii") as f:
		fields = dict(line.split() for line in f)
	return total + int(fields["Udp6InCsumErrors"])


class Background:
	"""_run() of a subclass in a thread of its own, which ends with the `with` around it: _run() looks at _ending."""

	def __init__(self):
		self._ending = threading.Event()
		self._thread = threading.Thread(target=self._run, daemon=True)

	def __enter__(self):
		self._thread.start()
		return self

	def __exit__(self, *_):
		self._ending.set()
		self._thread.join(ANSWER_WITHIN_S + 20)


class Client:
	"""A UDP socket in the pod, connected to the server unless told otherwise."""

	def __init__(self, pod, family=4, is_connected=True, server=None):
		self.family = family
		self.server = (server or (packet.SERVER4 if family == 4 else packet.SERVER6), 53)
		with inside(pod):
			self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
		if is_connected:
			self.socket.connect(self.server)
		self.is_connected = is_connected

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.socket.close()

	def send(self, message):
		return self.socket.send(message) if self.is_connected else self.socket.sendto(message, self.server)

	def receive(self, within_s=ANSWER_WITHIN_S):
		"""(message, address it came from), or (None, None)."""
		readable, _, _ = select.select([self.socket], [], [], within_s)
		if not readable:
			return None, None
		try:
			message, source = self.socket.recvfrom(65535)
		except ConnectionRefusedError:
			return None, None
		return message, source[:2]

	def ask(self, message, within_s=ANSWER_WITHIN_S):
		self.send(message)
		return self.receive(within_s)[0]


class Upstream:
	"""A server on the node's addresses, UDP and TCP, both families. Keeps (payload, source address) of each datagram and
	answers with the query turned into a response, one A record with UPSTREAM_ADDRESS behind the question if there is one."""

	def __init__(self, addresses=(packet.SERVER4, packet.SERVER6)):
		self.seen = []
		self.seen_tcp = []
		self._stopping = threading.Event()
		self._datagram, self._listening = [], []
		for address in addresses:
			family = socket.AF_INET6 if ":" in address else socket.AF_INET
			for kind, sockets in ((socket.SOCK_DGRAM, self._datagram), (socket.SOCK_STREAM, self._listening)):
				s = socket.socket(family, kind)
				s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
				s.bind((address, 53))
				sockets.append(s)
		for s in self._listening:
			s.listen(8)
		self._thread = threading.Thread(target=self._serve, daemon=True)
		self._thread.start()

	def close(self):
		self._stopping.set()
		self._thread.join(5)
		for s in self._datagram + self._listening:
			s.close()

	def _serve(self):
		while not self._stopping.is_set():
			readable, _, _ = select.select(self._datagram + self._listening, [], [], 0.1)
			for s in readable:
				(self._serve_datagram if s in self._datagram else self._serve_stream)(s)

	def _serve_datagram(self, s):
		payload, source = s.recvfrom(65535)
		self.seen.append((payload, source[0]))
		s.sendto(upstream_answer(payload), source)

	def _serve_stream(self, s):
		connection, source = s.accept()
		with connection:
			connection.settimeout(ANSWER_WITHIN_S)
			payload = connection.recv(65535)[2:]
			self.seen_tcp.append((payload, source[0]))
			answer = upstream_answer(payload)
			connection.sendall(struct.pack("!H", len(answer)) + answer)

	def take(self):
		"""What was seen since the last call."""
		seen, self.seen = self.seen, []
		return seen

	def wait_for(self, count, within_s=ANSWER_WITHIN_S):
		deadline = time.monotonic() + within_s
		while len(self.seen) < count and time.monotonic() < deadline:
			time.sleep(0.005)
		return self.take()


def upstream_answer(query):
	if len(query) < 12:
		return query + b"upstream"
	record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04" + packet.pack_address(UPSTREAM_ADDRESS)
	counts = query[4:12]
	if counts == b"\0\1" + bytes(6):  # then it is an answer that a client can read
		counts = b"\0\1\0\1" + bytes(4)
	return query[:2] + bytes([query[2] | 0x80]) + query[3:4] + counts + query[12:] + record


def is_from_upstream(message):
	return message is not None and message.endswith((packet.pack_address(UPSTREAM_ADDRESS), b"upstream"))
