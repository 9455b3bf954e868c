/* SPDX-License-Identifier: Apache-2.0 */
/* One collection followed: each way an answer can end, and what is asked next. The test is the server and the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_kube.h"
#include "kube/watcher.h"
#include "kube/watcher_target.h"

#define SVC "Service"

/* ---- what a watcher says, as one line ---- */

struct heard {
	char text[4096];
	size_t len;
	unsigned int alive;
	char cause[512];
	bool is_relisted_on_object; /* the callee asks for a list */
	struct watcher *watcher;
	struct nodens_api_errors errors;
};

__attribute__((format(printf, 2, 3))) static void hear(struct heard *h, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	h->len += (size_t)vsnprintf(h->text + h->len, sizeof(h->text) - h->len, format, args);
	va_end(args);
	assert_true(h->len < sizeof(h->text));
}

static void on_list(void *ctx)
{
	hear(ctx, "[");
}

static void on_object(void *ctx, struct kube_object *o)
{
	struct heard *h = ctx;

	hear(h, " %s@%s", o->name, o->resource_version);
	kube_object_free(o);
	if (h->is_relisted_on_object)
		watcher_relist(h->watcher, false);
	h->is_relisted_on_object = false;
}

static void on_deleted(void *ctx, enum kube_kind kind, const char *namespace, const char *name)
{
	assert_int_equal(kind, KUBE_SERVICE);
	assert_string_equal(namespace, "d");
	hear(ctx, " -%s", name);
}

static void on_listed(void *ctx, size_t nameless, const char *why)
{
	hear(ctx, nameless ? " ]%zu %s" : " ]", nameless, why);
}

static void on_batch(void *ctx)
{
	hear(ctx, ";");
}

static void on_alive(void *ctx)
{
	((struct heard *)ctx)->alive++;
}

static void on_accepted(void *ctx)
{
	(void)ctx;
}

static void on_trouble(void *ctx, enum watcher_trouble trouble, const struct error *e)
{
	static const char *const names[] = {"fine", "unreachable", "refused", "version"};
	struct heard *h = ctx;

	assert_true(!e == (trouble == WATCHER_FINE));
	snprintf(h->cause, sizeof(h->cause), "%s", e ? e->text : "");
	hear(h, "!%s", names[trouble]);
}

static const struct watcher_callbacks callbacks = {.on_list = on_list,
						   .on_object = on_object,
						   .on_deleted = on_deleted,
						   .on_listed = on_listed,
						   .on_batch = on_batch,
						   .on_alive = on_alive,
						   .on_accepted = on_accepted,
						   .on_trouble = on_trouble};

#define assert_heard(h, wanted)                         \
	do {                                            \
		assert_string_equal((h)->text, wanted); \
		(h)->len = 0;                           \
		(h)->text[0] = '\0';                    \
	} while (0)

#define assert_asks(part)     assert_non_null(strstr(fake_running("")->target, part))
#define assert_asks_not(part) assert_null(strstr(fake_running("")->target, part))

/* ---- a watcher at some stage ---- */

static struct heard heard;

static void start_with(const struct watcher_params *params)
{
	memset(&heard, 0, sizeof(heard));
	heard.watcher = watcher_new(NULL, NULL, params, &callbacks, &heard);
	assert_non_null(heard.watcher);
}

static void start(const char *version, uint64_t quiet_max_ms)
{
	struct watcher_params params = {.path = "/api/v1/services",
					.selectors = "",
					.kind = KUBE_SERVICE,
					.quiet_max_ms = quiet_max_ms,
					.errors = &heard.errors};

	snprintf(params.version, sizeof(params.version), "%s", version);
	start_with(&params);
	fake_pass_ms(1);
}

/* Listed by streaming at version 10, with a and b; its request goes on as a watch. */
static struct kube_request *start_watching(void)
{
	struct kube_request *r;

	start("", 0);
	r = fake_running("sendInitialEvents");
	fake_head(r, 200);
	fake_data(r, fake_event("ADDED", SVC, "a", "7"));
	fake_data(r, fake_event("ADDED", SVC, "b", "3"));
	fake_data(r, fake_bookmark(SVC, "10", true));
	assert_heard(&heard, "[ a@7 b@3 ]");
	return r;
}

static int stop(void **state)
{
	(void)state;
	watcher_free(heard.watcher);
	heard.watcher = NULL;
	fake_end_all();
	return 0;
}

/* The next request, within the window of one backoff. */
static struct kube_request *retried(void)
{
	fake_pass_ms(30000);
	return fake_running("");
}

static void answer_list(struct kube_request *r, const char *version, const char *names)
{
	fake_head(r, 200);
	fake_data(r, fake_list(SVC, version, names));
	fake_complete(r);
}

/* ---- first lists ---- */

static void a_streaming_list_ends_with_its_marker_and_goes_on_as_a_watch(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	assert_string_equal(watcher_version(heard.watcher), "10");
	assert_true(watcher_is_synced(heard.watcher));
	fake_data(r, fake_event("MODIFIED", SVC, "a", "11"));
	assert_heard(&heard, " a@11;");
	assert_string_equal(watcher_version(heard.watcher), "11");
	assert_int_equal(fake_request_count, 1);
}

