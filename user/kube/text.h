/* SPDX-License-Identifier: Apache-2.0 */
/* What the texts inside of objects must look like: names, addresses; and how messages quote them. */
#pragma once

#include <stdbool.h>

#include "kube/object.h"

/* A label of RFC 1123 section 2.1 in lower case, at most 63 octets. */
bool text_is_label(const char *s);
/* Such labels with dots between them, at most 253 octets; a single one may be longer than 63, as the API has it. */
bool text_is_subdomain(const char *s);
/* Only the canonical text: the stored text becomes the endpoint's name and is what CoreDNS compares for PTR. IPv6 with
 * a dotted part (mapped, compatible) has several readings and is none. */
bool text_parse_addr(const char *text, struct kube_addr *ret_addr);

struct quoted {
	char text[72];
};

/* For messages: cut, and without octets that could upset a terminal. */
struct quoted text_quote(const char *s);
