/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of one object to a kube_object: the only file that knows cJSON. */
#include "kube/decode.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/items.h"
#include "kube/text.h"

/* What the API allows in a slice (discovery.k8s.io/v1). */
#define ENDPOINTS_MAX 1000
#define ADDRESSES_MAX 100
#define PORTS_MAX 20000
/* Far more than any number of cluster IPs (two), far less than uint16_t holds. */
#define CLUSTER_IPS_MAX 100

#define SERVICE_LABEL "kubernetes.io/service-name"

/* What is being read, for messages: `parent`, "[index]" if not negative, ".", then what is told of it. */
struct reader {
	const char *parent;
	long index;
	bool is_broken;
	bool has_unknown_addresses;
	char broken[256]; /* the first thing that could not be understood */
};

static const char *type_name(const cJSON *v)
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

__attribute__((format(printf, 2, 3))) static void broken(struct reader *r, const char *format, ...)
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

/* The element that `parent` and `index` name is no object. */
static void broken_element(struct reader *r, const cJSON *v)
{
	if (!r->is_broken)
		snprintf(r->broken, sizeof(r->broken), "%s[%ld] is %s, not an object", r->parent, r->index, type_name(v));
	r->is_broken = true;
}

/* ---- members ---- */

/* The last one of that name, as Go's decoder has it; NULL if missing or null. */
static const cJSON *member(const cJSON *object, const char *key, bool *ret_twice)
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

/* NULL: missing, null or of another type; the latter is broken. */
static const cJSON *field(struct reader *r, const cJSON *object, const char *key, cJSON_bool (*is_type)(const cJSON *),
			  const char *wanted)
{
	bool is_twice;
	const cJSON *v = member(object, key, &is_twice);

	if (is_twice)
		broken(r, "%s comes twice", key);
	if (!v || is_type(v))
		return v;
	broken(r, "%s is %s, not %s", key, type_name(v), wanted);
	return NULL;
}

static const char *text_field(struct reader *r, const cJSON *object, const char *key)
{
	const cJSON *v = field(r, object, key, cJSON_IsString, "a string");

	return v ? v->valuestring : NULL;
}

/* As field, for what holds addresses: wrong or double means that there are addresses we do not know. */
static const cJSON *address_field(struct reader *r, const cJSON *object, const char *key,
				  cJSON_bool (*is_type)(const cJSON *), const char *wanted)
{
	bool is_twice;
	const cJSON *v = member(object, key, &is_twice);

	if (is_twice || (v && !is_type(v)))
		r->has_unknown_addresses = true;
	return field(r, object, key, is_type, wanted);
}

/* ---- ports ---- */

static bool read_protocol(struct reader *r, const cJSON *json, uint8_t *ret_protocol)
{
	static const char *const names[] = {[KUBE_TCP] = "TCP", [KUBE_UDP] = "UDP", [KUBE_SCTP] = "SCTP"};
	const char *text = text_field(r, json, "protocol");

	*ret_protocol = KUBE_TCP;
	if (!text)
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_protocol = (uint8_t)i;
			return true;
		}
	broken(r, "protocol %s is unknown", text_quote(text).text);
	return false;
}

static void read_port_number(struct reader *r, const cJSON *json, bool is_slice, struct kube_port *port)
{
	const cJSON *v = field(r, json, "port", cJSON_IsNumber, "a number");

	port->number = -1;
	if (!v && !is_slice)
		broken(r, "port is missing");
	if (!v)
		return;
	if (v->valuedouble < 1 || v->valuedouble > 65535 || v->valuedouble != (double)(int32_t)v->valuedouble)
		broken(r, "port %.17g is no port number", v->valuedouble);
	else
		port->number = (int32_t)v->valuedouble;
}

/* false: not even its name can be told. */
static bool read_port(struct reader *r, const cJSON *json, bool is_slice, struct kube_port *port)
{
	const char *name;

	if (!cJSON_IsObject(json)) {
		broken_element(r, json);
		return false;
	}
	memset(port, 0, sizeof(*port));
	read_port_number(r, json, is_slice, port);
	name = text_field(r, json, "name");
	if (name && name[0] && !text_is_label(name)) {
		broken(r, "name %s is not a lower-case label of at most 63 octets", text_quote(name).text);
		return false;
	}
	if (name)
		strcpy(port->name, name);
	return read_protocol(r, json, &port->protocol);
}

