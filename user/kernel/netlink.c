/* SPDX-License-Identifier: Apache-2.0 */
/* Asking rtnetlink. */
#include "kernel/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define RECEIVE_LEN 32768
#define TRIES	    5

static int exchange(struct mnl_socket *s, const struct nlmsghdr *request, mnl_cb_t fn, void *ctx)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[RECEIVE_LEN];
	int ret = MNL_CB_OK;

	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 || mnl_socket_sendto(s, request, request->nlmsg_len) < 0)
		return -errno;
	while (ret == MNL_CB_OK) {
		ssize_t len = mnl_socket_recvfrom(s, buffer, sizeof(buffer));

		if (len < 0)
			return -errno;
		ret = mnl_cb_run(buffer, (size_t)len, request->nlmsg_seq, mnl_socket_get_portid(s), fn, ctx);
	}
	return ret < 0 ? -errno : 0;
}

static int ask(struct nlmsghdr *request, uint16_t flags, mnl_cb_t fn, void *ctx)
{
	int err = -EINTR;

	request->nlmsg_flags = NLM_F_REQUEST | flags;
	request->nlmsg_seq = 1;
	for (int i = 0; err == -EINTR && i < TRIES; i++) {
		/* A fresh socket: the rest of an interrupted dump is left behind with the old one. */
		struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

		if (!s)
			return -errno;
		err = exchange(s, request, fn, ctx);
		mnl_socket_close(s);
	}
	return err;
}

int netlink_dump(struct nlmsghdr *request, mnl_cb_t fn, void *ctx)
{
	return ask(request, NLM_F_DUMP, fn, ctx);
}

/* The acknowledgement is the end. */
int netlink_get(struct nlmsghdr *request, mnl_cb_t fn, void *ctx)
{
	return ask(request, NLM_F_ACK, fn, ctx);
}
