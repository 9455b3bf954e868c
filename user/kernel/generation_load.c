/* SPDX-License-Identifier: Apache-2.0 */
/* A generation's programs and maps: sizes, loading, mapped memory, the end. */
#include "kernel/generation_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "kernel/bpf_messages.h"
#include "nodens/hash.h"
#include "nodens.skel.h"

/* Entries are never moved: the first name finds no place when 66 to 80 of 100 entries are taken, the less the larger
 * the table (seen with random hashes and with names; tests/unit/test_table.c). */
#define FILL_PERCENT	60
#define BUCKETS_MIN	256U
#define PAGES_MIN	2U

#define ARENA_VALUE_LEN (NODENS_PAGE_LEN + NODENS_PAGE_SLACK)

const char *const generation_map_names[MAP_PINNED] = {
	[MAP_INDEX] = "index",	     [MAP_ARENA] = "arena",	      [MAP_CONFIG] = "config",
	[MAP_STATUS] = "status",     [MAP_VERDICTS] = "verdicts",     [MAP_SERVERS4] = "servers4",
	[MAP_SERVERS6] = "servers6", [MAP_INTERFACES] = "interfaces", [MAP_ALLOW4] = "allow4",
	[MAP_ALLOW6] = "allow6",     [MAP_JIFFIES] = "jiffies",	      [MAP_INTERFACE_SLOTS] = "interface_slots",
};

const char *const generation_prog_names[PROG_COUNT] = {
	[PROG_TC] = "tc",
	[PROG_EXPLAIN] = "explain",
	[PROG_CLOCK] = "clock",
	[PROG_XDP] = "xdp",
};

/* ---- sizes ------------------------------------------------------------------------------------------------------ */

struct generation_size generation_size_for(uint64_t names, uint64_t blob_bytes)
{
	/* Whole units, at worst for each blob; or half a unit and a quarter on top for growth and quarantine. */
	uint64_t at_worst = blob_bytes + names * (NODENS_UNIT_LEN - 1);
	uint64_t with_slack = (blob_bytes + names * NODENS_UNIT_LEN / 2) * 5 / 4;
	uint64_t bytes = at_worst > with_slack ? at_worst : with_slack;
	uint64_t pages = bytes / NODENS_PAGE_LEN + PAGES_MIN;
	struct generation_size size = {.bucket_count = BUCKETS_MIN};

	while ((uint64_t)size.bucket_count * NODENS_BUCKET_ENTRIES * FILL_PERCENT / 100 < names &&
	       size.bucket_count < 1U << 30)
		size.bucket_count *= 2;
	size.page_count = pages < NODENS_PAGES_MAX ? (uint32_t)pages : NODENS_PAGES_MAX;
	return size;
}

