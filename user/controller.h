/* SPDX-License-Identifier: Apache-2.0 */
/* The agent: source → store → loader → maps, and the datapath on the interfaces. One event loop. */
#pragma once

#include "attachments.h"
#include "dns/records.h"
#include "kube/config.h"
#include "servers.h"

struct controller_params {
	const char *dir;
	const char *source_path;	/* of the file source; NULL: the Kubernetes source */
	const struct kube_config *kube; /* of the Kubernetes source */
	uint64_t api_stale_after_ms;
	struct record_params records;
	uint32_t ttl_s;
	uint64_t stale_after_ms;
	uint64_t max_memory;
	bool is_detached_on_exit;
	char dns_namespace[64], dns_service[64];
	struct server_set servers; /* --server; empty: those of the DNS service */
	const struct allow_prefix *allowed;
	size_t allowed_count;
	struct interface_rules interfaces;
	const char *zone; /* texts, for people */
	const char *level;
};

/* Runs until a signal ends it: 0, or -errno with e. */
int controller_run(const struct controller_params *params, struct error *e);
