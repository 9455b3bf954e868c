#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every command of the examples' READMEs, run in a pod, prints what the README says; and what no README can say by one command."""
# timeout: 300 300

import os
import re
import sys
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lib")]

import example_cluster
import dns.message
import example_files
import node
import tap

NAMESPACES = {
    "postgresql": "k8s-training", "deployment": "default", "statefulset": "default", "headful": "default",
    "postgres-ha": "database", "kafka": "streaming",
}
QUERIES = 20000 if os.environ.get("LONG") == "1" else 3000
# Chi-squared at p = 1e-6, by degrees of freedom: a fair shuffle fails once in a million runs.
CHI_SQUARED_LIMIT = {2: 27.63, 8: 42.70}


def normal(lines):
    return sorted(re.sub(r"\s+", " ", x).strip() for x in lines if x.strip())


def check_readme(t, folder):
    """One cluster for the folder; the file is replaced where the README goes on to another state."""
    commands = example_files.readme_commands(folder)
    with example_cluster.Cluster(commands[0][0], NAMESPACES[folder.name]) as c:
        for state, command, lines in commands:
            with t.case(f"{folder.name}, {state.name}: {command}"):
                c.show(state)
                got = c.lines(command)
                assert normal(got) == normal(lines), "printed\n" + "\n".join(got)
        SCENES.get(folder.name, lambda *_: None)(t, c, folder)


def chi_squared(counts, cells):
    wanted = sum(counts.values()) / cells
    return (sum((n - wanted) ** 2 for n in counts.values()) + (cells - len(counts)) * wanted**2) / wanted


def ask_many(c, name, count):
    """The addresses of each of `count` answers to the same question, in their order, over one socket of the pod."""
    s = example_cluster.inside(c.pod, lambda: node.socket.socket(node.socket.AF_INET, node.socket.SOCK_DGRAM))
    s.connect((c.dns, 53))
    s.settimeout(10)
    answers = []
    for i in range(count):
        query = dns.message.make_query(name, "A", id=i % 65536)
        s.send(query.to_wire())
        answer = dns.message.from_wire(s.recv(4096))
        assert query.is_response(answer), "an answer to another question"
        answers.append(order_of(answer))
    s.close()
    return answers


def order_of(answer):
    """dnspython keeps an RRset in the order of the message."""
    return tuple(x.address for x in answer.answer[0].items)


def postgresql(t, c, folder):
    name = "postgresql-svc.k8s-training.svc.cluster.local."
    c.show(folder / "objects.json")
    answers, passed = c.asks_upstream(lambda: ask_many(c, name, QUERIES))
    with t.case(f"postgresql: {QUERIES} answers of three addresses each, none from the upstream"):
        assert {frozenset(x) for x in answers} == {frozenset(("172.17.0.5", "172.17.0.7", "172.17.0.8"))}, Counter(map(frozenset, answers))
        assert all(len(x) == 3 for x in answers) and not passed, passed
    first = [x[0] for x in answers]
    with t.case("postgresql: every address is equally often first"):
        value = chi_squared(Counter(first), 3)
        t.note(f"chi-squared {value:.1f} (limit {CHI_SQUARED_LIMIT[2]}), orders {dict(Counter(answers))}")
        assert value < CHI_SQUARED_LIMIT[2], Counter(first)
    with t.case("postgresql: which one is first does not depend on the answer before"):
        pairs = Counter(zip(first[0::2], first[1::2]))
        assert chi_squared(pairs, 9) < CHI_SQUARED_LIMIT[8], pairs


def deployment(t, c, folder):
    c.show(folder / "objects.json")
    with t.case("deployment: flags qr aa rd, TTL 5, three answers"):
        text = c.shell("dig @10.43.0.10 my-headless-service.default.svc.cluster.local")
        assert "flags: qr aa rd; QUERY: 1, ANSWER: 3, AUTHORITY: 0, ADDITIONAL: 1" in text, text
        assert len(re.findall(r"^my-headless-service\S+\s+5\s+IN\s+A\s", text, re.MULTILINE)) == 3, text
    with t.case("deployment: AAAA is NODATA with the zone's SOA, from the kernel"):
        text, passed = c.asks_upstream(lambda: c.shell("dig my-headless-service.default.svc.cluster.local AAAA"))
        assert "status: NOERROR" in text and "ANSWER: 0, AUTHORITY: 1" in text and "hostmaster.cluster.local." in text, text
        assert not passed, passed
    with t.case("deployment: what is not of the cluster reaches the upstream"):
        text, passed = c.asks_upstream(lambda: c.shell("dig www.example.com"))
        assert "status: NXDOMAIN" in text and passed == ["www.example.com."], (text, passed)


def statefulset(t, c, folder):
    service = "my-app-statefulset-1.my-headless-service"
    full = f"{service}.default.svc.cluster.local."
    page = f"wget -T 10 -t 1 -qO- http://{service}/"
    c.show(folder / "objects.json")
    with t.case("statefulset: each pod is reached by its name, without the upstream"):
        for i, address in enumerate(("10.42.0.143", "10.42.0.146", "10.42.0.148")):
            text, passed = c.asks_upstream(lambda n=i: c.shell(page.replace("-1.", f"-{n}.")))
            assert text == f"I am {address}\n" and full.replace("-1.", f"-{i}.") not in passed, (text, passed)
    c.show(folder / "objects-unready.json")
    with t.case("statefulset: a pod that turns unready is gone, its name is the upstream's"):
        text, passed = c.asks_upstream(lambda: c.shell(page))
        assert text == "" and full in passed, (text, passed)
        assert "10.42.0.146" not in c.shell("dig +short my-headless-service.default.svc.cluster.local")
    c.show(folder / "objects.json")
    with t.case("statefulset: a pod that is ready again comes back"):
        assert c.shell(page) == "I am 10.42.0.146\n"
        assert "10.42.0.146" in c.lines("dig +short my-headless-service.default.svc.cluster.local")


SCENES = {"postgresql": postgresql, "deployment": deployment, "statefulset": statefulset}


def main(t):
    for folder in sorted(example_files.EXAMPLES.iterdir()):
        if folder.is_dir():
            check_readme(t, folder)


node.enter_namespaces()
tap.run(main)
