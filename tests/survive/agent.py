# SPDX-License-Identifier: Apache-2.0
"""
An agent that is killed, stopped, upgraded, with one pod under load; and the history of its objects: which version may
still be answered, by what has become of the agent.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import load
import node
import packet
import podnet

STALE_AFTER_S = 1.0
# The deadline is in jiffies and read by ticks.
STALE_SLACK_S = 0.1
# From a change under a running agent until nobody is told the old state any more. Usually some milliseconds (the rounds tell);
# a kernel that is busy with others may keep the agent waiting (locks of the network, grace periods).
RUNNING_S = 2.0
# From the agent's start until that.
START_S = 2.0
# Between looks of an agent that waits for the lock.
LOCK_S = 1.0
SIGTERM_WITHIN_S = 1.0


def other(name):
	"""An agent of mk/survive.mk."""
	return str(node.ROOT / load.BUILD / "survive" / name)


OTHER_LAYOUT = other("layout/nodens")


class Agent(node.Node):
	"""One pod; any build of the agent, also one whose maps this test cannot read."""

	def __init__(self, objects, arguments=(), binary=None, stale_after_s=STALE_AFTER_S):
		super().__init__(objects, ["--stale-after", "%dms" % (stale_after_s * 1000), *arguments])
		self.binary = binary or node.binary()
		self.environment = {}
		self.prepare = None  # called in the agent's process before it begins

	def __enter__(self):
		podnet.skip_dad("default")
		super().__enter__()
		try:
			self.pod = self.pods[1500]
			podnet.configure(self.pod)
		except BaseException:
			self.__exit__()
			raise
		return self

	def __exit__(self, *arguments):
		podnet.run("ip address flush dev lo scope global", check=False)
		super().__exit__(*arguments)

	def command(self):
		return [self.binary, "run", "--source", "file:%s" % self.file, "--server", packet.SERVER4, "--interface", "pods",
			*self.arguments, "--bpffs", str(self.dir)]

	def _prepare(self):
		"""The times that are checked are the agent's, not those of what keeps the CPUs busy."""
		node.before_others()
		if self.prepare:
			self.prepare()

	def spawn(self, stderr=None):
		"""Without waiting for anything."""
		self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log if stderr is None else stderr, preexec_fn=self._prepare,
						env={**os.environ, **self.environment})
		return self.process

	def _spawn(self, notify_path):
		self.environment = {"NOTIFY_SOCKET": notify_path}
		self.spawn()
		self.environment = {}

	def _open(self):
		"""Nothing: the maps may be of another layout."""

	def start(self):
		"""Until it says that it is ready."""
		self._run()

	def terminate(self):
		"""Seconds until it has ended."""
		code, took_s = node.end_before_others(self.process)
		assert code == 0, "SIGTERM: exit %s\n%s" % (code, self.log_text())
		return took_s

	def thaw(self):
		self.process.send_signal(signal.SIGCONT)

	def log_text(self):
		"""Without moving the agent's own place in it."""
		return self.log_from(0)

	def log_length(self):
		return os.fstat(self.log.fileno()).st_size

	def log_from(self, begin):
		return os.pread(self.log.fileno(), 1 << 24, begin).decode(errors="replace")

	@staticmethod
	def scratch_path():
		return node.Node.scratch.path

	def names(self):
		"""Everything of ours in the folder, but what a generation holds."""
		return sorted(str(path.relative_to(self.dir)) for path in [*self.dir.iterdir(), *(self.dir / "links").iterdir()])


class History:
	"""
	Writes versions of the objects and keeps the load's book of what may be answered:

	- an agent that runs has RUNNING_S for a change, one that was just started START_S from its start;
	- one that is gone or stands still is allowed what it had until its deadline, then nothing at all;
	- one that comes back in time has as long as one that was started, one that comes back late may not say what it knew.
	"""

	def __init__(self, agent, load_, write=None, running_s=RUNNING_S):
		self.agent, self.load = agent, load_
		self.write, self.running_s = write or agent.write, running_s
		self.version = 1
		self.round = 0
		self.started = load.now()
		self.gone = None  # since when the agent does not run

	def change(self):
		old, self.version = self.version, self.version + 1
		self.load.set_version(self.version, "begin_ns", load.now())
		self.write(self.load.shape.objects(self.version))
		replaced = load.now()
		self.load.set_version(old, "replaced_ns", replaced)
		self._forbid(old, self._when_forbidden(replaced))

	def _when_forbidden(self, replaced):
		if self.gone:
			return self._deadline()
		return max(replaced + self.running_s * 1e9, self.started + START_S * 1e9)

	def change_unseen(self):
		"""Something is true that is not written yet."""
		write, self.write = self.write, lambda objects: None
		self.change()
		self.write = write

	def stopped(self):
		"""Now, and not before, the agent is known to do nothing any more."""
		self.gone = load.now()
		for version in self._open_versions():
			self._forbid(version, self._deadline())
		self.load.set_round(self.round, "silent_from_ns", self._deadline())
		self.load.set_round(self.round, "silent_until_ns", 0)

	def starts(self, after_s=0.0):
		"""The next moment it is started, or free to go on after that time."""
		self.started = load.now() + int(after_s * 1e9)
		self._comes_back(self.started + START_S * 1e9)

	def goes_on(self):
		"""The next moment it is let go on after a stop."""
		is_late = load.now() > self._deadline()
		self._comes_back(self._deadline() if is_late else load.now() + self.running_s * 1e9, is_late)

	def _comes_back(self, forbidden, is_late=True):
		for version in self._open_versions():
			self._forbid(version, min(forbidden, self._deadline()) if is_late else forbidden)
		self.load.set_round(self.round, "silent_until_ns", load.now())
		self.gone = None

	def _deadline(self):
		return self.gone + (STALE_AFTER_S + STALE_SLACK_S) * 1e9

	def _open_versions(self):
		"""Old ones that may still be answered."""
		now, version = load.now(), self.version - 1
		while version > 0 and self.load.version(version, "forbidden_ns") > now:
			yield version
			version -= 1

	def _forbid(self, version, when):
		self.load.set_version(version, "forbidden_ns", when)
