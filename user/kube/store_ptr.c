/* SPDX-License-Identifier: Apache-2.0 */
/* The address table: address -> holders. Only addresses whose holders mean something else than before get dirty. */
#include "kube/store_ptr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_ENDPOINT UINT32_MAX

struct holder {
	const struct ptr_owner *owner;
	uint32_t endpoint; /* index, or NO_ENDPOINT: cluster IP */
};

struct ptr_node {
	struct hmap_node node;
	struct kube_addr addr;
	bool is_dirty;
	uint32_t count;
	uint32_t cap; /* 0: there is at most one, it is in place */
	union {
		struct holder one;
		struct holder *many;
	};
	struct ptr_node *next_dirty;
};

/* One holding of the old or the new object. */
struct ptr_touch {
	struct ptr_node *node;
	uint64_t meaning; /* hash of what it adds to the PTR set; sums of these are compared */
	uint32_t endpoint;
	bool is_new;
};

void ptr_init(struct ptr_table *t)
{
	*t = (struct ptr_table){0};
	hmap_init(&t->nodes);
}

static void node_free(struct ptr_node *n)
{
	if (n->cap)
		free(n->many);
	free(n);
}

void ptr_done(struct ptr_table *t)
{
	struct hmap_node *node = hmap_first(&t->nodes);

	while (node) {
		struct hmap_node *next = hmap_next(&t->nodes, node);

		node_free(hmap_entry(node, struct ptr_node, node));
		node = next;
	}
	hmap_done(&t->nodes);
	free(t->holders);
	free(t->labels);
}

/* ---- nodes ---- */

static uint64_t addr_hash(const struct kube_addr *a)
{
	return hmap_hash(a->octets, a->family == AF_INET ? 4 : 16, a->family);
}

static struct ptr_node *node_find(const struct ptr_table *t, const struct kube_addr *addr, uint64_t hash)
{
	struct hmap_node *node = hmap_first_same(&t->nodes, hash);

	for (; node; node = hmap_next_same(node)) {
		struct ptr_node *n = hmap_entry(node, struct ptr_node, node);

		if (kube_addr_equal(&n->addr, addr))
			return n;
	}
	return NULL;
}

static struct ptr_node *node_get(struct ptr_table *t, const struct kube_addr *addr)
{
	uint64_t hash = addr_hash(addr);
	struct ptr_node *n = node_find(t, addr, hash);

	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->addr = *addr;
	hmap_insert(&t->nodes, &n->node, hash);
	return n;
}

static void node_drop_if_unused(struct ptr_table *t, struct ptr_node *n)
{
	if (n->count > 0 || n->is_dirty)
		return;
	hmap_remove(&t->nodes, &n->node);
	node_free(n);
}

static void node_touch(struct ptr_table *t, struct ptr_node *n)
{
	if (n->is_dirty)
		return;
	n->is_dirty = true;
	n->next_dirty = NULL;
	if (t->dirty_last)
		t->dirty_last->next_dirty = n;
	else
		t->dirty_first = n;
	t->dirty_last = n;
}

static struct holder *node_holders(struct ptr_node *n)
{
	return n->cap ? n->many : &n->one;
}

static int node_reserve(struct ptr_node *n, size_t more)
{
	size_t need = n->count + more;
	size_t cap = need + need / 2;
	struct holder *many;

	if (need <= (n->cap ? n->cap : 1))
		return 0;
	if (cap > UINT32_MAX)
		return -ENOMEM;
	many = reallocarray(n->cap ? n->many : NULL, cap, sizeof(*many));
	if (!many)
		return -ENOMEM;
	if (!n->cap && n->count)
		many[0] = n->one;
	n->many = many;
	n->cap = (uint32_t)cap;
	return 0;
}

static void node_remove_owner(struct ptr_node *n, const struct ptr_owner *owner)
{
	struct holder *h = node_holders(n);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n->count; i++)
		if (h[i].owner != owner)
			h[kept++] = h[i];
	n->count = kept;
}

/* ---- what an object holds ---- */

static bool object_is_passed(const struct kube_object *o)
{
	return o->broken || (o->kind == KUBE_SERVICE && o->service.type == KUBE_EXTERNAL_NAME);
}

/* What cannot be understood holds all it names, ready or not, so that it is passed on. */
static bool endpoint_holds(const struct kube_object *slice, const struct kube_endpoint *ep)
{
	return ep->is_ready || slice->broken;
}

static size_t hold_count(const struct kube_object *o)
{
	size_t count = 0;

	if (!o)
		return 0;
	if (o->kind == KUBE_SERVICE)
		return o->service.cluster_ip_count;
	for (size_t i = 0; i < o->slice.endpoint_count; i++)
		count += o->slice.endpoints[i].address_count;
	return count;
}