static void the_first_list_asks_for_what_was_saved(void **state)
{
	(void)state;
	start("815", 0);
	assert_asks(
		"/api/v1/services?watch=1&sendInitialEvents=true&resourceVersion=815&resourceVersionMatch=NotOlderThan"
		"&allowWatchBookmarks=true&timeoutSeconds=");
	assert_false(fake_running("")->wants_gzip);
}

static void the_first_request_waits_for_its_delay(void **state)
{
	struct watcher_params params = {.path = "/p", .selectors = "x=y", .delay_ms = 5000, .errors = &heard.errors};

	(void)state;
	start_with(&params);
	fake_pass_ms(4999);
	assert_int_equal(fake_request_count, 0);
	fake_pass_ms(1);
	assert_asks("/p?watch=1");
	assert_asks("&x=y");
}

static void refuse_streaming(int status)
{
	start("815", 0);
	fake_refuse(fake_running(""), status, 0, "{\"kind\":\"Status\",\"code\":422}");
	/* At once, and no trouble. */
	assert_string_equal(fake_running("")->target,
			    "/api/v1/services?resourceVersion=815&resourceVersionMatch=NotOlderThan");
	assert_true(fake_running("")->wants_gzip);
	answer_list(fake_running(""), "820", "a@5 b@6");
	assert_heard(&heard, "[ a@5 b@6 ]");
	assert_asks("?watch=1&resourceVersion=820&allowWatchBookmarks=true&timeoutSeconds=");
	assert_int_equal(heard.errors.failed, 0);
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_error(410, "Expired", "too old"));
}

static void a_server_without_streaming_lists_is_asked_for_a_list(void **state)
{
	static const int statuses[] = {422, 400};

	for (size_t i = 0; i < 2; i++) {
		refuse_streaming(statuses[i]);
		retried();
		/* It is not asked for again. */
		assert_asks_not("sendInitialEvents");
		stop(state);
	}
}

static void a_list_of_any_version_is_asked_for_without_a_saved_one(void **state)
{
	(void)state;
	start("", 0);
	assert_asks("resourceVersion=0&");
	fake_refuse(fake_running(""), 422, 0, "{}");
	assert_string_equal(fake_running("")->target, "/api/v1/services?resourceVersion=0");
}

static void a_server_that_ignores_streaming_is_found_out_by_the_marker_that_never_comes(void **state)
{
	(void)state;
	start("", 0);
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_event("ADDED", SVC, "a", "7"));
	fake_pass_ms(9000);
	fake_data(fake_running(""), fake_event("ADDED", SVC, "b", "8"));
	fake_pass_ms(9999);
	assert_asks("sendInitialEvents");
	fake_pass_ms(1);
	assert_asks("?resourceVersion=0");
	answer_list(fake_running(""), "9", "a@7 b@8");
	assert_heard(&heard, "[ a@7 b@8[ a@7 b@8 ]");
	assert_int_equal(heard.errors.silent, 0);
}

static void a_server_that_ignores_streaming_is_found_out_by_a_bookmark_without_marker(void **state)
{
	(void)state;
	start("", 0);
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_event("ADDED", SVC, "a", "7"));
	fake_data(fake_running(""), fake_bookmark(SVC, "9", false));
	assert_asks("?resourceVersion=0");
	assert_heard(&heard, "[ a@7");
}

static void an_empty_streaming_list_is_a_list(void **state)
{
	(void)state;
	start("", 0);
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_bookmark(SVC, "9", true));
	assert_heard(&heard, "[ ]");
}

static void a_list_in_pages_is_one_list(void **state)
{
	(void)state;
	start("", 0);
	fake_refuse(fake_running(""), 422, 0, "{}");
	fake_head(fake_running(""), 200);
	fake_data(
		fake_running(""),
		"{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"a/b=\"},\"items\":[");
	fake_data(fake_running(""), fake_item(SVC, "a", "1"));
	fake_data(fake_running(""), "]}");
	fake_complete(fake_running(""));
	assert_heard(&heard, "[ a@1");
	assert_string_equal(fake_running("")->target, "/api/v1/services?continue=a%2Fb%3D");
	answer_list(fake_running(""), "9", "b@2");
	assert_heard(&heard, " b@2 ]");
	assert_asks("watch=1&resourceVersion=9&");
}

static void a_list_in_pages_that_expires_begins_anew(void **state)
{
	(void)state;
	start("", 0);
	fake_refuse(fake_running(""), 422, 0, "{}");
	fake_head(fake_running(""), 200);
	fake_data(
		fake_running(""),
		"{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"x\"},\"items\":[]}");
	fake_complete(fake_running(""));
	fake_refuse(fake_running("continue=x"), 410, 0, "{\"kind\":\"Status\",\"reason\":\"Expired\",\"code\":410}");
	assert_heard(&heard, "[!unreachable");
	assert_int_equal(heard.errors.expired, 1);
	answer_list(retried(), "12", "a@1");
	assert_heard(&heard, "[ a@1 ]!fine");
}

