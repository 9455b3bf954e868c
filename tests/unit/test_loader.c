/* SPDX-License-Identifier: Apache-2.0 */
/* How --max-memory cuts the size of a generation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader.h"

static void a_size_that_fits_stays(void **state)
{
	struct generation_size size = generation_size_for(1000, 128000),
			       cut = loader_cap_size(size, generation_size_bytes(size));

	(void)state;
	assert_int_equal(cut.bucket_count, size.bucket_count);
	assert_int_equal(cut.page_count, size.page_count);
}

/* Index and arena keep their proportion within a factor of two, and what is allowed is used. */
static void a_size_that_does_not_fit_is_cut_in_both_parts(void **state)
{
	static const uint64_t limits[] = {4 << 20, 32 << 20, 100 << 20, 128 << 20, 500 << 20};

	(void)state;
	for (uint64_t names = 1000; names <= 10000000; names *= 10) {
		struct generation_size size = generation_size_for(names, names * 192);

		for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
			struct generation_size cut = loader_cap_size(size, limits[i]);
			uint64_t octets = generation_size_bytes(cut);

			assert_true(octets <= limits[i]);
			assert_true(cut.page_count >= 1 && cut.bucket_count >= 1);
			assert_int_equal(cut.bucket_count & (cut.bucket_count - 1), 0);
			if (generation_size_bytes(size) <= limits[i])
				continue;
			assert_true(octets + (2 << 20) > limits[i]);
			/* Never more buckets to a page than before the cut times two, never fewer than half. */
			assert_true((uint64_t)cut.bucket_count * size.page_count <=
				    3 * (uint64_t)size.bucket_count * cut.page_count);
			assert_true(3 * (uint64_t)cut.bucket_count * size.page_count >=
				    (uint64_t)size.bucket_count * cut.page_count);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_size_that_fits_stays),
		cmocka_unit_test(a_size_that_does_not_fit_is_cut_in_both_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
