# SPDX-License-Identifier: Apache-2.0
"""Random clusters: objects in all shapes the API allows, with names of every length."""

import ipaddress
import string

import cluster

LABEL_EDGE = string.ascii_lowercase + string.digits
LABEL_INNER = LABEL_EDGE + "-"
NAME_MAX = 255


def wire_len(name):
    return len(name) + 2


def label(rng, length, first=LABEL_EDGE):
    if length == 1:
        return rng.choice(first)
    return rng.choice(first) + "".join(rng.choices(LABEL_INNER, k=length - 2)) + rng.choice(LABEL_EDGE)


def some_length(rng, most=63):
    return min(most, rng.choice((1, 2, 3, rng.randint(1, 15), rng.randint(1, 15), rng.randint(1, 63), 63)))


class RandomCluster:
    def __init__(self, rng, zone):
        self.rng, self.zone = rng, zone
        self.objects = []
        self._seen = set()
        self._addresses = {4: [], 6: []}

    def fresh_label(self, scope, length=None, first=LABEL_EDGE, most=63):
        """A label that is new in its scope; longer than asked for where all of that length may be taken."""
        for attempt in range(1000):
            text = label(self.rng, min(most, (length or some_length(self.rng, most)) + attempt // 50), first)
            if (scope, text) not in self._seen:
                self._seen.add((scope, text))
                return text
        raise RuntimeError("no label left in %s" % (scope,))

    def address(self, family):
        """Mostly new; now and then one that another endpoint has (several PTR records)."""
        known = self._addresses[family]
        if known and self.rng.random() < 0.03:
            return self.rng.choice(known)
        if family == 4:
            text = "10.%d.%d.%d" % tuple(self.rng.randrange(256) for _ in range(3))
        else:
            host = self.rng.getrandbits(self.rng.choice((16, 64, 72))) << self.rng.choice((0, 0, 0, 16))
            text = str(ipaddress.IPv6Address((0xFD00_0010_0244 << 80 | host) & (1 << 128) - 1))
        known.append(text)
        return text

    def cluster_ip(self, family):
        """Never that of another service; an endpoint may have it too, and its PTR is the service's still."""
        while True:
            host = self.rng.getrandbits(16 if family == 4 else 32)
            text = str(ipaddress.IPv4Address(10 << 24 | 96 << 16 | host) if family == 4 else ipaddress.IPv6Address(0xFD00_0010_0096 << 80 | host))
            if text not in self._seen:
                self._seen.add(text)
                self._addresses[family].append(text)
                return text

    def ports(self, most=3):
        numbers = {}
        for _ in range(self.rng.choice((1, 1, 1, 2, most))):
            name = label(self.rng, some_length(self.rng, 62))
            numbers[name] = (name, self.rng.randint(1, 65535), self.rng.choice(("TCP", "TCP", "UDP", "SCTP")))
        return cluster.ports(*numbers.values())

    def endpoints(self, base, count, family):
        """With and without hostnames, one in ten not ready; no name gets longer than a name may be."""
        room = min(63, NAME_MAX - wire_len(base) - 1)
        hostnames = room >= 1 and self.rng.random() < 0.5
        return [cluster.endpoint(self.address(family), ready=self.rng.random() < 0.9,
            hostname=self.fresh_label((base, "host"), some_length(self.rng, room), most=room) if hostnames else None) for _ in range(count)]

    def add_headless(self, namespace, count, families=None, length=None):
        rng = self.rng
        name = self.fresh_label(namespace, length, string.ascii_lowercase)
        base = "%s.%s.svc.%s" % (name, namespace, self.zone)
        families = families or rng.choice(((4,), (6,), (4, 6)))
        members = [item for family in families for item in self.endpoints(base, max(1, count // len(families)), family)]
        self.objects += cluster.headless(namespace, name, members, self.ports(), per_slice=rng.choice((3, 100)))

    def add_cluster_ip(self, namespace):
        rng = self.rng
        name = self.fresh_label(namespace, None, string.ascii_lowercase)
        base = "%s.%s.svc.%s" % (name, namespace, self.zone)
        ips = [self.cluster_ip(4), self.cluster_ip(6)]
        ports = self.ports()
        self.objects.append(cluster.service(namespace, name, ports, rng.choice((ips, ips[:1], ips[1:], ips[::-1]))))
        self.objects.append(cluster.slice_of(namespace, name, "s", self.endpoints(base, rng.randint(1, 4), 4), ports))

    def fill(self):
        """Services of all kinds and sizes in some namespaces."""
        rng = self.rng
        for _ in range(8):
            namespace = self.fresh_label("namespaces")
            for _ in range(10):
                self.add_headless(namespace, rng.choice((1, 2, 3, 4, 6, 10)))
            for _ in range(5):
                self.add_cluster_ip(namespace)
            self.add_headless(namespace, rng.choice((30, 60)))
        self.add_headless(namespace, 300, (4,))
        self.add_headless(namespace, 150, (6,))

    def climb(self):
        """Services of every length of name below namespaces of 1 and of 63 octets, and hostnames of every length below that."""
        for namespace in (self.fresh_label("namespaces", 1), self.fresh_label("namespaces", 63)):
            for length in range(1, 64):
                name = label(self.rng, length, string.ascii_lowercase)
                if (namespace, name) in self._seen:
                    continue
                self._seen.add((namespace, name))
                # Below the last but one a hostname of one octet: the length between that of the last and of its hosts.
                hostname = label(self.rng, 1) if length == 62 else None
                item = cluster.endpoint(self.address(self.rng.choice((4, 6))), hostname=hostname)
                self.objects += cluster.headless(namespace, name, [item], self.ports(1))
        base = "%s.%s.svc.%s" % (name, namespace, self.zone)
        hosts = [cluster.endpoint(self.address(4), hostname=label(self.rng, length)) for length in range(1, min(63, NAME_MAX - wire_len(base) - 1) + 1)]
        self.objects.append(cluster.slice_of(namespace, name, "climb", hosts))
