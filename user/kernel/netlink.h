/* SPDX-License-Identifier: Apache-2.0 */
/* Asking rtnetlink. */
#pragma once

#include <libmnl/libmnl.h>

/* Sends a dump request on a socket of its own and hands each message to fn, which returns MNL_CB_OK. Begins again when
 * the kernel says that things changed meanwhile (NLM_F_DUMP_INTR): fn may see a thing twice. 0 or -errno. */
int netlink_dump(struct nlmsghdr *request, mnl_cb_t fn, void *ctx);
/* The same of a request for one thing. */
int netlink_get(struct nlmsghdr *request, mnl_cb_t fn, void *ctx);
