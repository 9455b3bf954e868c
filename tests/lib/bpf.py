# SPDX-License-Identifier: Apache-2.0
"""bpf(2) by ctypes: pinned objects, map lookups and test runs. Nothing but the kernel's own interface."""

import ctypes
import errno
import os
import platform
import struct
from pathlib import Path

SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}[platform.machine()]

# enum bpf_cmd
BPF_MAP_LOOKUP_ELEM = 1
BPF_PROG_LOAD = 5
BPF_OBJ_PIN = 6
BPF_OBJ_GET = 7
BPF_PROG_TEST_RUN = 10
BPF_PROG_GET_FD_BY_ID = 13
BPF_MAP_GET_FD_BY_ID = 14
BPF_PROG_QUERY = 16
BPF_LINK_GET_FD_BY_ID = 30

BPF_PROG_TYPE_SCHED_CLS = 3
BPF_PROG_TYPE_XDP = 6
BPF_TCX_INGRESS = 46  # enum bpf_attach_type

TC_ACT_UNSPEC = 0xFFFFFFFF
TC_ACT_SHOT = 2
TC_ACT_REDIRECT = 7
XDP_PASS = 2
XDP_TX = 3

# struct __sk_buff; a test run takes a few of its fields and refuses the others unless zero
SK_BUFF_LEN = 192
SK_BUFF_MARK = 8
SK_BUFF_IFINDEX = 40
SK_BUFF_GSO_SEGS = 164

# struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
XDP_MD = struct.Struct("=6I")

# The largest frame that may come out: 4096 octets of DNS and every header.
FRAME_OUT_MAX = 16384

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _TestRunAttr(ctypes.Structure):
    _fields_ = [
        ("prog_fd", ctypes.c_uint32), ("retval", ctypes.c_uint32),
        ("data_size_in", ctypes.c_uint32), ("data_size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_uint64), ("data_out", ctypes.c_uint64),
        ("repeat", ctypes.c_uint32), ("duration", ctypes.c_uint32),
        ("ctx_size_in", ctypes.c_uint32), ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_uint64), ("ctx_out", ctypes.c_uint64),
        ("flags", ctypes.c_uint32), ("cpu", ctypes.c_uint32), ("batch_size", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    ]


class _ObjGetAttr(ctypes.Structure):
    _fields_ = [("pathname", ctypes.c_uint64), ("bpf_fd", ctypes.c_uint32), ("file_flags", ctypes.c_uint32)]


class _LookupAttr(ctypes.Structure):
    _fields_ = [
        ("map_fd", ctypes.c_uint32), ("pad", ctypes.c_uint32),
        ("key", ctypes.c_uint64), ("value", ctypes.c_uint64), ("flags", ctypes.c_uint64),
    ]


def _bpf(command, attr):
    result = _libc.syscall(SYS_BPF, ctypes.c_int(command), ctypes.byref(attr), ctypes.sizeof(attr))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class _LoadAttr(ctypes.Structure):
    _fields_ = [
        ("prog_type", ctypes.c_uint32), ("insn_cnt", ctypes.c_uint32), ("insns", ctypes.c_uint64), ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32), ("log_size", ctypes.c_uint32), ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32), ("prog_flags", ctypes.c_uint32), ("prog_name", ctypes.c_char * 16),
    ]


class _ByIdAttr(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint32), ("next_id", ctypes.c_uint32), ("open_flags", ctypes.c_uint32)]


class _QueryAttr(ctypes.Structure):
    _fields_ = [
        ("target_ifindex", ctypes.c_uint32), ("attach_type", ctypes.c_uint32), ("query_flags", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32), ("prog_ids", ctypes.c_uint64), ("count", ctypes.c_uint32), ("pad", ctypes.c_uint32),
        ("prog_attach_flags", ctypes.c_uint64), ("link_ids", ctypes.c_uint64), ("link_attach_flags", ctypes.c_uint64),
        ("revision", ctypes.c_uint64),
    ]


def prog_load_verdict(code, name, prog_type=BPF_PROG_TYPE_SCHED_CLS):
    """A program of two instructions, of TC unless told otherwise, that returns code for every packet."""
    instructions = struct.pack("=BBhi", 0xB7, 0, 0, code) + struct.pack("=BBhi", 0x95, 0, 0, 0)
    text, license_ = ctypes.create_string_buffer(instructions, len(instructions)), ctypes.create_string_buffer(b"GPL")
    return _bpf(BPF_PROG_LOAD, _LoadAttr(prog_type=prog_type, insn_cnt=2, insns=ctypes.addressof(text),
                                         license=ctypes.addressof(license_), prog_name=name.encode()))


def obj_pin(fd, path):
    text = ctypes.create_string_buffer(os.fsencode(path))
    _bpf(BPF_OBJ_PIN, _ObjGetAttr(ctypes.addressof(text), fd, 0))


def obj_id(path):
    """("prog", "map" or "link", its id in the kernel) of what is pinned at path."""
    fd = obj_get(path)
    try:
        lines = Path("/proc/self/fdinfo/%d" % fd).read_text().splitlines()
    finally:
        os.close(fd)
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    # That of a link names its program as well.
    kind = next(kind for kind in ("link", "map", "prog") if kind + "_id" in fields)
    return kind, int(fields[kind + "_id"])


