# SPDX-License-Identifier: Apache-2.0
"""Services and EndpointSlices in the form the API server returns, in one line each."""


def ports(*items):
    """Each (name, number) or (name, number, protocol)."""
    return [{"name": name, "port": number, "protocol": (rest or ["TCP"])[0]} for name, number, *rest in items]


HTTP = ports(("http", 80))


def service(namespace, name, service_ports=HTTP, cluster_ips=("None",), **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name, "resourceVersion": "1"},
        "spec": {"type": "ClusterIP", "clusterIP": cluster_ips[0], "clusterIPs": list(cluster_ips), "ports": service_ports, **spec}}


def external_name(namespace, name, target):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name, "resourceVersion": "1"},
        "spec": {"type": "ExternalName", "externalName": target}}


def endpoint(*addresses, hostname=None, ready=True):
    item = {"addresses": list(addresses), "conditions": {"ready": ready, "serving": ready, "terminating": False}}
    return item if hostname is None else {**item, "hostname": hostname}


def slice_of(namespace, service_name, suffix, endpoints, slice_ports=HTTP):
    is_v6 = any(":" in address for item in endpoints for address in item["addresses"])
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv6" if is_v6 else "IPv4",
        "metadata": {"namespace": namespace, "name": "%s-%s" % (service_name, suffix), "resourceVersion": "1",
                         "labels": {"kubernetes.io/service-name": service_name}},
        "endpoints": endpoints, "ports": slice_ports}


def headless(namespace, name, endpoints, slice_ports=HTTP, per_slice=100):
    """A headless service and its slices, one family each, at most per_slice endpoints each."""
    families = [[e for e in endpoints if (":" in e["addresses"][0]) == is_v6] for is_v6 in (False, True)]
    chunks = [family[i : i + per_slice] for family in families for i in range(0, len(family), per_slice)]
    return [service(namespace, name, slice_ports)] + [
        slice_of(namespace, name, "s%d" % number, chunk, slice_ports) for number, chunk in enumerate(chunks)]
