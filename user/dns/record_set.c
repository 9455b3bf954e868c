/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CoreDNS makes a list of (address, port) pairs for a name and derives everything from it. Here the pairs of one
 * address are never spelt out: they are the port list of its source. What is stored of SRV is bounded by a message, so
 * the time is linear in the addresses, however many ports each has.
 */
#include "dns/record_set.h"

#include <stdlib.h>
#include <string.h>

/* Owner pointer 2, type 2, class 2, TTL 4, RDLENGTH 2, priority 2, weight 2, port 2. */
#define SRV_FIXED_LEN 18
/* The shortest target is "x." below the root. */
#define SRV_MAX	 (NODENS_MESSAGE_MAX / (SRV_FIXED_LEN + 3))
#define GLUE_MAX (NODENS_MESSAGE_MAX / NODENS_A_LEN)
/* Twice as many as can be full, so that probing stays short. */
#define SLOTS 512
_Static_assert(SLOTS >= 2 * SRV_MAX, "the table of SRV records must not fill up");

/* Set of the (target, port) pairs that are in the answer. */
struct srv_slot {
	uint32_t serial; /* of the set it belongs to */
	uint32_t target;
	uint16_t port;
};

struct set_maker {
	const struct dns_name *service;
	uint32_t serial;
	struct in_addr *a;
	struct in6_addr *aaaa;
	struct srv_slot slots[SLOTS];
	struct srv_record srvs[SRV_MAX];
	struct srv_glue glue[GLUE_MAX];
	struct dns_name targets[SRV_MAX];
};

/* The set that is being made. */
struct making {
	struct set_maker *m;
	struct roster *r;
	const struct port_list *lists;
	const uint32_t *members;
	size_t count;
	struct record_set *set;
	size_t rrs_len; /* octets of SRV and glue so far */
	uint32_t serial;
};

struct set_maker *set_maker_new(const struct dns_name *service, size_t addr_cap)
{
	struct set_maker *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	m->service = service;
	m->serial = 0;
	memset(m->slots, 0, sizeof(m->slots));
	m->a = calloc(addr_cap + 1, sizeof(*m->a));
	m->aaaa = calloc(addr_cap + 1, sizeof(*m->aaaa));
	if (!m->a || !m->aaaa) {
		set_maker_free(m);
		return NULL;
	}
	return m;
}

void set_maker_free(struct set_maker *m)
{
	if (!m)
		return;
	free(m->a);
	free(m->aaaa);
	free(m);
}

static bool mark(uint32_t *seen, uint32_t serial)
{
	bool is_new = *seen != serial;

	*seen = serial;
	return is_new;
}

/* A name that CoreDNS could not put into a message. */
static bool label_is_unfit(const struct making *k, const struct roster_label *label)
{
	return label->len && k->m->service->len + 1U + label->len > NODENS_NAME_MAX;
}

/* The distinct addresses. Returns the number of pairs; *ret_is_unfit: an SRV target among them has no wire format. */
static uint64_t add_addresses(struct making *k, bool *ret_is_unfit)
{
	const struct roster_entry *e;
	struct roster_addr *addr;
	uint64_t pairs = 0;

	*ret_is_unfit = false;
	for (size_t i = 0; i < k->count; i++) {
		e = &k->r->entries[k->members[i]];
		pairs += k->lists[e->source].count;
		if (k->lists[e->source].number_count && label_is_unfit(k, &k->r->labels[e->label]))
			*ret_is_unfit = true;
		addr = &k->r->addrs[e->addr];
		if (!mark(&addr->seen, k->serial))
			continue;
		if (addr->addr->family == AF_INET)
			memcpy(&k->m->a[k->set->a_count++], addr->addr->octets, sizeof(struct in_addr));
		else
			memcpy(&k->m->aaaa[k->set->aaaa_count++], addr->addr->octets, sizeof(struct in6_addr));
	}
	return pairs;
}

/* In CoreDNS's own steps and type, so that rounding is the same: 100 / sum of weights, times 100, cut. */
static uint16_t srv_weight(uint64_t pairs)
{
	double weight = 100.0 / (100.0 * (double)pairs);

	weight *= 100.0;
	return weight < 1.0 ? 1 : (uint16_t)weight;
}

