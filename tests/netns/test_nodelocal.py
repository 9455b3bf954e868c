#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 90 120
"""
A node-local DNS cache beside us: its link-local address on an interface named nodelocaldns is found and answered for on the
pods' veths, whenever it comes; the node's own clients are left alone.
"""

import contextlib
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import cluster
import node
import packet
import podnet
import tap
from lab import OBJECTS, UNKNOWN, Lab, check, question
from message import Question

NODELOCAL, OTHER = "169.254.20.10", "192.0.2.77"
INTERFACE = "nodelocaldns"
# It is looked for at each tenth beat of the agent, a quarter of --stale-after each.
STALE_AFTER_S = 2
DNS = cluster.service("kube-system", "kube-dns", cluster.ports(("dns", 53, "UDP"), ("dns-tcp", 53)), (packet.SERVER4, packet.SERVER6))


class NodelocalLab(Lab):
	"""Server addresses as the cluster and the node name them."""

	servers = ()
	before_exec = staticmethod(node.before_others)

	def __init__(self):
		super().__init__([DNS, *OBJECTS], ["--stale-after", "%ds" % STALE_AFTER_S])


def servers(lab):
	return {entry["address"]: entry["origin"] for entry in lab.status()["servers"]}


def who_answers(lab, client, asked):
	"""What is passed on because the agent had no CPU for all of --stale-after, which is short here, tells nothing: asked again."""
	is_stale = True
	while is_stale:
		before = lab.counters.read()
		answer = client.ask(asked.wire())
		is_stale = "stale" in lab.moved(before)
	if answer is None:
		return "nobody"
	if podnet.is_from_upstream(answer):
		return "upstream"
	check(asked, answer, 4)
	return "node"


def ask(lab, server=NODELOCAL):
	"""Who answers the pod a name of ours, and another one, at this address."""
	with podnet.Client(lab.pod, server=server) as client:
		return who_answers(lab, client, question("three")), who_answers(lab, client, Question(UNKNOWN))


class NodeClient(podnet.Client):
	"""On the node itself, or in a pod of its network namespace."""

	def __init__(self, server):
		self.family, self.server, self.is_connected = 4, (server, 53), True
		self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		self.socket.connect(self.server)


def wait_found(lab, is_wanted=True):
	node.wait_until(lambda: ("%s:53" % NODELOCAL in servers(lab)) == is_wanted, "the address %s" % ("found" if is_wanted else "forgotten"))


def test_coming(tap_, lab):
	tap_.equal(servers(lab), {"%s:53" % packet.SERVER4: "cluster-ip", "[%s]:53" % packet.SERVER6: "cluster-ip"}, "without a cache: the DNS service's addresses alone")
	# As nodelocaldns makes it (a dummy there): the interface, then its addresses; in iptables mode the DNS service's too.
	podnet.run("ip link add anything type bridge")
	podnet.run("ip address add %s/32 dev anything" % NODELOCAL)
	cache = podnet.Upstream([NODELOCAL])
	with tap_.case("on an interface of another name the address is none of ours: the cache answers"):
		assert ask(lab) == ("upstream", "upstream")
	podnet.run("ip link set anything name " + INTERFACE)
	podnet.run("ip link set %s up" % INTERFACE)
	with tap_.case("named nodelocaldns it is found"):
		wait_found(lab)
		assert servers(lab)["%s:53" % NODELOCAL] == "node-local", servers(lab)
	with tap_.case("and answered for; misses reach the cache"):
		cache.take()
		assert ask(lab) == ("node", "upstream")
		assert [source for _, source in cache.wait_for(1)] == [packet.POD4]
	with tap_.case("a socket that is not connected gets the answer from the address that it asked"), podnet.Client(lab.pod, is_connected=False, server=NODELOCAL) as client:
		client.send(question("one").wire())
		assert client.receive()[1] == (NODELOCAL, 53)
	with tap_.case("the DNS service's own addresses are answered for as before"):
		assert ask(lab, packet.SERVER4) == ("node", "upstream")
	return cache


def test_other_addresses(tap_, lab):
	podnet.run("ip address add %s/32 dev %s" % (OTHER, INTERFACE))
	podnet.run("ip address add %s/32 dev %s" % (packet.SERVER4, INTERFACE))
	test_later_address(tap_, lab)  # so the agent has looked since
	with contextlib.closing(podnet.Upstream([OTHER])), tap_.case("an address there that is not link-local is not a cache's"):
		assert ask(lab, OTHER) == ("upstream", "upstream")
	with tap_.case("the DNS service's address there (iptables mode) is listed once, as the service's"):
		assert servers(lab)["%s:53" % packet.SERVER4] == "cluster-ip", servers(lab)
	for address in (OTHER, packet.SERVER4):
		podnet.run("ip address del %s/32 dev %s" % (address, INTERFACE))


def test_node_clients(tap_, lab, cache):
	tap_.equal([bpf.tcx_programs(socket.if_nametoindex(name)) for name in ("lo", INTERFACE)], [[], []], "nothing of ours is on lo, nor on the cache's interface")
	cache.take()
	for server in (NODELOCAL, packet.SERVER4):
		before = lab.counters.read()
		with NodeClient(server) as client, tap_.case("clients on the node and hostNetwork pods get %s's own answer" % server):
			assert (who_answers(lab, client, question("three")), who_answers(lab, client, Question(UNKNOWN))) == ("upstream", "upstream")
			assert lab.moved(before) == {}, lab.moved(before)
	tap_.equal(len(cache.take()), 2, "both questions to the cache arrived there")


def test_later_address(tap_, lab):
	podnet.run("ip address del %s/32 dev %s" % (NODELOCAL, INTERFACE))
	with tap_.case("an address that goes is forgotten"):
		wait_found(lab, False)
	podnet.run("ip address add %s/32 dev %s" % (NODELOCAL, INTERFACE))
	with tap_.case("and found when it comes later than its interface"):
		wait_found(lab)
		assert ask(lab) == ("node", "upstream")


def test_return(tap_, lab):
	with tap_.case("an agent that starts beside a running cache has it at once"):
		lab.kill()
		lab.restart()
		assert servers(lab)["%s:53" % NODELOCAL] == "node-local"
		assert ask(lab) == ("node", "upstream")


def main(tap_):
	node.enter_namespaces()
	with NodelocalLab() as lab:
		cache = test_coming(tap_, lab)
		with contextlib.closing(cache):
			test_other_addresses(tap_, lab)
			test_return(tap_, lab)
			test_node_clients(tap_, lab, cache)
			podnet.run("ip link del " + INTERFACE)
			with tap_.case("with the interface the address goes"):
				wait_found(lab, False)


if __name__ == "__main__":
	tap.run(main)
