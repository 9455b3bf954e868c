/* SPDX-License-Identifier: Apache-2.0 */
/* Holds the calling thread up in the middle of BPF programs, now and then (tests/survive/slow_reader.bpf.c). */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct slow {
	struct bpf_object *object;
	struct bpf_link *link;
	int held_fd; /* map: how often */
};

/* Where the kernel's own code ends. 0: it does not say (kernel.kptr_restrict). */
static __u64 slow_find_kernel_end(void)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	__u64 found = 0, at;
	char line[512], name[256];

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx %*c %255s", &at, name) == 2 && strcmp(name, "_etext") == 0)
			found = at;
	}
	if (f)
		fclose(f);
	return found;
}

/* Each period_ns of this thread's own time, for hold_ns. Says what is missing. */
static int slow_start(struct slow *s, const char *path, __u64 period_ns, __u64 hold_ns)
{
	struct perf_event_attr timer = {.type = PERF_TYPE_SOFTWARE,
					.size = sizeof(timer),
					.config = PERF_COUNT_SW_CPU_CLOCK,
					.sample_period = period_ns,
					.exclude_user = 1};
	struct {
		__u64 kernel_end, hold_ns;
	} plan = {slow_find_kernel_end(), hold_ns};
	struct bpf_map *rodata;
	int fd;

	if (!plan.kernel_end)
		return fprintf(stderr, "slow reader: /proc/kallsyms tells no addresses\n"), -ENOTSUP;
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	s->object = bpf_object__open(path);
	rodata = s->object ? bpf_object__find_map_by_name(s->object, ".rodata") : NULL;
	if (!rodata || bpf_map__set_initial_value(rodata, &plan, sizeof(plan)) < 0 || bpf_object__load(s->object) < 0)
		return fprintf(stderr, "slow reader: %s cannot be loaded\n", path), -EIO;
	s->held_fd = bpf_object__find_map_fd_by_name(s->object, "held");
	fd = (int)syscall(SYS_perf_event_open, &timer, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return fprintf(stderr, "slow reader: perf_event_open: %s\n", strerror(errno)), -EIO;
	s->link = bpf_program__attach_perf_event(bpf_object__next_program(s->object, NULL), fd);
	return s->link ? 0 : -EIO;
}

static __u64 slow_count(const struct slow *s)
{
	__u64 held = 0;
	__u32 zero = 0;

	if (s->object)
		(void)bpf_map_lookup_elem(s->held_fd, &zero, &held);
	return held;
}

static void slow_stop(struct slow *s)
{
	bpf_link__destroy(s->link);
	bpf_object__close(s->object);
}
