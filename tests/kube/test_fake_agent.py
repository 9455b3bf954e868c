#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240 240
"""
The agent around the API source: one that starts while the server is gone and another one's datapath still answers, what
status says meanwhile, SIGHUP, and `nodens records` straight from a server.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fakelab  # before the modules of tests/lib: it says where they are
import fakeapi
import node
import tap
from fakelab import STAY, TOKEN, UPSTREAM, Asking, KubeLab, make_api, run_scenarios, wait_watches

STALE_S = 10  # a new agent is there before that, on a busy machine as well
TICKS_S = 0.1  # the deadline is in jiffies and read by ticks
SYNC_WITHIN_S = 20  # of nodens records
LATE_S = 15  # on a busy machine


def monotonic_of(real_s):
	"""A time of the real clock by the monotonic one: of several looks at both the one that was least interrupted."""
	looks = [(time.monotonic(), time.time(), time.monotonic()) for _ in range(20)]
	began, now, _ = min(looks, key=lambda look: look[2] - look[0])
	return real_s + began - now


def unsynced(tap_):
	"""Killed, started, killed, started while the server is gone: nothing is lost by it but time."""
	with make_api(bookmark_s=0.3) as api, KubeLab(api, ["--stale-after", "%ds" % STALE_S]) as lab, Asking(lab) as asking:
		wait_watches(api, 2)
		version = str(api.store.touch(500))
		node.wait_until(lambda: lab.counts()["slice_version"] == version == lab.counts()["service_version"], "the version in status")
		first = lab.process.pid
		with tap_.case("an agent that starts while the server is gone leaves the datapath of the one before"):
			api.refuse()
			lab.is_ready = False
			lab.kill()
			killed = time.monotonic()
			lab.restart()
			node.wait_until(lambda: lab.status()["pid"] == lab.process.pid != first, "the new agent in status")
			status = lab.status()
			assert status["gate"] == "open" and status["alive"] and status["synced_ms"] == 0, fakelab.dump(status)
			assert not lab.is_said_ready()
			asking.check_only(STAY, begin=killed)
		with tap_.case("its heartbeat is not kept up: passed on when --stale-after is over"):
			deadline = monotonic_of(status["heartbeat_ms"] / 1000) + STALE_S
			assert deadline <= killed + STALE_S + TICKS_S, "a beat after the end: %s" % (deadline - killed)
			passed = asking.wait_for(UPSTREAM)
			time.sleep(0.3)
			assert asking.answered_by(deadline - TICKS_S, begin=killed) == {STAY}, asking.answered_by(deadline - TICKS_S, begin=killed)
			asking.check_only(UPSTREAM, begin=deadline + TICKS_S)
		with tap_.case("then status is its own: alive, not synced, and what it waits for"):
			node.wait_until(lambda: lab.status()["gate"] == "not-synced", "a generation of its own")
			status = lab.status()
			assert status["alive"] and api.url in status["gate_reason"] and status["source_error"], fakelab.dump(status)
			assert len(lab.lines("waiting for it")) == 1, lab.log_tail()
		with tap_.case("killed before it was synced, the one after it still asks for nothing older"):
			lab.kill()
			mark = api.mark()
			lab.restart()
			node.wait_until(lambda: lab.status()["pid"] == lab.process.pid, "the third agent in status")
			assert lab.counts()["slice_version"] == version == lab.counts()["service_version"], lab.counts()
			api.listen()
			asking.wait_for(STAY, within_s=60)
			lab.wait_ready()
			assert {request.version for request in api.since(mark, fakeapi.lists)} == {version}, api.since(mark)
			assert asking.answers(begin=passed) == {STAY, UPSTREAM}, asking.answers(begin=passed)


def hangup(tap_):
	with make_api() as api, KubeLab(api) as lab, Asking(lab) as asking:
		with tap_.case("SIGHUP lists everything again, not older than what is known, while answers go on"):
			wait_watches(api, 2)
			mark, version = api.mark(), lab.counts()["slice_version"]
			lab.process.send_signal(signal.SIGHUP)
			node.wait_until(lambda: lab.lines("objects applied"), "the line that all was read")
			lists = api.since(mark, fakeapi.lists)
			assert len(lists) == 2 and all(int(request.version) >= int(version) for request in lists), lists
			asking.check_only(STAY)


def records(api, lab, *arguments):
	"""(exit code, stdout, stderr, seconds)"""
	began = time.monotonic()
	done = subprocess.run([node.binary(), "records", "--source", "kube:%s" % lab.kubeconfig, *arguments], capture_output=True,
			      text=True, timeout=SYNC_WITHIN_S + 2 * LATE_S, check=False)
	return done.returncode, done.stdout, done.stderr, time.monotonic() - began


def one_shot(tap_):
	with make_api() as api:
		lab = KubeLab(api)
		with tap_.case("records prints what the server has"):
			code, zones, errors, _ = records(api, lab)
			assert code == 0 and not errors, errors
			for address in STAY:
				assert any(line.split()[0] == "stay.lab.svc.cluster.local." and line.split()[-1] == address
					   for line in zones.splitlines()), zones
		with tap_.case("at level headless no name of another service is in it"):
			code, zones, errors, _ = records(api, lab, "--answer", "headless")
			assert code == 0 and "stay.lab" in zones and "vip.lab" not in zones, zones + errors
		with tap_.case("a server that is not there ends it within its time, with the cause"):
			api.refuse()
			code, zones, errors, took_s = records(api, lab)
			assert code == 1 and not zones and api.url in errors and "efused" in errors, errors
			assert took_s < SYNC_WITHIN_S + LATE_S, took_s


def no_such_token(tap_):
	with make_api() as api:
		lab = KubeLab(api, user="token: not-" + TOKEN)
		with tap_.case("a token that is refused ends it within its time, with the cause"):
			code, zones, errors, took_s = records(api, lab)
			assert code == 1 and not zones and "401" in errors and TOKEN not in errors, errors
			assert took_s < SYNC_WITHIN_S + LATE_S, took_s


SCENARIOS = {function.__name__: function for function in (unsynced, one_shot, no_such_token, hangup)}

if __name__ == "__main__":
	tap.run(lambda tap_: run_scenarios(tap_, SCENARIOS))
