# SPDX-License-Identifier: Apache-2.0
"""
The hooks of an interface and who is on them: programs of other owners on tcx and clsact, what anybody can list there, and a
kernel that says it has no tcx.
"""

import contextlib
import ctypes
import json
import os
import struct
import subprocess

import bpf
import node
import podnet

BPF_PROG_QUERY = bpf.BPF_PROG_QUERY
BPF_LINK_CREATE, BPF_LINK_DETACH = 28, 34
BPF_XDP, BPF_TCX_INGRESS, BPF_TCX_EGRESS = 37, 46, 47
BPF_PROG_TYPE_XDP, XDP_FLAGS_DRV_MODE, XDP_PASS = 6, 4, 2
BPF_F_BEFORE = 8
PASS, OK, SHOT = bpf.TC_ACT_UNSPEC, 0, bpf.TC_ACT_SHOT

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, EINVAL = 0x7FFF0000, 0x00050000, 22
OUR_PRIORITY, OUR_HANDLE = 1, 0x6E6F

_libc = ctypes.CDLL(None, use_errno=True)


# ---- a kernel without tcx ----


class _SockFprog(ctypes.Structure):
	_fields_ = [("len", ctypes.c_uint16), ("filter", ctypes.c_void_p)]


def without_tcx():
	"""For Node.before_exec: asking for the programs of a hook gives EINVAL, as it does for tcx below Linux 6.6. All else in
	the kernel is as it is."""
	node._die_with_parent()
	statements = [(0x20, 0, 0, 0), (0x15, 0, 3, bpf.SYS_BPF),  # struct seccomp_data: nr
		      (0x20, 0, 0, 16), (0x15, 0, 1, BPF_PROG_QUERY),  # args[0], its lower half
		      (0x06, 0, 0, SECCOMP_RET_ERRNO | EINVAL), (0x06, 0, 0, SECCOMP_RET_ALLOW)]
	code = b"".join(struct.pack("=HBBI", *statement) for statement in statements)
	buffer = ctypes.create_string_buffer(code, len(code))
	program = _SockFprog(len(statements), ctypes.addressof(buffer))
	if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
		raise OSError(ctypes.get_errno(), "seccomp")


# ---- programs of other owners ----


class _LinkCreateAttr(ctypes.Structure):
	_fields_ = [("prog_fd", ctypes.c_uint32), ("target_ifindex", ctypes.c_uint32), ("attach_type", ctypes.c_uint32),
		    ("flags", ctypes.c_uint32), ("relative_fd", ctypes.c_uint32), ("pad", ctypes.c_uint32), ("revision", ctypes.c_uint64)]


class _LinkFdAttr(ctypes.Structure):
	_fields_ = [("link_fd", ctypes.c_uint32)]


@contextlib.contextmanager
def tcx_program(ifindex, code, name="other", is_before=False, attach_type=BPF_TCX_INGRESS):
	"""A program that returns code for every packet, at one end of the tcx hook. Yields its id."""
	prog = bpf.prog_load_verdict(ctypes.c_int32(code).value, name)
	try:
		link = bpf._bpf(BPF_LINK_CREATE, _LinkCreateAttr(prog, ifindex, attach_type, BPF_F_BEFORE if is_before else 0))
	except BaseException:
		os.close(prog)
		raise
	try:
		yield fd_id(prog)
	finally:
		os.close(link)
		os.close(prog)


def pin_tcx_link(ifindex, code, name, path):
	"""A link that lives by its pin. Returns its program's id."""
	prog = bpf.prog_load_verdict(ctypes.c_int32(code).value, name)
	link = bpf._bpf(BPF_LINK_CREATE, _LinkCreateAttr(prog, ifindex, BPF_TCX_INGRESS, 0))
	try:
		bpf.obj_pin(link, path)
		return fd_id(prog)
	finally:
		os.close(link)
		os.close(prog)


@contextlib.contextmanager
def xdp_program(ifindex, code, name="other"):
	"""A native XDP program that returns code for every frame. Yields its id."""
	text, license_ = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, code, 0x95, 0, 0, 0), 16), ctypes.create_string_buffer(b"GPL")
	prog = bpf._bpf(bpf.BPF_PROG_LOAD, bpf._LoadAttr(prog_type=BPF_PROG_TYPE_XDP, insn_cnt=2, insns=ctypes.addressof(text),
							 license=ctypes.addressof(license_), prog_name=name.encode()))
	try:
		link = bpf._bpf(BPF_LINK_CREATE, _LinkCreateAttr(prog, ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE))
	except BaseException:
		os.close(prog)
		raise
	try:
		yield fd_id(prog)
	finally:
		os.close(link)
		os.close(prog)


def xdp_id(interface):
	"""The XDP program there; 0: none."""
	return json.loads(podnet.run("ip -json link show dev " + interface))[0].get("xdp", {}).get("prog", {}).get("id", 0)


def fd_id(fd):
	with open("/proc/self/fdinfo/%d" % fd, encoding="ascii") as f:
		return int(dict(line.split(":", 1) for line in f if ":" in line)["prog_id"])


def detach_link(path):
	"""What `bpftool link detach` does."""
	fd = bpf.obj_get(path)
	try:
		bpf._bpf(BPF_LINK_DETACH, _LinkFdAttr(fd))
	finally:
		os.close(fd)


def pin_program(path, code, name):
	prog = bpf.prog_load_verdict(ctypes.c_int32(code).value, name)
	try:
		bpf.obj_pin(prog, path)
	finally:
		os.close(prog)


def add_clsact(interface):
	podnet.run("tc qdisc add dev %s clsact" % interface, check=False)


def add_filter(interface, pinned, priority, handle, direction="ingress"):
	"""A direct-action filter with the program pinned there."""
	add_clsact(interface)
	podnet.run("tc filter add dev %s %s protocol all prio %d handle %d bpf direct-action object-pinned %s" %
		   (interface, direction, priority, handle, pinned))


def delete_filter(interface, priority, handle, direction="ingress"):
	podnet.run("tc filter del dev %s %s protocol all prio %d handle %d bpf" % (interface, direction, priority, handle))


# ---- what is there ----


def filters(interface, direction="ingress"):
	"""(priority, handle, program id or 0), in the order in which they run."""
	# What it complains of is beside the point: there may be no qdisc.
	command = ["tc", "-json", "filter", "show", "dev", interface, direction]
	text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
	found = []
	try:
		entries = json.loads(text)
	except ValueError:
		return found
	for entry in entries:
		options = entry.get("options", {})
		if "handle" in options:
			found.append((entry["pref"], int(options["handle"], 16), options.get("prog", {}).get("id", 0)))
	return found


def has_clsact(interface):
	return "clsact" in podnet.run("tc qdisc show dev " + interface, check=False)


def our_filter(interface):
	"""The id of our program there; 0: none."""
	return next((prog for priority, handle, prog in filters(interface) if (priority, handle) == (OUR_PRIORITY, OUR_HANDLE)), 0)


def is_on(lab, pod):
	"""Whether the agent's program of now is on this veth."""
	wanted = bpf.obj_id(lab.dir / "current" / "tc")[1]
	return wanted in bpf.tcx_programs(pod.ifindex) or our_filter(pod.name) == wanted
