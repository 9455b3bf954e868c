/* SPDX-License-Identifier: Apache-2.0 */
/* EndpointSlices. */
#include "kube/decode_parts.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kube/text.h"

/* What the API allows in a slice (discovery.k8s.io/v1). */
#define ENDPOINTS_MAX 1000
#define ADDRESSES_MAX 100

#define SERVICE_LABEL "kubernetes.io/service-name"

enum slice_type { SLICE_UNKNOWN, SLICE_IPV4, SLICE_IPV6, SLICE_FQDN };

static enum slice_type read_address_type(struct json_reader *r, const cJSON *json)
{
	static const char *const names[] = {[SLICE_IPV4] = "IPv4", [SLICE_IPV6] = "IPv6", [SLICE_FQDN] = "FQDN"};
	const char *text = json_text_field(r, json, "addressType");

	for (size_t i = SLICE_IPV4; text && i <= SLICE_FQDN; i++)
		if (strcmp(text, names[i]) == 0)
			return (enum slice_type)i;
	if (text)
		json_broken(r, "addressType %s is unknown", text_quote(text).text);
	else
		json_broken(r, "addressType is missing");
	return SLICE_UNKNOWN;
}

/* Keeps what is an address, of either family. What is none touches no reverse name. */
static void read_address(struct json_reader *r, const char *text, size_t i, enum slice_type type,
			 struct kube_endpoint *ep)
{
	struct kube_addr *addr = &ep->addresses[ep->address_count];
	bool is_addr = text_parse_addr(text, addr);

	if (is_addr && ep->address_count == UINT16_MAX)
		r->has_unknown_addresses = true;
	else if (is_addr)
		ep->address_count++;
	if (type == SLICE_FQDN && is_addr)
		json_broken(r, "addresses[%zu] %s is no name", i, text_quote(text).text);
	else if (type == SLICE_IPV4 && !(is_addr && addr->family == AF_INET))
		json_broken(r, "addresses[%zu] %s is not a canonical IPv4 address", i, text_quote(text).text);
	else if (type == SLICE_IPV6 && !(is_addr && addr->family == AF_INET6))
		json_broken(r, "addresses[%zu] %s is not a canonical IPv6 address", i, text_quote(text).text);
}

static void read_addresses(struct json_reader *r, const cJSON *json, enum slice_type type, struct kube_endpoint *ep)
{
	const cJSON *array = json_address_field(r, json, "addresses", cJSON_IsArray, "an array");
	size_t i = 0;

	for (const cJSON *v = array ? array->child : NULL; v; v = v->next, i++) {
		if (i == ADDRESSES_MAX)
			json_broken(r, "addresses has more than %d elements", ADDRESSES_MAX);
		if (cJSON_IsString(v)) {
			read_address(r, v->valuestring, i, type, ep);
			continue;
		}
		r->has_unknown_addresses = true;
		json_broken(r, "addresses[%zu] is %s, not a string", i, json_type_name(v));
	}
}

/* Missing is ready (discovery.k8s.io/v1). */
static bool read_ready(struct json_reader *r, const cJSON *json)
{
	const cJSON *conditions = json_field(r, json, "conditions", cJSON_IsObject, "an object");
	bool is_twice;
	const cJSON *ready = json_member(conditions, "ready", &is_twice);

	if (is_twice)
		json_broken(r, "conditions.ready comes twice");
	if (ready && !cJSON_IsBool(ready))
		json_broken(r, "conditions.ready is %s, not true or false", json_type_name(ready));
	return !cJSON_IsFalse(ready);
}

/* Strings point into the tree. */
static void read_endpoint(struct json_reader *r, const cJSON *json, enum slice_type type, struct kube_endpoint *ep)
{
	const char *hostname = json_text_field(r, json, "hostname");

	ep->is_ready = read_ready(r, json);
	if (hostname && hostname[0] && !text_is_label(hostname))
		json_broken(r, "hostname %s is not a lower-case label", text_quote(hostname).text);
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
		const cJSON *array = cJSON_IsObject(ep) ? json_member(ep, "addresses", &is_twice) : NULL;

		if (cJSON_IsArray(array))
			count += (size_t)cJSON_GetArraySize(array);
		count++; /* an address is tried before it counts */
	}
	return calloc(count, sizeof(struct kube_addr));
}

static void read_endpoints(struct json_reader *r, const cJSON *array, enum slice_type type, struct kube_slice *s,
			   struct kube_addr *addresses)
{
	r->parent = "endpoints";
	r->index = 0;
	for (const cJSON *v = array ? array->child : NULL; v; v = v->next, r->index++) {
		struct kube_endpoint *ep = &s->endpoints[s->endpoint_count];

		if (!cJSON_IsObject(v)) {
			r->has_unknown_addresses = true;
			json_broken_element(r, v);
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
static int read_service_label(struct json_reader *r, const cJSON *metadata, struct kube_slice *s, struct error *e)
{
	bool is_twice, is_twice_inside;
	const cJSON *labels = json_member(metadata, "labels", &is_twice);
	const cJSON *v = json_member(labels, SERVICE_LABEL, &is_twice_inside);

	if (is_twice || is_twice_inside)
		return error_set(e, -EINVAL, "metadata.labels[" SERVICE_LABEL "] comes twice");
	if (labels && !cJSON_IsObject(labels))
		return error_set(e, -EINVAL, "metadata.labels is %s, not an object", json_type_name(labels));
	if (v && !cJSON_IsString(v))
		return error_set(e, -EINVAL, "metadata.labels[" SERVICE_LABEL "] is %s, not a string",
				 json_type_name(v));
	if (!v || v->valuestring[0] == '\0')
		return 0;
	/* No service can have such a name, so no name below a service is touched: as without the label. */
	if (text_is_label(v->valuestring))
		strcpy(s->service, v->valuestring);
	else
		json_broken(r, "metadata.labels[" SERVICE_LABEL "] %s is no service name",
			    text_quote(v->valuestring).text);
	return 0;
}

int decode_slice(struct json_reader *r, const cJSON *json, const cJSON *metadata, struct kube_slice *s, struct error *e)
{
	const cJSON *endpoints = json_address_field(r, json, "endpoints", cJSON_IsArray, "an array");
	size_t count = (size_t)cJSON_GetArraySize(endpoints);
	enum slice_type type = read_address_type(r, json);
	struct kube_addr *addresses;
	int err = read_service_label(r, metadata, s, e);

	if (err < 0)
		return err;
	s->is_fqdn = type == SLICE_FQDN;
	if (count > ENDPOINTS_MAX)
		json_broken(r, "endpoints has %zu elements, more than %d", count, ENDPOINTS_MAX);
	addresses = new_addresses(endpoints);
	s->endpoints = calloc(count + 1, sizeof(*s->endpoints));
	if (!s->endpoints || !addresses) {
		free(addresses);
		return -ENOMEM;
	}
	s->endpoints[0].addresses = addresses;
	read_endpoints(r, endpoints, type, s, addresses);
	return decode_ports(r, json_field(r, json, "ports", cJSON_IsArray, "an array"), true, &s->ports,
			    &s->port_count);
}