uint64_t generation_size_bytes(struct generation_size size)
{
	return (uint64_t)size.bucket_count * NODENS_BUCKET_LEN + (uint64_t)size.page_count * ARENA_VALUE_LEN;
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

struct generation *generation_alloc(const char *dir, int *ret_err)
{
	struct generation *g;

	*ret_err = -ENAMETOOLONG;
	if (strlen(dir) >= GENERATION_DIR_MAX)
		return NULL;
	*ret_err = -ENOMEM;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	strcpy(g->dir, dir);
	for (int i = 0; i < MAP_COUNT; i++)
		g->map_fd[i] = -1;
	for (int i = 0; i < PROG_COUNT; i++)
		g->prog_fd[i] = -1;
	return g;
}

/* Elements of an array lie value_size rounded up to 8 octets apart (kernel/bpf/arraymap.c). */
static size_t array_stride(const struct bpf_map_info *info)
{
	return ((size_t)info->value_size + 7) & ~(size_t)7;
}

int generation_map_region(struct generation *g, enum generation_map map, size_t len, int prot, struct error *e)
{
	struct generation_region *r = &g->region[map];
	struct bpf_map_info info = {0};
	__u32 info_len = sizeof(info);
	void *at;

	if (r->at)
		return 0;
	if (bpf_obj_get_info_by_fd(g->map_fd[map], &info, &info_len) < 0)
		return bpf_messages_explain(e, -errno, generation_map_names[map]);
	if (info.value_size < len)
		return error_set(e, -EPROTO, "the map %s has elements of %u octets instead of %zu: another layout",
				 generation_map_names[map], info.value_size, len);
	len = len ? len : array_stride(&info) * info.max_entries;
	at = mmap(NULL, len, prot, MAP_SHARED, g->map_fd[map], 0);
	if (at == MAP_FAILED)
		return error_set(e, -errno, "mapping %s (%zu octets): %s", generation_map_names[map], len,
				 strerror(errno));
	*r = (struct generation_region){.at = at, .len = len};
	return 0;
}

static int check_layout(const struct generation *g, struct table_memory *m, struct error *e)
{
	struct bpf_map_info index = {0}, arena = {0};
	__u32 index_len = sizeof(index), arena_len = sizeof(arena);

	if (bpf_obj_get_info_by_fd(g->map_fd[MAP_INDEX], &index, &index_len) < 0 ||
	    bpf_obj_get_info_by_fd(g->map_fd[MAP_ARENA], &arena, &arena_len) < 0)
		return bpf_messages_explain(e, -errno, "index and arena");
	if (index.value_size != NODENS_BUCKET_LEN || (index.max_entries & (index.max_entries - 1)) ||
	    arena.value_size < ARENA_VALUE_LEN)
		return error_set(e, -EPROTO, "index (%u × %u octets) or arena (%u × %u octets) is of another layout",
				 index.max_entries, index.value_size, arena.max_entries, arena.value_size);
	m->bucket_count = index.max_entries;
	m->page_count = arena.max_entries;
	m->page_stride = array_stride(&arena);
	return 0;
}

static int map_arena(struct generation *g, int prot, struct error *e)
{
	struct table_memory *m = &g->memory;
	int err = -ENOTSUP;

	if ((prot & PROT_WRITE) && m->page_count > ARENA_WINDOW_PAGES)
		err = arena_window_new(g->map_fd[MAP_ARENA], m->page_count, m->page_stride, &g->window, e);
	if (err == 0) {
		m->arena = arena_window_base(g->window);
		m->map_page = arena_window_map;
		m->map_ctx = g->window;
		return 0;
	}
	if (err != -ENOTSUP)
		return err;
	err = generation_map_region(g, MAP_ARENA, 0, prot, e);
	if (!err)
		m->arena = g->region[MAP_ARENA].at;
	return err;
}

int generation_map_all(struct generation *g, int prot, struct error *e)
{
	static const struct {
		enum generation_map map;
		size_t len;
	} wanted[] = {{MAP_CONFIG, sizeof(struct nodens_config)},
		      {MAP_STATUS, sizeof(struct nodens_status)},
		      {MAP_JIFFIES, sizeof(__u64)},
		      {MAP_INDEX, 0}};
	int err = check_layout(g, &g->memory, e);

	for (size_t i = 0; !err && i < sizeof(wanted) / sizeof(wanted[0]); i++)
		err = generation_map_region(g, wanted[i].map, wanted[i].len, prot, e);
	if (err)
		return err;
	g->memory.buckets = g->region[MAP_INDEX].at;
	return map_arena(g, prot, e);
}

/* ---- loading ---------------------------------------------------------------------------------------------------- */

/* The skeleton goes once its descriptors are ours: it holds all instructions and types. */
static int take_fds(struct generation *g, const struct nodens_bpf *skel)
{
	const struct bpf_map *maps[MAP_COUNT] = {
		[MAP_INDEX] = skel->maps.index,	      [MAP_ARENA] = skel->maps.arena,
		[MAP_CONFIG] = skel->maps.config,     [MAP_STATUS] = skel->maps.status,
		[MAP_VERDICTS] = skel->maps.verdicts, [MAP_SERVERS4] = skel->maps.servers4,
		[MAP_SERVERS6] = skel->maps.servers6, [MAP_INTERFACES] = skel->maps.interfaces,
		[MAP_ALLOW4] = skel->maps.allow4,     [MAP_ALLOW6] = skel->maps.allow6,
		[MAP_JIFFIES] = skel->maps.clock,     [MAP_GRACE] = skel->maps.grace_outer,
		[MAP_INTERFACE_SLOTS] = skel->maps.interface_slots,
	};
	const struct bpf_program *progs[PROG_COUNT] = {
		[PROG_TC] = skel->progs.nodens_tc,
		[PROG_EXPLAIN] = skel->progs.nodens_explain,
		[PROG_CLOCK] = skel->progs.nodens_clock,
		[PROG_XDP] = skel->progs.nodens_xdp,
	};

	for (int i = 0; i < MAP_COUNT; i++) {
		g->map_fd[i] = fcntl(bpf_map__fd(maps[i]), F_DUPFD_CLOEXEC, 3);
		if (g->map_fd[i] < 0)
			return -errno;
	}
	for (int i = 0; i < PROG_COUNT; i++) {
		if (!bpf_program__autoload(progs[i]))
			continue;
		g->prog_fd[i] = fcntl(bpf_program__fd(progs[i]), F_DUPFD_CLOEXEC, 3);
		if (g->prog_fd[i] < 0)
			return -errno;
	}
	return 0;
}

/* Linux 5.18 gives frames of several buffers to programs that say they know them; an older one refuses the flag. */
static bool probe_frags(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_XDP_HAS_FRAGS);
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "nodens_probe", "GPL", pass, 2, &opts);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int configure_xdp(struct nodens_bpf *skel, bool has_xdp)
{
	struct bpf_program *xdp = skel->progs.nodens_xdp;

	if (!has_xdp)
		return bpf_program__set_autoload(xdp, false);
	if (!probe_frags())
		return 0;
	skel->rodata->xdp_has_frags = 1;
	return bpf_program__set_flags(xdp, bpf_program__flags(xdp) | BPF_F_XDP_HAS_FRAGS);
}

