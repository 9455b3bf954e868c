# SPDX-License-Identifier: Apache-2.0
"""
Objects at random, in every form that an API server takes: services of each kind, hand-made slices odd and plain, and changes
to them. What is asked for comes from one seeded generator; what is there is read back from the server.
"""

import ipaddress
import string

import kubeapi
from randomcluster import LABEL_EDGE, label

SLICE = "kubernetes.io/service-name"
PROTOCOLS = ("TCP", "TCP", "TCP", "UDP", "SCTP")
PORT_NAMES = ("http", "https", "grpc", "metrics", "dns", "80", "a--b", "x", "a1b2c3d4e5f6g7h")
NAME_MAX = 255
# As a server's clients set them: readiness absent, null, and all that goes with it.
CONDITIONS = ({"ready": True, "serving": True, "terminating": False}, {"ready": True}, {}, None, {"ready": None, "serving": True}, {"terminating": False},
	{"ready": True, "serving": False}, {"ready": True, "serving": True, "terminating": True}, {"serving": False})
UNREADY = ({"ready": False, "serving": False, "terminating": False}, {"ready": False, "serving": True, "terminating": True}, {"ready": False})


class Objects:
	def __init__(self, rng, zone="cluster.local"):
		self.rng, self.zone = rng, zone
		self.items = []
		self._seen = set()
		self._addresses = {"IPv4": [], "IPv6": []}

	# ---- names and addresses ----

	def name(self, scope, longest=63, first=string.ascii_lowercase):
		"""New in its scope."""
		while True:
			text = label(self.rng, min(longest, self.rng.choice((2, 4, 8, 8, 15, 30, 63))), first)
			if (scope, text) not in self._seen:
				self._seen.add((scope, text))
				return text

	def address(self, family):
		"""Mostly new; now and then that of another endpoint, of any service."""
		known = self._addresses[family]
		if known and self.rng.random() < 0.04:
			return self.rng.choice(known)
		rng = self.rng
		if family == "IPv4":
			text = "10.%d.%d.%d" % (rng.choice((244, 245, 0)), rng.randrange(256), rng.randrange(256))
		else:
			host = rng.getrandbits(rng.choice((16, 64, 72))) << rng.choice((0, 0, 16))
			text = str(ipaddress.IPv6Address((0xFD00_0010_0244 << 80 | host) & (1 << 128) - 1))
		known.append(text)
		return text

	def cluster_ip(self, family):
		"""Asked for, so that a seed gives the same run; now and then an endpoint has it too."""
		while True:
			host = self.rng.randrange(256, 65534)
			text = "10.96.%d.%d" % divmod(host, 256) if family == "IPv4" else "fd00:10:96::%x" % host
			if ("ip", text) not in self._seen:
				self._seen.add(("ip", text))
				self._addresses[family].append(text)
				return text

	def ports(self, can_lack_number=False):
		"""Named, unnamed, several under one number with other protocols; of a slice also without a number."""
		rng = self.rng
		if rng.random() < 0.25:
			return [{"name": "", "port": rng.randint(1, 65535), "protocol": rng.choice(PROTOCOLS)}]
		found = {}
		for _ in range(rng.choice((1, 1, 2, 3, 6))):
			name = rng.choice(PORT_NAMES) if rng.random() < 0.7 else label(rng, rng.choice((1, 15, 40, 62)))
			port = {"name": name, "port": rng.choice((80, 443, rng.randint(1, 65535))), "protocol": rng.choice(PROTOCOLS)}
			if not any((p["port"], p["protocol"]) == (port["port"], port["protocol"]) for p in found.values()):
				found[name] = port
		if can_lack_number and rng.random() < 0.1:
			del rng.choice(list(found.values()))["port"]
		return list(found.values())

	# ---- slices ----

	def endpoint(self, family, hostname):
		rng = self.rng
		count = rng.choice((1,) * 12 + (2, 5))
		item = {"addresses": list(dict.fromkeys(self.address(family) for _ in range(count)))}
		conditions = rng.choice(UNREADY if rng.random() < 0.15 else CONDITIONS)
		if conditions is not None:
			item["conditions"] = conditions
		if hostname:
			item["hostname"] = hostname
		if rng.random() < 0.2:
			item.update({"nodeName": "node-%d" % rng.randrange(9), "zone": "zone-é", "targetRef": {"kind": "Pod", "name": "p", "namespace": "x"}})
		return item

	def endpoints(self, family, count, base, style=None):
		"""With hostnames, without, one hostname for many, or one that is the address name of its neighbour."""
		rng = self.rng
		room = min(63, NAME_MAX - 3 - len(base))
		style = style or rng.choice(("address", "hostname", "hostname", "mixed", "shared", "clash"))
		items = []
		for number in range(count):
			hostname = None
			if style == "hostname" or (style == "mixed" and rng.random() < 0.5):
				hostname = self.name((base, "host"), max(1, room), LABEL_EDGE)
			elif style == "shared" and rng.random() < 0.7:
				hostname = "shared"
			elif style == "clash" and items and rng.random() < 0.3:
				clash = items[-1]["addresses"][0].replace(".", "-").replace(":", "-")
				hostname = None if clash.endswith("-") or clash.startswith("-") else clash
			items.append(self.endpoint(family, hostname))
		return items

	def slice(self, namespace, service, family, count, ports=None, labels=None, style=None):
		rng = self.rng
		metadata = {"namespace": namespace, "name": self.name((namespace, "slice"), 50), "labels": {SLICE: service} if labels is None else labels}
		if rng.random() < 0.3:
			metadata["labels"] = {**metadata["labels"], "endpointslice.kubernetes.io/managed-by": rng.choice(("somebody", "else.example.com"))}
		if rng.random() < 0.2:
			metadata["annotations"] = {"about": "\"}],\\ é \u2028" * rng.choice((1, 300))}
		base = "%s.%s.svc.%s" % (service, namespace, self.zone)
		item = {"kind": "EndpointSlice", "metadata": metadata, "addressType": family, "endpoints": self.endpoints(family, count, base, style),
			"ports": self.ports(True) if ports is None else ports}
		self.items.append(item)
		return item

	# ---- services ----

	def service(self, namespace, **spec):
		name = self.name((namespace, "service"))
		item = {"kind": "Service", "metadata": {"namespace": namespace, "name": name}, "spec": spec}
		if self.rng.random() < 0.1:
			item["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}" * 500}
		self.items.append(item)
		return name

	def families(self):
		return self.rng.choice((("IPv4",), ("IPv4",), ("IPv6",), ("IPv4", "IPv6")))

	def add_headless(self, namespace, count=None, families=None, style=None):
		"""count: endpoints in one slice of each family. style: of their names."""
		rng = self.rng
		spec = {"clusterIP": "None", "publishNotReadyAddresses": rng.random() < 0.2}
		ports = self.ports()
		if rng.random() < 0.8:
			spec["ports"] = ports
		name = self.service(namespace, **spec)
		own_ports = rng.choice((ports, ports, None, []))
		for family in families or self.families():
			for _ in range(1 if count else rng.choice((1, 1, 1, 2, 3))):
				self.slice(namespace, name, family, count or rng.choice((0, 1, 1, 2, 3, 3, 5, 10, 20)), own_ports, style=style)
		return name

	def cluster_ip_spec(self, kind="ClusterIP"):
		families = self.rng.choice((("IPv4",), ("IPv6",), ("IPv4", "IPv6"), ("IPv6", "IPv4")))
		addresses = [self.cluster_ip(family) for family in families]
		return {"type": kind, "ports": self.ports(), "clusterIP": addresses[0], "clusterIPs": addresses, "ipFamilies": list(families),
			"ipFamilyPolicy": "RequireDualStack" if len(families) == 2 else "SingleStack"}

	def add_cluster_ip(self, namespace, kind):
		spec = self.cluster_ip_spec(kind)
		ports = spec["ports"]
		name = self.service(namespace, **spec)
		for family in self.families():
			if self.rng.random() < 0.8:
				self.slice(namespace, name, family, self.rng.choice((0, 1, 2, 3, 5)), self.rng.choice((ports, None)))
		return name

	def add_external(self, namespace):
		"""Also with slices behind it, which answer PTR and nothing else."""
		target = self.rng.choice(("www.example.com", "kubernetes.default.svc.cluster.local", "192.0.2.77", "a." * 20 + "example"))
		name = self.service(namespace, type="ExternalName", externalName=target)
		if self.rng.random() < 0.5:
			self.slice(namespace, name, "IPv4", 2)

	# ---- what is odd ----

	def odd_fqdn(self, namespace):
		name = self.add_headless(namespace) if self.rng.random() < 0.5 else self.add_cluster_ip(namespace, "ClusterIP")
		item = self.slice(namespace, name, "IPv4", 0)
		item.update({"addressType": "FQDN", "endpoints": [{"addresses": ["www.example.com"]}, {"addresses": ["b.example.com"], "hostname": "h"}]})

	def odd_leading_zero(self, namespace):
		"""An address that is none in the strict sense; CoreDNS makes a CNAME of it."""
		item = self.slice(namespace, self.add_headless(namespace), "IPv4", 2)
		item["endpoints"].append({"addresses": ["010.1.1.%d" % self.rng.randrange(10)]})

	def odd_unlabelled(self, namespace):
		"""Nobody's slices: their addresses have no name that fits into a PTR record."""
		self.slice(namespace, "x", "IPv4", 2, labels=self.rng.choice(({}, {SLICE: ""})))

	def odd_orphan(self, namespace):
		"""Slices of a service that is not there answer PTR alone."""
		self.slice(namespace, self.name((namespace, "service")), self.rng.choice(("IPv4", "IPv6")), 3)

	def odd_twice(self, namespace):
		"""The same endpoints in two slices, some ready only in one."""
		name = self.add_headless(namespace)
		first = self.slice(namespace, name, "IPv4", 4)
		second = self.slice(namespace, name, "IPv4", 0, self.rng.choice((first["ports"], None)))
		second["endpoints"] = [{**endpoint, "conditions": self.rng.choice((CONDITIONS[0], UNREADY[0]))} for endpoint in first["endpoints"]]

	def odd_many_addresses(self, namespace):
		item = self.slice(namespace, self.add_headless(namespace), "IPv4", 1)
		item["endpoints"][0]["addresses"] = list(dict.fromkeys(self.address("IPv4") for _ in range(100)))

	def odd_no_ports(self, namespace):
		self.slice(namespace, self.add_headless(namespace), "IPv4", 3, [])

	def odd_cluster_ip_slices(self, namespace):
		"""An endpoint whose address is an address of the DNS service and one of the service range."""
		item = self.slice(namespace, self.add_headless(namespace), "IPv4", 1)
		item["endpoints"].append({"addresses": ["10.96.0.1"], "hostname": "api"})

	ODD = (odd_fqdn, odd_leading_zero, odd_unlabelled, odd_orphan, odd_twice, odd_many_addresses, odd_no_ports, odd_cluster_ip_slices)

	def fill(self, namespaces, large):
		"""large: (endpoints of each slice, families, how these are named: None: at random) of large services."""
		for _ in range(namespaces):
			namespace = self.name("namespaces", 63, LABEL_EDGE)
			self.items.append(kubeapi.namespace(namespace))
			for _ in range(5):
				self.add_headless(namespace)
			for kind in ("ClusterIP", "ClusterIP", "NodePort", "LoadBalancer"):
				self.add_cluster_ip(namespace, kind)
			self.add_external(namespace)
			for odd in self.ODD:
				odd(self, namespace)
		for count, families, style in large:
			self.add_headless(namespace, count, families, style)
		return self


