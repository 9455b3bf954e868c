/* SPDX-License-Identifier: Apache-2.0 */
/* Programs on interfaces: tcx links and clsact filters, ours and those of others. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "kernel/attach.h"
#include "kernel/generation.h"
#include "kernel_env.h"

#define TCX_INGRESS ((enum bpf_attach_type)46)
#define HANDLE	    0x6e6f

static struct error error;

static void assert_ok(int err)
{
	if (err < 0)
		fail_msg("%d: %s", err, error.text);
}

/* ---- a place to attach to ---------------------------------------------------------------------------------------- */

/* A fresh veth pair va/vb. Returns the ifindex of va. */
static uint32_t make_veth(void)
{
	assert_ok(generation_prepare_dir(env.dir, &error));
	assert_int_equal(
		command("ip link del va 2>/dev/null; ip link add va type veth peer name vb && ip link set va up"), 0);
	return if_nametoindex("va");
}

static void ignore_removed(void *ctx, const char *what)
{
	(void)ctx;
	(void)what;
}

static void delete_veth(void)
{
	assert_int_equal(command("ip link del va"), 0);
	(void)attach_remove_all(env.links, ATTACH_PATIENT, ignore_removed, NULL, &error);
}

/* A program that does nothing, with a name. */
static int load_program(const char *name)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "GPL", insns, 2, NULL);

	assert_true(fd >= 0);
	return fd;
}

static uint32_t program_id(int fd)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info.id;
}

/* The ids on the tcx hook, in order. */
static size_t tcx_programs(uint32_t ifindex, uint32_t ids[8])
{
	__u32 count = 8;

	assert_int_equal(bpf_prog_query((int)ifindex, TCX_INGRESS, 0, NULL, ids, &count), 0);
	return count;
}

/* The id of the filter at this priority and handle; 0: none. */
static uint32_t filter_program(uint32_t ifindex, uint32_t priority, uint32_t handle)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .priority = priority, .handle = handle);

	return bpf_tc_query(&hook, &opts) == 0 ? opts.prog_id : 0;
}

static int add_filter(uint32_t ifindex, enum bpf_tc_attach_point point, uint32_t priority, uint32_t handle, int prog_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .priority = priority, .handle = handle, .prog_fd = prog_fd);

	(void)bpf_tc_hook_create(&hook);
	return bpf_tc_attach(&hook, &opts);
}

static bool has_clsact(const char *name)
{
	return command("tc qdisc show dev %s | grep -q clsact", name) == 0;
}

static bool exists(const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", env.links, name);
	return stat(path, &st) == 0;
}

static bool pin_exists(uint32_t ifindex)
{
	char name[32];

	snprintf(name, sizeof(name), "tcx_%u", ifindex);
	return exists(name);
}

static struct attach *new_attach(enum nodens_hook hook)
{
	struct attach *a = attach_new_hook(env.links, hook, &error);

	assert_non_null(a);
	return a;
}

static bool has_tcx(void)
{
	__u32 count = 0;

	return bpf_prog_query(1, TCX_INGRESS, 0, NULL, NULL, &count) == 0;
}

#define need_tcx()                                                         \
	do {                                                               \
		kernel_env_need();                                         \
		if (!has_tcx()) {                                          \
			print_message("skipped: no tcx in this kernel\n"); \
			skip();                                            \
		}                                                          \
	} while (0)

/* ---- both hooks -------------------------------------------------------------------------------------------------- */

static void the_hook_is_what_the_kernel_has(void **state)
{
	struct attach *a;

	(void)state;
	kernel_env_need();
	make_veth();
	a = attach_new(env.links, &error);
	assert_non_null(a);
	assert_int_equal(attach_hook(a), has_tcx() ? NODENS_HOOK_TCX : NODENS_HOOK_CLSACT);
	attach_free(a);
	delete_veth();
}

