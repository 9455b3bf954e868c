/* SPDX-License-Identifier: Apache-2.0 */
/* The node's network interfaces, now and as they change: rtnetlink (RTM_NEWLINK, RTM_DELLINK), decoded to what
 * attaching needs. Knows nothing of BPF. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

struct link_info {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	uint32_t mtu;
	bool is_up;
	bool is_veth;
	bool is_loopback;
	bool has_ethernet_header; /* ARPHRD_ETHER or loopback */
	bool peer_is_elsewhere;	  /* veth: its peer lives in another network namespace (IFLA_LINK_NETNSID) */
	bool has_default_route;	  /* carries a default route of the node (main table) */
	uint32_t master_ifindex;  /* bridge port of, 0: none */
};

struct links;

struct links_callbacks {
	/* New or changed; all existing ones at start and on resync. */
	void (*on_link)(void *ctx, const struct link_info *link);
	void (*on_gone)(void *ctx, uint32_t ifindex);
	/* All that exist were told; after an overrun also what else this tells may have been missed. */
	void (*on_synced)(void *ctx);
	/* A tc filter or the qdisc on the clsact hook of this interface came, went or changed. NULL: not
	 * listened to. */
	void (*on_tc)(void *ctx, uint32_t ifindex, bool is_qdisc_gone);
};

/* Dumps synchronously through the callbacks, then follows events. After an overrun of the socket it dumps again and
 * tells what went. NULL with e. */
struct links *links_new(struct loop *l, const struct links_callbacks *cb, void *ctx, struct error *e);
void links_free(struct links *n);
