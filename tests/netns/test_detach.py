#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 240
"""
`nodens detach` takes everything of ours and nothing else: the same commands (bpftool prog, link, map; tc; a listing of the
bpffs) name us before and not after, and others before and after. From a running agent, after an orderly end, after SIGKILL,
with clsact filters, and with what an agent of another layout or one that died half-way left.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import hooks
import node
import podnet
import tap
from lab import OBJECTS, Lab, ask_all

GONE_WITHIN_S = 30
KINDS = ("prog", "link", "map")


class ClsactLab(Lab):
	before_exec = staticmethod(hooks.without_tcx)


# ---- what anybody can list ----


def bpftool(kind):
	"""{id: name or type} of all in the kernel."""
	entries = json.loads(subprocess.run(["bpftool", "-j", kind, "show"], stdout=subprocess.PIPE, check=True).stdout)
	return {entry["id"]: entry.get("name", entry.get("type", "")) for entry in entries}


def tree(root):
	"""Every path of the bpffs but the kernel's own files."""
	return {os.path.join(folder, name) for folder, folders, files in os.walk(root) for name in folders + files if not name.endswith(".debug")}


class Listing:
	def __init__(self, lab):
		self.kernel = {(kind, number): name for kind in KINDS for number, name in bpftool(kind).items()}
		self.paths = tree(node.Node.scratch.path / "bpf")
		self.tcx = bpf.tcx_programs(lab.pod.ifindex)
		self.filters = {direction: hooks.filters(lab.pod.name, direction) for direction in ("ingress", "egress")}
		self.qdisc = hooks.has_clsact(lab.pod.name)


def ours(lab, listing):
	"""(kind, id) of all that is pinned in our folder, and of the tcx links, whose pins are there."""
	found = {bpf.obj_id(path) for path in map(Path, listing.paths) if lab.dir in path.parents and path.is_file() and not path.is_symlink()}
	return found | {("prog", number) for _, _, number in listing.filters["ingress"] if ("prog", number) in found}


@contextlib.contextmanager
def others(lab):
	"""Programs of other owners: in the bpffs beside our folder, on tcx, on clsact, and one that carries our program's name."""
	root = node.Node.scratch.path / "bpf"
	hooks.pin_program(root / "theirs", hooks.PASS, "theirs")
	hooks.pin_program(root / "namesake", hooks.PASS, "nodens_tc")
	hooks.add_filter(lab.pod.name, root / "theirs", 3, 3, "egress")
	hooks.add_filter(lab.pod.name, root / "theirs", 1, 1)
	with hooks.tcx_program(lab.pod.ifindex, hooks.PASS, "theirs"):
		try:
			yield {"paths": {str(root / "theirs"), str(root / "namesake")}, "programs": {bpf.obj_id(root / name) for name in ("theirs", "namesake")},
			       "tcx": bpf.tcx_programs(lab.pod.ifindex)[-1:], "filters": {"ingress": [(1, 1)], "egress": [(3, 3)]}}
		finally:
			for name in ("theirs", "namesake"):
				(root / name).unlink()
			podnet.run("tc qdisc del dev %s clsact" % lab.pod.name, check=False)