static uint32_t program_on(enum nodens_hook hook, uint32_t ifindex)
{
	uint32_t ids[8];

	if (hook == NODENS_HOOK_CLSACT)
		return filter_program(ifindex, 1, HANDLE);
	return tcx_programs(ifindex, ids) > 0 ? ids[0] : 0;
}

/* Add, add again, adopt after a restart, switch, remove, remove again. */
static void check_life(enum nodens_hook hook)
{
	int first = load_program("nodens_tc"), second = load_program("nodens_tc"), third = load_program("nodens_tc");
	struct nodens_interface entry = {0};
	uint32_t va = make_veth();
	struct attach *a = new_attach(hook);

	assert_ok(attach_add(a, va, first, &entry, &error));
	assert_int_equal(entry.hook, hook);
	assert_int_equal(entry.handle, hook == NODENS_HOOK_CLSACT ? HANDLE : 0);
	assert_int_equal(program_on(hook, va), program_id(first));
	assert_ok(attach_add(a, va, first, &entry, &error));
	assert_int_equal(program_on(hook, va), program_id(first));
	attach_free(a);
	assert_int_equal(program_on(hook, va), program_id(first));

	a = new_attach(hook);
	assert_ok(attach_add(a, va, second, &entry, &error));
	assert_int_equal(program_on(hook, va), program_id(second));
	assert_ok(attach_switch(a, va, third, &error));
	assert_int_equal(program_on(hook, va), program_id(third));
	assert_ok(attach_remove(a, va, &error));
	assert_int_equal(program_on(hook, va), 0);
	assert_false(has_clsact("va"));
	assert_false(pin_exists(va));
	assert_ok(attach_remove(a, va, &error));
	assert_true(attach_switch(a, va, third, &error) < 0);
	attach_free(a);
	delete_veth();
	close(first);
	close(second);
	close(third);
}

static void a_tcx_link_is_added_adopted_switched_and_removed(void **state)
{
	(void)state;
	need_tcx();
	check_life(NODENS_HOOK_TCX);
}

static void a_clsact_filter_is_added_adopted_switched_and_removed(void **state)
{
	(void)state;
	kernel_env_need();
	check_life(NODENS_HOOK_CLSACT);
}

static void check_gone_interface(enum nodens_hook hook)
{
	int prog = load_program("nodens_tc");
	struct nodens_interface entry = {0};
	uint32_t va = make_veth();
	struct attach *a = new_attach(hook);

	assert_ok(attach_add(a, va, prog, &entry, &error));
	assert_int_equal(command("ip link del va"), 0);
	assert_true(attach_switch(a, va, prog, &error) < 0);
	assert_true(attach_add(a, va + 1000, prog, &entry, &error) < 0);
	assert_non_null(strstr(error.text, "gone"));
	assert_ok(attach_remove(a, va, &error));
	assert_false(pin_exists(va));
	attach_free(a);
	close(prog);
}

static void an_interface_that_went_is_removed_without_error(void **state)
{
	(void)state;
	kernel_env_need();
	if (has_tcx())
		check_gone_interface(NODENS_HOOK_TCX);
	check_gone_interface(NODENS_HOOK_CLSACT);
}

struct removed {
	size_t count;
	char what[4][96];
};

static void take_removed(void *ctx, const char *what)
{
	struct removed *r = ctx;

	assert_true(r->count < 4);
	snprintf(r->what[r->count++], sizeof(r->what[0]), "%s", what);
}

