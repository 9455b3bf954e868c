/* SPDX-License-Identifier: Apache-2.0 */
/* Generations in a real kernel: pins, mapped memory, test runs of the real programs, capabilities. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "kernel/generation_internal.h"
#include "kernel/grace.h"
#include "kernel_env.h"
#include "table_blob.h"

static const struct generation_size small = {.bucket_count = 1024, .page_count = 4};

static struct error error;

/* Success, else the text of the error is the message. */
static void assert_ok(int err)
{
	if (err < 0)
		fail_msg("%d: %s", err, error.text);
}

static struct generation *new_generation(struct generation_size size)
{
	struct generation *g = NULL;

	assert_ok(generation_prepare_dir(env.dir, &error));
	assert_ok(generation_new(env.dir, size, &g, &error));
	return g;
}

static bool exists(const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", env.dir, name);
	return lstat(path, &st) == 0;
}

static void remove_all(struct generation *g)
{
	generation_free(g);
	assert_ok(generation_remove_others(env.dir, NULL, &error));
}

static int put(struct generation *g, uint32_t number, uint32_t version, uint32_t records)
{
	static uint64_t buffer[256];
	size_t len = blob_make(buffer, number, version, records);

	return table_put(generation_table(g), (const struct nodens_name *)buffer, len);
}

/* ---- the folder ------------------------------------------------------------------------------------------------- */

static void a_folder_outside_of_a_bpffs_is_refused_with_the_mount_command(void **state)
{
	(void)state;
	kernel_env_need();
	assert_int_equal(generation_prepare_dir("/tmp/nodens-test-nowhere", &error), -ENODEV);
	assert_non_null(strstr(error.text, "mount -t bpf bpf /sys/fs/bpf"));
	assert_int_not_equal(access("/tmp/nodens-test-nowhere", F_OK), 0);
}

static void a_folder_of_another_mode_or_owner_is_refused(void **state)
{
	(void)state;
	kernel_env_need();
	assert_ok(generation_prepare_dir(env.dir, &error));
	assert_ok(generation_prepare_dir(env.dir, &error));
	assert_int_equal(chmod(env.dir, 0755), 0);
	assert_int_equal(generation_prepare_dir(env.dir, &error), -EPERM);
	assert_non_null(strstr(error.text, "0755"));
	assert_int_equal(chmod(env.dir, 0700), 0);
	assert_int_equal(chown(env.dir, 1000, 0), 0);
	assert_int_equal(generation_prepare_dir(env.dir, &error), -EPERM);
	assert_non_null(strstr(error.text, "user 1000"));
	assert_int_equal(chown(env.dir, 0, 0), 0);
	assert_int_equal(chmod(env.links, 0770), 0);
	assert_int_equal(generation_prepare_dir(env.dir, &error), -EPERM);
	assert_non_null(strstr(error.text, "links"));
	assert_int_equal(chmod(env.links, 0700), 0);
	assert_ok(generation_prepare_dir(env.dir, &error));
}

static void a_symlink_in_place_of_the_folder_is_refused(void **state)
{
	char path[128];

	(void)state;
	kernel_env_need();
	assert_ok(generation_prepare_dir(env.dir, &error));
	snprintf(path, sizeof(path), "%s/other", env.root);
	assert_int_equal(symlink(env.dir, path), 0);
	assert_true(generation_prepare_dir(path, &error) < 0);
	assert_int_equal(unlink(path), 0);
}

static void the_lock_is_held_by_one(void **state)
{
	int first, second;

	(void)state;
	kernel_env_need();
	assert_ok(generation_prepare_dir(env.dir, &error));
	first = generation_lock_dir(env.dir, &error);
	assert_ok(first);
	assert_int_equal(generation_lock_dir(env.dir, &error), -EWOULDBLOCK);
	assert_non_null(strstr(error.text, "another agent"));
	close(first);
	second = generation_lock_dir(env.dir, &error);
	assert_ok(second);
	close(second);
}

