/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs as zones: which zone a name is in, the order within it, text and JSON. */
#include "dns/zonefile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/jsonout.h"
#include "dns/zonefile_blob.h"

/* An NS needs an address in its zone or the zone does not load. This one is for documentation only (RFC 5737). */
#define SYNTHETIC_ADDRESS "192.0.2.1"
/* As CoreDNS has it, seconds. */
#define SOA_TTL_MAX_S 300U
/* A name of 255 octets has at most 127 labels and the root. */
#define LABELS_MAX 128

#define REVERSE4_ZONE_LABELS 1
#define REVERSE6_ZONE_LABELS 12

/* Zones come in this order. */
enum rank { RANK_CLUSTER, RANK_REVERSE4, RANK_REVERSE6, RANK_OTHER };

/* A name with where its zone begins in it. */
struct placed {
	const struct nodens_name *blob;
	uint8_t rank;
	uint8_t zone_off;
};

struct printer {
	FILE *out;
	const struct zonefile_params *params;
	struct jsonout json;
	/* Of the name being printed. */
	const struct nodens_name *blob;
	char owner[DNS_NAME_TEXT_MAX];
};

static const uint8_t *wire(const struct nodens_name *blob)
{
	return (const uint8_t *)blob->name;
}

/* ---- zones ---- */

/* Offsets of the labels, the root's included. */
static size_t label_offsets(const uint8_t *name, size_t len, uint8_t ret_offsets[LABELS_MAX])
{
	size_t count = 0;

	for (size_t off = 0; off < len && count < LABELS_MAX; off += 1 + (size_t)name[off])
		ret_offsets[count++] = (uint8_t)off;
	return count;
}

/* Where the zone begins in the name; -1: the name is not in it. */
static int offset_of_zone(const uint8_t *name, size_t len, const struct dns_name *zone)
{
	uint8_t offsets[LABELS_MAX];
	size_t count = label_offsets(name, len, offsets);

	if (zone->len > len || memcmp(name + len - zone->len, zone->data, zone->len) != 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (offsets[i] == len - zone->len)
			return offsets[i];
	return -1;
}

/* The zone of this many labels below apex that the name is in; fewer if the name is shorter. -1: not below apex. */
static int offset_below(const uint8_t *name, size_t len, const char *apex_text, size_t labels)
{
	uint8_t offsets[LABELS_MAX];
	struct dns_name apex;
	size_t i = 0;
	int off;

	if (dns_name_parse(apex_text, &apex, NULL) < 0)
		return -1;
	off = offset_of_zone(name, len, &apex);
	if (off < 0)
		return -1;
	(void)label_offsets(name, len, offsets);
	while (offsets[i] < off)
		i++;
	return offsets[i > labels ? i - labels : 0];
}

static void place(const uint8_t *name, size_t len, const struct dns_name *zone, struct placed *ret_placed)
{
	int off = offset_of_zone(name, len, zone);

	ret_placed->rank = RANK_CLUSTER;
	if (off < 0) {
		ret_placed->rank = RANK_REVERSE4;
		off = offset_below(name, len, "in-addr.arpa", REVERSE4_ZONE_LABELS);
	}
	if (off < 0) {
		ret_placed->rank = RANK_REVERSE6;
		off = offset_below(name, len, "ip6.arpa", REVERSE6_ZONE_LABELS);
	}
	if (off < 0) {
		ret_placed->rank = RANK_OTHER;
		off = (int)len - 1;
	}
	ret_placed->zone_off = (uint8_t)off;
}

static struct dns_name zone_of(const uint8_t *name, size_t len, size_t zone_off)
{
	struct dns_name zone = {.len = (uint8_t)(len - zone_off)};

	memcpy(zone.data, name + zone_off, zone.len);
	return zone;
}

static struct dns_name zone_of_placed(const struct placed *p)
{
	return zone_of(wire(p->blob), p->blob->name_len, p->zone_off);
}

/* ---- order ---- */

static int compare_labels(const uint8_t *a, const uint8_t *b)
{
	int order = memcmp(a + 1, b + 1, a[0] < b[0] ? a[0] : b[0]);

	return order ? order : a[0] - b[0];
}

/* RFC 4034 section 6.1: from the root on, a missing label first. Names are lower case. */
static int compare_names(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	uint8_t a_off[LABELS_MAX], b_off[LABELS_MAX];
	size_t a_count = label_offsets(a, a_len, a_off);
	size_t b_count = label_offsets(b, b_len, b_off);
	size_t common = a_count < b_count ? a_count : b_count;

	for (size_t i = 1; i <= common; i++) {
		int order = compare_labels(a + a_off[a_count - i], b + b_off[b_count - i]);

		if (order)
			return order;
	}
	return a_count < b_count ? -1 : a_count > b_count;
}

static int compare_placed(const void *left, const void *right)
{
	const struct placed *a = left, *b = right;

	if (a->rank != b->rank)
		return a->rank - b->rank;
	return compare_names(wire(a->blob), a->blob->name_len, wire(b->blob), b->blob->name_len);
}

/* The caller's (free). */
static struct placed *sort(struct zonefile_entry *entries, size_t count, const struct zonefile_params *params)
{
	struct placed *list = calloc(count + 1, sizeof(*list));

	if (!list)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		list[i].blob = entries[i].blob;
		place(wire(list[i].blob), list[i].blob->name_len, &params->zone, &list[i]);
	}
	qsort(list, count, sizeof(*list), compare_placed);
	for (size_t i = 0; i < count; i++)
		entries[i].blob = list[i].blob;
	return list;
}

