#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 120
"""
The agent on this kernel, from its start to `nodens detach`: what depends on the kernel's version. Runs in the guests of
test_kernels.py; on a machine only while nobody else loads programs there.
"""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import hooks
import node
import packet
import podnet
import tagged
import tap
from lab import NAME, OBJECTS, UNKNOWN, Lab, ask_all
from message import Question

CONFINE = Path(__file__).resolve().parents[1] / "lib/confine.py"

THREE4, THREE6 = ["10.1.0.1", "10.1.0.2", "10.1.0.3"], ["fd00:1::1", "fd00:1::2"]
TARGETS = ["h1", "h2", "h3"]


def kernel_version():
	return tuple(int(x) for x in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())


def hook_wanted():
	return "tcx" if kernel_version() >= (6, 6) else "clsact"


# ---- privileges ----


def capabilities():
	"""What the agent is documented to need."""
	return ("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON") + (("CAP_SYS_RESOURCE",) if counts_memlock() else ())


def counts_memlock():
	return kernel_version() < (5, 11)


def confined(command, having):
	return ["/usr/bin/python3", str(CONFINE), "", ",".join(having), *map(str, command)]


class ConfinedLab(Lab):
	"""The agent as a container runtime runs it: these capabilities, 8 MiB of locked memory, a read-only root."""

	def _spawn(self, notify_path):
		command = [node.binary(), "run", "--source", "file:%s" % self.file, *self.servers, *self.interfaces, "--bpffs", str(self.dir)]
		self.process = subprocess.Popen(confined(command, capabilities()), stdout=self.log, stderr=self.log, preexec_fn=self.before_exec,
						env={**os.environ, "NOTIFY_SOCKET": notify_path})


def test_privileges(t, lab):
	t.note("the agent runs with %s and no other" % ", ".join(capabilities()))
	for missing in capabilities():
		folder = lab.dir.parent / "aside"
		command = [node.binary(), "run", "--source", "file:%s" % lab.file, *lab.servers, "--bpffs", folder]
		done = subprocess.run(confined(command, [x for x in capabilities() if x != missing]), stdout=subprocess.PIPE,
				      stderr=subprocess.STDOUT, text=True, check=False, timeout=node.READY_WITHIN_S)
		t.ok(done.returncode == 1 and missing in done.stdout, "without %s: exit 1, and it is named" % missing, done.stdout)


# ---- hook ----


def test_hook(t, lab):
	name = hook_wanted()
	entry, = [x for x in lab.status()["interfaces"] if x["name"] == lab.pod.name]
	t.equal(entry["hook"], name, "status says that the pod's interface is attached by %s" % name)
	filters = re.findall(r"nodens_tc", podnet.run("tc filter show dev %s ingress" % lab.pod.name, check=False))
	tcx = bpf.tcx_programs(lab.pod.ifindex)
	t.equal((bool(filters), len(tcx)), (name == "clsact", int(name == "tcx")), "the kernel shows it there: %s" % name)


# ---- questions ----


def dig(lab, family, *arguments):
	server = packet.SERVER4 if family == 4 else packet.SERVER6
	return podnet.pod_run(lab.pod, "dig", "@" + server, "+tries=1", "+timeout=%d" % podnet.ANSWER_WITHIN_S, "+ignore", *arguments)


def records(text, qtype):
	"""Last words of the answer section's records of that type, sorted."""
	section = re.search(r";; ANSWER SECTION:\n(.*?)(\n\n|\Z)", text, re.DOTALL)
	return sorted(line.split()[-1] for line in (section[1].splitlines() if section else ()) if line.split()[3] == qtype)


def check_dig(lab, family, arguments, qtype, wanted, flags="qr aa rd"):
	text = dig(lab, family, *arguments)
	assert "status: NOERROR" in text and "flags: %s;" % flags in text, text
	assert records(text, qtype) == wanted, text


def test_dig(t, lab):
	targets = [x + "." + NAME % "three" + "." for x in TARGETS]
	questions = (
		("A", (NAME % "three", "A"), "A", THREE4), ("AAAA", (NAME % "three", "AAAA"), "AAAA", THREE6),
		("SRV", ("_http._tcp." + NAME % "three", "SRV"), "SRV", targets),
		("PTR of an IPv4 address", ("-x", THREE4[0]), "PTR", targets[:1]), ("PTR of an IPv6 address", ("-x", THREE6[1]), "PTR", targets[1:2]),
		("NODATA", (NAME % "three", "TXT"), "TXT", []),
	)
	lab.upstream.take()
	for family in (4, 6):
		for name, arguments, qtype, wanted in questions:
			with t.case("dig %s over IPv%d" % (name, family)):
				check_dig(lab, family, arguments, qtype, wanted)
		with t.case("dig over IPv%d without EDNS: as many of 100 addresses as fit, and TC" % family):
			text = dig(lab, family, "+noedns", NAME % "many", "A")
			found = set(records(text, "A"))
			assert "flags: qr aa tc rd;" in text and 20 < len(found) < 40, text
			assert found <= {"10.2.0.%d" % i for i in range(1, 101)}, text
	t.equal(lab.upstream.take(), [], "the upstream saw none of these questions")
	with t.case("what is not the cluster's reaches the upstream"):
		assert podnet.UPSTREAM_ADDRESS in dig(lab, 4, "+noedns", UNKNOWN, "A")
		assert len(lab.upstream.wait_for(1)) == 1


