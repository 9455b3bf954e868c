/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the decoder: what the decode*.c files share. They alone include cJSON. */
#pragma once

#include "kube/decode.h"

typedef struct cJSON cJSON; /* cjson/cJSON.h */

/* ---- trees (decode_json.c) ---- */

/* What is being read, for messages: `parent`, "[index]" if not negative, ".", then what is told of it. */
struct json_reader {
	const char *parent;
	long index;
	bool is_broken;
	bool has_unknown_addresses;
	char broken[256]; /* the first thing that could not be understood */
};

/* "a string", …, for messages. */
const char *json_type_name(const cJSON *v);
void json_broken(struct json_reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The element that `parent` and `index` name is no object. */
void json_broken_element(struct json_reader *r, const cJSON *v);

/* The last one of that name, as Go's decoder has it; NULL if missing or null. */
const cJSON *json_member(const cJSON *object, const char *key, bool *ret_twice);
/* NULL: missing, null or of another type; the latter is broken. */
const cJSON *json_field(struct json_reader *r, const cJSON *object, const char *key, int (*is_type)(const cJSON *),
			const char *wanted);
const char *json_text_field(struct json_reader *r, const cJSON *object, const char *key);
/* As json_field, for what holds addresses: wrong or double means that there are addresses we do not know. */
const cJSON *json_address_field(struct json_reader *r, const cJSON *object, const char *key,
				int (*is_type)(const cJSON *), const char *wanted);
/* A text by which the object is told, of the tree; missing is an error unless is_optional (then *ret_text is NULL).
 * path: in front of the key, for messages. */
int json_identity(const cJSON *object, const char *path, const char *key, bool is_optional, const char **ret_text,
		  struct error *e);
/* The text is known to be well-formed. The tree is the caller's. NULL: out of memory, or a number of more than 63
 * characters. */
cJSON *json_parse(const char *json, size_t len);

/* ---- parts of objects: 0 or -ENOMEM; strings point into the tree, arrays are the caller's (free) ---- */

int decode_ports(struct json_reader *r, const cJSON *array, bool is_slice, struct kube_port **ret_ports,
		 size_t *ret_count);
int decode_service(struct json_reader *r, const cJSON *json, struct kube_service *s);
/* Also -EINVAL: it cannot be told which service's names the slice touches. */
int decode_slice(struct json_reader *r, const cJSON *json, const cJSON *metadata, struct kube_slice *s,
		 struct error *e);

/* ---- objects (decode.c) ---- */

/* As kube_decode_item. */
int decode_tree(const cJSON *json, const char *fallback_kind, const char *origin, struct kube_object **ret_object,
		struct error *e);
/* Only what tells the object: kind, namespace, name, version. */
int decode_tree_name(const cJSON *json, struct kube_object **ret_object, struct error *e);
