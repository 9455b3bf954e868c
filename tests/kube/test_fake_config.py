#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 240 240
"""
How the agent gets to an API server: kubeconfig and service account, TLS, tokens that are rotated, IPv6; and what it says when that
cannot work.
"""

import base64
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fakelab  # before the modules of tests/lib: it says where they are
import fakeapi
import node
import tap
from fakeapi import SLICES, Pki
from fakelab import STAY, TOKEN, UPSTREAM, Asking, KubeLab, in_turn, kubeconfig_text, make_api, run_scenarios, slice_with, wait_watches

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CERTIFICATE_USER = "client-certificate: %s\nclient-key: %s"


def folder(name):
	path = node.Node.scratch.path / name
	path.mkdir(exist_ok=True)
	return path


def replace(path, text):
	"""As kubelet rotates a projected token: another file under the same name."""
	aside = path.with_suffix(".new")
	aside.write_text(text, encoding="ascii")
	aside.replace(path)


def end_watches(api):
	for stream in api.watches():
		stream.end()


# ---- tokens ----


def test_rotation(tap_):
	path = folder("rotation") / "token"
	replace(path, "token-of-monday\n")
	with make_api(token="token-of-monday", bookmark_s=0.3) as api, KubeLab(api, user="tokenFile: rotation/token") as lab, Asking(lab) as asking:
		with tap_.case("a rotated token is sent with the next request; a watch that was let in with the old one goes on"):
			wait_watches(api, 2)
			replace(path, "token-of-tuesday\n")
			api.tokens = {"token-of-tuesday"}
			api.store.put(slice_with("flip", "10.1.2.7"))
			lab.wait_answer("flip", ("10.1.2.7",))
			mark = api.mark()
			end_watches(api)
			asked = fakelab.wait_requests(api, mark, lambda request: request.status is not None, 2)
			assert {(request.token, request.status) for request in asked} == {("token-of-tuesday", 200)}, asked
		with tap_.case("a token that is replaced late: 401 meanwhile, old answers, and on with the new one"):
			wait_watches(api, 2)
			api.tokens = {"token-of-friday"}
			mark = api.mark()
			end_watches(api)
			fakelab.wait_requests(api, mark, lambda request: request.status == 401, 4)
			replace(path, "token-of-friday")
			wait_watches(api, 2)
			api.store.put(slice_with("flip", "10.1.2.8"))
			lab.wait_answer("flip", ("10.1.2.8",))
			assert lab.counts()["errors"]["refused"] >= 4, lab.counts()
			asking.check_only(STAY)
		with tap_.case("a token file that is gone for a moment is an error that ends"):
			wait_watches(api, 2)
			path.unlink()
			end_watches(api)
			node.wait_until(lambda: str(path) in lab.status()["source_error"], "the file in status")
			replace(path, "token-of-friday")
			wait_watches(api, 2)
			node.wait_until(lambda: lab.status()["source_error"] == "", "no error")
			asking.check_only(STAY)
		with tap_.case("tokens are not in the log, nor in status"):
			text = lab.log_text() + fakelab.dump(lab.status())
			assert not any(day in text for day in ("monday", "tuesday", "friday")), text


def test_renewed_certificate(tap_):
	"""A server looks at the certificate of a request's connection: one kept from before is refused once the old one has expired."""
	pki = Pki(folder("renewed"))
	with make_api(pki=pki) as api, KubeLab(api, user=CERTIFICATE_USER % (pki.client_cert, pki.client_key)) as lab:
		with tap_.case("a client certificate that is renewed in its file is shown with the next requests, no connection of the old one is kept"):
			wait_watches(api, 2)
			before = {request.connection.serial for request in api.requests}
			pki.renew_client()
			mark = api.mark()
			end_watches(api)
			asked = fakelab.wait_requests(api, mark, lambda request: request.status is not None, 2)
			assert None not in before and {request.status for request in asked} == {200}, asked
			assert not before & {request.connection.serial for request in asked}, "a connection of the old certificate: %s" % asked
			wait_watches(api, 2)
			assert lab.ask("stay") == STAY


# ---- TLS ----


def works(tap_, name, api, words=None, **lab_arguments):
	with tap_.case(name), KubeLab(api, **lab_arguments) as lab:
		lab.wait_answer("stay", STAY)
		api.store.put(slice_with("flip", "10.1.2.9"))
		lab.wait_answer("flip", ("10.1.2.9",))
		assert not words or lab.lines(words), lab.log_tail()