/* ---- lists that fail ---- */

static void a_list_cut_anywhere_begins_again(void **state)
{
	const char *body = "{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[]}";

	(void)state;
	start("", 0);
	fake_refuse(fake_running(""), 422, 0, "{}");
	fake_head(fake_running(""), 200);
	fake_octets(fake_running(""), body, strlen(body) - 1);
	fake_end(fake_running(""), KUBE_END_CUT, "cut");
	assert_heard(&heard, "[!unreachable");
	/* Complete as HTTP has it, and still not a list. */
	fake_head(retried(), 200);
	fake_octets(fake_running(""), body, strlen(body) - 1);
	fake_complete(fake_running(""));
	assert_heard(&heard, "[!unreachable");
	assert_int_equal(heard.errors.cut, 1);
	assert_int_equal(heard.errors.malformed, 1);
	assert_false(watcher_is_synced(heard.watcher));
}

static void a_list_without_version_is_none(void **state)
{
	(void)state;
	start("", 0);
	fake_refuse(fake_running(""), 422, 0, "{}");
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), "{\"kind\":\"ServiceList\",\"metadata\":{},\"items\":[]}");
	fake_complete(fake_running(""));
	assert_heard(&heard, "[!unreachable");
	assert_non_null(strstr(heard.cause, "resourceVersion"));
}

static void a_list_of_slices_is_no_list_of_services(void **state)
{
	(void)state;
	start("", 0);
	fake_refuse(fake_running(""), 422, 0, "{}");
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_list("EndpointSlice", "9", "a"));
	assert_heard(&heard, "[!unreachable");
	assert_int_equal(heard.errors.malformed, 1);
}

static void a_silent_list_is_cut(void **state)
{
	struct kube_request *r;

	(void)state;
	start("", 0);
	fake_refuse(fake_running(""), 422, 0, "{}");
	r = fake_running("");
	fake_head(r, 200);
	fake_pass_ms(29999);
	assert_false(r->is_over);
	fake_pass_ms(1);
	assert_true(r->is_cancelled);
	assert_int_equal(heard.errors.silent, 1);
	answer_list(retried(), "9", "");
	assert_heard(&heard, "[!unreachable[ ]!fine");
}

static void objects_without_a_name_are_counted(void **state)
{
	(void)state;
	start("", 0);
	fake_refuse(fake_running(""), 422, 0, "{}");
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""),
		  "{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[{},"
		  "{\"metadata\":{\"namespace\":\"d\",\"name\":\"a\",\"resourceVersion\":\"5\"}},{}]}");
	fake_complete(fake_running(""));
	assert_heard(&heard, "[ a@5 ]2 /api/v1/services:items[0]: metadata is missing");
}

static void an_object_without_a_name_in_a_streaming_list_is_told_by_a_list(void **state)
{
	(void)state;
	start("", 0);
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Service\",\"metadata\":{}}}\n");
	assert_heard(&heard, "[!unreachable");
	assert_null(strstr(retried()->target, "sendInitialEvents"));
	/* A server that has streaming lists is asked for one the next time. */
	answer_list(fake_running(""), "9", "a");
	watcher_relist(heard.watcher, false);
	fake_pass_ms(1);
	assert_asks("sendInitialEvents");
}

/* ---- watches ---- */

static void events_of_one_piece_are_one_batch(void **state)
{
	struct kube_request *r = start_watching();
	char piece[8192];

	(void)state;
	snprintf(piece, sizeof(piece), "%s%s%.30s", fake_event("ADDED", SVC, "c", "11"),
		 fake_event("DELETED", SVC, "a", "12"), fake_event("ADDED", SVC, "d", "13"));
	fake_data(r, piece);
	assert_heard(&heard, " c@11 -a;");
	assert_string_equal(watcher_version(heard.watcher), "12");
	fake_data(r, fake_event("ADDED", SVC, "d", "13") + 30);
	assert_heard(&heard, " d@13;");
}

static void a_bookmark_moves_the_version_and_is_a_sign_of_life(void **state)
{
	struct kube_request *r = start_watching();
	unsigned int alive = heard.alive;

	(void)state;
	fake_data(r, fake_bookmark(SVC, "99", false));
	assert_heard(&heard, "");
	assert_string_equal(watcher_version(heard.watcher), "99");
	assert_int_equal(heard.alive, alive + 1);
}

static void other_kinds_are_ignored(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	fake_data(r, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"12\"}}}\n");
	fake_data(r, fake_event("ADDED", "EndpointSlice", "x", "13"));
	assert_heard(&heard, "");
	assert_string_equal(watcher_version(heard.watcher), "13");
}