/* ports belong to the caller (free). */
static int read_ports(struct reader *r, const cJSON *array, bool is_slice, struct kube_port **ret_ports,
		      size_t *ret_count)
{
	size_t size = (size_t)cJSON_GetArraySize(array);
	size_t count = 0;
	const char *parent = r->parent;
	struct kube_port *ports;

	if (size > PORTS_MAX)
		broken(r, "ports has %zu elements, more than %d", size, PORTS_MAX);
	if (size > PORTS_MAX)
		size = PORTS_MAX; /* its names are cut off as a whole, so none is missed */
	ports = calloc(size + 1, sizeof(*ports));
	if (!ports)
		return -ENOMEM;
	r->parent = is_slice ? "ports" : "spec.ports";
	r->index = 0;
	for (const cJSON *p = array ? array->child : NULL; p && (size_t)r->index < size; p = p->next, r->index++)
		count += read_port(r, p, is_slice, &ports[count]);
	r->parent = parent;
	r->index = -1;
	*ret_ports = ports;
	*ret_count = count;
	return 0;
}

/* ---- services ---- */

static enum kube_service_type read_service_type(struct reader *r, const cJSON *spec)
{
	static const char *const names[] = {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"};
	const char *text = text_field(r, spec, "type");
	size_t i = 0;

	while (text && i < 4 && strcmp(text, names[i]) != 0)
		i++;
	if (i == 4)
		broken(r, "type %s is unknown", text_quote(text).text);
	return i == 3 ? KUBE_EXTERNAL_NAME : KUBE_CLUSTER_IP;
}

/* "" and "None" hold no address. where: clusterIP or clusterIPs[n], for messages. */
static void read_cluster_ip(struct reader *r, struct kube_service *s, const char *text, const char *where, size_t i)
{
	struct kube_addr *addr = &s->cluster_ips[s->cluster_ip_count];

	if (strcmp(text, "None") == 0 && (i == 0 || s->type == KUBE_HEADLESS)) {
		if (s->type == KUBE_CLUSTER_IP)
			s->type = KUBE_HEADLESS;
		return;
	}
	if (text[0] == '\0' && s->type == KUBE_EXTERNAL_NAME)
		return;
	if (!text_parse_addr(text, addr)) {
		if (text[0])
			broken(r, "%s %s is not a canonical address", where, text_quote(text).text);
		else
			broken(r, "%s is empty", where);
		return;
	}
	s->cluster_ip_count++;
	if (s->type == KUBE_HEADLESS)
		broken(r, "%s %s beside None", where, text);
}

static void read_cluster_ips(struct reader *r, const cJSON *spec, struct kube_service *s)
{
	const cJSON *array = address_field(r, spec, "clusterIPs", cJSON_IsArray, "an array");
	const cJSON *single = address_field(r, spec, "clusterIP", cJSON_IsString, "a string");
	size_t i = 0;
	char where[32];

	for (const cJSON *v = array ? array->child : NULL; v; v = v->next, i++) {
		snprintf(where, sizeof(where), "clusterIPs[%zu]", i);
		if (cJSON_IsString(v) && i < CLUSTER_IPS_MAX) {
			read_cluster_ip(r, s, v->valuestring, where, i);
			continue;
		}
		r->has_unknown_addresses = true;
		if (cJSON_IsString(v))
			broken(r, "clusterIPs has more than %d elements", CLUSTER_IPS_MAX);
		else
			broken(r, "%s is %s, not a string", where, type_name(v));
	}
	if (i > 0)
		return;
	if (single)
		read_cluster_ip(r, s, single->valuestring, "clusterIP", 0);
	else if (s->type != KUBE_EXTERNAL_NAME)
		broken(r, "clusterIP is missing");
}

static int read_service(struct reader *r, const cJSON *json, struct kube_service *s)
{
	const cJSON *spec = address_field(r, json, "spec", cJSON_IsObject, "an object");

	if (!spec)
		broken(r, "spec is missing");
	s->cluster_ips = calloc(CLUSTER_IPS_MAX, sizeof(*s->cluster_ips));
	if (!s->cluster_ips)
		return -ENOMEM;
	r->parent = "spec";
	s->type = read_service_type(r, spec);
	read_cluster_ips(r, spec, s);
	return read_ports(r, field(r, spec, "ports", cJSON_IsArray, "an array"), false, &s->ports, &s->port_count);
}

/* ---- slices ---- */

enum slice_type { SLICE_UNKNOWN, SLICE_IPV4, SLICE_IPV6, SLICE_FQDN };

static enum slice_type read_address_type(struct reader *r, const cJSON *json)
{
	static const char *const names[] = {[SLICE_IPV4] = "IPv4", [SLICE_IPV6] = "IPv6", [SLICE_FQDN] = "FQDN"};
	const char *text = text_field(r, json, "addressType");

