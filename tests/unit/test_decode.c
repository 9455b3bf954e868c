/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to reduced objects, and lists of them. Texts in the tables are written with ' for ". */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kube/decode.h"
#include "kube/items.h"

#define ALL_JSON "tests/data/scenarios/all.json"

static char *json(const char *text)
{
	char *copy = strdup(text);

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	return copy;
}

/* ---- objects as one line of text ---- */

struct line {
	char text[2048];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	l->len += (size_t)vsnprintf(l->text + l->len, sizeof(l->text) - l->len, format, args);
	va_end(args);
	assert_true(l->len < sizeof(l->text));
}

static void put_addrs(struct line *l, const struct kube_addr *a, size_t count)
{
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < count; i++) {
		kube_addr_format(&a[i], text);
		put(l, "%s%s", i ? "+" : "", text);
	}
}

static void put_ports(struct line *l, const struct kube_port *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put(l, " %s:%d/%s", p[i].name, p[i].number, kube_protocol_label((enum kube_protocol)p[i].protocol));
}

static const char *describe(const struct kube_object *o, struct line *l)
{
	static const char *const types[] = {"cluster", "headless", "external"};

	l->len = 0;
	if (o->kind == KUBE_SERVICE) {
		put(l, "%s/%s %s ", o->namespace, o->name, types[o->service.type]);
		put_addrs(l, o->service.cluster_ips, o->service.cluster_ip_count);
		put(l, " |");
		put_ports(l, o->service.ports, o->service.port_count);
		return l->text;
	}
	put(l, "%s/%s of %s%s |", o->namespace, o->name, o->slice.service, o->slice.is_fqdn ? " fqdn" : "");
	put_ports(l, o->slice.ports, o->slice.port_count);
	put(l, " |");
	for (size_t i = 0; i < o->slice.endpoint_count; i++) {
		const struct kube_endpoint *ep = &o->slice.endpoints[i];

		put(l, " %s%s=", ep->is_ready ? "" : "!", ep->hostname);
		put_addrs(l, ep->addresses, ep->address_count);
	}
	return l->text;
}

/* ---- single objects ---- */

struct row {
	const char *what;
	const char *text;
	const char *object; /* as describe tells it; NULL: not decoded */
	const char *broken; /* broken, or the error if there is no object; NULL: none */
	bool has_unknown_addresses;
};

#define SERVICE(spec) "{'kind':'Service','metadata':{'namespace':'d','name':'web'},'spec':{" spec "}}"
#define SLICE_META(type, labels, rest)                                                                               \
	"{'kind':'EndpointSlice','addressType':'" type "','metadata':{'namespace':'d','name':'web-1'," labels "}," rest "}"
#define SLICE_TYPE(type, rest) SLICE_META(type, "'labels':{'kubernetes.io/service-name':'web'}", rest)
#define SLICE(rest) SLICE_TYPE("IPv4", rest)
#define ENDPOINT(rest) SLICE("'endpoints':[{" rest "}]")
#define META(metadata) "{'kind':'Service','metadata':" metadata ",'spec':{'clusterIP':'None'}}"
#define LABEL_63 "a23456789012345678901234567890123456789012345678901234567890123"

