#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240 240
"""
The first state: what the agent asks for, streaming lists on and off, and lists that fail. Until all of it is there a pod sees the
upstream alone; then every name is answered, each checked in full.
"""

import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fakelab  # before the modules of tests/lib: it says where they are
import fakeapi
import message
import node
import oracle
import podnet
import tap
from fakeapi import SERVICES, SLICES
from fakelab import STAY, UPSTREAM, Asking, KubeLab, base_objects, in_turn, make_api, run_scenarios, wait_watches
from lab import IDENTS
from message import A, AAAA, SRV, Edns, Question

MANY = 300  # services: both lists are above 128 KiB
TRICKLES_WITHIN_S = 20  # else the agent takes the server for silent


def many_objects():
	objects = []
	for i in range(MANY):
		objects += fakelab.headless("svc%d" % i, *("10.2.%d.%d" % (i // 80, i % 80 * 3 + j) for j in range(1, 4)))
	return objects + base_objects()


def check(question, wire, entry):
	assert wire is not None and not podnet.is_from_upstream(wire), "no answer of ours"
	message.check_answer(question, wire, entry, question.limit(4, 1500))


def ask_everything(lab, objects):
	"""Every name the objects make, A, AAAA and SRV; the failures."""
	failures, asked = [], 0
	entries = oracle.Oracle(objects)
	names = ["%s.%s.svc.cluster.local" % (item["metadata"]["name"], item["metadata"]["namespace"]) for item in objects if item["kind"] == "Service"]
	with podnet.Client(lab.pod) as client:
		for name in names:
			for qtype in (A, AAAA, SRV):
				question = Question(name, qtype, ident=next(IDENTS) & 0xFFFF, edns=Edns(1232))
				asked += 1
				try:
					check(question, client.ask(question.wire()), entries.find(name))
				except AssertionError as e:
					failures.append("%s %d: %s" % (name, qtype, e))
	return asked, failures


def check_all(tap_, lab, objects, name):
	asked, failures = ask_everything(lab, objects)
	tap_.none_of(failures, "%s: all %d questions are answered in full" % (name, asked))


def lists_of(api, resource):
	return [request for request in api.requests if request.resource is resource and fakeapi.lists(request)]


def plain_lists(request):
	return not request.is_watch


# ---- what is asked ----


def test_streaming(tap_):
	with make_api() as api, KubeLab(api) as lab:
		with tap_.case("streaming: one request for each resource, nothing else; no limit, no selector at level services"):
			wait_watches(api, 2)
			assert len(api.requests) == 2 and {request.resource for request in api.requests} == {SERVICES, SLICES}, api.requests
			for request in api.requests:
				query = request.query
				assert request.is_streaming_list and query["resourceVersionMatch"] == "NotOlderThan" and "limit" not in query, request
				assert query.get("allowWatchBookmarks") in ("1", "true") and request.selectors == ("", "") and not request.namespace, request
				assert int(query.get("timeoutSeconds", "0")) >= 60, "a watch that lasts: %s" % request
		with tap_.case("streaming: it says who it is"):
			assert all(request.headers.get("user-agent", "").startswith("nodens/") for request in api.requests), api.requests[0].headers
			assert all("json" in request.headers.get("accept", "") for request in api.requests), api.requests[0].headers
		check_all(tap_, lab, base_objects(), "streaming")


def test_plain(tap_):
	objects = many_objects()
	with make_api(objects, streaming="off") as api, KubeLab(api) as lab:
		with tap_.case("422 for sendInitialEvents: a list at resourceVersion 0, gzip asked for, and a watch from its version"):
			wait_watches(api, 2)
			for resource in (SERVICES, SLICES):
				asked = [request for request in api.requests if request.resource is resource]
				assert [request.status for request in asked] == [422, 200, 200], asked
				_, plain, watch = asked
				assert plain.version == "0" and not plain.is_watch and "gzip" in plain.headers.get("accept-encoding", ""), plain.headers
				assert "limit" not in plain.query, "limit with resourceVersion 0 is not heeded: %s" % plain
				assert fakeapi.watches(watch) and watch.version == str(api.store.version), watch
		check_all(tap_, lab, objects, "list and watch")
		with tap_.case("list and watch: changes are followed; 410 in the watch: a list not older than the last version, no 422 again"):
			fakelab.wait_watches(api, 2)
			api.store.put(fakelab.slice_with("flip", "10.1.9.9"))
			lab.wait_answer("flip", ("10.1.9.9",))
			version, mark = api.store.version, api.mark()
			api.watches(SLICES)[0].error(410, "Expired", "too old resource version: 1 (2)")
			api.store.put(fakelab.slice_with("flip", "10.1.9.10"))
			lab.wait_answer("flip", ("10.1.9.10",))
			plain, = fakelab.wait_requests(api, mark, plain_lists)
			assert int(plain.version) >= version and plain.query.get("resourceVersionMatch") == "NotOlderThan", plain
		with tap_.case("list and watch: gzip was counted as it came over the wire"):
			size = len(json.dumps(objects))
			assert 0 < lab.counts()["octets"] < size, (lab.counts()["octets"], size)


def test_unknown_parameter(tap_):
	"""Servers before 1.27 do not know sendInitialEvents. They refuse resourceVersionMatch in a watch (400 or 422)."""
	with make_api() as api:
		refused = fakeapi.respond(400, "BadRequest", "resourceVersionMatch is forbidden for watch")
		api.on(lambda request: request.is_streaming_list, refused)
		with KubeLab(api) as lab:
			check_all(tap_, lab, base_objects(), "400 for sendInitialEvents")
			with tap_.case("400 for sendInitialEvents: tried once for each resource"):
				assert sum(request.status == 400 for request in api.requests) == 2, api.requests


def is_next_page(request):
	return "continue" in request.query


def test_pages(tap_):
	with make_api(streaming="off") as api:
		api.page_size = 2
		with KubeLab(api) as lab:
			check_all(tap_, lab, base_objects(), "a list that comes in pages of 2")
			with tap_.case("a list that comes in pages of 2: each page is asked for once"):
				assert [len(api.since(0, fakeapi.both(fakeapi.of(resource), is_next_page))) for resource in (SERVICES, SLICES)] == [1, 1], api.requests
	with make_api(streaming="off") as api:
		api.page_size = 1
		rule = api.on(fakeapi.both(fakeapi.of(SLICES), is_next_page), fakeapi.respond(410), times=1)
		with KubeLab(api, is_ready=False) as lab, Asking(lab) as asking, tap_.case("410 for a page: the list begins anew, nothing of the first one is answered before"):
			asking.wait_for(STAY)
			lab.wait_ready()
			_, failures = ask_everything(lab, base_objects())
			assert not failures and rule.hits == 1 and asking.answers() <= {UPSTREAM, STAY}, failures


# ---- lists that fail ----

STREAMING, PLAIN = "streaming list", "plain list"


def once(action):
	return lambda api, predicate: api.on(predicate, action, times=1)


def change_first(old, new):
	"""In the first body, or each line, that has it."""
	return once(fakeapi.transform(lambda octets: octets.replace(old, new, 1)))


# The fault of the first list of slices, whether for streaming and plain lists, and what is counted.
FAULTS = {
	"cut in the middle": (once(fakeapi.chop(3000)), (STREAMING, PLAIN), "cut"),
	"cut before the body": (once(fakeapi.chop(0)), (STREAMING, PLAIN), "cut"),
	"text/plain 429 with Retry-After": (once(fakeapi.respond_text(retry_after_s=1)), (STREAMING, PLAIN), "throttled"),
	"500": (once(fakeapi.respond(500)), (STREAMING, PLAIN), "failed"),
	"503": (once(fakeapi.respond(503)), (STREAMING, PLAIN), "failed"),
	"403 right after the server's start": (once(fakeapi.respond(403)), (STREAMING, PLAIN), "refused"),
	"410 in a list": (once(fakeapi.respond(410)), (PLAIN,), "expired"),
	"not JSON": (change_first(b'"metadata":', b'"metadata";'), (STREAMING, PLAIN), "malformed"),
	"another kind of list": (change_first(b'"EndpointSliceList"', b'"PodMetricsList"'), (PLAIN,), "malformed"),
	"items that are a text": (change_first(b'"items":[', b'"items":"",['), (PLAIN,), "malformed"),
}


def test_faults(tap_, kind):
	"""Each with an agent of its own that starts into it."""
	for name, (fault, kinds, counted) in FAULTS.items():
		if kind in kinds:
			test_fault(tap_, kind, name, fault, counted)


def test_fault(tap_, kind, name, fault, counted):
	is_list = plain_lists if kind == PLAIN else (lambda request: request.is_streaming_list)
	with make_api(streaming="on" if kind == STREAMING else "off") as api:
		fault(api, fakeapi.both(fakeapi.of(SLICES), is_list))
		with KubeLab(api, is_ready=False) as lab, Asking(lab, "stay") as asking, tap_.case("%s, %s: nothing but the upstream, then all" % (kind, name)):
			asking.wait_for(STAY)
			assert asking.answers() <= {UPSTREAM, STAY}, asking.answers()
			lab.wait_ready()
			_, failures = ask_everything(lab, base_objects())
			assert not failures, "\n".join(failures)
			errors = {key: value for key, value in lab.counts()["errors"].items() if value}
			assert errors == {counted: 1}, errors


def test_retry_after(tap_):
	with make_api() as api:
		rule = api.on(fakeapi.of(SLICES), fakeapi.respond_text(retry_after_s=2), times=1)
		with KubeLab(api, is_ready=False) as lab, tap_.case("Retry-After is waited for, and little more"):
			lab.wait_ready()
			first, second = [request.time for request in api.requests if request.resource is SLICES][:2]
			assert rule.hits == 1 and 2 <= second - first < 8, "%.2f s between" % (second - first)


def test_nameless(tap_):
	"""An object whose name cannot be told shuts the gate until it is gone."""
	with make_api(streaming="off") as api:
		rule = api.on(fakeapi.both(fakeapi.of(SLICES), plain_lists), fakeapi.transform(lambda body: body.replace(b'"name":"gone-s0"', b'"name":17')))
		with KubeLab(api, is_ready=False) as lab, Asking(lab) as asking, tap_.case("an item without a name: everything is passed on, status says why"):
			node.wait_until(lambda: lab.lines("name") and len(api.watches()) == 2, "the watches")
			node.wait_until(lambda: "name" in lab.status()["gate_reason"], "the reason in status")
			asking.check_only(UPSTREAM)
			rule.end()
			wait_watches(api, 2)
			api.watches(SLICES)[0].error(410, "Expired", "too old resource version: 1 (2)")
			asking.wait_for(STAY)


def test_trickle(tap_):
	"""A list of 4 KiB at 0.4 ms an octet, from when somebody asks."""
	is_asked = threading.Event()

	def act(exchange):
		is_asked.wait(TRICKLES_WITHIN_S)
		fakeapi.trickle(0.0004)(exchange)
	with make_api(streaming="off") as api:
		api.on(fakeapi.both(fakeapi.of(SLICES), plain_lists), act, times=1)
		with KubeLab(api, is_ready=False) as lab, Asking(lab) as asking, tap_.case("a list that trickles is waited for; nothing is answered before its end"):
			asking.wait_for(UPSTREAM)
			is_asked.set()
			asking.wait_for(STAY)
			assert asking.answers() == {UPSTREAM, STAY}, asking.answers()
			assert len(lists_of(api, SLICES)) == 2, "the streaming one and the list: %s" % api.requests
			lab.wait_ready()
			assert not any(lab.counts()["errors"].values()), lab.counts()


def test_half_synced(tap_):
	"""Services are there, slices are not: nothing may be answered, NXDOMAIN and NODATA included."""
	with make_api() as api:
		rule = api.on(fakeapi.of(SLICES), fakeapi.silence)
		with KubeLab(api, is_ready=False) as lab, Asking(lab, "stay", "vip") as asking, tap_.case("one resource alone is no state: everything is passed on"):
			node.wait_until(lambda: api.watches(SERVICES), "the services' watch")
			begin = len(asking.results)
			node.wait_until(lambda: len(asking.results) > begin + 100, "100 questions")
			assert {answer for _, _, answer in asking.results} == {UPSTREAM}
			assert not lab.is_said_ready()
			node.wait_until(lambda: lab.status()["gate"] == "not-synced", "the gate in status")
			assert api.url in lab.status()["gate_reason"], lab.status()["gate_reason"]
			rule.end()
			api.cut_all()
			asking.wait_for(STAY)


def test_empty(tap_):
	with make_api([]) as api, KubeLab(api) as lab, tap_.case("an empty cluster is a state: ready, everything passed on; the first object is answered"):
		assert lab.ask("stay") == UPSTREAM
		wait_watches(api, 2)
		api.store.put(*base_objects())
		lab.wait_answer("stay", STAY)
		counts = lab.counts()
		assert not any(counts["errors"].values()) and not counts["relists"], counts


SCENARIOS = {
	"faults of plain lists": lambda tap_: test_faults(tap_, PLAIN),
	"faults of streaming lists": lambda tap_: test_faults(tap_, STREAMING),
	"what is asked": in_turn(test_streaming, test_plain, test_unknown_parameter, test_pages),
	"waiting": in_turn(test_retry_after, test_nameless, test_trickle, test_half_synced, test_empty),
}

if __name__ == "__main__":
	tap.run(lambda tap_: run_scenarios(tap_, SCENARIOS))
