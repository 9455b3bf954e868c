/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ones-complement sums (RFC 1071) of 16-bit words as the host loads them, gathered in 64 bits and folded once. */
#pragma once

#include "prelude.bpf.h"

static __always_inline __u64 sum_u64(__u64 word)
{
	return (__u32)word + (word >> 32);
}

/* Not complemented. */
static __always_inline __u16 sum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* The same of a sum below 2^35. */
static __always_inline __u16 sum_fold_short(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* A sum of octets that begin at an odd offset of the message has its octets swapped: in a sum of 64 bits that is a shift.
 * The sum must be below 2^48. */
static __always_inline __u64 sum_at(__u64 sum, __u64 offset)
{
	return sum << (8 * (offset & 1));
}
