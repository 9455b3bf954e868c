/* SPDX-License-Identifier: Apache-2.0 */
/* A generation seen from outside: opening the pins, test runs of its programs, walks over its maps. */
#include "kernel/generation_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A generation may go between reading `current` and opening its pins. */
#define OPEN_RETRIES 5

/* Explained queries are at most this long; answers fit into what the caller gives. */
static const uint8_t empty_frame[64];

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* Only a writable descriptor can be mapped shared, even for reading; the others are opened read-only. */
static bool map_is_mapped(enum generation_map map)
{
	return map == MAP_INDEX || map == MAP_ARENA || map == MAP_CONFIG || map == MAP_STATUS || map == MAP_JIFFIES;
}

static int open_pin(const struct generation *g, const char *name, __u32 flags, int *ret_fd, struct error *e)
{
	LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = flags);
	char path[GENERATION_PATH_MAX];

	snprintf(path, sizeof(path), "%s/g%" PRIu64 "/%s", g->dir, g->number, name);
	*ret_fd = bpf_obj_get_opts(path, &opts);
	if (*ret_fd < 0)
		return error_set(e, -errno, "opening %s: %s", path, strerror(errno));
	return 0;
}

static int check_version(struct generation *g, struct error *e)
{
	uint32_t version;
	int err = open_pin(g, generation_map_names[MAP_CONFIG], 0, &g->map_fd[MAP_CONFIG], e);

	if (!err)
		err = generation_map_region(g, MAP_CONFIG, offsetof(struct nodens_config, zone_len), PROT_READ, e);
	if (err)
		return err;
	version = generation_config(g)->abi_version;
	if (version != NODENS_ABI_VERSION)
		return error_set(e, -EPROTO, "generation %" PRIu64 " has layout %u, this program reads layout %u",
				 g->number, version, NODENS_ABI_VERSION);
	munmap(g->region[MAP_CONFIG].at, g->region[MAP_CONFIG].len);
	g->region[MAP_CONFIG].at = NULL;
	return 0;
}

static int open_all(struct generation *g, struct error *e)
{
	int err = check_version(g, e);

	for (enum generation_map map = 0; !err && map < MAP_PINNED; map++) {
		if (map != MAP_CONFIG)
			err = open_pin(g, generation_map_names[map], map_is_mapped(map) ? 0 : BPF_F_RDONLY,
				       &g->map_fd[map], e);
	}
	/* Nothing is done with the XDP program from outside. */
	for (enum generation_prog prog = 0; !err && prog < PROG_XDP; prog++)
		err = open_pin(g, generation_prog_names[prog], 0, &g->prog_fd[prog], e);
	return err ? err : generation_map_all(g, PROT_READ, e);
}

static int open_once(const char *dir, struct generation **ret_gen, struct error *e)
{
	int err;
	struct generation *g = generation_alloc(dir, &err);

	if (!g)
		return error_set(e, err, "%s: %s", dir, strerror(-err));
	err = generation_find_current(dir, &g->number, e);
	if (!err)
		err = open_all(g, e);
	if (err) {
		generation_free(g);
		return err;
	}
	*ret_gen = g;
	return 0;
}

int generation_open(const char *dir, struct generation **ret_gen, struct error *e)
{
	int err = -ENOENT;

	for (int i = 0; err == -ENOENT && i < OPEN_RETRIES; i++)
		err = open_once(dir, ret_gen, e);
	return err;
}

int generation_write_status(struct generation *g, const struct nodens_status *status)
{
	const uint32_t zero = 0;

	return bpf_map_update_elem(g->map_fd[MAP_STATUS], &zero, status, BPF_ANY) < 0 ? -errno : 0;
}

/* ---- test runs -------------------------------------------------------------------------------------------------- */

