/* SPDX-License-Identifier: Apache-2.0 */
/* One epoll loop: descriptors, timers (CLOCK_MONOTONIC), signals. Single-threaded; callbacks may add and remove any
 * handle, themselves included. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_handle;

typedef void (*loop_fd_fn)(void *ctx, uint32_t events);   /* EPOLLIN, … */
typedef void (*loop_timer_fn)(void *ctx);
typedef void (*loop_signal_fn)(void *ctx, int signo);

/* NULL with errno set on failure. */
struct loop *loop_new(void);
/* Also frees handles still present; descriptors given to loop_add_fd stay the caller's. NULL is allowed. */
void loop_free(struct loop *l);

/* NULL with errno set on failure. */
struct loop_handle *loop_add_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn fn, void *ctx);
int loop_set_events(struct loop_handle *h, uint32_t events);
/* first_ms 0: disarmed. period_ms 0: fires once. */
struct loop_handle *loop_add_timer(struct loop *l, uint64_t first_ms, uint64_t period_ms, loop_timer_fn fn, void *ctx);
int loop_set_timer(struct loop_handle *h, uint64_t first_ms, uint64_t period_ms);
/* Blocks the signals of the set and delivers them through the loop. */
struct loop_handle *loop_add_signals(struct loop *l, const sigset_t *set, loop_signal_fn fn, void *ctx);
/* NULL is allowed. */
void loop_remove(struct loop *l, struct loop_handle *h);

/* Runs until loop_stop; returns the code given there, or -errno. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int code);