/* Whoever has it removes folders: `nodens detach --bpffs DIR` must not take DIR/g1 of a plain folder away. */
static void the_lock_of_a_folder_on_another_file_system_is_refused(void **state)
{
	char plain[] = "/tmp/nodens-test-XXXXXX";
	struct generation *g;

	(void)state;
	kernel_env_need();
	assert_non_null(mkdtemp(plain));
	assert_int_equal(generation_lock_dir(plain, &error), -ENODEV);
	assert_non_null(strstr(error.text, "mount -t bpf bpf /sys/fs/bpf"));
	assert_int_equal(generation_lock_dir(env.root, &error), -ENODEV); /* the root of a bpffs is nobody's folder */
	assert_int_equal(generation_open(plain, &g, &error), -ENOENT);
	assert_non_null(strstr(error.text, "nothing is loaded: /tmp is not on a BPF file system"));
	assert_int_equal(rmdir(plain), 0);
}

/* ---- coming and going ------------------------------------------------------------------------------------------- */

static void a_generation_is_pinned_read_by_others_and_removed(void **state)
{
	static const char *const pins[] = {"g1/tc",	    "g1/explain", "g1/clock",	 "g1/index",	"g1/arena",
					   "g1/config",	    "g1/status",  "g1/verdicts", "g1/servers4", "g1/servers6",
					   "g1/interfaces", "g1/allow4",  "g1/allow6",	 "g1/jiffies",	"current"};
	struct generation *g, *other;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	assert_int_equal(generation_open(env.dir, &other, &error), -ENOENT);
	assert_non_null(strstr(error.text, "nothing is loaded"));
	assert_int_equal(generation_number(g), 1);
	assert_false(exists("g1"));
	assert_ok(generation_publish(g, &error));
	for (size_t i = 0; i < sizeof(pins) / sizeof(pins[0]); i++)
		assert_true(exists(pins[i]));

	assert_ok(generation_open(env.dir, &other, &error));
	assert_int_equal(generation_number(other), 1);
	assert_null(generation_table(other));
	assert_int_equal(generation_get_size(other).bucket_count, small.bucket_count);
	assert_int_equal(generation_get_size(other).page_count, small.page_count);
	assert_int_equal(generation_status(other)->generation, 1);
	assert_int_equal(generation_config(other)->gate, NODENS_GATE_NOT_SYNCED);
	generation_config(g)->ttl_s = 77;
	assert_int_equal(generation_config(other)->ttl_s, 77);
	generation_free(other);
	remove_all(g);
	assert_false(exists("g1"));
	assert_false(exists("current"));
	assert_true(exists("links"));
}

static void current_moves_and_old_pins_go(void **state)
{
	struct generation *first, *second, *third, *other;

	(void)state;
	kernel_env_need();
	first = new_generation(small);
	assert_ok(generation_publish(first, &error));
	second = new_generation(small);
	third = new_generation(small);
	assert_int_equal(generation_number(second), 2);
	assert_ok(generation_publish(second, &error));
	/* Both were loaded when g1 was the highest. */
	assert_int_equal(generation_number(third), 2);
	assert_ok(generation_publish(third, &error));
	assert_int_equal(generation_number(third), 3);
	assert_int_equal(generation_status(third)->generation, 3);
	assert_ok(generation_open(env.dir, &other, &error));
	assert_int_equal(generation_number(other), 3);
	generation_free(other);
	assert_ok(generation_remove_others(env.dir, third, &error));
	assert_false(exists("g1"));
	assert_false(exists("g2"));
	assert_true(exists("g3/tc"));
	generation_free(first);
	generation_free(second);
	remove_all(third);
}

static void another_layout_is_not_read_but_removed(void **state)
{
	struct generation *g, *other;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	assert_ok(generation_publish(g, &error));
	generation_config(g)->abi_version = NODENS_ABI_VERSION + 1;
	assert_int_equal(generation_open(env.dir, &other, &error), -EPROTO);
	remove_all(g);
	assert_false(exists("g1"));
}

static void keys_differ_between_generations(void **state)
{
	struct generation *a, *b;

	(void)state;
	kernel_env_need();
	a = new_generation(small);
	b = new_generation(small);
	assert_memory_not_equal(generation_memory(a)->hash_key, generation_memory(b)->hash_key, 256);
	generation_free(a);
	generation_free(b);
}

