# SPDX-License-Identifier: Apache-2.0
# The torn-read test with faults built in: it must find them. Included by the Makefile.

TORN_FAULTS := $(BUILD)/tests/tools/torn-no-grace $(BUILD)/tests/tools/torn-rewrite-live

$(BUILD)/tests/tools/torn-no-grace: TORN_FAULT := NODENS_FAULT_NO_GRACE
$(BUILD)/tests/tools/torn-rewrite-live: TORN_FAULT := NODENS_FAULT_REWRITE_LIVE

# The faulty table stands before the archive, so that the archive's own is not taken.
$(TORN_FAULTS): tests/tools/torn.c user/kernel/table.c $(LIB)
	@mkdir -p $(@D)
	$(say) TOOL $@
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -D$(TORN_FAULT) -MMD -MP -MF $@.table.d -MT $@ -c user/kernel/table.c -o $@.table.o
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d $< $@.table.o $(LIB) -o $@ $(LDLIBS)

test-tools: $(TORN_FAULTS)

-include $(TORN_FAULTS:=.d) $(TORN_FAULTS:=.table.d)
