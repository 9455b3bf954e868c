#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180 180
"""
--answer headless: nothing is asked of the API server but what headless names need, and objects that move from one selector to
another, or are in two of them, are neither lost nor kept too long.
"""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fakelab  # before the modules of tests/lib: it says where they are
import cluster
import fakeapi
import node
import packet
import tap
from fakeapi import SERVICES, SLICES
from fakelab import STAY, UPSTREAM, VIP, Asking, KubeLab, controller_labels, endpoints, headless_label, in_turn, make_api, run_scenarios, wait_watches, with_labels
from message import PTR

# No slice is in both: the controller's by its label, and all that others write.
HEADLESS_SLICES = ("", "service.kubernetes.io/headless,endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io")
FOREIGN_SLICES = ("", "endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io")
HEADLESS_SERVICES = ("spec.clusterIP=None", "")
DNS_PORTS = cluster.ports(("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"))
HEADLESS = ["--answer", "headless"]


def dns_service(*addresses):
	return cluster.service("kube-system", "kube-dns", DNS_PORTS, addresses or (packet.SERVER4, packet.SERVER6))


def is_dns_service_only(request):
	"""By the path or by a field, and always by the name."""
	fields = request.selectors[0].split(",")
	is_there = request.namespace == "kube-system" or "metadata.namespace=kube-system" in fields
	return request.resource is SERVICES and "metadata.name=kube-dns" in fields and is_there and not request.selectors[1]


def test_requests(tap_):
	objects = fakelab.base_objects() + [dns_service()] + fakelab.clusterip("big", "10.96.8.8", *("10.9.0.%d" % i for i in range(1, 200)))
	with make_api(objects) as api, KubeLab(api, HEADLESS, servers=()) as lab:
		with tap_.case("headless: four watches, each with its selector, and no other request"):
			wait_watches(api, 4)
			assert len(api.requests) == 4, api.requests
			rest = [request for request in api.requests if not is_dns_service_only(request)]
			assert len(rest) == 3, "one for the DNS service alone: %s" % api.requests
			asked = {(request.resource, request.selectors) for request in rest}
			assert asked == {(SERVICES, HEADLESS_SERVICES), (SLICES, HEADLESS_SLICES), (SLICES, FOREIGN_SLICES)}, rest
			assert all(request.is_streaming_list and not request.namespace for request in rest), rest
		with tap_.case("headless: only headless names are answered; ClusterIPs and PTR are passed on"):
			assert lab.ask("stay") == STAY
			assert lab.ask("vip") == UPSTREAM and lab.ask("10-1-4-1.vip.lab.svc.cluster.local") == UPSTREAM
			assert lab.ask("1.1.1.10.in-addr.arpa", PTR) == UPSTREAM
			status = lab.status()
			assert status["services"] <= 4, "nothing of other services is kept: %s" % status["services"]
		with tap_.case("headless: nothing of a ClusterIP service's slices crosses the wire"):
			before = lab.counts()["octets"]
			api.store.put(fakelab.slice_with("stay", *STAY))
			node.wait_until(lambda: lab.counts()["octets"] > before, "the change of a headless service")
			after = lab.counts()["octets"]
			item = fakelab.clusterip("big", "10.96.8.8", "10.9.0.1")
			api.store.put(*item)
			api.store.put(fakelab.slice_with("flip", "10.1.2.77"))
			lab.wait_answer("flip", ("10.1.2.77",))
			assert lab.counts()["octets"] - after < 2048, lab.counts()["octets"] - after


def test_both_synced(tap_):
	"""Hand-made slices come by another watch than the controller's: until both told all, an answer could lack addresses."""
	service, = [cluster.service("lab", "mixed")]
	own = with_labels(cluster.slice_of("lab", "mixed", "own", endpoints("10.5.0.1")), **controller_labels, **headless_label)
	foreign = cluster.slice_of("lab", "mixed", "foreign", endpoints("10.5.0.2"))
	for name, selectors in (("the controller's", HEADLESS_SLICES), ("the other", FOREIGN_SLICES)):
		with make_api([service, own, foreign]) as api:
			rule = api.on(lambda request: request.selectors == selectors, fakeapi.silence)
			with KubeLab(api, HEADLESS, is_ready=False) as lab, Asking(lab, "mixed") as asking, \
					tap_.case("headless: without %s slices nothing is answered" % name):
				wait_watches(api, 3)  # the other ones
				begin = len(asking.results)
				node.wait_until(lambda: len(asking.results) > begin + 60, "60 questions")
				assert asking.answers("mixed") == {UPSTREAM}, asking.answers("mixed")
				rule.end()
				api.cut_all()
				asking.wait_for(("10.5.0.1", "10.5.0.2"), "mixed")
				assert asking.answers("mixed") == {UPSTREAM, ("10.5.0.1", "10.5.0.2")}, asking.answers("mixed")


def labelled(labels, *texts):
	return with_labels(cluster.slice_of("lab", "mover", "s0", endpoints(*texts)), **labels)


