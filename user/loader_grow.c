/* SPDX-License-Identifier: Apache-2.0 */
/* Another size: a generation is filled aside with all records, then everything switches to it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "loader_state.h"

/* After a failure of the system the next try is so many ticks away. */
#define RETRY_TICKS 60
/* A generation that turns out too small is made anew, larger, at most so often. */
#define ATTEMPTS 6
/* A generation of at least so many octets that is so many times too large is given back. */
#define SHRINK_FROM   (16U << 20)
#define SHRINK_FACTOR 4

static uint64_t max_bytes(const struct loader *l)
{
	return l->params.max_memory / 2;
}

/* ---- sizes ---- */

struct measure {
	struct loader *loader;
	struct loader_need need;
};

static int measure_put(void *ctx, const struct record_set *set)
{
	struct measure *m = ctx;
	size_t len;
	int err = loader_step(m->loader);

	if (!err)
		err = loader_render(m->loader, set, &len);
	if (err)
		return err;
	m->need.names++;
	m->need.bytes += (len + NODENS_UNIT_LEN - 1) / NODENS_UNIT_LEN * NODENS_UNIT_LEN;
	return 0;
}

static int measure_remove(void *ctx, const struct dns_name *owner)
{
	(void)ctx, (void)owner;
	return 0;
}

int loader_measure(struct loader *l, struct loader_need *ret_need)
{
	struct measure m = {.loader = l};
	struct store_sink sink = {.put = measure_put, .remove = measure_remove, .ctx = &m};
	int err = store_emit_all(l->params.store, &sink);

	if (!err)
		*ret_need = m.need;
	return err;
}

/* Both parts shrink alike, so that the index has room for as many names as the arena has. */
struct generation_size loader_cap_size(struct generation_size size, uint64_t max_octets)
{
	uint64_t octets = generation_size_bytes(size);
	double share = (double)max_octets / (double)octets;
	double buckets = size.bucket_count * share;
	uint64_t index, page;

	if (octets <= max_octets)
		return size;
	page = (octets - (uint64_t)size.bucket_count * NODENS_BUCKET_LEN) / size.page_count;
	while (size.bucket_count > 1 && size.bucket_count / 2 >= buckets)
		size.bucket_count /= 2;
	index = (uint64_t)size.bucket_count * NODENS_BUCKET_LEN;
	size.page_count = max_octets > index + page ? (uint32_t)((max_octets - index) / page) : 1;
	return size;
}

static bool is_larger(struct generation_size a, struct generation_size b)
{
	return a.bucket_count > b.bucket_count || a.page_count > b.page_count;
}

/* What the need asks for, and more of what was lacking than there was. The rest does not shrink by less than half: many
 * changes at once need room for old and new. */
static struct generation_size next_size(const struct loader *l, struct loader_need need, struct generation_size had,
					int lacking)
{
	struct generation_size size = generation_size_for(need.names, need.bytes);

	if (lacking == -ENOSPC && size.bucket_count <= had.bucket_count)
		size.bucket_count = had.bucket_count * 2;
	if (lacking == -ENOMEM && size.page_count <= had.page_count)
		size.page_count = had.page_count + had.page_count / 4 + 1;
	if (size.bucket_count < had.bucket_count && size.bucket_count >= had.bucket_count / 2)
		size.bucket_count = had.bucket_count;
	if (size.page_count < had.page_count && size.page_count >= had.page_count / 2)
		size.page_count = had.page_count;
	if (size.page_count > NODENS_PAGES_MAX)
		size.page_count = NODENS_PAGES_MAX;
	return loader_cap_size(size, max_bytes(l));
}

/* ---- what does not fit ---- */

static void count_present(const struct loader *l, struct loader_need *ret_need)
{
	struct table_stats s;

	table_stats(l->live->table, &s);
	*ret_need = (struct loader_need){s.names + l->unfit.count, s.live_bytes + l->unfit_bytes};
}

static bool differs_much(uint64_t a, uint64_t b)
{
	return a > b + b / 8 || a < b - b / 8;
}

static bool fits(const struct loader *l, struct loader_need need)
{
	return generation_size_bytes(generation_size_for(need.names, need.bytes)) <= max_bytes(l);
}

/* After a refusal: only when the records have become so few that they fit now, or their number is quite another. */
bool loader_may_grow(const struct loader *l)
{
	struct loader_need now;

	if (!l->is_refused)
		return true;
	count_present(l, &now);
	if (!l->should_have_fit && fits(l, now))
		return true;
	return differs_much(now.names, l->refused.names) || differs_much(now.bytes, l->refused.bytes);
}

/* Once, not for each name; again only after all had fitted. */
void loader_warn_unfit(struct loader *l)
{
	char text[DNS_NAME_TEXT_MAX];
	const struct unfit_name *u;
	struct loader_need need;
	bool was_warned = l->is_warned;

	l->is_warned = l->unfit.count > 0;
	if (was_warned || !l->is_warned)
		return;
	count_present(l, &need);
	u = hmap_entry(hmap_first(&l->unfit), struct unfit_name, node);
	dns_name_format(u->owner.data, u->owner.len, text, sizeof(text));
	log_warn("not all names fit into --max-memory: those that do not are passed on",
		 LOG_NUM("unfit", l->unfit.count), LOG_TEXT("first", text), LOG_NUM("names", need.names),
		 LOG_NUM("max_memory", l->params.max_memory),
		 LOG_NUM("needed", 2 * generation_size_bytes(generation_size_for(need.names, need.bytes))));
}