static const struct row services[] = {
	{"a cluster IP", SERVICE("'type':'ClusterIP','clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1']"),
	 "d/web cluster 10.0.0.1 |"},
	{"clusterIPs win over clusterIP", SERVICE("'clusterIP':'10.0.0.9','clusterIPs':['10.0.0.1','fd00::1']"),
	 "d/web cluster 10.0.0.1+fd00::1 |"},
	{"only clusterIP", SERVICE("'clusterIP':'fd00::1'"), "d/web cluster fd00::1 |"},
	{"clusterIPs null", SERVICE("'clusterIP':'10.0.0.1','clusterIPs':null"), "d/web cluster 10.0.0.1 |"},
	{"clusterIPs empty", SERVICE("'clusterIP':'10.0.0.1','clusterIPs':[]"), "d/web cluster 10.0.0.1 |"},
	{"NodePort", SERVICE("'type':'NodePort','clusterIP':'10.0.0.1'"), "d/web cluster 10.0.0.1 |"},
	{"LoadBalancer", SERVICE("'type':'LoadBalancer','clusterIP':'10.0.0.1'"), "d/web cluster 10.0.0.1 |"},
	{"headless", SERVICE("'clusterIP':'None','clusterIPs':['None']"), "d/web headless  |"},
	{"headless by clusterIP alone", SERVICE("'clusterIP':'None'"), "d/web headless  |"},
	{"ExternalName", SERVICE("'type':'ExternalName','externalName':'example.com'"), "d/web external  |"},
	{"ExternalName with empty clusterIP", SERVICE("'type':'ExternalName','clusterIP':''"), "d/web external  |"},
	{"ports", SERVICE("'clusterIP':'None','ports':[{'name':'http','port':80,'protocol':'TCP','targetPort':'x'},"
			  "{'port':53,'protocol':'UDP'},{'name':'80','port':65535,'protocol':'SCTP'},{'name':null,'port':1,"
			  "'protocol':null}]"),
	 "d/web headless  | http:80/tcp :53/udp 80:65535/sctp :1/tcp"},
	{"ports null", SERVICE("'clusterIP':'None','ports':null"), "d/web headless  |"},
	{"deletionTimestamp does not matter",
	 "{'kind':'Service','metadata':{'namespace':'d','name':'web','deletionTimestamp':'2026-01-01T00:00:00Z'},"
	 "'spec':{'clusterIP':'None'}}",
	 "d/web headless  |"},
	{"apiVersion v1", "{'apiVersion':'v1','kind':'Service','metadata':{'namespace':'d','name':'web'},"
			  "'spec':{'clusterIP':'None'}}",
	 "d/web headless  |"},

	{"clusterIP missing", SERVICE(""), "d/web cluster  |", "spec.clusterIP is missing"},
	{"clusterIP empty", SERVICE("'clusterIP':''"), "d/web cluster  |", "spec.clusterIP is empty"},
	{"clusterIP a number", SERVICE("'clusterIP':7"), "d/web cluster  |", "spec.clusterIP is a number, not a string", true},
	{"clusterIPs a string", SERVICE("'clusterIP':'10.0.0.1','clusterIPs':'10.0.0.1'"), "d/web cluster 10.0.0.1 |",
	 "spec.clusterIPs is a string, not an array", true},
	{"clusterIPs of numbers", SERVICE("'clusterIPs':['10.0.0.1',5]"), "d/web cluster 10.0.0.1 |",
	 "spec.clusterIPs[1] is a number, not a string", true},
	{"clusterIPs twice", SERVICE("'clusterIPs':['10.0.0.1'],'clusterIPs':['10.0.0.2']"), "d/web cluster 10.0.0.2 |",
	 "spec.clusterIPs comes twice", true},
	{"an address out of range", SERVICE("'clusterIPs':['10.0.0.1','10.0.0.256']"), "d/web cluster 10.0.0.1 |",
	 "spec.clusterIPs[1] \"10.0.0.256\" is not a canonical address"},
	{"leading zero", SERVICE("'clusterIP':'010.0.0.1'"), "d/web cluster  |",
	 "spec.clusterIP \"010.0.0.1\" is not a canonical address"},
	{"an address beside None", SERVICE("'clusterIPs':['None','10.0.0.1']"), "d/web headless 10.0.0.1 |",
	 "spec.clusterIPs[1] 10.0.0.1 beside None"},
	{"None beside an address", SERVICE("'clusterIPs':['10.0.0.1','None']"), "d/web cluster 10.0.0.1 |",
	 "spec.clusterIPs[1] \"None\" is not a canonical address"},
	{"an unknown type", SERVICE("'type':'Magic','clusterIP':'10.0.0.1'"), "d/web cluster 10.0.0.1 |",
	 "spec.type \"Magic\" is unknown"},
	{"type a number", SERVICE("'type':1,'clusterIP':'10.0.0.1'"), "d/web cluster 10.0.0.1 |",
	 "spec.type is a number, not a string"},
	{"spec missing", "{'kind':'Service','metadata':{'namespace':'d','name':'web'}}", "d/web cluster  |",
	 "spec is missing"},
	{"spec an array", "{'kind':'Service','metadata':{'namespace':'d','name':'web'},'spec':[]}", "d/web cluster  |",
	 "spec is an array, not an object", true},
	{"ports an object", SERVICE("'clusterIP':'None','ports':{}"), "d/web headless  |",
	 "spec.ports is an object, not an array"},
	{"a port that is a number", SERVICE("'clusterIP':'None','ports':[80]"), "d/web headless  |",
	 "spec.ports[0] is a number, not an object"},
	{"port 0", SERVICE("'clusterIP':'None','ports':[{'name':'a','port':1},{'name':'b','port':0}]"),
	 "d/web headless  | a:1/tcp b:-1/tcp", "spec.ports[1].port 0 is no port number"},
	{"port 65536", SERVICE("'clusterIP':'None','ports':[{'port':65536}]"), "d/web headless  | :-1/tcp",
	 "spec.ports[0].port 65536 is no port number"},
	{"a huge port", SERVICE("'clusterIP':'None','ports':[{'port':1e999}]"), "d/web headless  | :-1/tcp",
	 "spec.ports[0].port inf is no port number"},
	{"half a port", SERVICE("'clusterIP':'None','ports':[{'port':80.5}]"), "d/web headless  | :-1/tcp",
	 "spec.ports[0].port 80.5 is no port number"},
	{"port missing", SERVICE("'clusterIP':'None','ports':[{'name':'a'}]"), "d/web headless  | a:-1/tcp",
	 "spec.ports[0].port is missing"},
	{"port a string", SERVICE("'clusterIP':'None','ports':[{'port':'80'}]"), "d/web headless  | :-1/tcp",
	 "spec.ports[0].port is a string, not a number"},
	{"an unknown protocol", SERVICE("'clusterIP':'None','ports':[{'port':80,'protocol':'tcp'}]"), "d/web headless  |",
	 "spec.ports[0].protocol \"tcp\" is unknown"},
	{"a port name in upper case", SERVICE("'clusterIP':'None','ports':[{'name':'Http','port':80}]"), "d/web headless  |",
	 "spec.ports[0].name \"Http\" is not a lower-case label of at most 63 octets"},
	{"a port name of 63 octets", SERVICE("'clusterIP':'None','ports':[{'name':'" LABEL_63 "','port':80}]"),
	 "d/web headless  | " LABEL_63 ":80/tcp"},
	{"a port name of 64 octets", SERVICE("'clusterIP':'None','ports':[{'name':'" LABEL_63 "x','port':80}]"),
	 "d/web headless  |", "spec.ports[0].name \"" LABEL_63 "x\" is not a lower-case label of at most 63 octets"},
	{"a port name with a NUL", SERVICE("'clusterIP':'None','ports':[{'name':'http\\u0000x','port':80}]"),
	 "d/web headless  |", "spec.ports[0].name \"http?x\" is not a lower-case label of at most 63 octets"},
	{"protocol twice", SERVICE("'clusterIP':'None','ports':[{'port':80,'protocol':'TCP','protocol':'UDP'}]"),
	 "d/web headless  | :80/udp", "spec.ports[0].protocol comes twice"},
};

