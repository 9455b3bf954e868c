# SPDX-License-Identifier: Apache-2.0
"""Frames: built with right or deliberately wrong fields, and a strict reader of the answer to one."""

import socket
import struct

ETH_P_IP = 0x0800
ETH_P_IPV6 = 0x86DD
ETH_P_8021Q = 0x8100
ETH_P_8021AD = 0x88A8
IPPROTO_TCP = 6
IPPROTO_UDP = 17

POD_MAC = bytes.fromhex("0a580a000105")
NODE_MAC = bytes.fromhex("be5f10c0de01")
POD4, POD6 = "10.0.1.5", "fd00:10:0:1::5"
SERVER4, SERVER6 = "10.96.0.10", "fd00:10:96::a"
POD_PORT = 40053

IPV4_LEN, IPV6_LEN, UDP_LEN, ETH_LEN, VLAN_LEN = 20, 40, 8, 14, 4


def pack_address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def internet_sum(data):
    """Ones-complement sum (RFC 1071), folded, not complemented."""
    if len(data) % 2:
        data += b"\0"
    # A number of 16-bit digits modulo 0xffff is the sum of its digits with end-around carry.
    total = int.from_bytes(data, "big")
    return (total % 0xFFFF or 0xFFFF) if total else 0


def pseudo_header(src, dst, length):
    """RFC 768, RFC 8200 section 8.1; addresses packed."""
    if len(src) == 4:
        return src + dst + struct.pack("!BBH", 0, IPPROTO_UDP, length)
    return src + dst + struct.pack("!IHBB", length, 0, 0, IPPROTO_UDP)


def udp(payload, src, dst, sport=POD_PORT, dport=53, length=None, checksum=None):
    """checksum: a number, or None for the right one, or "wrong", or "partial" (the pseudo header's sum alone, as in a
    CHECKSUM_PARTIAL packet)."""
    length = UDP_LEN + len(payload) if length is None else length
    plain = struct.pack("!HHHH", sport, dport, length & 0xFFFF, 0) + payload
    right = ~internet_sum(pseudo_header(src, dst, length & 0xFFFF) + plain) & 0xFFFF or 0xFFFF
    if checksum is None:
        checksum = right
    elif checksum == "wrong":
        checksum = right ^ 0x0101 or 0x0101
    elif checksum == "partial":
        checksum = internet_sum(pseudo_header(src, dst, length))
    return plain[:6] + struct.pack("!H", checksum) + payload


def ipv4(payload, src, dst, proto=IPPROTO_UDP, options=b"", total=None, ihl=None, version=4, tos=0, ident=0x1234,
         fragment=0x4000, ttl=63, checksum=None):
    """fragment: flags and offset; 0x4000 is DF."""
    ihl = 5 + len(options) // 4 if ihl is None else ihl
    total = IPV4_LEN + len(options) + len(payload) if total is None else total
    header = struct.pack("!BBHHHBBH", version << 4 | ihl, tos, total & 0xFFFF, ident, fragment, ttl, proto, 0) + src + dst
    right = ~internet_sum(header + options) & 0xFFFF
    checksum = right if checksum is None else right ^ 0x0101 if checksum == "wrong" else checksum
    return header[:10] + struct.pack("!H", checksum) + header[12:] + options + payload


def ipv6(payload, src, dst, next_header=IPPROTO_UDP, length=None, version=6, traffic=0, flow=0x12345, hops=63, extension=b""):
    length = len(extension) + len(payload) if length is None else length
    return struct.pack("!IHBB", version << 28 | traffic << 20 | flow, length & 0xFFFF, next_header, hops) + src + dst + extension + payload


def ethernet(payload, ethertype, tags=(), src=POD_MAC, dst=NODE_MAC):
    """tags: (tag protocol, tag control) from the outermost on."""
    return dst + src + b"".join(struct.pack("!HH", *tag) for tag in tags) + struct.pack("!H", ethertype) + payload


