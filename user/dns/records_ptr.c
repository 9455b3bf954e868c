/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoint labels, and the names of an address. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dns/records.h"

/* Owner pointer 2, type 2, class 2, TTL 4, RDLENGTH 2. */
#define PTR_FIXED_LEN 12
/* No PTR answer holds more names than this; the shortest is "x." below the root. */
#define PTR_MAX (NODENS_MESSAGE_MAX / (PTR_FIXED_LEN + 3))

/* ---- labels ---- */

static size_t put_number(unsigned int v, unsigned int base, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";
	unsigned int unit = 1;
	size_t len = 0;

	while (v / unit >= base)
		unit *= base;
	for (; unit; unit /= base)
		ret_text[len++] = digits[v / unit % base];
	return len;
}

static size_t label4(const uint8_t *octets, char *ret_label)
{
	size_t len = 0;

	for (int i = 0; i < 4; i++) {
		if (i > 0)
			ret_label[len++] = '-';
		len += put_number(octets[i], 10, ret_label + len);
	}
	return len;
}

static unsigned int group(const uint8_t *octets, int i)
{
	return (unsigned int)octets[2 * i] << 8 | octets[2 * i + 1];
}

/* The longest run of at least two zero groups, the first of equals (RFC 5952 section 4.2). *ret_len 0: none. */
static int zero_run(const uint8_t *octets, int *ret_len)
{
	int best = 0, best_len = 1, len = 0;

	for (int i = 0; i < 8; i++) {
		len = group(octets, i) ? 0 : len + 1;
		if (len > best_len) {
			best = i + 1 - len;
			best_len = len;
		}
	}
	*ret_len = best_len > 1 ? best_len : 0;
	return best;
}

/* Not by way of inet_ntop, which writes ::102:304 as ::1.2.3.4; CoreDNS has what the API takes: --102-304. */
static size_t label6(const uint8_t *octets, char *ret_label)
{
	int run_len, run = zero_run(octets, &run_len);
	size_t len = 0;

	for (int i = 0; i < 8; i++) {
		if (run_len && i == run) {
			/* "::": the separator before the run is there already unless it begins the address. */
			if (i == 0)
				ret_label[len++] = '-';
			ret_label[len++] = '-';
			i += run_len - 1;
			continue;
		}
		len += put_number(group(octets, i), 16, ret_label + len);
		if (i < 7)
			ret_label[len++] = '-';
	}
	if (ret_label[len - 1] == '-')
		ret_label[len++] = '0';
	return len;
}

size_t records_endpoint_label(const struct kube_endpoint *ep, const struct kube_addr *addr, char ret_label[64])
{
	size_t len;

	if (ep->hostname && ep->hostname[0]) {
		len = strnlen(ep->hostname, NODENS_LABEL_MAX);
		memcpy(ret_label, ep->hostname, len);
	} else {
		len = addr->family == AF_INET ? label4(addr->octets, ret_label) : label6(addr->octets, ret_label);
	}
	ret_label[len] = '\0';
	return len;
}

/* ---- PTR ---- */

/* false: it has no wire format. */
static bool holder_name(const struct address_holder *h, const struct dns_name *zone, struct dns_name *ret_name)
{
	dns_name_begin(ret_name);
	if (h->endpoint_label)
		dns_name_add_label(ret_name, h->endpoint_label, strlen(h->endpoint_label));
	dns_name_add_label(ret_name, h->service, strlen(h->service));
	dns_name_add_label(ret_name, h->namespace, strlen(h->namespace));
	dns_name_add_label(ret_name, "svc", 3);
	return dns_name_end(ret_name, zone);
}

static bool has_cluster_ip(const struct address_holder *holders, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!holders[i].endpoint_label)
			return true;
	return false;
}

static bool has_name(const struct record_set *set, const struct dns_name *name)
{
	for (size_t i = 0; i < set->ptr_count; i++)
		if (dns_name_equal(&set->ptrs[i], name))
			return true;
	return false;
}

/* false: the names cannot all be told, or do not fit a message. */
static bool collect_names(const struct address_holder *holders, size_t count, const struct dns_name *zone,
			  struct record_set *set)
{
	bool is_cluster_ip = has_cluster_ip(holders, count);
	size_t rrs_len = 0;
	struct dns_name name;

	for (size_t i = 0; i < count; i++) {
		if (holders[i].is_passed)
			return false;
		if (is_cluster_ip && holders[i].endpoint_label)
			continue;
		if (!holders[i].service[0] || !holder_name(&holders[i], zone, &name))
			return false;
		if (has_name(set, &name))
			continue;
		rrs_len += PTR_FIXED_LEN + name.len;
		if (rrs_len > NODENS_MESSAGE_MAX)
			return false;
		set->ptrs[set->ptr_count++] = name;
	}
	/* Two services with one cluster IP: CoreDNS answers with either. */
	return !is_cluster_ip || set->ptr_count == 1;
}

bool records_build_ptr(const struct kube_addr *addr, const struct address_holder *holders, size_t count,
		       const struct record_params *params, struct record_set *ret_set, struct dns_name **ret_ptrs)
{
	size_t cap = count < PTR_MAX ? count : PTR_MAX;

	*ret_ptrs = NULL;
	if (!count)
		return false;
	*ret_set = (struct record_set){.is_reverse = true};
	dns_name_reverse(addr->family, addr->octets, &ret_set->owner);
	ret_set->ptrs = *ret_ptrs = calloc(cap, sizeof(**ret_ptrs));
	if (!ret_set->ptrs || !collect_names(holders, count, &params->zone, ret_set)) {
		ret_set->is_passed = true;
		ret_set->ptr_count = 0;
	}
	return true;
}
