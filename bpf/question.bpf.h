/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The DNS message of a query: header, one question, at most one OPT.
 *
 * No walk over labels. The length of the name follows from that of the message: what is not header, type and class, or an
 * OPT at the end, is the name. Comparing that many octets with a stored name, length octets and root included, is exact:
 * where they are equal the name ends where we took it to end, and the rest is what we took it for.
 */
#pragma once

#include "packet.bpf.h"

struct dns_header {
	__be16 id;
	__be16 flags;
	__be16 qdcount;
	__be16 ancount;
	__be16 nscount;
	__be16 arcount;
};

#define DNS_QR 0x8000
#define DNS_OPCODE 0x7800
#define DNS_AA 0x0400
#define DNS_TC 0x0200
#define DNS_RD 0x0100
#define DNS_CD 0x0010

#define DNS_TYPE_A 1
#define DNS_TYPE_SOA 6
#define DNS_TYPE_PTR 12
#define DNS_TYPE_AAAA 28
#define DNS_TYPE_SRV 33
#define DNS_TYPE_OPT 41
#define DNS_TYPE_ANY 255
#define DNS_CLASS_IN 1
#define DNS_OPTION_COOKIE 10

#define NAME_LEN_MASK 0xff
#define TAIL_OFF_MASK 0x1ff /* of type and class in the frame: at most 18 + 40 + 8 + 12 + 255 */
#define DNS_END_MASK 0x3ff /* of any octet of the message in the frame, as the frame is bounded */
#define OPT_LEN_MASK 0x3f
#define OPT_WORDS 7

struct question {
	__u64 hash;
	__u64 sum;          /* of name, type and class */
	__u64 opt_sum;      /* of the OPT as it came */
	__u64 opt_cleared;  /* what of it is cleared in the echo */
	__u64 opt_start;    /* its first eight octets */
	__u64 name_len;     /* octets, root label included */
	__u64 opt_len;      /* 0: no OPT */
	__u64 size;         /* what the client accepts, at least NODENS_UDP_SIZE_MIN */
	__u32 type;
	__u16 flags; /* host byte order */
	__be16 id;
};

static __always_inline __u64 word_to_lower(__u64 w)
{
	__u64 low7 = w & 0x7f7f7f7f7f7f7f7fULL;
	__u64 from_a = low7 + 0x3f3f3f3f3f3f3f3fULL;   /* bit 7: >= 'A' */
	__u64 beyond_z = low7 + 0x2525252525252525ULL; /* bit 7: > 'Z' */

	return w | (((from_a ^ beyond_z) & ~w & 0x8080808080808080ULL) >> 2);
}

static __always_inline bool opt_is_owned_by_root(const __u8 *opt)
{
	return (load_u32(opt) & 0x00ffffff) == DNS_TYPE_OPT << 16;
}

/*
 * The last word of [off, off + len), 1 to 7 octets behind the whole words, zeros behind them: from the eight octets that end
 * there. len is at least 8.
 */
static __always_inline __u64 load_rest(const struct hook *h, __u64 off, __u64 len)
{
	__u64 last_off = off + len - 8;
	const __u8 *last;

	bound(last_off, DNS_END_MASK);
	last = frame_at(h, last_off);
	if (is_beyond(last, 8, h->data_end))
		return 0;
	return load_u64(last) >> (64 - 8 * (len & 7));
}

/* Hash and sum of the name. */
static __always_inline void hash_name(const struct hook *h, struct question *q, __u64 name_off, __u64 unknown)
{
	const __u8 *name = frame_at(h, name_off);
	__u64 hash = 0, total = 0, high = 0, word;
	__u64 len = q->name_len, words = len / 8, end = words;

	launder(end, unknown, NODENS_NAME_WORDS - 1);
	for (__u32 i = 0; i < NODENS_NAME_WORDS - 1; i++) {
		if (i >= end || is_beyond(name, 8 * i + 8, h->data_end))
			break;
		word = load_u64(name + 8 * i);
		total += word;
		high += word >> 32;
		hash += nodens_hash_word(word, hash_key[2 * i], hash_key[2 * i + 1]);
	}
	if (len & 7) {
		word = load_rest(h, name_off, len);
		total += word;
		high += word >> 32;
		bound(words, NODENS_NAME_WORDS - 1);
		hash += nodens_hash_word(word, hash_key[2 * words], hash_key[2 * words + 1]);
	}
	q->hash = nodens_hash_finish(hash);
	/* The halves of all words, one addition a word cheaper: total is low + (high << 32) modulo 2^64. */
	q->sum = high + (total - (high << 32));
}

