/* SPDX-License-Identifier: Apache-2.0 */
/* Which objects were told. */
#include "source/kube_objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct known {
	struct hmap_node node;
	uint64_t version; /* told; 0: not comparable */
	uint8_t watches;  /* bits: which have it */
	uint8_t listed;	  /* bits: seen in the list under way */
	uint8_t kind;
	uint8_t name_at; /* in text: namespaces have at most 63 octets */
	char text[];	 /* namespace NUL name NUL */
};

uint64_t kube_version_number(const char *version)
{
	uint64_t n = 0;

	for (; *version; version++) {
		unsigned int digit = (unsigned int)(*version - '0');

		if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
			return 0;
	}
	return n;
}

void kube_objects_init(struct kube_objects *t)
{
	hmap_init(&t->known);
}

static void drop(struct kube_objects *t, struct known *k)
{
	hmap_remove(&t->known, &k->node);
	free(k);
}

void kube_objects_done(struct kube_objects *t)
{
	struct hmap_node *next;

	for (struct hmap_node *n = hmap_first(&t->known); n; n = next) {
		next = hmap_next(&t->known, n);
		drop(t, hmap_entry(n, struct known, node));
	}
	hmap_done(&t->known);
}

static uint64_t hash_of(enum kube_kind kind, const char *namespace, const char *name)
{
	return hmap_hash(name, strlen(name), hmap_hash(namespace, strlen(namespace), (uint64_t)kind));
}

static struct known *find(const struct kube_objects *t, enum kube_kind kind, const char *namespace, const char *name)
{
	uint64_t hash = hash_of(kind, namespace, name);

	for (struct hmap_node *n = hmap_first_same(&t->known, hash); n; n = hmap_next_same(n)) {
		struct known *k = hmap_entry(n, struct known, node);

		if (k->kind == kind && strcmp(k->text, namespace) == 0 && strcmp(k->text + k->name_at, name) == 0)
			return k;
	}
	return NULL;
}

static struct known *add(struct kube_objects *t, const struct kube_object *o)
{
	size_t namespace_len = strlen(o->namespace) + 1, name_len = strlen(o->name) + 1;
	struct known *k = calloc(1, sizeof(*k) + namespace_len + name_len);

	if (!k)
		return NULL;
	k->kind = (uint8_t)o->kind;
	k->name_at = (uint8_t)namespace_len;
	memcpy(k->text, o->namespace, namespace_len);
	memcpy(k->text + namespace_len, o->name, name_len);
	hmap_insert(&t->known, &k->node, hash_of(o->kind, o->namespace, o->name));
	return k;
}

/* Nothing to tell: the very same, or another watch is ahead of this one. */
static bool is_old(const struct known *k, unsigned int bit, uint64_t version)
{
	bool has_other = k->watches & ~bit;

	if (!k->version || !version)
		return false;
	return version == k->version || (has_other && version < k->version);
}

int kube_objects_put(struct kube_objects *t, unsigned int watch, const struct kube_object *o)
{
	struct known *k = find(t, o->kind, o->namespace, o->name);
	uint64_t version = kube_version_number(o->resource_version);
	unsigned int bit = 1U << watch;
	bool is_news = !k || !is_old(k, bit, version);

	if (!k)
		k = add(t, o);
	if (!k)
		return -ENOMEM;
	k->watches |= (uint8_t)bit;
	k->listed |= (uint8_t)bit;
	if (is_news)
		k->version = version;
	return is_news;
}

bool kube_objects_is_same(struct kube_objects *t, unsigned int watch, const struct kube_object *o)
{
	struct known *k = find(t, o->kind, o->namespace, o->name);
	unsigned int bit = 1U << watch;

	if (!k || !is_old(k, bit, kube_version_number(o->resource_version)))
		return false;
	k->watches |= (uint8_t)bit;
	k->listed |= (uint8_t)bit;
	return true;
}

void kube_objects_unlist(struct kube_objects *t, unsigned int watch, enum kube_kind kind, const char *namespace,
			 const char *name)
{
	struct known *k = find(t, kind, namespace, name);

	if (k)
		k->listed &= (uint8_t) ~(1U << watch);
}

static bool leave(struct known *k, unsigned int bit)
{
	k->watches &= (uint8_t)~bit;
	return k->watches == 0;
}

bool kube_objects_remove(struct kube_objects *t, unsigned int watch, enum kube_kind kind, const char *namespace,
			 const char *name)
{
	struct known *k = find(t, kind, namespace, name);

	if (!k || !leave(k, 1U << watch))
		return false;
	drop(t, k);
	return true;
}

void kube_objects_begin_list(struct kube_objects *t, unsigned int watch)
{
	for (struct hmap_node *n = hmap_first(&t->known); n; n = hmap_next(&t->known, n))
		hmap_entry(n, struct known, node)->listed &= (uint8_t) ~(1U << watch);
}

void kube_objects_end_list(struct kube_objects *t, unsigned int watch,
			   void (*fn)(void *ctx, enum kube_kind kind, const char *namespace, const char *name),
			   void *ctx)
{
	unsigned int bit = 1U << watch;
	struct hmap_node *next;

	for (struct hmap_node *n = hmap_first(&t->known); n; n = next) {
		struct known *k = hmap_entry(n, struct known, node);

		next = hmap_next(&t->known, n);
		if (!(k->watches & bit) || (k->listed & bit) || !leave(k, bit))
			continue;
		fn(ctx, (enum kube_kind)k->kind, k->text, k->text + k->name_at);
		drop(t, k);
	}
}

void kube_objects_forget_versions(struct kube_objects *t)
{
	for (struct hmap_node *n = hmap_first(&t->known); n; n = hmap_next(&t->known, n))
		hmap_entry(n, struct known, node)->version = 0;
}
