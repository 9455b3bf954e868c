# SPDX-License-Identifier: Apache-2.0
"""
Which questions must be answered in the kernel, and with which records: computed from the JSON objects alone, by the
rules CoreDNS's kubernetes plugin was seen to follow. Shares nothing with the product's own record builder.
"""

import dataclasses
import ipaddress

# Types that name no data (RFC 6895 section 3.1) except ANY, and OPT: CoreDNS refuses or ignores them, none is required.
OTHER_META_TYPES = frozenset([0, 41]) | frozenset(range(128, 255))

A, PTR, AAAA, SRV = 1, 12, 28, 33


@dataclasses.dataclass
class Entry:
    """Everything about one owner name. Lists without duplicates; order has no meaning."""
    a: list = dataclasses.field(default_factory=list)
    aaaa: list = dataclasses.field(default_factory=list)
    srv: list = dataclasses.field(default_factory=list)   # (weight, port, target)
    glue: list = dataclasses.field(default_factory=list)  # (target, address)
    ptr: list = dataclasses.field(default_factory=list)
    is_reverse: bool = False
    is_passed: bool = False


@dataclasses.dataclass(frozen=True)
class Pair:
    """One address and one port that stand behind a name."""
    target: str
    address: str
    port_name: str
    protocol: str
    port: int  # None: no number


def _unique(items):
    return list(dict.fromkeys(items))


def _is_canonical(text):
    try:
        return str(ipaddress.ip_address(text)) == text
    except ValueError:
        return False


def endpoint_label(endpoint, address):
    if endpoint.get("hostname"):
        return endpoint["hostname"]
    label = address.replace(".", "-").replace(":", "-")
    return label + "0" if label.endswith("-") else label


def reverse_name(address):
    return ipaddress.ip_address(address).reverse_pointer


def _entry(pairs):
    """Records for all pairs that match one name. A port without a number counts in the weight and gives no SRV."""
    weight = max(1, 100 // len(pairs))
    addresses = _unique(pair.address for pair in pairs)
    numbered = [pair for pair in pairs if pair.port is not None]
    return Entry(
        a=[address for address in addresses if ":" not in address],
        aaaa=[address for address in addresses if ":" in address],
        srv=_unique((weight, pair.port, pair.target) for pair in numbered),
        glue=_unique((pair.target, pair.address) for pair in numbered))


def _ports(ports):
    """(name, protocol, number) of each; one without a name and number where there is none at all."""
    found = [(p.get("name") or "", (p.get("protocol") or "TCP").lower(), p.get("port")) for p in ports or []]
    return found or [("", "", None)]


class Oracle:
    def __init__(self, objects, zone="cluster.local", level="services"):
        self.zone = zone
        self.level = level
        self.names = {}
        self._services = {}
        self._slices = {}  # (namespace, service) -> slices
        for item in objects:
            self._sort_in(item)
        for key, service in self._services.items():
            self._add_service(*key, service)
        if level == "services":
            self._add_reverse()

    def _sort_in(self, item):
        namespace, name = item["metadata"].get("namespace"), item["metadata"]["name"]
        if item["kind"] == "Service":
            self._services[namespace, name] = item
        elif item["kind"] == "EndpointSlice":
            service = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
            self._slices.setdefault((namespace, service), []).append(item)

    def _ready(self, slices):
        """(endpoint, address, slice) of what is ready; nil is ready."""
        for item in slices:
            for endpoint in item.get("endpoints") or []:
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    for address in endpoint["addresses"]:
                        yield endpoint, address, item

    def _endpoint_pairs(self, base, slices):
        return [Pair(endpoint_label(endpoint, address) + "." + base, address, *port)
            for endpoint, address, item in self._ready(slices) for port in _ports(item.get("ports"))]

    def _add_service(self, namespace, name, service):
        base = "%s.%s.svc.%s" % (name, namespace, self.zone)
        slices = self._slices.get((namespace, name), [])
        spec = service.get("spec") or {}
        is_headless = spec.get("clusterIP") == "None"
        if self.level == "headless" and not is_headless:
            return
        is_odd = any(item.get("addressType") == "FQDN" or not all(_is_canonical(a) for e in item.get("endpoints") or []
                     for a in e["addresses"]) for item in slices)
        if spec.get("type") == "ExternalName" or is_odd:
            self.names[base] = Entry(is_passed=True)
            return
        endpoints = self._endpoint_pairs(base, slices)
        own = endpoints
        if not is_headless:
            own = [Pair(base, address, *port) for port in _ports(spec.get("ports")) for address in spec["clusterIPs"]]
        if not own:
            return
        self.names[base] = _entry(own)
        self._add_groups(own, lambda pair: "_%s._%s.%s" % (pair.port_name, pair.protocol, base) if pair.port_name else None)
        self._add_groups(endpoints, lambda pair: pair.target)

    def _add_groups(self, pairs, name_of):
        groups = {}
        for pair in pairs:
            groups.setdefault(name_of(pair), []).append(pair)
        groups.pop(None, None)
        for name, group in groups.items():
            self.names[name] = _entry(group)

    def _add_reverse(self):
        owners = {}
        for (namespace, service), slices in self._slices.items():
            for endpoint, address, item in self._ready(slices):
                if item.get("addressType") == "FQDN" or not _is_canonical(address):
                    continue
                target = None
                if service:
                    target = "%s.%s.%s.svc.%s" % (endpoint_label(endpoint, address), service, namespace, self.zone)
                owners.setdefault(address, []).append(target)
        for (namespace, name), service in self._services.items():
            for address in service["spec"].get("clusterIPs") or []:
                if address and address != "None":
                    owners[address] = ["%s.%s.svc.%s" % (name, namespace, self.zone)]
        for address, targets in owners.items():
            self.names[reverse_name(address)] = Entry(ptr=_unique(t for t in targets if t), is_reverse=True, is_passed=None in targets)

    def find(self, name):
        """The entry of a name (text without the last dot, any case), or None."""
        return self.names.get(name.lower())

    def must_answer(self, name, qtype):
        """True for each A, AAAA, SRV, PTR and NODATA of services and endpoints."""
        entry = self.find(name)
        if entry is None or entry.is_passed or qtype in OTHER_META_TYPES:
            return False
        return qtype == PTR if entry.is_reverse else True
