# SPDX-License-Identifier: Apache-2.0
"""The examples' folders: states (objects*.json), expected records (expected*.zone), README.md with commands and what they print."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def states():
    """(objects file, expected file) of every example."""
    found = sorted(EXAMPLES.glob("*/objects*.json"))
    return [(x, x.with_name(x.name.replace("objects", "expected").replace(".json", ".zone"))) for x in found]


def records(text):
    """The record lines of a zone file, sorted, without directives and comments: `owner TTL IN TYPE data`."""
    lines = (re.sub(r"\s+", " ", line.split(";")[0]).strip() for line in text.splitlines())
    return sorted(line for line in lines if line and not line.startswith("$"))


def readme_commands(folder):
    """[(objects file, command, lines it prints)]: a block belongs to the state that the text names last."""
    found = []
    state, command, is_block = None, None, False
    for line in (folder / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            is_block, command = not is_block, None
        elif not is_block:
            for name in re.findall(r"objects[a-z-]*\.json", line):
                state = folder / name
        elif line.startswith("$ "):
            command = (state, line[2:], [])
            found.append(command)
        else:
            command[2].append(line)
    return found
