/* SPDX-License-Identifier: Apache-2.0 */
/* A generation becomes the live one: configuration, servers, allow lists, interfaces, status; then the links. */
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "controller_state.h"
#include "nodelocal.h"
#include "notify.h"

/* ---- configuration ---- */

void controller_write_config(struct controller *c, struct generation *g)
{
	const struct controller_params *p = c->params;
	const struct render_params render = {.ttl_s = p->ttl_s};
	struct nodens_config *config = generation_config(g);

	config->abi_version = NODENS_ABI_VERSION;
	config->ttl_s = p->ttl_s;
	config->zone_len = p->records.zone.len;
	config->soa_len = (uint8_t)render_soa(&render, config->soa);
	__atomic_store_n(&config->soa_serial, c->soa_serial, __ATOMIC_RELAXED);
	snprintf(config->zone, sizeof(config->zone), "%s", p->zone);
	snprintf(config->answer, sizeof(config->answer), "%s", p->level);
}

/* ---- servers ---- */

static int derive_servers(const struct controller *c, struct server_set *set)
{
	const struct controller_params *p = c->params;
	const struct server_service dns = {c->store, p->dns_namespace, p->dns_service};
	int err;

	if (p->servers.count) {
		for (size_t i = 0; i < p->servers.count; i++) {
			const struct server_addr *a = &p->servers.entries[i].addr;

			err = servers_add(set, a->family, a->octets, ntohs(a->port), a->origin);
			if (err)
				return err;
		}
		return 0;
	}
	err = servers_add_service(set, &dns, p->records.level);
	if (!err)
		err = nodelocal_add_servers(set);
	return err ? err : servers_linger(set, &c->servers, &dns, clock_monotonic_ms());
}

static int write_servers(const struct server_set *set, struct generation *g, struct error *e)
{
	struct server_addr addrs[NODENS_SERVERS_MAX];

	for (size_t i = 0; i < set->count; i++)
		addrs[i] = set->entries[i].addr;
	return generation_set_servers(g, addrs, set->count, e);
}

static void log_servers(struct controller *c, const struct server_set *set)
{
	char text[256] = "", service[2 * 64];
	char one[64];
	size_t n = 0;

	for (size_t i = 0; i < set->count && n + sizeof(one) < sizeof(text); i++) {
		servers_format(&set->entries[i].addr, one);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", one);
	}
	snprintf(service, sizeof(service), "%s/%s", c->params->dns_namespace, c->params->dns_service);
	/* With a file none at the start is an error of its own. */
	if (set->count)
		log_info("server addresses", LOG_NUM("count", set->count), LOG_TEXT("addresses", text));
	else if (!c->is_told_serverless && (c->is_live || controller_is_kube(c)))
		log_warn("no server addresses: everything is passed on until this Service has one",
			 LOG_TEXT("service", service));
	c->is_told_serverless = !set->count;
}

int controller_update_servers(struct controller *c, struct error *e)
{
	struct server_set set = {0};
	bool has_changed;
	int err;

	if (!controller_is_synced(c))
		return 0;
	c->are_servers_stale = false;
	err = derive_servers(c, &set);
	if (err == -ENOSPC) {
		log_warn("too many server addresses: some are not answered for", LOG_NUM("most", NODENS_SERVERS_MAX));
		err = 0;
	}
	has_changed = !c->is_live || !servers_equal(&set, &c->servers);
	if (!err && has_changed)
		err = write_servers(&set, controller_generation(c), e);
	if (!err && (has_changed || (!set.count && !c->is_told_serverless)))
		log_servers(c, &set);
	if (err) {
		servers_done(&set);
		return err;
	}
	/* Also when equal: since when an endpoint is gone is in it. */
	servers_done(&c->servers);
	c->servers = set;
	return 0;
}

/* ---- status and gate ---- */

static void copy_stats(struct controller *c, struct nodens_status *s)
{
	struct generation *g = controller_generation(c);
	struct generation_size size = generation_get_size(g);
	struct loader_stats l;
	struct table_stats t;
	struct store_stats o;

	loader_stats(c->loader, &l);
	table_stats(generation_table(g), &t);
	store_stats(c->store, &o);
	s->names = t.names;
	s->arena_bytes = t.live_bytes;
	s->arena_capacity = (uint64_t)size.page_count * NODENS_PAGE_LEN;
	s->map_bytes = generation_size_bytes(size);
	s->passed_names = l.passed_names;
	s->unfit_names = l.unfit_names;
	s->updates = l.updates;
	s->growths = l.growths;
	s->quarantined_blobs = l.quarantined;
	s->retired_blobs = l.retired;
	s->reused_blobs = l.reused;
	s->grace_periods = l.grace_periods;
	s->services = o.services;
	s->slices = o.slices;
	s->endpoints = o.endpoints;
	s->broken_objects = o.broken;
}

void controller_write_status(struct controller *c)
{
	struct generation *g = controller_generation(c);
	struct nodens_status *map = generation_status(g);

	if (!map)
		return;
	copy_stats(c, &c->status);
	c->status.generation = generation_number(g);
	/* Written there by others. */
	c->status.heartbeat_ms = __atomic_load_n(&map->heartbeat_ms, __ATOMIC_RELAXED);
	memcpy(c->status.records_note, map->records_note, sizeof(map->records_note));
	snprintf(c->status.gate_reason, sizeof(c->status.gate_reason), "%s", gate_reason(&c->gate));
	memcpy(map, &c->status, sizeof(*map));
}

