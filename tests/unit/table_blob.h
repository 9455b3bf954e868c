/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs for tests of tables: a name made from a number, an A section of any size whose octets depend on a version. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "nodens/abi.h"

#define BLOB_NAME_MAX 64

/* "\x07n<6 hex digits>\x04test\x00" in wire format; number < 2^24. Returns its length. */
static inline size_t blob_name(uint32_t number, uint8_t ret_name[BLOB_NAME_MAX])
{
	return (size_t)snprintf((char *)ret_name, BLOB_NAME_MAX, "\x07n%06x\x04test", number & 0xffffff) + 1;
}

/* What octet i of the section holds. */
static inline uint8_t blob_octet(uint32_t number, uint32_t version, size_t i)
{
	return (uint8_t)(number * 31 + version * 131 + version / 256 + i * 7);
}

/* A blob with `records` A records. buffer is aligned to 8 and has room for blob_len(records). Its version stands in the
 * first four octets of the section. Returns its length. */
static inline size_t blob_make(void *buffer, uint32_t number, uint32_t version, uint32_t records)
{
	struct nodens_name *b = buffer;
	uint8_t *section;
	size_t len;

	memset(b, 0, sizeof(*b) + BLOB_NAME_MAX);
	b->name_len = (uint8_t)blob_name(number, (uint8_t *)b->name);
	b->section[NODENS_SLOT_A].off = sizeof(*b) + ((b->name_len + 7U) & ~7U);
	b->section[NODENS_SLOT_A].count = (uint16_t)records;
	len = b->section[NODENS_SLOT_A].off + (size_t)nodens_stored_records(records, NODENS_A_LEN) * NODENS_A_LEN;
	b->blob_len = (uint32_t)len;
	section = (uint8_t *)b + b->section[NODENS_SLOT_A].off;
	for (size_t i = 4; i < (size_t)records * NODENS_A_LEN; i++)
		section[i] = blob_octet(number, version, i);
	if (records > 0)
		memcpy(section, &version, sizeof(version));
	memcpy(section + (size_t)records * NODENS_A_LEN, section,
	       len - b->section[NODENS_SLOT_A].off - (size_t)records * NODENS_A_LEN);
	return len;
}

/* Whether it is, from the first octet to the last, a blob that blob_make made for this number. */
static inline int blob_is_whole(const struct nodens_name *b, size_t len, uint32_t number)
{
	const uint8_t *section = (const uint8_t *)b + b->section[NODENS_SLOT_A].off;
	size_t section_len = (size_t)b->section[NODENS_SLOT_A].count * NODENS_A_LEN;
	uint8_t name[BLOB_NAME_MAX];
	size_t name_len = blob_name(number, name);
	uint32_t version;

	if (b->blob_len != len || b->name_len != name_len || memcmp(b->name, name, name_len) != 0)
		return 0;
	size_t repeated_len = (size_t)nodens_stored_records(b->section[NODENS_SLOT_A].count, NODENS_A_LEN) * NODENS_A_LEN - section_len;

	if (b->section[NODENS_SLOT_A].off + section_len + repeated_len != len || section_len < sizeof(version) ||
	    memcmp(section + section_len, section, repeated_len) != 0)
		return 0;
	memcpy(&version, section, sizeof(version));
	for (size_t i = sizeof(version); i < section_len; i++) {
		if (section[i] != blob_octet(number, version, i))
			return 0;
	}
	return 1;
}