static const struct row slices[] = {
	{"an endpoint", ENDPOINT("'addresses':['10.0.0.1'],'hostname':'web-0','conditions':{'ready':true}"),
	 "d/web-1 of web | | web-0=10.0.0.1"},
	{"not ready", ENDPOINT("'addresses':['10.0.0.1'],'conditions':{'ready':false}"), "d/web-1 of web | | !=10.0.0.1"},
	{"ready null", ENDPOINT("'addresses':['10.0.0.1'],'conditions':{'ready':null}"), "d/web-1 of web | | =10.0.0.1"},
	{"conditions null", ENDPOINT("'addresses':['10.0.0.1'],'conditions':null"), "d/web-1 of web | | =10.0.0.1"},
	{"no conditions", ENDPOINT("'addresses':['10.0.0.1']"), "d/web-1 of web | | =10.0.0.1"},
	{"terminating and serving do not matter",
	 ENDPOINT("'addresses':['10.0.0.1'],'conditions':{'ready':true,'serving':false,'terminating':true}"),
	 "d/web-1 of web | | =10.0.0.1"},
	{"several addresses", ENDPOINT("'addresses':['10.0.0.1','10.0.0.2']"), "d/web-1 of web | | =10.0.0.1+10.0.0.2"},
	{"hostname empty", ENDPOINT("'addresses':['10.0.0.1'],'hostname':''"), "d/web-1 of web | | =10.0.0.1"},
	{"hostname null", ENDPOINT("'addresses':['10.0.0.1'],'hostname':null"), "d/web-1 of web | | =10.0.0.1"},
	{"addresses null", ENDPOINT("'addresses':null"), "d/web-1 of web | | ="},
	{"endpoints null, ports null", SLICE("'endpoints':null,'ports':null"), "d/web-1 of web | |"},
	{"nothing", SLICE("'x':0"), "d/web-1 of web | |"},
	{"IPv6", SLICE_TYPE("IPv6", "'endpoints':[{'addresses':['fd00::1']},{'addresses':['fd00:50::']}]"),
	 "d/web-1 of web | | =fd00::1 =fd00:50::"},
	{"FQDN", SLICE_TYPE("FQDN", "'endpoints':[{'addresses':['example.com'],'hostname':'a'}]"),
	 "d/web-1 of web fqdn | | a="},
	{"ports", SLICE("'ports':[{'name':'http','port':8080,'protocol':'TCP'},{'name':'','port':null},{'protocol':'UDP',"
			"'port':53},{'name':null,'port':9,'protocol':'SCTP'}]"),
	 "d/web-1 of web | http:8080/tcp :-1/tcp :53/udp :9/sctp |"},
	{"no service label", SLICE_META("IPv4", "'labels':{'a':'b'}", "'endpoints':[{'addresses':['10.0.0.1']}]"),
	 "d/web-1 of  | | =10.0.0.1"},
	{"labels null", SLICE_META("IPv4", "'labels':null", "'endpoints':null"), "d/web-1 of  | |"},
	{"a service label that is no name",
	 SLICE_META("IPv4", "'labels':{'kubernetes.io/service-name':'Web'}", "'ports':null"),
	 "d/web-1 of  | |", "metadata.labels[kubernetes.io/service-name] \"Web\" is no service name"},
	{"discovery.k8s.io/v1", "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','addressType':'IPv4','metadata':{"
				"'namespace':'d','name':'a.b'}}",
	 "d/a.b of  | |"},

	{"leading zero", ENDPOINT("'addresses':['10.0.0.1','010.1.1.1']"), "d/web-1 of web | | =10.0.0.1",
	 "endpoints[0].addresses[1] \"010.1.1.1\" is not a canonical IPv4 address"},
	{"upper case IPv6", SLICE_TYPE("IPv6", "'endpoints':[{'addresses':['fd00::1']},{'addresses':['FD00::1']}]"),
	 "d/web-1 of web | | =fd00::1 =", "endpoints[1].addresses[0] \"FD00::1\" is not a canonical IPv6 address"},
	{"an IPv4-mapped address", SLICE_TYPE("IPv6", "'endpoints':[{'addresses':['::ffff:10.0.0.1']}]"),
	 "d/web-1 of web | | =", "endpoints[0].addresses[0] \"::ffff:10.0.0.1\" is not a canonical IPv6 address"},
	{"a long form", SLICE_TYPE("IPv6", "'endpoints':[{'addresses':['fd00:0::1']}]"), "d/web-1 of web | | =",
	 "endpoints[0].addresses[0] \"fd00:0::1\" is not a canonical IPv6 address"},
	{"a scope", SLICE_TYPE("IPv6", "'endpoints':[{'addresses':['fe80::1%eth0']}]"), "d/web-1 of web | | =",
	 "endpoints[0].addresses[0] \"fe80::1%eth0\" is not a canonical IPv6 address"},
	{"IPv6 in an IPv4 slice is kept", ENDPOINT("'addresses':['fd00::1']"), "d/web-1 of web | | =fd00::1",
	 "endpoints[0].addresses[0] \"fd00::1\" is not a canonical IPv4 address"},
	{"IPv4 in an IPv6 slice is kept", SLICE_TYPE("IPv6", "'endpoints':[{'addresses':['10.0.0.1']}]"),
	 "d/web-1 of web | | =10.0.0.1", "endpoints[0].addresses[0] \"10.0.0.1\" is not a canonical IPv6 address"},
	{"an address in an FQDN slice is kept", SLICE_TYPE("FQDN", "'endpoints':[{'addresses':['10.0.0.1']}]"),
	 "d/web-1 of web fqdn | | =10.0.0.1", "endpoints[0].addresses[0] \"10.0.0.1\" is no name"},
	{"an empty address", ENDPOINT("'addresses':['']"), "d/web-1 of web | | =",
	 "endpoints[0].addresses[0] \"\" is not a canonical IPv4 address"},
	{"a number as an address", ENDPOINT("'addresses':[1,'10.0.0.1']"), "d/web-1 of web | | =10.0.0.1",
	 "endpoints[0].addresses[0] is a number, not a string", true},
	{"a null address", ENDPOINT("'addresses':[null]"), "d/web-1 of web | | =",
	 "endpoints[0].addresses[0] is null, not a string", true},
	{"addresses a string", ENDPOINT("'addresses':'10.0.0.1'"), "d/web-1 of web | | =",
	 "endpoints[0].addresses is a string, not an array", true},
	{"addresses twice", ENDPOINT("'addresses':['10.0.0.1'],'addresses':['10.0.0.2','10.0.0.3']"),
	 "d/web-1 of web | | =10.0.0.2+10.0.0.3", "endpoints[0].addresses comes twice", true},
	{"an endpoint that is a string", SLICE("'endpoints':['10.0.0.1',{'addresses':['10.0.0.2']}]"),
	 "d/web-1 of web | | =10.0.0.2", "endpoints[0] is a string, not an object", true},
	{"endpoints an object", SLICE("'endpoints':{}"), "d/web-1 of web | |", "endpoints is an object, not an array", true},
	{"endpoints twice", SLICE("'endpoints':[],'endpoints':null"), "d/web-1 of web | |", "endpoints comes twice", true},
	{"the hostname is bad, the address is kept", ENDPOINT("'addresses':['10.0.0.1'],'hostname':'Web.0'"),
	 "d/web-1 of web | | =10.0.0.1", "endpoints[0].hostname \"Web.0\" is not a lower-case label"},
	{"a hostname that begins with -", ENDPOINT("'hostname':'-a'"), "d/web-1 of web | | =",
	 "endpoints[0].hostname \"-a\" is not a lower-case label"},
	{"a hostname that ends in -", ENDPOINT("'hostname':'a-'"), "d/web-1 of web | | =",
	 "endpoints[0].hostname \"a-\" is not a lower-case label"},
	{"a hostname with half a surrogate", ENDPOINT("'hostname':'a\\ud800b'"), "d/web-1 of web | | =",
	 "endpoints[0].hostname \"a???b\" is not a lower-case label"},
	{"hostname a number", ENDPOINT("'addresses':['10.0.0.1'],'hostname':0"), "d/web-1 of web | | =10.0.0.1",
	 "endpoints[0].hostname is a number, not a string"},
	{"ready a string", ENDPOINT("'addresses':['10.0.0.1'],'conditions':{'ready':'yes'}"), "d/web-1 of web | | =10.0.0.1",
	 "endpoints[0].conditions.ready is a string, not true or false"},
	{"ready twice", ENDPOINT("'addresses':['10.0.0.1'],'conditions':{'ready':true,'ready':false}"),
	 "d/web-1 of web | | !=10.0.0.1", "endpoints[0].conditions.ready comes twice"},
	{"conditions an array", ENDPOINT("'addresses':['10.0.0.1'],'conditions':[]"), "d/web-1 of web | | =10.0.0.1",
	 "endpoints[0].conditions is an array, not an object"},
	{"an unknown address type keeps the addresses",
	 SLICE_TYPE("IPv5", "'endpoints':[{'addresses':['10.0.0.1','fd00::1']}]"),
	 "d/web-1 of web | | =10.0.0.1+fd00::1", "addressType \"IPv5\" is unknown"},
	{"no address type", "{'kind':'EndpointSlice','metadata':{'namespace':'d','name':'a'}}", "d/a of  | |",
	 "addressType is missing"},
	{"a port beyond 65535", SLICE("'ports':[{'port':70000}]"), "d/web-1 of web | :-1/tcp |",
	 "ports[0].port 70000 is no port number"},
	{"resourceVersion a number", "{'kind':'EndpointSlice','addressType':'IPv4','metadata':{'namespace':'d','name':'a',"
				     "'resourceVersion':1}}",
	 "d/a of  | |", "metadata.resourceVersion is a number, not a string"},
	{"the first thing is told", ENDPOINT("'addresses':['10.0.0.999'],'hostname':'B'"), "d/web-1 of web | | =",
	 "endpoints[0].hostname \"B\" is not a lower-case label"},
};

