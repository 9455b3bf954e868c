# SPDX-License-Identifier: Apache-2.0
"""A small client of the Kubernetes REST API over one kept connection: objects are dicts as the API has them."""

import http.client
import json
import socket
import ssl
import time

# kind -> (path before the namespace, plural, whether it lives in a namespace)
KINDS = {
	"Namespace": ("/api/v1", "namespaces", False),
	"Node": ("/api/v1", "nodes", False),
	"Pod": ("/api/v1", "pods", True),
	"Service": ("/api/v1", "services", True),
	"ServiceAccount": ("/api/v1", "serviceaccounts", True),
	"Endpoints": ("/api/v1", "endpoints", True),
	"EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices", True),
	"StatefulSet": ("/apis/apps/v1", "statefulsets", True),
	"Deployment": ("/apis/apps/v1", "deployments", True),
	"DaemonSet": ("/apis/apps/v1", "daemonsets", True),
	"ConfigMap": ("/api/v1", "configmaps", True),
	"ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles", False),
	"ClusterRoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
}
API_VERSIONS = {kind: prefix.split("/", 2)[2] if prefix.startswith("/apis/") else "v1" for kind, (prefix, _, _) in KINDS.items()}
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
TIMEOUT_S = 30
IDLE_S = 30  # the server closes a connection that was idle for longer than a minute or two


class ApiError(Exception):
	"""The server said no: its HTTP status and body."""

	def __init__(self, method, path, status, body):
		super().__init__("%s %s: %d %s" % (method, path, status, body[:500]))
		self.status = status


def path_of(kind, namespace=None, name=None, subresource=None):
	prefix, plural, is_namespaced = KINDS[kind]
	scope = ["namespaces", namespace] if is_namespaced and namespace else []
	return "/".join([prefix, *scope, plural, *([name] if name else []), *([subresource] if subresource else [])])


def path_to(item, subresource=None):
	return path_of(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"], subresource)


class Api:
	"""Not for several threads at once: each takes a copy() of its own."""

	def __init__(self, port, ca_file, token, host="127.0.0.1", connect=socket.create_connection):
		"""connect: as socket.create_connection, for a server in another network namespace."""
		self._arguments = (port, ca_file, token, host, connect)
		context = ssl.create_default_context(cafile=ca_file)
		self._connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
		self._connection._create_connection = connect  # where http.client itself keeps it
		self._headers = {"Authorization": "Bearer " + token} if token else {}
		self._used = time.monotonic()

	def copy(self):
		return Api(*self._arguments)

	def close(self):
		self._connection.close()

	def request(self, method, path, body=None, content_type="application/json"):
		"""The decoded body; ApiError for a status that is no success, OSError where there is no server."""
		headers = {**self._headers, "Content-Type": content_type} if body is not None else self._headers
		if time.monotonic() > self._used + IDLE_S:
			self._connection.close()  # opened anew by what follows
		try:
			self._connection.request(method, path, None if body is None else json.dumps(body), headers)
			response = self._connection.getresponse()
			data = response.read()
		except (http.client.HTTPException, OSError):
			self._connection.close()  # the next request opens another
			raise
		self._used = time.monotonic()
		if response.status >= 300:
			raise ApiError(method, path, response.status, data.decode(errors="replace"))
		is_json = response.headers.get("Content-Type", "").startswith("application/json")
		return json.loads(data) if is_json else data

	def watch(self, kind, namespace=None, silence_s=TIMEOUT_S):
		"""Yields (type, object) for what is there (ADDED), then for each change, until the server ends it; OSError when nothing came for so long.
		Wants a client of its own."""
		self._connection.request("GET", path_of(kind, namespace) + "?watch=1", headers=self._headers)
		self._connection.sock.settimeout(silence_s)
		response = self._connection.getresponse()
		if response.status >= 300:
			raise ApiError("GET", "watch of " + kind, response.status, response.read().decode(errors="replace"))
		while line := response.readline():
			event = json.loads(line)
			yield event["type"], event["object"]

	def create(self, item):
		item = {"apiVersion": API_VERSIONS[item["kind"]], **item}
		return self.request("POST", path_of(item["kind"], item["metadata"].get("namespace")), item)

	def create_all(self, items):
		for item in items:
			self.create(item)

	def get(self, item):
		return self.request("GET", path_to(item))

	def patch(self, item, changes, subresource=None):
		"""A merge patch: lists are replaced, None deletes a field."""
		return self.request("PATCH", path_to(item, subresource), changes, MERGE)

	def delete(self, item, **options):
		"""options: fields of DeleteOptions."""
		return self.request("DELETE", path_to(item), {"kind": "DeleteOptions", "apiVersion": "v1", **options})

	def list(self, kind, namespace=None):
		"""All objects of a kind, each with its kind and apiVersion as `kubectl get -o json` has them."""
		items = self.request("GET", path_of(kind, namespace)).get("items") or []
		return [{"apiVersion": API_VERSIONS[kind], "kind": kind, **item} for item in items]


def namespace(name):
	return {"kind": "Namespace", "metadata": {"name": name}}


def bare(item):
	"""An object as its author wrote it: without what a server adds."""
	kept = ("name", "namespace", "labels", "annotations")
	metadata = {key: value for key, value in item["metadata"].items() if key in kept}
	return {key: value for key, value in {**item, "metadata": metadata}.items() if key != "status"}


def pod(pod_namespace, name, labels, hostname=None, subdomain=None, node_name="node-1"):
	spec = {"containers": [{"name": "c", "image": "none"}], "nodeName": node_name, "terminationGracePeriodSeconds": 3600}
	spec.update({key: value for key, value in (("hostname", hostname), ("subdomain", subdomain)) if value})
	return {"kind": "Pod", "metadata": {"namespace": pod_namespace, "name": name, "labels": labels}, "spec": spec}


def pod_status(addresses, is_ready):
	"""What a kubelet writes of a running pod."""
	return {"status": {"phase": "Running", "podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses], "hostIP": "192.0.2.10",
		"conditions": [{"type": kind, "status": "True" if is_ready else "False"} for kind in ("Ready", "ContainersReady")]}}
