#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 400 400
"""
The API server is gone, refuses, is silent, is restarted or another one: what a pod sees meanwhile and afterwards, what the agent
asks for, and what it says. Scenarios mostly wait: each runs in a process and namespaces of its own, all at the same time.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fakelab  # before the modules of tests/lib: it says where they are
import fakeapi
import node
import tap
from fakeapi import SERVICES, SLICES
from fakelab import STAY, TOKEN, UPSTREAM, Asking, KubeLab, base_objects, make_api, moved, mute_one, run_scenarios, slice_with, wait_watches
from fakestore import FIRST_VERSION, Store

NEW = ("10.1.2.77",)
CANNOT_READ, CAN_READ = "the source cannot be read", "the source can be read again"
TOO_OLD, CURRENT = "the records may be too old", "the records are current again"
API_STALE_S = 6
STALE_FLAGS = ["--api-stale-after", "%ds" % API_STALE_S]
LONG_ENOUGH = ["--stale-after", "60s"]  # for another agent to take over, also on a machine that is very busy
SLACK_S = 3
LATE_S = 10  # on a busy machine
REFUSED_S = 10  # how long 401 and 403 are borne
UNKNOWN_VERSION_S = 30  # how long a version is that the server does not know


def during(seconds):
	"""Waits, as part of what is tested: the outage lasts so long."""
	time.sleep(seconds)


lists_of_slices = fakeapi.both(fakeapi.of(SLICES), fakeapi.lists)


def errors_of(lab):
	return {name: count for name, count in lab.counts()["errors"].items() if count}


def check_told_once(lab, *words):
	for word in words:
		lines = lab.lines(word)
		assert len(lines) == 1, "one line, not %d, of %r:\n%s" % (len(lines), word, lab.log_tail())


def change(lab, api, within_s=30):
	"""A change that is seen; `flip` has new addresses afterwards."""
	api.store.put(slice_with("flip", *NEW))
	lab.wait_answer("flip", NEW, within_s)


def versions_never_go_back(api, mark=0):
	last = {}
	for request in api.since(mark):
		key = request.resource, request.selectors
		version = int(request.version or 0)
		assert version >= last.get(key, 0), "back behind %d: %s of\n%s" % (last[key], request, "\n".join(map(str, api.requests)))
		last[key] = version


# ---- gone ----


def refused(tap_):
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("refused for 2 s: old answers; afterwards the watches are taken up again without a relist, and changes of that time seen"):
			wait_watches(api, 2)
			before = lab.counts()
			mark = api.mark()
			api.refuse()
			api.store.put(slice_with("flip", *NEW))
			api.store.delete(slice_with("gone", "10.1.3.1"))
			during(2)
			node.wait_until(lambda: moved(before, lab.counts()).get("connect", 0) >= 4, "some attempts")
			node.wait_until(lambda: lab.status()["source_error"], "the trouble in status: it has lasted a second")
			assert lab.ask("flip") != NEW
			api.listen()
			lab.wait_answer("flip", NEW, 20)
			lab.wait_answer("gone", UPSTREAM, 20)
			asking.check_only(STAY)
			up = moved(before, lab.counts())
			assert "relists" not in up and not api.since(mark, fakeapi.lists), (up, api.since(mark))
			assert up["connect"] >= 4 and up["cut"] == 2, "each attempt is counted: %s" % up
		with tap_.case("refused: one line when it goes, one when it is back, none for each attempt"):
			node.wait_until(lambda: lab.lines(CAN_READ), "the line")
			check_told_once(lab, CANNOT_READ, CAN_READ)
			assert api.url.rpartition("/")[2] in lab.lines(CANNOT_READ)[0], "the line says which server: " + lab.lines(CANNOT_READ)[0]
			node.wait_until(lambda: lab.status()["source_error"] == "", "a status without error")
			assert not lab.lines(TOO_OLD), lab.log_tail()


def backoff(tap_):
	"""A server that answers 503 at once must not be asked in a loop."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("503 for 6 s: attempts that grow rarer; old answers all the time"):
			wait_watches(api, 2)
			mark = api.mark()
			rule = api.on(fakeapi.any_request, fakeapi.respond(503))
			api.cut_all()
			until = time.monotonic() + 6
			during(6)
			for resource in (SERVICES, SLICES):
				asked = fakelab.wait_requests(api, mark, fakeapi.of(resource), 3)
				times = [request.time for request in asked if request.time < until]
				tap_.note("%s: %d attempts, at %s s" % (resource.plural, len(times), ", ".join("%.2f" % (when - times[0]) for when in times)))
				# At most: whoever had no CPU for a while has asked later, and in all less often.
				assert len(times) <= 25, "%d attempts in 6 s" % len(times)
				assert sum(when - times[0] >= 3 for when in times) <= 10, times
			rule.end()
			change(lab, api)
			asking.check_only(STAY)
			check_told_once(lab, CANNOT_READ)
			node.wait_until(lambda: errors_of(lab)["failed"] == rule.hits, "%d counted, not %s" % (rule.hits, errors_of(lab)))
			versions_never_go_back(api)


