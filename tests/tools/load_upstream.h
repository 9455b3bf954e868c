/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream resolver of the load: a thread that answers whatever comes with one record that no name of ours has. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_answer.h"

#define UPSTREAM_BATCH	     64
#define UPSTREAM_MESSAGE_MAX 512
#define UPSTREAM_WAIT_MS     50

struct upstream {
	int fd;
	bool should_stop;
	pthread_t thread;
	struct mmsghdr headers[UPSTREAM_BATCH];
	struct iovec parts[UPSTREAM_BATCH];
	struct sockaddr_storage sources[UPSTREAM_BATCH];
	__u8 messages[UPSTREAM_BATCH][UPSTREAM_MESSAGE_MAX + LOAD_RR_LEN];
};

/* In the network namespace of the caller. */
static int upstream_open(struct upstream *u, const struct sockaddr_in *server, int buffer_len)
{
	int one = 1;

	u->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (u->fd < 0 || setsockopt(u->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(u->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_len, sizeof(buffer_len)) < 0 ||
	    setsockopt(u->fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_len, sizeof(buffer_len)) < 0 ||
	    bind(u->fd, (const struct sockaddr *)server, sizeof(*server)) < 0)
		return -errno;
	return 0;
}

/* The query turned around; 0: none that can be answered. */
static size_t upstream_answer(__u8 *message, size_t len)
{
	if (len < NODENS_DNS_HEADER_LEN || len > UPSTREAM_MESSAGE_MAX)
		return 0;
	message[2] |= 0x80;
	message[7] = 1;
	load_record(message + len, LOAD_UPSTREAM_TTL_S, load_upstream_address);
	return len + LOAD_RR_LEN;
}

static void upstream_turn(struct upstream *u)
{
	int received, sent = 0;

	for (int i = 0; i < UPSTREAM_BATCH; i++) {
		u->parts[i] = (struct iovec){u->messages[i], UPSTREAM_MESSAGE_MAX + 1};
		u->headers[i].msg_hdr = (struct msghdr){.msg_name = &u->sources[i],
							.msg_namelen = sizeof(u->sources[i]),
							.msg_iov = &u->parts[i],
							.msg_iovlen = 1};
	}
	received = recvmmsg(u->fd, u->headers, UPSTREAM_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < received; i++)
		u->parts[i].iov_len = upstream_answer(u->messages[i], u->headers[i].msg_len);
	while (sent < received) {
		int n = sendmmsg(u->fd, u->headers + sent, (unsigned int)(received - sent), 0);

		/* One that cannot be sent (its pod is gone) does not stop the others. */
		sent += n > 0 ? n : 1;
	}
}

static void *upstream_run(void *ctx)
{
	struct upstream *u = ctx;
	struct pollfd readable = {.fd = u->fd, .events = POLLIN};

	while (!__atomic_load_n(&u->should_stop, __ATOMIC_RELAXED)) {
		if (poll(&readable, 1, UPSTREAM_WAIT_MS) > 0)
			upstream_turn(u);
	}
	return NULL;
}

static int upstream_start(struct upstream *u)
{
	return -pthread_create(&u->thread, NULL, upstream_run, u);
}

static void upstream_stop(struct upstream *u)
{
	__atomic_store_n(&u->should_stop, true, __ATOMIC_RELAXED);
	pthread_join(u->thread, NULL);
}
