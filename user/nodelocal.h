/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses that a node-local DNS cache listens on: those in 169.254.0.0/16 of an interface named nodelocaldns. */
#pragma once

#include "servers.h"

/* 0 also where there is no such interface; -ENOMEM, -ENOSPC. */
int nodelocal_add_servers(struct server_set *set);