def throttled(tap_):
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("429 with Retry-After 1 for 3 s: at most an attempt a second; old answers"):
			wait_watches(api, 2)
			mark = api.mark()
			rule = api.on(fakeapi.any_request, fakeapi.respond_text(retry_after_s=1))
			api.cut_all()
			during(3)
			for resource in (SERVICES, SLICES):
				times = [request.time for request in fakelab.wait_requests(api, mark, fakeapi.of(resource), 2)]
				gaps = [after - before for before, after in zip(times, times[1:])]
				assert min(gaps) >= 1, gaps
			rule.end()
			change(lab, api)
			asking.check_only(STAY)
			node.wait_until(lambda: errors_of(lab)["throttled"] == rule.hits, "%d counted, not %s" % (rule.hits, errors_of(lab)))
			assert not lab.lines(TOO_OLD), lab.log_tail()


def restarted(tap_):
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab, "stay", "flip", "gone", "vip") as asking:
		with tap_.case("restarted, every old version too old, objects changed and gone meanwhile: one relist each, and one change from old to new"):
			wait_watches(api, 2)
			lab.wait_answer("gone", ("10.1.3.1",))
			before, mark = lab.counts(), api.mark()
			asking.wait_for(fakelab.FLIP, "flip")
			api.refuse()
			api.store.put(slice_with("flip", *NEW))
			api.store.delete(*fakelab.headless("gone", "10.1.3.1"))
			api.store.forget_history()
			during(0.5)
			api.listen()
			lab.wait_answer("flip", NEW, 20)
			lab.wait_answer("gone", UPSTREAM, 20)
			asking.check_only(STAY)
			asking.check_only((fakelab.VIP,), "vip")
			asking.wait_for(NEW, "flip")
			asking.wait_for(UPSTREAM, "gone")
			seen = asking.answers("flip"), asking.answers("gone")
			assert seen[0] == {fakelab.FLIP, NEW} and seen[1] <= {("10.1.3.1",), UPSTREAM}, seen
			node.wait_until(lambda: moved(before, lab.counts()).get("relists", 0) >= 2, "both relists")
			up = moved(before, lab.counts())
			assert up["relists"] == 2 and up["expired"] == 2, up
			lists = api.since(mark, fakeapi.lists)
			assert len(lists) == 2 and all(request.query["resourceVersionMatch"] == "NotOlderThan" and int(request.version) > FIRST_VERSION
				for request in lists), lists
			versions_never_go_back(api)


# ---- silent ----


def frozen(tap_):
	with make_api(bookmark_s=0.3) as api, KubeLab(api, STALE_FLAGS) as lab, Asking(lab) as asking:
		with tap_.case("frozen: answers until --api-stale-after, then everything is passed on; answered again when it goes on"):
			wait_watches(api, 2)
			asking.wait_for(STAY)
			last_sign = time.monotonic()  # or later
			fakelab.wait_signs(api)
			silent = time.monotonic()
			api.freeze()
			passed = asking.wait_for(UPSTREAM, within_s=API_STALE_S + LATE_S)
			tap_.note("passed on after %.2f s" % (passed - silent))
			assert API_STALE_S - SLACK_S <= passed - last_sign and passed - silent <= API_STALE_S + LATE_S, (passed - last_sign, passed - silent)
			asking.check_only(STAY, end=passed)
			node.wait_until(lambda: lab.status()["gate"] == "closed", "a closed gate in status")
			assert lab.status()["gate_reason"], lab.status()
			api.thaw()
			back = asking.wait_for(STAY)
			during(0.5)
			asking.check_only(STAY, begin=back)
			change(lab, api)
		with tap_.case("frozen: one line when the records are doubted, one when they are current"):
			check_told_once(lab, TOO_OLD, CURRENT)


