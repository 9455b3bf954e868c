/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses that a node-local DNS cache listens on. */
#include "nodelocal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#define INTERFACE	"nodelocaldns"
#define LINK_LOCAL_NET	0xa9fe0000U /* 169.254.0.0 */
#define LINK_LOCAL_MASK 0xffff0000U

static bool is_node_local(const struct ifaddrs *i)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)i->ifa_addr;

	if (strcmp(i->ifa_name, INTERFACE) != 0 || !in || in->sin_family != AF_INET)
		return false;
	return (ntohl(in->sin_addr.s_addr) & LINK_LOCAL_MASK) == LINK_LOCAL_NET;
}

int nodelocal_add_servers(struct server_set *set)
{
	struct ifaddrs *list;
	int err = 0;

	/* Most nodes have none: spare them the dump of all addresses. */
	if (!if_nametoindex(INTERFACE) || getifaddrs(&list))
		return 0;
	for (const struct ifaddrs *i = list; i && !err; i = i->ifa_next) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)i->ifa_addr;

		if (is_node_local(i))
			err = servers_add(set, AF_INET, (const uint8_t *)&in->sin_addr, 53, "node-local");
	}
	freeifaddrs(list);
	return err;
}
