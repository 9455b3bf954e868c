# SPDX-License-Identifier: Apache-2.0
# A real Kubernetes node, and the agent on it as a DaemonSet. Included by the Makefile.

.PHONY: packages-cluster cluster-parts cluster-builds cluster-long check-cluster test-cluster cluster-shell

packages-cluster:
	@tests/packages.sh build test image cluster

# With the others in one go: packages that they share are compiled once. Without Go the tests are skipped and say so (3).
cluster-parts: | packages-cluster ## build containerd and the node's Kubernetes programs for the tests (once, minutes; Go 1.26)
	@tests/kube/build_parts.py control node >/dev/null || [ $$? -eq 3 ]

# Built again when anything has changed that is in it; `make image` compiles in a container as well.
$(BUILD)/image/nodens.tar: $(BUILD)/nodens deploy/Dockerfile deploy/build-image.sh
	@BUILD=$(BUILD) deploy/build-image.sh $(BUILD)/nodens

# A make of its own, so that what packages-cluster installed is seen. No image where nothing could run it.
cluster-builds: | packages-cluster
	@code=0; tests/kube/build_parts.py control node >/dev/null || code=$$?; \
	[ $$code -eq 3 ] || { [ $$code -eq 0 ] && $(SUB) BUILD=$(BUILD) all $(BUILD)/image/nodens.tar; }

# Behind the other builds, which have the same build directory.
cluster-long: | test-builds
	@$(SUB) BUILD=$(BUILD) cluster-builds

test-long: cluster-long

SUITES_LONG += cluster

check-cluster: all ## a real node with the agent as a DaemonSet, of what is built already (root)
	$(Q)BUILD=$(BUILD) tests/run cluster

test-cluster: cluster-builds ## a real node with the agent as a DaemonSet; builds what it needs (root; minutes the first time)
	$(Q)BUILD=$(BUILD) tests/run -v cluster

cluster-shell: cluster-builds ## a shell on such a node: PROXY=nftables CNI=bridge (root)
	$(Q)BUILD=$(BUILD) $(PYTHON) tests/cluster/shell.py $(or $(PROXY),iptables) $(or $(CNI),ptp)
