/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet frames with a UDP datagram inside. */
#include "frame.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <string.h>

#include "base/wire.h"

#define SOURCE_PORT 40000
#define HOP_LIMIT   64

static const uint8_t source4[4] = {192, 0, 2, 1};
static const uint8_t source6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

static uint16_t add_sums(uint32_t a, uint32_t b)
{
	uint32_t sum = a + b;

	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Both addresses, protocol and length count (RFC 768, RFC 8200 section 8.1); their order and width do not. */
static uint16_t udp_checksum(const void *addresses, size_t addresses_len, const struct udphdr *udp, size_t len)
{
	uint16_t sum = wire_sum(addresses, addresses_len);

	sum = add_sums(sum, htons(IPPROTO_UDP));
	sum = add_sums(sum, htons((uint16_t)len));
	sum = (uint16_t)~add_sums(sum, wire_sum(udp, len));
	return sum ? sum : 0xffff;
}

static void build_ip4(const struct server_addr *server, size_t udp_len, void *at)
{
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = HOP_LIMIT, .protocol = IPPROTO_UDP};

	ip.tot_len = htons((uint16_t)(sizeof(ip) + udp_len));
	memcpy(&ip.saddr, source4, 4);
	memcpy(&ip.daddr, server->octets, 4);
	ip.check = (uint16_t)~wire_sum(&ip, sizeof(ip));
	memcpy(at, &ip, sizeof(ip));
}

static void build_ip6(const struct server_addr *server, size_t udp_len, void *at)
{
	struct ipv6hdr ip = {
		.version = 6, .payload_len = htons((uint16_t)udp_len), .nexthdr = IPPROTO_UDP, .hop_limit = HOP_LIMIT};

	memcpy(&ip.saddr, source6, 16);
	memcpy(&ip.daddr, server->octets, 16);
	memcpy(at, &ip, sizeof(ip));
}

size_t frame_build_query(const struct server_addr *server, const void *message, size_t len, void *ret_frame, size_t cap)
{
	bool is_v4 = server->family == AF_INET;
	size_t ip_len = is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	size_t addresses_len = is_v4 ? 8 : 32;
	size_t udp_len = sizeof(struct udphdr) + len;
	struct ethhdr eth = {.h_dest = {2, 0, 0, 0, 0, 1}, .h_source = {2, 0, 0, 0, 0, 2}};
	uint8_t *ip = (uint8_t *)ret_frame + sizeof(eth);
	struct udphdr udp = {.source = htons(SOURCE_PORT), .dest = server->port, .len = htons((uint16_t)udp_len)};

	if (cap < sizeof(eth) + ip_len + udp_len || udp_len > 65535)
		return 0;
	eth.h_proto = htons(is_v4 ? ETH_P_IP : ETH_P_IPV6);
	memcpy(ret_frame, &eth, sizeof(eth));
	if (is_v4)
		build_ip4(server, udp_len, ip);
	else
		build_ip6(server, udp_len, ip);
	memcpy(ip + ip_len, &udp, sizeof(udp));
	memcpy(ip + ip_len + sizeof(udp), message, len);
	/* The addresses are the last octets of either header. */
	udp.check = udp_checksum(ip + ip_len - addresses_len, addresses_len, (struct udphdr *)(ip + ip_len), udp_len);
	memcpy(ip + ip_len, &udp, sizeof(udp));
	return sizeof(eth) + ip_len + udp_len;
}

/* Where UDP begins, 0: not UDP. */
static size_t find_udp(const uint8_t *frame, size_t len)
{
	struct ethhdr eth;
	size_t ip_len;

	if (len < sizeof(eth) + sizeof(struct iphdr))
		return 0;
	memcpy(&eth, frame, sizeof(eth));
	if (eth.h_proto == htons(ETH_P_IP)) {
		ip_len = (size_t)(frame[sizeof(eth)] & 15) * 4;
		return frame[sizeof(eth) + 9] == IPPROTO_UDP ? sizeof(eth) + ip_len : 0;
	}
	if (eth.h_proto == htons(ETH_P_IPV6) && frame[sizeof(eth) + 6] == IPPROTO_UDP)
		return sizeof(eth) + sizeof(struct ipv6hdr);
	return 0;
}

bool frame_find_message(const void *frame, size_t len, const uint8_t **ret_message, size_t *ret_len)
{
	size_t at = find_udp(frame, len);
	struct udphdr udp;

	if (!at || at + sizeof(udp) > len)
		return false;
	memcpy(&udp, (const uint8_t *)frame + at, sizeof(udp));
	if (ntohs(udp.len) < sizeof(udp) || at + ntohs(udp.len) > len)
		return false;
	*ret_message = (const uint8_t *)frame + at + sizeof(udp);
	*ret_len = ntohs(udp.len) - sizeof(udp);
	return true;
}
