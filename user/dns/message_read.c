/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a DNS message that may come from anybody, and the text of its parts. */
#include "dns/message_read.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>

/* ---- reading ---- */

uint8_t message_take_u8(struct message_reader *r)
{
	if (r->is_bad || r->at >= r->len) {
		r->is_bad = true;
		return 0;
	}
	return r->data[r->at++];
}

uint16_t message_take_u16(struct message_reader *r)
{
	uint16_t high = message_take_u8(r);

	return (uint16_t)(high << 8 | message_take_u8(r));
}

static uint32_t take_u32(struct message_reader *r)
{
	uint32_t high = message_take_u16(r);

	return high << 16 | message_take_u16(r);
}

/* A name, followed through pointers. Each pointer must go to before the place where the last run of labels began, so
 * that the walk ends (RFC 1035 section 4.1.4: "a prior occurrence"). */
static void take_name(struct message_reader *r, struct dns_name *name)
{
	size_t at = r->at, run = r->at, len = 0;
	bool has_jumped = false;

	name->len = 0;
	while (!r->is_bad) {
		uint8_t octet = at < r->len ? r->data[at] : 0xff;

		if ((octet & 0xc0) == 0xc0 && at + 1 < r->len) {
			size_t target = (size_t)(octet & 0x3f) << 8 | r->data[at + 1];

			if (!has_jumped)
				r->at = at + 2;
			has_jumped = true;
			r->is_bad = target >= run;
			at = run = target;
			continue;
		}
		if (octet > NODENS_LABEL_MAX || at + 1 + octet > r->len || len + 1 + octet > NODENS_NAME_MAX) {
			r->is_bad = true;
			return;
		}
		memcpy(name->data + len, r->data + at, 1U + octet);
		len += 1U + octet;
		at += 1U + octet;
		if (octet == 0) {
			name->len = (uint8_t)len;
			if (!has_jumped)
				r->at = at;
			return;
		}
	}
}

void message_take_header(struct message_reader *r, struct message_header *h)
{
	h->id = message_take_u16(r);
	h->flags = message_take_u16(r);
	for (int i = 0; i < 4; i++)
		h->count[i] = message_take_u16(r);
}

void message_take_question(struct message_reader *r, struct message_record *q)
{
	*q = (struct message_record){0};
	take_name(r, &q->owner);
	q->type = message_take_u16(r);
	q->class = message_take_u16(r);
}

void message_take_record(struct message_reader *r, struct message_record *rr)
{
	message_take_question(r, rr);
	rr->ttl_s = take_u32(r);
	rr->rdata_len = message_take_u16(r);
	rr->rdata_at = r->at;
	if (r->is_bad || r->len - r->at < rr->rdata_len)
		r->is_bad = true;
	else
		r->at += rr->rdata_len;
}

/* ---- text of the parts ---- */

void message_format_flags(uint16_t flags, char ret_text[64])
{
	static const struct {
		uint16_t bit;
		const char *name;
	} names[] = {{0x8000, "qr"}, {0x0400, "aa"}, {0x0200, "tc"}, {0x0100, "rd"},
		     {0x0080, "ra"}, {0x0020, "ad"}, {0x0010, "cd"}};
	size_t n = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (flags & names[i].bit)
			n += (size_t)snprintf(ret_text + n, 64 - n, "%s%s", n ? " " : "", names[i].name);
	}
}

void message_format_rcode(uint16_t flags, char ret_text[16])
{
	static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
	unsigned int rcode = flags & 15;

	if (rcode < sizeof(names) / sizeof(names[0]))
		snprintf(ret_text, 16, "%s", names[rcode]);
	else
		snprintf(ret_text, 16, "RCODE%u", rcode);
}

void message_format_opcode(uint16_t flags, char ret_text[16])
{
	unsigned int opcode = flags >> 11 & 15;

	if (opcode == 0)
		snprintf(ret_text, 16, "QUERY");
	else
		snprintf(ret_text, 16, "OPCODE%u", opcode);
}

void message_format_class(uint16_t class, char ret_text[16])
{
	if (class == CLASS_IN)
		snprintf(ret_text, 16, "IN");
	else
		snprintf(ret_text, 16, "CLASS%u", class);
}

static void add_text(struct message_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_text(struct message_text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->data + t->len, t->cap - t->len, format, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n < t->cap - t->len ? (size_t)n : t->cap - t->len - 1;
}

static void add_name(struct message_text *t, struct message_reader *r)
{
	struct dns_name name;
	char buf[DNS_NAME_TEXT_MAX];

	take_name(r, &name);
	if (r->is_bad)
		return;
	dns_name_format(name.data, name.len, buf, sizeof(buf));
	add_text(t, "%s%s", t->len ? " " : "", buf);
}

static void add_address(struct message_text *t, const uint8_t *octets, int family)
{
	char buf[INET6_ADDRSTRLEN] = "";

	inet_ntop(family, octets, buf, sizeof(buf));
	add_text(t, "%s", buf);
}

static void add_strings(struct message_text *t, struct message_reader *r)
{
	while (!r->is_bad && r->at < r->len) {
		uint8_t len = message_take_u8(r);

		add_text(t, "%s\"", t->len ? " " : "");
		for (uint8_t i = 0; i < len && !r->is_bad; i++) {
			uint8_t c = message_take_u8(r);

			add_text(t, c == '"' || c == '\\' ? "\\%c" : c >= 32 && c < 127 ? "%c" : "\\%03u", c);
		}
		add_text(t, "\"");
	}
}

/* RFC 3597 section 5: any RDATA can be told so. */
void message_format_unknown(const uint8_t *rdata, size_t len, struct message_text *t)
{
	t->len = 0;
	add_text(t, "\\# %zu%s", len, len ? " " : "");
	for (size_t i = 0; i < len; i++)
		add_text(t, "%02x", rdata[i]);
}

static void add_numbers_and_name(struct message_text *t, struct message_reader *r, int numbers)
{
	for (int i = 0; i < numbers; i++)
		add_text(t, "%s%u", i ? " " : "", message_take_u16(r));
	add_name(t, r);
}

static void add_soa(struct message_text *t, struct message_reader *r)
{
	add_name(t, r);
	add_name(t, r);
	for (int i = 0; i < 5; i++)
		add_text(t, " %u", take_u32(r));
}

/* Names in RDATA may point back into the message, so the reader sees it from its start, and nothing behind it. */
void message_format_rdata(const uint8_t *message, const struct message_record *rr, struct message_text *t)
{
	struct message_reader r = {.data = message, .len = rr->rdata_at + rr->rdata_len, .at = rr->rdata_at};
	const uint8_t *rdata = message + rr->rdata_at;

	t->len = 0;
	t->data[0] = '\0';
	if (rr->class == CLASS_IN && rr->type == TYPE_A && rr->rdata_len == 4)
		return add_address(t, rdata, AF_INET);
	if (rr->class == CLASS_IN && rr->type == TYPE_AAAA && rr->rdata_len == 16)
		return add_address(t, rdata, AF_INET6);
	switch (rr->type) {
	case TYPE_NS:
	case TYPE_CNAME:
	case TYPE_PTR:
		add_name(t, &r);
		break;
	case TYPE_SRV:
		add_numbers_and_name(t, &r, 3);
		break;
	case TYPE_SOA:
		add_soa(t, &r);
		break;
	case TYPE_TXT:
		add_strings(t, &r);
		break;
	default:
		r.is_bad = true;
	}
	if (r.is_bad || r.at != r.len)
		message_format_unknown(rdata, rr->rdata_len, t);
}