def waits(tap_, name, api, words, kubeconfig):
	"""Not an end but an error in status, in words; nothing but the upstream is seen."""
	with tap_.case(name), KubeLab(api, is_ready=False, source="kube:%s" % kubeconfig) as lab:
		node.wait_until(lambda: lab.lines("cannot be read"), "the line:\n" + lab.log_tail())
		node.wait_until(lambda: lab.counts()["errors"].get("connect", 0) >= 2, "several attempts")
		line, = lab.lines("cannot be read")
		assert words in line, line
		assert len(lab.lines("IN THE CLEAR")) == ("http://api.invalid" in Path(kubeconfig).read_text(encoding="ascii")), lab.log_tail()
		node.wait_until(lambda: words in lab.status()["source_error"], "%r in status" % words)
		assert not lab.is_said_ready() and lab.ask("stay") == UPSTREAM, lab.counts()


def write(name, text):
	path = node.Node.scratch.path / name
	path.write_text(text, encoding="ascii")
	return path


def test_tls(tap_):
	pki = Pki(folder("pki"))
	with make_api(pki=pki) as api:
		works(tap_, "https, CA in a file, a token", api)
		works(tap_, "a client certificate and key in files, no token", api, user=CERTIFICATE_USER % (pki.client_cert, pki.client_key))
		works(tap_, "CA, client certificate and key in the kubeconfig itself", api, source="kube:%s" % write("inline", inline(api, pki)))
		insecure = kubeconfig_text(api.url, "token: " + TOKEN, extra="insecure-skip-tls-verify: true")
		works(tap_, "insecure-skip-tls-verify works, with a loud warning", api, "NOT VERIFIED", source="kube:%s" % write("insecure", insecure))
	named = Pki(folder("named"), ("DNS:api.example.test",))
	with make_api(pki=named) as api:
		text = kubeconfig_text(api.url, "token: " + TOKEN, named.ca, extra="tls-server-name: api.example.test")
		works(tap_, "tls-server-name says which name to expect", api, source="kube:%s" % write("renamed", text))


def test_tls_errors(tap_):
	pki, other = Pki(folder("pki")), Pki(folder("other"))
	with make_api(pki=pki) as api:
		waits(tap_, "another CA: no connection, told as a matter of the certificate", api, "certificate",
			write("stranger", kubeconfig_text(api.url, "token: " + TOKEN, other.ca)))
		waits(tap_, "plain http to a TLS port is an error that is told", api, "", write("plain", kubeconfig_text(api.url.replace("https", "http"), "token: t")))
	named = Pki(folder("named"), ("DNS:api.example.test",))
	with make_api(pki=named) as api:
		waits(tap_, "a certificate for another name", api, "certificate", write("misnamed", kubeconfig_text(api.url, "token: " + TOKEN, named.ca)))


def inline(api, pki):
	def data(path):
		return base64.b64encode(Path(path).read_bytes()).decode()
	user = "client-certificate-data: %s\nclient-key-data: %s" % (data(pki.client_cert), data(pki.client_key))
	return kubeconfig_text(api.url, user, extra="certificate-authority-data: " + data(pki.ca))


# ---- addresses ----


def test_ipv6(tap_):
	pki = Pki(folder("pki6"))
	with make_api(pki=pki, host="::1") as api:
		works(tap_, "an IPv6 server in a kubeconfig", api)


def test_in_cluster(tap_):
	"""The service account stands at a fixed place: /run is another one in this mount namespace."""
	subprocess.run(["mount", "-t", "tmpfs", "nodens-test", "/run"], check=True)
	ACCOUNT.mkdir(parents=True)
	account, pki = folder("account"), Pki(folder("pki-account"))
	(account / "ca.crt").write_bytes(Path(pki.ca).read_bytes())
	replace(account / "token", TOKEN)
	subprocess.run(["mount", "--bind", account, ACCOUNT], check=True)
	for host in ("127.0.0.1", "::1"):
		with make_api(pki=pki, host=host) as api:
			environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(api.port)}
			works(tap_, "in a pod, server %s" % host, api, source="kube", environment=environment)
			with tap_.case("in a pod, server %s: the token of the file is sent, and read anew" % host):
				assert {request.token for request in api.requests} == {TOKEN}, api.requests
	with make_api(pki=pki) as api:
		environment = {"KUBERNETES_SERVICE_HOST": api.host, "KUBERNETES_SERVICE_PORT": str(api.port)}
		with KubeLab(api, source="kube", environment=environment) as lab, tap_.case("in a pod: a rotated token"):
			wait_watches(api, 2)
			replace(account / "token", "rotated")
			api.tokens = {"rotated"}
			mark = api.mark()
			end_watches(api)
			asked = fakelab.wait_requests(api, mark, lambda request: request.status is not None, 2)
			assert {(request.token, request.status) for request in asked} == {("rotated", 200)}, asked
			assert lab.ask("stay") == STAY
	(account / "token").unlink()
	ends(tap_, "in a pod without a token mounted", "token", source="kube", environment=environment)


# ---- what cannot work ----