static void sizes_follow_names_and_octets(void **state)
{
	struct generation_size size = generation_size_for(0, 0);

	(void)state;
	assert_true(size.bucket_count >= 1 && size.page_count >= 1);
	size = generation_size_for(150000, 150000 * 128);
	assert_int_equal(size.bucket_count, 32768);
	assert_in_range(size.page_count, 150000 * 128 / NODENS_PAGE_LEN + 1, 40);
	size = generation_size_for(1000000, 128000000);
	assert_int_equal(size.bucket_count, 262144);
	assert_in_range(size.page_count, 128, 200);
	/* 65 octets take two units. */
	assert_true(generation_size_for(1000000, 65000000).page_count >= 123);
	assert_true(generation_size_for(1ULL << 40, 1ULL << 50).page_count == NODENS_PAGES_MAX);
	assert_int_equal(generation_size_bytes((struct generation_size){1024, 2}),
			 1024 * 64 + 2 * (NODENS_PAGE_LEN + NODENS_PAGE_SLACK));
}

static void odd_sizes_are_refused(void **state)
{
	static const struct generation_size sizes[] = {{0, 1}, {3, 1}, {256, 0}, {256, NODENS_PAGES_MAX + 1}};
	struct generation *g;

	(void)state;
	kernel_env_need();
	assert_ok(generation_prepare_dir(env.dir, &error));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(generation_new(env.dir, sizes[i], &g, &error), -EINVAL);
}

/* ---- names, asked through the program ---------------------------------------------------------------------------- */

static uint16_t ip_checksum(const uint8_t *header, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)header[i] << 8 | header[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t) ~((sum >> 16) + sum);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* A query for the A records of a name, from 10.0.0.2 to 10.96.0.10:53, without a UDP checksum. */
static size_t make_query(uint8_t frame[256], uint32_t number)
{
	static const uint8_t start[] = {2, 0,  0, 0, 0,	 1,  2,	   0,	 0,  0, 0, 2, 8,  0,  0x45, 0,	0,    0,
					0, 0,  0, 0, 64, 17, 0,	   0,	 10, 0, 0, 2, 10, 96, 0,    10, 0x9c, 0x40,
					0, 53, 0, 0, 0,	 0,  0x12, 0x34, 1,  0, 0, 1, 0,  0,  0,    0,	0,    0};
	size_t len = sizeof(start);

	memset(frame, 0, 256);
	memcpy(frame, start, sizeof(start));
	len += blob_name(number, frame + len);
	memcpy(frame + len, "\0\1\0\1", 4);
	len += 4;
	put16(frame + 16, (uint16_t)(len - 14));
	put16(frame + 38, (uint16_t)(len - 34));
	put16(frame + 24, ip_checksum(frame + 14, 20));
	return len;
}

static enum nodens_verdict explain(const struct generation *g, uint32_t number, uint8_t answer[4096], size_t *ret_len)
{
	enum nodens_verdict verdict = NODENS_VERDICT_COUNT;
	uint8_t frame[256];
	size_t len = make_query(frame, number);

	*ret_len = 4096;
	assert_ok(generation_explain(g, frame, len, 0, answer, ret_len, &verdict, &error));
	return verdict;
}

static void open_gate(struct generation *g)
{
	struct server_addr server = {.family = AF_INET, .octets = {10, 96, 0, 10}, .port = htons(53), .origin = "flag"};
	uint64_t now;

	assert_ok(generation_set_servers(g, &server, 1, &error));
	assert_ok(generation_read_jiffies(g, &now));
	generation_config(g)->deadline_jiffies = now + 1000000;
	generation_config(g)->ttl_s = 5;
	generation_config(g)->gate = NODENS_GATE_OPEN;
}

/* The answer's records are those of the blob: all of them, by address, behind a rotation. */
static void assert_answer_is(const uint8_t *answer, size_t len, uint32_t number, uint32_t version, uint32_t records)
{
	static uint64_t buffer[256];
	const struct nodens_name *b = (const struct nodens_name *)buffer;
	const uint8_t *section, *rr = answer + 42 + 12;

	blob_make(buffer, number, version, records);
	section = (const uint8_t *)b + b->section[NODENS_SLOT_A].off;
	assert_int_equal(answer[42 + 6] << 8 | answer[42 + 7], records);
	assert_int_equal(len, 42 + 12 + b->name_len + 4 + records * NODENS_A_LEN);
	rr += b->name_len + 4;
	for (uint32_t i = 0; i < records; i++) {
		bool is_found = false;

		for (uint32_t j = 0; j < records; j++)
			is_found |= memcmp(rr + i * NODENS_A_LEN, section + j * NODENS_A_LEN, NODENS_A_LEN) == 0;
		assert_true(is_found);
	}
}

