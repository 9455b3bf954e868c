#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
The datapath frame by frame, through TC, through XDP, and through XDP where no frame has room at its end. First everything that
must pass, byte for byte, with the counter that tells why; then what is answered, each answer checked in full; then what closes
the gate. A row is a sentence.
"""

import collections
import itertools
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import bpf
import cluster
import message
import node
import oracle
import packet
import tap
import xdp
from message import A, AAAA, ANY, AXFR, CD, Edns, IXFR, MX, NS, OPT, PTR, Question, RA, RD, SOA, SRV, TC, TXT, AD, AA, QR, Z

WEB = "web.t.svc.cluster.local"
MTUS = (1500, 9000, 600)
INTERFACE_SLOTS = 1024  # NODENS_INTERFACE_SLOTS

OBJECTS = [
    *cluster.headless("t", "web", [cluster.endpoint("10.1.0.%d" % i) for i in (1, 2, 3)]),
    *cluster.headless("t", "one", [cluster.endpoint("10.1.1.1")]),
    *cluster.headless("t", "dual", [cluster.endpoint("10.1.2.%d" % i, hostname="d-%d" % i) for i in (1, 2)]
                          + [cluster.endpoint("fd00:1:2::%x" % i, hostname="d-%d" % i) for i in (1, 2)],
                          cluster.ports(("http", 80), ("sig", 5060, "SCTP"), ("dns", 53, "UDP"))),
    *cluster.headless("t", "six", [cluster.endpoint("fd00:1:3::%x" % i) for i in (1, 2, 3)]),
    *cluster.headless("t", "big", [cluster.endpoint("10.2.%d.%d" % divmod(i, 250)) for i in range(400)]),
    *cluster.headless("t", "big6", [cluster.endpoint("fd00:2::%x" % (i + 1)) for i in range(100)]),
    *cluster.headless("t", "srv60", [cluster.endpoint("10.3.0.%d" % (i + 1), hostname="host-%02d" % i) for i in range(60)]),
    # 37 SRV records of 108 octets are stored of these, fewer octets than the largest message has room for.
    *cluster.headless("t", "long", [cluster.endpoint("10.4.0.%d" % (i + 1), hostname="%02d" % i + "h" * 61) for i in range(60)]),
    *cluster.headless("t", "n" * 63, [cluster.endpoint("10.1.4.1", hostname="h" * 63)]),
    *cluster.headless("t", "gone", [cluster.endpoint("10.1.5.1", ready=False)]),
    *cluster.headless("t", "broken", [cluster.endpoint("010.1.6.1"), cluster.endpoint("10.1.6.2")]),
    cluster.external_name("t", "external", "www.example.com"),
    cluster.service("t", "cip", cluster.ports(("http", 80), ("dns", 53, "UDP"), ("dns-tcp", 53)), ("10.96.1.1", "fd00:10:96::1:1")),
    cluster.slice_of("t", "cip", "s", [cluster.endpoint("10.1.7.1", hostname="pod-0"), cluster.endpoint("10.1.7.2")]),
    *cluster.headless("t", "proxy", [cluster.endpoint("10.96.1.1"), cluster.endpoint("fd00:10:96::1:1", hostname="px")]),
    *cluster.headless("t", "other", [cluster.endpoint("10.1.1.1", hostname="o-1")]),
    *cluster.headless("t", "many", [cluster.endpoint("10.1.8.1", hostname="h-%02d" % i) for i in range(40)]),
]


# ---- what passes ----

def dns(name=WEB, qtype=A, **fields):
    return Question(name, qtype, **fields).wire()


def frame(dns_message=None, **fields):
    return packet.query_frame(dns() if dns_message is None else dns_message, **fields)


def with_ip(**fields):
    return frame(ip=fields)


def with_ip6(**fields):
    return frame(family=6, ip=fields)


def with_udp(family=4, **fields):
    return frame(family=family, l4=fields)


def edns_frame(**fields):
    return frame(dns(edns=Edns(**fields)))


def cookie(length):
    return ((message.COOKIE, bytes(range(1, length + 1))),)


def tcp_frame():
    segment = struct.pack("!HHIIBBHHH", packet.POD_PORT, 53, 1, 0, 0x50, 2, 65535, 0, 0)
    src, dst = packet.pack_address(packet.POD4), packet.pack_address(packet.SERVER4)
    return packet.ethernet(packet.ipv4(segment, src, dst, proto=packet.IPPROTO_TCP), packet.ETH_P_IP)


def swapped_protocol():
    """An IPv6 packet under the ethertype of IPv4."""
    whole = frame(family=6)
    return whole[:12] + struct.pack("!H", packet.ETH_P_IP) + whole[14:]


def raw_question(name_wire, tail=struct.pack("!HH", A, 1)):
    return struct.pack("!HHHHHH", 7, RD, 1, 0, 0, 0) + name_wire + tail


def long_name(length):
    """A name of this many octets in wire format below svc.cluster.local, of labels of at most 63."""
    end = message.name_wire("svc.cluster.local")
    labels, rest = b"", length - len(end)
    while rest:
        take = min(rest, 64)
        take -= take == rest - 1  # leave room for a label of its own
        labels += bytes([take - 1]) + b"x" * (take - 1)
        rest -= take
    return labels + end


EXTENSION6 = struct.pack("!BB6x", packet.IPPROTO_UDP, 0)
FRAGMENT6 = struct.pack("!BBHI", packet.IPPROTO_UDP, 0, 1, 77)
ROOT_A_RECORD = b"\0" + struct.pack("!HHIH4s", A, 1, 5, 4, b"\n\0\0\1")
PLAIN_OPT = Edns().wire()
# RFC 8945 section 4.2: the key's name, type 250, class ANY, TTL 0; HMAC-SHA256, time, fudge, a MAC of 32 octets, ID, no error.
TSIG = message.name_wire("key") + struct.pack("!HHIH", 250, 255, 0, 61) + message.name_wire("hmac-sha256") + struct.pack(
    "!HIHH32sHHH", 0, 1 << 30, 300, 32, bytes(32), 7, 0, 0)

# (sentence, frame, verdicts of which one must be counted)
PASSES = [
    # link and IP
    ("an ARP request", packet.ethernet(bytes(28), 0x0806), "not_dns"),
    ("an ethertype nobody knows", packet.ethernet(frame()[14:], 0x88B5), "not_dns"),
    ("IPv6 behind the ethertype of IPv4", swapped_protocol(), "not_dns ip_header"),
    ("two VLAN tags", frame(tags=((packet.ETH_P_8021AD, 5), (packet.ETH_P_8021Q, 6))), "not_dns"),
    ("two VLAN tags of 802.1Q", frame(family=6, tags=((packet.ETH_P_8021Q, 5), (packet.ETH_P_8021Q, 6))), "not_dns"),
    ("a broadcast frame", frame(ether={"dst": b"\xff" * 6}), "not_dns source"),
    ("a multicast frame", frame(ether={"dst": bytes.fromhex("01005e000001")}), "not_dns source"),
    ("a frame from a multicast address", frame(ether={"src": bytes.fromhex("0b580a000105")}), "not_dns source"),
    ("IPv4 options (a router alert)", with_ip(options=b"\x94\x04\0\0"), "ip_header"),
    ("IPv4 options of 40 octets", with_ip(options=b"\x01" * 40), "ip_header"),
    ("IPv4 header length 4 words", with_ip(ihl=4), "ip_header"),
    ("IPv4 header length 6 words without options", with_ip(ihl=6), "ip_header"),
    ("IP version 5", with_ip(version=5), "ip_header not_dns"),
    ("the first fragment (MF)", with_ip(fragment=0x2000), "ip_header"),
    ("a later fragment (offset 1)", with_ip(fragment=0x0001), "ip_header"),
    ("a fragment with DF and offset", with_ip(fragment=0x5FFF), "ip_header"),
    ("a wrong IPv4 header checksum", with_ip(checksum="wrong"), "ip_header"),
    ("an IPv4 header checksum of zero that is not right", with_ip(checksum=0), "ip_header"),
    ("TCP", tcp_frame(), "not_dns"),
    ("ICMP to the server", with_ip(proto=1), "not_dns"),
    ("UDP-Lite", with_ip(proto=136), "not_dns"),
    ("IPv6 hop-by-hop options", with_ip6(next_header=0, extension=EXTENSION6), "not_dns ip_header"),
    ("IPv6 destination options", with_ip6(next_header=60, extension=EXTENSION6), "not_dns ip_header"),
    ("an IPv6 routing header", with_ip6(next_header=43, extension=EXTENSION6), "not_dns ip_header"),
    ("an IPv6 fragment header", with_ip6(next_header=44, extension=FRAGMENT6), "not_dns ip_header"),
    ("IPv6 with version 7", with_ip6(version=7), "not_dns ip_header"),
    # whom it is from and to
    ("another destination address", frame(dst="10.96.0.11"), "not_dns"),
    ("another IPv6 destination address", frame(family=6, dst="fd00:10:96::b"), "not_dns"),
    ("a broadcast destination", frame(dst="255.255.255.255"), "not_dns"),
    ("a multicast destination", frame(dst="224.0.0.251"), "not_dns"),
    ("an IPv6 multicast destination", frame(family=6, dst="ff02::fb"), "not_dns"),
    ("another destination port", with_udp(dport=54), "not_dns"),
    ("another destination port over IPv6", with_udp(6, dport=54), "not_dns"),
    ("mDNS's port", with_udp(dport=5353), "not_dns"),
    ("source port 0", with_udp(sport=0), "source"),
    ("source port 53", with_udp(sport=53), "source"),
    ("source port 53 over IPv6", with_udp(6, sport=53), "source"),
    ("source 255.255.255.255", frame(src="255.255.255.255"), "source"),
    ("source 224.0.0.1", frame(src="224.0.0.1"), "source"),
    ("source 240.0.0.1", frame(src="240.0.0.1"), "source"),
    ("source 0.0.0.0", frame(src="0.0.0.0"), "source"),
    ("source 127.0.0.1", frame(src="127.0.0.1"), "source"),
    ("the server asks itself", frame(src=packet.SERVER4), "source"),
    ("source ff02::1", frame(family=6, src="ff02::1"), "source"),
    ("source ::", frame(family=6, src="::"), "source"),
    ("source ::1", frame(family=6, src="::1"), "source"),
    ("the server asks itself over IPv6", frame(family=6, src=packet.SERVER6), "source"),
    # lengths
    ("the IPv4 length one too small", with_ip(total=len(frame()) - 15), "length"),
    ("the IPv4 length one too large", with_ip(total=len(frame()) - 13), "length"),
    ("an IPv4 length of 0", with_ip(total=0), "length"),
    ("an IPv4 length of 65535", with_ip(total=65535), "length"),
    ("the UDP length one too small", with_udp(length=len(frame()) - 35), "length"),
    ("the UDP length one too large", with_udp(length=len(frame()) - 33), "length"),
    ("a UDP length of 0", with_udp(length=0), "length"),
    ("a UDP length of 7", with_udp(length=7), "length"),
    ("a UDP length of 65535", with_udp(length=65535), "length"),
    ("the IPv6 length one too small", with_ip6(length=len(frame()) - 35), "length"),
    ("the IPv6 length one too large", with_ip6(length=len(frame()) - 33), "length"),
    ("an IPv6 length of 0 (a jumbogram)", with_ip6(length=0), "length"),
    ("one octet behind the IPv4 packet", frame() + b"\0", "length"),
    ("one octet behind the IPv6 packet", frame(family=6) + b"\0", "length"),
    ("an empty datagram", frame(b""), "length"),
    ("a message of 11 octets", frame(dns()[:11]), "length"),
    ("a header alone that says there is a question", frame(dns()[:12]), "length no_name"),
    ("one octet behind the question", frame(dns(extra=b"\0")), "length class"),
    ("an OPT that ARCOUNT does not count", frame(dns(extra=PLAIN_OPT)), "length class"),
    ("a datagram of 1,200 octets", frame(dns(extra=bytes(1100))), "length"),
    ("a datagram of 2,900 octets", frame(dns(extra=bytes(2850))), "length"),
    # checksums
    ("a wrong UDP checksum", with_udp(checksum="wrong"), "udp_checksum"),
    ("a wrong UDP checksum over IPv6", with_udp(6, checksum="wrong"), "udp_checksum"),
    ("a wrong UDP checksum with an OPT", frame(dns(edns=Edns()), l4={"checksum": "wrong"}), "udp_checksum"),
    ("a UDP checksum of zero over IPv6", with_udp(6, checksum=0), "udp_checksum"),
    # header
    ("a response (QR)", frame(dns(flags=QR | RD)), "flags"),
    ("TC in the query", frame(dns(flags=TC | RD)), "flags"),
    *[("opcode %d" % code, frame(dns(flags=code << 11 | RD)), "flags") for code in range(1, 16)],
    *[("QDCOUNT %d, ANCOUNT %d, NSCOUNT %d, ARCOUNT %d" % counts, frame(dns(counts=counts)), "counts") for counts in
          [(0, 0, 0, 0), (2, 0, 0, 0), (3, 0, 0, 0), (65535, 0, 0, 0), (257, 0, 0, 0), (1, 1, 0, 0), (1, 256, 0, 0), (1, 0, 1, 0),
           (1, 0, 256, 0), (1, 0, 0, 2), (1, 0, 0, 257), (1, 65535, 65535, 65535)]],
    *[("%d questions" % n, frame(dns(questions=n)), "counts") for n in (2, 3)],
    ("an answer record in the query", frame(dns(counts=(1, 1, 0, 0), extra=ROOT_A_RECORD)), "counts"),
    ("an authority record in the query", frame(dns(counts=(1, 0, 1, 0), extra=ROOT_A_RECORD)), "counts"),
    *[("class %d" % number, frame(dns(qclass=number)), "class") for number in (0, 2, 3, 4, 99, 254, 255, 256, 257, 65535)],
    # EDNS
    ("an OPT of version 1", edns_frame(version=1), "edns"),
    ("an OPT of version 255", edns_frame(version=255), "edns"),
    ("an OPT that is not root's", edns_frame(owner=b"\1a\0"), "edns class"),
    ("an OPT whose owner is a pointer", edns_frame(owner=b"\xc0\x0c"), "edns"),
    ("two OPTs", frame(dns(edns=Edns(), counts=(1, 0, 0, 2), extra=PLAIN_OPT)), "counts edns"),
    ("two OPTs, one counted", frame(dns(edns=Edns(), extra=PLAIN_OPT)), "edns class no_name"),
    ("an OPT before another record", frame(dns(edns=Edns(), counts=(1, 0, 0, 2), extra=ROOT_A_RECORD)), "counts edns"),
    ("an additional record that is no OPT", frame(dns(counts=(1, 0, 0, 1), extra=ROOT_A_RECORD)), "edns"),
    ("a TSIG in place of an OPT", frame(dns(counts=(1, 0, 0, 1), extra=TSIG)), "edns"),
    ("an OPT and a TSIG", frame(dns(edns=Edns(), counts=(1, 0, 0, 2), extra=TSIG)), "counts"),
    ("ARCOUNT 1 with nothing there", frame(dns(counts=(1, 0, 0, 1))), "edns"),
    ("an octet behind the OPT", frame(dns(edns=Edns(), extra=b"\0")), "edns"),
    ("an OPT with RDLENGTH one too large", edns_frame(rdlength=1), "edns"),
    ("an OPT with RDLENGTH 65535", edns_frame(rdlength=65535), "edns"),
    ("a COOKIE with RDLENGTH one too small", edns_frame(options=cookie(8), rdlength=11), "edns"),
    ("a COOKIE with RDLENGTH 0", edns_frame(options=cookie(8), rdlength=0), "edns"),
    ("an option header without its data", frame(dns(edns=Edns(rdlength=4), extra=struct.pack("!HH", 10, 8))), "edns"),
    ("an option whose length is too large", frame(dns(edns=Edns(rdlength=12), extra=struct.pack("!HH8x", 10, 9))), "edns"),
    ("an option whose length is too small", frame(dns(edns=Edns(rdlength=12), extra=struct.pack("!HH8x", 10, 7))), "edns"),
    *[("a COOKIE of %d octets" % n, edns_frame(options=cookie(n)), "edns") for n in (0, 1, 2, 7, *range(9, 16), 41, 64)],
    ("two COOKIEs", edns_frame(options=cookie(8) + cookie(8)), "edns"),
    ("a COOKIE and NSID", edns_frame(options=cookie(8) + ((3, b""),)), "edns"),
    *[("option %s" % name, edns_frame(options=((code, data),)), "edns") for name, code, data in
          [("NSID", 3, b""), ("client subnet", 8, bytes.fromhex("000118000a0001")), ("EXPIRE", 9, b""), ("KEEPALIVE", 11, b""),
           ("PADDING", 12, bytes(8)), ("EDE", 15, b"\0\0"), ("65001", 65001, b"\xc0\xff\xee"), ("of 16 unknown octets", 100, bytes(16))]],
    # the question
    ("a compression pointer in the question", frame(raw_question(b"\3web\xc0\x0c")), "no_name length class"),
    ("a question that is a pointer to itself", frame(raw_question(b"\xc0\x0c")), "no_name length class"),
    ("a label of type 01", frame(raw_question(b"\x43web" + message.name_wire("t.svc.cluster.local"))), "no_name"),
    ("no type and class", frame(raw_question(message.name_wire(WEB), b"")), "length class no_name"),
    ("no class", frame(raw_question(message.name_wire(WEB), b"\0\1")), "length class no_name"),
    ("one octet of the class missing", frame(raw_question(message.name_wire(WEB), b"\0\1\0")), "length class no_name"),
    ("a name without an end", frame(raw_question(b"\3web\1t\3svc", b"")), "length class no_name"),
    ("a label that runs over the end", frame(raw_question(b"\x3fweb")), "length no_name class"),
    ("the root", frame(dns(".")), "no_name"),
    ("a name of 255 octets", frame(raw_question(long_name(255))), "no_name"),
    ("a name of 256 octets", frame(raw_question(long_name(256))), "no_name"),
    ("a name of 300 octets", frame(raw_question(long_name(300))), "no_name"),
    ("127 labels of one octet", frame(raw_question(b"\1x" * 127 + b"\0")), "no_name"),
    ("a name as long as a frame may be", frame(raw_question(long_name(600))), "no_name"),
    ("a name that is not there", frame(dns("nosuch.t.svc.cluster.local")), "no_name"),
    ("a name of another zone", frame(dns("www.example.com")), "no_name"),
    ("our name with one label more", frame(dns("x." + WEB)), "no_name"),
    ("our name without its first label", frame(dns("t.svc.cluster.local")), "no_name"),
    ("our name in a search domain", frame(dns(WEB + ".t.svc.cluster.local")), "no_name"),
    ("our name with one letter less", frame(dns("we.t.svc.cluster.local")), "no_name"),
    ("our name as one label with dots", frame(dns([b"web.t", b"svc", b"cluster", b"local"])), "no_name"),
    ("a headless service with nothing ready", frame(dns("gone.t.svc.cluster.local")), "no_name"),
    ("an endpoint that is not ready", frame(dns("10-1-5-1.gone.t.svc.cluster.local")), "no_name"),
    ("the address name of an endpoint that has a hostname", frame(dns("10-1-2-1.dual.t.svc.cluster.local")), "no_name"),
    ("a service that cannot be understood", frame(dns("broken.t.svc.cluster.local")), "name_passed"),
    ("an endpoint of a service that cannot be understood", frame(dns("10-1-6-2.broken.t.svc.cluster.local")), "name_passed no_name"),
    ("an ExternalName", frame(dns("external.t.svc.cluster.local")), "name_passed no_name"),
    ("a port without underscores", frame(dns("http.tcp.web.t.svc.cluster.local", SRV)), "no_name"),
    ("a port with one underscore only", frame(dns("_http.tcp.web.t.svc.cluster.local", SRV)), "no_name"),
    ("a port with two underscores", frame(dns("__http._tcp.web.t.svc.cluster.local", SRV)), "no_name"),
    ("any port of a protocol", frame(dns("_._tcp.web.t.svc.cluster.local", SRV)), "no_name"),
    ("a port of any protocol", frame(dns("_http._.web.t.svc.cluster.local", SRV)), "no_name"),
    ("any port of any protocol", frame(dns("_._.web.t.svc.cluster.local", SRV)), "no_name"),
    ("a port of another protocol", frame(dns("_http._udp.web.t.svc.cluster.local", SRV)), "no_name"),
    ("a protocol alone", frame(dns("_tcp.web.t.svc.cluster.local", SRV)), "no_name"),
    ("a port of an endpoint", frame(dns("_http._tcp.d-1.dual.t.svc.cluster.local", SRV)), "no_name"),
    ("a star", frame(dns("*.t.svc.cluster.local")), "no_name"),
    ("AXFR", frame(dns(qtype=AXFR)), "type"),
    ("IXFR", frame(dns(qtype=IXFR)), "type"),
    ("TSIG as a type", frame(dns(qtype=250)), "type"),
    ("OPT as a type", frame(dns(qtype=OPT)), "type"),
    ("A of a reverse name", frame(dns("1.0.1.10.in-addr.arpa")), "type"),
    ("SOA of a reverse name", frame(dns("1.0.1.10.in-addr.arpa", SOA)), "type"),
    ("ANY of a reverse name", frame(dns("1.0.1.10.in-addr.arpa", ANY)), "type"),
    ("PTR of an unknown address", frame(dns("9.9.9.10.in-addr.arpa", PTR)), "no_name"),
    ("PTR of an address that is not ready", frame(dns("1.5.1.10.in-addr.arpa", PTR)), "no_name"),
    ("PTR with a leading zero", frame(dns("01.0.1.10.in-addr.arpa", PTR)), "no_name"),
    ("PTR with a label too few", frame(dns("0.1.10.in-addr.arpa", PTR)), "no_name"),
    ("PTR with a label too many", frame(dns("x.1.0.1.10.in-addr.arpa", PTR)), "no_name"),
    ("more PTR records than fit", frame(dns("1.8.1.10.in-addr.arpa", PTR)), "too_big type"),
]


class Checker:
    def __init__(self, tap_, node_):
        self.tap = tap_
        self.node = node_
        self.oracle = oracle.Oracle(OBJECTS)
        self.xdp_programs = xdp.programs(node_)
        self.xdp_counts = collections.Counter()

    def xdp_pass_failure(self, data, ifindex=None):
        for hook, program in self.xdp_programs.items():
            _, code, out = self.node.ask_xdp(data, ifindex, program)
            if code != bpf.XDP_PASS or out != data:
                return "%s: code %d, %s" % (hook, code, "changed" if out != data else "unchanged")
        return None

    def pass_failure(self, data, verdicts, explains=True, **context):
        """What is wrong with a frame that must pass, or None. explains: the explain program must say the same; it asks neither
        whether the interface is answered on nor --allow-from."""
        verdict, code, out = self.node.ask(data, **context)
        if code != bpf.TC_ACT_UNSPEC or out != data:
            return "%s: code %d, %s" % (verdict, code, "changed" if out != data else "unchanged")
        if verdict not in verdicts.split():
            return "counted as %s, not %s" % (verdict, verdicts)
        before = self.node.counters.read()
        explained, out = self.node.ask_explain(data, **context)
        if self.node.counters.read() != before:
            return "explain moved a counter"
        if explains and (explained != verdict or out != data):
            return "counted as %s, explained as %s, %s" % (verdict, explained, "changed" if out != data else "unchanged")
        # An XDP frame is no GSO packet.
        return None if "gso_segs" in context else self.xdp_pass_failure(data, context.get("ifindex"))

    def passes(self, sentence, data, verdicts, **context):
        failure = self.pass_failure(data, verdicts, **context)
        self.tap.ok(failure is None, sentence + " passes unchanged", failure)

    def answer(self, question, family=4, mtu=1500, checksum="full", by="ask", **fields):
        """Asks, checks all of the answer. Returns (verdict, message); through XDP None where there was no room for it."""
        data = packet.query_frame(question.wire(), family, **fields)
        ifindex = self.node.pods[mtu].ifindex
        if by in self.xdp_programs:
            verdict, code, out = self.node.ask_xdp(data, ifindex, self.xdp_programs[by])
            if verdict is None:
                assert code == bpf.XDP_PASS and out == data, "code %d, changed" % code
                return None
            checksum = "full"  # nobody completes it
        elif by == "ask":
            verdict, code, out = self.node.ask(data, ifindex)
            assert code == bpf.TC_ACT_REDIRECT, "%s, code %d" % (verdict, code)
        else:
            before = self.node.counters.read()
            verdict, out = self.node.ask_explain(data, ifindex)
            assert self.node.counters.read() == before, "explain moved a counter"
        assert verdict in node.ANSWERS, verdict
        wire = packet.check_answer_frame(data, out, checksum)
        name = ".".join(label.decode() for label in labels_of(question.name_wire))
        entry = self.oracle.find(name)
        assert entry and self.oracle.must_answer(name, question.qtype), "the oracle knows no such answer: %s" % name
        want = message.check_answer(question, wire, entry, question.limit(family, mtu))
        assert verdict == want, "counted as %s, is %s" % (verdict, want)
        return verdict, message.Answer(wire)

    def answers_xdp(self, question, verdict, counts, len_of_tc, **fields):
        """The same through XDP, or passed where there is no room."""
        length = len(packet.query_frame(question.wire(), fields.get("family", 4), **{
            name: value for name, value in fields.items() if name not in ("family", "mtu", "checksum")}))
        for by in self.xdp_programs:
            got = self.answer(question, by=by, **fields)
            has_room = xdp.has_room(by, length, length + len_of_tc - len(question.wire()))
            assert has_room is None or has_room == (got is not None), "%s: %s" % (by, "passed" if got is None else "answered without room")
            if got:
                self.xdp_counts[by] += 1
                assert got[0] == verdict and (counts is None or tuple(got[1].counts[1:]) == counts), (by, got[0], got[1].message)
            else:
                self.xdp_counts[by + ", no room"] += 1

    def answers(self, sentence, question, verdict="answered", counts=None, **fields):
        """counts: (answer, authority, additional) sections."""
        with self.tap.case(sentence):
            for by in ("ask", "explain"):
                got, answer = self.answer(question, by=by, **fields)
                assert got == verdict, "%s, not %s" % (got, verdict)
                assert counts is None or tuple(answer.counts[1:]) == counts, answer.message
            self.answers_xdp(question, verdict, counts, len(answer.wire), **fields)


def labels_of(name_wire):
    labels, at = [], 0
    while name_wire[at]:
        labels.append(name_wire[at + 1 : at + 1 + name_wire[at]])
        at += 1 + name_wire[at]
    return labels


def check_passes(check):
    for sentence, data, verdicts in PASSES:
        check.passes(sentence, data, verdicts)
    check.passes("two segments in one GSO packet", frame(), "segments", gso_segs=2)
    check.passes("64 segments in one GSO packet", frame(family=6), "segments", gso_segs=64)
    check.passes("an interface that is not a pod's", frame(), "interface", explains=False, ifindex=1)
    check_other_interface(check)


def check_other_interface(check):
    """In the interface map as one that is not answered on, and in interface_slots at the place of the pod's."""
    ifindex = check.node.ifindex + INTERFACE_SLOTS
    subprocess.run("ip link add other index %d type veth peer name other1" % ifindex, shell=True, check=True)
    try:
        node.wait_until(lambda: check.node.interface(ifindex) == (1500, 0), "the other interface in the map, on no hook")
        check.passes("an interface that shares a pod's slot", frame(), "interface", explains=False, ifindex=ifindex)
    finally:
        subprocess.run("ip link del other", shell=True, check=True)


