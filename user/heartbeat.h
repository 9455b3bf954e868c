/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sign of life for the datapath: a deadline in jiffies, moved on by each beat. When beats cease, the datapath
 * passes everything by itself (design.md section 4).
 */
#pragma once

#include "kernel/generation.h"

struct heartbeat {
	uint64_t stale_after_ms;
	uint32_t hz; /* jiffies per second; 0: not measured yet */
	/* Start of the measurement. */
	uint64_t first_jiffies;
	uint64_t first_ns; /* CLOCK_MONOTONIC */
	/* CLOCK_BOOTTIME - CLOCK_MONOTONIC at the last beat: grows only while the machine sleeps. */
	int64_t asleep_ms;
	uint64_t beat_ns;  /* CLOCK_BOOTTIME of the last beat; 0: there was none */
	bool is_late_told; /* that it is too long ago */
};

/* Starts the measurement of the rate of jiffies. */
int heartbeat_begin(struct heartbeat *h, uint64_t stale_after_ms, const struct generation *g);
/* Ends it; sleeps for what is missing to 100 ms. Then beats can be made. */
int heartbeat_measure(struct heartbeat *h, const struct generation *g);
/* Sets the deadline and status->heartbeat_ms. Does nothing when the last beat is longer ago than the datapath waits, until
 * heartbeat_has_slept has told so: what is loaded may be that old. */
int heartbeat_beat(struct heartbeat *h, struct generation *g);
/* True once for each sleep of the machine of a second or more since the last call, and once before the next beat when the last
 * one is longer ago than the datapath waits (the agent stood still). */
bool heartbeat_has_slept(struct heartbeat *h);
/* How often to beat. */
uint64_t heartbeat_period_ms(uint64_t stale_after_ms);

/* The kernel's usual rates (100, 250, 300, 1000) where one is within 10 %, else the rate as measured; at least 1. */
uint32_t heartbeat_pick_hz(uint64_t jiffies, uint64_t ns);
/* CLOCK_REALTIME in milliseconds, as struct nodens_status has its times. */
uint64_t heartbeat_now_ms(void);
