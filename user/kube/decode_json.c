/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of cJSON: members, their types, and what is said of those that are wrong. */
#include "kube/decode_parts.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *json_type_name(const cJSON *v)
{
	if (cJSON_IsString(v))
		return "a string";
	if (cJSON_IsNumber(v))
		return "a number";
	if (cJSON_IsBool(v))
		return "true or false";
	if (cJSON_IsArray(v))
		return "an array";
	return cJSON_IsObject(v) ? "an object" : "null";
}

void json_broken(struct json_reader *r, const char *format, ...)
{
	va_list args;
	int len = 0;

	if (r->is_broken)
		return;
	r->is_broken = true;
	if (r->parent && r->index >= 0)
		len = snprintf(r->broken, sizeof(r->broken), "%s[%ld].", r->parent, r->index);
	else if (r->parent)
		len = snprintf(r->broken, sizeof(r->broken), "%s.", r->parent);
	va_start(args, format);
	vsnprintf(r->broken + len, sizeof(r->broken) - (size_t)len, format, args);
	va_end(args);
}

void json_broken_element(struct json_reader *r, const cJSON *v)
{
	if (!r->is_broken)
		snprintf(r->broken, sizeof(r->broken), "%s[%ld] is %s, not an object", r->parent, r->index,
			 json_type_name(v));
	r->is_broken = true;
}

/* ---- members ---- */

const cJSON *json_member(const cJSON *object, const char *key, bool *ret_twice)
{
	const cJSON *found = NULL;

	*ret_twice = false;
	for (const cJSON *m = cJSON_IsObject(object) ? object->child : NULL; m; m = m->next) {
		if (strcmp(m->string, key) != 0)
			continue;
		*ret_twice = found != NULL;
		found = m;
	}
	return found && !cJSON_IsNull(found) ? found : NULL;
}

const cJSON *json_field(struct json_reader *r, const cJSON *object, const char *key,
			cJSON_bool (*is_type)(const cJSON *), const char *wanted)
{
	bool is_twice;
	const cJSON *v = json_member(object, key, &is_twice);

	if (is_twice)
		json_broken(r, "%s comes twice", key);
	if (!v || is_type(v))
		return v;
	json_broken(r, "%s is %s, not %s", key, json_type_name(v), wanted);
	return NULL;
}

const char *json_text_field(struct json_reader *r, const cJSON *object, const char *key)
{
	const cJSON *v = json_field(r, object, key, cJSON_IsString, "a string");

	return v ? v->valuestring : NULL;
}

const cJSON *json_address_field(struct json_reader *r, const cJSON *object, const char *key,
				cJSON_bool (*is_type)(const cJSON *), const char *wanted)
{
	bool is_twice;
	const cJSON *v = json_member(object, key, &is_twice);

	if (is_twice || (v && !is_type(v)))
		r->has_unknown_addresses = true;
	return json_field(r, object, key, is_type, wanted);
}

int json_identity(const cJSON *object, const char *path, const char *key, bool is_optional, const char **ret_text,
		  struct error *e)
{
	bool is_twice;
	const cJSON *v = json_member(object, key, &is_twice);

	if (is_twice)
		return error_set(e, -EINVAL, "%s%s comes twice", path, key);
	if (v && !cJSON_IsString(v))
		return error_set(e, -EINVAL, "%s%s is %s, not a string", path, key, json_type_name(v));
	if (!v && !is_optional)
		return error_set(e, -EINVAL, "%s%s is missing", path, key);
	*ret_text = v ? v->valuestring : NULL;
	return 0;
}

/* ---- texts to trees ---- */

static int hex4(const char *s)
{
	char digits[5] = {s[0], s[1], s[2], s[3], '\0'};

	return (int)strtol(digits, NULL, 16);
}

/* cJSON cuts a string at \u0000 and refuses half a surrogate pair, which Go reads as U+FFFD. Neither can be part of
 * what we read, so a control character in the first place and U+FFFD in the second will do. */
static void replace_escapes(char *text, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		int code;

		if (text[i] != '\\')
			continue;
		if (text[++i] != 'u')
			continue;
		code = hex4(text + i + 1);
		if (code == 0)
			text[i + 4] = '1';
		if (code >= 0xd800 && code < 0xdc00 && text[i + 5] == '\\' && text[i + 6] == 'u' &&
		    hex4(text + i + 7) >= 0xdc00 && hex4(text + i + 7) < 0xe000)
			i += 6;
		else if (code >= 0xd800 && code < 0xe000)
			memcpy(text + i + 1, "fffd", 4);
		i += 4;
	}
}

cJSON *json_parse(const char *json, size_t len)
{
	cJSON *tree;
	char *copy;

	if (!memmem(json, len, "\\u", 2))
		return cJSON_ParseWithLength(json, len);
	copy = malloc(len + 1);
	if (!copy)
		return NULL;
	memcpy(copy, json, len);
	copy[len] = '\0';
	replace_escapes(copy, len);
	tree = cJSON_ParseWithLength(copy, len);
	free(copy);
	return tree;
}
