/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages for `nodens lookup`: builds a query, and prints a response as dig does or as JSON. Pure. The response
 * may come from anybody: whatever its octets say, reading stays within it and ends. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "dns/name.h"

#define MESSAGE_QUERY_MAX (NODENS_DNS_HEADER_LEN + NODENS_NAME_MAX + NODENS_QUESTION_TAIL_LEN + NODENS_OPT_MAX)

struct message_query {
	struct dns_name name; /* in any case: it is sent as it stands */
	uint16_t type;
	uint16_t id;
	bool has_edns;
	uint16_t udp_size;
	bool is_dnssec_ok;
	bool has_cookie;
	uint8_t cookie[8];
};

/* RD is set. Returns the query's length. */
size_t message_build_query(const struct message_query *query, uint8_t ret_query[MESSAGE_QUERY_MAX]);

/* "AAAA", "srv", "TYPE65" to the number (RFC 3597 section 5). */
bool message_parse_type(const char *text, uint16_t *ret_type);
void message_format_type(uint16_t type, char ret_text[16]);

/* dig's text without the last lines (server, size), which the command knows. -EBADMSG with e: not a whole message; what
 * was read up to there is printed. */
int message_print(FILE *out, const uint8_t *message, size_t len, struct error *e);

struct jsonout;
/* Members status, id, flags, question, answer, authority, additional of an object that is open. -EBADMSG as above. */
int message_print_json(struct jsonout *j, const uint8_t *message, size_t len, struct error *e);