def id_exists(kind, number):
    command = {"prog": BPF_PROG_GET_FD_BY_ID, "map": BPF_MAP_GET_FD_BY_ID, "link": BPF_LINK_GET_FD_BY_ID}[kind]
    try:
        os.close(_bpf(command, _ByIdAttr(number)))
    except FileNotFoundError:
        return False
    return True


def tcx_programs(ifindex):
    """Ids of the programs on an interface's tcx ingress hook. Below Linux 6.6 there is no such hook: none."""
    ids = (ctypes.c_uint32 * 64)()
    attr = _QueryAttr(target_ifindex=ifindex, attach_type=BPF_TCX_INGRESS, prog_ids=ctypes.addressof(ids), count=len(ids))
    try:
        _bpf(BPF_PROG_QUERY, attr)
    except OSError as e:
        if e.errno in (errno.EINVAL, errno.ENOENT):
            return []
        raise
    return list(ids[: attr.count])


def obj_get(path):
    """A descriptor of what is pinned at path."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    try:
        return _bpf(BPF_OBJ_GET, _ObjGetAttr(ctypes.addressof(text), 0, 0))
    except OSError as e:
        raise OSError(e.errno, e.strerror, str(path)) from None


def map_lookup(fd, key, value_len):
    """The value as bytes, or None. For a map per CPU value_len is that of all CPUs (percpu_len)."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value = ctypes.create_string_buffer(value_len)
    try:
        _bpf(BPF_MAP_LOOKUP_ELEM, _LookupAttr(fd, 0, ctypes.addressof(key_buffer), ctypes.addressof(value), 0))
    except FileNotFoundError:
        return None
    return value.raw


def possible_cpus():
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1


class PercpuCounters:
    """One element of u64s in a PERCPU_ARRAY, summed over all CPUs."""

    def __init__(self, fd, names):
        self.fd = fd
        self.names = list(names)
        self.cpus = possible_cpus()
        self.format = struct.Struct("=%dQ" % (len(self.names) * self.cpus))

    def read(self):
        words = self.format.unpack(map_lookup(self.fd, bytes(4), self.format.size))
        width = len(self.names)
        return {name: sum(words[i::width]) for i, name in enumerate(self.names)}


class Program:
    """A pinned TC program, run on single frames. run() costs some microseconds: all buffers are kept."""

    def __init__(self, path):
        self.fd = obj_get(path)
        self._out = (ctypes.c_char * FRAME_OUT_MAX)()
        self._out_view = memoryview(self._out).cast("B")
        self._context = (ctypes.c_char * SK_BUFF_LEN)()
        self._attr = _TestRunAttr(prog_fd=self.fd, repeat=1, ctx_size_in=SK_BUFF_LEN,
                                  data_out=ctypes.addressof(self._out), ctx_in=ctypes.addressof(self._context))

    def run(self, frame, ifindex=0, gso_segs=0):
        """(return code, frame afterwards). ifindex 0: the loopback device of this namespace."""
        attr = self._attr
        struct.pack_into("=I", self._context, SK_BUFF_IFINDEX, ifindex)
        struct.pack_into("=I", self._context, SK_BUFF_GSO_SEGS, gso_segs)
        frame = bytes(frame)
        attr.data_in = ctypes.cast(ctypes.c_char_p(frame), ctypes.c_void_p).value
        attr.data_size_in = len(frame)
        attr.data_size_out = FRAME_OUT_MAX
        _bpf(BPF_PROG_TEST_RUN, attr)
        return attr.retval, self._out_view[: attr.data_size_out].tobytes()

    def close(self):
        os.close(self.fd)


class XdpProgram:
    """A pinned XDP program, run on single frames that came in on an interface (Linux 5.15)."""

    def __init__(self, path):
        self.fd = obj_get(path)
        self._out = (ctypes.c_char * FRAME_OUT_MAX)()
        self._out_view = memoryview(self._out).cast("B")
        self._context = (ctypes.c_char * XDP_MD.size)()
        self._attr = _TestRunAttr(prog_fd=self.fd, repeat=1, ctx_size_in=XDP_MD.size,
                                  data_out=ctypes.addressof(self._out), ctx_in=ctypes.addressof(self._context))

    def run(self, frame, ifindex=0, linear=None):
        """(return code, frame afterwards). The frame has at least 14 octets; ifindex 0: loopback. linear: so many octets are in
        the first buffer, the rest in others (Linux 6.18)."""
        attr = self._attr
        XDP_MD.pack_into(self._context, 0, 0, len(frame) if linear is None else linear, 0, ifindex, 0, 0)
        frame = bytes(frame)
        attr.data_in = ctypes.cast(ctypes.c_char_p(frame), ctypes.c_void_p).value
        attr.data_size_in = len(frame)
        attr.data_size_out = FRAME_OUT_MAX
        _bpf(BPF_PROG_TEST_RUN, attr)
        return attr.retval, self._out_view[: attr.data_size_out].tobytes()

    def close(self):
        os.close(self.fd)
