# SPDX-License-Identifier: Apache-2.0
# The agent on other kernels, under QEMU. Included by the Makefile.

.PHONY: packages-vm test-kernels record-kernels kernels-build

# Only what is missing: there are several packages with a busybox.
packages-vm: ## install the Debian packages that test-kernels needs
	@for t in qemu-system-x86_64 busybox dig ethtool setpriv; do command -v $$t >/dev/null 2>&1 || exec tests/packages.sh build test vm; done

# A make of its own, as for test-builds.
kernels-build: packages-vm
	@$(SUB) $(SUB_JOBS) BUILD=$(BUILD) all $(BUILD)/tests/tools/verifier

test-kernels: kernels-build ## the agent on Linux 5.10, 6.1, 6.12 and the newest packaged kernel, under QEMU (root)
	$(Q)BUILD=$(BUILD) tests/run vm

record-kernels: kernels-build ## write down what the verifier of each had to do: tests/vm/verified.txt (root)
	$(Q)RECORD=1 BUILD=$(BUILD) $(PYTHON) tests/vm/test_kernels.py tests/vm/verify.py
	$(Q)RECORD=1 BUILD=$(BUILD) tests/run tests/datapath/test_verified.py

SUITES_LONG += vm
test-long: packages-vm
