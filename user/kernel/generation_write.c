/* SPDX-License-Identifier: Apache-2.0 */
/* What a generation is told beside names: server addresses, allowed sources, interfaces, counters of its forerunner. */
#include "kernel/generation_internal.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sets: maps whose whole content is given at once ------------------------------------------------------------ */

/* Elements of one map, packed: keys of key_len, values of value_len. */
struct set {
	int fd;
	const char *name;
	size_t key_len;
	size_t value_len;
	size_t count;
	uint8_t *keys;
	uint8_t *values;
};

static int set_init(struct set *s, const struct generation *g, enum generation_map map, size_t key_len,
		    size_t value_len, size_t max)
{
	*s = (struct set){
		.fd = g->map_fd[map], .name = generation_map_names[map], .key_len = key_len, .value_len = value_len};
	s->keys = calloc(max + 1, key_len);
	s->values = calloc(max + 1, value_len);
	return s->keys && s->values ? 0 : -ENOMEM;
}

static void set_done(struct set *s)
{
	free(s->keys);
	free(s->values);
}

static bool set_has(const struct set *s, const void *key)
{
	for (size_t i = 0; i < s->count; i++) {
		if (memcmp(s->keys + i * s->key_len, key, s->key_len) == 0)
			return true;
	}
	return false;
}

/* The first one given for a key stays. */
static void set_add(struct set *s, const void *key, const void *value)
{
	if (set_has(s, key))
		return;
	memcpy(s->keys + s->count * s->key_len, key, s->key_len);
	memcpy(s->values + s->count * s->value_len, value, s->value_len);
	s->count++;
}

static int set_put_all(const struct set *s, struct error *e)
{
	for (size_t i = 0; i < s->count; i++) {
		if (bpf_map_update_elem(s->fd, s->keys + i * s->key_len, s->values + i * s->value_len, BPF_ANY) < 0)
			return error_set(e, -errno, "writing element %zu of %zu to %s: %s", i + 1, s->count, s->name,
					 strerror(errno));
	}
	return 0;
}

/* Deletes what the map has and the set has not. Keys are collected first: a walk that deletes under itself starts over.
 */
static int set_delete_others(const struct set *s, struct error *e)
{
	size_t count = 0, max = (size_t)NODENS_SERVERS_MAX + NODENS_ALLOW_MAX;
	uint8_t *keys = calloc(max, s->key_len);
	void *last = NULL;
	int err = 0;

	if (!keys)
		return -ENOMEM;
	while (count < max && bpf_map_get_next_key(s->fd, last, keys + count * s->key_len) == 0)
		last = keys + count++ * s->key_len;
	for (size_t i = 0; i < count && !err; i++) {
		const uint8_t *key = keys + i * s->key_len;

		if (!set_has(s, key) && bpf_map_delete_elem(s->fd, key) < 0 && errno != ENOENT)
			err = error_set(e, -errno, "deleting from %s: %s", s->name, strerror(errno));
	}
	free(keys);
	return err;
}

/* Both families: everything new is there before anything old goes. */
static int sets_apply(const struct set *v4, const struct set *v6, struct error *e)
{
	int err = set_put_all(v4, e);

	if (!err)
		err = set_put_all(v6, e);
	if (!err)
		err = set_delete_others(v4, e);
	if (!err)
		err = set_delete_others(v6, e);
	return err;
}

/* ---- server addresses ------------------------------------------------------------------------------------------- */

static void server_text(const struct server_addr *a, struct nodens_server *ret_server)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(a->family, a->octets, text, sizeof(text));
	snprintf(ret_server->address, sizeof(ret_server->address), a->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text,
		 ntohs(a->port));
	memcpy(ret_server->origin, a->origin, sizeof(ret_server->origin) - 1);
}

static int add_server(struct set *v4, struct set *v6, const struct server_addr *a)
{
	struct nodens_server4_key key4 = {.port = a->port};
	struct nodens_server6_key key6 = {.port = a->port};
	struct nodens_server server = {0};

	if (a->family != AF_INET && a->family != AF_INET6)
		return -EAFNOSUPPORT;
	server_text(a, &server);
	memcpy(&key4.addr, a->octets, sizeof(key4.addr));
	memcpy(key6.addr, a->octets, sizeof(key6.addr));
	if (a->family == AF_INET)
		set_add(v4, &key4, &server);
	else
		set_add(v6, &key6, &server);
	return 0;
}

