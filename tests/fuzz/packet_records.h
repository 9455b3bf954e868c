/* SPDX-License-Identifier: Apache-2.0 */
/* Record sets of every shape, rendered and loaded as the agent does it, for the packet target; the reference knows the sets
 * alone, not what was made of them. */
#pragma once

#include "dns/records.h"

#define PACKET_ZONE "cluster.local"
#define PACKET_TTL_S 5
#define PACKET_SERIAL 1790000000U

struct packet_records {
	struct dns_name zone;
	struct record_set *sets;
	size_t count;
};

/* Builds the sets and puts them into the table of kernel_maps. Ends the program where that fails. */
const struct packet_records *packet_records_load(void);
