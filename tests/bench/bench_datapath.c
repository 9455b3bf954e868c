/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a query costs in the datapath: ns a packet by BPF_PROG_TEST_RUN, over a program that only restores the query, and
 * over a bare reflector. The programs run in turn, round after round, and medians are printed, so that a machine whose
 * speed drifts slows all of them alike.
 *
 * The limits are the figures of a prototype on another machine plus 15 ns for the checks it lacked; where this machine's
 * reflector is slower than the prototype's, they are scaled by it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/wire.h"
#include "bench.skel.h"
#include "dns/render.h"
#include "kernel/table.h"

#define ROUNDS 9
#define FRAME_MAX 248
#define NAME_LEN 60

struct query_frame {
	uint32_t len;
	uint32_t reserved;
	uint8_t frame[FRAME_MAX];
};

struct bench_case {
	const char *title;
	uint32_t names;
	uint32_t records; /* A, or SRV with as many targets */
	uint16_t type;
	uint16_t edns_size; /* 0: no OPT */
	double prototype_ns; /* over its baseline; 0: it was not measured */
	bool is_miss;
};

/* Prototype, TC, NH hash; for 100,000 names its XDP figures with the same index. */
static const struct bench_case cases[] = {
	{"in-zone miss", 1000, 1, 1, 0, 63, true},
	{"1 A", 1000, 1, 1, 0, 92, false},
	{"1 A, EDNS", 1000, 1, 1, 1232, 97, false},
	{"3 A", 1000, 3, 1, 0, 99, false},
	{"16 A", 1000, 16, 1, 0, 121, false},
	{"70 A, EDNS", 1000, 70, 1, 1232, 158, false},
	{"70 A, truncated to 512", 1000, 70, 1, 0, 195, false},
	{"100 A, truncated to 512", 20, 100, 1, 0, 0, false},
	{"5,000 A, truncated to 512", 20, 5000, 1, 0, 0, false},
	{"SRV with glue, EDNS", 1000, 3, 33, 1232, 120, false},
	{"NODATA (AAAA)", 1000, 1, 28, 0, 0, false},
	{"1 A", 100000, 1, 1, 0, 139, false},
	{"3 A", 100000, 3, 1, 0, 0, false},
	{"16 A", 100000, 16, 1, 0, 194, false},
	{"70 A, EDNS", 100000, 70, 1, 1232, 0, false},
	{"SRV with glue, EDNS", 100000, 3, 33, 1232, 0, false},
};

/* The prototype's reflector over its baseline, TC. */
#define PROTOTYPE_REFLECTOR_NS 5
#define PROTOTYPE_BASE_NS 27
#define ALLOWANCE_NS 15

struct bench {
	struct bench_bpf *skel;
	struct table *table;
	struct nodens_bucket *buckets;
	uint8_t *arena;
	struct query_frame *queries;
	size_t buckets_len, arena_len, queries_len;
};

static void die(const char *what, int err)
{
	fprintf(stderr, "bench-datapath: %s: %s\n", what, strerror(err < 0 ? -err : err));
	exit(1);
}

static void *map_memory(const struct bpf_map *map, size_t stride, size_t *ret_len)
{
	long page = sysconf(_SC_PAGESIZE);
	size_t len = (stride * bpf_map__max_entries(map) + page - 1) / page * page;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (p == MAP_FAILED)
		die("mmap", errno);
	*ret_len = len;
	return p;
}

/* name-NNNNNN.<padding>.svc…: NAME_LEN octets in wire format. */
static void make_name(struct dns_name *name, uint32_t number, bool is_miss)
{
	char label[32];
	struct dns_name zone;

	dns_name_parse("bench-namespace.svc.cluster.local", &zone, NULL);
	dns_name_begin(name);
	snprintf(label, sizeof(label), "%s-%07u", is_miss ? "gone" : "name", number);
	dns_name_add_label(name, label, strlen(label));
	snprintf(label, sizeof(label), "a-service-x");
	dns_name_add_label(name, label, strlen(label));
	if (!dns_name_end(name, &zone) || name->len != NAME_LEN) {
		fprintf(stderr, "name of %u octets\n", name->len);
		exit(1);
	}
}

static void put_name(struct bench *b, const struct bench_case *c, uint32_t number)
{
	static uint64_t buffer[16384];
	static struct in_addr addrs[5000];
	static struct srv_record srvs[128];
	static struct srv_glue glue[128];
	static struct dns_name targets[128];
	const struct render_params params = {.ttl_s = 5};
	struct record_set set = {.a = addrs, .a_count = c->records};
	size_t len;
	int err;

	make_name(&set.owner, number, false);
	for (uint32_t i = 0; i < c->records; i++) {
		addrs[i].s_addr = htonl(0x0a000000 + number * 5003 + i);
		if (c->type != 33)
			continue;
		make_name(&targets[i], number + i, false);
		srvs[i] = (struct srv_record){.weight = 33, .port = 80, .target = i};
		glue[i].target = i;
		glue[i].addr.family = AF_INET;
		memcpy(glue[i].addr.octets, &addrs[i], 4);
	}
	if (c->type == 33) {
		set.srvs = srvs;
		set.glue = glue;
		set.targets = targets;
		set.srv_count = set.glue_count = set.target_count = c->records;
	}
	err = render_blob(&set, &params, buffer, sizeof(buffer), &len);
	if (err)
		die("render", err);
	err = table_put(b->table, (const struct nodens_name *)buffer, len);
	if (err < 0)
		die("table_put", err);
}

