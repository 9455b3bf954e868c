/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pod's side of the load: one thread that sends at a steady rate and takes what has come back. Whether an answer is
 * late is told by the kernel's stamp, so that one that waits in its socket is not; but that may be the stamp of the
 * query, which the node turned around: what an answer can know is told by when it is in hand.
 */
#pragma once

#include <fcntl.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "dns/message.h"
#include "load_upstream.h"

#define POD_SOCKETS	4
#define POD_IDS		65536
#define POD_BATCH	64
#define POD_BUFFER_LEN	(64 << 20)
#define POD_MESSAGE_MAX 1024
#define POD_TICK_NS	500000ULL
#define POD_LOST_NS	1000000000ULL
/* Behind its plan by more than this it gives up sending what it did not: a burst would measure the burst. */
#define POD_BEHIND_NS 20000000ULL
#define POD_MISS_EACH 10 /* one query in so many is for a name of nobody */
#define POD_MISSES    16
#define POD_TOLD      8	  /* wrong answers that are printed, … */
#define POD_TOLD_LEN  128 /* … and octets of each */

struct pod_query {
	__u64 sent_ns;
	__u16 round;
	__u8 name; /* or the number of a miss */
	bool is_miss, is_open, is_lost;
};

struct pod {
	/* given */
	struct load_shared *shared;
	struct load_range range;
	__u32 names, rate;
	/* told */
	__u64 sent, skipped, dropped;
	/* own */
	int fd[POD_SOCKETS];
	__u8 hit[LOAD_NAMES_MAX][MESSAGE_QUERY_MAX], miss[POD_MISSES][MESSAGE_QUERY_MAX];
	size_t hit_len[LOAD_NAMES_MAX], miss_len[POD_MISSES];
	/* By socket and ID, which go round: a query's number modulo sockets, and divided by them. */
	struct pod_query queries[POD_SOCKETS][POD_IDS];
	__u64 checked; /* queries before this one are answered or lost */
	__u32 random;
	unsigned int told;
	struct mmsghdr headers[POD_BATCH];
	struct iovec parts[POD_BATCH];
	__u8 messages[POD_BATCH][POD_MESSAGE_MAX];
	__u8 control[POD_BATCH][64];
};

static __u64 pod_clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (__u64)t.tv_sec * 1000000000ULL + (__u64)t.tv_nsec;
}

static __u32 pod_random(struct pod *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 17;
	p->random ^= p->random << 5;
	return p->random;
}

static size_t pod_build_query(const char *format, __u32 number, __u8 *ret_query)
{
	struct message_query query = {.type = 1};
	char text[64];

	snprintf(text, sizeof(text), format, number);
	(void)dns_name_parse(text, &query.name, NULL);
	return message_build_query(&query, ret_query);
}

