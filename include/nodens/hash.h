/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The keyed hash of a name in wire format, the same for upper and lower case: multilinear over words of eight octets with
 * random multipliers (M. Dietzfelbinger, Universal hashing and k-wise independent random variables, 1996), finished by a
 * 64-bit mixer. Names are prefix-free (length octets, root label), so no length is mixed in. Collisions cost a miss, never
 * a wrong answer: the whole name is compared.
 *
 * The key is random per generation, so that who can create names cannot fill a bucket on purpose.
 */
#pragma once

#include <linux/types.h>

#include "nodens/limits.h"

#define NODENS_HASH_KEY_WORDS (2 * NODENS_NAME_WORDS)

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/*
 * One step: word i of the name (zeros behind its end), i < NODENS_NAME_WORDS, with multiplier i of the key (odd).
 *
 * Octets with bit 6 get bit 5: that folds letters to lower case in two operations. Of the other octets a name of ours has,
 * lengths and digits and '-' have no bit 6, so no two of our names become equal.
 */
static __always_inline __u64 nodens_hash_word(__u64 word, __u64 multiplier)
{
	return (word | ((word & 0x4040404040404040ULL) >> 1)) * multiplier;
}

static __always_inline __u64 nodens_hash_step(__u64 word, __u32 key_lo, __u32 key_hi)
{
	return nodens_hash_word(word, (__u64)key_hi << 32 | key_lo);
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