def one_watch_silent(tap_):
	"""Services speak, slices do not: their records are as old as the slices' silence."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api, STALE_FLAGS) as lab, Asking(lab) as asking:
		with tap_.case("one silent watch of two: passed on after --api-stale-after all the same"):
			wait_watches(api, 2)
			asking.wait_for(STAY)
			rule = api.on(lists_of_slices, fakeapi.silence)  # so that it stays so
			silent = time.monotonic()
			fakelab.wait_signs(api)
			muted = mute_one(api, SLICES)
			passed = asking.wait_for(UPSTREAM, within_s=API_STALE_S + LATE_S)
			assert passed - silent >= API_STALE_S - SLACK_S, passed - silent
			asking.check_only(STAY, end=passed)
		with tap_.case("one silent watch of two: that it was cut is counted"):
			node.wait_until(lambda: errors_of(lab).get("silent", 0) >= 1, "a silent watch in status")
		with tap_.case("one silent watch of two: it is given up, and all is answered again as soon as slices are listed anew"):
			node.wait_until(muted.request.ended.is_set, "the end of the silent watch")
			rule.end()
			api.cut_all()
			asking.wait_for(STAY)
			change(lab, api)


def watchdog(tap_):
	"""A silent watch is cut long before its records would be doubted."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api, ["--api-stale-after", "20s"]) as lab, Asking(lab) as asking:
		with tap_.case("a silent watch is cut by the agent and taken up again from its version; counted, and never passed on"):
			wait_watches(api, 2)
			muted = mute_one(api, SLICES)
			mark = api.mark()
			api.store.put(slice_with("flip", *NEW))
			node.wait_until(muted.request.ended.is_set, "the end of the silent watch")
			lab.wait_answer("flip", NEW)
			asking.check_only(STAY)  # whenever that was: the records were not doubted
			assert errors_of(lab) == {"silent": 1} and len(api.since(mark, fakeapi.lists)) == 1, (errors_of(lab), api.since(mark))
			versions_never_go_back(api)


def quiet(tap_):
	"""A server without bookmarks in a cluster where nothing changes."""
	with make_api(bookmark_s=None) as api, KubeLab(api, ["--api-stale-after", "15s"]) as lab, Asking(lab) as asking:
		with tap_.case("a quiet server without bookmarks is asked for its version, and neither listed nor doubted"):
			wait_watches(api, 2)
			mark = api.mark()
			during(40)
			for resource in (SERVICES, SLICES):
				fakelab.wait_requests(api, mark, fakeapi.both(fakeapi.of(resource), fakeapi.probes), 3)
			assert not api.since(mark, fakeapi.lists), api.since(mark)
			assert not lab.lines(TOO_OLD) and not any(lab.counts()["errors"].values()), lab.log_tail()
			change(lab, api)
			asking.check_only(STAY)


def ends_at_once(tap_):
	"""Something on the way ends each watch cleanly as soon as it is there."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("watches that end at once for 5 s: no loop, old answers, one line"):
			wait_watches(api, 2)
			mark = api.mark()
			rule = api.on(fakeapi.watches, fakeapi.end_at_once)
			for stream in api.watches():
				stream.end()
			during(5)
			count = len(api.since(mark))
			tap_.note("%d requests" % count)
			assert count <= 40, count
			fakelab.wait_requests(api, mark, fakeapi.any_request, 4)
			rule.end()
			change(lab, api)
			asking.check_only(STAY)
			assert len(lab.lines(CANNOT_READ)) <= 2, lab.log_tail()


def dribble(tap_):
	"""Octets without an end of the line are no sign of life."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api, STALE_FLAGS) as lab, Asking(lab) as asking:
		with tap_.case("an event that drips and never ends is silence: passed on, cut, answered again"):
			wait_watches(api, 2)
			asking.wait_for(STAY)
			rule = api.on(lists_of_slices, fakeapi.silence)
			began = time.monotonic()
			fakelab.wait_signs(api)
			stream = mute_one(api, SLICES)
			stream.slow_down(0.02)
			stream.send(b'{"type":"MODIFIED","object":{"metadata":{"name":"' + b"x" * 2000)
			passed = asking.wait_for(UPSTREAM, within_s=API_STALE_S + LATE_S)
			assert passed - began >= API_STALE_S - SLACK_S, passed - began
			node.wait_until(stream.request.ended.is_set, "the end of the dripping watch")
			rule.end()
			api.cut_all()
			asking.wait_for(STAY)
			change(lab, api)


