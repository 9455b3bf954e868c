/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the datapath answers at all. */
#include "gate.h"

#include <stdio.h>
#include <string.h>

void gate_init(struct gate *g)
{
	*g = (struct gate){0};
	(void)gate_shut(g, GATE_LOADING, "the records are being loaded");
}

bool gate_shut(struct gate *g, enum gate_cause cause, const char *reason)
{
	char text[sizeof(g->reason[0])];

	snprintf(text, sizeof(text), "%s", reason);
	if (g->is_shut[cause] && strcmp(g->reason[cause], text) == 0)
		return false;
	g->is_shut[cause] = true;
	memcpy(g->reason[cause], text, sizeof(text));
	return true;
}

bool gate_lift(struct gate *g, enum gate_cause cause)
{
	bool was_shut = g->is_shut[cause];

	g->is_shut[cause] = false;
	return was_shut;
}

enum nodens_gate gate_state(const struct gate *g)
{
	if (g->is_shut[GATE_LOADING])
		return NODENS_GATE_NOT_SYNCED;
	for (int i = 0; i < GATE_CAUSE_COUNT; i++) {
		if (g->is_shut[i])
			return NODENS_GATE_CLOSED;
	}
	return NODENS_GATE_OPEN;
}

const char *gate_reason(const struct gate *g)
{
	for (int i = 0; i < GATE_CAUSE_COUNT; i++) {
		if (g->is_shut[i])
			return g->reason[i];
	}
	return "";
}

void gate_apply(const struct gate *g, struct nodens_config *config, struct nodens_status *status)
{
	snprintf(status->gate_reason, sizeof(status->gate_reason), "%s", gate_reason(g));
	__atomic_store_n(&config->gate, gate_state(g), __ATOMIC_RELEASE);
}
