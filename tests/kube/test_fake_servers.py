#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180 300
"""
The addresses that are answered for, as the API tells them: the DNS service that comes late, its endpoints and their port, the time
they are kept after they went, and who may not widen the set.
"""

import os
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fakelab  # before the modules of tests/lib: it says where they are
import cluster
import node
import packet
import podnet
import tap
from fakelab import STAY, UPSTREAM, KubeLab, base_objects, controller_labels, endpoints, full, in_turn, make_api, run_scenarios, with_labels
from lab import IDENTS
from message import Question

LONG = os.environ.get("LONG") == "1"
ENDPOINT, OTHER_ENDPOINT = "10.99.0.1", "10.99.0.2"
LINGER_S = 60
LATE_S = 20  # on a busy machine
DNS_PORTS = cluster.ports(("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"))


def dns_service(*addresses, namespace="kube-system", name="kube-dns", labels=None):
	return with_labels(cluster.service(namespace, name, DNS_PORTS, addresses or (packet.SERVER4, packet.SERVER6)), **(labels or {}))


def dns_slice(*texts, port=53, namespace="kube-system", name="kube-dns"):
	item = cluster.slice_of(namespace, name, "s0", endpoints(*texts), cluster.ports(("dns", port, "UDP"), ("dns-tcp", port, "TCP")))
	return with_labels(item, **controller_labels)


class Upstream:
	"""At one address and port, on the node; answers as podnet's."""

	def __init__(self, address, port):
		podnet.run("ip address replace %s/%d dev lo %s" % (address, 128 if ":" in address else 32, "nodad" if ":" in address else ""))
		self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
		self.socket.bind((address, port))
		self.thread = threading.Thread(target=self._serve, daemon=True)
		self.thread.start()

	def _serve(self):
		while True:
			try:
				query, source = self.socket.recvfrom(65535)
			except OSError:
				return
			self.socket.sendto(podnet.upstream_answer(query), source)


def ask_at(lab, address, port=53):
	"""`stay` of that server: addresses or UPSTREAM."""
	with podnet.inside(lab.pod):
		s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
	with s:
		s.settimeout(podnet.ANSWER_WITHIN_S)
		s.connect((address, port))
		s.send(Question(full("stay"), ident=next(IDENTS) & 0xFFFF).wire())
		try:
			return fakelab.read(s.recv(65535))
		except TimeoutError:
			return fakelab.LOST


def wait_at(lab, address, wanted, port=53, within_s=fakelab.SOON_S):
	node.wait_until(lambda: ask_at(lab, address, port) == wanted, "%s from %s:%d and not %s\n%s" % (
		wanted, address, port, ask_at(lab, address, port), lab.log_tail()), within_s)


def add_upstreams():
	for address, port in ((ENDPOINT, 53), (ENDPOINT, 5353), (OTHER_ENDPOINT, 53), (packet.SERVER4, 5353)):
		Upstream(address, port)


def flush_cache_of_addresses():
	"""Lab takes all addresses off lo at its end."""
	for address in (ENDPOINT, OTHER_ENDPOINT):
		podnet.run("ip address replace %s/32 dev lo" % address)


# ---- the service's own addresses ----


def test_late(tap_):
	with make_api() as api, KubeLab(api, servers=()) as lab:
		flush_cache_of_addresses()
		with tap_.case("no DNS service: ready, one warning that names it, everything passed on"):
			seen = [ask_at(lab, address) for address in (packet.SERVER4, packet.SERVER6)]
			assert seen == [UPSTREAM, UPSTREAM], seen
			line, = lab.lines("no server addresses")
			assert "level=warn" in line and "kube-system/kube-dns" in line, line
			assert lab.status()["servers"] == [], lab.status()["servers"]
		with tap_.case("it comes: its addresses of both families are answered for"):
			api.store.put(dns_service())
			for address in (packet.SERVER4, packet.SERVER6):
				wait_at(lab, address, STAY)
		with tap_.case("its port alone"):
			assert ask_at(lab, packet.SERVER4, 5353) == UPSTREAM
		with tap_.case("it goes: passed on at once, and told"):
			api.store.delete(dns_service())
			for address in (packet.SERVER4, packet.SERVER6):
				wait_at(lab, address, UPSTREAM)
			node.wait_until(lambda: len(lab.lines("no server addresses")) == 2, "the second line")
		with tap_.case("it comes with one family"):
			api.store.put(dns_service(packet.SERVER4))
			wait_at(lab, packet.SERVER4, STAY)
			assert ask_at(lab, packet.SERVER6) == UPSTREAM


def test_named(tap_):
	objects = base_objects() + [dns_service(namespace="openshift-dns", name="dns-default")]
	with make_api(objects) as api, KubeLab(api, ["--dns-service", "openshift-dns/dns-default"], servers=()) as lab:
		with tap_.case("--dns-service names another one"):
			wait_at(lab, packet.SERVER4, STAY)


# ---- endpoints ----


