/* SPDX-License-Identifier: Apache-2.0 */
/* Which frames must be answered, and how whole an answer then is. */
#include "packet_reference.h"

#include <arpa/inet.h>
#include <string.h>

#include "fuzz.h"

enum { A = 1, SOA = 6, PTR = 12, AAAA = 28, SRV = 33, OPT = 41, ANY = 255 };
enum { QR = 0x8000, OPCODE = 0x7800, AA = 0x0400, TC = 0x0200, RD = 0x0100, CD = 0x0010 };
#define DATAGRAM_MAX 700
#define MESSAGE_MAX 4096

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint32_t sum_octets(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* RFC 768, RFC 8200 section 8.1: addresses, protocol and length. */
static uint32_t sum_pseudo(const uint8_t *ip, bool is_v6, size_t udp_len)
{
	return sum_octets(ip + (is_v6 ? 8 : 12), is_v6 ? 32 : 8, 0) + 17 + (uint32_t)udp_len;
}

/* ---- queries ---- */

static bool is_server(const struct reference_world *world, const uint8_t *addr, bool is_v6)
{
	for (size_t i = 0; world->servers[i]; i++) {
		uint8_t octets[16];

		if (inet_pton(is_v6 ? AF_INET6 : AF_INET, world->servers[i], octets) == 1 && memcmp(octets, addr, is_v6 ? 16 : 4) == 0)
			return true;
	}
	return false;
}

static bool is_source4(const struct reference_world *world, const uint8_t *ip)
{
	if (ip[12] == 0 || ip[12] == 127 || ip[12] >= 224 || memcmp(ip + 12, ip + 16, 4) == 0)
		return false;
	return !world->has_allow || ip[12] == 10;
}

static bool is_source6(const struct reference_world *world, const uint8_t *ip)
{
	static const uint8_t zeros[12];

	if (ip[8] == 0xff || memcmp(ip + 8, zeros, sizeof(zeros)) == 0 || memcmp(ip + 8, ip + 24, 16) == 0)
		return false;
	return !world->has_allow || ip[8] == 0xfd;
}

/* Octets of the UDP datagram if the IPv4 header is one of a query that may be answered, else 0. */
static size_t read_ipv4(const struct reference_world *world, const uint8_t *ip, size_t len)
{
	if (len < 20 || ip[0] != 0x45 || ip[9] != 17 || (get16(ip + 6) & 0x3fff) != 0 || get16(ip + 2) != len)
		return 0;
	if (fold(sum_octets(ip, 20, 0)) != 0xffff || !is_server(world, ip + 16, false) || !is_source4(world, ip))
		return 0;
	return len - 20;
}

static size_t read_ipv6(const struct reference_world *world, const uint8_t *ip, size_t len)
{
	if (len < 40 || ip[0] >> 4 != 6 || ip[6] != 17 || (size_t)get16(ip + 4) + 40 != len)
		return 0;
	return is_server(world, ip + 24, true) && is_source6(world, ip) ? len - 40 : 0;
}

static bool read_udp(const uint8_t *ip, const uint8_t *udp, size_t len, struct reference_query *q)
{
	uint16_t check;
	uint32_t pseudo = sum_pseudo(ip, q->is_v6, len);

	if (len < 8 + 12 || len > DATAGRAM_MAX || get16(udp + 4) != len || get16(udp + 2) != 53)
		return false;
	if (get16(udp) == 0 || get16(udp) == 53)
		return false;
	check = get16(udp + 6);
	if (check == 0)
		return !q->is_v6;
	if (fold(sum_octets(udp, len, pseudo)) == 0xffff)
		return true;
	q->is_partial = check == fold(pseudo);
	return q->is_partial;
}

/* Octets of a name without pointers, 0: it is none. */
static size_t read_name(const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (at < len && at < 255) {
		if (p[at] == 0)
			return at + 1;
		if (p[at] > 63)
			return 0;
		at += 1 + (size_t)p[at];
	}
	return 0;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

static bool names_equal(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	if (a_len != b_len)
		return false;
	for (size_t i = 0; i < a_len; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

/* RFC 6891 section 6.1.2, RFC 7873 section 4: version 0, no option or one COOKIE, nothing behind it. */
static bool read_opt(const uint8_t *opt, size_t len)
{
	size_t rdlen, cookie;

	if (len < 11 || opt[0] != 0 || get16(opt + 1) != OPT || opt[6] != 0)
		return false;
	rdlen = get16(opt + 9);
	if (rdlen != len - 11)
		return false;
	if (rdlen == 0)
		return true;
	if (rdlen < 4 || get16(opt + 11) != 10 || (size_t)get16(opt + 13) + 4 != rdlen)
		return false;
	cookie = rdlen - 4;
	return cookie == 8 || (cookie >= 16 && cookie <= 40);
}

/* The end of a cookie may look like an OPT without options: such a query may be passed. */
static bool is_ambiguous(const uint8_t *opt, size_t len)
{
	const uint8_t *tail = opt + len - 11;

	return len > 11 && tail[0] == 0 && get16(tail + 1) == OPT && get16(tail + 9) == 0;
}

static const struct record_set *find_set(const struct packet_records *records, const uint8_t *name, size_t len)
{
	for (size_t i = 0; i < records->count; i++)
		if (names_equal(records->sets[i].owner.data, records->sets[i].owner.len, name, len))
			return &records->sets[i];
	return NULL;
}

/* Names in RDATA are whole, owners of glue are pointers. */
static size_t srvs_len(const struct record_set *set)
{
	size_t len = 0;

	for (size_t i = 0; i < set->srv_count; i++)
		len += 12 + 6 + set->targets[set->srvs[i].target].len;
	for (size_t i = 0; i < set->glue_count; i++)
		len += 12 + (set->glue[i].addr.family == AF_INET ? 4 : 16);
	return len;
}

static size_t ptrs_len(const struct record_set *set)
{
	size_t len = 0;

	for (size_t i = 0; i < set->ptr_count; i++)
		len += 12 + set->ptrs[i].len;
	return len;
}

/* Records of this length: all, or as many as there is room for. */
static void expect_records(struct reference_query *q, size_t fixed, size_t rrs_len, size_t rr_len, bool may_cut)
{
	size_t most = q->limit < MESSAGE_MAX ? q->limit : MESSAGE_MAX;

	q->whole_len = q->answer_len = fixed + rrs_len;
	q->expected = REFERENCE_ANSWER;
	if (fixed > most) {
		q->expected = REFERENCE_PASS;
	} else if (q->whole_len > most) {
		/* Nothing is cut that neither the client nor the link asks for. */
		q->is_truncated = may_cut && q->limit <= MESSAGE_MAX;
		q->expected = q->is_truncated ? REFERENCE_ANSWER : REFERENCE_PASS;
		q->answer_len = rr_len ? fixed + (most - fixed) / rr_len * rr_len : 0;
	}
}

static void expect(const struct record_set *set, struct reference_query *q)
{
	size_t fixed = 12 + q->name_len + 4 + q->opt_len;
	bool is_meta = q->qtype == 0 || q->qtype == OPT || (q->qtype >= 128 && q->qtype < ANY);

	if (set->is_passed)
		return;
	if (set->is_reverse) {
		if (q->qtype == PTR && set->ptr_count)
			expect_records(q, fixed, ptrs_len(set), 0, false);
	} else if (q->qtype == A && set->a_count) {
		expect_records(q, fixed, set->a_count * 16, 16, true);
	} else if (q->qtype == AAAA && set->aaaa_count) {
		expect_records(q, fixed, set->aaaa_count * 28, 28, true);
	} else if (q->qtype == SRV && set->srv_count) {
		expect_records(q, fixed, srvs_len(set), 0, true);
	} else if (!is_meta) {
		expect_records(q, fixed, 54, 0, false); /* NODATA: an SOA, the zone a pointer in it, three times */
	}
}

static void read_message(const struct reference_world *world, const uint8_t *dns, size_t len, struct reference_query *q)
{
	size_t end, edns_size = 512, link = q->is_v6 ? 48 : 28;

	if ((get16(dns + 2) & (QR | OPCODE | TC)) || get16(dns + 4) != 1 || get32(dns + 6) != 0 || get16(dns + 10) > 1)
		return;
	q->name_len = read_name(dns + 12, len - 12);
	end = 12 + q->name_len + 4;
	if (q->name_len == 0 || end > len || get16(dns + end - 2) != 1)
		return;
	q->has_opt = get16(dns + 10) == 1;
	q->opt_at = end;
	q->opt_len = len - end;
	if (q->has_opt ? !read_opt(dns + end, q->opt_len) : q->opt_len != 0)
		return;
	if (q->has_opt)
		edns_size = get16(dns + end + 3);
	q->qtype = get16(dns + end - 4);
	q->set = find_set(world->records, dns + 12, q->name_len);
	q->limit = edns_size > 512 ? edns_size : 512;
	if (!q->set || world->mtu < link)
		return;
	if (q->limit > world->mtu - link)
		q->limit = world->mtu - link;
	expect(q->set, q);
	if (q->expected == REFERENCE_ANSWER && q->has_opt && is_ambiguous(dns + end, q->opt_len))
		q->expected = REFERENCE_EITHER;
}

void reference_read(const struct reference_world *world, const uint8_t *frame, size_t len, struct reference_query *q)
{
	uint16_t ethertype;
	size_t udp_len, udp_at;

	*q = (struct reference_query){.expected = REFERENCE_PASS, .ip_at = 14};
	if (!world->is_open || len < 14 + 4 || (frame[0] & 1) || (frame[6] & 1))
		return;
	ethertype = get16(frame + 12);
	if (ethertype == 0x8100 || ethertype == 0x88a8) {
		ethertype = get16(frame + 16);
		q->ip_at = 18;
	}
	if (ethertype != 0x0800 && ethertype != 0x86dd)
		return;
	q->is_v6 = ethertype == 0x86dd;
	udp_len = (q->is_v6 ? read_ipv6 : read_ipv4)(world, frame + q->ip_at, len - q->ip_at);
	udp_at = q->ip_at + (q->is_v6 ? 40 : 20);
	q->dns_at = udp_at + 8;
	if (udp_len && read_udp(frame + q->ip_at, frame + udp_at, udp_len, q))
		read_message(world, frame + q->dns_at, udp_len - 8, q);
}

/* ---- answers ---- */

struct answer {
	const struct reference_world *world;
	const struct reference_query *q;
	const uint8_t *dns;
	size_t len, at;
	bool *seen;	  /* of the records of the answer section */
	bool *glue_seen;
	size_t answers, additionals;
};

struct record {
	struct dns_name owner;
	uint16_t type;
	size_t rdata_at, rdlen;
	bool is_pointer_to_question;
};

/* Pointers lead backwards. Returns where the name ends in the message. */
static size_t expand_name(const struct answer *a, size_t at, struct dns_name *ret_name)
{
	size_t end = 0, len = 0;

	for (;;) {
		FUZZ_CHECK(at < a->len, "a name ends in the message");
		if (a->dns[at] >= 0xc0) {
			FUZZ_CHECK(at + 1 < a->len, "a pointer ends in the message");
			if (!end)
				end = at + 2;
			FUZZ_CHECK((size_t)(get16(a->dns + at) & 0x3fff) < at, "a pointer leads backwards");
			at = get16(a->dns + at) & 0x3fff;
			continue;
		}
		FUZZ_CHECK(a->dns[at] <= 63 && at + 1 + a->dns[at] <= a->len, "a label ends in the message");
		FUZZ_CHECK(len + 1 + a->dns[at] <= 255, "a name of more than 255 octets");
		memcpy(ret_name->data + len, a->dns + at, 1U + a->dns[at]);
		len += 1U + a->dns[at];
		if (a->dns[at] == 0)
			break;
		at += 1U + a->dns[at];
	}
	ret_name->len = (uint8_t)len;
	return end ? end : at + 1;
}

static struct record take_record(struct answer *a, uint32_t ttl_s)
{
	struct record r = {0};
	size_t at = expand_name(a, a->at, &r.owner);

	r.is_pointer_to_question = get16(a->dns + a->at) == 0xc00c;
	FUZZ_CHECK(at + 10 <= a->len, "a record ends in the message");
	r.type = get16(a->dns + at);
	FUZZ_CHECK(get16(a->dns + at + 2) == 1, "class IN");
	FUZZ_CHECK(get32(a->dns + at + 4) == ttl_s, "TTL %u", get32(a->dns + at + 4));
	r.rdlen = get16(a->dns + at + 8);
	r.rdata_at = at + 10;
	a->at = r.rdata_at + r.rdlen;
	FUZZ_CHECK(a->at <= a->len, "RDATA ends in the message");
	return r;
}

static bool name_at_is(const struct answer *a, const struct record *r, size_t at, const struct dns_name *name)
{
	struct dns_name got;

	FUZZ_CHECK(expand_name(a, at, &got) == r->rdata_at + r->rdlen, "a name ends with its RDATA");
	return names_equal(got.data, got.len, name->data, name->len);
}

/* Whether the record of the answer section is number i of its set. */
static bool is_record(const struct answer *a, const struct record *r, size_t i)
{
	const struct record_set *set = a->q->set;
	const uint8_t *rdata = a->dns + r->rdata_at;

	if (r->type == A)
		return r->rdlen == 4 && memcmp(rdata, &set->a[i], 4) == 0;
	if (r->type == AAAA)
		return r->rdlen == 16 && memcmp(rdata, &set->aaaa[i], 16) == 0;
	if (r->type == PTR)
		return name_at_is(a, r, r->rdata_at, &set->ptrs[i]);
	FUZZ_CHECK(r->rdlen > 6, "SRV RDATA");
	return get16(rdata) == 0 && get16(rdata + 2) == set->srvs[i].weight && get16(rdata + 4) == set->srvs[i].port &&
	       name_at_is(a, r, r->rdata_at + 6, &set->targets[set->srvs[i].target]);
}

static size_t set_count(const struct reference_query *q)
{
	switch (q->qtype) {
	case A:
		return q->set->a_count;
	case AAAA:
		return q->set->aaaa_count;
	case SRV:
		return q->set->srv_count;
	case PTR:
		return q->set->ptr_count;
	default:
		return 0;
	}
}

/* Each record of the set once at most. */
static void check_answer_record(struct answer *a)
{
	struct record r = take_record(a, PACKET_TTL_S);
	size_t count = set_count(a->q);

	FUZZ_CHECK(r.is_pointer_to_question || (r.owner.len == a->q->name_len && memcmp(r.owner.data, a->dns + 12, r.owner.len) == 0),
		   "the owner is the question's name, in its case");
	FUZZ_CHECK(r.type == a->q->qtype, "a record of type %u for one of type %u", r.type, a->q->qtype);
	for (size_t i = 0; i < count; i++) {
		if (!a->seen[i] && is_record(a, &r, i)) {
			a->seen[i] = true;
			a->answers++;
			return;
		}
	}
	FUZZ_CHECK(false, "a record of type %u that the name does not have, or twice", r.type);
}

static bool is_target_seen(const struct answer *a, uint32_t target)
{
	for (size_t i = 0; i < a->q->set->srv_count; i++)
		if (a->seen[i] && a->q->set->srvs[i].target == target)
			return true;
	return false;
}

static void check_glue(struct answer *a)
{
	struct record r = take_record(a, PACKET_TTL_S);
	const struct record_set *set = a->q->set;

	FUZZ_CHECK(a->q->qtype == SRV && (r.type == A || r.type == AAAA), "type %u in the additional section", r.type);
	for (size_t i = 0; i < set->glue_count; i++) {
		const struct srv_glue *glue = &set->glue[i];
		const struct dns_name *target = &set->targets[glue->target];

		if (a->glue_seen[i] || (glue->addr.family == AF_INET ? A : AAAA) != r.type || !is_target_seen(a, glue->target))
			continue;
		if (r.rdlen == (r.type == A ? 4U : 16U) && memcmp(a->dns + r.rdata_at, glue->addr.octets, r.rdlen) == 0 &&
		    names_equal(r.owner.data, r.owner.len, target->data, target->len)) {
			a->glue_seen[i] = true;
			a->additionals++;
			return;
		}
	}
	FUZZ_CHECK(false, "glue that no SRV record in the answer has");
}

static void check_soa(struct answer *a)
{
	static const uint32_t numbers[] = {PACKET_SERIAL, 7200, 1800, 86400, PACKET_TTL_S};
	const struct dns_name *zone = &a->world->records->zone;
	struct record r = take_record(a, PACKET_TTL_S);
	struct dns_name name;
	size_t at = expand_name(a, r.rdata_at, &name);

	FUZZ_CHECK(r.type == SOA && names_equal(r.owner.data, r.owner.len, zone->data, zone->len), "the zone's SOA");
	FUZZ_CHECK(memcmp(name.data, "\2ns\3dns", 7) == 0 && names_equal(name.data + 7, name.len - 7U, zone->data, zone->len), "MNAME");
	at = expand_name(a, at, &name);
	FUZZ_CHECK(memcmp(name.data, "\12hostmaster", 11) == 0 && names_equal(name.data + 11, name.len - 11U, zone->data, zone->len), "RNAME");
	FUZZ_CHECK(at + 20 == r.rdata_at + r.rdlen, "the SOA's length");
	for (size_t i = 0; i < 5; i++)
		FUZZ_CHECK(get32(a->dns + at + 4 * i) == numbers[i], "number %zu of the SOA", i);
}

/* RFC 6891 section 6.1.4: extended rcode and the low octet of the flags cleared, the rest as it came. */
static void check_opt(struct answer *a, const uint8_t *asked)
{
	const uint8_t *from = asked + a->q->dns_at + a->q->opt_at, *to = a->dns + a->at;

	FUZZ_CHECK(a->at + a->q->opt_len == a->len, "the OPT is the last of the message");
	for (size_t i = 0; i < a->q->opt_len; i++)
		FUZZ_CHECK(to[i] == (i == 5 || i == 8 ? 0 : from[i]), "octet %zu of the OPT", i);
	a->at = a->len;
}

static void check_truncation(const struct answer *a)
{
	const struct reference_query *q = a->q;
	bool is_whole = a->answers == set_count(q) && (q->qtype != SRV || a->additionals == q->set->glue_count);

	FUZZ_CHECK(is_whole != q->is_truncated, "whole: %d, to be truncated: %d", is_whole, q->is_truncated);
	FUZZ_CHECK(a->answers == set_count(q) || a->additionals == 0, "glue goes before SRV records");
	if (q->answer_len)
		FUZZ_CHECK(a->len == q->answer_len, "%zu octets, expected %zu", a->len, q->answer_len);
	/* No record that is missing would have had room: none has more than 12 + 6 + 255 octets. */
	else if (q->is_truncated)
		FUZZ_CHECK(a->len + 12 + 6 + 255 > q->limit, "%zu octets where %zu may be", a->len, q->limit);
}

static void check_sections(struct answer *a, const uint8_t *asked)
{
	const struct reference_query *q = a->q;
	uint16_t ancount = get16(a->dns + 6), nscount = get16(a->dns + 8), arcount = get16(a->dns + 10);
	bool is_nodata = set_count(q) == 0;

	FUZZ_CHECK(!q->has_opt || arcount > 0, "an OPT is counted");
	FUZZ_CHECK(is_nodata ? ancount == 0 && nscount == 1 && arcount == q->has_opt : nscount == 0, "%u authority records", nscount);
	a->at = 12 + q->name_len + 4;
	for (size_t i = 0; i < ancount; i++)
		check_answer_record(a);
	if (is_nodata)
		check_soa(a);
	for (size_t i = q->has_opt; i < arcount; i++)
		check_glue(a);
	if (q->has_opt)
		check_opt(a, asked);
	FUZZ_CHECK(a->at == a->len, "%zu octets behind the message", a->len - a->at);
	check_truncation(a);
}

static void check_message(const struct reference_world *world, const struct reference_query *q, const uint8_t *asked,
			  const uint8_t *dns, size_t len)
{
	const uint8_t *query = asked + q->dns_at;
	uint16_t flags = QR | AA | (get16(query + 2) & (RD | CD)) | (q->is_truncated ? TC : 0);
	struct answer a = {.world = world, .q = q, .dns = dns, .len = len};

	FUZZ_CHECK(len >= 12 + q->name_len + 4 && len <= q->limit, "%zu octets, at most %zu", len, q->limit);
	FUZZ_CHECK(memcmp(dns, query, 2) == 0, "the ID");
	FUZZ_CHECK(get16(dns + 2) == flags, "flags %04x, expected %04x", get16(dns + 2), flags);
	FUZZ_CHECK(get16(dns + 4) == 1 && memcmp(dns + 12, query + 12, q->name_len + 4) == 0, "the question");
	a.seen = calloc(set_count(q) + 1, sizeof(bool));
	a.glue_seen = calloc(q->set->glue_count + 1, sizeof(bool));
	FUZZ_CHECK(a.seen && a.glue_seen, "memory");
	check_sections(&a, asked);
	free(a.seen);
	free(a.glue_seen);
}

static void check_ipv4(const uint8_t *asked, const uint8_t *ip, size_t len)
{
	static const uint8_t first[] = {0x45, 0}, middle[] = {0, 0, 0, 0, 64, 17};

	FUZZ_CHECK(memcmp(ip, first, 2) == 0 && get16(ip + 2) == len, "IPv4 header length %02x, total length %u", ip[0], get16(ip + 2));
	FUZZ_CHECK(memcmp(ip + 4, middle, 6) == 0, "IPv4: ID 0, no flags, TTL 64, UDP");
	FUZZ_CHECK(fold(sum_octets(ip, 20, 0)) == 0xffff, "IPv4 header checksum");
	FUZZ_CHECK(memcmp(ip + 12, asked + 16, 4) == 0 && memcmp(ip + 16, asked + 12, 4) == 0, "addresses swapped");
}

static void check_ipv6(const uint8_t *asked, const uint8_t *ip, size_t len)
{
	FUZZ_CHECK(get32(ip) == 0x60000000, "IPv6: version, no class, no label");
	FUZZ_CHECK((size_t)get16(ip + 4) + 40 == len && ip[6] == 17 && ip[7] == 64, "IPv6: length, UDP, hop limit 64");
	FUZZ_CHECK(memcmp(ip + 8, asked + 24, 16) == 0 && memcmp(ip + 24, asked + 8, 16) == 0, "addresses swapped");
}

static void check_udp(const struct reference_world *world, const struct reference_query *q, const uint8_t *asked,
		      const uint8_t *ip, size_t len)
{
	size_t ip_len = q->is_v6 ? 40 : 20;
	const uint8_t *udp = ip + ip_len, *from = asked + ip_len;
	uint32_t pseudo = sum_pseudo(ip, q->is_v6, len);

	FUZZ_CHECK(memcmp(udp, from + 2, 2) == 0 && memcmp(udp + 2, from, 2) == 0, "ports swapped");
	FUZZ_CHECK(get16(udp + 4) == len, "UDP length %u", get16(udp + 4));
	FUZZ_CHECK(get16(udp + 6) != 0, "a UDP checksum");
	if (q->is_partial && world->completes_checksum)
		FUZZ_CHECK(get16(udp + 6) == fold(pseudo), "the pseudo header's sum for whoever completes it");
	else
		FUZZ_CHECK(fold(sum_octets(udp, len, pseudo)) == 0xffff, "UDP checksum %04x", get16(udp + 6));
}

void reference_check(const struct reference_world *world, const struct reference_query *q, const uint8_t *asked,
		     const uint8_t *answer, size_t len)
{
	const uint8_t *ip = answer + q->ip_at;
	size_t ip_len = len - q->ip_at, headers = q->dns_at - q->ip_at;

	FUZZ_CHECK(len > q->dns_at, "an answer of %zu octets", len);
	FUZZ_CHECK(memcmp(answer, asked + 6, 6) == 0 && memcmp(answer + 6, asked, 6) == 0, "MAC addresses swapped");
	FUZZ_CHECK(memcmp(answer + 12, asked + 12, q->ip_at - 12) == 0, "tag and ethertype kept");
	(q->is_v6 ? check_ipv6 : check_ipv4)(asked + q->ip_at, ip, ip_len);
	check_udp(world, q, asked + q->ip_at, ip, ip_len - headers + 8);
	check_message(world, q, asked, answer + q->dns_at, len - q->dns_at);
}
