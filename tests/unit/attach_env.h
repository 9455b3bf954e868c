/* SPDX-License-Identifier: Apache-2.0 */
/* A veth pair, programs for it and what is on its hooks: what the tests of attaching have in common. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "kernel/attach.h"
#include "kernel/generation.h"
#include "kernel_env.h"

#define TCX_INGRESS ((enum bpf_attach_type)46)
#define HANDLE	    0x6e6f

static struct error error;

/* Of the test that runs: begin() and end(). */
static struct {
	uint32_t va, vb;   /* ifindex */
	int ours, foreign; /* programs */
	struct attach *attach;
	struct nodens_interface entry;
} at;

static inline void assert_ok(int err)
{
	if (err < 0)
		fail_msg("%d: %s", err, error.text);
}

/* A fresh veth pair va/vb. Returns the ifindex of va. */
static inline uint32_t make_veth(void)
{
	assert_ok(generation_prepare_dir(env.dir, &error));
	assert_int_equal(
		command("ip link del va 2>/dev/null; ip link add va type veth peer name vb && ip link set va up"), 0);
	return if_nametoindex("va");
}

static inline void ignore_removed(void *ctx, const char *what)
{
	(void)ctx;
	(void)what;
}

static inline void delete_veth(void)
{
	assert_int_equal(command("ip link del va"), 0);
	(void)attach_remove_all(env.links, ATTACH_PATIENT, ignore_removed, NULL, &error);
}

/* A program that does nothing, with a name. */
static inline int load_program(const char *name)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "GPL", insns, 2, NULL);

	assert_true(fd >= 0);
	return fd;
}

static inline uint32_t program_id(int fd)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info.id;
}

/* The ids on the tcx hook, in order. */
static inline size_t tcx_programs(uint32_t ifindex, uint32_t ids[8])
{
	__u32 count = 8;

	assert_int_equal(bpf_prog_query((int)ifindex, TCX_INGRESS, 0, NULL, ids, &count), 0);
	return count;
}

/* The id of the filter at this priority and handle; 0: none. */
static inline uint32_t filter_program(uint32_t ifindex, uint32_t priority, uint32_t handle)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .priority = priority, .handle = handle);

	return bpf_tc_query(&hook, &opts) == 0 ? opts.prog_id : 0;
}

static inline int add_filter(uint32_t ifindex, enum bpf_tc_attach_point point, uint32_t priority, uint32_t handle,
			     int prog_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .priority = priority, .handle = handle, .prog_fd = prog_fd);

	(void)bpf_tc_hook_create(&hook);
	return bpf_tc_attach(&hook, &opts);
}

static inline bool has_clsact(const char *name)
{
	return command("tc qdisc show dev %s | grep -q clsact", name) == 0;
}

static inline bool exists(const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", env.links, name);
	return stat(path, &st) == 0;
}

static inline bool pin_exists(uint32_t ifindex)
{
	char name[32];

	snprintf(name, sizeof(name), "tcx_%u", ifindex);
	return exists(name);
}

static inline struct attach *new_attach(enum nodens_hook hook)
{
	struct attach *a = attach_new_hook(env.links, hook, &error);

	assert_non_null(a);
	return a;
}

static inline bool has_tcx(void)
{
	__u32 count = 0;

	return bpf_prog_query(1, TCX_INGRESS, 0, NULL, NULL, &count) == 0;
}

static inline uint32_t program_on(enum nodens_hook hook, uint32_t ifindex)
{
	uint32_t ids[8];

	if (hook == NODENS_HOOK_CLSACT)
		return filter_program(ifindex, 1, HANDLE);
	return tcx_programs(ifindex, ids) > 0 ? ids[0] : 0;
}

struct removed {
	size_t count;
	char what[4][96];
};

static inline void take_removed(void *ctx, const char *what)
{
	struct removed *r = ctx;

	assert_true(r->count < 4);
	snprintf(r->what[r->count++], sizeof(r->what[0]), "%s", what);
}

/* What a test of one hook starts from: its first line. */
static inline void begin(enum nodens_hook hook)
{
	kernel_env_need();
	if (hook == NODENS_HOOK_TCX && !has_tcx()) {
		print_message("skipped: no tcx in this kernel\n");
		skip();
	}
	memset(&at, 0, sizeof(at));
	at.va = make_veth();
	at.vb = if_nametoindex("vb");
	at.ours = load_program("nodens_tc");
	at.foreign = load_program("other");
	at.attach = new_attach(hook);
}

static inline void end(void)
{
	attach_free(at.attach);
	delete_veth();
	close(at.ours);
	close(at.foreign);
}