static const struct row nameless[] = {
	{"no metadata", "{'kind':'Service'}", NULL, "metadata is missing"},
	{"metadata null", META("null"), NULL, "metadata is missing"},
	{"metadata an array", META("[]"), NULL, "metadata is an array, not an object"},
	{"no namespace", META("{'name':'a'}"), NULL, "metadata.namespace is missing"},
	{"no name", META("{'namespace':'a'}"), NULL, "metadata.name is missing"},
	{"name null", META("{'namespace':'a','name':null}"), NULL, "metadata.name is missing"},
	{"name a number", META("{'namespace':'a','name':5}"), NULL, "metadata.name is a number, not a string"},
	{"namespace an object", META("{'namespace':{},'name':'a'}"), NULL, "metadata.namespace is an object, not a string"},
	{"name twice", META("{'namespace':'a','name':'a','name':'a'}"), NULL, "metadata.name comes twice"},
	{"metadata twice", "{'kind':'Service','metadata':{},'metadata':{'namespace':'a','name':'a'}}", NULL,
	 "metadata comes twice"},
	{"an empty name", META("{'namespace':'a','name':''}"), NULL, "metadata.name \"\" is no name of such an object"},
	{"a name in upper case", META("{'namespace':'a','name':'A'}"), NULL,
	 "metadata.name \"A\" is no name of such an object"},
	{"a service name with a dot", META("{'namespace':'a','name':'a.b'}"), NULL,
	 "metadata.name \"a.b\" is no name of such an object"},
	{"a service name of 64 octets", META("{'namespace':'a','name':'" LABEL_63 "x'}"), NULL,
	 "metadata.name \"" LABEL_63 "x\" is no name of such an object"},
	{"a name cut by a NUL", META("{'namespace':'a','name':'a\\u0000b'}"), NULL,
	 "metadata.name \"a?b\" is no name of such an object"},
	{"a namespace with a dot", META("{'namespace':'a.b','name':'a'}"), NULL, "metadata.namespace \"a.b\" is no namespace"},
	{"no kind", "{'metadata':{'namespace':'a','name':'a'}}", NULL, "kind is missing"},
	{"kind a number", "{'kind':1,'metadata':{}}", NULL, "kind is a number, not a string"},
	{"kind twice", "{'kind':'Service','kind':'Pod'}", NULL, "kind comes twice"},
	{"a slice name with two dots", "{'kind':'EndpointSlice','metadata':{'namespace':'a','name':'a..b'}}", NULL,
	 "metadata.name \"a..b\" is no name of such an object"},
	{"a slice whose label is a number",
	 SLICE_META("IPv4", "'labels':{'kubernetes.io/service-name':1}", "'ports':null"), NULL,
	 "metadata.labels[kubernetes.io/service-name] is a number, not a string"},
	{"a slice with two service labels",
	 SLICE_META("IPv4", "'labels':{'kubernetes.io/service-name':'a','kubernetes.io/service-name':'b'}", "'ports':null"),
	 NULL,
	 "metadata.labels[kubernetes.io/service-name] comes twice"},
	{"labels an array", SLICE_META("IPv4", "'labels':['kubernetes.io/service-name']", "'ports':null"), NULL,
	 "metadata.labels is an array, not an object"},
	{"not JSON", "{'kind'}", NULL, "line 1, column 8: expected ':', found '}'"},
};