def test_endpoints(tap_):
	objects = base_objects() + [dns_service(), dns_slice(ENDPOINT)]
	with make_api(objects) as api, KubeLab(api, servers=()) as lab:
		flush_cache_of_addresses()
		with tap_.case("endpoints are answered for"):
			wait_at(lab, ENDPOINT, STAY)
			assert ask_at(lab, OTHER_ENDPOINT) == UPSTREAM
		with tap_.case("the port is that of the slice: 5353, and 53 no more"):
			api.store.put(dns_slice(ENDPOINT, port=5353))
			wait_at(lab, ENDPOINT, STAY, 5353)
			wait_at(lab, packet.SERVER4, STAY)
			assert ask_at(lab, packet.SERVER4, 5353) == UPSTREAM
			api.store.put(dns_slice(ENDPOINT))
			wait_at(lab, ENDPOINT, STAY)
		with tap_.case("one that went is still answered for, beside its successor"):
			gone = time.monotonic()
			api.store.put(dns_slice(OTHER_ENDPOINT))
			wait_at(lab, OTHER_ENDPOINT, STAY)
			for _ in range(20):
				assert ask_at(lab, ENDPOINT) == STAY, "%.1f s after it went" % (time.monotonic() - gone)
				time.sleep(0.1)
		if LONG:
			with tap_.case("and passed on after a minute"):
				# Looked at with each tenth beat, of a second each.
				node.wait_until(lambda: ask_at(lab, ENDPOINT) == UPSTREAM, "the end", LINGER_S + 10 + LATE_S)
				assert LINGER_S - 1 <= time.monotonic() - gone, time.monotonic() - gone
			api.store.put(dns_slice(ENDPOINT))
			wait_at(lab, ENDPOINT, STAY)
			api.store.put(dns_slice(OTHER_ENDPOINT))
			wait_at(lab, OTHER_ENDPOINT, STAY)
		with tap_.case("its address turns up in another Service's slice: passed on at once"):
			assert ask_at(lab, ENDPOINT) == STAY
			api.store.put(*fakelab.clusterip("successor", "10.96.9.9", ENDPOINT))
			wait_at(lab, ENDPOINT, UPSTREAM)
			assert ask_at(lab, OTHER_ENDPOINT) == STAY and ask_at(lab, packet.SERVER4) == STAY
		with tap_.case("one that is not ready is none"):
			api.store.put({**dns_slice(), "endpoints": [cluster.endpoint(OTHER_ENDPOINT), cluster.endpoint("10.99.0.3", ready=False)]})
			api.store.put(fakelab.slice_with("flip", "10.1.2.9"))
			lab.wait_answer("flip", ("10.1.2.9",), server=OTHER_ENDPOINT)  # so the other was seen before
			assert all(entry["address"] != "10.99.0.3:53" for entry in lab.status()["servers"]), lab.status()["servers"]


def test_headless_level(tap_):
	objects = base_objects() + [dns_service(), dns_slice(ENDPOINT)]
	with make_api(objects) as api, KubeLab(api, ["--answer", "headless"], servers=()) as lab:
		flush_cache_of_addresses()
		with tap_.case("at level headless the ClusterIPs alone"):
			wait_at(lab, packet.SERVER4, STAY)
			wait_at(lab, packet.SERVER6, STAY)
			assert ask_at(lab, ENDPOINT) == UPSTREAM
		with tap_.case("at level headless the service is followed as well: it goes and comes"):
			api.store.delete(dns_service())
			wait_at(lab, packet.SERVER4, UPSTREAM)
			api.store.put(dns_service())
			wait_at(lab, packet.SERVER4, STAY)


# ---- who may not ----


def test_intruders(tap_):
	"""Tenants can make Services and slices of their own, and name them as they like."""
	objects = base_objects() + [dns_service(packet.SERVER4), dns_slice(ENDPOINT)]
	lookalike = {"k8s-app": "kube-dns"}
	with make_api(objects) as api, KubeLab(api, servers=()) as lab:
		flush_cache_of_addresses()
		wait_at(lab, ENDPOINT, STAY)
		intruders = {
			"a Service of the same name in another namespace": [dns_service(packet.SERVER6, namespace="tenant")],
			"a Service with its labels in another namespace": [dns_service(packet.SERVER6, namespace="tenant", name="dns", labels=lookalike)],
			"a slice of the same name and label in another namespace": [dns_slice(OTHER_ENDPOINT, namespace="tenant")],
			"a slice of another service in its namespace": [dns_slice(OTHER_ENDPOINT, name="metrics")],
			"a slice without label": [{**dns_slice(OTHER_ENDPOINT, namespace="kube-system", name="x"), "metadata": {
				"namespace": "kube-system", "name": "kube-dns-abcde", "labels": {}}}],
		}
		for number, (name, items) in enumerate(intruders.items(), 1):
			with tap_.case(name + " widens nothing"):
				api.store.put(*items)
				# Behind it, by each of the two watches: when these are seen so is the intruder.
				behind = ("10.96.8.%d" % number,), ("10.1.2.%d" % (10 + number),)
				api.store.put(*fakelab.clusterip("behind%d" % number, *behind[0], "10.1.5.1"), fakelab.slice_with("flip", *behind[1]))
				lab.wait_answer("behind%d" % number, behind[0], server=packet.SERVER4)
				lab.wait_answer("flip", behind[1], server=packet.SERVER4)
				assert ask_at(lab, packet.SERVER6) == UPSTREAM and ask_at(lab, OTHER_ENDPOINT) == UPSTREAM
				addresses = {entry["address"] for entry in lab.status()["servers"]}
				assert addresses == {packet.SERVER4 + ":53", ENDPOINT + ":53"}, addresses
				api.store.delete(*items)


def with_upstreams(*tests):
	def run(tap_):
		podnet.run("ip address replace %s/32 dev lo" % packet.SERVER4)
		add_upstreams()
		in_turn(*tests)(tap_)
	return run


SCENARIOS = {
	"endpoints": with_upstreams(test_endpoints),
	"the service": with_upstreams(test_late, test_named),
	"others": with_upstreams(test_headless_level, test_intruders),
}

if __name__ == "__main__":
	tap.run(lambda tap_: run_scenarios(tap_, SCENARIOS))