static void names_are_answered_by_the_loaded_program(void **state)
{
	enum { NAMES = 4000 };
	struct generation *g, *other;
	uint8_t answer[4096];
	size_t len;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	for (uint32_t i = 0; i < NAMES; i++)
		assert_int_equal(put(g, i, i, 1 + i % 20), 1);
	assert_int_equal(explain(g, 1, answer, &len), NODENS_VERDICT_NOT_DNS);
	open_gate(g);
	generation_config(g)->gate = NODENS_GATE_NOT_SYNCED;
	assert_int_equal(explain(g, 1, answer, &len), NODENS_VERDICT_NOT_SYNCED);
	generation_config(g)->gate = NODENS_GATE_OPEN;
	for (uint32_t i = 0; i < NAMES; i++) {
		assert_int_equal(explain(g, i, answer, &len), NODENS_VERDICT_ANSWERED);
		assert_answer_is(answer, len, i, i, 1 + i % 20);
	}
	assert_int_equal(explain(g, NAMES, answer, &len), NODENS_VERDICT_NO_NAME);
	assert_int_equal(put(g, 7, 99999, 3), 1);
	assert_int_equal(explain(g, 7, answer, &len), NODENS_VERDICT_ANSWERED);
	assert_answer_is(answer, len, 7, 99999, 3);
	assert_ok(generation_publish(g, &error));
	assert_ok(generation_open(env.dir, &other, &error));
	assert_int_equal(explain(other, 7, answer, &len), NODENS_VERDICT_ANSWERED);
	assert_answer_is(answer, len, 7, 99999, 3);
	generation_free(other);
	remove_all(g);
}

static int count_copy(void *ctx, struct nodens_name *copy, size_t len)
{
	uint32_t number;

	assert_int_equal(sscanf((const char *)copy->name + 2, "%06x", &number), 1);
	assert_true(blob_is_whole(copy, len, number));
	++*(uint32_t *)ctx;
	free(copy);
	return 0;
}

static void another_process_reads_all_names(void **state)
{
	struct generation *g, *other;
	uint32_t count = 0;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	for (uint32_t i = 0; i < 3000; i++)
		assert_int_equal(put(g, i, 1, 1 + i % 20), 1);
	assert_ok(generation_publish(g, &error));
	assert_ok(generation_open(env.dir, &other, &error));
	assert_int_equal(table_copy_each(generation_memory(other), count_copy, &count), 0);
	assert_int_equal(count, 3000);
	generation_free(other);
	remove_all(g);
}

static void names_fill_every_page_of_the_maps(void **state)
{
	static uint64_t buffer[6000];
	struct generation *g;
	uint8_t answer[4096];
	uint32_t number = 0;
	size_t len;

	(void)state;
	kernel_env_need();
	g = new_generation((struct generation_size){4096, 3});
	for (;; number++) {
		size_t blob_len = blob_make(buffer, number, 1, 2500);

		if (table_put(generation_table(g), (const struct nodens_name *)buffer, blob_len) != 1)
			break;
	}
	assert_in_range(number, 3 * NODENS_PAGE_LEN / 44144 - 3, 3 * NODENS_PAGE_LEN / 44144 + 1);
	open_gate(g);
	for (uint32_t i = 0; i < number; i++)
		assert_int_equal(explain(g, i, answer, &len), NODENS_VERDICT_TRUNCATED);
	generation_free(g);
}

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

/* Of this thread, whatever else the machine does. */
static double cpu_seconds(void)
{
	return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

static void loads_150_000_names_into_maps(void **state)
{
	struct generation *g;
	double start, loaded, end;

	(void)state;
	kernel_env_need();
	start = cpu_seconds();
	g = new_generation(generation_size_for(150000, 150000 * 128));
	loaded = cpu_seconds();
	for (uint32_t i = 0; i < 150000; i++)
		assert_int_equal(put(g, i, 1, 5), 1);
	end = cpu_seconds();
	print_message("generation: %.3f s, 150,000 names: %.3f s\n", loaded - start, end - loaded);
	/* Some 0.1 s, 0.3 with sanitizers. */
	assert_true(end - loaded < 2);
	generation_free(g);
}

/* ---- the other maps --------------------------------------------------------------------------------------------- */

struct texts {
	char text[8][80];
	size_t count;
};

static void take_server(void *ctx, const struct nodens_server *server)
{
	struct texts *t = ctx;

	assert_true(t->count < 8);
	snprintf(t->text[t->count++], sizeof(t->text[0]), "%s %s", server->address, server->origin);
}

static bool has_text(const struct texts *t, const char *text)
{
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->text[i], text) == 0)
			return true;
	}
	return false;
}

