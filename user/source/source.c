/* SPDX-License-Identifier: Apache-2.0 */
/* What all sources have. */
#include "source/source_ops.h"

void source_resync(struct source *s)
{
	s->ops->resync(s);
}

void source_free(struct source *s)
{
	if (s)
		s->ops->free(s);
}
