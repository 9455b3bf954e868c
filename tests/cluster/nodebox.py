#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
A machine to run a node on: mount, PID, network, UTS, IPC and cgroup namespaces with a root of their own, an overlay of / whose
changes are kept in memory. Ending its PID 1 (this file, too) ends every process in it, however deep; close() removes its control
groups. What is left of one can be listed from outside: traces().
"""

import contextlib
import ctypes
import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PREFIX = "nodens-node-"
KINDS = ("mnt", "pid", "net", "uts", "ipc", "cgroup")
ENDS_WITHIN_S = 20
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "dumb"}
# Hidden from the machine: state of a Kubernetes that may be installed on it.
EMPTY = ("/run", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers", "/etc/cni/net.d",
	"/etc/kubernetes", "/var/lib/etcd")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "kmsg", "fuse")
# Not of a namespace, and a kubelet writes them: dummies that hold what it wants.
SYSCTLS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1, "kernel/keys/root_maxkeys": 1000000,
	"kernel/keys/root_maxbytes": 25000000}
PR_SET_PDEATHSIG = 1
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


class BoxError(Exception):
	pass


def _mount(*arguments):
	done = subprocess.run(["mount", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
	if done.returncode:
		raise BoxError("mount %s: %s" % (" ".join(map(str, arguments)), done.stdout.strip()))


# ---- control groups ----

def _hierarchies():
	"""
	[(folder where a hierarchy is mounted, file system type, controllers as in /proc/self/cgroup, path of this process in it)]: those of
	version 1, and the unified one beside them, which has none.
	"""
	mounted = []
	for line in Path("/proc/self/mounts").read_text().splitlines():
		_, where, kind, options = line.split()[:4]
		if kind in ("cgroup", "cgroup2"):
			mounted.append((where, kind, set(options.split(","))))
	found = []
	for line in Path("/proc/self/cgroup").read_text().splitlines():
		_, controllers, path = line.split(":", 2)
		for where, kind, options in mounted:
			if set(controllers.split(",")) <= options if controllers else kind == "cgroup2":
				found.append((where, kind, controllers, path))
				break
	return found


def why_not():
	"""Why no box can be made on this machine; None if it can."""
	if os.geteuid() != 0:
		return "needs root"
	have = {controller for _, _, controllers, _ in _hierarchies() for controller in controllers.split(",")}
	missing = sorted({"cpu", "cpuacct", "cpuset", "memory", "pids", "devices"} - have)
	if missing:
		return "control groups of version 1 are needed, and %s is not among them here" % ", ".join(missing)
	if "overlay" not in Path("/proc/filesystems").read_text():
		subprocess.run(["modprobe", "overlay"], check=False, stderr=subprocess.DEVNULL)
	if "overlay" not in Path("/proc/filesystems").read_text():
		return "this kernel has no overlayfs"
	return None


def _cgroup_folders(name):
	return [Path(where) / path.lstrip("/") / name for where, _, _, path in _hierarchies()]


def _make_cgroups(name):
	folders = _cgroup_folders(name)
	for folder in folders:
		folder.mkdir()
		for file in ("cpuset.cpus", "cpuset.mems"):  # without them no process may enter
			if (folder / file).exists():
				(folder / file).write_text((folder.parent / file).read_text())
	return folders


def _remove_cgroup(folder, within_s=0):
	"""within_s: a process that ended holds its group until it is reaped, perhaps by the machine's own PID 1."""
	deadline = time.monotonic() + within_s
	for path, _, _ in os.walk(folder, topdown=False):
		while True:
			try:
				os.rmdir(path)
				break
			except OSError as e:
				if e.errno != errno.EBUSY or time.monotonic() > deadline:
					raise
				time.sleep(0.01)


def _remove_stale():
	"""What runs left that were killed: control groups and a folder, named by the PID of a process that is gone."""
	of_name = re.compile(re.escape(PREFIX) + r"\d+-(\d+)(-|$)")
	folders = itertools.chain(Path(tempfile.gettempdir()).glob(PREFIX + "*"), *(folder.parent.glob(PREFIX + "*") for folder in _cgroup_folders("x")))
	for folder in folders:
		pid = of_name.match(folder.name)
		if not pid or os.path.exists("/proc/" + pid.group(1)):
			continue
		if (folder / "cgroup.procs").exists():
			with contextlib.suppress(OSError):
				_remove_cgroup(folder)
		else:
			shutil.rmtree(folder, ignore_errors=True)


# ---- seen from outside ----