OWN = {**controller_labels, **headless_label}
FOREIGN = {"endpointslice.kubernetes.io/managed-by": "somebody.else"}
BOTH = {**FOREIGN, **headless_label}
NEITHER = dict(controller_labels)
ONE, TWO = ("10.6.0.1",), ("10.6.0.2",)
NUMBERS = itertools.count()

# The labels before and after; whether it is still seen.
MOVES = {
	"from the controller's to a foreign one": (OWN, FOREIGN, True),
	"from a foreign one to the controller's": (FOREIGN, OWN, True),
	"a foreign one gets the label": (FOREIGN, BOTH, True),
	"a foreign one with the label becomes the controller's": (BOTH, OWN, True),
	"a foreign one loses the label": (BOTH, FOREIGN, True),
	"one that nobody claims is claimed": ({}, OWN, True),
	"out of sight": (OWN, NEITHER, False),
	"into sight": (NEITHER, OWN, True),
}


def test_moves(tap_):
	service = cluster.service("lab", "mover")
	with make_api([service, *fakelab.base_objects()], bookmark_s=0.2) as api, KubeLab(api, HEADLESS) as lab:
		for name, (before, after, is_seen) in MOVES.items():
			for late in (HEADLESS_SLICES, FOREIGN_SLICES):
				late_name = "the label's" if late == HEADLESS_SLICES else "the foreign"
				with tap_.case("%s; %s watch tells it later" % (name, late_name)):
					move(lab, api, before, after, is_seen, late)


def streams_by(api, selectors):
	return [stream for stream in api.watches(SLICES) if stream.request.selectors == selectors]


def move(lab, api, before, after, is_seen, late):
	api.store.put(labelled(before, *ONE))
	lab.wait_answer("mover", UPSTREAM if before is NEITHER else ONE)
	settle(lab, api)
	stream, = streams_by(api, late)
	other, = streams_by(api, FOREIGN_SLICES if late == HEADLESS_SLICES else HEADLESS_SLICES)
	released = stream.pause()
	node.wait_until(lambda: stream.is_paused, "the pause")
	api.store.put(labelled(after, *TWO))
	node.wait_until(lambda: other.version == api.store.version, "what the other watch has to tell")
	released.set()
	settle(lab, api)
	lab.wait_answer("mover", TWO if is_seen else UPSTREAM)
	api.store.delete(labelled(after, *TWO))
	settle(lab, api)
	lab.wait_answer("mover", UPSTREAM)
	assert lab.ask("stay") == STAY


def settle(lab, api):
	"""Both slice watches have told everything and the agent has taken it: later changes of both are seen."""
	number = next(NUMBERS)
	texts = "10.250.%d.1" % number, "10.251.%d.1" % number
	slices = [cluster.slice_of("lab", "marker", name, endpoints(text)) for name, text in zip(("own", "foreign"), texts)]
	api.store.put(cluster.service("lab", "marker"), with_labels(slices[0], **OWN), with_labels(slices[1], **FOREIGN))
	lab.wait_answer("marker", texts)


def test_services_move(tap_):
	"""A headless service that is made anew with a ClusterIP is none of ours at this level, and the other way round."""
	with make_api([*fakelab.headless("turn", "10.7.0.1"), *fakelab.base_objects()]) as api, KubeLab(api, HEADLESS) as lab:
		with tap_.case("a service that is headless no more is passed on, and answered when it is headless again"):
			lab.wait_answer("turn", ("10.7.0.1",))
			api.store.put(cluster.service("lab", "turn", cluster_ips=(VIP,)))
			lab.wait_answer("turn", UPSTREAM)
			api.store.put(cluster.service("lab", "turn"))
			lab.wait_answer("turn", ("10.7.0.1",))
		with tap_.case("a relist of one watch takes nothing away that another one holds"), Asking(lab, "stay", "turn") as asking:
			foreign = cluster.slice_of("lab", "turn", "foreign", endpoints("10.7.0.2"))
			api.store.put(foreign)
			lab.wait_answer("turn", ("10.7.0.1", "10.7.0.2"))
			asking.wait_for(("10.7.0.1", "10.7.0.2"), "turn")
			begin = max(when for when, _, _ in asking.results)
			for selectors in (HEADLESS_SLICES, FOREIGN_SLICES):
				stream, = streams_by(api, selectors)
				mark = api.mark()
				stream.error(410, "Expired", "too old resource version: 1 (2)")
				fakelab.wait_requests(api, mark, fakeapi.lists)
				node.wait_until(lambda s=selectors: streams_by(api, s) and stream not in api.watches(), "its watch")
				settle(lab, api)
			asking.check_only(("10.7.0.1", "10.7.0.2"), "turn", begin + 0.001)
			asking.check_only(STAY)


SCENARIOS = {
	"moves": test_moves,
	"what is asked": in_turn(test_requests, test_services_move),
	"both synced": test_both_synced,
}

if __name__ == "__main__":
	tap.run(lambda tap_: run_scenarios(tap_, SCENARIOS))
