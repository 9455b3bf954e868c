# SPDX-License-Identifier: Apache-2.0
"""
The objects of a fake API server (fakeapi.py): Services and EndpointSlices with resource versions out of one counter, the
history that watches are fed from, and the selectors. Answers look as kube-apiserver 1.35's do.
"""

import copy
import json
import threading
import uuid

FIRST_VERSION = 1000
CREATED = "2026-11-21T07:48:39Z"


class Resource:
	def __init__(self, path, kind, group_version, fields):
		self.path, self.kind, self.group_version, self.fields = path, kind, group_version, fields
		self.plural = path.rpartition("/")[2]
		self.group = group_version.rpartition("/")[0]


SERVICES = Resource("/api/v1/services", "Service", "v1", ("metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"))
SLICES = Resource("/apis/discovery.k8s.io/v1/endpointslices", "EndpointSlice", "discovery.k8s.io/v1",
	("metadata.name", "metadata.namespace"))
RESOURCES = (SERVICES, SLICES)
BY_KIND = {resource.kind: resource for resource in RESOURCES}


class Failure(Exception):
	"""A request that is answered with a Status."""

	def __init__(self, code, reason, message, details=None, retry_after_s=None):
		super().__init__(message)
		self.code, self.reason, self.details, self.retry_after_s = code, reason, details, retry_after_s

	def status(self):
		status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": str(self), "reason": self.reason}
		if self.details is not None:
			status["details"] = self.details
		return {**status, "code": self.code}


def compact(value):
	"""JSON as Go writes it: no blanks, keys in the order given."""
	return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# ---- selectors ----


def _split_term(term):
	"""(key, operator, value); the operator is "=", "!=", "has" or "lacks"."""
	for operator, meaning in (("!=", "!="), ("==", "="), ("=", "=")):
		if operator in term:
			key, _, value = term.partition(operator)
			return key.strip(), meaning, value.strip()
	return (term[1:].strip(), "lacks", None) if term.startswith("!") else (term.strip(), "has", None)


def _field(item, key):
	for part in key.split("."):
		item = item.get(part, "") if isinstance(item, dict) else ""
	return item


class Selector:
	"""fieldSelector and labelSelector of a request, and the namespace of its path."""

	def __init__(self, resource, namespace, fields, labels):
		self.namespace = namespace
		self.fields = [_split_term(term) for term in fields.split(",") if term]
		self.labels = [_split_term(term) for term in labels.split(",") if term]
		for key, operator, _ in self.fields:
			if operator not in ("=", "!="):
				raise Failure(400, "BadRequest", "invalid selector: '%s'; can't understand '%s'" % (fields, key))
			if key not in resource.fields:
				raise Failure(400, "BadRequest", self._unknown(resource, key))

	@staticmethod
	def _unknown(resource, key):
		if resource is SERVICES:
			return "field label not supported: %s" % key
		return '"%s" is not a known field selector: only %s' % (key, ", ".join('"%s"' % name for name in resource.fields))

	def matches(self, item):
		if item is None or (self.namespace and item["metadata"].get("namespace") != self.namespace):
			return False
		labels = item["metadata"].get("labels") or {}
		return all(self._holds(_field(item, key), operator, value) for key, operator, value in self.fields) and all(
			self._holds(labels.get(key), operator, value) for key, operator, value in self.labels)

	@staticmethod
	def _holds(found, operator, value):
		return {"=": found == value, "!=": found != value, "has": found is not None, "lacks": found is None}[operator]


# ---- objects ----


class Event:
	"""One change: before or after is None where the object did not exist."""

	def __init__(self, version, resource, before, after):
		self.version, self.resource, self.before, self.after = version, resource, before, after

	def seen_through(self, selector):
		"""(type, object) as a watch with that selector tells it, or None."""
		was, is_now = selector.matches(self.before), selector.matches(self.after)
		if is_now:
			return ("MODIFIED" if was else "ADDED"), self.after
		if not was:
			return None
		# The last state, with the version of the change that took it away.
		gone = copy.deepcopy(self.before)
		gone["metadata"]["resourceVersion"] = str(self.version)
		return "DELETED", gone


