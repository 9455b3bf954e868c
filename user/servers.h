/* SPDX-License-Identifier: Apache-2.0 */
/* For whose addresses we answer: --server, or what --dns-service says. Pure: time is an argument. */
#pragma once

#include "base/error.h"
#include "dns/records.h"
#include "kernel/generation.h"
#include "kube/store.h"

/* An endpoint of the DNS service that went keeps being answered for this long: sockets are still connected to it. Not
 * when its address has gone to another service meanwhile. */
#define SERVERS_LINGER_MS 60000

struct server_entry {
	struct server_addr addr;
	uint64_t gone_ms; /* since when the cluster does not name it any more; 0: it does */
	bool is_shared;	  /* an endpoint that another service's slice has had all along: that one is no successor */
};

struct server_set {
	struct server_entry *entries; /* heap; sorted, each address and port once */
	size_t count;
};

/* --dns-service, and where its objects are. */
struct server_service {
	const struct store *store;
	const char *namespace, *name;
};

void servers_done(struct server_set *set);
/* ADDR, ADDR:PORT, [ADDR]:PORT. "auto" adds nothing. -EINVAL with e naming the text; -ENOMEM. */
int servers_add_flag(struct server_set *set, const char *text, struct error *e);
/* -ENOMEM, or -ENOSPC beyond NODENS_SERVERS_MAX. An address and port already there is not added again. */
int servers_add(struct server_set *set, uint8_t family, const uint8_t *octets, uint16_t port, const char *origin);
/* NS/NAME into its two parts (both labels). false: not of this form. */
bool servers_parse_service(const char *text, char ret_namespace[64], char ret_name[64]);

/* Adds the service's ClusterIPs with its DNS port, and, above level headless, its ready endpoints with the slice's: of
 * slices in its own namespace that carry its label. */
int servers_add_service(struct server_set *set, const struct server_service *dns, enum answer_level level);
/* Endpoints that `before` has and *set lacks are kept for SERVERS_LINGER_MS, or until their address turns up in another
 * service's slice. now_ms is never 0. */
int servers_linger(struct server_set *set, const struct server_set *before, const struct server_service *dns,
		   uint64_t now_ms);
/* Whether one of them is kept so. */
bool servers_any_lingers(const struct server_set *set);
/* The same addresses, ports and origins. */
bool servers_equal(const struct server_set *a, const struct server_set *b);
/* "10.96.0.10:53", "[fd00::a]:53". */
void servers_format(const struct server_addr *addr, char ret_text[64]);
/* ADDR, ADDR:PORT or [ADDR]:PORT; port 53 unless told. false: none of these. */
bool servers_parse_address(const char *text, struct server_addr *ret_addr);
