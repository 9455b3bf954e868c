/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ethernet, one VLAN tag, IPv4 or IPv6, UDP: from a frame to a datagram, and the headers of its answer. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "csum.bpf.h"
#include "hook.bpf.h"

#define VLAN_TAG_LEN 4
#define IPV4_UDP_LEN (20 + 8)
#define IPV6_UDP_LEN (40 + 8)
#define ANSWER_TTL 64

struct datagram {
	__u64 pseudo_sum; /* addresses and protocol of the pseudo header, without the length */
	__u64 ports_sum;
	__u64 ip_off;  /* octets from the start of the frame */
	__u64 dns_off;
	__u64 dns_len; /* octets of the DNS message, by the UDP header */
	__u16 udp_check;
	__be16 sport;
	__be16 dport;
	__u64 is_v6; /* 0 or 1 */
	__u64 is_partial; /* 0 or 1; CHECKSUM_PARTIAL: the checksum field holds the pseudo header's sum only */
};

#define IP_OFF_MASK 0x1f
#define DNS_LEN_MASK 0x3ff

static __always_inline __u64 sum_address6(const struct in6_addr *addr)
{
	return (__u64)addr->s6_addr32[0] + addr->s6_addr32[1] + addr->s6_addr32[2] + addr->s6_addr32[3];
}

/* The fixed header of 20 octets, its own checksum field included. */
static __always_inline __u64 sum_iphdr(const struct iphdr *ip)
{
	return sum_u64(load_u64(ip)) + sum_u64(load_u64((const __u8 *)ip + 8)) + load_u32((const __u8 *)ip + 16);
}

static __always_inline bool is_unicast4(__be32 addr)
{
	__u8 first = (__u8)addr;

	return first != 0 && first != 127 && first < 224;
}

/* The halves that differ first, mostly. */
static __always_inline bool is_same_address6(const struct in6_addr *a, const struct in6_addr *b)
{
	return load_u64(&a->s6_addr32[2]) == load_u64(&b->s6_addr32[2]) && load_u64(a) == load_u64(b);
}

static __always_inline bool is_server4(const struct iphdr *ip, __be16 port, const struct nodens_config *cfg)
{
	struct nodens_server4_key key = {.addr = ip->daddr, .port = port};

	if (key.addr == cfg->server4_addr && port == cfg->server4_port && port != 0)
		return true;
	return bpf_map_lookup_elem(&servers4, &key) != NULL;
}

static __always_inline bool is_server6(const struct ipv6hdr *ip, __be16 port)
{
	struct nodens_server6_key key = {.port = port};

	__builtin_memcpy(key.addr, &ip->daddr, sizeof(key.addr));
	return bpf_map_lookup_elem(&servers6, &key) != NULL;
}

/* On an interface that is no pod's: only sources of --allow-from, or a spoofed query would make the node a reflector. */
static __always_inline bool is_source_allowed(struct hook *h, const struct datagram *d)
{
	const void *ip = frame_at(h, d->ip_off);
	struct nodens_allow4_key key4 = {.prefix_len = 32};
	struct nodens_allow6_key key6 = {.prefix_len = 128};
	__u64 is_v6 = d->is_v6;

	launder(is_v6, d->ports_sum, 1);
	if (is_v6) {
		if (is_beyond(ip, sizeof(struct ipv6hdr), h->data_end))
			return false;
		__builtin_memcpy(key6.addr, &((const struct ipv6hdr *)ip)->saddr, sizeof(key6.addr));
		return bpf_map_lookup_elem(&allow6, &key6) != NULL;
	}
	if (is_beyond(ip, sizeof(struct iphdr), h->data_end))
		return false;
	key4.addr = ((const struct iphdr *)ip)->saddr;
	return bpf_map_lookup_elem(&allow4, &key4) != NULL;
}

/* Ports and lengths; what belongs to both families. payload: octets of UDP header and data by the IP header. */
static __always_inline enum nodens_verdict datagram_check(struct hook *h, struct datagram *d, __u32 payload)
{
	/* The frame holds exactly what the IP header says: no padding, no trailer, nothing cut off. */
	if (payload < sizeof(struct udphdr) + NODENS_DNS_HEADER_LEN || payload > NODENS_QUERY_FRAME_MAX)
		return NODENS_VERDICT_LENGTH;
	if (d->dns_off - sizeof(struct udphdr) + payload != h->len)
		return NODENS_VERDICT_LENGTH;
	if (d->dns_len + sizeof(struct udphdr) != payload)
		return NODENS_VERDICT_LENGTH;
	if (d->sport == 0 || d->sport == bpf_htons(53))
		return NODENS_VERDICT_SOURCE;
	return NODENS_VERDICT_ANSWERED;
}

