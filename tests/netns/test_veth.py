#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 300
"""
Real sockets in a pod, a real veth, the agent attached by `--interface pods`: what a test run of the program cannot make.
Checksums that are left to the device, GSO and non-linear packets, policies on the veth's egress, misses on their way to the
upstream, MTU changes.
"""

import itertools
import os
import socket
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import message
import node
import packet
import podnet
import tap
from lab import FAMILIES, NAME, OBJECTS, UNKNOWN, Lab, Sniffer, ask_all, check, question, questions
from message import AAAA, Edns, Question

SOL_UDP, UDP_SEGMENT = 17, 103
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
OFFLOAD_ROUNDS = 40

# ---- checksums ----


def test_offloads(tap_, lab):
	for on_node, on_pod, family in itertools.product((True, False), (True, False), FAMILIES):
		podnet.offload(lab.pod.name, on_node)
		podnet.offload("eth0", on_pod, lab.pod)
		errors, before = podnet.checksum_errors(lab.pod), lab.counters.read()
		name = "tx offload %s on the node's end, %s on the pod's, IPv%d" % (on_node and "on" or "off", on_pod and "on" or "off", family)
		with tap_.case(name + ": every answer arrives"):
			ask_all(lab.pod, family, OFFLOAD_ROUNDS)
			wrong = podnet.checksum_errors(lab.pod) - errors
			assert wrong == 0, "%d datagrams with a wrong checksum" % wrong
			moved = lab.moved(before)
			assert sum(moved.values()) == len(questions()) * OFFLOAD_ROUNDS and set(moved) == set(node.ANSWERS), moved
		with tap_.case(name + ": the query's checksum is %s" % ("left to the device" if on_pod else "full")):
			check_kind(lab, family, on_pod)
	podnet.offload(lab.pod.name, True)
	podnet.offload("eth0", True, lab.pod)


def check_kind(lab, family, is_partial_wanted):
	"""That the case is what it says."""
	sniffer = Sniffer(lab.pod.name)
	asked = question("one")
	try:
		with podnet.Client(lab.pod, family) as client:
			check(asked, client.ask(asked.wire()), family)
		_, is_partial = sniffer.find(asked.wire())
	finally:
		sniffer.close()
	assert is_partial == is_partial_wanted, "left to the device: %s" % is_partial


def test_without_checksum(tap_, lab):
	with tap_.case("a query over IPv4 without a checksum gets an answer with a right one"):
		errors = podnet.checksum_errors(lab.pod)
		with podnet.Client(lab.pod) as client:
			client.socket.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
			for asked in questions() * 10:
				check(asked, client.ask(asked.wire()), 4)
		assert podnet.checksum_errors(lab.pod) == errors


# ---- segments and fragments of memory ----


def send_segmented(client, queries):
	"""All in one send, cut by the kernel into datagrams."""
	size = len(queries[0])
	assert all(len(query) == size for query in queries)
	client.socket.setsockopt(SOL_UDP, UDP_SEGMENT, size)
	client.send(b"".join(queries))


def test_segments(tap_, lab):
	for family in FAMILIES:
		before = lab.counters.read()
		with tap_.case("one segment of UDP_SEGMENT over IPv%d is answered" % family), podnet.Client(lab.pod, family) as client:
			asked = question("three")
			send_segmented(client, [asked.wire()])
			check(asked, client.receive()[0], family)
			assert lab.moved(before) == {"answered": 1}, lab.moved(before)
		for count in (2, 4):
			with tap_.case("%d segments over IPv%d are passed on: each arrives at the upstream and is answered by it" % (count, family)):
				check_segments(lab, family, count)


def check_segments(lab, family, count):
	queries = [question("three").wire() for _ in range(count)]
	lab.upstream.take()
	before = lab.counters.read()
	with podnet.Client(lab.pod, family) as client:
		send_segmented(client, queries)
		seen = [payload for payload, _ in lab.upstream.wait_for(count)]
		assert seen == queries, "sent %s\nseen %s" % (queries, seen)
		answers = sorted(client.receive()[0] for _ in queries)
	assert answers == sorted(map(podnet.upstream_answer, queries)), answers
	assert lab.moved(before) == {"segments": 1}, lab.moved(before)


def send_by_sendfile(client, query, scratch):
	path = scratch / "query"
	path.write_bytes(query)
	with open(path, "rb") as f:
		os.sendfile(client.socket.fileno(), f.fileno(), 0, len(query))


