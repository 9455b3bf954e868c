/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks, in milliseconds. A file of its own, so that a test can put another time in their place. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC: for spans; never 0. */
uint64_t clock_monotonic_ms(void);
/* CLOCK_REALTIME: for people. */
uint64_t clock_real_ms(void);
