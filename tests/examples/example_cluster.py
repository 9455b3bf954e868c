# SPDX-License-Identifier: Apache-2.0
"""
A node as the examples need it: the agent over one example's file, a pod to ask from, the example's own pods with an HTTP
server on each address, and behind the DNS service's address an upstream that counts and knows no name of the cluster.
"""

import ctypes
import http.server
import json
import os
import subprocess
import threading
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import node

GATEWAY, POD = "169.254.1.1", "10.42.200.20"
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def inside(pod, action):
    """Runs action() in a thread that lives in the pod's network namespace; what it opens stays there. Returns its result."""
    result = []

    def body():
        with open(f"/proc/{pod.process.pid}/ns/net", "rb") as namespace:
            if _libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        result.append(action())

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return result[0]


class Upstream(threading.Thread):
    """Answers every question with NXDOMAIN, as the cluster's DNS server does for names that do not exist."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.socket = node.socket.socket(node.socket.AF_INET, node.socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.socket.settimeout(0.1)
        self.questions = []
        self.is_ending = False

    def end(self):
        self.is_ending = True
        self.join()
        self.socket.close()

    def run(self):
        while not self.is_ending:
            try:
                wire, client = self.socket.recvfrom(4096)
                query = dns.message.from_wire(wire)
            except (TimeoutError, dns.exception.DNSException):
                continue
            self.questions.append(query.question[0])
            answer = dns.message.make_response(query)
            answer.set_rcode(dns.rcode.NXDOMAIN)
            answer.flags |= dns.flags.AA
            self.socket.sendto(answer.to_wire(), client)


class Page(http.server.BaseHTTPRequestHandler):
    """Tells which address was asked."""

    def do_GET(self):
        body = f"I am {self.connection.getsockname()[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Cluster:
    """Use with `with`. `show(objects)` replaces the file and waits until the agent has applied it."""

    def __init__(self, objects, namespace):
        node.Node.scratch = node.Node.scratch or node.Scratch()
        self.path = node.Node.scratch.path
        self.file = self.path / "objects.json"
        self.bpffs = self.path / "bpf" / "nodens"
        self.items = json.loads(objects.read_text())["items"]
        self.dns = self._find("Service", "kube-dns")["spec"]["clusterIP"]
        self.namespace = namespace
        self.process = self.log = None

    def _find(self, kind, name):
        return next(x for x in self.items if x["kind"] == kind and x["metadata"]["name"] == name)

    def pod_addresses(self):
        slices = (x for x in self.items if x["kind"] == "EndpointSlice" and x["metadata"]["namespace"] == self.namespace)
        found = (a for s in slices for e in s["endpoints"] if "targetRef" in e for a in e["addresses"])
        return sorted(set(found))

    def __enter__(self):
        self._make_network()
        self._make_resolver()
        self.upstream = Upstream(self.dns)
        self.upstream.start()
        self._serve()
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait(node.ENDS_WITHIN_S)
            self.log.close()
            self.nodens("detach")
        for pod in (self.pod, self.workload):
            pod.remove()
            subprocess.run(["ip", "link", "del", pod.name], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["umount", Path("/etc/resolv.conf").resolve()], check=True)
        self.upstream.end()
        ip("addr", "del", f"{self.dns}/32", "dev", "lo")

    def _make_network(self):
        """Routed pods, as Calico has them; the DNS service's address is the node's own."""
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        ip("addr", "add", f"{self.dns}/32", "dev", "lo")
        self.pod, self.workload = node.Pod(), node.Pod()
        for pod, addresses in ((self.pod, [POD]), (self.workload, self.pod_addresses())):
            ip("addr", "add", f"{GATEWAY}/32", "dev", pod.name)
            for address in addresses:
                ip("route", "add", f"{address}/32", "dev", pod.name)
                self.run_in(pod, f"ip addr add {address}/32 dev eth0")
            self.run_in(pod, f"ip link set lo up && ip link set eth0 up && ip route add {GATEWAY} dev eth0 && ip route add default via {GATEWAY}")

    def _make_resolver(self):
        file = self.path / "resolv.conf"
        search = " ".join(f"{x}cluster.local" for x in (f"{self.namespace}.svc.", "svc.", ""))
        file.write_text(f"search {search}\nnameserver {self.dns}\noptions ndots:5\n")
        subprocess.run(["mount", "--bind", file, Path("/etc/resolv.conf").resolve()], check=True)

    def _serve(self):
        for address in self.pod_addresses():
            server = inside(self.workload, lambda a=address: http.server.ThreadingHTTPServer((a, 80), Page))
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def run_in(self, pod, command):
        done = subprocess.run(["nsenter", f"--net=/proc/{pod.process.pid}/ns/net", "sh", "-c", command], capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0 or command.startswith("wget"), f"{command}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def shell(self, command):
        """What the command prints in the pod."""
        return self.run_in(self.pod, command)

    def lines(self, command):
        return self.shell(command).splitlines()

    def nodens(self, command, *arguments, is_checked=True):
        done = subprocess.run([node.binary(), command, *arguments, "--bpffs", str(self.bpffs)], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not is_checked, f"nodens {command}: exit {done.returncode}: {done.stderr}"
        return done

    def show(self, objects):
        """Replaces the file by rename; returns when the agent has loaded it."""
        aside = self.file.with_suffix(".new")
        aside.write_text(objects.read_text())
        is_new = not self.process
        before = None if is_new else self._loaded_at()
        if not is_new and self.file.read_text() == aside.read_text():
            return
        aside.replace(self.file)
        if is_new:
            self._start()
        node.wait_until(lambda: self._loaded_at() not in (None, before), f"{objects.name} loaded")

    def _start(self):
        self.log = open(self.path / "agent.log", "w", encoding="utf-8")
        command = [node.binary(), "run", "--source", f"file:{self.file}", "--bpffs", str(self.bpffs)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, preexec_fn=node._die_with_parent)
        node.wait_until(self._is_ready, "the agent is ready")

    def _is_ready(self):
        """All interfaces attached, which is the agent's own idea of ready; and `status --ready` agrees."""
        log = (self.path / "agent.log").read_text()
        if self.process.poll() is not None:
            raise AssertionError(f"the agent ended with {self.process.returncode}:\n{log}")
        return 'msg="ready"' in log and self.nodens("status", "--ready", is_checked=False).returncode == 0

    def _loaded_at(self):
        """When what is loaded was read, in the agent's own words; None: not known yet."""
        done = self.nodens("status", "-o", "json", is_checked=False)
        return json.loads(done.stdout).get("source_ok_ms") if done.returncode == 0 else None

    def asks_upstream(self, action):
        """(result of action(), names that reached the upstream meanwhile)."""
        before = len(self.upstream.questions)
        result = action()
        self._ask_last()
        return result, [x.name.to_text() for x in self.upstream.questions[before:-1]]

    def _ask_last(self):
        """A question of the node's own: once it is answered the upstream has taken all that were there before it."""
        with node.socket.socket(node.socket.AF_INET, node.socket.SOCK_DGRAM) as s:
            s.settimeout(node.READY_WITHIN_S)
            s.sendto(dns.message.make_query("last.", "A").to_wire(), (self.dns, 53))
            s.recv(4096)
