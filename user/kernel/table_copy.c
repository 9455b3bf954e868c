/* SPDX-License-Identifier: Apache-2.0 */
/* Reading index and arena that another process writes: copies, each checked before it is told. */
#include "kernel/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Each retry means that the writer changed this entry meanwhile. */
#define ENTRY_RETRIES 1000

static bool list_is_sound(const uint8_t *at, uint32_t room, uint16_t count)
{
	const struct nodens_list *list = (const struct nodens_list *)at;
	uint32_t records, last = 0;

	if (room < sizeof(*list) || list->answers != count)
		return false;
	records = (uint32_t)list->answers + list->additionals;
	if (list->rrs_off < sizeof(*list) + records * sizeof(list->end[0]) ||
	    (uint32_t)list->rrs_off + list->rrs_len > room)
		return false;
	for (uint32_t i = 0; i < records; i++) {
		if (list->end[i] < last)
			return false;
		last = list->end[i];
		if (i + 1 == list->answers && last != list->answers_len)
			return false;
	}
	return last == list->rrs_len;
}

static bool section_is_sound(const struct nodens_name *blob, enum nodens_slot slot)
{
	const struct nodens_section *s = &blob->section[slot];
	bool is_list = slot == NODENS_SLOT_SRV || (blob->flags & NODENS_NAME_REVERSE);
	uint32_t record_len = slot == NODENS_SLOT_AAAA ? NODENS_AAAA_LEN : NODENS_A_LEN;

	if (s->count == 0)
		return s->off == 0 || s->off == NODENS_SECTION_PASS;
	if (s->off < sizeof(*blob) + blob->name_len || s->off >= blob->blob_len)
		return false;
	if (is_list)
		return s->off % 8 == 0 &&
		       list_is_sound((const uint8_t *)blob + s->off, blob->blob_len - s->off, s->count);
	return nodens_stored_records(s->count, record_len) * record_len <= blob->blob_len - s->off;
}

/* Labels of at most 63 octets that end with the root label at name_len. */
static bool name_is_sound(const struct nodens_name *blob)
{
	const uint8_t *name = (const uint8_t *)blob->name;
	size_t at = 0;

	while (at < blob->name_len && name[at] != 0) {
		if (name[at] > NODENS_LABEL_MAX)
			return false;
		at += 1U + name[at];
	}
	return at + 1 == blob->name_len;
}

static bool copy_is_sound(const struct nodens_name *blob, uint32_t len)
{
	if (blob->blob_len != len || blob->name_len == 0 || sizeof(*blob) + blob->name_len > len ||
	    !name_is_sound(blob))
		return false;
	for (int slot = 0; slot < NODENS_SLOT_COUNT; slot++) {
		if (!section_is_sound(blob, (enum nodens_slot)slot))
			return false;
	}
	return true;
}

/* 0 with a copy of what the entry says, -EBADMSG: that is no blob, -ENOMEM. */
static int blob_copy(const struct table_memory *mem, uint32_t block, struct nodens_name **ret_copy, uint32_t *ret_len)
{
	uint32_t page = block / NODENS_UNITS_PER_PAGE;
	uint32_t off = block % NODENS_UNITS_PER_PAGE * NODENS_UNIT_LEN;
	const struct nodens_name *blob;
	struct nodens_name *copy;
	uint32_t len;

	if (block == 0 || page >= mem->page_count)
		return -EBADMSG;
	blob = (const struct nodens_name *)(mem->arena + page * mem->page_stride + off);
	len = __atomic_load_n(&blob->blob_len, __ATOMIC_RELAXED);
	if (len < sizeof(*blob) || len > NODENS_PAGE_LEN - off)
		return -EBADMSG;
	copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, blob, len);
	if (!copy_is_sound(copy, len)) {
		free(copy);
		return -EBADMSG;
	}
	*ret_copy = copy;
	*ret_len = len;
	return 0;
}

/*
 * Grace periods wait for programs, not for us: the units may be given out again while they are copied. A copy counts
 * only if the entry is the same behind it. 0 with *ret_copy NULL: the entry is empty.
 */
static int entry_copy(const struct table_memory *mem, const __u64 *entry, struct nodens_name **ret_copy,
		      uint32_t *ret_len)
{
	int err = -EBADMSG;

	for (int i = 0; i < ENTRY_RETRIES; i++) {
		uint64_t before = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
		struct nodens_name *copy = NULL;

		err = before ? blob_copy(mem, (uint32_t)before, &copy, ret_len) : 0;
		__sync_synchronize();
		if (__atomic_load_n(entry, __ATOMIC_RELAXED) == before) {
			if (!err)
				*ret_copy = copy;
			return err;
		}
		free(copy);
	}
	return err ? err : -EBADMSG;
}

int table_copy_each(const struct table_memory *mem, int (*fn)(void *ctx, struct nodens_name *copy, size_t len),
		    void *ctx)
{
	size_t count = (size_t)mem->bucket_count * NODENS_BUCKET_ENTRIES;
	int damaged = 0;

	for (size_t i = 0; i < count; i++) {
		const __u64 *entry = &mem->buckets[i / NODENS_BUCKET_ENTRIES].entry[i % NODENS_BUCKET_ENTRIES];
		struct nodens_name *copy = NULL;
		uint32_t len = 0;
		int err = entry_copy(mem, entry, &copy, &len);

		if (err == -EBADMSG)
			damaged = err;
		else if (err)
			return err;
		if (!copy)
			continue;
		err = fn(ctx, copy, len);
		if (err)
			return err;
	}
	return damaged;
}
