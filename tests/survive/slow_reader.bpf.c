/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Holds up a thread in the middle of a BPF program: what an interrupt or a hypervisor does now and then, often enough
 * that a test need not wait for one to do so. Runs on a timer of the thread's (perf); does nothing when that found the
 * thread anywhere else than in the code of a BPF program, which lies behind the kernel's own.
 */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* Each takes some 25 ns or more. */
#define TURNS_MAX 8000

/* Written by the loader, in this order (load_slow.h). */
const volatile struct {
	__u64 kernel_end; /* of its own code */
	__u64 hold_ns;
} plan = {};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} held SEC(".maps");

SEC("perf_event")
int slow_reader(struct bpf_perf_event_data *ctx)
{
	__u64 begin_ns;
	__u32 zero = 0;
	__u64 *count;

	if ((__u64)PT_REGS_IP(&ctx->regs) < plan.kernel_end)
		return 0;
	begin_ns = bpf_ktime_get_ns();
	for (int i = 0; i < TURNS_MAX && bpf_ktime_get_ns() - begin_ns < plan.hold_ns; i++)
		;
	count = bpf_map_lookup_elem(&held, &zero);
	if (count)
		(*count)++;
	return 0;
}

char _license[] SEC("license") = "GPL";
