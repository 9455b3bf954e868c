/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of services. Rows marked (CoreDNS) hold what CoreDNS 1.14.7 answered for the same objects. Every name
 * that is emitted is in a row, so that one too many fails as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <time.h>

#include "dns/records.h"
#include "kube_text.h"
#include "nodens/abi.h"

#define SLICES_MAX 4

/* ---- sets as text: one line per owner and type, names without the namespace and the zone ---- */

struct dump {
	char text[16384];
	size_t len;
	size_t sets;
};

static void dump_text(struct dump *d, const char *text)
{
	size_t len = strlen(text);

	assert_true(d->len + len < sizeof(d->text));
	memcpy(d->text + d->len, text, len + 1);
	d->len += len;
}

static const char *short_name(const struct dns_name *n)
{
	static char text[4][DNS_NAME_TEXT_MAX];
	static int turn;
	char *at = text[turn++ % 4], *tail;

	assert_true(dns_name_is_valid(n->data, n->len));
	dns_name_format(n->data, n->len, at, sizeof(text[0]));
	tail = strstr(at, ".ns.svc.cluster.local.");
	if (tail)
		*tail = '\0';
	return at;
}

static void dump_addr(struct dump *d, int family, const void *addr)
{
	char text[INET6_ADDRSTRLEN] = "";

	assert_non_null(inet_ntop(family, addr, text, sizeof(text)));
	dump_text(d, text);
}

static void dump_addresses(struct dump *d, const struct record_set *set)
{
	for (size_t i = 0; i < set->a_count; i++) {
		dump_text(d, i ? " " : " A ");
		dump_addr(d, AF_INET, &set->a[i]);
	}
	for (size_t i = 0; i < set->aaaa_count; i++) {
		dump_text(d, i ? " " : " AAAA ");
		dump_addr(d, AF_INET6, &set->aaaa[i]);
	}
}

static void dump_srv(struct dump *d, const struct record_set *set)
{
	char text[64];

	for (size_t i = 0; i < set->srv_count; i++) {
		snprintf(text, sizeof(text), "%s%u:%u:", i ? " " : " SRV ", set->srvs[i].weight, set->srvs[i].port);
		dump_text(d, text);
		dump_text(d, short_name(&set->targets[set->srvs[i].target]));
	}
	for (size_t i = 0; i < set->glue_count; i++) {
		dump_text(d, i ? " " : " + ");
		dump_text(d, short_name(&set->targets[set->glue[i].target]));
		dump_text(d, "=");
		dump_addr(d, set->glue[i].addr.family, set->glue[i].addr.octets);
	}
	if (set->srv_is_cut)
		dump_text(d, " CUT");
}

static int dump_set(void *ctx, const struct record_set *set)
{
	struct dump *d = ctx;

	d->sets++;
	dump_text(d, short_name(&set->owner));
	if (set->is_passed)
		dump_text(d, set->is_cut ? " passed below" : " passed");
	dump_addresses(d, set);
	dump_srv(d, set);
	for (size_t i = 0; i < set->ptr_count; i++) {
		dump_text(d, i ? " " : " PTR ");
		dump_text(d, short_name(&set->ptrs[i]));
	}
	dump_text(d, "\n");
	return 0;
}

static int dump_owner(void *ctx, const struct dns_name *owner)
{
	struct dump *d = ctx;

	dump_text(d, short_name(owner));
	dump_text(d, "\n");
	return 0;
}

/* ---- views from text ---- */

struct objects {
	struct kube_object *service;
	struct kube_object *slices[SLICES_MAX];
	struct service_view view;
};

static void objects_make(struct objects *o, const char *name, const char *service, const char *const slices[])
{
	*o = (struct objects){.view = {.namespace = "ns", .name = name, .slices = (const void *)o->slices}};
	if (service)
		o->view.service = o->service = kube_text_object(KUBE_SERVICE, service);
	while (o->view.slice_count < SLICES_MAX && slices[o->view.slice_count]) {
		o->slices[o->view.slice_count] = kube_text_object(KUBE_SLICE, slices[o->view.slice_count]);
		o->view.slice_count++;
	}
}

static void objects_free(struct objects *o)
{
	if (o->service)
		kube_text_free(o->service);
	for (size_t i = 0; i < o->view.slice_count; i++)
		kube_text_free(o->slices[i]);
}

static struct record_params params_at(enum answer_level level)
{
	struct record_params p = {.level = level};

	assert_int_equal(dns_name_parse("cluster.local", &p.zone, NULL), 0);
	return p;
}

/* ---- the table ---- */

struct row {
	const char *sentence;
	const char *name;
	const char *service;
	const char *slices[SLICES_MAX];
	const char *expected;
	bool is_headless_level; /* else ANSWER_SERVICES */
};

