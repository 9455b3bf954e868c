# SPDX-License-Identifier: Apache-2.0
# Fuzz targets: tests/fuzz/fuzz_NAME.c is a program each, by clang with libFuzzer and sanitizers for fuzzing, and in the build with
# sanitizers (SAN=...) by the usual compiler with a main of its own, which runs the corpora. Included by the Makefile.

FUZZ := $(BUILD)/fuzz
FUZZ_TARGETS := packet objects kubeconfig text http
FUZZ_SECONDS ?= 20

# What the targets reach of the agent.
FUZZ_SRCS := $(addprefix user/base/,error.c hmap.c jsonout.c wire.c) $(wildcard user/dns/*.c user/kernel/table*.c user/kube/config*.c \
	user/kube/decode*.c user/kube/store*.c) $(addprefix user/kube/,client_head.c items.c lines.c list.c object.c text.c) \
	user/interfaces.c user/options.c user/servers.c user/source/spec.c
FUZZ_PACKET := host/kernel host/datapath_tc host/datapath_xdp packet_records packet_reference

FUZZ_CFLAGS := -std=gnu11 -O1 -g $(WARN) -fno-strict-aliasing -fno-omit-frame-pointer
FUZZ_SAN := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
# The datapath's own flags. It reads words at any offset, and its headers are written for clang.
FUZZ_DATAPATH := -fno-builtin -fno-sanitize=alignment -Wno-unused-parameter -Wno-unknown-pragmas -Ibpf
FUZZ_INCLUDES := -Itests/fuzz/host

FUZZ_PROGRAMS := $(FUZZ_TARGETS:%=$(FUZZ)/%)
FUZZ_REPLAYS := $(FUZZ_TARGETS:%=$(BUILD)/tests/fuzz/%)

.PHONY: fuzz fuzz-programs fuzz-builds fuzz-merge check-fuzz

# ---- with libFuzzer ----

$(FUZZ)/obj/%.o: user/%.c
	@mkdir -p $(@D)
	$(say) FUZZ $<
	$(Q)$(CLANG) $(CPPFLAGS) $(FUZZ_CFLAGS) $(FUZZ_SAN) $(PKG_CFLAGS) -MMD -MP -c $< -o $@

$(FUZZ)/tests/%.o: tests/fuzz/%.c
	@mkdir -p $(@D)
	$(say) FUZZ $<
	$(Q)$(CLANG) $(FUZZ_INCLUDES) $(CPPFLAGS) $(FUZZ_CFLAGS) $(FUZZ_SAN) $(FUZZ_FLAGS) -MMD -MP -c $< -o $@

$(FUZZ)/tests/host/datapath_%.o: FUZZ_FLAGS := $(FUZZ_DATAPATH)

$(FUZZ)/libnodens.a: $(FUZZ_SRCS:user/%.c=$(FUZZ)/obj/%.o)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(FUZZ)/packet: $(FUZZ_PACKET:%=$(FUZZ)/tests/%.o)

$(FUZZ_PROGRAMS): $(FUZZ)/%: $(FUZZ)/tests/fuzz_%.o $(FUZZ)/libnodens.a
	$(say) LINK $@
	$(Q)$(CLANG) $(FUZZ_CFLAGS) $(FUZZ_SAN) -fsanitize=fuzzer $(filter %.o,$^) $(filter %.a,$^) -o $@ $(PKG_LIBS)

fuzz-programs: $(FUZZ_PROGRAMS)

fuzz: fuzz-builds ## fuzz each target for FUZZ_SECONDS (20): FUZZ_TARGETS=packet for one alone (no root needed)
	$(Q)BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_TARGETS='$(FUZZ_TARGETS)' $(PYTHON) tests/fuzz/test_fuzz.py

# A make of its own, as for test-builds.
fuzz-builds: | packages-test
	@echo "build: fuzz targets"
	@$(SUB) $(SUB_JOBS) BUILD=$(BUILD) FUZZ_TARGETS='$(FUZZ_TARGETS)' fuzz-programs

# The corpus: seed-* of seeds.py, past findings (bug-*), and of what fuzzing found the inputs that reach something these do not.
fuzz-merge: fuzz-programs ## take what fuzzing found into tests/fuzz/corpus
	$(Q)rm -rf $(FUZZ)/merged && $(PYTHON) tests/fuzz/seeds.py $(FUZZ)/merged
	$(Q)for t in $(FUZZ_TARGETS); do mkdir -p $(FUZZ)/grown/$$t tests/fuzz/corpus/$$t && \
		find tests/fuzz/corpus/$$t -name 'bug-*' -exec cp {} $(FUZZ)/merged/$$t/ \; && $(FUZZ)/$$t -merge=1 -use_counters=0 -rss_limit_mb=1024 $(FUZZ)/merged/$$t tests/fuzz/corpus/$$t $(FUZZ)/grown/$$t 2>/dev/null && \
		rm -rf tests/fuzz/corpus/$$t && cp -r $(FUZZ)/merged/$$t tests/fuzz/corpus/$$t && echo "$$t: $$(ls tests/fuzz/corpus/$$t | wc -l) inputs" || exit 1; done

# ---- with the usual compiler, for the corpora alone ----

$(BUILD)/tests/fuzz/obj/%.o: tests/fuzz/%.c
	@mkdir -p $(@D)
	$(say) TEST $<
	$(Q)$(CC) $(FUZZ_INCLUDES) $(CPPFLAGS) $(CFLAGS) $(FUZZ_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/tests/fuzz/obj/host/datapath_%.o: FUZZ_FLAGS := $(FUZZ_DATAPATH)

$(BUILD)/tests/fuzz/packet: $(FUZZ_PACKET:%=$(BUILD)/tests/fuzz/obj/%.o)

$(FUZZ_REPLAYS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/obj/fuzz_%.o $(BUILD)/tests/fuzz/obj/replay.o $(LIB)
	$(say) TEST $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(LIB) -o $@ $(LDLIBS)

ifneq ($(SAN),)
test-programs: $(FUZZ_REPLAYS)
endif

SUITES += fuzz
test-long: fuzz-builds

check-fuzz: ## the fuzz targets on their corpora, with sanitizers (no root needed)
	@$(SUB) $(SUB_JOBS) BUILD=$(SAN_BUILD) SAN=$(SAN_KINDS) $(FUZZ_TARGETS:%=$(SAN_BUILD)/tests/fuzz/%)
	$(Q)BUILD=$(BUILD) tests/run fuzz

-include $(FUZZ_SRCS:user/%.c=$(FUZZ)/obj/%.d) $(wildcard $(FUZZ)/tests/*.d $(FUZZ)/tests/host/*.d $(BUILD)/tests/fuzz/obj/*.d \
	$(BUILD)/tests/fuzz/obj/host/*.d)