static void detaching_all_takes_links_and_filters_and_leaves_others(void **state)
{
	struct nodens_interface entry = {0};
	struct attach *clsact, *tcx;
	struct removed r = {0};
	int prog, foreign;
	uint32_t va, vb;

	(void)state;
	kernel_env_need();
	prog = load_program("nodens_tc");
	foreign = load_program("other");
	va = make_veth();
	vb = if_nametoindex("vb");
	clsact = new_attach(NODENS_HOOK_CLSACT);
	tcx = new_attach(NODENS_HOOK_TCX);
	assert_ok(attach_add(clsact, va, prog, &entry, &error));
	assert_ok(attach_add(clsact, vb, prog, &entry, &error));
	assert_int_equal(add_filter(vb, BPF_TC_INGRESS, 5, 7, foreign), 0);
	if (has_tcx())
		assert_ok(attach_add(tcx, va, prog, &entry, &error));
	assert_ok(attach_remove_all(env.links, ATTACH_PATIENT, take_removed, &r, &error));
	assert_int_equal(r.count, has_tcx() ? 3 : 2);
	assert_non_null(strstr(r.what[0], "clsact filter on v"));
	assert_int_equal(strncmp(r.what[r.count - 1], "tcx link on va", 14) == 0, has_tcx());
	assert_int_equal(filter_program(vb, 5, 7), program_id(foreign));
	assert_int_equal(filter_program(vb, 1, HANDLE), 0);
	assert_true(has_clsact("vb"));
	assert_false(has_clsact("va"));
	assert_false(pin_exists(va));
	r.count = 0;
	assert_ok(attach_remove_all(env.links, ATTACH_PATIENT, take_removed, &r, &error));
	assert_int_equal(r.count, 0);
	attach_free(clsact);
	attach_free(tcx);
	delete_veth();
	close(prog);
	close(foreign);
}

/* ---- what becomes of it --------------------------------------------------------------------------------------------
 */

static void a_program_that_somebody_took_off_is_missed(void **state)
{
	static const enum nodens_hook hooks[] = {NODENS_HOOK_TCX, NODENS_HOOK_CLSACT};
	int prog, second;

	(void)state;
	kernel_env_need();
	prog = load_program("nodens_tc");
	second = load_program("nodens_tc");
	for (size_t i = has_tcx() ? 0 : 1; i < 2; i++) {
		struct nodens_interface entry = {0};
		uint32_t va = make_veth();
		struct attach *a = new_attach(hooks[i]);

		assert_int_equal(attach_check(a, va, program_id(prog), &error), ATTACH_LOST);
		assert_ok(attach_add(a, va, prog, &entry, &error));
		assert_int_equal(attach_check(a, va, program_id(prog), &error), ATTACH_PRESENT);
		assert_int_equal(attach_check(a, va, program_id(second), &error), ATTACH_LOST);
		assert_int_equal(
			command(hooks[i] == NODENS_HOOK_TCX ? "rm %s/tcx_%u" : "tc qdisc del dev va clsact; : %s %u",
				env.links, va),
			0);
		while (hooks[i] == NODENS_HOOK_TCX && program_on(NODENS_HOOK_TCX, va))
			usleep(1000); /* the kernel frees the inode some milliseconds later */
		assert_int_equal(attach_check(a, va, program_id(prog), &error), ATTACH_LOST);
		assert_ok(attach_add(a, va, prog, &entry, &error));
		assert_int_equal(attach_check(a, va, program_id(prog), &error), ATTACH_PRESENT);
		assert_true(attach_check(a, va + 1000, program_id(prog), &error) <= 0);
		attach_free(a);
		delete_veth();
	}
	close(prog);
	close(second);
}

static void a_filter_that_came_before_ours_is_seen_and_ours_can_move(void **state)
{
	struct nodens_interface entry = {0};
	int ours, foreign;
	struct attach *a;
	uint32_t va;

	(void)state;
	kernel_env_need();
	va = make_veth();
	ours = load_program("nodens_tc");
	foreign = load_program("other");
	a = new_attach(NODENS_HOOK_CLSACT);
	assert_ok(attach_add(a, va, ours, &entry, &error));
	assert_int_equal(add_filter(va, BPF_TC_INGRESS, 2, 9, foreign), 0);
	assert_int_equal(attach_check(a, va, program_id(ours), &error), ATTACH_PRESENT);
	assert_int_equal(add_filter(va, BPF_TC_INGRESS, 1, 1, foreign), 0);
	assert_int_equal(attach_check(a, va, program_id(ours), &error), ATTACH_BEHIND);
	assert_ok(attach_move_front(a, va, ours, &error));
	assert_int_equal(attach_check(a, va, program_id(ours), &error), ATTACH_PRESENT);
	assert_int_equal(filter_program(va, 1, 1), program_id(foreign));
	attach_free(a);
	delete_veth();
	close(ours);
	close(foreign);
}

