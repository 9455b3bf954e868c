/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of the torn-read test: a thread in the pod's namespace that asks over the veth and checks every answer. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "dns/message.h"
#include "torn_record.h"

#define READER_BATCH 32
#define READER_MESSAGE_MAX 8192
/* On a busy machine the kernel's own thread that hands packets on waits for a CPU like others. */
#define READER_LOOK_US 500000
#define READER_LOOKS 10
#define READER_BUFFER_LEN (32 << 20)

struct reader {
	/* given */
	const char *netns;
	struct sockaddr_in server;
	struct torn_range range;
	uint32_t names;
	int cpu; /* -1: any */
	/* told; these are shared with the writer while both run … */
	bool should_stop;
	uint64_t answers, wrong;
	/* … and these are not */
	uint64_t lost, checksum_errors;
	int err;
	char last_wrong[160];
	/* own */
	pthread_t thread;
	uint8_t query[TORN_NAMES_MAX][MESSAGE_QUERY_MAX];
	size_t query_len[TORN_NAMES_MAX];
	uint8_t received[READER_BATCH][READER_MESSAGE_MAX];
	uint32_t random;
	uint16_t round; /* in the upper bits of the IDs, so that a late answer is known */
	uint64_t errors_known;
};

static uint32_t reader_random(struct reader *r)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 17;
	r->random ^= r->random << 5;
	return r->random;
}

static inline void torn_name(uint32_t name, struct dns_name *ret_name)
{
	char text[64];

	snprintf(text, sizeof(text), "n%03u.torn.svc.cluster.local", name);
	(void)dns_name_parse(text, ret_name, NULL);
}

static void reader_build_queries(struct reader *r)
{
	for (uint32_t i = 0; i < r->names; i++) {
		struct message_query query = {.type = 1, .has_edns = true, .udp_size = TORN_UDP_SIZE};

		torn_name(i, &query.name);
		r->query_len[i] = message_build_query(&query, r->query[i]);
	}
}

/* The namespace's counter of datagrams with a wrong UDP checksum. */
static uint64_t reader_checksum_errors(void)
{
	FILE *f = fopen("/proc/thread-self/net/snmp", "r");
	unsigned long long errors = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		(void)sscanf(line, "Udp: %*u %*u %*u %*u %*u %*u %llu", &errors);
	if (f)
		fclose(f);
	return errors;
}

/* Without a checksum in its queries a socket gets answers with a full one, which the kernel checks; with one (left to the
 * device: CHECKSUM_PARTIAL) the answer's is not looked at, and what comes is checked here. */
static int reader_socket(bool is_without_checksum)
{
	struct timeval wait = {.tv_usec = READER_LOOK_US};
	int length = READER_BUFFER_LEN, one = 1;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &length, sizeof(length)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
	    (is_without_checksum && setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)) < 0)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

struct reader_batch {
	struct mmsghdr headers[READER_BATCH];
	struct iovec parts[READER_BATCH];
	uint8_t query[READER_BATCH][MESSAGE_QUERY_MAX];
	uint8_t name[READER_BATCH];
	bool is_open[READER_BATCH];
};

static void batch_fill(struct reader *r, struct reader_batch *b)
{
	r->round++;
	memset(b->headers, 0, sizeof(b->headers));
	for (unsigned int i = 0; i < READER_BATCH; i++) {
		uint8_t name = (uint8_t)(reader_random(r) % r->names);
		uint16_t id = htons((uint16_t)(r->round * READER_BATCH + i));

		b->name[i] = name;
		b->is_open[i] = true;
		memcpy(b->query[i], r->query[name], r->query_len[name]);
		memcpy(b->query[i], &id, sizeof(id));
		b->parts[i] = (struct iovec){b->query[i], r->query_len[name]};
		b->headers[i].msg_hdr = (struct msghdr){.msg_name = &r->server, .msg_namelen = sizeof(r->server),
							.msg_iov = &b->parts[i], .msg_iovlen = 1};
	}
}

static void reader_note_wrong(struct reader *r, unsigned int name, const uint8_t *message, size_t len)
{
	int at = snprintf(r->last_wrong, sizeof(r->last_wrong), "name %u, %zu octets:", name, len);

	__atomic_add_fetch(&r->wrong, 1, __ATOMIC_RELAXED);
	for (size_t i = r->query_len[name] - NODENS_OPT_LEN; i + NODENS_A_LEN <= len && at < 120; i += NODENS_A_LEN)
		at += snprintf(r->last_wrong + at, sizeof(r->last_wrong) - (size_t)at, " %02x%02x%02x%02x", message[i + 12],
			       message[i + 13], message[i + 14], message[i + 15]);
}