static __always_inline void datagram_take_udp(struct datagram *d, const struct udphdr *udp)
{
	d->sport = udp->source;
	d->dport = udp->dest;
	d->udp_check = udp->check;
	d->dns_len = bpf_ntohs(udp->len) - sizeof(struct udphdr);
	d->ports_sum = (__u64)udp->source + udp->dest;
}

static __always_inline enum nodens_verdict parse_ipv4(struct hook *h, struct datagram *d, const struct iphdr *ip,
						      const struct nodens_config *cfg)
{
	const struct udphdr *udp = (const void *)(ip + 1);

	if (is_beyond(ip, sizeof(*ip) + sizeof(*udp), h->data_end) || ip->protocol != IPPROTO_UDP)
		return NODENS_VERDICT_NOT_DNS;
	/* Options move the ports; a later fragment has none. Neither can be told to be for us. */
	if (ip->version != 4 || ip->ihl != 5 || (ip->frag_off & bpf_htons(0x3fff)))
		return NODENS_VERDICT_IP_HEADER;
	if (!is_server4(ip, udp->dest, cfg))
		return NODENS_VERDICT_NOT_DNS;

	d->is_v6 = 0;
	d->ip_off = (const __u8 *)ip - (const __u8 *)h->data;
	d->dns_off = d->ip_off + sizeof(*ip) + sizeof(*udp);
	d->pseudo_sum = (__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_UDP);
	datagram_take_udp(d, udp);
	if (sum_fold_short(sum_iphdr(ip)) != 0xffff)
		return NODENS_VERDICT_IP_HEADER;
	if (!is_unicast4(ip->saddr) || ip->saddr == ip->daddr)
		return NODENS_VERDICT_SOURCE;
	return datagram_check(h, d, bpf_ntohs(ip->tot_len) - sizeof(*ip));
}

static __always_inline enum nodens_verdict parse_ipv6(struct hook *h, struct datagram *d, const struct ipv6hdr *ip)
{
	const struct udphdr *udp = (const void *)(ip + 1);

	if (is_beyond(ip, sizeof(*ip) + sizeof(*udp), h->data_end) || ip->nexthdr != IPPROTO_UDP || ip->version != 6)
		return NODENS_VERDICT_NOT_DNS;
	if (!is_server6(ip, udp->dest))
		return NODENS_VERDICT_NOT_DNS;

	d->is_v6 = 1;
	d->ip_off = (const __u8 *)ip - (const __u8 *)h->data;
	d->dns_off = d->ip_off + sizeof(*ip) + sizeof(*udp);
	d->pseudo_sum = sum_address6(&ip->saddr) + sum_address6(&ip->daddr) + bpf_htons(IPPROTO_UDP);
	datagram_take_udp(d, udp);
	if (ip->saddr.s6_addr[0] == 0xff || !(ip->saddr.s6_addr32[0] | ip->saddr.s6_addr32[1] | ip->saddr.s6_addr32[2]) ||
	    is_same_address6(&ip->saddr, &ip->daddr))
		return NODENS_VERDICT_SOURCE;
	if (d->udp_check == 0)
		return NODENS_VERDICT_UDP_CHECKSUM;
	return datagram_check(h, d, bpf_ntohs(ip->payload_len));
}

static __always_inline enum nodens_verdict parse_frame(struct hook *h, struct datagram *d, const struct nodens_config *cfg)
{
	const struct ethhdr *eth = h->data;
	const void *ip = eth + 1;
	__be16 proto;

	if (is_beyond(eth, sizeof(*eth) + VLAN_TAG_LEN, h->data_end))
		return NODENS_VERDICT_NOT_DNS;
	/* To a group, or from one. */
	if ((eth->h_dest[0] | eth->h_source[0]) & 1)
		return NODENS_VERDICT_NOT_DNS;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD)) {
		if (hook_has_outer_tag(h))
			return NODENS_VERDICT_NOT_DNS;
		proto = load_u16((const __u8 *)ip + 2);
		if (proto == bpf_htons(ETH_P_IP))
			return parse_ipv4(h, d, ip + VLAN_TAG_LEN, cfg);
		if (proto == bpf_htons(ETH_P_IPV6))
			return parse_ipv6(h, d, ip + VLAN_TAG_LEN);
		return NODENS_VERDICT_NOT_DNS;
	}
	if (proto == bpf_htons(ETH_P_IP))
		return parse_ipv4(h, d, ip, cfg);
	if (proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(h, d, ip);
	return NODENS_VERDICT_NOT_DNS;
}

