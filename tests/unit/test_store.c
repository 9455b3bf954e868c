/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: what a change emits, and that any sequence of changes, flushed in steps into a table of names, ends in the
 * same table as a fresh store that is given the final objects. NODENS_SEED and NODENS_RUNS change the random runs.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hmap.h"
#include "kube/store.h"

/* ---- a table of names, as the maps are ---- */

struct row {
	struct hmap_node node;
	struct dns_name owner;
	char *text;
};

struct table {
	struct hmap rows;
	size_t puts;
	size_t removes;
	size_t reverse_puts;
	size_t calls_left; /* until one fails; 0: never */
};

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct lines {
	char *line[600];
	size_t count;
};

__attribute__((format(printf, 2, 3))) static void add_line(struct lines *l, const char *format, ...)
{
	va_list args;

	assert_true(l->count < 600);
	va_start(args, format);
	assert_true(vasprintf(&l->line[l->count++], format, args) >= 0);
	va_end(args);
}

static const char *name_text(const struct dns_name *n)
{
	static char text[2][DNS_NAME_TEXT_MAX];
	static int turn;

	turn ^= 1;
	dns_name_format(n->data, n->len, text[turn], sizeof(text[turn]));
	return text[turn];
}

static void add_addr(struct lines *l, const char *what, const struct kube_addr *a)
{
	char text[INET6_ADDRSTRLEN];

	kube_addr_format(a, text);
	add_line(l, "%s %s", what, text);
}

static void add_records(struct lines *l, const struct record_set *s)
{
	for (size_t i = 0; i < s->a_count; i++)
		add_line(l, "a %08x", ntohl(s->a[i].s_addr));
	for (size_t i = 0; i < s->aaaa_count; i++) {
		struct kube_addr a = {.family = AF_INET6};

		memcpy(a.octets, &s->aaaa[i], 16);
		add_addr(l, "aaaa", &a);
	}
	for (size_t i = 0; i < s->srv_count; i++)
		add_line(l, "srv %u %u %s", s->srvs[i].weight, s->srvs[i].port, name_text(&s->targets[s->srvs[i].target]));
	for (size_t i = 0; i < s->glue_count; i++)
		add_addr(l, name_text(&s->targets[s->glue[i].target]), &s->glue[i].addr);
	for (size_t i = 0; i < s->ptr_count; i++)
		add_line(l, "ptr %s", name_text(&s->ptrs[i]));
}

/* Everything about a set but the order of its records. */
static char *set_text(const struct record_set *s)
{
	struct lines l = {.count = 0};
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!s->is_passed)
		add_records(&l, s);
	qsort(l.line, l.count, sizeof(char *), compare_lines);
	fprintf(f, "%s%s%s%s", s->is_passed ? "passed " : "", s->is_cut ? "cut " : "", s->is_reverse ? "reverse " : "",
		s->srv_is_cut ? "srvs-cut " : "");
	for (size_t i = 0; i < l.count; i++) {
		fprintf(f, "%s; ", l.line[i]);
		free(l.line[i]);
	}
	fclose(f);
	return text;
}

static struct row *table_find(struct table *t, const struct dns_name *owner)
{
	struct hmap_node *n = hmap_first_same(&t->rows, hmap_hash(owner->data, owner->len, 0));

	for (; n; n = hmap_next_same(n)) {
		struct row *row = hmap_entry(n, struct row, node);

		if (dns_name_equal(&row->owner, owner))
			return row;
	}
	return NULL;
}

/* Fails after the call took effect: the worse case. */
static int result(struct table *t)
{
	return t->calls_left && --t->calls_left == 0 ? -EIO : 0;
}

static int table_put(void *ctx, const struct record_set *set)
{
	struct table *t = ctx;
	struct row *row = table_find(t, &set->owner);

	if (!row) {
		row = calloc(1, sizeof(*row));
		row->owner = set->owner;
		hmap_insert(&t->rows, &row->node, hmap_hash(set->owner.data, set->owner.len, 0));
	}
	free(row->text);
	row->text = set_text(set);
	t->puts++;
	t->reverse_puts += set->is_reverse;
	return result(t);
}

