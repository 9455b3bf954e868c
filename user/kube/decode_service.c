/* SPDX-License-Identifier: Apache-2.0 */
/* Services, and the ports that slices have as well. */
#include "kube/decode_parts.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/text.h"

#define PORTS_MAX 20000 /* what the API allows in a slice (discovery.k8s.io/v1) */
/* Far more than any number of cluster IPs (two), far less than uint16_t holds. */
#define CLUSTER_IPS_MAX 100

/* ---- ports ---- */

static bool read_protocol(struct json_reader *r, const cJSON *json, uint8_t *ret_protocol)
{
	static const char *const names[] = {[KUBE_TCP] = "TCP", [KUBE_UDP] = "UDP", [KUBE_SCTP] = "SCTP"};
	const char *text = json_text_field(r, json, "protocol");

	*ret_protocol = KUBE_TCP;
	if (!text)
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_protocol = (uint8_t)i;
			return true;
		}
	json_broken(r, "protocol %s is unknown", text_quote(text).text);
	return false;
}

static void read_port_number(struct json_reader *r, const cJSON *json, bool is_slice, struct kube_port *port)
{
	const cJSON *v = json_field(r, json, "port", cJSON_IsNumber, "a number");

	port->number = -1;
	if (!v && !is_slice)
		json_broken(r, "port is missing");
	if (!v)
		return;
	if (v->valuedouble < 1 || v->valuedouble > 65535 || v->valuedouble != (double)(int32_t)v->valuedouble)
		json_broken(r, "port %.17g is no port number", v->valuedouble);
	else
		port->number = (int32_t)v->valuedouble;
}

/* false: not even its name can be told. */
static bool read_port(struct json_reader *r, const cJSON *json, bool is_slice, struct kube_port *port)
{
	const char *name;

	if (!cJSON_IsObject(json)) {
		json_broken_element(r, json);
		return false;
	}
	memset(port, 0, sizeof(*port));
	read_port_number(r, json, is_slice, port);
	name = json_text_field(r, json, "name");
	if (name && name[0] && !text_is_label(name)) {
		json_broken(r, "name %s is not a lower-case label of at most 63 octets", text_quote(name).text);
		return false;
	}
	if (name)
		strcpy(port->name, name);
	return read_protocol(r, json, &port->protocol);
}

int decode_ports(struct json_reader *r, const cJSON *array, bool is_slice, struct kube_port **ret_ports,
		 size_t *ret_count)
{
	size_t size = (size_t)cJSON_GetArraySize(array);
	size_t count = 0;
	const char *parent = r->parent;
	struct kube_port *ports;

	if (size > PORTS_MAX)
		json_broken(r, "ports has %zu elements, more than %d", size, PORTS_MAX);
	if (size > PORTS_MAX)
		size = PORTS_MAX; /* its names are cut off as a whole, so none is missed */
	ports = calloc(size + 1, sizeof(*ports));
	if (!ports)
		return -ENOMEM;
	r->parent = is_slice ? "ports" : "spec.ports";
	r->index = 0;
	for (const cJSON *p = array ? array->child : NULL; p && (size_t)r->index < size; p = p->next, r->index++)
		count += read_port(r, p, is_slice, &ports[count]);
	r->parent = parent;
	r->index = -1;
	*ret_ports = ports;
	*ret_count = count;
	return 0;
}

/* ---- services ---- */

static enum kube_service_type read_service_type(struct json_reader *r, const cJSON *spec)
{
	static const char *const names[] = {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"};
	const char *text = json_text_field(r, spec, "type");
	size_t i = 0;

	while (text && i < 4 && strcmp(text, names[i]) != 0)
		i++;
	if (i == 4)
		json_broken(r, "type %s is unknown", text_quote(text).text);
	return i == 3 ? KUBE_EXTERNAL_NAME : KUBE_CLUSTER_IP;
}

/* "" and "None" hold no address. where: clusterIP or clusterIPs[n], for messages. */
static void read_cluster_ip(struct json_reader *r, struct kube_service *s, const char *text, const char *where,
			    size_t i)
{
	struct kube_addr *addr = &s->cluster_ips[s->cluster_ip_count];

	if (strcmp(text, "None") == 0 && (i == 0 || s->type == KUBE_HEADLESS)) {
		if (s->type == KUBE_CLUSTER_IP)
			s->type = KUBE_HEADLESS;
		return;
	}
	if (text[0] == '\0' && s->type == KUBE_EXTERNAL_NAME)
		return;
	if (!text_parse_addr(text, addr)) {
		if (text[0])
			json_broken(r, "%s %s is not a canonical address", where, text_quote(text).text);
		else
			json_broken(r, "%s is empty", where);
		return;
	}
	s->cluster_ip_count++;
	if (s->type == KUBE_HEADLESS)
		json_broken(r, "%s %s beside None", where, text);
}

static void read_cluster_ips(struct json_reader *r, const cJSON *spec, struct kube_service *s)
{
	const cJSON *array = json_address_field(r, spec, "clusterIPs", cJSON_IsArray, "an array");
	const cJSON *single = json_address_field(r, spec, "clusterIP", cJSON_IsString, "a string");
	size_t i = 0;
	char where[32];

	for (const cJSON *v = array ? array->child : NULL; v; v = v->next, i++) {
		snprintf(where, sizeof(where), "clusterIPs[%zu]", i);
		if (cJSON_IsString(v) && i < CLUSTER_IPS_MAX) {
			read_cluster_ip(r, s, v->valuestring, where, i);
			continue;
		}
		r->has_unknown_addresses = true;
		if (cJSON_IsString(v))
			json_broken(r, "clusterIPs has more than %d elements", CLUSTER_IPS_MAX);
		else
			json_broken(r, "%s is %s, not a string", where, json_type_name(v));
	}
	if (i > 0)
		return;
	if (single)
		read_cluster_ip(r, s, single->valuestring, "clusterIP", 0);
	else if (s->type != KUBE_EXTERNAL_NAME)
		json_broken(r, "clusterIP is missing");
}

int decode_service(struct json_reader *r, const cJSON *json, struct kube_service *s)
{
	const cJSON *spec = json_address_field(r, json, "spec", cJSON_IsObject, "an object");

	if (!spec)
		json_broken(r, "spec is missing");
	s->cluster_ips = calloc(CLUSTER_IPS_MAX, sizeof(*s->cluster_ips));
	if (!s->cluster_ips)
		return -ENOMEM;
	r->parent = "spec";
	s->type = read_service_type(r, spec);
	read_cluster_ips(r, spec, s);
	return decode_ports(r, json_field(r, spec, "ports", cJSON_IsArray, "an array"), false, &s->ports,
			    &s->port_count);
}
