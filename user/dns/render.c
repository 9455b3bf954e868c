/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs as nodens/abi.h has them. In this order, so that a small name with its addresses is in two cache lines:
 *
 *   struct nodens_name | name, zeros to 8 | A records | AAAA records | zeros to 8 | list of SRV or PTR
 *
 * Behind the records of an address section stand the first ones once more (nodens_stored_records).
 */
#include "dns/render.h"

#include <errno.h>
#include <string.h>

#include "base/wire.h"

/* RFC 1035 section 3.2.2, RFC 3596, RFC 2782. */
enum { TYPE_A = 1, TYPE_SOA = 6, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_SRV = 33 };
#define CLASS_IN	 1

#define POINTER		 0xc000U
#define QUESTION_POINTER (POINTER | NODENS_DNS_HEADER_LEN)
/* Owner pointer, type, class, TTL, RDLENGTH. */
#define RR_FIXED_LEN 12
/* Priority, weight, port. */
#define SRV_FIXED_RDLEN 6
/* CoreDNS's ceiling for the TTL of the SOA in negative answers, seconds. */
#define SOA_TTL_MAX_S 300U

/* More records than this are not in a list: the shortest one has a name of one octet. */
#define LIST_MAX (NODENS_MESSAGE_MAX / (RR_FIXED_LEN + 1))

/* What of a set goes into its list. */
struct list_plan {
	size_t answers;
	size_t additionals;
	size_t rrs_len;
	bool is_cut;
	bool is_passed;
};

struct blob_plan {
	struct list_plan list;
	bool is_a_passed;
	bool is_aaaa_passed;
};

