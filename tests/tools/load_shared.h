/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the test and its load generator share: a file mapped by both (tests/survive/load.py has the other side). The test
 * writes what may be answered and when; the generator judges each answer by it as it comes and counts. All numbers are
 * __u64, times are CLOCK_MONOTONIC in nanoseconds.
 *
 * Objects have versions, 1 and up, and all names change at once. An address tells whose it is:
 *
 *   | 16 + version, bits 12 to 15 | name; index, bit 4 | version, bits 4 to 11 | version, bits 0 to 3; index, bits 0 to 3 |
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

#define LOAD_NAMES_MAX 128
#define LOAD_RECORDS_MAX 29 /* what fits into 512 octets with such a name */
#define LOAD_VERSIONS 65536
#define LOAD_ROUNDS 1024

/* A query belongs to the round in which it was sent. */
struct load_round {
	/* By the test: whoever asks from then until then must not be answered by the node. 0: no such time, no end. */
	__u64 silent_from_ns, silent_until_ns;
	/* By the generator. sent = answered + passed + missed + lost + wrong, once all are back or a second has gone by. */
	__u64 sent;
	__u64 answered;	  /* by the node, right */
	__u64 passed;	  /* names of ours that the upstream answered */
	__u64 missed;	  /* names of nobody, answered by the upstream */
	__u64 lost;	  /* no answer within a second */
	__u64 late;	  /* … of these: it came after that */
	__u64 wrong;	  /* all below */
	__u64 torn;	  /* not one whole version of one name, or no answer at all */
	__u64 foreign;	  /* whole, but of another name */
	__u64 early;	  /* of a version that was not written yet */
	__u64 stale;	  /* of a version that may not be answered any more */
	__u64 spoken;	  /* while the node must be silent */
	__u64 oldest_ns;  /* of all answers: how long something newer was there when it was asked for */
	__u64 slowest_ns; /* from sending to receiving */
	__u64 began_ns, ended_ns; /* of sending */
};

struct load_version {
	__u64 begin_ns;	    /* it cannot be known before */
	__u64 replaced_ns;  /* something newer is there. 0: no */
	__u64 forbidden_ns; /* who asks from then on must not get it. 0: no such time */
};

struct load_shared {
	__u64 should_stop;
	__u64 round;
	__u64 is_ready;
	struct load_round rounds[LOAD_ROUNDS];
	struct load_version versions[LOAD_VERSIONS];
};

struct load_range {
	__u32 min, max; /* records of a name */
};

static inline __u32 load_count(struct load_range range, __u32 name, __u32 version)
{
	__u32 mixed = (name * 0x9e3779b9U) ^ (version * 0x85ebca6bU);

	return range.min + (mixed >> 8) % (range.max - range.min + 1);
}

static inline void load_address(__u32 name, __u32 version, __u32 index, __u8 ret_address[4])
{
	ret_address[0] = (__u8)(16 + (version >> 12));
	ret_address[1] = (__u8)(name << 1 | index >> 4);
	ret_address[2] = (__u8)(version >> 4);
	ret_address[3] = (__u8)(version << 4 | (index & 15));
}
