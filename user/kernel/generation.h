/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One loaded set of programs and maps with one random hash key, pinned together in a folder of its own:
 *
 *   DIR/                 ours: owner root, mode 0700, or it is refused
 *   DIR/g<number>/       tc, xdp (where the kernel takes it), explain, clock (programs); records (an iterator, where the
 *                        kernel has them); index, arena, config, status, verdicts, servers4, servers6, interfaces,
 *                        interface_slots, allow4, allow6, jiffies (maps)
 *   DIR/current          symlink to g<number>, changed by rename
 *   DIR/links/tcx_<ifindex>   tcx links, owned by no generation (attach.h)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kernel/table.h"
#include "nodens/abi.h"

struct generation;

struct generation_size {
	uint32_t bucket_count; /* power of two */
	uint32_t page_count;
};

/* Room for this many names of this many octets in blobs, with slack for growth. */
struct generation_size generation_size_for(uint64_t names, uint64_t blob_bytes);
/* Bytes that index and arena of this size take. */
uint64_t generation_size_bytes(struct generation_size size);

/* Whether DIR is, or would be, a folder in a bpffs. Errors name the mount. */
int generation_check_place(const char *dir, struct error *e);
/* Makes DIR, DIR/links if missing and checks that they are ours. Errors name the mount, owner or mode. */
int generation_prepare_dir(const char *dir, struct error *e);
/*
 * Takes the lock of DIR (flock on the folder), which is in a bpffs. Returns its descriptor, -EWOULDBLOCK: another agent holds it,
 * -ENOENT: it is not there, or went with who held it, or -errno.
 */
int generation_lock_dir(const char *dir, struct error *e);

/* Loads a fresh one aside (not pinned, gate not synced) with the number behind the highest present. */
int generation_new(const char *dir, struct generation_size size, struct generation **ret_gen, struct error *e);
/* Pins it and moves `current`. */
int generation_publish(struct generation *g, struct error *e);
/* Unmaps and closes; a published one stays pinned. NULL is allowed. */
void generation_free(struct generation *g);
/* Removes the pins of every generation in DIR but `keep` (NULL: of all, and `current`). */
int generation_remove_others(const char *dir, const struct generation *keep, struct error *e);

uint64_t generation_number(const struct generation *g);
struct generation_size generation_get_size(const struct generation *g);
struct table *generation_table(struct generation *g);
/* The mapped maps: written in place by the controller. Readers see single aligned stores whole. */
struct nodens_config *generation_config(struct generation *g);
struct nodens_status *generation_status(struct generation *g);
int generation_tc_fd(const struct generation *g);
/* -1: this kernel does not take the XDP program, generation_xdp_note says why. The TC program does without it. */
int generation_xdp_fd(const struct generation *g);
/* "": there is an XDP program; else why there is none (one line, for the log and for people). */
const char *generation_xdp_note(const struct generation *g);
/* The same of the pinned iterator DIR/g<number>/records; known once it is published, and in generation_status too. */
const char *generation_records_note(const struct generation *g);

/* Sum over all CPUs. */
int generation_read_verdicts(const struct generation *g, struct nodens_verdicts *ret_verdicts);
/* Adds counters of an older generation so that they never go back across a switch. What programs of
 * this one count during the call (microseconds) is lost. */
int generation_add_verdicts(struct generation *g, const struct nodens_verdicts *add);

/* The whole set is replaced by what is given (additions first). Both families. port is in network byte order. */
struct server_addr {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t octets[16];
	__be16 port;
	char origin[16];
};
int generation_set_servers(struct generation *g, const struct server_addr *servers, size_t count, struct error *e);

struct allow_prefix {
	uint8_t family;
	uint8_t octets[16];
	uint8_t prefix_len;
};
int generation_set_allowed(struct generation *g, const struct allow_prefix *prefixes, size_t count, struct error *e);

int generation_set_interface(struct generation *g, uint32_t ifindex, const struct nodens_interface *entry, struct error *e);
int generation_remove_interface(struct generation *g, uint32_t ifindex);

/* bpf_jiffies64() now, by a test run of the clock program. */
int generation_read_jiffies(const struct generation *g, uint64_t *ret_jiffies);

/* Waits until no datapath program that was running at the call still runs: membarrier(GLOBAL), or where the kernel refuses
 * it an update of a map in a map. Blocks 7 to 20 ms: for a helper thread; thread-safe. For a loaded one, not an opened. */
int generation_wait_readers(const struct generation *g);

/* ---- other processes: status, lookup, records ---- */

/* Opens DIR/current read-only. -ENOENT: nothing is loaded; -EPROTO: another layout version. */
int generation_open(const char *dir, struct generation **ret_gen, struct error *e);
/* Overwrites the status of one that was opened: its agent is gone, and another one holds the lock. 0 or -errno. */
int generation_write_status(struct generation *g, const struct nodens_status *status);
/* Memory of index and arena for table_copy_each, without the key; generation_table is NULL for an opened one. */
const struct table_memory *generation_memory(const struct generation *g);
/* Test run of the explain program with this frame. ret_frame has room for *len octets; *ret_verdict is what the datapath
 * says. ifindex 0: the first interface that is attached, else none (MTU 1500 is assumed). */
int generation_explain(const struct generation *g, const void *frame, size_t frame_len, uint32_t ifindex, void *ret_frame,
		       size_t *len, enum nodens_verdict *ret_verdict, struct error *e);
/* Calls fn for each entry. */
int generation_each_interface(const struct generation *g, void (*fn)(void *ctx, uint32_t ifindex, const struct nodens_interface *entry),
			      void *ctx);
int generation_each_server(const struct generation *g, void (*fn)(void *ctx, const struct nodens_server *server), void *ctx);
