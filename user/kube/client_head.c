/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a response: status, Content-Type, Retry-After. */
#include "kube/client_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RETRY_AFTER_MAX_S 3600

/* The three forms of RFC 9110 §5.6.7. 0: none of them. */
static time_t date_parse(const char *text)
{
	static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
					    "%a %b %d %H:%M:%S %Y"};

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		struct tm tm = {0};
		const char *end = strptime(text, forms[i], &tm);
		time_t t = end && !*end ? timegm(&tm) : 0;

		if (t > 0)
			return t;
	}
	return 0;
}

static uint64_t bounded_ms(uint64_t s)
{
	return 1000 * (s < RETRY_AFTER_MAX_S ? s : RETRY_AFTER_MAX_S);
}

static void take_retry_after(struct client_head *h, const char *value)
{
	size_t digits = strspn(value, "0123456789");

	if (digits && !value[digits])
		h->response.retry_after_ms = bounded_ms(strtoull(value, NULL, 10));
	else
		h->retry_at = date_parse(value);
}

static void take_field(struct client_head *h, const char *name, const char *value)
{
	if (!strcasecmp(name, "Content-Type"))
		(void)snprintf(h->response.content_type, sizeof(h->response.content_type), "%s", value);
	else if (!strcasecmp(name, "Retry-After"))
		take_retry_after(h, value);
	else if (!strcasecmp(name, "Date"))
		h->date = date_parse(value);
}

static bool finish(struct client_head *h, time_t now)
{
	/* 100 Continue and its like come before the response proper. */
	if (h->response.status < 200)
		return false;
	/* By the server's own clock where it tells it: ours may be wrong. */
	if (h->date)
		now = h->date;
	if (h->retry_at > now)
		h->response.retry_after_ms = bounded_ms((uint64_t)(h->retry_at - now));
	h->is_complete = true;
	return true;
}

bool client_head_line(struct client_head *h, const char *line, size_t len, time_t now)
{
	char text[512], *value; /* longer fields are none of ours */
	int status;

	if (h->is_complete)
		return false;
	while (len && strchr("\r\n \t", line[len - 1]) && line[len - 1])
		len--;
	if (!len)
		return finish(h, now);
	if (len >= sizeof(text))
		return false;
	memcpy(text, line, len);
	text[len] = '\0';
	if (sscanf(text, "HTTP/%*[0-9.] %3d", &status) == 1) {
		*h = (struct client_head){.response.status = status};
		return false;
	}
	value = strchr(text, ':');
	if (value) {
		*value++ = '\0';
		take_field(h, text, value + strspn(value, " \t"));
	}
	return false;
}