def send_by_splice(client, query, _):
	read_end, write_end = os.pipe()
	try:
		os.write(write_end, query)
		os.splice(read_end, client.socket.fileno(), len(query))
	finally:
		os.close(read_end)
		os.close(write_end)


def send_zerocopy(client, query, _):
	client.socket.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
	client.socket.send(query, MSG_ZEROCOPY)


def test_fragmented_memory(tap_, lab):
	ways = (("sendfile", send_by_sendfile), ("splice", send_by_splice), ("MSG_ZEROCOPY", send_zerocopy))
	for family, (name, send) in itertools.product(FAMILIES, ways):
		with tap_.case("a query sent by %s over IPv%d is answered" % (name, family)), podnet.Client(lab.pod, family) as client:
			before = lab.counters.read()
			for asked in questions():
				send(client, asked.wire(), node.Node.scratch.path)
				check(asked, client.receive()[0], family)
			assert set(lab.moved(before)) == set(node.ANSWERS), lab.moved(before)


# ---- sockets ----


def test_sockets(tap_, lab):
	for family in FAMILIES:
		with tap_.case("a connected socket takes answers over IPv%d" % family):
			ask_all(lab.pod, family)
		with tap_.case("the answer's source is the address that was asked, IPv%d" % family):
			with podnet.Client(lab.pod, family, is_connected=False) as client:
				asked = question("three")
				client.send(asked.wire())
				wire, source = client.receive()
				check(asked, wire, family)
				assert source == client.server, source
		with tap_.case("A and AAAA back to back on one socket, IPv%d" % family), podnet.Client(lab.pod, family) as client:
			for _ in range(100):
				check_pair(client, family)


def check_pair(client, family):
	pair = {asked.ident: asked for asked in (question("three"), question("three", AAAA))}
	for asked in pair.values():
		client.send(asked.wire())
	for _ in range(2):
		wire, _ = client.receive()
		assert wire is not None, "no answer"
		check(pair.pop(int.from_bytes(wire[:2], "big")), wire, family)


def dig(lab, *arguments):
	return podnet.pod_run(lab.pod, "dig", "@" + packet.SERVER4, "+tries=1", "+timeout=%d" % podnet.ANSWER_WITHIN_S, *arguments)


def test_dig(tap_, lab):
	with tap_.case("dig prints the three addresses"):
		out = dig(lab, "+short", NAME % "three")
		assert sorted(out.split()) == ["10.1.0.1", "10.1.0.2", "10.1.0.3"], out
	with tap_.case("dig shows status, flags and the AAAA records of a query over IPv6"):
		out = podnet.pod_run(lab.pod, "dig", "@" + packet.SERVER6, "+tries=1", "+timeout=%d" % podnet.ANSWER_WITHIN_S, NAME % "three", "AAAA")
		assert "status: NOERROR" in out and "flags: qr aa rd;" in out and out.count("fd00:1::") == 2, out
	with tap_.case("after a truncated answer dig comes back over TCP and gets the upstream's"):
		lab.upstream.seen_tcp.clear()
		out = dig(lab, "+noedns", "+short", NAME % "many")
		assert out.strip() == podnet.UPSTREAM_ADDRESS, out
		assert [source for _, source in lab.upstream.seen_tcp] == [packet.POD4], lab.upstream.seen_tcp


# ---- policies on the way out ----


def test_dropping_egress(tap_, lab):
	"""A CNI's ingress policy for the pod sits on the egress of the node's end and never saw the query."""
	pin = node.Node.scratch.path / "bpf" / "drop"
	fd = bpf.prog_load_verdict(bpf.TC_ACT_SHOT, "test_drop")
	bpf.obj_pin(fd, pin)
	os.close(fd)
	miss = Question(UNKNOWN, ident=77)
	with podnet.fixed_gateway(lab.pod), podnet.Client(lab.pod) as client:
		with tap_.case("without the program the upstream's answer arrives"):
			assert podnet.is_from_upstream(client.ask(miss.wire()))
		podnet.run("tc qdisc add dev %s clsact" % lab.pod.name)
		podnet.run("tc filter add dev %s egress bpf direct-action object-pinned %s" % (lab.pod.name, pin))
		try:
			for family in FAMILIES:
				with tap_.case("a dropping program on the veth's egress loses no answer over IPv%d" % family):
					ask_all(lab.pod, family, 10)
			with tap_.case("the same program drops the upstream's answers"):
				lab.upstream.take()
				answer = client.ask(miss.wire(), 0.5)
				assert answer is None, answer
				assert lab.upstream.wait_for(1) == [(miss.wire(), packet.POD4)]
		finally:
			podnet.run("tc qdisc del dev %s clsact" % lab.pod.name)
			pin.unlink()
		with tap_.case("the answers are still ours when the qdisc is gone"):
			ask_all(lab.pod, 4)