static int table_remove(void *ctx, const struct dns_name *owner)
{
	struct table *t = ctx;
	struct row *row = table_find(t, owner);

	t->removes++;
	if (row) {
		hmap_remove(&t->rows, &row->node);
		free(row->text);
		free(row);
	}
	return result(t);
}

static void table_done(struct table *t)
{
	struct hmap_node *n;

	while ((n = hmap_first(&t->rows))) {
		struct row *row = hmap_entry(n, struct row, node);

		hmap_remove(&t->rows, n);
		free(row->text);
		free(row);
	}
	hmap_done(&t->rows);
}

static struct store_sink sink_of(struct table *t)
{
	return (struct store_sink){table_put, table_remove, t};
}

static void flush(struct store *s, struct table *t)
{
	struct store_sink sink = sink_of(t);

	t->puts = t->removes = t->reverse_puts = 0;
	assert_int_equal(store_flush(s, &sink), 0);
}

/* Of the name in text; NULL: it is not there. */
static const char *look(struct table *t, const char *name)
{
	struct dns_name owner;
	struct row *row;

	assert_int_equal(dns_name_parse(name, &owner, NULL), 0);
	row = table_find(t, &owner);
	return row ? row->text : NULL;
}

static struct store *make_store(enum answer_level level)
{
	struct record_params params = {.level = level};
	struct store *s;

	assert_int_equal(dns_name_parse("cluster.local", &params.zone, NULL), 0);
	s = store_new(&params);
	assert_non_null(s);
	return s;
}

/* ---- objects ---- */

struct draft {
	struct kube_object o;
	struct kube_addr addresses[200];
	struct kube_endpoint endpoints[100];
	struct kube_port ports[4];
	size_t address_count;
};

static struct kube_addr addr4(unsigned int n)
{
	return (struct kube_addr){.family = AF_INET, .octets = {10, 0, (uint8_t)(n >> 8), (uint8_t)n}};
}

static struct kube_addr addr6(unsigned int n)
{
	return (struct kube_addr){.family = AF_INET6, .octets = {0xfd, [15] = (uint8_t)n}};
}

static void draft_slice(struct draft *d, const char *name, const char *service)
{
	memset(d, 0, sizeof(*d));
	d->o.kind = KUBE_SLICE;
	d->o.namespace = (char *)"ns";
	d->o.name = (char *)name;
	strcpy(d->o.slice.service, service);
	d->o.slice.endpoints = d->endpoints;
	d->o.slice.ports = d->ports;
	d->o.slice.port_count = 1;
	strcpy(d->ports[0].name, "http");
	d->ports[0].number = 80;
}

static struct kube_endpoint *draft_endpoint(struct draft *d, struct kube_addr addr, const char *hostname)
{
	struct kube_endpoint *ep = &d->endpoints[d->o.slice.endpoint_count++];

	ep->addresses = &d->addresses[d->address_count];
	d->addresses[d->address_count++] = addr;
	ep->address_count = 1;
	ep->is_ready = true;
	ep->hostname = (char *)hostname;
	return ep;
}

static void draft_service(struct draft *d, const char *name, enum kube_service_type type)
{
	memset(d, 0, sizeof(*d));
	d->o.kind = KUBE_SERVICE;
	d->o.namespace = (char *)"ns";
	d->o.name = (char *)name;
	d->o.service.type = type;
	d->o.service.ports = d->ports;
	d->o.service.cluster_ips = d->addresses;
}

static int put(struct store *s, const struct draft *d)
{
	return store_put(s, kube_object_copy(&d->o));
}

static void put_headless(struct store *s, const char *name)
{
	struct draft d;

	draft_service(&d, name, KUBE_HEADLESS);
	assert_int_equal(put(s, &d), 1);
}