static void server_addresses_are_replaced_as_a_set(void **state)
{
	struct server_addr set[] = {
		{.family = AF_INET, .octets = {10, 96, 0, 10}, .port = htons(53), .origin = "cluster-ip"},
		{.family = AF_INET, .octets = {10, 244, 0, 2}, .port = htons(5353), .origin = "endpoint"},
		{.family = AF_INET6, .octets = {0xfd, [15] = 0x0a}, .port = htons(53), .origin = "flag"},
		{.family = AF_INET, .octets = {10, 96, 0, 10}, .port = htons(53), .origin = "endpoint"},
	};
	struct texts t = {0};
	struct generation *g;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	assert_ok(generation_set_servers(g, set, 4, &error));
	generation_each_server(g, take_server, &t);
	assert_int_equal(t.count, 3);
	assert_true(has_text(&t, "10.96.0.10:53 cluster-ip"));
	assert_true(has_text(&t, "10.244.0.2:5353 endpoint"));
	assert_true(has_text(&t, "[fd00::a]:53 flag"));
	assert_ok(generation_set_servers(g, set + 1, 1, &error));
	t.count = 0;
	generation_each_server(g, take_server, &t);
	assert_int_equal(t.count, 1);
	assert_true(has_text(&t, "10.244.0.2:5353 endpoint"));
	assert_ok(generation_set_servers(g, NULL, 0, &error));
	t.count = 0;
	generation_each_server(g, take_server, &t);
	assert_int_equal(t.count, 0);
	set[0].family = AF_UNIX;
	assert_int_equal(generation_set_servers(g, set, 1, &error), -EAFNOSUPPORT);
	assert_int_equal(generation_set_servers(g, set, NODENS_SERVERS_MAX + 1, &error), -E2BIG);
	generation_free(g);
}

static int find_map(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/current/%s", env.dir, name);
	return bpf_obj_get(path);
}

static void allowed_prefixes_are_replaced_as_a_set(void **state)
{
	const struct allow_prefix set[] = {
		{.family = AF_INET, .octets = {10, 1, 2, 3}, .prefix_len = 12},
		{.family = AF_INET, .octets = {10, 1, 0, 0}, .prefix_len = 12}, /* the same */
		{.family = AF_INET6, .octets = {0xfd, 1, 2}, .prefix_len = 8},
		{.family = AF_INET, .octets = {192, 0, 2, 1}, .prefix_len = 32},
	};
	struct nodens_allow4_key key4 = {.prefix_len = 32}, next;
	struct nodens_allow6_key key6 = {.prefix_len = 128};
	struct generation *g;
	int fd4, fd6;
	__u8 yes;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	assert_ok(generation_publish(g, &error));
	fd4 = find_map("allow4");
	fd6 = find_map("allow6");
	assert_ok(generation_set_allowed(g, set, 4, &error));
	memcpy(&key4.addr, (uint8_t[]){10, 15, 255, 255}, 4);
	assert_int_equal(bpf_map_lookup_elem(fd4, &key4, &yes), 0);
	memcpy(&key4.addr, (uint8_t[]){10, 16, 0, 0}, 4);
	assert_int_not_equal(bpf_map_lookup_elem(fd4, &key4, &yes), 0);
	memcpy(key6.addr, (uint8_t[]){0xfd, 0xff}, 2);
	assert_int_equal(bpf_map_lookup_elem(fd6, &key6, &yes), 0);
	assert_ok(generation_set_allowed(g, set + 3, 1, &error));
	assert_int_equal(bpf_map_get_next_key(fd4, NULL, &next), 0);
	assert_int_equal(next.prefix_len, 32);
	assert_int_not_equal(bpf_map_get_next_key(fd4, &next, &next), 0);
	assert_int_not_equal(bpf_map_lookup_elem(fd6, &key6, &yes), 0);
	close(fd4);
	close(fd6);
	assert_int_equal(
		generation_set_allowed(g, &(struct allow_prefix){.family = AF_INET, .prefix_len = 33}, 1, &error),
		-EINVAL);
	remove_all(g);
}

