/* SPDX-License-Identifier: Apache-2.0 */
/* Events of watches and refusals, as an API server sent them (tests/data/api) and as none should. Texts in the tables
 * are written with ' for ". */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kube/decode.h"
#include "kube/items.h"

static char *json(const char *text)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	return copy;
}

/* An event as one line, or "! " and what is wrong with it. */
static const char *read_event(const char *text, size_t len)
{
	static const char *const types[] = {"put", "deleted", "bookmark", "error"};
	static char line[1024];
	struct kube_event ev;
	struct error e = {0};
	char *copy = malloc(len ? len : 1);
	int err;

	assert_non_null(copy);
	memcpy(copy, text, len);
	err = kube_decode_event(copy, len, &ev, &e);
	free(copy);
	if (err < 0) {
		assert_int_equal(err, -EINVAL);
		snprintf(line, sizeof(line), "! %s", e.text);
		return line;
	}
	if (ev.type == KUBE_EVENT_ERROR)
		snprintf(line, sizeof(line), "error %d %s%s", ev.status_code, ev.message,
			 ev.is_version_unknown ? " (version)" : "");
	else if (!ev.object)
		snprintf(line, sizeof(line), "%s @%s%s", types[ev.type], ev.resource_version,
			 ev.is_initial_end ? " end" : "");
	else
		snprintf(line, sizeof(line), "%s %s %s/%s @%s%s%s", types[ev.type],
			 ev.object->kind == KUBE_SERVICE ? "service" : "slice", ev.object->namespace, ev.object->name,
			 ev.resource_version, ev.object->broken ? " broken: " : "",
			 ev.object->broken ? ev.object->broken : "");
	kube_object_free(ev.object);
	return line;
}

