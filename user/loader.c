/* SPDX-License-Identifier: Apache-2.0 */
/* Records from the store into the maps of the live generation. Growing: loader_grow.c. */
#include "loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "loader_state.h"

/* ---- names that do not fit ---- */

static struct unfit_name *unfit_find(const struct loader *l, const struct dns_name *owner)
{
	uint64_t hash = hmap_hash(owner->data, owner->len, 0);

	for (struct hmap_node *n = hmap_first_same(&l->unfit, hash); n; n = hmap_next_same(n)) {
		struct unfit_name *u = hmap_entry(n, struct unfit_name, node);

		if (dns_name_equal(&u->owner, owner))
			return u;
	}
	return NULL;
}

static void unfit_remove(struct loader *l, const struct dns_name *owner)
{
	struct unfit_name *u = l->unfit.count ? unfit_find(l, owner) : NULL;

	if (!u)
		return;
	l->unfit_bytes -= u->bytes;
	hmap_remove(&l->unfit, &u->node);
	free(u);
}

void loader_clear_unfit(struct loader *l)
{
	struct hmap_node *next;

	for (struct hmap_node *n = hmap_first(&l->unfit); n; n = next) {
		next = hmap_next(&l->unfit, n);
		hmap_remove(&l->unfit, n);
		free(hmap_entry(n, struct unfit_name, node));
	}
	l->unfit_bytes = 0;
}

static int unfit_add(struct loader *l, const struct dns_name *owner, uint64_t bytes)
{
	struct unfit_name *u = unfit_find(l, owner);

	if (u) {
		l->unfit_bytes += bytes - u->bytes;
		u->bytes = bytes;
		return 0;
	}
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->owner = *owner;
	u->bytes = bytes;
	l->unfit_bytes += bytes;
	hmap_insert(&l->unfit, &u->node, hmap_hash(owner->data, owner->len, 0));
	return 0;
}

/* ---- one name ---- */

int loader_step(struct loader *l)
{
	if (++l->steps % LOADER_STEPS != 0 || !l->params.on_progress)
		return 0;
	return l->params.on_progress(l->params.ctx);
}

int loader_render(struct loader *l, const struct record_set *set, size_t *ret_len)
{
	size_t bound = render_blob_bound(set);

	if (bound > l->buffer_cap) {
		/* aligned_alloc wants a multiple; the octets of the old buffer are not needed. */
		size_t cap = (bound * 2 + 63) / 64 * 64;
		struct nodens_name *buffer = aligned_alloc(64, cap);

		if (!buffer)
			return -ENOMEM;
		free(l->buffer);
		l->buffer = buffer;
		l->buffer_cap = cap;
	}
	return render_blob(set, &l->params.render, l->buffer, l->buffer_cap, ret_len);
}

static bool is_pass_marker(const struct table *t, const struct dns_name *owner)
{
	const struct nodens_name *blob = table_find(t, owner->data, owner->len);

	return blob && (blob->flags & NODENS_NAME_PASS);
}

/* A name without its entry is passed on by the datapath: never an answer that is older than the objects. */
static int pass_unfit(struct loaded *g, const struct record_set *set, size_t len)
{
	struct loader *l = g->loader;
	bool was_passed = is_pass_marker(g->table, &set->owner);
	int removed = table_remove(g->table, set->owner.data, set->owner.len);

	g->passed_names -= was_passed;
	g->changes += removed > 0;
	return unfit_add(l, &set->owner, (len + NODENS_UNIT_LEN - 1) / NODENS_UNIT_LEN * NODENS_UNIT_LEN);
}

int loaded_put(void *ctx, const struct record_set *set)
{
	struct loaded *g = ctx;
	struct loader *l = g->loader;
	bool was_passed = is_pass_marker(g->table, &set->owner);
	size_t len;
	int err = loader_step(l);

	if (!err)
		err = loader_render(l, set, &len);
	if (err)
		return err;
	err = table_put(g->table, l->buffer, len);
	if ((err == -ENOSPC || err == -ENOMEM) && g->keeps_unfit)
		return pass_unfit(g, set, len);
	if (err == -EINVAL)
		return pass_unfit(g, set, len);
	if (err < 0) {
		l->lacking = err;
		return LOADER_FULL;
	}
	unfit_remove(l, &set->owner);
	g->passed_names += (uint64_t)((l->buffer->flags & NODENS_NAME_PASS) != 0) - was_passed;
	g->changes += err > 0;
	return 0;
}

int loaded_remove(void *ctx, const struct dns_name *owner)
{
	struct loaded *g = ctx;
	bool was_passed = is_pass_marker(g->table, owner);
	int removed = table_remove(g->table, owner->data, owner->len);

	unfit_remove(g->loader, owner);
	if (removed < 0)
		return removed;
	g->passed_names -= was_passed;
	g->changes += removed > 0;
	return 0;
}

/* ---- grace periods: one at a time; what was freed meanwhile goes into the next ---- */

static int wait_readers(void *ctx)
{
	const struct loaded *g = ctx;

	return generation_wait_readers(g->generation);
}