static void a_clean_end_is_resumed_at_once_and_without_a_list(void **state)
{
	struct kube_request *r = start_watching();
	struct watcher_stats stats;

	(void)state;
	fake_data(r, fake_bookmark(SVC, "20", false));
	fake_pass_ms(5000);
	fake_complete(r);
	assert_heard(&heard, "");
	assert_asks("?watch=1&resourceVersion=20&allowWatchBookmarks=true&timeoutSeconds=");
	fake_head(fake_running(""), 200);
	watcher_get_stats(heard.watcher, &stats);
	assert_int_equal(stats.reconnects, 1);
	assert_int_equal(stats.relists, 0);
}

static void the_length_of_a_watch_is_random_between_5_and_10_minutes(void **state)
{
	struct kube_request *r = start_watching();
	int first = 0;
	bool has_others = false;

	(void)state;
	for (int i = 0; i < 40; i++) {
		int s = atoi(strstr(r->target, "timeoutSeconds=") + strlen("timeoutSeconds="));

		assert_in_range(s, 300, 600);
		has_others |= first && s != first;
		first = s;
		if (i)
			fake_head(r, 200);
		fake_data(r, fake_bookmark(SVC, "20", false));
		fake_complete(r);
		r = fake_running("");
	}
	assert_true(has_others);
}

static void a_watch_that_ends_at_once_each_time_is_no_hot_loop(void **state)
{
	size_t before;

	(void)state;
	fake_complete(start_watching()); /* after a list: that worked */
	for (int i = 0; i < 12; i++) {
		fake_head(retried(), 200);
		fake_complete(fake_running(""));
	}
	before = fake_request_count;
	for (int i = 0; i < 100; i++) {
		fake_pass_ms(100);
		if (fake_is_running("")) {
			fake_head(fake_running(""), 200);
			fake_complete(fake_running(""));
		}
	}
	/* Ten seconds; the window is 30 s by now. */
	assert_true(fake_request_count - before < 12);
	assert_int_not_equal(heard.errors.cut, 0);
}

static void a_cut_in_the_middle_of_a_line_loses_nothing(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	fake_data(r, fake_event("MODIFIED", SVC, "a", "11"));
	fake_octets(r, fake_event("MODIFIED", SVC, "a", "12"), 40);
	fake_end(r, KUBE_END_CUT, "connection reset");
	assert_heard(&heard, " a@11;!unreachable");
	assert_string_equal(heard.cause, "/api/v1/services: connection reset");
	r = retried();
	assert_asks("?watch=1&resourceVersion=11&");
	fake_head(r, 200);
	fake_data(r, fake_event("MODIFIED", SVC, "a", "12"));
	assert_heard(&heard, " a@12!fine;");
	assert_int_equal(heard.errors.cut, 1);
}

static void a_clean_end_in_the_middle_of_a_line_is_a_cut(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	fake_pass_ms(5000);
	fake_data(r, "{\"type\":\"ADD");
	fake_complete(r);
	assert_heard(&heard, "!unreachable");
	assert_int_equal(heard.errors.cut, 1);
}

static void the_watch_after_a_failure_is_short_until_a_sign_of_life(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	fake_end(r, KUBE_END_CUT, "cut");
	r = retried();
	assert_non_null(strstr(r->target, "timeoutSeconds=5"));
	fake_head(r, 200);
	fake_pass_ms(3000);
	fake_data(r, fake_bookmark(SVC, "30", false));
	fake_pass_ms(2000);
	fake_complete(r);
	r = fake_running("?watch=1&resourceVersion=30&");
	assert_null(strstr(r->target, "timeoutSeconds=5&"));
	assert_int_not_equal(atoi(strstr(r->target, "timeoutSeconds=") + strlen("timeoutSeconds=")), 5);
	assert_heard(&heard, "!unreachable!fine");
}

/* No object is called "-". */
#define LIST  "/api/v1/services?resourceVersion=10&resourceVersionMatch=NotOlderThan"
#define PROBE LIST "&fieldSelector=metadata.name%3D-"

/* Restored from a backup: 200 and silence for ever. */
static void a_version_of_the_future_is_found_by_a_list(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	fake_end(r, KUBE_END_CUT, "cut");
	fake_head(retried(), 200);
	fake_pass_ms(5000);
	fake_complete(fake_running("")); /* timeoutSeconds, and never a bookmark */
	assert_string_equal(fake_running("")->target, LIST);
	fake_refuse(fake_running(""), 504, 1000,
		    "{\"kind\":\"Status\",\"message\":\"Timeout: Too large resource version: 10, current: "
		    "5\",\"reason\":\"Timeout\","
		    "\"details\":{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}]},\"code\":504}");
	assert_heard(&heard, "!unreachable!version");
	watcher_relist(heard.watcher, true);
	fake_pass_ms(1);
	assert_asks("sendInitialEvents=true&resourceVersion=0&");
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_bookmark(SVC, "5", true));
	assert_heard(&heard, "[ ]!fine");
	assert_string_equal(watcher_version(heard.watcher), "5");
}

static void the_short_watch_that_is_not_even_ended_is_found_out_too(void **state)
{
	(void)state;
	fake_end(start_watching(), KUBE_END_CUT, "cut");
	fake_head(retried(), 200);
	fake_pass_ms(9999);
	assert_asks("watch=1");
	fake_pass_ms(1);
	assert_int_equal(heard.errors.silent, 1);
	assert_string_equal(retried()->target, LIST);
}

