/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TC ingress (tcx or clsact). The only file that knows struct __sk_buff. */
#pragma once

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include "hook.bpf.h"

static __always_inline void hook_reload(struct hook *h)
{
	struct __sk_buff *skb = h->ctx;

	asm volatile("" : "+r"(skb)::"memory");
	h->data = (void *)(long)skb->data;
	h->data_end = (void *)(long)skb->data_end;
	h->len = skb->len;
}

/* A sender with UDP_SEGMENT, among others, leaves only headers in the linear part. Small UDP packets are made linear;
 * nothing that anybody can see changes. */
static __always_inline bool tc_is_worth_pulling(const struct hook *h)
{
	const struct ethhdr *eth = h->data;
	const struct iphdr *ip = (const void *)(eth + 1);
	const struct ipv6hdr *ip6 = (const void *)(eth + 1);

	if (h->len > NODENS_QUERY_FRAME_MAX || is_beyond(eth, sizeof(*eth) + sizeof(*ip), h->data_end))
		return false;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return ip->protocol == IPPROTO_UDP;
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return ip6->nexthdr == IPPROTO_UDP;
	return eth->h_proto == bpf_htons(ETH_P_8021Q) || eth->h_proto == bpf_htons(ETH_P_8021AD);
}

static __always_inline void hook_init(struct hook *h, struct __sk_buff *skb)
{
	h->ctx = skb;
	h->ifindex = skb->ifindex;
	hook_reload(h);
	if (h->len > (__u64)(h->data_end - h->data) && tc_is_worth_pulling(h)) {
		bpf_skb_pull_data(skb, h->len);
		hook_reload(h);
	}
}

/* The kernel takes the first tag out of every frame that it receives: a tag in the frame is the second one. */
static __always_inline bool hook_has_outer_tag(const struct hook *h)
{
	const struct __sk_buff *skb = h->ctx;

	return skb->vlan_present;
}

static __always_inline bool hook_is_segmented(const struct hook *h)
{
	const struct __sk_buff *skb = h->ctx;

	return skb->gso_segs > 1;
}

static __always_inline bool hook_resize(struct hook *h, __u32 len)
{
	struct __sk_buff *skb = h->ctx;

	if (bpf_skb_change_tail(skb, len, 0) != 0)
		return false;
	hook_reload(h);
	return true;
}

static __always_inline void hook_restore(struct hook *h, __u32 len)
{
	hook_resize(h, len);
}

/* An skb stays CHECKSUM_PARTIAL, whatever is written. */
static __always_inline bool hook_completes_checksum(void)
{
	return true;
}

/*
 * What becomes of the packet. A miss goes on as if we were not there, past whoever else is on the hook (TC_ACT_UNSPEC is
 * TCX_NEXT).
 *
 * An answer goes back to where it came from: on a pod's veth straight into the pod's end, as the veth's egress hooks, where
 * a CNI may hold the pod's ingress policy, never saw the query and would drop its answer. A query that a bridge port sees
 * is addressed to the bridge, PACKET_OTHERHOST, and the pod's stack drops such a packet; changing the type fails only for
 * types that a received packet never has.
 */
static __always_inline int hook_finish(struct hook *h, enum nodens_verdict v)
{
	struct __sk_buff *skb = h->ctx;

	if (v >= NODENS_VERDICT_FIRST_PASS)
		return TC_ACT_UNSPEC;
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	if (h->interface_flags & NODENS_INTERFACE_PEER)
		return bpf_redirect_peer(h->ifindex, 0);
	return bpf_redirect(h->ifindex, 0);
}
