/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for the labels, addresses and pairs of a service, by three hash maps. */
#include "dns/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SEED_LABEL = 1, SEED_ADDR, SEED_PAIR };

int roster_init(struct roster *r, size_t source_cap, size_t cap)
{
	*r = (struct roster){0};
	hmap_init(&r->by_label);
	hmap_init(&r->by_addr);
	hmap_init(&r->by_pair);
	if (cap >= ROSTER_NONE || source_cap >= ROSTER_NONE)
		return -ENOMEM;
	r->sources = calloc(source_cap + 1, sizeof(*r->sources));
	r->entries = calloc(cap + 1, sizeof(*r->entries));
	r->labels = calloc(cap + 1, sizeof(*r->labels));
	r->addrs = calloc(cap + 1, sizeof(*r->addrs));
	r->pairs = calloc(cap + 1, sizeof(*r->pairs));
	return r->sources && r->entries && r->labels && r->addrs && r->pairs ? 0 : -ENOMEM;
}

void roster_done(struct roster *r)
{
	hmap_done(&r->by_label);
	hmap_done(&r->by_addr);
	hmap_done(&r->by_pair);
	free(r->sources);
	free(r->entries);
	free(r->labels);
	free(r->addrs);
	free(r->pairs);
	*r = (struct roster){0};
}

size_t roster_slice_cap(const struct kube_slice *s)
{
	/* One more than its addresses for each endpoint: a hostname may stand without an address. */
	size_t cap = s->endpoint_count;

	for (size_t i = 0; i < s->endpoint_count; i++)
		cap += s->endpoints[i].address_count;
	return cap;
}

static uint32_t label_number(struct roster *r, const char *text, size_t len)
{
	uint64_t hash = hmap_hash(text, len, SEED_LABEL);
	struct roster_label *label;
	struct hmap_node *n;

	for (n = hmap_first_same(&r->by_label, hash); n; n = hmap_next_same(n)) {
		label = hmap_entry(n, struct roster_label, node);
		if (label->len == len && memcmp(label->text, text, len) == 0)
			return (uint32_t)(label - r->labels);
	}
	label = &r->labels[r->label_count++];
	label->len = (uint8_t)len;
	memcpy(label->text, text, len);
	label->first = label->last = ROSTER_NONE;
	hmap_insert(&r->by_label, &label->node, hash);
	return (uint32_t)(label - r->labels);
}

static uint32_t addr_number(struct roster *r, const struct kube_addr *a)
{
	uint64_t hash = hmap_hash(a->octets, a->family == AF_INET ? 4 : 16, SEED_ADDR);
	struct roster_addr *addr;
	struct hmap_node *n;

	for (n = hmap_first_same(&r->by_addr, hash); n; n = hmap_next_same(n)) {
		addr = hmap_entry(n, struct roster_addr, node);
		if (kube_addr_equal(addr->addr, a))
			return (uint32_t)(addr - r->addrs);
	}
	addr = &r->addrs[r->addr_count++];
	addr->addr = a;
	hmap_insert(&r->by_addr, &addr->node, hash);
	return (uint32_t)(addr - r->addrs);
}

static uint32_t pair_number(struct roster *r, uint32_t label, uint32_t addr)
{
	const uint32_t key[2] = {label, addr};
	uint64_t hash = hmap_hash(key, sizeof(key), SEED_PAIR);
	struct roster_pair *pair;
	struct hmap_node *n;

	for (n = hmap_first_same(&r->by_pair, hash); n; n = hmap_next_same(n)) {
		pair = hmap_entry(n, struct roster_pair, node);
		if (pair->label == label && pair->addr == addr)
			return (uint32_t)(pair - r->pairs);
	}
	pair = &r->pairs[r->pair_count++];
	pair->label = label;
	pair->addr = addr;
	hmap_insert(&r->by_pair, &pair->node, hash);
	return (uint32_t)(pair - r->pairs);
}

static void add_entry(struct roster *r, const char *text, size_t len, const struct kube_addr *a)
{
	struct roster_entry *entry = &r->entries[r->entry_count];
	struct roster_label *label;

	entry->source = (uint32_t)(r->source_count - 1);
	entry->label = label_number(r, text, len);
	entry->addr = addr_number(r, a);
	entry->pair = pair_number(r, entry->label, entry->addr);
	entry->next = ROSTER_NONE;
	label = &r->labels[entry->label];
	if (label->first == ROSTER_NONE)
		label->first = (uint32_t)r->entry_count;
	else
		r->entries[label->last].next = (uint32_t)r->entry_count;
	label->last = (uint32_t)r->entry_count++;
	r->sources[entry->source].count++;
}

static void add_source(struct roster *r, const struct kube_port *ports, size_t port_count)
{
	r->sources[r->source_count++] = (struct roster_source){
		.ports = ports,
		.port_count = port_count,
		.first = (uint32_t)r->entry_count,
	};
}

void roster_add_service(struct roster *r, const struct kube_service *s)
{
	add_source(r, s->ports, s->port_count);
	for (size_t i = 0; i < s->cluster_ip_count; i++)
		add_entry(r, "", 0, &s->cluster_ips[i]);
}

void roster_add_slice(struct roster *r, const struct kube_slice *s)
{
	const struct kube_endpoint *ep;
	char text[64];
	size_t len;

	add_source(r, s->ports, s->port_count);
	for (ep = s->endpoints; ep < s->endpoints + s->endpoint_count; ep++) {
		for (size_t i = 0; ep->is_ready && i < ep->address_count; i++) {
			len = records_endpoint_label(ep, &ep->addresses[i], text);
			add_entry(r, text, len, &ep->addresses[i]);
		}
	}
}

void roster_add_told(struct roster *r, const struct kube_slice *s, bool with_unready)
{
	const struct kube_endpoint *ep;
	char text[64];
	size_t len;

	add_source(r, s->ports, s->port_count);
	for (ep = s->endpoints; ep < s->endpoints + s->endpoint_count; ep++) {
		if (!ep->is_ready && !with_unready)
			continue;
		if (ep->hostname && ep->hostname[0])
			(void)label_number(r, ep->hostname, strnlen(ep->hostname, sizeof(text) - 1));
		for (size_t i = 0; i < ep->address_count; i++) {
			len = records_endpoint_label(ep, &ep->addresses[i], text);
			(void)label_number(r, text, len);
		}
	}
}

void roster_add_told_service(struct roster *r, const struct kube_service *s)
{
	add_source(r, s->ports, s->port_count);
}
