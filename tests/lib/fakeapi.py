# SPDX-License-Identifier: Apache-2.0
"""
A scripted API server for the faults that a real one shows too rarely: lists, watches, streaming lists, bookmarks, resource
versions and error bodies as kube-apiserver 1.35 sends them (tests/kube/test_fakeapi_self.py holds them against recordings), and
faults that a test switches on. Every request is kept in `requests`. Nothing happens by chance or by itself.

	api = FakeApi(objects, token="secret")
	api.store.put(...)                                 a change while watches run
	rule = api.on(lists, respond(503), times=2)        the next two lists fail
	api.watches(SLICES)[0].cut(b'{"type":"MOD')        a running watch ends in the middle of a line
	api.refuse(); api.listen()                         nobody listens; somebody does again

One thread for each connection, HTTP/1.1.
"""

import base64
import contextlib
import gzip
import json
import select
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fakestore import BY_KIND, RESOURCES, SERVICES, SLICES, Failure, Selector, Store, bookmark, event_line, key_of, list_body
from fakestore import compact as compact_json

__all__ = ["BY_KIND", "SERVICES", "SLICES", "FakeApi", "Pki", "any_request", "both", "chop", "end_at_once", "lists", "of", "respond", "respond_text", "silence",
	"transform", "trickle", "watches"]

TICK_S = 0.02  # how soon a watch sees that its client went away
BUFFERED_MAX = 2048  # longer bodies are sent in chunks
GZIP_FROM = 128 << 10
HEAD_MAX = 65536
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 410: "Gone",
	422: "Unprocessable Entity", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable", 504: "Gateway Timeout"}
TOO_MANY = "Too many requests, please try again later.\n"


class ClientGone(Exception):
	"""The client closed the connection, or a fault did."""


