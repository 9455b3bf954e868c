/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record set from the entries that belong to its name: A, AAAA, SRV and glue, as CoreDNS counts and orders them
 * (docs/records.md). Internal to the record builder.
 */
#pragma once

#include "dns/record_ports.h"
#include "dns/roster.h"

struct set_maker;

/* addr_cap: the most distinct addresses a roster has. service is the service's own name; it must outlive the maker.
 * NULL: -ENOMEM. */
struct set_maker *set_maker_new(const struct dns_name *service, size_t addr_cap);
void set_maker_free(struct set_maker *m);

/* members: indices of entries, ascending; lists: the ports that count, by source. Fills all but the owner; the arrays
 * are good until the next call. */
void set_maker_fill(struct set_maker *m, struct roster *r, const struct port_list *lists, const uint32_t *members,
		    size_t count, struct record_set *set);
