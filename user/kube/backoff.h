/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential backoff with full jitter: how long to wait before the next attempt. Pure: randomness is an argument. */
#pragma once

#include <stdint.h>

struct backoff {
	uint64_t first_ms, most_ms; /* bounds of the window: it doubles from first_ms to most_ms */
	unsigned int attempts;	    /* failed in a row */
};

/* A random time within the window of this attempt (1 … window), at least at_least_ms (Retry-After). */
uint64_t backoff_next_ms(struct backoff *b, uint64_t random, uint64_t at_least_ms);
/* It worked. */
void backoff_reset(struct backoff *b);
