/* SPDX-License-Identifier: Apache-2.0 */
/* Domain names: text to wire format and back, building, reverse names. */
#include "dns/name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* While a name is built, len counts what is there without a root label: at most 254. This marks a failed build. */
#define BUILD_FAILED UINT8_MAX

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- building ---- */

void dns_name_begin(struct dns_name *n)
{
	n->len = 0;
}

void dns_name_add_label(struct dns_name *n, const char *label, size_t len)
{
	uint8_t *at = n->data + n->len;

	if (n->len == BUILD_FAILED)
		return;
	if (!len || len > NODENS_LABEL_MAX || n->len + 1 + len > NODENS_NAME_MAX - 1) {
		n->len = BUILD_FAILED;
		return;
	}
	*at++ = (uint8_t)len;
	for (size_t i = 0; i < len; i++)
		at[i] = lower((uint8_t)label[i]);
	n->len += 1 + len;
}

bool dns_name_end(struct dns_name *n, const struct dns_name *origin)
{
	if (n->len == BUILD_FAILED || !origin->len || n->len + origin->len > NODENS_NAME_MAX) {
		n->len = 0;
		return false;
	}
	memcpy(n->data + n->len, origin->data, origin->len);
	n->len += origin->len;
	return true;
}

/* ---- text ---- */

/* One octet of a label, escapes undone; *text moves behind it. -1: bad escape. */
static int parse_octet(const char **text)
{
	const char *at = *text;
	int value;

	if (*at != '\\') {
		*text = at + 1;
		return (uint8_t)*at;
	}
	if (!at[1])
		return -1;
	if (!is_digit(at[1])) {
		*text = at + 2;
		return (uint8_t)at[1];
	}
	if (!is_digit(at[2]) || !is_digit(at[3]))
		return -1;
	value = (at[1] - '0') * 100 + (at[2] - '0') * 10 + (at[3] - '0');
	*text = at + 4;
	return value <= UINT8_MAX ? value : -1;
}

/* A label up to a dot or the end of the text; *text moves to that. */
static int parse_label(const char **text, char label[NODENS_LABEL_MAX], size_t *ret_len, struct error *e)
{
	size_t len = 0;
	int octet;

	while (**text && **text != '.') {
		octet = parse_octet(text);
		if (octet < 0)
			return error_set(e, -EINVAL, "bad escape at \"%.8s\"", *text);
		if (len == NODENS_LABEL_MAX)
			return error_set(e, -EINVAL, "a label is longer than %d octets", NODENS_LABEL_MAX);
		label[len++] = (char)octet;
	}
	if (!len)
		return error_set(e, -EINVAL, "empty label");
	*ret_len = len;
	return 0;
}

int dns_name_parse(const char *text, struct dns_name *ret_name, struct error *e)
{
	static const struct dns_name root = {.len = 1};
	char label[NODENS_LABEL_MAX];
	struct dns_name name;
	size_t len = 0;
	int r;

	if (!*text)
		return error_set(e, -EINVAL, "empty name");
	if (strcmp(text, ".") == 0) {
		*ret_name = root;
		return 0;
	}
	dns_name_begin(&name);
	while (*text) {
		r = parse_label(&text, label, &len, e);
		if (r < 0)
			return r;
		dns_name_add_label(&name, label, len);
		if (*text)
			text++;
	}
	if (!dns_name_end(&name, &root))
		return error_set(e, -EINVAL, "the name is longer than %d octets", NODENS_NAME_MAX);
	*ret_name = name;
	return 0;
}

/* What snprintf does for one character: count it always, keep it if it fits. */
static size_t put_char(char c, size_t at, char *ret_text, size_t cap)
{
	if (at + 1 < cap)
		ret_text[at] = c;
	return at + 1;
}

static size_t format_octet(uint8_t octet, size_t at, char *ret_text, size_t cap)
{
	bool is_plain = is_digit((char)octet) || (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
			octet == '-' || octet == '_';

	if (is_plain)
		return put_char((char)octet, at, ret_text, cap);
	at = put_char('\\', at, ret_text, cap);
	if (octet > ' ' && octet < 0x7f)
		return put_char((char)octet, at, ret_text, cap);
	at = put_char((char)('0' + octet / 100), at, ret_text, cap);
	at = put_char((char)('0' + octet / 10 % 10), at, ret_text, cap);
	return put_char((char)('0' + octet % 10), at, ret_text, cap);
}

size_t dns_name_format(const uint8_t *wire, size_t wire_len, char *ret_text, size_t cap)
{
	size_t at = 0, in = 0, end;

	/* Stays inside wire_len also for what dns_name_is_valid would refuse. */
	while (in < wire_len && wire[in]) {
		end = in + 1 + wire[in];
		if (end > wire_len)
			end = wire_len;
		while (++in < end)
			at = format_octet(wire[in], at, ret_text, cap);
		at = put_char('.', at, ret_text, cap);
	}
	if (!at)
		at = put_char('.', at, ret_text, cap);
	if (cap)
		ret_text[at < cap ? at : cap - 1] = '\0';
	return at;
}

bool dns_name_is_valid(const uint8_t *wire, size_t wire_len)
{
	size_t at = 0;

	if (wire_len > NODENS_NAME_MAX)
		return false;
	while (at < wire_len && wire[at]) {
		if (wire[at] > NODENS_LABEL_MAX)
			return false;
		at += 1 + wire[at];
	}
	return at + 1 == wire_len;
}

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* ---- reverse names ---- */

static const struct dns_name in_addr_arpa = {14, "\7in-addr\4arpa"};
static const struct dns_name ip6_arpa = {10, "\3ip6\4arpa"};

static void reverse4(const uint8_t addr[4], struct dns_name *n)
{
	char label[4];
	size_t len;

	for (int i = 3; i >= 0; i--) {
		len = 0;
		if (addr[i] >= 100)
			label[len++] = (char)('0' + addr[i] / 100);
		if (addr[i] >= 10)
			label[len++] = (char)('0' + addr[i] / 10 % 10);
		label[len++] = (char)('0' + addr[i] % 10);
		dns_name_add_label(n, label, len);
	}
	(void)dns_name_end(n, &in_addr_arpa);
}

static void reverse6(const uint8_t addr[16], struct dns_name *n)
{
	static const char nibble[] = "0123456789abcdef";

	for (int i = 15; i >= 0; i--) {
		dns_name_add_label(n, &nibble[addr[i] & 0xf], 1);
		dns_name_add_label(n, &nibble[addr[i] >> 4], 1);
	}
	(void)dns_name_end(n, &ip6_arpa);
}

void dns_name_reverse(int family, const uint8_t *addr, struct dns_name *ret_name)
{
	dns_name_begin(ret_name);
	if (family == AF_INET)
		reverse4(addr, ret_name);
	else
		reverse6(addr, ret_name);
}