def check_sweeps(check):
    """Rows that stand for many frames."""
    def sweep(sentence, frames, verdicts):
        failures = ["%s: %s" % (what, failure) for what, data in frames
                    if (failure := check.pass_failure(data, verdicts)) is not None]
        check.tap.none_of(failures, sentence)

    question = dns(edns=Edns(options=cookie(24)))
    tag = ((packet.ETH_P_8021Q, 5),)
    # A test run refuses an untagged frame that does not hold the IP header.
    shortest4, shortest6, shortest = packet.ETH_LEN + packet.IPV4_LEN, packet.ETH_LEN + packet.IPV6_LEN, packet.ETH_LEN
    whole = [("IPv4", frame(), shortest4), ("IPv6", frame(family=6), shortest6), ("VLAN and IPv4", frame(tags=tag), shortest),
             ("IPv4 and an OPT", frame(question), shortest4), ("VLAN, IPv6 and an OPT", frame(question, family=6, tags=tag), shortest)]
    for name, data, least in whole:
        sweep("every frame cut off (%s) passes unchanged" % name, [(n, data[:n]) for n in range(least, len(data))], "not_dns length edns")
    sweep("every message cut off in a datagram that is right passes unchanged",
          [((family, n), frame(question[:n], family=family)) for n in range(len(question)) for family in (4, 6)],
          "length edns no_name class")
    sweep("every padding behind the packet passes unchanged", [(n, frame() + bytes(n)) for n in range(1, 900, 7)], "length")
    sweep("every trailing octet in a datagram that is right passes unchanged",
          [((family, n), frame(dns(extra=bytes(n)), family=family)) for n in range(1, 900, 7) for family in (4, 6)],
          "length class no_name")
    sweep("any octet for a letter in a label passes unchanged",
          [(octet, frame(raw_question(message.name_wire([b"w" + bytes([octet]) + b"b", b"t", b"svc", b"cluster", b"local"]))))
           for octet in range(256) if octet not in b"eE"], "no_name class length counts")
    sweep("any octet for the length of a label passes unchanged",
          [(octet, frame(raw_question(bytes([octet]) + message.name_wire(WEB)[1:]))) for octet in range(256) if octet != 3],
          "no_name class length")
    sweep("any octet for the root label passes unchanged",
          [(octet, frame(raw_question(message.name_wire(WEB)[:-1] + bytes([octet])))) for octet in range(1, 256)],
          "no_name class length")