/* The marker must not claim a qdisc that somebody else made in the place of ours. */
static void a_qdisc_is_ours_only_as_long_as_nobody_deleted_it(void **state)
{
	struct nodens_interface entry = {0};
	char marker[32];
	struct attach *a;
	uint32_t va;
	int ours;

	(void)state;
	kernel_env_need();
	va = make_veth();
	ours = load_program("nodens_tc");
	a = new_attach(NODENS_HOOK_CLSACT);
	assert_ok(attach_add(a, va, ours, &entry, &error));
	snprintf(marker, sizeof(marker), "qdisc_%u", va);
	assert_true(exists(marker));
	attach_qdisc_gone(a, va);
	assert_false(exists(marker));
	assert_ok(attach_remove(a, va, &error));
	assert_true(has_clsact("va"));
	assert_int_equal(command("tc qdisc del dev va clsact"), 0);
	/* While no agent runs. */
	assert_ok(attach_add(a, va, ours, &entry, &error));
	attach_free(a);
	assert_int_equal(command("tc qdisc del dev va clsact && tc qdisc add dev va clsact"), 0);
	a = new_attach(NODENS_HOOK_CLSACT);
	assert_ok(attach_add(a, va, ours, &entry, &error));
	assert_ok(attach_remove(a, va, &error));
	assert_true(has_clsact("va"));
	attach_free(a);
	delete_veth();
	close(ours);
}

/* ---- tcx --------------------------------------------------------------------------------------------------------- */

static void ours_is_the_first_on_the_tcx_hook(void **state)
{
	struct nodens_interface entry = {0};
	int ours, foreign, link_fd;
	uint32_t va, ids[8];
	struct attach *a;

	(void)state;
	need_tcx();
	va = make_veth();
	ours = load_program("nodens_tc");
	foreign = load_program("other");
	a = new_attach(NODENS_HOOK_TCX);
	link_fd = bpf_link_create(foreign, (int)va, TCX_INGRESS, NULL);
	assert_true(link_fd >= 0);
	assert_ok(attach_add(a, va, ours, &entry, &error));
	assert_int_equal(tcx_programs(va, ids), 2);
	assert_int_equal(ids[0], program_id(ours));
	assert_int_equal(ids[1], program_id(foreign));
	assert_ok(attach_remove(a, va, &error));
	assert_int_equal(tcx_programs(va, ids), 1);
	assert_int_equal(ids[0], program_id(foreign));
	close(link_fd);
	attach_free(a);
	delete_veth();
	close(ours);
	close(foreign);
}

/* Pins something at the place of va's link. */
static void pin_at(uint32_t ifindex, int fd)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/tcx_%u", env.links, ifindex);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
}

static void unpin_at(uint32_t ifindex)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/tcx_%u", env.links, ifindex);
	assert_int_equal(unlink(path), 0);
}

static void a_pinned_link_of_another_program_is_refused_and_left(void **state)
{
	struct nodens_interface entry = {0};
	int ours, foreign, link_fd;
	uint32_t va, ids[8];
	struct attach *a;

	(void)state;
	need_tcx();
	va = make_veth();
	ours = load_program("nodens_tc");
	foreign = load_program("other");
	a = new_attach(NODENS_HOOK_TCX);
	link_fd = bpf_link_create(foreign, (int)va, TCX_INGRESS, NULL);
	pin_at(va, link_fd);
	close(link_fd);
	assert_int_equal(attach_add(a, va, ours, &entry, &error), -EEXIST);
	assert_non_null(strstr(error.text, "left alone"));
	assert_int_equal(attach_remove(a, va, &error), -EEXIST);
	assert_int_equal(attach_remove_all(env.links, ATTACH_PATIENT, ignore_removed, NULL, &error), -EEXIST);
	assert_int_equal(attach_remove_all(env.links, 0, ignore_removed, NULL, &error), -EEXIST);
	assert_true(pin_exists(va));
	assert_int_equal(tcx_programs(va, ids), 1);
	assert_int_equal(ids[0], program_id(foreign));
	unpin_at(va);
	/* A pin that is no link at all. */
	pin_at(va, foreign);
	assert_true(attach_add(a, va, ours, &entry, &error) < 0);
	assert_true(pin_exists(va));
	unpin_at(va);
	attach_free(a);
	delete_veth();
	close(ours);
	close(foreign);
}

