/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a plan to a packet. The frame is resized first, the last step that can fail; nothing is written before.
 *
 *   | Ethernet … UDP | DNS header | question | records            | OPT |
 *   0                dns_off      +12        +name_len+4          +rrs_len
 */
#pragma once

#include "answer.bpf.h"

#define RRS_OFF_MASK 0x1ff  /* of the records in the frame: at most 18 + 40 + 8 + 12 + 255 + 4 */
#define FRAME_OFF_MASK 0x1fff
#define COPY_STEP 128
#define COPY_STEPS (NODENS_MESSAGE_MAX / COPY_STEP)

#define copy_u64(dst, src, off) store_u64((dst) + (off), load_u64((src) + (off)))

static __always_inline void copy_16(__u8 *dst, const __u8 *src)
{
	copy_u64(dst, src, 0);
	copy_u64(dst, src, 8);
}

static __always_inline void copy_32(__u8 *dst, const __u8 *src)
{
	copy_16(dst, src);
	copy_16(dst + 16, src + 16);
}

static __always_inline void copy_64(__u8 *dst, const __u8 *src)
{
	copy_32(dst, src);
	copy_32(dst + 32, src + 32);
}

/*
 * Copies records from their page into the frame: 0 or at least 16 octets, as every record has more. dst_off and len are
 * within their masks; the frame was found long enough, so that no check in here ever ends the copy early.
 */
static __always_inline void copy_records(struct hook *h, __u64 dst_off, const __u8 *page, __u64 src_off, __u64 len,
					 __u64 unknown)
{
	__u8 *dst = frame_at(h, dst_off);
	const __u8 *src = page + (src_off & PAGE_OFF_MASK);
	__u64 done = 0, end = len;
	__u64 rest;

	launder(end, unknown, RRS_LEN_MASK);
	for (__u32 i = 0; i < COPY_STEPS; i++) {
		if (COPY_STEP * i + COPY_STEP > end || is_beyond(dst, COPY_STEP * i + COPY_STEP, h->data_end))
			break;
		copy_64(dst + COPY_STEP * i, src + COPY_STEP * i);
		copy_64(dst + COPY_STEP * i + 64, src + COPY_STEP * i + 64);
		done += COPY_STEP;
	}
	launder(done, unknown, RRS_LEN_MASK);
	rest = len - done;
	dst_off += done;
	launder(dst_off, unknown, FRAME_OFF_MASK);
	dst = frame_at(h, dst_off);
	src += done;
	if (rest >= 64) {
		if (is_beyond(dst, 64, h->data_end))
			return;
		copy_64(dst, src);
		dst += 64;
		src += 64;
		rest -= 64;
	}
	if (rest >= 32) {
		if (is_beyond(dst, 32, h->data_end))
			return;
		copy_32(dst, src);
		dst += 32;
		src += 32;
		rest -= 32;
	}
	if (rest >= 16) {
		if (is_beyond(dst, 16, h->data_end))
			return;
		copy_16(dst, src);
		rest -= 16;
	}
	if (rest != 0 && len >= 16) {
		/* The last 16 octets once more, some of them already there. */
		__u64 last = len - 16;

		launder(last, unknown, RRS_LEN_MASK);
		dst_off += last - done;
		launder(dst_off, unknown, FRAME_OFF_MASK);
		dst = frame_at(h, dst_off);
		src = page + (src_off & PAGE_OFF_MASK);
		src += last;
		if (is_beyond(dst, 16, h->data_end))
			return;
		copy_16(dst, src);
	}
}