class Request:
	"""What was asked. `status` is set when it is answered, `ended` when nothing more will be sent."""

	def __init__(self, head, connection):
		lines = head.decode("latin-1").split("\r\n")
		self.method, self.target, _ = lines[0].split(" ")
		self.headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
		split = urlsplit(self.target)
		self.path = split.path
		self.query = {name: values[-1] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
		self.connection = connection
		self.time = connection.api.clock()
		self.resource, self.namespace = self._resource()
		self.status = None
		self.ended = threading.Event()

	def _resource(self):
		words = self.path.split("/")
		if len(words) >= 4 and words[-3] == "namespaces":
			path, namespace = "/".join(words[:-3] + words[-1:]), words[-2]
		else:
			path, namespace = self.path, None
		return next((resource for resource in RESOURCES if resource.path == path), None), namespace

	@property
	def is_watch(self):
		return self.query.get("watch") in ("1", "true")

	@property
	def is_streaming_list(self):
		return self.is_watch and self.query.get("sendInitialEvents") == "true"

	@property
	def version(self):
		"""The resourceVersion asked for, None if none is."""
		return self.query.get("resourceVersion")

	@property
	def selectors(self):
		"""(fieldSelector, labelSelector)"""
		return self.query.get("fieldSelector", ""), self.query.get("labelSelector", "")

	@property
	def token(self):
		scheme, _, token = self.headers.get("authorization", "").partition(" ")
		return token if scheme == "Bearer" else None

	def __repr__(self):
		return "%s %s → %s" % (self.method, self.target, self.status)


# ---- which requests a rule is for ----


def any_request(_):
	return True


def lists(request):
	"""What tells all objects: a plain or a streaming list."""
	return request.is_streaming_list or not request.is_watch and not probes(request)


def probes(request):
	"""A list of no object: names begin with a letter or digit."""
	return not request.is_watch and "metadata.name=-" in request.query.get("fieldSelector", "")


def watches(request):
	"""A watch that is taken up from a version."""
	return request.is_watch and not request.is_streaming_list


def of(resource):
	return lambda request: request.resource is resource


def both(*predicates):
	return lambda request: all(predicate(request) for predicate in predicates)


# ---- what a rule does instead of the right answer ----


def respond(code, reason=None, message=None, retry_after_s=None, details=None):
	"""A Status, as the server's handlers send it."""
	names = {401: "Unauthorized", 403: "Forbidden", 410: "Expired", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}
	failure = Failure(code, reason or names[code], message or reason or names[code], details, retry_after_s)
	return lambda exchange: exchange.fail(failure)


def respond_text(code=429, text=TOO_MANY, retry_after_s=1):
	"""Priority and fairness's 429: text/plain."""
	headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
	return lambda exchange: exchange.respond(code, text.encode(), "text/plain; charset=utf-8", headers)


def silence(exchange):
	"""Nothing, not even a head, until the client goes away."""
	exchange.hold()


def end_at_once(exchange):
	"""An empty body."""
	exchange.head(200, "application/json", {"Transfer-Encoding": "chunked"})
	exchange.last_chunk()


def transform(change):
	"""The right answer, its body (of a plain list) or each of its lines (of a watch) changed by change(octets)."""
	def act(exchange):
		exchange.change = change
		exchange.answer()
	return act


def chop(after):
	"""The right answer, its connection cut after that many octets of the body."""
	def act(exchange):
		exchange.cut_after = after
		exchange.answer()
	return act


def trickle(seconds_per_octet=0.001):
	"""The right answer, one octet at a time (chunks stay whole on the wire: HTTP's own framing is cut as well)."""
	def act(exchange):
		exchange.connection.octet_s = seconds_per_octet
		exchange.answer()
		exchange.connection.octet_s = 0
	return act


class Rule:
	def __init__(self, predicate, action, times):
		self.predicate, self.action, self.left = predicate, action, times
		self.hits = 0

	def end(self):
		self.left = 0


# ---- one connection ----


class Connection:
	def __init__(self, api, raw):
		self.api = api
		raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		self._cutter = raw.dup()  # shutdown() from other threads, past TLS
		self.socket = raw
		self.octet_s = 0
		self.serial = None  # of the client's certificate
		self._rest = b""

	def handshake(self):
		if self.api.tls:
			self.socket = self.api.tls.wrap_socket(self.socket, server_side=True)
			self.serial = (self.socket.getpeercert() or {}).get("serialNumber")

	def cut(self, is_reset=False):
		"""From any thread. is_reset: RST instead of FIN."""
		with contextlib.suppress(OSError):
			if is_reset:
				self._cutter.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
			else:
				self._cutter.shutdown(socket.SHUT_RDWR)

	def close(self):
		for s in (self.socket, self._cutter):
			with contextlib.suppress(OSError):
				s.close()

	def read_head(self):
		"""None at the end."""
		while b"\r\n\r\n" not in self._rest:
			block = self.socket.recv(65536)
			if not block or len(self._rest) > HEAD_MAX:
				return None
			self._rest += block
		head, _, self._rest = self._rest.partition(b"\r\n\r\n")
		return head

	def check_client(self):
		"""Raises ClientGone when the client closed."""
		is_tls = isinstance(self.socket, ssl.SSLSocket)
		if not select.select([self.socket], [], [], 0)[0] and not (is_tls and self.socket.pending()):
			return
		block = self.socket.recv(65536) if is_tls else self.socket.recv(1, socket.MSG_PEEK)
		if not block:
			raise ClientGone()
		if is_tls:
			self._rest += block

	def send(self, octets):
		self.api.wait_while_frozen(self)
		if not self.octet_s:
			self.socket.sendall(octets)
			return
		began = time.monotonic()
		for i in range(len(octets)):
			self.socket.sendall(octets[i : i + 1])
			# By the time all of it shall take: on a busy machine each sleep is much longer than asked for.
			time.sleep(max(0.0, began + (i + 1) * self.octet_s - time.monotonic()))


class Exchange:
	"""One request and the answer to it."""

	def __init__(self, api, connection, request):
		self.api, self.connection, self.request = api, connection, request
		self.change = lambda octets: octets
		self.cut_after = None
		self._sent = 0

	# -- how it is sent --

	def head(self, code, content_type, headers):
		self.request.status = code
		fields = {"Audit-Id": "00000000-0000-0000-0000-000000000000", "Cache-Control": "no-cache, private", "Content-Type": content_type, **headers,
			"Date": "Sat, 21 Nov 2026 07:48:42 GMT"}
		text = "HTTP/1.1 %d %s\r\n" % (code, REASONS[code]) + "".join("%s: %s\r\n" % pair for pair in fields.items()) + "\r\n"
		self.connection.send(text.encode())

	def body(self, octets):
		"""A part of the body, cut where chop() says."""
		if self.cut_after is not None and self._sent + len(octets) > self.cut_after:
			self.connection.send(octets[: self.cut_after - self._sent])
			self.abort()
		self._sent += len(octets)
		self.connection.send(octets)

	def chunk(self, octets):
		if self.cut_after is not None and self._sent + len(octets) > self.cut_after:
			octets = octets[: self.cut_after - self._sent]
			self.connection.send(b"%x\r\n%s\r\n" % (len(octets), octets) if octets else b"")
			self.abort()
		self._sent += len(octets)
		self.connection.send(b"%x\r\n%s\r\n" % (len(octets), octets))

	def last_chunk(self):
		self.connection.send(b"0\r\n\r\n")

	def abort(self):
		self.connection.cut()
		raise ClientGone()

	def hold(self):
		while True:
			time.sleep(TICK_S)
			self.connection.check_client()

	def respond(self, code, body, content_type="application/json", headers=()):
		headers = dict(headers)
		if len(body) > GZIP_FROM and "gzip" in self.request.headers.get("accept-encoding", ""):
			body = gzip.compress(body, 1, mtime=0)
			headers.update({"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
		if len(body) <= BUFFERED_MAX:
			self.head(code, content_type, {**headers, "Content-Length": str(len(body))})
			self.body(body)
			return
		self.head(code, content_type, {**headers, "Transfer-Encoding": "chunked"})
		for begin in range(0, len(body), 16384):
			self.chunk(body[begin : begin + 16384])
		self.last_chunk()

	def fail(self, failure):
		headers = {} if failure.retry_after_s is None else {"Retry-After": str(failure.retry_after_s)}
		self.respond(failure.code, compact_json(failure.status()) + b"\n", headers=headers)

	# -- what is answered --

	def answer(self):
		"""As a server without faults."""
		try:
			self._authorize()
			self._route()
		except Failure as failure:
			self.fail(failure)

	def _authorize(self):
		resource = self.request.resource
		if self.api.tokens is None or self.connection.serial:
			return
		if self.request.token in self.api.tokens:
			return
		if self.request.token is not None:
			raise Failure(401, "Unauthorized", "Unauthorized")
		if resource:
			raise forbidden(resource)
		raise Failure(403, "Forbidden", 'forbidden: User "system:anonymous" cannot get path "%s"' % self.request.path, {})

	def _route(self):
		request = self.request
		if request.method != "GET":
			raise Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})
		if request.path == "/version":
			return self.respond(200, compact_json({"major": "1", "minor": "35", "gitVersion": "v1.35.4", "platform": "linux/amd64"}))
		if not request.resource:
			raise Failure(404, "NotFound", "the server could not find the requested resource", {})
		selector = Selector(request.resource, request.namespace, *request.selectors)
		return self._watch(selector) if request.is_watch else self._list(selector)

	def _version(self):
		text = self.request.version or "0"
		if not text.isdigit():
			raise Failure(400, "BadRequest", 'invalid resource version: resourceVersion: Invalid value: "%s": strconv.ParseUint: parsing "%s": '
				"invalid syntax" % (text, text))
		return int(text)

	def _list(self, selector):
		request, store = self.request, self.api.store
		wanted = self._version()
		self._wait_for_version(wanted)
		if wanted and request.query.get("resourceVersionMatch") == "Exact" and wanted < store.oldest:
			raise Failure(410, "Expired", "The resourceVersion for the provided list is too old.")
		version, items = store.snapshot(request.resource, selector)
		limit = self.api.page_size or int(request.query.get("limit", "0"))
		page = None
		if self.api.page_size or limit and request.version != "0" or "continue" in request.query:
			items, page = self._page(version, items, limit)
		self.respond(200, self.change(list_body(request.resource, version, items, page)))

	def _page(self, version, items, limit):
		token = self.request.query.get("continue")
		start = ""
		if token:
			try:
				decoded = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
			except ValueError:
				raise Failure(400, "BadRequest", "continue key is not valid: illegal base64 data") from None
			self.api.store.check_age(decoded["rv"])
			start = decoded["start"].rstrip("\0")
		name = (lambda item: "/" + key_of(item)[1]) if self.request.namespace else (lambda item: "/".join(key_of(item)))
		left = [item for item in items if name(item) > start]
		if not limit or len(left) <= limit:
			return left, None
		text = compact_json({"v": "meta.k8s.io/v1", "rv": version, "start": name(left[limit - 1])})[:-2] + b'\\u0000"}'
		return left[:limit], (base64.urlsafe_b64encode(text).rstrip(b"=").decode(), len(left) - limit)

	def _wait_for_version(self, wanted):
		store = self.api.store
		deadline = time.monotonic() + self.api.future_wait_s
		while wanted > store.version:
			if time.monotonic() >= deadline:
				causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
				raise Failure(504, "Timeout", "Timeout: Too large resource version: %d, current: %d" % (wanted, store.version),
					{"causes": causes, "retryAfterSeconds": 1}, retry_after_s=1)
			time.sleep(TICK_S)

	def _watch(self, selector):
		version, is_streaming = self._version(), False
		if self.request.is_streaming_list and self.api.streaming != "ignored":
			self._check_streaming()
			is_streaming = True
		self.head(200, "application/json", {"Transfer-Encoding": "chunked"})
		stream = Stream(self, selector, version, is_streaming)
		self.api.add_stream(stream)
		try:
			stream.run()
		finally:
			self.api.remove_stream(stream)

	def _check_streaming(self):
		def invalid(field, text):
			return Failure(422, "Invalid", 'ListOptions.meta.k8s.io "" is invalid: %s: %s' % (field, text), {"group": "meta.k8s.io",
				"kind": "ListOptions", "causes": [{"reason": "FieldValueForbidden", "message": text, "field": field}]})
		if self.api.streaming == "off":
			raise invalid("sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
		if self.request.query.get("resourceVersionMatch") != "NotOlderThan":
			raise invalid("resourceVersionMatch", "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")


def forbidden(resource, user="system:anonymous"):
	text = '%s is forbidden: User "%s" cannot list resource "%s" in API group "%s" at the cluster scope' % (
		".".join(filter(None, (resource.plural, resource.group))), user, resource.plural, resource.group)
	return Failure(403, "Forbidden", text, {**({"group": resource.group} if resource.group else {}), "kind": resource.plural})


# ---- one watch ----


class Stream:
	"""A running watch. The public methods are for tests, from any thread; they are done in order by the watch's own."""

	def __init__(self, exchange, selector, version, is_streaming):
		self.exchange, self.selector, self.is_streaming = exchange, selector, is_streaming
		self.api, self.request = exchange.api, exchange.request
		self.store = self.api.store  # of this cluster, whatever stands behind the address later
		self.resource = exchange.request.resource
		self.version = version
		self.bookmarks = 0  # sent, but for that of a streaming list's end
		self._orders = []
		self.is_muted = self._is_busy = self.is_paused = False
		self._has_bookmarks = self.request.query.get("allowWatchBookmarks") in ("1", "true")
		limit_s = int(self.request.query.get("timeoutSeconds", "0")) or 1800
		self._ends = self.request.time + limit_s
		self._bookmarks = [self._ends - 2, self._ends - 1]
		self._next_bookmark = self.request.time + self.api.bookmark_s if self.api.bookmark_s else float("inf")
		if not self.api.bookmark_s:
			self._bookmarks = []

	# -- faults --

	def send(self, octets):
		"""These, as they are."""
		self._order(lambda: self.exchange.chunk(octets))

	def send_raw(self, octets):
		"""These, past HTTP's own framing."""
		self._order(lambda: self.exchange.connection.send(octets))

	def slow_down(self, seconds_per_octet):
		"""From here on one octet at a time; 0: as before."""
		self._order(lambda: setattr(self.exchange.connection, "octet_s", seconds_per_octet))

	def error(self, code, reason, message):
		"""An ERROR event, then the end, as the server does."""
		status = Failure(code, reason, message).status()
		self._order(lambda: self.exchange.chunk(event_line("ERROR", status)))
		self.end()

	def end(self):
		"""A clean end."""
		self._order(self._finish)

	def cut(self, octets=b"", is_reset=False):
		"""These octets, then the connection is cut: with none, at the boundary of an event."""
		def act():
			if octets:
				self.exchange.chunk(octets)
			self.exchange.connection.cut(is_reset)
			raise ClientGone()
		self._order(act)

	def pause(self):
		"""Tells nothing until the Event returned is set; what changed meanwhile is told then."""
		released = threading.Event()

		def wait():
			self.is_paused = True
			while not released.wait(TICK_S):
				self.exchange.connection.check_client()
			self.is_paused = False
		self._order(wait)
		return released

	def mute(self):
		"""Open, but no event and no bookmark any more."""
		self._order(lambda: setattr(self, "is_muted", True))

	def is_idle(self):
		"""All that was ordered is done."""
		return not self._orders and not self._is_busy

	def _order(self, act):
		with self.api.changed:
			self._orders.append((self.store.version, act))
			self.api.changed.notify_all()

	# -- the watch's thread --

	class _Finished(Exception):
		pass

	def _finish(self):
		self.exchange.last_chunk()
		raise Stream._Finished()

	def run(self):
		try:
			self._begin()
			while True:
				self._pass_on()
		except Stream._Finished:
			pass

	def _line(self, kind, item):
		self.exchange.chunk(self.exchange.change(event_line(kind, item)))

	def _begin(self):
		if self.is_streaming:
			self._wait_for_version()
			self._tell_all()
			if self._has_bookmarks:
				self._line("BOOKMARK", bookmark(self.resource, self.version, True))
		elif self.version == 0:
			self._tell_all()
		else:
			try:
				self.store.check_age(self.version)
			except Failure as failure:
				self._fail(failure)

	def _wait_for_version(self):
		try:
			self.exchange._wait_for_version(self.version)
		except Failure as failure:
			self._fail(failure)

	def _fail(self, failure):
		self._line("ERROR", failure.status())
		self._finish()

	def _tell_all(self):
		self.version, items = self.store.snapshot(self.resource, self.selector)
		for item in items:
			self._line("ADDED", item)

	def _pass_on(self):
		"""What there is to tell, or a moment's wait."""
		self.exchange.connection.check_client()
		with self.api.changed:
			# What changed before the order comes before it, what changed later comes later.
			until, act = self._orders.pop(0) if self._orders else (self.store.version, None)
			self._is_busy = act is not None
			pairs = self._take_events(until)
			if not act and not pairs and not self._is_bookmark_due() and self.api.clock() < self._ends:
				self.api.changed.wait(TICK_S)
				return
		for kind, item in pairs:
			self._line(kind, item)
		if act:
			act()
			self._is_busy = False
		self._send_bookmark()
		if self.api.clock() >= self._ends and not self.is_muted:
			self._finish()

	def _take_events(self, until):
		if self.is_muted or self.version > until:
			return []
		pairs = self.store.events_after(self.version, until, self.resource, self.selector)
		self.version = until
		return pairs

	def _is_bookmark_due(self):
		now = self.api.clock()
		return self._has_bookmarks and not self.is_muted and (now >= self._next_bookmark or bool(self._bookmarks) and now >= self._bookmarks[0])

	def _send_bookmark(self):
		if not self._is_bookmark_due():
			return
		now = self.api.clock()
		self._bookmarks = [when for when in self._bookmarks if now < when]
		if now >= self._next_bookmark:
			self._next_bookmark = now + self.api.bookmark_s
		if self.version <= self.store.version:
			self._line("BOOKMARK", bookmark(self.resource, self.version))
			self.bookmarks += 1


# ---- the server ----


class FakeApi:
	def __init__(self, objects=(), host="127.0.0.1", token=None, pki=None, bookmark_s=60, streaming="on", store=None, clock=time.monotonic):
		"""token: None lets everybody in. pki: a Pki for https. streaming: "on", "off" (422) or "ignored" (a server that does not know
		sendInitialEvents). bookmark_s: None: one that has none where nothing changes. host: an address of this network namespace.
		clock: what watches go by, for their bookmarks and ends."""
		self.store = store or Store(objects)
		self.clock = clock
		self.changed = self.store.changed
		self.host, self.bookmark_s, self.streaming = host, bookmark_s, streaming
		self.tokens = None if token is None else {token}
		self.pki = pki
		self.tls = pki.server_context() if pki else None
		self.future_wait_s = 0.2  # the real one: about 3 s
		self.page_size = 0  # lists in pages of so many items, asked for or not, as proxies of API servers do
		self.requests = []
		self.accepted = 0
		self._rules, self._streams, self._connections = [], [], set()
		self._lock = threading.Lock()
		self._thawed = threading.Event()
		self._thawed.set()
		self._listener, self.port = None, 0
		self._closing = False
		self.listen()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()

	def close(self):
		self._closing = True
		self._thawed.set()
		self.refuse()

	@property
	def url(self):
		host = "[%s]" % self.host if ":" in self.host else self.host
		return "%s://%s:%d" % ("https" if self.tls else "http", host, self.port)

	# -- availability --

	def listen(self):
		"""(Again), at the same port."""
		self._listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
		self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		self._listener.bind((self.host, self.port))
		self.port = self._listener.getsockname()[1]
		self._listener.listen(64)
		threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

	def refuse(self):
		"""The port is closed and every connection cut, as when the server was killed."""
		listener, self._listener = self._listener, None
		if listener:
			with contextlib.suppress(OSError):
				listener.shutdown(socket.SHUT_RDWR)
			listener.close()
		self.cut_all()

	def cut_all(self):
		with self._lock:
			connections = list(self._connections)
		for connection in connections:
			connection.cut()

	def restart(self):
		"""Every connection is cut, every version before the present one is too old."""
		self.store.forget_history()
		self.cut_all()

	def become(self, store):
		"""Another cluster behind the same address."""
		store.changed = self.changed
		self.store = store
		self.cut_all()

	def freeze(self):
		"""Not an octet more on any connection, open or new; nothing is closed."""
		self._thawed.clear()

	def thaw(self):
		self._thawed.set()

	def wait_while_frozen(self, connection):
		while not self._thawed.wait(TICK_S):
			connection.check_client()

	# -- rules --

	def on(self, predicate, action, times=None):
		"""Requests that match are answered by action instead, `times` of them or until the rule's end(). Later rules come first."""
		rule = Rule(predicate, action, times)
		with self._lock:
			self._rules.insert(0, rule)
		return rule

	def _action(self, request):
		with self._lock:
			for rule in self._rules:
				if rule.left != 0 and rule.predicate(request):
					rule.hits += 1
					if rule.left is not None:
						rule.left -= 1
					return rule.action
		return Exchange.answer

	# -- what was asked --

	def watches(self, resource=None):
		"""Running ones, oldest first."""
		with self._lock:
			return [stream for stream in self._streams if resource in (None, stream.resource)]

	def mark(self):
		return len(self.requests)

	def since(self, mark, predicate=any_request):
		return [request for request in self.requests[mark:] if predicate(request)]

	def add_stream(self, stream):
		with self._lock:
			self._streams.append(stream)

	def remove_stream(self, stream):
		with self._lock:
			self._streams.remove(stream)

	# -- connections --

	def _accept(self, listener):
		while True:
			try:
				raw, _ = listener.accept()
			except OSError:
				return
			self.accepted += 1
			threading.Thread(target=self._serve, args=(Connection(self, raw),), daemon=True).start()

	def _serve(self, connection):
		with self._lock:
			self._connections.add(connection)
		try:
			self.wait_while_frozen(connection)
			connection.handshake()
			while self._serve_one(connection):
				pass
		except (ClientGone, OSError, ValueError):
			pass  # cut by a fault, by the client, or a handshake that failed: tests see it in what is recorded
		finally:
			with self._lock:
				self._connections.discard(connection)
			connection.close()

	def _serve_one(self, connection):
		head = connection.read_head()
		if head is None or self._closing:
			return False
		request = Request(head, connection)
		self.requests.append(request)
		try:
			self._action(request)(Exchange(self, connection, request))
		finally:
			request.ended.set()
		return request.headers.get("connection", "").lower() != "close"


# ---- certificates ----


class Pki:
	"""A CA, a server's and a client's certificate in a folder, made by openssl(1)."""

	def __init__(self, folder, names=("IP:127.0.0.1", "IP:::1", "DNS:kubernetes.default.svc")):
		self.folder = Path(folder)
		self.folder.mkdir(parents=True, exist_ok=True)
		self.ca, self.ca_key = self._path("ca.crt"), self._path("ca.key")
		self._openssl("req", "-x509", *self._new_key(self.ca_key), "-subj", "/CN=fake-ca", "-days", "2", "-out", self.ca)
		self.server_cert, self.server_key = self._signed("server", "subjectAltName=" + ",".join(names))
		self.renew_client()

	def renew_client(self):
		"""Another certificate and key in the files of the last ones."""
		self.client_cert, self.client_key = self._signed("client", "extendedKeyUsage=clientAuth")

	def _path(self, name):
		return str(self.folder / name)

	@staticmethod
	def _new_key(path):
		return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path]

	@staticmethod
	def _openssl(*words):
		done = subprocess.run(["openssl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
		if done.returncode:
			raise RuntimeError("openssl %s: %s" % (words[0], done.stdout))

	def _signed(self, name, extension):
		cert, key, request, extensions = (self._path(name + end) for end in (".crt", ".key", ".csr", ".ext"))
		Path(extensions).write_text(extension + "\n", encoding="ascii")
		self._openssl("req", *self._new_key(key), "-subj", "/CN=fake-" + name, "-out", request)
		self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days", "2", "-extfile",
			extensions, "-out", cert)
		return cert, key

	def server_context(self):
		"""A client may show a certificate of this CA; the token is asked of the others."""
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain(self.server_cert, self.server_key)
		context.load_verify_locations(self.ca)
		context.verify_mode = ssl.CERT_OPTIONAL
		context.set_alpn_protocols(["http/1.1"])
		return context
