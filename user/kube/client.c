/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP GETs to an API server: libcurl's multi socket interface on the event loop.
 *
 * libcurl may not be called from within its own callbacks, and the callers' callbacks are called from there. So nothing
 * is done at once: kube_client_get queues a request that the `kick` descriptor starts in the loop's next turn; what is
 * cancelled or freed while `busy` is only marked, and goes when the call into libcurl that is under way has returned
 * (leave).
 *
 * HTTP/1.1, one connection for each request under way: a connection that is lost or stalls takes one watch with it, not
 * all of them, a watch that nobody reads up cannot use up a window shared with the others, and cancelling one is
 * closing its connection. The price is one TLS connection for each of the few watches.
 */
#include "kube/client.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "kube/client_curl.h"

#define CONNECT_MS 10000
#define HEAD_MS	   30000

/* ---- life of requests ---- */

static void link_request(struct kube_client *c, struct kube_request *r)
{
	r->back = c->requests_end;
	*c->requests_end = r;
	c->requests_end = &r->next;
}

static void unlink_request(struct kube_request *r)
{
	*r->back = r->next;
	if (r->next)
		r->next->back = r->back;
	else
		r->client->requests_end = r->back;
}

static uint64_t request_octets(const struct kube_request *r)
{
	curl_off_t octets = 0;

	if (r->easy)
		(void)curl_easy_getinfo(r->easy, CURLINFO_SIZE_DOWNLOAD_T, &octets);
	return (uint64_t)octets;
}

static void free_request(struct kube_request *r)
{
	struct kube_client *c = r->client;

	c->octets += request_octets(r);
	unlink_request(r);
	loop_remove(c->loop, r->head_timer);
	if (r->easy) {
		(void)curl_multi_remove_handle(c->multi, r->easy);
		curl_easy_cleanup(r->easy);
	}
	curl_slist_free_all(r->headers);
	free(r);
}

void client_kick(struct kube_client *c)
{
	uint64_t one = 1;

	/* Fails only where the counter is at its end, and then it is readable as well. */
	(void)!write(c->kick_fd, &one, sizeof(one));
}

static void end_request(struct kube_request *r, enum kube_end end, const struct error *e)
{
	if (r->state == REQUEST_OVER)
		return;
	r->state = REQUEST_OVER;
	if (r->cb.on_end)
		r->cb.on_end(r->ctx, end, e);
}

/* ---- calling libcurl, and after it ---- */

static void destroy(struct kube_client *c)
{
	while (c->requests)
		free_request(c->requests);
	if (c->multi)
		(void)curl_multi_cleanup(c->multi);
	client_sockets_done(c);
	loop_remove(c->loop, c->kick);
	if (c->kick_fd >= 0)
		close(c->kick_fd);
	curl_slist_free_all(c->connect_to);
	curl_free(c->url);
	free(c->host_header);
	free(c);
}

void client_enter(struct kube_client *c)
{
	c->busy++;
}

void client_leave(struct kube_client *c)
{
	if (--c->busy)
		return;
	if (c->is_freed) {
		destroy(c);
		return;
	}
	for (struct kube_request *r = c->requests, *next; r; r = next) {
		next = r->next;
		if (r->state == REQUEST_OVER)
			free_request(r);
	}
}

static enum kube_end end_of(const struct kube_request *r, CURLcode code)
{
	if (r->is_stopped)
		return KUBE_END_STOPPED;
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return KUBE_END_LOCAL;
	default:
		return !r->head.is_complete ? KUBE_END_CONNECT : code ? KUBE_END_CUT : KUBE_END_COMPLETE;
	}
}

/* What to look at, after libcurl's own words. */
static const char *remedy(CURLcode code)
{
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return "; it must name the server's host (or tls-server-name) and be signed by ";
	case CURLE_SSL_CONNECT_ERROR:
		return "; is this the port of an API server, and is the client's certificate right?";
	case CURLE_SSL_CERTPROBLEM:
		return "; certificate and key of the client must be PEM and belong together";
	case CURLE_OUT_OF_MEMORY:
		return ", or a line of the response's head is too long"; /* over 100 KiB, which libcurl does not tell
									    apart */
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		return "; is this the API server's address?";
	case CURLE_COULDNT_RESOLVE_PROXY:
		return "; is this the proxy's address (proxy-url, or https_proxy in the environment)?";
	default:
		return "";
	}
}

