/* SPDX-License-Identifier: Apache-2.0 */
/* For whose addresses we answer. */
#include "servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/text.h"

#define DNS_PORT 53

void servers_done(struct server_set *set)
{
	free(set->entries);
	*set = (struct server_set){0};
}

/* ---- text ---- */

static bool parse_port(const char *text, __be16 *ret_port)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || port == 0 || port > 65535)
		return false;
	*ret_port = htons((uint16_t)port);
	return true;
}

/* The address alone, len octets of text. */
static bool parse_host(const char *text, size_t len, struct server_addr *a)
{
	char host[INET6_ADDRSTRLEN];

	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	a->family = strchr(host, ':') ? AF_INET6 : AF_INET;
	return inet_pton(a->family, host, a->octets) == 1;
}

bool servers_parse_address(const char *text, struct server_addr *ret_addr)
{
	struct server_addr a = {.port = htons(DNS_PORT)};
	const char *colon = strchr(text, ':');

	if (text[0] == '[') {
		const char *end = strchr(text, ']');

		if (!end || !parse_host(text + 1, (size_t)(end - text - 1), &a) || a.family != AF_INET6)
			return false;
		if (end[1] && (end[1] != ':' || !parse_port(end + 2, &a.port)))
			return false;
	} else if (colon && !strchr(colon + 1, ':')) {
		if (!parse_host(text, (size_t)(colon - text), &a) || !parse_port(colon + 1, &a.port))
			return false;
	} else if (!parse_host(text, strlen(text), &a)) {
		return false;
	}
	*ret_addr = a;
	return true;
}

void servers_format(const struct server_addr *addr, char ret_text[64])
{
	char host[INET6_ADDRSTRLEN] = "?";

	inet_ntop(addr->family, addr->octets, host, sizeof(host));
	snprintf(ret_text, 64, addr->family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, ntohs(addr->port));
}

bool servers_parse_service(const char *text, char ret_namespace[64], char ret_name[64])
{
	const char *slash = strchr(text, '/');
	size_t ns_len = slash ? (size_t)(slash - text) : 0;
	char namespace[64];

	if (!slash || ns_len >= sizeof(namespace))
		return false;
	memcpy(namespace, text, ns_len);
	namespace[ns_len] = '\0';
	if (!text_is_label(namespace) || !text_is_label(slash + 1))
		return false;
	memcpy(ret_namespace, namespace, ns_len + 1);
	memcpy(ret_name, slash + 1, strlen(slash + 1) + 1);
	return true;
}

/* ---- the set ---- */