static void a_silent_watch_is_cut_and_resumed_where_the_server_is_there(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	fake_data(r, fake_bookmark(SVC, "20", false));
	/* Octets that make no line are no sign of life. */
	for (int i = 0; i < 179; i++) {
		fake_pass_ms(1000);
		fake_data(r, " ");
	}
	assert_false(r->is_over);
	fake_pass_ms(1000);
	assert_true(r->is_cancelled);
	assert_int_equal(heard.errors.silent, 1);
	assert_asks("?resourceVersion=20&resourceVersionMatch=NotOlderThan&fieldSelector=metadata.name%3D-");
	answer_list(fake_running(""), "20", "");
	assert_heard(&heard, "");
	assert_asks("?watch=1&resourceVersion=20&");
}

static void a_silent_watch_of_a_silent_server_is_trouble(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	fake_pass_ms(180000);
	assert_true(r->is_cancelled);
	assert_heard(&heard, "");
	fake_head(fake_running(""), 200);
	fake_pass_ms(30000);
	assert_heard(&heard, "!unreachable");
	assert_int_equal(heard.errors.silent, 2);
	/* Whoever answers now may be another server, at the same version by chance. */
	fake_head(retried(), 200);
	assert_asks("?watch=1&resourceVersion=10&");
	fake_pass_ms(5000);
	fake_complete(fake_running(""));
	assert_string_equal(fake_running("")->target, LIST);
	answer_list(fake_running(""), "10", "");
	assert_heard(&heard, "[ ]!fine");
}

/* On some servers there are no bookmarks where nothing changes. */
static void a_quiet_collection_is_alive_and_not_listed_again(void **state)
{
	unsigned int alive;

	(void)state;
	start("", 20000);
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_bookmark(SVC, "10", true));
	for (int i = 0; i < 10; i++) {
		alive = heard.alive;
		assert_asks("?watch=1&resourceVersion=10&");
		fake_head(fake_running(""), 200);
		fake_pass_ms(5000);
		fake_complete(fake_running(""));
		assert_string_equal(fake_running("")->target, PROBE);
		answer_list(fake_running(""), "10", "");
		assert_int_equal(heard.alive, alive + 1);
	}
	assert_heard(&heard, "[ ]");
	assert_int_equal(heard.errors.silent, 0);
}

static struct kube_request *start_probing(void)
{
	(void)start_watching();
	fake_pass_ms(180000);
	assert_string_equal(fake_running("")->target, PROBE);
	return fake_running("");
}

/* A server that ignores the selector. */
static void what_a_probe_brings_is_not_told(void **state)
{
	(void)state;
	answer_list(start_probing(), "10", "a@11 c@12");
	assert_heard(&heard, "");
	assert_string_equal(watcher_version(heard.watcher), "10");
	assert_asks("?watch=1&resourceVersion=10&");
}

/* As behind a proxy that buffers: what the watch did not tell, no probe may hide. */
static void a_silent_watch_of_a_server_that_has_moved_on_is_listed(void **state)
{
	struct kube_request *r = start_probing();
	unsigned int alive = heard.alive;

	(void)state;
	answer_list(r, "12", "");
	assert_int_equal(heard.alive, alive);
	assert_string_equal(fake_running("")->target, LIST);
	answer_list(fake_running(""), "12", "b@12");
	assert_heard(&heard, "[ b@12 ]");
	assert_asks("?watch=1&resourceVersion=12&");
}

static void a_server_that_refuses_a_probe_is_listed(void **state)
{
	(void)state;
	fake_refuse(start_probing(), 400, 0, "{\"kind\":\"Status\",\"code\":400}");
	assert_string_equal(fake_running("")->target, LIST);
	answer_list(fake_running(""), "12", "a@11");
	assert_heard(&heard, "[ a@11 ]");
	assert_asks("?watch=1&resourceVersion=12&");
}

static void a_probe_keeps_the_selectors(void **state)
{
	static const struct {
		const char *selectors, *wanted;
	} rows[] = {
		{"", "&fieldSelector=metadata.name%3D-"},
		{"labelSelector=a%3Db", "&fieldSelector=metadata.name%3D-&labelSelector=a%3Db"},
		{"fieldSelector=spec.clusterIP%3DNone", "&fieldSelector=metadata.name%3D-%2Cspec.clusterIP%3DNone"},
		{"labelSelector=a&fieldSelector=b%3Dc", "&labelSelector=a&fieldSelector=metadata.name%3D-%2Cb%3Dc"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *target = watcher_target_probe("/p", rows[i].selectors, "7");

		assert_non_null(target);
		assert_int_equal(strncmp(target, "/p?resourceVersion=7&resourceVersionMatch=NotOlderThan&", 55), 0);
		assert_string_equal(target + 54, rows[i].wanted);
		free(target);
	}
}

static void a_watch_of_a_version_too_old_leads_to_a_list_not_older(void **state)
{
	struct kube_request *r = start_watching();
	struct watcher_stats stats;

	(void)state;
	fake_data(r, fake_error(410, "Expired", "too old resource version: 10 (50)"));
	assert_heard(&heard, "!unreachable");
	assert_int_equal(heard.errors.expired, 1);
	fake_pass_ms(100);
	assert_asks("sendInitialEvents=true&resourceVersion=10&resourceVersionMatch=NotOlderThan");
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_event("ADDED", SVC, "b", "3"));
	fake_data(fake_running(""), fake_bookmark(SVC, "55", true));
	assert_heard(&heard, "[ b@3 ]!fine");
	watcher_get_stats(heard.watcher, &stats);
	assert_int_equal(stats.relists, 1);
}

