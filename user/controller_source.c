/* SPDX-License-Identifier: Apache-2.0 */
/* What the source tells: objects into the store, and what becomes of a state that is complete. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "controller_state.h"

#define OBJECTS_PER_BEAT 4096

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

static void warn_broken(struct controller *c)
{
	store_each_broken(c->store, tell_broken, c);
	sweep_told(c, false);
}

/* ---- applying ---- */

static void fail(struct controller *c, int err, const struct error *e)
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

	if (!err)
		err = controller_update_servers(c, &e);
	/* What could not be written is still dirty; the datapath must not go on with a part of it. */
	if (err)
		return fail(c, err, &e);
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

static void on_put(void *ctx, struct kube_object *object)
{
	struct controller *c = ctx;

	if (store_put(c->store, object) == -ENOMEM)
		fail(c, -ENOMEM, NULL);
	/* Reading a large state takes longer than a short --stale-after. */
	if (++c->objects_read % OBJECTS_PER_BEAT == 0)
		controller_beat(c);
}

static void on_delete(void *ctx, enum kube_kind kind, const char *namespace, const char *name)
{
	struct controller *c = ctx;

	if (store_delete(c->store, kind, namespace, name) == -ENOMEM)
		fail(c, -ENOMEM, NULL);
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

static void on_replaced(void *ctx, size_t nameless, const char *why)
{
	struct controller *c = ctx;
	struct store_stats s;
	uint64_t now_ms = heartbeat_now_ms();

	if (store_replace_end(c->store) == -ENOMEM)
		return fail(c, -ENOMEM, NULL);
	if (c->status.source_error_ms)
		log_info("the source can be read again", LOG_TEXT("source", c->status.source));
	c->status.source_error_ms = 0;
	c->status.source_error[0] = '\0';
	c->status.source_ok_ms = now_ms;
	if (nameless)
		shut_for_nameless(c, nameless, why);
	else if (gate_lift(&c->gate, GATE_NAMELESS))
		log_info("all objects have names again");
	if (!c->status.synced_ms)
		c->status.synced_ms = now_ms;
	/* Shut before the records change, opened after. */
	if (nameless && c->is_live)
		controller_apply_gate(c);
	if (c->loader && loader_generation(c->loader))
		controller_apply(c);
	if (gate_lift(&c->gate, GATE_RESUMED))
		log_info("the source has answered after the sleep: answering again");
	controller_apply_gate(c);
	store_stats(c->store, &s);
	/* At the start the names are counted by the line that says ready. */
	if (!c->is_live)
		return;
	log_info("objects applied", LOG_NUM("services", s.services), LOG_NUM("slices", s.slices),
		 LOG_NUM("endpoints", s.endpoints), LOG_NUM("broken", s.broken), LOG_NUM("names", c->status.names));
}

static void on_batch(void *ctx)
{
	struct controller *c = ctx;

	c->status.source_ok_ms = heartbeat_now_ms();
	if (c->is_live)
		controller_apply(c);
}

static void on_error(void *ctx, const struct error *e)
{
	struct controller *c = ctx;

	if (!c->status.source_error_ms)
		c->status.source_error_ms = heartbeat_now_ms();
	snprintf(c->status.source_error, sizeof(c->status.source_error), "%.*s",
		 (int)sizeof(c->status.source_error) - 1, e->text);
	log_error("the source cannot be read: what is loaded stays", LOG_TEXT("source", c->status.source),
		  LOG_TEXT("cause", e->text));
	if (c->is_live)
		controller_write_status(c);
}

const struct source_callbacks controller_source_callbacks = {
	.on_replace = on_replace,
	.on_put = on_put,
	.on_delete = on_delete,
	.on_replaced = on_replaced,
	.on_batch = on_batch,
	.on_error = on_error,
};
