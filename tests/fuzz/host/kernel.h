/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's side of the datapath over plain memory: frames, contexts, maps, helpers. Frames lie below 4 GiB, as a context
 * holds 32-bit addresses, and whatever is not the frame's linear part is poisoned for the address sanitizer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodens/abi.h"

#define KERNEL_FRAME_MAX 16384
#define KERNEL_HEADROOM 256
#define KERNEL_JIFFIES 1000000 /* what bpf_jiffies64 tells */

enum kernel_program { KERNEL_TC, KERNEL_EXPLAIN, KERNEL_XDP };

/* How a frame comes, and what the kernel has for it. */
struct kernel_frame {
	uint8_t *octets; /* KERNEL_FRAME_MAX of room */
	size_t len;
	size_t linear;    /* of them in [data, data_end); at most len */
	uint32_t ifindex;
	uint32_t gso_segs; /* TC */
	uint32_t random;  /* seed of bpf_get_prandom_u32 */
	bool can_pull;    /* TC: bpf_skb_pull_data works */
	bool can_resize;  /* TC: bpf_skb_change_tail works */
	size_t tail_room; /* XDP */
	size_t head_room; /* XDP: at most KERNEL_HEADROOM */
};

struct kernel_interface {
	uint32_t ifindex;
	struct nodens_interface value;
	bool has_slot;
};

struct kernel_prefix {
	uint32_t prefix_len;
	uint8_t addr[16];
};

/* What lies in the maps. Filled by the caller. */
struct kernel_maps {
	struct nodens_bucket *buckets;
	uint32_t bucket_count;
	uint8_t *arena;
	size_t page_stride;
	uint32_t page_count;
	struct nodens_config config;
	struct nodens_server4_key servers4[4];
	size_t server4_count;
	struct nodens_server6_key servers6[4];
	size_t server6_count;
	struct kernel_interface interfaces[8];
	size_t interface_count;
	struct kernel_prefix allow4[4], allow6[4];
	size_t allow4_count, allow6_count;
	struct nodens_verdicts verdicts;
};

extern struct kernel_maps kernel_maps;
void kernel_set_hash_key(const uint64_t key[NODENS_NAME_WORDS * 2], uint32_t index_mask);

/* Runs the program; the frame as it then is in f->octets and f->len. Returns the program's code. */
int kernel_run(enum kernel_program program, struct kernel_frame *f);
