/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages for `nodens lookup`: queries, and the names of types. */
#include "dns/message.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dns/message_read.h"

static const struct {
	const char *name;
	uint16_t type;
} type_names[] = {
	{"A", TYPE_A}, {"NS", TYPE_NS}, {"CNAME", TYPE_CNAME}, {"SOA", TYPE_SOA},   {"PTR", TYPE_PTR},
	{"HINFO", 13}, {"MX", 15},	{"TXT", TYPE_TXT},     {"AAAA", TYPE_AAAA}, {"SRV", TYPE_SRV},
	{"NAPTR", 35}, {"DNAME", 39},	{"OPT", TYPE_OPT},     {"DS", 43},	    {"RRSIG", 46},
	{"NSEC", 47},  {"DNSKEY", 48},	{"TLSA", 52},	       {"SVCB", 64},	    {"HTTPS", 65},
	{"SPF", 99},   {"IXFR", 251},	{"AXFR", 252},	       {"ANY", 255},	    {"CAA", 257},
};
#define TYPE_NAME_COUNT (sizeof(type_names) / sizeof(type_names[0]))

/* ---- queries ---- */

size_t message_build_query(const struct message_query *query, uint8_t ret_query[MESSAGE_QUERY_MAX])
{
	struct wire w;

	wire_init(&w, ret_query, MESSAGE_QUERY_MAX);
	wire_put_u16(&w, query->id);
	wire_put_u16(&w, 0x0100); /* RD */
	wire_put_u16(&w, 1);
	wire_put_u16(&w, 0);
	wire_put_u16(&w, 0);
	wire_put_u16(&w, query->has_edns);
	wire_put_bytes(&w, query->name.data, query->name.len);
	wire_put_u16(&w, query->type);
	wire_put_u16(&w, CLASS_IN);
	if (!query->has_edns)
		return w.len;
	wire_put_u8(&w, 0);
	wire_put_u16(&w, TYPE_OPT);
	wire_put_u16(&w, query->udp_size);
	wire_put_u16(&w, 0);
	wire_put_u16(&w, query->is_dnssec_ok ? EDNS_DO : 0);
	wire_put_u16(&w, query->has_cookie ? 4 + sizeof(query->cookie) : 0);
	if (query->has_cookie) {
		wire_put_u16(&w, OPTION_COOKIE);
		wire_put_u16(&w, sizeof(query->cookie));
		wire_put_bytes(&w, query->cookie, sizeof(query->cookie));
	}
	return w.len;
}

bool message_parse_type(const char *text, uint16_t *ret_type)
{
	char *end;
	unsigned long number;

	for (size_t i = 0; i < TYPE_NAME_COUNT; i++) {
		if (strcasecmp(type_names[i].name, text) == 0) {
			*ret_type = type_names[i].type;
			return true;
		}
	}
	if (strncasecmp(text, "TYPE", 4) != 0 || !isdigit((unsigned char)text[4]))
		return false;
	number = strtoul(text + 4, &end, 10);
	if (*end || number > 65535)
		return false;
	*ret_type = (uint16_t)number;
	return true;
}

void message_format_type(uint16_t type, char ret_text[16])
{
	for (size_t i = 0; i < TYPE_NAME_COUNT; i++) {
		if (type_names[i].type == type) {
			snprintf(ret_text, 16, "%s", type_names[i].name);
			return;
		}
	}
	snprintf(ret_text, 16, "TYPE%u", type);
}
