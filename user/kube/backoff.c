/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential backoff with full jitter: many agents that lost one server do not come back in step. */
#include "kube/backoff.h"

/* first_ms doubled for each failure before this one, at most most_ms; at least 1. */
static uint64_t window_ms(const struct backoff *b)
{
	uint64_t most = b->most_ms ? b->most_ms : 1, window = b->first_ms ? b->first_ms : 1;

	for (unsigned int i = 0; i < b->attempts && window < most; i++)
		window = window > most / 2 ? most : 2 * window;
	return window < most ? window : most;
}

uint64_t backoff_next_ms(struct backoff *b, uint64_t random, uint64_t at_least_ms)
{
	uint64_t window = window_ms(b), wait = 1 + random % window;

	if (b->attempts < UINT32_MAX)
		b->attempts++;
	if (wait >= at_least_ms)
		return wait;
	/* All that were told the same Retry-After shall not come at the same time either. */
	return at_least_ms > UINT64_MAX - wait ? UINT64_MAX : at_least_ms + wait;
}

void backoff_reset(struct backoff *b)
{
	b->attempts = 0;
}
