#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Runs a command as a container runtime would run the agent: UID 0 with a bounding set of a few capabilities, no ambient ones,
no_new_privs, 8 MiB of locked memory, a read-only root, a runtime's default seccomp filter.

    confine.py PROFILE CAPABILITY,… COMMAND…      PROFILE: a seccomp.json as containers/common has it, "" : none
"""

import json
import os
import platform
import resource
import subprocess
import sys

CLONE_NEWNS = 0x00020000
MEMLOCK = 8 << 20
COMPARE = {"SCMP_CMP_NE": "NE", "SCMP_CMP_EQ": "EQ", "SCMP_CMP_LE": "LE", "SCMP_CMP_LT": "LT", "SCMP_CMP_GE": "GE", "SCMP_CMP_GT": "GT",
	   "SCMP_CMP_MASKED_EQ": "MASKED_EQ"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def applies(rule, capabilities):
	"""By capabilities and architecture, as the runtimes read `includes` and `excludes`."""
	arch = ARCHITECTURES.get(platform.machine(), platform.machine())
	includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
	if includes.get("caps") and not set(includes["caps"]) <= capabilities:
		return False
	if includes.get("arches") and arch not in includes["arches"]:
		return False
	return not (set(excludes.get("caps") or ()) & capabilities or arch in (excludes.get("arches") or ()))


def load_seccomp(path, capabilities):
	import seccomp  # python3-seccomp; only where a profile is asked for

	with open(path, encoding="utf-8") as f:
		profile = json.load(f)
	default = seccomp.ERRNO(profile.get("defaultErrnoRet", 1))
	actions = {"SCMP_ACT_ALLOW": lambda _: seccomp.ALLOW, "SCMP_ACT_ERRNO": lambda rule: seccomp.ERRNO(rule.get("errnoRet", 1))}
	rules = seccomp.SyscallFilter(default)
	for rule in profile["syscalls"]:
		action = actions[rule["action"]](rule)
		if not applies(rule, capabilities) or action == default:
			continue
		arguments = [seccomp.Arg(a["index"], getattr(seccomp, COMPARE[a["op"]]), a["value"], a.get("valueTwo", 0))
			     for a in rule.get("args") or ()]
		for name in rule["names"]:
			try:
				rules.add_rule(action, name, *arguments)
			except (RuntimeError, ValueError):
				continue  # a system call that this libseccomp or architecture has not
	rules.load()


def make_root_readonly():
	os_unshare = getattr(os, "unshare", None)
	if os_unshare:
		os_unshare(CLONE_NEWNS)
	else:  # Python < 3.12
		import ctypes

		if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
			raise OSError(ctypes.get_errno(), "unshare")
	for arguments in (["--make-rprivate", "/"], ["--bind", "/", "/"], ["-o", "remount,bind,ro", "/"]):
		subprocess.run(["mount", *arguments], check=True)
	os.chdir("/")


def main():
	profile, names, command = sys.argv[1], sys.argv[2], sys.argv[3:]
	capabilities = {x for x in names.split(",") if x}
	make_root_readonly()
	resource.setrlimit(resource.RLIMIT_MEMLOCK, (MEMLOCK, MEMLOCK))
	wanted = ",".join(["-all", *("+" + x.lower().removeprefix("cap_") for x in sorted(capabilities))])
	if profile:
		load_seccomp(profile, capabilities)
	os.execvp("setpriv", ["setpriv", "--no-new-privs", "--ambient-caps", "-all", "--inh-caps", "-all", "--bounding-set", wanted, *command])


if __name__ == "__main__":
	main()