def nodens(lab, *arguments):
	return subprocess.run([node.binary(), "detach", "--bpffs", str(lab.dir), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


# ---- before and after ----


def check_listed(tap_, name, lab, listing, hook):
	mine = ours(lab, listing)
	names = {kind: {listing.kernel[pair] for pair in mine if pair[0] == kind and pair in listing.kernel} for kind in KINDS}
	tap_.ok({"nodens_tc", "nodens_explain"} <= names["prog"] and {"verdicts", "interfaces"} <= names["map"], "%s: before: bpftool lists our programs and maps" % name, names)
	if hook == "tcx":
		links = [pair for pair in mine if pair[0] == "link"]
		tap_.ok(links and all(pair in listing.kernel for pair in links), "%s: before: bpftool lists our links" % name, names)
		tap_.ok(any(("prog", number) in mine for number in listing.tcx), "%s: before: ours is on the hook" % name, listing.tcx)
	else:
		tap_.ok(any(found[:2] == (hooks.OUR_PRIORITY, hooks.OUR_HANDLE) for found in listing.filters["ingress"]), "%s: before: tc lists our filter" % name, listing.filters)
	return mine


def check_gone(tap_, name, lab, mine, theirs):
	with tap_.case("%s: after: none of our %d programs, maps and links is left in the kernel" % (name, len(mine))):
		node.wait_until(lambda: mine.isdisjoint(Listing(lab).kernel), "their end", GONE_WITHIN_S)
	after = Listing(lab)
	tap_.equal({path for path in after.paths if path not in theirs["paths"]}, set(), "%s: after: the bpffs holds nothing of ours" % name)
	tap_.equal(after.tcx, theirs["tcx"], "%s: after: the tcx hook holds theirs alone" % name)
	tap_.equal({direction: [found[:2] for found in listed] for direction, listed in after.filters.items()}, theirs["filters"], "%s: after: tc lists their filters alone" % name)
	tap_.ok(after.qdisc and theirs["programs"] <= set(after.kernel) and theirs["paths"] <= after.paths, "%s: after: the qdisc, programs and pins of others are there" % name)


def check_detach(tap_, name, lab, hook, prepare, *arguments, finish=lambda lab: None):
	with others(lab) as theirs:
		if hook == "clsact":
			# It moves, once, before the one that came later, and is off for a moment then.
			order = [(hooks.OUR_PRIORITY, hooks.OUR_HANDLE), (1, 1)]
			node.wait_until(lambda: [found[:2] for found in hooks.filters(lab.pod.name)] == order, "our filter before theirs", GONE_WITHIN_S)
		before = Listing(lab)
		mine = check_listed(tap_, name, lab, before, hook)
		lab._close()  # the test's own descriptors
		mine |= prepare(lab) or set()
		done = nodens(lab, *arguments)
		tap_.ok(done.returncode == 0 and "removed" in done.stdout, "%s: nodens detach succeeds and says what it removed" % name, done.stdout)
		finish(lab)
		check_gone(tap_, name, lab, mine, theirs)
		again = nodens(lab)
		tap_.equal((again.returncode, again.stdout), (0, "nothing to remove\n"), "%s: a second time there is nothing to remove" % name)


# ---- from what state ----


def end(lab):
	lab.process.terminate()
	assert lab.process.wait(node.ENDS_WITHIN_S) == 0


def pin_generation(lab, number):
	"""A generation as another agent would leave it."""
	folder = lab.dir / ("g%d" % number)
	folder.mkdir(0o700)
	hooks.pin_program(folder / "tc", hooks.PASS, "nodens_tc")
	return folder


def leave_older_layout(lab):
	"""The generation of now with other and fewer pins, another one that `current` names, and a link of the time before."""
	lab.kill()
	generation = (lab.dir / "current").resolve()
	for name in ("config", "interface_slots"):
		(generation / name).unlink()
	older = pin_generation(lab, 7)
	hooks.pin_program(older / "answers", hooks.PASS, "old_program")
	(lab.dir / "current").unlink()
	(lab.dir / "current").symlink_to("g7")
	return {bpf.obj_id(older / name) for name in ("tc", "answers")}


def leave_half_done(lab):
	"""SIGKILL between the pins of a generation and `current`, at a switch, and a link whose interface is gone."""
	lab.kill()
	half = pin_generation(lab, 99)
	(lab.dir / "current_next").symlink_to("g99")
	pod = node.Pod()
	number = hooks.pin_tcx_link(pod.ifindex, hooks.PASS, "nodens_tc", lab.dir / "links" / ("tcx_%d" % pod.ifindex))
	pod.remove()
	podnet.run("ip link del " + pod.name, check=False)
	return {bpf.obj_id(half / "tc"), ("prog", number)}


def test_running(tap_):
	with Lab(OBJECTS) as lab:
		done = nodens(lab)
		tap_.ok(done.returncode == 1 and "an agent runs" in done.stdout and str(lab.process.pid) in done.stdout, "while the agent runs detach refuses and names it", done.stdout)
		with tap_.case("and has touched nothing"):
			assert hooks.is_on(lab, lab.pod)
			ask_all(lab.pod, 4)
		check_detach(tap_, "--force beside a running agent", lab, "tcx", lambda lab: None, "--force", finish=lambda lab: check_stays_off(tap_, lab))


def check_stays_off(tap_, lab):
	"""The agent, which would put back what others take off, is told by the missing folder. Then it ends, and with it what it holds."""
	with tap_.case("--force beside a running agent: it does not come back to the hook, and says why"):
		node.wait_until(lambda: "detach --force?" in lab.log_text(), "the agent to notice", GONE_WITHIN_S)
		names = bpftool("prog")
		assert lab.process.poll() is None and [names[number] for number in bpf.tcx_programs(lab.pod.ifindex)] == ["theirs"]
	lab.kill()


def test_other_file_system(tap_):
	"""A mistyped --bpffs, or a container without the mount."""
	folder = node.Node.scratch.path / "plain"
	(folder / "g1").mkdir(mode=0o700, parents=True)
	folder.chmod(0o700)
	(folder / "g1" / "file").touch()
	for name, directory, status, said in (("that exists", folder, 1, "is not on a BPF file system"),
					      ("that does not", folder / "nodens", 0, "no pins can be found: %s is not on a BPF file system" % folder)):
		done = subprocess.run([node.binary(), "detach", "--bpffs", str(directory)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
		tap_.ok(done.returncode == status and said in done.stdout, "a folder outside of a bpffs %s is told" % name, done.stdout)
	tap_.ok((folder / "g1" / "file").exists(), "nothing in it was removed")


def main(tap_):
	node.enter_namespaces()
	for name, kind, hook, prepare in (("after SIGTERM", Lab, "tcx", end), ("after SIGKILL", Lab, "tcx", Lab.kill), ("clsact, after SIGTERM", ClsactLab, "clsact", end),
					  ("clsact, after SIGKILL", ClsactLab, "clsact", Lab.kill), ("another layout", Lab, "tcx", leave_older_layout),
					  ("half done", Lab, "tcx", leave_half_done)):
		with kind(OBJECTS) as lab:
			check_detach(tap_, name, lab, hook, prepare)
	test_running(tap_)
	test_other_file_system(tap_)


if __name__ == "__main__":
	tap.run(main)
