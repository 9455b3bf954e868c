/* SPDX-License-Identifier: Apache-2.0 */
/* The API source: several watches told as one state and its changes, and when what was told is in doubt. The test is
 * the server and the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_kube.h"
#include "source/source.h"

#define SVC	 "Service"
#define SLICE	 "EndpointSlice"
#define STALE_MS 300000

/* ---- what the source says, as one line ---- */

struct heard {
	char text[4096];
	size_t len;
	unsigned int statuses;
	struct nodens_api_status status;
	char doubt[512], error[512];
};

static struct heard heard;
static struct source *source;

__attribute__((format(printf, 1, 2))) static void hear(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	heard.len += (size_t)vsnprintf(heard.text + heard.len, sizeof(heard.text) - heard.len, format, args);
	va_end(args);
	assert_true(heard.len < sizeof(heard.text));
}

static void on_replace(void *ctx)
{
	(void)ctx;
	hear("[");
}

static void on_put(void *ctx, struct kube_object *o)
{
	(void)ctx;
	hear(" %s%s@%s", o->kind == KUBE_SLICE ? "/" : "", o->name, o->resource_version);
	kube_object_free(o);
}

static void on_delete(void *ctx, enum kube_kind kind, const char *namespace, const char *name)
{
	(void)ctx;
	assert_string_equal(namespace, "d");
	hear(" -%s%s", kind == KUBE_SLICE ? "/" : "", name);
}

static void on_replaced(void *ctx, size_t nameless, const char *why)
{
	(void)ctx;
	(void)why;
	assert_int_equal(nameless, 0);
	hear(" ]");
}

static void on_batch(void *ctx)
{
	(void)ctx;
	hear(";");
}

static void on_error(void *ctx, const struct error *e)
{
	(void)ctx;
	snprintf(heard.error, sizeof(heard.error), "%s", e ? e->text : "");
	hear(e ? "(error)" : "(no error)");
}

static void on_doubt(void *ctx, const char *reason)
{
	(void)ctx;
	snprintf(heard.doubt, sizeof(heard.doubt), "%s", reason ? reason : "");
	hear(reason ? "(doubt)" : "(no doubt)");
}

static void on_api_status(void *ctx, const struct nodens_api_status *status)
{
	(void)ctx;
	heard.statuses++;
	heard.status = *status;
}

static const struct source_callbacks callbacks = {.on_replace = on_replace,
						  .on_put = on_put,
						  .on_delete = on_delete,
						  .on_replaced = on_replaced,
						  .on_batch = on_batch,
						  .on_error = on_error,
						  .on_doubt = on_doubt,
						  .on_api_status = on_api_status};

#define assert_heard(wanted)                             \
	do {                                             \
		assert_string_equal(heard.text, wanted); \
		heard.len = 0;                           \
		heard.text[0] = '\0';                    \
	} while (0)

/* ---- a source at some stage ---- */

static void start_with(struct source_kube_params params)
{
	struct error e = {0};

	memset(&heard, 0, sizeof(heard));
	params.dns_namespace = "kube-system";
	params.dns_service = "kube-dns";
	if (!params.api_stale_after_ms)
		params.api_stale_after_ms = STALE_MS;
	source = source_kube_new(NULL, &params, &callbacks, NULL, &e);
	assert_non_null(source);
}

static void start(bool is_headless_only)
{
	start_with((struct source_kube_params){.is_headless_only = is_headless_only});
	fake_pass_ms(1);
}

static int stop(void **state)
{
	(void)state;
	source_free(source);
	source = NULL;
	fake_end_all();
	return 0;
}

#define SERVICES "/api/v1/services?"
#define SLICES	 "/apis/discovery.k8s.io/v1/endpointslices?"
/* Parts of the targets at --answer headless. */
#define HEADLESS "spec.clusterIP%3DNone"
#define DNS	 "/api/v1/namespaces/kube-system/services?"
#define OURS	 "Fheadless"
#define OTHERS	 "by%21%3D"

/* A streaming list: events, then the marker. The request goes on as a watch. */
static struct kube_request *list(const char *part, const char *kind, const char *version, const char *names)
{
	struct kube_request *r = fake_running(part);
	char copy[256], *save = NULL;

