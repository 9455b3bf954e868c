# SPDX-License-Identifier: Apache-2.0
"""
What runs in the cluster under test, in namespace "shop": a StatefulSet behind a headless service, a Deployment behind a ClusterIP and a headless one,
slices made by hand and mirrored, a pod whose readiness the test decides, pods to ask from.
"""

NAMESPACE = "shop"
IMAGE = "nodens.test/tools:1"
DB_REPLICAS, WEB_REPLICAS = 3, 2
ASKERS = ("client", "asker")  # pods of nothing but a network
READY_FILE = "/run/shop-ready"  # on the node: there, and the pod "flip" is ready
HAND_MADE = ["10.77.0.%d" % last for last in (1, 2, 3)]
MIRRORED = ["192.0.2.%d" % last for last in (201, 202)]
STEP = "steps"  # the service whose slice the tests write again and again


def name_of(service, namespace=NAMESPACE):
	return "%s.%s.svc.cluster.local" % (service, namespace)


def _metadata(name, **fields):
	return {"namespace": NAMESPACE, "name": name, **fields}


def _template(labels, **spec):
	return {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 0, "enableServiceLinks": False, "automountServiceAccountToken": False,
		"containers": [{"name": "c", "image": IMAGE, "imagePullPolicy": "Never"}], **spec}}


def _pod(name, **spec):
	return {"kind": "Pod", **_template({"app": name}, **spec), "metadata": _metadata(name, labels={"app": name})}


def service(name, ports, is_headless=True, app=None, **spec):
	return {"kind": "Service", "metadata": _metadata(name), "spec": {"ports": ports, **({"clusterIP": "None"} if is_headless else {}),
		**({"selector": {"app": app}} if app else {}), **spec}}


def port(name, number, target=None, protocol="TCP"):
	return {"name": name, "port": number, "protocol": protocol, **({"targetPort": target} if target else {})}


def slice_of(name, addresses, hostname=None):
	"""As somebody writes it by hand: no controller is named."""
	endpoints = [{"addresses": [address], "conditions": {"ready": True}, **({"hostname": "%s-%d" % (hostname, number)} if hostname else {})}
		for number, address in enumerate(addresses)]
	return {"kind": "EndpointSlice", "metadata": _metadata(name + "-by-hand", labels={"kubernetes.io/service-name": name}), "addressType": "IPv4",
		"endpoints": endpoints, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}


def step_addresses(number):
	return ["10.%d.%d.%d" % (78 + (number >> 8), number & 0xFF, last) for last in range(1, 4)]


def database():
	"""One after the other is replaced in an update, each with an address of its own and its old name."""
	labels = {"app": "db"}
	return [service("db", [port("sql", 5432)], app="db"), {"kind": "StatefulSet", "metadata": _metadata("db"), "spec": {"serviceName": "db", "replicas": DB_REPLICAS,
		"selector": {"matchLabels": labels}, "template": _template(labels)}}]


def web():
	labels = {"app": "web"}
	container_ports = [{"name": "http", "containerPort": 8080}, {"name": "stats", "containerPort": 8125, "protocol": "UDP"}]
	container = {"name": "c", "image": IMAGE, "imagePullPolicy": "Never", "ports": container_ports}
	ports = [port("http", 80, "http"), port("stats", 8125, "stats", "UDP")]
	return [service("web", ports, is_headless=False, app="web"), service("web-peers", ports, app="web"), {"kind": "Deployment", "metadata": _metadata("web"), "spec": {
		"replicas": WEB_REPLICAS, "selector": {"matchLabels": labels}, "template": _template(labels, containers=[container])}}]


def by_hand():
	"""A headless service and one with a ClusterIP that select nothing: their slices are written by hand, or mirrored from Endpoints."""
	return [service("cache", [port("http", 8080)]), slice_of("cache", HAND_MADE, "node"), service("legacy", [port("http", 8080)], is_headless=False),
		{"kind": "Endpoints", "metadata": _metadata("legacy"), "subsets": [{"addresses": [{"ip": address} for address in MIRRORED], "ports": [{"name": "http", "port": 8080}]}]},
		service(STEP, [port("http", 8080)]), slice_of(STEP, step_addresses(0))]


def flip():
	"""Ready while the file is there; looked at once a second."""
	probe = {"exec": {"command": ["/bin/sh", "-c", "test -e /node%s" % READY_FILE]}, "periodSeconds": 1, "failureThreshold": 1, "successThreshold": 1, "timeoutSeconds": 5}
	mounts = [{"name": "usr", "mountPath": "/usr", "readOnly": True}, {"name": "run", "mountPath": "/node/run", "readOnly": True}]
	volumes = [{"name": "usr", "hostPath": {"path": "/usr"}}, {"name": "run", "hostPath": {"path": "/run"}}]
	container = {"name": "c", "image": IMAGE, "imagePullPolicy": "Never", "readinessProbe": probe, "volumeMounts": mounts}
	return [service("flip", [port("http", 8080)], app="flip"), _pod("flip", containers=[container], volumes=volumes)]


def askers():
	return [_pod(name) for name in ASKERS]


def objects():
	return [{"kind": "Namespace", "metadata": {"name": NAMESPACE}}, *database(), *web(), *by_hand(), *flip(), *askers(),
		service("outside", [], is_headless=False, type="ExternalName", externalName="www.external.test")]


READY = ("statefulset/db", "deployment/web", *("pod/" + name for name in ASKERS))


def start(node):
	"""Until all that can be ready is, and its slices are written."""
	for item in objects():
		node.api.create(item)
	for what in READY:
		node.wait_ready(NAMESPACE, what)
	node.wait(lambda: _are_there(node.api.list("EndpointSlice", NAMESPACE)), "the slices of the workloads")


def _are_there(slices):
	ready = {}
	for item in slices:
		name = item["metadata"]["labels"]["kubernetes.io/service-name"]
		ready[name] = sum(endpoint["conditions"].get("ready") is not False for endpoint in item.get("endpoints") or [])
	return {**ready, "flip": 0} == {"db": DB_REPLICAS, "web": WEB_REPLICAS, "web-peers": WEB_REPLICAS, "cache": len(HAND_MADE), "legacy": len(MIRRORED),
		STEP: len(step_addresses(0)), "flip": 0}
