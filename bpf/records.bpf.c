// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The records as text, for people without nodens: an iterator over the index, pinned as DIR/g<number>/records. One record a
 * line, as in a master file (RFC 1035 section 5): owner, TTL, IN, type, data; comments tell what is passed on or left out. The
 * same lines as `nodens records`, without its zones, in no order.
 *
 * An object of its own over a generation's maps: where it cannot be loaded, nothing else is lost.
 *
 * Functions that are not inlined are global: the verifier walks each once, and lets only numbers go in and out (Linux 5.10). So
 * a line grows in a buffer of the reader that each of them looks up.
 */
#include <stdbool.h>

#include "prelude.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Octets of text for one name. Eight names are one element of the index, and an element must stay below the 32 KiB of the
 * kernel's buffer, or reading ends there with E2BIG. */
#define NAME_TEXT_MAX 3584
/* A line is longer than an owner, spaces, a TTL, a type and an address of seven letters. */
#define LINES_MAX 256
#define READERS_MAX 64

/* The buffer: lines up to OWNER_AT, of which the last may be too long for NAME_TEXT_MAX by all that a line can be; then the
 * owner's name as text. The slack behind it is for what is written at the last position. */
#define TEXT_MASK 0x1fff
#define OWNER_AT 7168
#define TEXT_LEN (TEXT_MASK + 1)
#define TEXT_SLACK 64
/* A name of 255 octets with each octet as \DDD. */
#define NAME_AS_TEXT_MAX 1008
_Static_assert(NAME_TEXT_MAX + 2 * NAME_AS_TEXT_MAX + 64 <= OWNER_AT, "the longest line fits");
_Static_assert(OWNER_AT + NAME_AS_TEXT_MAX <= TEXT_LEN, "the longest owner fits");

#define PAGE_OFF_MASK (NODENS_PAGE_LEN - 1)
#define RR_TTL_OFF 6
#define RR_RDATA_OFF 12
#define SRV_TARGET_OFF 6

struct reader {
	__u32 len; /* octets of whole lines */
	__u32 owner_len;
	__u8 text[TEXT_LEN + TEXT_SLACK];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* that of a generation is put here */
	__uint(key_size, sizeof(__u32));
	__uint(value_size, NODENS_PAGE_LEN + NODENS_PAGE_SLACK);
} arena SEC(".maps");

/* By thread, while it is in the program: a reader may be preempted by another one on the same CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, READERS_MAX);
	__type(key, __u64);
	__type(value, struct reader);
} readers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reader);
} blank SEC(".maps");

/* What the kernel gives an iterator over a map's elements. */
struct bpf_iter_meta {
	void *seq;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	void *map;
	const void *key;
	const void *value; /* NULL: behind the last one */
};

static __always_inline struct reader *find_reader(void)
{
	__u64 thread = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&readers, &thread);
}

static __always_inline const __u8 *find_page(__u32 blob, __u64 *ret_off)
{
	__u32 page = blob / NODENS_UNITS_PER_PAGE;

	*ret_off = (blob % NODENS_UNITS_PER_PAGE) * NODENS_UNIT_LEN;
	return bpf_map_lookup_elem(&arena, &page);
}

/* An offset into the page of this blob as a pointer to what is there. */
static __always_inline const __u8 *page_at(const __u8 *page, __u64 off)
{
	bound(off, PAGE_OFF_MASK);
	return page + off;
}

/* Writes one letter; the position goes on. */
#define put_char(r, at, letter)                                                                                     \
	do {                                                                                                        \
		bound(at, TEXT_MASK);                                                                               \
		(r)->text[at] = (letter);                                                                           \
		(at)++;                                                                                             \
	} while (0)

/* At most TEXT_SLACK letters. */
#define put_literal(r, at, literal)                                                                                 \
	do {                                                                                                        \
		_Static_assert(sizeof(literal) - 1 <= TEXT_SLACK, "the slack holds it");                            \
		bound(at, TEXT_MASK);                                                                               \
		__builtin_memcpy((r)->text + (at), literal, sizeof(literal) - 1);                                   \
		(at) += sizeof(literal) - 1;                                                                        \
	} while (0)

/* How an octet of a label is shown; a table, as each comparison would be one more way for the verifier to walk. */
enum shown { SHOWN_BY_NUMBER = 0, SHOWN_BEHIND_BACKSLASH, SHOWN_PLAINLY };