static void take_interface(void *ctx, uint32_t ifindex, const struct nodens_interface *entry)
{
	struct texts *t = ctx;

	snprintf(t->text[t->count++], sizeof(t->text[0]), "%u %s %u", ifindex, entry->name, entry->mtu);
}

/* The word in the slot of interface 7, which interface 7 + NODENS_INTERFACE_SLOTS shares. */
static __u64 slot_of_7(const struct generation *g)
{
	__u32 number = 7;
	__u64 word = ~0ULL;

	assert_int_equal(bpf_map_lookup_elem(g->map_fd[MAP_INTERFACE_SLOTS], &number, &word), 0);
	return word;
}

static void an_interface_slot_is_never_told_of_another_interface(void **state)
{
	struct nodens_interface entry = {.mtu = 1400, .hook = NODENS_HOOK_TCX, .flags = NODENS_INTERFACE_PEER, .name = "veth1"};
	const uint32_t other = 7 + NODENS_INTERFACE_SLOTS;
	struct generation *g;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	assert_ok(generation_set_interface(g, 7, &entry, &error));
	assert_true(slot_of_7(g) == nodens_interface_slot(7, NODENS_INTERFACE_PEER, 1400));
	entry.mtu = 9000;
	assert_ok(generation_set_interface(g, other, &entry, &error));
	assert_true(slot_of_7(g) == nodens_interface_slot(7, NODENS_INTERFACE_PEER, 1400));
	assert_ok(generation_remove_interface(g, other));
	assert_true(slot_of_7(g) == nodens_interface_slot(7, NODENS_INTERFACE_PEER, 1400));
	entry.hook = NODENS_HOOK_NONE;
	assert_ok(generation_set_interface(g, 7, &entry, &error));
	assert_true(slot_of_7(g) == 0);
	entry.hook = NODENS_HOOK_TCX;
	assert_ok(generation_set_interface(g, 7, &entry, &error));
	assert_true(slot_of_7(g) == nodens_interface_slot(7, NODENS_INTERFACE_PEER, 9000));
	assert_ok(generation_remove_interface(g, 7));
	assert_true(slot_of_7(g) == 0);
	generation_free(g);
}

static void interfaces_are_written_and_removed(void **state)
{
	struct nodens_interface entry = {.mtu = 1400, .name = "veth1", .hook = NODENS_HOOK_TCX};
	struct texts t = {0};
	struct generation *g;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	assert_ok(generation_set_interface(g, 7, &entry, &error));
	entry.mtu = 9000;
	assert_ok(generation_set_interface(g, 9, &entry, &error));
	assert_ok(generation_remove_interface(g, 8));
	assert_ok(generation_each_interface(g, take_interface, &t));
	assert_int_equal(t.count, 2);
	assert_true(has_text(&t, "7 veth1 1400"));
	assert_true(has_text(&t, "9 veth1 9000"));
	assert_ok(generation_remove_interface(g, 7));
	t.count = 0;
	assert_ok(generation_each_interface(g, take_interface, &t));
	assert_int_equal(t.count, 1);
	generation_free(g);
}

static void verdicts_are_summed_and_carried_over(void **state)
{
	struct nodens_verdicts sum = {0};
	struct generation *g;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	assert_ok(generation_add_verdicts(g, &(struct nodens_verdicts){.answered = 40, .no_room = 3}));
	assert_ok(generation_add_verdicts(g, &(struct nodens_verdicts){.answered = 2}));
	assert_ok(generation_read_verdicts(g, &sum));
	assert_int_equal(sum.answered, 42);
	assert_int_equal(sum.no_room, 3);
	assert_int_equal(sum.not_dns, 0);
	generation_free(g);
}