/* Ours by name, but on another interface: the pin is replaced. */
static void a_pinned_link_of_another_interface_is_replaced(void **state)
{
	struct nodens_interface entry = {0};
	uint32_t va, vb, ids[8];
	struct attach *a;
	int ours, link_fd;

	(void)state;
	need_tcx();
	va = make_veth();
	vb = if_nametoindex("vb");
	ours = load_program("nodens_tc");
	a = new_attach(NODENS_HOOK_TCX);
	link_fd = bpf_link_create(ours, (int)vb, TCX_INGRESS, NULL);
	pin_at(va, link_fd);
	close(link_fd);
	assert_ok(attach_add(a, va, ours, &entry, &error));
	assert_int_equal(tcx_programs(vb, ids), 0);
	assert_int_equal(tcx_programs(va, ids), 1);
	assert_ok(attach_remove(a, va, &error));
	attach_free(a);
	delete_veth();
	close(ours);
}

/* The same ifindex in another network namespace, as after a move of the agent. */
static void a_pinned_link_of_another_namespace_is_replaced(void **state)
{
	struct nodens_interface entry = {0};
	uint32_t va, ids[8];
	struct attach *a;
	int ours, status = 0;
	pid_t pid;

	(void)state;
	need_tcx();
	va = make_veth();
	ours = load_program("nodens_tc");
	a = new_attach(NODENS_HOOK_TCX);
	assert_ok(attach_add(a, va, ours, &entry, &error));
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || command("ip link add va index %u type veth", va) != 0 ||
		    attach_add(a, va, ours, &entry, &error) < 0)
			_exit(1);
		_exit(tcx_programs(va, ids) == 1 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(tcx_programs(va, ids), 0);
	assert_ok(attach_remove(a, va, &error));
	attach_free(a);
	delete_veth();
	close(ours);
}

/* What the kernel does by itself takes it some milliseconds. */
static void without_patience_links_lose_their_pins_and_go_by_themselves(void **state)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	struct nodens_interface entry = {0};
	struct removed r = {0};
	uint32_t va, vb, ids[8];
	struct attach *a;
	int ours;

	(void)state;
	need_tcx();
	va = make_veth();
	vb = if_nametoindex("vb");
	ours = load_program("nodens_tc");
	a = new_attach(NODENS_HOOK_TCX);
	assert_ok(attach_add(a, va, ours, &entry, &error));
	assert_ok(attach_add(a, vb, ours, &entry, &error));
	assert_ok(attach_remove_all(env.links, 0, take_removed, &r, &error));
	assert_int_equal(r.count, 2);
	assert_false(pin_exists(va) || pin_exists(vb));
	for (int i = 0; i < 2000 && tcx_programs(va, ids) + tcx_programs(vb, ids); i++)
		nanosleep(&pause, NULL);
	assert_int_equal(tcx_programs(va, ids) + tcx_programs(vb, ids), 0);
	attach_free(a);
	delete_veth();
	close(ours);
}