static const __u8 shown_as[256] = {
	['!' ... ','] = SHOWN_BEHIND_BACKSLASH, ['-'] = SHOWN_PLAINLY,
	['.' ... '/'] = SHOWN_BEHIND_BACKSLASH, ['0' ... '9'] = SHOWN_PLAINLY,
	[':' ... '@'] = SHOWN_BEHIND_BACKSLASH, ['A' ... 'Z'] = SHOWN_PLAINLY,
	['[' ... '^'] = SHOWN_BEHIND_BACKSLASH, ['_'] = SHOWN_PLAINLY,
	['`'] = SHOWN_BEHIND_BACKSLASH,		['a' ... 'z'] = SHOWN_PLAINLY,
	['{' ... '~'] = SHOWN_BEHIND_BACKSLASH,
};

/* ---- numbers and names: each returns the position behind what it wrote ---- */

__noinline int put_decimal(__u32 value, __u32 position)
{
	struct reader *r = find_reader();
	__u64 at = position, is_begun = 0, rest = value, divisor = 1000000000;

	if (!r)
		return 0;
	for (__u32 i = 0; i < 10; i++) {
		__u64 digit = rest / divisor;

		rest -= digit * divisor;
		divisor /= 10;
		if (digit != 0 || is_begun || i == 9) {
			put_char(r, at, '0' + digit);
			is_begun = 1;
		}
		launder(is_begun, rest, 1);
		launder(at, rest, 0xffff);
	}
	return at;
}

/* The name in wire format at this offset behind the start of the blob. */
__noinline int put_name(__u32 blob, __u32 name_off, __u32 position)
{
	struct reader *r = find_reader();
	__u64 off, at = position, left = 0;
	const __u8 *page = find_page(blob, &off);
	const __u8 *name;

	if (!r || !page)
		return 0;
	name = page_at(page, off + name_off);
	for (__u32 i = 0; i < NODENS_NAME_MAX; i++) {
		__u64 octet = name[i];

		if (left == 0) {
			if (i != 0)
				put_char(r, at, '.');
			if (octet == 0)
				break;
			left = octet;
		} else {
			__u64 shown = shown_as[octet];

			left--;
			if (shown != SHOWN_PLAINLY)
				put_char(r, at, '\\');
			if (shown == SHOWN_BY_NUMBER) {
				put_char(r, at, '0' + octet / 100);
				put_char(r, at, '0' + octet / 10 % 10);
				octet = '0' + octet % 10;
			}
			put_char(r, at, octet);
		}
		launder(left, octet, 0xff);
		launder(at, octet, 0xffff);
	}
	/* The root alone. */
	if (name[0] == 0)
		put_char(r, at, '.');
	return at;
}

__noinline int put_owner(__u32 position)
{
	struct reader *r = find_reader();
	__u64 at = position, len, end;

	if (!r)
		return 0;
	len = r->owner_len;
	end = len;
	launder(end, at, 0x7ff);
	bound(at, TEXT_MASK);
	/* Whole words: what is too much is written over. */
	for (__u32 i = 0; i < NAME_AS_TEXT_MAX / 8; i++) {
		__u64 to = at + 8 * i;

		if (8 * i >= end)
			break;
		bound(to, TEXT_MASK);
		store_u64(r->text + to, load_u64(r->text + OWNER_AT + 8 * i));
	}
	return at + len;
}

__noinline int put_address4(__u32 blob, __u32 address_off, __u32 position)
{
	__u64 off;
	const __u8 *page = find_page(blob, &off);
	struct reader *r = find_reader();
	const __u8 *address;
	__u64 at = position;

	if (!r || !page)
		return 0;
	address = page_at(page, off + address_off);
	for (__u32 i = 0; i < 4; i++) {
		if (i != 0)
			put_char(r, at, '.');
		at = put_decimal(address[i], at);
	}
	return at;
}

/* Four digits without zeros in front. */
__noinline int put_hex(__u32 word, __u32 position)
{
	struct reader *r = find_reader();
	__u64 at = position, is_begun = 0;

	if (!r)
		return 0;
	for (__u32 i = 0; i < 4; i++) {
		__u64 digit = word >> (12 - 4 * i) & 0xf;

		if (digit != 0 || is_begun || i == 3) {
			put_char(r, at, digit + (digit < 10 ? '0' : 'a' - 10));
			is_begun = 1;
		}
		launder(is_begun, word, 1);
		launder(at, word, 0xffff);
	}
	return at;
}

/* Of the words that are zero, a bit for each, the first of the longest runs, of two at least; 0: there is none. */
__noinline int find_run(__u32 zeros)
{
	for (__u32 len = 8; len >= 2; len--) {
		for (__u32 first = 0; first <= 8 - len; first++) {
			__u32 run = ((1U << len) - 1) << first;

			if ((zeros & run) == run)
				return run;
		}
	}
	return 0;
}