/* Sum of len octets of the frame, 0 or at least 16 of them. */
static __always_inline __u64 sum_frame(struct hook *h, __u64 off, __u64 len, __u64 unknown)
{
	const __u8 *p = frame_at(h, off);
	__u64 done = 0, last, end = len;
	__u64 sum = 0;

	if (len < 16)
		return 0;
	launder(end, unknown, RRS_LEN_MASK);
	for (__u32 i = 0; i < NODENS_MESSAGE_MAX / 16; i++) {
		if (16 * i + 16 > end || is_beyond(p, 16 * i + 16, h->data_end))
			break;
		sum += sum_u64(load_u64(p + 16 * i)) + sum_u64(load_u64(p + 16 * i + 8));
		done += 16;
	}
	launder(done, unknown, RRS_LEN_MASK);
	last = off + len - 16;
	launder(last, unknown, FRAME_OFF_MASK);
	p = frame_at(h, last);
	if (len != done && !is_beyond(p, 16, h->data_end)) {
		/* 1 to 15 octets are left at the end of the last 16; the rest is shifted out. */
		__u64 left = (len - done) & 15;
		__u64 low = load_u64(p), high = load_u64(p + 8);

		if (left > 8)
			sum += sum_u64(low >> (8 * (16 - left))) + sum_at(sum_u64(high), left);
		else
			sum += sum_u64(high >> (8 * (8 - left)));
	}
	return sum;
}

/* The zone's SOA, its names pointing into the question, so that they have the question's case. Returns its sum. */
static __always_inline __u64 write_soa(struct hook *h, __u64 off, const struct question *q, const struct nodens_config *cfg)
{
	const __u8 *soa = cfg->soa;
	__u16 pointer = bpf_htons(0xc000 | (NODENS_DNS_HEADER_LEN + q->name_len - cfg->zone_len));
	__u32 serial = bpf_htonl(cfg->soa_serial);
	__u8 *dst = frame_at(h, off);
	__u64 sum = 0;

	if (is_beyond(dst, NODENS_SOA_LEN, h->data_end))
		return 0;
	for (__u32 i = 0; i < 6; i++) {
		__u64 word = load_u64(soa + 8 * i);

		sum += sum_u64(word);
		store_u64(dst + 8 * i, word);
	}
	sum += load_u32(soa + 48) + (__u64)load_u16(soa + 52);
	store_u32(dst + 48, load_u32(soa + 48));
	store_u16(dst + 52, load_u16(soa + 52));

	store_u16(dst + NODENS_SOA_OWNER_OFF, pointer);
	store_u16(dst + NODENS_SOA_MNAME_OFF, pointer);
	store_u16(dst + NODENS_SOA_RNAME_OFF, pointer);
	store_u32(dst + NODENS_SOA_SERIAL_OFF, serial);
	return sum + 2 * (__u64)pointer + sum_at(pointer, NODENS_SOA_MNAME_OFF) + serial;
}

/* The eight octets at from go to to, in the frame. */
static __always_inline void move_u64(struct hook *h, __u64 to, __u64 from, __u64 unknown)
{
	const __u8 *src;
	__u8 *dst;

	launder(from, unknown, DNS_END_MASK);
	launder(to, unknown, FRAME_OFF_MASK);
	src = frame_at(h, from);
	dst = frame_at(h, to);
	if (!is_beyond(src, 8, h->data_end) && !is_beyond(dst, 8, h->data_end))
		copy_u64(dst, src, 0);
}

/* An OPT with no option: 8 octets as they came but for the extended rcode, then the rest: the flags' high octet is the last
 * of the first eight. */
static __always_inline void write_plain_opt(struct hook *h, __u64 to, const struct question *q)
{
	__u8 *opt = frame_at(h, to);

	if (is_beyond(opt, NODENS_OPT_LEN, h->data_end))
		return;
	store_u64(opt, q->opt_start & ~(0xffULL << 40));
	store_u32(opt + NODENS_OPT_LEN - 4, q->opt_start >> 56);
}

/*
 * Moves the OPT from where the query had it to the end, backwards as the two may overlap, before any record is written. As
 * CoreDNS echoes it: size, DO, the high octet of the flags and the cookie stay; the extended rcode and the low octet of the
 * flags are zero.
 */
static __always_inline void move_opt(struct hook *h, __u64 to, __u64 from, __u64 len, __u64 unknown)
{
	__u8 *opt;

	move_u64(h, to + len - 8, from + len - 8, unknown);
	launder(len, unknown, OPT_LEN_MASK);
	for (__u32 i = OPT_WORDS - 1; i > 0; i--)
		if (8 * i <= len)
			move_u64(h, to + 8 * i - 8, from + 8 * i - 8, unknown);
	opt = frame_at(h, to);
	if (is_beyond(opt, NODENS_OPT_LEN, h->data_end))
		return;
	opt[5] = 0;
	opt[8] = 0;
}

