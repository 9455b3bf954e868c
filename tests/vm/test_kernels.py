#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 2400 2400
# alone
"""
The agent and its tests on other kernels: each boots under QEMU, emulated, with a root file system made
of this machine's programs, runs test files, and tells their results over a serial port.

    tests/vm/test_kernels.py [VERSION...] [FILE...]    all kernels of kernels.py, or these; all test files, or these
    tests/vm/test_kernels.py --shell VERSION           a shell in the guest; `poweroff -f` ends it

Root is needed for the guests' network alone: two virtio cards each, on a bridge in a network namespace of their own. What the
verifiers say is compared with tests/vm/verified.txt; RECORD=1 writes it there.
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
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/vm")]

import kernels
import tap
import verified
from initramfs import Initramfs

BUILD = ROOT / os.environ.get("BUILD", "build")
OUT = BUILD / "vm"
IS_RECORDING = os.environ.get("RECORD") == "1"

# What the guest runs, each with its limit in seconds. Emulation takes some ten times as long as the machine itself.
TESTS = (("tests/vm/verify.py", 300), ("tests/vm/cases.py", 480), ("tests/vm/nic.py", 480))
# The oldest with clsact and the newest with tcx: those in between hook in as one of these two.
TESTS_AT_THE_ENDS = (("tests/netns/test_topology.py", 480),)
CHOSEN_LIMIT_S = 600
BOOT_LIMIT_S = 60
MEMORY_MB = 1024
GUESTS_AT_ONCE = 2

PROGRAMS = ("ip", "tc", "dig", "bpftool", "ethtool", "unshare", "nsenter", "mount", "umount", "setpriv", "busybox")
MODULES = ("virtio_pci", "virtio_net", "veth", "sch_ingress", "cls_bpf", "bridge", "dummy", "8021q")
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


def tests(version):
	"""(file, seconds) of what a guest runs."""
	chosen, known = [x for x in sys.argv[1:] if x.endswith(".py")], dict(TESTS + TESTS_AT_THE_ENDS)
	if chosen:
		return tuple((name, known.get(name, CHOSEN_LIMIT_S)) for name in chosen)
	return TESTS + (TESTS_AT_THE_ENDS if version in (kernels.WANTED[0].version, kernels.WANTED[-1].version) else ())


# ---- the machine ----


# XDP needs a pair of queues for itself, below Linux 5.13 without exception: cards with two pairs, which only taps have.
QUEUE_PAIRS = 2
NETWORK = """set -e
ip link add name br0 type bridge mcast_snooping 0
for tap in tap0 tap1; do
	ip tuntap add dev $tap mode tap multi_queue vnet_hdr
	ip link set $tap master br0 up