/* Whether the query's name is this one: `stored` is lower case, padded with zeros. */
static __always_inline bool name_is_equal(const struct hook *h, __u64 name_off, __u64 name_len, const __u64 *stored,
					  __u64 unknown)
{
	const __u8 *name = frame_at(h, name_off);
	__u64 words = name_len / 8, end = words;
	__u64 word;

	launder(end, unknown, NODENS_NAME_WORDS - 1);
	for (__u32 i = 0; i < NODENS_NAME_WORDS - 1; i++) {
		if (i >= end)
			break;
		if (is_beyond(name, 8 * i + 8, h->data_end))
			return false;
		word = load_u64(name + 8 * i);
		if (word != stored[i] && word_to_lower(word) != stored[i])
			return false;
	}
	if ((name_len & 7) == 0)
		return true;
	word = load_rest(h, name_off, name_len);
	bound(words, NODENS_NAME_WORDS - 1);
	return word == stored[words] || word_to_lower(word) == stored[words];
}

/* Octets of the OPT at the end of the message, 0: there is none that we understand. */
static __always_inline __u32 find_opt(const struct hook *h, __u64 dns_off, __u64 dns_len, __u64 unknown)
{
	const __u8 *dns = frame_at(h, dns_off);
	__u64 off = dns_off + dns_len - NODENS_OPT_LEN;
	const __u8 *opt;

	/* With no option, as most clients send it. */
	launder(off, unknown, DNS_END_MASK);
	opt = frame_at(h, off);
	if (!is_beyond(opt, NODENS_OPT_LEN, h->data_end) && opt_is_owned_by_root(opt) && load_u16(opt + 9) == 0)
		return NODENS_OPT_LEN;
	/* Else behind the first zero octet, the root label, and type and class. */
	for (__u32 i = NODENS_DNS_HEADER_LEN; i < NODENS_DNS_HEADER_LEN + NODENS_NAME_MAX; i++) {
		if (is_beyond(dns, i + 1, h->data_end))
			break;
		if (dns[i] == 0)
			return dns_len - i - 1 - NODENS_QUESTION_TAIL_LEN;
	}
	return 0;
}

/* The OPT at the end of the message: version 0, owned by the root, with no option or one COOKIE. */
static __always_inline enum nodens_verdict parse_opt(const struct hook *h, struct question *q, __u64 opt_off, __u64 opt_len)
{
	const __u8 *opt = frame_at(h, opt_off);
	__u64 first, sum = 0;
	__u32 rdlen, size;

	if (opt_len < NODENS_OPT_LEN || opt_len > NODENS_OPT_MAX || is_beyond(opt, NODENS_OPT_LEN, h->data_end))
		return NODENS_VERDICT_EDNS;
	first = load_u64(opt);
	rdlen = bpf_ntohs(load_u16(opt + 9));
	if (!opt_is_owned_by_root(opt) || (first >> 48 & 0xff) != 0 || rdlen != opt_len - NODENS_OPT_LEN)
		return NODENS_VERDICT_EDNS;
	if (rdlen != 0) {
		__u64 len = rdlen - 4;

		if (rdlen < 12 || is_beyond(opt, NODENS_OPT_LEN + 4, h->data_end))
			return NODENS_VERDICT_EDNS;
		if (load_u32(opt + NODENS_OPT_LEN) != bpf_htonl(DNS_OPTION_COOKIE << 16 | len) || (len > 8 && len < 16))
			return NODENS_VERDICT_EDNS;
	}
	size = bpf_ntohs((__u16)(first >> 24));
	q->size = size > NODENS_UDP_SIZE_MIN ? size : NODENS_UDP_SIZE_MIN;

	/* The extended rcode (octet 5) and the low octet of the flags (octet 8). */
	q->opt_cleared = (first >> 32 & 0xff00) + opt[8];
	q->opt_start = first;
	if (opt_len == NODENS_OPT_LEN) {
		q->opt_sum = sum_u64(first) + opt[8]; /* RDLENGTH is 0 */
		return NODENS_VERDICT_ANSWERED;
	}

	launder(opt_len, q->id, OPT_LEN_MASK);
	for (__u32 i = 0; i < OPT_WORDS; i++) {
		if (8 * i + 8 > opt_len || is_beyond(opt, 8 * i + 8, h->data_end))
			break;
		sum += sum_u64(load_u64(opt + 8 * i));
	}
	if (opt_len & 7)
		sum += sum_u64(load_rest(h, opt_off, opt_len));
	q->opt_sum = sum;
	return NODENS_VERDICT_ANSWERED;
}

