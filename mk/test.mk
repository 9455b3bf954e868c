# SPDX-License-Identifier: Apache-2.0
# Packages, tests, benchmarks, demo, linting. Included by the Makefile.

.PHONY: packages packages-build packages-test packages-demo check check-san check-examples check-datapath check-netns check-mutants \
	test test-long test-builds bench-datapath bench-update demo demo-shell demo-build fmt lint

SAN_BUILD := $(BUILD)/san
SAN_KINDS := address,undefined
SUB := $(MAKE) --no-print-directory
# Not below a -j of the user's own: that one is inherited.
SUB_JOBS = $(if $(findstring j,$(firstword -$(MAKEFLAGS))),,-j$(shell nproc))

# Debian packages: checked by every command that needs them, installed when missing (root or sudo).
packages: ## install the Debian packages that building, testing and the demo need
	@tests/packages.sh build test demo
packages-build:
	@tests/packages.sh build
packages-test:
	@tests/packages.sh build test
packages-demo:
	@tests/packages.sh build demo

# ---- tests: everything through tests/run, whose last line is the sum ----

# These bring a TLS server of their own.
$(addprefix $(BUILD)/tests/unit/test_kube_,client client_calls client_tls): LDLIBS += -lssl -lcrypto

check: all test-programs ## unit tests (no root needed)
	$(Q)BUILD=$(BUILD) tests/run unit

check-san: ## unit tests under address and undefined behaviour sanitizers (no root needed)
	@$(SUB) $(SUB_JOBS) BUILD=$(SAN_BUILD) SAN=$(SAN_KINDS) all test-programs
	$(Q)tests/run unit@$(SAN_BUILD)

check-examples: all ## the examples against their expected records, and live (root)
	$(Q)BUILD=$(BUILD) tests/run examples

check-datapath: all test-programs ## the datapath by test runs in the kernel (root)
	$(Q)BUILD=$(BUILD) tests/run datapath

check-netns: all test-programs ## the agent and real packets in network namespaces (root)
	$(Q)BUILD=$(BUILD) tests/run netns

check-mutants: packages-test ## one fault at a time in a copy of the tree: which test notices (root, minutes)
	$(Q)BUILD=$(BUILD) tests/run mutants

# A make of its own, so that what packages-test installed is seen (pkg-config is asked when the Makefile is read).
test-builds: packages-test
	@echo "build: agent and tests"
	@$(SUB) $(SUB_JOBS) BUILD=$(BUILD) all test-programs
	@echo "build: the same with sanitizers"
	@$(SUB) $(SUB_JOBS) BUILD=$(SAN_BUILD) SAN=$(SAN_KINDS) all test-programs

SUITES := unit unit@$(SAN_BUILD) examples datapath netns survive
# What has a longer variant that shows more, and what is too long for every time.
FILES_LONG := $(addprefix tests/,netns/test_torn.py netns/test_interfaces.py netns/test_iterator.py kube/test_real_random.py kube/test_real_restart.py \
	kube/test_fake_servers.py survive/test_api.py survive/test_churn.py survive/test_crash.py survive/test_limits.py survive/test_rounds.py)
SUITES_LONG := mutants fuzz

# One more at a time than there are CPUs: much of a test is waiting.
test: test-builds ## all tests, from nothing, within ten minutes (root)
	@BUILD=$(BUILD) LONG=0 JOBS=$${JOBS:-$$(($$(nproc) + 1))} tests/run $(SUITES)

test-long: test-builds ## what takes longer: torture, faults, fuzzing, other kernels, a real node, a good half hour (root)
	@BUILD=$(BUILD) LONG=1 tests/run $(SUITES_LONG) $(FILES_LONG)

bench-update: $(BUILD)/bench/bench_update ## time from a watch event to the new answer in the map (root)
	$(Q)$(BUILD)/bench/bench_update

bench-datapath: $(BUILD)/bench/bench_datapath ## ns per answer over a bare reflector (root)
	$(Q)$(BUILD)/bench/bench_datapath

# ---- demo ----

demo-build: packages-demo
	@echo "build: the agent"
	@$(SUB) $(SUB_JOBS) BUILD=$(BUILD) all

demo: demo-build ## a node and a pod in network namespaces: real queries, real load, figures (root)
	@BUILD=$(BUILD) demo/demo.sh

demo-shell: demo-build ## the same, leaving you in a shell of the pod (root)
	@BUILD=$(BUILD) demo/shell.sh

# ---- code ----

C_FILES = $(wildcard bpf/*.[ch] include/nodens/*.h user/*.[ch] user/*/*.[ch] tests/*/*.[ch])

fmt: ## format the C sources in place
	$(Q)clang-format -i $(C_FILES)

lint: ## include boundaries, licences, white space, scripts, manual page
	$(Q)BUILD=$(BUILD) tests/lint.sh

# One entry for each source file of the agent, for editors and clangd.
compile_commands.json: ## for editors and clangd
	@{ echo '['; sep=; for f in $(SRCS) user/main.c $(UNIT_SRCS) $(TOOL_SRCS); do \
		printf '%s{"directory":"%s","file":"%s","command":"%s"}\n' "$$sep" '$(CURDIR)' "$$f" \
		"$(CC) $(CPPFLAGS) -Itests/unit $(filter-out -Werror,$(CFLAGS)) -c $$f"; sep=,; done; \
		printf '%s{"directory":"%s","file":"bpf/nodens.bpf.c","command":"%s"}\n]\n' "$$sep" '$(CURDIR)' \
		"$(CLANG) $(BPF_CFLAGS) -c bpf/nodens.bpf.c"; } > $@
	$(say) JSON $@

include mk/torn.mk
include mk/survive.mk
include mk/vm.mk
include mk/kube.mk
include mk/cluster.mk
include mk/fuzz.mk
