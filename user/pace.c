/* SPDX-License-Identifier: Apache-2.0 */
/* When an interface is attached again. */
#include "pace.h"

/* first, 2 first, 4 first … for n = 1, 2, 3 …, at most `most`. */
static uint64_t doubled(uint64_t first, unsigned int n, uint64_t most)
{
	uint64_t ms = first;

	while (--n && ms < most)
		ms *= 2;
	return ms < most ? ms : most;
}

void pace_fail(struct pace *p, uint64_t now_ms)
{
	p->failures++;
	p->due_ms = now_ms + doubled(PACE_FAILURE_FIRST_MS, p->failures, PACE_FAILURE_MOST_MS);
}

void pace_succeed(struct pace *p)
{
	p->failures = 0;
	p->due_ms = 0;
}

void pace_lose(struct pace *p, uint64_t now_ms)
{
	if (p->losses && now_ms - p->lost_ms >= PACE_CALM_MS)
		p->losses = 0;
	if (p->losses < PACE_LOSSES_MAX)
		p->losses++;
	p->lost_ms = now_ms;
	p->due_ms = now_ms + (pace_is_slow(p) ? PACE_SLOW_MS : doubled(PACE_LOSS_FIRST_MS, p->losses, PACE_SLOW_MS));
}

bool pace_is_slow(const struct pace *p)
{
	return p->losses >= PACE_LOSSES_MAX;
}