def key_of(item):
	return item["metadata"].get("namespace", ""), item["metadata"]["name"]


class Store:
	"""Safe for several threads; `changed` is notified of every change and of whatever else watches wait for."""

	def __init__(self, objects=(), version=FIRST_VERSION, is_verbatim=False):
		"""is_verbatim: the objects keep their resourceVersion and get no field that they lack."""
		self.changed = threading.Condition(threading.RLock())
		self.version = version
		self.oldest = version  # watches from before this are too old
		self.history = []
		self.items = {resource: {} for resource in RESOURCES}
		for item in objects:
			if is_verbatim:
				self.items[BY_KIND[item["kind"]]][key_of(item)] = copy.deepcopy(item)
			else:
				self.put(item)
		self.oldest = self.version

	def put(self, *items):
		"""Creates or replaces; each is one change. The last version."""
		with self.changed:
			for item in items:
				self._put(item)
			self.changed.notify_all()
			return self.version

	def _put(self, item):
		resource = BY_KIND[item["kind"]]
		before = self.items[resource].get(key_of(item))
		self.version += 1
		metadata = {"uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, "%s/%s" % key_of(item))), "creationTimestamp": CREATED,
			"managedFields": [{"manager": "fake", "operation": "Update", "apiVersion": resource.group_version, "time": CREATED,
				"fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}, "f:spec": {"f:ports": {}}}}],
			**copy.deepcopy(item["metadata"]), "resourceVersion": str(self.version)}
		after = {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": metadata}
		after.update((name, copy.deepcopy(value)) for name, value in item.items() if name not in after)
		self.items[resource][key_of(item)] = after
		self.history.append(Event(self.version, resource, before, after))

	def delete(self, *items):
		"""What has the kind, namespace and name of these."""
		with self.changed:
			for item in items:
				resource = BY_KIND[item["kind"]]
				before = self.items[resource].pop(key_of(item))
				self.version += 1
				self.history.append(Event(self.version, resource, before, None))
			self.changed.notify_all()
			return self.version

	def touch(self, count=1):
		"""Other objects of the cluster change: the version goes on, nobody is told but by bookmarks."""
		with self.changed:
			self.version += count
			return self.version

	def forget_history(self):
		"""As after a restart or a compaction: every version before the present one is too old."""
		with self.changed:
			self.history.clear()
			self.oldest = self.version

	def snapshot(self, resource, selector):
		"""(version, objects in key order)."""
		with self.changed:
			items = self.items[resource]
			return self.version, [items[key] for key in sorted(items, key="/".join) if selector.matches(items[key])]

	def events_after(self, version, until, resource, selector):
		"""[(type, object)] of the changes after version up to until."""
		with self.changed:
			seen = [event.seen_through(selector) for event in self.history if version < event.version <= until and event.resource is resource]
			return [pair for pair in seen if pair]

	def check_age(self, version):
		if version < self.oldest:
			raise Failure(410, "Expired", "too old resource version: %d (%d)" % (version, self.oldest))


def bookmark(resource, version, is_initial_end=False):
	metadata = {"resourceVersion": str(version)}
	if is_initial_end:
		metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
	rest = {"spec": {}, "status": {"loadBalancer": {}}} if resource is SERVICES else {"addressType": "", "endpoints": None, "ports": None}
	return {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": metadata, **rest}


def list_body(resource, version, items, page=None):
	"""Items without kind and apiVersion, as the server lists them. page: (continue, remaining)."""
	metadata = {"resourceVersion": str(version)}
	if page:
		metadata.update({"continue": page[0], "remainingItemCount": page[1]})
	bare = [{name: value for name, value in item.items() if name not in ("kind", "apiVersion")} for item in items]
	return compact({"kind": resource.kind + "List", "apiVersion": resource.group_version, "metadata": metadata, "items": bare}) + b"\n"


def event_line(kind, item):
	return compact({"type": kind, "object": item}) + b"\n"