static void put_slice(struct store *s, const char *name, const char *service, unsigned int addr, const char *hostname)
{
	struct draft d;

	draft_slice(&d, name, service);
	draft_endpoint(&d, addr4(addr), hostname);
	assert_true(put(s, &d) >= 0);
}

/* ---- single changes ---- */

static void an_equal_object_changes_nothing_but_is_kept(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	struct table t = {.puts = 0};
	struct draft d;

	(void)state;
	put_headless(s, "web");
	draft_slice(&d, "web-1", "web");
	draft_endpoint(&d, addr4(1), NULL);
	d.o.resource_version = (char *)"1";
	assert_int_equal(put(s, &d), 1);
	flush(s, &t);
	assert_true(t.puts > 0);
	d.o.resource_version = (char *)"2";
	assert_int_equal(put(s, &d), 0);
	flush(s, &t);
	assert_int_equal(t.puts + t.removes, 0);
	assert_string_equal(store_find(s, KUBE_SLICE, "ns", "web-1")->resource_version, "2");
	store_free(s);
	table_done(&t);
}

static void a_deleted_slice_takes_its_names_with_it(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	struct table t = {.puts = 0};

	(void)state;
	put_headless(s, "web");
	put_slice(s, "web-1", "web", 1, "a");
	put_slice(s, "web-2", "web", 2, "b");
	flush(s, &t);
	assert_non_null(look(&t, "a.web.ns.svc.cluster.local"));
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"), "reverse ptr a.web.ns.svc.cluster.local.; ");
	assert_int_equal(store_delete(s, KUBE_SLICE, "ns", "web-1"), 1);
	assert_int_equal(store_delete(s, KUBE_SLICE, "ns", "web-1"), 0);
	flush(s, &t);
	assert_null(look(&t, "a.web.ns.svc.cluster.local"));
	assert_null(look(&t, "1.0.0.10.in-addr.arpa"));
	assert_non_null(look(&t, "b.web.ns.svc.cluster.local"));
	store_free(s);
	table_done(&t);
}

static void a_slice_that_changes_its_service_touches_both(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	struct table t = {.puts = 0};

	(void)state;
	put_headless(s, "one");
	put_headless(s, "two");
	put_slice(s, "x", "one", 1, "a");
	flush(s, &t);
	put_slice(s, "x", "two", 1, "a");
	flush(s, &t);
	assert_null(look(&t, "one.ns.svc.cluster.local"));
	assert_null(look(&t, "a.one.ns.svc.cluster.local"));
	assert_non_null(look(&t, "a.two.ns.svc.cluster.local"));
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"), "reverse ptr a.two.ns.svc.cluster.local.; ");
	store_free(s);
	table_done(&t);
}

/* 99 endpoints, of which the one at `skip` is left out. */
static void put_many(struct store *s, unsigned int skip, unsigned int unready)
{
	struct draft d;

	draft_slice(&d, "many-1", "many");
	for (unsigned int i = 0; i < 99; i++)
		if (i != skip)
			draft_endpoint(&d, addr4(i), NULL)->is_ready = i != unready;
	assert_int_equal(put(s, &d), 1);
}

static void only_addresses_that_mean_something_else_are_emitted(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	struct table t = {.puts = 0};

	(void)state;
	put_headless(s, "many");
	put_many(s, 1000, 1000);
	flush(s, &t);
	assert_int_equal(t.reverse_puts, 99);
	/* All those behind it change their place. */
	put_many(s, 0, 1000);
	flush(s, &t);
	assert_int_equal(t.reverse_puts, 0);
	assert_null(look(&t, "0.0.0.10.in-addr.arpa"));
	assert_string_equal(look(&t, "98.0.0.10.in-addr.arpa"), "reverse ptr 10-0-0-98.many.ns.svc.cluster.local.; ");
	put_many(s, 0, 50);
	flush(s, &t);
	assert_int_equal(t.reverse_puts, 0);
	assert_null(look(&t, "50.0.0.10.in-addr.arpa"));
	put_many(s, 0, 51);
	flush(s, &t);
	assert_int_equal(t.reverse_puts, 1);
	assert_non_null(look(&t, "50.0.0.10.in-addr.arpa"));
	store_free(s);
	table_done(&t);
}

