# SPDX-License-Identifier: Apache-2.0
"""Container images without a registry: archives as `docker save` writes them, with one layer of files that are on this machine."""

import hashlib
import io
import json
import subprocess
import tarfile

TOOLS, COREDNS = "nodens.test/tools:1", "nodens.test/coredns:1"
# Waits to be ended, as the first process of a pod has to: it also reaps.
PAUSE = r"""
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signo) { (void)signo; _exit(0); }

int main(void)
{
	signal(SIGTERM, end);
	signal(SIGINT, end);
	for (;;) {
		while (waitpid(-1, 0, WNOHANG) > 0)
			;
		pause();
	}
}
"""


def build_pause(path):
	done = subprocess.run(["gcc", "-static", "-Os", "-s", "-x", "c", "-", "-o", str(path)], input=PAUSE, text=True, stdout=subprocess.PIPE,
		stderr=subprocess.STDOUT, check=False)
	assert done.returncode == 0, "the pause program: %s" % done.stdout


def _add(tar, name, data=None, link=None, mode=0o755):
	info = tarfile.TarInfo(name)
	info.mode = mode
	if link:
		info.type, info.linkname = tarfile.SYMTYPE, link
	elif data is None:
		info.type = tarfile.DIRTYPE
	else:
		info.size = len(data)
	tar.addfile(info, io.BytesIO(data) if data is not None else None)


def write(path, name, command, files, links=(), folders=()):
	"""files: {path in the image: path here}; links: {path: target}; folders: empty ones."""
	layer = io.BytesIO()
	with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as tar:
		for folder in folders:
			_add(tar, folder)
		for inside, outside in files.items():
			with open(outside, "rb") as f:
				_add(tar, inside, f.read())
		for inside, target in dict(links).items():
			_add(tar, inside, link=target, mode=0o777)
	content = layer.getvalue()
	config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Entrypoint": command},
		"rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(content).hexdigest()]}}).encode()
	manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
	with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
		for inside, data in (("layer.tar", content), ("config.json", config), ("manifest.json", manifest)):
			_add(tar, inside, data, mode=0o644)


def write_tools(path, scratch):
	"""The pause program, and the links that make programs of a /usr mounted from the node work."""
	build_pause(scratch / "pause")
	write(path, TOOLS, ["/pause"], {"pause": scratch / "pause"}, {name: "usr/" + name for name in ("bin", "sbin", "lib", "lib64")},
		("usr", "tmp", "etc", "proc", "sys", "dev", "run"))


def write_coredns(path, program):
	write(path, COREDNS, ["/coredns"], {"coredns": program}, folders=("etc", "proc", "sys", "dev"))
