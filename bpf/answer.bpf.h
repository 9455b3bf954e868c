/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The plan of an answer: which records from where, how many, how long, before a single octet is written. */
#pragma once

#include "lookup.bpf.h"

#define RRS_LEN_MASK (NODENS_MESSAGE_MAX - 1)
#define LIST_STEPS 9 /* binary search over at most 256 record ends */
/* Records of a list within NODENS_MESSAGE_MAX: none is shorter than an address record. */
#define LIST_RECORDS_MAX (NODENS_MESSAGE_MAX / NODENS_A_LEN)
#define LIST_INDEX_MASK (2 * LIST_RECORDS_MAX - 1)
_Static_assert(1 << (LIST_STEPS - 1) >= LIST_RECORDS_MAX, "the search reaches every record");

struct answer {
	__u64 rrs;     /* offset of the records in the page */
	__u64 rrs_len; /* octets; the SOA's for NODATA */
	__u64 sum;    /* of all records, or ANSWER_NO_SUM */
	__u64 counts; /* ANCOUNT, NSCOUNT and ARCOUNT without the OPT, as answer_counts puts them */
};

#define ANSWER_NO_SUM 0x10000

static __always_inline __u64 answer_counts(__u64 ancount, __u64 nscount, __u64 arcount)
{
	return ancount | nscount << 16 | arcount << 32;
}

/* Octets that the records may take, by the client's size and the interface's MTU; negative: not even the question fits. */
static __always_inline __s64 answer_room(const struct hook *h, const struct datagram *d, const struct question *q,
					 bool *ret_is_ours)
{
	__s64 mtu = (__s64)h->mtu - IPV4_UDP_LEN - (IPV6_UDP_LEN - IPV4_UDP_LEN) * d->is_v6;
	__s64 limit = q->size;

	if (limit > mtu)
		limit = mtu;
	/* Beyond this bound it is not the client or the MTU that limits us: nothing may be cut for it. */
	*ret_is_ours = limit > NODENS_MESSAGE_MAX;
	if (*ret_is_ours)
		limit = NODENS_MESSAGE_MAX;
	return limit - NODENS_DNS_HEADER_LEN - NODENS_QUESTION_TAIL_LEN - q->name_len - q->opt_len;
}

/* A rotation that begins at a random record; all of it, or as many whole records as fit. The section holds the first
 * records once more behind the last one, so that it is one straight copy (nodens_stored_records). */
static __always_inline enum nodens_verdict plan_addresses(const struct blob *b, const struct nodens_section *s,
							  __u32 rr_len, __u32 room, bool is_room_ours, struct answer *a)
{
	__u64 count = s->count, take = count, start = 0;

	if (count > 1)
		start = bpf_get_prandom_u32() * count >> 32;
	if (count * rr_len > room) {
		if (is_room_ours)
			return NODENS_VERDICT_TOO_BIG;
		take = room / rr_len;
	} else {
		a->sum = s->sum;
	}
	a->rrs = b->off + s->off + start * rr_len;
	a->rrs_len = take * rr_len;
	a->counts = answer_counts(take, 0, 0);
	return take < count ? NODENS_VERDICT_TRUNCATED : NODENS_VERDICT_ANSWERED;
}

/* How many records end within room. */
static __always_inline __u32 list_fit(const struct nodens_list *list, __u32 records, __u32 room)
{
	__u64 low = 0, high = records; /* `low` records fit */

	for (__u32 i = 0; i < LIST_STEPS; i++) {
		__u32 mid = (low + high + 1) / 2;

		if (low >= high)
			break;
		if (list->end[(mid - 1) & LIST_INDEX_MASK] <= room)
			low = mid;
		else
			high = mid - 1;
		launder(low, room, LIST_INDEX_MASK);
		launder(high, room, LIST_INDEX_MASK);
	}
	return low;
}

static __always_inline enum nodens_verdict plan_list(const struct blob *b, const struct nodens_section *s, __u32 room,
						     bool is_room_ours, bool may_cut, struct answer *a)
{
	__u64 list_off = (b->off + s->off) & PAGE_OFF_MASK;
	const struct nodens_list *list = (const void *)(b->page + list_off);
	__u64 answers = list->answers, records = answers + list->additionals;
	__u64 fit;

	a->rrs = list_off + list->rrs_off;
	if (list->rrs_len <= room && !list->is_cut) {
		a->sum = s->sum;
		a->rrs_len = list->rrs_len;
		a->counts = answer_counts(answers, 0, list->additionals);
		return NODENS_VERDICT_ANSWERED;
	}
	if (is_room_ours || !may_cut || records > LIST_RECORDS_MAX)
		return NODENS_VERDICT_TOO_BIG;
	fit = list_fit(list, records, room);
	a->rrs_len = fit ? list->end[(fit - 1) & LIST_INDEX_MASK] : 0;
	/* Additional records are behind the answers, so they go first. */
	a->counts = fit < answers ? answer_counts(fit, 0, 0) : answer_counts(answers, 0, fit - answers);
	return NODENS_VERDICT_TRUNCATED;
}

/* Types that ask for no records (RFC 6895 section 3.1: OPT and the range of Q and meta types) are CoreDNS's, but ANY. */
static __always_inline bool type_is_meta(__u32 type)
{
	return type == 0 || type == DNS_TYPE_OPT || (type >= 128 && type < DNS_TYPE_ANY);
}

static __always_inline enum nodens_verdict plan_answer(struct hook *h, const struct datagram *d, const struct question *q,
						       const struct blob *b, struct answer *a)
{
	const struct nodens_name *name = b->name;
	const struct nodens_section *s;
	bool is_room_ours;
	__s64 room = answer_room(h, d, q, &is_room_ours);
	__u32 flags = name->flags;
	__u32 slot;

	a->sum = ANSWER_NO_SUM;
	if (flags & NODENS_NAME_PASS)
		return NODENS_VERDICT_NAME_PASSED;
	if (room < 0)
		return NODENS_VERDICT_TOO_BIG;
	if (flags & NODENS_NAME_REVERSE) {
		if (q->type != DNS_TYPE_PTR || name->section[NODENS_SLOT_PTR].count == 0)
			return NODENS_VERDICT_TYPE;
		return plan_list(b, &name->section[NODENS_SLOT_PTR], room, is_room_ours, false, a);
	}
	if (q->type == DNS_TYPE_A)
		slot = NODENS_SLOT_A;
	else if (q->type == DNS_TYPE_AAAA)
		slot = NODENS_SLOT_AAAA;
	else if (q->type == DNS_TYPE_SRV)
		slot = NODENS_SLOT_SRV;
	else
		slot = NODENS_SLOT_COUNT;

	if (slot != NODENS_SLOT_COUNT) {
		s = &name->section[slot];
		if (s->count != 0) {
			if (slot == NODENS_SLOT_SRV)
				return plan_list(b, s, room, is_room_ours, true, a);
			return plan_addresses(b, s, slot == NODENS_SLOT_A ? NODENS_A_LEN : NODENS_AAAA_LEN, room,
					      is_room_ours, a);
		}
		if (s->off == NODENS_SECTION_PASS)
			return NODENS_VERDICT_TYPE;
	} else if (type_is_meta(q->type)) {
		return NODENS_VERDICT_TYPE;
	}
	if (room < NODENS_SOA_LEN)
		return NODENS_VERDICT_TOO_BIG;
	a->rrs_len = NODENS_SOA_LEN;
	a->counts = answer_counts(0, 1, 0);
	return NODENS_VERDICT_NODATA;
}