static const char *authority(const struct kube_config *config)
{
	return config->ca_file	 ? config->ca_file
	       : config->ca_data ? "certificate-authority-data"
				 : "an authority that the system trusts (no certificate-authority is configured)";
}

static void describe(const struct kube_request *r, CURLcode code, struct error *e)
{
	const struct kube_config *config = r->client->config;
	const char *cause = r->cause[0] ? r->cause : curl_easy_strerror(code), *os_cause = "";
	long os_error = 0;

	(void)curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &os_error);
	if (code == CURLE_COULDNT_CONNECT && os_error)
		os_cause = strerror((int)os_error);
	(void)error_set(e, 0, "%s: %s%s%s%s%s", config->server, code ? cause : "the answer is not HTTP",
			*os_cause ? ": " : "", os_cause, remedy(code),
			code == CURLE_PEER_FAILED_VERIFICATION ? authority(config) : "");
}

static void finish_request(struct kube_request *r, CURLcode code)
{
	enum kube_end end = end_of(r, code);
	struct error e = {""};

	if (end == KUBE_END_STOPPED)
		(void)error_set(&e, 0, "%s: stopped by the receiver", r->client->config->server);
	else if (end != KUBE_END_COMPLETE)
		describe(r, code, &e);
	end_request(r, end, &e);
}

/* No socket may stay without a handle: its request would wait for ever. */
static void end_lost(struct kube_client *c)
{
	struct error e;

	c->has_lost_socket = false;
	(void)error_set(&e, 0, "%s: a socket cannot be watched (epoll): %s", c->config->server, strerror(ENOMEM));
	for (struct kube_request *r = c->requests; r; r = r->next)
		if (r->state == REQUEST_RUNNING)
			end_request(r, KUBE_END_LOCAL, &e);
}

void client_run(struct kube_client *c, curl_socket_t fd, int events)
{
	struct kube_request *r;
	int running, left;
	CURLMsg *m;

	(void)curl_multi_socket_action(c->multi, fd, events, &running);
	while ((m = curl_multi_info_read(c->multi, &left))) {
		if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&r))
			continue;
		finish_request(r, m->data.result);
	}
	if (c->has_lost_socket)
		end_lost(c);
}

/* ---- a request's answer ---- */

static size_t on_curl_header(char *line, size_t size, size_t n, void *ctx)
{
	struct kube_request *r = ctx;

	if (r->state == REQUEST_OVER)
		return CURL_WRITEFUNC_ERROR;
	if (!client_head_line(&r->head, line, size * n, time(NULL)))
		return size * n;
	loop_remove(r->client->loop, r->head_timer);
	r->head_timer = NULL;
	if (r->cb.on_head)
		r->cb.on_head(r->ctx, &r->head.response);
	return r->state == REQUEST_OVER ? CURL_WRITEFUNC_ERROR : size * n;
}

static size_t on_curl_body(char *data, size_t size, size_t n, void *ctx)
{
	struct kube_request *r = ctx;
	size_t len = size * n;

	if (r->state == REQUEST_OVER)
		return CURL_WRITEFUNC_ERROR;
	if (len && r->cb.on_data && r->cb.on_data(r->ctx, data, len))
		r->is_stopped = true;
	return r->is_stopped || r->state == REQUEST_OVER ? CURL_WRITEFUNC_ERROR : len;
}

static void on_head_late(void *ctx)
{
	struct kube_request *r = ctx;
	struct kube_client *c = r->client;
	struct error e;

	client_enter(c);
	(void)error_set(&e, 0, "%s: no response within %llu ms", c->config->server, (unsigned long long)c->head_ms);
	end_request(r, KUBE_END_CONNECT, &e);
	client_leave(c);
}

/* ---- starting requests ---- */

static CURLcode set_answer(struct kube_request *r)
{
	if (curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r) || curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->cause) ||
	    curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, on_curl_header) ||
	    curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, r) ||
	    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_curl_body))
		return CURLE_OUT_OF_MEMORY;
	return curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
}

static void start(struct kube_request *r)
{
	struct kube_client *c = r->client;
	struct error e = {""};
	CURLMcode code;
	int err = client_setup_request(r, &e);

	r->state = REQUEST_RUNNING;
	if (!err && set_answer(r))
		err = error_set(&e, -ENOMEM, "out of memory");
	if (!err) {
		r->head_timer = loop_add_timer(c->loop, c->head_ms, 0, on_head_late, r);
		if (!r->head_timer)
			err = error_set(&e, -errno, "no timer: %s", strerror(errno));
	}
	if (!err) {
		code = curl_multi_add_handle(c->multi, r->easy);
		if (code)
			err = error_set(&e, -ENOMEM, "libcurl: %s", curl_multi_strerror(code));
	}
	if (!err)
		return;
	(void)error_prefix(&e, 0, "%s", c->config->server);
	end_request(r, KUBE_END_LOCAL, &e);
}