/* ---- records ---- */

static const char *type_text(uint16_t type)
{
	switch (type) {
	case ZONE_TYPE_A:
		return "A";
	case ZONE_TYPE_AAAA:
		return "AAAA";
	case ZONE_TYPE_SRV:
		return "SRV";
	default:
		return "PTR";
	}
}

struct data_text {
	char text[DNS_NAME_TEXT_MAX + 32];
};

static struct data_text format_data(const struct zone_record *r)
{
	struct data_text d = {.text = ""};
	int len = 0;

	switch (r->type) {
	case ZONE_TYPE_A:
		(void)inet_ntop(AF_INET, r->addr, d.text, sizeof(d.text));
		return d;
	case ZONE_TYPE_AAAA:
		(void)inet_ntop(AF_INET6, r->addr, d.text, sizeof(d.text));
		return d;
	case ZONE_TYPE_SRV:
		len = snprintf(d.text, sizeof(d.text), "%u %u %u ", r->priority, r->weight, r->port);
		break;
	default:
		break;
	}
	(void)dns_name_format(r->target.data, r->target.len, d.text + len, sizeof(d.text) - (size_t)len);
	return d;
}

static void set_owner(struct printer *p, const struct nodens_name *blob)
{
	p->blob = blob;
	(void)dns_name_format(wire(blob), blob->name_len, p->owner, sizeof(p->owner));
}

static bool is_passed(const struct nodens_name *blob)
{
	return blob->flags & NODENS_NAME_PASS;
}

/* ---- text ---- */

static void print_record(void *ctx, const struct zone_record *r)
{
	const struct printer *p = ctx;

	fprintf(p->out, "%s %u IN %s %s\n", p->owner, r->ttl_s, type_text(r->type), format_data(r).text);
}

static void print_slot(struct printer *p, enum nodens_slot slot)
{
	const char *type = type_text(zone_blob_type(p->blob, slot));

	(void)zone_blob_each(p->blob, p->blob->blob_len, slot, print_record, p);
	if (zone_blob_is_passed(p->blob, slot))
		fprintf(p->out, "; %s %s is passed on to the upstream: it cannot be stored whole\n", p->owner, type);
	if (zone_blob_is_cut(p->blob, slot))
		fprintf(p->out, "; %s has more %s records than these: what no message can hold is not stored\n", p->owner,
			type);
}

static void print_name(struct printer *p, const struct nodens_name *blob)
{
	set_owner(p, blob);
	if (is_passed(blob)) {
		fprintf(p->out, "; %s %s passed on to the upstream: not wholly known\n", p->owner,
			blob->flags & NODENS_NAME_CUT ? "and all names below it are" : "is");
		return;
	}
	for (int slot = 0; slot < NODENS_SLOT_COUNT; slot++)
		print_slot(p, (enum nodens_slot)slot);
}

static void print_zone_head(struct printer *p, const char *zone)
{
	const char *below = strcmp(zone, ".") == 0 ? "" : zone;
	uint32_t ttl_s = p->params->ttl_s;

	fprintf(p->out, "; zone %s\n$ORIGIN %s\n$TTL %u\n", zone, zone, ttl_s);
	fprintf(p->out, "%s %u IN SOA ns.dns.%s hostmaster.%s %u 7200 1800 86400 %u ; synthetic\n", zone,
		ttl_s < SOA_TTL_MAX_S ? ttl_s : SOA_TTL_MAX_S, below, below, p->params->soa_serial, ttl_s);
	fprintf(p->out, "%s %u IN NS ns.dns.%s ; synthetic\n", zone, ttl_s, below);
	fprintf(p->out, "ns.dns.%s %u IN A %s ; synthetic\n", below, ttl_s, SYNTHETIC_ADDRESS);
}

static void print_zone_text(struct printer *p, const char *zone, const struct placed *list, size_t count)
{
	print_zone_head(p, zone);
	for (size_t i = 0; i < count; i++)
		print_name(p, list[i].blob);
	fputc('\n', p->out);
}

/* ---- JSON ---- */

static void json_record(void *ctx, const struct zone_record *r)
{
	struct printer *p = ctx;

	jsonout_open_object(&p->json, NULL);
	jsonout_text(&p->json, "name", p->owner);
	jsonout_number(&p->json, "ttl", r->ttl_s);
	jsonout_text(&p->json, "type", type_text(r->type));
	jsonout_text(&p->json, "data", format_data(r).text);
	jsonout_close(&p->json, '}');
}

