#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Builds the real parts of a cluster that tests run: etcd, CoreDNS, the Kubernetes programs, containerd. Versions are pinned by the go.mod
and go.sum of the folders in tests/kube/real; the ordinary Go client fetches and compiles them once, into a cache outside
the tree ($NODENS_CACHE, else ~/.cache/nodens).

    tests/kube/build_parts.py [GROUP…]     control (default), node; prints "NAME PATH" for each program

Exit 0: all there. 1: a build failed. 3: no Go, or one older than GO_LEAST, which counts as none.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).resolve().parent / "real"
GO_LEAST = (1, 26)
GO_PLACES = ("/usr/local/go/bin", "/usr/lib/go/bin")
EXIT_NO_GO = 3

KUBERNETES = "v1.35.4"
# Without these a program built outside its own tree calls itself v0.0.0, and clients believe it.
KUBERNETES_LDFLAGS = " ".join("-X k8s.io/%s/version.%s=%s" % (package, name, value)
	for package in ("component-base", "client-go/pkg")
	for name, value in (("gitVersion", KUBERNETES), ("gitMajor", KUBERNETES[1:].split(".")[0]), ("gitMinor", KUBERNETES.split(".")[1])))


@dataclass(frozen=True)
class Part:
	name: str     # of the program
	module: str   # folder in tests/kube/real
	package: str  # its main package
	group: str
	ldflags: str = ""  # equal for all parts of a module, as are tags
	tags: str = ""


def kubernetes(name, group):
	return Part(name, "kubernetes", "k8s.io/kubernetes/cmd/" + name, group, KUBERNETES_LDFLAGS)


def containerd(name):
	return Part(name, "containerd", "github.com/containerd/containerd/v2/cmd/" + name, "node", tags="no_btrfs,no_devmapper,no_rdt,no_systemd,no_tracing,no_zfs")


PARTS = (
	Part("etcd", "etcd", "go.etcd.io/etcd/server/v3", "control"),
	Part("coredns", "coredns", "github.com/coredns/coredns", "control"),
	kubernetes("kube-apiserver", "control"),
	kubernetes("kube-controller-manager", "control"),
	kubernetes("kubectl", "control"),
	kubernetes("kubelet", "node"),
	kubernetes("kube-scheduler", "node"),
	kubernetes("kube-proxy", "node"),
	containerd("containerd"),
	containerd("containerd-shim-runc-v2"),
	containerd("ctr"),
)
GROUPS = tuple(dict.fromkeys(part.group for part in PARTS))


class NoGo(Exception):
	"""Go is missing or too old."""


class BuildFailed(Exception):
	pass


def find_go():
	"""(path of a go command that is new enough, its version as "go1.26.8"). NoGo says what was found instead."""
	places = (shutil.which("go"), *(shutil.which("go", path=place) for place in GO_PLACES))
	found = {}
	for path in dict.fromkeys(filter(None, places)):
		found[path] = subprocess.run([path, "env", "GOVERSION"], env=_environment(), stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
		numbers = re.match(r"go(\d+)\.(\d+)", found[path])
		if numbers and tuple(map(int, numbers.groups())) >= GO_LEAST:
			return path, found[path]
	if not found:
		raise NoGo("Go is not installed")
	raise NoGo("%s, and %d.%d is needed" % (" and ".join("%s is %s" % item for item in found.items()), *GO_LEAST))


def _environment():
	# The toolchain that is there, not one that it would fetch; no workspace around the tree.
	return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def cache_dir():
	return Path(os.environ.get("NODENS_CACHE") or Path.home() / ".cache" / "nodens") / "kube"


def _place(part, go_version):
	"""Where a part is kept: named by all that decides what it is."""
	folder = MODULES / part.module
	digest = hashlib.sha256()
	for text in (go_version, part.ldflags + part.tags, (folder / "go.mod").read_text(), (folder / "go.sum").read_text()):
		digest.update(text.encode() + b"\0")
	return cache_dir() / ("%s-%s-%s" % (part.module, go_version, digest.hexdigest()[:12])) / part.name


def _default_name(package):
	"""What `go build` calls a program in a folder of several."""
	elements = package.split("/")
	return elements[-2] if re.fullmatch(r"v\d+", elements[-1]) else elements[-1]


def _build(go, module, parts, aside):
	command = [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags", parts[0].tags,
		"-ldflags", ("-s -w " + parts[0].ldflags).strip(), "-o", str(aside) + "/",
		*(part.package for part in parts)]
	done = subprocess.run(command, cwd=MODULES / module, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
	if done.returncode:
		raise BuildFailed("%s: go build failed:\n%s" % (module, done.stdout))


def _build_missing(go, places, say):
	missing = {}
	for part, place in places.items():
		if not place.exists():
			missing.setdefault(part.module, []).append(part)
	for module, parts in missing.items():
		began = time.monotonic()
		say("build: %s (once; minutes)" % ", ".join(part.name for part in parts))
		aside = Path(tempfile.mkdtemp(prefix=".building-", dir=cache_dir()))
		try:
			_build(go, module, parts, aside)
			for part in parts:
				places[part].parent.mkdir(exist_ok=True)
				os.rename(aside / _default_name(part.package), places[part])
		finally:
			shutil.rmtree(aside, ignore_errors=True)
		say("build: %s took %.0f s" % (module, time.monotonic() - began))


def build(groups=("control",), say=lambda text: print(text, file=sys.stderr, flush=True)):
	"""{name: path} of the groups' programs, built where they are not there yet. One run at a time builds, others wait."""
	go, version = find_go()
	places = {part: _place(part, version) for part in PARTS if part.group in groups}
	if not all(place.exists() for place in places.values()):
		cache_dir().mkdir(parents=True, exist_ok=True)
		with open(cache_dir() / ".lock", "w", encoding="ascii") as lock:
			fcntl.flock(lock, fcntl.LOCK_EX)
			for left in cache_dir().glob(".building-*"):  # of a run that was killed: no other can be at work
				shutil.rmtree(left, ignore_errors=True)
			_build_missing(go, places, say)
	return {part.name: str(place) for part, place in places.items()}


def main():
	groups = sys.argv[1:] or ["control"]
	if not set(groups) <= set(GROUPS):
		print("usage: tests/kube/build_parts.py [%s]…" % "|".join(GROUPS), file=sys.stderr)
		return 2
	try:
		for name, path in build(groups).items():
			print(name, path)
	except NoGo as e:
		print("the real parts of a cluster cannot be built: %s; tests that need them are skipped" % e, file=sys.stderr)
		return EXIT_NO_GO
	except BuildFailed as e:
		print(e, file=sys.stderr)
		return 1
	return 0


if __name__ == "__main__":
	sys.exit(main())
