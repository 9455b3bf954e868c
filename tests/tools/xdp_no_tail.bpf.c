// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The XDP program where no frame has room at its end, as most have none on a veth since Linux 6.12: test runs always have. */
#include "prelude.bpf.h"

/* Shrinking works everywhere. */
static __always_inline long adjust_tail_without_room(struct xdp_md *xdp, int delta)
{
	return delta > 0 ? -1 : bpf_xdp_adjust_tail(xdp, delta);
}

#define bpf_xdp_adjust_tail adjust_tail_without_room

#include "nodens_xdp.bpf.c"
