#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180 300
"""
Beside others on the same hooks, once with tcx and once as on a kernel without it: their programs before and after ours,
passing, ending the chain or dropping, at ingress and egress; those that come later; those that take us off.
"""

import contextlib
import re
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import hooks
import node
import podnet
import tap
from hooks import OK, PASS, SHOT
from lab import OBJECTS, UNKNOWN, Lab, check, question
from message import Question

LOST_WITHIN_S = 0.5
BACK_WITHIN_S = 30
# In each line about a loss. What is off the hook may be back before anybody has looked.
LOST = "a program of ours off an interface"
VERDICT_NAMES = {PASS: "goes on", OK: "accepts", SHOT: "drops"}
NAMES = {"tcx": "tcx", "clsact": "clsact (as below Linux 6.6)"}


class ClsactLab(Lab):
	before_exec = staticmethod(hooks.without_tcx)


LABS = {"tcx": Lab, "clsact": ClsactLab}


def who_answers(lab, asked, within_s):
	"""node, upstream or nobody."""
	with podnet.Client(lab.pod) as client:
		answer = client.ask(asked.wire(), within_s)
	if answer is None:
		return "nobody"
	if podnet.is_from_upstream(answer):
		return "upstream"
	check(asked, answer, 4)
	return "node"


def outcome(lab, wanted=("node", "upstream")):
	"""Who answers a name of ours, and another one. Nobody, where nobody should, is not waited for as long."""
	within_s = [LOST_WITHIN_S if who == "nobody" else podnet.ANSWER_WITHIN_S for who in wanted]
	return who_answers(lab, question("three"), within_s[0]), who_answers(lab, Question(UNKNOWN), within_s[1])


def expect(tap_, lab, wanted, name):
	got = outcome(lab, wanted)
	tap_.ok(got == wanted, name, "a hit and a miss are answered by %s, not by %s\n%s" % (got, wanted, lab.log_text()[-2000:]))


@contextlib.contextmanager
def pinned(code, name):
	path = node.Node.scratch.path / "bpf" / name
	hooks.pin_program(path, code, name)
	try:
		yield path
	finally:
		path.unlink()


@contextlib.contextmanager
def foreign_filter(lab, code, priority, handle, direction="ingress"):
	with pinned(code, "other") as path:
		hooks.add_filter(lab.pod.name, path, priority, handle, direction)
	try:
		yield
	finally:
		if any(found[:2] == (priority, handle) for found in hooks.filters(lab.pod.name, direction)):
			hooks.delete_filter(lab.pod.name, priority, handle, direction)


# ---- their programs around ours ----

# Of a program behind ours: a hit never gets there, a miss does. Of one before ours: what ends the chain ends it for us too.
BEHIND = {PASS: ("node", "upstream"), OK: ("node", "upstream"), SHOT: ("node", "nobody")}
BEFORE = {PASS: ("node", "upstream"), OK: ("upstream", "upstream"), SHOT: ("nobody", "nobody")}


def test_behind(tap_, lab, hook):
	"""Whoever is there already, or comes later without asking for the head."""
	for code, wanted in BEHIND.items():
		with hooks.tcx_program(lab.pod.ifindex, code) if hook == "tcx" else foreign_filter(lab, code, 2, 2):
			expect(tap_, lab, wanted, "%s: a program behind ours that %s" % (NAMES[hook], VERDICT_NAMES[code]))
	if hook == "tcx":
		for code, wanted in BEHIND.items():
			with foreign_filter(lab, code, 1, 1):
				expect(tap_, lab, wanted, "a clsact filter of priority 1, handle 1 that %s, behind tcx" % VERDICT_NAMES[code])


def test_before_tcx(tap_, lab):
	for code, wanted in BEFORE.items():
		with hooks.tcx_program(lab.pod.ifindex, code, is_before=True) as other:
			expect(tap_, lab, wanted, "tcx: a program that put itself before ours and %s" % VERDICT_NAMES[code])
			if code == OK:
				time.sleep(2.5)  # two rounds of the agent's look at its programs
				tap_.ok(bpf.tcx_programs(lab.pod.ifindex)[0] == other, "tcx: nobody is pushed from the head")
	expect(tap_, lab, ("node", "upstream"), "tcx: when they are gone, everything is as before")


def test_before_clsact(tap_, lab):
	"""As AWS's network policy agent does: priority 1, handle 1, later than ours, so it runs first."""
	def handles():
		return [handle for _, handle, _ in hooks.filters(lab.pod.name)]

	with foreign_filter(lab, OK, 1, 1):
		with tap_.case("clsact: a filter of priority 1 that came later: ours moves before it, once"):
			node.wait_until(lambda: handles() == [hooks.OUR_HANDLE, 1], "our filter before it")
		expect(tap_, lab, ("node", "upstream"), "clsact: then both do their work")
		with foreign_filter(lab, OK, 1, 2):
			time.sleep(1)
			with tap_.case("clsact: another one that comes before ours stays there: no fight for the head"):
				assert handles() == [2, hooks.OUR_HANDLE, 1], hooks.filters(lab.pod.name)
			expect(tap_, lab, ("upstream", "upstream"), "clsact: what it accepts is not seen by ours, and passes")
	with tap_.case("clsact: their filters were theirs to remove, ours is left"):
		assert [found[:2] for found in hooks.filters(lab.pod.name)] == [(hooks.OUR_PRIORITY, hooks.OUR_HANDLE)], hooks.filters(lab.pod.name)
	expect(tap_, lab, ("node", "upstream"), "clsact: when they are gone, everything is as before")


