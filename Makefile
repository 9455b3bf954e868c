# SPDX-License-Identifier: Apache-2.0
# nodens: everything is built under build/. `make help` lists the targets.

BUILD  ?= build
PREFIX ?= /usr/local
DESTDIR ?=
V ?= 0
SAN ?=
WERROR ?= $(if $(CI),1,0)

CC      ?= gcc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
LLVM_STRIP ?= llvm-strip
PYTHON  ?= /usr/bin/python3
PKG_CONFIG ?= pkg-config

VERSION := $(shell cat VERSION 2>/dev/null || echo 0)
COMMIT  := $(shell git -c safe.directory='*' rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

ifeq ($(V),1)
  Q :=
  say = @:
else
  Q := @
  say = @printf '  %-7s %s\n'
endif

PACKAGES := libbpf libcjson libcurl libmnl yaml-0.1 zlib
ifneq ($(MAKECMDGOALS),help)
ifneq ($(filter-out help clean packages demo demo-shell test test-long,$(or $(MAKECMDGOALS),all)),)
  PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
  PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null)
endif
endif

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-missing-field-initializers
ifeq ($(WERROR),1)
  WARN += -Werror
endif
OPT  ?= -O2 -g
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Iuser -I$(BUILD)/gen
CFLAGS   += -std=gnu11 $(OPT) $(WARN) -fno-strict-aliasing -fstack-protector-strong $(PKG_CFLAGS)
LDLIBS   += $(PKG_LIBS) -lelf -lpthread
ifneq ($(SAN),)
  CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
  LDFLAGS += -fsanitize=$(SAN)
endif

# -mcpu=v2: what Linux 5.10 verifies; newer compilers would default to v3.
BPF_ARCH := $(shell uname -m | sed -e 's/x86_64/x86/' -e 's/aarch64/arm64/')
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v2 -D__TARGET_ARCH_$(BPF_ARCH) -std=gnu11 -Wall -Wextra -Wno-unused-parameter \
	-Wno-gnu-variable-sized-type-not-at-end -fno-builtin -fno-unroll-loops -Iinclude -Ibpf -idirafter /usr/include/$(shell uname -m)-linux-gnu
BPF_HDRS := $(wildcard bpf/*.h include/nodens/*.h)

SRCS := $(filter-out user/main.c,$(wildcard user/*.c user/*/*.c))
OBJS := $(SRCS:user/%.c=$(BUILD)/obj/%.o)
LIB := $(BUILD)/libnodens.a
MAIN := $(BUILD)/obj/main.o
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNITS := $(UNIT_SRCS:tests/unit/%.c=$(BUILD)/tests/unit/%)
TOOL_SRCS := $(filter-out %.bpf.c,$(wildcard tests/tools/*.c))
TOOLS := $(TOOL_SRCS:tests/tools/%.c=$(BUILD)/tests/tools/%)
SKEL := $(BUILD)/gen/nodens.skel.h

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all help check-tools test-programs test-tools clean compile_commands.json

all: check-tools $(BUILD)/nodens ## build the agent: build/nodens (no root needed)

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z_-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST) | sort

# All missing tools at once, with what to install.
check-tools:
	@missing=; \
	for t in $(firstword $(CC)) $(CLANG) $(BPFTOOL) $(PKG_CONFIG); do command -v $$t >/dev/null 2>&1 || missing="$$missing $$t"; done; \
	for p in $(PACKAGES); do $(PKG_CONFIG) --exists $$p 2>/dev/null || missing="$$missing $$p(headers)"; done; \
	if [ -n "$$missing" ]; then \
		echo "missing:$$missing" >&2; \
		echo "on Debian: sudo make packages" >&2; exit 1; fi

$(BUILD)/obj/%.bpf.o: bpf/%.bpf.c $(BPF_HDRS)
	@mkdir -p $(@D)
	$(say) CLANG $<
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@.tmp
	$(Q)$(LLVM_STRIP) -g -o $@ $@.tmp 2>/dev/null || mv $@.tmp $@
	@rm -f $@.tmp

$(BUILD)/bench/bench_update: tests/bench/bench_update.c $(LIB)
	@mkdir -p $(@D)
	$(say) TOOL $@
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< $(LIB) -o $@ $(LDLIBS)

# A translation unit for each hook, linked into one object with one set of maps.
$(BUILD)/obj/nodens_hooks.o: $(BUILD)/obj/nodens.bpf.o $(BUILD)/obj/nodens_xdp.bpf.o
	$(say) LINK $@
	$(Q)$(BPFTOOL) gen object $@ $^

# The datapath's core under a stopwatch, for the benchmark alone.
$(BUILD)/bench/bench.bpf.o: tests/bench/bench.bpf.c $(BPF_HDRS)
	@mkdir -p $(@D)
	$(say) CLANG $<
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@
	$(Q)$(LLVM_STRIP) -g $@

$(BUILD)/bench/bench.skel.h: $(BUILD)/bench/bench.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name bench_bpf > $@.tmp && mv $@.tmp $@

$(BUILD)/bench/bench_datapath: tests/bench/bench_datapath.c $(BUILD)/bench/bench.skel.h $(LIB)
	$(say) TOOL $@
	$(Q)$(CC) $(CPPFLAGS) -I$(BUILD)/bench $(CFLAGS) $(LDFLAGS) $< $(LIB) -o $@ $(LDLIBS)

$(SKEL): $(BUILD)/obj/nodens_hooks.o
	@mkdir -p $(@D)
	$(say) SKEL $@
	$(Q)$(BPFTOOL) gen skeleton $< name nodens_bpf > $@.tmp && mv $@.tmp $@

$(BUILD)/gen/records.skel.h: $(BUILD)/obj/records.bpf.o
	@mkdir -p $(@D)
	$(say) SKEL $@
	$(Q)$(BPFTOOL) gen skeleton $< name records_bpf > $@.tmp && mv $@.tmp $@

$(BUILD)/gen/version.h: VERSION FORCE
	@mkdir -p $(@D)
	@printf '#define NODENS_VERSION "%s"\n#define NODENS_COMMIT "%s"\n' '$(VERSION)' '$(COMMIT)' > $@.tmp
	@cmp -s $@.tmp $@ && rm -f $@.tmp || mv $@.tmp $@
FORCE:

$(BUILD)/obj/%.o: user/%.c | $(SKEL) $(BUILD)/gen/records.skel.h $(BUILD)/gen/version.h
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# An archive, so that a test or tool pulls in only what it uses.
$(LIB): $(OBJS)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/nodens: $(MAIN) $(LIB)
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(say) TEST $@
	$(Q)$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d $< $(LIB) -o $@ -lcmocka $(LDLIBS)

$(BUILD)/tests/tools/%: tests/tools/%.c $(LIB)
	@mkdir -p $(@D)
	$(say) TOOL $@
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d $< $(LIB) -o $@ $(LDLIBS)

# The XDP program in the hands of a kernel that has no room behind a frame.
$(BUILD)/tests/tools/%.bpf.o: tests/tools/%.bpf.c $(BPF_HDRS) bpf/nodens_xdp.bpf.c
	@mkdir -p $(@D)
	$(say) CLANG $<
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

test-tools: $(TOOLS) $(BUILD)/tests/tools/xdp_no_tail.bpf.o
test-programs: $(UNITS) test-tools

clean: ## remove build/
	rm -rf $(BUILD) compile_commands.json

include mk/test.mk
include mk/deploy.mk

-include $(OBJS:.o=.d) $(MAIN:.o=.d) $(UNITS:=.d) $(TOOLS:=.d)
