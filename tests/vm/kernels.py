# SPDX-License-Identifier: Apache-2.0
"""
Kernels to test on: Debian's packages, fetched with the package sources that this machine is configured with, only their suite
replaced. Nothing is installed: apt works on lists of its own below the cache, where the packages stay.
"""

import lzma
import os
import re
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

# The oldest kernel that is supported, the one of Debian 12, and one that has tcx.
Wanted = namedtuple("Wanted", "version suite pattern hook")
WANTED = (
	Wanted("5.10", "bullseye", r"linux-image-5\.10\.0-[0-9]+-cloud-amd64", "clsact"),
	Wanted("6.1", "bookworm", r"linux-image-6\.1\.0-[0-9]+-cloud-amd64", "clsact"),
	Wanted("6.12", "trixie", r"linux-image-6\.12\.[0-9]+\+deb13-cloud-amd64", "tcx"),
)
APT_LIMIT_S = 300


class Unavailable(Exception):
	"""The package cannot be had; says why."""


def cache():
	return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodens" / "vm"


# ---- fetching ----


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
	for path in sorted(etc.glob("sources.list.d/*.sources")):
		for stanza in re.split(r"\n\s*\n", path.read_text()):
			stanza = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
			if re.search(r"^Suites:.*" + of_own.pattern, stanza, re.MULTILINE):
				stanzas.append(of_own.sub(suite, stanza))
	for path in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]:
		for line in path.read_text().splitlines() if path.exists() else ():
			if re.match(r"deb\s.*" + of_own.pattern, line):
				lines.append(of_own.sub(suite, line))
	if not stanzas and not lines:
		raise Unavailable("apt has no sources of Debian %s here" % codename())
	return "\n\n".join(stanzas) + "\n", "\n".join(lines) + "\n"


def prepare_apt(suite):
	"""A private state for apt; returns the options that name it."""
	state = cache() / "apt" / suite
	for folder in ("lists/partial", "archives/partial", "parts"):
		(state / folder).mkdir(parents=True, exist_ok=True)
	stanzas, lines = sources(suite)
	(state / "parts/debian.sources").write_text(stanzas)
	(state / "parts/debian.list").write_text(lines)
	settings = {"Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": state / "parts", "Dir::State::lists": state / "lists",
		    "Dir::Cache": state, "APT::Sandbox::User": "root", "Acquire::Retries": 2, "Acquire::Languages": "none"}
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


def number_of(name):
	return [int(x) for x in re.findall(r"[0-9]+", name)]


def fetch(wanted):
	"""The path of the package; from the cache if it is there (remove it there for a newer one)."""
	folder = cache() / wanted.version
	kept = sorted(folder.glob("*.deb"))
	if kept:
		return kept[-1]
	folder.mkdir(parents=True, exist_ok=True)
	options = prepare_apt(wanted.suite)
	apt("apt-get", *options, "-q", "update")
	names = apt("apt-cache", *options, "pkgnames", "linux-image-").split()
	names = sorted((x for x in names if re.fullmatch(wanted.pattern, x)), key=number_of)
	if not names:
		raise Unavailable("%s has no package like %s" % (wanted.suite, wanted.pattern))
	apt("apt-get", *options, "-q", "download", names[-1], cwd=state_folder(wanted.suite))
	found, = state_folder(wanted.suite).glob("%s_*.deb" % names[-1])
	package = found.rename(folder / found.name)
	shutil.rmtree(cache() / "apt" / wanted.suite)
	return package


def state_folder(suite):
	return cache() / "apt" / suite / "archives"


# ---- unpacking ----


class Kernel:
	"""An unpacked package."""

	def __init__(self, package, folder):
		self.package = package.name
		if not (folder / package.name).exists():
			subprocess.run(["rm", "-rf", folder], check=True)
			folder.mkdir(parents=True)
			subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
			(folder / package.name).touch()
		self.image, = folder.glob("boot/vmlinuz-*")
		self.modules = {path.name.split(".ko")[0].replace("-", "_"): path for path in folder.rglob("*.ko*")}

	def load_order(self, names):
		"""[(name, contents)] of the modules with what they depend on, in the order to load them. What the kernel has built in is
		no module."""
		done = {}
		for name in names:
			self._add(name, done)
		return list(done.items())

	def _add(self, name, done):
		if name in done or name not in self.modules:
			return
		path = self.modules[name]
		contents = lzma.open(path).read() if path.suffix == ".xz" else path.read_bytes()
		depends = re.search(rb"\0depends=([^\0]*)\0", contents)
		for other in depends[1].decode().split(",") if depends and depends[1] else ():
			self._add(other.replace("-", "_"), done)
		done[name] = contents