/* RFC 5952 section 4. */
__noinline int put_address6(__u32 blob, __u32 address_off, __u32 position)
{
	__u64 off;
	const __u8 *page = find_page(blob, &off);
	struct reader *r = find_reader();
	const __u8 *address;
	__u64 at = position, zeros = 0, run;

	if (!r || !page)
		return 0;
	address = page_at(page, off + address_off);
	for (__u32 i = 0; i < 8; i++)
		zeros |= ((__u64)load_u16(address + 2 * i) - 1) >> 63 << i; /* the sign of 0 - 1 */
	run = find_run(zeros);
	launder(run, zeros, 0xff);
	for (__u32 i = 0; i < 8; i++) {
		__u64 is_left_out = run >> i & 1, is_first = ~(run << 1) >> i & 1;

		if (is_left_out) {
			if (is_first)
				put_char(r, at, ':');
		} else {
			if (i != 0)
				put_char(r, at, ':');
			at = put_hex(bpf_ntohs(load_u16(address + 2 * i)), at);
		}
		launder(at, zeros, 0xffff);
	}
	if (run >> 7)
		put_char(r, at, ':');
	return at;
}

/* ---- lines ---- */

/* The line that ends here becomes a whole one, if there is room for it. */
static __always_inline bool finish_line(struct reader *r, __u64 at)
{
	put_char(r, at, '\n');
	if (at > NAME_TEXT_MAX)
		return false;
	r->len = at;
	return true;
}

/* Where record `number` of an SRV or PTR section begins, octets behind the start of the blob. */
static __always_inline __u64 list_record_off(const __u8 *page, __u64 off, __u32 section_off, __u32 number)
{
	const struct nodens_list *list = (const void *)page_at(page, off + section_off);
	__u64 before = 2 * (number - 1);

	if (number == 0)
		return section_off + list->rrs_off;
	bound(before, 0x3ff);
	return section_off + list->rrs_off + load_u16((const __u8 *)list->end + before);
}

/* Record `number` of the answer section as a line: 1, or 0: there is no room. */
__noinline int print_record(__u32 blob, __u32 slot, __u32 number)
{
	__u64 off, rr_off, at;
	const __u8 *page = find_page(blob, &off);
	struct reader *r = find_reader();
	const struct nodens_name *name;
	const __u8 *rr;
	__u32 section_off;
	bool is_reverse;

	if (!r || !page || slot >= NODENS_SLOT_COUNT)
		return 0;
	name = (const void *)page_at(page, off);
	is_reverse = name->flags & NODENS_NAME_REVERSE;
	section_off = slot == 0 ? name->section[0].off : slot == 1 ? name->section[1].off : name->section[2].off;
	if (is_reverse || slot == NODENS_SLOT_SRV)
		rr_off = list_record_off(page, off, section_off, number);
	else
		rr_off = section_off + number * (slot == NODENS_SLOT_A ? NODENS_A_LEN : NODENS_AAAA_LEN);
	bound(rr_off, PAGE_OFF_MASK);
	rr = page_at(page, off + rr_off);

	at = put_owner(r->len);
	put_char(r, at, ' ');
	at = put_decimal(bpf_ntohl(load_u32(rr + RR_TTL_OFF)), at);
	if (is_reverse) {
		put_literal(r, at, " IN PTR ");
		at = put_name(blob, rr_off + RR_RDATA_OFF, at);
	} else if (slot == NODENS_SLOT_A) {
		put_literal(r, at, " IN A ");
		at = put_address4(blob, rr_off + RR_RDATA_OFF, at);
	} else if (slot == NODENS_SLOT_AAAA) {
		put_literal(r, at, " IN AAAA ");
		at = put_address6(blob, rr_off + RR_RDATA_OFF, at);
	} else {
		put_literal(r, at, " IN SRV ");
		for (__u32 i = 0; i < 3; i++) {
			at = put_decimal(bpf_ntohs(load_u16(rr + RR_RDATA_OFF + 2 * i)), at);
			put_char(r, at, ' ');
		}
		at = put_name(blob, rr_off + RR_RDATA_OFF + SRV_TARGET_OFF, at);
	}
	return finish_line(r, at);
}

/* There are records of this type, but not here. */
__noinline int print_type_pass(__u32 blob, __u32 slot)
{
	__u64 off, at;
	const __u8 *page = find_page(blob, &off);
	struct reader *r = find_reader();
	const struct nodens_name *name;

	if (!r || !page)
		return 0;
	name = (const void *)page_at(page, off);
	at = r->len;
	put_literal(r, at, "; ");
	at = put_owner(at);
	if (name->flags & NODENS_NAME_REVERSE)
		put_literal(r, at, " PTR");
	else if (slot == NODENS_SLOT_A)
		put_literal(r, at, " A");
	else if (slot == NODENS_SLOT_AAAA)
		put_literal(r, at, " AAAA");
	else
		put_literal(r, at, " SRV");
	launder(at, blob, 0xffff);
	put_literal(r, at, " is passed on to the upstream: it cannot be stored whole");
	return finish_line(r, at);
}

