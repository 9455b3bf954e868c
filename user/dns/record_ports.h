/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ports that count for a name, source by source: all of them for the service's and the endpoints' names, those with
 * one name and protocol for _port._proto names. Internal to the record builder.
 */
#pragma once

#include "dns/roster.h"

/* A port at its source; sorted by source and place, or by name, protocol, source and place. */
struct port_ref {
	const struct kube_port *port;
	uint32_t source;
};

/* The ports of one source that match. */
struct port_list {
	uint32_t count;		 /* with those that have no number, and with duplicates: what SRV weights divide by */
	uint32_t number_count;	 /* distinct numbers */
	const uint16_t *numbers; /* in stored order */
};

struct record_ports {
	struct port_ref *refs; /* all ports by source; after record_ports_sort the named ones by name */
	size_t ref_count;
	struct port_list *lists; /* by source */
	uint16_t *numbers;
	size_t number_count;
};

/* -ENOMEM; record_ports_done may follow in any case. */
int record_ports_init(struct record_ports *p, const struct roster *r);
void record_ports_done(struct record_ports *p);

/* Lists with all ports; a source without ports has one without a number, as CoreDNS has it. */
void record_ports_select_all(struct record_ports *p, const struct roster *r);
/* From here on refs holds the named ports only, by name; record_ports_select_all is over. */
void record_ports_sort(struct record_ports *p);
/* Number of refs from refs[first] on that share its name and protocol; their lists are filled, others are left. */
size_t record_ports_select_run(struct record_ports *p, size_t first);
