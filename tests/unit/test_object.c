/* SPDX-License-Identifier: Apache-2.0 */
/* Reduced objects: copying into one block, comparing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kube/object.h"

static struct kube_addr addr4(uint8_t last)
{
	return (struct kube_addr){.family = AF_INET, .octets = {10, 0, 0, last}};
}

/* Everything a slice can hold, in static storage. */
static struct kube_object *make_slice(void)
{
	static struct kube_addr first[2], second[1];
	static struct kube_endpoint endpoints[2];
	static struct kube_port ports[1];
	static struct kube_object o;

	first[0] = addr4(1);
	first[1] = addr4(2);
	second[0] = (struct kube_addr){.family = AF_INET6, .octets = {0xfd, [15] = 1}};
	endpoints[0] = (struct kube_endpoint){.addresses = first, .address_count = 2, .is_ready = true};
	endpoints[1] = (struct kube_endpoint){.addresses = second, .address_count = 1, .hostname = (char *)"web-0"};
	ports[0] = (struct kube_port){.name = "http", .number = 80, .protocol = KUBE_TCP};
	o = (struct kube_object){
		.kind = KUBE_SLICE,
		.namespace = (char *)"default",
		.name = (char *)"web-abc",
		.resource_version = (char *)"17",
		.origin = (char *)"all.json:items[3]",
		.slice = {.service = "web",
			  .endpoints = endpoints,
			  .endpoint_count = 2,
			  .ports = ports,
			  .port_count = 1},
	};
	return &o;
}

static struct kube_object *make_service(void)
{
	static struct kube_addr ips[1];
	static struct kube_port ports[1];
	static struct kube_object o;

	ips[0] = addr4(9);
	ports[0] = (struct kube_port){.name = "", .number = 53, .protocol = KUBE_UDP};
	o = (struct kube_object){
		.kind = KUBE_SERVICE,
		.namespace = (char *)"default",
		.name = (char *)"web",
		.service = {.cluster_ips = ips, .cluster_ip_count = 1, .ports = ports, .port_count = 1},
	};
	return &o;
}

static void a_copy_is_equal_and_shares_nothing(void **state)
{
	struct kube_object *src = make_slice();
	struct kube_object *copy = kube_object_copy(src);

	(void)state;
	assert_non_null(copy);
	assert_true(kube_object_equal(src, copy));
	assert_string_equal(copy->resource_version, "17");
	assert_string_equal(copy->origin, "all.json:items[3]");
	assert_string_equal(copy->slice.endpoints[0].hostname, "");
	assert_string_equal(copy->slice.endpoints[1].hostname, "web-0");
	src->slice.endpoints[0].addresses[1] = addr4(77);
	assert_false(kube_object_equal(src, copy));
	assert_int_equal(copy->slice.endpoints[0].addresses[1].octets[3], 2);
	kube_object_free(copy);
}

static void missing_texts_become_empty_but_broken_stays_null(void **state)
{
	struct kube_object *copy = kube_object_copy(make_service());

	(void)state;
	assert_string_equal(copy->resource_version, "");
	assert_string_equal(copy->origin, "");
	assert_null(copy->broken);
	kube_object_free(copy);
}

static void version_and_origin_do_not_count(void **state)
{
	struct kube_object *copy = kube_object_copy(make_slice());
	struct kube_object *o = make_slice();

	(void)state;
	o->resource_version = (char *)"18";
	o->origin = (char *)"elsewhere";
	assert_true(kube_object_equal(o, copy));
	kube_object_free(copy);
}

/* Each changes one thing. */
static void change_ready(struct kube_object *o) { o->slice.endpoints[0].is_ready = false; }
static void change_hostname(struct kube_object *o) { o->slice.endpoints[1].hostname = (char *)"web-1"; }
static void change_address(struct kube_object *o) { o->slice.endpoints[1].addresses[0].octets[15] = 2; }
static void change_family(struct kube_object *o) { o->slice.endpoints[1].addresses[0].family = AF_INET; }
static void change_address_count(struct kube_object *o) { o->slice.endpoints[0].address_count = 1; }
static void change_endpoint_count(struct kube_object *o) { o->slice.endpoint_count = 1; }
static void change_label(struct kube_object *o) { strcpy(o->slice.service, "web2"); }
static void change_fqdn(struct kube_object *o) { o->slice.is_fqdn = true; }
static void change_port_name(struct kube_object *o) { strcpy(o->slice.ports[0].name, "https"); }
static void change_port_number(struct kube_object *o) { o->slice.ports[0].number = -1; }
static void change_protocol(struct kube_object *o) { o->slice.ports[0].protocol = KUBE_SCTP; }
static void change_port_count(struct kube_object *o) { o->slice.port_count = 0; }
static void change_broken(struct kube_object *o) { o->broken = (char *)"port 0 is no port number"; }
static void change_unknown(struct kube_object *o) { o->has_unknown_addresses = true; }
static void change_name(struct kube_object *o) { o->name = (char *)"web-abd"; }
static void change_namespace(struct kube_object *o) { o->namespace = (char *)"kube"; }

static void every_difference_counts(void **state)
{
	static void (*const changes[])(struct kube_object *) = {
		change_ready,	  change_hostname, change_address,    change_family,	  change_address_count,
		change_endpoint_count, change_label, change_fqdn,     change_port_name,	  change_port_number,
		change_protocol,  change_port_count, change_broken,   change_unknown,	  change_name,
		change_namespace,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct kube_object *copy = kube_object_copy(make_slice());
		struct kube_object *o = make_slice();

		changes[i](o);
		if (kube_object_equal(o, copy))
			fail_msg("change %zu was not seen", i);
		kube_object_free(copy);
	}
}

static void services_compare_by_type_addresses_and_ports(void **state)
{
	struct kube_object *copy = kube_object_copy(make_service());
	struct kube_object *o = make_service();

	(void)state;
	assert_true(kube_object_equal(o, copy));
	o->service.type = KUBE_HEADLESS;
	assert_false(kube_object_equal(o, copy));
	o = make_service();
	o->service.cluster_ips[0] = addr4(10);
	assert_false(kube_object_equal(o, copy));
	o = make_service();
	o->service.port_count = 0;
	assert_false(kube_object_equal(o, copy));
	kube_object_free(copy);
}

static void addresses_are_formatted_canonically(void **state)
{
	struct kube_addr six = {.family = AF_INET6, .octets = {0xfd, 0, [15] = 0x0a}};
	struct kube_addr four = addr4(200);
	char text[INET6_ADDRSTRLEN];

	(void)state;
	kube_addr_format(&six, text);
	assert_string_equal(text, "fd00::a");
	kube_addr_format(&four, text);
	assert_string_equal(text, "10.0.0.200");
	assert_string_equal(kube_protocol_label(KUBE_SCTP), "sctp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_is_equal_and_shares_nothing),
		cmocka_unit_test(missing_texts_become_empty_but_broken_stays_null),
		cmocka_unit_test(version_and_origin_do_not_count),
		cmocka_unit_test(every_difference_counts),
		cmocka_unit_test(services_compare_by_type_addresses_and_ports),
		cmocka_unit_test(addresses_are_formatted_canonically),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
