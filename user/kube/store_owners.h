/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the store: a packed list of owner names, to tell which are gone after a change. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "dns/name.h"

/* Zeros: empty. Each name is its length and its octets. */
struct owners {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t count;
};

/* A record_owner_fn whose context is the struct owners: 0 or -ENOMEM. */
int owners_add(void *owners, const struct dns_name *name);
int owners_append(struct owners *o, const struct owners *more);
/* Keeps the memory. */
void owners_clear(struct owners *o);
/* Empty again, without memory. */
void owners_done(struct owners *o);

/* Calls fn for each name that is in old and not in new, once each; -ENOMEM or its first negative result. */
int owners_each_missing(const struct owners *old, const struct owners *new,
			int (*fn)(void *ctx, const struct dns_name *name), void *ctx);
