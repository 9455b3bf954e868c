/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a hash to a blob: two candidate buckets of eight entries, then the whole name is compared. */
#pragma once

#include "question.bpf.h"

#define PAGE_OFF_MASK (NODENS_PAGE_LEN - 1)

/* A blob in its page. Offsets into the page are bounded by PAGE_OFF_MASK; the slack behind a page covers what is read or
 * copied from there. */
struct blob {
	const __u8 *page;
	const struct nodens_name *name;
	__u64 off; /* of the name in the page */
};

/* The blob number of the entry with this tag, 0: none. Each entry is read once. */
static __always_inline __u32 bucket_find(__u32 number, __u32 tag)
{
	const volatile struct nodens_bucket *bucket = bpf_map_lookup_elem(&index, &number);

	if (!bucket)
		return 0;
#pragma unroll
	for (__u32 i = 0; i < NODENS_BUCKET_ENTRIES; i++) {
		__u64 entry = bucket->entry[i];

		if ((__u32)(entry >> 32) == tag)
			return (__u32)entry;
	}
	return 0;
}

static __always_inline __u32 index_find(__u64 hash)
{
	__u32 tag = nodens_hash_tag(hash);
	__u32 blob = bucket_find(nodens_hash_bucket1(hash, index_mask), tag);

	return blob ? blob : bucket_find(nodens_hash_bucket2(hash, index_mask), tag);
}

static __always_inline enum nodens_verdict lookup_name(struct hook *h, const struct datagram *d, const struct question *q,
						       struct blob *b)
{
	__u64 name_off = d->dns_off + NODENS_DNS_HEADER_LEN;
	__u32 number = index_find(q->hash);
	__u32 page = number / NODENS_UNITS_PER_PAGE;

	if (number == 0)
		return NODENS_VERDICT_NO_NAME;
	b->page = bpf_map_lookup_elem(&arena, &page);
	if (!b->page)
		return NODENS_VERDICT_NO_NAME;
	b->off = (number % NODENS_UNITS_PER_PAGE) * NODENS_UNIT_LEN;
	b->name = (const void *)(b->page + b->off);
	if (b->name->name_len != q->name_len || !name_is_equal(h, name_off, q->name_len, b->name->name, q->hash))
		return NODENS_VERDICT_NO_NAME;
	return NODENS_VERDICT_ANSWERED;
}
