/* SPDX-License-Identifier: Apache-2.0 */
/* What `nodens status` says of a source, for each state an agent can be in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "status_report.h"

#define NOW_MS 1000000000ULL

/* An agent that follows an API server, synced. */
static struct status_report kube_report(void)
{
	struct status_report r = {.now_ms = NOW_MS,
				  .config = {.gate = NODENS_GATE_OPEN},
				  .status = {.synced_ms = NOW_MS - 60000,
					     .heartbeat_ms = NOW_MS - 500,
					     .source = "kube: in-cluster",
					     .source_ok_ms = NOW_MS - 3000,
					     .api = {.event_ms = NOW_MS - 3000,
						     .events = 12,
						     .octets = 2048,
						     .relists = 1,
						     .reconnects = 2,
						     .service_version = "1543",
						     .slice_version = "1547",
						     .server = "https://10.96.0.1:443"}},
				  .is_alive = true};

	return r;
}

/* The caller's to free. */
static char *print(void (*fn)(FILE *out, const struct status_report *r), const struct status_report *r)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fn(out, r);
	fclose(out);
	return text;
}

static void says(void (*fn)(FILE *out, const struct status_report *r), const struct status_report *r, const char *what)
{
	char *text = print(fn, r);

	if (!strstr(text, what))
		fail_msg("\"%s\" is not in:\n%s", what, text);
	free(text);
}

static void never_says(const struct status_report *r, const char *what)
{
	char *text = print(status_print_text, r);

	if (strstr(text, what))
		fail_msg("\"%s\" is in:\n%s", what, text);
	free(text);
}

static void an_api_server_is_told_with_what_came_from_it(void **state)
{
	struct status_report r = kube_report();

	(void)state;
	says(status_print_text, &r, "source      kube: in-cluster\n");
	says(status_print_text, &r, "api         https://10.96.0.1:443, last heard of 3s ago\n");
	says(status_print_text, &r, "12 events, 1 relists, 2 reconnects, 2.0 KiB received\n");
	says(status_print_text, &r, "resource versions: services 1543, slices 1547\n");
	never_says(&r, "errors:");
	never_says(&r, "UNREADABLE");
}

static void errors_are_told_by_kind_where_there_were_any(void **state)
{
	struct status_report r = kube_report();

	(void)state;
	r.status.api.errors.connect = 3;
	r.status.api.errors.malformed = 1;
	says(status_print_text, &r, "            errors: connect 3, malformed 1\n");
	says(status_print_json, &r, "\"connect\": 3");
	says(status_print_json, &r, "\"throttled\": 0");
}

static void json_has_all_of_it(void **state)
{
	struct status_report r = kube_report();

	(void)state;
	says(status_print_json, &r, "\"server\": \"https://10.96.0.1:443\"");
	says(status_print_json, &r, "\"service_version\": \"1543\"");
	says(status_print_json, &r, "\"slice_version\": \"1547\"");
	says(status_print_json, &r, "\"event_ms\": 999997000");
	says(status_print_json, &r, "\"relists\": 1");
}

static void a_file_has_no_api(void **state)
{
	struct status_report r = kube_report();
	char *text;

	(void)state;
	r.status.api = (struct nodens_api_status){0};
	strcpy(r.status.source, "file:/run/cluster.json");
	says(status_print_text, &r, "source      file:/run/cluster.json, read 3s ago\n");
	never_says(&r, "api  ");
	text = print(status_print_json, &r);
	assert_null(strstr(text, "\"api\""));
	free(text);
}

static void before_the_first_sync_it_says_what_it_waits_for(void **state)
{
	struct status_report r = kube_report();

	(void)state;
	r.status.synced_ms = 0;
	r.config.gate = NODENS_GATE_NOT_SYNCED;
	strcpy(r.status.gate_reason, "waiting for https://10.96.0.1:443: connection refused");
	r.status.source_error_ms = NOW_MS - 2000;
	strcpy(r.status.source_error, "connection refused");
	r.status.api.event_ms = 0;
	r.status.api.service_version[0] = '\0';
	says(status_print_text, &r, "gate        not-synced: waiting for https://10.96.0.1:443: connection refused\n");
	says(status_print_text, &r, "synced      no\n");
	says(status_print_text, &r, "UNREADABLE for 2s: connection refused\n");
	says(status_print_text, &r, "last heard of never\n");
	says(status_print_text, &r, "resource versions: services none, slices 1547\n");
	assert_false(status_is_former_serving(&r));
}

static void while_the_agent_before_serves_it_says_so(void **state)
{
	struct status_report r = kube_report();

	(void)state;
	r.status.synced_ms = 0;
	assert_true(status_is_former_serving(&r));
	says(status_print_text, &r, "synced      no: answers are those of the agent before");
	r.is_alive = false;
	assert_false(status_is_former_serving(&r));
}

static void no_server_address_is_told(void **state)
{
	struct status_report r = kube_report();

	(void)state;
	says(status_print_text, &r, "servers     0: NONE IS KNOWN, everything is passed on\n");
	r.status.synced_ms = 0;
	never_says(&r, "NONE IS KNOWN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_api_server_is_told_with_what_came_from_it),
		cmocka_unit_test(errors_are_told_by_kind_where_there_were_any),
		cmocka_unit_test(json_has_all_of_it),
		cmocka_unit_test(a_file_has_no_api),
		cmocka_unit_test(before_the_first_sync_it_says_what_it_waits_for),
		cmocka_unit_test(while_the_agent_before_serves_it_says_so),
		cmocka_unit_test(no_server_address_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
