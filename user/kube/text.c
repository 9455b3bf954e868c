/* SPDX-License-Identifier: Apache-2.0 */
/* What the texts inside of objects must look like. */
#include "kube/text.h"

#include <arpa/inet.h>
#include <string.h>

#define LABEL_MAX 63
#define SUBDOMAIN_MAX 253

struct quoted text_quote(const char *s)
{
	struct quoted q;
	size_t len = 0;

	q.text[len++] = '"';
	for (; *s && len < sizeof(q.text) - 5; s++)
		q.text[len++] = *s >= ' ' && *s < 0x7f && *s != '"' ? *s : '?';
	strcpy(q.text + len, *s ? "\"..." : "\"");
	return q;
}

static bool is_label_octet(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static bool is_label(const char *s, size_t len)
{
	if (len == 0 || len > LABEL_MAX || s[0] == '-' || s[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_label_octet(s[i]))
			return false;
	return true;
}

bool text_is_label(const char *s)
{
	return is_label(s, strlen(s));
}

bool text_is_subdomain(const char *s)
{
	size_t len = strlen(s);

	if (len == 0 || len > SUBDOMAIN_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool is_edge = i == 0 || i + 1 == len || s[i - 1] == '.' || s[i + 1] == '.';

		if (s[i] == '.' ? is_edge : !is_label_octet(s[i]) || (s[i] == '-' && is_edge))
			return false;
	}
	return true;
}

/* inet_pton refuses leading zeros in IPv4 itself. */
bool text_parse_addr(const char *text, struct kube_addr *ret_addr)
{
	char canonical[INET6_ADDRSTRLEN];
	struct kube_addr a = {.family = AF_INET};

	if (inet_pton(AF_INET, text, a.octets) != 1) {
		a.family = AF_INET6;
		if (strchr(text, '.') || inet_pton(AF_INET6, text, a.octets) != 1)
			return false;
		kube_addr_format(&a, canonical);
		if (strcmp(text, canonical) != 0)
			return false;
	}
	*ret_addr = a;
	return true;
}