static void events_are_read(void **state)
{
	static const struct {
		const char *row, *text, *wanted;
	} rows[] = {
		{"added",
		 "{'type':'ADDED','object':{'kind':'Service','apiVersion':'v1','metadata':{'namespace':'d','name':'a',"
		 "'resourceVersion':'7'},'spec':{'clusterIP':'None'}}}",
		 "put service d/a @7"},
		{"modified",
		 "{'object':{'kind':'Service','apiVersion':'v1','metadata':{'namespace':'d','name':'a',"
		 "'resourceVersion':'8'},'spec':{'clusterIP':'None'}},'type':'MODIFIED'}",
		 "put service d/a @8"},
		{"a broken object is whole enough",
		 "{'type':'ADDED','object':{'kind':'Service','metadata':{'namespace':'d','name':'a',"
		 "'resourceVersion':'7'}}}",
		 "put service d/a @7 broken: spec is missing"},
		{"deleted: only the name counts",
		 "{'type':'DELETED','object':{'kind':'EndpointSlice','metadata':{'namespace':'d','name':'a',"
		 "'resourceVersion':'9','labels':7},'endpoints':'x'}}",
		 "deleted slice d/a @9"},
		{"another kind is ignored, its version is not",
		 "{'type':'ADDED','object':{'kind':'Pod','metadata':{'resourceVersion':'12'}}}", "put @12"},
		{"a version may be missing",
		 "{'type':'DELETED','object':{'kind':'Service','metadata':{'namespace':'d','name':'a'}}}",
		 "deleted service d/a @"},
		{"bookmark", "{'type':'BOOKMARK','object':{'kind':'Service','metadata':{'resourceVersion':'99'}}}",
		 "bookmark @99"},
		{"the end of a streaming list",
		 "{'type':'BOOKMARK','object':{'kind':'Service','metadata':{'resourceVersion':'99','annotations':"
		 "{'k8s.io/initial-events-end':'true'}}}}",
		 "bookmark @99 end"},
		{"an annotation of another value is none",
		 "{'type':'BOOKMARK','object':{'metadata':{'resourceVersion':'99','annotations':"
		 "{'k8s.io/initial-events-end':true}}}}",
		 "bookmark @99"},
		{"error", "{'type':'ERROR','object':{'kind':'Status','code':410,'reason':'Gone','message':'too old'}}",
		 "error 410 Gone: too old"},
		{"error of an unknown version",
		 "{'type':'ERROR','object':{'code':504,'reason':'Timeout','message':'Timeout: Too large',"
		 "'details':{'causes':[{},7,{'reason':'ResourceVersionTooLarge'}]}}}",
		 "error 504 Timeout: Too large (version)"},
		{"error of wrong types",
		 "{'type':'ERROR','object':{'code':'410','reason':7,'message':null,'details':[]}}", "error 0 "},
		{"error that would upset a terminal",
		 "{'type':'ERROR','object':{'code':500,'message':'\\u001b[31m\\u00e9'}}", "error 500 ?[31m??"},
		{"no kind", "{'type':'ADDED','object':{'metadata':{'namespace':'d','name':'a'}}}",
		 "! object: kind is missing"},
		{"no name", "{'type':'ADDED','object':{'kind':'Service','metadata':{'namespace':'d'}}}",
		 "! object: metadata.name is missing"},
		{"deleted without a name",
		 "{'type':'DELETED','object':{'kind':'Service','metadata':{'namespace':'d'}}}",
		 "! object: metadata.name is missing"},
		{"a slice of a service that cannot be told",
		 "{'type':'ADDED','object':{'kind':'EndpointSlice','metadata':{'namespace':'d','name':'a','labels':7}}"
		 "}",
		 "! object: metadata.labels is a number, not an object"},
		{"bookmark without version", "{'type':'BOOKMARK','object':{'metadata':{}}}",
		 "! object: metadata.resourceVersion is missing"},
		{"a version that does not fit",
		 "{'type':'BOOKMARK','object':{'metadata':{'resourceVersion':'12345678901234567890123456789012'}}}",
		 "! object: metadata.resourceVersion \"12345678901234567890123456789012\" is too long"},
		{"no type", "{'object':{}}", "! type is missing"},
		{"a type of a wrong type", "{'type':7,'object':{}}", "! type is a number, not a string"},
		{"a type twice", "{'type':'ADDED','type':'DELETED','object':{}}", "! type comes twice"},
		{"an unknown type", "{'type':'NEWS','object':{}}", "! type \"NEWS\" is unknown"},
		{"no object", "{'type':'ADDED'}", "! object is missing"},
		{"an object of a wrong type", "{'type':'ADDED','object':[]}", "! object is an array"},
		{"an object twice", "{'type':'ADDED','object':{},'object':{}}", "! object comes twice"},
		{"no object at all", "[]", "! line 1, column 1: expected an object, found '['"},
		{"no JSON", "<html>", "! line 1, column 1: expected an object, found '<'"},
		{"half of it", "{'type':'ADDED','object':{", "! line 1, column 27: the text ends too early"},
		{"more than one", "{'type':'ADDED'}{", "! line 1, column 17: expected nothing more, found '{'"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = json(rows[i].text);
		const char *line = read_event(text, strlen(text));

		if (strcmp(line, rows[i].wanted) != 0)
			fail_msg("%s: %s, not %s", rows[i].row, line, rows[i].wanted);
		free(text);
	}
}

/* An object of more than 4 MiB: the server refuses those of more than 3. */
static void a_huge_event_is_refused_and_a_large_one_is_read(void **state)
{
	static const char head[] =
		"{\"type\":\"ADDED\",\"object\":{\"kind\":\"Service\",\"metadata\":{\"namespace\":\"d\",\"name\":\"a\","
		"\"resourceVersion\":\"7\",\"annotations\":{\"x\":\"";
	static const char tail[] = "\"}},\"spec\":{\"clusterIP\":\"None\"}}}";
	size_t len = ITEMS_ITEM_MAX + 1024;
	char *text = malloc(len + 1);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + len - sizeof(tail) + 1, tail, sizeof(tail));
	assert_string_equal(read_event(text, len), "! an event larger than 4194304 octets");
	len = (size_t)3 << 20;
	memcpy(text + len - sizeof(tail) + 1, tail, sizeof(tail));
	assert_string_equal(read_event(text, len), "put service d/a @7");
	free(text);
}

/* ---- recordings ---- */

static char *read_file(const char *name, size_t *ret_len)
{
	char path[128];
	char *text = malloc(1 << 16);
	FILE *f;

	snprintf(path, sizeof(path), "tests/data/api/%s", name);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(text);
	*ret_len = fread(text, 1, (1 << 16) - 1, f);
	text[*ret_len] = '\0';
	fclose(f);
	return text;
}

