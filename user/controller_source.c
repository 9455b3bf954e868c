/* SPDX-License-Identifier: Apache-2.0 */
/* What the source tells: objects into the store, and what becomes of a state that is complete. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "controller_state.h"

#define OBJECTS_PER_BEAT 4096
/* Between two lines that tell another cause of the same trouble. */
#define ERROR_EVERY_MS 60000

/* ---- broken objects: one warning each, again only when the cause changes or it was whole in between ---- */

struct told_object {
	struct hmap_node node;
	bool is_current;
	char text[];
};

static struct told_object *find_told(const struct controller *c, const char *text)
{
	uint64_t hash = hmap_hash(text, strlen(text), 0);

	for (struct hmap_node *n = hmap_first_same(&c->told_broken, hash); n; n = hmap_next_same(n)) {
		struct told_object *t = hmap_entry(n, struct told_object, node);

		if (strcmp(t->text, text) == 0)
			return t;
	}
	return NULL;
}

static bool remember_told(struct controller *c, const char *text)
{
	struct told_object *t = find_told(c, text);

	if (t) {
		t->is_current = true;
		return false;
	}
	t = calloc(1, sizeof(*t) + strlen(text) + 1);
	if (!t)
		return true;
	strcpy(t->text, text);
	t->is_current = true;
	hmap_insert(&c->told_broken, &t->node, hmap_hash(text, strlen(text), 0));
	return true;
}

static void tell_broken(void *ctx, const struct kube_object *o)
{
	struct controller *c = ctx;
	const char *kind = o->kind == KUBE_SERVICE ? "Service" : "EndpointSlice";
	char object[400], text[1024];

	snprintf(object, sizeof(object), "%s %s/%s", kind, o->namespace, o->name);
	snprintf(text, sizeof(text), "%s %s", object, o->broken);
	if (remember_told(c, text))
		log_warn("an object is not understood: its names are passed on", LOG_TEXT("object", object),
			 LOG_TEXT("cause", o->broken), LOG_TEXT("origin", o->origin));
}

/* Forgets those that are whole again (all: also the others). */
static void sweep_told(struct controller *c, bool is_all)
{
	struct hmap_node *next;

	for (struct hmap_node *n = hmap_first(&c->told_broken); n; n = next) {
		struct told_object *t = hmap_entry(n, struct told_object, node);

		next = hmap_next(&c->told_broken, n);
		if (t->is_current && !is_all) {
			t->is_current = false;
			continue;
		}
		hmap_remove(&c->told_broken, n);
		free(t);
	}
}

void controller_forget_broken(struct controller *c)
{
	sweep_told(c, true);
}

/* Nothing to do for most changes, however many objects there are. */
static void warn_broken(struct controller *c)
{
	uint64_t version = store_broken_version(c->store);

	if (version == c->broken_version)
		return;
	c->broken_version = version;
	store_each_broken(c->store, tell_broken, c);
	sweep_told(c, false);
}

/* ---- applying ---- */

void controller_fail(struct controller *c, int err, const struct error *e)
{
	if (c->failed)
		return;
	c->failed = err;
	if (e)
		c->failure = *e;
	else
		error_set(&c->failure, err, "%s", strerror(-err));
	/* Told to end: the loop hears of that itself. */
	if (err != -EINTR)
		loop_stop(c->loop, err);
}

void controller_apply(struct controller *c)
{
	bool has_changed = false;
	struct error e = {0};
	int err = loader_flush(c->loader, &has_changed, &e);

	if (!err && c->are_servers_stale)
		err = controller_update_servers(c, &e);
	/* What could not be written is still dirty; the datapath must not go on with a part of it. */
	if (err)
		return controller_fail(c, err, &e);
	if (has_changed) {
		c->status.last_change_ms = heartbeat_now_ms();
		c->soa_serial = (uint32_t)(c->status.last_change_ms / 1000);
		__atomic_store_n(&generation_config(controller_generation(c))->soa_serial, c->soa_serial,
				 __ATOMIC_RELAXED);
	}
	warn_broken(c);
	controller_write_status(c);
}

/* ---- callbacks ---- */

static void on_replace(void *ctx)
{
	struct controller *c = ctx;

	store_replace_begin(c->store);
}

/* Server addresses hang on the DNS service and its slices; and while one lingers, on who else has it. */
static void note_servers(struct controller *c, const char *namespace)
{
	if (strcmp(namespace, c->params->dns_namespace) == 0 || servers_any_lingers(&c->servers))
		c->are_servers_stale = true;
}

static void on_put(void *ctx, struct kube_object *object)
{
	struct controller *c = ctx;

	note_servers(c, object->namespace);
	if (store_put(c->store, object) == -ENOMEM)
		controller_fail(c, -ENOMEM, NULL);
	/* Reading a large state takes longer than a short --stale-after. */
	if (++c->objects_read % OBJECTS_PER_BEAT == 0)
		controller_beat(c);
}

static void on_delete(void *ctx, enum kube_kind kind, const char *namespace, const char *name)
{
	struct controller *c = ctx;

	note_servers(c, namespace);
	if (store_delete(c->store, kind, namespace, name) == -ENOMEM)
		controller_fail(c, -ENOMEM, NULL);
}

static void shut_for_nameless(struct controller *c, size_t nameless, const char *why)
{
	char reason[sizeof(c->gate.reason[0])];

	snprintf(reason, sizeof(reason), "%zu object%s cannot be named: %s", nameless, nameless == 1 ? "" : "s",
		 why ? why : "");
	if (gate_shut(&c->gate, GATE_NAMELESS, reason))
		log_warn("an object without a name that can be told: everything is passed on until it is gone",
			 LOG_NUM("objects", nameless), LOG_TEXT("first", why));
}

