# SPDX-License-Identifier: Apache-2.0
"""
A cluster's control plane and DNS on loopback of this process's network namespace: the real etcd, kube-apiserver,
kube-controller-manager and CoreDNS, with certificates, identities and kubeconfigs. Everything is in memory and ends with the
process. Call node.enter_namespaces() first.
"""

import base64
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import kubeapi
import node
import packet
import podnet
from kubeapi import Api, ApiError

sys.path.insert(0, str(node.ROOT / "tests" / "kube"))
import build_parts

API_PORT = 26443
SERVER = "https://127.0.0.1:%d" % API_PORT
NODE_NAME, NODE_ADDRESS = "node-1", "192.0.2.10"
SERVICE_RANGE = "10.96.0.0/16,fd00:10:96::/112"
UPSTREAM_PORT = 5301  # answers NXDOMAIN to all, so that names CoreDNS hands on are told from its own by AA
CONTROLLERS = ("endpointslice-controller", "endpointslice-mirroring-controller", "statefulset-controller", "namespace-controller")
STARTS_WITHIN_S = 180  # ten are usual, but some start many programs on the same two CPUs
FIRST_NAMESPACES = [kubeapi.namespace(name) for name in ("default", "kube-system")]
OWN_SLICE = {"kind": "EndpointSlice", "metadata": {"namespace": "default", "name": "kubernetes"}}  # it comes last, behind its Service
# name -> (user, groups): tokens are "token-of-" + name
IDENTITIES = {"admin": ("admin", "system:masters"), "controllers": ("system:kube-controller-manager", "system:masters"),
	"coredns": ("coredns", ""), "nodens": ("nodens", ""), "stranger": ("stranger", "")}


def parts_or_skip(tap, groups=("control",)):
	"""{name: path} of the real programs; None after a skip where Go is missing. A failing build is an exception."""
	try:
		return build_parts.build(groups, say=tap.note)
	except build_parts.NoGo as e:
		tap.skip("the real API server and CoreDNS", str(e))
		return None


def role(name, rules, subjects):
	group = "rbac.authorization.k8s.io"
	return [{"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
		{"kind": "ClusterRoleBinding", "metadata": {"name": name}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
			"subjects": subjects}]


def rule(group, *resources):
	return {"apiGroups": [group], "resources": list(resources), "verbs": ["list", "watch"]}


def roles():
	"""What nodens needs and no more, for a user and for a service account; CoreDNS sees namespaces and pods as well."""
	user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User"}
	slices = rule("discovery.k8s.io", "endpointslices")
	return [
		*role("nodens", [rule("", "services"), slices], [{**user, "name": "nodens"}, {"kind": "ServiceAccount", "name": "nodens", "namespace": "kube-system"}]),
		*role("coredns", [rule("", "services", "namespaces", "pods"), slices], [{**user, "name": "coredns"}]),
	]


class Certificates:
	"""A CA, the server's certificate, a client's for nodens, keys for service accounts; all by openssl."""

	def __init__(self, folder):
		self.folder = folder
		self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test-ca", "-days", "2",
			"-keyout", "ca.key", "-out", "ca.crt")
		names = "DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:::1,IP:10.96.0.1"
		self._signed("server", "/CN=kube-apiserver", "subjectAltName=%s\nextendedKeyUsage=serverAuth" % names)
		self._signed("nodens", "/CN=nodens", "extendedKeyUsage=clientAuth")
		self._openssl("genrsa", "-out", "accounts.key", "2048")
		self._openssl("rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")

	def path(self, name):
		return str(self.folder / name)

	def _openssl(self, *arguments):
		podnet.run("openssl", *(self.path(a) if re.fullmatch(r"[a-z]+\.(key|crt|csr|ext|pub)", a) else a for a in arguments))

	def _signed(self, name, subject, extensions):
		(self.folder / (name + ".ext")).write_text(extensions)
		self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
			"-keyout", name + ".key", "-out", name + ".csr")
		self._openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
			"-extfile", name + ".ext", "-out", name + ".crt")

	def base64(self, name):
		return base64.b64encode(Path(self.path(name)).read_bytes()).decode()


