# SPDX-License-Identifier: Apache-2.0
"""DNS messages: questions built octet by octet, answers taken apart by dnspython and compared with what must be in them."""

import dataclasses
import struct

import dns.message
import dns.name
import dns.rdatatype

HEADER_LEN = 12
OPT_LEN = 11
A_LEN, AAAA_LEN, SRV_LEN, PTR_LEN, SOA_LEN = 16, 28, 18, 12, 54
UDP_SIZE_MIN = 512
MESSAGE_MAX = 4096

QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010
FLAGS = {"QR": QR, "AA": AA, "TC": TC, "RD": RD, "RA": RA, "Z": Z, "AD": AD, "CD": CD}
IN = 1
A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, IXFR, AXFR, ANY = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 251, 252, 255
COOKIE = 10


def name_wire(name):
    """Wire format of text (dots divide, no escapes) or of a sequence of labels (octets)."""
    if isinstance(name, str):
        name = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in name) + b"\0"


def text_of(name):
    """A dns.name.Name in lower case without the last dot, as the oracle writes it."""
    return b".".join(name.labels[:-1]).lower().decode("latin-1")


@dataclasses.dataclass
class Edns:
    size: int = 1232
    z: int = 0  # DO is 0x8000
    version: int = 0
    options: tuple = ()  # (code, octets)
    rcode: int = 0
    owner: bytes = b"\0"
    rdlength: int = None  # None: the right one

    def wire(self):
        data = b"".join(struct.pack("!HH", code, len(value)) + value for code, value in self.options)
        length = len(data) if self.rdlength is None else self.rdlength
        return self.owner + struct.pack("!HHBBHH", OPT, self.size, self.rcode, self.version, self.z, length) + data

    def answer_wire(self):
        """The OPT of an answer: the client's size and cookie, DO and the high octet of Z."""
        return dataclasses.replace(self, z=self.z & 0xFF00, rcode=0).wire()


@dataclasses.dataclass
class Question:
    name: object
    qtype: int = A
    flags: int = RD
    qclass: int = IN
    ident: int = 0x2BAD
    edns: Edns = None
    counts: tuple = None  # None: what is there
    extra: bytes = b""    # behind everything else
    questions: int = 1

    def __post_init__(self):
        self.name_wire = self.name if isinstance(self.name, bytes) else name_wire(self.name)

    def question_wire(self):
        return self.name_wire + struct.pack("!HH", self.qtype, self.qclass)

    def wire(self):
        counts = self.counts or (self.questions, 0, 0, 1 if self.edns else 0)
        return (struct.pack("!HHHHHH", self.ident, self.flags, *counts) + self.question_wire() * self.questions
            + (self.edns.wire() if self.edns else b"") + self.extra)

    def limit(self, family, mtu):
        """Octets of the largest answer: the client's size, one unfragmented packet."""
        client = max(UDP_SIZE_MIN, self.edns.size) if self.edns else UDP_SIZE_MIN
        return min(client, mtu - (28 if family == 4 else 48))

    def base_len(self):
        return HEADER_LEN + len(self.question_wire()) + (len(self.edns.answer_wire()) if self.edns else 0)


def _need(condition, what, *values):
    if not condition:
        raise AssertionError("%s: %s" % (what, ", ".join(map(repr, values))))


class Answer:
    """What dnspython finds in a message: lists of (owner name, ttl, rdata), one for each record."""

    def __init__(self, wire):
        self.wire = wire
        self.ident, self.flags, *self.counts = struct.unpack_from("!HHHHHH", wire)
        try:
            message = dns.message.from_wire(wire, one_rr_per_rrset=True)
        except Exception as e:
            raise AssertionError("dnspython: %s %s: %s" % (type(e).__name__, e, wire.hex())) from None
        self.message = message
        self.answer = self._records(message.answer)
        self.authority = self._records(message.authority)
        self.additional = self._records(message.additional)
        found = [1, len(self.answer), len(self.authority), len(self.additional) + (message.opt is not None)]
        _need(found == self.counts, "counts are those of the sections", found, self.counts)
        self.is_truncated = bool(self.flags & TC)

    @staticmethod
    def _records(section):
        records = []
        for rrset in section:
            _need(rrset.rdclass == IN and len(rrset) == 1, "class IN, one record", rrset)
            records.append((rrset.name, rrset.ttl, rrset[0]))
        return records


def check_frame_of(question, answer):
    """Header, question and OPT of an answer, octet by octet."""
    _need(answer.ident == question.ident, "ID kept", answer.ident, question.ident)
    flags = QR | AA | (question.flags & (RD | CD)) | (answer.flags & TC)
    _need(answer.flags == flags, "flags", hex(answer.flags), hex(flags))
    asked = question.question_wire()
    _need(answer.wire[HEADER_LEN : HEADER_LEN + len(asked)] == asked, "question echoed", answer.wire[:80])
    _need((answer.message.opt is not None) == (question.edns is not None), "OPT if and only if one was sent", answer.wire)
    if question.edns:
        _need(answer.wire.endswith(question.edns.answer_wire()), "OPT last, echoed", answer.wire[-80:], question.edns.answer_wire())