/* Writes the header and returns its sum. */
static __always_inline __u64 write_dns_header(struct dns_header *header, const struct question *q, const struct answer *a,
					      enum nodens_verdict v)
{
	__u16 flags = DNS_QR | DNS_AA | (q->flags & (DNS_RD | DNS_CD)) | (v == NODENS_VERDICT_TRUNCATED ? DNS_TC : 0);
	__be16 ancount = bpf_htons((__u16)a->counts);
	__be16 nscount = bpf_htons((__u16)(a->counts >> 16));
	__be16 arcount = bpf_htons((__u16)((a->counts >> 32) + (q->opt_len != 0)));

	flags = bpf_htons(flags);
	header->flags = flags;
	header->ancount = ancount;
	header->nscount = nscount;
	header->arcount = arcount;
	return (__u64)q->id + flags + bpf_htons(1) + ancount + nscount + arcount;
}

static __always_inline void write_headers(struct hook *h, const struct datagram *d, __u32 payload, __u64 message_sum)
{
	__u8 *ip = frame_at(h, d->ip_off);

	swap_ethernet(h->data);
	if (d->is_v6) {
		if (is_beyond(ip, sizeof(struct ipv6hdr) + sizeof(struct udphdr), h->data_end))
			return;
		write_ipv6((void *)ip, payload);
		write_udp((void *)(ip + sizeof(struct ipv6hdr)), d, payload, message_sum);
	} else {
		if (is_beyond(ip, sizeof(struct iphdr) + sizeof(struct udphdr), h->data_end))
			return;
		write_ipv4((void *)ip, payload);
		write_udp((void *)(ip + sizeof(struct iphdr)), d, payload, message_sum);
	}
}

/* Turns the query in the frame into the answer. NO_ROOM: nothing was changed. */
static __always_inline enum nodens_verdict respond(struct hook *h, const struct datagram *d, const struct question *q,
						   const struct blob *b, const struct answer *a,
						   const struct nodens_config *cfg, enum nodens_verdict v)
{
	__u64 question_len = q->name_len + NODENS_QUESTION_TAIL_LEN;
	__u64 rrs_off = d->dns_off + NODENS_DNS_HEADER_LEN + question_len;
	__u64 rrs_len = a->rrs_len;
	__u64 opt_off = rrs_off + rrs_len, frame_len = opt_off + q->opt_len;
	__u64 unknown = q->id, query_len = h->len;
	__u64 rrs_sum = a->sum, sum;
	__u8 *dns;

	bound(rrs_off, RRS_OFF_MASK);
	if (!hook_resize(h, frame_len))
		return NODENS_VERDICT_NO_ROOM;
	dns = frame_at(h, d->dns_off);
	if (is_beyond(h->data, sizeof(struct ethhdr), h->data_end) || is_beyond(h->data, frame_len, h->data_end) ||
	    is_beyond(dns, NODENS_DNS_HEADER_LEN, h->data_end)) {
		hook_restore(h, query_len);
		return NODENS_VERDICT_NO_ROOM;
	}

	/* Nothing fails from here on. */
	if (q->opt_len == NODENS_OPT_LEN)
		write_plain_opt(h, opt_off, q);
	else if (q->opt_len)
		move_opt(h, opt_off, d->dns_off + d->dns_len - q->opt_len, q->opt_len, unknown);
	if (v == NODENS_VERDICT_NODATA) {
		rrs_sum = write_soa(h, rrs_off, q, cfg);
	} else {
		copy_records(h, rrs_off, b->page, a->rrs, rrs_len, unknown);
		if (rrs_sum == ANSWER_NO_SUM && !d->is_partial)
			rrs_sum = sum_frame(h, rrs_off, rrs_len, unknown);
	}
	sum = write_dns_header((void *)dns, q, a, v) + q->sum + sum_at(rrs_sum, q->name_len);
	/* Minus what is cleared in the OPT, in ones-complement arithmetic. */
	sum += sum_at(q->opt_sum + 0x1fffe - q->opt_cleared, q->name_len + rrs_len);
	write_headers(h, d, frame_len - d->dns_off + sizeof(struct udphdr), sum);
	return v;
}