static void json_records(struct printer *p)
{
	for (int slot = 0; slot < NODENS_SLOT_COUNT && !is_passed(p->blob); slot++)
		(void)zone_blob_each(p->blob, p->blob->blob_len, (enum nodens_slot)slot, json_record, p);
}

static void json_passed_type(struct printer *p, const char *type, bool is_below)
{
	jsonout_open_object(&p->json, NULL);
	jsonout_text(&p->json, "name", p->owner);
	jsonout_text(&p->json, "type", type);
	jsonout_bool(&p->json, "with_names_below", is_below);
	jsonout_close(&p->json, '}');
}

static void json_passed(struct printer *p)
{
	if (is_passed(p->blob)) {
		json_passed_type(p, "*", p->blob->flags & NODENS_NAME_CUT);
		return;
	}
	for (int slot = 0; slot < NODENS_SLOT_COUNT; slot++)
		if (zone_blob_is_passed(p->blob, (enum nodens_slot)slot))
			json_passed_type(p, type_text(zone_blob_type(p->blob, (enum nodens_slot)slot)), false);
}

static void json_cut(struct printer *p)
{
	for (int slot = 0; slot < NODENS_SLOT_COUNT && !is_passed(p->blob); slot++) {
		if (!zone_blob_is_cut(p->blob, (enum nodens_slot)slot))
			continue;
		jsonout_open_object(&p->json, NULL);
		jsonout_text(&p->json, "name", p->owner);
		jsonout_text(&p->json, "type", type_text(zone_blob_type(p->blob, (enum nodens_slot)slot)));
		jsonout_close(&p->json, '}');
	}
}

static void json_array(struct printer *p, const char *key, void (*fn)(struct printer *p), const struct placed *list,
		       size_t count)
{
	jsonout_open_array(&p->json, key);
	for (size_t i = 0; i < count; i++) {
		set_owner(p, list[i].blob);
		fn(p);
	}
	jsonout_close(&p->json, ']');
}

static void print_zone_json(struct printer *p, const char *zone, const struct placed *list, size_t count)
{
	jsonout_open_object(&p->json, NULL);
	jsonout_text(&p->json, "zone", zone);
	json_array(p, "records", json_records, list, count);
	json_array(p, "passed", json_passed, list, count);
	json_array(p, "cut", json_cut, list, count);
	jsonout_close(&p->json, '}');
}

/* ---- all zones ---- */

static void print_zone(struct printer *p, const struct dns_name *zone, const struct placed *list, size_t count)
{
	char text[DNS_NAME_TEXT_MAX];

	(void)dns_name_format(zone->data, zone->len, text, sizeof(text));
	if (p->params->format == ZONEFILE_JSON)
		print_zone_json(p, text, list, count);
	else
		print_zone_text(p, text, list, count);
}

static size_t zone_end(const struct placed *list, size_t from, size_t count)
{
	struct dns_name zone = zone_of_placed(&list[from]);
	size_t end = from + 1;

	while (end < count && list[end].rank == list[from].rank) {
		struct dns_name other = zone_of_placed(&list[end]);

		if (!dns_name_equal(&zone, &other))
			break;
		end++;
	}
	return end;
}

/* only NULL: all. That zone is printed even without a name in it. */
static void print_zones(struct printer *p, const struct placed *list, size_t count, const struct dns_name *only)
{
	bool is_printed = false;

	if (!only && (count == 0 || list[0].rank != RANK_CLUSTER))
		print_zone(p, &p->params->zone, NULL, 0);
	for (size_t i = 0, end; i < count; i = end) {
		struct dns_name zone = zone_of_placed(&list[i]);

		end = zone_end(list, i, count);
		if (only && !dns_name_equal(only, &zone))
			continue;
		print_zone(p, &zone, &list[i], end - i);
		is_printed = true;
	}
	if (only && !is_printed)
		print_zone(p, only, NULL, 0);
}

int zonefile_print(FILE *out, struct zonefile_entry *entries, size_t count, const struct zonefile_params *params)
{
	struct printer p = {.out = out, .params = params};
	struct placed *list = sort(entries, count, params);
	const struct dns_name *name = params->only_zone_of;
	struct placed where = {.rank = RANK_OTHER};
	struct dns_name only;

	if (!list)
		return -ENOMEM;
	if (name) {
		place(name->data, name->len, &params->zone, &where);
		only = zone_of(name->data, name->len, where.zone_off);
	}
	jsonout_init(&p.json, out);
	if (params->format == ZONEFILE_JSON)
		jsonout_open_array(&p.json, NULL);
	print_zones(&p, list, count, name ? &only : NULL);
	if (params->format == ZONEFILE_JSON)
		jsonout_close(&p.json, ']');
	free(list);
	if (fflush(out) != 0)
		return -errno;
	return ferror(out) ? -EIO : 0;
}