static const struct row rows[] = {
	{"three plain endpoints: weight 33, names from addresses (CoreDNS)",
	 "plain3",
	 "headless | http:80/tcp",
	 {"http:80/tcp | 10.50.0.1 10.50.0.2 10.50.0.3"},
	 "plain3 A 10.50.0.1 10.50.0.2 10.50.0.3"
	 " SRV 33:80:10-50-0-1.plain3 33:80:10-50-0-2.plain3 33:80:10-50-0-3.plain3"
	 " + 10-50-0-1.plain3=10.50.0.1 10-50-0-2.plain3=10.50.0.2 10-50-0-3.plain3=10.50.0.3\n"
	 "_http._tcp.plain3 A 10.50.0.1 10.50.0.2 10.50.0.3"
	 " SRV 33:80:10-50-0-1.plain3 33:80:10-50-0-2.plain3 33:80:10-50-0-3.plain3"
	 " + 10-50-0-1.plain3=10.50.0.1 10-50-0-2.plain3=10.50.0.2 10-50-0-3.plain3=10.50.0.3\n"
	 "10-50-0-1.plain3 A 10.50.0.1 SRV 100:80:10-50-0-1.plain3 + 10-50-0-1.plain3=10.50.0.1\n"
	 "10-50-0-2.plain3 A 10.50.0.2 SRV 100:80:10-50-0-2.plain3 + 10-50-0-2.plain3=10.50.0.2\n"
	 "10-50-0-3.plain3 A 10.50.0.3 SRV 100:80:10-50-0-3.plain3 + 10-50-0-3.plain3=10.50.0.3\n"},
	{"an endpoint with a hostname has no name from its address (CoreDNS)",
	 "hosts",
	 "headless | http:80/tcp",
	 {"http:80/tcp | web-0=10.50.1.0 web-1=10.50.1.1"},
	 "hosts A 10.50.1.0 10.50.1.1 SRV 50:80:web-0.hosts 50:80:web-1.hosts + web-0.hosts=10.50.1.0 "
	 "web-1.hosts=10.50.1.1\n"
	 "_http._tcp.hosts A 10.50.1.0 10.50.1.1 SRV 50:80:web-0.hosts 50:80:web-1.hosts"
	 " + web-0.hosts=10.50.1.0 web-1.hosts=10.50.1.1\n"
	 "web-0.hosts A 10.50.1.0 SRV 100:80:web-0.hosts + web-0.hosts=10.50.1.0\n"
	 "web-1.hosts A 10.50.1.1 SRV 100:80:web-1.hosts + web-1.hosts=10.50.1.1\n"},
	{"endpoints that are not ready have no records and no name (CoreDNS)",
	 "ready",
	 "headless | :80/tcp",
	 {":80/tcp | 10.50.3.1 !10.50.3.2"},
	 "ready A 10.50.3.1 SRV 100:80:10-50-3-1.ready + 10-50-3-1.ready=10.50.3.1\n"
	 "10-50-3-1.ready A 10.50.3.1 SRV 100:80:10-50-3-1.ready + 10-50-3-1.ready=10.50.3.1\n"},
	{"an address ready in one slice and not in another is answered (CoreDNS)",
	 "dupready",
	 "headless | http:80/tcp",
	 {":80/tcp | !10.50.10.9", ":80/tcp | 10.50.10.9"},
	 "dupready A 10.50.10.9 SRV 100:80:10-50-10-9.dupready + 10-50-10-9.dupready=10.50.10.9\n"
	 "10-50-10-9.dupready A 10.50.10.9 SRV 100:80:10-50-10-9.dupready + 10-50-10-9.dupready=10.50.10.9\n"},
	{"a headless service with nothing ready has no name at all (CoreDNS)",
	 "allunready",
	 "headless | http:80/tcp",
	 {"http:80/tcp | !h=10.50.3.9"},
	 ""},
	{"a headless service with an empty slice has no name (CoreDNS)",
	 "emptyslice",
	 "headless | http:80/tcp",
	 {"|"},
	 ""},
	{"a headless service without a slice has no name (CoreDNS)", "noslice", "headless | http:80/tcp", {NULL}, ""},
	{"a slice without ports gives addresses and no SRV (CoreDNS)",
	 "noports",
	 "headless |",
	 {"| n1=10.50.5.1"},
	 "noports A 10.50.5.1\n"
	 "n1.noports A 10.50.5.1\n"},
	{"a portless slice beside one with a port counts in the weight (CoreDNS)",
	 "mixports",
	 "headless |",
	 {"| 10.70.0.1", ":80/tcp | 10.70.0.2"},
	 "mixports A 10.70.0.1 10.70.0.2 SRV 50:80:10-70-0-2.mixports + 10-70-0-2.mixports=10.70.0.2\n"
	 "10-70-0-1.mixports A 10.70.0.1\n"
	 "10-70-0-2.mixports A 10.70.0.2 SRV 100:80:10-70-0-2.mixports + 10-70-0-2.mixports=10.70.0.2\n"},
	{"a port without a number has a name with addresses and no SRV (CoreDNS)",
	 "nilport",
	 "headless |",
	 {"any:-/tcp | 10.50.6.2"},
	 "nilport A 10.50.6.2\n"
	 "_any._tcp.nilport A 10.50.6.2\n"
	 "10-50-6-2.nilport A 10.50.6.2\n"},
	{"an unnamed port is in the SRV of the service and the endpoint only (CoreDNS)",
	 "unnamed",
	 "headless | :80/tcp",
	 {":8080/tcp | 10.50.6.1"},
	 "unnamed A 10.50.6.1 SRV 100:8080:10-50-6-1.unnamed + 10-50-6-1.unnamed=10.50.6.1\n"
	 "10-50-6-1.unnamed A 10.50.6.1 SRV 100:8080:10-50-6-1.unnamed + 10-50-6-1.unnamed=10.50.6.1\n"},
	{"SCTP is a protocol like the others (CoreDNS)",
	 "sctp",
	 "headless |",
	 {"sig:3868/sctp u:53/udp | 10.50.7.1"},
	 "sctp A 10.50.7.1 SRV 50:3868:10-50-7-1.sctp 50:53:10-50-7-1.sctp + 10-50-7-1.sctp=10.50.7.1\n"
	 "_sig._sctp.sctp A 10.50.7.1 SRV 100:3868:10-50-7-1.sctp + 10-50-7-1.sctp=10.50.7.1\n"
	 "_u._udp.sctp A 10.50.7.1 SRV 100:53:10-50-7-1.sctp + 10-50-7-1.sctp=10.50.7.1\n"
	 "10-50-7-1.sctp A 10.50.7.1 SRV 50:3868:10-50-7-1.sctp 50:53:10-50-7-1.sctp + 10-50-7-1.sctp=10.50.7.1\n"},
	{"three ports at two endpoints: six SRV of weight 16 (CoreDNS)",
	 "multi",
	 "headless |",
	 {"a:1/tcp b:2/tcp c:3/udp | m-0=10.50.8.1 m-1=10.50.8.2"},
	 "multi A 10.50.8.1 10.50.8.2 SRV 16:1:m-0.multi 16:2:m-0.multi 16:3:m-0.multi 16:1:m-1.multi 16:2:m-1.multi"
	 " 16:3:m-1.multi + m-0.multi=10.50.8.1 m-1.multi=10.50.8.2\n"
	 "_a._tcp.multi A 10.50.8.1 10.50.8.2 SRV 50:1:m-0.multi 50:1:m-1.multi + m-0.multi=10.50.8.1 "
	 "m-1.multi=10.50.8.2\n"
	 "_b._tcp.multi A 10.50.8.1 10.50.8.2 SRV 50:2:m-0.multi 50:2:m-1.multi + m-0.multi=10.50.8.1 "
	 "m-1.multi=10.50.8.2\n"
	 "_c._udp.multi A 10.50.8.1 10.50.8.2 SRV 50:3:m-0.multi 50:3:m-1.multi + m-0.multi=10.50.8.1 "
	 "m-1.multi=10.50.8.2\n"
	 "m-0.multi A 10.50.8.1 SRV 33:1:m-0.multi 33:2:m-0.multi 33:3:m-0.multi + m-0.multi=10.50.8.1\n"
	 "m-1.multi A 10.50.8.2 SRV 33:1:m-1.multi 33:2:m-1.multi 33:3:m-1.multi + m-1.multi=10.50.8.2\n"},
	{"one port name with two numbers in two slices (CoreDNS)",
	 "diffports",
	 "headless |",
	 {"http:80/tcp | 10.50.12.1", "http:8080/tcp | 10.50.12.2"},
	 "diffports A 10.50.12.1 10.50.12.2 SRV 50:80:10-50-12-1.diffports 50:8080:10-50-12-2.diffports"
	 " + 10-50-12-1.diffports=10.50.12.1 10-50-12-2.diffports=10.50.12.2\n"
	 "_http._tcp.diffports A 10.50.12.1 10.50.12.2 SRV 50:80:10-50-12-1.diffports 50:8080:10-50-12-2.diffports"
	 " + 10-50-12-1.diffports=10.50.12.1 10-50-12-2.diffports=10.50.12.2\n"
	 "10-50-12-1.diffports A 10.50.12.1 SRV 100:80:10-50-12-1.diffports + 10-50-12-1.diffports=10.50.12.1\n"
	 "10-50-12-2.diffports A 10.50.12.2 SRV 100:8080:10-50-12-2.diffports + 10-50-12-2.diffports=10.50.12.2\n"},
	{"one number as TCP and UDP: one SRV of weight 50 (CoreDNS)",
	 "twoport",
	 "headless |",
	 {"a:80/tcp b:80/udp | h=10.70.1.1"},
	 "twoport A 10.70.1.1 SRV 50:80:h.twoport + h.twoport=10.70.1.1\n"
	 "_a._tcp.twoport A 10.70.1.1 SRV 100:80:h.twoport + h.twoport=10.70.1.1\n"
	 "_b._udp.twoport A 10.70.1.1 SRV 100:80:h.twoport + h.twoport=10.70.1.1\n"
	 "h.twoport A 10.70.1.1 SRV 50:80:h.twoport + h.twoport=10.70.1.1\n"},
	{"one port name with two protocols: two names",
	 "twoproto",
	 "headless |",
	 {"x:1/tcp x:2/udp | h=10.0.0.1"},
	 "twoproto A 10.0.0.1 SRV 50:1:h.twoproto 50:2:h.twoproto + h.twoproto=10.0.0.1\n"
	 "_x._tcp.twoproto A 10.0.0.1 SRV 100:1:h.twoproto + h.twoproto=10.0.0.1\n"
	 "_x._udp.twoproto A 10.0.0.1 SRV 100:2:h.twoproto + h.twoproto=10.0.0.1\n"
	 "h.twoproto A 10.0.0.1 SRV 50:1:h.twoproto 50:2:h.twoproto + h.twoproto=10.0.0.1\n"},
	{"one port name twice in a slice: both numbers, the address counts twice",
	 "twice",
	 "headless |",
	 {"x:1/tcp y:3/tcp x:2/tcp | h=10.0.0.1 i=10.0.0.2"},
	 "twice A 10.0.0.1 10.0.0.2 SRV 16:1:h.twice 16:3:h.twice 16:2:h.twice 16:1:i.twice 16:3:i.twice 16:2:i.twice"
	 " + h.twice=10.0.0.1 i.twice=10.0.0.2\n"
	 "_x._tcp.twice A 10.0.0.1 10.0.0.2 SRV 25:1:h.twice 25:2:h.twice 25:1:i.twice 25:2:i.twice"
	 " + h.twice=10.0.0.1 i.twice=10.0.0.2\n"
	 "_y._tcp.twice A 10.0.0.1 10.0.0.2 SRV 50:3:h.twice 50:3:i.twice + h.twice=10.0.0.1 i.twice=10.0.0.2\n"
	 "h.twice A 10.0.0.1 SRV 33:1:h.twice 33:3:h.twice 33:2:h.twice + h.twice=10.0.0.1\n"
	 "i.twice A 10.0.0.2 SRV 33:1:i.twice 33:3:i.twice 33:2:i.twice + i.twice=10.0.0.2\n"},
	{"a port that only unready endpoints have has no name",
	 "halfport",
	 "headless |",
	 {"a:1/tcp | !10.0.0.1", "| h=10.0.0.2"},
	 "halfport A 10.0.0.2\nh.halfport A 10.0.0.2\n"},
	{"one hostname at two endpoints: one SRV, both addresses as glue (CoreDNS)",
	 "samehost",
	 "headless |",
	 {":80/tcp | shared=10.50.9.1 shared=10.50.9.2 other=10.50.9.3"},
	 "samehost A 10.50.9.1 10.50.9.2 10.50.9.3 SRV 33:80:shared.samehost 33:80:other.samehost"
	 " + shared.samehost=10.50.9.1 shared.samehost=10.50.9.2 other.samehost=10.50.9.3\n"
	 "shared.samehost A 10.50.9.1 10.50.9.2 SRV 50:80:shared.samehost"
	 " + shared.samehost=10.50.9.1 shared.samehost=10.50.9.2\n"
	 "other.samehost A 10.50.9.3 SRV 100:80:other.samehost + other.samehost=10.50.9.3\n"},
	{"duplicates across slices go, but count in the weight (CoreDNS)",
	 "dupaddr",
	 "headless |",
	 {":80/tcp | x=10.50.10.1 10.50.10.2", ":80/tcp | x=10.50.10.1 y=10.50.10.2"},
	 "dupaddr A 10.50.10.1 10.50.10.2 SRV 25:80:x.dupaddr 25:80:10-50-10-2.dupaddr 25:80:y.dupaddr"
	 " + x.dupaddr=10.50.10.1 10-50-10-2.dupaddr=10.50.10.2 y.dupaddr=10.50.10.2\n"
	 "x.dupaddr A 10.50.10.1 SRV 50:80:x.dupaddr + x.dupaddr=10.50.10.1\n"
	 "10-50-10-2.dupaddr A 10.50.10.2 SRV 100:80:10-50-10-2.dupaddr + 10-50-10-2.dupaddr=10.50.10.2\n"
	 "y.dupaddr A 10.50.10.2 SRV 100:80:y.dupaddr + y.dupaddr=10.50.10.2\n"},
	{"one endpoint with two addresses (CoreDNS)",
	 "twoaddr",
	 "headless |",
	 {":80/tcp | t=10.50.13.1+10.50.13.2"},
	 "twoaddr A 10.50.13.1 10.50.13.2 SRV 50:80:t.twoaddr + t.twoaddr=10.50.13.1 t.twoaddr=10.50.13.2\n"
	 "t.twoaddr A 10.50.13.1 10.50.13.2 SRV 50:80:t.twoaddr + t.twoaddr=10.50.13.1 t.twoaddr=10.50.13.2\n"},
	{"a hostname that looks like another endpoint's address name merges with it (CoreDNS)",
	 "h-ipname",
	 "headless |",
	 {":80/tcp | 10-70-2-9=10.70.2.1 10.70.2.9"},
	 "h-ipname A 10.70.2.1 10.70.2.9 SRV 50:80:10-70-2-9.h-ipname"
	 " + 10-70-2-9.h-ipname=10.70.2.1 10-70-2-9.h-ipname=10.70.2.9\n"
	 "10-70-2-9.h-ipname A 10.70.2.1 10.70.2.9 SRV 50:80:10-70-2-9.h-ipname"
	 " + 10-70-2-9.h-ipname=10.70.2.1 10-70-2-9.h-ipname=10.70.2.9\n"},
	{"dual stack: the same hostname has one SRV, both families count (CoreDNS)",
	 "dual",
	 "headless |",
	 {":80/tcp | d-0=10.50.11.1", ":80/tcp | d-0=fd00:50::1 fd00:50:: fd00:50:0:0:1::"},
	 "dual A 10.50.11.1 AAAA fd00:50::1 fd00:50:: fd00:50:0:0:1::"
	 " SRV 25:80:d-0.dual 25:80:fd00-50--0.dual 25:80:fd00-50-0-0-1--0.dual"
	 " + d-0.dual=10.50.11.1 d-0.dual=fd00:50::1 fd00-50--0.dual=fd00:50:: fd00-50-0-0-1--0.dual=fd00:50:0:0:1::\n"
	 "d-0.dual A 10.50.11.1 AAAA fd00:50::1 SRV 50:80:d-0.dual + d-0.dual=10.50.11.1 d-0.dual=fd00:50::1\n"
	 "fd00-50--0.dual AAAA fd00:50:: SRV 100:80:fd00-50--0.dual + fd00-50--0.dual=fd00:50::\n"
	 "fd00-50-0-0-1--0.dual AAAA fd00:50:0:0:1:: SRV 100:80:fd00-50-0-0-1--0.dual"
	 " + fd00-50-0-0-1--0.dual=fd00:50:0:0:1::\n"},
	{"a cluster IP service, its ports and the endpoints behind it (CoreDNS)",
	 "cip",
	 "10.96.77.1 | http:80/tcp dns:53/udp",
	 {"http:8080/tcp dns:5353/udp | test-0=10.50.16.1 10.50.16.2"},
	 "cip A 10.96.77.1 SRV 50:80:cip 50:53:cip + cip=10.96.77.1\n"
	 "_dns._udp.cip A 10.96.77.1 SRV 100:53:cip + cip=10.96.77.1\n"
	 "_http._tcp.cip A 10.96.77.1 SRV 100:80:cip + cip=10.96.77.1\n"
	 "test-0.cip A 10.50.16.1 SRV 50:8080:test-0.cip 50:5353:test-0.cip + test-0.cip=10.50.16.1\n"
	 "10-50-16-2.cip A 10.50.16.2 SRV 50:8080:10-50-16-2.cip 50:5353:10-50-16-2.cip + 10-50-16-2.cip=10.50.16.2\n"},
	{"a dual-stack cluster IP: both count, one SRV, both are glue (CoreDNS)",
	 "cip-dual",
	 "10.96.77.3 fd00:10:96::7703 | http:80/tcp",
	 {NULL},
	 "cip-dual A 10.96.77.3 AAAA fd00:10:96::7703 SRV 50:80:cip-dual + cip-dual=10.96.77.3 "
	 "cip-dual=fd00:10:96::7703\n"
	 "_http._tcp.cip-dual A 10.96.77.3 AAAA fd00:10:96::7703 SRV 50:80:cip-dual"
	 " + cip-dual=10.96.77.3 cip-dual=fd00:10:96::7703\n"},
	{"a cluster IP with one number as TCP and UDP (CoreDNS)",
	 "cipsame",
	 "10.96.172.78 | dns:53/udp dns-tcp:53/tcp",
	 {NULL},
	 "cipsame A 10.96.172.78 SRV 50:53:cipsame + cipsame=10.96.172.78\n"
	 "_dns._udp.cipsame A 10.96.172.78 SRV 100:53:cipsame + cipsame=10.96.172.78\n"
	 "_dns-tcp._tcp.cipsame A 10.96.172.78 SRV 100:53:cipsame + cipsame=10.96.172.78\n"},
	{"a cluster IP service without ports has addresses and no SRV",
	 "bare",
	 "10.96.0.9 |",
	 {NULL},
	 "bare A 10.96.0.9\n"},
	{"a cluster IP service whose endpoints are not ready keeps its name",
	 "down",
	 "10.96.0.8 | :80/tcp",
	 {":80/tcp | !10.0.0.1"},
	 "down A 10.96.0.8 SRV 100:80:down + down=10.96.0.8\n"},
	{"a cluster IP service without any cluster IP is not understood",
	 "void",
	 "cluster | http:80/tcp",
	 {":80/tcp | 10.0.0.1"},
	 "void passed below\n_http._tcp.void passed\n10-0-0-1.void passed\n"},
	{"a service named like a protocol and a hostname like a port (CoreDNS)",
	 "tcp",
	 "headless |",
	 {":80/tcp | http=10.70.3.1"},
	 "tcp A 10.70.3.1 SRV 100:80:http.tcp + http.tcp=10.70.3.1\n"
	 "http.tcp A 10.70.3.1 SRV 100:80:http.tcp + http.tcp=10.70.3.1\n"},
	{"a cluster IP service emits nothing at level headless",
	 "cip",
	 "10.96.77.1 | http:80/tcp",
	 {":80/tcp | 10.0.0.1"},
	 "",
	 true},
	{"a headless service is emitted at level headless",
	 "h",
	 "headless |",
	 {"| 10.0.0.1"},
	 "h A 10.0.0.1\n10-0-0-1.h A 10.0.0.1\n",
	 true},
	{"an ExternalName emits nothing at level headless", "ext", "external |", {NULL}, "", true},
	{"the type of a broken service is not trusted at level headless",
	 "b",
	 "broken 10.96.0.1 | http:80/tcp",
	 {NULL},
	 "b passed below\n_http._tcp.b passed\n",
	 true},
	{"slices without a service emit nothing", "gone", NULL, {":80/tcp | g=10.50.20.1"}, ""},
	{"an ExternalName is passed, and its endpoints",
	 "ext",
	 "external |",
	 {"http:80/tcp | e=10.0.0.1 !f=10.0.0.2"},
	 "ext passed below\n_http._tcp.ext passed\ne.ext passed\n"},
	{"an FQDN slice passes the service and every endpoint of it",
	 "fqdn",
	 "headless |",
	 {"fqdn http:80/tcp | x=", ":80/tcp | 10.0.0.1"},
	 "fqdn passed below\n_http._tcp.fqdn passed\nx.fqdn passed\n10-0-0-1.fqdn passed\n"},
	{"a broken service passes all that can be told",
	 "sick",
	 "broken headless | http:80/tcp",
	 {"dns:53/udp | a=10.0.0.1 !b=10.0.0.2"},
	 "sick passed below\n_dns._udp.sick passed\n_http._tcp.sick passed\na.sick passed\n"},
	{"of a broken slice the unready endpoints are passed too",
	 "sick",
	 "headless |",
	 {"broken http:80/tcp | a=10.0.0.1 !b=10.0.0.2", "http:80/tcp | c=10.0.0.3 !d=10.0.0.4"},
	 "sick passed below\n_http._tcp.sick passed\na.sick passed\nb.sick passed\nc.sick passed\n"},
};

