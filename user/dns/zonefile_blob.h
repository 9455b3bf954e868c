/* SPDX-License-Identifier: Apache-2.0 */
/* Part of zonefile: reads blobs (nodens/abi.h) without trusting a single octet of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/name.h"
#include "nodens/abi.h"

enum { ZONE_TYPE_A = 1, ZONE_TYPE_PTR = 12, ZONE_TYPE_AAAA = 28, ZONE_TYPE_SRV = 33 };

struct zone_record {
	uint16_t type;
	uint32_t ttl_s;
	uint8_t addr[16];	 /* A, AAAA */
	struct dns_name target;	 /* SRV, PTR */
	uint16_t priority;	 /* SRV */
	uint16_t weight;
	uint16_t port;
};

typedef void (*zone_record_fn)(void *ctx, const struct zone_record *record);

/* The type that a slot of this blob holds. */
uint16_t zone_blob_type(const struct nodens_name *blob, enum nodens_slot slot);
bool zone_blob_is_passed(const struct nodens_name *blob, enum nodens_slot slot);
/* The slot holds fewer records than the name has. The blob must be valid. */
bool zone_blob_is_cut(const struct nodens_name *blob, enum nodens_slot slot);
/* Calls fn (NULL: only checks) for each record of the answer section. false: something is not as it must be. */
bool zone_blob_each(const struct nodens_name *blob, size_t len, enum nodens_slot slot, zone_record_fn fn, void *ctx);
