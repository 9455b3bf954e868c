/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must become of a frame, told from the frame and the record sets alone: shares no code with the datapath, and nothing
 * with what renders and stores the records. Reads octet by octet, label by label, as RFC 1035 has it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet_records.h"

/* The world around the frame. */
struct reference_world {
	const struct packet_records *records;
	const char *servers[4];	 /* "10.96.0.10", in text; port 53; ended by NULL */
	bool is_open;		 /* synced, open, not stale, one datagram, an interface that is answered on */
	uint32_t mtu;
	bool has_allow;		 /* only sources in 10.0.0.0/8 and fd00::/8 are answered */
	bool completes_checksum; /* a checksum that was left to the device is still completed */
};

enum reference_verdict { REFERENCE_PASS, REFERENCE_ANSWER, REFERENCE_EITHER };

struct reference_query {
	enum reference_verdict expected;
	/* Where not PASS: */
	const struct record_set *set;
	uint16_t qtype;
	bool is_v6, is_partial, has_opt;
	size_t ip_at, dns_at, name_len, opt_at, opt_len;
	size_t limit;	   /* octets of a message */
	size_t whole_len;  /* octets of the whole answer */
	size_t answer_len; /* of the one that is expected; 0: less than whole_len, and not told exactly */
	bool is_truncated;
};

void reference_read(const struct reference_world *world, const uint8_t *frame, size_t len, struct reference_query *ret_query);
/* Ends the program with what is wrong with this answer to the query. */
void reference_check(const struct reference_world *world, const struct reference_query *query, const uint8_t *asked,
		     const uint8_t *answer, size_t len);
