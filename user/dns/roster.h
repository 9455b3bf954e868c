/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses behind a service, in stored order, with numbers for what is the same: label, address, and pair of both.
 * Grouping and finding duplicates is then array work. Internal to the record builder.
 */
#pragma once

#include "base/hmap.h"
#include "dns/records.h"

#define ROSTER_NONE UINT32_MAX

/* One address of one endpoint. The others are indices. */
struct roster_entry {
	uint32_t source;
	uint32_t label;
	uint32_t addr;
	uint32_t pair;
	uint32_t next; /* entry with the same label, ROSTER_NONE: last */
};

/* `seen` is the mark of whoever walks the entries. */
struct roster_label {
	struct hmap_node node;
	uint32_t seen;
	uint32_t target; /* index into the targets of the set that is being built */
	uint32_t first;	 /* entry, ROSTER_NONE: a label without an address (roster_add_told) */
	uint32_t last;
	uint8_t len; /* 0: the service's own name is meant */
	char text[64];
};

struct roster_addr {
	struct hmap_node node;
	uint32_t seen;
	const struct kube_addr *addr;
};

struct roster_pair {
	struct hmap_node node;
	uint32_t seen;
	uint32_t label;
	uint32_t addr;
};

/* What has one list of ports: a slice, or a service with its cluster IPs. Its entries are contiguous. */
struct roster_source {
	const struct kube_port *ports;
	size_t port_count;
	uint32_t first;
	uint32_t count;
};

struct roster {
	struct roster_source *sources;
	size_t source_count;
	struct roster_entry *entries;
	size_t entry_count;
	struct roster_label *labels;
	size_t label_count;
	struct roster_addr *addrs;
	size_t addr_count;
	struct roster_pair *pairs;
	size_t pair_count;
	struct hmap by_label, by_addr, by_pair;
};

/* Room for so many sources and so many labels or addresses; the adders below must stay within it. The objects added are
 * referred to, not copied. -ENOMEM; roster_done may follow in any case. */
int roster_init(struct roster *r, size_t source_cap, size_t cap);
void roster_done(struct roster *r);
/* Labels or addresses that the slice may add. */
size_t roster_slice_cap(const struct kube_slice *s);

/* The cluster IPs, all under the service's own name. */
void roster_add_service(struct roster *r, const struct kube_service *s);
/* The addresses of the ready endpoints. */
void roster_add_slice(struct roster *r, const struct kube_slice *s);
/* Labels and ports only, no entries: all that can be told of what is not wholly understood. */
void roster_add_told(struct roster *r, const struct kube_slice *s, bool with_unready);
void roster_add_told_service(struct roster *r, const struct kube_service *s);
