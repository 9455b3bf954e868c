#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120 120
"""What the verifier of this kernel says of every program. Runs in the guests of test_kernels.py, which compares with the record."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import node
import tap
import verified

# The kernel allows 1,000,000; half of it is left for compilers and kernels that we do not know.
PROCESSED_MAX = 500_000
VERIFIER = Path(os.environ.get("VERIFIER") or Path(node.binary()).parent / "tests/tools/verifier")


def main(t):
	done = subprocess.run([VERIFIER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
	t.note(done.stdout)
	t.equal(done.returncode, 0, "the verifier takes every program")
	counts = verified.counts(done.stdout)
	t.ok(counts and max(counts.values()) <= PROCESSED_MAX, "no program costs the verifier more than %d instructions" % PROCESSED_MAX, counts)


if __name__ == "__main__":
	tap.run(main)
