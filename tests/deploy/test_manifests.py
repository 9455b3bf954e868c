#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 400 400
"""
The manifests of deploy/kubernetes on a real API server: taken as they are by server-side apply, with nothing of them dropped; the
role lets the agent do what it must and nothing else; the agent, started as the DaemonSet says with the service account's token and
the capabilities of its securityContext, becomes ready, and its probes and the removal's command do what they are there for.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "kube")]

import node
import packet
import podnet
import real_agent
import realkube
import tap
from message import Question

MANIFESTS = ROOT / "deploy" / "kubernetes"
VARIANTS = ("headless", "linux-5.10", "kubernetes-1.29", "remove", "remove-kubernetes-1.29")
# As docs/deploy.md has it, with another namespace besides.
OWN = """\
namespace: elsewhere
resources:
- %s
images:
- name: nodens
  newName: registry.example.com/nodens
patches:
- target: {kind: DaemonSet}
  patch: |
    - {op: add, path: /spec/template/spec/nodeSelector/example.com~1nodens, value: "yes"}
"""
ACCOUNT = "system:serviceaccount:kube-system:nodens"
GROUPS = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"]
SECRETS = Path("/run/secrets/kubernetes.io/serviceaccount")  # in this mount namespace
CONFINE = ROOT / "tests" / "lib" / "confine.py"
ALLOWED = {(verb, resource) for verb in ("list", "watch") for resource in ("services", "endpointslices.discovery.k8s.io")}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
RESOURCES = ("services", "endpointslices.discovery.k8s.io", "endpoints", "pods", "namespaces", "nodes", "secrets", "configmaps",
	"serviceaccounts", "leases.coordination.k8s.io", "daemonsets.apps", "clusterroles.rbac.authorization.k8s.io")


class Kubectl:
	def __init__(self, world):
		self.program, self.kubeconfig, self.cache = world.parts["kubectl"], world.kubeconfigs["admin"], world.folder / "kubectl"

	def run(self, *arguments):
		return subprocess.run([self.program, "--kubeconfig", self.kubeconfig, "--cache-dir", self.cache, *map(str, arguments)],
			stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)

	def output(self, *arguments):
		done = self.run(*arguments)
		assert done.returncode == 0, "kubectl %s: %s" % (" ".join(map(str, arguments)), done.stderr)
		return done.stdout

	def stored(self, folder):
		"""{kind: object} of a folder as the server has them."""
		return {item["kind"]: item for item in json.loads(self.output("get", "-k", folder, "-o", "json"))["items"]}

	def rendered(self, folder):
		"""The objects of a folder as the client sends them."""
		text = self.output("create", "--dry-run=client", "--validate=false", "-o", "json", "-k", folder)
		decoder, items, at = json.JSONDecoder(), [], 0
		while text[at:].strip():
			item, end = decoder.raw_decode(text[at:].lstrip())
			at = len(text) - len(text[at:].lstrip()) + end
			items.extend(item["items"] if item["kind"] == "List" else [item])
		return items


def dropped(sent, stored, path=""):
	"""Paths of what was sent and is not in what is stored."""
	if isinstance(sent, dict) and isinstance(stored, dict):
		return [p for key, value in sent.items() for p in dropped(value, stored.get(key), "%s.%s" % (path, key))]
	if isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
		return [p for number, pair in enumerate(zip(sent, stored)) for p in dropped(*pair, "%s[%d]" % (path, number))]
	return [] if sent == stored or sent in ([], {}, None, "", 0, False) else ["%s: sent %r, stored %r" % (path, sent, stored)]


def check_applies(t, kubectl):
	with t.case("server-side apply takes the manifests"):
		kubectl.output("apply", "--server-side", "-k", MANIFESTS)
	stored = kubectl.stored(MANIFESTS)
	for item in kubectl.rendered(MANIFESTS):
		t.none_of(dropped({**item, "status": None}, stored[item["kind"]]), "nothing of the %s is dropped" % item["kind"])
	with t.case("applied once more nothing changes"):
		kubectl.output("apply", "--server-side", "-k", MANIFESTS)
		for kind, item in kubectl.stored(MANIFESTS).items():
			was, now = stored[kind]["metadata"]["resourceVersion"], item["metadata"]["resourceVersion"]
			assert now == was, "%s: resourceVersion %s, then %s" % (kind, was, now)
	for name in VARIANTS:
		with t.case("server-side apply takes %s" % name):
			kubectl.output("apply", "--server-side", "--dry-run=server", "-k", MANIFESTS / name)
	done = kubectl.run("apply", "--server-side", "--dry-run=server", "-f", "-")
	t.ok(done.returncode, "an apply of nothing is an error: failures are seen")


def check_own(t, kubectl, folder):
	"""A kustomization of the user's own: registry, one node, and another namespace, to which the role must follow."""
	folder.mkdir()
	for name in ("", *VARIANTS):
		(folder / "kustomization.yaml").write_text(OWN % os.path.relpath(MANIFESTS / name, folder.resolve()))
		items = {item["kind"]: item for item in kubectl.rendered(folder)}
		pod = items["DaemonSet"]["spec"]["template"]["spec"]
		containers = [*pod.get("initContainers", ()), *pod["containers"]]
		version = (ROOT / "VERSION").read_text().strip()
		t.equal({container["image"] for container in containers}, {"registry.example.com/nodens:" + version}, "own registry: %s" % (name or "all"))
		t.equal(pod["nodeSelector"], {"kubernetes.io/os": "linux", "example.com/nodens": "yes"}, "one node first: %s" % (name or "all"))
		if "ClusterRoleBinding" in items:
			t.equal([subject["namespace"] for subject in items["ClusterRoleBinding"]["subjects"]], ["elsewhere"],
				"in another namespace the role goes to the account there: %s" % (name or "all"))
		old = [container["name"] for container in containers if "appArmorProfile" in container["securityContext"]]
		t.equal(bool(old), not name.endswith("1.29"), "appArmorProfile only where Kubernetes knows it: %s" % (name or "all"))


