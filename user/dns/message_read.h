/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a DNS message that may come from anybody: the error sticks, nothing is read behind the end, and every walk
 * ends. What message.c, message_read.c and message_print.c share. */
#pragma once

#include "dns/message.h"

#define TYPE_A	      1
#define TYPE_NS	      2
#define TYPE_CNAME    5
#define TYPE_SOA      6
#define TYPE_PTR      12
#define TYPE_TXT      16
#define TYPE_AAAA     28
#define TYPE_SRV      33
#define TYPE_OPT      41

#define CLASS_IN      1
#define OPTION_COOKIE 10
#define EDNS_DO	      0x8000
/* An owner and the longest RDATA of a message, escaped: four characters an octet, and some words. */
#define RDATA_TEXT_MAX (4 * 65536 + 64)

struct message_reader {
	const uint8_t *data;
	size_t len;
	size_t at;
	bool is_bad;
};

struct message_header {
	uint16_t id, flags, count[4]; /* question, answer, authority, additional */
};

struct message_record {
	struct dns_name owner;
	uint16_t type, class;
	uint32_t ttl_s;
	size_t rdata_at;
	uint16_t rdata_len;
};

/* Text that grows in a buffer; what does not fit is dropped. */
struct message_text {
	char *data;
	size_t len, cap;
};

uint16_t message_take_u16(struct message_reader *r);
uint8_t message_take_u8(struct message_reader *r);
void message_take_header(struct message_reader *r, struct message_header *h);
/* Owner, type and class alone. */
void message_take_question(struct message_reader *r, struct message_record *q);
void message_take_record(struct message_reader *r, struct message_record *rr);

/* "qr aa rd", "NOERROR", "QUERY", "IN". */
void message_format_flags(uint16_t flags, char ret_text[64]);
void message_format_rcode(uint16_t flags, char ret_text[16]);
void message_format_opcode(uint16_t flags, char ret_text[16]);
void message_format_class(uint16_t class, char ret_text[16]);
/* Master file text; what is not of its type's form, or of no type that is known, in the form of RFC 3597 section 5. */
void message_format_rdata(const uint8_t *message, const struct message_record *rr, struct message_text *t);
/* The form of RFC 3597 section 5. */
void message_format_unknown(const uint8_t *rdata, size_t len, struct message_text *t);