/* 1: an answer to a query of this batch, 0: one that comes late. */
static int batch_take(struct reader *r, struct reader_batch *b, const uint8_t *message, size_t len)
{
	uint16_t id = len >= 2 ? (uint16_t)(message[0] << 8 | message[1]) : 0;
	unsigned int i = id % READER_BATCH;

	if (id / READER_BATCH != (uint16_t)(r->round * READER_BATCH) / READER_BATCH || !b->is_open[i])
		return 0;
	b->is_open[i] = false;
	if (!torn_is_whole(message, len, b->query[i], r->query_len[b->name[i]], b->name[i], r->range))
		reader_note_wrong(r, b->name[i], message, len);
	return 1;
}

/* The kernel has thrown away all that did not come. */
static bool are_thrown_away(struct reader *r, unsigned int open)
{
	uint64_t before = r->errors_known;

	r->errors_known = reader_checksum_errors();
	return r->errors_known - before >= open;
}

static int batch_receive(struct reader *r, struct reader_batch *b, int fd, unsigned int open)
{
	struct mmsghdr headers[READER_BATCH] = {0};
	struct iovec parts[READER_BATCH];
	unsigned int looks = 0;
	uint64_t answers = 0;
	int err = 0;

	for (unsigned int i = 0; i < READER_BATCH; i++) {
		parts[i] = (struct iovec){r->received[i], READER_MESSAGE_MAX};
		headers[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	while (open > 0) {
		int got = recvmmsg(fd, headers, open, MSG_WAITFORONE, NULL);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN && ++looks < READER_LOOKS && !are_thrown_away(r, open))
			continue;
		if (got < 0) {
			err = errno == EAGAIN ? 0 : -errno;
			break;
		}
		for (int i = 0; i < got; i++) {
			if (!batch_take(r, b, r->received[i], headers[i].msg_len))
				continue;
			open--;
			answers++;
		}
	}
	__atomic_add_fetch(&r->answers, answers, __ATOMIC_RELAXED);
	r->lost += open;
	return open == READER_BATCH ? err : 0;
}

static int reader_round(struct reader *r, struct reader_batch *b, int fd)
{
	unsigned int sent = 0;

	batch_fill(r, b);
	while (sent < READER_BATCH) {
		int n = sendmmsg(fd, b->headers + sent, READER_BATCH - sent, 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		sent += n > 0 ? (unsigned int)n : 0;
	}
	return batch_receive(r, b, fd, sent);
}

static int reader_enter(const struct reader *r)
{
	int fd = open(r->netns, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 || setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
	cpu_set_t cpus;

	if (fd >= 0)
		close(fd);
	if (!err && r->cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET((unsigned int)r->cpu, &cpus);
		(void)sched_setaffinity(0, sizeof(cpus), &cpus);
	}
	return err;
}

static void *reader_run(void *ctx)
{
	struct reader *r = ctx;
	struct reader_batch *b = calloc(1, sizeof(*b));
	int fds[2] = {-1, -1};
	uint64_t errors_before;

	r->err = b ? reader_enter(r) : -ENOMEM;
	if (r->err)
		goto out;
	errors_before = r->errors_known = reader_checksum_errors();
	for (int i = 0; i < 2; i++) {
		fds[i] = reader_socket(i == 1);
		if (fds[i] < 0)
			r->err = fds[i];
	}
	for (unsigned int i = 0; !r->err && !__atomic_load_n(&r->should_stop, __ATOMIC_RELAXED); i++)
		r->err = reader_round(r, b, fds[i % 2]);
	r->checksum_errors = reader_checksum_errors() - errors_before;
out:
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(b);
	return NULL;
}

static int reader_start(struct reader *r)
{
	r->random = 0x6e6f6465;
	reader_build_queries(r);
	return -pthread_create(&r->thread, NULL, reader_run, r);
}

static void reader_stop(struct reader *r)
{
	__atomic_store_n(&r->should_stop, true, __ATOMIC_RELAXED);
	pthread_join(r->thread, NULL);
}
