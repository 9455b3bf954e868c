/* SPDX-License-Identifier: Apache-2.0 */
/* A DNS message as dig prints it, and as JSON. */
#include <errno.h>
#include <stdlib.h>

#include "base/jsonout.h"
#include "dns/message_read.h"

/* ---- printing ---- */

static const char *const section_names[4] = {"QUESTION", "ANSWER", "AUTHORITY", "ADDITIONAL"};

static int bad_message(struct error *e, const char *where)
{
	return error_set(e, -EBADMSG, "not a whole DNS message: cut off or damaged in the %s", where);
}

static void print_option(FILE *out, struct message_reader *r)
{
	uint16_t code = message_take_u16(r), len = message_take_u16(r);

	if (r->is_bad)
		return;
	if (code == OPTION_COOKIE)
		fprintf(out, "; COOKIE: ");
	else
		fprintf(out, "; OPT=%u: ", code);
	for (uint16_t i = 0; i < len && !r->is_bad; i++)
		fprintf(out, "%02x", message_take_u8(r));
	fprintf(out, "\n");
}

static void print_opt(FILE *out, const uint8_t *message, const struct message_record *rr)
{
	struct message_reader r = {.data = message, .len = rr->rdata_at + rr->rdata_len, .at = rr->rdata_at};

	fprintf(out, ";; OPT PSEUDOSECTION:\n; EDNS: version: %u, flags:%s; udp: %u\n", rr->ttl_s >> 16 & 0xff,
		rr->ttl_s & EDNS_DO ? " do" : "", rr->class);
	while (!r.is_bad && r.at < r.len)
		print_option(out, &r);
}

static void print_record(FILE *out, const uint8_t *message, const struct message_record *rr, struct message_text *t)
{
	char owner[DNS_NAME_TEXT_MAX], type[16], class[16];

	dns_name_format(rr->owner.data, rr->owner.len, owner, sizeof(owner));
	message_format_type(rr->type, type);
	message_format_class(rr->class, class);
	message_format_rdata(message, rr, t);
	fprintf(out, "%s\t%u\t%s\t%s\t%s\n", owner, rr->ttl_s, class, type, t->data);
}

static void print_question(FILE *out, const struct message_record *q)
{
	char owner[DNS_NAME_TEXT_MAX], type[16], class[16];

	dns_name_format(q->owner.data, q->owner.len, owner, sizeof(owner));
	message_format_type(q->type, type);
	message_format_class(q->class, class);
	fprintf(out, ";%s\t\t%s\t%s\n", owner, class, type);
}

static void print_header(FILE *out, const struct message_header *h)
{
	char rcode[16], opcode[16], flags[64];

	message_format_rcode(h->flags, rcode);
	message_format_opcode(h->flags, opcode);
	message_format_flags(h->flags, flags);
	fprintf(out, ";; ->>HEADER<<- opcode: %s, status: %s, id: %u\n", opcode, rcode, h->id);
	fprintf(out, ";; flags: %s; QUERY: %u, ANSWER: %u, AUTHORITY: %u, ADDITIONAL: %u\n\n", flags, h->count[0],
		h->count[1], h->count[2], h->count[3]);
}

/* dig prints the OPT before the question, wherever it stands in the message. */
static void print_opt_of(FILE *out, struct message_reader r, const struct message_header *h)
{
	unsigned int records = (unsigned int)h->count[1] + h->count[2] + h->count[3];
	struct message_record rr;

	for (unsigned int i = 0; i < h->count[0] && !r.is_bad; i++)
		message_take_question(&r, &rr);
	for (unsigned int i = 0; i < records && !r.is_bad; i++) {
		message_take_record(&r, &rr);
		if (!r.is_bad && rr.type == TYPE_OPT)
			print_opt(out, r.data, &rr);
	}
}

/* A section that holds nothing but an OPT has no heading of its own. */
static void print_section(FILE *out, struct message_reader *r, unsigned int count, const char *name,
			  struct message_text *t)
{
	bool has_heading = false;

