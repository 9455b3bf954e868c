/* SPDX-License-Identifier: Apache-2.0 */
/* The sign of life for the datapath: a deadline in jiffies, moved on by each beat. */
#include "heartbeat.h"

#include <errno.h>
#include <time.h>

/* Long enough to tell 250 from 300 by whole ticks. */
#define MEASURE_NS 120000000ULL
#define SLEEP_MS   1000
/* Two clocks read together. */
#define READ_MS 10

static uint64_t read_clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

uint64_t heartbeat_now_ms(void)
{
	return read_clock_ns(CLOCK_REALTIME) / 1000000;
}

/* Read anew when something came between: on a busy machine that may take longer than a sleep that counts. */
static int64_t read_asleep_ms(void)
{
	uint64_t before, asleep_ns, after;

	do {
		before = read_clock_ns(CLOCK_MONOTONIC);
		asleep_ns = read_clock_ns(CLOCK_BOOTTIME) - before;
		after = read_clock_ns(CLOCK_MONOTONIC);
	} while (after - before > READ_MS * 1000000ULL);
	return (int64_t)asleep_ns / 1000000;
}

uint64_t heartbeat_period_ms(uint64_t stale_after_ms)
{
	return stale_after_ms / 4 < 1000 ? stale_after_ms / 4 : 1000;
}

uint32_t heartbeat_pick_hz(uint64_t jiffies, uint64_t ns)
{
	static const uint32_t usual[] = {100, 250, 300, 1000};
	double rate = ns ? (double)jiffies * 1e9 / (double)ns : 0;
	uint32_t best = 0;
	double best_off = 0.1;

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		double off = rate > usual[i] ? rate / usual[i] - 1 : 1 - rate / usual[i];

		if (off <= best_off) {
			best = usual[i];
			best_off = off;
		}
	}
	if (best)
		return best;
	return rate < 1 ? 1 : (uint32_t)rate;
}

int heartbeat_begin(struct heartbeat *h, uint64_t stale_after_ms, const struct generation *g)
{
	*h = (struct heartbeat){.stale_after_ms = stale_after_ms, .asleep_ms = read_asleep_ms()};
	h->first_ns = read_clock_ns(CLOCK_MONOTONIC);
	return generation_read_jiffies(g, &h->first_jiffies);
}

int heartbeat_measure(struct heartbeat *h, const struct generation *g)
{
	uint64_t spent_ns = read_clock_ns(CLOCK_MONOTONIC) - h->first_ns;
	uint64_t jiffies;
	int err;

	if (spent_ns < MEASURE_NS) {
		struct timespec rest = {.tv_nsec = (long)(MEASURE_NS - spent_ns)};

		while (nanosleep(&rest, &rest) && errno == EINTR)
			;
	}
	err = generation_read_jiffies(g, &jiffies);
	if (err)
		return err;
	h->hz = heartbeat_pick_hz(jiffies - h->first_jiffies, read_clock_ns(CLOCK_MONOTONIC) - h->first_ns);
	return 0;
}

static bool is_late_untold(const struct heartbeat *h, uint64_t now_ns)
{
	return h->beat_ns && now_ns - h->beat_ns >= h->stale_after_ms * 1000000 && !h->is_late_told;
}

int heartbeat_beat(struct heartbeat *h, struct generation *g)
{
	uint64_t now_ns = read_clock_ns(CLOCK_BOOTTIME), jiffies;
	int err;

	if (is_late_untold(h, now_ns))
		return 0;
	err = generation_read_jiffies(g, &jiffies);
	if (err)
		return err;
	h->beat_ns = now_ns;
	h->is_late_told = false;
	/* Rounded up: a stale_after below one jiffy must not make a deadline of now. */
	jiffies += (h->stale_after_ms * h->hz + 999) / 1000;
	__atomic_store_n(&generation_config(g)->deadline_jiffies, jiffies, __ATOMIC_RELEASE);
	__atomic_store_n(&generation_status(g)->heartbeat_ms, heartbeat_now_ms(), __ATOMIC_RELAXED);
	return 0;
}

bool heartbeat_has_slept(struct heartbeat *h)
{
	uint64_t now_ns = read_clock_ns(CLOCK_BOOTTIME);
	int64_t asleep_ms = read_asleep_ms();
	bool has_slept = asleep_ms - h->asleep_ms >= SLEEP_MS, is_late = is_late_untold(h, now_ns);

	/* Followed only in jumps, so that many short sleeps add up to one that counts. */
	if (has_slept)
		h->asleep_ms = asleep_ms;
	/* Reading the source anew may take as long again: that is no reason to begin once more. */
	h->is_late_told |= is_late;
	return has_slept || is_late;
}
