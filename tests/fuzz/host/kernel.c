/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the datapath over plain memory. */
#include "kernel.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include "../fuzz.h"
#include "datapath.h"
#include "nodens/hash.h"

#include <bpf/bpf_helpers.h>

#define REGION_AT 0x10000000UL
#define SLOT_LEN (64UL << 10)
#define FRAME_AT 4096UL
/* What stands where a frame grows: never in an answer. */
#define GARBAGE 0xa5

/* Defined weak and constant by the datapath; set here as the loader sets them. */
volatile uint64_t hash_key[NODENS_HASH_KEY_WORDS];
volatile uint32_t index_mask;
volatile uint32_t xdp_has_frags = 1;

extern const char datapath_index[], arena[], config[], verdicts[], servers4[], servers6[], interfaces[], interface_slots[],
	allow4[], allow6[], datapath_clock[];

struct kernel_maps kernel_maps;

/* The frame that is being run. */
static struct {
	uint8_t *region; /* two slots; a frame goes to the other one whenever a pointer into it becomes void */
	uint8_t *data;
	size_t len, linear;
	size_t tail_room, head_room;
	const struct kernel_frame *frame;
	struct __sk_buff skb;
	struct xdp_md xdp;
	uint32_t random;
} now;

void kernel_set_hash_key(const uint64_t key[NODENS_HASH_KEY_WORDS], uint32_t mask)
{
	for (size_t i = 0; i < NODENS_HASH_KEY_WORDS; i++)
		hash_key[i] = key[i];
	index_mask = mask;
}

/* ---- maps ---- */

static void *find_config(const void *map, uint32_t key)
{
	if (key != 0)
		return NULL;
	return map == config ? (void *)&kernel_maps.config : (void *)&kernel_maps.verdicts;
}

static void *find_page(uint32_t page)
{
	return page < kernel_maps.page_count ? kernel_maps.arena + page * kernel_maps.page_stride : NULL;
}

static void *find_server(const void *map, const void *key)
{
	static struct nodens_server server;

	for (size_t i = 0; map == servers4 && i < kernel_maps.server4_count; i++)
		if (memcmp(&kernel_maps.servers4[i], key, sizeof(kernel_maps.servers4[i])) == 0)
			return &server;
	for (size_t i = 0; map == servers6 && i < kernel_maps.server6_count; i++)
		if (memcmp(&kernel_maps.servers6[i], key, sizeof(kernel_maps.servers6[i])) == 0)
			return &server;
	return NULL;
}

static void *find_interface(uint32_t ifindex)
{
	for (size_t i = 0; i < kernel_maps.interface_count; i++)
		if (kernel_maps.interfaces[i].ifindex == ifindex)
			return &kernel_maps.interfaces[i].value;
	return NULL;
}

static void *find_slot(uint32_t number)
{
	static uint64_t slot;

	if (number >= NODENS_INTERFACE_SLOTS)
		return NULL;
	slot = 0;
	for (size_t i = 0; i < kernel_maps.interface_count; i++) {
		const struct kernel_interface *in = &kernel_maps.interfaces[i];

		if (in->has_slot && in->ifindex % NODENS_INTERFACE_SLOTS == number)
			slot = nodens_interface_slot(in->ifindex, in->value.flags, in->value.mtu);
	}
	return &slot;
}

static void *find_prefix(const struct kernel_prefix *prefixes, size_t count, const uint8_t *addr)
{
	static uint8_t yes = 1;

	for (size_t i = 0; i < count; i++) {
		uint32_t bits = prefixes[i].prefix_len;

		if (memcmp(prefixes[i].addr, addr, bits / 8) == 0 &&
		    (bits % 8 == 0 || (prefixes[i].addr[bits / 8] ^ addr[bits / 8]) >> (8 - bits % 8) == 0))
			return &yes;
	}
	return NULL;
}

void *bpf_map_lookup_elem(const void *map, const void *key)
{
	static uint64_t clock_value;

	if (map == datapath_index) {
		uint32_t number = *(const uint32_t *)key;

		return number < kernel_maps.bucket_count ? &kernel_maps.buckets[number] : NULL;
	}
	if (map == arena)
		return find_page(*(const uint32_t *)key);
	if (map == config || map == verdicts)
		return find_config(map, *(const uint32_t *)key);
	if (map == servers4 || map == servers6)
		return find_server(map, key);
	if (map == interfaces)
		return find_interface(*(const uint32_t *)key);
	if (map == interface_slots)
		return find_slot(*(const uint32_t *)key);
	if (map == allow4)
		return find_prefix(kernel_maps.allow4, kernel_maps.allow4_count, (const uint8_t *)key + 4);
	if (map == allow6)
		return find_prefix(kernel_maps.allow6, kernel_maps.allow6_count, (const uint8_t *)key + 4);
	if (map == datapath_clock)
		return &clock_value;
	FUZZ_CHECK(false, "a map that nobody knows");
}

__u32 bpf_get_prandom_u32(void)
{
	now.random = now.random * 1664525 + 1013904223;
	return now.random ^ now.random >> 16;
}

__u64 bpf_jiffies64(void)
{
	return KERNEL_JIFFIES;
}

/* ---- frames ---- */

