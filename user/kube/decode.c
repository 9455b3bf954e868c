/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of one object to a kube_object. */
#include "kube/decode.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/decode_parts.h"
#include "kube/items.h"
#include "kube/text.h"

/* Other groups have a Service as well (serving.knative.dev). A list's items need not name their version. */
static bool is_ours(const char *kind, const char *version, enum kube_kind *ret_kind)
{
	static const char group[] = "discovery.k8s.io/";

	if (strcmp(kind, "Service") == 0) {
		*ret_kind = KUBE_SERVICE;
		return !version || strcmp(version, "v1") == 0;
	}
	*ret_kind = KUBE_SLICE;
	return strcmp(kind, "EndpointSlice") == 0 && (!version || strncmp(version, group, sizeof(group) - 1) == 0);
}

/* 1: ours, 0: another kind. */
static int read_kind(const cJSON *json, const char *fallback_kind, enum kube_kind *ret_kind, struct error *e)
{
	const char *kind = NULL, *version = NULL;
	int err = json_identity(json, "", "kind", true, &kind, e);

	if (err == 0)
		err = json_identity(json, "", "apiVersion", true, &version, e);
	if (err < 0)
		return err;
	if (!kind && !fallback_kind)
		return error_set(e, -ENODATA, "kind is missing");
	return is_ours(kind ? kind : fallback_kind, version, ret_kind);
}

static int read_identity(const cJSON *metadata, struct kube_object *o, struct error *e)
{
	bool (*is_name)(const char *) = o->kind == KUBE_SLICE ? text_is_subdomain : text_is_label;
	const char *namespace = NULL, *name = NULL;
	int err = json_identity(metadata, "metadata.", "namespace", false, &namespace, e);

	if (err == 0)
		err = json_identity(metadata, "metadata.", "name", false, &name, e);
	if (err < 0)
		return err;
	if (!text_is_label(namespace))
		return error_set(e, -EINVAL, "metadata.namespace %s is no namespace", text_quote(namespace).text);
	if (!is_name(name))
		return error_set(e, -EINVAL, "metadata.name %s is no name of such an object", text_quote(name).text);
	o->namespace = (char *)namespace;
	o->name = (char *)name;
	return 0;
}

static int read_metadata(const cJSON *json, const cJSON **ret_metadata, struct error *e)
{
	bool is_twice;
	const cJSON *metadata = json_member(json, "metadata", &is_twice);

	if (is_twice)
		return error_set(e, -EINVAL, "metadata comes twice");
	if (!metadata)
		return error_set(e, -EINVAL, "metadata is missing");
	if (!cJSON_IsObject(metadata))
		return error_set(e, -EINVAL, "metadata is %s, not an object", json_type_name(metadata));
	*ret_metadata = metadata;
	return 0;
}

static void free_arrays(struct kube_object *o)
{
	if (o->kind == KUBE_SERVICE) {
		free(o->service.cluster_ips);
		free(o->service.ports);
		return;
	}
	if (o->slice.endpoints)
		free(o->slice.endpoints[0].addresses);
	free(o->slice.endpoints);
	free(o->slice.ports);
}

/* Reads into arrays of its own, then keeps a copy of exact size. */
static int read_object(const cJSON *json, const cJSON *metadata, struct kube_object *o, struct kube_object **ret_object,
		       struct error *e)
{
	struct json_reader r = {.index = -1};
	int err;

	if (o->kind == KUBE_SERVICE)
		err = decode_service(&r, json, &o->service);
	else
		err = decode_slice(&r, json, metadata, &o->slice, e);
	r.parent = "metadata";
	o->resource_version = (char *)json_text_field(&r, metadata, "resourceVersion");
	o->broken = r.is_broken ? r.broken : NULL;
	o->has_unknown_addresses = r.has_unknown_addresses;
	if (err == 0) {
		*ret_object = kube_object_copy(o);
		err = *ret_object ? 0 : -ENOMEM;
	}
	free_arrays(o);
	return err == -ENOMEM ? error_set(e, err, "out of memory") : err;
}

/* What tells the object; its strings point into the tree. As kube_decode_item, 1: ours. */
static int read_name(const cJSON *json, const char *fallback_kind, struct kube_object *o, const cJSON **ret_metadata,
		     struct error *e)
{
	int err;

