# SPDX-License-Identifier: Apache-2.0
"""A steady client in a pod (client.py) as a process of the test's: what it asked and what came back, kept as it comes."""

import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import node

CLIENT = Path(__file__).resolve().parent / "client.py"
PYTHON = "/usr/bin/python3"
ENDS_WITHIN_S = 30
SEEN_WITHIN_S = 60
ANSWER_WITHIN_S = 10  # where no time is measured: what is lost is lost for ever


def feed(questions):
	return "".join(question.wire()[2:].hex() + "\n" for question in questions) + "\n"


def ask_once(run, server, questions, within_s=ANSWER_WITHIN_S):
	"""[wire without its ID, None: no answer] of one question after the other. run: subprocess.run in the asker's network."""
	done = run(PYTHON, str(CLIENT), "once", server, str(within_s), input=feed(questions), timeout=60 + 2 * within_s * len(questions))
	lines = done.stdout.split()
	assert len(lines) == len(questions), "%d questions, %d answers\n%s" % (len(questions), len(lines), done.stderr)
	return [None if line in ("lost", "refused") else bytes.fromhex(line) for line in lines]


class Steady:
	"""
	popen: subprocess.Popen in the pod's network. `queries` grows: (number of the question, sent_ns, taken_ns, answer), the answer
	"lost", "refused" or a key of `answers`: {number: (wire without ID, whether the ID was right)}. Use with `with`.
	"""

	def __init__(self, popen, server, rate, questions):
		self.questions = list(questions)
		self.queries, self.answers = [], {}
		self.skipped = None
		self._over = {}  # query -> when it was sent, of those that were overtaken by their followers' answers
		self._first = self._sent_ns = 0  # the first query that is under way, and when the one before it was sent
		self._process = popen(PYTHON, "-u", str(CLIENT), "steady", server, str(rate), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
		self._process.stdin.write(feed(self.questions))
		self._process.stdin.flush()
		self._thread = threading.Thread(target=self._read, daemon=True)
		self._thread.start()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		"""The client ends with its input, also where what popen made is but a way into its namespaces."""
		if not self._process.stdin.closed:
			self._process.stdin.close()
		try:
			self._process.wait(ENDS_WITHIN_S)
		except subprocess.TimeoutExpired:
			self._process.kill()
			self._process.wait()

	def _read(self):
		for line in self._process.stdout:
			kind, *words = line.split()
			if kind == "q":
				query, sent_ns, taken_ns = map(int, words[:3])
				self.queries.append((query % len(self.questions), sent_ns, taken_ns, words[3] if words[3] in ("lost", "refused") else int(words[3])))
				self._over[query] = sent_ns
				while self._first in self._over:
					self._sent_ns = self._over.pop(self._first)
					self._first += 1
			elif kind == "a":
				self.answers[int(words[0])] = (bytes.fromhex(words[-1]), len(words) == 2)
			else:
				self.skipped = int(words[0])

	def wait(self, count):
		"""Until so many more queries, all sent from now on, are over. Returns a time until which all that were sent are."""
		began_ns, at, found = time.monotonic_ns(), len(self.queries), 0

		def are_over():
			nonlocal at, found
			assert self._process.poll() is None, "the steady client ended"
			until = len(self.queries)
			found += sum(query[1] >= began_ns for query in self.queries[at:until])
			at = until
			return found >= count
		node.wait_until(are_over, "%d more queries of the steady client" % count, SEEN_WITHIN_S)
		ended_ns = time.monotonic_ns()
		node.wait_until(lambda: self._sent_ns >= ended_ns, "an end of those that are under way", SEEN_WITHIN_S)
		return ended_ns

	def stop(self):
		"""Asks no more, and has all answers then."""
		self._process.stdin.close()
		assert self._process.wait(ENDS_WITHIN_S) == 0
		self._thread.join(ENDS_WITHIN_S)
		assert self.skipped is not None, "the steady client has told all"
