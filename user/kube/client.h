/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP GETs to an API server on the event loop (libcurl, multi socket). The only module that includes libcurl. Knows
 * nothing of Kubernetes objects. Bodies are handed on while they arrive. Callbacks may make and cancel requests, their
 * own included, and free the client. SIGPIPE is ignored from kube_client_new on, where the program has no handler.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "kube/config.h"

struct kube_client;
struct kube_request;

struct kube_response {
	int status;		 /* HTTP status code */
	uint64_t retry_after_ms; /* 0: not told. At most an hour */
	char content_type[64];
};

/* How a request ended. */
enum kube_end {
	KUBE_END_COMPLETE, /* the whole body was received, whatever the status code */
	KUBE_END_CONNECT,  /* no connection: address, refused, TLS, or no response head in time */
	KUBE_END_CUT,	   /* the body ended before its end */
	KUBE_END_STOPPED,  /* on_data asked for it */
	KUBE_END_LOCAL,	   /* token file, memory */
};

struct kube_request_callbacks {
	/* Once, before the first on_data. */
	void (*on_head)(void *ctx, const struct kube_response *response);
	/* Decoded (gzip) octets as they arrive. Non-zero: stop (KUBE_END_STOPPED). */
	int (*on_data)(void *ctx, const char *data, size_t len);
	/* The last call, from the loop, never from within kube_client_get; the request is freed afterwards. e tells the
	 * cause in words (libcurl's own where it has one), with the address tried; its text is "" when complete. */
	void (*on_end)(void *ctx, enum kube_end end, const struct error *e);
};

/* NULL with e: an unusable configuration (CA file unreadable, …) or no memory. config outlives it. */
struct kube_client *kube_client_new(struct loop *l, const struct kube_config *config, struct error *e);
/* Cancels what is under way. NULL is allowed. */
void kube_client_free(struct kube_client *c);
/* Other bounds than 10 and 30 s for requests that start from now on. */
void kube_client_set_limits(struct kube_client *c, uint64_t connect_ms, uint64_t head_ms);

/*
 * target: path and query, "/api/v1/services?watch=1&…", percent-encoded by the caller. wants_gzip: for lists (the
 * server compresses bodies over 128 KiB; watches never). The token is read anew, TCP keepalive is on, connecting and
 * the response head are bounded by 10 and 30 s, the body is not (the caller has its own watchdog). HTTP/1.1, a
 * connection for each request under way. Redirects are not followed. NULL with e: no memory.
 */
struct kube_request *kube_client_get(struct kube_client *c, const char *target, bool wants_gzip,
				     const struct kube_request_callbacks *cb, void *ctx, struct error *e);
/* No further callback. NULL is allowed. */
void kube_request_cancel(struct kube_request *r);
/* Bodies received so far, as they came over the wire (before gzip is undone). */
uint64_t kube_client_octets(const struct kube_client *c);
