# SPDX-License-Identifier: Apache-2.0
"""
How many instructions the verifier of a kernel went through for each program, and what is recorded of that in verified.txt. A
program far above its record is on its way to being refused, on this kernel or by another compiler.
"""

import re
from pathlib import Path

RECORD = Path(__file__).with_name("verified.txt")
MARGIN_PERCENT = 25
SMALL = 1000  # instructions; below that a quarter more means nothing
PROGRAMS = ("nodens_tc", "nodens_xdp", "nodens_explain", "nodens_clock", "nodens_records")
HEADER = """\
# Instructions that the verifier processed: kernel, program, count. Built by Debian 12's clang 14.
# Written by `make record-kernels`; more than %d %% above it fails.
""" % MARGIN_PERCENT

# A line of tests/tools/verifier.c.
COUNT = re.compile(r"^(\w+): \d+ instructions; processed (\d+) insns")


def counts(text):
	"""{program: count} in the output of tests/tools/verifier.c."""
	return {match[1]: int(match[2]) for match in map(COUNT.match, text.splitlines()) if match}


def series(release):
	"""The kernel's version as far as it is a record's key: "5.10"."""
	return re.match(r"\d+\.\d+", release)[0]


def read():
	"""{series: {program: count}}"""
	records = {}
	for line in RECORD.read_text().splitlines() if RECORD.exists() else ():
		if not line.startswith("#"):
			kernel, program, count = line.split()
			records.setdefault(kernel, {})[program] = int(count)
	return records


def write(records):
	order = sorted(records, key=lambda kernel: [int(x) for x in kernel.split(".")])
	lines = ["%s %s %d\n" % (kernel, program, count) for kernel in order for program, count in sorted(records[kernel].items())]
	RECORD.write_text(HEADER + "".join(lines))


def above(record, found):
	"""What costs too much more than recorded."""
	return ["%s: %d instructions verified, %d recorded" % (program, found[program], count) for program, count in sorted(record.items())
		if found.get(program, 0) * 100 > max(count, SMALL) * (100 + MARGIN_PERCENT)]


def check(t, release, found, is_recording=False):
	"""Results on one kernel; what has no record yet, or all when recording, is written down."""
	kernel, records = series(release), read()
	record = records.get(kernel, {})
	t.equal(sorted(found), sorted(PROGRAMS), "Linux %s: the verifier takes every program and tells its cost" % kernel)
	if not is_recording:
		t.none_of(above(record, found), "Linux %s: no program costs %d %% more than recorded" % (kernel, MARGIN_PERCENT))
	new = {program: count for program, count in found.items() if is_recording or program not in record}
	if new:
		t.note("Linux %s: recorded in %s: %s" % (kernel, RECORD.name, ", ".join("%s %d" % x for x in sorted(new.items()))))
		write({**records, kernel: {**record, **new}})