def ends(tap_, name, *words, source, arguments=(), environment=None):
	"""At once, not with 0, and in words."""
	clean = {key: value for key, value in os.environ.items() if not key.startswith("KUBERNETES_")}
	command = [node.binary(), "run", "--source", source, *arguments, "--bpffs", str(node.Node.scratch.path / "bpf" / "nodens")]
	with tap_.case(name):
		began = time.monotonic()
		done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
				      env={**clean, **(environment or {})})
		tap_.note("%s: %s" % (name, done.stdout.strip().splitlines()[0] if done.stdout.strip() else "nothing"))
		assert done.returncode in (1, 2) and time.monotonic() - began < 15, done  # not after the time for the first list
		assert all(word in done.stdout for word in words), done.stdout


GOOD_USER = "token: t"


def test_kubeconfig_errors(tap_):
	server = "https://127.0.0.1:6443"
	good = kubeconfig_text(server, GOOD_USER)
	missing = str(node.Node.scratch.path / "missing")
	ends(tap_, "not in a pod, no kubeconfig", "KUBERNETES_SERVICE_HOST", "kube:", source="kube")
	ends(tap_, "a kubeconfig that is not there", missing, "No such file", source="kube:" + missing)
	for name, text, words in (
		("not YAML", "clusters: [}\n", ("broken:1:", "YAML")),
		("an empty file", "", ()),
		("a current-context that does not exist", kubeconfig_text(server, GOOD_USER, current="prod"), ("prod",)),
		("a cluster that does not exist", good.replace("cluster: fake-cluster", "cluster: other"), ("other",)),
		("a user that does not exist", good.replace("user: fake-user", "user: nobody"), ("nobody",)),
		("an exec plugin", kubeconfig_text(server, "exec:\n  apiVersion: client.authentication.k8s.io/v1\n  command: aws-iam"), ("exec",)),
		("a CA file that is not there", kubeconfig_text(server, GOOD_USER, ca="/nonexistent/ca.crt"), ("/nonexistent/ca.crt",)),
		("a CA that is no certificate", kubeconfig_text(server, GOOD_USER, extra="certificate-authority-data: " + base64.b64encode(b"x").decode()), ()),
		("a client key that is not there", kubeconfig_text(server, CERTIFICATE_USER % ("/nonexistent/c", "/nonexistent/k")), ("/nonexistent/",)),
		("a server that is no URL", kubeconfig_text("127.0.0.1 6443", GOOD_USER), ("server of",)),
		("a server of another scheme", kubeconfig_text("ftp://127.0.0.1", GOOD_USER), ("ftp",)),
		("no server", good.replace("server: " + server, "x: y"), ("server",)),
	):
		path = write("broken", text)
		ends(tap_, "kubeconfig: " + name, str(path), *words, source="kube:%s" % path)
	path = write("good", good)
	ends(tap_, "--context that does not exist", "staging", source="kube:%s" % path, arguments=["--context", "staging"])
	ends(tap_, "--context without a kubeconfig", "--context", source="file:/dev/null", arguments=["--context", "x"])


def test_context(tap_):
	with make_api() as right, make_api() as wrong:
		text = kubeconfig_text(wrong.url, "token: " + TOKEN)
		text = text.replace("clusters:\n", "clusters:\n- name: second-cluster\n  cluster: {server: '%s'}\n" % right.url)
		text = text.replace("contexts:\n", "contexts:\n- name: second\n  context: {cluster: second-cluster, user: fake-user}\n")
		path = write("contexts", text)
		with tap_.case("--context takes another one than current-context"), KubeLab(right, ["--context", "second"], source="kube:%s" % path) as lab:
			assert lab.ask("stay") == STAY and not wrong.requests and right.requests
			assert right.url in lab.counts()["server"] and "second" in lab.status()["source"], lab.status()["source"]


def test_name(tap_):
	"""A server by name, as managed clusters have it, that resolves to an address where nobody listens."""
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		port = s.getsockname()[1]
	waits_for = kubeconfig_text("http://127.0.0.1:%d" % port, "token: t")
	with make_api() as api:
		waits(tap_, "nobody listens: told with address and cause", api, "127.0.0.1", write("nobody", waits_for))
		waits(tap_, "a name that does not resolve", api, "api.invalid", write("unknown", kubeconfig_text("http://api.invalid:1", "token: t")))


SCENARIOS = {
	"rotation": in_turn(test_rotation, test_renewed_certificate),
	"TLS": test_tls,
	"TLS errors": in_turn(test_tls_errors, test_name),
	"in a pod": in_turn(test_in_cluster, test_ipv6),
	"kubeconfig": in_turn(test_kubeconfig_errors, test_context),
}

if __name__ == "__main__":
	tap.run(lambda tap_: run_scenarios(tap_, SCENARIOS))
