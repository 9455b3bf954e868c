/* SPDX-License-Identifier: Apache-2.0 */
/* What a watch sends (one event a line), and what the server says when it refuses. */
#include "kube/decode.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kube/decode_parts.h"
#include "kube/items.h"
#include "kube/text.h"

/* Beside the object: {"type":"…","object":…}. */
#define ENVELOPE_MAX 256

#define INITIAL_END  "k8s.io/initial-events-end"

/* ---- texts of the server, for messages and logs ---- */

/* Cut, and without octets that could upset a terminal. */
static void print_text(char *ret_text, size_t size, const char *text, size_t len)
{
	size_t n = 0;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	for (; n < len && n + 1 < size; n++)
		ret_text[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
	ret_text[n] = '\0';
}

/* Of another type: as if it were missing. */
static const char *text_of(const cJSON *object, const char *key)
{
	bool is_twice;
	const cJSON *v = json_member(object, key, &is_twice);

	return cJSON_IsString(v) ? v->valuestring : "";
}

static int code_of(const cJSON *status)
{
	bool is_twice;
	const cJSON *v = json_member(status, "code", &is_twice);

	return cJSON_IsNumber(v) && v->valuedouble >= 100 && v->valuedouble < 1000 ? (int)v->valuedouble : 0;
}

/* The reason in front, unless the message begins with it ("Timeout: Too large resource version: …"). */
static void print_status(const cJSON *status, char ret_message[256])
{
	const char *reason = text_of(status, "reason"), *message = text_of(status, "message");
	bool has_both = reason[0] && strncmp(message, reason, strlen(reason)) != 0;
	char text[512];
	int len = snprintf(text, sizeof(text), "%s%s%s", has_both ? reason : "", has_both && message[0] ? ": " : "",
			   message);

	print_text(ret_message, 256, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

static bool is_version_unknown(const cJSON *status)
{
	bool is_twice;
	const cJSON *details = json_member(status, "details", &is_twice);
	const cJSON *causes = json_member(details, "causes", &is_twice);

	for (const cJSON *c = cJSON_IsArray(causes) ? causes->child : NULL; c; c = c->next)
		if (strcmp(text_of(c, "reason"), "ResourceVersionTooLarge") == 0)
			return true;
	return false;
}

void kube_decode_status(const char *body, size_t len, int *ret_code, char ret_message[256], bool *ret_is_version)
{
	cJSON *tree = items_check_object(body, len, NULL) == 0 ? json_parse(body, len) : NULL;

	*ret_code = 0;
	*ret_is_version = false;
	if (tree && strcmp(text_of(tree, "kind"), "Status") == 0) {
		*ret_code = code_of(tree);
		*ret_is_version = is_version_unknown(tree);
		print_status(tree, ret_message);
	} else {
		print_text(ret_message, 256, body, len);
	}
	cJSON_Delete(tree);
}

/* ---- events ---- */

static int read_type(const cJSON *tree, enum kube_event_type *ret_type, struct error *e)
{
	static const struct {
		const char *text;
		enum kube_event_type type;
	} types[] = {{"ADDED", KUBE_EVENT_PUT},
		     {"MODIFIED", KUBE_EVENT_PUT},
		     {"DELETED", KUBE_EVENT_DELETED},
		     {"BOOKMARK", KUBE_EVENT_BOOKMARK},
		     {"ERROR", KUBE_EVENT_ERROR}};
	const char *text = NULL;
	int err = json_identity(tree, "", "type", false, &text, e);

	if (err < 0)
		return err;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(text, types[i].text) == 0) {
			*ret_type = types[i].type;
			return 0;
		}
	return error_set(e, -EINVAL, "type %s is unknown", text_quote(text).text);
}

/* A version is opaque; here it must fit, as it is sent back. */
static int read_version(const cJSON *object, bool is_optional, char ret_version[32], struct error *e)
{
	bool is_twice;
	const cJSON *metadata = json_member(object, "metadata", &is_twice);
	const char *text = text_of(metadata, "resourceVersion");

	if (!text[0] && !is_optional)
		return error_set(e, -EINVAL, "metadata.resourceVersion is missing");
	if (strlen(text) >= 32)
		return error_set(e, -EINVAL, "metadata.resourceVersion %s is too long", text_quote(text).text);
	strcpy(ret_version, text);
	return 0;
}

static int read_bookmark(const cJSON *object, struct kube_event *ev, struct error *e)
{
	bool is_twice;
	const cJSON *metadata = json_member(object, "metadata", &is_twice);
	const cJSON *annotations = json_member(metadata, "annotations", &is_twice);

	ev->is_initial_end = strcmp(text_of(annotations, INITIAL_END), "true") == 0;
	return read_version(object, false, ev->resource_version, e);
}

static void read_error(const cJSON *status, struct kube_event *ev)
{
	ev->status_code = code_of(status);
	ev->is_version_unknown = is_version_unknown(status);
	print_status(status, ev->message);
}

static int read_event_object(const cJSON *object, struct kube_event *ev, struct error *e)
{
	int err;

	if (ev->type == KUBE_EVENT_BOOKMARK)
		return read_bookmark(object, ev, e);
	if (ev->type == KUBE_EVENT_ERROR) {
		read_error(object, ev);
		return 0;
	}
	err = read_version(object, true, ev->resource_version, e);
	if (err < 0)
		return err;
	if (ev->type == KUBE_EVENT_DELETED)
		return decode_tree_name(object, &ev->object, e);
	return decode_tree(object, NULL, "watch", &ev->object, e);
}

static int read_event(const cJSON *tree, struct kube_event *ev, struct error *e)
{
	bool is_twice;
	const cJSON *object = json_member(tree, "object", &is_twice);
	int err = read_type(tree, &ev->type, e);

	if (err < 0)
		return err;
	if (is_twice)
		return error_set(e, -EINVAL, "object comes twice");
	if (!cJSON_IsObject(object))
		return error_set(e, -EINVAL, "object is %s", object ? json_type_name(object) : "missing");
	err = read_event_object(object, ev, e);
	if (err == -ENODATA)
		err = -EINVAL;
	return err < 0 ? error_prefix(e, err, "object") : 0;
}

int kube_decode_event(const char *json, size_t len, struct kube_event *ret_event, struct error *e)
{
	struct kube_event ev = {0};
	cJSON *tree;
	int err;

	if (len > ITEMS_ITEM_MAX + ENVELOPE_MAX)
		return error_set(e, -EINVAL, "an event larger than %zu octets", ITEMS_ITEM_MAX);
	err = items_check_object(json, len, e);
	if (err < 0)
		return err;
	tree = json_parse(json, len);
	if (!tree)
		return error_set(e, -EINVAL, "cannot be parsed");
	err = read_event(tree, &ev, e);
	cJSON_Delete(tree);
	if (err == 0)
		*ret_event = ev;
	return err;
}
