#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts where, that `make uninstall` takes all of it away, and what systemd itself says of the unit."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))

import tap

BUILD = os.environ.get("BUILD", "build")
INSTALLED = {"usr/sbin/nodens", "usr/share/man/man8/nodens.8", "usr/lib/systemd/system/nodens.service"}
MOST_EXPOSED = 2.5  # of 10, by systemd's own count


def run(*command):
	# Not as a part of the make that may have started this.
	environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
	done = subprocess.run([str(word) for word in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
	return done.returncode, done.stdout


def make(target, root):
	code, text = run("make", "-C", ROOT, "--no-print-directory", "BUILD=" + BUILD, "DESTDIR=%s" % root, "PREFIX=/usr", target)
	assert code == 0, text


def files(root):
	return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def check_unit(t, root):
	unit = root / "usr/lib/systemd/system/nodens.service"
	text = unit.read_text()
	t.ok("ExecStart=/usr/sbin/nodens run\n" in text, "the unit starts the program where it was installed", text)
	added = re.search(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)[1].split()
	t.equal(sorted(added), ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"], "the unit keeps three capabilities")
	if not Path("/usr/bin/systemd-analyze").exists():
		t.skip("systemd-analyze verify and security", "there is no systemd-analyze")
		return
	code, said = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit)
	# The machine's own /usr/sbin has no nodens: the only thing that it may find.
	said = [line for line in said.splitlines() if "nodens" in line and "is not executable: No such file" not in line]
	t.none_of(said, "systemd-analyze verify finds nothing (exit status %d)" % code)
	_, said = run("systemd-analyze", "security", "--offline=yes", "--no-pager", unit)
	level = re.search(r"Overall exposure level for nodens\.service: ([0-9.]+)", said)
	t.ok(level and float(level[1]) <= MOST_EXPOSED, "systemd-analyze security counts an exposure of at most %s" % MOST_EXPOSED, said[-300:])


def main(t):
	with tempfile.TemporaryDirectory(prefix="nodens-test-") as name:
		root = Path(name)
		make("install", root)
		t.equal(files(root), INSTALLED, "make install puts program, manual page and unit below DESTDIR and PREFIX")
		code, text = run(root / "usr/sbin/nodens", "version")
		t.ok(code == 0 and (ROOT / "VERSION").read_text().strip() in text, "the installed program tells its version", text)
		check_unit(t, root)
		make("uninstall", root)
		t.equal(files(root), set(), "make uninstall leaves nothing")


if __name__ == "__main__":
	tap.run(main)
