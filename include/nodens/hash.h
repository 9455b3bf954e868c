/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The keyed hash of a name in wire format, the same for upper and lower case: multilinear over words of eight octets, each
 * taken as it is and with its octets reversed, with random odd multipliers modulo 2^64 (after M. Dietzfelbinger, Universal
 * hashing and k-wise independent random variables, 1996), finished by a 64-bit mixer. A product forgets the high octets of a
 * difference, so one of both always has the difference in its low half: two names collide for one key in 2^32 at most.
 * Names are prefix-free (length octets, root label), so no length is mixed in.
 *
 * The key is random per generation, so that who can create names cannot fill a bucket on purpose. A collision costs a
 * miss, never a wrong answer: the whole name is compared.
 */
#pragma once

#include <linux/types.h>

#include "nodens/limits.h"

/* Multipliers of 64 bits, all odd: words 2 * i and 2 * i + 1 belong to word i of the name. */
#define NODENS_HASH_KEY_WORDS (2 * NODENS_NAME_WORDS)

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/*
 * What word i of a name (zeros behind its end) adds to the sum.
 *
 * Octets with bit 6 get bit 5: that folds letters to lower case in two operations. Of the other octets a name of ours has,
 * lengths and digits and '-' have no bit 6, so no two of our names become equal.
 */
static __always_inline __u64 nodens_hash_word(__u64 word, __u64 multiplier, __u64 multiplier_reversed)
{
	word |= (word & 0x4040404040404040ULL) >> 1;
	return word * multiplier + __builtin_bswap64(word) * multiplier_reversed;
}

static __always_inline __u64 nodens_hash_finish(__u64 h)
{
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15ULL;
	h ^= h >> 29;
	return h;
}

/* Never 0, which marks an empty entry. */
static __always_inline __u32 nodens_hash_tag(__u64 h)
{
	return (__u32)(h >> 32) | 1;
}

static __always_inline __u32 nodens_hash_bucket1(__u64 h, __u32 mask)
{
	return (__u32)h & mask;
}

static __always_inline __u32 nodens_hash_bucket2(__u64 h, __u32 mask)
{
	return ((__u32)h ^ (nodens_hash_tag(h) * 0x5bd1e995U)) & mask;
}
