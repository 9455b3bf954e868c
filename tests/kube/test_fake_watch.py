#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240 240
"""
Faults in running watches, each with what a pod sees meanwhile, what the agent asks for afterwards and what it counts. The API
server is a scripted one.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fakelab  # before the modules of tests/lib: it says where they are
import cluster
import fakeapi
import node
import podnet
import tap
from fakeapi import SERVICES, SLICES
from fakelab import STAY, UPSTREAM, Asking, KubeLab, addresses, full, headless, make_api, moved, run_scenarios, slice_with, wait_watches
from fakestore import event_line
from lab import IDENTS
from message import Edns, Question

FAULTS_EACH = 4  # of an agent: it waits longer after each answer that makes no sense
THIRDS = iter(range(10, 250))  # a new set of addresses for each change
ONE_ENDPOINT = 100  # octets of JSON, about
LINE_PIECE = 1 << 20


def cut_in_line(stream):
	stream.cut(b'{"type":"MODIFIED","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"na')


def a_line(text):
	return lambda stream: stream.send(text.encode() + b"\n")


def event_of(kind, **metadata):
	return json.dumps({"type": kind, "object": {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata}})


RESUMED, RELISTED, EITHER = "resumed", "relisted", "either"

# What happens to the watch of the slices, how it goes on, and what is counted for it (None: nothing).
FAULTS = {
	"cut in the middle of a line": (cut_in_line, RESUMED, "cut"),
	"cut between two events": (lambda stream: stream.cut(), RESUMED, "cut"),
	"a reset connection": (lambda stream: stream.cut(is_reset=True), RESUMED, "cut"),
	"a clean end": (lambda stream: stream.end(), RESUMED, None),
	"HTTP framing that is none": (lambda stream: stream.send_raw(b"zz\r\nnothing\r\n"), RESUMED, "cut"),
	"410 in an ERROR event": (lambda stream: stream.error(410, "Expired", "too old resource version: 1 (2)"), RELISTED, "expired"),
	"500 in an ERROR event": (lambda stream: stream.error(500, "InternalError", "etcdserver: request timed out"), EITHER, "failed"),
	"a line of garbage": (a_line("garbage {]"), EITHER, "malformed"),
	"half an event as a whole line": (a_line('{"type":"MODIFIED","object":{"kind":'), EITHER, "malformed"),
	"an event that is a list": (a_line("[]"), EITHER, "malformed"),
	"an event whose type is a number": (a_line('{"type":17,"object":{}}'), EITHER, "malformed"),
	"an object whose name is a number": (a_line(event_of("MODIFIED", namespace="lab", name=17, resourceVersion="9")), EITHER, "malformed"),
}


def last_told(api, resource):
	"""What a watch that was told everything must go on from."""
	return max([event.version for event in api.store.history if event.resource is resource], default=0)


def test_fault(tap_, lab, api, name):
	fault, how, counted = FAULTS[name]
	new = tuple(sorted(addresses(next(THIRDS))))
	with tap_.case("%s: old answers meanwhile, then the new ones; %s" % (name, how)), Asking(lab) as asking:
		wait_watches(api, 2)
		lab.wait_answer("gone", ("10.1.3.1",))
		before = fakelab.wait_counted(lab, api)
		stream, = api.watches(SLICES)
		mark, told = api.mark(), last_told(api, SLICES)
		fault(stream)
		node.wait_until(stream.request.ended.is_set, "the end of the watch")
		api.store.put(slice_with("flip", *new))
		api.store.delete(slice_with("gone", "10.1.3.1"))
		lab.wait_answer("flip", new)
		lab.wait_answer("gone", UPSTREAM)
		asking.check_only(STAY)
		check_requests(api, mark, how, told)
		up = moved(before, fakelab.wait_counted(lab, api))
		check_counts(up, how, counted)
		tap_.note("%s: %s" % (name, {key: value for key, value in up.items() if not key.endswith("_ms") and key != "octets"}))
	api.store.put(slice_with("gone", "10.1.3.1"))
	check_error_is_over(tap_, lab, name)


def check_requests(api, mark, how, told):
	asked = api.since(mark)
	assert asked and all(request.resource is SLICES for request in asked), "only slices are asked for again: %s" % asked
	relists = [request for request in asked if fakeapi.lists(request)]
	assert len(asked) <= 3, "a few requests: %s" % asked
	if how == RESUMED:
		assert not relists, "no relist: %s" % asked
	if how == RELISTED:
		assert relists, "a relist: %s" % asked
	assert all(int(request.version or 0) >= told for request in asked), "not back behind %d: %s" % (told, asked)


def check_counts(up, how, counted):
	errors = {key: up[key] for key in ("connect", "cut", "silent", "refused", "throttled", "failed", "expired", "malformed") if key in up}
	assert errors == ({} if counted is None else {counted: 1}), "counted: %s of %s" % (errors, up)
	assert (how != RESUMED or "relists" not in up) and (how != RELISTED or up.get("relists") == 1), "relists: %s" % up


def check_error_is_over(tap_, lab, name):
	with tap_.case("%s: afterwards status has no error" % name):
		node.wait_until(lambda: lab.status()["source_error"] == "", "no error in status: %s" % lab.status()["source_error"])


# ---- single events ----


def test_ignored(tap_, lab, api):
	with tap_.case("events and objects of kinds that are not ours are ignored, and nothing is asked for again"), Asking(lab) as asking:
		stream, = api.watches(SLICES)
		mark, before = api.mark(), lab.counts()
		stream.send(b'{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"namespace":"lab","name":"p","resourceVersion":"5"}}}\n')
		change(lab, api)
		asking.check_only(STAY)
		assert not api.since(mark) and "malformed" not in moved(before, lab.counts()), (api.since(mark), lab.counts())


def change(lab, api, within_s=fakelab.SOON_S):
	new = tuple(sorted(addresses(next(THIRDS))))
	api.store.put(slice_with("flip", *new))
	lab.wait_answer("flip", new, within_s)


# Objects that can be named and not understood.
BROKEN = {
	"endpoints that are a text": {"endpoints": "none"},
	"an address that is a number": {"endpoints": [{"addresses": [17]}]},
	"an address that is none": {"endpoints": [{"addresses": ["10.1.2"]}]},
	"a port that is a text": {"ports": [{"name": "http", "port": "80", "protocol": "TCP"}]},
}


def test_broken(tap_, lab, api):
	for name, fields in BROKEN.items():
		with tap_.case("%s: the names of that service are passed on, the others answered, and again when it is whole" % name), Asking(lab) as asking:
			stream, = api.watches(SLICES)
			mark = api.mark()
			item = {**slice_with("flip", "10.1.2.1"), **fields}
			item["metadata"] = {**item["metadata"], "resourceVersion": str(api.store.touch())}
			stream.send(event_line("MODIFIED", item))
			lab.wait_answer("flip", UPSTREAM)
			node.wait_until(lambda: lab.lines("lab/flip-s0"), "a warning that names it:\n" + lab.log_tail())
			change(lab, api)
			asking.check_only(STAY)
			assert not api.since(mark), "nothing is asked for again: %s" % api.since(mark)


# ---- how it arrives ----


def test_trickle(tap_, lab, api):
	new = tuple(sorted(addresses(next(THIRDS))))
	with tap_.case("an event that comes one octet a millisecond is taken when it is whole"), Asking(lab, "stay", "flip") as asking:
		stream, = api.watches(SLICES)
		mark, old = api.mark(), lab.ask("flip")
		asking.wait_for(old, "flip")
		stream.slow_down(0.001)
		api.store.put(slice_with("flip", *new))
		asking.wait_for(new, "flip")
		stream.slow_down(0)
		assert asking.answers("flip") == {old, new}, asking.answers("flip")
		asking.check_only(STAY)
		assert not api.since(mark), api.since(mark)


def test_one_write(tap_, lab, api):
	with tap_.case("100 changes in one go end in the last one, without a wrong answer between"), Asking(lab, "stay", "flip") as asking:
		sets = [tuple(sorted(addresses(200, 1 + i % 7))) for i in range(100)]
		old = lab.ask("flip")
		api.store.put(*(slice_with("flip", *texts) for texts in sets))
		lab.wait_answer("flip", sets[-1])
		assert asking.answers("flip") <= {old, *sets}, asking.answers("flip")
		asking.check_only(STAY)


def test_huge_object(tap_, lab, api):
	"""The largest that the API takes: 1000 endpoints of a slice with all that may be said of one."""
	items = [{**cluster.endpoint("10.77.%d.%d" % (i // 250, i % 250 + 1), hostname="h%d" % i), "nodeName": "n" * 60, "zone": "z" * 60,
		"targetRef": {"kind": "Pod", "namespace": "lab", "name": "p" * 200, "uid": "u" * 36}} for i in range(1000)]
	with tap_.case("a slice of 1000 endpoints and half a megabyte"), Asking(lab) as asking:
		whole = {**slice_with("huge", "10.77.0.1"), "endpoints": items}
		api.store.put(headless("huge", "10.77.0.1")[0], whole)
		node.wait_until(lambda: lab.ask("h999.huge.lab.svc.cluster.local") == ("10.77.3.250",), "the last endpoint's name")
		with podnet.Client(lab.pod) as client:
			wire = client.ask(Question(full("huge"), edns=Edns(4096), ident=next(IDENTS) & 0xFFFF).wire())
		assert wire and wire[2] & 2 and not podnet.is_from_upstream(wire), "cut, with TC: %s" % wire
		api.store.delete(whole)
		lab.wait_answer("huge", UPSTREAM)
		asking.check_only(STAY)


def rss_kib(process):
	with open("/proc/%d/status" % process.pid, encoding="ascii") as f:
		return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def test_endless_line(tap_, lab, api):
	with tap_.case("a line without end is given up, its memory bounded, and the watch taken up again"), Asking(lab) as asking:
		stream, = api.watches(SLICES)
		before, counts = rss_kib(lab.process), lab.counts()
		piece = b"x" * LINE_PIECE
		stream.mute()
		stream.send(b'{"type":"MODIFIED","object":{"kind":"EndpointSlice","metadata":{"name":"')
		sent = 0
		while not stream.request.ended.is_set():
			assert sent < 256, "taken for ever: %d MiB" % sent
			stream.send(piece)
			sent += 1
			node.wait_until(lambda: stream.is_idle() or stream.request.ended.is_set(), "the piece taken or refused")
		grown = rss_kib(lab.process) - before
		tap_.note("given up after %d MiB, %d KiB more memory at most" % (sent, grown))
		change(lab, api)
		asking.check_only(STAY)
		assert grown < 64 << 10, "%d KiB" % grown
		assert moved(counts, fakelab.wait_counted(lab, api)).get("malformed") == 1, lab.counts()


def test_endless_lines(tap_):
	"""Lists are fine, every watch has such a line: each time the agent waits longer, until the trouble lasts long enough to be told."""
	with make_api(bookmark_s=0.1) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("when it comes again and again, the log says what it is; old answers, changes come by the lists"):
			wait_watches(api, 2)
			slice_watches = fakeapi.both(fakeapi.of(SLICES), lambda request: request.is_watch)
			rule = api.on(slice_watches, fakeapi.transform(lambda _: b"x" * 17 * LINE_PIECE))
			api.watches(SLICES)[0].end()
			node.wait_until(lambda: lab.lines("a line of more than"), "the words in the log", 60)
			asking.check_only(STAY)
			tap_.note("told after %d attempts" % rule.hits)
			rule.end()
			change(lab, api, 60)  # it waits up to 30 s before the next attempt
			asking.check_only(STAY)


# ---- clean ends and bookmarks ----


def test_bookmarks(tap_, lab, api):
	with tap_.case("bookmarks move the version on: after a clean end the watch goes on from there, without a relist"):
		wait_watches(api, 2)
		version = api.store.touch(1000)
		node.wait_until(lambda: lab.counts()["slice_version"] == str(version) == lab.counts()["service_version"], "the bookmarks' version in status")
		mark, before = api.mark(), lab.counts()
		for stream in api.watches():
			stream.end()
		asked = fakelab.wait_requests(api, mark, fakeapi.watches, 2)
		assert {request.resource for request in asked} == {SERVICES, SLICES} and len(api.since(mark)) == 2, api.since(mark)
		assert all(request.version == str(version) and not request.is_streaming_list for request in asked), asked
		assert all(request.query.get("allowWatchBookmarks") in ("1", "true") for request in asked), asked
		change(lab, api)
		assert "relists" not in moved(before, lab.counts()), lab.counts()


def test_no_line_each(tap_, lab, api):
	"""Of state changes the log tells, not of each retry: ends that are no fault are not told at all."""
	with tap_.case("10 clean ends leave no warning and no error in the log, and nothing that is counted"):
		wait_watches(api, 2)
		counts = fakelab.wait_counted(lab, api)
		before = len(lab.lines("level=warn") + lab.lines("level=error"))
		for _ in range(10):
			wait_watches(api, 2)
			stream, = api.watches(SLICES)
			node.wait_until(lambda s=stream: s.bookmarks, "a bookmark")
			stream.end()
			node.wait_until(stream.request.ended.is_set, "the end")
		wait_watches(api, 2)
		assert moved(counts, lab.counts()).keys() <= {"reconnects", "octets", "event_ms"}, moved(counts, lab.counts())
		change(lab, api)
		assert len(lab.lines("level=warn") + lab.lines("level=error")) == before, lab.log_tail()


def faults(names):
	def run(tap_):
		with make_api(bookmark_s=0.2) as api, KubeLab(api) as lab:
			for name in names:
				test_fault(tap_, lab, api, name)
	return run


def others(*tests):
	def run(tap_):
		with make_api(bookmark_s=0.2) as api, KubeLab(api) as lab:
			for test in tests:
				test(tap_, lab, api)
	return run


NAMES = list(FAULTS)
SCENARIOS = {
	"lines without end": test_endless_lines,
	**{"faults from %d on" % begin: faults(NAMES[begin : begin + FAULTS_EACH]) for begin in range(0, len(NAMES), FAULTS_EACH)},
	"objects": others(test_ignored, test_broken, test_trickle, test_one_write, test_huge_object),
	"a line without end": others(test_endless_line),
	"ends": others(test_bookmarks, test_no_line_each),
}

if __name__ == "__main__":
	tap.run(lambda tap_: run_scenarios(tap_, SCENARIOS))