static size_t align8(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

static size_t head_len(const struct record_set *set)
{
	return sizeof(struct nodens_name) + align8(set->owner.len);
}

static size_t addr_rr_len(int family)
{
	return family == AF_INET ? NODENS_A_LEN : NODENS_AAAA_LEN;
}

/* ---- what fits ---- */

/* false, and nothing counted: it does not fit. */
static bool plan_rr(struct list_plan *p, size_t *count, size_t len)
{
	if (len > NODENS_MESSAGE_MAX - p->rrs_len)
		return false;
	p->rrs_len += len;
	(*count)++;
	return true;
}

static size_t srv_rr_len(const struct record_set *set, size_t i)
{
	return RR_FIXED_LEN + SRV_FIXED_RDLEN + set->targets[set->srvs[i].target].len;
}

/* The SRV record whose RDATA has this target: glue points there. Glue comes in the order of the SRV records, so the
 * search goes on where the last one ended. */
static bool find_target(const struct record_set *set, size_t srv_count, uint32_t target, size_t *hint)
{
	for (size_t n = 0; n < srv_count; n++, *hint = (*hint + 1) % srv_count)
		if (set->srvs[*hint].target == target)
			return true;
	return false;
}

/* Glue only behind all SRV records, as a message is filled. */
static void plan_glue(struct list_plan *p, const struct record_set *set)
{
	size_t hint = 0;

	for (size_t i = 0; i < set->glue_count; i++) {
		if (!find_target(set, p->answers, set->glue[i].target, &hint)) {
			p->is_passed = true; /* no place in the message to point to */
			return;
		}
		if (!plan_rr(p, &p->additionals, addr_rr_len(set->glue[i].addr.family))) {
			p->is_cut = true;
			return;
		}
	}
}

static struct list_plan plan_srv(const struct record_set *set)
{
	struct list_plan p = {.is_cut = set->srv_is_cut};

	while (p.answers < set->srv_count && plan_rr(&p, &p.answers, srv_rr_len(set, p.answers)))
		;
	if (p.answers == set->srv_count)
		plan_glue(&p, set);
	else
		p.is_cut = true;
	if (p.is_cut && !p.answers)
		p.is_passed = true;
	return p;
}

/* PTR records are stored all or not at all. */
static struct list_plan plan_ptr(const struct record_set *set)
{
	struct list_plan p = {0};

	for (size_t i = 0; i < set->ptr_count; i++)
		if (!plan_rr(&p, &p.answers, RR_FIXED_LEN + set->ptrs[i].len))
			return (struct list_plan){.is_passed = true};
	return p;
}

static size_t list_head_len(const struct list_plan *p)
{
	return sizeof(struct nodens_list) + align8(2 * (p->answers + p->additionals));
}

static size_t list_len(const struct list_plan *p)
{
	return p->answers && !p->is_passed ? list_head_len(p) + p->rrs_len : 0;
}

/* Octets of an address section, the repeated records included. */
static size_t addresses_len(size_t count, size_t rr_len)
{
	return count > UINT16_MAX ? SIZE_MAX / 4 : (size_t)nodens_stored_records((uint32_t)count, (uint32_t)rr_len) * rr_len;
}

/* Takes the records' octets from room if they fit there and their number into the section. */
static bool plan_addresses(size_t count, size_t rr_len, size_t *room)
{
	size_t len = addresses_len(count, rr_len);

	if (count > UINT16_MAX || len > *room)
		return false;
	*room -= len;
	return true;
}

static struct blob_plan plan_blob(const struct record_set *set)
{
	struct blob_plan p = {.list = set->is_reverse ? plan_ptr(set) : plan_srv(set)};
	/* 8 for the zeros in front of the list. */
	size_t room = NODENS_PAGE_LEN - head_len(set) - 8 - list_len(&p.list);

	p.is_a_passed = !plan_addresses(set->a_count, NODENS_A_LEN, &room);
	p.is_aaaa_passed = !plan_addresses(set->aaaa_count, NODENS_AAAA_LEN, &room);
	return p;
}

/* ---- records ---- */

static void put_rr_head(struct wire *w, uint16_t owner_pointer, uint16_t type, uint32_t ttl_s, size_t rdlen)
{
	wire_put_u16(w, owner_pointer);
	wire_put_u16(w, type);
	wire_put_u16(w, CLASS_IN);
	wire_put_u32(w, ttl_s);
	wire_put_u16(w, (uint16_t)rdlen);
}

static void end_section(const struct wire *w, struct nodens_section *ret_section, size_t off, size_t count)
{
	if (w->overflow || !count)
		return;
	*ret_section = (struct nodens_section){
		.off = (uint32_t)off,
		.count = (uint16_t)count,
		.sum = wire_sum(w->data + off, w->len - off),
	};
}

static void put_addresses(struct wire *w, uint16_t type, uint32_t ttl_s, const void *addrs, size_t addr_len,
			  size_t count, struct nodens_section *ret_section)
{
	const uint8_t *addr = addrs;
	size_t off = w->len, repeated;

	for (size_t i = 0; i < count; i++, addr += addr_len) {
		put_rr_head(w, QUESTION_POINTER, type, ttl_s, addr_len);
		wire_put_bytes(w, addr, addr_len);
	}
	end_section(w, ret_section, off, count);
	repeated = addresses_len(count, RR_FIXED_LEN + addr_len) - count * (RR_FIXED_LEN + addr_len);
	if (!w->overflow)
		wire_put_bytes(w, w->data + off, repeated);
}

/* ---- lists ---- */

/* A list while it is written. Its head comes last, when the lengths are known. */
struct list_writer {
	struct wire *w;
	uint32_t ttl_s;
	size_t rrs;		 /* offset of the records in the blob */
	uint16_t ends[LIST_MAX]; /* octets from there */
	size_t count;
};

static size_t list_offset(const struct list_writer *l)
{
	return l->w->len - l->rrs;
}

static void list_end_rr(struct list_writer *l)
{
	l->ends[l->count++] = (uint16_t)list_offset(l);
}

static void put_srv(struct list_writer *l, const struct srv_record *srv, const struct dns_name *target)
{
	put_rr_head(l->w, QUESTION_POINTER, TYPE_SRV, l->ttl_s, SRV_FIXED_RDLEN + target->len);
	wire_put_u16(l->w, 0);
	wire_put_u16(l->w, srv->weight);
	wire_put_u16(l->w, srv->port);
	wire_put_bytes(l->w, target->data, target->len);
	list_end_rr(l);
}

static void put_glue(struct list_writer *l, const struct srv_glue *glue, uint16_t owner_pointer)
{
	bool is_v4 = glue->addr.family == AF_INET;
	size_t len = is_v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);

	put_rr_head(l->w, owner_pointer, is_v4 ? TYPE_A : TYPE_AAAA, l->ttl_s, len);
	wire_put_bytes(l->w, glue->addr.octets, len);
	list_end_rr(l);
}

static void put_srv_records(struct list_writer *l, const struct record_set *set, const struct list_plan *p)
{
	const size_t message_off = NODENS_DNS_HEADER_LEN + set->owner.len + NODENS_QUESTION_TAIL_LEN;
	size_t hint = 0, i, at;

	for (i = 0; i < p->answers; i++)
		put_srv(l, &set->srvs[i], &set->targets[set->srvs[i].target]);
	for (i = 0; i < p->additionals; i++) {
		(void)find_target(set, p->answers, set->glue[i].target, &hint);
		/* The target is the last of its record. */
		at = message_off + l->ends[hint] - set->targets[set->glue[i].target].len;
		put_glue(l, &set->glue[i], (uint16_t)(POINTER | at));
	}
}

static void put_ptr_records(struct list_writer *l, const struct record_set *set)
{
	for (size_t i = 0; i < set->ptr_count; i++) {
		put_rr_head(l->w, QUESTION_POINTER, TYPE_PTR, l->ttl_s, set->ptrs[i].len);
		wire_put_bytes(l->w, set->ptrs[i].data, set->ptrs[i].len);
		list_end_rr(l);
	}
}

static void put_list(struct wire *w, const struct record_set *set, const struct list_plan *p, uint32_t ttl_s,
		     struct nodens_section *ret_section)
{
	struct list_writer l = {.w = w, .ttl_s = ttl_s};
	struct nodens_list *list;
	size_t off;