/* In the network namespace of the caller. */
static int pod_open(struct pod *p, const struct sockaddr_in *server)
{
	int length = POD_BUFFER_LEN, one = 1;

	p->random = 1;
	for (int i = 0; i < POD_SOCKETS; i++) {
		p->fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (p->fd[i] < 0 || setsockopt(p->fd[i], SOL_SOCKET, SO_RCVBUFFORCE, &length, sizeof(length)) < 0 ||
		    setsockopt(p->fd[i], SOL_SOCKET, SO_SNDBUFFORCE, &length, sizeof(length)) < 0 ||
		    setsockopt(p->fd[i], SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0 ||
		    connect(p->fd[i], (const struct sockaddr *)server, sizeof(*server)) < 0)
			return -errno;
	}
	for (__u32 i = 0; i < p->names; i++)
		p->hit_len[i] = pod_build_query("n%u.load.svc.cluster.local", i, p->hit[i]);
	for (__u32 i = 0; i < POD_MISSES; i++)
		p->miss_len[i] = pod_build_query("www%u.example.com", i, p->miss[i]);
	return 0;
}

/* ---- sending ---- */

static struct pod_query *pod_query_at(struct pod *p, __u64 number)
{
	return &p->queries[number % POD_SOCKETS][number / POD_SOCKETS % POD_IDS];
}

/* One query into slot i of the batch. */
static void pod_prepare(struct pod *p, __u64 number, unsigned int i, __u64 round)
{
	struct pod_query *q = pod_query_at(p, number);
	__u16 id = (__u16)(number / POD_SOCKETS);
	size_t len;

	*q = (struct pod_query){.round = (__u16)round, .is_open = true};
	q->is_miss = number % POD_MISS_EACH == POD_MISS_EACH - 1;
	q->name = (__u8)(pod_random(p) % (q->is_miss ? POD_MISSES : p->names));
	len = q->is_miss ? p->miss_len[q->name] : p->hit_len[q->name];
	memcpy(p->messages[i], q->is_miss ? p->miss[q->name] : p->hit[q->name], len);
	p->messages[i][0] = (__u8)(id >> 8);
	p->messages[i][1] = (__u8)id;
	p->parts[i] = (struct iovec){p->messages[i], len};
	p->headers[i].msg_hdr = (struct msghdr){.msg_iov = &p->parts[i], .msg_iovlen = 1};
}

/* count queries by one socket: numbers first, first + POD_SOCKETS … */
static int pod_send_by(struct pod *p, __u64 first, unsigned int count)
{
	__u64 round = load_get(&p->shared->round), now_ns;
	unsigned int sent = 0;

	for (unsigned int i = 0; i < count; i++)
		pod_prepare(p, first + (__u64)i * POD_SOCKETS, i, round);
	/* Before it is sent: what is answered is never asked later than noted. */
	now_ns = pod_clock_ns(CLOCK_MONOTONIC);
	for (unsigned int i = 0; i < count; i++)
		pod_query_at(p, first + (__u64)i * POD_SOCKETS)->sent_ns = now_ns;
	while (sent < count) {
		int n = sendmmsg(p->fd[first % POD_SOCKETS], p->headers + sent, count - sent, 0);

		/* An ICMP error of an earlier query. */
		if (n < 0 && errno == ECONNREFUSED)
			continue;
		if (n < 0)
			return -errno;
		sent += (unsigned int)n;
	}
	p->shared->rounds[round].sent += count;
	if (!p->shared->rounds[round].began_ns)
		p->shared->rounds[round].began_ns = now_ns;
	p->shared->rounds[round].ended_ns = now_ns;
	return 0;
}

/* What is due, in whole rows of one query for each socket. */
static int pod_send_due(struct pod *p, __u64 rows)
{
	while (rows > 0) {
		unsigned int count = rows < POD_BATCH ? (unsigned int)rows : POD_BATCH;

		for (unsigned int i = 0; i < POD_SOCKETS; i++) {
			int err = pod_send_by(p, p->sent + i, count);

			if (err)
				return err;
		}
		p->sent += (__u64)count * POD_SOCKETS;
		rows -= count;
	}
	return 0;
}

/* ---- receiving ---- */

static void pod_tell(struct pod *p, const struct pod_query *q, const struct load_answer *a, __u64 received_ns,
		     const __u8 *message, size_t len)
{
	if (p->told++ >= POD_TOLD)
		return;
	len = len < POD_TOLD_LEN ? len : POD_TOLD_LEN;
	fprintf(stderr,
		"wrong: round %u, %s %u, sent at %llu, received %llu us later: kind %d, name %u, version %u:", q->round,
		q->is_miss ? "miss" : "name", q->name, q->sent_ns, (received_ns - q->sent_ns) / 1000, a->kind, a->name,
		a->version);
	for (size_t i = 0; i < len; i++)
		fprintf(stderr, "%s%02x", i % 4 ? "" : " ", message[i]);
	fprintf(stderr, "\n");
}

static void pod_raise(__u64 *most, __u64 value)
{
	if (value > *most)
		*most = value;
}

static void pod_count(struct pod *p, const struct pod_query *q, const __u8 *message, size_t len, __u64 received_ns,
		      __u64 taken_ns)
{
	struct load_round *r = &p->shared->rounds[q->round];
	__u8 query[MESSAGE_QUERY_MAX];
	size_t query_len = q->is_miss ? p->miss_len[q->name] : p->hit_len[q->name];
	struct load_answer a;
	__u64 *what = NULL, age_ns = 0;

	memcpy(query, q->is_miss ? p->miss[q->name] : p->hit[q->name], query_len);
	memcpy(query, message, 2);
	a = load_read(message, len, query, query_len, p->range);
	pod_raise(&r->slowest_ns, received_ns - q->sent_ns);
	if (a.kind == LOAD_UPSTREAM) {
		(*(q->is_miss ? &r->missed : &r->passed))++;
		return;
	}
	if (a.kind == LOAD_TORN)
		what = &r->torn;
	else if (q->is_miss)
		what = &r->foreign;
	else
		what = load_judge(p->shared, r, &a, q->name, q->sent_ns, taken_ns, &age_ns);
	pod_raise(&r->oldest_ns, age_ns);
	if (!what) {
		r->answered++;
		return;
	}
	(*what)++;
	r->wrong++;
	pod_tell(p, q, &a, received_ns, message, len);
}

static void pod_take(struct pod *p, int number, const __u8 *message, size_t len, __u64 received_ns, __u64 taken_ns)
{
	struct pod_query *q;

	if (len < NODENS_DNS_HEADER_LEN)
		return;
	q = &p->queries[number][message[0] << 8 | message[1]];
	if (q->is_lost)
		p->shared->rounds[q->round].late++;
	q->is_lost = false;
	if (!q->is_open)
		return;
	q->is_open = false;
	if (received_ns < q->sent_ns) /* the two clocks are not read at once */
		received_ns = q->sent_ns;
	if (received_ns - q->sent_ns < POD_LOST_NS)
		return pod_count(p, q, message, len, received_ns, taken_ns);
	p->shared->rounds[q->round].lost++;
	p->shared->rounds[q->round].late++;
}

/* When the kernel got it; by the other clock, without a stamp now. */
static __u64 pod_received_ns(struct msghdr *m, __u64 real_minus_monotonic_ns, __u64 now_ns)
{
	struct timespec t;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return (__u64)t.tv_sec * 1000000000ULL + (__u64)t.tv_nsec - real_minus_monotonic_ns;
	}
	return now_ns;
}

