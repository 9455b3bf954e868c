# SPDX-License-Identifier: Apache-2.0
# The agent beside the real parts of a cluster: API server, etcd, controllers, CoreDNS. Included by the Makefile.

.PHONY: kube-parts check-kube test-kube bench-kube

# Without Go, or with one that is too old (exit status 3), the tests that need the parts are skipped and say so.
kube-parts: | packages-test ## build etcd, CoreDNS and the Kubernetes programs for the tests (once, minutes; Go 1.26)
	@tests/kube/build_parts.py control >/dev/null || [ $$? -eq 3 ]

test-builds: kube-parts

SUITES += kube

check-kube: all ## the agent and API servers: a scripted one with faults, and the real one (root)
	$(Q)BUILD=$(BUILD) tests/run kube

test-kube: all kube-parts ## the agent and CoreDNS on a real API server: make test-kube SEED=n repeats a run (root)
	$(Q)BUILD=$(BUILD) SEED=$(SEED) tests/run -v $(sort $(wildcard tests/kube/test_real*.py))

bench-kube: all kube-parts ## time and memory for 10,000 services with 150,000 endpoints on a real API server (root)
	$(Q)NODENS=$(abspath $(BUILD))/nodens $(PYTHON) tests/kube/scale.py