static void several_holders_of_an_address_are_told_together(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	struct table t = {.puts = 0};
	struct draft d;

	(void)state;
	put_slice(s, "x", "one", 1, "a");
	put_slice(s, "y", "two", 1, "b");
	flush(s, &t);
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"),
			    "reverse ptr a.one.ns.svc.cluster.local.; ptr b.two.ns.svc.cluster.local.; ");
	draft_service(&d, "three", KUBE_CLUSTER_IP);
	d.addresses[0] = addr4(1);
	d.o.service.cluster_ip_count = 1;
	assert_int_equal(put(s, &d), 1);
	flush(s, &t);
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"), "reverse ptr three.ns.svc.cluster.local.; ");
	assert_int_equal(store_delete(s, KUBE_SERVICE, "ns", "three"), 1);
	assert_int_equal(store_delete(s, KUBE_SLICE, "ns", "x"), 1);
	flush(s, &t);
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"), "reverse ptr b.two.ns.svc.cluster.local.; ");
	store_free(s);
	table_done(&t);
}

static void addresses_of_broken_objects_are_passed_ready_or_not(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	struct table t = {.puts = 0};
	struct draft d;

	(void)state;
	draft_slice(&d, "x", "one");
	draft_endpoint(&d, addr4(1), "a")->is_ready = false;
	assert_int_equal(put(s, &d), 1);
	put_slice(s, "y", "", 2, "b");
	flush(s, &t);
	assert_null(look(&t, "1.0.0.10.in-addr.arpa"));
	assert_string_equal(look(&t, "2.0.0.10.in-addr.arpa"), "passed reverse ");
	d.o.broken = (char *)"ports[0].port 0 is no port number";
	assert_int_equal(put(s, &d), 1);
	flush(s, &t);
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"), "passed reverse ");
	d.o.broken = NULL;
	assert_int_equal(put(s, &d), 1);
	flush(s, &t);
	assert_null(look(&t, "1.0.0.10.in-addr.arpa"));
	store_free(s);
	table_done(&t);
}

/* Twice passed is not the same as once answered. */
static void an_address_held_twice_by_a_broken_service_and_then_once_is_seen(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	struct table t = {.puts = 0};
	struct draft d;

	(void)state;
	draft_service(&d, "one", KUBE_CLUSTER_IP);
	d.addresses[0] = d.addresses[1] = addr4(1);
	d.o.service.cluster_ip_count = 2;
	d.o.broken = (char *)"spec.type is a number, not a string";
	assert_int_equal(put(s, &d), 1);
	flush(s, &t);
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"), "passed reverse ");
	d.o.service.cluster_ip_count = 1;
	d.o.broken = NULL;
	assert_int_equal(put(s, &d), 1);
	flush(s, &t);
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"), "reverse ptr one.ns.svc.cluster.local.; ");
	store_free(s);
	table_done(&t);
}

static void every_ptr_is_passed_while_addresses_are_unknown(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	struct table t = {.puts = 0};
	struct store_stats stats;
	struct draft d;

	(void)state;
	put_slice(s, "x", "one", 1, "a");
	put_slice(s, "y", "two", 2, "b");
	flush(s, &t);
	draft_slice(&d, "z", "three");
	d.o.broken = (char *)"endpoints is an object, not an array";
	d.o.has_unknown_addresses = true;
	assert_int_equal(put(s, &d), 1);
	flush(s, &t);
	assert_int_equal(t.reverse_puts, 2);
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"), "passed reverse ");
	store_stats(s, &stats);
	assert_int_equal(stats.unknown_address_objects, 1);
	/* One unknown object replaced by another: nothing in between. */
	d.o.slice.is_fqdn = true;
	assert_int_equal(put(s, &d), 1);
	flush(s, &t);
	assert_int_equal(t.reverse_puts, 0);
	assert_int_equal(store_delete(s, KUBE_SLICE, "ns", "z"), 1);
	flush(s, &t);
	assert_int_equal(t.reverse_puts, 2);
	assert_string_equal(look(&t, "1.0.0.10.in-addr.arpa"), "reverse ptr a.one.ns.svc.cluster.local.; ");
	store_free(s);
	table_done(&t);
}

