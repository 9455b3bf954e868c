/* SPDX-License-Identifier: Apache-2.0 */
/* One request of the client under test: what was called, in which order, and what to do from within its callbacks. */
#pragma once

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kube/client.h"

/* Far beyond anything these tests take: a hang shall fail, not hang. */
#define FETCH_PATIENCE_MS 30000

struct fetch {
	struct loop *loop;
	struct kube_client *client;
	struct kube_request *request;
	int *pending; /* the loop is stopped when it gets to 0 */
	int heads, datas, ends;
	enum kube_end end;
	struct error error;
	struct kube_response response;
	char body[4096]; /* its beginning */
	size_t len;
	void (*at_head)(struct fetch *f);
	int (*at_data)(struct fetch *f);
	void (*at_end)(struct fetch *f);
	struct fetch *other;
};

static inline void fetch_on_head(void *ctx, const struct kube_response *response)
{
	struct fetch *f = ctx;

	assert_int_equal(f->heads + f->datas + f->ends, 0);
	f->heads++;
	f->response = *response;
	if (f->at_head)
		f->at_head(f);
}

static inline int fetch_on_data(void *ctx, const char *data, size_t len)
{
	struct fetch *f = ctx;
	size_t room = sizeof(f->body) - 1;

	assert_int_equal(f->heads, 1);
	assert_int_equal(f->ends, 0);
	assert_true(len > 0);
	f->datas++;
	if (f->len < room)
		memcpy(f->body + f->len, data, len < room - f->len ? len : room - f->len);
	f->len += len;
	return f->at_data ? f->at_data(f) : 0;
}

static inline void fetch_on_end(void *ctx, enum kube_end end, const struct error *e)
{
	struct fetch *f = ctx;

	assert_int_equal(f->ends, 0);
	f->ends++;
	f->end = end;
	f->error = *e;
	f->request = NULL;
	if (f->at_end)
		f->at_end(f);
	if (f->pending && --*f->pending == 0)
		loop_stop(f->loop, 0);
}

static const struct kube_request_callbacks fetch_callbacks = {fetch_on_head, fetch_on_data, fetch_on_end};

static inline void fetch_start(struct fetch *f, struct loop *l, struct kube_client *c, const char *target)
{
	struct error e;

	f->loop = l;
	f->client = c;
	f->request = kube_client_get(c, target, false, &fetch_callbacks, f, &e);
	assert_non_null(f->request);
	/* Never from within. */
	assert_int_equal(f->heads + f->datas + f->ends, 0);
}

static inline void fetch_hangs(void *ctx)
{
	loop_stop(ctx, -1);
}

/* Until something stops the loop. */
static inline void fetch_run(struct loop *l)
{
	struct loop_handle *watchdog = loop_add_timer(l, FETCH_PATIENCE_MS, 0, fetch_hangs, l);

	assert_int_equal(loop_run(l), 0);
	loop_remove(l, watchdog);
}

/* One request from beginning to end. */
static inline void fetch_one(struct fetch *f, struct loop *l, struct kube_client *c, const char *target)
{
	int pending = 1;

	f->pending = &pending;
	fetch_start(f, l, c, target);
	fetch_run(l);
	assert_int_equal(f->ends, 1);
}

static inline int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