	for (size_t i = SLICE_IPV4; text && i <= SLICE_FQDN; i++)
		if (strcmp(text, names[i]) == 0)
			return (enum slice_type)i;
	if (text)
		broken(r, "addressType %s is unknown", text_quote(text).text);
	else
		broken(r, "addressType is missing");
	return SLICE_UNKNOWN;
}

/* Keeps what is an address, of either family. What is none touches no reverse name. */
static void read_address(struct reader *r, const char *text, size_t i, enum slice_type type, struct kube_endpoint *ep)
{
	struct kube_addr *addr = &ep->addresses[ep->address_count];
	bool is_addr = text_parse_addr(text, addr);

	if (is_addr && ep->address_count == UINT16_MAX)
		r->has_unknown_addresses = true;
	else if (is_addr)
		ep->address_count++;
	if (type == SLICE_FQDN && is_addr)
		broken(r, "addresses[%zu] %s is no name", i, text_quote(text).text);
	else if (type == SLICE_IPV4 && !(is_addr && addr->family == AF_INET))
		broken(r, "addresses[%zu] %s is not a canonical IPv4 address", i, text_quote(text).text);
	else if (type == SLICE_IPV6 && !(is_addr && addr->family == AF_INET6))
		broken(r, "addresses[%zu] %s is not a canonical IPv6 address", i, text_quote(text).text);
}

static void read_addresses(struct reader *r, const cJSON *json, enum slice_type type, struct kube_endpoint *ep)
{
	const cJSON *array = address_field(r, json, "addresses", cJSON_IsArray, "an array");
	size_t i = 0;

	for (const cJSON *v = array ? array->child : NULL; v; v = v->next, i++) {
		if (i == ADDRESSES_MAX)
			broken(r, "addresses has more than %d elements", ADDRESSES_MAX);
		if (cJSON_IsString(v)) {
			read_address(r, v->valuestring, i, type, ep);
			continue;
		}
		r->has_unknown_addresses = true;
		broken(r, "addresses[%zu] is %s, not a string", i, type_name(v));
	}
}

/* Missing is ready (discovery.k8s.io/v1). */
static bool read_ready(struct reader *r, const cJSON *json)
{
	const cJSON *conditions = field(r, json, "conditions", cJSON_IsObject, "an object");
	bool is_twice;
	const cJSON *ready = member(conditions, "ready", &is_twice);

	if (is_twice)
		broken(r, "conditions.ready comes twice");
	if (ready && !cJSON_IsBool(ready))
		broken(r, "conditions.ready is %s, not true or false", type_name(ready));
	return !cJSON_IsFalse(ready);
}

/* Strings point into the tree. */
static void read_endpoint(struct reader *r, const cJSON *json, enum slice_type type, struct kube_endpoint *ep)
{
	const char *hostname = text_field(r, json, "hostname");

	ep->is_ready = read_ready(r, json);
	if (hostname && hostname[0] && !text_is_label(hostname))
		broken(r, "hostname %s is not a lower-case label", text_quote(hostname).text);
	else
		ep->hostname = (char *)hostname;
	read_addresses(r, json, type, ep);
}

/* Room for all addresses in one block that begins with the first endpoint's. */
static struct kube_addr *new_addresses(const cJSON *endpoints)
{
	size_t count = 1;
	bool is_twice;

