# SPDX-License-Identifier: Apache-2.0
"""
Kernels to test on: Debian's packages, kept below the cache, and what is in them.
"""

import lzma
import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import debian

# The oldest kernel that is supported, those of Debian 12 and 13, and the newest that is packaged. Packages are named by what
# they begin with and a pattern for the rest; lately image and modules are two.
Wanted = namedtuple("Wanted", "version suite prefixes pattern")
WANTED = (
	Wanted("5.10", "bullseye", ("linux-image-",), r"5\.10\.0-[0-9]+-cloud-amd64"),
	Wanted("6.1", "bookworm", ("linux-image-",), r"6\.1\.0-[0-9]+-cloud-amd64"),
	Wanted("6.12", "trixie", ("linux-image-",), r"6\.12\.[0-9]+\+deb13-cloud-amd64"),
	Wanted("newest", "sid", ("linux-binary-", "linux-modules-"), r"[0-9]+\.[0-9]+(\.[0-9]+)?\+deb[0-9]+(\+[0-9]+)?-cloud-amd64"),
)


def fetch(wanted):
	"""The paths of the packages; from the cache if they are there (remove them there for newer ones)."""
	folder = debian.cache() / "vm" / wanted.version
	return [debian.fetch(wanted.suite, prefix, prefix + wanted.pattern, folder if len(wanted.prefixes) == 1 else folder / prefix.strip("-"))
		for prefix in wanted.prefixes]


# ---- unpacking ----


class Kernel:
	"""Unpacked packages."""

	def __init__(self, packages, folder):
		self.package = " ".join(package.name for package in packages)
		done = folder / ".done"
		if not done.exists() or done.read_text() != self.package:
			subprocess.run(["rm", "-rf", folder], check=True)
			folder.mkdir(parents=True)
			for package in packages:
				subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
			done.write_text(self.package)
		self.image, = [path for path in folder.rglob("vmlinuz*") if path.is_file() and not path.is_symlink()]
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