class Mutations:
	"""Changes to what a server has: each is one write."""

	def __init__(self, made, api, items):
		self.made, self.rng, self.api = made, made.rng, api
		protected = ("default", "kube-system")
		items = [item for item in items if item["metadata"]["namespace"] not in protected and not item["metadata"]["namespace"].startswith("marker-")]
		self.slices = [item for item in items if item["kind"] == "EndpointSlice"]
		self.services = [item for item in items if item["kind"] == "Service"]
		self.namespaces = sorted({item["metadata"]["namespace"] for item in items})

	def _slice(self):
		return self.rng.choice(self.slices)

	def flip(self):
		"""Readiness of some endpoints."""
		item = self._slice()
		endpoints = [{**endpoint, "conditions": self.rng.choice((*CONDITIONS[:3], *UNREADY))} if self.rng.random() < 0.5 else endpoint
			for endpoint in item.get("endpoints") or []]
		item["endpoints"] = endpoints
		self.api.patch(item, {"endpoints": endpoints})

	def resize(self):
		"""Endpoints come and go."""
		item = self._slice()
		if item["addressType"] == "FQDN":
			return
		kept = [endpoint for endpoint in item.get("endpoints") or [] if self.rng.random() < 0.7]
		item["endpoints"] = kept + self.made.endpoints(item["addressType"], self.rng.randrange(4), "x" * 60)
		self.api.patch(item, {"endpoints": item["endpoints"]})

	def replace_ports(self):
		item = self._slice()
		self.api.patch(item, {"ports": self.made.ports(True)})

	def move(self):
		"""A slice goes over to another service of its namespace, or to none."""
		item = self._slice()
		others = [s["metadata"]["name"] for s in self.services if s["metadata"]["namespace"] == item["metadata"]["namespace"]]
		self.api.patch(item, {"metadata": {"labels": {SLICE: self.rng.choice([None, *others[:4]])}}})

	def delete_slice(self):
		item = self.slices.pop(self.rng.randrange(len(self.slices)))
		self.api.delete(item)

	def delete_service(self):
		item = self.services.pop(self.rng.randrange(len(self.services)))
		self.api.delete(item)

	def recreate_service(self):
		"""The name stays, the kind changes."""
		item = self.services.pop(self.rng.randrange(len(self.services)))
		self.api.delete(item)
		spec = self.rng.choice(({"clusterIP": "None"}, self.made.cluster_ip_spec(), {"type": "ExternalName", "externalName": "x.example.com"}))
		self.services.append(self.api.create({"kind": "Service", "metadata": {key: item["metadata"][key] for key in ("namespace", "name")}, "spec": spec}))

	def service_ports(self):
		item = self.rng.choice(self.services)
		if item["spec"].get("type") != "ExternalName":
			self.api.patch(item, {"spec": {"ports": self.made.ports()}})

	def _service_of(self, kind):
		found = [s for s in self.services if s["spec"].get("type") == kind and s["spec"].get("clusterIP") != "None"]
		return self.rng.choice(found) if found else None

	def _respec(self, item, changes):
		self.api.patch(item, {"spec": changes})
		item["spec"] = {key: value for key, value in {**item["spec"], **changes}.items() if value is not None}

	def change_families(self):
		"""A service gets an address of the other family as well, or gives its second one up."""
		item = self._service_of("ClusterIP")
		if item is None:
			return
		families, addresses = item["spec"]["ipFamilies"], item["spec"]["clusterIPs"]
		if len(families) == 2:
			self._respec(item, {"ipFamilyPolicy": "SingleStack", "ipFamilies": families[:1], "clusterIPs": addresses[:1]})
			return
		other = "IPv6" if families == ["IPv4"] else "IPv4"
		self._respec(item, {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": [*families, other], "clusterIPs": [*addresses, self.made.cluster_ip(other)]})

	def change_type(self):
		"""A service goes over to another kind without being made anew: to ExternalName, and from there to a headless one."""
		item = self._service_of(self.rng.choice(("ClusterIP", "ExternalName")))
		if item is None:
			return
		if item["spec"]["type"] == "ExternalName":
			self._respec(item, {"type": "ClusterIP", "externalName": None, "clusterIP": "None"})
		else:
			self._respec(item, {"type": "ExternalName", "externalName": "x.example.com", "clusterIP": None, "clusterIPs": None,
				"ipFamilies": None, "ipFamilyPolicy": None})

	def add(self):
		before = len(self.made.items)
		namespace = self.rng.choice(self.namespaces)
		self.rng.choice((self.made.add_headless, self.made.add_external, lambda n: self.made.add_cluster_ip(n, "ClusterIP")))(namespace)
		self._create(self.made.items[before:])

	def _create(self, items):
		for item in items:
			created = self.api.create(item)
			(self.slices if item["kind"] == "EndpointSlice" else self.services).append(created)

	CHANGES = (flip, flip, flip, resize, resize, replace_ports, move, delete_slice, delete_service, recreate_service, service_ports,
		change_families, change_type, add)

	def run(self, count):
		for _ in range(count):
			self.rng.choice(self.CHANGES)(self)
