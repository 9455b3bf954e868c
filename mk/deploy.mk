# SPDX-License-Identifier: Apache-2.0
# Installing, the container image, the manifests. Included by the Makefile.

.PHONY: install uninstall packages-image image check-deploy bench-memory

UNIT_DIR := $(PREFIX)/lib/systemd/system

install: all ## install program, manual page and systemd unit to $(DESTDIR)$(PREFIX)
	install -D -m 0755 $(BUILD)/nodens $(DESTDIR)$(PREFIX)/sbin/nodens
	install -D -m 0644 docs/man/nodens.8 $(DESTDIR)$(PREFIX)/share/man/man8/nodens.8
	install -d $(DESTDIR)$(UNIT_DIR)
	sed 's|/usr/local/sbin|$(PREFIX)/sbin|' deploy/systemd/nodens.service > $(DESTDIR)$(UNIT_DIR)/nodens.service
	chmod 0644 $(DESTDIR)$(UNIT_DIR)/nodens.service

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/sbin/nodens $(DESTDIR)$(PREFIX)/share/man/man8/nodens.8 $(DESTDIR)$(UNIT_DIR)/nodens.service

SUITES += deploy

check-deploy: all ## the manifests on a real API server, the unit, the installed files (root)
	$(Q)BUILD=$(BUILD) tests/run deploy

bench-memory: all ## memory of the agent's container for clusters of several sizes (root)
	$(Q)NODENS=$(abspath $(BUILD))/nodens $(PYTHON) tests/deploy/memory.py

packages-image:
	@tests/packages.sh image

image: packages-image ## the container image without a registry, from Debian packages (root; minutes)
	@BUILD=$(BUILD) deploy/build-image.sh
