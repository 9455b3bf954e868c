/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* XDP, native, in front of the TC program on the same interface. The only file that knows struct xdp_md. */
#pragma once

#include <linux/if_ether.h>

#include "hook.bpf.h"

/* The longest query: a tag, IPv6, a name of 255 octets and an OPT with the longest COOKIE; in steps of 16 octets. */
#define XDP_QUERY_MAX (ETH_HLEN + 4 + 40 + 8 + NODENS_DNS_HEADER_LEN + NODENS_NAME_MAX + NODENS_QUESTION_TAIL_LEN + NODENS_OPT_MAX)
#define XDP_MOVE_STEP 16
#define XDP_MOVE_STEPS ((XDP_QUERY_MAX + XDP_MOVE_STEP - 1) / XDP_MOVE_STEP)
#define XDP_QUERY_MASK 0x1ff
_Static_assert(XDP_QUERY_MAX <= XDP_QUERY_MASK, "the mask holds every length");
/* Head room is 256 octets (XDP_PACKET_HEADROOM) less what the driver keeps there. */
#define XDP_HEAD_MASK 0xff

static __always_inline void hook_reload(struct hook *h)
{
	struct xdp_md *xdp = h->ctx;

	asm volatile("" : "+r"(xdp)::"memory");
	h->data = (void *)(long)xdp->data;
	h->data_end = (void *)(long)xdp->data_end;
	h->len = h->data_end - h->data;
}

static __always_inline void hook_init(struct hook *h, struct xdp_md *xdp)
{
	h->ctx = xdp;
	h->ifindex = xdp->ingress_ifindex;
	hook_reload(h);
}

static __always_inline bool hook_has_outer_tag(const struct hook *h)
{
	(void)h;
	return false;
}

/* More of the frame lies in other buffers. A kernel that gives such frames to none but programs that say they know them
 * (Linux 5.18) has the helper; the verifier of an older one never sees the call, as the constant is 0. */
static __always_inline bool hook_is_segmented(const struct hook *h)
{
	return xdp_has_frags && bpf_xdp_get_buff_len(h->ctx) != h->len;
}

/* The octets at from go to to, which is lower. */
static __always_inline bool xdp_move_16(struct hook *h, __u8 *to, const __u8 *from, __u32 off)
{
	__u64 low, high;

	if (is_beyond(from, off + 16, h->data_end) || is_beyond(to, off + 16, h->data_end))
		return false;
	low = load_u64(from + off);
	high = load_u64(from + off + 8);
	store_u64(to + off, low);
	store_u64(to + off + 8, high);
	return true;
}

/*
 * Where there is no room behind the frame (page-pool fragments of exact size, as veth's since Linux 6.3): room in front of
 * it, and the query goes there, so that all is as if the end had grown. The query is longer than XDP_MOVE_STEP, and moves by
 * at least as much, as no record is shorter: so the last step, which covers some octets once more, still finds them.
 */
static __always_inline bool xdp_grow_head(struct hook *h, __u64 query_len, __u64 growth)
{
	__u64 end = query_len, last = query_len - XDP_MOVE_STEP;
	const __u8 *from;
	__u8 *to;

	if (growth < XDP_MOVE_STEP || growth > XDP_HEAD_MASK || query_len < XDP_MOVE_STEP || query_len > XDP_QUERY_MAX)
		return false;
	if (bpf_xdp_adjust_head(h->ctx, -(int)growth) != 0)
		return false;
	hook_reload(h);
	/* Never by a value that x has itself: both would be one register. */
	launder(growth, query_len, XDP_HEAD_MASK);
	launder(end, growth, XDP_QUERY_MASK);
	launder(last, growth, XDP_QUERY_MASK);
	from = frame_at(h, growth);
	to = h->data;
	for (__u32 i = 0; i < XDP_MOVE_STEPS; i++) {
		if (XDP_MOVE_STEP * (i + 1) > end || !xdp_move_16(h, to, from, XDP_MOVE_STEP * i))
			break;
	}
	/* Nothing is missing for the verifier: this is within the frame as the loop was. */
	from = frame_at(h, growth + last);
	to = frame_at(h, last);
	return xdp_move_16(h, to, from, 0);
}

static __always_inline bool hook_resize(struct hook *h, __u32 len)
{
	__u64 query_len = h->len, growth = len - query_len;
	bool is_done;

	if (growth == 0)
		return true;
	is_done = bpf_xdp_adjust_tail(h->ctx, (int)growth) == 0;
	if (!is_done)
		is_done = xdp_grow_head(h, query_len, growth);
	hook_reload(h);
	return is_done;
}

/* A frame that grew at its head has the query at its start, as one that grew at its end: only the end is to go. */
static __always_inline void hook_restore(struct hook *h, __u32 len)
{
	bpf_xdp_adjust_tail(h->ctx, (int)(len - h->len));
}

static __always_inline bool hook_completes_checksum(void)
{
	return false;
}

/* A miss goes on to the TC program of the same interface, and is counted there. */
static __always_inline int hook_finish(enum nodens_verdict v)
{
	return v >= NODENS_VERDICT_FIRST_PASS ? XDP_PASS : XDP_TX;
}