static void run_row(const struct row *row)
{
	struct record_params params = params_at(row->is_headless_level ? ANSWER_HEADLESS : ANSWER_SERVICES);
	struct dump sets = {0}, owners = {0}, sets_owners = {0};
	struct objects o;
	char *line, *save;

	objects_make(&o, row->name, row->service, row->slices);
	assert_int_equal(records_build(&o.view, &params, dump_set, &sets), 0);
	assert_int_equal(records_owners(&o.view, &params, dump_owner, &owners), 0);
	objects_free(&o);
	if (strcmp(sets.text, row->expected) != 0)
		print_message("row: %s\n", row->sentence);
	assert_string_equal(sets.text, row->expected);
	for (line = strtok_r(sets.text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line[strcspn(line, " ")] = '\0';
		dump_text(&sets_owners, line);
		dump_text(&sets_owners, "\n");
	}
	assert_string_equal(owners.text, sets_owners.text);
}

static void every_row_holds_and_owners_are_the_same_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run_row(&rows[i]);
}

/* ---- weights ---- */

struct weight_row {
	const char *sentence;
	size_t endpoints;
	unsigned int weight;
};

static const struct weight_row weight_rows[] = {
	{"one endpoint has weight 100 (CoreDNS)", 1, 100},
	{"two have 50 (CoreDNS)", 2, 50},
	{"three have 33 (CoreDNS)", 3, 33},
	{"six have 16 (CoreDNS)", 6, 16},
	{"seven have 14 (CoreDNS)", 7, 14},
	{"thirteen have 7 (CoreDNS)", 13, 7},
	{"sixty have 1 (CoreDNS)", 60, 1},
	{"a hundred have 1 (CoreDNS)", 100, 1},
	{"a hundred and one still have 1 (CoreDNS)", 101, 1},
	{"five thousand have 1", 5000, 1},
};