static void jiffies_go_on(void **state)
{
	struct generation *g, *other;
	uint64_t first, second;
	double start, spent;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	start = seconds();
	assert_ok(generation_read_jiffies(g, &first));
	assert_true(first > 0);
	assert_ok(generation_publish(g, &error));
	assert_ok(generation_open(env.dir, &other, &error));
	do {
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
		assert_ok(generation_read_jiffies(other, &second));
		spent = seconds() - start;
	} while (second - first < 4 && spent < 30);
	/* 100 to 1,000 a second; some at once, where a virtual machine's CPU stood still before. */
	assert_in_range(second - first, 4, (uint64_t)(spent * 1000) + 5000);
	generation_free(other);
	remove_all(g);
}

/* ---- grace periods ---------------------------------------------------------------------------------------------- */

static void waiting_for_readers_returns_soon(void **state)
{
	struct generation *g;
	double start;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	start = seconds();
	for (int i = 0; i < 5; i++)
		assert_ok(generation_wait_readers(g));
	print_message("grace period: %.1f ms\n", (seconds() - start) / 5 * 1e3);
	assert_true(seconds() - start < 30);
	generation_free(g);
}

/* What the kernel says on machines with nohz_full CPUs. */
static int refuse_membarrier(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) : -1;
}

static void a_map_is_updated_where_membarrier_is_refused(void **state)
{
	__u32 zero = 0, first = 0, second = 0;
	struct generation *g;
	int status = 0;
	pid_t pid;

	(void)state;
	kernel_env_need();
	g = new_generation(small);
	pid = fork();
	if (pid == 0) {
		double start = seconds();

		if (refuse_membarrier() < 0 || generation_wait_readers(g) < 0 ||
		    bpf_map_lookup_elem(g->map_fd[MAP_GRACE], &zero, &first) < 0 || generation_wait_readers(g) < 0 ||
		    bpf_map_lookup_elem(g->map_fd[MAP_GRACE], &zero, &second) < 0)
			_exit(1);
		print_message("grace period by map: %.1f ms\n", (seconds() - start) / 2 * 1e3);
		_exit(first != 0 && second != first ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	generation_free(g);
}

struct grace_test {
	struct loop *loop;
	struct generation *g;
	pthread_t loop_thread;
	int done;
	int waits;
	int fail_first;
};

static int wait_and_count(void *ctx)
{
	struct grace_test *t = ctx;

	assert_false(pthread_equal(pthread_self(), t->loop_thread));
	if (__atomic_add_fetch(&t->waits, 1, __ATOMIC_RELAXED) <= t->fail_first)
		return -EINVAL;
	return generation_wait_readers(t->g);
}

static void reclaim_and_stop(void *ctx, struct table *table, struct table_batch *batch)
{
	struct grace_test *t = ctx;

	assert_true(pthread_equal(pthread_self(), t->loop_thread));
	assert_true(t->waits > t->fail_first);
	table_reclaim(table, batch);
	if (++t->done == 3)
		loop_stop(t->loop, 0);
}

static void submit(struct grace *grace, struct generation *g, uint32_t version)
{
	struct table_batch *batch;

	assert_int_equal(put(g, 1, version, 5), 1);
	batch = table_take_retired(generation_table(g));
	assert_non_null(batch);
	assert_int_equal(grace_submit(grace, generation_table(g), batch), 0);
}

static void batches_come_back_to_the_loop_after_a_grace_period(void **state)
{
	struct grace_test t = {.loop_thread = pthread_self(), .fail_first = 1};
	struct table_stats stats;
	struct grace *grace;

	(void)state;
	kernel_env_need();
	t.g = new_generation(small);
	t.loop = loop_new();
	grace = grace_new(t.loop, wait_and_count, reclaim_and_stop, &t);
	assert_non_null(grace);
	assert_int_equal(put(t.g, 1, 1, 5), 1);
	for (uint32_t version = 2; version < 5; version++)
		submit(grace, t.g, version);
	assert_int_equal(grace_pending(grace), 3);
	table_stats(generation_table(t.g), &stats);
	assert_int_equal(stats.quarantined, 3);
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(grace_pending(grace), 0);
	assert_int_equal(grace_completed(grace), 3);
	table_stats(generation_table(t.g), &stats);
	assert_int_equal(stats.quarantined, 0);
	/* What is still on its way at the end is handed back by grace_free. */
	submit(grace, t.g, 5);
	submit(grace, t.g, 6);
	grace_free(grace);
	assert_int_equal(t.done, 5);
	loop_free(t.loop);
	generation_free(t.g);
}

/* ---- capabilities ----------------------------------------------------------------------------------------------- */

#define CAP(name) (1ULL << CAP_##name)

/* In a child: only these capabilities, then the body; its exit code. */
static int run_with_caps(uint64_t caps, int (*body)(void))
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)caps, .permitted = (uint32_t)caps},
		{.effective = (uint32_t)(caps >> 32), .permitted = (uint32_t)(caps >> 32)}};
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (syscall(SYS_capset, &header, data) < 0)
			_exit(99);
		_exit(body());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static int body_load_publish_open(void)
{
	struct generation *g, *other;
	uint64_t now;

	if (generation_prepare_dir(env.dir, &error) < 0 || generation_new(env.dir, small, &g, &error) < 0 ||
	    generation_publish(g, &error) < 0 || generation_open(env.dir, &other, &error) < 0 ||
	    generation_read_jiffies(other, &now) < 0 || generation_wait_readers(g) < 0) {
		print_message("%s\n", error.text);
		return 1;
	}
	generation_free(other);
	generation_free(g);
	return generation_remove_others(env.dir, NULL, &error) < 0 ? 2 : 0;
}

