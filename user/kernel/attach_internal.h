/* SPDX-License-Identifier: Apache-2.0 */
/* What the attach*.c files and neighbours.c share. */
#pragma once

#include <stddef.h>

#include "kernel/attach.h"

struct nlmsghdr;

#define ATTACH_DIR_MAX	256
#define ATTACH_PATH_MAX (ATTACH_DIR_MAX + 32)
/* The name that the kernel keeps of our program. */
#define ATTACH_PROG_NAME "nodens_tc"
/* And of the XDP program. */
#define ATTACH_XDP_NAME "nodens_xdp"

/*
 * Ours on clsact: priority 1 and a handle that nobody else takes ("no" in ASCII). Never handle 1: AWS's network policy
 * agent puts its filter at priority 1, handle 1, and removes whatever it finds there. Within one priority filters run
 * newest first.
 */
#define CLSACT_PRIORITY 1
#define CLSACT_HANDLE	0x6e6f

/* linux/bpf.h of Linux 6.6 and later; older headers lack it. */
#define TCX_INGRESS ((enum bpf_attach_type)46) /* BPF_TCX_INGRESS */
/* The kernel's own bound of one hook (BPF_MPROG_MAX). */
#define TCX_PROGRAMS_MAX 64

/* NODENS_HOOK_TCX or, where the kernel knows no tcx, NODENS_HOOK_CLSACT. */
int tcx_probe(enum nodens_hook *ret_hook, struct error *e);
int tcx_add(const char *dir, uint32_t ifindex, int prog_fd, struct error *e);
int tcx_switch(const char *dir, uint32_t ifindex, int prog_fd, struct error *e);
/* 1: removed a link of ours, 0: there was none. */
int tcx_remove(const char *dir, uint32_t ifindex, struct error *e);
/* As in pinned_link.h. */
int tcx_find(const char *dir, uint32_t ifindex, struct error *e);
int tcx_unpin(const char *dir, uint32_t ifindex, struct error *e);
/* The programs in the order in which they run. -ENODEV: no such interface. */
int tcx_query(uint32_t ifindex, uint32_t ret_ids[TCX_PROGRAMS_MAX], size_t *ret_count);
/* enum attach_presence, or -errno. */
int tcx_check(uint32_t ifindex, uint32_t prog_id);

/* DIR/links/qdisc_<ifindex> is a folder that says: the clsact qdisc of this interface was made by us. */
void clsact_forget_qdisc(const char *dir, uint32_t ifindex);
/* Forgets those without a filter of ours: while no agent ran somebody deleted it, with the qdisc perhaps, and the one that
 * is there now may be somebody else's. */
void clsact_forget_unsure(const char *dir);
int clsact_add(const char *dir, uint32_t ifindex, int prog_fd, struct error *e);
/* Replaces our filter's program; -ENOENT: there is no filter of ours. */
int clsact_switch(uint32_t ifindex, int prog_fd, struct error *e);
/* 1: removed a filter of ours, 0: there was none. Then the qdisc goes if we made it and no filter is left. */
int clsact_remove(const char *dir, uint32_t ifindex, struct error *e);
/* enum attach_presence, or -errno with e. */
int clsact_check(uint32_t ifindex, uint32_t prog_id, struct error *e);
/* Takes our filter off and puts it on again: now it is the newest of its priority. */
int clsact_move_front(uint32_t ifindex, int prog_fd, struct error *e);
/* Hands each message of the dump of the ingress filters to fn, as netlink_dump does. No qdisc or interface: none. */
int clsact_dump(uint32_t ifindex, int (*fn)(const struct nlmsghdr *nlh, void *ctx), void *ctx);