	assert_non_null(strstr(r->target, "sendInitialEvents"));
	fake_head(r, 200);
	snprintf(copy, sizeof(copy), "%s", names);
	for (char *n = strtok_r(copy, " ", &save); n; n = strtok_r(NULL, " ", &save)) {
		char *at = strchr(n, '@');

		*at = '\0';
		fake_data(r, fake_event("ADDED", kind, n, at + 1));
	}
	if (version)
		fake_data(r, fake_bookmark(kind, version, true));
	return r;
}

/* Services a@1 and b@2, slices x@3 and y@4. */
static void start_synced(void)
{
	start(false);
	(void)list(SERVICES, SVC, "10", "a@1 b@2");
	(void)list(SLICES, SLICE, "11", "x@3 y@4");
	assert_heard("[ a@1 b@2 /x@3 /y@4 ]");
}

static void start_headless_synced(void)
{
	start(true);
	(void)list(HEADLESS, SVC, "10", "a@1");
	(void)list(DNS, SVC, "10", "kube-dns@2");
	(void)list(OURS, SLICE, "10", "x@3");
	(void)list(OTHERS, SLICE, "10", "y@4");
	assert_heard("[ a@1 kube-dns@2 /x@3 /y@4 ]");
}

/* The watch is told that its version is too old, and has begun a list. */
static void expire(const char *part)
{
	fake_data(fake_running(part), fake_error(410, "Expired", "too old"));
	while (!fake_is_running(part))
		fake_pass_ms(1);
}

/* ---- what is asked for ---- */

static void everything_is_two_watches(void **state)
{
	(void)state;
	start(false);
	assert_int_equal(fake_request_count, 2);
	assert_null(strstr(fake_running(SERVICES)->target, "Selector"));
	assert_null(strstr(fake_running(SLICES)->target, "Selector"));
}

static void headless_names_need_four(void **state)
{
	(void)state;
	start(true);
	assert_int_equal(fake_request_count, 4);
	assert_non_null(strstr(fake_running(HEADLESS)->target, SERVICES));
	assert_non_null(strstr(fake_running(DNS)->target, "&fieldSelector=metadata.name%3Dkube-dns"));
	assert_non_null(
		strstr(fake_running(OURS)->target,
		       "&labelSelector=service.kubernetes.io%2Fheadless%2Cendpointslice.kubernetes.io%2Fmanaged-by%3D"
		       "endpointslice-controller.k8s.io"));
	assert_non_null(
		strstr(fake_running(OTHERS)->target,
		       "&labelSelector=endpointslice.kubernetes.io%2Fmanaged-by%21%3Dendpointslice-controller.k8s.io"));
}

static void a_dns_service_that_cannot_be_one_is_refused(void **state)
{
	struct source_kube_params params = {
		.is_headless_only = true, .dns_namespace = "kube-system", .dns_service = "a&watch=0"};
	struct error e = {0};

	(void)state;
	assert_null(source_kube_new(NULL, &params, &callbacks, NULL, &e));
	assert_non_null(strstr(e.text, "a&watch=0"));
}

static void saved_versions_are_asked_for_each_by_its_kind(void **state)
{
	(void)state;
	start_with((struct source_kube_params){
		.is_headless_only = true, .service_version = "815", .slice_version = "917"});
	fake_pass_ms(1);
	assert_non_null(strstr(fake_running(HEADLESS)->target, "resourceVersion=815&"));
	assert_non_null(strstr(fake_running(DNS)->target, "resourceVersion=815&"));
	assert_non_null(strstr(fake_running(OURS)->target, "resourceVersion=917&"));
	assert_non_null(strstr(fake_running(OTHERS)->target, "resourceVersion=917&"));
}

static void first_lists_are_spread_and_begin_together(void **state)
{
	uint64_t least_ms = 10000, most_ms = 0;

	for (int i = 0; i < 60; i++) {
		uint64_t waited_ms = 0;

		start_with((struct source_kube_params){.spread_ms = 10000});
		while (!fake_is_running("")) {
			fake_pass_ms(1);
			waited_ms++;
		}
		assert_int_equal(fake_request_count, 2);
		least_ms = waited_ms < least_ms ? waited_ms : least_ms;
		most_ms = waited_ms > most_ms ? waited_ms : most_ms;
		stop(state);
	}
	/* Each bound fails once in (5/2)^60 runs. */
	assert_in_range(least_ms, 0, 4000);
	assert_in_range(most_ms, 6000, 10000);
}