static void clear_error(struct controller *c)
{
	if (!c->status.source_error_ms)
		return;
	log_info("the source can be read again", LOG_TEXT("source", c->status.source),
		 LOG_NUM("after_ms", heartbeat_now_ms() - c->status.source_error_ms));
	c->status.source_error_ms = 0;
	c->status.source_error[0] = '\0';
}

static void log_applied(const struct controller *c)
{
	struct store_stats s;

	store_stats(c->store, &s);
	log_info("objects applied", LOG_NUM("services", s.services), LOG_NUM("slices", s.slices),
		 LOG_NUM("endpoints", s.endpoints), LOG_NUM("broken", s.broken), LOG_NUM("names", c->status.names));
}

/* The first state of a source that tells it from the loop. */
static void begin_to_answer(struct controller *c)
{
	struct error e = {0};
	int err = 0;

	(void)gate_lift(&c->gate, GATE_RESUMED);
	if (c->is_live) {
		controller_apply(c);
		(void)gate_lift(&c->gate, GATE_LOADING);
	} else {
		err = controller_go_live(c, &e);
	}
	if (err)
		return controller_fail(c, err, &e);
	if (c->failed)
		return;
	controller_apply_gate(c);
	controller_tell_ready(c);
}

static void on_replaced(void *ctx, size_t nameless, const char *why)
{
	struct controller *c = ctx;
	uint64_t now_ms = heartbeat_now_ms();
	bool is_first = !controller_is_synced(c);

	if (store_replace_end(c->store) == -ENOMEM)
		return controller_fail(c, -ENOMEM, NULL);
	clear_error(c);
	c->status.source_ok_ms = now_ms;
	c->are_servers_stale = true;
	if (nameless)
		shut_for_nameless(c, nameless, why);
	else if (gate_lift(&c->gate, GATE_NAMELESS))
		log_info("all objects have names again");
	if (is_first)
		c->status.synced_ms = now_ms;
	/* A state that is told while the source is made: start goes on from there. */
	if (!c->is_running)
		return;
	if (is_first)
		return begin_to_answer(c);
	/* Shut before the records change, opened after. */
	if (nameless)
		controller_apply_gate(c);
	controller_apply(c);
	if (c->failed)
		return;
	if (gate_lift(&c->gate, GATE_RESUMED))
		log_info("the source has answered since: answering again");
	controller_apply_gate(c);
	log_applied(c);
}

static void on_batch(void *ctx)
{
	struct controller *c = ctx;

	c->status.source_ok_ms = heartbeat_now_ms();
	if (c->is_live && controller_is_synced(c))
		controller_apply(c);
}

void controller_tell_waiting(struct controller *c)
{
	const struct nodens_status *s = &c->status;
	char reason[2 * sizeof(s->source_error)]; /* the gate cuts it */

	snprintf(reason, sizeof(reason), "waiting for %s%s%s", s->api.server[0] ? s->api.server : s->source,
		 s->source_error_ms ? ": " : "", s->source_error);
	if (!gate_shut(&c->gate, GATE_LOADING, reason))
		return;
	controller_apply_gate(c);
	controller_tell_former(c);
	controller_tell_status(c);
}

/* A server that is gone fails in many words; one line is enough for all of them. */
static void log_error_once(struct controller *c, bool is_first)
{
	const char *msg = controller_is_synced(c) ? "the source cannot be read: what is loaded stays"
						  : "the source cannot be read: waiting for it";
	uint64_t now_ms = clock_monotonic_ms();

	if (!is_first && controller_is_kube(c) && now_ms - c->error_told_ms < ERROR_EVERY_MS)
		return;
	c->error_told_ms = now_ms;
	log_error(msg, LOG_TEXT("source", c->status.source), LOG_TEXT("cause", c->status.source_error));
}

static void on_error(void *ctx, const struct error *e)
{
	struct controller *c = ctx;
	bool is_first = !c->status.source_error_ms;

	if (!e) {
		clear_error(c);
	} else {
		if (is_first)
			c->status.source_error_ms = heartbeat_now_ms();
		snprintf(c->status.source_error, sizeof(c->status.source_error), "%.*s",
			 (int)sizeof(c->status.source_error) - 1, e->text);
		log_error_once(c, is_first);
	}
	if (!controller_is_synced(c))
		controller_tell_waiting(c);
	if (c->is_live)
		controller_write_status(c);
}

static void on_doubt(void *ctx, const char *reason)
{
	struct controller *c = ctx;

	if (reason && gate_shut(&c->gate, GATE_DOUBT, reason))
		log_warn("the records may be too old: everything is passed on", LOG_TEXT("cause", reason));
	else if (!reason && gate_lift(&c->gate, GATE_DOUBT))
		log_info("the records are current again: answering");
	controller_apply_gate(c);
}

static void on_api_status(void *ctx, const struct nodens_api_status *status)
{
	struct controller *c = ctx;
	struct nodens_api_status *api = &c->status.api, before = *api;

	*api = *status;
	memcpy(api->server, before.server, sizeof(api->server));
	api->server_identity = before.server_identity;
	/* Before the first list is complete the position is still that of the agent before. */
	if (!status->service_version[0])
		memcpy(api->service_version, before.service_version, sizeof(api->service_version));
	if (!status->slice_version[0])
		memcpy(api->slice_version, before.slice_version, sizeof(api->slice_version));
	if (c->is_live)
		generation_status(controller_generation(c))->api = *api;
}

const struct source_callbacks controller_source_callbacks = {
	.on_replace = on_replace,
	.on_put = on_put,
	.on_delete = on_delete,
	.on_replaced = on_replaced,
	.on_batch = on_batch,
	.on_error = on_error,
	.on_doubt = on_doubt,
	.on_api_status = on_api_status,
};
