/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Torn reads: rewrites names at full speed in a loaded generation while a reader asks for them over a veth.
 *
 *   torn DIR INTERFACE NETNS SERVER ANSWERS SECONDS NAMES RECORDS_MIN RECORDS_MAX PAGES
 *
 * Loads a generation of PAGES into DIR (below a bpffs), attaches it to INTERFACE, whose other end is in NETNS (a path), and
 * writes NAMES names of RECORDS_MIN to RECORDS_MAX records, as the agent does: put, quarantine, grace period, reuse. Ends
 * after ANSWERS answers, a few wrong ones, or SECONDS; takes everything off again and prints what happened as JSON. Exit 0
 * also where answers were wrong: the caller judges.
 */
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/jsonout.h"
#include "dns/render.h"
#include "kernel/attach.h"
#include "kernel/generation.h"
#include "kernel/grace.h"
#include "torn_reader.h"

#define INDEX_BUCKETS 256
#define WRITES_PER_TURN 64
#define WRONG_ENOUGH 5

struct writer {
	struct generation *generation;
	struct table *table;
	struct loop *loop;
	struct loop_handle *ready; /* always readable: a turn whenever the loop has nothing else to do */
	struct grace *grace;
	struct reader *reader;
	uint64_t answers_wanted;
	uint64_t end_ns;
	uint16_t version[TORN_NAMES_MAX];
	struct in_addr addresses[TORN_RECORDS_MAX];
	struct nodens_name *blob;
	size_t blob_cap;
	uint32_t random;
	uint64_t updates, stalls, quarantined_most;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static int write_version(struct writer *w, uint8_t name)
{
	const struct render_params params = {.ttl_s = TORN_TTL_S};
	struct record_set set = {.a = w->addresses};
	uint16_t version = ++w->version[name];
	size_t len;
	int err;

	torn_name(name, &set.owner);
	set.a_count = torn_count(w->reader->range, name, version);
	for (uint32_t i = 0; i < set.a_count; i++)
		torn_address(name, version, i, (uint8_t *)&w->addresses[i]);
	err = render_blob(&set, &params, w->blob, w->blob_cap, &len);
	if (err)
		return err;
	return table_put(w->table, w->blob, len);
}

static void submit_retired(struct writer *w)
{
	struct table_batch *batch;
	struct table_stats stats;

	table_stats(w->table, &stats);
	if (stats.quarantined > w->quarantined_most)
		w->quarantined_most = stats.quarantined;
	if (grace_pending(w->grace))
		return;
	batch = table_take_retired(w->table);
	if (batch && grace_submit(w->grace, w->table, batch))
		loop_stop(w->loop, -ENOMEM);
}

static bool is_over(const struct writer *w)
{
	const struct reader *r = w->reader;

	return __atomic_load_n(&r->answers, __ATOMIC_RELAXED) >= w->answers_wanted ||
	       __atomic_load_n(&r->wrong, __ATOMIC_RELAXED) >= WRONG_ENOUGH || now_ns() > w->end_ns;
}

static void on_turn(void *ctx, uint32_t events)
{
	struct writer *w = ctx;

	(void)events;
	for (int i = 0; i < WRITES_PER_TURN; i++) {
		int err;

		w->random = w->random * 1664525 + 1013904223;
		err = write_version(w, (uint8_t)((w->random >> 8) % w->reader->names));
		if (err == -ENOMEM) {
			/* All of the arena waits for the end of a grace period. */
			w->stalls++;
			(void)loop_set_events(w->ready, 0);
			break;
		}
		if (err < 0)
			return loop_stop(w->loop, err);
		w->updates++;
	}
	submit_retired(w);
	if (is_over(w))
		loop_stop(w->loop, 0);
}

static int wait_readers(void *ctx)
{
	const struct writer *w = ctx;

	return generation_wait_readers(w->generation);
}

static void on_grace_done(void *ctx, struct table *table, struct table_batch *batch)
{
	struct writer *w = ctx;

	table_reclaim(table, batch);
	if (w->ready)
		(void)loop_set_events(w->ready, EPOLLIN);
}

static int load(struct writer *w, const char *dir, uint32_t pages, struct error *e)
{
	struct server_addr server = {.family = AF_INET, .port = w->reader->server.sin_port, .origin = "flag"};
	int err = generation_prepare_dir(dir, e);

	if (!err)
		err = generation_new(dir, (struct generation_size){INDEX_BUCKETS, pages}, &w->generation, e);
	if (err)
		return err;
	memcpy(server.octets, &w->reader->server.sin_addr, 4);
	w->table = generation_table(w->generation);
	for (uint32_t i = 0; i < w->reader->names; i++) {
		err = write_version(w, (uint8_t)i);
		if (err < 0)
			return error_set(e, err, "name %u cannot be written", i);
	}
	err = generation_set_servers(w->generation, &server, 1, e);
	if (err)
		return err;
	generation_config(w->generation)->deadline_jiffies = UINT64_MAX;
	generation_config(w->generation)->gate = NODENS_GATE_OPEN;
	return generation_publish(w->generation, e);
}

static int attach_interface(struct writer *w, struct attach *a, uint32_t ifindex, struct error *e)
{
	struct nodens_interface entry = {.mtu = 9000, .flags = NODENS_INTERFACE_PEER};
	int err = attach_add(a, ifindex, generation_tc_fd(w->generation), &entry, e);

	return err ? err : generation_set_interface(w->generation, ifindex, &entry, e);
}

static int run(struct writer *w, uint64_t seconds)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	int err;

