/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent before this one left: it may still serve, and it knew how far the records had come. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "controller_state.h"

void controller_open_former(struct controller *c)
{
	struct error e = {0};
	int err = generation_open(c->params->dir, &c->former, &e);

	if (!err)
		return;
	c->former = NULL;
	if (err == -ENOENT)
		return;
	/* Another layout: its deadline cannot be read. It is taken for no longer than what we were told. */
	c->former_until_ms = clock_monotonic_ms() + c->params->stale_after_ms;
	log_info("what the agent before left cannot be read", LOG_TEXT("cause", e.text));
}

uint64_t controller_former_serves_ms(const struct controller *c)
{
	uint64_t now_ms = clock_monotonic_ms(), jiffies, deadline;
	const struct nodens_config *config;
	uint32_t hz;

	if (!c->former)
		return c->former_until_ms > now_ms ? c->former_until_ms - now_ms : 0;
	config = generation_config(c->former);
	deadline = __atomic_load_n(&config->deadline_jiffies, __ATOMIC_ACQUIRE);
	hz = generation_status(c->former)->hz;
	if (config->gate != NODENS_GATE_OPEN || !hz || generation_read_jiffies(c->former, &jiffies))
		return 0;
	/* The datapath answers up to the deadline itself. */
	return jiffies <= deadline ? (deadline - jiffies) * 1000 / hz + 1 : 0;
}

void controller_take_position(struct controller *c)
{
	struct nodens_api_status *api = &c->status.api;
	const struct nodens_api_status *then;

	if (!c->former)
		return;
	then = &generation_status(c->former)->api;
	if (then->server_identity != api->server_identity)
		return;
	snprintf(api->service_version, sizeof(api->service_version), "%.31s", then->service_version);
	snprintf(api->slice_version, sizeof(api->slice_version), "%.31s", then->slice_version);
}

/* Its records, heartbeat and counters stay its own: only who runs now, and how that one fares, is told. */
void controller_tell_former(struct controller *c)
{
	struct nodens_status s;

	if (!c->former)
		return;
	s = *generation_status(c->former);
	s.pid = c->status.pid;
	s.started_ms = c->status.started_ms;
	s.synced_ms = s.ready_ms = 0;
	s.source_ok_ms = 0;
	s.source_error_ms = c->status.source_error_ms;
	s.api = c->status.api;
	memcpy(s.version, c->status.version, sizeof(s.version));
	memcpy(s.host, c->status.host, sizeof(s.host));
	memcpy(s.pod, c->status.pod, sizeof(s.pod));
	memcpy(s.source, c->status.source, sizeof(s.source));
	memcpy(s.source_error, c->status.source_error, sizeof(s.source_error));
	/* For people: an agent that cannot tell goes on. */
	(void)generation_write_status(c->former, &s);
}

void controller_close_former(struct controller *c)
{
	generation_free(c->former);
	c->former = NULL;
	c->former_until_ms = 0;
}