def no_bookmarks(tap_):
	"""Events are signs of life as well; and without either an agent with the usual flags is patient."""
	with make_api() as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("without a bookmark for 8 s and with the usual flags nothing happens"):
			wait_watches(api, 2)
			mark = api.mark()
			during(8)
			assert not api.since(mark) and not any(lab.counts()["errors"].values()), api.since(mark)
			change(lab, api)
			asking.check_only(STAY)


# ---- refused by the server ----


def once_and_for(seconds):
	"""What is asked until then, and the first request for each resource."""
	until, seen = time.monotonic() + seconds, set()

	def matches(request):
		is_first = request.resource not in seen
		seen.add(request.resource)
		return is_first or time.monotonic() < until
	return matches


def forbidden(tap_):
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		for code in (403, 401):
			with tap_.case("%d for 3 s, as right after a server's restart: old answers, nothing is doubted" % code):
				wait_watches(api, 2)
				# Ends by itself: 10 s of it are too long, however late we are.
				rule = api.on(once_and_for(3), fakeapi.respond(code))
				api.cut_all()
				during(3)
				node.wait_until(lambda r=rule: r.hits >= 2, "a refusal of each")
				wait_watches(api, 2, 30)
				rule.end()
				api.store.put(slice_with("flip", "10.1.2.%d" % (code % 250)))
				lab.wait_answer("flip", ("10.1.2.%d" % (code % 250),))
				asking.check_only(STAY)
				assert not lab.lines(TOO_OLD), lab.log_tail()
		assert errors_of(lab)["refused"] >= 4, errors_of(lab)


