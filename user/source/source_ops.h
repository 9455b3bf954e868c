/* SPDX-License-Identifier: Apache-2.0 */
/* What every source is made of: embedded as its first member. */
#pragma once

#include "source/source.h"

struct source_ops {
	void (*resync)(struct source *s);
	void (*free)(struct source *s);
};

struct source {
	const struct source_ops *ops;
};