	for (const cJSON *ep = endpoints ? endpoints->child : NULL; ep; ep = ep->next) {
		const cJSON *array = cJSON_IsObject(ep) ? member(ep, "addresses", &is_twice) : NULL;

		if (cJSON_IsArray(array))
			count += (size_t)cJSON_GetArraySize(array);
		count++; /* an address is tried before it counts */
	}
	return calloc(count, sizeof(struct kube_addr));
}

static void read_endpoints(struct reader *r, const cJSON *array, enum slice_type type, struct kube_slice *s,
			   struct kube_addr *addresses)
{
	r->parent = "endpoints";
	r->index = 0;
	for (const cJSON *v = array ? array->child : NULL; v; v = v->next, r->index++) {
		struct kube_endpoint *ep = &s->endpoints[s->endpoint_count];

		if (!cJSON_IsObject(v)) {
			r->has_unknown_addresses = true;
			broken_element(r, v);
			continue;
		}
		ep->addresses = addresses;
		read_endpoint(r, v, type, ep);
		addresses += ep->address_count;
		s->endpoint_count++;
	}
	r->parent = NULL;
	r->index = -1;
}

/* -EINVAL: it cannot be told which service's names the slice touches. */
static int read_service_label(struct reader *r, const cJSON *metadata, struct kube_slice *s, struct error *e)
{
	bool is_twice, is_twice_inside;
	const cJSON *labels = member(metadata, "labels", &is_twice);
	const cJSON *v = member(labels, SERVICE_LABEL, &is_twice_inside);

	if (is_twice || is_twice_inside)
		return error_set(e, -EINVAL, "metadata.labels[" SERVICE_LABEL "] comes twice");
	if (labels && !cJSON_IsObject(labels))
		return error_set(e, -EINVAL, "metadata.labels is %s, not an object", type_name(labels));
	if (v && !cJSON_IsString(v))
		return error_set(e, -EINVAL, "metadata.labels[" SERVICE_LABEL "] is %s, not a string", type_name(v));
	if (!v || v->valuestring[0] == '\0')
		return 0;
	/* No service can have such a name, so no name below a service is touched: as without the label. */
	if (text_is_label(v->valuestring))
		strcpy(s->service, v->valuestring);
	else
		broken(r, "metadata.labels[" SERVICE_LABEL "] %s is no service name", text_quote(v->valuestring).text);
	return 0;
}

static int read_slice(struct reader *r, const cJSON *json, const cJSON *metadata, struct kube_slice *s, struct error *e)
{
	const cJSON *endpoints = address_field(r, json, "endpoints", cJSON_IsArray, "an array");
	size_t count = (size_t)cJSON_GetArraySize(endpoints);
	enum slice_type type = read_address_type(r, json);
	struct kube_addr *addresses;
	int err = read_service_label(r, metadata, s, e);

	if (err < 0)
		return err;
	s->is_fqdn = type == SLICE_FQDN;
	if (count > ENDPOINTS_MAX)
		broken(r, "endpoints has %zu elements, more than %d", count, ENDPOINTS_MAX);
	addresses = new_addresses(endpoints);
	s->endpoints = calloc(count + 1, sizeof(*s->endpoints));
	if (!s->endpoints || !addresses) {
		free(addresses);
		return -ENOMEM;
	}
	s->endpoints[0].addresses = addresses;
	read_endpoints(r, endpoints, type, s, addresses);
	return read_ports(r, field(r, json, "ports", cJSON_IsArray, "an array"), true, &s->ports, &s->port_count);
}

/* ---- any object ---- */

/* A text by which the object is told; missing is an error unless is_optional (then *ret_text is NULL). */
static int identity(const cJSON *object, const char *path, const char *key, bool is_optional, const char **ret_text,
		    struct error *e)
{
	bool is_twice;
	const cJSON *v = member(object, key, &is_twice);

