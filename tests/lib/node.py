# SPDX-License-Identifier: Apache-2.0
"""
A node to test on: private mount and network namespaces, a bpffs, pods behind veths, and the real agent over objects in a
file. Everything ends with the process: the namespaces hold nothing that outlives it, the agent gets SIGKILL when its
parent dies.
"""

import atexit
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bpf
import packet
import stalls

ROOT = Path(__file__).resolve().parents[2]
IN_NAMESPACE = "NODENS_TEST_NAMESPACE"
PR_SET_PDEATHSIG = 1
# As long as no time of the product's is measured: only a very busy machine needs more than a part of a second. One that is
# emulated (tests/vm/init) has more: for the programs that the agent loads the verifier alone may take minutes there.
PATIENCE = int(os.environ.get("PATIENCE", "1"))
READY_WITHIN_S = 60 * PATIENCE
ENDS_WITHIN_S = 30 * PATIENCE
BEFORE_OTHERS = -10  # nice
INTERFACE_LEN = 128  # struct nodens_interface: mtu, hook, …

_libc = ctypes.CDLL(None, use_errno=True)


def verdict_names():
    """Names in the order of enum nodens_verdict, from the header that defines them."""
    text = (ROOT / "include/nodens/verdict.h").read_text()
    return re.findall(r'^\tX\([A-Z0-9_]+, ([a-z0-9_]+), "', text, re.MULTILINE)


VERDICTS = verdict_names()
ANSWERS = ("answered", "nodata", "truncated")


def binary():
    return os.environ.get("NODENS", str(ROOT / "build/nodens"))


