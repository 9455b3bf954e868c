/* SPDX-License-Identifier: Apache-2.0 */
/* Domain names in wire format (RFC 1035 section 3.1), lower case, uncompressed, root label included. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/wire.h"
#include "nodens/limits.h"

struct dns_name {
	uint8_t len; /* octets, root label included; 0: not set */
	uint8_t data[NODENS_NAME_MAX];
};

/* "cluster.local" or "cluster.local." to wire format, lower-cased. RFC 1035 escapes (\. and \DDD) are understood.
 * -EINVAL with the cause in e: empty, empty label, label of more than 63, name of more than 255 octets, bad escape. */
int dns_name_parse(const char *text, struct dns_name *ret_name, struct error *e);
/* Master file text with a dot at the end; octets that are not letters, digits, '-' or '_' are escaped. Returns the
 * text's length; ret_text is NUL-terminated if cap > 0 and cut if it does not fit. NAME_TEXT_MAX always fits. */
#define DNS_NAME_TEXT_MAX (4 * NODENS_NAME_MAX + 1)
size_t dns_name_format(const uint8_t *wire, size_t wire_len, char *ret_text, size_t cap);
/* Checks that the octets are one whole name (labels, root, nothing behind). */
bool dns_name_is_valid(const uint8_t *wire, size_t wire_len);

/* Builds label by label; the error sticks (len 0 after dns_name_end). Labels are lower-cased. */
void dns_name_begin(struct dns_name *n);
void dns_name_add_label(struct dns_name *n, const char *label, size_t len);
/* Appends a whole name (for instance the zone) and thereby ends it. false: it does not fit, or a label was bad. */
bool dns_name_end(struct dns_name *n, const struct dns_name *origin);

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);
/* 1.0.50.10.in-addr.arpa or nibbles under ip6.arpa (RFC 3596 section 2.5). family: AF_INET or AF_INET6. */
void dns_name_reverse(int family, const uint8_t *addr, struct dns_name *ret_name);