static void an_error_event_is_resumed_and_listed_when_it_comes_again(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	fake_data(r, fake_error(500, "InternalError", "etcdserver: no leader"));
	assert_heard(&heard, "!unreachable");
	assert_string_equal(heard.cause, "/api/v1/services: ERROR event: 500 InternalError: etcdserver: no leader");
	fake_pass_ms(100);
	assert_asks("?watch=1&resourceVersion=10&");
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_error(500, "InternalError", "etcdserver: no leader"));
	fake_pass_ms(200);
	assert_asks("sendInitialEvents");
	assert_int_equal(heard.errors.failed, 2);
}

static void garbage_leads_to_a_list_and_waits_longer_each_time(void **state)
{
	static const char *const garbage[] = {
		"<html>\n",
		"{\"type\":\"ADDED\"}\n",
		"{\"type\":\"NEWS\",\"object\":{}}\n",
		"{\"type\":\"ADDED\",\"object\":{\"kind\":\"Service\",\"metadata\":{\"name\":7}}}\n",
		"[]\n",
		"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{}}}\n"};
	struct kube_request *r = start_watching();

	(void)state;
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		fake_data(r, garbage[i]);
		assert_heard(&heard, "!unreachable");
		assert_int_equal(heard.errors.malformed, i + 1);
		answer_list(retried(), "20", "a@7");
		assert_heard(&heard, "[ a@7 ]!fine");
		r = fake_running("watch=1&resourceVersion=20");
		fake_head(r, 200);
	}
}

/* Each list succeeds in between; the waits grow all the same. */
static void garbage_again_and_again_is_no_hot_loop(void **state)
{
	struct kube_request *r = start_watching();
	uint64_t began_ms = 0;

	(void)state;
	for (int i = 0; i < 30; i++) {
		if (i == 10)
			began_ms = fake_now_ms;
		fake_data(r, "garbage\n");
		while (!fake_is_running(""))
			fake_pass_ms(10);
		answer_list(fake_running(""), "20", "a@7");
		r = fake_running("watch=1&resourceVersion=20");
		fake_head(r, 200);
	}
	/* Twenty waits, each of up to 30 s; the sum is below 60 s once in 10^9 runs. */
	assert_true(fake_now_ms - began_ms > 60000);
}

static void what_came_before_garbage_in_one_piece_is_applied(void **state)
{
	struct kube_request *r = start_watching();
	char piece[8192];

	(void)state;
	snprintf(piece, sizeof(piece), "%s}\n%s", fake_event("MODIFIED", SVC, "a", "11"),
		 fake_event("MODIFIED", SVC, "b", "12"));
	fake_data(r, piece);
	assert_heard(&heard, " a@11;!unreachable");
	assert_string_equal(watcher_version(heard.watcher), "11");
}

static void a_line_without_end_is_bounded(void **state)
{
	struct kube_request *r = start_watching();
	char *piece = malloc(1 << 20);

	(void)state;
	assert_non_null(piece);
	memset(piece, 'x', 1 << 20);
	for (int i = 0; i < 17 && !r->is_over; i++)
		fake_octets(r, piece, 1 << 20);
	free(piece);
	assert_true(r->is_over);
	assert_heard(&heard, "!unreachable");
	assert_string_equal(heard.cause, "/api/v1/services: a line of more than 16777216 octets");
	assert_int_equal(heard.errors.malformed, 1);
}

/* ---- refusals ---- */

static void answers_that_refuse_are_told_apart(void **state)
{
	static const struct {
		int status;
		const char *body, *heard, *cause;
		size_t counter;
	} rows[] = {
		{401, "{\"kind\":\"Status\",\"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401}",
		 "!refused", "HTTP 401: Unauthorized", offsetof(struct nodens_api_errors, refused)},
		{403, "{\"kind\":\"Status\",\"message\":\"no\",\"reason\":\"Forbidden\",\"code\":403}", "!refused",
		 "HTTP 403: Forbidden: no", offsetof(struct nodens_api_errors, refused)},
		{429, "Too many requests, please try again later.\n", "!unreachable",
		 "HTTP 429: Too many requests, please try again later.", offsetof(struct nodens_api_errors, throttled)},
		{500, "", "!unreachable", "HTTP 500: ", offsetof(struct nodens_api_errors, failed)},
		{503, "<html>\xff\x1b </html>", "!unreachable", "HTTP 503: <html>?\x3f </html>",
		 offsetof(struct nodens_api_errors, failed)},
		{404, "404 page not found", "!unreachable", "HTTP 404: 404 page not found",
		 offsetof(struct nodens_api_errors, failed)},
		{302, "", "!unreachable", "HTTP 302: ", offsetof(struct nodens_api_errors, failed)},
		{410, "{}", "!unreachable", "HTTP 410: {}", offsetof(struct nodens_api_errors, expired)},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start("", 0);
		fake_refuse(fake_running(""), rows[i].status, 0, rows[i].body);
		assert_heard(&heard, rows[i].heard);
		assert_string_equal(heard.cause + strlen("/api/v1/services: "), rows[i].cause);
		assert_int_equal(*(uint64_t *)((char *)&heard.errors + rows[i].counter), 1);
		retried();
		stop(state);
	}
}