int generation_read_jiffies(const struct generation *g, uint64_t *ret_jiffies)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = empty_frame, .data_size_in = sizeof(empty_frame));

	if (bpf_prog_test_run_opts(g->prog_fd[PROG_CLOCK], &opts) < 0)
		return -errno;
	*ret_jiffies = __atomic_load_n((const uint64_t *)g->region[MAP_JIFFIES].at, __ATOMIC_RELAXED);
	return 0;
}

static void find_attached(void *ctx, uint32_t ifindex, const struct nodens_interface *entry)
{
	uint32_t *found = ctx;
	char name[IF_NAMESIZE];

	/* Only one that this network namespace has: another one may use its number. */
	if (entry->hook == NODENS_HOOK_NONE || !if_indextoname(ifindex, name) ||
	    strncmp(name, entry->name, sizeof(name)) != 0)
		return;
	if (*found == 0 || ifindex < *found)
		*found = ifindex;
}

int generation_explain(const struct generation *g, const void *frame, size_t frame_len, uint32_t ifindex,
		       void *ret_frame, size_t *len, enum nodens_verdict *ret_verdict, struct error *e)
{
	struct __sk_buff skb = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)frame_len, .data_out = ret_frame,
		    .data_size_out = (__u32)*len, .ctx_in = &skb, .ctx_size_in = sizeof(skb));

	if (ifindex == 0)
		(void)generation_each_interface(g, find_attached, &ifindex);
	/* 0 is the loopback interface to a test run. */
	skb.ifindex = ifindex;
	if (bpf_prog_test_run_opts(g->prog_fd[PROG_EXPLAIN], &opts) < 0) {
		if (errno == ENODEV)
			return error_set(e, -ENODEV, "this network namespace has no interface %u", ifindex);
		return error_set(e, -errno, "test run of the explain program: %s", strerror(errno));
	}
	if (opts.retval >= NODENS_VERDICT_COUNT)
		return error_set(e, -EPROTO, "the explain program returned %u, which is no verdict", opts.retval);
	*len = opts.data_size_out;
	*ret_verdict = (enum nodens_verdict)opts.retval;
	return 0;
}

/* ---- walks ------------------------------------------------------------------------------------------------------ */

/* The key behind `key` (NULL: the first). false: that was the last one. A hash starts over behind a key that went
 * meanwhile: `left` bounds the walk. */
static bool next_key(int fd, const void *key, void *ret_key, size_t *left)
{
	return (*left)-- > 0 && bpf_map_get_next_key(fd, key, ret_key) == 0;
}

int generation_each_interface(const struct generation *g,
			      void (*fn)(void *ctx, uint32_t ifindex, const struct nodens_interface *entry), void *ctx)
{
	int fd = g->map_fd[MAP_INTERFACES];
	size_t left = 2 * NODENS_INTERFACES_MAX;
	struct nodens_interface entry;
	uint32_t key, next;

	for (bool more = next_key(fd, NULL, &next, &left); more; more = next_key(fd, &key, &next, &left)) {
		key = next;
		if (bpf_map_lookup_elem(fd, &key, &entry) == 0)
			fn(ctx, key, &entry);
	}
	return 0;
}

static void each_server(int fd, size_t key_len, void (*fn)(void *ctx, const struct nodens_server *server), void *ctx)
{
	uint8_t key[sizeof(struct nodens_server6_key)], next[sizeof(key)];
	size_t left = 2 * NODENS_SERVERS_MAX;
	struct nodens_server server;

	for (bool more = next_key(fd, NULL, next, &left); more; more = next_key(fd, key, next, &left)) {
		memcpy(key, next, key_len);
		if (bpf_map_lookup_elem(fd, key, &server) == 0)
			fn(ctx, &server);
	}
}

int generation_each_server(const struct generation *g, void (*fn)(void *ctx, const struct nodens_server *server),
			   void *ctx)
{
	each_server(g->map_fd[MAP_SERVERS4], sizeof(struct nodens_server4_key), fn, ctx);
	each_server(g->map_fd[MAP_SERVERS6], sizeof(struct nodens_server6_key), fn, ctx);
	return 0;
}
