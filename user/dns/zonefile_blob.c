/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs to records. Offsets in 64 bits, so that no sum of theirs wraps. */
#include "dns/zonefile_blob.h"

#include <string.h>

#include "dns/zonefile.h"

#define CLASS_IN 1
/* Owner pointer, type, class, TTL, RDLENGTH. */
#define RR_FIXED_LEN 12
#define QUESTION_POINTER 0xc00c
#define SRV_FIXED_RDLEN 6

#define KNOWN_FLAGS (NODENS_NAME_PASS | NODENS_NAME_CUT | NODENS_NAME_REVERSE)

/* The message that pointers of a list count in: header, question, records. */
struct message {
	const uint8_t *name;
	size_t name_len;
	const uint8_t *rrs;
	size_t rrs_len;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static const uint8_t *name_of(const struct nodens_name *blob)
{
	return (const uint8_t *)blob->name;
}

static size_t head_len(const struct nodens_name *blob)
{
	return sizeof(*blob) + (((size_t)blob->name_len + 7) & ~(size_t)7);
}

/* ---- names ---- */

static size_t rrs_start(const struct message *m)
{
	return NODENS_DNS_HEADER_LEN + m->name_len + NODENS_QUESTION_TAIL_LEN;
}

/* len octets at this offset of the message; NULL: not within the name or the records. */
static const uint8_t *message_at(const struct message *m, size_t off, size_t len)
{
	size_t start = rrs_start(m);

	if (off >= start && off - start + len <= m->rrs_len)
		return m->rrs + (off - start);
	if (off >= NODENS_DNS_HEADER_LEN && off - NODENS_DNS_HEADER_LEN + len <= m->name_len)
		return m->name + (off - NODENS_DNS_HEADER_LEN);
	return NULL;
}

/* Where the octets at off point to; 0: not a pointer, or not one that goes backwards. */
static size_t follow_pointer(const struct message *m, size_t off, size_t before)
{
	const uint8_t *p = message_at(m, off, 2);
	size_t target = p ? get16(p) & 0x3fff : 0;

	return target < before ? target : 0;
}

/* Each pointer must lead before all that was read so far, so that the walk ends. *ret_end: behind the name. */
static bool read_name(const struct message *m, size_t off, struct dns_name *ret_name, size_t *ret_end)
{
	size_t len = 0, end = 0, before = off;
	const uint8_t *label;

	while ((label = message_at(m, off, 1))) {
		if (label[0] >= 0xc0) {
			end = end ? end : off + 2;
			off = before = follow_pointer(m, off, before);
			if (!off)
				return false;
			continue;
		}
		label = label[0] > NODENS_LABEL_MAX ? NULL : message_at(m, off, 1 + (size_t)label[0]);
		if (!label || len + 1 + label[0] > NODENS_NAME_MAX)
			return false;
		memcpy(ret_name->data + len, label, 1 + (size_t)label[0]);
		len += 1 + (size_t)label[0];
		off += 1 + (size_t)label[0];
		if (label[0] == 0) {
			ret_name->len = (uint8_t)len;
			*ret_end = end ? end : off;
			return true;
		}
	}
	return false;
}

/* ---- records ---- */

static bool read_head(const uint8_t *rr, size_t len, uint16_t type, struct zone_record *record)
{
	if (len < RR_FIXED_LEN || get16(rr + 2) != type || get16(rr + 4) != CLASS_IN ||
	    get16(rr + 10) != len - RR_FIXED_LEN)
		return false;
	*record = (struct zone_record){.type = type, .ttl_s = get32(rr + 6)};
	return true;
}

static bool each_address(const struct nodens_name *blob, size_t len, const struct nodens_section *s, uint16_t type,
			 zone_record_fn fn, void *ctx)
{
	size_t rr_len = type == ZONE_TYPE_A ? NODENS_A_LEN : NODENS_AAAA_LEN;
	const uint8_t *rr = (const uint8_t *)blob + s->off;
	struct zone_record record;

	if (s->off < head_len(blob) || (uint64_t)s->off + (uint64_t)s->count * rr_len > len)
		return false;
	for (size_t i = 0; i < s->count; i++, rr += rr_len) {
		if (get16(rr) != QUESTION_POINTER || !read_head(rr, rr_len, type, &record))
			return false;
		memcpy(record.addr, rr + RR_FIXED_LEN, rr_len - RR_FIXED_LEN);
		if (fn)
			fn(ctx, &record);
	}
	return true;
}

/* An SRV or PTR record at these octets of the records. */
static bool read_answer(const struct message *m, size_t from, size_t to, uint16_t type, struct zone_record *record)
{
	const uint8_t *rr = m->rrs + from;
	size_t fixed = RR_FIXED_LEN + (type == ZONE_TYPE_SRV ? SRV_FIXED_RDLEN : 0);
	size_t end;

	if (to - from <= fixed || get16(rr) != QUESTION_POINTER || !read_head(rr, to - from, type, record))
		return false;
	if (type == ZONE_TYPE_SRV) {
		record->priority = get16(rr + RR_FIXED_LEN);
		record->weight = get16(rr + RR_FIXED_LEN + 2);
		record->port = get16(rr + RR_FIXED_LEN + 4);
	}
	return read_name(m, rrs_start(m) + from + fixed, &record->target, &end) && end == rrs_start(m) + to;
}

static bool additional_is_valid(const struct message *m, size_t from, size_t to)
{
	const uint8_t *rr = m->rrs + from;
	struct zone_record record;
	size_t end;

	if (to - from == NODENS_A_LEN ? !read_head(rr, to - from, ZONE_TYPE_A, &record)
				      : to - from != NODENS_AAAA_LEN ||
						!read_head(rr, to - from, ZONE_TYPE_AAAA, &record))
		return false;
	return get16(rr) >= 0xc000 && read_name(m, rrs_start(m) + from, &record.target, &end);
}

static const struct nodens_list *list_of(const struct nodens_name *blob, size_t len, const struct nodens_section *s)
{
	const struct nodens_list *list = (const void *)((const uint8_t *)blob + s->off);
	size_t ends_len;

	if (s->off % 8 || s->off < head_len(blob) || (uint64_t)s->off + sizeof(*list) > len)
		return NULL;
	ends_len = 2 * ((size_t)list->answers + list->additionals);
	if (list->answers != s->count || list->rrs_off < sizeof(*list) + ends_len ||
	    (uint64_t)s->off + list->rrs_off + list->rrs_len > len)
		return NULL;
	return list;
}

static bool each_of_list(const struct nodens_name *blob, size_t len, const struct nodens_section *s, uint16_t type,
			 zone_record_fn fn, void *ctx)
{
	const struct nodens_list *list = list_of(blob, len, s);
	struct message m = {.name = name_of(blob), .name_len = blob->name_len};
	struct zone_record record;
	size_t from = 0;

	if (!list)
		return false;
	m.rrs = (const uint8_t *)list + list->rrs_off;
	m.rrs_len = list->rrs_len;
	for (size_t i = 0; i < (size_t)list->answers + list->additionals; i++) {
		size_t to = list->end[i];
		bool is_answer = i < list->answers;

		if (to <= from || to > m.rrs_len)
			return false;
		if (!(is_answer ? read_answer(&m, from, to, type, &record) : additional_is_valid(&m, from, to)))
			return false;
		if (is_answer && fn)
			fn(ctx, &record);
		from = to;
	}
	return from == m.rrs_len && list->end[list->answers - 1] == list->answers_len;
}

uint16_t zone_blob_type(const struct nodens_name *blob, enum nodens_slot slot)
{
	if (slot == NODENS_SLOT_A)
		return blob->flags & NODENS_NAME_REVERSE ? ZONE_TYPE_PTR : ZONE_TYPE_A;
	return slot == NODENS_SLOT_AAAA ? ZONE_TYPE_AAAA : ZONE_TYPE_SRV;
}

bool zone_blob_is_passed(const struct nodens_name *blob, enum nodens_slot slot)
{
	return blob->section[slot].count == 0 && blob->section[slot].off == NODENS_SECTION_PASS;
}

bool zone_blob_is_cut(const struct nodens_name *blob, enum nodens_slot slot)
{
	const struct nodens_section *s = &blob->section[slot];
	uint16_t type = zone_blob_type(blob, slot);

	if (s->count == 0 || type == ZONE_TYPE_A || type == ZONE_TYPE_AAAA)
		return false;
	return ((const struct nodens_list *)(const void *)((const uint8_t *)blob + s->off))->is_cut != 0;
}

bool zone_blob_each(const struct nodens_name *blob, size_t len, enum nodens_slot slot, zone_record_fn fn, void *ctx)
{
	const struct nodens_section *s = &blob->section[slot];
	uint16_t type = zone_blob_type(blob, slot);

	if (s->count == 0)
		return s->off == 0 || s->off == NODENS_SECTION_PASS;
	if (type == ZONE_TYPE_A || type == ZONE_TYPE_AAAA)
		return each_address(blob, len, s, type, fn, ctx);
	return each_of_list(blob, len, s, type, fn, ctx);
}

bool zonefile_blob_is_valid(const struct nodens_name *blob, size_t len)
{
	if (len < sizeof(*blob) || blob->blob_len != len || head_len(blob) > len || blob->flags & ~KNOWN_FLAGS)
		return false;
	if (!dns_name_is_valid(name_of(blob), blob->name_len))
		return false;
	for (int slot = 0; slot < NODENS_SLOT_COUNT; slot++) {
		/* A reverse name has PTR and nothing else. */
		if (blob->flags & NODENS_NAME_REVERSE && slot != NODENS_SLOT_PTR && blob->section[slot].count)
			return false;
		if (!zone_blob_each(blob, len, (enum nodens_slot)slot, NULL, NULL))
			return false;
	}
	return true;
}