static void no_ptr_at_level_headless(void **state)
{
	struct store *s = make_store(ANSWER_HEADLESS);
	struct table t = {.puts = 0};
	struct store_sink sink = sink_of(&t);

	(void)state;
	put_headless(s, "one");
	put_slice(s, "x", "one", 1, "a");
	flush(s, &t);
	assert_true(t.puts > 0);
	assert_int_equal(t.reverse_puts, 0);
	assert_int_equal(store_emit_all(s, &sink), 0);
	assert_int_equal(t.reverse_puts, 0);
	store_free(s);
	table_done(&t);
}

static void a_replacement_deletes_what_was_not_put(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	struct table t = {.puts = 0};
	struct store_stats stats;

	(void)state;
	put_headless(s, "one");
	put_headless(s, "two");
	put_slice(s, "x", "one", 1, "a");
	put_slice(s, "y", "two", 2, "b");
	flush(s, &t);
	store_replace_begin(s);
	put_slice(s, "y", "two", 2, "b");
	assert_int_equal(put(s, &(struct draft){.o = *store_find(s, KUBE_SERVICE, "ns", "two")}), 0);
	assert_int_equal(store_replace_end(s), 0);
	flush(s, &t);
	assert_null(look(&t, "one.ns.svc.cluster.local"));
	assert_non_null(look(&t, "b.two.ns.svc.cluster.local"));
	store_stats(s, &stats);
	assert_int_equal(stats.services, 1);
	assert_int_equal(stats.slices, 1);
	assert_int_equal(stats.endpoints, 1);
	store_free(s);
	table_done(&t);
}

static void join_name(void *ctx, const struct kube_object *o)
{
	strcat(ctx, o->name);
	strcat(ctx, " ");
}

static void slices_are_listed_in_the_order_of_their_names(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	char names[64] = "";

	(void)state;
	put_slice(s, "c", "one", 1, NULL);
	put_slice(s, "a", "one", 2, NULL);
	put_slice(s, "d", "two", 3, NULL);
	put_slice(s, "b", "one", 4, NULL);
	store_each_slice_of(s, "ns", "one", join_name, names);
	assert_string_equal(names, "a b c ");
	store_each_slice_of(s, "ns", "none", join_name, names);
	store_each_broken(s, join_name, names);
	assert_string_equal(names, "a b c ");
	store_free(s);
}

static void put_headless_broken(struct store *s, bool is_broken, int changed)
{
	struct draft d;

	draft_service(&d, "one", KUBE_HEADLESS);
	d.o.broken = is_broken ? (char *)"a test says so" : NULL;
	assert_int_equal(put(s, &d), changed);
}

static void who_is_not_understood_is_told_when_it_changes(void **state)
{
	struct store *s = make_store(ANSWER_SERVICES);
	uint64_t version = store_broken_version(s);
	char names[64] = "";

	(void)state;
	put_slice(s, "a", "one", 1, NULL);
	put_headless_broken(s, false, 1);
	assert_int_equal(store_broken_version(s), version);
	put_headless_broken(s, true, 1);
	assert_true(store_broken_version(s) > version);
	version = store_broken_version(s);
	put_headless_broken(s, true, 0);
	put_slice(s, "b", "one", 1, NULL);
	assert_int_equal(store_broken_version(s), version);
	store_each_broken(s, join_name, names);
	assert_string_equal(names, "one ");
	put_headless_broken(s, false, 1);
	assert_true(store_broken_version(s) > version);
	store_each_broken(s, join_name, names);
	assert_string_equal(names, "one ");
	store_free(s);
}

