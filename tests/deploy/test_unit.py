#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
The systemd unit under a real systemd, process 1 in namespaces of its own: it becomes ready with nothing but its three capabilities
and the bpffs to write to, is started again when it dies, reads its source anew, and leaves the datapath when it is stopped.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))

import node
import tap

SYSTEMD = "/lib/systemd/systemd"
CAPABILITIES = sum(1 << bit for bit in (12, 38, 39))  # CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF
STARTS_WITHIN_S = 60


def enter_cgroup(path):
	(path / "cgroup.procs").write_text(str(os.getpid()))


class Machine:
	"""systemd with the unit installed. Use with `with`."""

	def __enter__(self):
		scratch = node.Scratch()
		self.folder = scratch.path / "machine"
		self.folder.mkdir()
		# systemd takes the group that it is in for the root of all: never the machine's own.
		unified = Path("/sys/fs/cgroup/unified")
		self.group = (unified if unified.exists() else Path("/sys/fs/cgroup")) / ("nodens-test-%d" % os.getpid())
		self.group.mkdir()
		command = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "--propagation", "private",
			ROOT / "tests/deploy/stage.sh", self.folder, Path(node.binary()).resolve().parent]
		self.process = subprocess.Popen(command, cwd=ROOT, preexec_fn=self._before_exec)
		self.pid = None
		try:
			node.wait_until(self._is_up, "systemd runs", STARTS_WITHIN_S)
		except BaseException:
			self.__exit__()
			raise
		return self

	def _before_exec(self):
		node._die_with_parent()
		enter_cgroup(self.group)

	def __exit__(self, *_):
		self.process.kill()  # and with it process 1 and all
		self.process.wait()
		node.wait_until(self._has_no_group, "the control groups are empty", STARTS_WITHIN_S)

	def _has_no_group(self):
		for path in sorted(self.group.rglob("*"), key=lambda path: -len(path.parts)):
			if path.is_dir():
				self._remove(path)
		return self._remove(self.group)

	@staticmethod
	def _remove(path):
		try:
			path.rmdir()
		except FileNotFoundError:
			pass
		except OSError:
			return False
		return True

	def _is_up(self):
		if self.process.poll() is not None:
			raise RuntimeError("the stage ended with %d" % self.process.returncode)
		children = Path("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)).read_text().split()
		self.pid = int(children[0]) if children else None
		return self.pid and Path("/proc/%d/comm" % self.pid).read_text() == "systemd\n" and self.run("systemctl", "is-system-running")[1] == "running\n"

	def run(self, *command):
		done = subprocess.run(["nsenter", "--target", str(self.pid), "--mount", "--pid", "--ipc", "--uts", "--cgroup", *command],
			stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
		return done.returncode, done.stdout

	def show(self, name):
		return self.run("systemctl", "show", "nodens", "--value", "--property", name)[1].strip()

	def log(self):
		return self.run("cat", "/out/log")[1]

	def is_ready(self):
		return self.run("nodens", "status", "--ready")[0] == 0

	def main_process(self):
		"""Text of a file of the agent's in /proc, as its own machine numbers it."""
		return lambda name: self.run("cat", "/proc/%s/%s" % (self.show("MainPID"), name))[1]


def check_confinement(t, machine):
	read = machine.main_process()
	status = dict(line.split(":\t", 1) for line in read("status").splitlines() if ":\t" in line)
	t.equal({name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")}, dict.fromkeys(("CapEff", "CapPrm", "CapBnd"), CAPABILITIES),
		"it has CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and cannot get more")
	t.equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), "no new privileges, a filter of system calls")
	mounts = {fields[4]: fields[5].split(",")[0] for fields in (line.split() for line in read("mountinfo").splitlines())}
	t.equal([mounts[path] for path in ("/", "/sys", "/sys/fs/bpf")], ["ro", "ro", "rw"], "all is read-only to it but the bpffs")


def check_life(t, machine):
	t.equal(machine.run("systemctl", "reload", "nodens")[0], 0, "systemctl reload succeeds")
	node.wait_until(lambda: "SIGHUP" in machine.log(), "the source is read again")
	first = machine.show("MainPID")
	machine.run("kill", "-9", first)
	with t.case("killed, it is started again and becomes ready"):
		node.wait_until(lambda: machine.show("MainPID") not in (first, "0") and machine.show("ActiveState") == "active", machine.log(), STARTS_WITHIN_S)
		assert machine.is_ready(), machine.log()
	t.equal(machine.run("systemctl", "stop", "nodens")[0], 0, "systemctl stop succeeds")
	t.equal(machine.run("test", "-e", "/sys/fs/bpf/nodens/current")[0], 0, "stopped, it leaves the datapath on the machine's bpffs")
	t.equal(machine.run("nodens", "detach")[0], 0, "nodens detach removes it")
	t.ok(machine.run("test", "-e", "/sys/fs/bpf/nodens")[0], "nothing is left")


def main(t):
	if not os.path.exists(SYSTEMD):
		t.skip("the unit under systemd", "there is no systemd")
		return
	pod = node.Pod()
	with Machine() as machine:
		code, text = machine.run("systemctl", "start", "nodens")
		if not t.ok(code == 0, "systemctl start returns when the agent is ready",
			text + machine.run("systemctl", "status", "--no-pager", "--full", "nodens")[1] + machine.log()):
			return
		t.ok(machine.is_ready(), "nodens status --ready finds it, outside the unit", machine.log())
		t.ok(re.search("attached.*interface=%s" % pod.name, machine.log()), "it is attached to the pod's interface", machine.log())
		t.equal(machine.show("StatusText"), "answering 0 names on 1 interfaces", "systemctl status tells what it does")
		check_confinement(t, machine)
		check_life(t, machine)


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