/* Addresses 10.X.Y.Z in one slice with one port; freed with kube_text_free. */
static struct kube_object *many_endpoints(size_t count)
{
	struct kube_object *o = kube_text_object(KUBE_SLICE, "http:80/tcp |");
	struct kube_addr addr;
	size_t one;

	o->slice.endpoints = calloc(count, sizeof(*o->slice.endpoints));
	o->slice.endpoint_count = count;
	for (size_t i = 0; i < count; i++) {
		one = 0;
		addr = (struct kube_addr){AF_INET, {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
		o->slice.endpoints[i] =
			(struct kube_endpoint){.address_count = 1, .is_ready = true, .hostname = strdup("")};
		o->slice.endpoints[i].addresses = kube_text_append(NULL, &one, sizeof(addr), &addr);
	}
	return o;
}

struct first_set {
	struct record_set set; /* counts only */
	unsigned int weight;
	size_t rrs_len;
	size_t sets;
	size_t addresses;
	double seconds; /* CPU time of the build */
};

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int keep_first(void *ctx, const struct record_set *set)
{
	struct first_set *f = ctx;

	if (!f->sets++) {
		f->set = *set;
		f->weight = set->srv_count ? set->srvs[0].weight : 0;
		for (size_t i = 0; i < set->srv_count; i++)
			f->rrs_len += 18 + set->targets[set->srvs[i].target].len;
		for (size_t i = 0; i < set->glue_count; i++)
			f->rrs_len += set->glue[i].addr.family == AF_INET ? 16 : 28;
	}
	f->addresses += set->a_count;
	return 0;
}

static struct first_set build_many(size_t count)
{
	struct kube_object *service = kube_text_object(KUBE_SERVICE, "headless |");
	struct kube_object *slice = many_endpoints(count);
	const struct kube_object *slices[] = {slice};
	struct service_view view = {"ns", "many", service, slices, 1};
	struct record_params params = params_at(ANSWER_SERVICES);
	struct first_set f = {0};

	f.seconds = -cpu_seconds();
	assert_int_equal(records_build(&view, &params, keep_first, &f), 0);
	f.seconds += cpu_seconds();
	kube_text_free(service);
	kube_text_free(slice);
	return f;
}

static void weights_are_those_of_coredns(void **state)
{
	struct first_set f;

	(void)state;
	for (size_t i = 0; i < sizeof(weight_rows) / sizeof(weight_rows[0]); i++) {
		f = build_many(weight_rows[i].endpoints);
		if (f.weight != weight_rows[i].weight)
			print_message("row: %s\n", weight_rows[i].sentence);
		assert_int_equal(f.weight, weight_rows[i].weight);
		assert_int_equal(f.set.a_count, weight_rows[i].endpoints);
	}
}

/* ---- bounds ---- */

static void srv_is_cut_to_a_message_and_glue_goes_first(void **state)
{
	/* 18 + "10-0-0-NN" 10 + "many" 5 + "ns" 3 + "svc" 4 + "cluster" 8 + "local" 6 + root 1, one less for the first
	 * ten; 16 for the glue: 57 endpoints need 4037 octets. */
	struct first_set f = build_many(57);

	(void)state;
	assert_int_equal(f.set.srv_count, 57);
	assert_int_equal(f.set.glue_count, 57);
	assert_false(f.set.srv_is_cut);
	assert_int_equal(f.rrs_len, 4037);

	f = build_many(58);
	assert_int_equal(f.set.srv_count, 58);
	assert_int_equal(f.set.glue_count, 57);
	assert_true(f.set.srv_is_cut);

	f = build_many(70);
	assert_int_equal(f.set.srv_count, 70);
	assert_in_range(f.set.glue_count, 1, 69);
	assert_true(f.set.srv_is_cut);
	assert_in_range(f.rrs_len, NODENS_MESSAGE_MAX - 15, NODENS_MESSAGE_MAX);

	f = build_many(5000);
	assert_in_range(f.set.srv_count, 70, 75);
	assert_int_equal(f.set.glue_count, 0);
	assert_true(f.set.srv_is_cut);
	assert_in_range(f.rrs_len, NODENS_MESSAGE_MAX - 60, NODENS_MESSAGE_MAX);
	assert_int_equal(f.set.a_count, 5000);
	assert_int_equal(f.sets, 5002);
}

/* The least of some: on a virtual machine the time in which another has the processor counts as well. */
static double seconds_for(size_t count)
{
	double least = 1e9;

	for (int i = 0; i < 5; i++) {
		struct first_set f = build_many(count);

		/* The service's name, its port's name, and one for each endpoint. */
		assert_int_equal(f.sets, count + 2);
		assert_int_equal(f.addresses, 3 * count);
		least = f.seconds < least ? f.seconds : least;
	}
	return least;
}

static void work_is_linear_in_the_endpoints(void **state)
{
	double small = seconds_for(4000), large = seconds_for(64000);

	(void)state;
	/* 16 times the endpoints; anything quadratic would take 256 times as long. */
	print_message("%.0f and %.0f ns an endpoint\n", small / 4000 * 1e9, large / 64000 * 1e9);
	assert_true(large < 64 * small + 0.05);
}

static void forty_thousand_duplicate_pairs_are_one_srv(void **state)
{
	/* 100 ports of one number at 400 endpoints of one hostname: counted all, answered once. */
	struct kube_object *service = kube_text_object(KUBE_SERVICE, "headless |");
	struct kube_object *slice = many_endpoints(400);
	const struct kube_object *slices[] = {slice};
	struct service_view view = {"ns", "many", service, slices, 1};
	struct record_params params = params_at(ANSWER_SERVICES);
	struct kube_port port = {"", 80, KUBE_TCP};
	struct first_set f = {0};

	(void)state;
	for (int i = 0; i < 99; i++)
		slice->slice.ports =
			kube_text_append(slice->slice.ports, &slice->slice.port_count, sizeof(port), &port);
	for (size_t i = 0; i < slice->slice.endpoint_count; i++) {
		free(slice->slice.endpoints[i].hostname);
		slice->slice.endpoints[i].hostname = strdup("same");
	}
	assert_int_equal(records_build(&view, &params, keep_first, &f), 0);
	assert_int_equal(f.set.srv_count, 1);
	assert_int_equal(f.weight, 1);
	assert_int_equal(f.set.a_count, 400);
	assert_true(f.set.srv_is_cut); /* 400 glue records of 16 octets are more than a message */
	assert_int_equal(f.sets, 3);
	kube_text_free(service);
	kube_text_free(slice);
}

/* ---- names that cannot be ---- */

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void names_that_are_too_long_are_left_out(void **state)
{
	/* Zone 4 x 22 + root; service 64, namespace 64, svc 4: 221 octets. */
	const char *zone = "zzzzzzzzzzzzzzzzzzzzz.zzzzzzzzzzzzzzzzzzzzz.zzzzzzzzzzzzzzzzzzzzz.zzzzzzzzzzzzzzzzzzzzz";
	struct record_params params = {.level = ANSWER_SERVICES};
	struct objects o;
	struct dump d = {0};

	(void)state;
	assert_int_equal(dns_name_parse(zone, &params.zone, NULL), 0);
	objects_make(&o, L63, "headless |", (const char *const[]){"http:80/tcp | " L63 "=10.0.0.1 ok=10.0.0.2", NULL});
	o.view.namespace = L63;
	assert_int_equal(records_build(&o.view, &params, dump_set, &d), 0);
	/* The service's and the port's name need the unfit target: passed. The fit endpoint is answered, the other
	 * skipped. */
	assert_int_equal(d.sets, 3);
	assert_int_equal(strncmp(d.text, L63 "." L63 ".svc.zzz", 135), 0);
	assert_non_null(strstr(d.text, ". passed\n_http._tcp."));
	assert_non_null(strstr(d.text, ". passed\nok." L63 "." L63));
	assert_non_null(strstr(d.text, "A 10.0.0.2 SRV 100:80:ok." L63));
	assert_null(strstr(d.text, "10.0.0.1"));
	objects_free(&o);

	/* Without a port number there is no target: the address is answered. */
	memset(&d, 0, sizeof(d));
	objects_make(&o, L63, "headless |", (const char *const[]){"| " L63 "=10.0.0.1", NULL});
	o.view.namespace = L63;
	assert_int_equal(records_build(&o.view, &params, dump_set, &d), 0);
	assert_int_equal(d.sets, 1);
	assert_non_null(strstr(d.text, ". A 10.0.0.1\n"));
	objects_free(&o);
}

static void a_port_name_of_63_octets_has_no_name(void **state)
{
	struct record_params params = params_at(ANSWER_SERVICES);
	struct objects o;
	struct dump d = {0};

	(void)state;
	objects_make(&o, "svc", "10.0.0.1 | " L63 ":80/tcp", (const char *const[]){NULL});
	assert_int_equal(records_build(&o.view, &params, dump_set, &d), 0);
	assert_string_equal(d.text, "svc A 10.0.0.1 SRV 100:80:svc + svc=10.0.0.1\n");
	objects_free(&o);
}

static int stop_at_second(void *ctx, const struct record_set *set)
{
	(void)set;
	return ++*(int *)ctx == 2 ? -ECANCELED : 0;
}

static void what_emit_returns_ends_the_build(void **state)
{
	struct record_params params = params_at(ANSWER_SERVICES);
	const char *const services[] = {"headless | http:80/tcp", "broken headless | http:80/tcp"};
	struct objects o;
	int calls;

	(void)state;
	for (int i = 0; i < 2; i++) {
		calls = 0;
		objects_make(&o, "s", services[i], (const char *const[]){"http:80/tcp | 10.0.0.1 10.0.0.2", NULL});
		assert_int_equal(records_build(&o.view, &params, stop_at_second, &calls), -ECANCELED);
		assert_int_equal(calls, 2);
		objects_free(&o);
	}
}

/* ---- labels ---- */

struct label_row {
	const char *sentence;
	const char *hostname;
	const char *addr;
	const char *expected;
};

static const struct label_row label_rows[] = {
	{"dots become dashes", "", "10.50.0.1", "10-50-0-1"},
	{"numbers of one to three digits", "", "1.22.203.0", "1-22-203-0"},
	{"the largest address", "", "255.255.255.255", "255-255-255-255"},
	{"a hostname wins", "web-0", "10.50.0.1", "web-0"},
	{"colons become dashes", "", "fd00:50:1::ab:cd:1", "fd00-50-1--ab-cd-1"},
	{"a zero goes behind a dash at the end", "", "fd00:50::", "fd00-50--0"},
	{"the longest run of zeros is left out", "", "fd00:50:0:0:1::", "fd00-50-0-0-1--0"},
	{"the first of equal runs is left out", "", "1:0:0:2:3:0:0:4", "1--2-3-0-0-4"},
	{"one zero group is no run", "", "1:0:2:3:4:5:6:7", "1-0-2-3-4-5-6-7"},
	{"a dash at the start stays", "", "::1", "--1"},
	{"nothing but zeros", "", "::", "--0"},
	{"no dotted form for ::1.2.3.4", "", "::102:304", "--102-304"},
	{"the longest text", "", "2001:1db8:2222:3333:4444:5555:6666:7777", "2001-1db8-2222-3333-4444-5555-6666-7777"},
};

static void labels_of_endpoints(void **state)
{
	struct kube_endpoint ep = {0};
	struct kube_addr addr;
	char label[64];

	(void)state;
	for (size_t i = 0; i < sizeof(label_rows) / sizeof(label_rows[0]); i++) {
		addr = kube_text_addr(label_rows[i].addr);
		ep.hostname = (char *)label_rows[i].hostname;
		assert_int_equal(records_endpoint_label(&ep, &addr, label), strlen(label_rows[i].expected));
		assert_string_equal(label, label_rows[i].expected);
	}
}

/* ---- PTR ---- */

struct ptr_row {
	const char *sentence;
	const char *addr;
	struct address_holder holders[4];
	size_t count;
	const char *expected; /* NULL: no such name */
};

static const struct ptr_row ptr_rows[] = {
	{"nothing holds the address: no name", "10.9.9.9", {{0}}, 0, NULL},
	{"an endpoint (CoreDNS)",
	 "10.50.0.1",
	 {{"ns", "plain3", "10-50-0-1"}},
	 1,
	 "1.0.50.10.in-addr.arpa. PTR 10-50-0-1.plain3\n"},
	{"two services hold it: two names (CoreDNS)",
	 "10.50.15.1",
	 {{"ns", "ptr-a", "pa"}, {"ns", "ptr-b", "pb"}},
	 2,
	 "1.15.50.10.in-addr.arpa. PTR pa.ptr-a pb.ptr-b\n"},
	{"the same name from two slices is one record (CoreDNS)",
	 "10.50.10.1",
	 {{"ns", "dup", "x"}, {"ns", "dup", "x"}},
	 2,
	 "1.10.50.10.in-addr.arpa. PTR x.dup\n"},
	{"a cluster IP wins over endpoints (CoreDNS)",
	 "10.96.77.1",
	 {{"ns", "over", "v"}, {"ns", "cip", NULL}},
	 2,
	 "1.77.96.10.in-addr.arpa. PTR cip\n"},
	{"a cluster IP wins over a slice without the label",
	 "10.96.77.1",
	 {{"ns", "", "v"}, {"ns", "cip", NULL}},
	 2,
	 "1.77.96.10.in-addr.arpa. PTR cip\n"},
	{"IPv6, nibble by nibble (CoreDNS)",
	 "fd00:10:96::7703",
	 {{"ns", "cip-dual", NULL}},
	 1,
	 "3.0.7.7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa. PTR cip-dual\n"},
	{"a slice without the service label is passed",
	 "10.50.20.2",
	 {{"ns", "", "g"}, {"ns", "s", "h"}},
	 2,
	 "2.20.50.10.in-addr.arpa. passed\n"},
	{"a broken holder passes the address",
	 "10.0.0.1",
	 {{"ns", "s", "h"}, {"ns", "t", "u", true}},
	 2,
	 "1.0.0.10.in-addr.arpa. passed\n"},
	{"a broken holder passes even a cluster IP",
	 "10.0.0.1",
	 {{"ns", "s", NULL}, {"ns", "t", "u", true}},
	 2,
	 "1.0.0.10.in-addr.arpa. passed\n"},
	{"two services with one cluster IP: either could be answered, so neither is",
	 "10.0.0.1",
	 {{"ns", "s", NULL}, {"ns", "t", NULL}},
	 2,
	 "1.0.0.10.in-addr.arpa. passed\n"},
};

static void ptr_of_addresses(void **state)
{
	struct record_params params = params_at(ANSWER_SERVICES);
	struct kube_addr addr;
	struct record_set set;
	struct dns_name *ptrs;
	struct dump d;
	bool found;

	(void)state;
	for (size_t i = 0; i < sizeof(ptr_rows) / sizeof(ptr_rows[0]); i++) {
		memset(&d, 0, sizeof(d));
		addr = kube_text_addr(ptr_rows[i].addr);
		found = records_build_ptr(&addr, ptr_rows[i].holders, ptr_rows[i].count, &params, &set, &ptrs);
		assert_int_equal(found, ptr_rows[i].expected != NULL);
		if (!found)
			continue;
		dump_set(&d, &set);
		free(ptrs);
		if (strcmp(d.text, ptr_rows[i].expected) != 0)
			print_message("row: %s\n", ptr_rows[i].sentence);
		assert_string_equal(d.text, ptr_rows[i].expected);
		assert_true(set.is_reverse);
		assert_false(set.is_cut);
	}
}

static void more_ptr_names_than_a_message_holds_are_passed(void **state)
{
	struct record_params params = params_at(ANSWER_SERVICES);
	struct kube_addr addr = kube_text_addr("10.0.0.1");
	struct address_holder holders[1000];
	char labels[1000][8];
	struct record_set set;
	struct dns_name *ptrs;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(labels[i], sizeof(labels[i]), "h-%03d", i);
		holders[i] = (struct address_holder){"ns", "s", labels[i]};
	}
	/* 12 + "h-000" 6 + "s" 2 + "ns" 3 + "svc" 4 + "cluster" 8 + "local" 6 + root 1: 42 octets each. */
	assert_true(records_build_ptr(&addr, holders, 97, &params, &set, &ptrs));
	assert_int_equal(set.ptr_count, 97);
	free(ptrs);
	assert_true(records_build_ptr(&addr, holders, 98, &params, &set, &ptrs));
	assert_true(set.is_passed);
	assert_int_equal(set.ptr_count, 0);
	free(ptrs);
	assert_true(records_build_ptr(&addr, holders, 1000, &params, &set, &ptrs));
	assert_true(set.is_passed);
	free(ptrs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_holds_and_owners_are_the_same_names),
		cmocka_unit_test(weights_are_those_of_coredns),
		cmocka_unit_test(srv_is_cut_to_a_message_and_glue_goes_first),
		cmocka_unit_test(work_is_linear_in_the_endpoints),
		cmocka_unit_test(forty_thousand_duplicate_pairs_are_one_srv),
		cmocka_unit_test(names_that_are_too_long_are_left_out),
		cmocka_unit_test(a_port_name_of_63_octets_has_no_name),
		cmocka_unit_test(what_emit_returns_ends_the_build),
		cmocka_unit_test(labels_of_endpoints),
		cmocka_unit_test(ptr_of_addresses),
		cmocka_unit_test(more_ptr_names_than_a_message_holds_are_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
