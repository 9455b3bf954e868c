/* SPDX-License-Identifier: Apache-2.0 */
/* The datapath's entries as functions of the host: bpf/nodens.bpf.c and bpf/nodens_xdp.bpf.c as they are. */
#pragma once

#include <linux/bpf.h>

int nodens_tc(struct __sk_buff *skb);
int nodens_explain(struct __sk_buff *skb);
int nodens_clock(struct __sk_buff *skb);
int nodens_xdp(struct xdp_md *xdp);