/* Returns how many there were. */
static int pod_receive_by(struct pod *p, int number)
{
	__u64 offset_ns, now_ns;
	int n;

	for (int i = 0; i < POD_BATCH; i++) {
		p->parts[i] = (struct iovec){p->messages[i], POD_MESSAGE_MAX};
		p->headers[i].msg_hdr = (struct msghdr){.msg_iov = &p->parts[i],
							.msg_iovlen = 1,
							.msg_control = p->control[i],
							.msg_controllen = sizeof(p->control[i])};
	}
	n = recvmmsg(p->fd[number], p->headers, POD_BATCH, MSG_DONTWAIT, NULL);
	now_ns = pod_clock_ns(CLOCK_MONOTONIC);
	offset_ns = pod_clock_ns(CLOCK_REALTIME) - now_ns;
	for (int i = 0; i < n; i++)
		pod_take(p, number, p->messages[i], p->headers[i].msg_len,
			 pod_received_ns(&p->headers[i].msg_hdr, offset_ns, now_ns), now_ns);
	return n < 0 ? 0 : n;
}

static void pod_receive(struct pod *p)
{
	for (int i = 0; i < POD_SOCKETS; i++) {
		while (pod_receive_by(p, i) == POD_BATCH)
			;
	}
}

/* Everything that has come is taken: what is open since more than a second is lost. */
static void pod_find_lost(struct pod *p, __u64 now_ns)
{
	for (; p->checked < p->sent; p->checked++) {
		struct pod_query *q = pod_query_at(p, p->checked);

		if (!q->is_open)
			continue;
		if (now_ns - q->sent_ns < POD_LOST_NS)
			return;
		q->is_open = false;
		q->is_lost = true;
		p->shared->rounds[q->round].lost++;
	}
}

/* Datagrams that a socket of ours had no room for. */
static __u64 pod_count_dropped(int fd)
{
	__u32 info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	(void)getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len);
	return info[SK_MEMINFO_DROPS];
}

/* ---- the thread ---- */

static int pod_run(struct pod *p)
{
	__u64 row_ns = 1000000000ULL * POD_SOCKETS / p->rate, next_ns = pod_clock_ns(CLOCK_MONOTONIC), end_ns = 0;
	int err = 0;

	for (;;) {
		__u64 now_ns = pod_clock_ns(CLOCK_MONOTONIC);
		const struct timespec tick = {.tv_nsec = POD_TICK_NS};

		pod_receive(p);
		pod_find_lost(p, now_ns);
		if (load_get(&p->shared->should_stop) && !end_ns)
			end_ns = now_ns + POD_LOST_NS + POD_LOST_NS / 2;
		if (end_ns && (now_ns > end_ns || p->checked == p->sent))
			break;
		if (now_ns > next_ns + POD_BEHIND_NS) {
			p->skipped += (now_ns - next_ns) / row_ns * POD_SOCKETS;
			next_ns = now_ns;
		}
		if (!end_ns && now_ns > next_ns) {
			__u64 rows = (now_ns - next_ns) / row_ns;

			err = pod_send_due(p, rows);
			next_ns += rows * row_ns;
		}
		if (err)
			break;
		__atomic_store_n(&p->shared->is_ready, 1, __ATOMIC_RELEASE);
		nanosleep(&tick, NULL);
	}
	for (int i = 0; i < POD_SOCKETS; i++)
		p->dropped += pod_count_dropped(p->fd[i]);
	return err;
}
