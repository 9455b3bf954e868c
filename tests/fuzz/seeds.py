#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Writes the first inputs of the fuzz targets into DIR/<target>/: seeds.py DIR. The corpora in tests/fuzz/corpus grew from these
(`make fuzz-merge`); it is run again when an input's form changes.
"""

import json
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))

import packet  # noqa: E402
from message import Edns, Question  # noqa: E402

A, SOA, PTR, MX, TXT, AAAA, SRV, OPT, ANY = 1, 6, 12, 15, 16, 28, 33, 41, 255
WEB = "web.default.svc.cluster.local"
REPAIR_NAME, REPAIR_ALL = 32, 7
TC, EXPLAIN, XDP = 0, 1, 2


class Seeds:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.counts = {}

    def add(self, target, data):
        folder = self.folder / target
        folder.mkdir(parents=True, exist_ok=True)
        number = self.counts[target] = self.counts.get(target, 0) + 1
        (folder / ("seed-%03d" % number)).write_bytes(data if isinstance(data, bytes) else data.encode())


def packets(seeds):
    """Head: program, repairs, world, name, random, mode (fuzz_packet.c)."""

    def add(dns, program=TC, repairs=0, world=0, name=0, random=0, mode=0, **fields):
        fields.setdefault("family", 4)
        seeds.add("packet", bytes((program, repairs, world, name, random, mode)) + packet.query_frame(dns, **fields))

    names = ["n1.default.svc.cluster.local", "n300.default.svc.cluster.local", "N2000.Default.svc.cluster.local", "_http._tcp." + WEB,
             "_cut._tcp." + WEB, "passed.default.svc.cluster.local", "unknown.default.svc.cluster.local", "5.1.0.10.in-addr.arpa",
             "8.1.0.10.in-addr.arpa"]
    for number, name in enumerate(names):
        for qtype in (PTR,) if "arpa" in name else (A, AAAA, SRV, TXT):
            question = Question(name, qtype, ident=0x1234 + number)
            add(question.wire(), program=number % 3, random=number, family=4 + 2 * (qtype % 2))
    for program in (TC, EXPLAIN, XDP):
        for edns in (Edns(1232), Edns(4096), Edns(512, options=((10, b"12345678"),)), Edns(65535, options=((10, bytes(range(40))),)),
                     Edns(1232, options=((3, b""),)), Edns(1232, version=1)):
            for number in (3, 12, 17):
                add(Question("a.b.cluster.local", SRV if number == 17 else A, edns=edns).wire(), program, REPAIR_NAME | REPAIR_ALL, random=number,
                    world=number % 5, name=number)
    for number in range(40):
        add(Question("a.b.cluster.local", (A, AAAA, SRV, PTR, MX)[number % 5]).wire(), number % 3, REPAIR_NAME | REPAIR_ALL, number * 6, number,
            number * 3, family=4 + 2 * (number % 2))
    for name in ("_http", "_one", "_bare", "_many", "_all", "_cut", "_long"):
        for size, world in ((1232, 0), (4096, 1), (4000, 4), (65535, 1)):
            add(Question(name + "._tcp." + WEB, SRV, edns=Edns(size)).wire(), world=world)
    plain = Question(names[0], A).wire()
    for mode in range(128, 144):
        add(plain, mode % 3, mode=mode, random=mode)
    add(plain, tags=((0x8100, 7),))
    add(plain, tags=((0x88A8, 7),), family=6, program=XDP)
    add(plain, tags=((0x8100, 7), (0x8100, 8)))
    for l4 in ({"checksum": "wrong"}, {"checksum": "partial"}, {"checksum": 0}, {"sport": 53}, {"dport": 54}, {"length": 30}):
        for family in (4, 6):
            add(plain, l4=l4, family=family)
    add(plain, l4={"checksum": "partial"}, program=XDP)
    for ip in ({"options": bytes(4)}, {"checksum": "wrong"}, {"fragment": 0x2000}, {"total": 60}, {"proto": 6}):
        add(plain, ip=ip)
    add(plain, dst="10.96.0.11")
    add(plain, src="192.0.2.1", world=3)
    add(struct.pack("!HHHHHH", 1, 0x8000, 1, 0, 0, 0) + plain[12:])
    add(struct.pack("!HHHHHH", 1, 0x0110, 2, 0, 0, 0) + plain[12:] * 2)


def objects(seeds):
    """Head: pieces, form (fuzz_objects.c)."""
    whole = json.loads((ROOT / "tests/data/scenarios/all.json").read_text())
    items = whole["items"]
    for first in range(0, len(items), 6):
        part = {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items[first:first + 6]}
        seeds.add("objects", bytes((first, 0)) + json.dumps(part, separators=(",", ":")).encode())
    for item in items[::5]:
        seeds.add("objects", bytes((0, 1)) + json.dumps(item, separators=(",", ":")).encode())
    for path in sorted((ROOT / "tests/data/api").glob("*.jsonl")):
        lines = path.read_bytes().splitlines()
        seeds.add("objects", bytes((3, 2)) + b"\n".join(lines[:6]))
    for path in sorted((ROOT / "tests/data/api").glob("*.json")):
        text = path.read_bytes()
        if len(text) < 2500:
            seeds.add("objects", bytes((1, 3)) + text)
        if b'"items"' in text and len(text) < 6000:
            seeds.add("objects", bytes((9, 0)) + text)


PEM = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="
CONTEXT = "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
CLUSTERS = "clusters: [{name: k, cluster: {server: https://10.0.0.1:6443}}]\n"
USERS = "users: [{name: u, user: {token: secret}}]\n"


def kubeconfigs(seeds):
    for text in (
        CONTEXT + CLUSTERS + USERS,
        "apiVersion: v1\nkind: Config\npreferences: {}\ncurrent-context: c\nclusters:\n- cluster:\n    certificate-authority-data: " + PEM
        + "\n    server: https://[fd00::1]:6443\n    extensions:\n    - name: x\n      extension: {a: 1}\n  name: k\n"
        "contexts:\n- context:\n    cluster: k\n    namespace: web\n    user: u\n  name: c\n"
        "users:\n- name: u\n  user:\n    client-certificate-data: " + PEM + "\n    client-key-data: " + PEM + "\n",
        CONTEXT + USERS + "base: &base {server: 'https://h/a//', tls-server-name: a}\n"
        "clusters: [{name: k, cluster: {<<: *base, proxy-url: 'socks5://p:1', insecure-skip-tls-verify: true}}]\n",
        CONTEXT + USERS + "a: &a {x: 1}\nb: &b {server: https://h}\nclusters: [{name: k, cluster: {<<: [*a, *b]}}]\n",
        CONTEXT + CLUSTERS + "users: [{name: u, user: {tokenFile: /t, client-certificate: c.pem, client-key: /k}}]\n",
        CONTEXT + CLUSTERS + "users: [{name: u, user: {exec: {command: aws}}}]\n",
        CONTEXT + CLUSTERS + "users: [{name: u, user: {username: a, password: b}}]\n",
        CONTEXT + USERS + "clusters:\n- name: k\n  cluster:\n    server: https://h\n    certificate-authority-data: |\n      LS0tLS1CRUdJTiBD\n",
        json.dumps({"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k"}}],
                    "clusters": [{"name": "k", "cluster": {"server": "http://a.b:1"}}], "users": []}),
        "--- \n- a\n", "a: b: c\n", "&a [*a]\n", "{<<: {<<: {<<: 1}}}\n", "%YAML 1.1\n---\na: !!int 3\n...\n---\nb: 1\n",
    ):
        seeds.add("kubeconfig", text)


def texts(seeds):
    """The first octet tells which reader is meant (fuzz_text.c)."""
    for kind, values in enumerate((
        ("cluster.local", "a\\.b.c\\032d.", ".", "a..b", "\\256", "x" * 63 + ".y", "_http._tcp.web.default.svc.cluster.local"),
        ("10.96.0.10", "10.96.0.10:53", "[fd00::a]:5353", "fd00::a", "[::ffff:1.2.3.4]", "1.2.3.4:0", "1.2.3.4:65536"),
        ("pods", "eth0:xdp\n!lo", "veth*:tc\n!veth[a-c]?", "pods:xdp", "!", "a" * 70),
        ("15s", "500ms", "2h", "18446744073709551615s", "5"),
        ("64Mi", "1Gi", "18446744073709551615Gi", "7", "3Kib"),
        ("300", "-1", "99999999999999999999"),
        ("A", "srv", "TYPE65", "TYPE65536", "ANY"),
        ("10.0.0.1", "fd00::1", "::ffff:1.2.3.4", "010.1.1.1", "web-0", "a.b.c"),
        ("kube-system/kube-dns", "a/b/c", "/", "A/b"),
        ("kube", "kube:/etc/kubeconfig", "file:/a.json", "file:", "x:y"),
        ("\x05\0\0\1abc", ),
    )):
        for value in values:
            seeds.add("text", bytes((kind,)) + value.encode("latin-1"))
    wire = Question(WEB, A).wire()
    seeds.add("text", bytes((11,)) + wire)
    answer = struct.pack("!HHHHHH", 7, 0x8580, 1, 3, 0, 1) + wire[12:] + b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 5, 4) + bytes((10, 0, 0, 1))
    answer += b"\xc0\x0c" + struct.pack("!HHIH", SRV, 1, 5, 10) + struct.pack("!HHH", 0, 50, 53) + b"\1a\xc0\x0c"
    answer += b"\xc0\x0c" + struct.pack("!HHIH", TXT, 1, 5, 6) + b"\5h\"\\\x01o" + Edns(1232, options=((10, b"12345678"),)).wire()
    seeds.add("text", bytes((11,)) + answer)
    soa = struct.pack("!HHHHHH", 7, 0x8580, 1, 0, 1, 0) + wire[12:] + b"\xc0\x18" + struct.pack("!HHIH", SOA, 1, 5, 36)
    soa += b"\2ns\xc0\x18" + b"\12hostmaster\xc0\x18" + struct.pack("!IIIII", 1, 2, 3, 4, 5)
    seeds.add("text", bytes((11,)) + soa)


def heads(seeds):
    """Head: kind, pieces (fuzz_http.c)."""
    for text in (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/2 429 \r\nretry-after:3  \r\n\r\nRetry-After: 5\r\n",
        "HTTP/1.1 503 Busy\r\nDate: Sunday, 06-Nov-94 08:49:37 GMT\r\nRetry-After: Sun Nov  6 08:50:38 1994\r\n\r\n",
        "HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\nRetry-After: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 x\n:\nContent-Type:\n\n",
    ):
        seeds.add("http", b"\0\0" + text.encode())
        seeds.add("http", b"\1\3" + text.encode())
    for name in ("watch-rv0.jsonl", "watch-timeout5.jsonl", "gone-watch-1.jsonl"):
        seeds.add("http", b"\1\x55" + (ROOT / "tests/data/api" / name).read_bytes()[:3000])


def main():
    seeds = Seeds(sys.argv[1])
    for make in (packets, objects, kubeconfigs, texts, heads):
        make(seeds)
    print(", ".join("%s %d" % pair for pair in seeds.counts.items()))


if __name__ == "__main__":
    main()