static void on_kick(void *ctx, uint32_t events)
{
	struct kube_client *c = ctx;
	uint64_t count;

	(void)events;
	(void)!read(c->kick_fd, &count, sizeof(count));
	client_enter(c);
	for (struct kube_request *r = c->requests; r && !c->is_freed; r = r->next)
		if (r->state == REQUEST_QUEUED)
			start(r);
	if (c->has_lost_socket)
		end_lost(c);
	if (c->is_due && !c->is_freed) {
		c->is_due = false;
		client_run(c, CURL_SOCKET_TIMEOUT, 0);
	}
	client_leave(c);
}

/* ---- the client ---- */

static int set_loop(struct kube_client *c, struct error *e)
{
	int err;

	c->multi = curl_multi_init();
	/* Idle connections, kept for the next list. */
	if (!c->multi || curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 4L))
		return error_set(e, -ENOMEM, "libcurl: out of memory");
#if LIBCURL_VERSION_NUM >= 0x081400
	/* A pool of resolver threads, joined at the end unless told otherwise. */
	(void)curl_multi_setopt(c->multi, CURLMOPT_QUICK_EXIT, 1L);
#endif
	err = client_sockets_init(c, e);
	if (err)
		return err;
	c->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	c->kick = c->kick_fd < 0 ? NULL : loop_add_fd(c->loop, c->kick_fd, EPOLLIN, on_kick, c);
	return c->kick ? 0 : error_set(e, -errno, "event loop: %s", strerror(errno));
}

/* TLS libraries write to sockets without MSG_NOSIGNAL. A handler of the program's own is left alone. */
static void ignore_sigpipe(void)
{
	struct sigaction old;

	if (!sigaction(SIGPIPE, NULL, &old) && old.sa_handler == SIG_DFL)
		(void)signal(SIGPIPE, SIG_IGN);
}

struct kube_client *kube_client_new(struct loop *l, const struct kube_config *config, struct error *e)
{
	struct kube_client *c;
	int err;

	if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
		(void)error_set(e, -ENOMEM, "libcurl cannot be set up");
		return NULL;
	}
	ignore_sigpipe();
	c = calloc(1, sizeof(*c));
	if (!c) {
		(void)error_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	*c = (struct kube_client){
		.loop = l, .config = config, .kick_fd = -1, .connect_ms = CONNECT_MS, .head_ms = HEAD_MS};
	c->requests_end = &c->requests;
	err = client_setup_server(c, e);
	if (!err)
		err = set_loop(c, e);
	if (err) {
		destroy(c);
		return NULL;
	}
	return c;
}

void kube_client_free(struct kube_client *c)
{
	if (!c)
		return;
	client_enter(c);
	c->is_freed = true;
	for (struct kube_request *r = c->requests; r; r = r->next)
		r->state = REQUEST_OVER;
	client_leave(c);
}

void kube_client_set_limits(struct kube_client *c, uint64_t connect_ms, uint64_t head_ms)
{
	c->connect_ms = (long)connect_ms;
	c->head_ms = head_ms;
}

struct kube_request *kube_client_get(struct kube_client *c, const char *target, bool wants_gzip,
				     const struct kube_request_callbacks *cb, void *ctx, struct error *e)
{
	size_t size = strlen(target) + 1;
	struct kube_request *r = calloc(1, sizeof(*r) + size);

	if (!r) {
		(void)error_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	r->client = c;
	r->wants_gzip = wants_gzip;
	r->cb = *cb;
	r->ctx = ctx;
	memcpy(r->target, target, size);
	link_request(c, r);
	client_kick(c);
	return r;
}

void kube_request_cancel(struct kube_request *r)
{
	struct kube_client *c;

	if (!r)
		return;
	c = r->client;
	client_enter(c);
	r->state = REQUEST_OVER;
	client_leave(c);
}

uint64_t kube_client_octets(const struct kube_client *c)
{
	uint64_t octets = c->octets;

	for (const struct kube_request *r = c->requests; r; r = r->next)
		octets += request_octets(r);
	return octets;
}
