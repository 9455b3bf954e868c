/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the datapath answers at all. Each cause that shuts the gate stands for itself; it opens when none is left.
 * Pure. */
#pragma once

#include <stdbool.h>

#include "nodens/abi.h"

enum gate_cause {
	GATE_LOADING,  /* not synced: the records are not those of the source yet */
	GATE_DOUBT,    /* the source was silent for too long, or refuses us: the records may be too old */
	GATE_RESUMED,  /* the machine slept; the source has not answered since */
	GATE_NAMELESS, /* an item of the source whose name cannot be told */
	GATE_CAUSE_COUNT,
};

struct gate {
	bool is_shut[GATE_CAUSE_COUNT];
	char reason[GATE_CAUSE_COUNT][128];
};

/* Shut: loading. */
void gate_init(struct gate *g);
/* true: something changed. */
bool gate_shut(struct gate *g, enum gate_cause cause, const char *reason);
bool gate_lift(struct gate *g, enum gate_cause cause);
enum nodens_gate gate_state(const struct gate *g);
/* "" when it is open. */
const char *gate_reason(const struct gate *g);
/* Writes state and reason to the maps. The reason first: who sees the state finds why. */
void gate_apply(const struct gate *g, struct nodens_config *config, struct nodens_status *status);
