/* SPDX-License-Identifier: Apache-2.0 */
/* What loader.c and loader_grow.c share. */
#pragma once

#include "base/hmap.h"
#include "kernel/grace.h"
#include "loader.h"

/* A sink's way to end a flush because the table is full; no errno has this value. */
#define LOADER_FULL (-100000)
/* Names between two calls of on_progress. */
#define LOADER_STEPS 4096

/* A generation with its own grace thread, which ends before the generation does. */
struct loaded {
	struct loader *loader;
	struct generation *generation;
	struct table *table; /* the generation's */
	struct grace *grace;
	uint64_t passed_names;
	uint64_t changes; /* names written or removed */
	bool keeps_unfit; /* it cannot become larger: what does not fit is passed on */
	bool is_ending;
};

struct unfit_name {
	struct hmap_node node;
	struct dns_name owner;
	uint64_t bytes; /* whole units */
};

struct loader_need {
	uint64_t names;
	uint64_t bytes; /* of blobs, whole units */
};

struct loader {
	struct loader_params params;
	char *dir;
	struct loaded *live;
	struct nodens_name *buffer; /* for one blob */
	size_t buffer_cap;
	uint64_t steps;
	int lacking;		 /* -ENOSPC (index) or -ENOMEM (arena), of the name that ended the flush; 0: nothing */
	bool has_grown_in_flush; /* at least tried */
	bool has_switched;	 /* in this flush */

	struct hmap unfit; /* struct unfit_name */
	uint64_t unfit_bytes;
	bool is_refused;	    /* --max-memory was reached, with … */
	struct loader_need refused; /* … this need … */
	bool should_have_fit;	    /* … which by its size alone would have fitted */
	unsigned int retry_ticks;   /* until a refusal for a failure of the system is forgotten; 0: none */
	bool is_warned;		    /* of names that do not fit */
	struct loader_stats past;   /* of former generations */
};

/* One more name. A negative result is on_progress's. */
int loader_step(struct loader *l);
int loader_render(struct loader *l, const struct record_set *set, size_t *ret_len);
void loader_warn_unfit(struct loader *l);
void loader_clear_unfit(struct loader *l);
void loader_keep_counters(struct loader *l, const struct loaded *g);

/* store_sink functions; ctx is a struct loaded. */
int loaded_put(void *ctx, const struct record_set *set);
int loaded_remove(void *ctx, const struct dns_name *owner);
int loaded_new(struct loader *l, struct generation_size size, struct loaded **ret_loaded, struct error *e);
void loaded_free(struct loaded *g);

/* loader_grow.c */

/* What all records of the store need. */
int loader_measure(struct loader *l, struct loader_need *ret_need);
/* Whether a larger generation could hold more than the live one does. */
bool loader_may_grow(const struct loader *l);
/* Whether the live one is many times larger than what it holds. */
bool loader_should_shrink(const struct loader *l);
/* Fills a generation of the right size and switches to it; where --max-memory forbids a larger one, or none can be made, marks
 * the live one as it is (0). */
int loader_grow(struct loader *l, struct error *e);
