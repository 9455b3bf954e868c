/* SPDX-License-Identifier: Apache-2.0 */
/* Backoff: the window grows, the wait stays in it, and the server's own word counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kube/backoff.h"

static void the_window_doubles_with_each_failure_up_to_its_bound(void **state)
{
	static const uint64_t windows[] = {100, 200, 400, 800, 1000, 1000, 1000};
	struct backoff b = {.first_ms = 100, .most_ms = 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(windows) / sizeof(*windows); i++) {
		assert_int_equal(b.attempts, i);
		/* The largest draw of this window. */
		assert_int_equal(backoff_next_ms(&b, windows[i] - 1, 0), windows[i]);
	}
}

static void any_draw_gives_a_wait_of_at_least_1_ms_within_the_window(void **state)
{
	static const uint64_t draws[] = {0, 1, 99, 100, 101, 12345678901234567, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(draws) / sizeof(*draws); i++) {
		struct backoff b = {.first_ms = 100, .most_ms = 30000};
		uint64_t wait = backoff_next_ms(&b, draws[i], 0);

		assert_in_range(wait, 1, 100);
	}
}

static void the_whole_window_is_used(void **state)
{
	struct backoff low = {.first_ms = 100, .most_ms = 100}, high = low;

	(void)state;
	assert_int_equal(backoff_next_ms(&low, 0, 0), 1);
	assert_int_equal(backoff_next_ms(&high, 99, 0), 100);
}

static void success_begins_with_the_first_window_again(void **state)
{
	struct backoff b = {.first_ms = 100, .most_ms = 30000};

	(void)state;
	for (int i = 0; i < 5; i++)
		(void)backoff_next_ms(&b, 0, 0);
	backoff_reset(&b);
	assert_int_equal(backoff_next_ms(&b, 99, 0), 100);
}

static void retry_after_is_waited_for_and_agents_told_the_same_still_spread(void **state)
{
	struct backoff one = {.first_ms = 100, .most_ms = 30000}, other = one, late = one;

	(void)state;
	assert_int_equal(backoff_next_ms(&one, 0, 1000), 1001);
	assert_int_equal(backoff_next_ms(&other, 99, 1000), 1100);
	late.attempts = 10;
	/* The window's own draw is longer. */
	assert_int_equal(backoff_next_ms(&late, 29999, 1000), 30000);
}

static void odd_bounds_never_give_0_nor_overflow(void **state)
{
	struct backoff zero = {.first_ms = 0, .most_ms = 0},
		       none = {.first_ms = 0, .most_ms = 50, .attempts = UINT32_MAX};
	struct backoff turned = {.first_ms = 500, .most_ms = 50}, endless = {.first_ms = 1, .most_ms = UINT64_MAX};

	(void)state;
	assert_int_equal(backoff_next_ms(&zero, 7, 0), 1);
	assert_in_range(backoff_next_ms(&none, UINT64_MAX, 0), 1, 50);
	assert_int_equal(backoff_next_ms(&turned, 49, 0), 50);
	endless.attempts = UINT32_MAX;
	assert_true(backoff_next_ms(&endless, UINT64_MAX, 0) >= 1);
	assert_int_equal(endless.attempts, UINT32_MAX);
	assert_true(backoff_next_ms(&endless, UINT64_MAX - 2, UINT64_MAX) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window_doubles_with_each_failure_up_to_its_bound),
		cmocka_unit_test(any_draw_gives_a_wait_of_at_least_1_ms_within_the_window),
		cmocka_unit_test(the_whole_window_is_used),
		cmocka_unit_test(success_begins_with_the_first_window_again),
		cmocka_unit_test(retry_after_is_waited_for_and_agents_told_the_same_still_spread),
		cmocka_unit_test(odd_bounds_never_give_0_nor_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