def _die_with_parent():
	_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Box:
	"""
	Runs from its construction to close(). folders: (path, may be written) of what stays visible at its place. The network namespace
	has nothing but lo. `pid` is its PID 1 as seen from here, `root` its root as seen from here.
	"""

	count = 0

	def __init__(self, hostname, folders=()):
		Box.count += 1
		self.name = "%s%d-%d" % (PREFIX, Box.count, os.getpid())
		self.folder = Path(tempfile.mkdtemp(prefix=self.name + "-"))
		self.process = None
		self.cgroups = []
		self.namespaces = {}
		self._entered = []
		try:
			_remove_stale()
			self.cgroups = _make_cgroups(self.name)
			self._start({"hostname": hostname, "folder": str(self.folder), "folders": [(str(path), may_write) for path, may_write in folders]})
		except BaseException:
			self.close()
			raise

	def _start(self, what):
		log = self.folder / "init.log"
		reader, writer = os.pipe()
		with open(log, "wb") as out:
			self.process = subprocess.Popen(["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--kill-child",
				"--propagation", "private", "/usr/bin/python3", "-I", os.path.abspath(__file__), json.dumps(what), str(writer)],
				stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[writer], preexec_fn=self._enter_cgroups, start_new_session=True)
		os.close(writer)
		with open(reader, "rb") as ready:
			if ready.read(1) != b"1":
				raise BoxError("no namespaces of its own for the node:\n%s" % log.read_text())
		self.pid = _child_of(self.process.pid)
		self.root = Path("/proc/%d/root" % self.pid)
		self.namespaces = {kind: os.readlink("/proc/%d/ns/%s" % (self.pid, kind)) for kind in KINDS}

	def _enter_cgroups(self):
		_die_with_parent()
		for folder in self.cgroups:
			(folder / "cgroup.procs").write_text("0")

	def command(self, *argv):
		return ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--wdns=/", *map(str, argv)]

	def popen(self, *argv, **kw):
		"""A process in it. What Popen gives is nsenter, whose exit status is the program's; pid_of() and kill() mean the program."""
		kw = {"stdin": subprocess.DEVNULL, "env": ENVIRONMENT, "start_new_session": True, **kw}
		process = subprocess.Popen(self.command(*argv), preexec_fn=self._enter_cgroups, **kw)
		self._entered = [other for other in self._entered if other.poll() is None] + [process]
		return process

	def run(self, *argv, check=True, input=None, timeout=60):  # pylint: disable=redefined-builtin
		kw = {"stdin": subprocess.PIPE} if input is not None else {}
		with self.popen(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw) as process:
			try:
				out, err = process.communicate(input, timeout)
			except BaseException:
				self.kill(process)
				raise
		done = subprocess.CompletedProcess(argv, process.returncode, out, err)
		if check and done.returncode:
			raise AssertionError("%s: exit status %d\n%s%s" % (" ".join(map(str, argv)), done.returncode, out, err))
		return done

	def kill(self, process, signo=signal.SIGKILL):
		pid = _child_of(process.pid)
		if pid:
			os.kill(pid, signo)
		elif signo == signal.SIGKILL:  # has not come to its fork
			process.kill()

	def close(self):
		"""All processes end, then what holds nothing any more is removed."""
		if self.process:
			self.process.kill()
			self.process.wait()  # PID 1 is killed with it, and a PID namespace ends with all that is in it
			_wait_gone(self.namespaces)
			self.process = None
		for process in self._entered:
			process.wait()
		for folder in self.cgroups:
			if folder.exists():
				_remove_cgroup(folder, ENDS_WITHIN_S)
		self.cgroups = []
		shutil.rmtree(self.folder, ignore_errors=True)


def _child_of(pid):
	try:
		children = Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()
	except OSError:
		return None
	return int(children[0]) if children else None


def _processes_in(namespaces):
	"""{PID: name} of the processes in any of these namespaces."""
	found = {}
	for entry in Path("/proc").glob("[0-9]*"):
		try:
			inside = any(os.readlink(entry / "ns" / kind) == value for kind, value in namespaces.items())
			if inside:
				found[int(entry.name)] = (entry / "comm").read_text().strip()
		except OSError:
			continue  # ended meanwhile, or a zombie
	return found


def _wait_gone(namespaces):
	"""unshare was killed, so its child is reaped by another process: seen by the namespaces being empty."""
	deadline = time.monotonic() + ENDS_WITHIN_S
	while namespaces and _processes_in(namespaces):
		if time.monotonic() > deadline:
			raise BoxError("does not end: %s" % _processes_in(namespaces))
		time.sleep(0.01)


