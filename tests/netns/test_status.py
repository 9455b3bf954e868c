#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 60 120
"""`nodens status --ready` beside what is really attached."""

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import node
import tap
from lab import OBJECTS

PODS = 40
ROUNDS = 3


def status(directory):
    """(exit code of --ready, interfaces attached)."""
    done = subprocess.run([node.binary(), "status", "--ready", "-o", "json", "--bpffs", str(directory)],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    interfaces = json.loads(done.stdout).get("interfaces", [])
    return done.returncode, sum(entry["hook"] != "none" for entry in interfaces)


class PolledNode(node.Node):
    """Waits as a readiness probe does, and notes what each poll saw."""

    def _spawn(self, notify_path):
        self.polls = [status(self.dir)]
        super()._spawn(notify_path)

    def _wait_ready(self, notify):
        deadline = time.monotonic() + node.READY_WITHIN_S
        while self.polls[-1][0] != 0:
            self.polls.append(status(self.dir))
            assert time.monotonic() < deadline, "not ready:\n" + self.log_text()


def check_full_disk(tap_, agent):
    """A truncated report must not look like a whole one."""
    for form in ("text", "json"):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([node.binary(), "status", "-o", form, "--bpffs", str(agent.dir)],
                                  stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        tap_.ok(done.returncode == 1 and "standard output: No space left" in done.stderr,
                "a full disk behind the standard output is an error (%s)" % form, done.stderr)


def main(tap_):
    node.enter_namespaces()
    for number in range(ROUNDS):
        with PolledNode(OBJECTS, mtus=range(1400, 1400 + PODS)) as agent:
            tap_.ok(agent.polls[0][0] != 0, "not ready before the agent has loaded anything (round %d)" % (number + 1))
            tap_.equal(agent.polls[-1], (0, PODS),
                       "ready is not said while interfaces are still to be attached (round %d)" % (number + 1))
            if number == 0:
                check_full_disk(tap_, agent)
            tap_.equal(status(agent.dir), (0, PODS), "all interfaces are attached (round %d)" % (number + 1))


if __name__ == "__main__":
    tap.run(main)
