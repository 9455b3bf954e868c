#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180 300
"""
The agent with exactly the privileges that it is documented to need, as a container runtime gives them, and with each of them
missing: what it says then.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import debian
import node
import tap
from lab import OBJECTS, Lab, ask_all

CONFINE = str(node.ROOT / "tests/lib/confine.py")
NEEDED = ("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON")
BITS = {"CAP_NET_ADMIN": 12, "CAP_PERFMON": 38, "CAP_BPF": 39}
ENDS_WITHIN_S = 60


def package_of_profile():
	"""Debian 13's: Debian 12's knows no CAP_BPF."""
	return debian.fetch("trixie", "golang-github-containers-common", "golang-github-containers-common", debian.cache() / "seccomp")


def profile():
	"""A container runtime's default seccomp profile: bpf(2) goes with CAP_BPF."""
	package = package_of_profile()
	folder = node.Node.scratch.path / "profile"
	if not folder.exists():
		subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
	return str(folder / "usr/share/containers/seccomp.json")


def confined(command, capabilities=NEEDED, seccomp=None):
	return ["/usr/bin/python3", CONFINE, profile() if seccomp is None else seccomp, ",".join(capabilities), *map(str, command)]


class ConfinedLab(Lab):
	"""The agent of this node runs confined."""

	def _spawn(self, notify_path):
		command = [node.binary(), "run", "--source", "file:%s" % self.file, *self.servers, *self.interfaces, *self.arguments,
			   "--bpffs", str(self.dir)]
		self.process = subprocess.Popen(confined(command), stdout=self.log, stderr=self.log, preexec_fn=self.before_exec,
						env={**os.environ, "NOTIFY_SOCKET": notify_path})


def run(*arguments, **options):
	done = subprocess.run(confined(arguments, **options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
			      timeout=ENDS_WITHIN_S)
	return done.returncode, done.stdout


def state_of(pid):
	return dict(re.findall(r"^(\w+):\s*(.*)$", Path("/proc/%d/status" % pid).read_text(), re.MULTILINE))


def is_read_only(pid, path):
	flags = os.statvfs("/proc/%d/root%s" % (pid, path)).f_flag
	return bool(flags & os.ST_RDONLY)


def check_exact(tap_, lab):
	state = state_of(lab.process.pid)
	mask = "%016x" % sum(1 << BITS[x] for x in NEEDED)
	for kind in ("CapPrm", "CapEff", "CapBnd"):
		tap_.equal(state[kind], mask, "%s of the agent: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and no other" % kind)
	tap_.equal((state["CapInh"], state["CapAmb"]), ("0" * 16, "0" * 16), "nothing inheritable, nothing ambient")
	tap_.equal((state["NoNewPrivs"], state["Seccomp"]), ("1", "2"), "no_new_privs, a seccomp filter")
	tap_.ok(is_read_only(lab.process.pid, "/"), "its root is read-only")
	limits = Path("/proc/%d/limits" % lab.process.pid).read_text()
	tap_.ok(re.search(r"Max locked memory\s+%d\s+%d\s" % (8 << 20, 8 << 20), limits), "8 MiB of locked memory", limits)
	tap_.equal(os.stat(lab.dir.parent).st_mode & 0o777, 0o700, "the BPF file system has mode 0700")


def check_works(tap_, lab):
	for family in (4, 6):
		with tap_.case("IPv%d: answered as by a free agent" % family):
			ask_all(lab.pod, family)
	lab.kill()
	lab.restart()
	with tap_.case("a restart takes the links over"):
		ask_all(lab.pod, 4)
	for command in ("status", "records", "lookup"):
		arguments = ["one.lab.svc.cluster.local"] if command == "lookup" else []
		code, text = run(node.binary(), command, *arguments, "--bpffs", lab.dir)
		tap_.ok(code == 0, "nodens %s, confined as well" % command, text)


def check_detach(tap_, lab):
	lab.kill()
	code, text = run(node.binary(), "detach", "--bpffs", lab.dir)
	tap_.ok(code == 0 and not list(lab.dir.glob("*")), "nodens detach, confined as well, leaves nothing", text)
	lab.restart()


def agent(lab, folder):
	return [node.binary(), "run", "--source", "file:%s" % lab.file, *lab.servers, "--bpffs", str(folder)]


def check_missing(tap_, lab, folder):
	for missing in NEEDED:
		code, text = run(*agent(lab, folder), capabilities=[x for x in NEEDED if x != missing], seccomp="")
		tap_.ok(code == 1 and "missing %s" % missing in text, "without %s: exit 1, and it is named" % missing, text)
	code, text = run(*agent(lab, folder), capabilities=(), seccomp="")
	tap_.ok(code == 1 and all(x in text for x in NEEDED), "with no capability: all three are named", text)


def check_seccomp(tap_, lab, folder):
	"""A profile from before 2022 knows bpf(2) only with CAP_SYS_ADMIN."""
	old = scratch() / "old.json"
	old.write_text(re.sub(r'"CAP_BPF"', '"CAP_SYS_ADMIN"', Path(profile()).read_text()))
	code, text = run(*agent(lab, folder), seccomp=str(old))
	tap_.ok(code == 1 and "seccomp" in text and "missing CAP" not in text, "a filter that forbids bpf(2): seccomp is named", text)


def scratch():
	return node.Node.scratch.path


def check_folders(tap_, lab):
	plain = scratch() / "plain"
	plain.mkdir()
	code, text = run(*agent(lab, plain / "nodens"))
	tap_.ok(code == 1 and str(plain) in text and "mount -t bpf" in text, "no BPF file system: named, with the remedy", text)
	base = lab.dir.parent
	for what, prepare, word in (
		("another user's folder", lambda x: os.chown(x, 65532, 65532), "belongs to user 65532"),
		("a folder open to others", lambda x: x.chmod(0o755), "mode 0755"),
	):
		folder = base / word.replace(" ", "-")
		folder.mkdir(mode=0o700)
		prepare(folder)
		code, text = run(*agent(lab, folder))
		tap_.ok(code == 1 and word in text and str(folder) in text, "%s is refused" % what, text)
		tap_.equal(list(folder.iterdir()), [], "%s: nothing was written there" % what)
	link = base / "link"
	link.symlink_to(lab.dir)
	code, text = run(*agent(lab, link))
	tap_.ok(code == 1 and str(link) in text, "a symlink in the place of the folder is refused", text)


def main(tap_):
	package_of_profile()  # where there is a network
	node.enter_namespaces()
	with ConfinedLab(OBJECTS) as lab:
		check_exact(tap_, lab)
		check_works(tap_, lab)
		check_detach(tap_, lab)
		aside = lab.dir.parent / "aside"
		check_missing(tap_, lab, aside)
		check_seccomp(tap_, lab, aside)
		check_folders(tap_, lab)


if __name__ == "__main__":
	tap.run(main)
