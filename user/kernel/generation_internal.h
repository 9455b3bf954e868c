/* SPDX-License-Identifier: Apache-2.0 */
/* What the generation_*.c files share. */
#pragma once

#include "kernel/arena_window.h"
#include "kernel/generation.h"

#define GENERATION_DIR_MAX 256
/* DIR/g<number>/<pin>, or a name of ours within DIR. */
#define GENERATION_PATH_MAX (GENERATION_DIR_MAX + 64)

enum generation_map {
	MAP_INDEX,
	MAP_ARENA,
	MAP_CONFIG,
	MAP_STATUS,
	MAP_VERDICTS,
	MAP_SERVERS4,
	MAP_SERVERS6,
	MAP_INTERFACES,
	MAP_INTERFACE_SLOTS,
	MAP_ALLOW4,
	MAP_ALLOW6,
	MAP_JIFFIES,
	MAP_PINNED, /* those before have a pin */
	MAP_GRACE = MAP_PINNED,
	MAP_COUNT,
};

enum generation_prog {
	PROG_TC,
	PROG_EXPLAIN,
	PROG_CLOCK,
	PROG_XDP, /* the kernel may refuse it */
	PROG_COUNT,
};

/* The names of the pins. */
extern const char *const generation_map_names[MAP_PINNED];
extern const char *const generation_prog_names[PROG_COUNT];

struct generation_region {
	void *at; /* NULL: not mapped */
	size_t len;
};

struct generation {
	char dir[GENERATION_DIR_MAX]; /* of all generations */
	uint64_t number;
	int map_fd[MAP_COUNT]; /* -1: not open */
	int prog_fd[PROG_COUNT];
	struct generation_region region[MAP_COUNT];
	struct table_memory memory;
	struct arena_window *window; /* NULL: the whole arena is mapped */
	struct table *table; /* NULL: opened, not loaded */
	struct error xdp_note; /* why prog_fd[PROG_XDP] is none */
};

/* With nothing open. NULL: -ENOMEM or -ENAMETOOLONG in *ret_err. */
struct generation *generation_alloc(const char *dir, int *ret_err);
/* Maps the first `len` octets (0: all) of an array; PROT_READ, PROT_WRITE. Does nothing if it is mapped. */
int generation_map_region(struct generation *g, enum generation_map map, size_t len, int prot, struct error *e);
/* The arrays; index and arena with the sizes that the maps have, which are checked. Without PROT_WRITE all of the arena;
 * else, of a large one, pages as they are needed. */
int generation_map_all(struct generation *g, int prot, struct error *e);

/* Pins the iterator in the folder of the generation's pins, or leaves why there is none in generation_status: it is missed by
 * nothing else. */
void generation_publish_records(struct generation *g, const char *folder);

/* The highest number of a generation in dir (0: none), or -errno. */
int generation_find_highest(const char *dir, uint64_t *ret_number, struct error *e);
/* The generation that DIR/current points to. -ENOENT: none. */
int generation_find_current(const char *dir, uint64_t *ret_number, struct error *e);
