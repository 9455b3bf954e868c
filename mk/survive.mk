# SPDX-License-Identifier: Apache-2.0
# Agents for tests/survive: with faults that its tests must find, and one of another version with another layout. Each is the
# same source but for what stands here. Included by the Makefile.

SURVIVE := $(BUILD)/survive
SURVIVE_AGENTS := $(addprefix $(SURVIVE)/nodens-,no-grace rewrite-live no-gate)
SURVIVE_ALL := $(SURVIVE_AGENTS) $(SURVIVE)/layout/nodens $(SURVIVE)/slow_reader.bpf.o $(SURVIVE)/kill_behind.so

# Not once more with sanitizers.
ifeq ($(SAN),)
test-programs: $(SURVIVE_ALL)
endif

.PHONY: check-survive
check-survive: all test-programs ## the agent killed, hung, upgraded and overfilled under load (root)
	$(Q)BUILD=$(BUILD) tests/run survive

# ---- faults in the table (user/kernel/table.c): the faulty one stands before the archive, so that the archive's own is not taken ----

$(SURVIVE)/nodens-no-grace: SURVIVE_FAULT := NODENS_FAULT_NO_GRACE
$(SURVIVE)/nodens-rewrite-live: SURVIVE_FAULT := NODENS_FAULT_REWRITE_LIVE

$(SURVIVE)/nodens-no-grace $(SURVIVE)/nodens-rewrite-live: user/kernel/table.c $(MAIN) $(LIB)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -D$(SURVIVE_FAULT) -c $< -o $@.table.o
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(MAIN) $@.table.o $(LIB) -o $@ $(LDLIBS)

# ---- programs that do not look at the deadline: the datapath without its dead-man's switch ----

SURVIVE_GATE := bpf_jiffies64() > \*(const volatile __u64 \*)&cfg->deadline_jiffies

$(SURVIVE)/no-gate/bpf/core.bpf.h: bpf/core.bpf.h $(BPF_HDRS) $(wildcard bpf/*.bpf.c)
	@mkdir -p $(@D)
	$(Q)cp bpf/*.h bpf/*.c $(@D)
	$(Q)sed 's/$(SURVIVE_GATE)/0/' $< > $@
	@! cmp -s $< $@ || { echo "$<: no deadline is looked at: $@ has no fault" >&2; rm -f $@; exit 1; }

$(SURVIVE)/no-gate/%.bpf.o: $(SURVIVE)/no-gate/bpf/core.bpf.h
	$(say) CLANG $@
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $(SURVIVE)/no-gate/bpf/$*.bpf.c -o $@
	$(Q)$(LLVM_STRIP) -g $@

$(SURVIVE)/no-gate/nodens_hooks.o: $(SURVIVE)/no-gate/nodens.bpf.o $(SURVIVE)/no-gate/nodens_xdp.bpf.o
	$(Q)$(BPFTOOL) gen object $@ $^

$(SURVIVE)/no-gate/nodens.skel.h: $(SURVIVE)/no-gate/nodens_hooks.o
	$(Q)$(BPFTOOL) gen skeleton $< name nodens_bpf > $@.tmp && mv $@.tmp $@

$(SURVIVE)/nodens-no-gate: user/kernel/generation_load.c $(SURVIVE)/no-gate/nodens.skel.h $(MAIN) $(LIB)
	$(say) LINK $@
	$(Q)$(CC) -I$(SURVIVE)/no-gate $(CPPFLAGS) $(CFLAGS) -c $< -o $@.load.o
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(MAIN) $@.load.o $(LIB) -o $@ $(LDLIBS)

# ---- another version, whose maps are laid out in another way ----

# What moves: every field of the configuration, the status and an interface, and the names behind the head of a blob.
$(SURVIVE)/layout/include/nodens/abi.h: include/nodens/abi.h tests/survive/other_layout.sed
	@mkdir -p $(@D)
	$(Q)sed -f tests/survive/other_layout.sed $< > $@
	@for what in NODENS_ABI_VERSION nodens_config nodens_name nodens_status nodens_interface; do \
		grep -q "other layout: $$what\$$" $@ || grep -q "other layout: $$what \*/" $@ || \
			{ echo "$<: tests/survive/other_layout.sed finds no $$what" >&2; rm -f $@; exit 1; }; done

# A make of its own in a build directory of its own, where the other abi.h is found first.
$(SURVIVE)/layout/nodens: $(SURVIVE)/layout/include/nodens/abi.h $(BUILD)/nodens
	@echo "build: the agent of another layout"
	@+CPPFLAGS=-I$(SURVIVE)/layout/include $(SUB) BUILD=$(SURVIVE)/layout CLANG='$(CLANG) -I$(SURVIVE)/layout/include' \
		$(SURVIVE)/layout/nodens

# ---- an answer that is held up ----

$(SURVIVE)/slow_reader.bpf.o: tests/survive/slow_reader.bpf.c
	@mkdir -p $(@D)
	$(say) CLANG $@
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

# ---- an agent that is killed behind a change of what outlives it ----

$(SURVIVE)/kill_behind.so: tests/survive/kill_behind.c
	@mkdir -p $(@D)
	$(say) TOOL $@
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared $< -o $@ -ldl