def test_many(t, lab):
	for family in (4, 6):
		with t.case("every kind of answer over IPv%d, checked in full; checksums by the pod's stack" % family):
			errors = podnet.checksum_errors(lab.pod)
			ask_all(lab.pod, family, 10)
			assert podnet.checksum_errors(lab.pod) == errors


def test_dropping_egress(t, lab):
	"""A CNI's policy on the veth's egress, beside our hook: on clsact both hang on one qdisc."""
	# Below Linux 5.11 the limit counts for BPF.
	resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
	pin = node.Node.scratch.path / "bpf" / "drop"
	hooks.pin_program(pin, bpf.TC_ACT_SHOT, "test_drop")
	had_qdisc = "clsact" in podnet.run("tc qdisc show dev " + lab.pod.name)
	if not had_qdisc:
		podnet.run("tc qdisc add dev %s clsact" % lab.pod.name)
	with podnet.fixed_gateway(lab.pod):
		podnet.run("tc filter add dev %s egress bpf direct-action object-pinned %s" % (lab.pod.name, pin))
		for family in (4, 6):
			with t.case("a dropping program on the veth's egress loses no answer over IPv%d" % family):
				ask_all(lab.pod, family, 10)
		with t.case("the same program drops the upstream's answer"), podnet.Client(lab.pod) as client:
			lab.upstream.take()
			assert client.ask(Question(UNKNOWN, ident=77).wire(), 1) is None
			assert len(lab.upstream.wait_for(1)) == 1
	podnet.run("tc filter del dev %s egress" % lab.pod.name)
	if not had_qdisc:
		podnet.run("tc qdisc del dev %s clsact" % lab.pod.name)
	pin.unlink()


# ---- commands ----


def nodens(lab, *arguments):
	return subprocess.run([node.binary(), *arguments, "--bpffs", str(lab.dir)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
			      text=True, check=False)


def test_commands(t, lab):
	done = nodens(lab, "status", "--ready")
	t.ok(done.returncode == 0 and hook_wanted() in done.stdout, "nodens status --ready", done.stdout)
	done = nodens(lab, "lookup", NAME % "three", "A")
	t.ok(done.returncode == 0 and records(done.stdout, "A") == THREE4, "nodens lookup prints the answer", done.stdout)
	done = nodens(lab, "lookup", UNKNOWN, "A")
	t.equal(done.returncode, 1, "nodens lookup of a name that is passed on: exit 1")
	done = nodens(lab, "records")
	t.ok(done.returncode == 0 and all(x in done.stdout for x in THREE4 + THREE6), "nodens records reads the loaded maps", done.stdout[:2000])


# ---- records by the kernel alone ----


def test_iterator(t, lab):
	path, note = lab.dir / "current" / "records", lab.status()["records_note"]
	if not path.exists():
		t.ok(note and nodens(lab, "status").stdout.count(note) == 1, "no records to read with cat: status tells why, once", note)
		t.note("no iterator: " + note)
		return
	text = podnet.run("cat", path)
	wanted = ["%s. 5 IN %s %s" % (NAME % "three", qtype, address) for qtype, found in (("A", THREE4), ("AAAA", THREE6)) for address in found]
	t.none_of([line for line in wanted if line not in text.splitlines()], "cat DIR/current/records has the records")
	t.equal(note, "", "and status complains of nothing")


# ---- the end ----


def loaded():
	"""Ids of all that is loaded into this kernel, by kind."""
	return {kind: {x["id"] for x in json.loads(podnet.run("bpftool -j %s show" % kind))} for kind in ("prog", "map", "link")}


def test_detach(t, lab, before):
	during = loaded()
	lab.process.terminate()
	lab.process.wait(node.ENDS_WITHIN_S)
	kept = loaded()
	mine = {kind: kept[kind] - before[kind] for kind in kept}
	t.note("loaded by the agent: " + ", ".join("%d %ss" % (len(ids), kind) for kind, ids in mine.items()))
	t.ok(len(mine["prog"]) >= 3 and mine["map"] and mine["prog"] <= during["prog"], "the datapath stays behind the agent", mine)
	done = nodens(lab, "detach")
	t.equal(done.returncode, 0, "nodens detach succeeds")
	lab._close()
	with t.case("it leaves no program, map or link in the kernel"):
		node.wait_until(lambda: not any(loaded()[kind] & ids for kind, ids in mine.items()), "their end")
	left = podnet.run("tc qdisc show dev " + lab.pod.name) + podnet.run("tc filter show dev %s ingress" % lab.pod.name, check=False)
	t.ok("clsact" not in left and "nodens" not in left, "it leaves no qdisc and no filter", left)
	t.ok(not lab.dir.exists(), "it leaves no pin")
	with t.case("the upstream answers again"):
		assert podnet.UPSTREAM_ADDRESS in dig(lab, 4, "+noedns", NAME % "three", "A")


def main(t):
	node.enter_namespaces()
	before = loaded()
	with ConfinedLab(OBJECTS) as lab:
		for test in (test_hook, test_dig, test_many, test_dropping_egress, test_commands, test_iterator, test_privileges):
			test(t, lab)
		tagged.test_tagged(t, lab, "through a veth")
		test_detach(t, lab, before)


if __name__ == "__main__":
	tap.run(main)