def flipped(data, bit):
    out = bytearray(data)
    out[bit // 8] ^= 0x80 >> bit % 8
    return bytes(out)


def check_bit_flips(check):
    """Each bit but those that no checksum covers: MAC addresses, and of IPv6 traffic class, flow label, hop limit."""
    for family, uncovered in ((4, set()), (6, {14, 15, 16, 17, 21})):
        data = frame(dns(edns=Edns(options=cookie(8))), family=family)
        hooks = {"tc": (check.node.tc, bpf.TC_ACT_UNSPEC)}
        hooks.update((hook, (program, bpf.XDP_PASS)) for hook, program in check.xdp_programs.items())
        failures = []
        for bit in range(8 * 12, 8 * len(data)):
            for hook, (program, passed) in hooks.items() if bit // 8 not in uncovered else ():
                code, out = program.run(flipped(data, bit), check.node.ifindex)
                if code != passed or out != flipped(data, bit):
                    failures.append("bit %d: %s, code %d" % (bit, hook, code))
        check.tap.none_of(failures, "any single bit flipped on the way passes unchanged (IPv%d)" % family)


def check_all_values(check):
    """All 65,536 values of a field, by return code and the octets that must differ."""
    ifindex = check.node.ifindex

    def failure(run, data, want, codes):
        code, out = run(data, ifindex)
        if code != codes[want] or (not want and out != data):
            return "code %d" % code
        if want and struct.unpack_from("!H", out, 44)[0] != QR | AA | (struct.unpack_from("!H", data, 44)[0] & (RD | CD)):
            return "flags %s" % out[44:46].hex()
        return None

    def sweep(sentence, question_of, is_answered):
        failures = []
        hooks = [(check.node.tc.run, (bpf.TC_ACT_UNSPEC, bpf.TC_ACT_REDIRECT))]
        hooks += [(program.run, (bpf.XDP_PASS, bpf.XDP_TX)) for hook, program in check.xdp_programs.items() if hook == "xdp"]
        for value in range(65536):
            data, want = frame(question_of(value)), is_answered(value)
            failures += ["%d: %s" % (value, why) for run, codes in hooks if (why := failure(run, data, want, codes))]
        check.tap.none_of(failures, sentence)

    sweep("each QTYPE is answered or NODATA, but meta types pass", lambda value: dns(qtype=value),
          lambda value: value not in oracle.OTHER_META_TYPES)
    sweep("each QCLASS but IN passes", lambda value: dns(qclass=value), lambda value: value == 1)
    sweep("each flags word with QR, an opcode or TC passes, each other is answered with RD and CD alone echoed",
          lambda value: dns(flags=value), lambda value: not value & 0xFA00)


# ---- what is answered ----

def check_answers(check):
    answers = check.answers
    for family in (4, 6):
        of = "over IPv%d: " % family
        answers(of + "three A", Question(WEB), counts=(3, 0, 0), family=family)
        answers(of + "three AAAA", Question("six.t.svc.cluster.local", AAAA), counts=(3, 0, 0), family=family)
        answers(of + "SRV with glue of both families", Question("dual.t.svc.cluster.local", SRV, edns=Edns()), family=family)
        answers(of + "PTR of an IPv4 address", Question("1.0.1.10.in-addr.arpa", PTR), counts=(1, 0, 0), family=family)
        answers(of + "NODATA with the SOA", Question(WEB, AAAA), "nodata", (0, 1, 0), family=family)
        answers(of + "a VLAN-tagged frame", Question(WEB), counts=(3, 0, 0), family=family, tags=((packet.ETH_P_8021Q, 0x2005),))
        answers(of + "an 802.1ad tag", Question(WEB), counts=(3, 0, 0), family=family, tags=((packet.ETH_P_8021AD, 7),))
        answers(of + "a tag of a priority alone (VLAN 0)", Question(WEB), counts=(3, 0, 0), family=family, tags=((packet.ETH_P_8021Q, 0xA000),))
        answers(of + "a checksum left to the device is left to it in the answer", Question(WEB), family=family,
            checksum="partial", l4={"checksum": "partial"})
        answers(of + "addressed to another MAC (a bridge port)", Question(WEB), family=family, ether={"dst": bytes.fromhex("02aabbccddee")})
    answers("a UDP checksum of zero over IPv4", Question(WEB), counts=(3, 0, 0), l4={"checksum": 0})
    for fields in ({"tos": 0xB8}, {"ident": 0}, {"fragment": 0}, {"fragment": 0x8000}, {"ttl": 1}, {"ttl": 255}, {"fragment": 0x4000, "tos": 3}):
        answers("IPv4 with %s" % fields, Question(WEB), counts=(3, 0, 0), ip=fields)
    for fields in ({"traffic": 0xB8}, {"flow": 0xFFFFF}, {"hops": 1}, {"hops": 255}):
        answers("IPv6 with %s" % fields, Question(WEB), counts=(3, 0, 0), family=6, ip=fields)
    for sport in (1, 52, 54, 1023, 65535):
        answers("source port %d" % sport, Question(WEB), l4={"sport": sport})
    check_header_rows(answers)
    check_name_rows(answers)
    check_edns_rows(answers)
    check_chance_checksum(check)
    check_zero_checksum(check)


def check_header_rows(answers):
    names = {"RD": RD, "CD": CD, "AD": AD, "AA": AA, "RA": RA, "Z": Z, "rcode 15": 15}
    for count in (0, 1, 2, len(names)):
        for chosen in itertools.combinations(names, count):
            flags = sum(names[name] for name in chosen)
            answers("flags in the query: %s" % (" ".join(chosen) or "none"), Question(WEB, flags=flags))
    for ident in (0, 1, 0xFFFF):
        answers("ID %d" % ident, Question(WEB, ident=ident))


def check_name_rows(answers):
    for spelling in ("WEB.T.SVC.CLUSTER.LOCAL", "wEb.T.sVc.cLuStEr.LoCaL", "Web.t.svc.cluster.locaL"):
        answers("spelt %s" % spelling, Question(spelling), counts=(3, 0, 0))
        answers("NODATA spelt %s" % spelling, Question(spelling, MX), "nodata", (0, 1, 0))
        answers("SRV spelt %s" % spelling, Question(spelling, SRV), counts=(3, 0, 3))
    for qtype in (TXT, MX, NS, SOA, ANY, message.CNAME, PTR, 43, 64, 65, 257, 65280, 65535):
        answers("NODATA for type %d" % qtype, Question(WEB, qtype), "nodata", (0, 1, 0))
    rows = [
        ("one A alone", "one", A, (1, 0, 0)), ("its endpoint's name", "10-1-1-1.one", A, (1, 0, 0)),
        ("A of a dual-stack service", "dual", A, (2, 0, 0)), ("AAAA of it", "dual", AAAA, (2, 0, 0)),
        ("A of a hostname with both families", "d-1.dual", A, (1, 0, 0)), ("AAAA of it", "d-1.dual", AAAA, (1, 0, 0)),
        ("SRV of a hostname", "d-1.dual", SRV, (3, 0, 2)), ("SRV of a named port", "_http._tcp.web", SRV, (3, 0, 3)),
        ("A of a named port", "_http._tcp.web", A, (3, 0, 0)), ("SRV of an SCTP port", "_sig._sctp.dual", SRV, (2, 0, 4)),
        ("SRV of a UDP port", "_dns._udp.dual", SRV, (2, 0, 4)), ("A of a ClusterIP service", "cip", A, (1, 0, 0)),
        ("AAAA of a ClusterIP service", "cip", AAAA, (1, 0, 0)), ("SRV of a ClusterIP service: 53 once", "cip", SRV, (2, 0, 2)),
        ("SRV of a port of a ClusterIP service", "_dns-tcp._tcp.cip", SRV, (1, 0, 2)),
        ("a hostname behind a ClusterIP service", "pod-0.cip", A, (1, 0, 0)),
        ("an address name behind a ClusterIP service", "10-1-7-2.cip", A, (1, 0, 0)),
        ("a label of 63 octets", "n" * 63, A, (1, 0, 0)), ("two labels of 63 octets", "h" * 63 + "." + "n" * 63, A, (1, 0, 0)),
        ("SRV of labels of 63 octets", "n" * 63, SRV, (1, 0, 1)),
    ]
    for sentence, name, qtype, counts in rows:
        answers(sentence, Question(name + ".t.svc.cluster.local", qtype), counts=counts)
    for sentence, address in (("a ClusterIP", "10.96.1.1"), ("an IPv6 ClusterIP", "fd00:10:96::1:1"), ("an IPv6 endpoint", "fd00:1:2::1"),
                              ("an IPv6 endpoint without hostname", "fd00:1:3::2"), ("an endpoint with a hostname", "10.1.7.1")):
        answers("PTR of " + sentence, Question(oracle.reverse_name(address), PTR), counts=(1, 0, 0))
        answers("PTR in upper case of " + sentence, Question(oracle.reverse_name(address).upper(), PTR), counts=(1, 0, 0))


    answers("PTR of an address of two services: both names", Question("1.1.1.10.in-addr.arpa", PTR), counts=(2, 0, 0))


def check_edns_rows(answers):
    for size in (0, 1, 100, 511, 512, 513, 1232, 4096, 4097, 65535):
        answers("an OPT that offers %d" % size, Question(WEB, edns=Edns(size)), counts=(3, 0, 1))
    for z in (0x8000, 0x7FFF, 0xFFFF, 0x00FF, 0x4000, 1):
        answers("an OPT with flags %04x" % z, Question(WEB, edns=Edns(z=z)), counts=(3, 0, 1))
    answers("an OPT with an extended rcode", Question(WEB, edns=Edns(rcode=255)), counts=(3, 0, 1))
    answers("an OPT with an extended rcode, flags and a COOKIE", Question(WEB, edns=Edns(z=0xFFFF, rcode=255, options=cookie(8))), counts=(3, 0, 1))
    for length in (8, *range(16, 41)):
        answers("a COOKIE of %d octets" % length, Question(WEB, edns=Edns(options=cookie(length))), counts=(3, 0, 1))
        answers("NODATA, a COOKIE of %d octets" % length, Question(WEB, 15, edns=Edns(options=cookie(length))), "nodata", (0, 1, 1))
    answers("an OPT is last behind glue", Question("dual.t.svc.cluster.local", SRV, edns=Edns(options=cookie(16))))


def check_chance_checksum(check):
    """One full checksum in 65,536 equals the pseudo header's sum; the answer must have a full one then."""
    for family in (4, 6):
        src, dst = (packet.pack_address(text) for text in
                    ((packet.POD4, packet.SERVER4) if family == 4 else (packet.POD6, packet.SERVER6)))
        plain = Question(WEB, ident=0).wire()
        pseudo = packet.pseudo_header(src, dst, packet.UDP_LEN + len(plain))
        rest = packet.internet_sum(pseudo + packet.udp(plain, src, dst, checksum=0))
        wanted = packet.internet_sum(pseudo)
        ident = next(i for i in range(65536) if ~((rest + i) % 0xFFFF or 0xFFFF) & 0xFFFF == wanted)
        check.answers("a full checksum that looks like a partial one (IPv%d)" % family, Question(WEB, ident=ident), family=family)


def udp_checksum(answer, family):
    return int.from_bytes(answer[14 + (20 if family == 4 else 40) + 6:][:2], "big")


def check_zero_checksum(check):
    """A sum whose complement is zero is sent as 0xffff (RFC 768): zero says that there is none. One record, so that the answers differ
    in the ID alone, which is chosen for such a sum."""
    name = "one.t.svc.cluster.local"
    for family in (4, 6):
        def answer(ident):
            return check.node.ask(packet.query_frame(Question(name, ident=ident).wire(), family))[2]  # pylint: disable=cell-var-from-loop
        ident = udp_checksum(answer(0), family)
        check.answers("a UDP checksum of zero is sent as 0xffff (IPv%d)" % family, Question(name, ident=ident), family=family)
        check.tap.equal(udp_checksum(answer(ident), family), 0xFFFF, "and that is what is sent (IPv%d)" % family)


def check_sizes(check):
    answers = check.answers

    def big(qtype=A, size=None, name="big", **fields):
        return Question(name + ".t.svc.cluster.local", qtype, edns=None if size is None else Edns(size, **fields))

    answers("400 A without an OPT: 29, as CoreDNS", big(), "truncated", (29, 0, 0))
    answers("400 A with 512: 28", big(size=512), "truncated", (28, 0, 1))
    answers("400 A with 100: as with 512", big(size=100), "truncated", (28, 0, 1))
    answers("400 A with 1232: 73", big(size=1232), "truncated", (73, 0, 1))
    answers("400 A with 1232 and a cookie of 40", big(size=1232, options=cookie(40)), "truncated", (71, 0, 1))
    answers("400 A with 4096, MTU 1500: what one packet holds", big(size=4096), "truncated", (88, 0, 1))
    answers("400 A with 4096, MTU 9000", big(size=4096), "truncated", (252, 0, 1), mtu=9000)
    answers("400 A with 4096, MTU 9000, IPv6", big(size=4096), "truncated", (252, 0, 1), mtu=9000, family=6)
    answers("400 A over IPv6, MTU 1500", big(size=4096), "truncated", (87, 0, 1), family=6)
    answers("100 AAAA without an OPT", big(AAAA, name="big6"), "truncated", (16, 0, 0))
    answers("100 AAAA with 1232", big(AAAA, 1232, "big6"), "truncated", (42, 0, 1))
    answers("100 AAAA with 4096, MTU 9000: all", big(AAAA, 4096, "big6"), "answered", (100, 0, 1), mtu=9000)
    answers("60 SRV without an OPT: no glue", big(SRV, name="srv60"), "truncated")
    answers("60 SRV with 1232: no glue", big(SRV, 1232, "srv60"), "truncated", (22, 0, 1))
    answers("60 SRV with 4096, MTU 9000: glue as fits", big(SRV, 4096, "srv60"), "truncated", mtu=9000)
    answers("60 SRV of which 37 are stored, 4096, MTU 9000: cut where the stored ones end", big(SRV, 4096, "long"), "truncated", (37, 0, 1), mtu=9000)
    check.passes("60 SRV of which 37 are stored, 65535, MTU 9000", frame(big(SRV, 65535, "long").wire()), "too_big",
                 ifindex=check.node.pods[9000].ifindex)
    answers("PTR of one of 400", Question("7.0.2.10.in-addr.arpa", PTR), counts=(1, 0, 0))
    answers("MTU 600 limits", big(size=1232), "truncated", (32, 0, 1), mtu=600)
    answers("MTU 600 does not limit what is small", Question(WEB, edns=Edns()), counts=(3, 0, 1), mtu=600)
    for size in (4097, 8192, 65535):
        check.passes("400 A with %d, MTU 9000: larger than is built, it" % size, frame(big(size=size).wire()), "too_big",
                     ifindex=check.node.pods[9000].ifindex)
    check_whole_threshold(check)
    check_mtu_follows(check)


def check_whole_threshold(check):
    """At each size around the whole answer's: TC one octet below, whole from there on."""
    for name, qtype, count in (("srv60", A, 60), ("big6", AAAA, 100), ("dual", SRV, 6)):
        with check.tap.case("TC exactly below the size of the whole (%s, type %d)" % (name, qtype)):
            question = Question(name + ".t.svc.cluster.local", qtype, edns=Edns())
            whole = message.full_len(question, check.oracle.find(name + ".t.svc.cluster.local"))
            for size in range(max(512, whole - 40), whole + 3):
                question.edns.size = size
                verdict, _ = check.answer(question, mtu=9000)
                assert verdict == ("truncated" if size < whole else "answered"), (size, whole, verdict)


def check_mtu_follows(check):
    """The limit is exactly one packet of the MTU that the interface has now."""
    pod = check.node.pods[600]
    name = "srv60.t.svc.cluster.local"
    question = Question(name, edns=Edns(4096))
    whole = message.full_len(question, check.oracle.find(name)) + packet.IPV4_LEN + packet.UDP_LEN
    for mtu, want in ((whole - 1, "truncated"), (whole, "answered"), (whole - 1, "truncated")):
        with check.tap.case("an MTU changed to %d is followed: %s" % (mtu, want)):
            subprocess.run(["ip", "link", "set", pod.name, "mtu", str(mtu)], check=True)
            node.wait_until(lambda: check.node.interface(pod.ifindex)[0] == mtu, "the new MTU in the interface map")
            data = frame(question.wire())
            verdict, _, out = check.node.ask(data, pod.ifindex)
            message.check_answer(question, packet.check_answer_frame(data, out), check.oracle.find(name), question.limit(4, mtu))
            assert verdict == want, verdict


def check_buffers(check):
    """A frame in several buffers passes, wherever it is cut: also where the first one alone would be a whole query."""
    whole, ifindex = frame(dns(edns=Edns())), check.node.ifindex
    frames = [(linear, whole + bytes(extra)) for extra in (0, 1, 16, 400) for linear in (14, 34, 42, 54, len(whole) - 1, len(whole))]
    frames = [(linear, data) for linear, data in frames if linear < len(data)]
    try:
        for data in (whole, whole + bytes(16)):
            check.node.xdp.run(data, ifindex, len(data) - 1)
    except OSError as e:
        check.tap.skip("frames of several buffers", "this kernel's test runs do not split a small frame: %s" % e)
        return
    failures = []
    for linear, data in frames:
        before = check.node.counters.read()
        code, out = check.node.xdp.run(data, ifindex, linear)
        if (code, out) != (bpf.XDP_PASS, data) or check.node.counters.read() != before:
            failures.append("%d of %d octets in the first buffer: code %d" % (linear, len(data), code))
    check.tap.none_of(failures, "frames of several buffers pass unchanged")


def check_xdp_counts(check):
    if not check.xdp_programs:
        check.tap.skip("every row through XDP", "Linux 5.15 runs XDP programs as on an interface")
        return
    check.tap.note("rows by hook: %s" % dict(check.xdp_counts))
    for hook, least in (("xdp", 200), ("xdp without tail room", 180), ("xdp, no room", 3), ("xdp without tail room, no room", 15)):
        check.tap.ok(check.xdp_counts[hook] >= least, "at least %d answers: %s" % (least, hook), check.xdp_counts)


# ---- other agents ----

def check_stale(tap_):
    with node.Node(OBJECTS, ["--stale-after", "1s"]) as stopped, tap_.case("without a heartbeat everything passes as stale, with one again not"):
        def verdict():
            return stopped.ask(frame())[0]

        # On a busy machine a beat may be late.
        node.wait_until(lambda: verdict() == "answered", "the gate open")
        stopped.freeze()
        node.wait_until(lambda: verdict() == "stale", "the gate shut")
        before = frame()
        assert stopped.ask(before)[1:] == (bpf.TC_ACT_UNSPEC, before)
        os.kill(stopped.process.pid, signal.SIGCONT)
        node.wait_until(lambda: verdict() == "answered", "the gate open again")


def check_closed(tap_):
    nameless = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "t"}, "spec": {"clusterIP": "None"}}
    with node.Node(OBJECTS) as closing, tap_.case("an object that has no name closes the gate until it is gone"):
        def verdict():
            return closing.ask(frame())[0]

        assert verdict() == "answered", verdict()
        closing.write(OBJECTS + [nameless])
        node.wait_until(lambda: verdict() == "closed", "the gate closed")
        closing.write(OBJECTS)
        node.wait_until(lambda: verdict() == "answered", "the gate open again")


