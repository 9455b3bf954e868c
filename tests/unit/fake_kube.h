/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In place of the event loop, the clocks and the API client: time moves when a test says so, and a test is the server.
 * Defined here and not in the library, they keep base/loop.c, base/clock.c and kube/client.c from being linked.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "kube/client.h"

#define FAKE_BEGAN_MS 1000000

static uint64_t fake_now_ms = FAKE_BEGAN_MS;

uint64_t clock_monotonic_ms(void)
{
	return fake_now_ms;
}

uint64_t clock_real_ms(void)
{
	return 1700000000000 + fake_now_ms;
}

/* ---- timers ---- */

struct loop_handle {
	struct loop_handle *next;
	uint64_t due_ms; /* 0: disarmed */
	uint64_t period_ms;
	loop_timer_fn fn;
	void *ctx;
};

static struct loop_handle *fake_timers;

struct loop_handle *loop_add_timer(struct loop *l, uint64_t first_ms, uint64_t period_ms, loop_timer_fn fn, void *ctx)
{
	struct loop_handle *h = calloc(1, sizeof(*h));

	(void)l;
	assert_non_null(h);
	*h = (struct loop_handle){.next = fake_timers, .fn = fn, .ctx = ctx};
	fake_timers = h;
	(void)loop_set_timer(h, first_ms, period_ms);
	return h;
}

int loop_set_timer(struct loop_handle *h, uint64_t first_ms, uint64_t period_ms)
{
	h->due_ms = first_ms ? fake_now_ms + first_ms : 0;
	h->period_ms = period_ms;
	return 0;
}

void loop_remove(struct loop *l, struct loop_handle *h)
{
	(void)l;
	for (struct loop_handle **p = &fake_timers; *p; p = &(*p)->next)
		if (*p == h) {
			*p = h->next;
			free(h);
			return;
		}
}

/* Time goes on by so much, and what becomes due in it is called in order. */
static void fake_pass_ms(uint64_t ms)
{
	uint64_t until_ms = fake_now_ms + ms;

	for (;;) {
		struct loop_handle *first = NULL;

		for (struct loop_handle *h = fake_timers; h; h = h->next)
			if (h->due_ms && h->due_ms <= until_ms && (!first || h->due_ms < first->due_ms))
				first = h;
		if (!first)
			break;
		fake_now_ms = first->due_ms;
		first->due_ms = first->period_ms ? fake_now_ms + first->period_ms : 0;
		first->fn(first->ctx);
	}
	fake_now_ms = until_ms;
}

/* ---- requests ---- */

struct kube_request {
	char target[1024];
	bool wants_gzip, is_over, is_cancelled;
	struct kube_request_callbacks cb;
	void *ctx;
};

/* All that were made, in order; they live until fake_end_all. */
static struct kube_request *fake_requests[512];
static size_t fake_request_count;
static bool fake_has_no_memory;

struct kube_client {
	int ignored;
};

struct kube_client *kube_client_new(struct loop *l, const struct kube_config *config, struct error *e)
{
	(void)l;
	(void)config;
	(void)e;
	return calloc(1, sizeof(struct kube_client));
}

void kube_client_free(struct kube_client *c)
{
	free(c);
}

uint64_t kube_client_octets(const struct kube_client *c)
{
	(void)c;
	return 42;
}

struct kube_request *kube_client_get(struct kube_client *c, const char *target, bool wants_gzip,
				     const struct kube_request_callbacks *cb, void *ctx, struct error *e)
{
	struct kube_request *r = calloc(1, sizeof(*r));

	(void)c;
	assert_non_null(r);
	assert_true(fake_request_count < sizeof(fake_requests) / sizeof(fake_requests[0]));
	if (fake_has_no_memory) {
		free(r);
		(void)error_set(e, 0, "out of memory");
		return NULL;
	}
	assert_true(strlen(target) < sizeof(r->target));
	strcpy(r->target, target);
	r->wants_gzip = wants_gzip;
	r->cb = *cb;
	r->ctx = ctx;
	fake_requests[fake_request_count++] = r;
	return r;
}

void kube_request_cancel(struct kube_request *r)
{
	if (!r)
		return;
	assert_false(r->is_over);
	r->is_over = true;
	r->is_cancelled = true;
}

static void fake_end_all(void)
{
	for (size_t i = 0; i < fake_request_count; i++)
		free(fake_requests[i]);
	fake_request_count = 0;
	fake_has_no_memory = false;
	assert_null(fake_timers);
}

/* The running request whose target has this part; a test fails where there is none or more than one. */
static struct kube_request *fake_running(const char *part)
{
	struct kube_request *found = NULL;

	for (size_t i = 0; i < fake_request_count; i++) {
		if (fake_requests[i]->is_over || !strstr(fake_requests[i]->target, part))
			continue;
		if (found)
			fail_msg("two requests run: %s and %s", found->target, fake_requests[i]->target);
		found = fake_requests[i];
	}
	if (!found)
		fail_msg("no request runs with %s", part);
	return found;
}