void controller_apply_gate(struct controller *c)
{
	struct generation *g = controller_generation(c);

	if (!c->is_live)
		return;
	gate_apply(&c->gate, generation_config(g), generation_status(g));
	controller_tell_status(c);
}

void controller_tell_status(struct controller *c)
{
	struct attachment_counts n;

	attachments_count(c->attachments, &n);
	if (!c->is_live && controller_former_serves_ms(c))
		notify_status("not synced, the agent before still answers: %s", gate_reason(&c->gate));
	else if (gate_state(&c->gate) == NODENS_GATE_NOT_SYNCED)
		notify_status("not synced, passing everything on: %s", gate_reason(&c->gate));
	else if (gate_state(&c->gate) != NODENS_GATE_OPEN)
		notify_status("passing everything on: %s", gate_reason(&c->gate));
	else if (!c->servers.count)
		notify_status("passing everything on: no server addresses, %s/%s has none", c->params->dns_namespace,
			      c->params->dns_service);
	else
		notify_status("answering %llu names on %zu interfaces", (unsigned long long)c->status.names,
			      n.attached);
}

/* ---- publishing ---- */

/* Everything but records and links. */
static int fill_beside_records(struct controller *c, struct generation *g, struct error *e)
{
	int err = write_servers(&c->servers, g, e);

	if (!err)
		err = generation_set_allowed(g, c->params->allowed, c->params->allowed_count, e);
	if (!err)
		err = attachments_publish(c->attachments, g, e);
	if (err)
		return err;
	controller_write_config(c, g);
	return 0;
}

static bool add_difference(struct nodens_verdicts *ret, const struct nodens_verdicts *now,
			   const struct nodens_verdicts *then)
{
	bool is_any = false;

#define X(NAME, name, meaning)              \
	ret->name = now->name - then->name; \
	is_any |= ret->name != 0;
	NODENS_VERDICTS(X)
#undef X
	return is_any;
}

/* What the old programs counted between the two readings. */
static void take_last_verdicts(const struct generation *old, struct generation *fresh,
			       const struct nodens_verdicts *taken)
{
	struct nodens_verdicts now, rest;

	if (generation_read_verdicts(old, &now) == 0 && add_difference(&rest, &now, taken))
		(void)generation_add_verdicts(fresh, &rest);
}

/* Counters of the agent before this one, so that they do not begin anew at each restart. old: NULL: none. */
static void take_verdicts(const struct generation *old, struct generation *fresh, struct nodens_verdicts *ret_taken)
{
	*ret_taken = (struct nodens_verdicts){0};
	if (old && generation_read_verdicts(old, ret_taken) == 0)
		(void)generation_add_verdicts(fresh, ret_taken);
}

static void remove_others(struct controller *c, struct generation *keep)
{
	struct error e = {0};

	if (generation_remove_others(c->params->dir, keep, &e))
		log_warn("an older generation cannot be removed", LOG_TEXT("cause", e.text));
}

int controller_publish_first(struct controller *c, struct error *e)
{
	struct generation *g = controller_generation(c);
	struct nodens_verdicts taken;
	int err = fill_beside_records(c, g, e);

	if (!err)
		err = heartbeat_measure(&c->heart, g);
	if (err)
		return error_prefix(e, err, "the datapath cannot be prepared");
	c->status.hz = c->heart.hz;
	take_verdicts(c->former, g, &taken);
	/* The gate never opens before there is a deadline. */
	err = heartbeat_beat(&c->heart, g);
	if (err)
		return error_set(e, err, "the clock of the datapath cannot be read: %s", strerror(-err));
	if (controller_is_synced(c))
		(void)gate_lift(&c->gate, GATE_LOADING);
	gate_apply(&c->gate, generation_config(g), generation_status(g));
	/* Should this be killed behind the next line: who comes next finds in it how far the records had come. */
	controller_write_status(c);
	err = generation_publish(g, e);
	if (err)
		return err;
	c->is_live = true;
	attachments_start(c->attachments, g);
	attachments_sweep(c->attachments);
	if (c->former)
		take_last_verdicts(c->former, g, &taken);
	remove_others(c, g);
	controller_close_former(c);
	controller_write_status(c);
	return 0;
}

/* on_switch of the loader: the fresh generation holds all records. */
int controller_switch(void *ctx, struct generation *old, struct generation *fresh, struct error *e)
{
	struct controller *c = ctx;
	struct nodens_verdicts taken;
	int err;

	if (!c->is_live)
		return heartbeat_begin(&c->heart, c->params->stale_after_ms, fresh);
	err = fill_beside_records(c, fresh, e);
	if (err)
		return err;
	memcpy(generation_status(fresh), generation_status(old), sizeof(struct nodens_status));
	generation_status(fresh)->generation = generation_number(fresh);
	err = heartbeat_beat(&c->heart, fresh);
	if (err)
		return error_set(e, err, "the clock of the datapath cannot be read: %s", strerror(-err));
	gate_apply(&c->gate, generation_config(fresh), generation_status(fresh));
	take_verdicts(old, fresh, &taken);
	err = generation_publish(fresh, e);
	if (err)
		return err;
	attachments_switch(c->attachments, fresh);
	(void)generation_wait_readers(old);
	take_last_verdicts(old, fresh, &taken);
	/* Should anything still run the old one: its records do not change any more. */
	__atomic_store_n(&generation_config(old)->gate, NODENS_GATE_CLOSED, __ATOMIC_RELEASE);
	remove_others(c, fresh);
	/* Another size of the record set is another size of the heap: what is free goes back to the system. */
	(void)malloc_trim(0);
	return 0;
}
