#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 900 2400
"""
The agent and its tests on other kernels: each boots under QEMU, emulated, with a root file system made
of this machine's programs, runs test files, and tells their results over a serial port.

    tests/vm/test_kernels.py [VERSION...] [FILE...]    all kernels of kernels.py, or these; all test files, or these
    tests/vm/test_kernels.py --shell VERSION           a shell in the guest; `poweroff -f` ends it

No root needed. A kernel that cannot be fetched is skipped, with apt's reason. LONG=1 runs more of the tests on the oldest kernel.
"""

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/vm")]

import kernels
import tap
from initramfs import Initramfs

BUILD = ROOT / os.environ.get("BUILD", "build")
OUT = BUILD / "vm"
IS_LONG = os.environ.get("LONG") == "1"

# What the guest runs, each with its limit in seconds. Emulation takes some ten times as long as the machine itself.
TESTS = (("tests/vm/cases.py", 90), ("tests/netns/test_topology.py", 90))
TESTS_LONG_OLDEST = (("tests/netns/test_lifecycle.py", 120), ("tests/datapath/test_packets.py", 300))
CHOSEN_LIMIT_S = 600
BOOT_LIMIT_S = 60
MEMORY_MB = 1024

PROGRAMS = ("ip", "tc", "dig", "bpftool", "ethtool", "unshare", "nsenter", "mount", "umount", "busybox")
MODULES = ("veth", "sch_ingress", "cls_bpf", "bridge", "dummy")
# Of Python's library: neither its own tests nor what is for building and drawing.
NOT_NEEDED = ("test", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "pydoc_data", "distutils", "dist-packages", "unittest")

CONSOLE_LINES_SHOWN = 40


# ---- the guest's file system ----


def find_program(name):
	path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", ""))
	if not path:
		sys.exit("%s is not installed: make packages-vm" % name)
	return os.path.realpath(path)


def make_base(path):
	"""What every guest has: programs, Python, nodens and the tests."""
	fs = Initramfs()
	for name in PROGRAMS:
		fs.program(find_program(name), "/bin/busybox" if name == "busybox" else "/usr/sbin/" + name)
	fs.link("/bin/sh", "busybox")
	fs.program(os.path.realpath("/usr/bin/python3"), "/usr/bin/python3")
	library = Path(sysconfig.get_path("stdlib"))
	fs.tree(library, leave_out=NOT_NEEDED + tuple(x.name for x in library.glob("config-*")))
	for extension in library.glob("lib-dynload/*.so"):
		fs.program(extension)
	fs.tree("/usr/lib/python3/dist-packages/dns")
	fs.file("/init", (ROOT / "tests/vm/init").read_bytes(), 0o755)
	for folder in ("tests/lib", "tests/netns", "tests/datapath", "tests/vm", "include"):
		fs.tree(ROOT / folder, Path("/nodens") / folder, leave_out=("__pycache__",))
	fs.program(BUILD / "nodens", "/nodens/build/nodens")
	fs.program(BUILD / "tests/tools/verifier", "/nodens/build/tests/tools/verifier")
	fs.write(path)


def make_guest(kernel, base, path, chosen=()):
	"""The base, the kernel's modules and the list of tests: the kernel takes one archive behind another."""
	fs = Initramfs()
	fs.file("/tests.list", "".join("%d %s\n" % (limit_s, name) for name, limit_s in chosen).encode(), 0o644)
	order = kernel.load_order(MODULES)
	for name, contents in order:
		fs.file("/modules/%s.ko" % name, contents, 0o644)
	fs.file("/modules/order", "".join(name + "\n" for name, _ in order).encode(), 0o644)
	fs.write(path)
	with open(path, "ab") as out:
		out.write(base.read_bytes())


def tests(wanted):
	"""(file, seconds) of what the guest runs."""
	chosen = [x for x in sys.argv[1:] if x.endswith(".py")]
	known = dict(TESTS + TESTS_LONG_OLDEST)
	if chosen:
		return tuple((name, known.get(name, CHOSEN_LIMIT_S)) for name in chosen)
	if not IS_LONG:
		return TESTS
	return TESTS + (TESTS_LONG_OLDEST if wanted == kernels.WANTED[0] else ())


# ---- the machine ----


def qemu(kernel, initramfs, console, *arguments, command_line=""):
	return ["nice", "-n", "19", "qemu-system-x86_64", "-machine", "pc,accel=tcg", "-cpu", "max", "-m", str(MEMORY_MB), "-nodefaults",
		"-no-user-config", "-display", "none", "-no-reboot", "-kernel", str(kernel.image), "-initrd", str(initramfs), "-append",
		"console=ttyS0 quiet panic=-1 " + command_line, "-serial", console, *arguments]


def die_with_parent():
	import ctypes
	ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


class Guest:
	"""Lines of the guest's second serial port, until it ends or its time is over."""

	def __init__(self, kernel, initramfs, console):
		self.process = subprocess.Popen(qemu(kernel, initramfs, "file:%s" % console, "-chardev", "stdio,id=tap,signal=off", "-serial", "chardev:tap"),
						stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)

	def lines(self, limit_s):
		deadline, rest = time.monotonic() + limit_s, b""
		with selectors.DefaultSelector() as selector:
			selector.register(self.process.stdout, selectors.EVENT_READ)
			while selector.select(max(0, deadline - time.monotonic())):
				block = os.read(self.process.stdout.fileno(), 65536)
				if not block:
					return
				*whole, rest = (rest + block).split(b"\n")
				yield from (line.decode("utf-8", "replace").rstrip("\r") for line in whole)

	def end(self):
		if self.process.poll() is None:
			self.process.kill()
		self.process.wait()
		self.process.stdout.close()