/* ---- states and changes ---- */

static void nothing_is_complete_before_all_watches_are(void **state)
{
	(void)state;
	start(true);
	(void)list(OURS, SLICE, "10", "x@3");
	(void)list(HEADLESS, SVC, "10", "a@1");
	(void)list(DNS, SVC, "10", "");
	/* Changes meanwhile belong to the same state. */
	fake_data(fake_running(OURS), fake_event("MODIFIED", SLICE, "x", "12"));
	fake_data(fake_running(HEADLESS), fake_event("DELETED", SVC, "a", "13"));
	assert_heard("[ /x@3 a@1 /x@12 -a");
	(void)list(OTHERS, SLICE, "10", "");
	assert_heard(" ]");
}

static void changes_are_told_in_batches(void **state)
{
	char piece[8192];

	(void)state;
	start_synced();
	snprintf(piece, sizeof(piece), "%s%s", fake_event("MODIFIED", SLICE, "x", "12"),
		 fake_event("DELETED", SLICE, "y", "13"));
	fake_data(fake_running(SLICES), piece);
	assert_heard(" /x@12 -/y;");
	fake_data(fake_running(SERVICES), fake_event("ADDED", SVC, "c", "14"));
	assert_heard(" c@14;");
}

static void what_vanishes_while_the_first_list_begins_again_is_gone(void **state)
{
	(void)state;
	start(false);
	(void)list(SERVICES, SVC, NULL, "a@1 b@2");
	fake_end(fake_running(SERVICES), KUBE_END_CUT, "cut");
	(void)list(SLICES, SLICE, "11", "");
	fake_pass_ms(100);
	(void)list(SERVICES, SVC, "12", "b@2 c@5");
	assert_heard("[ a@1 b@2 c@5 -a ]");
}

static void a_relist_is_one_batch_of_what_changed(void **state)
{
	struct kube_request *r;

	(void)state;
	start_synced();
	expire(SLICES);
	r = list(SLICES, SLICE, NULL, "x@3 y@20 z@21");
	/* Nothing is told before it is complete; the other watch goes on. */
	assert_heard("");
	fake_data(fake_running(SERVICES), fake_event("MODIFIED", SVC, "a", "15"));
	assert_heard(" a@15;");
	fake_data(r, fake_bookmark(SLICE, "22", true));
	assert_heard(" /y@20 /z@21;");
	expire(SLICES);
	(void)list(SLICES, SLICE, "30", "z@21 y@20");
	assert_heard(" -/x;");
	assert_int_equal(heard.status.relists, 2);
}

static void a_relist_that_begins_again_forgets_what_it_had(void **state)
{
	(void)state;
	start_synced();
	expire(SLICES);
	fake_end(list(SLICES, SLICE, NULL, "x@20 new@21"), KUBE_END_CUT, "cut");
	fake_pass_ms(200);
	(void)list(SLICES, SLICE, "30", "x@25 y@4");
	assert_heard(" /x@25;");
}

static void what_is_deleted_before_the_end_of_a_list_is_gone(void **state)
{
	struct kube_request *r;

	(void)state;
	start(false);
	r = list(SERVICES, SVC, NULL, "a@1 b@2");
	fake_data(r, fake_event("DELETED", SVC, "a", "3"));
	fake_data(r, fake_bookmark(SVC, "3", true));
	(void)list(SLICES, SLICE, "11", "x@3 y@4");
	assert_heard("[ a@1 b@2 -a /x@3 /y@4 ]");
	expire(SLICES);
	r = list(SLICES, SLICE, NULL, "x@20 y@4 new@21 z@22");
	fake_data(r, fake_event("DELETED", SLICE, "y", "23"));
	fake_data(r, fake_event("DELETED", SLICE, "new", "24"));
	fake_data(r, fake_event("MODIFIED", SLICE, "z", "25"));
	assert_heard("");
	fake_data(r, fake_bookmark(SLICE, "25", true));
	assert_heard(" /x@20 /z@22 /z@25 -/y;");
}

static void a_relist_of_a_source_in_the_middle_is_whole_too(void **state)
{
	(void)state;
	start_synced();
	expire(SLICES);
	(void)list(SLICES, SLICE, NULL, "x@20");
	source_free(source); /* what it holds is freed */
	source = NULL;
	assert_heard("");
}

