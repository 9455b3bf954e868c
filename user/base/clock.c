/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks. */
#include "base/clock.h"

#include <time.h>

static uint64_t read_ms(clockid_t id)
{
	struct timespec t = {0};

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ms(void)
{
	return read_ms(CLOCK_MONOTONIC) + 1;
}

uint64_t clock_real_ms(void)
{
	return read_ms(CLOCK_REALTIME);
}