# ---- results ----


class Results:
	"""Turns the guest's lines into results of this test. A file that ends badly, or tells fewer results than it planned, failed."""

	RESULT = re.compile(r"(not )?ok \d+ - (.*)$")

	def __init__(self, t, version):
		self.t, self.version = t, version
		self.file = None  # the one that runs
		self.pending = None  # (passed, name): its comments follow it
		self.comments, self.noise = [], []
		self.count = self.failed = self.planned = 0
		self.is_done = False

	def line(self, text):
		result = self.RESULT.match(text)
		if result:
			self.flush()
			self.pending = (not result[1], result[2])
		elif text.startswith("# begin "):
			self.begin(text.split()[2])
		elif text.startswith("# end "):
			self.end(int(text.split()[2]))
		elif text == "# done":
			self.is_done = True
		elif text.startswith("1.."):
			self.flush()
			self.planned = int(text[3:])
		elif text.startswith("# ") and self.pending:
			self.comments.append(text[2:])
		elif text.startswith("# "):
			self.t.note("%s: %s" % (self.version, text[2:]))
		else:
			self.noise = self.noise[-20:] + [text]

	def begin(self, name):
		self.file, self.started = Path(name).stem, time.monotonic()
		self.count = self.failed = self.planned = 0
		self.noise = []

	def flush(self):
		"""Tells the result that waits."""
		if not self.pending:
			return
		passed, name = self.pending
		text = "\n".join(self.comments)
		self.pending, self.comments = None, []
		self.count += 1
		self.failed += not passed
		skip = re.match(r"(.*) # SKIP (.*)", name)
		if skip:
			self.t.skip(self.title(skip[1]), skip[2])
		else:
			self.t.ok(passed, self.title(name), text)
		if passed and text:
			self.t.note(text)

	def title(self, name):
		return "Linux %s, %s: %s" % (self.version, self.file, name)

	def end(self, code):
		self.flush()
		if (code and not self.failed) or not self.count or self.count != self.planned:
			why = "exit status %d, %d of %d results" % (code, self.count, self.planned)
			self.t.ok(False, self.title("runs to its end"), "\n".join([why, *self.noise]))
		self.t.note("%s: %d results, %.0f s" % (self.title("all"), self.count, time.monotonic() - self.started))
		self.file = None

	def finish(self, console):
		self.flush()
		text = console.read_text(errors="replace") if console.exists() else ""
		end = "\n".join(text.splitlines()[-CONSOLE_LINES_SHOWN:])
		self.t.ok(self.is_done, "Linux %s: it boots, runs the tests and ends in time" % self.version,
			"during %s\n%s\nconsole:\n%s" % (self.file or "no test", "\n".join(self.noise), end))
		# A guest that goes on behind an oops is no guest to believe.
		oops = re.search(r"(BUG|WARNING|Oops|general protection fault|soft lockup)\b.*", text)
		self.t.ok(not oops, "Linux %s: the kernel complains of nothing" % self.version, oops and text[oops.start():oops.start() + 4000])


def run_kernel(t, wanted, kernel, base):
	initramfs, console = OUT / ("%s.img" % wanted.version), OUT / ("%s.console" % wanted.version)
	chosen = tests(wanted)
	make_guest(kernel, base, initramfs, chosen)
	console.unlink(missing_ok=True)
	t.note("Linux %s: %s" % (wanted.version, kernel.package))
	guest, results, started = Guest(kernel, initramfs, console), Results(t, wanted.version), time.monotonic()
	try:
		for line in guest.lines(BOOT_LIMIT_S + sum(limit_s for _, limit_s in chosen)):
			results.line(line)
	finally:
		guest.end()
	results.finish(console)
	t.note("Linux %s: %.0f s" % (wanted.version, time.monotonic() - started))


def unpack(wanted):
	return kernels.Kernel(kernels.fetch(wanted), OUT / ("linux-" + wanted.version))


def shell(wanted, base):
	kernel = unpack(wanted)
	make_guest(kernel, base, OUT / "shell.img")
	command = qemu(kernel, OUT / "shell.img", "stdio", command_line="shell")
	os.execvp(command[0], command)


def main(t, chosen, base):
	for wanted in chosen:
		try:
			kernel = unpack(wanted)
		except kernels.Unavailable as e:
			t.skip("Linux %s" % wanted.version, "its package cannot be had: %s" % e)
			continue
		run_kernel(t, wanted, kernel, base)


def start():
	names = [x for x in sys.argv[1:] if x != "--shell" and not x.endswith(".py")]
	chosen = [x for x in kernels.WANTED if x.version in names or not names]
	if len(chosen) < len(names) or ("--shell" in sys.argv and len(names) != 1):
		sys.exit(__doc__.strip())
	find_program("qemu-system-x86_64")
	OUT.mkdir(parents=True, exist_ok=True)
	base = OUT / "base.img"
	make_base(base)
	if "--shell" in sys.argv:
		shell(chosen[0], base)
	tap.run(lambda t: main(t, chosen, base))


if __name__ == "__main__":
	start()
