/* SPDX-License-Identifier: Apache-2.0 */
/* What attach.c and attach_clsact.c share. */
#pragma once

#include "kernel/attach.h"

#define ATTACH_DIR_MAX	256
#define ATTACH_PATH_MAX (ATTACH_DIR_MAX + 32)
/* The name that the kernel keeps of our program. */
#define ATTACH_PROG_NAME "nodens_tc"

/*
 * Ours on clsact: priority 1 and a handle that nobody else takes ("no" in ASCII). Never handle 1: AWS's network policy
 * agent puts its filter at priority 1, handle 1, and removes whatever it finds there. Within one priority filters run
 * newest first.
 */
#define CLSACT_PRIORITY 1
#define CLSACT_HANDLE	0x6e6f

/* DIR/links/qdisc_<ifindex> is a folder that says: the clsact qdisc of this interface was made by us. */
int clsact_add(const char *dir, uint32_t ifindex, int prog_fd, struct error *e);
/* Replaces our filter's program; -ENOENT: there is no filter of ours. */
int clsact_switch(uint32_t ifindex, int prog_fd, struct error *e);
/* 1: removed a filter of ours, 0: there was none. Then the qdisc goes if we made it and no filter is left. */
int clsact_remove(const char *dir, uint32_t ifindex, struct error *e);
