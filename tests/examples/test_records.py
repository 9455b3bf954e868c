#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`nodens records --source file:…` of every state of every example is its expected file, and BIND and Knot accept it. No kernel needed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lib")]

import example_files
import tap

NODENS = os.environ.get("NODENS", str(example_files.ROOT / os.environ.get("BUILD", "build") / "nodens"))
SYNTHETIC = ("SOA", "NS")


def rendered(objects, *arguments):
    done = subprocess.run([NODENS, "records", "--source", f"file:{objects}", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
    return done.stdout


def zones(text):
    """{origin: text}: one after the other, each begins at its $ORIGIN."""
    parts = re.split(r"^(?=\$ORIGIN (\S+)$)", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def is_synthetic(line):
    return line.split()[3] in SYNTHETIC or line.startswith("ns.dns.")


def compare(got, want):
    missing = [f"- {x}" for x in want if x not in got]
    extra = [f"+ {x}" for x in got if x not in want]
    assert not missing and not extra and len(got) == len(want), "\n".join(missing + extra) or "duplicates"


def check_zone(command, origin, text):
    with tempfile.NamedTemporaryFile("w", suffix=".zone") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([*command(origin, file.name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{origin}: {done.stdout}{done.stderr}"


CHECKERS = {
    "named-checkzone": lambda origin, file: ["named-checkzone", "-k", "ignore", origin, file],
    "kzonecheck": lambda origin, file: ["kzonecheck", "-o", origin, file],
}


def main(t):
    for objects, want in example_files.states():
        name = f"{objects.parent.name}/{objects.name}"
        text = ""
        with t.case(f"{name} gives the records of {want.name}"):
            text = rendered(objects)
            compare([x for x in example_files.records(text) if not is_synthetic(x)], example_files.records(want.read_text(encoding="utf-8")))
        for checker, command in CHECKERS.items():
            if not shutil.which(checker, path=os.environ["PATH"] + ":/usr/sbin"):
                t.skip(f"{name}: {checker}", f"{checker} is not installed")
                continue
            with t.case(f"{name}: {checker} accepts every zone"):
                found = zones(text)
                assert "cluster.local." in found and any(x.endswith("in-addr.arpa.") for x in found), f"zones: {list(found)}"
                for origin, zone in found.items():
                    check_zone(command, origin, zone)
    with t.case("--zone-of an address is the zone of its reverse name, not the root"):
        found = zones(rendered(next(iter(example_files.states()))[0], "--zone-of", "172.17.0.5"))
        assert list(found) == ["172.in-addr.arpa."], list(found)


tap.run(main)
