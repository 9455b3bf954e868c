/* SPDX-License-Identifier: Apache-2.0 */
/* The reduced objects: one heap block each, laid out as the struct, endpoints, ports, addresses, strings. */
#include "kube/object.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Where the next array and the next string of a copy go. Strings are last: they need no alignment. */
struct layout {
	char *array;
	char *string;
	char *empty; /* the one "" that all empty strings share */
};

static size_t string_len(const char *s)
{
	return s && s[0] ? strlen(s) + 1 : 0;
}

static size_t slice_array_len(const struct kube_slice *s)
{
	size_t len = s->endpoint_count * sizeof(*s->endpoints) + s->port_count * sizeof(*s->ports);

	for (size_t i = 0; i < s->endpoint_count; i++)
		len += s->endpoints[i].address_count * sizeof(struct kube_addr);
	return len;
}

static size_t object_array_len(const struct kube_object *o)
{
	const struct kube_service *s = &o->service;

	if (o->kind == KUBE_SLICE)
		return slice_array_len(&o->slice);
	return s->port_count * sizeof(*s->ports) + s->cluster_ip_count * sizeof(*s->cluster_ips);
}

static size_t object_string_len(const struct kube_object *o)
{
	size_t len = 1 + string_len(o->namespace) + string_len(o->name) + string_len(o->resource_version) +
		     string_len(o->broken) + string_len(o->origin);

	if (o->kind == KUBE_SLICE)
		for (size_t i = 0; i < o->slice.endpoint_count; i++)
			len += string_len(o->slice.endpoints[i].hostname);
	return len;
}

static void *take_array(struct layout *l, const void *src, size_t len)
{
	char *dst = l->array;

	if (len == 0)
		return NULL;
	memcpy(dst, src, len);
	l->array += len;
	return dst;
}

static char *take_string(struct layout *l, const char *src)
{
	size_t len = string_len(src);
	char *dst = l->string;

	if (len == 0)
		return l->empty;
	memcpy(dst, src, len);
	l->string += len;
	return dst;
}

/* From the strictest alignment to the loosest: endpoints, ports, addresses. */
static void copy_slice(struct kube_slice *s, struct layout *l)
{
	s->endpoints = take_array(l, s->endpoints, s->endpoint_count * sizeof(*s->endpoints));
	s->ports = take_array(l, s->ports, s->port_count * sizeof(*s->ports));
	for (size_t i = 0; i < s->endpoint_count; i++) {
		struct kube_endpoint *ep = &s->endpoints[i];

		ep->addresses = take_array(l, ep->addresses, ep->address_count * sizeof(*ep->addresses));
		ep->hostname = take_string(l, ep->hostname);
	}
}

static void copy_service(struct kube_service *s, struct layout *l)
{
	s->ports = take_array(l, s->ports, s->port_count * sizeof(*s->ports));
	s->cluster_ips = take_array(l, s->cluster_ips, s->cluster_ip_count * sizeof(*s->cluster_ips));
}

struct kube_object *kube_object_copy(const struct kube_object *src)
{
	size_t arrays = object_array_len(src);
	struct kube_object *o = malloc(sizeof(*o) + arrays + object_string_len(src));
	struct layout l;

	if (!o)
		return NULL;
	*o = *src;
	l.array = (char *)(o + 1);
	l.empty = l.array + arrays;
	l.empty[0] = '\0';
	l.string = l.empty + 1;
	if (o->kind == KUBE_SLICE)
		copy_slice(&o->slice, &l);
	else
		copy_service(&o->service, &l);
	o->namespace = take_string(&l, src->namespace);
	o->name = take_string(&l, src->name);
	o->resource_version = take_string(&l, src->resource_version);
	o->broken = src->broken ? take_string(&l, src->broken) : NULL;
	o->origin = take_string(&l, src->origin);
	return o;
}

void kube_object_free(struct kube_object *o)
{
	free(o);
}

/* NULL and "" are the same: nothing. */
static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool kube_addr_equal(const struct kube_addr *a, const struct kube_addr *b)
{
	if (a->family != b->family)
		return false;
	return memcmp(a->octets, b->octets, a->family == AF_INET ? 4 : 16) == 0;
}

static bool same_addrs(const struct kube_addr *a, size_t a_count, const struct kube_addr *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (!kube_addr_equal(&a[i], &b[i]))
			return false;
	return true;
}

static bool same_ports(const struct kube_port *a, size_t a_count, const struct kube_port *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (a[i].number != b[i].number || a[i].protocol != b[i].protocol || strcmp(a[i].name, b[i].name) != 0)
			return false;
	return true;
}

static bool same_endpoint(const struct kube_endpoint *a, const struct kube_endpoint *b)
{
	return a->is_ready == b->is_ready && same_text(a->hostname, b->hostname) &&
	       same_addrs(a->addresses, a->address_count, b->addresses, b->address_count);
}

static bool same_slice(const struct kube_slice *a, const struct kube_slice *b)
{
	if (strcmp(a->service, b->service) != 0 || a->is_fqdn != b->is_fqdn || a->endpoint_count != b->endpoint_count)
		return false;
	for (size_t i = 0; i < a->endpoint_count; i++)
		if (!same_endpoint(&a->endpoints[i], &b->endpoints[i]))
			return false;
	return same_ports(a->ports, a->port_count, b->ports, b->port_count);
}

static bool same_service(const struct kube_service *a, const struct kube_service *b)
{
	return a->type == b->type &&
	       same_addrs(a->cluster_ips, a->cluster_ip_count, b->cluster_ips, b->cluster_ip_count) &&
	       same_ports(a->ports, a->port_count, b->ports, b->port_count);
}

bool kube_object_equal(const struct kube_object *a, const struct kube_object *b)
{
	if (a->kind != b->kind || a->has_unknown_addresses != b->has_unknown_addresses || !a->broken != !b->broken)
		return false;
	if (!same_text(a->namespace, b->namespace) || !same_text(a->name, b->name) || !same_text(a->broken, b->broken))
		return false;
	return a->kind == KUBE_SLICE ? same_slice(&a->slice, &b->slice) : same_service(&a->service, &b->service);
}

void kube_addr_format(const struct kube_addr *a, char ret_text[INET6_ADDRSTRLEN])
{
	if (!inet_ntop(a->family, a->octets, ret_text, INET6_ADDRSTRLEN))
		ret_text[0] = '\0';
}

const char *kube_protocol_label(enum kube_protocol p)
{
	switch (p) {
	case KUBE_TCP:
		return "tcp";
	case KUBE_UDP:
		return "udp";
	case KUBE_SCTP:
		return "sctp";
	}
	return "";
}