/* ---- random runs ---- */

static uint64_t random_state;

static unsigned int roll(unsigned int sides)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned int)(random_state >> 20) % sides;
}

static const char *pick(const char *const *list, size_t count)
{
	return list[roll((unsigned int)count)];
}

static const char *const namespaces[] = {"ns", "kube"};
static const char *const service_names[] = {"a", "b", "c", "d"};
static const char *const labels[] = {"a", "a", "b", "c", "d", "nobody", ""};
static const char *const slice_names[] = {"a-1", "a-2", "b-1", "c-1", "x", "y", "z.z"};
/* 10-0-0-1 is also the address name of an endpoint. */
static const char *const hostnames[] = {NULL, NULL, "", "web-0", "web-1", "10-0-0-1"};
static const char *const port_names[] = {"", "http", "https"};

static struct kube_addr random_addr(void)
{
	return roll(4) ? addr4(roll(8)) : addr6(roll(4));
}

static void random_ports(struct draft *d, bool is_slice, size_t *ret_count)
{
	*ret_count = roll(4);
	for (size_t i = 0; i < *ret_count; i++) {
		strcpy(d->ports[i].name, pick(port_names, 3));
		d->ports[i].number = is_slice && roll(5) == 0 ? -1 : (int32_t)roll(3) + 80;
		d->ports[i].protocol = (uint8_t)roll(3);
	}
}

static void random_service(struct draft *d)
{
	draft_service(d, pick(service_names, 4), (enum kube_service_type)(roll(8) ? roll(2) : KUBE_EXTERNAL_NAME));
	random_ports(d, false, &d->o.service.port_count);
	if (d->o.service.type == KUBE_CLUSTER_IP)
		d->o.service.cluster_ip_count = 1 + roll(2);
	for (size_t i = 0; i < d->o.service.cluster_ip_count; i++)
		d->addresses[i] = random_addr();
}

static void random_slice(struct draft *d)
{
	unsigned int count = roll(5);

	draft_slice(d, pick(slice_names, 7), pick(labels, 7));
	random_ports(d, true, &d->o.slice.port_count);
	d->o.slice.is_fqdn = roll(20) == 0;
	for (unsigned int i = 0; i < count && !d->o.slice.is_fqdn; i++) {
		struct kube_endpoint *ep = draft_endpoint(d, random_addr(), pick(hostnames, 6));

		ep->is_ready = roll(4) != 0;
		if (roll(4) == 0) {
			d->addresses[d->address_count++] = random_addr();
			ep->address_count = 2;
		}
	}
}

static struct kube_object *random_object(void)
{
	static struct draft d;

	if (roll(3) == 0)
		random_service(&d);
	else
		random_slice(&d);
	d.o.namespace = (char *)pick(namespaces, 2);
	if (roll(10) == 0)
		d.o.broken = (char *)(roll(2) ? "this" : "that");
	d.o.has_unknown_addresses = d.o.broken && roll(4) == 0;
	return kube_object_copy(&d.o);
}

/* The objects that a store should have, beside it. */
struct model {
	struct kube_object *objects[64];
	size_t count;
};

static size_t model_find(const struct model *m, const struct kube_object *o)
{
	size_t i = 0;

	while (i < m->count && (m->objects[i]->kind != o->kind || strcmp(m->objects[i]->name, o->name) != 0 ||
				strcmp(m->objects[i]->namespace, o->namespace) != 0))
		i++;
	return i;
}

static void model_put(struct model *m, const struct kube_object *o)
{
	size_t i = model_find(m, o);

	if (i == m->count)
		m->count++;
	else
		kube_object_free(m->objects[i]);
	m->objects[i] = kube_object_copy(o);
}

static void model_delete(struct model *m, size_t i)
{
	kube_object_free(m->objects[i]);
	m->objects[i] = m->objects[--m->count];
}

static void model_done(struct model *m)
{
	while (m->count > 0)
		model_delete(m, 0);
}

