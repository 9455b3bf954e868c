/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the watcher: what its files share. watcher.c asks, watcher_answer.c reads what comes, watcher_end.c decides what
 * follows from the end.
 */
#pragma once

#include "kube/backoff.h"
#include "kube/decode.h"
#include "kube/lines.h"
#include "kube/watcher.h"

#define WATCHER_VERSION_SIZE 32

enum watcher_phase {
	WATCHER_WAITING,   /* the timer starts the next request */
	WATCHER_STREAMING, /* a streaming list, before its marker */
	WATCHER_LISTING,
	WATCHER_PROBING, /* a list of nothing */
	WATCHER_WATCHING,
};

/* Why an answer is not read on. */
enum watcher_stop {
	STOP_NONE,
	STOP_PLAIN,	/* the server does not know streaming lists */
	STOP_LISTED,	/* a streaming list is complete; its watch would be too long (quiet_max_ms) */
	STOP_EXPIRED,	/* an ERROR event: 410 */
	STOP_ERROR,	/* an ERROR event: any other */
	STOP_MALFORMED, /* an event or list that cannot be read, or a line without end */
	STOP_MEMORY,
};

struct watcher {
	struct loop *loop;
	struct kube_client *client;
	struct watcher_params params;
	struct watcher_callbacks cb;
	void *ctx;
	struct loop_handle *timer; /* of the phase: start, or a watchdog */

	/* What is known. */
	char version[WATCHER_VERSION_SIZE];
	bool is_synced;
	bool needs_list; /* the next request is a list */
	bool is_plain;	 /* no streaming lists: the server does not know them */
	bool is_plain_once;
	bool needs_probe;  /* else the next request is a probe: a watch has ended without a sign */
	bool is_suspect;   /* after a failure: the server may not know our version */
	bool is_troubled;  /* told, and not yet that it works again */
	uint64_t refused_ms; /* since when 401 and 403 alone come back, 0: they do not */
	bool is_unreached; /* waiting because no answer came at all */

	/* The request under way. */
	struct kube_request *request;
	enum watcher_phase phase;
	struct kube_response response; /* status 0: no head yet */
	uint64_t began_ms, watch_s;
	bool is_resumed;   /* a watch that takes up where another ended */
	bool is_feeding;   /* inside of a callback of the request */
	bool is_restarted; /* asked for in there */
	bool has_sign;	   /* an event or bookmark was understood */
	bool has_told;	   /* an event in this piece */
	struct lines lines;
	struct kube_list *list;
	char *more; /* continue of a list in pages, NULL: the first page */
	size_t nameless;
	struct error nameless_why;
	char body[2048]; /* of a refusal, cut */
	size_t body_len;

	/* How it was stopped. */
	enum watcher_stop stop;
	enum watcher_trouble stop_trouble;
	struct error stop_cause;

	struct backoff backoff;	    /* connections */
	struct backoff bad_backoff; /* answers that make no sense: works are no reason to forget them at once */
	uint64_t bad_ms;	    /* the last of these */
	struct watcher_stats stats;
};

/* Of an answer with status 200: non-zero: stop, w->stop tells why. */
int watcher_take(struct watcher *w, const char *data, size_t len);
/* The body of a list is complete: 1: another page is needed, 0: listed, -errno: w->stop tells why. */
int watcher_end_list(struct watcher *w);
/* The body of a probe is complete: 0: our state is the server's, or a list is needed; -errno: w->stop tells why. */
int watcher_end_probe(struct watcher *w);
/* A server's own pace is not enough for quiet_max_ms. */
bool watcher_is_hasty(const struct watcher *w);
/* The request did something useful. */
void watcher_tell_fine(struct watcher *w);
void watcher_set_timer(struct watcher *w, uint64_t ms);
uint64_t watcher_silence_ms(const struct watcher *w);

/* The next request, now. */
void watcher_begin(struct watcher *w);
/* The request is over. */
void watcher_end(struct watcher *w, enum kube_end end, const struct error *e);
/* Tells the trouble and waits for the next attempt. */
void watcher_fail(struct watcher *w, enum watcher_trouble trouble, const struct error *e);
uint64_t watcher_random_number(void);
