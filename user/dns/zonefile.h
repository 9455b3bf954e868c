/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs (nodens/abi.h) as text: master files (RFC 1035 section 5) and JSON. Pure: writes to a FILE, reads only memory. */
#pragma once

#include <stdio.h>

#include "dns/name.h"
#include "nodens/abi.h"

/* A blob copied out of the arena; len is its blob_len. */
struct zonefile_entry {
	const struct nodens_name *blob;
};

enum zonefile_format { ZONEFILE_TEXT, ZONEFILE_JSON };

struct zonefile_params {
	/* The cluster domain. Other names go into reverse zones: by the first octet of IPv4 (10.in-addr.arpa), by the
	 * first 48 bits of IPv6, which are one site (RFC 4193 section 3.1: 12 nibbles below ip6.arpa). A name that is
	 * in neither goes into the zone "." */
	struct dns_name zone;
	const struct dns_name *only_zone_of; /* NULL: all zones; else only the zone that holds this name */
	uint32_t ttl_s;
	uint32_t soa_serial;
	enum zonefile_format format;
};

/* Checks offsets, counts and lengths against blob_len, as the maps may have been written by anybody.
 * false: not a blob that can be read. blob is aligned to 8 octets and has len of them. */
bool zonefile_blob_is_valid(const struct nodens_name *blob, size_t len);

/*
 * Sorts the entries (canonical order, RFC 4034 section 6.1; they must be valid) and prints one zone after the other, the
 * cluster domain first and always, unless only_zone_of leaves it out. 0 or -errno of the stream.
 *
 * Text: each zone begins with "; zone NAME", $ORIGIN, $TTL and a synthetic SOA, NS and the NS's address, told as such in
 * a comment. Sets that are cut or passed are told in comments. named-checkzone and kzonecheck accept each zone.
 * JSON: [{zone, records: [{name, ttl, type, data}], passed: [{name, type ("*": all), with_names_below}],
 * cut: [{name, type}]}], without anything synthetic.
 */
int zonefile_print(FILE *out, struct zonefile_entry *entries, size_t count, const struct zonefile_params *params);
