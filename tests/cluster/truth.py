# SPDX-License-Identifier: Apache-2.0
"""What the cluster's objects were at each time: slices and pods as a watch tells them, and a service whose addresses the test itself writes."""

import http.client
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import judge
import node
import oracle
import workloads
from kubeapi import ApiError

# A watch tells of a change after it was made, and the agent may have heard of it first: on a busy machine much earlier. Nobody can know it before.
EARLY_NS = 5_000_000_000
SILENCE_S = 5  # then the watch is opened anew: one that hangs on a server that is gone says nothing
AGAIN_S = 0.05
FAILURES = (OSError, http.client.HTTPException, ApiError, ValueError)


class Watch:
	"""Objects of one kind in the namespace, and each event with the time at which it came: `events` has (ns, type, object)."""

	def __init__(self, api, kind):
		self._api, self._kind = api.copy(), kind
		self.events = []
		self._items = {}
		self._is_ending = False
		self._thread = threading.Thread(target=self._run, daemon=True)
		self._thread.start()

	def stop(self):
		self._is_ending = True
		self._api.close()

	def _run(self):
		while not self._is_ending:
			try:
				self._take_all(self._api.list(self._kind, workloads.NAMESPACE))
				for kind, item in self._api.watch(self._kind, workloads.NAMESPACE, SILENCE_S):
					self._take(kind, item)
			except FAILURES:
				time.sleep(AGAIN_S)
			self._api.close()

	def _take_all(self, items):
		"""What went while nobody looked; the rest comes as events."""
		names = {item["metadata"]["name"] for item in items}
		for name in set(self._items) - names:
			self._take("DELETED", self._items[name])
		for item in items:
			self._take("ADDED", item)

	def _take(self, kind, item):
		if kind not in ("ADDED", "MODIFIED", "DELETED"):
			return
		name, now_ns = item["metadata"]["name"], time.monotonic_ns()
		known = self._items.get(name)
		if kind != "DELETED" and known and known["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]:
			return
		if kind == "DELETED":
			self._items.pop(name, None)
		else:
			self._items[name] = item
		self.events.append((now_ns, kind, {"kind": self._kind, **item}))

	def find(self, condition, after_ns, within_s=30):
		"""Time and object of the first event after after_ns that is one."""
		found = []

		def look():
			found[:] = [(ns, item) for ns, kind, item in self.events if ns > after_ns and kind != "DELETED" and condition(item)][:1]
			return found
		node.wait_until(look, "an event of a %s" % self._kind, within_s)
		return found[0]


class Truth:
	"""Histories of questions about the namespace's names. Services do not change; slices do, and are watched."""

	def __init__(self, api):
		self._services = api.list("Service")
		self._others = [item for item in api.list("EndpointSlice") if item["metadata"]["namespace"] != workloads.NAMESPACE]
		self._first = api.list("EndpointSlice", workloads.NAMESPACE)
		self.slices = Watch(api, "EndpointSlice")

	def stop(self):
		self.slices.stop()

	def histories(self, questions):
		current = {item["metadata"]["name"]: item for item in self._first}
		histories = [judge.History(records) for records in self._expect(current, questions)]
		for now_ns, kind, item in list(self.slices.events):
			if is_step(item):
				continue
			if kind == "DELETED":
				current.pop(item["metadata"]["name"], None)
			else:
				current[item["metadata"]["name"]] = item
			for history, records in zip(histories, self._expect(current, questions)):
				history.add(records, now_ns - EARLY_NS, now_ns)
		return histories

	def _expect(self, slices, questions):
		known = oracle.Oracle(self._services + self._others + list(slices.values()))
		return [judge.expected_of(known, question) for question in questions]


def is_step(item):
	return item["metadata"].get("labels", {}).get("kubernetes.io/service-name") == workloads.STEP


class Writer:
	"""Writes the slice of the service "steps": one version after the other, each with addresses of its own, and when that was."""

	def __init__(self, api, question):
		self._api, self._question = api.copy(), question
		self._slice = workloads.slice_of(workloads.STEP, workloads.step_addresses(0))
		self.number = 0
		self.history = judge.History(self._expect(0))
		self._is_ending = threading.Event()
		self._thread = None
		self.fault = None

	def _expect(self, number):
		item = workloads.slice_of(workloads.STEP, workloads.step_addresses(number))
		service = {"kind": "Service", "metadata": {"namespace": workloads.NAMESPACE, "name": workloads.STEP}, "spec": {"clusterIP": "None"}}
		return judge.expected_of(oracle.Oracle([service, item]), self._question)

	def write(self):
		"""(records, time before the write, time of its acceptance) of the next version."""
		self.number += 1
		records = self._expect(self.number)
		endpoints = workloads.slice_of(workloads.STEP, workloads.step_addresses(self.number))["endpoints"]
		began_ns = time.monotonic_ns()
		self._api.patch(self._slice, {"endpoints": endpoints})
		accepted_ns = time.monotonic_ns()
		self.history.add(records, began_ns, accepted_ns)
		return records, began_ns, accepted_ns

	# ---- by itself ----

	def start(self, period_s):
		self._is_ending.clear()
		self._thread = threading.Thread(target=self._run, args=(period_s,), daemon=True)
		self._thread.start()

	def _run(self, period_s):
		try:
			while not self._is_ending.wait(period_s):
				self.write()
		except FAILURES as e:
			self.fault = e

	def stop(self):
		self._is_ending.set()
		self._thread.join()
		self._api.close()  # the server may not be the same when it goes on
		assert self.fault is None, "a slice could not be written: %s" % self.fault
