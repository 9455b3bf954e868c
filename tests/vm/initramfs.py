# SPDX-License-Identifier: Apache-2.0
"""
A root file system for a guest, as the kernel takes it: a cpio archive ("newc"; several may follow one another). Not
compressed, as unpacking would be emulated.
"""

import os
import re
import stat
import subprocess
from pathlib import Path


class Initramfs:
	"""Collects files, then writes them. Parents of what is added come by themselves."""

	def __init__(self):
		self.entries = {}  # path in the guest: (mode, contents)

	def folder(self, path):
		path = str(path).strip("/")
		if path and path not in self.entries:
			self.folder(os.path.dirname(path))
			self.entries[path] = (stat.S_IFDIR | 0o755, b"")

	def file(self, path, contents, mode=0o755):
		path = str(path).strip("/")
		self.folder(os.path.dirname(path))
		self.entries[path] = (stat.S_IFREG | mode, contents)

	def link(self, path, target):
		path = str(path).strip("/")
		self.folder(os.path.dirname(path))
		self.entries[path] = (stat.S_IFLNK | 0o777, str(target).encode())

	def copy(self, source, path=None):
		"""A file as it is, links followed."""
		self.file(path or source, Path(source).read_bytes(), os.stat(source).st_mode & 0o777)

	def program(self, source, path=None):
		"""With its shared libraries, at the paths where it finds them."""
		self.copy(source, path)
		done = subprocess.run(["ldd", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
		for library in re.findall(r"(/\S+) \(0x", done.stdout):
			if library.strip("/") not in self.entries:
				self.copy(library)

	def tree(self, source, path=None, leave_out=()):
		"""A folder with all below; not the names in leave_out."""
		source = Path(source)
		base = Path(path or source)
		for folder, folders, files in os.walk(source):
			folders[:] = sorted(set(folders) - set(leave_out))
			for name in sorted(set(files) - set(leave_out)):
				self.copy(Path(folder, name), base / Path(folder, name).relative_to(source))

	def write(self, path):
		with open(path, "wb") as out:
			for number, (name, (mode, contents)) in enumerate(self.entries.items(), 1):
				out.write(header(number, mode, len(contents), name) + padded(contents))
			out.write(header(0, 0, 0, "TRAILER!!!"))


def padded(contents):
	return contents + bytes(-len(contents) % 4)


def header(inode, mode, size, name):
	"""newc: magic and 13 numbers of eight hexadecimal digits, the name with its zero; padded to four octets."""
	encoded = name.encode() + b"\0"
	numbers = (inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(encoded), 0)
	return padded(b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded)