	for (unsigned int i = 0; i < count && !r->is_bad; i++) {
		struct message_record rr;

		message_take_record(r, &rr);
		if (r->is_bad || rr.type == TYPE_OPT)
			continue;
		if (!has_heading)
			fprintf(out, ";; %s SECTION:\n", name);
		has_heading = true;
		print_record(out, r->data, &rr, t);
	}
	if (has_heading)
		fprintf(out, "\n");
}

static void print_questions(FILE *out, struct message_reader *r, unsigned int count)
{
	if (count)
		fprintf(out, ";; QUESTION SECTION:\n");
	for (unsigned int i = 0; i < count && !r->is_bad; i++) {
		struct message_record q;

		message_take_question(r, &q);
		if (!r->is_bad)
			print_question(out, &q);
	}
	if (count)
		fprintf(out, "\n");
}

int message_print(FILE *out, const uint8_t *message, size_t len, struct error *e)
{
	struct message_reader r = {.data = message, .len = len};
	struct message_text t = {.data = malloc(RDATA_TEXT_MAX), .cap = RDATA_TEXT_MAX};
	struct message_header h;
	int section = 0;

	if (!t.data)
		return -ENOMEM;
	message_take_header(&r, &h);
	if (!r.is_bad) {
		print_header(out, &h);
		print_opt_of(out, r, &h);
		print_questions(out, &r, h.count[0]);
	}
	while (!r.is_bad && ++section < 4)
		print_section(out, &r, h.count[section], section_names[section], &t);
	free(t.data);
	if (r.is_bad)
		return bad_message(e, r.at < NODENS_DNS_HEADER_LEN ? "header" : section_names[section]);
	if (r.at != r.len)
		return error_set(e, -EBADMSG, "%zu octets behind the message", r.len - r.at);
	return 0;
}

/* ---- JSON ---- */

static void put_record_json(struct jsonout *j, const uint8_t *message, const struct message_record *rr,
			    struct message_text *t)
{
	char owner[DNS_NAME_TEXT_MAX], type[16];

	dns_name_format(rr->owner.data, rr->owner.len, owner, sizeof(owner));
	message_format_type(rr->type, type);
	jsonout_open_object(j, NULL);
	jsonout_text(j, "name", owner);
	jsonout_text(j, "type", type);
	if (t && rr->type == TYPE_OPT) {
		jsonout_number(j, "udp_size", rr->class);
		jsonout_bool(j, "dnssec_ok", rr->ttl_s & EDNS_DO);
		message_format_unknown(message + rr->rdata_at, rr->rdata_len, t);
	} else if (t) {
		jsonout_number(j, "ttl_s", rr->ttl_s);
		message_format_rdata(message, rr, t);
	}
	if (t)
		jsonout_text(j, "data", t->data);
	jsonout_close(j, '}');
}

static void put_section_json(struct jsonout *j, struct message_reader *r, const char *key, unsigned int count,
			     struct message_text *t)
{
	struct message_record rr;

	jsonout_open_array(j, key);
	for (unsigned int i = 0; i < count && !r->is_bad; i++) {
		if (t)
			message_take_record(r, &rr);
		else
			message_take_question(r, &rr);
		if (!r->is_bad)
			put_record_json(j, r->data, &rr, t);
	}
	jsonout_close(j, ']');
}

int message_print_json(struct jsonout *j, const uint8_t *message, size_t len, struct error *e)
{
	static const char *const keys[4] = {"question", "answer", "authority", "additional"};
	struct message_reader r = {.data = message, .len = len};
	struct message_text t = {.data = malloc(RDATA_TEXT_MAX), .cap = RDATA_TEXT_MAX};
	char rcode[16], flags[64];
	struct message_header h;

	if (!t.data)
		return -ENOMEM;
	message_take_header(&r, &h);
	message_format_rcode(h.flags, rcode);
	message_format_flags(h.flags, flags);
	jsonout_text(j, "status", rcode);
	jsonout_number(j, "id", h.id);
	jsonout_text(j, "flags", flags);
	for (int i = 0; i < 4; i++)
		put_section_json(j, &r, keys[i], r.is_bad ? 0 : h.count[i], i ? &t : NULL);
	free(t.data);
	if (r.is_bad)
		return bad_message(e, "message");
	return r.at == r.len ? 0 : error_set(e, -EBADMSG, "%zu octets behind the message", r.len - r.at);
}
