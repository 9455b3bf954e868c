/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What lies in the maps: the single contract between the controller, the datapath, `nodens status|lookup|records` of
 * another process, and bpftool. A generation whose NODENS_ABI_VERSION differs is never read, only removed.
 *
 * Integers are in host byte order unless their type says otherwise (__be16, __be32). "Sum" is the ones-complement sum
 * (RFC 1071) of 16-bit words as the host loads them, folded to 16 bits and not complemented.
 *
 *   index   array of buckets            struct nodens_bucket      mmapable, one atomic 64-bit store per change
 *   arena   array of 1 MiB pages        struct nodens_name …      mmapable, blobs of 64-octet units
 *   config  one element                 struct nodens_config      mmapable
 *   status  one element                 struct nodens_status      mmapable, written for people, not read by programs
 *   verdicts one element per CPU        struct nodens_verdicts
 *   servers4, servers6                  struct nodens_server4_key, nodens_server6_key -> struct nodens_server
 *   interfaces  by ifindex              struct nodens_interface
 *   interface_slots                     __u64, see nodens_interface_slot
 *   allow4, allow6  longest prefix      struct nodens_allow4_key, nodens_allow6_key -> __u8
 */
#pragma once

#include <linux/types.h>

#include "nodens/limits.h"
#include "nodens/verdict.h"

#define NODENS_ABI_VERSION 2U

