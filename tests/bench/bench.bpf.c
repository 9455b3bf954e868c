// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The datapath under a stopwatch. A test run repeats a program on the packet that its last run left behind, so each of
 * these first makes a random query out of it again. `base` does only that, `reflect` turns the packet around as the
 * smallest responder would, `nodens` runs the core of nodens.bpf.c.
 */
#include "core.bpf.h"
#include "hook_tc.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define QUERY_MAX 248

struct query {
	__u32 len;
	__u32 reserved;
	__u8 frame[QUERY_MAX];
};

const volatile __u32 query_count = 1;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at load */
	__type(key, __u32);
	__type(value, struct query);
} queries SEC(".maps");

static __always_inline bool refill(struct __sk_buff *skb)
{
	__u32 number = ((__u64)bpf_get_prandom_u32() * query_count) >> 32;
	const struct query *q = bpf_map_lookup_elem(&queries, &number);
	__u32 len;

	if (!q)
		return false;
	len = q->len;
	if (len == 0 || len > QUERY_MAX || bpf_skb_change_tail(skb, len, 0) != 0)
		return false;
	return bpf_skb_store_bytes(skb, 0, q->frame, len, 0) == 0;
}

SEC("tc")
int bench_base(struct __sk_buff *skb)
{
	return refill(skb) ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc")
int bench_reflect(struct __sk_buff *skb)
{
	struct ethhdr *eth;
	struct iphdr *ip;
	struct udphdr *udp;
	struct dns_header *dns;
	__be32 addr;
	__be16 port;

	if (!refill(skb))
		return TC_ACT_SHOT;
	eth = (void *)(long)skb->data;
	ip = (void *)(eth + 1);
	udp = (void *)(ip + 1);
	dns = (void *)(udp + 1);
	if (is_beyond(dns, sizeof(*dns), (long)skb->data_end) || ip->protocol != IPPROTO_UDP || udp->dest != bpf_htons(53))
		return TC_ACT_OK;
	swap_ethernet(eth);
	addr = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = addr;
	port = udp->source;
	udp->source = udp->dest;
	udp->dest = port;
	udp->check = 0;
	dns->flags |= bpf_htons(DNS_QR);
	return bpf_redirect(skb->ifindex, 0);
}

SEC("tc")
int bench_nodens(struct __sk_buff *skb)
{
	struct hook h = {};
	enum nodens_verdict v;

	if (!refill(skb))
		return TC_ACT_SHOT;
	hook_init(&h, skb);
	v = handle_frame(&h);
	verdict_count(v);
	return hook_finish(&h, v);
}

/*
 * The way of a query cut short, for what each step costs: the sequence is that of handle_frame. A step's result is used,
 * or the compiler would leave it out.
 */
enum step { STEP_PARSE, STEP_GATE, STEP_INTERFACE, STEP_QUESTION, STEP_LOOKUP, STEP_PLAN };

static __always_inline int run_steps(struct __sk_buff *skb, const enum step last)
{
	struct hook h = {};
	struct datagram d = {};
	struct question q;
	struct answer a = {};
	struct blob b;
	const struct nodens_config *cfg;
	__u32 zero = 0;

	if (!refill(skb))
		return TC_ACT_SHOT;
	hook_init(&h, skb);
	cfg = bpf_map_lookup_elem(&config, &zero);
	if (!cfg || parse_datagram(&h, &d, cfg) != NODENS_VERDICT_ANSWERED)
		return TC_ACT_SHOT;
	if (last == STEP_PARSE)
		return d.pseudo_sum == 1 ? TC_ACT_SHOT : TC_ACT_OK;
	if (gate_check(cfg) != NODENS_VERDICT_ANSWERED)
		return TC_ACT_SHOT;
	if (last == STEP_GATE)
		return TC_ACT_OK;
	if (interface_check(&h, &d) != NODENS_VERDICT_ANSWERED || hook_is_segmented(&h))
		return TC_ACT_SHOT;
	if (last == STEP_INTERFACE)
		return TC_ACT_OK;
	if (parse_question(&h, &d, &q) != NODENS_VERDICT_ANSWERED)
		return TC_ACT_SHOT;
	if (last == STEP_QUESTION)
		return q.hash == 1 ? TC_ACT_SHOT : TC_ACT_OK;
	if (lookup_name(&h, &d, &q, &b) != NODENS_VERDICT_ANSWERED)
		return TC_ACT_SHOT;
	if (last == STEP_LOOKUP)
		return TC_ACT_OK;
	if (plan_answer(&h, &d, &q, &b, &a) >= NODENS_VERDICT_FIRST_PASS)
		return TC_ACT_SHOT;
	return a.rrs_len == 1 ? TC_ACT_SHOT : TC_ACT_OK;
}

#define STEP_PROGRAM(name, last)                                                                                    \
	SEC("tc") int bench_step_##name(struct __sk_buff *skb)                                                      \
	{                                                                                                           \
		return run_steps(skb, last);                                                                        \
	}

STEP_PROGRAM(parse, STEP_PARSE)
STEP_PROGRAM(gate, STEP_GATE)
STEP_PROGRAM(interface, STEP_INTERFACE)
STEP_PROGRAM(question, STEP_QUESTION)
STEP_PROGRAM(lookup, STEP_LOOKUP)
STEP_PROGRAM(plan, STEP_PLAN)
