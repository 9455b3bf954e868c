# SPDX-License-Identifier: Apache-2.0
"""
Packages of other Debian releases than this machine's, fetched with the package sources that it is configured with, only their
suite replaced. Nothing is installed: apt works on lists of its own below the cache, where the packages stay.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

APT_LIMIT_S = 300


class Unavailable(Exception):
	"""The package cannot be had; says why."""


def cache():
	return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodens"


def codename():
	match = re.search(r'^VERSION_CODENAME="?(\w+)', Path("/etc/os-release").read_text(), re.MULTILINE)
	if not match:
		raise Unavailable("/etc/os-release has no VERSION_CODENAME")
	return match[1]


def sources(suite):
	"""(deb822 text, one-line text): the configured entries of this machine's Debian suite, for another suite."""
	own = re.escape(codename())
	of_own = re.compile(r"(?<![\w-])%s(?=(-security|-updates)?(\s|$))" % own)
	etc = Path("/etc/apt")
	stanzas, lines = [], []
	# Unstable has neither updates nor security of its own.
	no_suite = re.compile(r"\bsid-(security|updates)\b")
	for path in sorted(etc.glob("sources.list.d/*.sources")):
		for stanza in re.split(r"\n\s*\n", path.read_text()):
			stanza = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
			if re.search(r"^Suites:.*" + of_own.pattern, stanza, re.MULTILINE):
				stanzas.append(no_suite.sub("", of_own.sub(suite, stanza)))
	for path in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]:
		for line in path.read_text().splitlines() if path.exists() else ():
			if re.match(r"deb\s.*" + of_own.pattern, line):
				lines.append(of_own.sub(suite, line))
	stanzas = [x for x in stanzas if re.search(r"^Suites:[ \t]*\S", x, re.MULTILINE)]
	lines = [x for x in lines if not no_suite.search(x)]
	if not stanzas and not lines:
		raise Unavailable("apt has no sources of Debian %s here" % codename())
	return "\n\n".join(stanzas) + "\n", "\n".join(lines) + "\n"


def prepare_apt(suite, state):
	"""A private state for apt in this folder; returns the options that name it."""
	for folder in ("lists/partial", "archives/partial", "parts"):
		(state / folder).mkdir(parents=True, exist_ok=True)
	stanzas, lines = sources(suite)
	(state / "parts/debian.sources").write_text(stanzas)
	(state / "parts/debian.list").write_text(lines)
	settings = {"Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": state / "parts", "Dir::State::lists": state / "lists",
		    "Dir::State::status": "/dev/null", "Dir::Cache": state, "APT::Update::Error-Mode": "any", "APT::Sandbox::User": "root",
		    "Acquire::Retries": 2, "Acquire::Languages": "none"}
	return [word for pair in settings.items() for word in ("-o", "%s=%s" % pair)]


def apt(command, *arguments, cwd=None):
	try:
		done = subprocess.run([command, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
				      timeout=APT_LIMIT_S, env={**os.environ, "LC_ALL": "C"})
	except (OSError, subprocess.TimeoutExpired) as e:
		raise Unavailable("%s: %s" % (command, e)) from None
	if done.returncode:
		raise Unavailable("%s: %s" % (command, " / ".join(done.stdout.strip().splitlines()[-3:])))
	return done.stdout


def numbers(name):
	return [int(x) for x in re.findall(r"[0-9]+", name)]


def fetch(suite, prefix, pattern, folder):
	"""The path of the suite's newest package whose name begins with prefix and matches pattern; kept in folder, from where it is taken
	if it is there (remove it for a newer one)."""
	kept = sorted(folder.glob("*.deb"))
	if kept:
		return kept[-1]
	folder.mkdir(parents=True, exist_ok=True)
	state = folder / "apt"
	options = prepare_apt(suite, state)
	apt("apt-get", *options, "-q", "update")
	names = sorted((x for x in apt("apt-cache", *options, "pkgnames", prefix).split() if re.fullmatch(pattern, x)), key=numbers)
	if not names:
		raise Unavailable("%s has no package like %s" % (suite, pattern))
	apt("apt-get", *options, "-q", "download", names[-1], cwd=state / "archives")
	found, = (state / "archives").glob("%s_*.deb" % names[-1])
	package = found.rename(folder / found.name)
	shutil.rmtree(state)
	return package
