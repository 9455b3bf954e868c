/* SPDX-License-Identifier: Apache-2.0 */
/* When an interface is attached again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pace.h"

#define NOW 1000000

static void failures_are_tried_again_ever_more_seldom(void **state)
{
	static const uint64_t waits[] = {250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000, 60000};
	struct pace p = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		pace_fail(&p, NOW);
		assert_int_equal(p.due_ms - NOW, waits[i]);
	}
	for (unsigned int i = 0; i < 1000; i++)
		pace_fail(&p, NOW);
	assert_int_equal(p.due_ms - NOW, 60000);
	pace_succeed(&p);
	assert_int_equal(p.due_ms, 0);
	pace_fail(&p, NOW);
	assert_int_equal(p.due_ms - NOW, 250);
}

static void losses_in_a_row_end_at_the_slow_pace(void **state)
{
	static const uint64_t waits[] = {100, 200, 400, 800, 1600, 3200, 300000, 300000};
	struct pace p = {0};
	uint64_t now = NOW;

	(void)state;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		pace_lose(&p, now);
		assert_int_equal(p.due_ms - now, waits[i]);
		assert_int_equal(pace_is_slow(&p), waits[i] == PACE_SLOW_MS);
		now = p.due_ms;
		/* Being attached in between, and failing, change nothing of it. */
		pace_fail(&p, now);
		pace_succeed(&p);
		assert_int_equal(p.due_ms, 0);
	}
}

static void after_a_calm_time_losses_count_anew(void **state)
{
	struct pace p = {0};

	(void)state;
	for (unsigned int i = 0; i < PACE_LOSSES_MAX; i++)
		pace_lose(&p, NOW);
	assert_true(pace_is_slow(&p));
	pace_lose(&p, NOW + PACE_CALM_MS - 1);
	assert_true(pace_is_slow(&p));
	pace_lose(&p, NOW + 2 * PACE_CALM_MS - 1);
	assert_false(pace_is_slow(&p));
	assert_int_equal(p.due_ms, NOW + 2 * PACE_CALM_MS - 1 + PACE_LOSS_FIRST_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_are_tried_again_ever_more_seldom),
		cmocka_unit_test(losses_in_a_row_end_at_the_slow_pace),
		cmocka_unit_test(after_a_calm_time_losses_count_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
