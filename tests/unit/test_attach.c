/* SPDX-License-Identifier: Apache-2.0 */
/* Programs on interfaces, by either hook: their life from attaching to detaching. Needs root. */
#include "attach_env.h"

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

/* Add, add again, adopt after a restart, switch, remove, remove again. */
static void check_life(enum nodens_hook hook)
{
	int second, third;

	begin(hook);
	second = load_program("nodens_tc");
	third = load_program("nodens_tc");
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_int_equal(at.entry.hook, hook);
	assert_int_equal(at.entry.handle, hook == NODENS_HOOK_CLSACT ? HANDLE : 0);
	assert_int_equal(program_on(hook, at.va), program_id(at.ours));
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_int_equal(program_on(hook, at.va), program_id(at.ours));
	attach_free(at.attach);
	assert_int_equal(program_on(hook, at.va), program_id(at.ours));

	at.attach = new_attach(hook);
	assert_ok(attach_add(at.attach, at.va, second, &at.entry, &error));
	assert_int_equal(program_on(hook, at.va), program_id(second));
	assert_ok(attach_switch(at.attach, at.va, third, &error));
	assert_int_equal(program_on(hook, at.va), program_id(third));
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_int_equal(program_on(hook, at.va), 0);
	assert_false(has_clsact("va"));
	assert_false(pin_exists(at.va));
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_true(attach_switch(at.attach, at.va, third, &error) < 0);
	close(second);
	close(third);
	end();
}

static void a_tcx_link_is_added_adopted_switched_and_removed(void **state)
{
	(void)state;
	check_life(NODENS_HOOK_TCX);
}

static void a_clsact_filter_is_added_adopted_switched_and_removed(void **state)
{
	(void)state;
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

static void detaching_all_takes_links_and_filters_and_leaves_others(void **state)
{
	struct removed r = {0};
	struct attach *tcx;

	(void)state;
	begin(NODENS_HOOK_CLSACT);
	tcx = new_attach(NODENS_HOOK_TCX);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_ok(attach_add(at.attach, at.vb, at.ours, &at.entry, &error));
	assert_int_equal(add_filter(at.vb, BPF_TC_INGRESS, 5, 7, at.foreign), 0);
	if (has_tcx())
		assert_ok(attach_add(tcx, at.va, at.ours, &at.entry, &error));
	assert_ok(attach_remove_all(env.links, ATTACH_PATIENT, take_removed, &r, &error));
	assert_int_equal(r.count, has_tcx() ? 3 : 2);
	assert_non_null(strstr(r.what[0], "clsact filter on v"));
	assert_int_equal(strncmp(r.what[r.count - 1], "tcx link on va", 14) == 0, has_tcx());
	assert_int_equal(filter_program(at.vb, 5, 7), program_id(at.foreign));
	assert_int_equal(filter_program(at.vb, 1, HANDLE), 0);
	assert_true(has_clsact("vb"));
	assert_false(has_clsact("va"));
	assert_false(pin_exists(at.va));
	r.count = 0;
	assert_ok(attach_remove_all(env.links, ATTACH_PATIENT, take_removed, &r, &error));
	assert_int_equal(r.count, 0);
	attach_free(tcx);
	end();
}

static void check_loss(enum nodens_hook hook, const char *taking_off)
{
	int second;

	begin(hook);
	second = load_program("nodens_tc");
	assert_int_equal(attach_check(at.attach, at.va, program_id(at.ours), &error), ATTACH_LOST);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_int_equal(attach_check(at.attach, at.va, program_id(at.ours), &error), ATTACH_PRESENT);
	assert_int_equal(attach_check(at.attach, at.va, program_id(second), &error), ATTACH_LOST);
	assert_int_equal(command("cd %s && %s", env.links, taking_off), 0);
	while (program_on(hook, at.va))
		usleep(1000); /* the kernel frees the inode some milliseconds later */
	assert_int_equal(attach_check(at.attach, at.va, program_id(at.ours), &error), ATTACH_LOST);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_int_equal(attach_check(at.attach, at.va, program_id(at.ours), &error), ATTACH_PRESENT);
	assert_true(attach_check(at.attach, at.va + 1000, program_id(at.ours), &error) <= 0);
	close(second);
	end();
}

static void a_program_that_somebody_took_off_is_missed(void **state)
{
	(void)state;
	kernel_env_need();
	if (has_tcx())
		check_loss(NODENS_HOOK_TCX, "rm tcx_*");
	check_loss(NODENS_HOOK_CLSACT, "tc qdisc del dev va clsact");
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
	};

	return cmocka_run_group_tests(tests, kernel_env_setup, kernel_env_teardown);
}
