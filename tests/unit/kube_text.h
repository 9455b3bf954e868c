/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services and slices in one line each, for test tables:
 *
 *   service  "headless | PORTS"   "10.96.0.1 fd00::1 | PORTS"   "external"   and "broken " in front of any
 *   slice    "PORTS | ENDPOINTS"                                 and "broken " or "fqdn " in front
 *   PORTS      http:80/tcp :8080/tcp any:-/udp     name, number or '-' for none, protocol
 *   ENDPOINTS  10.0.0.1 web-0=10.0.0.2 a=10.0.0.3+fd00::1 !10.0.0.4     '!': not ready
 */
#pragma once

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/object.h"

static inline void *kube_text_append(void *array, size_t *count, size_t size, const void *item)
{
	array = realloc(array, (*count + 1) * size);
	if (!array)
		abort();
	memcpy((char *)array + (*count)++ * size, item, size);
	return array;
}

static inline struct kube_addr kube_text_addr(const char *text)
{
	struct kube_addr a = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	if (inet_pton(a.family, text, a.octets) != 1) {
		fprintf(stderr, "bad address in a test: %s\n", text);
		abort();
	}
	return a;
}

static inline void kube_text_ports(char *text, struct kube_port **ret_ports, size_t *ret_count)
{
	static const char *const protocols[] = {"tcp", "udp", "sctp"};
	char *save, *word, *number, *protocol;
	struct kube_port port;

	for (word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		port = (struct kube_port){0};
		number = strchr(word, ':');
		*number++ = '\0';
		protocol = strchr(number, '/');
		*protocol++ = '\0';
		snprintf(port.name, sizeof(port.name), "%s", word);
		port.number = *number == '-' ? -1 : atoi(number);
		while (strcmp(protocols[port.protocol], protocol) != 0)
			port.protocol++;
		*ret_ports = kube_text_append(*ret_ports, ret_count, sizeof(port), &port);
	}
}

static inline struct kube_endpoint kube_text_endpoint(char *word)
{
	struct kube_endpoint ep = {.is_ready = *word != '!'};
	char *hostname = word + !ep.is_ready, *addresses = strchr(hostname, '='), *save, *text;
	struct kube_addr addr;
	size_t count = 0;

	if (addresses)
		*addresses++ = '\0';
	else
		addresses = hostname;
	ep.hostname = strdup(addresses == hostname ? "" : hostname);
	for (text = strtok_r(addresses, "+", &save); text; text = strtok_r(NULL, "+", &save)) {
		addr = kube_text_addr(text);
		ep.addresses = kube_text_append(ep.addresses, &count, sizeof(addr), &addr);
	}
	ep.address_count = (uint16_t)count;
	return ep;
}

static inline void kube_text_slice(struct kube_object *o, char *ports, char *endpoints)
{
	struct kube_endpoint ep;
	char *save, *word;

	o->kind = KUBE_SLICE;
	kube_text_ports(ports, &o->slice.ports, &o->slice.port_count);
	for (word = strtok_r(endpoints, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		ep = kube_text_endpoint(word);
		o->slice.endpoints = kube_text_append(o->slice.endpoints, &o->slice.endpoint_count, sizeof(ep), &ep);
	}
}

static inline void kube_text_service(struct kube_object *o, char *kind, char *ports)
{
	struct kube_addr addr;
	char *save, *word;

	o->kind = KUBE_SERVICE;
	for (word = strtok_r(kind, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (strcmp(word, "headless") == 0) {
			o->service.type = KUBE_HEADLESS;
		} else if (strcmp(word, "external") == 0) {
			o->service.type = KUBE_EXTERNAL_NAME;
		} else if (strcmp(word, "cluster") != 0) {
			addr = kube_text_addr(word);
			o->service.cluster_ips = kube_text_append(o->service.cluster_ips, &o->service.cluster_ip_count,
								  sizeof(addr), &addr);
		}
	}
	kube_text_ports(ports, &o->service.ports, &o->service.port_count);
}

/* Free with kube_text_free, not kube_object_free. */
static inline struct kube_object *kube_text_object(enum kube_kind kind, const char *text)
{
	struct kube_object *o = calloc(1, sizeof(*o));
	char *copy = strdup(text), *at = copy, *bar;

	if (!o || !copy)
		abort();
	if (strncmp(at, "broken ", 7) == 0) {
		o->broken = (char *)"a test says so";
		at += 7;
	}
	if (strncmp(at, "fqdn ", 5) == 0) {
		o->slice.is_fqdn = true;
		at += 5;
	}
	bar = strchr(at, '|');
	if (bar)
		*bar++ = '\0';
	else
		bar = at + strlen(at);
	if (kind == KUBE_SERVICE)
		kube_text_service(o, at, bar);
	else
		kube_text_slice(o, at, bar);
	free(copy);
	return o;
}

static inline void kube_text_free(struct kube_object *o)
{
	if (o->kind == KUBE_SERVICE) {
		free(o->service.cluster_ips);
		free(o->service.ports);
	} else {
		for (size_t i = 0; i < o->slice.endpoint_count; i++) {
			free(o->slice.endpoints[i].addresses);
			free(o->slice.endpoints[i].hostname);
		}
		free(o->slice.endpoints);
		free(o->slice.ports);
	}
	free(o);
}