def _plain(record, owner_name):
    """(type, owner or None where it is exactly the question's name, what RDATA says)."""
    name, _, rdata = record
    owner = None if owner_name is not None and name.labels == owner_name.labels else text_of(name)
    kind = rdata.rdtype
    if kind in (A, AAAA):
        return kind, owner, rdata.address
    if kind == SRV:
        _need(rdata.priority == 0, "SRV priority 0", rdata)
        return kind, owner, (rdata.weight, rdata.port, text_of(rdata.target))
    if kind == PTR:
        return kind, owner, text_of(rdata.target)
    return kind, owner, rdata.to_text()


def _check_soa(question, answer, ttl, zone):
    _need(not answer.answer and not answer.additional and len(answer.authority) == 1, "NODATA has one SOA alone", answer.message)
    owner, soa_ttl, soa = answer.authority[0]
    _need(soa.rdtype == SOA and soa_ttl == min(ttl, 300), "SOA and its TTL", soa, soa_ttl)
    zone_labels = zone.count(".") + 2
    asked = answer.message.question[0].name
    _need(owner.labels == asked.labels[-zone_labels:], "SOA owner is the zone as asked", owner, asked)
    _need(text_of(owner) == zone, "SOA owner is the zone", owner)
    _need(text_of(soa.mname) == "ns.dns." + zone and text_of(soa.rname) == "hostmaster." + zone, "SOA names", soa)
    _need((soa.refresh, soa.retry, soa.expire, soa.minimum) == (7200, 1800, 86400, ttl), "SOA timers", soa)


def _record_len(kind, value):
    if kind == A:
        return A_LEN
    if kind == AAAA:
        return AAAA_LEN
    target = value[2] if kind == SRV else value
    return (SRV_LEN if kind == SRV else PTR_LEN) + len(name_wire(target))


def _check_cut(kept, full, room, what):
    """kept is a part of full that leaves no room for the next one, whichever that was."""
    used = sum(_record_len(k, v) for k, _, v in kept)
    _need(used <= room, what + " fits", used, room)
    dropped = set(full) - set(kept)
    _need(dropped, what + ": something was dropped")
    largest = max(_record_len(k, v) for k, _, v in dropped)
    _need(used + largest > room, what + ": as many whole records as fit", used, largest, room)


def _check_part(kept, full, what):
    _need(len(set(kept)) == len(kept), what + " without duplicates", kept)
    _need(set(kept) <= set(full), what + " holds nothing foreign", sorted(set(kept) - set(full), key=repr))


def expected_records(entry, qtype):
    """(answers, additionals) as _plain gives them."""
    if qtype == A:
        return [(A, None, address) for address in entry.a], []
    if qtype == AAAA:
        return [(AAAA, None, address) for address in entry.aaaa], []
    if qtype == SRV:
        glue = [(AAAA if ":" in address else A, target, address) for target, address in entry.glue]
        return [(SRV, None, srv) for srv in entry.srv], glue
    if qtype == PTR:
        return [(PTR, None, target) for target in entry.ptr], []
    return [], []


def full_len(question, entry):
    """Octets of the whole answer as the datapath compresses it."""
    answers, glue = expected_records(entry, question.qtype)
    body = sum(_record_len(kind, value) for kind, _, value in answers + glue)
    return question.base_len() + (body or SOA_LEN)


def check_answer(question, wire, entry, limit, ttl=5, zone="cluster.local"):
    """Everything about an answer to a question whose name has this entry (oracle.Entry). Returns the verdict's name that
    belongs to it; AssertionError tells what is wrong."""
    _need(len(wire) <= min(limit, MESSAGE_MAX), "within the size limit", len(wire), limit)
    answer = Answer(wire)
    check_frame_of(question, answer)
    want, want_glue = expected_records(entry, question.qtype)
    if not want:
        _need(not answer.is_truncated, "NODATA is never truncated", answer.message)
        _check_soa(question, answer, ttl, zone)
        return "nodata"
    _need(not answer.authority, "no authority section", answer.message)
    _need(all(record[1] == ttl for record in answer.answer + answer.additional), "TTL", answer.message)
    asked = answer.message.question[0].name
    got = [_plain(record, asked) for record in answer.answer]
    got_glue = [_plain(record, None) for record in answer.additional]
    _check_part(got, want, "answer")
    _check_part(got_glue, want_glue, "additional")
    if not answer.is_truncated:
        _need(len(got) == len(want) and len(got_glue) == len(want_glue), "whole unless TC", len(got), len(want), len(got_glue), len(want_glue))
        return "answered"
    room = limit - question.base_len()
    _need(full_len(question, entry) > limit, "TC only where the whole does not fit", full_len(question, entry), limit)
    if len(got) < len(want):
        _need(not got_glue, "glue is dropped before answers", answer.message)
        _check_cut(got, want, room, "answer")
    else:
        _check_cut(got_glue, want_glue, room - sum(_record_len(k, v) for k, _, v in got), "additional")
    return "truncated"