static void make_query(struct query_frame *q, const struct bench_case *c, uint32_t number)
{
	struct dns_name name;
	struct wire w;
	uint16_t payload;
	uint8_t *udp;
	uint32_t sum;

	make_name(&name, number, c->is_miss);
	payload = 8 + 12 + name.len + 4 + (c->edns_size ? 11 : 0);
	memset(q, 0, sizeof(*q));
	wire_init(&w, q->frame, sizeof(q->frame));
	wire_put_bytes(&w, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00", 14);
	wire_put_u32(&w, 0x45000000 | (20 + payload));
	wire_put_u32(&w, 0x12344000);
	wire_put_u32(&w, 0x40110000);
	wire_put_u32(&w, 0x0af40002);
	wire_put_u32(&w, 0x0a60000a);
	wire_put_u16(&w, 40000 + number % 1000);
	wire_put_u16(&w, 53);
	wire_put_u16(&w, payload);
	wire_put_u16(&w, 0);
	wire_put_u16(&w, (uint16_t)number);
	wire_put_u16(&w, 0x0100);
	wire_put_u16(&w, 1);
	wire_put_u32(&w, 0);
	wire_put_u16(&w, c->edns_size ? 1 : 0);
	wire_put_bytes(&w, name.data, name.len);
	wire_put_u16(&w, c->type);
	wire_put_u16(&w, 1);
	if (c->edns_size) {
		wire_put_bytes(&w, "\0\0\x29", 3);
		wire_put_u16(&w, c->edns_size);
		wire_put_zeros(&w, 6);
	}
	q->len = w.len;
	sum = (uint16_t)~wire_sum(q->frame + 14, 20);
	memcpy(q->frame + 24, &sum, 2);
	/* As a pod's stack leaves it to its device: the sum of the pseudo header alone (CHECKSUM_PARTIAL). */
	udp = q->frame + 34;
	sum = wire_sum(q->frame + 26, 8) + htons(17) + htons(payload);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	memcpy(udp + 6, &sum, 2);
}

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static void bench_load(struct bench *b, const struct bench_case *c)
{
	uint32_t buckets = power_of_two(c->names / 5 + 1), zero = 0, ifindex = 1;
	size_t blob = 32 + 64 + c->records * (c->type == 33 ? 120 : 2 * NODENS_A_LEN) + 64;
	uint32_t pages = (uint64_t)c->names * (blob * 9 / 8 + 64) / NODENS_PAGE_LEN + 2;
	struct nodens_server4_key server = {.addr = htonl(0x0a60000a), .port = htons(53)};
	struct nodens_interface interface = {.mtu = 1500, .hook = NODENS_HOOK_TCX};
	struct nodens_server value = {0};
	struct nodens_config cfg = {.deadline_jiffies = UINT64_MAX, .gate = NODENS_GATE_OPEN, .zone_len = 15,
				    .server4_addr = htonl(0x0a60000a), .server4_port = htons(53)};
	const struct render_params params = {.ttl_s = 5};
	uint64_t slot;
	struct table_memory mem = {.bucket_count = buckets, .page_count = pages};
	int err;

	memset(b, 0, sizeof(*b));
	b->skel = bench_bpf__open();
	if (!b->skel)
		die("open", errno);
	for (int i = 0; i < NODENS_HASH_KEY_WORDS; i++) {
		getrandom(&mem.hash_key[i], sizeof(mem.hash_key[i]), 0);
		mem.hash_key[i] |= 1;
	}
	memcpy((void *)b->skel->rodata->hash_key, mem.hash_key, sizeof(mem.hash_key));
	*(uint32_t *)&b->skel->rodata->index_mask = buckets - 1;
	*(uint32_t *)&b->skel->rodata->query_count = c->names;
	bpf_map__set_max_entries(b->skel->maps.index, buckets);
	bpf_map__set_max_entries(b->skel->maps.arena, pages);
	bpf_map__set_max_entries(b->skel->maps.queries, c->names);
	err = bench_bpf__load(b->skel);
	if (err)
		die("load", err);
	mem.page_stride = NODENS_PAGE_LEN + NODENS_PAGE_SLACK;
	b->buckets = mem.buckets = map_memory(b->skel->maps.index, NODENS_BUCKET_LEN, &b->buckets_len);
	b->arena = mem.arena = map_memory(b->skel->maps.arena, mem.page_stride, &b->arena_len);
	b->queries = map_memory(b->skel->maps.queries, sizeof(struct query_frame), &b->queries_len);
	b->table = table_new(&mem);
	for (uint32_t i = 0; i < c->names; i++) {
		put_name(b, c, i);
		make_query(&b->queries[i], c, i);
	}
	cfg.soa_len = render_soa(&params, cfg.soa);
	bpf_map_update_elem(bpf_map__fd(b->skel->maps.config), &zero, &cfg, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(b->skel->maps.servers4), &server, &value, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(b->skel->maps.interfaces), &ifindex, &interface, BPF_ANY);
	slot = nodens_interface_slot(ifindex, 0, interface.mtu);
	bpf_map_update_elem(bpf_map__fd(b->skel->maps.interface_slots), &ifindex, &slot, BPF_ANY);
}

static void bench_unload(struct bench *b)
{
	table_free(b->table);
	munmap(b->buckets, b->buckets_len);
	munmap(b->arena, b->arena_len);
	munmap(b->queries, b->queries_len);
	bench_bpf__destroy(b->skel);
}

static double run_program(const struct bpf_program *prog, uint32_t repeat, uint32_t want)
{
	uint8_t frame[FRAME_MAX] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = repeat);
	int err = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);

	if (err)
		die("test run", err);
	if (opts.retval != want) {
		fprintf(stderr, "bench-datapath: %s returned %u, not %u\n", bpf_program__name(prog), opts.retval, want);
		exit(1);
	}
	return opts.duration;
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare_double);
	return values[ROUNDS / 2];
}