/* A known object with one thing changed. */
static struct kube_object *tweak(const struct kube_object *known)
{
	struct kube_object *o = kube_object_copy(known), *copy;

	switch (roll(4)) {
	case 0:
		o->broken = o->broken ? NULL : (char *)"this";
		o->has_unknown_addresses = false;
		break;
	case 1:
		if (o->kind == KUBE_SLICE && o->slice.endpoint_count > 0)
			o->slice.endpoints[0].is_ready ^= true;
		break;
	case 2:
		if (o->kind == KUBE_SLICE && o->slice.endpoint_count > 0)
			o->slice.endpoints[0].hostname = (char *)pick(hostnames, 6);
		break;
	default:
		if (o->kind == KUBE_SLICE)
			strcpy(o->slice.service, pick(labels, 7));
		else if (o->service.type == KUBE_CLUSTER_IP)
			o->service.type = KUBE_EXTERNAL_NAME;
		break;
	}
	copy = kube_object_copy(o);
	kube_object_free(o);
	return copy;
}

static void change_once(struct store *s, struct model *m)
{
	struct kube_object *o;
	size_t i;

	if (m->count > 0 && roll(4) == 0) {
		i = roll((unsigned int)m->count);
		o = m->objects[i];
		assert_int_equal(store_delete(s, o->kind, o->namespace, o->name), 1);
		model_delete(m, i);
		return;
	}
	o = m->count > 0 && roll(2) ? tweak(m->objects[roll((unsigned int)m->count)]) : random_object();
	model_put(m, o);
	assert_true(store_put(s, o) >= 0);
}

/* Keeps some, changes some, adds some; the rest goes. */
static void replace_all(struct store *s, struct model *m)
{
	struct model next = {.count = 0};

	store_replace_begin(s);
	for (size_t i = 0; i < m->count; i++)
		if (roll(2))
			model_put(&next, m->objects[i]);
	for (unsigned int i = roll(6); i > 0; i--) {
		struct kube_object *o = random_object();

		model_put(&next, o);
		kube_object_free(o);
	}
	for (size_t i = next.count; i > 0; i--)
		assert_true(store_put(s, kube_object_copy(next.objects[i - 1])) >= 0);
	assert_int_equal(store_replace_end(s), 0);
	model_done(m);
	*m = next;
}

static void fill_fresh(struct store *s, const struct model *m)
{
	size_t start = m->count ? roll((unsigned int)m->count) : 0;

	for (size_t i = 0; i < m->count; i++)
		assert_int_equal(store_put(s, kube_object_copy(m->objects[(start + i) % m->count])), 1);
}

static void compare_tables(struct table *have, struct table *want, uint64_t seed, int step)
{
	struct hmap_node *n;

	for (n = hmap_first(&want->rows); n; n = hmap_next(&want->rows, n)) {
		struct row *w = hmap_entry(n, struct row, node);
		struct row *h = table_find(have, &w->owner);

		if (!h || strcmp(h->text, w->text) != 0)
			fail_msg("seed %llu step %d: %s: have \"%s\", want \"%s\"", (unsigned long long)seed, step,
				 name_text(&w->owner), h ? h->text : "nothing", w->text);
	}
	for (n = hmap_first(&have->rows); n; n = hmap_next(&have->rows, n)) {
		struct row *h = hmap_entry(n, struct row, node);

		if (!table_find(want, &h->owner))
			fail_msg("seed %llu step %d: %s: have \"%s\", want nothing", (unsigned long long)seed, step,
				 name_text(&h->owner), h->text);
	}
}

static void count_broken(void *ctx, const struct kube_object *o)
{
	assert_non_null(o->broken);
	++*(size_t *)ctx;
}