static void a_resync_lists_all_watches(void **state)
{
	(void)state;
	start_synced();
	source_resync(source);
	fake_pass_ms(1);
	(void)list(SERVICES, SVC, "20", "a@1");
	assert_heard(" -b;");
	/* The last one tells that all was read anew. */
	(void)list(SLICES, SLICE, "20", "x@3 y@4");
	assert_heard(" ]");
}

/* ---- objects that move between watches ---- */

static void an_object_that_enters_another_watch_first_stays(void **state)
{
	(void)state;
	start_headless_synced();
	fake_data(fake_running(OTHERS), fake_event("ADDED", SLICE, "x", "20"));
	fake_data(fake_running(OURS), fake_event("DELETED", SLICE, "x", "20"));
	assert_heard(" /x@20;;");
	fake_data(fake_running(OTHERS), fake_event("DELETED", SLICE, "x", "21"));
	assert_heard(" -/x;");
}

static void an_object_that_leaves_first_comes_back(void **state)
{
	(void)state;
	start_headless_synced();
	fake_data(fake_running(OURS), fake_event("DELETED", SLICE, "x", "20"));
	fake_data(fake_running(OTHERS), fake_event("ADDED", SLICE, "x", "20"));
	assert_heard(" -/x; /x@20;");
}

/* A list may be a snapshot from before the object moved. */
static void a_list_that_is_behind_another_watch_does_not_bring_back_the_old_state(void **state)
{
	(void)state;
	start_headless_synced();
	expire(OURS);
	fake_data(fake_running(OTHERS), fake_event("ADDED", SLICE, "x", "20"));
	assert_heard(" /x@20;");
	(void)list(OURS, SLICE, "15", "x@3");
	assert_heard(";");
	fake_data(fake_running(OURS), fake_event("DELETED", SLICE, "x", "20"));
	assert_heard(";");
	fake_data(fake_running(OTHERS), fake_event("DELETED", SLICE, "x", "21"));
	assert_heard(" -/x;");
}

static void a_relist_deletes_only_what_no_other_watch_has(void **state)
{
	(void)state;
	start_headless_synced();
	fake_data(fake_running(OTHERS), fake_event("ADDED", SLICE, "x", "20"));
	assert_heard(" /x@20;");
	expire(OURS);
	(void)list(OURS, SLICE, "30", "");
	assert_heard(";");
	expire(OTHERS);
	(void)list(OTHERS, SLICE, "30", "y@4");
	assert_heard(" -/x;");
}

/* ---- versions and counters ---- */

static void the_version_of_a_kind_is_the_oldest_of_its_watches(void **state)
{
	(void)state;
	start_headless_synced();
	fake_data(fake_running(OURS), fake_event("MODIFIED", SLICE, "x", "99"));
	assert_string_equal(heard.status.slice_version, "10");
	fake_data(fake_running(OTHERS), fake_event("MODIFIED", SLICE, "y", "100"));
	assert_string_equal(heard.status.slice_version, "99");
	assert_string_equal(heard.status.service_version, "10");
}

static void counters_are_current_within_a_second(void **state)
{
	unsigned int before;

	(void)state;
	start_synced();
	fake_data(fake_running(SLICES), fake_event("MODIFIED", SLICE, "x", "12"));
	assert_int_equal(heard.status.events, 1);
	assert_int_equal(heard.status.octets, 42);
	assert_int_equal(heard.status.event_ms, clock_real_ms());
	fake_pass_ms(2000);
	before = heard.statuses;
	for (int i = 0; i < 10; i++)
		fake_data(fake_running(SLICES), fake_bookmark(SLICE, "50", false));
	assert_int_equal(heard.statuses, before);
	fake_pass_ms(1000);
	assert_int_equal(heard.statuses, before + 1);
	assert_string_equal(heard.status.slice_version, "50");
}

/* ---- errors ---- */

static void a_cut_that_is_over_at_once_is_counted_and_not_told(void **state)
{
	(void)state;
	start_synced();
	fake_end(fake_running(SLICES), KUBE_END_CUT, "cut");
	fake_pass_ms(100);
	fake_head(fake_running(SLICES), 200);
	fake_pass_ms(3000);
	assert_heard("");
	assert_int_equal(heard.status.errors.cut, 1);
	assert_int_equal(heard.status.reconnects, 1);
}

