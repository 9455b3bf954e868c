/* SPDX-License-Identifier: Apache-2.0 */
/* The end of running programs: grace periods of the kernel, seen from user space. */
#include "kernel/generation_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Updating an array of maps ends with synchronize_rcu(): no program holds the old inner map any more
 * (kernel/bpf/syscall.c, maybe_wait_bpf_programs). No program looks at this one. */
static int wait_by_map(int outer_fd)
{
	int inner_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace_inner", sizeof(__u32), sizeof(__u32), 1, NULL);
	const __u32 zero = 0;
	int err;

	if (inner_fd < 0)
		return -errno;
	err = bpf_map_update_elem(outer_fd, &zero, &inner_fd, BPF_ANY) < 0 ? -errno : 0;
	close(inner_fd);
	return err;
}

/* MEMBARRIER_CMD_GLOBAL is synchronize_rcu() too. Kernels with nohz_full CPUs refuse it (EINVAL), filters of system
 * calls may. */
int generation_wait_readers(const struct generation *g)
{
	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0)
		return 0;
	return wait_by_map(g->map_fd[MAP_GRACE]);
}