#define NODENS_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), "layout of " #type)
#define NODENS_ASSERT_OFFSET(type, member, offset)                                                                  \
	_Static_assert(__builtin_offsetof(type, member) == (offset), "layout of " #type "." #member)

/* ---- index ------------------------------------------------------------------------------------------------------ */

/* An entry is (tag << 32 | blob). 0 is empty: a tag is never 0. blob counts 64-octet units from the start of the
 * arena: page = blob / NODENS_UNITS_PER_PAGE. */
struct nodens_bucket {
	__u64 entry[NODENS_BUCKET_ENTRIES];
};
NODENS_ASSERT_SIZE(struct nodens_bucket, NODENS_BUCKET_LEN);

/* ---- arena ------------------------------------------------------------------------------------------------------ */

enum nodens_name_flag {
	NODENS_NAME_PASS = 1 << 0,    /* not wholly known: every type is passed on */
	NODENS_NAME_CUT = 1 << 1,     /* names below this one are not wholly known either (for --answer zone) */
	NODENS_NAME_REVERSE = 1 << 2, /* in a reverse zone: other types than PTR are passed on, never NODATA */
};

/* Which section a QTYPE is answered from. PTR and A share a slot: a reverse name has only PTR, others never have. */
enum nodens_slot {
	NODENS_SLOT_A = 0,
	NODENS_SLOT_PTR = 0,
	NODENS_SLOT_AAAA = 1,
	NODENS_SLOT_SRV = 2,
	NODENS_SLOT_COUNT = 3,
};

/* count records begin `off` octets behind the start of the blob; count 0 and off 0: NODATA;
 * count 0 and off NODENS_SECTION_PASS: this type alone is passed on.
 *
 * A and AAAA: an array of complete records whose owner is a pointer to the question (NODENS_A_LEN, NODENS_AAAA_LEN), and
 * behind it the first records once more (nodens_stored_records), so that an answer that begins at any record is one
 * straight copy. sum is that of the `count` records.
 * SRV and PTR: off is a multiple of 8 and a struct nodens_list lies there; sum is that of all its records, the
 * additional ones included. */
struct nodens_section {
	__u32 off;
	__u16 count; /* records of the answer section */
	__u16 sum;
};
NODENS_ASSERT_SIZE(struct nodens_section, 8);
#define NODENS_SECTION_PASS 0xffffffffU

/* Records in an A or AAAA section with `count` different ones: an answer that begins at the last one needs all others
 * behind it, but no more than a message holds. */
static inline __u32 nodens_stored_records(__u32 count, __u32 rr_len)
{
	__u32 answer_max = NODENS_MESSAGE_MAX / rr_len;

	return count == 0 ? 0 : count + (count < answer_max ? count : answer_max) - 1;
}

/*
 * A blob: everything about one owner name.
 *
 *   0   struct nodens_name            32 octets
 *   32  the name in wire format, lower case, root label included, zeros up to a multiple of 8
 *   …   sections, at the offsets given
 */
struct nodens_name {
	__u8 name_len; /* octets in wire format, root label included */
	__u8 flags;    /* enum nodens_name_flag */
	__u16 reserved;
	__u32 blob_len; /* octets, from the start of this struct to the end of the last section */
	struct nodens_section section[NODENS_SLOT_COUNT];
	__u64 name[];
};
NODENS_ASSERT_SIZE(struct nodens_name, 32);

/*
 * Records of varying length, for SRV (with address records as glue) and PTR:
 *
 *   0   struct nodens_list                       16 octets
 *   16  __u16 end[answers + additionals]         where each record ends, octets from the start of the records
 *   …   zeros up to a multiple of 8
 *   …   the records: answers, then additionals   (rrs_off octets behind the start of this struct)
 *
 * Owners of answers are pointers to the question (0xc00c); owners of additionals are pointers into the RDATA of the
 * answers, right for a message whose question is this blob's name. At most what NODENS_MESSAGE_MAX can hold is stored.
 */
struct nodens_list {
	__u16 answers;
	__u16 additionals;
	__u16 answers_len; /* octets of all answers */
	__u16 rrs_len;     /* octets of all answers and additionals */
	__u16 rrs_off;
	__u8 is_cut; /* 1: the name has more records than are stored here */
	__u8 reserved[5];
	__u16 end[];
};
NODENS_ASSERT_SIZE(struct nodens_list, 16);

/* ---- configuration ---------------------------------------------------------------------------------------------- */

enum nodens_gate {
	NODENS_GATE_NOT_SYNCED = 0, /* everything passes: records are not loaded yet */
	NODENS_GATE_OPEN = 1,
	NODENS_GATE_CLOSED = 2, /* everything passes: the controller says so (source silent, unreadable object) */
};

/* Where the pointers into the question's zone stand in nodens_config.soa: owner, MNAME, RNAME. */
#define NODENS_SOA_OWNER_OFF 0
#define NODENS_SOA_MNAME_OFF 19
#define NODENS_SOA_RNAME_OFF 32
#define NODENS_SOA_SERIAL_OFF 34
#define NODENS_SOA_LEN 54

struct nodens_config {
	/* The gate shuts when bpf_jiffies64() passes this. One 64-bit store, from the loop that applies updates. */
	__u64 deadline_jiffies;
	enum nodens_gate gate;
	__u32 soa_serial;
	__u32 ttl_s;
	__u32 abi_version;
	__u8 zone_len;   /* octets of the zone in wire format, root label included */
	__u8 soa_len;    /* NODENS_SOA_LEN */
	/* One entry of servers4, looked at before the map: nearly every query goes there. Port 0: none. Written port 0, then
	 * address, then port, so that a reader never sees one's address with another's port. */
	__be16 server4_port;
	__be32 server4_addr;
	/* SOA record for the authority section, in wire format. Its three pointers and its serial are zero here; the
	 * datapath fills them in: 0xc000 | (offset of the zone in the question). */
	__u8 soa[NODENS_SOA_MAX];
	char zone[NODENS_ZONE_TEXT_MAX]; /* text, for people */
	char answer[16];                 /* --answer, for people */
};
NODENS_ASSERT_OFFSET(struct nodens_config, deadline_jiffies, 0);
NODENS_ASSERT_OFFSET(struct nodens_config, server4_addr, 28);
NODENS_ASSERT_OFFSET(struct nodens_config, soa, 32);
NODENS_ASSERT_SIZE(struct nodens_config, 32 + NODENS_SOA_MAX + NODENS_ZONE_TEXT_MAX + 16);

struct nodens_verdicts {
#define X(NAME, name, meaning) __u64 name;
	NODENS_VERDICTS(X)
#undef X
};
NODENS_ASSERT_SIZE(struct nodens_verdicts, 8 * NODENS_VERDICT_COUNT);

/* ---- server addresses ------------------------------------------------------------------------------------------- */

struct nodens_server4_key {
	__be32 addr;
	__be16 port;
	__u16 reserved;
};
NODENS_ASSERT_SIZE(struct nodens_server4_key, 8);

struct nodens_server6_key {
	__u8 addr[16];
	__be16 port;
	__u16 reserved;
};
NODENS_ASSERT_SIZE(struct nodens_server6_key, 20);

struct nodens_server {
	char address[48]; /* "10.96.0.10:53", "[fd00::a]:53", for people */
	char origin[16];  /* "flag", "cluster-ip", "endpoint", "node-local" */
};

/* ---- interfaces ------------------------------------------------------------------------------------------------- */

enum nodens_hook {
	NODENS_HOOK_NONE = 0,
	NODENS_HOOK_TCX = 1,
	NODENS_HOOK_CLSACT = 2,
	NODENS_HOOK_XDP = 3,
};

enum nodens_interface_flag {
	NODENS_INTERFACE_PEER = 1 << 0,  /* a veth with its peer in another namespace: answer by bpf_redirect_peer */
	NODENS_INTERFACE_ALLOW = 1 << 1, /* only sources in allow4/allow6 are answered */
};

/* Key: __u32 ifindex. hook NONE: seen and skipped, `reason` tells why. */
struct nodens_interface {
	__u32 mtu; /* octets of an IP packet */
	enum nodens_hook hook; /* of TC: NODENS_HOOK_TCX or NODENS_HOOK_CLSACT */
	__u32 flags;
	__u32 priority; /* clsact: tc priority */
	__u32 handle;   /* clsact: filter handle */
	enum nodens_hook xdp; /* NODENS_HOOK_XDP: the XDP program is attached besides; else NODENS_HOOK_NONE */
	char name[16];
	char reason[88];
};
NODENS_ASSERT_SIZE(struct nodens_interface, 128);

/* A shortcut into `interfaces` for those that are answered on: interface_slots[ifindex % NODENS_INTERFACE_SLOTS] is
 * (ifindex << 32 | flags << 24 | mtu), or another interface's or 0, and then the map is asked. */
#define NODENS_INTERFACE_SLOTS 1024
#define NODENS_INTERFACE_MTU_MAX 0xffffff

static inline __u64 nodens_interface_slot(__u32 ifindex, __u32 flags, __u32 mtu)
{
	return (__u64)ifindex << 32 | (__u64)(flags & 0xff) << 24 | (mtu < NODENS_INTERFACE_MTU_MAX ? mtu : NODENS_INTERFACE_MTU_MAX);
}

struct nodens_allow4_key {
	__u32 prefix_len;
	__be32 addr;
};
struct nodens_allow6_key {
	__u32 prefix_len;
	__u8 addr[16];
};

/* ---- status, for people and `nodens status` ----------------------------------------------------------------------- */

/* What can go wrong between us and the API server, each counted. X(name, meaning) */
#define NODENS_API_ERRORS(X)                                                                       \
	X(connect, "connections that could not be made (address, route, refused, TLS, time ran out)") \
	X(cut, "answers that ended before their end")                                               \
	X(silent, "watches without event or bookmark for too long, cut by us")                      \
	X(refused, "401 and 403")                                                                   \
	X(throttled, "429")                                                                         \
	X(failed, "5xx and other unexpected status codes")                                          \
	X(expired, "410: the resource version is too old")                                          \
	X(malformed, "answers that are not what the API sends, or lines without end")

struct nodens_api_errors {
#define X(name, meaning) __u64 name;
	NODENS_API_ERRORS(X)
#undef X
};

/* The Kubernetes source; all zero with a file. */
struct nodens_api_status {
	__u64 event_ms;      /* last event or bookmark */
	__u64 events;	     /* ADDED, MODIFIED, DELETED after the first list */
	__u64 octets;	     /* bodies received */
	__u64 relists;	     /* lists after the first one */
	__u64 reconnects;    /* watches taken up again */
	struct nodens_api_errors errors;
	/* What the records are not older than, and whose versions these are: never back in time across restarts. */
	char service_version[32]; /* resourceVersion, "" : none */
	char slice_version[32];
	char server[96];	  /* URL */
	__u64 server_identity;	  /* hash of URL and CA */
};

/* Times are CLOCK_REALTIME in milliseconds, 0: never. */
struct nodens_status {
	__u32 abi_version;
	__u32 pid;
	__u64 generation;
	__u64 started_ms;
	__u64 heartbeat_ms;
	__u64 synced_ms;         /* since when the records are those of the source */
	__u64 ready_ms;          /* since when the interfaces there were at the start are attached */
	__u64 last_change_ms;    /* last change of a record */
	__u64 source_ok_ms;      /* when what is loaded was read from the source */
	__u64 source_error_ms;   /* since when the source cannot be read, 0: it can */
	__u64 names;             /* in the index, pass markers included */
	__u64 passed_names;      /* pass markers */
	__u64 unfit_names;       /* did not fit into --max-memory, passed */
	__u64 services;
	__u64 slices;
	__u64 endpoints;
	__u64 broken_objects;
	__u64 arena_bytes;       /* in live blobs */
	__u64 arena_capacity;    /* bytes */
	__u64 map_bytes;         /* index and arena, as allocated */
	__u64 quarantined_blobs; /* freed, waiting for their grace period, now */
	__u64 retired_blobs;     /* ever put into quarantine */
	__u64 grace_periods;     /* completed */
	__u64 reused_blobs;      /* ever given out again after a grace period */
	__u64 updates;           /* names written or removed since start */
	__u64 growths;           /* generations made because a table was full */
	__u32 stale_after_ms;
	__u32 hz;                /* jiffies per second */
	char version[48];
	char source[128];
	char host[64];
	char pod[64]; /* "": not in a pod, or not told */
	char source_error[256];
	char gate_reason[128];
	char records_note[128]; /* why there is no pinned iterator `records`; "" : there is one */
	struct nodens_api_status api;
};