static void fail_all(const char *why)
{
	for (size_t i = 0; i < fake_request_count; i++)
		if (!fake_requests[i]->is_over)
			fake_end(fake_requests[i], KUBE_END_CONNECT, why);
}

static void an_outage_is_told_once_and_so_is_its_end(void **state)
{
	char why[64];

	(void)state;
	start_synced();
	for (int i = 0; i < 200; i++) {
		snprintf(why, sizeof(why), "no connection after %d ms", i);
		fail_all(why);
		fake_pass_ms(100);
	}
	assert_heard("(error)");
	assert_non_null(strstr(heard.error, "/api/v1/services: no connection after "));
	for (int i = 0; i < 400 && !(fake_is_running(SERVICES) && fake_is_running(SLICES)); i++)
		fake_pass_ms(100);
	fake_head(fake_running(SERVICES), 200);
	fake_data(fake_running(SERVICES), fake_bookmark(SVC, "50", false));
	/* The other one is still down: that is another cause. */
	assert_heard("(error)");
	fake_head(fake_running(SLICES), 200);
	fake_data(fake_running(SLICES), fake_bookmark(SLICE, "50", false));
	assert_heard("(no error)");
}

static void after_an_outage_all_watches_come_back_with_the_first(void **state)
{
	(void)state;
	start_headless_synced();
	for (int i = 0; i < 1500; i++) {
		fail_all("no connection");
		fake_pass_ms(100);
	}
	while (!fake_is_running(HEADLESS)) {
		fail_all("no connection");
		fake_pass_ms(1);
	}
	fake_head(fake_running(HEADLESS), 200);
	fake_pass_ms(100);
	assert_true(fake_is_running(HEADLESS) && fake_is_running(DNS) && fake_is_running(OURS) &&
		    fake_is_running(OTHERS));
}

static void another_cause_is_told(void **state)
{
	(void)state;
	start_synced();
	fail_all("no connection");
	fake_pass_ms(1000);
	assert_heard("(error)");
	for (int i = 0; i < 3; i++) {
		if (fake_is_running(SERVICES))
			fake_refuse(fake_running(SERVICES), 500 + i / 2, 0, "no");
		fake_pass_ms(2000);
	}
	assert_heard("(error)(error)");
	assert_string_equal(heard.error, "/api/v1/services: HTTP 501: no");
}

/* ---- doubts ---- */

static void bookmark_all(const char *version)
{
	fake_data(fake_running(SERVICES), fake_bookmark(SVC, version, false));
	fake_data(fake_running(SLICES), fake_bookmark(SLICE, version, false));
}

static void a_quiet_server_with_bookmarks_is_no_doubt(void **state)
{
	(void)state;
	start_synced();
	for (int i = 0; i < 20; i++) {
		fake_pass_ms(60000);
		bookmark_all("50");
	}
	assert_heard("");
}

/* One watch is in doubt, a list of it lifts that. */
static void a_watch_without_sign_of_life_is_in_doubt_until_it_is_listed(void **state)
{
	(void)state;
	start_with((struct source_kube_params){.api_stale_after_ms = 190000});
	fake_pass_ms(1);
	(void)list(SERVICES, SVC, "10", "a@1");
	(void)list(SLICES, SLICE, "11", "x@3");
	assert_heard("[ a@1 /x@3 ]");
	for (int i = 0; i < 18; i++) {
		fake_pass_ms(10000);
		fake_data(fake_running(SERVICES), fake_bookmark(SVC, "50", false));
	}
	/* Cut by the watchdog at 180 s; the probe stays without an answer. */
	fake_pass_ms(9999);
	assert_null(strstr(heard.text, "doubt"));
	fake_pass_ms(1);
	assert_non_null(strstr(heard.text, "(doubt)"));
	assert_string_equal(heard.doubt,
			    "/apis/discovery.k8s.io/v1/endpointslices: no event and no bookmark for 190 s");
	heard.len = 0;
	fake_pass_ms(1);
	(void)list(SLICES, SLICE, "60", "x@55");
	assert_string_equal(heard.text, " /x@55;(no doubt)");
}