/* true: the pair was not there yet; it is now. */
static bool slot_add(struct set_maker *m, uint32_t serial, uint32_t target, uint16_t port)
{
	uint32_t at = (target * 0x9e3779b9U ^ port * 0x85ebca6bU) >> 16;
	struct srv_slot *slot;

	for (;; at++) {
		slot = &m->slots[at % SLOTS];
		if (slot->serial != serial)
			break;
		if (slot->target == target && slot->port == port)
			return false;
	}
	*slot = (struct srv_slot){serial, target, port};
	return true;
}

static size_t target_len(const struct making *k, const struct roster_label *label)
{
	return k->m->service->len + (label->len ? 1U + label->len : 0);
}

/* The target of a label, made at its first use in this set. */
static uint32_t target_number(struct making *k, struct roster_label *label)
{
	struct dns_name *target;

	if (!mark(&label->seen, k->serial))
		return label->target;
	label->target = (uint32_t)k->set->target_count++;
	target = &k->m->targets[label->target];
	dns_name_begin(target);
	if (label->len)
		dns_name_add_label(target, label->text, label->len);
	(void)dns_name_end(target, k->m->service);
	return label->target;
}

static bool has_room(struct making *k, size_t len)
{
	if (len > NODENS_MESSAGE_MAX - k->rrs_len) {
		k->set->srv_is_cut = true;
		return false;
	}
	return true;
}

/* false: the message is full. */
static bool add_srvs_of(struct making *k, struct roster_label *label, const struct port_list *list, uint16_t weight)
{
	size_t len = SRV_FIXED_LEN + target_len(k, label);
	uint32_t target;

	for (uint32_t i = 0; i < list->number_count; i++) {
		/* A full message ends the walk at the first record that is no duplicate; only one with a target that is
		 * there already can be a duplicate. */
		if (len > NODENS_MESSAGE_MAX - k->rrs_len && label->seen != k->serial)
			return has_room(k, len);
		target = target_number(k, label);
		if (!slot_add(k->m, k->serial, target, list->numbers[i]))
			continue;
		if (!has_room(k, len))
			return false;
		k->m->srvs[k->set->srv_count++] = (struct srv_record){weight, list->numbers[i], target};
		k->rrs_len += len;
	}
	return true;
}

/* Within one source further addresses with the same label only repeat the same targets and ports. */
static void add_srvs(struct making *k, uint16_t weight)
{
	uint32_t source = ROSTER_NONE, last_label = ROSTER_NONE;
	const struct roster_entry *e;

	for (size_t i = 0; i < k->count; i++) {
		e = &k->r->entries[k->members[i]];
		if (e->source == source && e->label == last_label)
			continue;
		source = e->source;
		last_label = e->label;
		if (!add_srvs_of(k, &k->r->labels[e->label], &k->lists[e->source], weight))
			return;
	}
}

static void add_glue(struct making *k)
{
	const struct roster_entry *e;
	const struct kube_addr *addr;
	size_t len;

	for (size_t i = 0; i < k->count; i++) {
		e = &k->r->entries[k->members[i]];
		if (!k->lists[e->source].number_count || !mark(&k->r->pairs[e->pair].seen, k->serial))
			continue;
		addr = k->r->addrs[e->addr].addr;
		len = addr->family == AF_INET ? NODENS_A_LEN : NODENS_AAAA_LEN;
		if (!has_room(k, len))
			return;
		k->m->glue[k->set->glue_count++] = (struct srv_glue){k->r->labels[e->label].target, *addr};
		k->rrs_len += len;
	}
}

void set_maker_fill(struct set_maker *m, struct roster *r, const struct port_list *lists, const uint32_t *members,
		    size_t count, struct record_set *set)
{
	struct making k = {m, r, lists, members, count, set, 0, ++m->serial};
	bool is_unfit;
	uint64_t pairs;

	pairs = add_addresses(&k, &is_unfit);
	if (is_unfit) {
		set->a_count = set->aaaa_count = 0;
		set->is_passed = true;
		return;
	}
	add_srvs(&k, srv_weight(pairs));
	if (!set->srv_is_cut)
		add_glue(&k);
	set->a = m->a;
	set->aaaa = m->aaaa;
	set->srvs = m->srvs;
	set->glue = m->glue;
	set->targets = m->targets;
}
