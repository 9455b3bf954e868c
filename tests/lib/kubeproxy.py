# SPDX-License-Identifier: Apache-2.0
"""
The rules of kube-proxy for a DNS service with one endpoint, both families, UDP and TCP: iptables and nftables are context
managers that take the ClusterIPs, the endpoint's addresses and the pods' networks, each a dict by family.
"""

import contextlib
import itertools
import subprocess

import podnet

# An endpoint that gets its own query back (hairpin), and clients that are no pods, come from the node's address.
IPTABLES = """
*filter
:KUBE-FORWARD - [0:0]
-A FORWARD -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SVC-UDP - [0:0]
:KUBE-SVC-TCP - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES -d {service} -p udp -m udp --dport 53 -j KUBE-SVC-UDP
-A KUBE-SERVICES -d {service} -p tcp -m tcp --dport 53 -j KUBE-SVC-TCP
-A KUBE-SVC-UDP ! -s {pods} -j KUBE-MARK-MASQ
-A KUBE-SVC-UDP -s {resolver} -j KUBE-MARK-MASQ
-A KUBE-SVC-UDP -p udp -m udp -j DNAT --to-destination {target}
-A KUBE-SVC-TCP ! -s {pods} -j KUBE-MARK-MASQ
-A KUBE-SVC-TCP -s {resolver} -j KUBE-MARK-MASQ
-A KUBE-SVC-TCP -p tcp -m tcp -j DNAT --to-destination {target}
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
"""

NFTABLES = """
table {ip} kube-proxy {{
	chain mark-for-masquerade {{
		mark set mark | 0x4000
	}}
	chain service-udp {{
		{ip} saddr != {pods} jump mark-for-masquerade
		{ip} saddr {resolver} jump mark-for-masquerade
		meta l4proto udp dnat to {target}
	}}
	chain service-tcp {{
		{ip} saddr != {pods} jump mark-for-masquerade
		{ip} saddr {resolver} jump mark-for-masquerade
		meta l4proto tcp dnat to {target}
	}}
	map service-ips {{
		type {address_type} . inet_proto . inet_service : verdict
		elements = {{ {service} . udp . 53 : goto service-udp, {service} . tcp . 53 : goto service-tcp }}
	}}
	chain services {{
		{ip} daddr . meta l4proto . th dport vmap @service-ips
	}}
	chain nat-prerouting {{
		type nat hook prerouting priority dstnat
		jump services
	}}
	chain nat-output {{
		type nat hook output priority -100
		jump services
	}}
	chain nat-postrouting {{
		type nat hook postrouting priority srcnat
		mark & 0x4000 == 0 return
		mark set mark ^ 0x4000
		masquerade fully-random
	}}
	chain filter-forward {{
		type filter hook forward priority filter
		ct state invalid drop
	}}
}}
"""


def rules(template, family, service, resolver, pods):
	is_v4 = family == 4
	return template.format(ip="ip" if is_v4 else "ip6", address_type="ipv4_addr" if is_v4 else "ipv6_addr", service=service[family],
			       pods=pods[family], resolver=resolver[family], target=("%s:53" if is_v4 else "[%s]:53") % resolver[family])


def feed(text, *command):
	done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
	assert not done.returncode, "%s: %s" % (" ".join(command), done.stdout)


@contextlib.contextmanager
def iptables(*addresses):
	for family, tool in ((4, "iptables"), (6, "ip6tables")):
		feed(rules(IPTABLES, family, *addresses), tool + "-restore", "-w", "10")
	try:
		yield
	finally:
		for tool, table, action in itertools.product(("iptables", "ip6tables"), ("nat", "filter"), ("-F", "-X")):
			podnet.run("%s -w 10 -t %s %s" % (tool, table, action))


@contextlib.contextmanager
def nftables(*addresses):
	for family in (4, 6):
		feed(rules(NFTABLES, family, *addresses), "nft", "-f", "-")
	try:
		yield
	finally:
		for ip in ("ip", "ip6"):
			podnet.run("nft delete table %s kube-proxy" % ip)
