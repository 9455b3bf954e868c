#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A shell on a real node with the agent as a DaemonSet and a pod "tools"; ends with all of it. Arguments: proxy mode and CNI plugin."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import nodebox
import realnode  # knows where tests/lib is
import images
import node
import tap

MANIFESTS = node.ROOT / "deploy" / "kubernetes"
HELLO = """
kubectl, ctr, bpftool, nodens' pins below /sys/fs/bpf/nodens; outputs of the parts in %s
in the pod's network: nsenter --net=%s dig @10.96.0.10 kubernetes.default.svc.cluster.local
in the pod: kubectl exec -it tools -- bash"""


def tools_pod(name="tools", namespace="default"):
	"""A pod that has the node's programs."""
	return {"kind": "Pod", "metadata": {"namespace": namespace, "name": name}, "spec": {"terminationGracePeriodSeconds": 1,
		"containers": [{"name": "tools", "image": images.TOOLS, "volumeMounts": [{"name": "usr", "mountPath": "/usr", "readOnly": True}]}],
		"volumes": [{"name": "usr", "hostPath": {"path": "/usr"}}]}}


def main():
	if not realnode.parts_or_skip(tap.Tap()):
		return
	with realnode.RealNode(*sys.argv[1:3]) as running:
		running.create_pod(tools_pod())
		if realnode.agent_image():
			running.kubectl("apply", "--server-side", "-k", str(MANIFESTS))
			running.wait_ready("kube-system", "daemonset/nodens")
		else:
			print("without the agent: its image is not there (make image)")
		running.wait_ready("default", "pod/tools")
		print(HELLO % (running.folder, running.net_path("default", "tools").split("/root", 1)[1]))
		environment = {**nodebox.ENVIRONMENT, "KUBECONFIG": running.kubeconfigs["admin"], "TERM": "linux"}
		subprocess.run(running.box.command("bash"), env=environment, check=False)


if __name__ == "__main__":
	node.enter_namespaces()
	main()
