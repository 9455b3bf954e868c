/* SPDX-License-Identifier: Apache-2.0 */
/* Pinned tcx links: which are ours, what is in their place, who holds them. Needs root. */
#include <linux/capability.h>
#include <sys/syscall.h>
#include <time.h>

#include "attach_env.h"

static void ours_is_the_first_on_the_tcx_hook(void **state)
{
	int link_fd;
	uint32_t ids[8];

	(void)state;
	begin(NODENS_HOOK_TCX);
	link_fd = bpf_link_create(at.foreign, (int)at.va, TCX_INGRESS, NULL);
	assert_true(link_fd >= 0);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_int_equal(tcx_programs(at.va, ids), 2);
	assert_int_equal(ids[0], program_id(at.ours));
	assert_int_equal(ids[1], program_id(at.foreign));
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_int_equal(tcx_programs(at.va, ids), 1);
	assert_int_equal(ids[0], program_id(at.foreign));
	close(link_fd);
	end();
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
	int link_fd;
	uint32_t ids[8];

	(void)state;
	begin(NODENS_HOOK_TCX);
	link_fd = bpf_link_create(at.foreign, (int)at.va, TCX_INGRESS, NULL);
	pin_at(at.va, link_fd);
	close(link_fd);
	assert_int_equal(attach_add(at.attach, at.va, at.ours, &at.entry, &error), -EEXIST);
	assert_non_null(strstr(error.text, "left alone"));
	assert_int_equal(attach_remove(at.attach, at.va, &error), -EEXIST);
	assert_int_equal(attach_remove_all(env.links, ATTACH_PATIENT, ignore_removed, NULL, &error), -EEXIST);
	assert_int_equal(attach_remove_all(env.links, 0, ignore_removed, NULL, &error), -EEXIST);
	assert_true(pin_exists(at.va));
	assert_int_equal(tcx_programs(at.va, ids), 1);
	assert_int_equal(ids[0], program_id(at.foreign));
	unpin_at(at.va);
	/* A pin that is no link at all. */
	pin_at(at.va, at.foreign);
	assert_true(attach_add(at.attach, at.va, at.ours, &at.entry, &error) < 0);
	assert_true(pin_exists(at.va));
	unpin_at(at.va);
	end();
}

/* Ours by name, but on another interface: the pin is replaced. */
static void a_pinned_link_of_another_interface_is_replaced(void **state)
{
	uint32_t ids[8];
	int link_fd;

	(void)state;
	begin(NODENS_HOOK_TCX);
	link_fd = bpf_link_create(at.ours, (int)at.vb, TCX_INGRESS, NULL);
	pin_at(at.va, link_fd);
	close(link_fd);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_int_equal(tcx_programs(at.vb, ids), 0);
	assert_int_equal(tcx_programs(at.va, ids), 1);
	assert_ok(attach_remove(at.attach, at.va, &error));
	end();
}

/* The same ifindex in another network namespace, as after a move of the agent. */
static void a_pinned_link_of_another_namespace_is_replaced(void **state)
{
	uint32_t ids[8];
	int status = 0;
	pid_t pid;

	(void)state;
	begin(NODENS_HOOK_TCX);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || command("ip link add va index %u type veth", at.va) != 0 ||
		    attach_add(at.attach, at.va, at.ours, &at.entry, &error) < 0)
			_exit(1);
		_exit(tcx_programs(at.va, ids) == 1 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(tcx_programs(at.va, ids), 0);
	assert_ok(attach_remove(at.attach, at.va, &error));
	end();
}

/* What the kernel does by itself takes it some milliseconds. */
static void without_patience_links_lose_their_pins_and_go_by_themselves(void **state)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	struct removed r = {0};
	uint32_t ids[8];

	(void)state;
	begin(NODENS_HOOK_TCX);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_ok(attach_add(at.attach, at.vb, at.ours, &at.entry, &error));
	assert_ok(attach_remove_all(env.links, 0, take_removed, &r, &error));
	assert_int_equal(r.count, 2);
	assert_false(pin_exists(at.va) || pin_exists(at.vb));
	for (int i = 0; i < 12000 && tcx_programs(at.va, ids) + tcx_programs(at.vb, ids); i++)
		nanosleep(&pause, NULL);
	assert_int_equal(tcx_programs(at.va, ids) + tcx_programs(at.vb, ids), 0);
	end();
}

/* A link lives as long as anybody holds it: its pin alone does not decide. */
static void a_link_that_somebody_holds_is_off_at_once(void **state)
{
	uint32_t ids[8];
	char path[256];
	int held;

	(void)state;
	begin(NODENS_HOOK_TCX);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	snprintf(path, sizeof(path), "%s/tcx_%u", env.links, at.va);
	held = bpf_obj_get(path);
	assert_true(held >= 0);
	assert_int_equal(tcx_programs(at.va, ids), 1);
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_int_equal(tcx_programs(at.va, ids), 0);
	close(held);
	end();
}

/* Without CAP_SYS_ADMIN no program can be opened by its id: the pins of generations say which are ours. */
static void a_link_is_adopted_with_three_capabilities(void **state)
{
	const uint64_t caps = 1ULL << CAP_BPF | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_PERFMON;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)caps, .permitted = (uint32_t)caps},
		{.effective = (uint32_t)(caps >> 32), .permitted = (uint32_t)(caps >> 32)}};
	int second, status = 0;
	char path[256];
	uint32_t ids[8];
	pid_t pid;

	(void)state;
	begin(NODENS_HOOK_TCX);
	second = load_program("nodens_tc");
	snprintf(path, sizeof(path), "%s/g7", env.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/tc");
	assert_int_equal(bpf_obj_pin(at.ours, path), 0);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	pid = fork();
	if (pid == 0) {
		if (syscall(SYS_capset, &header, data) < 0)
			_exit(99);
		if (attach_add(at.attach, at.va, second, &at.entry, &error) < 0)
			_exit(1);
		/* Now its program is in no pin: not adopted, not removed. */
		_exit(attach_add(at.attach, at.va, second, &at.entry, &error) == -EEXIST ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(tcx_programs(at.va, ids), 1);
	assert_int_equal(ids[0], program_id(second));
	assert_int_equal(unlink(path), 0);
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_ok(generation_remove_others(env.dir, NULL, &error));
	close(second);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours_is_the_first_on_the_tcx_hook),
		cmocka_unit_test(a_pinned_link_of_another_program_is_refused_and_left),
		cmocka_unit_test(a_pinned_link_of_another_interface_is_replaced),
		cmocka_unit_test(a_pinned_link_of_another_namespace_is_replaced),
		cmocka_unit_test(without_patience_links_lose_their_pins_and_go_by_themselves),
		cmocka_unit_test(a_link_that_somebody_holds_is_off_at_once),
		cmocka_unit_test(a_link_is_adopted_with_three_capabilities),
	};

	return cmocka_run_group_tests(tests, kernel_env_setup, kernel_env_teardown);
}