static void compare_with_fresh(struct store *s, const struct model *m, struct table *have, enum answer_level level,
			       uint64_t seed, int step)
{
	struct store *fresh = make_store(level);
	struct table want = {.puts = 0}, again = {.puts = 0};
	struct store_sink want_sink = sink_of(&want), again_sink = sink_of(&again);
	struct store_stats a, b;
	size_t broken = 0;

	fill_fresh(fresh, m);
	assert_int_equal(store_emit_all(fresh, &want_sink), 0);
	assert_int_equal(store_emit_all(s, &again_sink), 0);
	compare_tables(have, &want, seed, step);
	compare_tables(&again, &want, seed, step);
	store_stats(s, &a);
	store_stats(fresh, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	store_each_broken(s, count_broken, &broken);
	assert_int_equal(broken, a.broken);
	store_free(fresh);
	table_done(&want);
	table_done(&again);
}

/* A fresh sink that is given everything takes the place of the old one; often in the middle of a flush. */
static void take_fresh(struct store *s, struct table *t)
{
	struct store_sink sink;

	table_done(t);
	*t = (struct table){.puts = 0};
	sink = sink_of(t);
	assert_int_equal(store_emit_all(s, &sink), 0);
	store_forget_changes(s);
	t->calls_left = 1;
	assert_int_equal(store_flush(s, &sink), 0);
}

/* Sometimes the sink fails in the middle, and what is left is flushed later, after further changes. */
static bool try_flush(struct store *s, struct table *t)
{
	struct store_sink sink = sink_of(t);
	int err;

	t->calls_left = roll(3) == 0 ? 1 + roll(20) : 0;
	err = store_flush(s, &sink);
	assert_true(err == 0 || err == -EIO);
	if (err && roll(2)) {
		take_fresh(s, t);
		err = 0;
	}
	t->calls_left = 0;
	return err == 0;
}

static size_t run_random(uint64_t seed, enum answer_level level)
{
	struct store *s = make_store(level);
	struct table t = {.puts = 0};
	struct model m = {.count = 0};
	size_t compared = 0;

	random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
	for (int step = 0; step < 60; step++) {
		for (unsigned int i = roll(5); i > 0; i--)
			change_once(s, &m);
		if (roll(12) == 0)
			replace_all(s, &m);
		if (!try_flush(s, &t))
			continue;
		compare_with_fresh(s, &m, &t, level, seed, step);
		compared++;
	}
	model_done(&m);
	flush(s, &t);
	store_replace_begin(s);
	assert_int_equal(store_replace_end(s), 0);
	flush(s, &t);
	assert_int_equal(t.rows.count, 0);
	store_free(s);
	table_done(&t);
	return compared;
}

static unsigned long setting(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text && text[0] ? strtoul(text, NULL, 10) : otherwise;
}

static void any_order_of_changes_gives_what_a_fresh_store_gives(void **state)
{
	unsigned long seed = setting("NODENS_SEED", 1), runs = setting("NODENS_RUNS", 60);
	size_t compared = 0;

	(void)state;
	for (unsigned long i = 0; i < runs; i++) {
		compared += run_random(seed + i, ANSWER_SERVICES);
		compared += run_random(seed + i, ANSWER_HEADLESS);
	}
	assert_true(compared > runs * 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_equal_object_changes_nothing_but_is_kept),
		cmocka_unit_test(a_deleted_slice_takes_its_names_with_it),
		cmocka_unit_test(a_slice_that_changes_its_service_touches_both),
		cmocka_unit_test(only_addresses_that_mean_something_else_are_emitted),
		cmocka_unit_test(several_holders_of_an_address_are_told_together),
		cmocka_unit_test(addresses_of_broken_objects_are_passed_ready_or_not),
		cmocka_unit_test(an_address_held_twice_by_a_broken_service_and_then_once_is_seen),
		cmocka_unit_test(every_ptr_is_passed_while_addresses_are_unknown),
		cmocka_unit_test(no_ptr_at_level_headless),
		cmocka_unit_test(a_replacement_deletes_what_was_not_put),
		cmocka_unit_test(slices_are_listed_in_the_order_of_their_names),
		cmocka_unit_test(who_is_not_understood_is_told_when_it_changes),
		cmocka_unit_test(any_order_of_changes_gives_what_a_fresh_store_gives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