def restart_403(tap_):
	"""A server that was gone for a while lets nobody in for its first moments; by then the agent asks rarely."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("gone for 10 s, then one 403 for each watch: nothing is doubted"):
			wait_watches(api, 2)
			api.refuse()
			during(10)
			rules = [api.on(fakeapi.of(resource), fakeapi.respond(403), times=1) for resource in (SERVICES, SLICES)]
			api.listen()
			node.wait_until(lambda: len(api.watches()) == 2, "both watches")
			assert [rule.hits for rule in rules] == [1, 1], "both were refused once"
			change(lab, api)
			asking.check_only(STAY)
			assert not lab.lines(TOO_OLD), lab.log_tail()


def forbidden_long(tap_):
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("401 for more than 10 s: then everything is passed on, status and log say why; answered again when let in"):
			wait_watches(api, 2)
			asking.wait_for(STAY)
			began = time.monotonic()
			api.tokens = {"another"}
			api.cut_all()
			passed = asking.wait_for(UPSTREAM, within_s=REFUSED_S + 10)
			tap_.note("passed on after %.2f s" % (passed - began))
			assert REFUSED_S - 0.5 <= passed - began <= REFUSED_S + 8, passed - began
			asking.check_only(STAY, end=passed)
			node.wait_until(lambda: lab.status()["gate"] == "closed", "a closed gate in status")
			assert "401" in lab.status()["gate_reason"] + lab.status()["source_error"], lab.status()
			api.tokens = {TOKEN}
			back = asking.wait_for(STAY, within_s=60)  # it waits up to 30 s before the next attempt
			node.wait_until(lambda: lab.lines(CURRENT), "the line")
			during(0.5)
			asking.check_only(STAY, begin=back)
			check_told_once(lab, TOO_OLD, CURRENT)


def one_forbidden(tap_):
	"""RBAC lacks one of the two: the records of the other alone are none."""
	with make_api(bookmark_s=0.3) as api:
		api.on(fakeapi.of(SLICES), fakeapi.respond(403, message='endpointslices.discovery.k8s.io is forbidden: User "u" cannot list resource'))
		with KubeLab(api, is_ready=False) as lab, Asking(lab, "stay", "vip") as asking:
			with tap_.case("403 for slices from the start: never ready, everything passed on, the server's words in status"):
				node.wait_until(lambda: len(api.since(0, fakeapi.of(SLICES))) >= 4, "attempts")
				node.wait_until(lambda: "is forbidden" in lab.status()["source_error"], "the words in status")
				assert not lab.is_said_ready()
				assert {answer for _, _, answer in asking.results} == {UPSTREAM}


# ---- other versions ----


def restored(tap_):
	"""The same cluster from an older backup: our version is in its future."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab, "stay", "flip") as asking:
		with tap_.case("a server that does not know our version for 30 s: old answers first, then all passed on and its state taken"):
			wait_watches(api, 2)
			api.store.touch(5000)
			node.wait_until(lambda: int(lab.counts()["slice_version"]) > 6000, "the bookmark")
			asking.wait_for(STAY)
			began = time.monotonic()
			old = [item for item in base_objects() if item["metadata"]["name"] not in ("flip-s0", "gone", "gone-s0")]
			api.become(Store([*old, slice_with("flip", *NEW)], version=10))
			# Passing on may last no longer than it takes to list: the log tells of it.
			taken = asking.wait_for(NEW, "flip", UNKNOWN_VERSION_S + 30)
			tap_.note("taken after %.1f s" % (taken - began))
			assert taken - began >= UNKNOWN_VERSION_S - 1, taken - began
			asking.check_only(fakelab.FLIP, "flip", end=began + UNKNOWN_VERSION_S - 1)
			asking.check_only(STAY, end=began + UNKNOWN_VERSION_S - 1)
			assert asking.answers() <= {STAY, UPSTREAM} and asking.answers("flip") <= {fakelab.FLIP, UPSTREAM, NEW}, asking.answers("flip")
			lab.wait_answer("gone", UPSTREAM)
			lab.wait_answer("stay", STAY)
			check_told_once(lab, TOO_OLD)
			wait_watches(api, 2)
			api.store.put(slice_with("flip", "10.1.2.99"))
			lab.wait_answer("flip", ("10.1.2.99",))
			assert 10 < int(lab.counts()["slice_version"]) < 1000, lab.counts()


def restored_meanwhile(tap_):
	"""The agent was gone as well: the one before answers as long as it may, then nobody does until the old version is given up."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api, ["--stale-after", "10s"]) as lab, Asking(lab) as asking:
		with tap_.case("an agent that starts to a server of older versions: nothing of it is answered for 30 s, then its state"):
			wait_watches(api, 2)
			api.store.touch(5000)
			node.wait_until(lambda: int(lab.counts()["slice_version"]) > 6000, "the bookmark")
			lab.kill()
			api.become(Store([*fakelab.headless("stay", "10.1.1.99")], version=10))
			lab.is_ready = False
			began = time.monotonic()
			lab.restart()
			passed = asking.wait_for(UPSTREAM, within_s=10 + fakelab.SOON_S)
			asking.check_only(STAY, begin=began, end=passed)
			taken = asking.wait_for(("10.1.1.99",), within_s=UNKNOWN_VERSION_S + 30)
			tap_.note("passed on after %.1f s, the server's state taken after %.1f s" % (passed - began, taken - began))
			assert taken - began >= UNKNOWN_VERSION_S - 1, taken - began
			asking.check_only(UPSTREAM, begin=passed, end=taken)
			lab.wait_ready()


def downgraded(tap_):
	"""The next server does not know streaming lists, the one after it does."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("a server that comes back without streaming lists: relisted all the same, nothing is doubted"):
			for streaming in ("off", "ignored", "on"):
				wait_watches(api, 2, 30)
				api.streaming = streaming
				api.store.touch()
				api.restart()
				api.store.put(slice_with("flip", "10.1.2.%d" % (len(streaming) + 20)))
				lab.wait_answer("flip", ("10.1.2.%d" % (len(streaming) + 20),), 30)
			asking.check_only(STAY)
			assert not lab.lines(TOO_OLD), lab.log_tail()
			versions_never_go_back(api)