static void recorded_watches_are_read(void **state)
{
	static const struct {
		const char *file, *wanted;
	} rows[] = {
		{"watch-timeout5.jsonl", "put slice api-facts/w1 @1878|put slice api-facts/w1 @1879|deleted slice "
					 "api-facts/w1 @1880|bookmark @1880|"},
		{"watchlist-selector.jsonl", "bookmark @1901 end|"},
		{"watch-future.jsonl", ""},
		{"gone-watch-1.jsonl", "error 410 Expired: too old resource version: 1 (1742)|"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len, at = 0;
		char *text = read_file(rows[i].file, &len), *save = NULL, all[1024] = "";

		for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			at += (size_t)snprintf(all + at, sizeof(all) - at, "%s|", read_event(line, strlen(line)));
		assert_string_equal(all, rows[i].wanted);
		free(text);
	}
}

static void a_recorded_streaming_list_has_its_end_behind_all_objects(void **state)
{
	size_t len, puts = 0, ends = 0, changes = 0;
	char *text = read_file("watchlist.jsonl", &len), *save = NULL;

	(void)state;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *event = read_event(line, strlen(line));

		assert_int_not_equal(event[0], '!');
		ends += strstr(event, " end") != NULL;
		puts += !ends && strncmp(event, "put slice api-facts/", 20) == 0;
		changes += ends != 0;
	}
	assert_int_equal(puts, 12);
	assert_int_equal(ends, 1);
	assert_int_equal(puts + changes, 18);
	free(text);
}

static void recorded_refusals_are_read(void **state)
{
	static const struct {
		const char *file, *message;
		int code;
		bool is_version;
	} rows[] = {
		{"err-401-bad.json", "Unauthorized", 401, false},
		{"err-404-group.json", "NotFound: the server could not find the requested resource", 404, false},
		{"apf-429-list.json", "Too many requests, please try again later.", 0, false},
		{"list-future.json", "Timeout: Too large resource version: 99999999, current: 1877", 504, true},
		{"gone-list-exact-1.json", "Expired: The resourceVersion for the provided list is too old.", 410,
		 false},
		{"list-empty.json", NULL, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len;
		char *text = read_file(rows[i].file, &len), message[256];
		bool is_version;
		int code;

		kube_decode_status(text, len, &code, message, &is_version);
		if (rows[i].message)
			assert_string_equal(message, rows[i].message);
		assert_int_equal(code, rows[i].code);
		assert_int_equal(is_version, rows[i].is_version);
		free(text);
	}
}

static void any_octets_are_a_refusal(void **state)
{
	char message[256], octets[600];
	bool is_version;
	int code;

	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (char)(i * 7 | 0x80);
	for (size_t len = 0; len <= sizeof(octets); len++) {
		kube_decode_status(octets, len, &code, message, &is_version);
		assert_int_equal(code, 0);
		assert_int_equal(strlen(message), len < 256 ? len : 255);
	}
	kube_decode_status("{\"kind\":\"Status\",\"code\":1e9}", 29, &code, message, &is_version);
	assert_int_equal(code, 0);
}

static void a_damaged_event_never_crashes(void **state)
{
	static const char damage[] = "\"{}[],:0x\\n\xff";
	size_t len;
	char *text = read_file("watch-timeout5.jsonl", &len);

	(void)state;
	len = (size_t)(strchr(text, '\n') - text);
	for (size_t i = 0; i < len; i++)
		for (size_t k = 0; k < sizeof(damage); k++) {
			char old = text[i];

			text[i] = damage[k];
			(void)read_event(text, len);
			text[i] = old;
		}
	for (size_t i = 0; i < len; i++)
		assert_int_equal(read_event(text, i)[0], '!');
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_read),
		cmocka_unit_test(a_huge_event_is_refused_and_a_large_one_is_read),
		cmocka_unit_test(recorded_watches_are_read),
		cmocka_unit_test(a_recorded_streaming_list_has_its_end_behind_all_objects),
		cmocka_unit_test(recorded_refusals_are_read),
		cmocka_unit_test(any_octets_are_a_refusal),
		cmocka_unit_test(a_damaged_event_never_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