static int body_names_missing_perfmon(void)
{
	struct generation *g;
	int err = generation_new(env.dir, small, &g, &error);

	print_message("%d: %s\n", err, error.text);
	return err < 0 && strstr(error.text, "missing CAP_PERFMON") ? 0 : 1;
}

static int body_names_missing_bpf(void)
{
	struct generation *g;
	int err = generation_new(env.dir, small, &g, &error);

	print_message("%d: %s\n", err, error.text);
	return err == -EPERM && strstr(error.text, "missing CAP_BPF") ? 0 : 1;
}

static void three_capabilities_are_enough(void **state)
{
	(void)state;
	kernel_env_need();
	assert_int_equal(run_with_caps(CAP(BPF) | CAP(NET_ADMIN) | CAP(PERFMON), body_load_publish_open), 0);
}

static void a_missing_capability_is_named(void **state)
{
	(void)state;
	kernel_env_need();
	assert_ok(generation_prepare_dir(env.dir, &error));
	assert_int_equal(run_with_caps(CAP(NET_ADMIN) | CAP(PERFMON), body_names_missing_bpf), 0);
	assert_int_equal(run_with_caps(CAP(NET_ADMIN) | CAP(BPF), body_names_missing_perfmon), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_outside_of_a_bpffs_is_refused_with_the_mount_command),
		cmocka_unit_test(a_folder_of_another_mode_or_owner_is_refused),
		cmocka_unit_test(a_symlink_in_place_of_the_folder_is_refused),
		cmocka_unit_test(the_lock_is_held_by_one),
		cmocka_unit_test(the_lock_of_a_folder_on_another_file_system_is_refused),
		cmocka_unit_test(a_generation_is_pinned_read_by_others_and_removed),
		cmocka_unit_test(current_moves_and_old_pins_go),
		cmocka_unit_test(another_layout_is_not_read_but_removed),
		cmocka_unit_test(keys_differ_between_generations),
		cmocka_unit_test(sizes_follow_names_and_octets),
		cmocka_unit_test(odd_sizes_are_refused),
		cmocka_unit_test(names_are_answered_by_the_loaded_program),
		cmocka_unit_test(another_process_reads_all_names),
		cmocka_unit_test(names_fill_every_page_of_the_maps),
		cmocka_unit_test(loads_150_000_names_into_maps),
		cmocka_unit_test(server_addresses_are_replaced_as_a_set),
		cmocka_unit_test(allowed_prefixes_are_replaced_as_a_set),
		cmocka_unit_test(an_interface_slot_is_never_told_of_another_interface),
		cmocka_unit_test(interfaces_are_written_and_removed),
		cmocka_unit_test(verdicts_are_summed_and_carried_over),
		cmocka_unit_test(jiffies_go_on),
		cmocka_unit_test(waiting_for_readers_returns_soon),
		cmocka_unit_test(a_map_is_updated_where_membarrier_is_refused),
		cmocka_unit_test(batches_come_back_to_the_loop_after_a_grace_period),
		cmocka_unit_test(three_capabilities_are_enough),
		cmocka_unit_test(a_missing_capability_is_named),
	};

	return cmocka_run_group_tests(tests, kernel_env_setup, kernel_env_teardown);
}
