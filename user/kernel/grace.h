/* SPDX-License-Identifier: Apache-2.0 */
/* The helper thread that waits for grace periods, one batch at a time, so that the loop never blocks. */
#pragma once

#include "base/loop.h"
#include "kernel/table.h"

struct grace;

/* wait blocks until old readers are gone (generation_wait_readers); it runs on the helper thread. done runs on the loop. */
typedef int (*grace_wait_fn)(void *ctx);
typedef void (*grace_done_fn)(void *ctx, struct table *table, struct table_batch *batch);

struct grace *grace_new(struct loop *l, grace_wait_fn wait, grace_done_fn done, void *ctx);
/* Queues the batch; the table is only handed back to done. */
int grace_submit(struct grace *g, struct table *table, struct table_batch *batch);
/* Batches not yet done. */
size_t grace_pending(const struct grace *g);
uint64_t grace_completed(const struct grace *g);
/* Waits for the thread; batches not yet done are handed to done first. NULL is allowed. */
void grace_free(struct grace *g);