/* What each step of a hit costs: one A record, 1,000 names. */
static void run_steps(uint32_t repeat)
{
	enum { STEPS = 8 };
	static const struct bench_case c = {"1 A", 1000, 1, 1, 0, 0, false};
	static const char *const titles[STEPS] = {
		"restoring the query (base)",
		"headers, server address, IPv4 checksum",
		"gate and heartbeat",
		"interface, MTU, GSO",
		"question: EDNS, hash, UDP checksum",
		"index, arena, comparing the name",
		"plan",
		"resize, records, headers, redirect",
	};
	double runs[STEPS][ROUNDS], last = 0;
	struct bench bench;

	bench_load(&bench, &c);
	const struct bpf_program *const programs[STEPS] = {
		bench.skel->progs.bench_base,	     bench.skel->progs.bench_step_parse,
		bench.skel->progs.bench_step_gate,   bench.skel->progs.bench_step_interface,
		bench.skel->progs.bench_step_question, bench.skel->progs.bench_step_lookup,
		bench.skel->progs.bench_step_plan,   bench.skel->progs.bench_nodens,
	};
	for (int i = 0; i < ROUNDS; i++)
		for (int step = 0; step < STEPS; step++)
			runs[step][i] = run_program(programs[step], repeat, step == STEPS - 1 ? 7 : 0);
	bench_unload(&bench);
	printf("\nwhat the steps of a hit cost, ns (differences of medians: a step of few ns may come out as 0 or less)\n");
	for (int step = 0; step < STEPS; step++) {
		double now = median(runs[step]);

		printf("%6.0f  %s\n", now - last, titles[step]);
		last = now;
	}
}

/* 1: over the limit. */
static int run_case(const struct bench_case *c, uint32_t repeat)
{
	const uint32_t redirect = 7, unspec = (uint32_t)-1;
	double base[ROUNDS], reflect[ROUNDS], nodens[ROUNDS];
	double b, r, n, scale, limit;
	struct bench bench;

	bench_load(&bench, c);
	for (int i = 0; i < ROUNDS; i++) {
		base[i] = run_program(bench.skel->progs.bench_base, repeat, 0);
		reflect[i] = run_program(bench.skel->progs.bench_reflect, repeat, redirect);
		nodens[i] = run_program(bench.skel->progs.bench_nodens, repeat, c->is_miss ? unspec : redirect);
	}
	bench_unload(&bench);
	b = median(base);
	r = median(reflect);
	n = median(nodens);
	printf("%-24s %7u %7.0f %9.0f %7.0f %9.0f", c->title, c->names, b, r - b, n - b, n - r);
	if (c->prototype_ns == 0) {
		printf("         -\n");
		return 0;
	}
	scale = r > PROTOTYPE_BASE_NS + PROTOTYPE_REFLECTOR_NS ? r / (PROTOTYPE_BASE_NS + PROTOTYPE_REFLECTOR_NS) : 1;
	limit = (c->prototype_ns - PROTOTYPE_REFLECTOR_NS + ALLOWANCE_NS);
	printf(" %9.0f %9.0f  %s\n", limit, limit * scale, n - r <= limit ? "ok" : n - r <= limit * scale ? "ok (scaled)" : "OVER");
	return n - r > limit * scale;
}

int main(int argc, char **argv)
{
	uint32_t repeat = argc > 1 ? atoi(argv[1]) : 300000;
	const char *only = argc > 2 ? argv[2] : "";
	int over = 0;

	printf("ns a packet, medians of %d rounds of %u runs; names of %d octets, chosen at random\n", ROUNDS, repeat, NAME_LEN);
	printf("%-24s %7s %7s %9s %7s %9s %9s %9s\n", "case", "names", "base", "reflector", "nodens", "over it", "limit", "scaled");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strstr(cases[i].title, only))
			over += run_case(&cases[i], repeat);
	if (!only[0])
		run_steps(repeat);
	return over != 0;
}
