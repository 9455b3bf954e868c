/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of one generation (layouts: nodens/abi.h). Sizes marked "set at load" depend on the record set. All are weak: each
 * translation unit has them, and the linker makes one of each. */
#pragma once

#include "prelude.bpf.h"

/* Random per generation, frozen at load: the multipliers of nodens_hash_word. */
const volatile __weak __u64 hash_key[NODENS_HASH_KEY_WORDS] = {};
/* Buckets of the index minus one. */
const volatile __weak __u32 index_mask = 0;
/* The kernel gives frames of several buffers to the XDP program. */
const volatile __weak __u32 xdp_has_frags = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at load */
	__type(key, __u32);
	__type(value, struct nodens_bucket);
} index SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at load */
	__uint(key_size, sizeof(__u32));
	__uint(value_size, NODENS_PAGE_LEN + NODENS_PAGE_SLACK);
} arena SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nodens_config);
} config SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nodens_status);
} status SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nodens_verdicts);
} verdicts SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NODENS_SERVERS_MAX);
	__type(key, struct nodens_server4_key);
	__type(value, struct nodens_server);
} servers4 SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NODENS_SERVERS_MAX);
	__type(key, struct nodens_server6_key);
	__type(value, struct nodens_server);
} servers6 SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NODENS_INTERFACES_MAX);
	__type(key, __u32);
	__type(value, struct nodens_interface);
} interfaces SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NODENS_INTERFACE_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} interface_slots SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NODENS_ALLOW_MAX);
	__type(key, struct nodens_allow4_key);
	__type(value, __u8);
} allow4 SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NODENS_ALLOW_MAX);
	__type(key, struct nodens_allow6_key);
	__type(value, __u8);
} allow6 SEC(".maps") __weak;

/* Written by the clock program for the controller: jiffies are the datapath's clock and cost it nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} clock SEC(".maps") __weak;

/* No program reads it: replacing its inner map makes the kernel wait for every running program, which is the grace period
 * where membarrier(GLOBAL) is refused (nohz_full). */
struct grace_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct grace_inner);
} grace_outer SEC(".maps") __weak;