static void check_row(const struct row *row)
{
	char *text = json(row->text);
	struct kube_object *o = NULL;
	struct error e = {0};
	struct line l;
	int err = kube_decode_object(text, strlen(text), NULL, "f.json:items[3]", &o, &e);

	free(text);
	if (!row->object) {
		if (err != -EINVAL || strcmp(e.text, row->broken) != 0)
			fail_msg("%s: %d \"%s\"", row->what, err, e.text);
		return;
	}
	if (err != 0 || !o)
		fail_msg("%s: %d \"%s\"", row->what, err, e.text);
	if (strcmp(describe(o, &l), row->object) != 0)
		fail_msg("%s: %s", row->what, l.text);
	if (strcmp(o->broken ? o->broken : "", row->broken ? row->broken : "") != 0)
		fail_msg("%s: broken \"%s\"", row->what, o->broken ? o->broken : "");
	if (o->has_unknown_addresses != row->has_unknown_addresses)
		fail_msg("%s: unknown addresses %d", row->what, o->has_unknown_addresses);
	assert_string_equal(o->origin, "f.json:items[3]");
	kube_object_free(o);
}

static void services_are_reduced(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		check_row(&services[i]);
}

static void slices_are_reduced(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++)
		check_row(&slices[i]);
}

static void objects_that_cannot_be_told_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(nameless) / sizeof(nameless[0]); i++)
		check_row(&nameless[i]);
}

