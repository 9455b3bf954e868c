#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 3000 3000
"""Builds the agent with one fault at a time (faults.py), in a copy of the tree, and shows which test notices. A fault that none
notices is a gap in the tests; a line that is no longer there is a fault list that has not kept up.

FAULT=WORD in the environment tries only those whose description has the word."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "lib"))

import faults
import tap

BUILD = ROOT / os.environ.get("BUILD", "build")
LEFT_OUT = shutil.ignore_patterns("build", "build-*", ".git", "__pycache__")
NOT_BUILT_HERE = shutil.ignore_patterns("san", "survive", "vm", "image", "fuzz")
BUILD_S, TEST_S, END_S = 900, 300, 20


class Tree:
	"""A copy of the sources with a build of its own, which begins with what is built already."""

	def __init__(self, folder):
		self.path = Path(folder) / "tree"
		shutil.copytree(ROOT, self.path, ignore=LEFT_OUT, symlinks=True)
		if BUILD.is_dir():
			shutil.copytree(BUILD, self.path / "build", ignore=NOT_BUILT_HERE, symlinks=True)

	def make(self, *targets):
		"""What it printed, if it failed."""
		done = subprocess.run(["make", "-j2", "BUILD=build", "WERROR=0", *targets], cwd=self.path, stdout=subprocess.PIPE,
				      stderr=subprocess.STDOUT, text=True, timeout=BUILD_S, check=False)
		return done.stdout if done.returncode else None

	def targets_for(self, tests):
		targets = ["build/tests/unit/" + x for x in tests if "/" not in x]
		if any("/" in x for x in tests):
			targets += ["all", "test-tools"]
		return targets

	def first_failure(self, test):
		"""The first case of this test that fails, None: it passes. One that does not end has noticed nothing: AssertionError."""
		path = str(self.path / "tests" / test) if "/" in test else str(self.path / "build/tests/unit" / test)
		command = ["/usr/bin/python3", "-u", path] if path.endswith(".py") else [path]
		environment = dict(os.environ, BUILD="build", NODENS=str(self.path / "build/nodens"), CMOCKA_MESSAGE_OUTPUT="TAP", LONG="0")
		process = subprocess.Popen(command, cwd=self.path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
					   stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
		timer = Alarm(TEST_S, process.pid)
		failure = None
		try:
			for line in process.stdout:
				if line.startswith("not ok") and "# SKIP" not in line:
					failure = line.partition("-")[2].strip() or line.strip()
					break
			else:
				code = process.wait()
				failure = "ended with %d" % code if code else None
			assert not timer.is_over, "%s did not end within %d s" % (test, TEST_S)
			return failure
		finally:
			timer.cancel()
			end(process)

	def with_fault(self, fault, then):
		"""Runs then() with the fault in place."""
		path = self.path / fault.file
		text = path.read_text(encoding="utf-8")
		assert text.count(fault.old) == 1, "%s has the line %d times: %r" % (fault.file, text.count(fault.old), fault.old)
		path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
		try:
			return then()
		finally:
			path.write_text(text, encoding="utf-8")


class Alarm:
	"""Asks a process group to end after so many seconds of wall time, then kills it."""

	def __init__(self, seconds, group):
		self.group, self.is_over = group, False
		signal.signal(signal.SIGALRM, self.ring)
		signal.alarm(seconds)

	def ring(self, *_):
		signo = signal.SIGKILL if self.is_over else signal.SIGINT
		self.is_over = True
		try:
			os.killpg(self.group, signo)
		except ProcessLookupError:
			return
		signal.alarm(END_S)

	def cancel(self):
		signal.alarm(0)


def end(process):
	"""Asks the whole group to end, so that a test cleans up, then kills it."""
	for signo, wait_s in ((signal.SIGINT, END_S), (signal.SIGKILL, 5)):
		if process.poll() is not None:
			break
		try:
			os.killpg(process.pid, signo)
			process.wait(wait_s)
		except (ProcessLookupError, subprocess.TimeoutExpired):
			continue
	process.stdout.close()


def try_fault(tree, fault):
	"""Which test noticed, and how; None: none."""
	output = tree.make(*tree.targets_for(fault.tests))
	assert output is None, "does not build:\n" + output[-2000:]
	for test in fault.tests:
		failure = tree.first_failure(test)
		if failure:
			return "%s: %s" % (test, failure)
	return None


def check_sound(tap_, tree, chosen):
	"""Without a fault every test passes: else what they say of faults means nothing."""
	tests = sorted({x for fault in chosen for x in fault.tests})
	output = tree.make(*tree.targets_for(tests))
	if not tap_.ok(output is None, "the copy builds", output):
		return False
	failed = [(x, tree.first_failure(x)) for x in tests]
	return tap_.none_of(["%s: %s" % pair for pair in failed if pair[1]], "without a fault all %d tests pass" % len(tests))


def main(tap_):
	word = os.environ.get("FAULT", "")
	chosen = [x for x in faults.FAULTS if word in x.what]
	if not word:
		tap_.ok(len(chosen) >= 20, "there are at least 20 faults", len(chosen))
	with tempfile.TemporaryDirectory(prefix="nodens-mutants-") as folder:
		tree = Tree(folder)
		if not check_sound(tap_, tree, chosen):
			return
		for fault in chosen:
			with tap_.case("noticed: " + fault.what):
				caught = tree.with_fault(fault, lambda: try_fault(tree, fault))  # pylint: disable=cell-var-from-loop
				assert caught, "survived %s" % ", ".join(fault.tests)
				tap_.note("by " + caught)


if __name__ == "__main__":
	tap.run(main)
