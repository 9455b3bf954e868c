/* SPDX-License-Identifier: Apache-2.0 */
/* A record set to the octets of an arena blob (struct nodens_name in nodens/abi.h). Pure. */
#pragma once

#include "dns/records.h"
#include "nodens/abi.h"

struct render_params {
	uint32_t ttl_s;
};

/* Octets that render_blob may need for this set at most. */
size_t render_blob_bound(const struct record_set *set);

/*
 * Writes the blob and its exact length. buffer must be aligned to 8 octets.
 *
 *  0          A type that cannot be stored whole (more addresses than a page holds; PTR records that do not fit
 *             NODENS_MESSAGE_MAX) is marked NODENS_SECTION_PASS; SRV is cut at NODENS_MESSAGE_MAX with is_cut set.
 *  -ENOSPC    cap is too small
 */
int render_blob(const struct record_set *set, const struct render_params *params, void *buffer, size_t cap, size_t *ret_len);

/* The SOA of the zone as nodens_config.soa holds it: pointers and serial zero. TTL is min(ttl, 300) as CoreDNS has it,
 * MINIMUM is ttl. Returns its length (NODENS_SOA_LEN). */
size_t render_soa(const struct render_params *params, uint8_t ret_soa[NODENS_SOA_MAX]);