def query_frame(dns, family=4, tags=(), src=None, dst=None, ether=None, ip=None, l4=None):
    """A whole frame; ether, ip, l4: dicts of fields that deviate."""
    src = pack_address(src or (POD4 if family == 4 else POD6))
    dst = pack_address(dst or (SERVER4 if family == 4 else SERVER6))
    datagram = udp(dns, src, dst, **(l4 or {}))
    packet = (ipv4 if family == 4 else ipv6)(datagram, src, dst, **(ip or {}))
    return ethernet(packet, ETH_P_IP if family == 4 else ETH_P_IPV6, tags, **(ether or {}))


def _check(condition, what, *values):
    if not condition:
        raise AssertionError(what + (": " + ", ".join(v.hex() if isinstance(v, bytes) else repr(v) for v in values) if values else ""))


def _link_len(frame):
    return ETH_LEN + VLAN_LEN * (struct.unpack_from("!H", frame, 12)[0] in (ETH_P_8021Q, ETH_P_8021AD))


def _check_ipv4(query, packet):
    version, _, total, ident, fragment, ttl, proto, _ = struct.unpack_from("!BBHHHBBH", packet)
    _check(version == 0x45, "IPv4 version and header length", version)
    _check(total == len(packet), "IPv4 total length", total, len(packet))
    _check(ident == 0 and fragment == 0, "IPv4 ID 0, DF clear, no fragment", ident, fragment)
    _check(ttl == 64, "TTL 64", ttl)
    _check(proto == IPPROTO_UDP, "protocol UDP", proto)
    _check(internet_sum(packet[:IPV4_LEN]) == 0xFFFF, "IPv4 header checksum", packet[:IPV4_LEN])
    _check(packet[12:16] == query[16:20] and packet[16:20] == query[12:16], "addresses swapped", packet[12:20])
    return packet[12:16], packet[16:20], packet[IPV4_LEN:]


def _check_ipv6(query, packet):
    _check(packet[0] >> 4 == 6, "IPv6 version", packet[0])
    length, next_header, hops = struct.unpack_from("!HBB", packet, 4)
    _check(length == len(packet) - IPV6_LEN, "IPv6 payload length", length, len(packet))
    _check(next_header == IPPROTO_UDP, "next header UDP", next_header)
    _check(hops == 64, "hop limit 64", hops)
    _check(packet[8:24] == query[24:40] and packet[24:40] == query[8:24], "addresses swapped", packet[8:40])
    return packet[8:24], packet[24:40], packet[IPV6_LEN:]


def check_answer_frame(query, answer, checksum="full"):
    """The DNS message in the answer; AssertionError where a header is not exactly what belongs there. checksum: "full", or
    "partial" where the query had only the pseudo header's sum: then that of the answer, or the full one."""
    link = _link_len(query)
    _check(len(answer) > link + IPV4_LEN + UDP_LEN, "too short", len(answer))
    _check(answer[:6] == query[6:12] and answer[6:12] == query[:6], "MAC addresses swapped", answer[:12])
    _check(answer[12:link] == query[12:link], "tag and ethertype kept", answer[12:link], query[12:link])
    is_ipv4 = struct.unpack_from("!H", query, link - 2)[0] == ETH_P_IP
    src, dst, datagram = (_check_ipv4 if is_ipv4 else _check_ipv6)(query[link:], answer[link:])
    sport, dport, length, field = struct.unpack_from("!HHHH", datagram)
    asked = struct.unpack_from("!HH", query, link + (IPV4_LEN if is_ipv4 else IPV6_LEN))
    _check((dport, sport) == asked, "ports swapped", sport, dport)
    _check(length == len(datagram), "UDP length", length, len(datagram))
    pseudo = pseudo_header(src, dst, length)
    _check(field != 0, "UDP checksum present")
    is_full = internet_sum(pseudo + datagram) == 0xFFFF
    is_partial = checksum == "partial" and field == internet_sum(pseudo)
    _check(is_full or is_partial, "UDP checksum", field)
    return datagram[UDP_LEN:]