def check_levels(tap_):
    ports = {4: "10.96.0.11", 6: "fd00:10:96::b"}
    with node.Node(OBJECTS, ["--answer", "headless", "--server", ports[4] + ":5353", "--server", "[%s]:5353" % ports[6]]) as headless:
        check = Checker(tap_, headless)
        check.oracle = oracle.Oracle(OBJECTS, level="headless")
        for family, address in ports.items():
            check.answers("a server with a port of its own, IPv%d" % family, Question(WEB), counts=(3, 0, 0), family=family, dst=address, l4={"dport": 5353})
            check.passes("port 53 of that server, IPv%d" % family, frame(family=family, dst=address), "not_dns")
        check.answers("--answer headless: a headless service", Question(WEB), counts=(3, 0, 0))
        check.answers("--answer headless: NODATA of it", Question(WEB, AAAA), "nodata", (0, 1, 0))
        check.answers("--answer headless: SRV of it", Question(WEB, SRV), counts=(3, 0, 3))
        check.passes("--answer headless: a ClusterIP service", frame(dns("cip.t.svc.cluster.local")), "no_name name_passed")
        check.passes("--answer headless: an endpoint behind it", frame(dns("pod-0.cip.t.svc.cluster.local")), "no_name name_passed")
        check.passes("--answer headless: PTR", frame(dns("1.0.1.10.in-addr.arpa", PTR)), "no_name name_passed")


