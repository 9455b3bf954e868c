/* SPDX-License-Identifier: Apache-2.0 */
/* Who is on the hooks of an interface beside us: tcx and clsact at ingress, XDP. Only looks, changes nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "nodens/abi.h"

struct neighbours;

/* One program or filter. */
struct neighbour {
	enum nodens_hook hook;
	bool is_ours;
	uint32_t prog_id;  /* 0: a filter that is no BPF program */
	uint32_t priority; /* clsact */
	uint32_t handle;   /* clsact */
	char kind[16];	   /* clsact: "bpf", "flower", … */
	char name[64];	   /* the program's, where it may be opened by its id (CAP_SYS_ADMIN), else the filter's; "":
			      unknown */
};

/* dir: the folder of the generations, whose pins say which programs are ours. NULL: out of memory. */
struct neighbours *neighbours_new(const char *dir);
void neighbours_free(struct neighbours *n);
/* Calls fn for each, by hook: XDP, tcx, clsact, and on each in the order in which they run. A hook that this kernel or
 * driver lacks has none. 0, or the first -errno with e; what could be read was told. */
int neighbours_each(const struct neighbours *n, uint32_t ifindex,
		    void (*fn)(void *ctx, const struct neighbour *neighbour), void *ctx, struct error *e);