__noinline int print_pass(__u32 has_names_below)
{
	struct reader *r = find_reader();
	__u64 at;

	if (!r)
		return 0;
	at = r->len;
	put_literal(r, at, "; ");
	at = put_owner(at);
	if (has_names_below)
		put_literal(r, at, " and all names below it are");
	else
		put_literal(r, at, " is");
	launder(at, has_names_below, 0xffff);
	put_literal(r, at, " passed on to the upstream: not wholly known");
	return finish_line(r, at);
}

/* All of a type, or what there is room for. Returns how many records are left. */
__noinline int print_slot(__u32 blob, __u32 slot)
{
	__u64 off, count, section_off, end, printed = 0;
	const __u8 *page = find_page(blob, &off);
	const struct nodens_name *name;

	if (!page || slot >= NODENS_SLOT_COUNT)
		return 0;
	name = (const void *)page_at(page, off);
	count = slot == 0 ? name->section[0].count : slot == 1 ? name->section[1].count : name->section[2].count;
	section_off = slot == 0 ? name->section[0].off : slot == 1 ? name->section[1].off : name->section[2].off;
	end = count;
	launder(end, section_off, 0xffff);
	for (__u32 i = 0; i < LINES_MAX; i++) {
		if (i >= end || !print_record(blob, slot, i))
			break;
		printed++;
	}
	launder(printed, section_off, 0x1ff);
	if (count != printed)
		return count - printed;
	/* Of a list that is cut (nodens_list.is_cut) nothing needs to be told: with its glue, which are the name's own addresses,
	 * it is longer than NODENS_MESSAGE_MAX, and the text of both longer than NAME_TEXT_MAX. */
	if (count == 0 && section_off == NODENS_SECTION_PASS)
		print_type_pass(blob, slot);
	return 0;
}

/* All lines of a name into the reader's buffer. Returns their length. */
__noinline int print_name(__u32 blob)
{
	__u64 off, at, left = 0;
	const __u8 *page = find_page(blob, &off);
	struct reader *r = find_reader();
	const struct nodens_name *name;

	if (!r || !page)
		return 0;
	name = (const void *)page_at(page, off);
	r->len = 0;
	r->owner_len = put_name(blob, sizeof(*name), OWNER_AT) - OWNER_AT;
	if (name->flags & NODENS_NAME_PASS) {
		print_pass(name->flags & NODENS_NAME_CUT);
		return r->len;
	}
	for (__u32 slot = 0; slot < NODENS_SLOT_COUNT; slot++)
		left += print_slot(blob, slot);
	at = r->len;
	if (left == 0)
		return at;
	put_literal(r, at, "; ");
	at = put_decimal(left, at);
	put_literal(r, at, " more\n");
	return at;
}

SEC("iter/bpf_map_elem")
int nodens_records(struct bpf_iter__bpf_map_elem *ctx)
{
	void *seq = ctx->meta->seq;
	const volatile struct nodens_bucket *bucket = ctx->value;
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 blobs[NODENS_BUCKET_ENTRIES], any = 0, zero = 0;
	const struct reader *empty = bpf_map_lookup_elem(&blank, &zero);

	if (!bucket || !empty)
		return 0;
	/* Each entry is read once; what it leads to stays while the program runs. */
#pragma unroll
	for (__u32 i = 0; i < NODENS_BUCKET_ENTRIES; i++) {
		blobs[i] = (__u32)bucket->entry[i];
		any |= blobs[i];
	}
	if (!any)
		return 0;
	if (bpf_map_update_elem(&readers, &thread, empty, BPF_ANY) != 0)
		return 1; /* EAGAIN for the reader, rather than lines left out */
	/* Unrolled: a call may not be the last instruction of a loop ("back-edge from insn 57 to 58", Linux 5.10). */
#pragma unroll
	for (__u32 i = 0; i < NODENS_BUCKET_ENTRIES; i++) {
		struct reader *r;
		__u64 len;

		if (blobs[i] == 0)
			continue;
		len = print_name(blobs[i]);
		bound(len, TEXT_MASK);
		r = bpf_map_lookup_elem(&readers, &thread);
		if (r)
			bpf_seq_write(seq, r->text, len);
	}
	bpf_map_delete_elem(&readers, &thread);
	return 0;
}