def check_allowed(tap_):
    arguments = ["--interface", "lo", "--allow-from", "10.0.1.0/24", "--allow-from", "fd00:10:0:1::/64"]
    with node.Node(OBJECTS, arguments) as allowing:
        check = Checker(tap_, allowing)
        check.node.pods[1500].ifindex = check.node.ifindex = 1
        with tap_.case("--allow-from: an interface that is no pod's is attached"):
            node.wait_until(lambda: allowing.ask(frame())[0] != "interface", "lo in the interface map")
        check.answers("--allow-from: a source within", Question(WEB), counts=(3, 0, 0))
        check.answers("--allow-from: an IPv6 source within", Question(WEB), counts=(3, 0, 0), family=6)
        check.passes("--allow-from: a source outside", frame(src="10.0.2.5"), "source", explains=False, ifindex=1)
        check.passes("--allow-from: an IPv6 source outside", frame(family=6, src="fd00:10:0:2::5"), "source", explains=False, ifindex=1)


def check_settings(tap_):
    with node.Node(OBJECTS, ["--ttl", "600"]) as slow, tap_.case("--ttl 600: records 600, the SOA 300 with MINIMUM 600"):
        entry = oracle.Oracle(OBJECTS).find(WEB)
        for qtype, want in ((A, "answered"), (AAAA, "nodata")):
            question = Question(WEB, qtype)
            data = frame(question.wire())
            _, _, out = slow.ask(data)
            got = message.check_answer(question, packet.check_answer_frame(data, out), entry, 512, ttl=600)
            assert got == want, got


