/* SPDX-License-Identifier: Apache-2.0 */
/* Chained hash map with intrusive nodes, and the keyed hash for its keys. */
#include "base/hmap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* Up to this many nodes live in one chain, without an allocation. */
#define ONLY_MAX    4
#define BUCKETS_MIN 16

void hmap_init(struct hmap *m)
{
	*m = (struct hmap){0};
}

void hmap_done(struct hmap *m)
{
	free(m->buckets);
	hmap_init(m);
}

static struct hmap_node **chain_of(struct hmap *m, uint64_t hash)
{
	return m->buckets ? &m->buckets[hash & m->mask] : &m->only;
}

static void push(struct hmap *m, struct hmap_node *node)
{
	struct hmap_node **chain = chain_of(m, node->hash);

	node->next = *chain;
	*chain = node;
}

/* Without memory the chains just grow longer. */
static void grow(struct hmap *m)
{
	size_t size = m->buckets ? 2 * (m->mask + 1) : BUCKETS_MIN;
	struct hmap old = *m;
	struct hmap_node **buckets = calloc(size, sizeof(struct hmap_node *));
	struct hmap_node *node, *next;

	if (!buckets)
		return;
	*m = (struct hmap){.buckets = buckets, .mask = size - 1, .count = old.count};
	for (node = hmap_first(&old); node; node = next) {
		next = hmap_next(&old, node);
		push(m, node);
	}
	free(old.buckets);
}

void hmap_insert(struct hmap *m, struct hmap_node *node, uint64_t hash)
{
	if (m->count >= (m->buckets ? m->mask + 1 : ONLY_MAX))
		grow(m);
	node->hash = hash;
	push(m, node);
	m->count++;
}

void hmap_remove(struct hmap *m, struct hmap_node *node)
{
	struct hmap_node **link = chain_of(m, node->hash);

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	node->next = NULL;
	m->count--;
}

static struct hmap_node *first_in_chain(struct hmap_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct hmap_node *hmap_first_same(const struct hmap *m, uint64_t hash)
{
	return first_in_chain(m->buckets ? m->buckets[hash & m->mask] : m->only, hash);
}

struct hmap_node *hmap_next_same(const struct hmap_node *node)
{
	return first_in_chain(node->next, node->hash);
}

static struct hmap_node *first_from(const struct hmap *m, size_t bucket)
{
	for (; bucket <= m->mask; bucket++)
		if (m->buckets[bucket])
			return m->buckets[bucket];
	return NULL;
}

struct hmap_node *hmap_first(const struct hmap *m)
{
	return m->buckets ? first_from(m, 0) : m->only;
}

struct hmap_node *hmap_next(const struct hmap *m, const struct hmap_node *node)
{
	if (node->next || !m->buckets)
		return node->next;
	return first_from(m, (node->hash & m->mask) + 1);
}

/* ---- SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) ---- */

static uint64_t key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void key_make(void)
{
	struct timespec now = {0};

	if (getrandom(key, sizeof(key), 0) == sizeof(key))
		return;
	/* No kernel that runs this lacks getrandom; a seccomp filter may. Guessable is then better than constant. */
	(void)clock_gettime(CLOCK_REALTIME, &now);
	key[0] = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15ULL ^ (uint64_t)now.tv_sec;
	key[1] = ((uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)&now) * 0x9e3779b97f4a7c15ULL;
}

static inline uint64_t rotl(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

uint64_t hmap_hash(const void *data, size_t len, uint64_t seed)
{
	const uint8_t *at = data;
	uint64_t v[4], word, last = (uint64_t)len << 56;
	size_t left;

	(void)pthread_once(&key_once, key_make);
	v[0] = key[0] ^ seed ^ 0x736f6d6570736575ULL;
	v[1] = key[1] ^ 0x646f72616e646f6dULL;
	v[2] = key[0] ^ seed ^ 0x6c7967656e657261ULL;
	v[3] = key[1] ^ 0x7465646279746573ULL;
	for (left = len; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sip_word(v, word);
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)at[i] << (8 * i);
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