def traces(name, namespaces):
	"""What there is of a box on this machine, by kind of thing: {"processes": […], "control groups": […], "mounts": […]}."""
	mounts = set()
	for table in ("/proc/self/mountinfo", "/proc/%d/mountinfo" % os.getppid(), "/proc/1/mountinfo"):
		mounts |= {line.split()[4] for line in Path(table).read_text().splitlines() if name in line}
	return {
		"processes": sorted("%d %s" % item for item in _processes_in(namespaces).items()),
		"network namespaces": sorted({os.readlink(path) for path in _readable(Path("/proc").glob("[0-9]*/ns/net"))} & {namespaces["net"]}),
		"control groups": sorted(path for folder in _cgroup_folders(name) if folder.exists() for path, _, _ in os.walk(folder)),
		"folders and mounts": sorted(mounts | set(map(str, Path(tempfile.gettempdir()).glob(name + "*")))),
	}


def _readable(paths):
	for path in paths:
		try:
			os.readlink(path)
		except OSError:
			continue
		yield path


# ---- PID 1 ----

def _pivot(new_root):
	number = SYS_PIVOT_ROOT[os.uname().machine]
	old = new_root / ".old"
	old.mkdir()
	if _libc.syscall(number, os.fsencode(new_root), os.fsencode(old)):
		raise OSError(ctypes.get_errno(), "pivot_root")
	os.chdir("/")
	if _libc.umount2(b"/.old", MNT_DETACH):
		raise OSError(ctypes.get_errno(), "umount /.old")
	os.rmdir("/.old")


def _make_dev(new_root):
	dev = new_root / "dev"
	_mount("-t", "tmpfs", "-o", "mode=0755", PREFIX + "dev", dev)
	for name in DEVICES:
		if os.path.exists("/dev/" + name):
			(dev / name).touch()
			_mount("--bind", "/dev/" + name, dev / name)
	for name, kind, options in (("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"), ("shm", "tmpfs", "mode=1777"), ("mqueue", "mqueue", "rw")):
		(dev / name).mkdir()
		_mount("-t", kind, "-o", options, PREFIX + name, dev / name)
	for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):
		(dev / name).symlink_to(target)


def _make_sys(new_root, hierarchies):
	"""A sysfs of this network namespace, control groups as this cgroup namespace sees them, a bpffs of its own, closed as on a real node."""
	_mount("-t", "sysfs", PREFIX + "sys", new_root / "sys")
	cgroup = new_root / "sys/fs/cgroup"
	_mount("-t", "tmpfs", "-o", "mode=0755", PREFIX + "cgroup", cgroup)
	for where, kind, controllers, _ in hierarchies:
		folder = cgroup / Path(where).name
		folder.mkdir()
		_mount("-t", kind, *(["-o", controllers] if controllers else []), PREFIX + "cgroup", folder)
	_mount("-t", "bpf", "-o", "mode=0700", PREFIX + "bpf", new_root / "sys/fs/bpf")


def _make_proc(new_root, state):
	_mount("-t", "proc", PREFIX + "proc", new_root / "proc")
	for name, value in SYSCTLS.items():
		dummy = state / name.replace("/", ".")
		dummy.write_text("%d\n" % value)
		_mount("--bind", dummy, new_root / "proc/sys" / name)


def _make_root(folder, folders):
	hierarchies = _hierarchies()
	_mount("-t", "tmpfs", "-o", "mode=0755", PREFIX + "root", folder)
	upper, work, state, new_root = (folder / name for name in ("upper", "work", "state", "root"))
	for path in (upper, work, state, new_root):
		path.mkdir()
	_mount("-t", "overlay", "-o", "lowerdir=/,upperdir=%s,workdir=%s" % (upper, work), PREFIX + "root", new_root)
	for path in EMPTY:
		(new_root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
		_mount("-t", "tmpfs", "-o", "mode=0755", PREFIX + "state", new_root / path.lstrip("/"))
	_mount("-t", "tmpfs", "-o", "mode=1777", PREFIX + "tmp", new_root / "tmp")
	for path, may_write in folders:
		place = new_root / path.lstrip("/")
		place.mkdir(parents=True, exist_ok=True)
		_mount("--rbind", path, place)
		if not may_write:
			_mount("-o", "remount,bind,ro", place)
	_make_dev(new_root)
	_make_sys(new_root, hierarchies)
	_make_proc(new_root, state)
	_pivot(new_root)
	_mount("--make-rshared", "/")


def _reap():
	while True:
		try:
			os.wait()
		except ChildProcessError:
			signal.sigwait({signal.SIGCHLD})


def main():
	what, ready = json.loads(sys.argv[1]), int(sys.argv[2])
	signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
	Path("/proc/sys/kernel/hostname").write_text(what["hostname"])
	_make_root(Path(what["folder"]), what["folders"])
	subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
	os.write(ready, b"1")
	os.close(ready)
	_reap()


if __name__ == "__main__":
	main()