def behind(tap_):
	"""One of several servers lags behind for a few seconds: its old state is never taken."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab, "stay", "flip") as asking:
		with tap_.case("a server that lags behind for 4 s: its older state is never seen, and nothing is passed on"):
			wait_watches(api, 2)
			change(lab, api)
			begin = time.monotonic()
			ahead, version = api.store, api.store.version
			lagging = Store(base_objects())
			assert lagging.version < version
			api.become(lagging)
			during(4)
			lagging.put(slice_with("flip", "10.1.2.88"))
			asking.check_only(NEW, "flip", begin + 0.1)
			ahead.put(slice_with("flip", "10.1.2.78"))
			api.become(ahead)
			lab.wait_answer("flip", ("10.1.2.78",))
			asking.wait_for(("10.1.2.78",), "flip")
			asking.check_only(STAY)
			assert asking.answers("flip", begin + 0.1) == {NEW, ("10.1.2.78",)}, asking.answers("flip", begin + 0.1)
			versions_never_go_back(api)


def another_cluster(tap_):
	"""Higher versions: nothing tells but 410 and what is there."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("another cluster behind the same address: its objects, and none of the old ones"):
			wait_watches(api, 2)
			asking.wait_for(STAY)
			api.become(Store(fakelab.headless("fresh", "10.88.0.1"), version=900000))
			lab.wait_answer("fresh", ("10.88.0.1",))
			asking.wait_for(UPSTREAM)
			lab.wait_answer("vip", UPSTREAM)
			assert asking.answers() == {STAY, UPSTREAM}, asking.answers()


