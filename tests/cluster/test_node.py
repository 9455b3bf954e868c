#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600 600
# alone
"""
The real node itself, in each of its modes (kube-proxy by iptables and nftables, routed pods and a bridge): it comes up, CoreDNS answers pods, the DaemonSet of
deploy/kubernetes becomes ready as it is, pods resolve through it; its parts may end and come back; and when it ends nothing of it is left on the machine.
"""

import itertools
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import realnode  # knows where tests/lib is
import nodebox
import node
import nodeconfig
import shell
import tap

RESTARTED = ("kubelet", "containerd", "kube-proxy", "kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler")
BPFFS = "/sys/fs/bpf/nodens"
NAME, EXTERNAL = "kubernetes.default.svc.cluster.local", "www.external.test"


def dig(running, name, pod="tools"):
	return running.pod_run("default", pod, "dig", "+short", "+tries=1", "+time=10", "@" + running.dns_ip, name, check=False).stdout.split()


def check_resolves(t, running, who):
	t.equal(dig(running, NAME), ["10.96.0.1"], "%s answers a pod's dig" % who)
	t.equal(dig(running, EXTERNAL), [nodeconfig.EXTERNAL_ADDRESS], "a pod gets an external name")
	out = running.kubectl("exec", "tools", "--", "getent", "ahostsv4", "kubernetes").split()
	t.ok(out and out[0] == "10.96.0.1", "a program in the pod finds the name by its search list", out)


def answered(running):
	status = json.loads(running.kubectl("-n", "kube-system", "exec", "daemonset/nodens", "--", "nodens", "status", "-o", "json"))
	return status["verdicts"]["answered"]


def check_daemonset(t, running):
	running.kubectl("apply", "--server-side", "-k", str(shell.MANIFESTS))
	running.wait_ready("kube-system", "daemonset/nodens")
	pod = running.kubectl("-n", "kube-system", "get", "pods", "-l", "app.kubernetes.io/name=nodens", "-o", "json")
	state, = json.loads(pod)["items"][0]["status"]["containerStatuses"]
	t.ok(state["ready"] and not state["restartCount"], "the DaemonSet's pod is ready and was not started again", state)
	before = answered(running)
	check_resolves(t, running, "the agent")
	t.ok(answered(running) >= before + 2, "its counter moved: pods are answered in the kernel")


def check_restarts(t, running):
	for number, part in enumerate(RESTARTED):
		with t.case("%s ends and comes back: a pod made afterwards runs and resolves" % part):
			running.restart_part(part)
			name = "after-%d" % number
			running.wait(lambda name=name: running.api.create(shell.tools_pod(name)), "the pod is created")
			running.wait_ready("default", "pod/" + name)
			# A kubelet that starts takes every pod for unready until it has probed it: CoreDNS leaves its Service for a moment. And a
			# new pod's questions go there until the agent is on its interface.
			running.wait(lambda name=name: dig(running, NAME, name) == ["10.96.0.1"], "a name of the cluster")
			running.wait(lambda name=name: dig(running, EXTERNAL, name) == [nodeconfig.EXTERNAL_ADDRESS], "an external name")


def programs(running):
	"""Ids of the BPF programs that hang in the node's bpffs."""
	files = running.run("find", BPFFS, "-type", "f").stdout.split()
	shown = (running.run("bpftool", "-j", "prog", "show", "pinned", path, check=False) for path in files)
	return sorted({json.loads(done.stdout)["id"] for done in shown if done.returncode == 0})


def existing(ids):
	"""Those of the programs that the kernel still has; it frees them a moment after the last reference is gone."""
	return [number for number in ids if not node.subprocess.run(["bpftool", "prog", "show", "id", str(number)], stdout=-3, stderr=-3, check=False).returncode]


def check_mode(t, proxy_mode, cni, also=()):
	began = time.monotonic()
	with realnode.RealNode(proxy_mode, cni) as running:
		t.note("%s, %s: %.1f s to CoreDNS ready" % (proxy_mode, cni, time.monotonic() - began))
		running.create_pod(shell.tools_pod())
		running.wait_ready("default", "pod/tools")
		check_resolves(t, running, "CoreDNS")
		check_daemonset(t, running)
		for check in also:
			check(t, running)
		box, ids = running.box, programs(running)
		t.ok(existing(ids) == ids != [], "its BPF programs are seen from outside", ids)
		t.none_of([kind for kind, found in nodebox.traces(box.name, box.namespaces).items() if not found], "so is everything else of it")
	left = nodebox.traces(box.name, box.namespaces)
	t.none_of(["%s: %s" % item for item in left.items() if item[1]], "when it ended nothing of it is left")
	with t.case("nor its BPF programs"):
		node.wait_until(lambda: not existing(ids), "programs %s are gone" % ids)


def main(t):
	if not realnode.parts_or_skip(t):
		return
	assert realnode.agent_image(), "the agent's image is not there: make image"
	for proxy_mode, cni in itertools.product(realnode.PROXY_MODES, realnode.CNIS):
		with t.case("a node with %s and %s" % (proxy_mode, cni)):
			check_mode(t, proxy_mode, cni, [check_restarts] if (proxy_mode, cni) == ("nftables", "ptp") else [])


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