/* The entry that the datapath looks at before the map. */
static void set_first_server(struct generation *g, const struct server_addr *servers, size_t count)
{
	struct nodens_config *config = generation_config(g);

	__atomic_store_n(&config->server4_port, 0, __ATOMIC_RELEASE);
	for (size_t i = 0; i < count; i++) {
		__be32 addr;

		if (servers[i].family != AF_INET)
			continue;
		memcpy(&addr, servers[i].octets, sizeof(addr));
		__atomic_store_n(&config->server4_addr, addr, __ATOMIC_RELEASE);
		__atomic_store_n(&config->server4_port, servers[i].port, __ATOMIC_RELEASE);
		return;
	}
}

int generation_set_servers(struct generation *g, const struct server_addr *servers, size_t count, struct error *e)
{
	struct set v4, v6;
	int err, err6;

	if (count > NODENS_SERVERS_MAX)
		return error_set(e, -E2BIG, "%zu server addresses, at most %d", count, NODENS_SERVERS_MAX);
	err = set_init(&v4, g, MAP_SERVERS4, sizeof(struct nodens_server4_key), sizeof(struct nodens_server), count);
	err6 = set_init(&v6, g, MAP_SERVERS6, sizeof(struct nodens_server6_key), sizeof(struct nodens_server), count);
	err = err ? err : err6;
	for (size_t i = 0; i < count && !err; i++)
		err = add_server(&v4, &v6, &servers[i]);
	set_first_server(g, NULL, 0);
	if (err)
		(void)error_set(e, err, "server addresses: %s", strerror(-err));
	else
		err = sets_apply(&v4, &v6, e);
	if (!err)
		set_first_server(g, servers, count);
	set_done(&v4);
	set_done(&v6);
	return err;
}

/* ---- allowed sources -------------------------------------------------------------------------------------------- */

/* Copies the first prefix_len bits; the others stay zero, so that equal prefixes are equal keys. */
static void copy_prefix(void *to, const uint8_t *octets, uint8_t prefix_len)
{
	uint8_t *out = to;

	memcpy(out, octets, prefix_len / 8);
	if (prefix_len % 8)
		out[prefix_len / 8] = octets[prefix_len / 8] & (uint8_t)(0xff00 >> (prefix_len % 8));
}

static int add_prefix(struct set *v4, struct set *v6, const struct allow_prefix *p)
{
	struct nodens_allow4_key key4 = {.prefix_len = p->prefix_len};
	struct nodens_allow6_key key6 = {.prefix_len = p->prefix_len};
	const __u8 yes = 1;

	if (p->family == AF_INET && p->prefix_len <= 32) {
		copy_prefix(&key4.addr, p->octets, p->prefix_len);
		set_add(v4, &key4, &yes);
		return 0;
	}
	if (p->family == AF_INET6 && p->prefix_len <= 128) {
		copy_prefix(key6.addr, p->octets, p->prefix_len);
		set_add(v6, &key6, &yes);
		return 0;
	}
	return -EINVAL;
}

int generation_set_allowed(struct generation *g, const struct allow_prefix *prefixes, size_t count, struct error *e)
{
	struct set v4, v6;
	int err, err6;

	if (count > NODENS_ALLOW_MAX)
		return error_set(e, -E2BIG, "%zu allowed prefixes, at most %d", count, NODENS_ALLOW_MAX);
	err = set_init(&v4, g, MAP_ALLOW4, sizeof(struct nodens_allow4_key), sizeof(__u8), count);
	err6 = set_init(&v6, g, MAP_ALLOW6, sizeof(struct nodens_allow6_key), sizeof(__u8), count);
	err = err ? err : err6;
	for (size_t i = 0; i < count && !err; i++)
		err = add_prefix(&v4, &v6, &prefixes[i]);
	if (err)
		(void)error_set(e, err, "allowed prefixes: %s", strerror(-err));
	else
		err = sets_apply(&v4, &v6, e);
	set_done(&v4);
	set_done(&v6);
	return err;
}

/* ---- interfaces ------------------------------------------------------------------------------------------------- */

