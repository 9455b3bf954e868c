/* SPDX-License-Identifier: Apache-2.0 */
/* clsact filters beside those of others, and whose qdisc it is. Needs root. */
#include "attach_env.h"

/* As AWS's network policy agent does it, beside ours. */
static void check_foreign_filter(enum bpf_tc_attach_point point)
{
	begin(NODENS_HOOK_CLSACT);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_int_equal(add_filter(at.va, point, 1, 1, at.foreign), 0);
	assert_ok(attach_switch(at.attach, at.va, at.ours, &error));
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_int_equal(filter_program(at.va, 1, HANDLE), 0);
	assert_true(has_clsact("va"));
	if (point == BPF_TC_INGRESS)
		assert_int_equal(filter_program(at.va, 1, 1), program_id(at.foreign));
	end();
}

static void foreign_filters_stay_and_so_does_their_qdisc(void **state)
{
	(void)state;
	check_foreign_filter(BPF_TC_INGRESS);
	check_foreign_filter(BPF_TC_EGRESS);
}

static void a_qdisc_that_was_there_before_stays(void **state)
{
	(void)state;
	begin(NODENS_HOOK_CLSACT);
	assert_int_equal(command("tc qdisc add dev va clsact"), 0);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_true(has_clsact("va"));
	end();
}

/* Its name begins with ours. */
static void a_foreign_filter_at_our_place_is_neither_replaced_nor_removed(void **state)
{
	int foreign;

	(void)state;
	begin(NODENS_HOOK_CLSACT);
	foreign = load_program("nodens_tcx");
	assert_int_equal(add_filter(at.va, BPF_TC_INGRESS, 1, HANDLE, foreign), 0);
	assert_int_equal(attach_add(at.attach, at.va, at.ours, &at.entry, &error), -EEXIST);
	assert_non_null(strstr(error.text, "left alone"));
	assert_int_equal(attach_switch(at.attach, at.va, at.ours, &error), -EEXIST);
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_ok(attach_remove_all(env.links, ATTACH_PATIENT, ignore_removed, NULL, &error));
	assert_int_equal(filter_program(at.va, 1, HANDLE), program_id(foreign));
	close(foreign);
	end();
}

/* A priority belongs to one kind and protocol. */
static void a_priority_taken_by_another_kind_is_an_error(void **state)
{
	(void)state;
	begin(NODENS_HOOK_CLSACT);
	assert_int_equal(command("tc qdisc add dev va clsact"), 0);
	if (command("tc filter add dev va ingress prio 1 protocol all u32 match u32 0 0 2>/dev/null") != 0)
		print_message("no u32 in this kernel: not tried\n");
	else
		assert_true(attach_add(at.attach, at.va, at.ours, &at.entry, &error) < 0);
	print_message("%s\n", error.text);
	end();
}

static void a_filter_that_came_before_ours_is_seen_and_ours_can_move(void **state)
{
	(void)state;
	begin(NODENS_HOOK_CLSACT);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_int_equal(add_filter(at.va, BPF_TC_INGRESS, 2, 9, at.foreign), 0);
	assert_int_equal(attach_check(at.attach, at.va, program_id(at.ours), &error), ATTACH_PRESENT);
	assert_int_equal(add_filter(at.va, BPF_TC_INGRESS, 1, 1, at.foreign), 0);
	assert_int_equal(attach_check(at.attach, at.va, program_id(at.ours), &error), ATTACH_BEHIND);
	assert_ok(attach_move_front(at.attach, at.va, at.ours, &error));
	assert_int_equal(attach_check(at.attach, at.va, program_id(at.ours), &error), ATTACH_PRESENT);
	assert_int_equal(filter_program(at.va, 1, 1), program_id(at.foreign));
	end();
}

/* The marker must not claim a qdisc that somebody else made in the place of ours. */
static void a_qdisc_is_ours_only_as_long_as_nobody_deleted_it(void **state)
{
	char marker[32];

	(void)state;
	begin(NODENS_HOOK_CLSACT);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	snprintf(marker, sizeof(marker), "qdisc_%u", at.va);
	assert_true(exists(marker));
	attach_qdisc_gone(at.attach, at.va);
	assert_false(exists(marker));
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_true(has_clsact("va"));
	assert_int_equal(command("tc qdisc del dev va clsact"), 0);
	/* While no agent runs. */
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	attach_free(at.attach);
	assert_int_equal(command("tc qdisc del dev va clsact && tc qdisc add dev va clsact"), 0);
	at.attach = new_attach(NODENS_HOOK_CLSACT);
	assert_ok(attach_add(at.attach, at.va, at.ours, &at.entry, &error));
	assert_ok(attach_remove(at.attach, at.va, &error));
	assert_true(has_clsact("va"));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(foreign_filters_stay_and_so_does_their_qdisc),
		cmocka_unit_test(a_qdisc_that_was_there_before_stays),
		cmocka_unit_test(a_foreign_filter_at_our_place_is_neither_replaced_nor_removed),
		cmocka_unit_test(a_priority_taken_by_another_kind_is_an_error),
		cmocka_unit_test(a_filter_that_came_before_ours_is_seen_and_ours_can_move),
		cmocka_unit_test(a_qdisc_is_ours_only_as_long_as_nobody_deleted_it),
	};

	return cmocka_run_group_tests(tests, kernel_env_setup, kernel_env_teardown);
}