static int load_object_with(struct generation *g, struct generation_size size, bool has_xdp, struct error *e)
{
	struct nodens_bpf *skel;
	int err;

	bpf_messages_start();
	skel = nodens_bpf__open();
	if (!skel)
		return bpf_messages_explain(e, -errno, "opening the BPF object");
	_Static_assert(sizeof(skel->rodata->hash_key) == sizeof(g->memory.hash_key), "one key for both sides");
	skel->rodata->index_mask = size.bucket_count - 1;
	memcpy((void *)skel->rodata->hash_key, g->memory.hash_key, sizeof(g->memory.hash_key));
	err = bpf_map__set_max_entries(skel->maps.index, size.bucket_count);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.arena, size.page_count);
	if (!err)
		err = configure_xdp(skel, has_xdp);
	if (!err)
		err = nodens_bpf__load(skel);
	if (err)
		err = bpf_messages_explain(e, err, "loading the BPF programs and maps");
	else
		err = take_fds(g, skel);
	nodens_bpf__destroy(skel);
	return err;
}

static void close_fds(struct generation *g)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		if (g->map_fd[i] >= 0)
			close(g->map_fd[i]);
		g->map_fd[i] = -1;
	}
	for (int i = 0; i < PROG_COUNT; i++) {
		if (g->prog_fd[i] >= 0)
			close(g->prog_fd[i]);
		g->prog_fd[i] = -1;
	}
}

/* Without the XDP program where it is the one that the kernel refuses. */
static int load_object(struct generation *g, struct generation_size size, struct error *e)
{
	struct error first = {0};
	int err = load_object_with(g, size, true, &first);

	if (!err)
		return 0;
	close_fds(g);
	err = load_object_with(g, size, false, e);
	if (!err)
		g->xdp_note = first;
	return err;
}

static int make_key(struct generation *g, struct error *e)
{
	uint64_t *key = g->memory.hash_key;

	_Static_assert(sizeof(key[0]) * NODENS_HASH_KEY_WORDS == sizeof(g->memory.hash_key), "one key for table and hash");
	/* getrandom gives no more than 256 octets whole once the pool is ready. */
	for (size_t i = 0; i < NODENS_HASH_KEY_WORDS; i += 32) {
		if (getrandom(key + i, 32 * sizeof(*key), 0) != 32 * sizeof(*key))
			return error_set(e, -errno, "getrandom: %s", strerror(errno));
	}
	for (size_t i = 0; i < NODENS_HASH_KEY_WORDS; i++)
		key[i] |= 1; /* odd (nodens/hash.h): no bit of the name is lost */
	return 0;
}

static int start_maps(struct generation *g, struct error *e)
{
	int err = generation_map_all(g, PROT_READ | PROT_WRITE, e);

	if (err)
		return err;
	generation_config(g)->abi_version = NODENS_ABI_VERSION;
	generation_config(g)->gate = NODENS_GATE_NOT_SYNCED;
	generation_status(g)->abi_version = NODENS_ABI_VERSION;
	generation_status(g)->generation = g->number;
	g->table = table_new(&g->memory);
	return g->table ? 0 : error_set(e, -ENOMEM, "out of memory");
}

int generation_new(const char *dir, struct generation_size size, struct generation **ret_gen, struct error *e)
{
	struct generation *g;
	int err;

	if (size.bucket_count == 0 || (size.bucket_count & (size.bucket_count - 1)) || size.page_count == 0 ||
	    size.page_count > NODENS_PAGES_MAX)
		return error_set(e, -EINVAL, "%u buckets and %u pages are no size of a generation", size.bucket_count,
				 size.page_count);
	g = generation_alloc(dir, &err);
	if (!g)
		return error_set(e, err, "%s: %s", dir, strerror(-err));
	err = generation_find_highest(dir, &g->number, e);
	g->number++;
	if (!err)
		err = make_key(g, e);
	if (!err)
		err = load_object(g, size, e);
	if (!err)
		err = start_maps(g, e);
	if (err) {
		generation_free(g);
		return err;
	}
	*ret_gen = g;
	return 0;
}

void generation_free(struct generation *g)
{
	if (!g)
		return;
	table_free(g->table);
	arena_window_free(g->window);
	for (int i = 0; i < MAP_COUNT; i++) {
		if (g->region[i].at)
			munmap(g->region[i].at, g->region[i].len);
	}
	close_fds(g);
	free(g);
}

/* ---- what it holds ---------------------------------------------------------------------------------------------- */

uint64_t generation_number(const struct generation *g)
{
	return g->number;
}

struct generation_size generation_get_size(const struct generation *g)
{
	return (struct generation_size){.bucket_count = g->memory.bucket_count, .page_count = g->memory.page_count};
}

struct table *generation_table(struct generation *g)
{
	return g->table;
}

struct nodens_config *generation_config(struct generation *g)
{
	return g->region[MAP_CONFIG].at;
}

struct nodens_status *generation_status(struct generation *g)
{
	return g->region[MAP_STATUS].at;
}

const struct table_memory *generation_memory(const struct generation *g)
{
	return &g->memory;
}

int generation_tc_fd(const struct generation *g)
{
	return g->prog_fd[PROG_TC];
}

int generation_xdp_fd(const struct generation *g)
{
	return g->prog_fd[PROG_XDP];
}

const char *generation_xdp_note(const struct generation *g)
{
	return g->xdp_note.text;
}
