# SPDX-License-Identifier: Apache-2.0
"""
A whole Kubernetes of one node, all parts real: etcd, API server, controllers, scheduler, kubelet, containerd, CNI plugins,
kube-proxy, and CoreDNS in a pod behind its Service. It lives in namespaces of its own (nodebox.py) and ends with the block:

    with RealNode("nftables", "bridge") as node:
        node.kubectl("get", "pods", "-A")

Call node.enter_namespaces() of tests/lib first. KEEP=1 in the environment: a block in which something failed waits at
its end and tells how to enter.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "kube"), str(ROOT / "tests" / "cluster")]

import build_parts
import dns.message
import dns.query
import images
import node
import nodebox
import nodeconfig
import podnet
import realkube
from kubeapi import ApiError

GROUPS = ("control", "node")
PROXY_MODES, CNIS = ("iptables", "nftables"), ("ptp", "bridge")
PORTS = {"kube-controller-manager": 10257, "kube-scheduler": 10259, "kubelet": 10248, "kube-proxy": 10256}
PARTS = ("etcd", "containerd", "kube-apiserver", "resolver", *PORTS)
READY_WITHIN_S = 120
IDENTITIES = {**realkube.IDENTITIES, "scheduler": ("system:kube-scheduler", "system:masters"), "kubelet": ("system:node:node-1", "system:masters"),
	"proxy": ("system:kube-proxy", "system:masters")}
SANDBOXES = "run/containerd/io.containerd.runtime.v2.task/k8s.io"


def parts_or_skip(tap):
	"""{name: path} of the real programs; None after a skip where Go is missing. A machine that has Go and cannot run a node fails."""
	RealNode.tap = tap
	parts = realkube.parts_or_skip(tap, GROUPS)
	why = nodebox.why_not()
	assert not parts or not why, why
	missing = [path for path in (nodeconfig.RUNTIME, nodeconfig.CNI_PLUGINS + "/ptp") if not os.path.exists(path)]
	assert not parts or not missing, "%s: not there (tests/packages.sh cluster)" % ", ".join(missing)
	return parts


def agent_image():
	"""The archive of the agent's own image (deploy/build-image.sh), or None."""
	path = ROOT / os.environ.get("BUILD", "build") / "image" / "nodens.tar"
	return path if path.exists() else None