	if (!cJSON_IsObject(json))
		return error_set(e, -EINVAL, "is %s, not an object", json_type_name(json));
	err = read_kind(json, fallback_kind, &o->kind, e);
	if (err <= 0)
		return err;
	err = read_metadata(json, ret_metadata, e);
	if (err == 0)
		err = read_identity(*ret_metadata, o, e);
	return err < 0 ? err : 1;
}

int decode_tree(const cJSON *json, const char *fallback_kind, const char *origin, struct kube_object **ret_object,
		struct error *e)
{
	struct kube_object o = {.origin = (char *)origin};
	const cJSON *metadata = NULL;
	int err = read_name(json, fallback_kind, &o, &metadata, e);

	if (err == 0)
		*ret_object = NULL;
	return err <= 0 ? err : read_object(json, metadata, &o, ret_object, e);
}

int decode_tree_name(const cJSON *json, struct kube_object **ret_object, struct error *e)
{
	struct kube_object o = {0}, *copy;
	const cJSON *metadata = NULL;
	struct json_reader r = {.index = -1};
	int err = read_name(json, NULL, &o, &metadata, e);

	if (err == 0)
		*ret_object = NULL;
	if (err <= 0)
		return err;
	o.resource_version = (char *)json_text_field(&r, metadata, "resourceVersion");
	copy = kube_object_copy(&o);
	if (!copy)
		return error_set(e, -ENOMEM, "out of memory");
	*ret_object = copy;
	return 0;
}

/* ---- entries ---- */

int kube_decode_item(const char *json, size_t len, const char *fallback_kind, const char *origin,
		     struct kube_object **ret_object, struct error *e)
{
	cJSON *tree = json_parse(json, len);
	int err;

	if (!tree)
		return error_set(e, -EINVAL, "cannot be parsed");
	err = decode_tree(tree, fallback_kind, origin, ret_object, e);
	cJSON_Delete(tree);
	return err;
}

int kube_decode_object(const char *json, size_t len, const char *fallback_kind, const char *origin,
		       struct kube_object **ret_object, struct error *e)
{
	int err;

	if (len > ITEMS_ITEM_MAX)
		return error_set(e, -EINVAL, "larger than %zu octets", ITEMS_ITEM_MAX);
	err = items_check_object(json, len, e);
	if (err == 0)
		err = kube_decode_item(json, len, fallback_kind, origin, ret_object, e);
	return err == -ENODATA ? -EINVAL : err;
}

int kube_decode_text(const char *json, size_t len, char **ret_text, struct error *e)
{
	cJSON *tree = json_parse(json, len);
	char *text = cJSON_IsString(tree) ? strdup(tree->valuestring) : NULL;
	int err = 0;

	if (!text)
		err = error_set(e, -EINVAL, "is %s, not a string", tree ? json_type_name(tree) : "too large");
	cJSON_Delete(tree);
	if (err == 0)
		*ret_text = text;
	return err;
}

static int copy_text(const cJSON *object, const char *key, char **ret_text, struct error *e)
{
	const char *text = NULL;
	int err = json_identity(object, "metadata.", key, true, &text, e);

	if (err < 0)
		return err;
	*ret_text = strdup(text ? text : "");
	return *ret_text ? 0 : error_set(e, -ENOMEM, "out of memory");
}

int kube_decode_list_meta(const char *json, size_t len, char **ret_version, char **ret_continue, struct error *e)
{
	cJSON *tree = json_parse(json, len);
	char *version = NULL, *more = NULL;
	int err = 0;

	if (!cJSON_IsObject(tree) && !cJSON_IsNull(tree))
		err = error_set(e, -EINVAL, "metadata is %s, not an object", tree ? json_type_name(tree) : "too large");
	if (err == 0)
		err = copy_text(tree, "resourceVersion", &version, e);
	if (err == 0)
		err = copy_text(tree, "continue", &more, e);
	cJSON_Delete(tree);
	if (err < 0) {
		free(version);
		free(more);
		return err;
	}
	*ret_version = version;
	*ret_continue = more;
	return 0;
}
