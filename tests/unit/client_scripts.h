/* SPDX-License-Identifier: Apache-2.0 */
/* A server's answers, right and wrong, and the fixture of tests with the API client: each test leaves no descriptor
 * open. */
#pragma once

#include <semaphore.h>

#include <zlib.h>

#include "fetch.h"
#include "http_server.h"

/* Posted by a test where a script must go on only then. */
static sem_t go;

/* ---- scripts ---- */

static inline bool hello(struct conn *c)
{
	return conn_say(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello");
}

static inline bool hello_and_close(struct conn *c)
{
	(void)conn_say(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
	return false;
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static inline bool chunked(struct conn *c)
{
	return conn_say(c, CHUNKED "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: x\r\n\r\n");
}

static inline bool trickle(struct conn *c)
{
	if (!conn_say(c, CHUNKED "1\r\n1\r\n"))
		return false;
	sem_wait(&go);
	if (!conn_say(c, "1\r\n2\r\n"))
		return false;
	sem_wait(&go);
	return conn_say(c, "1\r\n3\r\n0\r\n\r\n");
}

static inline bool stall(struct conn *c)
{
	return conn_say(c, CHUNKED "5\r\nfirst\r\n") && conn_await_close(c);
}

static inline bool cut_chunk(struct conn *c)
{
	return conn_say(c, CHUNKED "5\r\nhel") && false;
}

static inline bool cut_between_chunks(struct conn *c)
{
	return conn_say(c, CHUNKED "5\r\nhello\r\n") && false;
}

static inline bool bad_chunk(struct conn *c)
{
	return conn_say(c, CHUNKED "5\r\nhello\r\nxyz\r\n") && conn_await_close(c);
}

static inline bool cut_length(struct conn *c)
{
	return conn_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello") && false;
}

static inline bool no_answer(struct conn *c)
{
	return conn_await_close(c);
}

static inline bool half_a_head(struct conn *c)
{
	return conn_say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n") && conn_await_close(c);
}

static inline bool endless_head(struct conn *c)
{
	(void)conn_say(c, "HTTP/1.1 200 OK\r\nX: ");
	while (conn_say(c, "%01000d", 0))
		;
	return false;
}

static inline bool empty_answer(struct conn *c)
{
	(void)c;
	return false;
}

static inline bool reset(struct conn *c)
{
	const struct linger hard = {.l_onoff = 1};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	return false;
}

static inline bool garbage(struct conn *c)
{
	return conn_say(c, "SSH-2.0-OpenSSH_9.2\r\n") && false;
}

static inline bool go_on_first(struct conn *c)
{
	return conn_say(c, "HTTP/1.1 100 Continue\r\nRetry-After: 7\r\n\r\n") && hello(c);
}

static inline bool too_many(struct conn *c)
{
	return conn_say(
		c, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n"
		   "Content-Length: 5\r\n\r\nlater");
}

static inline bool redirect(struct conn *c)
{
	return conn_say(c, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/hello\r\nContent-Length: 0\r\n\r\n",
			c->server->port);
}

#define LARGE ((size_t)8 << 20)

static inline bool large(struct conn *c)
{
	static const char block[16384];
	bool is_good = conn_say(c, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", LARGE);

	for (size_t sent = 0; is_good && sent < LARGE; sent += sizeof(block))
		is_good = conn_write(c, block, sizeof(block));
	return is_good;
}

#define PLAIN_LEN 100000

/* Its length; the compressed text in ret_data. */
static inline size_t compress_text(unsigned char *ret_data, size_t size)
{
	static unsigned char plain[PLAIN_LEN];
	z_stream z = {0};

	memset(plain, 'x', sizeof(plain));
	deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	z.next_in = plain;
	z.avail_in = sizeof(plain);
	z.next_out = ret_data;
	z.avail_out = (unsigned int)size;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static inline bool gzip(struct conn *c)
{
	unsigned char data[4096];
	size_t len = compress_text(data, sizeof(data));

	if (!strstr(c->head, "\r\nAccept-Encoding: gzip\r\n"))
		return hello(c);
	return conn_say(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", len) &&
	       conn_write(c, data, len);
}

static inline bool gzip_broken(struct conn *c)
{
	return conn_say(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello");
}

static const struct script scripts[] = {
	{"/hello", hello},
	{"/prefix/hello", hello},
	{"/close", hello_and_close},
	{"/chunked", chunked},
	{"/trickle", trickle},
	{"/stall", stall},
	{"/cut-chunk", cut_chunk},
	{"/cut-between", cut_between_chunks},
	{"/bad-chunk", bad_chunk},
	{"/cut-length", cut_length},
	{"/no-answer", no_answer},
	{"/half-head", half_a_head},
	{"/endless-head", endless_head},
	{"/empty", empty_answer},
	{"/reset", reset},
	{"/garbage", garbage},
	{"/continue", go_on_first},
	{"/too-many", too_many},
	{"/redirect", redirect},
	{"/large", large},
	{"/gzip-broken", gzip_broken},
	{"/gzip", gzip},
	{NULL, NULL},
};

/* ---- the fixture ---- */

struct fixture {
	struct server server;
	struct loop *loop;
	struct kube_config config;
	struct kube_client *client;
	char url[64];
	int descriptors;
};

static inline void make_client(struct fixture *x)
{
	struct error e = {""};

	x->client = kube_client_new(x->loop, &x->config, &e);
	if (!x->client)
		fail_msg("%s", e.text);
}

static inline int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	sem_init(&go, 0, 0);
	x->descriptors = open_descriptors();
	if (!server_start(&x->server, AF_INET, scripts, NULL))
		return -1;
	x->loop = loop_new();
	snprintf(x->url, sizeof(x->url), "http://127.0.0.1:%u", x->server.port);
	x->config.server = x->url;
	x->config.origin = (char *)"test";
	make_client(x);
	*state = x;
	return 0;
}

/* Whatever a test did: no descriptor is left. */
static inline int teardown(void **state)
{
	struct fixture *x = *state;
	int left;

	kube_client_free(x->client);
	loop_free(x->loop);
	sem_post(&go);
	sem_post(&go);
	server_stop(&x->server);
	left = open_descriptors() - x->descriptors;
	free(x);
	if (left)
		print_error("%d descriptors are left\n", left);
	return left;
}

static inline void stop_loop(void *ctx)
{
	loop_stop(ctx, 0);
}

/* Some turns of the loop, in which nothing may be called back. */
static inline void run_a_while(struct fixture *x)
{
	assert_non_null(loop_add_timer(x->loop, 50, 0, stop_loop, x->loop));
	fetch_run(x->loop);
}