def watch_from_future(tap_):
	"""A version that the server does not know yet: a watch from it is open and silent. Bookmarks and changes of the server's past must
	not be lost when it catches up."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("a server that catches up within seconds: the watch goes on, no relist"):
			wait_watches(api, 2)
			api.store.touch(50)
			node.wait_until(lambda: lab.counts()["slice_version"] == str(api.store.version) == lab.counts()["service_version"], "bookmarks")
			ahead = api.store.version
			behind_by = Store(base_objects(), version=ahead - 30)
			behind_by.oldest = 0
			mark = api.mark()
			api.become(behind_by)
			fakelab.wait_requests(api, mark, fakeapi.watches, 2)
			during(1)
			behind_by.touch(ahead - behind_by.version)
			change(lab, api)
			asking.check_only(STAY)
			assert not lab.lines(TOO_OLD) and not api.since(mark, fakeapi.lists), api.since(mark)
			versions_never_go_back(api)


# ---- the agent's own life ----


def sigterm(tap_):
	with make_api() as api, KubeLab(api) as lab:
		with tap_.case("SIGTERM ends the agent within a second while the server is silent"):
			wait_watches(api, 2)
			api.freeze()
			took_s = lab.stop()
			assert took_s < 1, "%.2f s" % took_s
	with make_api() as api:
		api.freeze()
		with KubeLab(api, is_ready=False) as lab, tap_.case("SIGTERM ends it within a second before anything was answered"):
			node.wait_until(lambda: api.accepted, "a connection")
			took_s = lab.stop()
			assert took_s < 1, "%.2f s" % took_s
	with make_api() as api:
		api.refuse()
		with KubeLab(api, is_ready=False) as lab, tap_.case("and while nobody listens"):
			node.wait_until(lambda: lab.lines(CANNOT_READ), "the line")
			took_s = lab.stop()
			assert took_s < 1, "%.2f s" % took_s


def restart_agent(tap_):
	with make_api(bookmark_s=0.3) as api, KubeLab(api, LONG_ENOUGH) as lab, Asking(lab) as asking:
		with tap_.case("an agent that comes back asks for nothing older than what the one before had, and answers go on"):
			wait_watches(api, 2)
			version = api.store.touch(500)
			node.wait_until(lambda: lab.counts()["slice_version"] == str(version) == lab.counts()["service_version"], "bookmarks in status")
			assert "spread_ms=0" in lab.lines("following the API server")[0], "nobody served meanwhile: " + lab.log_tail()
			lab.kill()
			mark = api.mark()
			api.store.put(slice_with("flip", *NEW))
			lab.restart()
			spread = int(re.search(r"spread_ms=(\d+)", lab.lines("following the API server")[1]).group(1))
			assert 0 < spread <= 1000, "the agent before serves meanwhile: " + lab.log_tail()
			lists = api.since(mark, fakeapi.lists)
			assert len(lists) == 2, lists
			for request in lists:
				assert request.version == str(version) and request.query["resourceVersionMatch"] == "NotOlderThan", request
			lab.wait_answer("flip", NEW)
			asking.check_only(STAY)
		with tap_.case("it comes back to a server that lags behind: the old datapath answers, the old state is never taken"):
			wait_watches(api, 2)
			node.wait_until(lambda: int(lab.counts()["slice_version"]) >= api.store.version, "the version in status")
			lab.kill()
			ahead = api.store
			begin, mark = time.monotonic(), api.mark()
			api.become(Store(base_objects()))
			lab.is_ready = False
			lab.restart()
			fakelab.wait_requests(api, mark, lambda request: request.status is not None, 3)
			during(1)
			assert lab.ask("flip") == NEW and not lab.is_said_ready(), lab.ask("flip")
			api.become(ahead)
			lab.wait_ready()
			asking.check_only(STAY, begin=begin)
	with make_api(bookmark_s=0.3) as api, KubeLab(api) as lab:
		with tap_.case("versions of another server are not used: the identity is the server's URL and CA"):
			api.store.touch(500)
			node.wait_until(lambda: lab.counts()["slice_version"] == str(api.store.version), "bookmarks in status")
			lab.kill()
			with make_api() as other:
				lab.kubeconfig.write_text(fakelab.kubeconfig_text(other.url, "token: " + TOKEN), encoding="ascii")
				lab.restart()
				assert {request.version for request in other.since(0, fakeapi.lists)} <= {"0", None}, other.requests
				lab.wait_answer("stay", STAY)
				lab.process.terminate()
				lab.process.wait(node.ENDS_WITHIN_S)


def second_agent(tap_):
	with make_api() as api, KubeLab(api, LONG_ENOUGH, environment={"POD_NAME": "nodens-x7k2p"}) as lab, Asking(lab) as asking:
		with tap_.case("a second agent waits, asks the server nothing, says who holds the lock, and its pod is alive and not ready"):
			wait_watches(api, 2)
			mark = api.mark()
			with open(node.Node.scratch.path / "second.log", "w+b") as log:
				second = subprocess.Popen(lab.command(), stdout=log, stderr=log, preexec_fn=node._die_with_parent)
				try:
					def text():
						return Path(log.name).read_text(encoding="utf-8")
					node.wait_until(lambda: "pid=%d " % lab.process.pid in text(), "a line about who holds the lock")
					assert "pod=nodens-x7k2p" in text(), text()
					assert not api.since(mark) and second.poll() is None, api.since(mark)
					probes = [subprocess.run([node.binary(), "status", *ready, "--bpffs", str(lab.dir)], env={**os.environ, "POD_NAME": pod},
						stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
						for pod, ready in (("nodens-x7k2p", ("--ready",)), ("nodens-other", ("--ready",)), ("nodens-other", ()))]
					assert [probe.returncode for probe in probes] == [0, 1, 0] and "another agent" in probes[1].stdout, probes
					lab.process.kill()
					lab.process.wait()
					fakelab.wait_requests(api, mark, fakeapi.lists, 2)
					node.wait_until(lambda: "ready" in text(), "the second one's readiness")
					assert str(second.pid) == str(lab.status()["pid"]), lab.status()["pid"]
					asking.check_only(STAY)
				finally:
					second.terminate()
					assert second.wait(node.ENDS_WITHIN_S) == 0


# The longest first.
SCENARIOS = {function.__name__: function for function in (restored, restored_meanwhile, forbidden_long, downgraded, quiet, watchdog, one_watch_silent,
	dribble, restart_403, backoff, forbidden, no_bookmarks, frozen, ends_at_once, throttled, restarted, refused, one_forbidden, behind,
	another_cluster, watch_from_future, sigterm, restart_agent, second_agent)}


if __name__ == "__main__":
	tap.run(lambda tap_: run_scenarios(tap_, SCENARIOS))
