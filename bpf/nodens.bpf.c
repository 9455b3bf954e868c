// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The TC entries only. The way of a query is in core.bpf.h. */
#include "core.bpf.h"
#include "hook_tc.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Ingress of a pod's veth, seen from the node. */
SEC("tc")
int nodens_tc(struct __sk_buff *skb)
{
	struct hook h = {};
	enum nodens_verdict v;

	hook_init(&h, skb);
	v = handle_frame(&h);
	verdict_count(v);
	return hook_finish(&h, v);
}

/* For `nodens lookup`: a test run tells the verdict and shows the answer; nothing is counted or sent. */
SEC("tc")
int nodens_explain(struct __sk_buff *skb)
{
	struct hook h = {.is_explain = true};

	hook_init(&h, skb);
	return handle_frame(&h);
}

/* For the heartbeat: what bpf_jiffies64() is now. */
SEC("tc")
int nodens_clock(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *now = bpf_map_lookup_elem(&clock, &zero);

	if (now)
		*now = bpf_jiffies64();
	return 0;
}