	w->loop = loop_new();
	if (fd < 0 || !w->loop)
		return -errno;
	w->grace = grace_new(w->loop, wait_readers, on_grace_done, w);
	w->ready = loop_add_fd(w->loop, fd, EPOLLIN, on_turn, w);
	if (!w->grace || !w->ready)
		return -ENOMEM;
	w->end_ns = now_ns() + seconds * 1000000000ULL;
	err = reader_start(w->reader);
	if (err)
		return err;
	err = loop_run(w->loop);
	reader_stop(w->reader);
	loop_remove(w->loop, w->ready);
	w->ready = NULL;
	close(fd);
	return err ? err : w->reader->err;
}

/* Queries for our names that the datapath passed on. */
static uint64_t count_passed(const struct generation *g)
{
	struct nodens_verdicts v = {0};

	(void)generation_read_verdicts(g, &v);
	return v.no_name + v.name_passed + v.type + v.too_big + v.no_room + v.truncated + v.nodata;
}

static void print_result(const struct writer *w, uint64_t ns)
{
	const struct reader *r = w->reader;
	struct table_stats stats;
	struct jsonout j;

	table_stats(w->table, &stats);
	jsonout_init(&j, stdout);
	jsonout_open_object(&j, NULL);
	jsonout_number(&j, "answers", r->answers);
	jsonout_number(&j, "wrong", r->wrong);
	jsonout_text(&j, "last_wrong", r->last_wrong);
	jsonout_number(&j, "checksum_errors", r->checksum_errors);
	jsonout_number(&j, "lost", r->lost);
	jsonout_number(&j, "passed", count_passed(w->generation));
	jsonout_number(&j, "updates", w->updates);
	jsonout_number(&j, "retired", stats.retired);
	jsonout_number(&j, "reused", stats.reused);
	jsonout_number(&j, "quarantined_most", w->quarantined_most);
	jsonout_number(&j, "grace_periods", grace_completed(w->grace));
	jsonout_number(&j, "stalls", w->stalls);
	jsonout_number(&j, "ms", ns / 1000000);
	jsonout_close(&j, '}');
}

/* The first two CPUs that we may use, one for each side. */
static void pin_to_cpus(struct reader *r)
{
	cpu_set_t all, first;
	int found = -1;

	r->cpu = -1;
	if (sched_getaffinity(0, sizeof(all), &all) < 0 || CPU_COUNT(&all) < 2)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && r->cpu < 0; cpu++) {
		if (!CPU_ISSET((unsigned int)cpu, &all))
			continue;
		if (found < 0)
			found = cpu;
		else
			r->cpu = cpu;
	}
	CPU_ZERO(&first);
	CPU_SET((unsigned int)found, &first);
	(void)sched_setaffinity(0, sizeof(first), &first);
}

static int fail(const char *what, int err, const struct error *e)
{
	fprintf(stderr, "torn: %s: %s: %s\n", what, strerror(-err), e->text);
	return 1;
}

int main(int argc, char **argv)
{
	static struct reader reader;
	static struct writer writer = {.random = 1, .reader = &reader};
	struct error e = {0};
	char links[256];
	uint32_t ifindex;
	struct attach *a;
	uint64_t begin_ns;
	int err;

	if (argc != 11)
		return fprintf(stderr, "usage: torn DIR INTERFACE NETNS SERVER ANSWERS SECONDS NAMES RECORDS_MIN RECORDS_MAX PAGES\n"), 2;
	ifindex = if_nametoindex(argv[2]);
	reader.netns = argv[3];
	reader.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(53)};
	reader.names = (uint32_t)atoi(argv[7]);
	reader.range = (struct torn_range){(uint32_t)atoi(argv[8]), (uint32_t)atoi(argv[9])};
	writer.answers_wanted = strtoull(argv[5], NULL, 10);
	if (!ifindex || inet_pton(AF_INET, argv[4], &reader.server.sin_addr) != 1 || reader.names < 1 ||
	    reader.names > TORN_NAMES_MAX || reader.range.min < 1 || reader.range.max < reader.range.min ||
	    reader.range.max > TORN_RECORDS_MAX)
		return fprintf(stderr, "torn: no such interface, or a number out of range\n"), 2;
	writer.blob_cap = 8192;
	writer.blob = aligned_alloc(64, writer.blob_cap);
	if (!writer.blob)
		return 1;
	pin_to_cpus(&reader);

	err = load(&writer, argv[1], (uint32_t)atoi(argv[10]), &e);
	if (err)
		return fail("loading", err, &e);
	snprintf(links, sizeof(links), "%s/links", argv[1]);
	a = attach_new(links, &e);
	err = a ? attach_interface(&writer, a, ifindex, &e) : -EIO;
	if (err)
		return fail("attaching", err, &e);
	begin_ns = now_ns();
	err = run(&writer, strtoull(argv[6], NULL, 10));
	if (err)
		fail("running", err, &e);
	else
		print_result(&writer, now_ns() - begin_ns);

	grace_free(writer.grace);
	loop_free(writer.loop);
	(void)attach_remove(a, ifindex, &e);
	attach_free(a);
	(void)generation_remove_others(argv[1], NULL, &e);
	generation_free(writer.generation);
	free(writer.blob);
	return err ? 1 : 0;
}