def check_collisions(tap_):
    """The hash folds case by one bit, so that an underscore and DEL are one octet to it: names with the same hash by construction. Only
    the comparison of the whole name tells them apart, in its whole words and in the octets behind them."""
    with node.Node(OBJECTS, ["--zone", "c_d"]) as running:
        check = Checker(tap_, running)
        for what, name in (("in its first word", "_http._tcp.dual.t.svc.c_d"), ("in the octets behind the last word", "web.t.svc.c_d")):
            wire = message.name_wire(name)
            at = wire.index(b"_") if name.startswith("_") else wire.rindex(b"_")
            assert at < 8 if name.startswith("_") else at >= len(wire) // 8 * 8, "the octet is where it is said to be"
            verdict, _, _ = running.ask(frame(raw_question(wire)))
            tap_.equal(verdict, "answered", "%s is a name of ours" % name)
            twin = wire[:at] + b"\x7f" + wire[at + 1:]
            check.passes("a name of the same hash that differs %s" % what, frame(raw_question(twin)), "no_name")


def check_type_passed(tap_):
    """One type of a name is more than a page of the arena holds: it is passed, not told to be empty; other types are answered."""
    most = 1 << 16
    endpoints = [cluster.endpoint("10.%d.%d.%d" % (64 + (i >> 16), i >> 8 & 255, i & 255)) for i in range(most)]
    with node.Node(cluster.headless("t", "vast", endpoints, per_slice=1000)) as running:
        check = Checker(tap_, running)
        check.passes("A of a name with %d addresses" % most, frame(dns("vast.t.svc.cluster.local")), "type")
        tap_.equal(running.ask(frame(dns("vast.t.svc.cluster.local", AAAA)))[0], "nodata", "its AAAA is answered")


def main(tap_):
    with node.Node(OBJECTS, mtus=MTUS) as running:
        check = Checker(tap_, running)
        check.answers("the query that all rows vary is answered", Question(WEB), counts=(3, 0, 0))
        check_passes(check)
        check_sweeps(check)
        check_bit_flips(check)
        check_all_values(check)
        check_answers(check)
        check_sizes(check)
        check.answers("after all that the query is answered still", Question(WEB), counts=(3, 0, 0))
        check_buffers(check)
        check_xdp_counts(check)
    check_stale(tap_)
    check_closed(tap_)
    check_levels(tap_)
    check_allowed(tap_)
    check_settings(tap_)
    check_collisions(tap_)
    check_type_passed(tap_)


if __name__ == "__main__":
    node.enter_namespaces()
    tap.run(main)