static void other_kinds_are_ignored(void **state)
{
	static const char *const texts[] = {
		"{'kind':'Pod','metadata':5}",
		"{'kind':'Namespace','metadata':{'name':'a'}}",
		"{'kind':'Service','apiVersion':'serving.knative.dev/v1','metadata':{'name':'a'}}",
		"{'kind':'EndpointSlice','apiVersion':'example.com/v1'}",
		"{'kind':'service'}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *text = json(texts[i]);
		struct kube_object *o = (void *)text;

		assert_int_equal(kube_decode_object(text, strlen(text), NULL, "", &o, NULL), 0);
		assert_null(o);
		free(text);
	}
}

/* {head} element {, element}* {tail} */
static char *repeat(const char *head, const char *element, size_t count, const char *tail)
{
	size_t element_len = strlen(element);
	char *text = malloc(strlen(head) + count * (element_len + 1) + strlen(tail) + 1);
	char *p = stpcpy(text, head);

	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			*p++ = ',';
		p = stpcpy(p, element);
	}
	strcpy(p, tail);
	return text;
}

struct bound {
	const char *head;
	const char *element;
	size_t count;
	const char *tail;
	const char *broken;
	bool has_unknown_addresses;
};

#define SLICE_HEAD "{'kind':'EndpointSlice','addressType':'IPv4','metadata':{'namespace':'d','name':'a'},"

static const struct bound bounds[] = {
	{SLICE_HEAD "'endpoints':[", "{'addresses':['10.0.0.1']}", 1000, "]}", NULL, false},
	{SLICE_HEAD "'endpoints':[", "{'addresses':['10.0.0.1']}", 1001, "]}", "endpoints has 1001 elements, more than 1000",
	 false},
	{SLICE_HEAD "'endpoints':[{'addresses':[", "'10.0.0.1'", 100, "]}]}", NULL, false},
	{SLICE_HEAD "'endpoints':[{'addresses':[", "'10.0.0.1'", 101, "]}]}",
	 "endpoints[0].addresses has more than 100 elements", false},
	{SLICE_HEAD "'endpoints':[{'addresses':[", "'10.0.0.1'", 70000, "]}]}",
	 "endpoints[0].addresses has more than 100 elements", true},
	{SLICE_HEAD "'ports':[", "{'port':1}", 20000, "]}", NULL, false},
	{SLICE_HEAD "'ports':[", "{'port':1}", 20001, "]}", "ports has 20001 elements, more than 20000", false},
	{"{'kind':'Service','metadata':{'namespace':'d','name':'a'},'spec':{'clusterIPs':[", "'10.0.0.1'", 101, "]}}",
	 "spec.clusterIPs has more than 100 elements", true},
};

static void counts_are_bounded(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		const struct bound *b = &bounds[i];
		char *quoted = repeat(b->head, b->element, b->count, b->tail);
		char *text = json(quoted);
		struct kube_object *o = NULL;
		struct error e = {0};

		if (kube_decode_object(text, strlen(text), NULL, "", &o, &e) != 0)
			fail_msg("bound %zu: %s", i, e.text);
		if (strcmp(o->broken ? o->broken : "", b->broken ? b->broken : "") != 0)
			fail_msg("bound %zu: %s", i, o->broken ? o->broken : "");
		assert_int_equal(o->has_unknown_addresses, b->has_unknown_addresses);
		kube_object_free(o);
		free(text);
		free(quoted);
	}
}

static void objects_of_more_than_4_mib_are_refused(void **state)
{
	char *text = repeat("{\"kind\":\"Service\",\"x\":\"", "xxxxxxx", ITEMS_ITEM_MAX / 8 + 1, "\"}");
	struct error e = {0};
	struct kube_object *o;

	(void)state;
	assert_int_equal(kube_decode_object(text, strlen(text), NULL, "", &o, &e), -EINVAL);
	assert_string_equal(e.text, "larger than 4194304 octets");
	free(text);
}

/* ---- lists ---- */

struct seen {
	struct line *objects;
	size_t count;
	size_t nameless;
	struct error first;
	int stop_at;
};

static int on_item(void *ctx, struct kube_object *o)
{
	struct seen *s = ctx;
	struct line l;

	if (s->objects)
		put(s->objects, "%s;", describe(o, &l));
	kube_object_free(o);
	return s->stop_at && (int)++s->count == s->stop_at ? -EPIPE : 0;
}

static int on_nameless(void *ctx, size_t index, const struct error *e)
{
	struct seen *s = ctx;

	if (s->nameless++ == 0)
		s->first = *e;
	if (s->objects)
		put(s->objects, "?%zu;", index);
	return 0;
}

static int read_list(const char *text, size_t len, size_t piece, struct seen *s, struct error *e)
{
	struct kube_list *l = kube_list_new("f.json", on_item, on_nameless, s);
	int err = 0;

	for (size_t at = 0; at < len && err == 0; at += piece)
		err = kube_list_feed(l, text + at, len - at < piece ? len - at : piece, e);
	if (err == 0)
		err = kube_list_finish(l, e);
	kube_list_free(l);
	return err;
}

