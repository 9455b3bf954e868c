#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180 180
"""
The fake API server itself: the same answers as recorded from a real kube-apiserver (tests/data/api), octet for octet where
nothing in them is its own, and faults that are what they are called. No root.
"""

import gzip
import http.client
import json
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))

import cluster
import fakeapi
import fakestore
import tap
from fakeapi import SERVICES, SLICES, FakeApi, Pki
from fakestore import Store

RECORDED = ROOT / "tests/data/api"
VERSION = 1877  # when most of it was recorded
LISTS = ("list-rv0", "list-rv0-limit", "list-limit-page1", "list-limit-page2", "list-limit-page3", "list-notolderthan", "list-empty",
	"sel-svc-name")
ANSWER_WITHIN_S = 30  # of what comes at once; only a very busy machine needs more than a part of a second
SILENT_S = 0.3
ERRORS = ("list-future", "list-bad-rv", "err-404-group", "sel-bad", "sel-slice-field", "watchlist-bad-nomatch", "gone-list-exact-1")


# ---- a client ----


class Client:
	"""One connection; plain HTTP/1.1 unless a TLS context is given."""

	def __init__(self, api, context=None, token=None, timeout_s=ANSWER_WITHIN_S):
		self.headers = {} if token is None else {"Authorization": "Bearer " + token}
		if context:
			self.connection = http.client.HTTPSConnection(api.host, api.port, timeout=timeout_s, context=context)
		else:
			self.connection = http.client.HTTPConnection(api.host, api.port, timeout=timeout_s)

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.connection.close()

	def get(self, target, **headers):
		"""The response, its body not read."""
		self.connection.request("GET", target, headers={**self.headers, **headers})
		return self.connection.getresponse()


def get(api, target, **client):
	"""(response, body)"""
	with Client(api, **client) as c:
		response = c.get(target)
		return response, response.read()


def events(response, count):
	return [json.loads(response.readline()) for _ in range(count)]


def versions_of(found):
	return [(event["type"], event["object"]["metadata"]["resourceVersion"]) for event in found]


# ---- recordings ----


class Recording:
	def __init__(self, name):
		lines = (RECORDED / (name + ".headers")).read_text(encoding="utf-8").splitlines()
		self.target = lines[0].split(" ")[1]
		answer = [line[2:] for line in lines if line.startswith("< ")]
		self.status = int(answer[0].split(" ")[0])
		self.headers = dict(line.split(": ", 1) for line in answer[1:])
		path = RECORDED / (name + ".jsonl")
		self.body = (path if path.exists() else path.with_suffix(".json")).read_bytes()

	def events(self):
		return [json.loads(line) for line in self.body.splitlines()]


