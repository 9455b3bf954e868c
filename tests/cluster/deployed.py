# SPDX-License-Identifier: Apache-2.0
"""The agent as the DaemonSet of deploy/kubernetes runs it on a real node, and what it tells there."""

import json
from pathlib import Path

import realnode

MANIFESTS = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
NAMESPACE, NAME = "kube-system", "nodens"
ROLLS_OUT_WITHIN_S = 90
BPFFS = "/sys/fs/bpf"
LISTS = ("prog", "map", "link")


class Deployed:
	def __init__(self, node):
		assert realnode.agent_image(), "the agent's image is not there (make image)"
		self.node = node

	def kubectl(self, *arguments, **options):
		return self.node.kubectl("--namespace", NAMESPACE, *arguments, **options)

	# ---- as docs/deploy.md has it ----

	def apply(self):
		self.node.kubectl("apply", "--server-side", "-k", str(MANIFESTS))

	def wait(self, name=NAME):
		self.kubectl("rollout", "status", "daemonset/" + name, "--timeout=%ds" % ROLLS_OUT_WITHIN_S)

	def change_template(self, number):
		"""Any change of the pods' template rolls out."""
		patch = {"spec": {"template": {"metadata": {"annotations": {"test/number": str(number)}}}}}
		self.kubectl("patch", "daemonset/" + NAME, "--type=merge", "--patch", json.dumps(patch))

	def delete(self):
		"""Back when its pods are gone, not only the DaemonSet: the removal waits for them."""
		self.node.kubectl("delete", "--cascade=foreground", "-k", str(MANIFESTS))

	def remove(self):
		self.node.kubectl("apply", "--server-side", "-k", str(MANIFESTS / "remove"))
		self.wait("nodens-remove")
		self.node.kubectl("delete", "-k", str(MANIFESTS / "remove"))

	def pod(self):
		"""The agent's pod: the one that is not on its way out; None."""
		pods = [pod for pod in self.node.api.list("Pod", NAMESPACE) if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") == NAME]
		return next((pod for pod in pods if "deletionTimestamp" not in pod["metadata"]), None)

	def uid_of_ready(self):
		"""None where no pod of it is ready."""
		pod = self.pod()
		conditions = {item["type"]: item["status"] for item in pod["status"].get("conditions", ())} if pod else {}
		return pod["metadata"]["uid"] if conditions.get("Ready") == "True" else None

	def delete_pod(self, *arguments):
		self.kubectl("delete", "pod", self.pod()["metadata"]["name"], "--wait=false", *arguments)

	# ---- what it tells ----

	def nodens(self, *arguments, check=True):
		"""In the agent's container."""
		return self.kubectl("exec", "daemonset/" + NAME, "--", "nodens", *arguments, check=check)

	def status(self):
		return json.loads(self.nodens("status", "-o", "json"))

	def verdicts(self):
		return self.status()["verdicts"]

	def log(self):
		return self.kubectl("logs", "daemonset/" + NAME, "--tail=40", check=False)

	# ---- what is of it on the node ----

	def ids(self):
		"""{(kind, id)} of programs, maps and links that are pinned below its folder: listed by bpftool with their pins."""
		found = set()
		for kind in LISTS:
			for entry in json.loads(self.node.run("bpftool", "-j", "--bpffs", kind, "show").stdout):
				if any(path.startswith(BPFFS + "/nodens") for path in entry.get("pinned", ())):
					found.add((kind, entry["id"]))
		return found

	def listed(self):
		"""{(kind, id)} of all in the kernel."""
		return {(kind, entry["id"]) for kind in LISTS for entry in json.loads(self.node.run("bpftool", "-j", kind, "show").stdout)}

	def filters(self):
		"""What tc says of the hooks of every interface."""
		names = [link["ifname"] for link in json.loads(self.node.run("ip", "-json", "link", "show").stdout)]
		shown = {name: self.node.run("tc", "filter", "show", "dev", name, "ingress", check=False).stdout.strip() for name in names}
		return {name: text for name, text in shown.items() if text}

	def paths(self):
		"""Of the bpffs, but the kernel's own files."""
		return self.node.run("find", BPFFS, "-mindepth", "1", "!", "-name", "*.debug", check=False).stdout.split()