/* A link lives as long as anybody holds it: its pin alone does not decide. */
static void a_link_that_somebody_holds_is_off_at_once(void **state)
{
	struct nodens_interface entry = {0};
	uint32_t va, ids[8];
	struct attach *a;
	char path[256];
	int ours, held;

	(void)state;
	need_tcx();
	va = make_veth();
	ours = load_program("nodens_tc");
	a = new_attach(NODENS_HOOK_TCX);
	assert_ok(attach_add(a, va, ours, &entry, &error));
	snprintf(path, sizeof(path), "%s/tcx_%u", env.links, va);
	held = bpf_obj_get(path);
	assert_true(held >= 0);
	assert_int_equal(tcx_programs(va, ids), 1);
	assert_ok(attach_remove(a, va, &error));
	assert_int_equal(tcx_programs(va, ids), 0);
	close(held);
	attach_free(a);
	delete_veth();
	close(ours);
}

/* Without CAP_SYS_ADMIN no program can be opened by its id: the pins of generations say which are ours. */
static void a_link_is_adopted_with_three_capabilities(void **state)
{
	const uint64_t caps = 1ULL << CAP_BPF | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_PERFMON;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)caps, .permitted = (uint32_t)caps},
		{.effective = (uint32_t)(caps >> 32), .permitted = (uint32_t)(caps >> 32)}};
	struct nodens_interface entry = {0};
	int first, second, status = 0;
	char path[256];
	uint32_t va, ids[8];
	struct attach *a;
	pid_t pid;

	(void)state;
	need_tcx();
	va = make_veth();
	first = load_program("nodens_tc");
	second = load_program("nodens_tc");
	a = new_attach(NODENS_HOOK_TCX);
	snprintf(path, sizeof(path), "%s/g7", env.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/tc");
	assert_int_equal(bpf_obj_pin(first, path), 0);
	assert_ok(attach_add(a, va, first, &entry, &error));
	pid = fork();
	if (pid == 0) {
		if (syscall(SYS_capset, &header, data) < 0)
			_exit(99);
		if (attach_add(a, va, second, &entry, &error) < 0)
			_exit(1);
		/* Now its program is in no pin: not adopted, not removed. */
		_exit(attach_add(a, va, second, &entry, &error) == -EEXIST ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(tcx_programs(va, ids), 1);
	assert_int_equal(ids[0], program_id(second));
	assert_int_equal(unlink(path), 0);
	assert_ok(attach_remove(a, va, &error));
	assert_ok(generation_remove_others(env.dir, NULL, &error));
	attach_free(a);
	delete_veth();
	close(first);
	close(second);
}

/* ---- clsact ------------------------------------------------------------------------------------------------------ */

static void foreign_filters_stay_and_so_does_their_qdisc(void **state)
{
	static const enum bpf_tc_attach_point points[] = {BPF_TC_INGRESS, BPF_TC_EGRESS};

	(void)state;
	kernel_env_need();
	for (size_t i = 0; i < 2; i++) {
		int ours = load_program("nodens_tc"), foreign = load_program("other");
		struct nodens_interface entry = {0};
		uint32_t va = make_veth();
		struct attach *a = new_attach(NODENS_HOOK_CLSACT);

		assert_ok(attach_add(a, va, ours, &entry, &error));
		/* As AWS's network policy agent does it, beside ours. */
		assert_int_equal(add_filter(va, points[i], 1, 1, foreign), 0);
		assert_ok(attach_switch(a, va, ours, &error));
		assert_ok(attach_remove(a, va, &error));
		assert_int_equal(filter_program(va, 1, HANDLE), 0);
		assert_true(has_clsact("va"));
		if (points[i] == BPF_TC_INGRESS)
			assert_int_equal(filter_program(va, 1, 1), program_id(foreign));
		attach_free(a);
		delete_veth();
		close(ours);
		close(foreign);
	}
}

static void a_qdisc_that_was_there_before_stays(void **state)
{
	struct nodens_interface entry = {0};
	struct attach *a;
	uint32_t va;
	int ours;

	(void)state;
	kernel_env_need();
	va = make_veth();
	ours = load_program("nodens_tc");
	a = new_attach(NODENS_HOOK_CLSACT);
	assert_int_equal(command("tc qdisc add dev va clsact"), 0);
	assert_ok(attach_add(a, va, ours, &entry, &error));
	assert_ok(attach_remove(a, va, &error));
	assert_true(has_clsact("va"));
	attach_free(a);
	delete_veth();
	close(ours);
}

static void a_foreign_filter_at_our_place_is_neither_replaced_nor_removed(void **state)
{
	struct nodens_interface entry = {0};
	int ours, foreign;
	struct attach *a;
	uint32_t va;

	(void)state;
	kernel_env_need();
	va = make_veth();
	ours = load_program("nodens_tc");
	foreign = load_program("nodens_tcx");
	a = new_attach(NODENS_HOOK_CLSACT);
	assert_int_equal(add_filter(va, BPF_TC_INGRESS, 1, HANDLE, foreign), 0);
	assert_int_equal(attach_add(a, va, ours, &entry, &error), -EEXIST);
	assert_non_null(strstr(error.text, "left alone"));
	assert_int_equal(attach_switch(a, va, ours, &error), -EEXIST);
	assert_ok(attach_remove(a, va, &error));
	assert_ok(attach_remove_all(env.links, ATTACH_PATIENT, ignore_removed, NULL, &error));
	assert_int_equal(filter_program(va, 1, HANDLE), program_id(foreign));
	attach_free(a);
	delete_veth();
	close(ours);
	close(foreign);
}

/* A priority belongs to one kind and protocol. */
static void a_priority_taken_by_another_kind_is_an_error(void **state)
{
	struct nodens_interface entry = {0};
	struct attach *a;
	uint32_t va;
	int ours;

	(void)state;
	kernel_env_need();
	va = make_veth();
	ours = load_program("nodens_tc");
	a = new_attach(NODENS_HOOK_CLSACT);
	assert_int_equal(command("tc qdisc add dev va clsact"), 0);
	if (command("tc filter add dev va ingress prio 1 protocol all u32 match u32 0 0 2>/dev/null") != 0)
		print_message("no u32 in this kernel: not tried\n");
	else
		assert_true(attach_add(a, va, ours, &entry, &error) < 0);
	print_message("%s\n", error.text);
	attach_free(a);
	delete_veth();
	close(ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hook_is_what_the_kernel_has),
		cmocka_unit_test(a_tcx_link_is_added_adopted_switched_and_removed),
		cmocka_unit_test(a_clsact_filter_is_added_adopted_switched_and_removed),
		cmocka_unit_test(an_interface_that_went_is_removed_without_error),
		cmocka_unit_test(detaching_all_takes_links_and_filters_and_leaves_others),
		cmocka_unit_test(a_program_that_somebody_took_off_is_missed),
		cmocka_unit_test(a_filter_that_came_before_ours_is_seen_and_ours_can_move),
		cmocka_unit_test(a_qdisc_is_ours_only_as_long_as_nobody_deleted_it),
		cmocka_unit_test(ours_is_the_first_on_the_tcx_hook),
		cmocka_unit_test(a_pinned_link_of_another_program_is_refused_and_left),
		cmocka_unit_test(a_pinned_link_of_another_interface_is_replaced),
		cmocka_unit_test(a_pinned_link_of_another_namespace_is_replaced),
		cmocka_unit_test(without_patience_links_lose_their_pins_and_go_by_themselves),
		cmocka_unit_test(a_link_that_somebody_holds_is_off_at_once),
		cmocka_unit_test(a_link_is_adopted_with_three_capabilities),
		cmocka_unit_test(foreign_filters_stay_and_so_does_their_qdisc),
		cmocka_unit_test(a_qdisc_that_was_there_before_stays),
		cmocka_unit_test(a_foreign_filter_at_our_place_is_neither_replaced_nor_removed),
		cmocka_unit_test(a_priority_taken_by_another_kind_is_an_error),
	};

	return cmocka_run_group_tests(tests, kernel_env_setup, kernel_env_teardown);
}