static int add_touch(struct ptr_table *t, struct ptr_change *c, const struct kube_addr *addr, uint32_t endpoint,
		     uint64_t meaning, bool is_new)
{
	struct ptr_node *n = node_get(t, addr);

	if (!n)
		return -ENOMEM;
	c->touches[c->count++] = (struct ptr_touch){n, meaning, endpoint, is_new};
	return 0;
}

static int add_slice(struct ptr_table *t, struct ptr_change *c, const struct kube_object *o, bool is_new)
{
	const struct kube_slice *s = &o->slice;
	uint64_t seed = hmap_hash(s->service, strlen(s->service), object_is_passed(o));

	for (size_t i = 0; i < s->endpoint_count; i++) {
		const struct kube_endpoint *ep = &s->endpoints[i];
		const char *hostname = ep->hostname ? ep->hostname : "";
		uint64_t meaning;

		if (!endpoint_holds(o, ep))
			continue;
		meaning = hmap_hash(hostname, strlen(hostname), seed);
		for (size_t k = 0; k < ep->address_count; k++)
			if (add_touch(t, c, &ep->addresses[k], (uint32_t)i, meaning, is_new) < 0)
				return -ENOMEM;
	}
	return 0;
}

static int add_service(struct ptr_table *t, struct ptr_change *c, const struct kube_object *o, bool is_new)
{
	uint64_t meaning = hmap_hash("", 0, object_is_passed(o));

	for (size_t i = 0; i < o->service.cluster_ip_count; i++)
		if (add_touch(t, c, &o->service.cluster_ips[i], NO_ENDPOINT, meaning, is_new) < 0)
			return -ENOMEM;
	return 0;
}

static int add_object(struct ptr_table *t, struct ptr_change *c, const struct kube_object *o, bool is_new)
{
	if (!o)
		return 0;
	return o->kind == KUBE_SERVICE ? add_service(t, c, o, is_new) : add_slice(t, c, o, is_new);
}

/* ---- changes ---- */

/* By node, the old before the new. */
static int touch_compare(const void *left, const void *right)
{
	const struct ptr_touch *a = left, *b = right;

	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	return a->is_new - b->is_new;
}

static size_t run_end(const struct ptr_change *c, size_t from)
{
	size_t end = from + 1;

	while (end < c->count && c->touches[end].node == c->touches[from].node)
		end++;
	return end;
}

static size_t count_new(const struct ptr_touch *from, const struct ptr_touch *end)
{
	size_t count = 0;

	for (; from < end; from++)
		count += from->is_new;
	return count;
}

static int reserve_all(const struct ptr_change *c)
{
	for (size_t i = 0, end; i < c->count; i = end) {
		end = run_end(c, i);
		if (node_reserve(c->touches[i].node, count_new(&c->touches[i], &c->touches[end])) < 0)
			return -ENOMEM;
	}
	return 0;
}

int ptr_prepare(struct ptr_table *t, const struct kube_object *old, const struct kube_object *new,
		struct ptr_change *ret_change)
{
	struct ptr_change c = {.touches = calloc(hold_count(old) + hold_count(new) + 1, sizeof(*c.touches))};
	int err;

	if (!c.touches)
		return -ENOMEM;
	err = add_object(t, &c, old, false);
	if (err == 0)
		err = add_object(t, &c, new, true);
	qsort(c.touches, c.count, sizeof(*c.touches), touch_compare);
	if (err == 0)
		err = reserve_all(&c);
	if (err < 0) {
		ptr_cancel(t, &c);
		return err;
	}
	*ret_change = c;
	return 0;
}

void ptr_cancel(struct ptr_table *t, struct ptr_change *c)
{
	for (size_t i = 0, end; i < c->count; i = end) {
		end = run_end(c, i);
		node_drop_if_unused(t, c->touches[i].node);
	}
	free(c->touches);
	*c = (struct ptr_change){0};
}

static void commit_node(struct ptr_table *t, const struct ptr_owner *owner, const struct ptr_touch *from,
			const struct ptr_touch *end)
{
	struct ptr_node *n = from->node;
	uint64_t difference = 0;

	if (!from->is_new)
		node_remove_owner(n, owner);
	for (; from < end; from++) {
		difference += from->is_new ? from->meaning : -from->meaning;
		if (from->is_new)
			node_holders(n)[n->count++] = (struct holder){owner, from->endpoint};
	}
	if (difference || n->count == 0)
		node_touch(t, n);
}