#define ITEM(name) "{'metadata':{'namespace':'d','name':'" name "'},'spec':{'clusterIP':'None'}}"
#define KIND_ITEM(name) "{'kind':'Service','metadata':{'namespace':'d','name':'" name "'},'spec':{'clusterIP':'None'}}"

static const struct {
	const char *what;
	const char *text;
	const char *objects;
	const char *error; /* of the list, or of the first nameless item */
} lists[] = {
	{"kind before the items", "{'kind':'ServiceList','items':[" ITEM("a") "," ITEM("b") "]}",
	 "d/a headless  |;d/b headless  |;", NULL},
	{"kind behind the items", "{'items':[" ITEM("a") "," ITEM("b") "],'kind':'ServiceList'}",
	 "d/a headless  |;d/b headless  |;", NULL},
	{"items that name their kind", "{'items':[" KIND_ITEM("a") "],'kind':'List'}", "d/a headless  |;", NULL},
	{"an own kind wins", "{'kind':'EndpointSliceList','items':[" KIND_ITEM("a") "]}", "d/a headless  |;", NULL},
	{"slices", "{'kind':'EndpointSliceList','items':[{'metadata':{'namespace':'d','name':'s'},'addressType':'IPv6'}]}",
	 "d/s of  | |;", NULL},
	{"other kinds are ignored", "{'kind':'List','items':[{'kind':'Pod'}," KIND_ITEM("a") "]}", "d/a headless  |;", NULL},
	{"an empty list", "{'kind':'List','items':[]}", "", NULL},
	{"items null", "{'kind':'List','items':null}", "", NULL},
	{"no kind in a List", "{'kind':'List','items':[" KIND_ITEM("a") "," ITEM("b") "]}", "d/a headless  |;?1;",
	 "f.json:items[1]: kind is missing"},
	{"no kind, known later to be in a List", "{'items':[" ITEM("b") "," KIND_ITEM("a") "],'kind':'List'}",
	 "d/a headless  |;?0;", "f.json:items[0]: kind is missing"},
	{"items that are no objects", "{'kind':'ServiceList','items':[5,'x',null," ITEM("a") "]}", "?0;?1;?2;d/a headless  |;",
	 "f.json:items[0]: is a number, not an object"},
	{"an item without a name", "{'kind':'ServiceList','items':[" ITEM("a") "," ITEM("") "]}", "d/a headless  |;?1;",
	 "f.json:items[1]: metadata.name \"\" is no name of such an object"},
	{"no list: a service", KIND_ITEM("a"), NULL,
	 "f.json: kind is \"Service\", not List, ServiceList or EndpointSliceList"},
	{"no list: no kind", "{'items':[]}", NULL, "f.json: not a list: kind is missing"},
	{"no list: no items", "{'kind':'List'}", NULL, "f.json: not a list: it has no items"},
	{"kind a number", "{'kind':1,'items':[]}", NULL, "f.json: kind: is a number, not a string"},
	{"pods", "{'kind':'PodList','items':[]}", NULL,
	 "f.json: kind is \"PodList\", not List, ServiceList or EndpointSliceList"},
	{"metadata an array", "{'kind':'List','metadata':[],'items':[]}", NULL, "f.json: metadata is an array, not an object"},
	{"not JSON", "{'kind':'List',\n'items':[}", NULL, "f.json: line 2, column 10: expected a value, found '}'"},
	{"empty", "", NULL, "f.json: empty"},
};

static void lists_are_read_in_any_order_and_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t piece = 1; piece < 1000; piece = piece * 3 + 1) {
			char *text = json(lists[i].text);
			struct line l = {0};
			struct seen s = {.objects = &l};
			struct error e = {0};
			int err = read_list(text, strlen(text), piece, &s, &e);
			const char *error = lists[i].objects ? s.first.text : e.text;

			if (err != (lists[i].objects ? 0 : -EINVAL))
				fail_msg("%s: %d \"%s\"", lists[i].what, err, e.text);
			if (strcmp(error, lists[i].error ? lists[i].error : "") != 0)
				fail_msg("%s: \"%s\"", lists[i].what, error);
			if (lists[i].objects && strcmp(l.text, lists[i].objects) != 0)
				fail_msg("%s: %s", lists[i].what, l.text);
			free(text);
		}
}

static void version_and_continue_are_kept(void **state)
{
	char *text = json("{'kind':'ServiceList','metadata':{'resourceVersion':'123','continue':'abc=='},'items':[]}");
	struct seen s = {0};
	struct kube_list *l = kube_list_new("x", on_item, on_nameless, &s);

	(void)state;
	assert_string_equal(kube_list_resource_version(l), "");
	assert_int_equal(kube_list_feed(l, text, strlen(text), NULL), 0);
	assert_int_equal(kube_list_finish(l, NULL), 0);
	assert_string_equal(kube_list_resource_version(l), "123");
	assert_string_equal(kube_list_continue(l), "abc==");
	kube_list_free(l);
	free(text);
}

