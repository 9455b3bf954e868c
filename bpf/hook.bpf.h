/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the core knows of the hook it runs on; hook_tc.bpf.h and hook_xdp.bpf.h have the functions, one of them in each
 * translation unit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "maps.bpf.h"

struct hook {
	void *ctx;
	void *data; /* start of the frame: Ethernet header */
	void *data_end;
	__u32 len; /* octets of the frame, also where not all are in [data, data_end) */
	__u32 ifindex;
	__u32 mtu;             /* of the interface, once looked up */
	__u32 interface_flags; /* enum nodens_interface_flag */
	bool is_explain;       /* constant: `nodens lookup`, nothing is counted or sent */
};

/* Makes data and data_end those of the packet as it is now. Also where nothing changed but many ways meet: fresh pointers
 * make the verifier's states equal, so that what follows is verified once. */
static __always_inline void hook_reload(struct hook *h);
/* A VLAN tag that the kernel holds beside the packet: what is in the frame is behind it. */
static __always_inline bool hook_has_outer_tag(const struct hook *h);
/* Several datagrams in one packet (GSO), or a frame of several buffers. */
static __always_inline bool hook_is_segmented(const struct hook *h);
/* Changes the length of the frame at its end; every pointer into it is void afterwards. false: nothing was changed. */
static __always_inline bool hook_resize(struct hook *h, __u32 len);
/* Takes a hook_resize back, before anything was written: the frame had len octets. */
static __always_inline void hook_restore(struct hook *h, __u32 len);
/* Whether somebody behind us completes a checksum that holds the pseudo header's sum only. */
static __always_inline bool hook_completes_checksum(void);

/* An offset into the frame as a pointer that is computed once: clang otherwise adds again behind the bound check, and the
 * verifier does not know the sum. */
static __always_inline __u8 *frame_at(const struct hook *h, __u64 off)
{
	__u8 *p = h->data + off;

	asm volatile("" : "+r"(p));
	return p;
}