done
for link in br0 tap0 tap1; do echo 1 >/proc/sys/net/ipv6/conf/$link/disable_ipv6; done
ip link set br0 up
exec "$@"
"""


def cards():
	words = []
	for number in range(2):
		words += ["-netdev", "tap,id=net%d,ifname=tap%d,script=no,downscript=no,vhost=off,queues=%d" % (number, number, QUEUE_PAIRS),
			  "-device", "virtio-net-pci,netdev=net%d,mac=02:00:00:00:00:0%d,romfile=,mq=on,vectors=%d" % (
				  number, number + 1, 2 * QUEUE_PAIRS + 2)]
	return words


def qemu(kernel, initramfs, console, *arguments, command_line=""):
	return ["unshare", "--net", "sh", "-c", NETWORK, "sh", "nice", "-n", "10", "qemu-system-x86_64", "-machine", "pc,accel=tcg", "-cpu", "max",
		"-m", str(MEMORY_MB), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", str(kernel.image),
		"-initrd", str(initramfs), "-append", "console=ttyS0 quiet panic=-1 " + command_line, "-serial", console, *cards(), *arguments]


def die_with_parent():
	import ctypes
	ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


class Guest:
	"""One that runs; what it writes to its second serial port becomes results."""

	def __init__(self, t, wanted, kernel, base):
		self.initramfs, self.console = OUT / ("%s.img" % wanted.version), OUT / ("%s.console" % wanted.version)
		make_guest(kernel, base, self.initramfs, tests(wanted.version))
		self.console.unlink(missing_ok=True)
		self.t, self.version, self.results, self.rest = t, wanted.version, Results(t, wanted.version), b""
		t.note("Linux %s: %s" % (wanted.version, kernel.package))
		self.started = time.monotonic()
		self.deadline = self.started + BOOT_LIMIT_S + sum(limit_s for _, limit_s in tests(wanted.version))
		self.process = subprocess.Popen(
			qemu(kernel, self.initramfs, "file:%s" % self.console, "-chardev", "stdio,id=tap,signal=off", "-serial", "chardev:tap"),
			stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)

	def read(self):
		"""Whether more may come."""
		block = os.read(self.process.stdout.fileno(), 65536)
		*whole, self.rest = (self.rest + block).split(b"\n")
		for line in whole:
			self.results.line(line.decode("utf-8", "replace").rstrip("\r"))
		return bool(block)

	def end(self):
		if self.process.poll() is None:
			self.process.kill()
		self.process.wait()
		self.process.stdout.close()
		self.initramfs.unlink(missing_ok=True)

	def finish(self):
		self.end()
		self.results.finish(self.console)
		self.t.note("Linux %s: %.0f s" % (self.version, time.monotonic() - self.started))


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
		self.release, self.verified = None, {}

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
		elif text.startswith("# kernel "):
			self.release = text.split()[2]
		elif text.startswith("1.."):
			self.flush()
			self.planned = int(text[3:])
		elif text.startswith("# ") and self.pending:
			self.comments.append(text[2:])
		elif text.startswith("# "):
			self.t.note("%s: %s" % (self.version, text[2:]))
		else:
			self.noise = self.noise[-20:] + [text]
		self.verified.update(verified.counts(text.removeprefix("# ")))

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
		if self.verified:
			verified.check(self.t, self.release, self.verified, IS_RECORDING)
		# A guest that goes on behind an oops is no guest to believe.
		oops = re.search(r"(BUG|WARNING|Oops|general protection fault|soft lockup)\b.*", text)
		self.t.ok(not oops, "Linux %s: the kernel complains of nothing" % self.version, oops and text[oops.start():oops.start() + 4000])


def unpack(wanted):
	return kernels.Kernel(kernels.fetch(wanted), OUT / ("linux-" + wanted.version))


def shell(wanted, base):
	kernel = unpack(wanted)
	make_guest(kernel, base, OUT / "shell.img")
	command = qemu(kernel, OUT / "shell.img", "stdio", command_line="shell")
	os.execvp(command[0], command)


def start_next(t, waiting, base):
	"""The next guest; None where its kernel cannot be had, which is a failure: without it nothing is known."""
	wanted = waiting.popleft()
	try:
		return Guest(t, wanted, unpack(wanted), base)
	except kernels.debian.Unavailable as e:
		t.ok(False, "Linux %s: its package can be had" % wanted.version, str(e))
		return None


def main(t, chosen, base):
	waiting, running = deque(chosen), []
	with selectors.DefaultSelector() as selector:
		try:
			while waiting or running:
				while waiting and len(running) < GUESTS_AT_ONCE:
					guest = start_next(t, waiting, base)
					if guest:
						running.append(guest)
						selector.register(guest.process.stdout, selectors.EVENT_READ, guest)
				wait(selector, running)
		finally:
			for guest in running:
				guest.end()


def wait(selector, running):
	"""Until one of them says something, or its time is over. Those that ended are taken out."""
	if not running:
		return
	left = min(guest.deadline for guest in running) - time.monotonic()
	ended = [key.data for key, _ in selector.select(max(0, left)) if not key.data.read()]
	ended += [guest for guest in running if guest not in ended and time.monotonic() > guest.deadline]
	for guest in ended:
		selector.unregister(guest.process.stdout)
		running.remove(guest)
		guest.finish()


def start():
	names = [x for x in sys.argv[1:] if x != "--shell" and not x.endswith(".py")]
	chosen = [x for x in kernels.WANTED if x.version in names or not names]
	if len(chosen) < len(names) or ("--shell" in sys.argv and len(names) != 1):
		sys.exit(__doc__.strip())
	if os.geteuid() != 0:
		sys.exit("needs root: the guests' network")
	find_program("qemu-system-x86_64")
	OUT.mkdir(parents=True, exist_ok=True)
	base = OUT / "base.img"
	make_base(base)
	if "--shell" in sys.argv:
		shell(chosen[0], base)
	tap.run(lambda t: main(t, chosen, base))


if __name__ == "__main__":
	start()
