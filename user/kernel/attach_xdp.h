/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XDP program on interfaces, beside the TC program of attach.h, which answers what this one passes on. Native mode
 * only, by a BPF link pinned as DIR/links/xdp_<ifindex> (Linux 5.9). Never replaces or removes a program that is not
 * ours.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "nodens/abi.h"

/* `dir` is the pin folder as in attach_new (DIR/links); prog_fd that of generation_xdp_fd, never -1. */

/*
 * Puts the program on the interface, adopting a pinned link of ours (same interface and program name) by updating it
 * atomically. Idempotent. entry->xdp becomes NODENS_HOOK_XDP.
 * -EBUSY: another XDP program is there; the text has its id. -EOPNOTSUPP: the driver has no native XDP. Else what the
 * kernel says (MTU too large for XDP, too few queues …), in its words where it gives them.
 */
int attach_xdp_add(const char *dir, uint32_t ifindex, int prog_fd, struct nodens_interface *entry, struct error *e);
/* Switches an attached interface to another program atomically. -ENOENT: there is no link of ours. */
int attach_xdp_switch(const char *dir, uint32_t ifindex, int prog_fd, struct error *e);
/* The interface is gone or no longer wanted. 0 also where there was nothing of ours. */
int attach_xdp_remove(const char *dir, uint32_t ifindex, struct error *e);
/* Whether the program with this id is on the interface in native mode: 1 or 0, or -errno. */
int attach_xdp_check(uint32_t ifindex, uint32_t prog_id);

/* Whether the card takes VLAN tags out of frames (rx-vlan-offload). XDP does not see them then, and what it sends back goes
 * without. false also where the driver does not tell. */
bool attach_xdp_misses_tags(const char *name);

/* `nodens detach`: removes every XDP link pin of ours. Calls removed for each; goes on behind a failure. */
int attach_xdp_remove_all(const char *dir, void (*removed)(void *ctx, const char *what), void *ctx, struct error *e);
