/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The one list of verdicts. Every datagram that the datapath sees ends in exactly one of them, and each is counted
 * (struct nodens_verdicts in abi.h). X(NAME, name, meaning)
 *
 * The first three are answers. All others pass the datagram on, byte for byte. On an interface with XDP in front of TC what XDP
 * answers is counted there; what it passes on the TC program sees next, and counts.
 */
#pragma once

#define NODENS_VERDICTS(X)                                                                                          \
	X(ANSWERED, answered, "answered with records")                                                              \
	X(NODATA, nodata, "answered: the name exists, this type does not (SOA in the authority section)")           \
	X(TRUNCATED, truncated, "answered with TC and what fits; the client comes back over TCP")                   \
	X(NOT_DNS, not_dns, "passed: not UDP to one of the DNS server addresses")                                   \
	X(NOT_SYNCED, not_synced, "passed: the controller has not loaded the cluster's records yet")                \
	X(STALE, stale, "passed: no sign of life from the controller within --stale-after")                         \
	X(CLOSED, closed, "passed: the controller closed the gate (see nodens status)")                             \
	X(INTERFACE, interface, "passed: not an interface that is answered on")                                     \
	X(SOURCE, source, "passed: a source that is not answered (port 0 or 53, not unicast, not in --allow-from)") \
	X(IP_HEADER, ip_header, "passed: IPv4 options, a wrong IPv4 header checksum or a fragment")                 \
	X(SEGMENTS, segments, "passed: several datagrams in one GSO packet")                                        \
	X(UDP_CHECKSUM, udp_checksum, "passed: wrong UDP checksum, or none over IPv6")                              \
	X(LENGTH, length, "passed: lengths of frame, IP, UDP and DNS disagree")       \
	X(FLAGS, flags, "passed: not a plain query (QR, opcode or TC)")                                             \
	X(COUNTS, counts, "passed: not one question with at most one OPT")                                          \
	X(CLASS, class, "passed: class is not IN")                                                                  \
	X(EDNS, edns, "passed: an OPT that is not version 0 with no option or one COOKIE")                          \
	X(NO_NAME, no_name, "passed: the name is not in the index")                                                 \
	X(NAME_PASSED, name_passed, "passed: the name is not wholly known or understood")                           \
	X(TYPE, type, "passed: this type of the name is left to the upstream")                                      \
	X(TOO_BIG, too_big, "passed: the answer is larger than the datapath builds")                                \
	X(NO_ROOM, no_room, "passed: the kernel would not grow the packet")

enum nodens_verdict {
#define X(NAME, name, meaning) NODENS_VERDICT_##NAME,
	NODENS_VERDICTS(X)
#undef X
	NODENS_VERDICT_COUNT
};

/* The first verdict that passes the datagram on. */
#define NODENS_VERDICT_FIRST_PASS NODENS_VERDICT_NOT_DNS