static void a_callback_can_end_the_list(void **state)
{
	char *text = json("{'kind':'ServiceList','items':[" ITEM("a") "," ITEM("b") "," ITEM("c") "]}");
	struct line l = {0};
	struct seen s = {.objects = &l, .stop_at = 2};
	struct error e = {0};

	(void)state;
	assert_int_equal(read_list(text, strlen(text), 7, &s, &e), -EPIPE);
	assert_string_equal(l.text, "d/a headless  |;d/b headless  |;");
	free(text);
}

static void an_item_of_more_than_4_mib_is_nameless(void **state)
{
	char *text = repeat("{\"kind\":\"ServiceList\",\"items\":[\"", "xxxxxxx", ITEMS_ITEM_MAX / 8 + 1, "\"]}");
	struct seen s = {0};

	(void)state;
	assert_int_equal(read_list(text, strlen(text), 1 << 16, &s, NULL), 0);
	assert_int_equal(s.nameless, 1);
	assert_string_equal(s.first.text, "f.json:items[0]: larger than 4194304 octets");
	free(text);
}

static char *read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "r");
	char *text = malloc(1 << 20);

	if (!f)
		fail_msg("%s cannot be opened; tests run in the top folder", path);
	*ret_len = fread(text, 1, 1 << 20, f);
	fclose(f);
	return text;
}

static int count_item(void *ctx, struct kube_object *o)
{
	size_t *counts = ctx;

	counts[o->kind]++;
	counts[2] += o->broken != NULL;
	kube_object_free(o);
	return 0;
}

static int count_nameless(void *ctx, size_t index, const struct error *e)
{
	size_t *counts = ctx;

	(void)index;
	(void)e;
	counts[3]++;
	return 0;
}

static int count_text(const char *text, size_t len, size_t piece, size_t counts[4])
{
	struct kube_list *l = kube_list_new(ALL_JSON, count_item, count_nameless, counts);
	struct error e = {0};
	int err = 0;

	for (size_t at = 0; at < len && err == 0; at += piece)
		err = kube_list_feed(l, text + at, len - at < piece ? len - at : piece, &e);
	if (err == 0)
		err = kube_list_finish(l, &e);
	kube_list_free(l);
	return err;
}

static void a_recorded_cluster_is_understood_whole(void **state)
{
	size_t whole[4] = {0}, pieces[4] = {0}, len;
	char *text = read_file(ALL_JSON, &len);

	(void)state;
	assert_int_equal(count_text(text, len, len, whole), 0);
	assert_int_equal(count_text(text, len, 1, pieces), 0);
	assert_memory_equal(whole, pieces, sizeof(whole));
	assert_int_equal(whole[KUBE_SERVICE], 8);
	assert_int_equal(whole[KUBE_SLICE], 8);
	assert_int_equal(whole[2], 0);
	assert_int_equal(whole[3], 0);
	free(text);
}

static void a_recorded_cluster_cut_anywhere_is_refused(void **state)
{
	size_t len, trimmed;
	char *text = read_file(ALL_JSON, &len);

	(void)state;
	for (trimmed = len; text[trimmed - 1] == '\n'; trimmed--)
		;
	for (size_t cut = 0; cut < trimmed; cut += cut < 2000 || cut > trimmed - 200 ? 1 : 61) {
		size_t counts[4] = {0};

		if (count_text(text, cut, len, counts) != -EINVAL)
			fail_msg("accepted after %zu octets", cut);
	}
	free(text);
}

/* Any octet replaced: refused, or decoded, never a crash; broken is then told. */
static void a_damaged_slice_never_crashes(void **state)
{
	static const char damage[] = {'"', '{', '}', '[', ']', ',', ':', '0', 'x', '\\', '\0', '\xff', 'n', 'u'};
	char *text = json(SLICE("'endpoints':[{'addresses':['10.0.0.1'],'hostname':'web-0','conditions':{'ready':true}}],"
				"'ports':[{'name':'http','port':80,'protocol':'TCP'}]"));
	size_t len = strlen(text);

	(void)state;
	for (size_t i = 0; i < len; i++)
		for (size_t k = 0; k < sizeof(damage); k++) {
			struct kube_object *o = NULL;
			struct error e = {0};
			char old = text[i];

			text[i] = damage[k];
			if (kube_decode_object(text, len, NULL, "", &o, &e) == 0)
				kube_object_free(o);
			else
				assert_true(e.text[0] != '\0');
			text[i] = old;
		}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(services_are_reduced),
		cmocka_unit_test(slices_are_reduced),
		cmocka_unit_test(objects_that_cannot_be_told_are_refused),
		cmocka_unit_test(other_kinds_are_ignored),
		cmocka_unit_test(counts_are_bounded),
		cmocka_unit_test(objects_of_more_than_4_mib_are_refused),
		cmocka_unit_test(lists_are_read_in_any_order_and_any_pieces),
		cmocka_unit_test(version_and_continue_are_kept),
		cmocka_unit_test(a_callback_can_end_the_list),
		cmocka_unit_test(an_item_of_more_than_4_mib_is_nameless),
		cmocka_unit_test(a_recorded_cluster_is_understood_whole),
		cmocka_unit_test(a_recorded_cluster_cut_anywhere_is_refused),
		cmocka_unit_test(a_damaged_slice_never_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