class RealNode(realkube.World):
	"""Every part is in `processes` by its name in PARTS, its output in log_of(part). folder: where outputs and kubeconfigs are."""

	identities = IDENTITIES
	server_flags = ("--kubelet-preferred-address-types=InternalIP", "--allow-privileged=true")
	dns_ip = nodeconfig.DNS_IP
	tap = None  # whose failed results keep a node, if asked to

	def __init__(self, proxy_mode="iptables", cni="ptp", folder=None):
		super().__init__(build_parts.build(GROUPS))
		assert proxy_mode in PROXY_MODES and cni in CNIS, (proxy_mode, cni)
		self.proxy_mode, self.cni = proxy_mode, cni
		self.folder = Path(folder) if folder else self.folder
		self.box = self.outside = None
		self._failed_before = self.tap.failed if self.tap else 0

	# ---- start and end ----

	def __exit__(self, kind, error, trace):
		is_wanted = not kind or not issubclass(kind, (KeyboardInterrupt, SystemExit))
		has_failed = kind or self.tap and self.tap.failed > self._failed_before
		if os.environ.get("KEEP") == "1" and self.box and is_wanted and has_failed:
			self._keep(error or "a result above")
		if self.api:
			self.api.close()
		if self.box:
			self.box.close()
		if self.outside:
			self.outside.kill()
			self.outside.wait()
		self.processes.clear()
		shutil.rmtree(self.folder, ignore_errors=True)

	def __enter__(self):
		try:
			self._start()
		except BaseException:
			self.__exit__(*sys.exc_info())
			raise
		return self

	def _keep(self, error):
		print("# kept: %s\n# enter it: nsenter --all --target %d --wdns=/ bash\n# outputs and kubeconfigs, there: %s\n# Ctrl-C here ends it" %
			(error, self.box.pid, self.folder), flush=True)
		try:
			while True:
				time.sleep(3600)
		except KeyboardInterrupt:
			pass

	def _start(self):
		self._write_credentials()
		self.box = nodebox.Box(realkube.NODE_NAME, [(self.folder, True), (build_parts.cache_dir(), False), (node.ROOT, False)])
		self._connect_network()
		self._write_files()
		for name in ("etcd", "containerd", "resolver"):
			self._spawn_part(name)
		self.spawn_api_server()
		imports = self._begin_imports()
		self.wait_for_part("kube-apiserver", self._is_ready)
		self.api = self.client("admin")
		for path, process in imports:
			self._end_import(path, process)
		for name in PORTS:
			self._spawn_part(name)
		self._create_first()
		agent = agent_image()
		last = [(agent, self._begin_import(agent))] if agent else []
		self._wait_serves()
		for path, process in last:
			self._end_import(path, process)

	def _connect_network(self):
		"""eth0 with the default route, as on any node; nobody answers behind it."""
		self.outside = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=node._die_with_parent)
		own = os.readlink("/proc/self/ns/net")
		node.wait_until(lambda: os.readlink("/proc/%d/ns/net" % self.outside.pid) != own, "a network outside of the node")
		podnet.run("ip link add eth0 netns %d type veth peer name node netns %d" % (self.box.pid, self.outside.pid))
		for line in ("ip address add %s/24 dev node" % nodeconfig.GATEWAY, "ip link set node up", "ip link set lo up"):
			podnet.run("nsenter", "--target", self.outside.pid, "--net", *line.split())
		for line in ("ip address add %s/24 dev eth0" % realkube.NODE_ADDRESS, "ip link set eth0 up", "ip route add default via " + nodeconfig.GATEWAY,
			"sysctl -q -w net.ipv4.ip_forward=1"):
			self.run(*line.split())

	def _write_files(self):
		files = {
			"etc/resolv.conf": "nameserver %s\n" % realkube.NODE_ADDRESS,
			"etc/hosts": "127.0.0.1 localhost\n%s %s\n" % (realkube.NODE_ADDRESS, realkube.NODE_NAME),
			"etc/cni/net.d/10-pods.conflist": nodeconfig.cni(self.cni),
			"etc/kubernetes/containerd.toml": nodeconfig.containerd(),
			"etc/kubernetes/kubelet.json": nodeconfig.kubelet(),
			"etc/kubernetes/kube-proxy.json": nodeconfig.kube_proxy(self.proxy_mode, self.kubeconfigs["proxy"]),
			"etc/kubernetes/resolver": nodeconfig.resolver(),
		}
		for name, text in files.items():
			path = self.box.root / name
			if path.is_symlink():
				path.unlink()
			path.write_text(text)
		programs = self.box.root / "usr/local/bin"
		for name, path in self.parts.items():
			(programs / name).unlink(missing_ok=True)
			(programs / name).symlink_to(path)

	def _begin_imports(self):
		"""[(archive, process)] of what the first pods need: they end while the API server starts."""
		tools, coredns = self.folder / "tools.tar", self.folder / "coredns.tar"
		images.write_tools(tools, self.folder)
		images.write_coredns(coredns, self.parts["coredns"])
		self.wait_for_part("containerd", lambda: self._is_up("containerd"))
		return [(path, self._begin_import(path)) for path in (tools, coredns)]

	def _begin_import(self, path):
		with open(path, "rb") as archive:
			return self.popen("ctr", "-n", "k8s.io", "images", "import", "-", stdin=archive, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

	def _end_import(self, path, process):
		out, _ = process.communicate(timeout=READY_WITHIN_S)
		assert process.returncode == 0, "import of %s: %s" % (path, out)

	def import_image(self, tar_path):
		self._end_import(tar_path, self._begin_import(tar_path))

	def _create_first(self):
		self.api.create_all(nodeconfig.cluster_dns())

	def _wait_serves(self):
		self.wait_ready(None, "node/" + realkube.NODE_NAME, READY_WITHIN_S)
		self.wait_ready("kube-system", "deployment/coredns", READY_WITHIN_S)
		self.wait(self._resolves, "an answer from %s" % self.dns_ip, READY_WITHIN_S)

	def _resolves(self):
		query = dns.message.make_query("kubernetes.default.svc.cluster.local", "A")
		try:
			with podnet.inside_net(self.net_path()):
				return bool(dns.query.udp(query, self.dns_ip, timeout=0.2).answer)
		except (dns.exception.Timeout, OSError):
			return False

	# ---- inside ----

	def net_path(self, namespace=None, pod=None):
		"""Of the network namespace of the node, or of a pod."""
		if pod is None:
			return "/proc/%d/ns/net" % self.box.pid
		return str(self.box.root / self._pod_net(namespace, pod).lstrip("/"))

	def connect(self, address, timeout=None, source_address=None):  # for the API's client
		with podnet.inside_net(self.net_path()):
			return socket.create_connection(address, timeout, source_address)

	def run(self, *argv, **kw):
		"""A program of the node to its end: check, input, timeout as subprocess.run has them."""
		return self.box.run(*argv, **kw)

	def popen(self, *argv, **kw):
		return self.box.popen(*argv, **kw)

	def kubectl(self, *argv, input=None, check=True):  # pylint: disable=redefined-builtin
		command = ("kubectl", "--kubeconfig", self.kubeconfigs["admin"], "--cache-dir=/tmp/kubectl", *argv)
		return self.run(*command, input=input, check=check, timeout=READY_WITHIN_S).stdout

	def _pod_net(self, namespace, pod):
		"""Where the runtime holds the pod's network namespace, by the API's uid: an older pod of the name may not be gone yet."""
		uid = self.api.get({"kind": "Pod", "metadata": {"namespace": namespace, "name": pod}})["metadata"]["uid"]
		for path in (self.box.root / SANDBOXES).glob("*/config.json"):
			try:
				spec = json.loads(path.read_text())
			except (OSError, ValueError):
				continue  # one that comes or goes
			notes = spec.get("annotations", {})
			if notes.get("io.kubernetes.cri.sandbox-uid") == uid and notes.get("io.kubernetes.cri.container-type") == "sandbox":
				return next(x["path"] for x in spec["linux"]["namespaces"] if x["type"] == "network")
		raise AssertionError("no sandbox of the pod %s/%s" % (namespace, pod))

	def pod_run(self, namespace, pod, *argv, **kw):
		"""The node's own programs in the network namespace of a pod."""
		return self.run("nsenter", "--net=" + self._pod_net(namespace, pod), *argv, **kw)

	def pod_popen(self, namespace, pod, *argv, **kw):
		return self.popen("nsenter", "--net=" + self._pod_net(namespace, pod), *argv, **kw)

	def create_pod(self, pod):
		"""In a namespace that may be new: its default account is made by a controller."""
		account = {"kind": "ServiceAccount", "metadata": {"namespace": pod["metadata"]["namespace"], "name": "default"}}
		self.wait(lambda: self.api.get(account), "the account of %s" % account["metadata"]["namespace"])
		self.api.create(pod)

	def pod_ip(self, namespace, pod):
		return self.api.get({"kind": "Pod", "metadata": {"namespace": namespace, "name": pod}})["status"]["podIP"]

	# ---- waiting ----

	def wait(self, condition, what, timeout_s=READY_WITHIN_S):
		"""Until condition() is true; while the API server is away it counts as false."""
		deadline = time.monotonic() + timeout_s
		while True:
			try:
				if condition():
					return
				last = ""
			except (OSError, ApiError) as e:
				last = " (%s)" % e
			if time.monotonic() > deadline:
				raise AssertionError("not within %d s: %s%s\n%s" % (timeout_s, what, last, self.describe()))
			time.sleep(0.05)

	def wait_ready(self, namespace, what, timeout_s=READY_WITHIN_S):
		"""what: kind/name as kubectl has it: node, pod, deployment, statefulset, daemonset."""
		kind, name = what.split("/")
		kind = {"node": "Node", "pod": "Pod", "deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}[kind]
		item = {"kind": kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {})}}
		self.wait(lambda: is_ready(kind, self.api.get(item)), "%s is ready" % what, timeout_s)

	def describe(self):
		"""What a person would look at first."""
		try:
			return "".join(self.kubectl("get", *what, "-A", "--request-timeout=5s", check=False) for what in (("pods", "-o", "wide"), ("events", "--field-selector=type!=Normal")))
		except (AssertionError, subprocess.TimeoutExpired) as e:
			return str(e)

	# ---- parts ----

	def spawn(self, name, *arguments, program=None):
		with open(self.folder / (name + ".log"), "ab") as log:
			self.processes[name] = self.popen(self.parts[program or name], *arguments, stdout=log, stderr=log)

	def stop(self, name):
		"""At once, by SIGKILL; containers go on without kubelet and containerd."""
		process = self.processes.pop(name)
		self.box.kill(process)
		process.wait()
		if name == "kube-apiserver" and self.api:
			self.api.close()

	stop_part = stop

	def start_part(self, name):
		"""Back when it serves."""
		if name == "kube-apiserver":
			self.start_api_server()
			return
		self._spawn_part(name)
		self.wait_for_part(name, lambda: self._is_up(name))

	def restart_part(self, name):
		self.stop_part(name)
		self.start_part(name)

	def _is_up(self, name):
		if name == "containerd":
			return self.run("ctr", "version", check=False).returncode == 0
		port = {"etcd": 2379, "resolver": None, **PORTS}[name]
		try:
			if port:
				self.connect(("127.0.0.1", port), 1).close()
			return True
		except OSError:
			return False

	def _spawn_part(self, name):
		config = self.kubeconfigs
		path = self.certificates.path
		if name == "etcd":
			self.start_etcd()
		elif name == "containerd":
			self.spawn(name, "--config", "/etc/kubernetes/containerd.toml")
		elif name == "resolver":
			self.spawn(name, "-conf", "/etc/kubernetes/resolver", program="coredns")
		elif name == "kube-controller-manager":
			self.spawn(name, "--kubeconfig", config["controllers"], "--leader-elect=false", "--kube-api-qps=1000", "--kube-api-burst=2000",
				"--bind-address=127.0.0.1", "--cert-dir=/run/kube-controller-manager", "--use-service-account-credentials=false",
				"--service-account-private-key-file", path("accounts.key"), "--root-ca-file", path("ca.crt"))
		elif name == "kube-scheduler":
			self.spawn(name, "--kubeconfig", config["scheduler"], "--leader-elect=false", "--bind-address=127.0.0.1", "--cert-dir=/run/kube-scheduler")
		elif name == "kubelet":
			self.spawn(name, "--config", "/etc/kubernetes/kubelet.json", "--kubeconfig", config["kubelet"], "--hostname-override", realkube.NODE_NAME,
				"--node-ip", realkube.NODE_ADDRESS)
		elif name == "kube-proxy":
			self.spawn(name, "--config", "/etc/kubernetes/kube-proxy.json")
		else:
			raise ValueError(name)


def is_ready(kind, item):
	"""By what its status says of the present generation."""
	status = item.get("status") or {}
	if kind in ("Node", "Pod"):
		is_going = "deletionTimestamp" in item["metadata"]
		return not is_going and any(x["type"] == "Ready" and x["status"] == "True" for x in status.get("conditions", ()))
	if status.get("observedGeneration") != item["metadata"]["generation"]:
		return False
	if kind == "DaemonSet":
		wanted, updated, ready = (status.get(x, 0) for x in ("desiredNumberScheduled", "updatedNumberScheduled", "numberReady"))
		return 0 < wanted == updated == ready
	wanted, updated, ready, there = (item["spec"]["replicas"], *(status.get(x, 0) for x in ("updatedReplicas", "readyReplicas", "replicas")))
	return wanted == ready == there and (wanted == updated or kind == "StatefulSet" and status.get("currentRevision") == status.get("updateRevision"))
