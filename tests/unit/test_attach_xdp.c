/* SPDX-License-Identifier: Apache-2.0 */
/* Native XDP links: ours, those of others, and what the kernel refuses. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kernel/attach_xdp.h"
#include "kernel/generation.h"
#include "kernel_env.h"

static struct error error;
static struct nodens_interface entry;

static void assert_ok(int err)
{
	if (err < 0)
		fail_msg("%d: %s", err, error.text);
}

/* ---- a place to attach to ---------------------------------------------------------------------------------------- */

static void ignore_removed(void *ctx, const char *what)
{
	(void)ctx;
	(void)what;
}

/* A fresh veth pair va/vb. Returns the ifindex of va. */
static uint32_t make_veth_of(const char *options)
{
	assert_ok(generation_prepare_dir(env.dir, &error));
	assert_int_equal(command("ip link del va 2>/dev/null; ip link add va type veth peer name vb %s && ip link set va up", options), 0);
	memset(&entry, 0, sizeof(entry));
	return if_nametoindex("va");
}

static uint32_t make_veth(void)
{
	return make_veth_of("");
}

static void delete_veth(void)
{
	assert_int_equal(command("ip link del va"), 0);
	assert_ok(attach_xdp_remove_all(env.links, ignore_removed, NULL, &error));
}

/* A program that passes everything, with a name. */
static int load_program(const char *name)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, name, "GPL", insns, 2, NULL);

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

static uint32_t native_program(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	assert_int_equal(bpf_xdp_query((int)ifindex, 0, &opts), 0);
	assert_int_equal(opts.skb_prog_id, 0);
	return opts.drv_prog_id;
}

static bool pin_exists(uint32_t ifindex)
{
	char path[192];
	struct stat st;

	snprintf(path, sizeof(path), "%s/xdp_%u", env.links, ifindex);
	return stat(path, &st) == 0;
}

/* ---- ours -------------------------------------------------------------------------------------------------------- */

static void a_link_is_pinned_switched_and_removed(void **state)
{
	int first, second;
	uint32_t ifindex;

	(void)state;
	kernel_env_need();
	ifindex = make_veth();
	first = load_program("nodens_xdp");
	second = load_program("nodens_xdp");
	assert_ok(attach_xdp_add(env.links, ifindex, first, &entry, &error));
	assert_int_equal(entry.xdp, NODENS_HOOK_XDP);
	assert_true(pin_exists(ifindex));
	assert_int_equal(native_program(ifindex), program_id(first));
	assert_int_equal(attach_xdp_check(ifindex, program_id(first)), 1);

	assert_ok(attach_xdp_switch(env.links, ifindex, second, &error));
	assert_int_equal(native_program(ifindex), program_id(second));
	assert_int_equal(attach_xdp_check(ifindex, program_id(first)), 0);

	assert_ok(attach_xdp_remove(env.links, ifindex, &error));
	assert_false(pin_exists(ifindex));
	assert_int_equal(native_program(ifindex), 0);
	assert_ok(attach_xdp_remove(env.links, ifindex, &error));
	assert_int_equal(attach_xdp_switch(env.links, ifindex, second, &error), -ENOENT);
	close(first);
	close(second);
	delete_veth();
}

static void a_link_of_a_former_agent_is_adopted(void **state)
{
	int former, fd;
	uint32_t ifindex;

	(void)state;
	kernel_env_need();
	ifindex = make_veth();
	former = load_program("nodens_xdp");
	assert_ok(attach_xdp_add(env.links, ifindex, former, &entry, &error));
	close(former);
	fd = load_program("nodens_xdp");
	assert_ok(attach_xdp_add(env.links, ifindex, fd, &entry, &error));
	assert_int_equal(native_program(ifindex), program_id(fd));
	close(fd);
	delete_veth();
}

static void the_pin_of_an_interface_that_went_is_taken_over(void **state)
{
	uint32_t ifindex, again;
	char from[192], to[192];
	int fd;

	(void)state;
	kernel_env_need();
	ifindex = make_veth();
	fd = load_program("nodens_xdp");
	assert_ok(attach_xdp_add(env.links, ifindex, fd, &entry, &error));
	assert_int_equal(command("ip link del va"), 0);
	again = make_veth();
	/* As if the number had been given out again. */
	snprintf(from, sizeof(from), "%s/xdp_%u", env.links, ifindex);
	snprintf(to, sizeof(to), "%s/xdp_%u", env.links, again);
	assert_int_equal(rename(from, to), 0);
	assert_ok(attach_xdp_add(env.links, again, fd, &entry, &error));
	assert_int_equal(native_program(again), program_id(fd));
	close(fd);
	delete_veth();
}

/* A link lives as long as anybody holds it: its pin alone does not decide. */
static void a_link_that_somebody_holds_is_off_at_once(void **state)
{
	char path[192];
	uint32_t ifindex;
	int fd, held;

	(void)state;
	kernel_env_need();
	ifindex = make_veth();
	fd = load_program("nodens_xdp");
	assert_ok(attach_xdp_add(env.links, ifindex, fd, &entry, &error));
	snprintf(path, sizeof(path), "%s/xdp_%u", env.links, ifindex);
	held = bpf_obj_get(path);
	assert_true(held >= 0);
	assert_int_equal(native_program(ifindex), program_id(fd));
	assert_ok(attach_xdp_remove(env.links, ifindex, &error));
	assert_int_equal(native_program(ifindex), 0);
	close(held);
	close(fd);
	delete_veth();
}

