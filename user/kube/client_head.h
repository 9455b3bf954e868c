/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the client: the head of a response, line by line. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "kube/client.h"

struct client_head {
	struct kube_response response;
	time_t date, retry_at; /* 0: not told */
	bool is_complete;      /* of a final response (RFC 9110 §15); what follows are trailers */
};

/* A line with or without its CRLF. true: the head is complete now; response may be used. now: for a Retry-After date
 * where the server tells no Date. */
bool client_head_line(struct client_head *h, const char *line, size_t len, time_t now);