/* ANSWERED: a datagram to a DNS server, headers in order; its checksum is looked at with the message. */
static __always_inline enum nodens_verdict parse_datagram(struct hook *h, struct datagram *d, const struct nodens_config *cfg)
{
	enum nodens_verdict v = parse_frame(h, d, cfg);
	__u64 unknown = d->ports_sum;

	if (v != NODENS_VERDICT_ANSWERED)
		return v;
	/* The four ways to get here become one. */
	launder(d->ip_off, unknown, IP_OFF_MASK);
	launder(d->is_v6, unknown, 1);
	launder(d->dns_len, unknown, DNS_LEN_MASK);
	d->dns_off = d->ip_off + IPV4_UDP_LEN + (IPV6_UDP_LEN - IPV4_UDP_LEN) * d->is_v6;
	hook_reload(h);
	return v;
}

/*
 * message_sum: the DNS message as it came. A packet whose sender left the checksum to its device (CHECKSUM_PARTIAL, usual
 * on veth) has the folded pseudo header sum in the field. The answer then must have the same, for whoever finishes it. A
 * real checksum equals that by chance once in 65,536: it is told by being right. A frame that leaves by XDP is completed by
 * nobody: its checksum must be whole.
 */
static __always_inline bool datagram_verify(struct datagram *d, __u64 message_sum)
{
	__u16 len = bpf_htons(d->dns_len + sizeof(struct udphdr));
	__u64 pseudo = d->pseudo_sum + len;
	__u16 whole = sum_fold(pseudo + d->ports_sum + len + d->udp_check + message_sum);

	__u64 is_partial = d->udp_check == sum_fold(pseudo) && whole != 0xffff;
	bool is_right = is_partial || whole == 0xffff || d->udp_check == 0;

	launder(is_partial, message_sum, 1);
	d->is_partial = hook_completes_checksum() ? is_partial : 0;
	return is_right;
}

static __always_inline void swap_ethernet(struct ethhdr *eth)
{
	__u32 dest_hi = load_u32(eth->h_dest);
	__u16 dest_lo = load_u16(eth->h_dest + 4);
	__u32 source_hi = load_u32(eth->h_source);
	__u16 source_lo = load_u16(eth->h_source + 4);

	store_u32(eth->h_dest, source_hi);
	store_u16(eth->h_dest + 4, source_lo);
	store_u32(eth->h_source, dest_hi);
	store_u16(eth->h_source + 4, dest_lo);
}

static __always_inline void write_ipv4(struct iphdr *ip, __u16 payload)
{
	__be32 saddr = ip->saddr, daddr = ip->daddr;
	__u16 tot_len = bpf_htons(payload + sizeof(*ip));
	__u64 sum = bpf_htons(0x4500) + tot_len + bpf_htons(ANSWER_TTL << 8 | IPPROTO_UDP) + (__u64)saddr + daddr;

	store_u16(ip, bpf_htons(0x4500));
	ip->tot_len = tot_len;
	store_u32(&ip->id, 0); /* and no flags, no offset */
	ip->ttl = ANSWER_TTL;
	ip->check = ~sum_fold_short(sum);
	ip->saddr = daddr;
	ip->daddr = saddr;
}

static __always_inline void write_ipv6(struct ipv6hdr *ip, __u16 payload)
{
	struct in6_addr saddr = ip->saddr;

	store_u32(ip, bpf_htonl(0x60000000));
	ip->payload_len = bpf_htons(payload);
	ip->hop_limit = ANSWER_TTL;
	ip->saddr = ip->daddr;
	ip->daddr = saddr;
}

/* message_sum: the DNS message as it will go. */
static __always_inline void write_udp(struct udphdr *udp, const struct datagram *d, __u16 payload, __u64 message_sum)
{
	__u16 len = bpf_htons(payload);
	__u64 pseudo = d->pseudo_sum + len;
	__u16 check;

	if (d->is_partial) {
		check = sum_fold(pseudo);
	} else {
		check = ~sum_fold(pseudo + d->ports_sum + len + message_sum);
		if (check == 0)
			check = 0xffff;
	}
	udp->source = d->dport;
	udp->dest = d->sport;
	udp->len = len;
	udp->check = check;
}
