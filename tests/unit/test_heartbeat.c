/* SPDX-License-Identifier: Apache-2.0 */
/* The rate of jiffies as told from a short measurement, the period of beats, and the causes that shut the gate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "gate.h"
#include "heartbeat.h"

static void the_rate_is_the_usual_one_nearby(void **state)
{
	static const struct {
		uint64_t jiffies, ns;
		uint32_t hz;
	} rows[] = {
		{12, 120000000, 100},
		{11, 120000000, 100},
		{13, 120000000, 100},
		{30, 120000000, 250},
		{31, 120000000, 250},
		{29, 120000000, 250},
		{36, 120000000, 300},
		{35, 120000000, 300},
		{37, 120000000, 300},
		{120, 120000000, 1000},
		{119, 120000000, 1000},
		{120000, 1000000000ULL * 1200, 100},
		{60, 1000000000, 60},
		{1024, 1000000000, 1000},
		{2000, 1000000000, 2000},
		{0, 120000000, 1},
		{5, 0, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(heartbeat_pick_hz(rows[i].jiffies, rows[i].ns), rows[i].hz);
}

static void beats_come_four_times_before_it_is_stale_and_at_least_each_second(void **state)
{
	(void)state;
	assert_int_equal(heartbeat_period_ms(1000), 250);
	assert_int_equal(heartbeat_period_ms(15000), 1000);
	assert_int_equal(heartbeat_period_ms(3999), 999);
}

static void the_gate_opens_when_no_cause_is_left(void **state)
{
	struct nodens_config config = {.gate = NODENS_GATE_OPEN};
	struct nodens_status status = {0};
	struct gate g;

	(void)state;
	gate_init(&g);
	assert_int_equal(gate_state(&g), NODENS_GATE_NOT_SYNCED);
	assert_true(gate_shut(&g, GATE_NAMELESS, "an item"));
	assert_false(gate_shut(&g, GATE_NAMELESS, "an item"));
	assert_true(gate_shut(&g, GATE_NAMELESS, "another item"));
	assert_true(gate_lift(&g, GATE_LOADING));
	assert_int_equal(gate_state(&g), NODENS_GATE_CLOSED);
	assert_string_equal(gate_reason(&g), "another item");
	gate_apply(&g, &config, &status);
	assert_int_equal(config.gate, NODENS_GATE_CLOSED);
	assert_string_equal(status.gate_reason, "another item");
	assert_true(gate_shut(&g, GATE_RESUMED, "slept"));
	assert_true(gate_shut(&g, GATE_DOUBT, "silent"));
	assert_string_equal(gate_reason(&g), "silent");
	assert_true(gate_lift(&g, GATE_DOUBT));
	assert_true(gate_lift(&g, GATE_NAMELESS));
	assert_int_equal(gate_state(&g), NODENS_GATE_CLOSED);
	assert_true(gate_lift(&g, GATE_RESUMED));
	assert_false(gate_lift(&g, GATE_RESUMED));
	gate_apply(&g, &config, &status);
	assert_int_equal(config.gate, NODENS_GATE_OPEN);
	assert_string_equal(status.gate_reason, "");
}

static uint64_t boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void standing_still_for_longer_than_the_datapath_waits_is_told_once_and_beats_wait_for_that(void **state)
{
	struct heartbeat h = {.stale_after_ms = 3600000, .hz = 250};

	(void)state;
	(void)heartbeat_has_slept(&h); /* what this machine has slept until now counts no more */
	assert_false(heartbeat_has_slept(&h)); /* no beat yet */
	/* The rest of the hour is this test's to stand still itself. */
	h.beat_ns = boot_ns() - 3000ULL * 1000000000;
	assert_false(heartbeat_has_slept(&h));
	h.beat_ns = boot_ns() - 3600ULL * 1000000000;
	assert_int_equal(heartbeat_beat(&h, NULL), 0); /* nothing is written: there is no generation */
	assert_true(heartbeat_has_slept(&h));
	assert_false(heartbeat_has_slept(&h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rate_is_the_usual_one_nearby),
		cmocka_unit_test(beats_come_four_times_before_it_is_stale_and_at_least_each_second),
		cmocka_unit_test(standing_still_for_longer_than_the_datapath_waits_is_told_once_and_beats_wait_for_that),
		cmocka_unit_test(the_gate_opens_when_no_cause_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