static int slot_read(const struct generation *g, uint32_t ifindex, __u64 *ret_word)
{
	__u32 number = ifindex % NODENS_INTERFACE_SLOTS;

	return bpf_map_lookup_elem(g->map_fd[MAP_INTERFACE_SLOTS], &number, ret_word) < 0 ? -errno : 0;
}

static int slot_write(struct generation *g, uint32_t ifindex, __u64 word)
{
	__u32 number = ifindex % NODENS_INTERFACE_SLOTS;

	return bpf_map_update_elem(g->map_fd[MAP_INTERFACE_SLOTS], &number, &word, BPF_ANY) < 0 ? -errno : 0;
}

/* The slot stays with the interface that has it; another one is found in the map. */
static int slot_set(struct generation *g, uint32_t ifindex, const struct nodens_interface *entry)
{
	__u64 word;
	int err = slot_read(g, ifindex, &word);

	if (err || (word != 0 && word >> 32 != ifindex))
		return err;
	return slot_write(g, ifindex,
			  entry->hook == NODENS_HOOK_NONE ? 0 : nodens_interface_slot(ifindex, entry->flags, entry->mtu));
}

static int slot_clear(struct generation *g, uint32_t ifindex)
{
	__u64 word;
	int err = slot_read(g, ifindex, &word);

	return err || word >> 32 != ifindex ? err : slot_write(g, ifindex, 0);
}

int generation_set_interface(struct generation *g, uint32_t ifindex, const struct nodens_interface *entry, struct error *e)
{
	int err = 0;

	if (bpf_map_update_elem(g->map_fd[MAP_INTERFACES], &ifindex, entry, BPF_ANY) < 0)
		err = -errno;
	if (!err)
		err = slot_set(g, ifindex, entry);
	if (err)
		return error_set(e, err, "writing interface %.16s (%u) to the map: %s", entry->name, ifindex, strerror(-err));
	return 0;
}

int generation_remove_interface(struct generation *g, uint32_t ifindex)
{
	int err = slot_clear(g, ifindex);

	if (bpf_map_delete_elem(g->map_fd[MAP_INTERFACES], &ifindex) < 0 && errno != ENOENT)
		return -errno;
	return err;
}

/* ---- counters --------------------------------------------------------------------------------------------------- */

/* Of every possible CPU, as the kernel lays them out. NULL with -errno. */
static struct nodens_verdicts *read_per_cpu(const struct generation *g, int *ret_cpus)
{
	int cpus = libbpf_num_possible_cpus();
	struct nodens_verdicts *values;
	const __u32 zero = 0;

	_Static_assert(sizeof(*values) % 8 == 0, "values of CPUs lie sizeof rounded up to 8 apart");
	*ret_cpus = cpus;
	if (cpus < 0)
		return NULL;
	*ret_cpus = -ENOMEM;
	values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		return NULL;
	if (bpf_map_lookup_elem(g->map_fd[MAP_VERDICTS], &zero, values) < 0) {
		*ret_cpus = -errno;
		free(values);
		return NULL;
	}
	*ret_cpus = cpus;
	return values;
}

static void verdicts_add(struct nodens_verdicts *to, const struct nodens_verdicts *add)
{
#define X(NAME, name, meaning) to->name += add->name;
	NODENS_VERDICTS(X)
#undef X
}

int generation_read_verdicts(const struct generation *g, struct nodens_verdicts *ret_verdicts)
{
	struct nodens_verdicts sum = {0}, *values;
	int cpus;

	values = read_per_cpu(g, &cpus);
	if (!values)
		return cpus;
	for (int i = 0; i < cpus; i++)
		verdicts_add(&sum, &values[i]);
	free(values);
	*ret_verdicts = sum;
	return 0;
}

/* One update writes the slots of all CPUs: what a program counts between our read and our write is lost. */
int generation_add_verdicts(struct generation *g, const struct nodens_verdicts *add)
{
	struct nodens_verdicts *values;
	const __u32 zero = 0;
	int cpus, err = 0;

	values = read_per_cpu(g, &cpus);
	if (!values)
		return cpus;
	verdicts_add(&values[0], add);
	if (bpf_map_update_elem(g->map_fd[MAP_VERDICTS], &zero, values, BPF_ANY) < 0)
		err = -errno;
	free(values);
	return err;
}
