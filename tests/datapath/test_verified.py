#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 60 60
"""
What the datapath costs the verifier of this machine's kernel, beside what is recorded in tests/vm/verified.txt. Other kernels:
tests/vm/test_kernels.py. RECORD=1 writes it down.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/vm")]

import tap
import verified

VERIFIER = ROOT / os.environ.get("BUILD", "build") / "tests/tools/verifier"


def main(t):
	release, is_recording = os.uname().release, os.environ.get("RECORD") == "1"
	if verified.series(release) not in verified.read() and not is_recording:
		t.skip("the verifier's work", "nothing is recorded for Linux %s" % verified.series(release))
		return
	done = subprocess.run([VERIFIER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
	t.note(done.stdout)
	t.equal(done.returncode, 0, "the verifier takes every program")
	verified.check(t, release, verified.counts(done.stdout), is_recording)


if __name__ == "__main__":
	tap.run(main)