	wire_align(w, 8);
	off = w->len;
	wire_put_zeros(w, list_head_len(p));
	l.rrs = w->len;
	if (set->is_reverse)
		put_ptr_records(&l, set);
	else
		put_srv_records(&l, set, p);
	if (w->overflow)
		return;
	list = (struct nodens_list *)(w->data + off);
	list->answers = (uint16_t)p->answers;
	list->additionals = (uint16_t)p->additionals;
	list->answers_len = l.ends[p->answers - 1];
	list->rrs_len = (uint16_t)list_offset(&l);
	list->rrs_off = (uint16_t)(l.rrs - off);
	list->is_cut = p->is_cut;
	memcpy(list->end, l.ends, 2 * l.count);
	end_section(w, ret_section, l.rrs, p->answers);
	ret_section->off = (uint32_t)off;
}

/* ---- blobs ---- */

static uint8_t flags_of(const struct record_set *set)
{
	return (uint8_t)((set->is_passed ? NODENS_NAME_PASS : 0) |
			 (set->is_passed && set->is_cut ? NODENS_NAME_CUT : 0) |
			 (set->is_reverse ? NODENS_NAME_REVERSE : 0));
}

static void put_sections(struct wire *w, const struct record_set *set, const struct render_params *params,
			 struct nodens_section section[NODENS_SLOT_COUNT])
{
	const struct nodens_section passed = {.off = NODENS_SECTION_PASS};
	struct nodens_section *list = &section[set->is_reverse ? NODENS_SLOT_PTR : NODENS_SLOT_SRV];
	struct blob_plan p = plan_blob(set);

	if (!set->is_reverse && p.is_a_passed)
		section[NODENS_SLOT_A] = passed;
	else if (!set->is_reverse)
		put_addresses(w, TYPE_A, params->ttl_s, set->a, sizeof(*set->a), set->a_count, &section[NODENS_SLOT_A]);
	if (!set->is_reverse && p.is_aaaa_passed)
		section[NODENS_SLOT_AAAA] = passed;
	else if (!set->is_reverse)
		put_addresses(w, TYPE_AAAA, params->ttl_s, set->aaaa, sizeof(*set->aaaa), set->aaaa_count,
			      &section[NODENS_SLOT_AAAA]);
	if (p.list.is_passed)
		*list = passed;
	else if (p.list.answers)
		put_list(w, set, &p.list, params->ttl_s, list);
}

size_t render_blob_bound(const struct record_set *set)
{
	size_t len = head_len(set) + addresses_len(set->a_count, NODENS_A_LEN) +
		     addresses_len(set->aaaa_count, NODENS_AAAA_LEN) + 8 +
		     sizeof(struct nodens_list) + align8(2 * LIST_MAX) + NODENS_MESSAGE_MAX;

	if (!set->srv_count && !set->ptr_count)
		len -= sizeof(struct nodens_list) + align8(2 * LIST_MAX) + NODENS_MESSAGE_MAX;
	return len < NODENS_PAGE_LEN ? len : NODENS_PAGE_LEN;
}

int render_blob(const struct record_set *set, const struct render_params *params, void *buffer, size_t cap,
		size_t *ret_len)
{
	struct nodens_name *blob = buffer;
	struct nodens_section section[NODENS_SLOT_COUNT] = {0};
	struct wire w;

	wire_init(&w, buffer, cap);
	wire_put_zeros(&w, sizeof(*blob));
	wire_put_bytes(&w, set->owner.data, set->owner.len);
	wire_align(&w, 8);
	if (!set->is_passed)
		put_sections(&w, set, params, section);
	if (w.overflow)
		return -ENOSPC;
	blob->name_len = set->owner.len;
	blob->flags = flags_of(set);
	blob->blob_len = (uint32_t)w.len;
	memcpy(blob->section, section, sizeof(section));
	*ret_len = w.len;
	return 0;
}

size_t render_soa(const struct render_params *params, uint8_t ret_soa[NODENS_SOA_MAX])
{
	static const uint8_t mname[] = {2, 'n', 's', 3, 'd', 'n', 's', 0, 0};
	static const uint8_t rname[] = {10, 'h', 'o', 's', 't', 'm', 'a', 's', 't', 'e', 'r', 0, 0};
	uint32_t ttl_s = params->ttl_s < SOA_TTL_MAX_S ? params->ttl_s : SOA_TTL_MAX_S;
	struct wire w;

	wire_init(&w, ret_soa, NODENS_SOA_MAX);
	put_rr_head(&w, 0, TYPE_SOA, ttl_s, NODENS_SOA_LEN - RR_FIXED_LEN);
	wire_put_bytes(&w, mname, sizeof(mname));
	wire_put_bytes(&w, rname, sizeof(rname));
	wire_put_u32(&w, 0);	 /* serial */
	wire_put_u32(&w, 7200);	 /* refresh */
	wire_put_u32(&w, 1800);	 /* retry */
	wire_put_u32(&w, 86400); /* expire */
	wire_put_u32(&w, params->ttl_s);
	return w.len;
}
