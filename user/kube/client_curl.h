/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the client (client*.c): its structures, and libcurl. Nobody else includes this. */
#pragma once

#include <curl/curl.h>

#include "kube/client.h"
#include "kube/client_head.h"

#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87 or newer is needed: CURLOPT_QUICK_EXIT and CURLOPT_CA_CACHE_TIMEOUT"
#endif

enum request_state { REQUEST_QUEUED, REQUEST_RUNNING, REQUEST_OVER };

struct kube_request {
	struct kube_client *client;
	struct kube_request *next;
	struct kube_request **back; /* the pointer that points here */
	enum request_state state;   /* OVER: no callback any more; freed by leave */
	bool wants_gzip;
	bool is_stopped; /* by on_data */
	CURL *easy;
	struct curl_slist *headers;
	struct loop_handle *head_timer;
	struct client_head head;
	struct kube_request_callbacks cb;
	void *ctx;
	char cause[CURL_ERROR_SIZE];
	char target[];
};

struct socket {
	struct socket *next;
	struct kube_client *client;
	int fd;
	struct loop_handle *handle;
};

struct kube_client {
	struct loop *loop;
	const struct kube_config *config;
	CURLM *multi;
	char *url;		       /* of the server, with the name to be verified as its host */
	char *host_header;	       /* "Host: …": the server's own, where url has another; or NULL */
	struct curl_slist *connect_to; /* the server's address, where url has another; or NULL */
	struct loop_handle *timer, *kick;
	int kick_fd;
	bool is_due; /* libcurl's timer is to be run with the next kick */
	bool is_freed, has_lost_socket;
	unsigned int busy;
	long connect_ms;
	uint64_t head_ms;
	struct kube_request *requests, **requests_end;
	struct socket *sockets; /* few: as many as requests under way */
	uint64_t octets;	/* of requests that are gone */
};

/* ---- client.c ---- */

/* Around whatever may lead to callbacks. After the outermost leave the client may be gone. */
void client_enter(struct kube_client *c);
void client_leave(struct kube_client *c);
/* Tells libcurl about a socket (events: CURL_CSELECT_…), or that its timer has run out (CURL_SOCKET_TIMEOUT). */
void client_run(struct kube_client *c, curl_socket_t fd, int events);
/* Calls on_kick in the loop's next turn. */
void client_kick(struct kube_client *c);

/* ---- client_sockets.c ---- */

/* Connects c->multi with the loop: sockets, timer. -ENOMEM or the loop's -errno with e. */
int client_sockets_init(struct kube_client *c, struct error *e);
/* After curl_multi_cleanup, or without an init. */
void client_sockets_done(struct kube_client *c);
/* CURLOPT_CLOSESOCKETFUNCTION, ctx: the client. */
int client_socket_close(void *ctx, curl_socket_t fd);

/* ---- client_setup.c ---- */

/* Checks the configuration's files and sets url, host_header, connect_to. -errno with e. */
int client_setup_server(struct kube_client *c, struct error *e);
/* r->easy with all options but those of its answer. -errno with e. */
int client_setup_request(struct kube_request *r, struct error *e);