static void retry_after_is_kept(void **state)
{
	(void)state;
	start("", 0);
	fake_refuse(fake_running(""), 429, 7000, "no");
	fake_pass_ms(6999);
	assert_false(fake_is_running(""));
	fake_pass_ms(101);
	assert_true(fake_is_running(""));
}

static void refusals_right_after_a_restart_are_over_soon(void **state)
{
	(void)state;
	start("", 0);
	for (int i = 0; i < 3; i++) {
		fake_refuse(fake_running(""), 403, 0, "{}");
		fake_pass_ms(100U << i);
	}
	fake_head(fake_running(""), 200);
	fake_data(fake_running(""), fake_bookmark(SVC, "9", true));
	assert_heard(&heard, "!refused!refused!refused[ ]!fine");
}

/* So is the first refusal after an outage that has made the waits long. */
static void refusals_after_an_outage_are_over_soon(void **state)
{
	(void)state;
	start("", 0);
	for (int i = 0; i < 12; i++) {
		fake_end(fake_running(""), KUBE_END_CONNECT, "refused");
		fake_pass_ms(30000);
	}
	for (int i = 0; i < 3; i++) {
		fake_refuse(fake_running(""), 403, 0, "{}");
		fake_pass_ms(100U << i);
	}
	assert_asks("sendInitialEvents");
}

/* Everything is passed on after 10 s of refusals: a server that lets us in sooner must have been asked by then. */
static void refused_for_seconds_the_next_try_comes_within_one(void **state)
{
	uint64_t began_ms = fake_now_ms;

	(void)state;
	start("", 0);
	while (fake_now_ms - began_ms < 9000) {
		fake_refuse(fake_running(""), 403, 0, "{}");
		fake_pass_ms(1000);
		assert_true(fake_is_running(""));
	}
}

static void a_server_that_others_reach_is_asked_at_once(void **state)
{
	(void)state;
	start("", 0);
	for (int i = 0; i < 12; i++) {
		fake_end(fake_running(""), KUBE_END_CONNECT, "refused");
		watcher_hurry(heard.watcher);
		fake_pass_ms(100);
	}
	/* An answer, if only to say no, is another matter. */
	fake_refuse(fake_running(""), 429, 60000, "no");
	watcher_hurry(heard.watcher);
	fake_pass_ms(59999);
	assert_false(fake_is_running(""));
}

static void waits_grow_to_30_s_and_not_further(void **state)
{
	uint64_t longest_ms = 0;

	(void)state;
	start("", 0);
	for (int i = 0; i < 60; i++) {
		uint64_t began_ms = fake_now_ms;

		fake_end(fake_running(""), KUBE_END_CONNECT, "refused");
		while (!fake_is_running(""))
			fake_pass_ms(10);
		if (i == 0)
			assert_in_range(fake_now_ms - began_ms, 1, 110);
		if (fake_now_ms - began_ms > longest_ms)
			longest_ms = fake_now_ms - began_ms;
	}
	assert_in_range(longest_ms, 10000, 30010);
	assert_int_equal(heard.errors.connect, 60);
}

static void a_version_that_is_none_for_this_server_is_an_unknown_one(void **state)
{
	(void)state;
	start("abc", 0);
	fake_refuse(fake_running(""), 400, 0, "{}");
	fake_refuse(fake_running("?resourceVersion=abc"), 400, 0, "{}");
	assert_heard(&heard, "!version");
}

static void no_memory_is_no_end(void **state)
{
	(void)state;
	start_watching();
	fake_has_no_memory = true;
	fake_pass_ms(2000);
	fake_complete(fake_running(""));
	assert_heard(&heard, "!unreachable");
	fake_pass_ms(20000);
	fake_has_no_memory = false;
	fake_pass_ms(30000);
	assert_asks("?watch=1&resourceVersion=10&");
}

/* ---- lists on demand ---- */

static void a_relist_ends_the_watch_and_keeps_the_version(void **state)
{
	struct kube_request *r = start_watching();

	(void)state;
	watcher_relist(heard.watcher, false);
	fake_pass_ms(1);
	assert_true(r->is_cancelled);
	assert_asks("sendInitialEvents=true&resourceVersion=10&");
}

