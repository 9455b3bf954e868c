/* SPDX-License-Identifier: Apache-2.0 */
/* What `nodens status` prints, as text and as JSON. Pure: the report is a copy of what is in the maps. */
#pragma once

#include <stdio.h>

#include "kernel/generation.h"

struct status_hooks; /* status_hooks.h */

struct status_interface {
	uint32_t ifindex;
	struct nodens_interface entry;
};

struct status_report {
	uint64_t now_ms; /* CLOCK_REALTIME */
	uint64_t number; /* of the generation */
	struct nodens_config config;
	struct nodens_status status;
	struct nodens_verdicts verdicts;
	struct generation_size size;
	struct status_interface *interfaces; /* heap */
	size_t interface_count;
	struct nodens_server *servers; /* heap */
	size_t server_count;
	struct status_hooks *hooks; /* heap; NULL: not asked */
	bool is_alive;
	const char *fault; /* NULL: none */
};

void status_print_text(FILE *out, const struct status_report *r);
void status_print_json(FILE *out, const struct status_report *r);
/* There is nothing to report of, and why. */
void status_print_absent_json(FILE *out, const char *why);
/* Wanted, and not attached. */
bool status_interface_has_failed(const struct status_interface *i);
/* An agent that is not synced yet lets the one before it answer. */
bool status_is_former_serving(const struct status_report *r);
/* "3m 12s", "2d 4h"; ret_text holds 32 octets. */
void status_format_age(uint64_t ms, char ret_text[32]);
/* "12.5 MiB". */
void status_format_size(uint64_t octets, char ret_text[32]);