/* ---- filling and switching ---- */

static int fill(struct loader *l, struct loaded *g)
{
	struct store_sink sink = {.put = loaded_put, .remove = loaded_remove, .ctx = g};

	loader_clear_unfit(l);
	return store_emit_all(l->params.store, &sink);
}

/* A generation with all records, or, where --max-memory cuts it, with all that fit. */
static int make_filled(struct loader *l, struct loader_need need, struct generation_size size,
		       struct loaded **ret_loaded, struct error *e)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		struct loaded *g;
		int err = loaded_new(l, size, &g, e);

		if (err)
			return err;
		/* The last attempt takes what it gets. */
		g->keeps_unfit = !fits(l, need) || i + 1 == ATTEMPTS;
		err = fill(l, g);
		if (!err) {
			*ret_loaded = g;
			return 0;
		}
		loaded_free(g);
		if (err != LOADER_FULL)
			return error_set(e, err, "records cannot be written: %s", strerror(-err));
		size = next_size(l, need, size, l->lacking);
	}
	return error_set(e, -ENOSPC, "no generation of any size holds the records");
}

/* Far enough apart from growing that a state which comes and goes does not make it do both all the time. */
bool loader_should_shrink(const struct loader *l)
{
	uint64_t octets = generation_size_bytes(generation_get_size(l->live->generation));
	struct loader_need now;

	if (l->has_grown_in_flush || octets < SHRINK_FROM)
		return false;
	count_present(l, &now);
	return generation_size_bytes(generation_size_for(now.names, now.bytes)) < octets / SHRINK_FACTOR;
}

static void refuse(struct loader *l, struct loader_need need)
{
	l->is_refused = true;
	l->refused = need;
	l->should_have_fit = fits(l, need);
	l->live->keeps_unfit = true;
}

static int switch_to(struct loader *l, struct loaded *fresh, struct error *e)
{
	struct loaded *old = l->live;
	int err = l->params.on_switch ? l->params.on_switch(l->params.ctx, old->generation, fresh->generation, e) : 0;

	if (err) {
		loaded_free(fresh);
		return err;
	}
	loader_keep_counters(l, old);
	/* Filling was no change of a record. */
	l->past.updates -= fresh->changes;
	l->past.growths += is_larger(generation_get_size(fresh->generation), generation_get_size(old->generation));
	l->has_switched = true;
	l->live = fresh;
	loaded_free(old);
	return 0;
}

/* Where all fits, the same size again helps too (names collide in this generation's hash, or room is in pieces), but
 * only once. Where not all fits, only a size that holds clearly more. */
static bool is_worth_it(const struct loader *l, struct loader_need need, struct generation_size size,
			struct generation_size had, bool may_repeat)
{
	uint64_t had_octets = generation_size_bytes(had);

	if (fits(l, need))
		return may_repeat || is_larger(size, had);
	return generation_size_bytes(size) > had_octets + had_octets / 8;
}

/* A failure of the system (memory, descriptors, the verifier): the live one goes on with what it can hold. */
static int give_up(struct loader *l, struct loader_need need, int err, struct error *e)
{
	/* Told to end. */
	if (err == -EINTR)
		return err;
	log_warn("another generation cannot be made: the one in place stays, names without room are passed on",
		 LOG_TEXT("cause", e->text[0] ? e->text : strerror(-err)));
	refuse(l, need);
	l->retry_ticks = RETRY_TICKS;
	/* What had no room was noted for the one that is not. */
	err = fill(l, l->live);
	return err ? error_set(e, err, "records cannot be written: %s", strerror(-err)) : 0;
}

int loader_grow(struct loader *l, struct error *e)
{
	struct generation_size had = generation_get_size(l->live->generation), size;
	bool may_repeat = !l->has_grown_in_flush;
	struct loader_need need;
	struct loaded *fresh = NULL;
	int err = loader_measure(l, &need);

	if (err)
		return error_set(e, err, "the records cannot be counted: %s", strerror(-err));
	l->has_grown_in_flush = true;
	size = next_size(l, need, had, l->lacking);
	if (!is_worth_it(l, need, size, had, may_repeat)) {
		refuse(l, need);
		return 0;
	}
	err = make_filled(l, need, size, &fresh, e);
	if (!err)
		err = switch_to(l, fresh, e);
	if (err)
		return give_up(l, need, err, e);
	/* It was filled with all there is. To render and compare each of them once more took longer than all the rest. */
	store_forget_changes(l->params.store);
	l->is_refused = false;
	l->retry_ticks = 0;
	if (l->unfit.count || l->live->keeps_unfit)
		refuse(l, need);
	log_info("another generation is in place", LOG_NUM("generation", generation_number(l->live->generation)),
		 LOG_NUM("names", need.names),
		 LOG_NUM("bytes", generation_size_bytes(generation_get_size(l->live->generation))));
	return 0;
}
