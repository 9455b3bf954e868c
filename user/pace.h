/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an interface is attached again: soon and then ever more seldom after failures, and after somebody took us off.
 * Who takes us off again and again is not fought: then only at the slow pace. Pure: time is an argument.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* After the first failure, doubling up to the most. */
#define PACE_FAILURE_FIRST_MS 250
#define PACE_FAILURE_MOST_MS  60000
/* After the first loss, doubling: whoever took us off may be about to make its own things anew. */
#define PACE_LOSS_FIRST_MS 100
/* Of these in a row, each sooner than PACE_CALM_MS behind the one before, the last is answered at the slow pace. */
#define PACE_LOSSES_MAX 7
#define PACE_SLOW_MS	300000
#define PACE_CALM_MS	600000

struct pace {
	uint64_t due_ms;       /* when to try again; 0: there is nothing to try */
	uint64_t lost_ms;      /* the last loss */
	unsigned int failures; /* in a row */
	unsigned int losses;   /* in a row */
};

/* It cannot be attached. */
void pace_fail(struct pace *p, uint64_t now_ms);
/* It is attached. The losses are remembered. */
void pace_succeed(struct pace *p);
/* Somebody took us off. */
void pace_lose(struct pace *p, uint64_t now_ms);
/* Taken off so often that it goes on at the slow pace. */
bool pace_is_slow(const struct pace *p);