void ptr_commit(struct ptr_table *t, const struct ptr_owner *owner, struct ptr_change *c)
{
	for (size_t i = 0, end; i < c->count; i = end) {
		end = run_end(c, i);
		commit_node(t, owner, &c->touches[i], &c->touches[end]);
	}
	free(c->touches);
	*c = (struct ptr_change){0};
}

bool ptr_is_held_elsewhere(const struct ptr_table *t, const struct kube_addr *addr, const char *namespace,
			   const char *service)
{
	struct ptr_node *n = node_find(t, addr, addr_hash(addr));

	for (uint32_t i = 0; n && i < n->count; i++) {
		const struct holder *h = &node_holders(n)[i];
		const struct kube_object *o = h->owner->object;

		if (h->endpoint != NO_ENDPOINT &&
		    (strcmp(o->slice.service, service) != 0 || strcmp(o->namespace, namespace) != 0))
			return true;
	}
	return false;
}

void ptr_touch_all(struct ptr_table *t)
{
	for (struct hmap_node *n = hmap_first(&t->nodes); n; n = hmap_next(&t->nodes, n))
		node_touch(t, hmap_entry(n, struct ptr_node, node));
}

/* ---- emission ---- */

static int reserve_holders(struct ptr_table *t, size_t count)
{
	struct address_holder *holders;
	char(*labels)[64];

	if (count <= t->holder_cap)
		return 0;
	holders = reallocarray(t->holders, count, sizeof(*holders));
	if (holders)
		t->holders = holders;
	labels = reallocarray(t->labels, count, sizeof(*labels));
	if (labels)
		t->labels = labels;
	if (!holders || !labels)
		return -ENOMEM;
	t->holder_cap = count;
	return 0;
}

static struct address_holder describe_holder(const struct holder *h, const struct kube_addr *addr, char label[64])
{
	const struct kube_object *o = h->owner->object;
	struct address_holder a = {.namespace = o->namespace, .is_passed = object_is_passed(o)};

	if (h->endpoint == NO_ENDPOINT) {
		a.service = o->name;
		return a;
	}
	(void)records_endpoint_label(&o->slice.endpoints[h->endpoint], addr, label);
	a.service = o->slice.service;
	a.endpoint_label = label;
	return a;
}

static int emit_holders(struct ptr_table *t, struct ptr_node *n, const struct record_params *params, bool is_passed,
			const struct store_sink *sink)
{
	struct record_set set = {0};
	struct dns_name *ptrs = NULL;
	int err = reserve_holders(t, n->count);

	if (err < 0)
		return err;
	for (uint32_t i = 0; i < n->count; i++)
		t->holders[i] = describe_holder(&node_holders(n)[i], &n->addr, t->labels[i]);
	err = -ENOMEM; /* somebody holds it, so only memory can be missing */
	if (records_build_ptr(&n->addr, t->holders, n->count, params, &set, &ptrs)) {
		set.is_passed |= is_passed;
		err = sink->put(sink->ctx, &set);
	}
	free(ptrs);
	return err < 0 ? err : 0;
}

static int emit_node(struct ptr_table *t, struct ptr_node *n, const struct record_params *params, bool is_passed,
		     const struct store_sink *sink)
{
	struct dns_name owner;
	int err;

	if (n->count > 0)
		return emit_holders(t, n, params, is_passed, sink);
	dns_name_reverse(n->addr.family, n->addr.octets, &owner);
	err = sink->remove(sink->ctx, &owner);
	return err < 0 ? err : 0;
}

int ptr_flush(struct ptr_table *t, const struct record_params *params, bool is_passed, const struct store_sink *sink)
{
	while (t->dirty_first) {
		struct ptr_node *n = t->dirty_first;
		int err = emit_node(t, n, params, is_passed, sink);

		if (err < 0)
			return err;
		t->dirty_first = n->next_dirty;
		if (!t->dirty_first)
			t->dirty_last = NULL;
		n->is_dirty = false;
		node_drop_if_unused(t, n);
	}
	return 0;
}

void ptr_forget_changes(struct ptr_table *t)
{
	while (t->dirty_first) {
		struct ptr_node *n = t->dirty_first;

		t->dirty_first = n->next_dirty;
		n->is_dirty = false;
		node_drop_if_unused(t, n);
	}
	t->dirty_last = NULL;
}

int ptr_emit_all(struct ptr_table *t, const struct record_params *params, bool is_passed, const struct store_sink *sink)
{
	for (struct hmap_node *node = hmap_first(&t->nodes); node; node = hmap_next(&t->nodes, node)) {
		struct ptr_node *n = hmap_entry(node, struct ptr_node, node);
		int err = n->count > 0 ? emit_holders(t, n, params, is_passed, sink) : 0;

		if (err < 0)
			return err;
	}
	return 0;
}