def test_egress(tap_, lab, hook):
	"""Where CNIs put the policy of what may reach the pod. It never saw our query, so it must not see our answer."""
	name = lab.pod.name
	with hooks.tcx_program(lab.pod.ifindex, SHOT, attach_type=hooks.BPF_TCX_EGRESS) if hook == "tcx" else foreign_filter(lab, SHOT, 1, 1, "egress"):
		expect(tap_, lab, ("node", "nobody"), "%s: a dropping program at egress of the veth: answers of ours arrive" % NAMES[hook])
	with foreign_filter(lab, OK, 1, 1, "egress"):
		expect(tap_, lab, ("node", "upstream"), "%s: an accepting one" % NAMES[hook])
	tap_.ok(hooks.our_filter(name) or bpf.tcx_programs(lab.pod.ifindex), "%s: ours stays where it is" % NAMES[hook])


# ---- status ----


def test_status(tap_, lab, hook):
	with foreign_filter(lab, PASS, 5, 5), hooks.tcx_program(lab.pod.ifindex, PASS, "neighbour") as other:
		report = lab.status()
		listed = [(entry["hook"], entry["ours"], entry["name"]) for entry in report["hooks"] if entry["ifindex"] == lab.pod.ifindex]
		ours = (hook, True, "nodens_tc")
		tcx = [("tcx", False, "neighbour")]
		clsact = [("clsact", False, "other")]
		wanted = [ours, *tcx, *clsact] if hook == "tcx" else [*tcx, ours, *clsact]
		tap_.equal(listed, wanted, "%s: status lists who is on the hooks, in order, ours marked" % NAMES[hook])
		ids = [entry["program"] for entry in report["hooks"] if entry["hook"] == "tcx"]
		tap_.equal(ids, bpf.tcx_programs(lab.pod.ifindex), "%s: with the kernel's ids" % NAMES[hook])
		filters = [(entry["priority"], entry["handle"], entry["program"]) for entry in report["hooks"] if entry["hook"] == "clsact"]
		tap_.equal(filters, hooks.filters(lab.pod.name), "%s: and priorities and handles as tc lists them" % NAMES[hook])
		text = podnet.run(node.binary(), "status", "--bpffs", lab.dir)
		shown = text[text.index("\nhooks "):]
		tap_.ok("program %d neighbour" % other in shown and "(ours)" in shown and "priority 5, handle 0x5, bpf" in shown,
			"%s: the same as text" % NAMES[hook], text)
	tap_.ok("\nhooks " not in podnet.run(node.binary(), "status", "--bpffs", lab.dir), "%s: alone there, no word of it" % NAMES[hook])


# ---- taken off ----


def interface(lab):
	return next(entry for entry in lab.status()["interfaces"] if entry["ifindex"] == lab.pod.ifindex)


def pinned_link(lab):
	return lab.dir / "links" / ("tcx_%d" % lab.pod.ifindex)


def log_count(lab, text):
	return lab.log_text().count(text)


def take_off(lab, how):
	"""Until the agent has noticed."""
	before = log_count(lab, LOST)
	if how == "unpinned":
		pinned_link(lab).unlink()
	elif how == "detached":
		hooks.detach_link(pinned_link(lab))
	elif how == "filter deleted":
		hooks.delete_filter(lab.pod.name, hooks.OUR_PRIORITY, hooks.OUR_HANDLE)
	else:
		podnet.run("tc qdisc del dev %s clsact" % lab.pod.name)
	node.wait_until(lambda: log_count(lab, LOST) > before, "a loss in the log")


def is_back(lab):
	"""On the hook, and where that is by a link, pinned: the agent does one after the other, and take_off needs both."""
	return hooks.is_on(lab, lab.pod) and bool(hooks.our_filter(lab.pod.name) or pinned_link(lab).exists())


def wait_back(lab):
	began = time.monotonic()
	node.wait_until(lambda: is_back(lab), "our return\n" + lab.log_text()[-2000:], BACK_WITHIN_S)
	return time.monotonic() - began


def test_taken_off(tap_, lab, hook):
	"""Beside one who accepts everything: ours must come back before it."""
	with hooks.tcx_program(lab.pod.ifindex, OK) if hook == "tcx" else foreign_filter(lab, OK, 1, 1):
		check_taken_off(tap_, lab, hook)