	if (is_twice)
		return error_set(e, -EINVAL, "%s%s comes twice", path, key);
	if (v && !cJSON_IsString(v))
		return error_set(e, -EINVAL, "%s%s is %s, not a string", path, key, type_name(v));
	if (!v && !is_optional)
		return error_set(e, -EINVAL, "%s%s is missing", path, key);
	*ret_text = v ? v->valuestring : NULL;
	return 0;
}

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
	int err = identity(json, "", "kind", true, &kind, e);

	if (err == 0)
		err = identity(json, "", "apiVersion", true, &version, e);
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
	int err = identity(metadata, "metadata.", "namespace", false, &namespace, e);

	if (err == 0)
		err = identity(metadata, "metadata.", "name", false, &name, e);
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
	const cJSON *metadata = member(json, "metadata", &is_twice);

	if (is_twice)
		return error_set(e, -EINVAL, "metadata comes twice");
	if (!metadata)
		return error_set(e, -EINVAL, "metadata is missing");
	if (!cJSON_IsObject(metadata))
		return error_set(e, -EINVAL, "metadata is %s, not an object", type_name(metadata));
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
	struct reader r = {.index = -1};
	int err;

	if (o->kind == KUBE_SERVICE)
		err = read_service(&r, json, &o->service);
	else
		err = read_slice(&r, json, metadata, &o->slice, e);
	r.parent = "metadata";
	o->resource_version = (char *)text_field(&r, metadata, "resourceVersion");
	o->broken = r.is_broken ? r.broken : NULL;
	o->has_unknown_addresses = r.has_unknown_addresses;
	if (err == 0) {
		*ret_object = kube_object_copy(o);
		err = *ret_object ? 0 : -ENOMEM;
	}
	free_arrays(o);
	return err == -ENOMEM ? error_set(e, err, "out of memory") : err;
}

static int decode_tree(const cJSON *json, const char *fallback_kind, const char *origin,
		       struct kube_object **ret_object, struct error *e)
{
	struct kube_object o = {.origin = (char *)origin};
	const cJSON *metadata = NULL;
	int err;

	if (!cJSON_IsObject(json))
		return error_set(e, -EINVAL, "is %s, not an object", type_name(json));
	err = read_kind(json, fallback_kind, &o.kind, e);
	if (err == 0)
		*ret_object = NULL;
	if (err <= 0)
		return err;
	err = read_metadata(json, &metadata, e);
	if (err == 0)
		err = read_identity(metadata, &o, e);
	return err < 0 ? err : read_object(json, metadata, &o, ret_object, e);
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

/* The text is known to be well-formed. NULL: out of memory, or a number of more than 63 characters. */
static cJSON *parse(const char *json, size_t len)
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

int kube_decode_item(const char *json, size_t len, const char *fallback_kind, const char *origin,
		     struct kube_object **ret_object, struct error *e)
{
	cJSON *tree = parse(json, len);
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
	cJSON *tree = parse(json, len);
	char *text = cJSON_IsString(tree) ? strdup(tree->valuestring) : NULL;
	int err = 0;

	if (!text)
		err = error_set(e, -EINVAL, "is %s, not a string", tree ? type_name(tree) : "too large");
	cJSON_Delete(tree);
	if (err == 0)
		*ret_text = text;
	return err;
}

static int copy_text(const cJSON *object, const char *key, char **ret_text, struct error *e)
{
	const char *text = NULL;
	int err = identity(object, "metadata.", key, true, &text, e);

	if (err < 0)
		return err;
	*ret_text = strdup(text ? text : "");
	return *ret_text ? 0 : error_set(e, -ENOMEM, "out of memory");
}

int kube_decode_list_meta(const char *json, size_t len, char **ret_version, char **ret_continue, struct error *e)
{
	cJSON *tree = parse(json, len);
	char *version = NULL, *more = NULL;
	int err = 0;

	if (!cJSON_IsObject(tree) && !cJSON_IsNull(tree))
		err = error_set(e, -EINVAL, "metadata is %s, not an object", tree ? type_name(tree) : "too large");
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