def enter_namespaces():
    """Runs this program again in namespaces of its own; returns there. Call it first."""
    if os.environ.pop(IN_NAMESPACE, None) is None:
        if os.geteuid() != 0:
            sys.exit("needs root: namespaces and bpf(2)")
        os.environ[IN_NAMESPACE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _ip("link", "set", "lo", "up")


def _ip(*arguments):
    subprocess.run(["ip", *map(str, arguments)], check=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def before_others():
    """For a process whose times matter: of a CPU that is busy with something else it gets most. Not all, as a real-time
    priority would: then the kernel's own threads wait, and it waits for those (close() of inotify, grace periods)."""
    _die_with_parent()
    os.setpriority(os.PRIO_PROCESS, 0, BEFORE_OTHERS)


def end_before_others(process):
    """SIGTERM; (exit code, seconds that it took). Both of us get most of a CPU that is busy with something else, and what the machine
    took meanwhile from a process that does next to nothing is not the agent's. Its end wakes us: wait() with a limit looks now and
    then only, up to 50 ms late."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    for thread in [0, *map(int, os.listdir("/proc/%d/task" % process.pid))]:
        os.setpriority(os.PRIO_PROCESS, thread, BEFORE_OTHERS)
    ended = os.pidfd_open(process.pid)
    try:
        with stalls.Stalls(BEFORE_OTHERS) as machine:
            mark, began = machine.mark(), time.monotonic()
            process.terminate()
            select.select([ended], [], [], ENDS_WITHIN_S)
            took_s = time.monotonic() - began
            return process.wait(1), max(0.0, took_s - machine.lost_s(mark))
    finally:
        os.close(ended)
        os.setpriority(os.PRIO_PROCESS, 0, own)


def wait_until(condition, what, within_s=READY_WITHIN_S):
    """Polls until condition() is true; an AssertionError after within_s."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("not within %d s: %s" % (within_s, what))
        time.sleep(0.01)


class Scratch:
    """A folder on a tmpfs of this mount namespace with a bpffs in it; gone with the process."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="nodens-test-"))
        atexit.register(self.remove)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "nodens-test", self.path], check=True)
        (self.path / "bpf").mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "bpf", "-o", "mode=0700", "nodens-test", self.path / "bpf"], check=True)

    def remove(self):
        if self.path.exists():
            subprocess.run(["umount", "--lazy", self.path / "bpf"], check=False)
            subprocess.run(["umount", "--lazy", self.path], check=False)
            shutil.rmtree(self.path, ignore_errors=True)


class Pod:
    """
    A network namespace with one end of a veth; `ifindex` is the node's end. The pod's end stays down: no frame but the
    test's may move a counter.
    """

    count = 0

    def __init__(self, mtu=1500):
        Pod.count += 1
        self.name = "pod%d" % Pod.count
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=_die_with_parent)
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink("/proc/%d/ns/net" % self.process.pid) != own, "a network namespace for the pod")
        _ip("link", "add", self.name, "mtu", mtu, "type", "veth", "peer", "name", "eth0", "mtu", mtu, "netns", self.process.pid)
        _ip("link", "set", self.name, "up")
        self.ifindex = socket.if_nametoindex(self.name)

    def remove(self):
        self.process.kill()
        self.process.wait()


class Node:
    """The agent over `objects`, with a pod for each MTU. Use with `with`."""

    scratch = None
    servers = ("--server", packet.SERVER4, "--server", packet.SERVER6)
    interfaces = ("--interface", "pods")
    before_exec = staticmethod(_die_with_parent)  # runs in the agent's process

    def __init__(self, objects, arguments=(), mtus=(1500,)):
        Node.scratch = Node.scratch or Scratch()
        self.dir = Node.scratch.path / "bpf" / "nodens"
        self.file = Node.scratch.path / "objects.json"
        self.write(objects)
        self.arguments = list(arguments)
        self.mtus = mtus
        self.pods = {}
        self.process = None
        self.log = None

    def write(self, objects):
        """objects: a list, or text as is. Replaces the file as editors do."""
        text = objects if isinstance(objects, str) else json.dumps({"kind": "List", "apiVersion": "v1", "items": objects})
        aside = self.file.with_suffix(".new")
        aside.write_text(text)
        aside.replace(self.file)

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            self._stop()
        for pod in self.pods.values():
            pod.remove()
            subprocess.run(["ip", "link", "del", pod.name], check=False, stderr=subprocess.DEVNULL)
        if self.log:
            self.log.close()

    def _start(self):
        for mtu in self.mtus:
            self.pods[mtu] = Pod(mtu)
        self.log = tempfile.TemporaryFile(dir=Node.scratch.path)
        self._run()

    def kill(self):
        """As if the agent had crashed: the datapath stays."""
        self.process.kill()
        self.process.wait()

    def freeze(self):
        """The agent stands still when this returns."""
        self.process.send_signal(signal.SIGSTOP)
        stat = Path("/proc/%d/stat" % self.process.pid)
        wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", "the stop")

    def restart(self):
        """The agent once more, after kill()."""
        self._close()
        self._run()

    def _run(self):
        notify_path = str(Node.scratch.path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(notify_path)
            try:
                self._spawn(notify_path)
                self._wait_ready(notify)
            finally:
                os.unlink(notify_path)
        self._open()

    def _spawn(self, notify_path):
        command = [binary(), "run", "--source", "file:%s" % self.file, *self.servers, *self.interfaces, *self.arguments,
                   "--bpffs", str(self.dir)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, preexec_fn=self.before_exec,
                                        env={**os.environ, "NOTIFY_SOCKET": notify_path})

    def _wait_ready(self, notify):
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            readable, _, _ = select.select([notify], [], [], 0.05)
            if readable and b"READY=1" in notify.recv(4096).split(b"\n"):
                return
            if self.process.poll() is not None:
                raise RuntimeError("the agent ended with %s:\n%s" % (self.process.returncode, self.log_text()))
            if time.monotonic() > deadline:
                raise RuntimeError("the agent was not ready within %d s:\n%s" % (READY_WITHIN_S, self.log_text()))

    def _open(self):
        current = self.dir / "current"
        wait_until(lambda: all(self.interface(pod.ifindex)[1] for pod in self.pods.values()), "the agent on every pod's interface")
        self.tc = bpf.Program(current / "tc")
        self.explain = bpf.Program(current / "explain")
        self.xdp = bpf.XdpProgram(current / "xdp")
        self.counters = bpf.PercpuCounters(bpf.obj_get(current / "verdicts"), VERDICTS)
        self.ifindex = self.pods[self.mtus[0]].ifindex

    def interface(self, ifindex):
        """(MTU, hook) as the datapath knows them; (0, 0): nothing of this interface."""
        interfaces = bpf.obj_get(self.dir / "current" / "interfaces")
        try:
            entry = bpf.map_lookup(interfaces, struct.pack("=I", ifindex), INTERFACE_LEN)
        finally:
            os.close(interfaces)
        return struct.unpack_from("=II", entry) if entry else (0, 0)

    def _close(self):
        for program in ("tc", "explain", "xdp", "counters"):
            if hasattr(self, program):
                os.close(getattr(self, program).fd)
                delattr(self, program)

    def _stop(self):
        self._close()
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("SIGTERM did not end the agent within %d s" % ENDS_WITHIN_S) from None
        finally:
            self._detach()

    def _detach(self):
        subprocess.run([binary(), "detach", "--bpffs", str(self.dir)], check=True, stdout=self.log, stderr=self.log)

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def ask(self, frame, ifindex=None, gso_segs=0):
        """(name of the verdict, return code, frame afterwards), the verdict by the one counter that moved."""
        before = self.counters.read()
        code, out = self.tc.run(frame, self.ifindex if ifindex is None else ifindex, gso_segs)
        after = self.counters.read()
        moved = {name: after[name] - before[name] for name in VERDICTS if after[name] != before[name]}
        if list(moved.values()) != [1]:
            raise AssertionError("exactly one counter moves by one: %s" % moved)
        return next(iter(moved)), code, out

    def ask_xdp(self, frame, ifindex=None, program=None):
        """The same of the XDP program, or of another one in its place. The verdict is None for what it passes on: the TC program
        counts that."""
        before = self.counters.read()
        code, out = (program or self.xdp).run(frame, self.ifindex if ifindex is None else ifindex)
        after = self.counters.read()
        moved = {name: after[name] - before[name] for name in VERDICTS if after[name] != before[name]}
        if code != bpf.XDP_TX and moved or code == bpf.XDP_TX and list(moved.values()) != [1]:
            raise AssertionError("one counter moves for an answer, none for what is passed on: code %d, %s" % (code, moved))
        return next(iter(moved), None), code, out

    def ask_explain(self, frame, ifindex=None, gso_segs=0):
        """(name of the verdict, frame afterwards) from the explain program."""
        code, out = self.explain.run(frame, self.ifindex if ifindex is None else ifindex, gso_segs)
        return VERDICTS[code], out
