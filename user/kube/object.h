/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services and EndpointSlices reduced at the door to what DNS needs. Plain data, one heap block each
 * (kube_object_free). Nothing here knows JSON.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kube_kind { KUBE_SERVICE, KUBE_SLICE };
enum kube_protocol { KUBE_TCP, KUBE_UDP, KUBE_SCTP };

/* IPv4: the first four octets. */
struct kube_addr {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t octets[16];
};

struct kube_port {
	char name[64];      /* "" : unnamed. At most 63 octets, a lower-case RFC 1123 label */
	int32_t number;     /* -1: none (slices only) */
	uint8_t protocol;   /* enum kube_protocol */
};

enum kube_service_type { KUBE_CLUSTER_IP, KUBE_HEADLESS, KUBE_EXTERNAL_NAME };

struct kube_service {
	enum kube_service_type type; /* NodePort and LoadBalancer are KUBE_CLUSTER_IP */
	struct kube_addr *cluster_ips;
	size_t cluster_ip_count;
	struct kube_port *ports;
	size_t port_count;
};

struct kube_endpoint {
	struct kube_addr *addresses;
	uint16_t address_count;
	bool is_ready; /* conditions.ready, missing = true */
	char *hostname; /* "" : none. A lower-case RFC 1123 label */
};

struct kube_slice {
	char service[64]; /* label kubernetes.io/service-name; "" : missing, and is_broken is not set for that alone */
	bool is_fqdn;     /* addressType FQDN: addresses are not kept */
	struct kube_endpoint *endpoints;
	size_t endpoint_count;
	struct kube_port *ports;
	size_t port_count;
};

struct kube_object {
	enum kube_kind kind;
	char *namespace;  /* lower-case RFC 1123 label */
	char *name;       /* service: RFC 1035 label; slice: RFC 1123 subdomain, at most 253 octets */
	char *resource_version; /* "" if missing */
	/* What could not be understood, in words ("spec.clusterIPs[0] \"x\" is no address"); NULL: all was. What is broken
	 * is still as complete as it could be read: the names and addresses in it are those that must be passed on. */
	char *broken;
	/* With broken: addresses may be missing that cannot even be told (addresses of a wrong type, …): then no PTR can
	 * be known to be whole. */
	bool has_unknown_addresses;
	/* Where it came from, for messages: "pods.json:items[3]"; may be "". */
	char *origin;
	union {
		struct kube_service service;
		struct kube_slice slice;
	};
};

/* One heap block with everything src points to, so that a builder can use temporary arrays. NULL strings become "",
 * a NULL broken stays NULL. NULL: out of memory. */
struct kube_object *kube_object_copy(const struct kube_object *src);
/* Only for what kube_object_copy or the decoder made. NULL is allowed. */
void kube_object_free(struct kube_object *o);
/* True where both give the same records: everything but resource_version and origin is compared. */
bool kube_object_equal(const struct kube_object *a, const struct kube_object *b);
bool kube_addr_equal(const struct kube_addr *a, const struct kube_addr *b);
/* Canonical text (RFC 5952 for IPv6). */
void kube_addr_format(const struct kube_addr *a, char ret_text[INET6_ADDRSTRLEN]);
const char *kube_protocol_label(enum kube_protocol p); /* "tcp", "udp", "sctp" */
