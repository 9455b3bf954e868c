# SPDX-License-Identifier: Apache-2.0
"""What the parts of a real node are told: their configuration files, and the objects that kubeadm makes for cluster DNS."""

import json
import textwrap

import images
import realkube

POD_RANGE = "10.244.0.0/24"
DNS_IP = "10.96.0.10"
GATEWAY = "192.0.2.1"  # of the node's default route: there is nobody behind it
EXTERNAL_ADDRESS = "192.0.2.77"  # of every name below external.test
RESOLVER_PORT = 5301
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CNI_PLUGINS = "/usr/lib/cni"
RUNTIME = "/usr/bin/runc"


def containerd():
	# Without CAP_SYS_RESOURCE no process may be made less likely to be killed than its parent.
	return textwrap.dedent("""\
		version = 3
		[grpc]
		address = "%s"
		[plugins.'io.containerd.cri.v1.images']
		snapshotter = "overlayfs"
		[plugins.'io.containerd.cri.v1.images'.pinned_images]
		sandbox = "%s"
		[plugins.'io.containerd.cri.v1.runtime']
		restrict_oom_score_adj = true
		disable_apparmor = true
		tolerate_missing_hugetlb_controller = true
		[plugins.'io.containerd.cri.v1.runtime'.cni]
		bin_dirs = ["%s"]
		conf_dir = "/etc/cni/net.d"
		[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
		runtime_type = "io.containerd.runc.v2"
		[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
		BinaryName = "%s"
		SystemdCgroup = false
		""") % (CONTAINERD_SOCKET, images.TOOLS, CNI_PLUGINS, RUNTIME)


def cni(plugin):
	address = {"type": "host-local", "ranges": [[{"subnet": POD_RANGE}]], "dataDir": "/var/lib/cni/networks", "routes": [{"dst": "0.0.0.0/0"}]}
	of_plugin = {"ptp": {"ipMasq": False}, "bridge": {"bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipMasq": False}}[plugin]
	return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": plugin, "mtu": 1500, **of_plugin, "ipam": address}]})


def kubelet():
	evictions = {name: "0%" for name in ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree")}
	return json.dumps({
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}}, "authorization": {"mode": "AlwaysAllow"},
		"cgroupDriver": "cgroupfs", "failCgroupV1": False, "failSwapOn": False, "oomScoreAdj": 0, "evictionHard": evictions,
		"clusterDNS": [DNS_IP], "clusterDomain": "cluster.local", "containerRuntimeEndpoint": "unix://" + CONTAINERD_SOCKET,
		"resolvConf": "/etc/resolv.conf", "imageGCHighThresholdPercent": 100, "registerNode": True,
	})


def kube_proxy(mode, kubeconfig):
	# The connection table's size is of the whole machine.
	return json.dumps({
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": mode, "clusterCIDR": POD_RANGE,
		"clientConnection": {"kubeconfig": kubeconfig}, "hostnameOverride": realkube.NODE_NAME, "oomScoreAdj": 0,
		"conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	})


def resolver():
	"""A Corefile for the resolver that stands for all others."""
	return textwrap.dedent("""\
		.:%d {
		    bind %s
		    template IN A external.test {
		        answer "{{ .Name }} 60 IN A %s"
		    }
		    template ANY ANY external.test {
		        rcode NOERROR
		    }
		    template ANY ANY {
		        rcode NXDOMAIN
		    }
		}
		""") % (RESOLVER_PORT, realkube.NODE_ADDRESS, EXTERNAL_ADDRESS)


def corefile():
	return textwrap.dedent("""\
		.:53 {
		    errors
		    health {
		       lameduck 5s
		    }
		    ready
		    kubernetes cluster.local in-addr.arpa ip6.arpa {
		       pods insecure
		       fallthrough in-addr.arpa ip6.arpa
		       ttl 30
		    }
		    prometheus :9153
		    forward . %s:%d {
		       max_concurrent 1000
		    }
		    cache 30 {
		       disable success cluster.local
		       disable denial cluster.local
		    }
		    loop
		    reload
		    loadbalance
		}
		""") % (realkube.NODE_ADDRESS, RESOLVER_PORT)


def _probe(path, port, **timing):
	return {"httpGet": {"path": path, "port": port, "scheme": "HTTP"}, "timeoutSeconds": 5, "successThreshold": 1, **timing}


def _coredns_pod():
	return {
		"priorityClassName": "system-cluster-critical", "serviceAccountName": "coredns", "dnsPolicy": "Default",
		"tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}, {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
		"nodeSelector": {"kubernetes.io/os": "linux"},
		"containers": [{
			"name": "coredns", "image": images.COREDNS, "imagePullPolicy": "IfNotPresent", "args": ["-conf", "/etc/coredns/Corefile"],
			"resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
			"volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}],
			"ports": [{"containerPort": 53, "name": "dns", "protocol": "UDP"}, {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
				{"containerPort": 9153, "name": "metrics", "protocol": "TCP"}],
			"livenessProbe": _probe("/health", 8080, initialDelaySeconds=60, failureThreshold=5),
			# kubeadm leaves the period at 10 s, of which a kubelet that has just started waits a random part.
			"readinessProbe": _probe("/ready", 8181, periodSeconds=1),
			"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
				"readOnlyRootFilesystem": True},
		}],
		"volumes": [{"name": "config-volume", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}],
	}


def cluster_dns():
	"""The objects that kubeadm's addon has, with one replica."""
	def metadata(name, **labels):
		return {"name": name, "namespace": "kube-system", **({"labels": labels} if labels else {})}
	labels = {"k8s-app": "kube-dns"}
	return [
		{"kind": "ServiceAccount", "metadata": metadata("coredns")},
		*realkube.role("system:coredns", [realkube.rule("", "services", "namespaces", "pods", "endpoints"), realkube.rule("discovery.k8s.io", "endpointslices")],
			[{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}]),
		{"kind": "ConfigMap", "metadata": metadata("coredns"), "data": {"Corefile": corefile()}},
		{"kind": "Service", "metadata": {**metadata("kube-dns"), "labels": {**labels, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}},
			"spec": {"selector": labels, "clusterIP": DNS_IP, "ports": [{"name": "dns", "port": 53, "protocol": "UDP"},
				{"name": "dns-tcp", "port": 53, "protocol": "TCP"}, {"name": "metrics", "port": 9153, "protocol": "TCP"}]}},
		{"kind": "Deployment", "metadata": {**metadata("coredns"), "labels": labels}, "spec": {"replicas": 1, "selector": {"matchLabels": labels},
			"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
			"template": {"metadata": {"labels": labels}, "spec": _coredns_pod()}}},
	]
