/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the torn-read test writes and expects: each version of a name has a number of A records that follows from name and
 * version, and each address tells whose it is:
 *
 *   | name | version, high | version, low | index |
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "nodens/limits.h"

#define TORN_NAMES_MAX 256
#define TORN_RECORDS_MAX 220
#define TORN_TTL_S 5
#define TORN_UDP_SIZE 4096

struct torn_range {
	uint32_t min, max; /* records of a name */
};

static inline uint32_t torn_count(struct torn_range range, uint8_t name, uint16_t version)
{
	uint32_t mixed = (name * 0x9e3779b9U) ^ (version * 0x85ebca6bU);

	return range.min + (mixed >> 8) % (range.max - range.min + 1);
}

static inline void torn_address(uint8_t name, uint16_t version, uint32_t index, uint8_t ret_address[4])
{
	ret_address[0] = name;
	ret_address[1] = (uint8_t)(version >> 8);
	ret_address[2] = (uint8_t)version;
	ret_address[3] = (uint8_t)index;
}

/*
 * Whether the message is, octet for octet, the answer of one version of this very name: the question as asked, an OPT, and
 * the records in their order from any one on, nothing missing, nothing twice. query has one OPT without options behind
 * its question.
 */
static inline bool torn_is_whole(const uint8_t *message, size_t len, const uint8_t *query, size_t query_len, uint8_t name,
				 struct torn_range range)
{
	size_t question_end = query_len - NODENS_OPT_LEN;
	const uint8_t *rr = message + question_end;
	uint32_t count, first;
	uint16_t version;

	if (len < question_end + NODENS_A_LEN + NODENS_OPT_LEN)
		return false;
	version = (uint16_t)(rr[13] << 8 | rr[14]);
	first = rr[15];
	count = torn_count(range, name, version);
	/* QR, AA, RD; no TC, RA or rcode. */
	const uint8_t header[] = {query[0], query[1], 0x85, 0, 0, 1, (uint8_t)(count >> 8), (uint8_t)count, 0, 0, 0, 1};

	if (len != question_end + count * NODENS_A_LEN + NODENS_OPT_LEN || first >= count)
		return false;
	if (memcmp(message, header, sizeof(header)) != 0 ||
	    memcmp(message + sizeof(header), query + sizeof(header), question_end - sizeof(header)) != 0)
		return false;
	for (uint32_t i = 0; i < count; i++, rr += NODENS_A_LEN) {
		uint8_t want[NODENS_A_LEN] = {0xc0, NODENS_DNS_HEADER_LEN, 0, 1, 0, 1, 0, 0, 0, TORN_TTL_S, 0, 4};

		torn_address(name, version, (first + i) % count, want + 12);
		if (memcmp(rr, want, sizeof(want)) != 0)
			return false;
	}
	return memcmp(rr, query + question_end, NODENS_OPT_LEN) == 0;
}