static void refused_for_ten_seconds_is_a_doubt(void **state)
{
	uint64_t began_ms;

	(void)state;
	start_synced();
	fake_complete(fake_running(SLICES));
	began_ms = fake_now_ms;
	while (fake_now_ms < began_ms + 9900) {
		if (fake_is_running(SLICES))
			fake_refuse(fake_running(SLICES), 401, 0, "{}");
		fake_pass_ms(100);
	}
	assert_heard("(error)");
	fake_pass_ms(100);
	assert_string_equal(heard.text, "(doubt)");
	assert_string_equal(
		heard.doubt,
		"/apis/discovery.k8s.io/v1/endpointslices: the server has refused us for 10 s (401 or 403)");
	heard.len = 0;
	fake_pass_ms(1);
	(void)list(SLICES, SLICE, "60", "x@3 y@4");
	assert_heard(";(no doubt)(no error)");
}

static void refusals_that_end_before_are_none(void **state)
{
	(void)state;
	start_synced();
	fake_complete(fake_running(SLICES));
	for (int i = 0; i < 5; i++) {
		fake_refuse(fake_running(SLICES), 403, 0, "{}");
		while (!fake_is_running(SLICES))
			fake_pass_ms(100);
	}
	fake_head(fake_running(SLICES), 200);
	fake_pass_ms(4000);
	fake_data(fake_running(SLICES), fake_bookmark(SLICE, "50", false));
	fake_pass_ms(60000);
	assert_null(strstr(heard.text, "doubt"));
}

static void a_long_list_after_a_refusal_is_no_doubt(void **state)
{
	(void)state;
	start_synced();
	expire(SLICES);
	fake_refuse(fake_running(SLICES), 403, 0, "{}");
	while (!fake_is_running(SLICES))
		fake_pass_ms(1);
	fake_head(fake_running(SLICES), 200);
	for (int i = 0; i < 4; i++) {
		fake_pass_ms(5000);
		fake_data(fake_running(SLICES), fake_event("ADDED", SLICE, "x", "3"));
	}
	assert_heard("");
}

#define TOO_LARGE                                                                                              \
	"{\"kind\":\"Status\",\"message\":\"Timeout: Too large resource version: 11\",\"reason\":\"Timeout\"," \
	"\"details\":{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}]},\"code\":504}"

static void a_server_that_does_not_know_our_version_is_another_one(void **state)
{
	uint64_t began_ms;

	(void)state;
	start_synced();
	expire(SLICES);
	began_ms = fake_now_ms;
	while (fake_now_ms < began_ms + 29900) {
		if (fake_is_running(SLICES))
			fake_refuse(fake_running(SLICES), 504, 0, TOO_LARGE);
		fake_pass_ms(100);
	}
	assert_null(strstr(heard.text, "doubt"));
	fake_pass_ms(100);
	assert_non_null(strstr(heard.text, "(doubt)"));
	assert_non_null(strstr(heard.doubt, "version"));
	heard.len = 0;
	fake_pass_ms(1);
	/* All are listed anew, at any version, and all must be complete before it is over. The same versions mean
	 * nothing now. */
	assert_non_null(strstr(fake_running(SERVICES)->target, "resourceVersion=0&"));
	assert_non_null(strstr(fake_running(SLICES)->target, "resourceVersion=0&"));
	(void)list(SLICES, SLICE, "5", "x@3");
	assert_heard(" /x@3 -/y;(no error)");
	(void)list(SERVICES, SVC, "5", "a@1 b@1");
	assert_heard(" a@1 b@1;(no doubt)");
	assert_string_equal(heard.status.slice_version, "5");
}

static void a_server_that_knows_our_version_after_a_while_is_the_same(void **state)
{
	(void)state;
	start_synced();
	expire(SLICES);
	fake_refuse(fake_running(SLICES), 504, 0, TOO_LARGE);
	while (!fake_is_running(SLICES))
		fake_pass_ms(1);
	(void)list(SLICES, SLICE, "12", "x@3 y@4");
	fake_pass_ms(60000);
	assert_heard(";");
}

