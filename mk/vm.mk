# SPDX-License-Identifier: Apache-2.0
# The agent on other kernels, under QEMU. Included by the Makefile.

.PHONY: packages-vm test-kernels

# Only what is missing: there are several packages with a busybox.
packages-vm: ## install the Debian packages that test-kernels needs
	@for t in qemu-system-x86_64 busybox dig ethtool; do command -v $$t >/dev/null 2>&1 || exec tests/packages.sh build test vm; done

# A make of its own, as for test-builds.
test-kernels: packages-vm ## the agent on Linux 5.10, 6.1 and 6.12 (no root needed once the packages are there)
	@$(SUB) $(JOBS) BUILD=$(BUILD) all $(BUILD)/tests/tools/verifier
	$(Q)BUILD=$(BUILD) tests/run tests/vm/test_kernels.py
