/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every bound that the datapath and the controller share. Octets unless the name says otherwise. */
#pragma once

/* RFC 1035 section 2.3.4: a name in wire format, root label included. */
#define NODENS_NAME_MAX 255
#define NODENS_LABEL_MAX 63
/* A name is handled in words of eight octets. */
#define NODENS_NAME_WORDS 32

#define NODENS_DNS_HEADER_LEN 12
/* QTYPE and QCLASS behind the name of a question. */
#define NODENS_QUESTION_TAIL_LEN 4

/* RFC 1035 section 4.2.1: what a client without an OPT accepts over UDP. */
#define NODENS_UDP_SIZE_MIN 512
/* The largest message the datapath builds. What does not fit and was not cut by the client's size or the interface's
 * MTU is passed on. The verifier walks copy loops up to this bound. */
#define NODENS_MESSAGE_MAX 4096

/* OPT record: root owner, type, size, extended rcode, version, flags, RDLENGTH (RFC 6891 section 6.1.2). */
#define NODENS_OPT_LEN 11
/* COOKIE option: header, client cookie 8, server cookie 8 to 32 (RFC 7873 section 4). */
#define NODENS_COOKIE_OPTION_MAX (4 + 40)
#define NODENS_OPT_MAX (NODENS_OPT_LEN + NODENS_COOKIE_OPTION_MAX)

/* An address record whose owner is a pointer to the question: owner 2, type 2, class 2, TTL 4, RDLENGTH 2, address. */
#define NODENS_A_LEN 16
#define NODENS_AAAA_LEN 28

/* Index: buckets of eight 64-bit entries, one cache line. */
#define NODENS_BUCKET_ENTRIES 8
#define NODENS_BUCKET_LEN 64

/* Arena: pages of 1 MiB cut into units of 64 octets. A blob never crosses a page. The slack behind a page lets the
 * verifier see that a copy which starts inside the page stays inside the map's value. */
#define NODENS_PAGE_LEN (1U << 20)
#define NODENS_PAGE_SLACK (16U << 10)
#define NODENS_UNIT_LEN 64U
#define NODENS_UNITS_PER_PAGE (NODENS_PAGE_LEN / NODENS_UNIT_LEN)
#define NODENS_PAGES_MAX 4096U

/* A frame that holds a query; larger ones are not DNS questions we answer. */
#define NODENS_QUERY_FRAME_MAX 700

#define NODENS_SERVERS_MAX 1024
#define NODENS_INTERFACES_MAX 8192
#define NODENS_ALLOW_MAX 1024
#define NODENS_ZONE_TEXT_MAX 256
#define NODENS_SOA_MAX 64
