/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Includes and the few idioms that the verifier of Linux 5.10 and later asks for. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "nodens/abi.h"
#include "nodens/hash.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the datapath finds the end of a name in little-endian words"
#endif

#define NODENS_NOINLINE __attribute__((noinline))

/*
 * True where [p, p + n) ends beyond `end`. Computes p + n behind an asm barrier: clang otherwise rewrites the comparison
 * to arithmetic on data_end ("R2 pointer arithmetic on pkt_end prohibited").
 */
#define is_beyond(p, n, end)                                                                                        \
	({                                                                                                          \
		const void *e_ = (const void *)(p) + (n);                                                           \
		asm volatile("" : "+r"(e_));                                                                        \
		e_ > (const void *)(end);                                                                           \
	})

/*
 * Forgets what the verifier knows of x but that it is within mask (2^n - 1, which must hold already). The states of all
 * ways that lead here become equal and are walked once: without it each exit of a loop is verified apart ("BPF program
 * is too large. Processed 1000001 insn"). `unknown` is any scalar read from memory.
 *
 * Three places need it: a length that a loop has found; the copy of a length that a loop's end is compared with (each
 * exit would narrow the original); and an offset into the packet that is used again behind a loop (each exit has proved
 * another range of the pointer before).
 */
#ifdef __bpf__
#define launder(x, unknown, mask)                                                                                   \
	asm volatile("%0 += %1; %0 -= %1; %0 &= %2" : "+r"(x) : "r"((__u64)(unknown)), "i"(mask))

/* Bounds x by mask where it is within it already, so that the verifier sees it too. */
#define bound(x, mask) asm volatile("%0 &= %1" : "+r"(x) : "i"(mask))

/* The same as launder for a word that may have any value. */
#define launder_word(x, unknown) asm volatile("%0 += %1; %0 -= %1" : "+r"(x) : "r"((__u64)(unknown)))
#else /* on a host, for tests: without a verifier only the masks are left */
#define launder(x, unknown, mask) ((void)(unknown), (void)((x) &= (mask)))
#define bound(x, mask) ((void)((x) &= (mask)))
#define launder_word(x, unknown) ((void)(unknown))
#endif

/* Loads and stores at any offset of the packet: every architecture with a BPF JIT that we support reads unaligned words, and
 * a packed struct would make clang do it octet by octet. */
typedef __u16 __attribute__((may_alias)) any_u16;
typedef __u32 __attribute__((may_alias)) any_u32;
typedef __u64 __attribute__((may_alias)) any_u64;

#define load_u16(p) (*(const any_u16 *)(p))
#define load_u32(p) (*(const any_u32 *)(p))
#define load_u64(p) (*(const any_u64 *)(p))
#define store_u16(p, x) (*(any_u16 *)(p) = (x))
#define store_u32(p, x) (*(any_u32 *)(p) = (x))
#define store_u64(p, x) (*(any_u64 *)(p) = (x))
