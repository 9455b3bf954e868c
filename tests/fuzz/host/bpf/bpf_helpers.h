/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Found instead of libbpf's header where the datapath is compiled for the host: the helpers are functions of host/kernel.c,
 * over plain memory. Two maps have names that the C library has too.
 */
#pragma once

#include <linux/bpf.h>

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) __typeof__(value) *name
#define __array(name, value) __typeof__(value) *name[]
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define index datapath_index
#define clock datapath_clock

void *bpf_map_lookup_elem(const void *map, const void *key);
__u32 bpf_get_prandom_u32(void);
__u64 bpf_jiffies64(void);

long bpf_skb_pull_data(struct __sk_buff *skb, __u32 len);
long bpf_skb_change_tail(struct __sk_buff *skb, __u32 len, __u64 flags);
long bpf_skb_change_type(struct __sk_buff *skb, __u32 type);
long bpf_redirect(__u32 ifindex, __u64 flags);
long bpf_redirect_peer(__u32 ifindex, __u64 flags);

long bpf_xdp_adjust_tail(struct xdp_md *xdp, int delta);
long bpf_xdp_adjust_head(struct xdp_md *xdp, int delta);
__u64 bpf_xdp_get_buff_len(struct xdp_md *xdp);