def check_taken_off(tap_, lab, hook):
	for how in ("unpinned", "detached") if hook == "tcx" else ("filter deleted", "qdisc deleted"):
		with tap_.case("%s: %s by somebody: ours comes back" % (NAMES[hook], how)):
			take_off(lab, how)
			tap_.note("%s, %s: back after %.2f s" % (hook, how, wait_back(lab)))
			assert outcome(lab) == ("node", "upstream")
			node.wait_until(lambda: not interface(lab)["failed"], "status without a fault")


def test_fight(tap_, lab, hook):
	"""Somebody who takes us off whenever we come back. A fresh agent: losses in a row are counted over minutes."""
	how, times = ("unpinned" if hook == "tcx" else "qdisc deleted"), 0
	given_up = "again and again"
	while log_count(lab, given_up) == 0 and times < 20:
		take_off(lab, how)
		times += 1
		node.wait_until(lambda: is_back(lab) or log_count(lab, given_up), "our return", BACK_WITHIN_S)
	waits_ms = [int(text) for text in re.findall(r"\bin_ms=(\d+)", lab.log_text())]
	tap_.note("%s: back after %s ms" % (hook, ", ".join(map(str, waits_ms))))
	with tap_.case("%s: after a few times we give in: once in the log, and in status" % NAMES[hook]):
		assert 3 <= times <= 8, times
		assert log_count(lab, given_up) == 1, lab.log_text()
		# The line in the log comes first.
		node.wait_until(lambda: interface(lab)["hook"] == "none", "the loss in status")
		entry = interface(lab)
		assert entry["failed"] and entry["hook"] == "none" and "seldom" in entry["reason"], entry
		assert len(waits_ms) == times - 1 and all(b == 2 * a for a, b in zip(waits_ms, waits_ms[1:])), waits_ms
	time.sleep(2)
	with tap_.case("%s: and stay off: everything passes" % NAMES[hook]):
		assert not hooks.is_on(lab, lab.pod)
		assert outcome(lab) == ("upstream", "upstream")
		assert log_count(lab, given_up) == 1


# ---- the qdisc ----


def detach(lab):
	lab.kill()
	podnet.run(node.binary(), "detach", "--bpffs", lab.dir)


def test_qdisc(tap_):
	with ClsactLab(OBJECTS) as lab:
		with tap_.case("clsact: the qdisc that we made is gone with us"):
			assert hooks.has_clsact(lab.pod.name)
			detach(lab)
			assert not hooks.has_clsact(lab.pod.name)
	with ClsactLab(OBJECTS) as lab, foreign_filter(lab, OK, 7, 7, "egress"):
		with tap_.case("clsact: it stays where a filter of another owner, at egress, needs it"):
			detach(lab)
			assert [found[:2] for found in hooks.filters(lab.pod.name, "egress")] == [(7, 7)]
			assert hooks.filters(lab.pod.name) == []
	with ClsactLab(OBJECTS) as lab:
		with tap_.case("clsact: the qdisc that we made is gone with us even if our filter was deleted once"):
			take_off(lab, "filter deleted")
			wait_back(lab)
			detach(lab)
			assert not hooks.has_clsact(lab.pod.name)
	for is_down in (False, True):
		with ClsactLab(OBJECTS) as lab:
			with tap_.case("clsact: a qdisc that another owner made after deleting ours %s is not ours to remove" %
				       ("while the agent was down" if is_down else "before ours came back")):
				check_foreign_qdisc(lab, is_down)


def check_foreign_qdisc(lab, is_down):
	"""A running agent stands still meanwhile: it would be there between one tc and the other, now and then."""
	before = log_count(lab, LOST)
	if is_down:
		lab.kill()
	else:
		lab.freeze()
	podnet.run("tc qdisc del dev %s clsact" % lab.pod.name)
	hooks.add_clsact(lab.pod.name)
	if is_down:
		lab.restart()
	else:
		lab.process.send_signal(signal.SIGCONT)
		node.wait_until(lambda: log_count(lab, LOST) > before, "a loss in the log")
	wait_back(lab)
	detach(lab)
	assert hooks.has_clsact(lab.pod.name)
	assert hooks.filters(lab.pod.name) == []


def main(tap_):
	node.enter_namespaces()
	for hook, kind in LABS.items():
		with kind(OBJECTS) as lab, podnet.fixed_gateway(lab.pod):
			tap_.equal(interface(lab)["hook"], hook, "%s: the agent uses it" % NAMES[hook])
			expect(tap_, lab, ("node", "upstream"), "%s: alone on the hook" % NAMES[hook])
			test_behind(tap_, lab, hook)
			test_before_tcx(tap_, lab) if hook == "tcx" else test_before_clsact(tap_, lab)
			test_egress(tap_, lab, hook)
			test_status(tap_, lab, hook)
			test_taken_off(tap_, lab, hook)
		with kind(OBJECTS) as lab:
			test_fight(tap_, lab, hook)
	test_qdisc(tap_)


if __name__ == "__main__":
	tap.run(main)