def check_pod(t, kubectl, api, template):
	with t.case("admission takes a pod of the template, with the priority it asks for"):
		pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nodens-test", "namespace": "kube-system"}, "spec": template["spec"]}
		made = api.request("POST", "/api/v1/namespaces/kube-system/pods?dryRun=All&fieldValidation=Strict", pod)
		assert made["spec"]["priority"] == 2000001000, made["spec"]["priority"]
		assert made["status"]["qosClass"] == "Burstable", made["status"]
	container = template["spec"]["containers"][0]
	t.equal(sorted(container["resources"]["limits"]), ["memory"], "there is no CPU limit")
	for name, added in (("headless", []), ("linux-5.10", ["SYS_RESOURCE"])):
		other, = (x for x in kubectl.rendered(MANIFESTS / name) if x["kind"] == "DaemonSet")
		other = other["spec"]["template"]["spec"]["containers"][0]
		t.equal(other["securityContext"]["capabilities"]["add"], container["securityContext"]["capabilities"]["add"] + added,
			"capabilities of %s" % name)
		t.equal(other["args"], ["run", "--answer", "headless" if name == "headless" else "services"], "arguments of %s" % name)


def may(api, verb, resource):
	name, _, group = resource.partition(".")
	review = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"user": ACCOUNT, "groups": GROUPS,
		"resourceAttributes": {"verb": verb, "group": group, "resource": name}}}
	return api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]


def check_role(t, api):
	# Roles that were just written are heeded once the server's own watch has told of them.
	node.wait_until(lambda: all(may(api, *pair) for pair in ALLOWED), "the server heeds the role")
	wrong = ["%s %s" % (verb, resource) for verb in VERBS for resource in RESOURCES if may(api, verb, resource) != ((verb, resource) in ALLOWED)]
	t.none_of(wrong, "the account may list and watch Services and EndpointSlices, and nothing else")


def confined(container, *arguments):
	"""A command as a runtime starts it in this container; arguments instead of the container's own, if there are any."""
	context = container["securityContext"]
	assert context["runAsUser"] == 0 and context["capabilities"]["drop"] == ["ALL"]
	capabilities = ",".join("CAP_" + name for name in context["capabilities"]["add"])
	return [sys.executable, str(CONFINE), "", capabilities, node.binary(), *(arguments or container["args"])]


class DeployedNode(real_agent.KubeNode):
	"""The agent as in a pod of the DaemonSet: its arguments, capabilities, and the API server and account by way of a pod's environment."""

	def __init__(self, world, container):
		super().__init__(world, mtus=(1500,))
		self.container = container
		os.environ["NODENS_BPFFS"] = str(self.dir)

	def command(self):
		return confined(self.container)


def enter_pod(world, kubectl):
	"""What the kubelet lays into a pod: token and CA of the account, the API server's address."""
	podnet.run("mount -t tmpfs nodens-test /run")
	SECRETS.mkdir(parents=True)
	(SECRETS / "token").write_text(kubectl.output("create", "token", "nodens", "--namespace", "kube-system"))
	(SECRETS / "ca.crt").write_bytes(Path(world.certificates.path("ca.crt")).read_bytes())
	os.environ.update({"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(realkube.API_PORT)})


def probe(container, name):
	command = container[name]["exec"]["command"]
	assert command[0] == "nodens", command
	return subprocess.run(confined(container, *command[1:]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def check_agent(t, world, kubectl, container, remove):
	enter_pod(world, kubectl)
	os.environ.update({item["name"]: "nodens-x7k2p" for item in container["env"]})  # the pod's name
	world.create_dns_service()
	t.ok(probe(container, "livenessProbe").returncode, "the liveness probe fails where no agent is")
	with DeployedNode(world, container) as running:
		for name in ("livenessProbe", "readinessProbe"):
			done = probe(container, name)
			t.ok(done.returncode == 0, "the %s of a ready agent succeeds" % name, done.stdout)
		frame = packet.query_frame(Question("kube-dns.kube-system.svc.cluster.local").wire())
		t.equal(running.ask(frame)[0], "answered", "it answers for the Service that it read")
		detach = confined(remove, *remove["args"])
		t.ok(subprocess.run(detach, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode,
			"the removal does not take the datapath from an agent that runs")
		running.kill()
		done = subprocess.run(detach, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
		t.ok(done.returncode == 0, "the removal succeeds where the agent is gone", done.stdout)
		t.ok(not running.dir.exists(), "it leaves no pin")
		t.equal(podnet.run("tc filter show dev %s ingress" % running.pods[1500].name), "", "nor a filter")


def main(t):
	parts = realkube.parts_or_skip(t)
	if not parts:
		return
	with realkube.World(parts, controllers=False) as world:
		kubectl = Kubectl(world)
		for role in realkube.roles():
			if role["metadata"]["name"] == "nodens":
				world.api.delete(role)
		check_applies(t, kubectl)
		check_own(t, kubectl, world.folder / "own")
		template = kubectl.stored(MANIFESTS)["DaemonSet"]["spec"]["template"]
		remove, = kubectl.rendered(MANIFESTS / "remove")
		check_pod(t, kubectl, world.api, template)
		check_role(t, world.api)
		check_agent(t, world, kubectl, template["spec"]["containers"][0], remove["spec"]["template"]["spec"]["initContainers"][0])


if __name__ == "__main__":
	node.enter_namespaces()
	tap.run(main)