# ---- misses ----


def misses():
	known = question("three")
	return {
		"a name outside of the zone": Question(UNKNOWN).wire(),
		"a name that the cluster does not have": Question(NAME % "nothing").wire(),
		"mixed case, EDNS, cookie": Question("WwW.eXample.COM", edns=Edns(1232, options=((message.COOKIE, bytes(range(24))),))).wire(),
		"class CH": question("three", qclass=3).wire(),
		"EDNS version 1": question("three", edns=Edns(version=1)).wire(),
		"an option we do not know": question("three", edns=Edns(options=((8, b"\0\1\0\0"),))).wire(),
		"two questions": question("three", questions=2).wire(),
		"a response": question("three", flags=message.QR).wire(),
		"opcode UPDATE": question("three", flags=5 << 11).wire(),
		"octets behind the message": question("three", extra=b"\0").wire(),
		"a message that ends within the name": known.wire()[:20],
		"a header alone": known.wire()[:12],
		"eleven octets": known.wire()[:11],
		"no octet": b"",
		"octets that are no DNS": bytes(range(256)),
		"1,472 octets": known.wire() + bytes(range(256)) * 5 + bytes(1472 - 1280 - len(known.wire())),
		"4,000 octets, in fragments": known.wire() + bytes(4000),
	}


def test_misses(tap_, lab):
	for family, (name, payload) in itertools.product(FAMILIES, misses().items()):
		with tap_.case("passed on over IPv%d as it is, and answered by the upstream: %s" % (family, name)):
			with podnet.Client(lab.pod, family) as client:
				lab.upstream.take()
				answer = client.ask(payload)
				seen = lab.upstream.wait_for(1)
				assert seen == [(payload, packet.POD4 if family == 4 else packet.POD6)], seen
				assert answer == podnet.upstream_answer(payload), answer


def test_alternating(tap_, lab):
	with tap_.case("hits and misses in turn on one socket, 200 each"), podnet.Client(lab.pod) as client:
		lab.upstream.take()
		for _ in range(200):
			asked = question("three")
			check(asked, client.ask(asked.wire()), 4)
			assert podnet.is_from_upstream(client.ask(Question(UNKNOWN).wire()))
		assert len(lab.upstream.take()) == 200


def test_tcp(tap_, lab):
	for family, server in ((4, packet.SERVER4), (6, packet.SERVER6)):
		with tap_.case("TCP goes to the upstream, also for a name that we know, IPv%d" % family):
			query = question("three").wire()
			lab.upstream.seen_tcp.clear()
			with podnet.inside(lab.pod):
				connection = socket.create_connection((server, 53), podnet.ANSWER_WITHIN_S)
			with connection:
				connection.sendall(struct.pack("!H", len(query)) + query)
				answer = connection.recv(65535)[2:]
			assert answer == podnet.upstream_answer(query), answer
			assert [payload for payload, _ in lab.upstream.seen_tcp] == [query], lab.upstream.seen_tcp


# ---- MTU ----


def set_mtu(lab, mtu):
	podnet.pod_run(lab.pod, "ip link set eth0 mtu %d" % mtu)
	began = time.monotonic()
	podnet.run("ip link set %s mtu %d" % (lab.pod.name, mtu))
	node.wait_until(lambda: lab.interface(lab.pod.ifindex)[0] == mtu, "the new MTU in the datapath")
	return time.monotonic() - began


def test_mtu(tap_, lab):
	for mtu, verdict in ((9000, "answered"), (1500, "truncated"), (1280, "truncated"), (9000, "answered"), (1500, "truncated")):
		with tap_.case("with an MTU of %d, 100 addresses are %s" % (mtu, verdict)):
			tap_.note("taken over after %.1f ms" % (set_mtu(lab, mtu) * 1000))
			for family in FAMILIES:
				asked = question("many", edns=Edns(4096))
				with podnet.Client(lab.pod, family) as client:
					got = check(asked, client.ask(asked.wire()), family, mtu)
				assert got == verdict, got


def main(tap_):
	node.enter_namespaces()
	with Lab(OBJECTS) as lab:
		for test in (test_sockets, test_dig, test_offloads, test_without_checksum, test_segments, test_fragmented_memory,
			     test_dropping_egress, test_misses, test_alternating, test_tcp, test_mtu):
			test(tap_, lab)


if __name__ == "__main__":
	tap.run(main)
