/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The datapath on interfaces: tcx at the head of the ingress chain where the kernel has it (Linux 6.6), else a clsact
 * filter with a priority and handle of our own (never handle 1). Misses return TC_ACT_UNSPEC, so others on the hook go
 * on. Never replaces or removes anything that is not ours.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "nodens/abi.h"

struct attach;

/* dir: the pin folder (DIR/links). Probes for tcx once. NULL with e. */
struct attach *attach_new(const char *dir, struct error *e);
/* With this hook, whatever the kernel has (tests of clsact). */
struct attach *attach_new_hook(const char *dir, enum nodens_hook hook, struct error *e);
/* Leaves everything attached. */
void attach_free(struct attach *a);
/* The hook that will be used: NODENS_HOOK_TCX or NODENS_HOOK_CLSACT. */
enum nodens_hook attach_hook(const struct attach *a);

/* Puts the program on the interface, adopting a pinned link of ours (same interface, attach type and program name) by
 * updating it atomically. Idempotent. *entry's hook, priority, handle are filled in. */
int attach_add(struct attach *a, uint32_t ifindex, int prog_fd, struct nodens_interface *entry, struct error *e);
/* Switches an attached interface to another program atomically: at any instant exactly one of both runs. */
int attach_switch(struct attach *a, uint32_t ifindex, int prog_fd, struct error *e);
/* The interface is gone or no longer wanted. */
int attach_remove(struct attach *a, uint32_t ifindex, struct error *e);

/* What became of the program since attach_add or attach_switch. */
enum attach_presence {
	ATTACH_LOST, /* somebody took it off */
	ATTACH_PRESENT,
	ATTACH_BEHIND, /* clsact: there, but a filter of the same priority that came later runs before it */
};

/* Looks whether the program with this id (attach_program_id) is on the interface: one system call for tcx, a dump of
 * the filters for clsact. Returns enum attach_presence, or -errno with e; -ENODEV: the interface is gone. */
int attach_check(const struct attach *a, uint32_t ifindex, uint32_t prog_id, struct error *e);
/* After ATTACH_BEHIND: before the others again, with a moment in between without the program. */
int attach_move_front(struct attach *a, uint32_t ifindex, int prog_fd, struct error *e);
/* The clsact qdisc was deleted: one that comes now may be somebody else's. */
void attach_qdisc_gone(struct attach *a, uint32_t ifindex);
/* The kernel's id of a program; 0: it tells none. */
uint32_t attach_program_id(int prog_fd);

/* `nodens detach`, dir as in attach_new: removes every link pin (XDP too) and every clsact filter of ours on all interfaces of
 * this network namespace, and the clsact qdisc where we made it and nobody else uses it. Calls removed for each. A tcx link
 * takes some 12 ms: those that are not off after patience_ms only lose their pins, and the kernel takes them off behind our
 * back, as fast as it can. */
#define ATTACH_PATIENT UINT64_MAX
int attach_remove_all(const char *dir, uint64_t patience_ms, void (*removed)(void *ctx, const char *what), void *ctx,
		      struct error *e);