static __always_inline enum nodens_verdict parse_question(struct hook *h, struct datagram *d, struct question *q)
{
	const __u8 *dns = frame_at(h, d->dns_off);
	const struct dns_header *header = (const void *)dns;
	__u64 name_off = d->dns_off + NODENS_DNS_HEADER_LEN;
	__u64 name_len, tail, off, header_sum, opt_len = 0;
	enum nodens_verdict v;
	const __u8 *p;

	if (is_beyond(dns, NODENS_DNS_HEADER_LEN, h->data_end))
		return NODENS_VERDICT_LENGTH;
	q->id = header->id;
	q->flags = bpf_ntohs(header->flags);
	header_sum = sum_u64(load_u64(dns)) + load_u32(dns + 8);
	if (q->flags & (DNS_QR | DNS_OPCODE | DNS_TC))
		return NODENS_VERDICT_FLAGS;
	/* One question; no answer, no authority; at most one additional record. */
	if (header->qdcount != bpf_htons(1) || load_u32(&header->ancount) != 0 || (header->arcount & bpf_htons(0xfffe)))
		return NODENS_VERDICT_COUNTS;
	q->size = NODENS_UDP_SIZE_MIN;
	q->opt_sum = 0;
	q->opt_cleared = 0;
	q->opt_start = 0;
	if (header->arcount != 0) {
		opt_len = find_opt(h, d->dns_off, d->dns_len, q->id);
		launder(opt_len, q->id, OPT_LEN_MASK);
		off = d->dns_off + d->dns_len - opt_len;
		launder(off, q->id, DNS_END_MASK);
		v = parse_opt(h, q, off, opt_len);
		if (v != NODENS_VERDICT_ANSWERED)
			return v;
		/* The ways through parse_opt become one, which covers the constants of a query without an OPT. */
		launder(opt_len, q->id, OPT_LEN_MASK);
		launder(q->size, q->id, 0xffff);
		launder_word(q->opt_sum, q->id);
		launder(q->opt_cleared, q->id, 0xffff);
		launder_word(q->opt_start, q->id);
	}
	q->opt_len = opt_len;

	name_len = d->dns_len - NODENS_DNS_HEADER_LEN - NODENS_QUESTION_TAIL_LEN - opt_len;
	if (name_len < 8 || name_len > NODENS_NAME_MAX)
		return name_len == 0 || name_len > NODENS_QUERY_FRAME_MAX ? NODENS_VERDICT_LENGTH : NODENS_VERDICT_NO_NAME;
	launder(name_len, q->id, NAME_LEN_MASK);
	q->name_len = name_len;
	hash_name(h, q, name_off, q->id);

	off = name_off + name_len;
	bound(off, TAIL_OFF_MASK);
	p = frame_at(h, off);
	if (is_beyond(p, NODENS_QUESTION_TAIL_LEN, h->data_end))
		return NODENS_VERDICT_LENGTH;
	tail = load_u32(p);
	q->type = bpf_ntohs((__u16)tail);
	if ((tail >> 16) != bpf_htons(DNS_CLASS_IN))
		return NODENS_VERDICT_CLASS;
	q->sum += sum_at(tail, name_len);
	return datagram_verify(d, header_sum + q->sum + sum_at(q->opt_sum, name_len)) ? NODENS_VERDICT_ANSWERED : NODENS_VERDICT_UDP_CHECKSUM;
}