static void the_first_of_several_doubts_stands_until_all_are_gone(void **state)
{
	char first[512];

	(void)state;
	start_synced();
	fake_pass_ms(STALE_MS);
	assert_non_null(strstr(heard.text, "(doubt)"));
	strcpy(first, heard.doubt);
	fake_pass_ms(1);
	heard.len = 0;
	(void)list(SLICES, SLICE, "60", "x@3 y@4");
	assert_null(strstr(heard.text, "doubt"));
	assert_string_equal(heard.doubt, first);
	(void)list(SERVICES, SVC, "60", "a@1 b@2");
	assert_non_null(strstr(heard.text, "(no doubt)"));
}

static void an_object_without_a_name_is_a_doubt_until_it_is_gone(void **state)
{
	(void)state;
	start_synced();
	fake_data(fake_running(SERVICES), "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Service\",\"metadata\":{}}}\n");
	fake_pass_ms(100);
	fake_head(fake_running(SERVICES), 200);
	fake_data(fake_running(SERVICES),
		  "{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[{},{\"metadata\":"
		  "{\"namespace\":\"d\",\"name\":\"a\",\"resourceVersion\":\"1\"}}]}");
	fake_complete(fake_running(SERVICES));
	/* Shut before anything changes. */
	assert_heard("(doubt) -b;");
	assert_string_equal(heard.doubt, "1 object cannot be named: /api/v1/services:items[0]: metadata is missing");
	fake_head(fake_running(SERVICES), 200);
	fake_data(fake_running(SERVICES), "{\"type\":\"DELETED\",\"object\":{\"kind\":\"Service\",\"metadata\":{}}}\n");
	fake_pass_ms(200);
	fake_head(fake_running(SERVICES), 200);
	fake_data(fake_running(SERVICES), fake_list(SVC, "30", "a b"));
	fake_complete(fake_running(SERVICES));
	assert_heard(" b@1;(no doubt)");
}

static void an_object_without_a_name_in_the_first_list_is_a_doubt_before_anything_is_answered(void **state)
{
	(void)state;
	start(false);
	(void)list(SLICES, SLICE, "10", "");
	fake_refuse(fake_running(SERVICES), 422, 0, "{}");
	fake_head(fake_running(SERVICES), 200);
	fake_data(fake_running(SERVICES),
		  "{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[{}]}");
	fake_complete(fake_running(SERVICES));
	assert_heard("[(doubt) ]");
}

int main(void)
{
#define row(test) cmocka_unit_test_teardown(test, stop)
	const struct CMUnitTest tests[] = {
		row(everything_is_two_watches),
		row(headless_names_need_four),
		row(a_dns_service_that_cannot_be_one_is_refused),
		row(saved_versions_are_asked_for_each_by_its_kind),
		row(first_lists_are_spread_and_begin_together),
		row(nothing_is_complete_before_all_watches_are),
		row(changes_are_told_in_batches),
		row(what_vanishes_while_the_first_list_begins_again_is_gone),
		row(a_relist_is_one_batch_of_what_changed),
		row(a_relist_that_begins_again_forgets_what_it_had),
		row(what_is_deleted_before_the_end_of_a_list_is_gone),
		row(a_relist_of_a_source_in_the_middle_is_whole_too),
		row(a_resync_lists_all_watches),
		row(an_object_that_enters_another_watch_first_stays),
		row(an_object_that_leaves_first_comes_back),
		row(a_list_that_is_behind_another_watch_does_not_bring_back_the_old_state),
		row(a_relist_deletes_only_what_no_other_watch_has),
		row(the_version_of_a_kind_is_the_oldest_of_its_watches),
		row(counters_are_current_within_a_second),
		row(a_cut_that_is_over_at_once_is_counted_and_not_told),
		row(an_outage_is_told_once_and_so_is_its_end),
		row(after_an_outage_all_watches_come_back_with_the_first),
		row(another_cause_is_told),
		row(a_quiet_server_with_bookmarks_is_no_doubt),
		row(a_watch_without_sign_of_life_is_in_doubt_until_it_is_listed),
		row(refused_for_ten_seconds_is_a_doubt),
		row(refusals_that_end_before_are_none),
		row(a_long_list_after_a_refusal_is_no_doubt),
		row(a_server_that_does_not_know_our_version_is_another_one),
		row(a_server_that_knows_our_version_after_a_while_is_the_same),
		row(the_first_of_several_doubts_stands_until_all_are_gone),
		row(an_object_without_a_name_is_a_doubt_until_it_is_gone),
		row(an_object_without_a_name_in_the_first_list_is_a_doubt_before_anything_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