static bool fake_is_running(const char *part)
{
	for (size_t i = 0; i < fake_request_count; i++)
		if (!fake_requests[i]->is_over && strstr(fake_requests[i]->target, part))
			return true;
	return false;
}

/* ---- answers ---- */

static void fake_end(struct kube_request *r, enum kube_end end, const char *why)
{
	struct error e = {0};

	snprintf(e.text, sizeof(e.text), "%s", why);
	assert_false(r->is_over);
	r->is_over = true;
	r->cb.on_end(r->ctx, end, &e);
}

static void fake_complete(struct kube_request *r)
{
	fake_end(r, KUBE_END_COMPLETE, "");
}

static void fake_head_after(struct kube_request *r, int status, uint64_t retry_after_ms)
{
	struct kube_response head = {
		.status = status, .retry_after_ms = retry_after_ms, .content_type = "application/json"};

	assert_false(r->is_over);
	r->cb.on_head(r->ctx, &head);
}

static void fake_head(struct kube_request *r, int status)
{
	fake_head_after(r, status, 0);
}

static void fake_octets(struct kube_request *r, const char *data, size_t len)
{
	char *copy; /* of exact size, so that a sanitizer sees who reads on */

	assert_false(r->is_over);
	copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, data, len);
	if (r->cb.on_data(r->ctx, copy, len) && !r->is_over)
		fake_end(r, KUBE_END_STOPPED, "stopped");
	free(copy);
}

static void fake_data(struct kube_request *r, const char *text)
{
	fake_octets(r, text, strlen(text));
}

/* A whole answer that refuses. */
static void fake_refuse(struct kube_request *r, int status, uint64_t retry_after_ms, const char *body)
{
	fake_head_after(r, status, retry_after_ms);
	fake_data(r, body);
	fake_complete(r);
}

/* ---- texts; they live until the call after the next three ---- */

static char *fake_text(void)
{
	static char text[4][4096];
	static unsigned int turn;

	return text[turn++ % 4];
}

/* {"metadata":…,…} of a Service or a slice of it; clusterIP tells one state of a service from another. */
static const char *fake_item(const char *kind, const char *name, const char *version)
{
	char *text = fake_text();

	if (strcmp(kind, "Service") == 0)
		snprintf(
			text, 4096,
			"{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"namespace\":\"d\",\"name\":\"%s\","
			"\"resourceVersion\":\"%s\"},\"spec\":{\"clusterIP\":\"None\"}}",
			name, version);
	else
		snprintf(
			text, 4096,
			"{\"kind\":\"EndpointSlice\",\"apiVersion\":\"discovery.k8s.io/"
			"v1\",\"metadata\":{\"namespace\":\"d\","
			"\"name\":\"%s\",\"resourceVersion\":\"%s\",\"labels\":{\"kubernetes.io/service-name\":\"s\"}},"
			"\"addressType\":\"IPv4\",\"endpoints\":null,\"ports\":null}",
			name, version);
	return text;
}

static const char *fake_event(const char *type, const char *kind, const char *name, const char *version)
{
	char *text = fake_text();

	snprintf(text, 4096, "{\"type\":\"%s\",\"object\":%s}\n", type, fake_item(kind, name, version));
	return text;
}

static const char *fake_bookmark(const char *kind, const char *version, bool is_end)
{
	char *text = fake_text();

	snprintf(text, 4096,
		 "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"v1\",\"metadata\":{"
		 "\"resourceVersion\":\"%s\"%s}}}\n",
		 kind, version, is_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
	return text;
}

/* As the server has it (tests/data/api/gone-watch-1.jsonl). */
static const char *fake_error(int code, const char *reason, const char *message)
{
	char *text = fake_text();

	snprintf(text, 4096,
		 "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
		 "\"Failure\","
		 "\"message\":\"%s\",\"reason\":\"%s\",\"code\":%d}}\n",
		 message, reason, code);
	return text;
}

/* names: separated by blanks, each at version 1 unless "name@version". */
static const char *fake_list(const char *kind, const char *version, const char *names)
{
	char *text = fake_text(), copy[256], *save = NULL;
	size_t len = (size_t)snprintf(text, 4096,
				      "{\"kind\":\"%sList\",\"metadata\":{\"resourceVersion\":\"%s\"},\"items\":[",
				      kind, version);
	const char *comma = "";

	snprintf(copy, sizeof(copy), "%s", names);
	for (char *n = strtok_r(copy, " ", &save); n; n = strtok_r(NULL, " ", &save)) {
		char *at = strchr(n, '@');

		if (at)
			*at = '\0';
		len += (size_t)snprintf(text + len, 4096 - len, "%s%s", comma, fake_item(kind, n, at ? at + 1 : "1"));
		comma = ",";
	}
	assert_true(len + 3 < 4096);
	strcpy(text + len, "]}");
	return text;
}