def recorded_objects():
	kind = {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1"}
	return [{**kind, **item} for item in json.loads(Recording("list-rv0").body)["items"]]


def recorded_store(version=VERSION):
	return Store(recorded_objects(), version, is_verbatim=True)


def check_head(response, recording):
	assert response.status == recording.status, "status %d, recorded %d" % (response.status, recording.status)
	for name in ("Content-Type", "Content-Length", "Transfer-Encoding", "Retry-After", "Content-Encoding", "Vary"):
		got, want = response.headers.get(name), recording.headers.get(name)
		assert got == want, "%s: %r, recorded %r" % (name, got, want)


def check_same(api, name, **client):
	recording = Recording(name)
	response, body = get(api, recording.target, **client)
	check_head(response, recording)
	assert body == recording.body, "%s\nrecorded %s" % (body[:600], recording.body[:600])


def test_recorded(tap_):
	with FakeApi(store=recorded_store()) as api:
		api.future_wait_s = 0.05
		for name in LISTS + ERRORS:
			with tap_.case("%s: head and body as recorded" % name):
				check_same(api, name)
		api.streaming = "off"
		with tap_.case("nowatchlist: head and body as recorded"):
			check_same(api, "nowatchlist")
		for name in ("apf-429-list", "apf-429-watch"):
			with tap_.case("%s: head and body as recorded" % name):
				api.on(fakeapi.any_request, fakeapi.respond_text(), times=1)
				check_same(api, name)
	with FakeApi(store=recorded_store(), token="right") as api:
		with tap_.case("err-401-none: head and body as recorded"):
			check_same(api, "err-401-none")
		with tap_.case("err-401-bad: head and body as recorded"):
			check_same(api, "err-401-bad", token="wrong")
		with tap_.case("the right token is let in"):
			check_same(api, "list-rv0", token="right")


def test_recorded_watches(tap_):
	old = recorded_store()
	old.oldest = 1742
	with FakeApi(store=old) as api, tap_.case("gone-watch-1: 200, one ERROR line and the end, as recorded"):
		check_same(api, "gone-watch-1")
	with FakeApi(store=recorded_store()) as api, tap_.case("watch-future: silence to the end, as recorded"):
		recording = Recording("watch-future")
		response, body = get(api, recording.target.replace("timeoutSeconds=3", "timeoutSeconds=1"))
		check_head(response, recording)
		assert body == recording.body == b""
	with FakeApi(store=recorded_store(1901)) as api, tap_.case("watchlist-selector: the bookmark alone, as recorded"):
		recording = Recording("watchlist-selector")
		with Client(api) as client:
			response = client.get(recording.target)
			assert response.readline() == recording.body
	for name in ("watch-rv0", "watchlist-rv0"):
		recording = Recording(name)
		wanted = [event for event in recording.events() if event["type"] == "ADDED" or "annotations" in event["object"]["metadata"]]
		with tap_.case("%s: every object in the order recorded, each line as recorded" % name):
			store = Store([event["object"] for event in wanted if event["type"] == "ADDED"], int(versions_of(wanted)[-1][1]), is_verbatim=True)
			with FakeApi(store=store) as api, Client(api) as client:
				response = client.get(recording.target)
				for line in recording.body.splitlines(keepends=True)[: len(wanted)]:
					got = response.readline()
					assert got == line, "%s\nrecorded %s" % (got, line)


def test_recorded_life(tap_):
	"""Events and bookmarks of whole watches: those of the recording, mutations done by us."""
	recorded = Recording("watch-selector").events()
	with FakeApi(store=recorded_store(1892)) as api, tap_.case("watch-selector: matching no more is told as DELETED, as recorded"), Client(api) as client:
		response = client.get(Recording("watch-selector").target)
		changed = recorded[0]["object"]
		api.store.put(changed)
		labels = {name: value for name, value in changed["metadata"]["labels"].items() if name != "x"}
		api.store.put({**changed, "metadata": {**changed["metadata"], "labels": labels}})
		got = events(response, 2)
		assert got == recorded, "%s\nrecorded %s" % (got, recorded)
	recorded = Recording("watchlist").events()
	live = [event for event in recorded if event["object"]["metadata"].get("name") == "w1"]
	first = [event["object"] for event in recorded if event["type"] == "ADDED" and event not in live]
	seconds = [0.0]
	with FakeApi(store=Store(first, 1895, is_verbatim=True), clock=lambda: seconds[0]) as api, Client(api) as client:
		with tap_.case("watchlist: objects, the end of them, changes, bookmarks 2 s and 1 s before the end, the end: as recorded"):
			response = client.get(Recording("watchlist").target)
			got = events(response, len(first) + 1)
			stream, = api.watches()
			api.store.touch()
			api.store.put(live[0]["object"])
			api.store.put(live[1]["object"])
			api.store.delete(live[1]["object"])
			got += events(response, 3)
			for when in (4.0, 5.0):
				seconds[0] = when - 0.01
				let_look(stream)
				assert stream.bookmarks == when - 4, "%d bookmarks right before %.1f s" % (stream.bookmarks, when)
				seconds[0] = when
				got += events(response, 1)
			seconds[0] = 6.0
			assert response.read() == b""
			assert got == recorded, "%s\nrecorded %s" % (versions_of(got), versions_of(recorded))


def let_look(stream):
	"""The watch has done all that is due by now: the second of two orders is done behind the first one's round."""
	for _ in range(2):
		stream.slow_down(0)
		wait(stream.is_idle, "the order done")


# ---- what recordings do not show ----


def sample(count=3, name="svc%d"):
	return [cluster.service("lab", name % i) for i in range(count)]


def target(resource=SERVICES, **query):
	return resource.path + "?" + "&".join("%s=%s" % pair for pair in query.items())


STREAMING = {"watch": 1, "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


def test_watches(tap_):
	with FakeApi(sample(), bookmark_s=0.1) as api:
		with tap_.case("a watch goes on from its version, with bookmarks"), Client(api) as client:
			before = api.store.version
			api.store.put(cluster.service("lab", "one"))
			response = client.get(target(watch=1, resourceVersion=before, allowWatchBookmarks="true"))
			assert versions_of(events(response, 1)) == [("ADDED", str(before + 1))]
			api.store.touch(5)
			got = ("BOOKMARK", str(before + 1))
			while got == ("BOOKMARK", str(before + 1)):  # was sent before that
				got, = versions_of(events(response, 1))
			assert got == ("BOOKMARK", str(before + 6)), got
		with tap_.case("a server that does not know sendInitialEvents tells all and no end"), Client(api) as client:
			api.streaming = "ignored"
			response = client.get(target(**STREAMING))
			got = events(response, 5)
			api.streaming = "on"
			assert [event["type"] for event in got] == ["ADDED"] * 4 + ["BOOKMARK"] and "annotations" not in got[4]["object"]["metadata"], got
		with tap_.case("a streaming list at a future version is an ERROR event of 504"), Client(api) as client:
			got, = events(client.get(target(**STREAMING, resourceVersion=10**6)), 1)
			assert (got["type"], got["object"]["code"]) == ("ERROR", 504) and "ResourceVersionTooLarge" in json.dumps(got), got
	with FakeApi(sample()) as api, tap_.case("after a restart every version before it is too old, the present one is not"):
		before = api.store.version
		with Client(api) as client:
			response = client.get(target(watch=1, resourceVersion=before))
			api.store.put(cluster.service("lab", "one"))
			events(response, 1)
			api.restart()
			assert is_cut(response)
		with Client(api) as client:
			got, = events(client.get(target(watch=1, resourceVersion=before)), 1)
			assert (got["type"], got["object"]["code"]) == ("ERROR", 410), got
		with Client(api) as client:
			response = client.get(target(watch=1, resourceVersion=before + 1))
			api.store.put(cluster.service("lab", "two"))
			assert versions_of(events(response, 1)) == [("ADDED", str(before + 2))]


def test_selectors(tap_):
	managed = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
	items = [cluster.service("lab", "headless"), cluster.service("lab", "headful", cluster_ips=("10.96.0.1",)),
		labelled("plain", {}), labelled("managed", managed), labelled("managed-headless", {**managed, "service.kubernetes.io/headless": ""})]
	wanted = {
		(SERVICES, "fieldSelector=spec.clusterIP%3DNone"): ["headless"],
		(SERVICES, "fieldSelector=spec.clusterIP%21%3DNone"): ["headful"],
		(SERVICES, "fieldSelector=metadata.name%3Dheadful,metadata.namespace%3Dlab"): ["headful"],
		(SLICES, "labelSelector=service.kubernetes.io%2Fheadless"): ["managed-headless"],
		(SLICES, "labelSelector=%21service.kubernetes.io%2Fheadless"): ["managed", "plain"],
		(SLICES, "labelSelector=endpointslice.kubernetes.io%2Fmanaged-by%21%3Dendpointslice-controller.k8s.io"): ["plain"],
		(SLICES, "labelSelector=endpointslice.kubernetes.io%2Fmanaged-by%3Dendpointslice-controller.k8s.io"): ["managed", "managed-headless"],
		(SLICES, "fieldSelector=metadata.name%3Dplain"): ["plain"],
	}
	with FakeApi(items) as api:
		for (resource, query), names in wanted.items():
			with tap_.case("%s?%s" % (resource.plural, query)):
				_, body = get(api, resource.path + "?" + query)
				assert [item["metadata"]["name"] for item in json.loads(body)["items"]] == names, body


def labelled(name, labels):
	item = cluster.slice_of("lab", "svc", "x", [cluster.endpoint("10.1.1.1")])
	return {**item, "metadata": {**item["metadata"], "name": name, "labels": labels}}


# ---- faults ----


def is_cut(response):
	"""Whether the body ends before its end."""
	try:
		response.read()
	except (http.client.IncompleteRead, ConnectionError):
		return True
	return False


def will_be_silent(client):
	client.connection.sock.settimeout(SILENT_S)


def is_silent(action):
	try:
		action()
	except TimeoutError:
		return True
	return False


def test_cuts(tap_):
	with FakeApi(sample()) as api:
		def watch(client):
			mark = api.mark()
			response = client.get(target(watch=1, resourceVersion=api.store.version))
			wait(lambda: any(stream.request in api.requests[mark:] for stream in api.watches()), "the watch")
			return response, api.watches()[-1]
		with tap_.case("cut in the middle of a line"), Client(api) as client:
			response, stream = watch(client)
			stream.cut(b'{"type":"ADD')
			assert response.read(12) == b'{"type":"ADD' and is_cut(response)
		with tap_.case("what changed before the cut is told, what changed after it is not"), Client(api) as client:
			response, stream = watch(client)
			api.store.put(cluster.service("lab", "before"))
			stream.cut()
			api.store.put(cluster.service("lab", "after"))
			assert b'"before"' in response.readline() and is_cut(response)
		with tap_.case("a clean end"), Client(api) as client:
			response, stream = watch(client)
			stream.end()
			assert response.read() == b""
		with tap_.case("an ERROR event of 410 in a running watch, then a clean end"), Client(api) as client:
			response, stream = watch(client)
			stream.error(410, "Expired", "too old resource version: 1 (2)")
			assert json.loads(response.read())["object"]["code"] == 410
		with tap_.case("octets as they are"), Client(api) as client:
			response, stream = watch(client)
			stream.send(b"garbage\n")
			assert response.readline() == b"garbage\n"
		with tap_.case("a muted watch stays open and says nothing more"), Client(api) as client:
			response, stream = watch(client)
			stream.mute()
			will_be_silent(client)
			api.store.put(cluster.service("lab", "unheard"))
			assert is_silent(lambda: response.read(1))
		with tap_.case("a list cut after 100 octets"), Client(api) as client:
			api.on(fakeapi.lists, fakeapi.chop(100), times=1)
			assert is_cut(client.get(target(resourceVersion=0)))


def test_availability(tap_):
	with FakeApi(sample()) as api:
		with tap_.case("refuse() closes the port and cuts, listen() opens the same again"):
			with Client(api) as client:
				response = client.get(target(watch=1, resourceVersion=api.store.version))
				api.refuse()
				assert is_cut(response)
			try:
				socket.create_connection((api.host, api.port), 1).close()
				raise AssertionError("somebody listens")
			except ConnectionRefusedError:
				pass
			api.listen()
			assert get(api, target())[0].status == 200
		with tap_.case("a frozen server accepts and says nothing, on open and new connections; and then it does"):
			with Client(api) as client:
				response = client.get(target(watch=1, resourceVersion=api.store.version))
				api.freeze()
				api.store.put(cluster.service("lab", "held"))
				will_be_silent(client)
				assert is_silent(lambda: response.read(1)) and is_silent(lambda: get(api, target(), timeout_s=SILENT_S))
			api.thaw()
			assert get(api, target())[0].status == 200
		with tap_.case("silence: no head until the client goes"):
			rule = api.on(fakeapi.any_request, fakeapi.silence)
			assert is_silent(lambda: get(api, target(), timeout_s=SILENT_S))
			wait(lambda: rule.hits == 1, "the request")
			rule.end()
			wait(lambda: api.requests[-1].ended.is_set(), "the end of the request")
		with tap_.case("another cluster: older versions, other objects"):
			api.become(Store(sample(1, "other%d"), version=10))
			_, body = get(api, target())
			assert b"other0" in body and b"svc0" not in body and json.loads(body)["metadata"]["resourceVersion"] == "11"
			api.future_wait_s = 0.05
			assert get(api, target(resourceVersion=1000))[0].status == 504


def test_bodies(tap_):
	big = sample(400)
	with FakeApi(big) as api:
		with tap_.case("gzip when asked for and above 128 KiB"), Client(api) as client:
			response = client.get(target(), **{"Accept-Encoding": "gzip"})
			packed = response.read()
			assert response.headers["Content-Encoding"] == "gzip" and len(packed) < 64 << 10, response.headers
			assert len(json.loads(gzip.decompress(packed))["items"]) == 400
			assert get(api, target())[0].headers["Content-Encoding"] is None
			response = client.get(target(fieldSelector="metadata.name%3Dsvc1"), **{"Accept-Encoding": "gzip"})
			assert response.headers["Content-Encoding"] is None and response.read()
		with tap_.case("transform changes what is sent; a rule ends after its times; later rules come first"):
			api.on(fakeapi.lists, fakeapi.respond(503), times=1)
			api.on(fakeapi.lists, fakeapi.transform(lambda body: body.replace(b'"svc0"', b"17")), times=1)
			assert b'"name":17' in get(api, target())[1]
			assert get(api, target())[0].status == 503 and get(api, target())[0].status == 200
	with FakeApi(sample(1)) as api, tap_.case("a trickle is whole in the end"):
		api.on(fakeapi.any_request, fakeapi.trickle(0.0005), times=1)
		began = time.monotonic()
		assert len(json.loads(get(api, target())[1])["items"]) == 1 and time.monotonic() - began > 0.3


def test_tls(tap_):
	with tempfile.TemporaryDirectory() as folder:
		pki = Pki(folder)
		trusting = ssl.create_default_context(cafile=pki.ca)
		with_certificate = ssl.create_default_context(cafile=pki.ca)
		with_certificate.load_cert_chain(pki.client_cert, pki.client_key)
		for host in ("127.0.0.1", "::1"):
			with FakeApi(sample(), host=host, token="right", pki=pki) as api:
				for name, code, client in (("the token", 200, {"token": "right"}), ("a wrong token", 401, {"token": "wrong"}), ("no token", 403, {})):
					with tap_.case("%s over TLS with %s: %d" % (api.url, name, code)):
						assert get(api, target(), context=trusting, **client)[0].status == code
				with tap_.case("%s: a client certificate needs no token" % api.url):
					assert get(api, target(), context=with_certificate)[0].status == 200
		with FakeApi(sample(), pki=pki) as api, tap_.case("who does not know the CA does not get far"):
			try:
				get(api, target(), context=ssl.create_default_context())
				raise AssertionError("accepted")
			except ssl.SSLCertVerificationError:
				pass


def test_record(tap_):
	with FakeApi(sample()) as api, tap_.case("requests are kept: path, query, headers, token, status"), Client(api, token="t") as client:
		mark = api.mark()
		client.get(target(SLICES, resourceVersion=0, labelSelector="a%3Db")).read()
		request, = api.since(mark, fakeapi.of(SLICES))
		assert (request.version, request.selectors, request.token, request.status, request.is_watch) == ("0", ("", "a=b"), "t", 200, False)
	with tap_.case("no thread is left behind"):
		wait(lambda: threading.active_count() == 1, "the end of all threads")


def wait(condition, what):
	deadline = time.monotonic() + ANSWER_WITHIN_S
	while not condition():
		assert time.monotonic() < deadline, "not within %d s: %s" % (ANSWER_WITHIN_S, what)
		time.sleep(0.005)


def main(tap_):
	for test in (test_recorded, test_recorded_watches, test_recorded_life, test_watches, test_selectors, test_cuts, test_availability, test_bodies,
			test_tls, test_record):
		test(tap_)


if __name__ == "__main__":
	tap.run(main)
