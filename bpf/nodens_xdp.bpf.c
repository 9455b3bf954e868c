// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The XDP entry, linked with nodens.bpf.c into one object. */
#include "core.bpf.h"
#include "hook_xdp.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A network card, before the kernel makes an skb of the frame. Each datagram ends in one verdict: what this program passes on
 * is counted by the TC program of the same interface, which sees it next. */
SEC("xdp")
int nodens_xdp(struct xdp_md *xdp)
{
	struct hook h = {};
	enum nodens_verdict v;

	hook_init(&h, xdp);
	v = handle_frame(&h);
	if (v < NODENS_VERDICT_FIRST_PASS)
		verdict_count(v);
	return hook_finish(v);
}