class World:
	"""The running control plane. Use with `with`. `api` is an administrator's client."""

	identities = IDENTITIES
	server_flags = ("--disable-admission-plugins=ServiceAccount",)
	connect = staticmethod(socket.create_connection)

	def __init__(self, parts, has_watch_list=True, controllers=True):
		node.Node.scratch = node.Node.scratch or node.Scratch()
		self.folder = node.Node.scratch.path / "kube"
		self.parts, self.has_watch_list, self.has_controllers = parts, has_watch_list, controllers
		self.processes = {}
		self.api = None
		self._markers = 0

	def __enter__(self):
		try:
			self._start()
		except BaseException:
			self.__exit__()
			raise
		return self

	def __exit__(self, *_):
		for name in list(self.processes)[::-1]:
			self.stop(name)
		shutil.rmtree(self.folder, ignore_errors=True)

	def _write_credentials(self):
		self.folder.mkdir(mode=0o700)
		self.certificates = Certificates(self.folder)
		(self.folder / "tokens.csv").write_text("".join('token-of-%s,%s,%s,"%s"\n' % (name, user, user, groups)
			for name, (user, groups) in self.identities.items()))
		self.kubeconfigs = {name: self._write_kubeconfig(name, "token: token-of-" + name) for name in self.identities}

	def _start(self):
		self._write_credentials()
		podnet.run("ip address replace %s/32 dev lo" % NODE_ADDRESS)
		podnet.configure_servers()
		self.kubeconfigs["nodens-certificate"] = self._write_kubeconfig("nodens-certificate",
			"client-certificate-data: %s\nclient-key: %s" % (self.certificates.base64("nodens.crt"), self.certificates.path("nodens.key")))
		self.start_etcd()
		self.start_api_server()
		self.api = self.client("admin")
		self._create_first()
		if self.has_controllers:
			self.spawn("kube-controller-manager", "--kubeconfig", self.kubeconfigs["controllers"], "--controllers", ",".join(CONTROLLERS),
				"--leader-elect=false", "--kube-api-qps=1000", "--kube-api-burst=2000", "--bind-address=127.0.0.1",
				"--cert-dir", self.folder / "controllers", "--use-service-account-credentials=false")

	def _create_first(self):
		self.api.create_all([*roles(), {"kind": "Node", "metadata": {"name": NODE_NAME}}])

	def forget_all(self):
		"""As after a restore from nothing: the same server, at a version long past, without any of its objects."""
		for name in ("kube-apiserver", "etcd"):
			self.stop(name)
		shutil.rmtree(self.folder / "etcd")
		self.start_etcd()
		self.start_api_server()
		self._create_first()

	def start_etcd(self):
		self.spawn("etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--log-level", "error",
			"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
			"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
			"--initial-cluster", "default=http://127.0.0.1:2380")

	def start_api_server(self):
		self.spawn_api_server()
		self.wait_for_part("kube-apiserver", self._is_ready)

	def spawn_api_server(self):
		path = self.certificates.path
		self.spawn("kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--bind-address=::", "--secure-port=%d" % API_PORT,
			"--advertise-address=" + NODE_ADDRESS, "--tls-cert-file=" + path("server.crt"), "--tls-private-key-file=" + path("server.key"),
			"--client-ca-file=" + path("ca.crt"), "--token-auth-file=%s" % (self.folder / "tokens.csv"),
			"--service-account-key-file=" + path("accounts.pub"), "--service-account-signing-key-file=" + path("accounts.key"),
			"--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=RBAC",
			"--service-cluster-ip-range=" + SERVICE_RANGE, *self.server_flags,
			"--feature-gates=WatchList=%s" % str(self.has_watch_list).lower())

	def _is_ready(self):
		"""It is, and has made what every cluster has: of its own accord, a moment after it calls itself ready."""
		client = self.client("admin")
		try:
			return client.request("GET", "/readyz") == b"ok" and all(map(client.get, FIRST_NAMESPACES)) and bool(client.get(OWN_SLICE).get("endpoints"))
		except (OSError, ApiError):
			return False
		finally:
			client.close()

	def client(self, identity):
		return Api(API_PORT, self.certificates.path("ca.crt"), "token-of-" + identity, connect=self.connect)

	def _write_kubeconfig(self, name, credentials):
		path = self.folder / (name + ".kubeconfig")
		path.write_text(textwrap.dedent("""\
			# as kubectl writes it
			apiVersion: v1
			kind: Config
			preferences: {}
			current-context: test
			clusters:
			- name: "the cluster"
			  cluster:
			    certificate-authority-data: %s
			    server: %s
			contexts:
			- name: test
			  context:
			    cluster: the cluster
			    user: '%s'
			users:
			- name: %s
			  user:
			""").expandtabs(4) % (self.certificates.base64("ca.crt"), SERVER, name, name) + textwrap.indent(credentials, " " * 4) + "\n")
		return str(path)

	# ---- processes ----

	def spawn(self, name, *arguments, program=None):
		with open(self.folder / (name + ".log"), "ab") as log:
			self.processes[name] = subprocess.Popen([self.parts[program or name], *map(str, arguments)], stdout=log, stderr=log,
				stdin=subprocess.DEVNULL, cwd=self.folder, preexec_fn=node._die_with_parent)

	def wait_for_part(self, name, condition):
		"""Until condition() is true of a program that must not end meanwhile."""
		def check():
			if self.processes[name].poll() is not None:
				raise RuntimeError("%s ended with %d:\n%s" % (name, self.processes[name].returncode, self.log_of(name)))
			return condition()
		try:
			node.wait_until(check, "%s is ready" % name, STARTS_WITHIN_S)
		except AssertionError as e:
			raise RuntimeError("%s\n%s" % (e, self.log_of(name))) from None

	def stop(self, name):
		"""At once: an API server that is asked to end waits a minute for its watches."""
		process = self.processes.pop(name)
		process.kill()
		process.wait()
		if name == "kube-apiserver" and self.api:
			self.api.close()  # connects anew at the next request

	def log_of(self, name, most=4000):
		return (self.folder / (name + ".log")).read_text(errors="replace")[-most:]

	def start_coredns(self, ttl=5):
		"""CoreDNS on the node's server addresses and 127.0.0.1, port 53. Replaces one that runs."""
		if "coredns" in self.processes:
			self.stop("coredns")
		corefile = self.folder / "Corefile"
		corefile.write_text(textwrap.dedent("""\
			.:53 {
			    bind 127.0.0.1 %s %s
			    kubernetes cluster.local in-addr.arpa ip6.arpa {
			        kubeconfig %s
			        pods insecure
			        ttl %d
			        fallthrough in-addr.arpa ip6.arpa
			    }
			    forward . 127.0.0.1:%d
			    loadbalance
			}
			.:%d {
			    bind 127.0.0.1
			    template ANY ANY {
			        rcode NXDOMAIN
			    }
			}
			""") % (packet.SERVER4, packet.SERVER6, self.kubeconfigs["coredns"], ttl, UPSTREAM_PORT, UPSTREAM_PORT))
		self.spawn("coredns", "-conf", corefile)

	# ---- objects ----

	def objects(self):
		return self.api.list("Service") + self.api.list("EndpointSlice")

	def create_dns_service(self):
		"""The Service whose addresses a cluster's pods ask."""
		self.api.create({"kind": "Service", "metadata": {"namespace": "kube-system", "name": "kube-dns"}, "spec": {
			"clusterIP": packet.SERVER4, "clusterIPs": [packet.SERVER4, packet.SERVER6], "ipFamilyPolicy": "RequireDualStack",
			"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]}})

	def put_marker(self):
		"""
		(name, addresses) of new objects: who answers with all of these addresses has seen all that was written before, whatever
		watches it has (namespaces, Services, slices of the controller and by hand).
		"""
		self._markers += 1
		namespace = "marker-%d" % self._markers
		addresses = ["198.18.%d.%d" % (self._markers & 0xFF, last) for last in (1, 2)]
		controlled = {"service.kubernetes.io/headless": "", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
		self.api.create_all([kubeapi.namespace(namespace),
			{"kind": "Service", "metadata": {"namespace": namespace, "name": "m"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}},
			*({"kind": "EndpointSlice", "metadata": {"namespace": namespace, "name": "m-%d" % number, "labels": {"kubernetes.io/service-name": "m", **labels}},
				"addressType": "IPv4", "endpoints": [{"addresses": [address]}], "ports": [{"port": 80}]}
				for number, (address, labels) in enumerate(zip(addresses, (controlled, {}))))])
		return "m.%s.svc.cluster.local" % namespace, addresses