/* Only [data, data + linear) may be touched. */
static void expose(void)
{
	ASAN_POISON_MEMORY_REGION(now.region, 2 * SLOT_LEN);
	ASAN_UNPOISON_MEMORY_REGION(now.data, now.linear);
	now.skb.data = now.xdp.data = (uint32_t)(uintptr_t)now.data;
	now.skb.data_end = now.xdp.data_end = (uint32_t)(uintptr_t)(now.data + now.linear);
	now.skb.len = (uint32_t)now.len;
}

/* To the other slot: old pointers lead to poisoned memory. */
static void move(void)
{
	uint8_t *other = now.region + FRAME_AT;

	ASAN_UNPOISON_MEMORY_REGION(now.region, 2 * SLOT_LEN);
	if (now.data < now.region + SLOT_LEN)
		other += SLOT_LEN;
	memset(other - FRAME_AT, GARBAGE, SLOT_LEN);
	memcpy(other, now.data, now.len);
	now.data = other;
	expose();
}

long bpf_skb_pull_data(struct __sk_buff *skb, __u32 len)
{
	FUZZ_CHECK(skb == &now.skb, "not the packet's context");
	if (!now.frame->can_pull || len > now.len)
		return -ENOMEM;
	if (len > now.linear)
		now.linear = len;
	move();
	return 0;
}

long bpf_skb_change_tail(struct __sk_buff *skb, __u32 len, __u64 flags)
{
	FUZZ_CHECK(skb == &now.skb && flags == 0, "not the packet's context");
	if (!now.frame->can_resize || len < 14 || len > KERNEL_FRAME_MAX)
		return -ENOMEM;
	ASAN_UNPOISON_MEMORY_REGION(now.region, 2 * SLOT_LEN);
	if (len > now.len)
		memset(now.data + now.len, GARBAGE, len - now.len);
	now.len = now.linear = len;
	move();
	return 0;
}

long bpf_skb_change_type(struct __sk_buff *skb, __u32 type)
{
	skb->pkt_type = type;
	return 0;
}

long bpf_redirect(__u32 ifindex, __u64 flags)
{
	FUZZ_CHECK(ifindex == now.frame->ifindex && flags == 0, "redirected to interface %u", ifindex);
	return TC_ACT_REDIRECT;
}

long bpf_redirect_peer(__u32 ifindex, __u64 flags)
{
	return bpf_redirect(ifindex, flags);
}

long bpf_xdp_adjust_tail(struct xdp_md *xdp, int delta)
{
	FUZZ_CHECK(xdp == &now.xdp, "not the frame's context");
	if (delta > 0 ? (size_t)delta > now.tail_room : now.linear < (size_t)-delta + 14)
		return -EINVAL;
	if (now.linear != now.len)
		return -EINVAL;
	ASAN_UNPOISON_MEMORY_REGION(now.region, 2 * SLOT_LEN);
	if (delta > 0)
		memset(now.data + now.len, GARBAGE, (size_t)delta);
	now.len += (size_t)delta;
	now.linear = now.len;
	now.tail_room -= (size_t)delta;
	expose();
	return 0;
}

long bpf_xdp_adjust_head(struct xdp_md *xdp, int delta)
{
	FUZZ_CHECK(xdp == &now.xdp && delta < 0, "not the frame's context, or a shorter frame");
	if ((size_t)-delta > now.head_room)
		return -EINVAL;
	now.data += delta;
	now.len += (size_t)-delta;
	now.linear += (size_t)-delta;
	now.head_room -= (size_t)-delta;
	expose();
	return 0;
}

__u64 bpf_xdp_get_buff_len(struct xdp_md *xdp)
{
	(void)xdp;
	return now.len;
}

/* ---- a run ---- */

static void make_region(void)
{
	void *region = mmap((void *)REGION_AT, 2 * SLOT_LEN, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	FUZZ_CHECK(region == (void *)REGION_AT, "memory below 4 GiB: %s", strerror(errno));
	now.region = region;
}

int kernel_run(enum kernel_program program, struct kernel_frame *f)
{
	int code;

	if (!now.region)
		make_region();
	FUZZ_CHECK(f->len <= KERNEL_FRAME_MAX && f->linear <= f->len && f->head_room <= KERNEL_HEADROOM, "a frame of %zu octets", f->len);
	ASAN_UNPOISON_MEMORY_REGION(now.region, 2 * SLOT_LEN);
	memset(now.region, GARBAGE, SLOT_LEN);
	now.frame = f;
	now.data = now.region + FRAME_AT;
	memcpy(now.data, f->octets, f->len);
	now.len = f->len;
	now.linear = f->linear;
	now.tail_room = f->tail_room;
	now.head_room = f->head_room;
	now.random = f->random;
	now.skb = (struct __sk_buff){.ifindex = f->ifindex, .gso_segs = f->gso_segs, .pkt_type = f->random & 1 ? PACKET_HOST : PACKET_OTHERHOST};
	now.xdp = (struct xdp_md){.ingress_ifindex = f->ifindex};
	expose();
	if (program == KERNEL_XDP)
		code = nodens_xdp(&now.xdp);
	else
		code = program == KERNEL_TC ? nodens_tc(&now.skb) : nodens_explain(&now.skb);
	ASAN_UNPOISON_MEMORY_REGION(now.region, 2 * SLOT_LEN);
	f->len = now.len;
	memcpy(f->octets, now.data, now.len);
	return code;
}
