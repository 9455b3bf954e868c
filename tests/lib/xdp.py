# SPDX-License-Identifier: Apache-2.0
"""The XDP program in places that test runs do not have by themselves: without room at a frame's end."""

import errno
import json
import os
import subprocess
from pathlib import Path

import bpf
import node

# What grows at its head may take 256 octets (XDP_PACKET_HEADROOM) less what the kernel keeps there: 40, 32 on some.
HEAD_GROWTH_SURE, HEAD_GROWTH_MAX = 208, 224
# A test run's frame lies in one page of 4096, 256 octets of it in front and 320 behind for struct skb_shared_info.
TAIL_FRAME_SURE, TAIL_FRAME_MAX = 3400, 3520


def object_without_tail():
    return node.ROOT / os.environ.get("BUILD", "build") / "tests/tools/xdp_no_tail.bpf.o"


def bpftool(*arguments):
    return subprocess.run(["bpftool", *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def load_without_tail(running):
    """tests/tools/xdp_no_tail.bpf.c over the maps of a node's generation."""
    current = Path(running.dir) / "current"
    pin = Path(running.dir).parent / "no_tail"
    ids = json.loads(bpftool("-j", "prog", "show", "pinned", current / "xdp"))["map_ids"]
    arguments = []
    for number in ids:
        name = json.loads(bpftool("-j", "map", "show", "id", number))["name"]
        # libbpf puts the object's name in front, cut so that all has 15 letters.
        name = object_without_tail().name[:8] + ".rodata" if name.endswith(".rodata") else name
        arguments += ["map", "name", name, "id", number]
    pin.unlink(missing_ok=True)
    bpftool("prog", "load", object_without_tail(), pin, "type", "xdp", *arguments)
    program = bpf.XdpProgram(pin)
    pin.unlink()
    return program


def can_run(program):
    """Linux 5.15 takes the interface of a test run."""
    try:
        program.run(bytes(64), 1)
    except OSError as e:
        if e.errno == errno.EINVAL:
            return False
        raise
    return True


def programs(running):
    """{name of the hook: program} for a node's frames; none where the kernel cannot run them."""
    if not can_run(running.xdp):
        return {}
    return {"xdp": running.xdp, "xdp without tail room": load_without_tail(running)}


def has_room(hook, query_len, answer_len):
    """Whether `hook` ("xdp", "xdp without tail room") has room for an answer; lengths of frames. None: that depends on the kernel."""
    growth = answer_len - query_len
    least, most, wanted = (HEAD_GROWTH_SURE, HEAD_GROWTH_MAX, growth) if "without" in hook else (TAIL_FRAME_SURE, TAIL_FRAME_MAX, answer_len)
    if wanted <= least or growth == 0:
        return True
    return False if wanted > most else None