static void submit_retired(struct loaded *g)
{
	struct table_batch *batch;
	int err;

	if (grace_pending(g->grace))
		return;
	batch = table_take_retired(g->table);
	if (!batch)
		return;
	err = grace_submit(g->grace, g->table, batch);
	/* Without a grace period the units may never be reused; waiting here is slow, but right. */
	if (err && generation_wait_readers(g->generation) == 0)
		table_reclaim(g->table, batch);
}

static void grace_done(void *ctx, struct table *table, struct table_batch *batch)
{
	struct loaded *g = ctx;

	table_reclaim(table, batch);
	if (!g->is_ending)
		submit_retired(g);
}

/* ---- a generation with what belongs to it ---- */

int loaded_new(struct loader *l, struct generation_size size, struct loaded **ret_loaded, struct error *e)
{
	struct loaded *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	g->loader = l;
	err = generation_new(l->dir, size, &g->generation, e);
	if (err) {
		free(g);
		return err;
	}
	g->table = generation_table(g->generation);
	g->grace = grace_new(l->params.loop, wait_readers, grace_done, g);
	if (!g->grace) {
		generation_free(g->generation);
		free(g);
		return error_set(e, -ENOMEM, "the thread for grace periods cannot be started");
	}
	*ret_loaded = g;
	return 0;
}

void loaded_free(struct loaded *g)
{
	if (!g)
		return;
	/* Batches under way come back to grace_done, while table and generation still live. */
	g->is_ending = true;
	grace_free(g->grace);
	generation_free(g->generation);
	free(g);
}

/* The counters of a generation that goes live on in the loader's. */
void loader_keep_counters(struct loader *l, const struct loaded *g)
{
	struct table_stats s;

	table_stats(g->table, &s);
	l->past.retired += s.retired;
	l->past.reused += s.reused;
	l->past.grace_periods += grace_completed(g->grace);
	l->past.updates += g->changes;
}

/* ---- the loader ---- */

struct loader *loader_new(const struct loader_params *params)
{
	struct loader *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->params = *params;
	l->dir = strdup(params->dir);
	hmap_init(&l->unfit);
	if (!l->dir) {
		loader_free(l);
		return NULL;
	}
	return l;
}

void loader_free(struct loader *l)
{
	if (!l)
		return;
	loaded_free(l->live);
	loader_clear_unfit(l);
	hmap_done(&l->unfit);
	free(l->buffer);
	free(l->dir);
	free(l);
}

struct generation *loader_generation(const struct loader *l)
{
	return l->live ? l->live->generation : NULL;
}

int loader_begin(struct loader *l, struct error *e)
{
	struct loader_need need;
	int err = loader_measure(l, &need);

	if (err)
		return error_set(e, err, "the records cannot be counted: %s", strerror(-err));
	return loaded_new(l, loader_cap_size(generation_size_for(need.names, need.bytes), l->params.max_memory / 2),
			  &l->live, e);
}

static int flush_live(struct loader *l)
{
	struct store_sink sink = {.put = loaded_put, .remove = loaded_remove, .ctx = l->live};

	return store_flush(l->params.store, &sink);
}

/* Blobs in quarantine may be all that is missing: many changes at once free as much as they take. */
static bool drain_quarantine(struct loader *l)
{
	struct loaded *g = l->live;
	struct table_stats s;
	struct table_batch *batch;

	table_stats(g->table, &s);
	/* Waiting for a few blobs at a time would be slower than growing. */
	if (l->lacking != -ENOMEM || s.quarantined < s.names / 8 + 1)
		return false;
	batch = table_take_retired(g->table);
	if (!batch || generation_wait_readers(g->generation)) {
		if (batch)
			(void)grace_submit(g->grace, g->table, batch);
		return false;
	}
	table_reclaim(g->table, batch);
	return true;
}

int loader_flush(struct loader *l, bool *ret_changed, struct error *e)
{
	uint64_t before = l->past.updates + l->live->changes;
	int err;

	l->has_grown_in_flush = l->has_switched = false;
	l->lacking = 0;
	l->live->keeps_unfit = !loader_may_grow(l);
	while ((err = flush_live(l)) == LOADER_FULL) {
		if (drain_quarantine(l))
			continue;
		err = loader_grow(l, e);
		if (err)
			return err;
	}
	if (err)
		return error_set(e, err, "records cannot be written: %s", strerror(-err));
	/* Looked at again now that names may have gone. */
	l->lacking = 0;
	if ((l->unfit.count && loader_may_grow(l)) || loader_should_shrink(l)) {
		err = loader_grow(l, e);
		if (err)
			return err;
	}
	loader_warn_unfit(l);
	submit_retired(l->live);
	*ret_changed = l->has_switched || l->past.updates + l->live->changes != before;
	return 0;
}

void loader_tick(struct loader *l)
{
	/* Memory or descriptors may be there again: the next change tries. */
	if (l->retry_ticks && --l->retry_ticks == 0)
		l->is_refused = false;
	submit_retired(l->live);
}

void loader_stats(const struct loader *l, struct loader_stats *ret_stats)
{
	struct loader_stats s = l->past;
	struct table_stats t;

	table_stats(l->live->table, &t);
	s.passed_names = l->live->passed_names;
	s.unfit_names = l->unfit.count;
	s.updates += l->live->changes;
	s.quarantined = t.quarantined;
	s.retired += t.retired;
	s.reused += t.reused;
	s.grace_periods += grace_completed(l->live->grace);
	*ret_stats = s;
}
