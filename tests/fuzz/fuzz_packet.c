/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The datapath's programs, compiled for the host, against an independent reference: what must be passed comes out octet for
 * octet as it went in, what must be answered is a whole, right answer.
 *
 * Input: program, repairs, world, name, random, mode (an octet each), then the frame.
 */
#include <linux/pkt_cls.h>
#include <string.h>
#include <sys/param.h>

#include "fuzz.h"
#include "host/kernel.h"
#include "packet_reference.h"

#define HEAD_LEN 6

enum head { HEAD_PROGRAM, HEAD_REPAIRS, HEAD_WORLD, HEAD_NAME, HEAD_RANDOM, HEAD_MODE };
/* What is put right in a frame before it runs, so that checksums do not stop everything. */
enum repair { REPAIR_LENGTHS = 1, REPAIR_IP_SUM = 2, REPAIR_UDP_SUM = 4, REPAIR_PARTIAL = 8, REPAIR_NO_SUM = 16, REPAIR_NAME = 32, REPAIR_CASE = 64 };
enum mode { MODE_SEGMENTS = 1, MODE_NO_PULL = 2, MODE_NO_RESIZE = 4, MODE_SHORT_LINEAR = 8 };

static const char *const servers[] = {"10.96.0.10", "10.96.0.11", "fd00:10:96::a", NULL};

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t sum_at(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Where the parts of a frame are, if it has them. */
struct layout {
	size_t ip, udp, dns;
	bool is_v6;
};

static bool find_layout(const uint8_t *frame, size_t len, struct layout *l)
{
	l->ip = len > 18 && ((frame[12] == 0x81 && frame[13] == 0) || (frame[12] == 0x88 && frame[13] == 0xa8)) ? 18 : 14;
	if (len < l->ip + 20 + 8 + 12)
		return false;
	l->is_v6 = frame[l->ip] >> 4 == 6;
	l->udp = l->ip + (l->is_v6 ? 40 : 20);
	l->dns = l->udp + 8;
	return len >= l->dns + 12;
}

/* ---- repairs ---- */

/* The question's name becomes a known one; what is behind the name stays. */
static size_t replace_name(uint8_t *frame, size_t len, size_t at, const struct dns_name *name, bool is_upper)
{
	size_t end = at;

	while (end < len && frame[end] != 0 && end - at < 255)
		end += 1 + (size_t)frame[end];
	if (end >= len || len - end - 1 + at + name->len > KERNEL_FRAME_MAX)
		return len;
	end++;
	memmove(frame + at + name->len, frame + end, len - end);
	memcpy(frame + at, name->data, name->len);
	for (size_t i = 0; is_upper && i < name->len; i++)
		if (frame[at + i] >= 'a' && frame[at + i] <= 'z' && i % 3)
			frame[at + i] ^= 0x20;
	return len - end + at + name->len;
}

static void repair_lengths(uint8_t *frame, size_t len, const struct layout *l)
{
	put16(frame + l->ip + (l->is_v6 ? 4 : 2), len - (l->is_v6 ? l->udp : l->ip));
	put16(frame + l->udp + 4, len - l->udp);
}

static void repair_udp_sum(uint8_t *frame, size_t len, const struct layout *l, uint8_t repairs)
{
	uint32_t pseudo = sum_at(frame + l->ip + (l->is_v6 ? 8 : 12), l->is_v6 ? 32 : 8, 17 + (uint32_t)(len - l->udp));
	uint16_t sum;

	put16(frame + l->udp + 6, 0);
	if (repairs & REPAIR_NO_SUM)
		return;
	if (repairs & REPAIR_PARTIAL) {
		put16(frame + l->udp + 6, sum_at(frame, 0, pseudo));
		return;
	}
	sum = (uint16_t)~sum_at(frame + l->udp, len - l->udp, pseudo);
	put16(frame + l->udp + 6, sum ? sum : 0xffff);
}

static size_t repair(uint8_t *frame, size_t len, const uint8_t head[HEAD_LEN], const struct packet_records *records)
{
	uint8_t repairs = head[HEAD_REPAIRS];
	struct layout l;

	if (!find_layout(frame, len, &l))
		return len;
	if (repairs & REPAIR_NAME)
		len = replace_name(frame, len, l.dns + 12, &records->sets[head[HEAD_NAME] % records->count].owner, repairs & REPAIR_CASE);
	if (repairs & REPAIR_LENGTHS)
		repair_lengths(frame, len, &l);
	if ((repairs & REPAIR_IP_SUM) && !l.is_v6) {
		put16(frame + l.ip + 10, 0);
		put16(frame + l.ip + 10, (uint16_t)~sum_at(frame + l.ip, 20, 0));
	}
	if (repairs & REPAIR_UDP_SUM)
		repair_udp_sum(frame, len, &l, repairs);
	return len;
}

/* ---- the world ---- */

static void add_interface(uint32_t ifindex, uint32_t mtu, uint32_t flags, enum nodens_hook hook, bool has_slot)
{
	struct kernel_interface *in = &kernel_maps.interfaces[kernel_maps.interface_count++];

	*in = (struct kernel_interface){.ifindex = ifindex, .value = {.mtu = mtu, .flags = flags, .hook = hook}, .has_slot = has_slot};
}

static void make_maps(void)
{
	kernel_maps.server4_count = 1;
	kernel_maps.servers4[0] = (struct nodens_server4_key){.addr = __builtin_bswap32(0x0a60000a), .port = __builtin_bswap16(53)};
	/* The other one is known by the shortcut alone. */
	kernel_maps.config.server4_addr = __builtin_bswap32(0x0a60000b);
	kernel_maps.config.server4_port = __builtin_bswap16(53);
	kernel_maps.server6_count = 1;
	kernel_maps.servers6[0] = (struct nodens_server6_key){.addr = {0xfd, 0, 0, 0x10, 0, 0x96, [15] = 0x0a}, .port = __builtin_bswap16(53)};
	kernel_maps.allow4_count = kernel_maps.allow6_count = 1;
	kernel_maps.allow4[0] = (struct kernel_prefix){.prefix_len = 8, .addr = {10}};
	kernel_maps.allow6[0] = (struct kernel_prefix){.prefix_len = 8, .addr = {0xfd}};
	add_interface(1, 1500, NODENS_INTERFACE_PEER, NODENS_HOOK_TCX, true);
	add_interface(2, 9000, NODENS_INTERFACE_PEER, NODENS_HOOK_TCX, false);
	add_interface(3, 300, 0, NODENS_HOOK_CLSACT, true);
	add_interface(4, 1280, NODENS_INTERFACE_ALLOW, NODENS_HOOK_TCX, true);
	add_interface(5, 65535, 0, NODENS_HOOK_TCX, true);
	add_interface(6, 1500, 0, NODENS_HOOK_NONE, false);
}

/* Three in four of all inputs find an open gate and an interface that is answered on. */
static void set_world(uint8_t octet, enum kernel_program program, struct reference_world *world, struct kernel_frame *f)
{
	struct nodens_config *config = &kernel_maps.config;
	static const uint32_t mtus[] = {1500, 9000, 300, 1280, 65535};

	config->gate = NODENS_GATE_OPEN;
	config->deadline_jiffies = KERNEL_JIFFIES;
	f->ifindex = 1 + octet % 5;
	world->mtu = mtus[octet % 5];
	world->is_open = true;
	world->has_allow = f->ifindex == 4 && program != KERNEL_EXPLAIN;
	if (octet < 192)
		return;
	world->is_open = false;
	if (octet < 208) {
		config->gate = octet % 2 ? NODENS_GATE_CLOSED : NODENS_GATE_NOT_SYNCED;
	} else if (octet < 224) {
		config->deadline_jiffies = KERNEL_JIFFIES - 1;
	} else if (octet < 240) {
		f->ifindex = 6;
	} else {
		f->ifindex = 1025; /* in the slot of interface 1 */
		world->is_open = program == KERNEL_EXPLAIN;
		world->mtu = 1500;
		world->has_allow = false;
	}
}

static void set_mode(uint8_t mode, uint8_t random, enum kernel_program program, struct kernel_frame *f, struct reference_world *world)
{
	f->gso_segs = 1;
	f->can_pull = f->can_resize = true;
	f->tail_room = program == KERNEL_XDP && random % 3 ? (random % 3 == 1 ? 0 : 64) : KERNEL_FRAME_MAX - f->len;
	f->head_room = random % 2 ? KERNEL_HEADROOM : (size_t)random;
	world->completes_checksum = program != KERNEL_XDP;
	if (mode < 128) /* the usual case */
		return;
	f->gso_segs = mode & MODE_SEGMENTS ? 2 : 1;
	f->can_pull = !(mode & MODE_NO_PULL);
	f->can_resize = !(mode & MODE_NO_RESIZE);
	if ((mode & MODE_SHORT_LINEAR) && f->len > 14)
		f->linear = 14 + random % (f->len - 14);
	if (program == KERNEL_XDP)
		world->is_open &= f->linear == f->len;
	else
		world->is_open &= f->gso_segs == 1;
}

/* What the frame's surroundings make of what is expected of it. */
static void apply_room(struct reference_query *q, const struct kernel_frame *f, enum kernel_program program)
{
	size_t query_len = f->len - q->dns_at, most, growth;

	if (q->expected == REFERENCE_PASS)
		return;
	if (program != KERNEL_XDP) {
		if (!f->can_resize)
			q->expected = REFERENCE_PASS;
		else if (f->linear != f->len) /* the TC hook pulls what looks like UDP; else it is passed */
			q->expected = REFERENCE_EITHER;
		return;
	}
	most = q->answer_len ? q->answer_len : MIN(q->limit, q->whole_len);
	growth = most - query_len;
	if (growth <= f->tail_room)
		return;
	if (!q->answer_len)
		q->expected = REFERENCE_EITHER;
	else if (growth < 16 || growth > 255 || growth > f->head_room)
		q->expected = REFERENCE_PASS;
}

/* ---- the run ---- */

static uint64_t counted(void)
{
	const uint64_t *counters = (const uint64_t *)&kernel_maps.verdicts;
	uint64_t sum = 0;

	for (size_t i = 0; i < NODENS_VERDICT_COUNT; i++)
		sum += counters[i];
	return sum;
}

static bool is_answer(enum kernel_program program, int code)
{
	if (program == KERNEL_TC) {
		FUZZ_CHECK(code == TC_ACT_REDIRECT || code == TC_ACT_UNSPEC, "code %d", code);
		return code == TC_ACT_REDIRECT;
	}
	if (program == KERNEL_XDP) {
		FUZZ_CHECK(code == 3 || code == 2, "code %d", code); /* XDP_TX, XDP_PASS */
		return code == 3;
	}
	FUZZ_CHECK(code >= 0 && code < NODENS_VERDICT_COUNT, "verdict %d", code);
	return code < NODENS_VERDICT_FIRST_PASS;
}

static void check_counters(enum kernel_program program, bool is_answered)
{
	const struct nodens_verdicts *v = &kernel_maps.verdicts;
	uint64_t answers = v->answered + v->nodata + v->truncated;
	uint64_t expected = program == KERNEL_TC || (program == KERNEL_XDP && is_answered);

	FUZZ_CHECK(counted() == expected && (program == KERNEL_EXPLAIN || answers == is_answered), "each frame is counted once, by its verdict");
}

static void run(const uint8_t head[HEAD_LEN], uint8_t *frame, size_t len, const struct packet_records *records)
{
	static uint8_t octets[KERNEL_FRAME_MAX];
	enum kernel_program program = (enum kernel_program)(head[HEAD_PROGRAM] % 3);
	struct kernel_frame f = {.octets = octets, .len = len, .linear = len, .random = head[HEAD_RANDOM]};
	struct reference_world world = {.records = records};
	struct reference_query q;
	bool is_answered;

	memcpy(world.servers, servers, sizeof(servers));
	memcpy(octets, frame, len);
	set_world(head[HEAD_WORLD], program, &world, &f);
	set_mode(head[HEAD_MODE], head[HEAD_RANDOM], program, &f, &world);
	reference_read(&world, frame, len, &q);
	apply_room(&q, &f, program);
	memset(&kernel_maps.verdicts, 0, sizeof(kernel_maps.verdicts));
	is_answered = is_answer(program, kernel_run(program, &f));
	check_counters(program, is_answered);
	FUZZ_CHECK(q.expected == REFERENCE_EITHER || is_answered == (q.expected == REFERENCE_ANSWER), "%s, but it was %s",
		   q.expected == REFERENCE_ANSWER ? "to be answered" : "to be passed", is_answered ? "answered" : "passed");
	if (is_answered)
		reference_check(&world, &q, frame, octets, f.len);
	else
		FUZZ_CHECK(f.len == len && memcmp(octets, frame, len) == 0, "passed, but not as it came");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t frame[KERNEL_FRAME_MAX];
	const struct packet_records *records = packet_records_load();

	if (!kernel_maps.interface_count)
		make_maps();
	if (len < HEAD_LEN || len - HEAD_LEN > 2048)
		return -1;
	memcpy(frame, data + HEAD_LEN, len - HEAD_LEN);
	run(data, frame, repair(frame, len - HEAD_LEN, data, records), records);
	return 0;
}

/* ---- mutation ---- */

/* Type, class, flags, or an OPT at the end: what a blind change seldom hits. */
static size_t mutate_message(uint8_t *frame, size_t len, size_t cap, const struct layout *l, unsigned int seed)
{
	static const uint8_t types[] = {1, 28, 33, 12, 16, 6, 255, 41, 0, 251};
	static const uint16_t sizes[] = {0, 512, 513, 1232, 1452, 1500, 4096, 4097, 65535, 700};
	static const uint8_t cookies[] = {0, 0, 8, 16, 24, 40, 7, 9, 15, 41};
	size_t end = l->dns + 12, opt, rdlen;

	while (end < len && frame[end] != 0 && end < l->dns + 12 + 255)
		end += 1 + (size_t)frame[end];
	if (end + 5 > len)
		return len;
	if (seed % 3 == 0) {
		put16(frame + end + 1, types[seed / 3 % sizeof(types)]);
		return len;
	}
	opt = end + 5;
	if (seed % 3 == 1) {
		put16(frame + l->dns + 10, 0);
		return opt;
	}
	rdlen = cookies[seed / 3 % sizeof(cookies)];
	rdlen += rdlen ? 4 : 0;
	if (opt + 11 + rdlen > cap)
		return len;
	memset(frame + opt, 0, 11 + rdlen);
	frame[opt + 2] = 41;
	put16(frame + opt + 3, sizes[seed / 31 % (sizeof(sizes) / sizeof(sizes[0]))]);
	frame[opt + 7] = (uint8_t)(seed >> 16 & 0x80);
	put16(frame + opt + 9, rdlen);
	if (rdlen) {
		frame[opt + 12] = 10;
		put16(frame + opt + 13, rdlen - 4);
		memset(frame + opt + 15, (int)(seed >> 8 & 0xff), rdlen - 4);
	}
	put16(frame + l->dns + 10, 1);
	return opt + 11 + rdlen;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t cap, unsigned int seed)
{
	struct layout l;

	if (len < HEAD_LEN || seed % 4 != 0 || !find_layout(data + HEAD_LEN, len - HEAD_LEN, &l))
		return LLVMFuzzerMutate(data, len, cap);
	seed /= 4;
	if (seed % 3 == 0)
		data[HEAD_NAME] = (uint8_t)(seed >> 8);
	if (seed % 5 == 0)
		data[HEAD_RANDOM] = (uint8_t)(seed >> 12);
	if (seed % 5 == 1)
		data[HEAD_WORLD] = (uint8_t)(seed >> 12);
	data[HEAD_REPAIRS] |= seed % 2 ? REPAIR_LENGTHS | REPAIR_IP_SUM | REPAIR_UDP_SUM : 0;
	/* Type and OPT together reach what either alone does not. */
	for (unsigned int left = 1 + seed % 3; left > 0; left--)
		len = HEAD_LEN + mutate_message(data + HEAD_LEN, len - HEAD_LEN, cap - HEAD_LEN, &l, seed / 7 + left);
	return len;
}