/* An interface there has the number of one here. */
static void a_pinned_link_of_another_namespace_is_replaced(void **state)
{
	int fd, status = 0;
	uint32_t ifindex;
	pid_t pid;

	(void)state;
	kernel_env_need();
	ifindex = make_veth();
	fd = load_program("nodens_xdp");
	assert_ok(attach_xdp_add(env.links, ifindex, fd, &entry, &error));
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || command("ip link add va index %u type veth", ifindex) != 0 ||
		    attach_xdp_add(env.links, ifindex, fd, &entry, &error) < 0)
			_exit(1);
		_exit(native_program(ifindex) == program_id(fd) ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(native_program(ifindex), 0);
	close(fd);
	delete_veth();
}

static void detaching_all_removes_every_link(void **state)
{
	uint32_t ifindex;
	int fd;

	(void)state;
	kernel_env_need();
	ifindex = make_veth();
	fd = load_program("nodens_xdp");
	assert_ok(attach_xdp_add(env.links, ifindex, fd, &entry, &error));
	assert_ok(attach_xdp_remove_all(env.links, ignore_removed, NULL, &error));
	assert_false(pin_exists(ifindex));
	assert_int_equal(native_program(ifindex), 0);
	close(fd);
	delete_veth();
}

/* ---- what is not ours, or does not go ----------------------------------------------------------------------------- */

static void expect_refusal(uint32_t ifindex, int want, const char *words)
{
	int fd = load_program("nodens_xdp");

	error.text[0] = '\0';
	assert_int_equal(attach_xdp_add(env.links, ifindex, fd, &entry, &error), want);
	print_message("%s\n", error.text);
	assert_non_null(strstr(error.text, words));
	assert_int_equal(entry.xdp, NODENS_HOOK_NONE);
	assert_false(pin_exists(ifindex));
	close(fd);
}

static void a_foreign_program_stays_and_its_id_is_told(void **state)
{
	static const uint32_t modes[] = {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};
	char id[32];

	(void)state;
	kernel_env_need();
	for (size_t i = 0; i < 2; i++) {
		uint32_t ifindex = make_veth();
		int foreign = load_program("others");

		assert_int_equal(bpf_xdp_attach((int)ifindex, foreign, modes[i], NULL), 0);
		snprintf(id, sizeof(id), "(id %u%s)", program_id(foreign), i ? ", not in native mode" : "");
		expect_refusal(ifindex, -EBUSY, id);
		assert_int_equal(bpf_xdp_detach((int)ifindex, modes[i], NULL), 0);
		close(foreign);
		delete_veth();
	}
}

static void a_foreign_link_at_our_pin_is_left_alone(void **state)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	uint32_t ifindex;
	char path[192];
	int fd, ours, link;

	(void)state;
	kernel_env_need();
	ifindex = make_veth();
	fd = load_program("others");
	ours = load_program("nodens_xdp");
	link = bpf_link_create(fd, (int)ifindex, BPF_XDP, &opts);
	assert_true(link >= 0);
	snprintf(path, sizeof(path), "%s/xdp_%u", env.links, ifindex);
	assert_int_equal(bpf_obj_pin(link, path), 0);
	assert_int_equal(attach_xdp_add(env.links, ifindex, ours, &entry, &error), -EEXIST);
	assert_int_equal(attach_xdp_switch(env.links, ifindex, ours, &error), -EEXIST);
	assert_int_equal(attach_xdp_remove(env.links, ifindex, &error), -EEXIST);
	assert_int_equal(native_program(ifindex), program_id(fd));
	assert_int_equal(unlink(path), 0);
	close(link);
	close(fd);
	close(ours);
	delete_veth();
}

static void a_driver_without_native_xdp_is_told(void **state)
{
	(void)state;
	kernel_env_need();
	assert_ok(generation_prepare_dir(env.dir, &error));
	memset(&entry, 0, sizeof(entry));
	expect_refusal(1, -EOPNOTSUPP, "the driver has no native XDP");
}

/* A veth whose peer sends on more queues than it receives on. */
static void the_kernels_own_words_are_told(void **state)
{
	uint32_t ifindex;

	(void)state;
	kernel_env_need();
	ifindex = make_veth_of("numtxqueues 4");
	assert_int_equal(command("ethtool -L vb tx 4"), 0);
	expect_refusal(ifindex, -ENOSPC, "rx queues");
	assert_int_equal(native_program(ifindex), 0);
	delete_veth();
}

static void an_interface_that_is_gone_is_told(void **state)
{
	uint32_t ifindex;

	(void)state;
	kernel_env_need();
	ifindex = make_veth();
	delete_veth();
	expect_refusal(ifindex, -ENODEV, "gone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_is_pinned_switched_and_removed),
		cmocka_unit_test(a_link_of_a_former_agent_is_adopted),
		cmocka_unit_test(the_pin_of_an_interface_that_went_is_taken_over),
		cmocka_unit_test(a_link_that_somebody_holds_is_off_at_once),
		cmocka_unit_test(a_pinned_link_of_another_namespace_is_replaced),
		cmocka_unit_test(detaching_all_removes_every_link),
		cmocka_unit_test(a_foreign_program_stays_and_its_id_is_told),
		cmocka_unit_test(a_foreign_link_at_our_pin_is_left_alone),
		cmocka_unit_test(a_driver_without_native_xdp_is_told),
		cmocka_unit_test(the_kernels_own_words_are_told),
		cmocka_unit_test(an_interface_that_is_gone_is_told),
	};

	return cmocka_run_group_tests(tests, kernel_env_setup, kernel_env_teardown);
}
