/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer is: the upstream's, or one whole version of one name, octet for octet; and whether it was right. */
#pragma once

#include <string.h>

#include "load_shared.h"
#include "nodens/limits.h"

#define LOAD_TTL_S	    5
#define LOAD_UPSTREAM_TTL_S 30
#define LOAD_RR_LEN	    16

enum load_answer_kind {
	LOAD_TORN, /* nothing that anybody may send */
	LOAD_UPSTREAM,
	LOAD_WHOLE,
};

struct load_answer {
	enum load_answer_kind kind;
	__u32 name, version; /* of a whole one */
};

static const __u8 load_upstream_address[4] = {192, 0, 2, 53};

/* A record whose owner is the question's. */
static inline void load_record(__u8 ret_rr[LOAD_RR_LEN], __u32 ttl_s, const __u8 address[4])
{
	const __u8 head[12] = {0xc0, NODENS_DNS_HEADER_LEN, 0, 1, 0, 1, 0, 0, 0, (__u8)ttl_s, 0, 4};

	memcpy(ret_rr, head, sizeof(head));
	memcpy(ret_rr + sizeof(head), address, 4);
}

/* Header and question of an answer with this many records. flags: QR and the like. */
static inline bool load_head_is(const __u8 *message, const __u8 *query, size_t query_len, __u8 flags, __u32 count)
{
	const __u8 head[12] = {query[0], query[1], flags, 0, 0, 1, (__u8)(count >> 8), (__u8)count};

	return memcmp(message, head, sizeof(head)) == 0 &&
	       memcmp(message + sizeof(head), query + sizeof(head), query_len - sizeof(head)) == 0;
}

static inline bool load_is_upstream(const __u8 *message, size_t len, const __u8 *query, size_t query_len)
{
	__u8 rr[LOAD_RR_LEN];

	load_record(rr, LOAD_UPSTREAM_TTL_S, load_upstream_address);
	return len == query_len + sizeof(rr) && load_head_is(message, query, query_len, 0x81, 1) &&
	       memcmp(message + query_len, rr, sizeof(rr)) == 0;
}

/* All records of the version that the first one tells, in their order from any one on. */
static inline bool load_is_whole(const __u8 *message, size_t len, const __u8 *query, size_t query_len,
				 struct load_range range, struct load_answer *ret_answer)
{
	const __u8 *rr = message + query_len, *address = rr + 12;
	__u32 name, version, first, count;

	if (len < query_len + LOAD_RR_LEN)
		return false;
	name = address[1] >> 1;
	version = (__u32)(address[0] - 16) << 12 | (__u32)address[2] << 4 | address[3] >> 4;
	first = (__u32)(address[1] & 1) << 4 | (address[3] & 15);
	if (address[0] < 16 || address[0] > 31)
		return false;
	count = load_count(range, name, version);
	if (len != query_len + (size_t)count * LOAD_RR_LEN || first >= count ||
	    !load_head_is(message, query, query_len, 0x85, count))
		return false;
	for (__u32 i = 0; i < count; i++, rr += LOAD_RR_LEN) {
		__u8 want[LOAD_RR_LEN], wanted_address[4];

		load_address(name, version, (first + i) % count, wanted_address);
		load_record(want, LOAD_TTL_S, wanted_address);
		if (memcmp(rr, want, sizeof(want)) != 0)
			return false;
	}
	*ret_answer = (struct load_answer){LOAD_WHOLE, name, version};
	return true;
}

static inline struct load_answer load_read(const __u8 *message, size_t len, const __u8 *query, size_t query_len,
					   struct load_range range)
{
	struct load_answer a = {.kind = LOAD_TORN};

	if (load_is_upstream(message, len, query, query_len))
		a.kind = LOAD_UPSTREAM;
	else
		(void)load_is_whole(message, len, query, query_len, range, &a);
	return a;
}

/* ---- the judgement ---- */

static inline __u64 load_get(const __u64 *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* What was in hand only after the silence was over may have been asked within it, or noted as sent and then not sent for a
 * while. */
static inline bool load_must_be_silent(const struct load_round *r, __u64 sent_ns, __u64 taken_ns)
{
	__u64 from = load_get(&r->silent_from_ns), until = load_get(&r->silent_until_ns);

	return from && sent_ns >= from && (!until || taken_ns < until);
}

/* The counter of what is wrong with a whole answer, or NULL. taken_ns: when it was in hand; *ret_age_ns: how long it
 * had been replaced when it was asked for. */
static inline __u64 *load_judge(const struct load_shared *s, struct load_round *r, const struct load_answer *a,
				__u32 name, __u64 sent_ns, __u64 taken_ns, __u64 *ret_age_ns)
{
	const struct load_version *v = &s->versions[a->version];
	__u64 replaced = load_get(&v->replaced_ns), forbidden = load_get(&v->forbidden_ns);

	*ret_age_ns = replaced && replaced < sent_ns ? sent_ns - replaced : 0;
	if (a->name != name)
		return &r->foreign;
	if (load_get(&v->begin_ns) == 0 || load_get(&v->begin_ns) > taken_ns)
		return &r->early;
	if (load_must_be_silent(r, sent_ns, taken_ns))
		return &r->spoken;
	if (forbidden && sent_ns >= forbidden)
		return &r->stale;
	return NULL;
}