static void a_relist_asked_for_by_a_callback_drops_the_rest(void **state)
{
	struct kube_request *r = start_watching();
	char piece[8192];

	(void)state;
	heard.is_relisted_on_object = true;
	snprintf(piece, sizeof(piece), "%s%s", fake_event("MODIFIED", SVC, "a", "11"),
		 fake_event("MODIFIED", SVC, "b", "12"));
	fake_data(r, piece);
	assert_heard(&heard, " a@11;");
	assert_asks("sendInitialEvents=true&resourceVersion=11&");
}

static void a_relist_that_fails_stays_a_relist(void **state)
{
	(void)state;
	start_watching();
	watcher_relist(heard.watcher, false);
	fake_pass_ms(1);
	fake_end(fake_running(""), KUBE_END_CONNECT, "refused");
	retried();
	assert_asks("sendInitialEvents");
}

static void a_quiet_server_shows_a_sign_of_life_in_time(void **state)
{
	struct kube_request *r;
	int s;

	(void)state;
	start("", 30000);
	r = fake_running("sendInitialEvents");
	fake_head(r, 200);
	fake_data(r, fake_bookmark(SVC, "9", true));
	/* The list may take its time; the watch after it may not. */
	assert_true(r->is_over);
	r = fake_running("?watch=1&resourceVersion=9&");
	s = atoi(strstr(r->target, "timeoutSeconds=") + strlen("timeoutSeconds="));
	assert_in_range(s, 5, 15);
	assert_heard(&heard, "[ ]");
}

int main(void)
{
#define row(test) cmocka_unit_test_teardown(test, stop)
	const struct CMUnitTest tests[] = {
		row(a_streaming_list_ends_with_its_marker_and_goes_on_as_a_watch),
		row(the_first_list_asks_for_what_was_saved),
		row(the_first_request_waits_for_its_delay),
		row(a_server_without_streaming_lists_is_asked_for_a_list),
		row(a_list_of_any_version_is_asked_for_without_a_saved_one),
		row(a_server_that_ignores_streaming_is_found_out_by_the_marker_that_never_comes),
		row(a_server_that_ignores_streaming_is_found_out_by_a_bookmark_without_marker),
		row(an_empty_streaming_list_is_a_list),
		row(a_list_in_pages_is_one_list),
		row(a_list_in_pages_that_expires_begins_anew),
		row(a_list_cut_anywhere_begins_again),
		row(a_list_without_version_is_none),
		row(a_list_of_slices_is_no_list_of_services),
		row(a_silent_list_is_cut),
		row(objects_without_a_name_are_counted),
		row(an_object_without_a_name_in_a_streaming_list_is_told_by_a_list),
		row(events_of_one_piece_are_one_batch),
		row(a_bookmark_moves_the_version_and_is_a_sign_of_life),
		row(other_kinds_are_ignored),
		row(a_clean_end_is_resumed_at_once_and_without_a_list),
		row(the_length_of_a_watch_is_random_between_5_and_10_minutes),
		row(a_watch_that_ends_at_once_each_time_is_no_hot_loop),
		row(a_cut_in_the_middle_of_a_line_loses_nothing),
		row(a_clean_end_in_the_middle_of_a_line_is_a_cut),
		row(the_watch_after_a_failure_is_short_until_a_sign_of_life),
		row(a_version_of_the_future_is_found_by_a_list),
		row(the_short_watch_that_is_not_even_ended_is_found_out_too),
		row(a_silent_watch_is_cut_and_resumed_where_the_server_is_there),
		row(a_silent_watch_of_a_silent_server_is_trouble),
		row(a_quiet_collection_is_alive_and_not_listed_again),
		row(what_a_probe_brings_is_not_told),
		row(a_silent_watch_of_a_server_that_has_moved_on_is_listed),
		row(a_server_that_refuses_a_probe_is_listed),
		row(a_probe_keeps_the_selectors),
		row(a_watch_of_a_version_too_old_leads_to_a_list_not_older),
		row(an_error_event_is_resumed_and_listed_when_it_comes_again),
		row(garbage_leads_to_a_list_and_waits_longer_each_time),
		row(garbage_again_and_again_is_no_hot_loop),
		row(what_came_before_garbage_in_one_piece_is_applied),
		row(a_line_without_end_is_bounded),
		row(answers_that_refuse_are_told_apart),
		row(retry_after_is_kept),
		row(refusals_right_after_a_restart_are_over_soon),
		row(refusals_after_an_outage_are_over_soon),
		row(refused_for_seconds_the_next_try_comes_within_one),
		row(a_server_that_others_reach_is_asked_at_once),
		row(waits_grow_to_30_s_and_not_further),
		row(a_version_that_is_none_for_this_server_is_an_unknown_one),
		row(no_memory_is_no_end),
		row(a_relist_ends_the_watch_and_keeps_the_version),
		row(a_relist_asked_for_by_a_callback_drops_the_rest),
		row(a_relist_that_fails_stays_a_relist),
		row(a_quiet_server_shows_a_sign_of_life_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