static size_t addr_len(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

static int compare(const struct server_addr *a, const struct server_addr *b)
{
	int order = (int)a->family - (int)b->family;

	if (!order)
		order = memcmp(a->octets, b->octets, addr_len(a->family));
	return order ? order : (int)ntohs(a->port) - (int)ntohs(b->port);
}

/* Position of the address, or where it belongs. */
static size_t find_place(const struct server_set *set, const struct server_addr *a)
{
	size_t i = 0;

	while (i < set->count && compare(&set->entries[i].addr, a) < 0)
		i++;
	return i;
}

static bool is_at(const struct server_set *set, size_t place, const struct server_addr *a)
{
	return place < set->count && compare(&set->entries[place].addr, a) == 0;
}

static int insert(struct server_set *set, size_t place, const struct server_entry *entry)
{
	struct server_entry *entries;

	if (set->count == NODENS_SERVERS_MAX)
		return -ENOSPC;
	entries = reallocarray(set->entries, set->count + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	memmove(entries + place + 1, entries + place, (set->count - place) * sizeof(*entries));
	entries[place] = *entry;
	set->entries = entries;
	set->count++;
	return 0;
}

static int add_addr(struct server_set *set, const struct server_addr *addr)
{
	size_t place = find_place(set, addr);
	struct server_entry entry = {.addr = *addr};

	return is_at(set, place, addr) ? 0 : insert(set, place, &entry);
}

int servers_add(struct server_set *set, uint8_t family, const uint8_t *octets, uint16_t port, const char *origin)
{
	struct server_addr a = {.family = family, .port = htons(port)};

	memcpy(a.octets, octets, addr_len(family));
	snprintf(a.origin, sizeof(a.origin), "%s", origin);
	return add_addr(set, &a);
}

int servers_add_flag(struct server_set *set, const char *text, struct error *e)
{
	struct server_addr a;
	int err;

	if (strcmp(text, "auto") == 0)
		return 0;
	if (!servers_parse_address(text, &a))
		return error_set(e, -EINVAL, "\"%s\" is neither ADDR nor ADDR:PORT nor [ADDR]:PORT", text);
	snprintf(a.origin, sizeof(a.origin), "flag");
	err = add_addr(set, &a);
	if (err == -ENOSPC)
		return error_set(e, -EINVAL, "more than %d server addresses", NODENS_SERVERS_MAX);
	return err;
}

bool servers_equal(const struct server_set *a, const struct server_set *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (compare(&a->entries[i].addr, &b->entries[i].addr) != 0 ||
		    strcmp(a->entries[i].addr.origin, b->entries[i].addr.origin) != 0)
			return false;
	}
	return true;
}

/* ---- the DNS service ---- */

/* Of the UDP ports: the one called dns (kubeadm, OpenShift), else number 53, else any. */
static int port_rank(const struct kube_port *p)
{
	if (p->protocol != KUBE_UDP || p->number <= 0)
		return 0;
	if (strcmp(p->name, "dns") == 0)
		return 3;
	return p->number == DNS_PORT ? 2 : 1;
}

static const struct kube_port *find_dns_port(const struct kube_port *ports, size_t count)
{
	const struct kube_port *best = NULL;

	for (size_t i = 0; i < count; i++) {
		if (port_rank(&ports[i]) > (best ? port_rank(best) : 0))
			best = &ports[i];
	}
	return best;
}

/* A slice's port belongs to the service's port of the same name and protocol. */
static const struct kube_port *find_slice_port(const struct kube_slice *slice, const char *name)
{
	for (size_t i = 0; i < slice->port_count; i++) {
		const struct kube_port *p = &slice->ports[i];

		if (p->protocol == KUBE_UDP && p->number > 0 && strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

struct slice_walk {
	struct server_set *set;
	const char *port_name;
	int err;
};

static void add_slice(void *ctx, const struct kube_object *object)
{
	struct slice_walk *w = ctx;
	const struct kube_slice *slice = &object->slice;
	const struct kube_port *port = slice->is_fqdn ? NULL : find_slice_port(slice, w->port_name);

	for (size_t i = 0; port && i < slice->endpoint_count; i++) {
		const struct kube_endpoint *ep = &slice->endpoints[i];

		for (size_t j = 0; ep->is_ready && !w->err && j < ep->address_count; j++)
			w->err = servers_add(w->set, ep->addresses[j].family, ep->addresses[j].octets,
					     (uint16_t)port->number, "endpoint");
	}
}

int servers_add_service(struct server_set *set, const struct server_service *dns, enum answer_level level)
{
	const struct kube_object *o = store_find(dns->store, KUBE_SERVICE, dns->namespace, dns->name);
	const struct kube_port *port = o ? find_dns_port(o->service.ports, o->service.port_count) : NULL;
	struct slice_walk walk = {.set = set};

	if (!port)
		return 0;
	for (size_t i = 0; o->service.type == KUBE_CLUSTER_IP && i < o->service.cluster_ip_count; i++) {
		const struct kube_addr *a = &o->service.cluster_ips[i];
		int err = servers_add(set, a->family, a->octets, (uint16_t)port->number, "cluster-ip");

		if (err)
			return err;
	}
	if (level == ANSWER_HEADLESS)
		return 0;
	walk.port_name = port->name;
	store_each_slice_of(dns->store, dns->namespace, dns->name, add_slice, &walk);
	return walk.err;
}

/* ---- endpoints that went ---- */

static bool is_endpoint(const struct server_addr *a)
{
	return strcmp(a->origin, "endpoint") == 0;
}

/* In a slice of another service, or of none. */
static bool is_elsewhere(const struct server_service *dns, const struct server_addr *addr)
{
	struct kube_addr a = {.family = addr->family};

	memcpy(a.octets, addr->octets, addr_len(addr->family));
	return store_address_is_elsewhere(dns->store, &a, dns->namespace, dns->name);
}

/* One that went: false: its time is over. */
static bool may_linger(struct server_entry *entry, bool has_other, uint64_t now_ms)
{
	if (!entry->gone_ms)
		entry->gone_ms = now_ms;
	if (has_other && !entry->is_shared)
		return false;
	entry->is_shared = has_other;
	return now_ms - entry->gone_ms < SERVERS_LINGER_MS;
}

int servers_linger(struct server_set *set, const struct server_set *before, const struct server_service *dns,
		   uint64_t now_ms)
{
	for (size_t i = 0; i < set->count; i++)
		set->entries[i].is_shared =
			is_endpoint(&set->entries[i].addr) && is_elsewhere(dns, &set->entries[i].addr);
	for (size_t i = 0; i < before->count; i++) {
		struct server_entry entry = before->entries[i];
		size_t place = find_place(set, &entry.addr);
		int err;

		if (!is_endpoint(&entry.addr) || is_at(set, place, &entry.addr))
			continue;
		if (!may_linger(&entry, is_elsewhere(dns, &entry.addr), now_ms))
			continue;
		err = insert(set, place, &entry);
		if (err)
			return err;
	}
	return 0;
}

bool servers_any_lingers(const struct server_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->entries[i].gone_ms)
			return true;
	}
	return false;
}
