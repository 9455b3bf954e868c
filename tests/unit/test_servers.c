/* SPDX-License-Identifier: Apache-2.0 */
/* Server addresses: from flags and from the DNS service in a store. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kube/decode.h"
#include "servers.h"

/* "10.96.0.10:53 cluster-ip, …" of the whole set. */
static const char *text_of(const struct server_set *set)
{
	static char text[1024];
	char one[64];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < set->count; i++) {
		servers_format(&set->entries[i].addr, one);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s", n ? ", " : "", one,
				      set->entries[i].addr.origin);
	}
	return text;
}

static void flags_name_an_address_and_perhaps_a_port(void **state)
{
	static const struct {
		const char *flag, *text; /* NULL: refused */
	} rows[] = {
		{"10.96.0.10", "10.96.0.10:53 flag"},
		{"10.96.0.10:5353", "10.96.0.10:5353 flag"},
		{"fd00::a", "[fd00::a]:53 flag"},
		{"[fd00::a]", "[fd00::a]:53 flag"},
		{"[fd00::a]:5353", "[fd00::a]:5353 flag"},
		{"FD00:0:0::A", "[fd00::a]:53 flag"},
		{"auto", ""},
		{"", NULL},
		{"dns.example", NULL},
		{"10.96.0", NULL},
		{"10.96.0.10:", NULL},
		{"10.96.0.10:0", NULL},
		{"10.96.0.10:65536", NULL},
		{"10.96.0.10:53x", NULL},
		{"10.96.0.10: 53", NULL},
		{"[10.96.0.10]:53", NULL},
		{"[fd00::a", NULL},
		{"[fd00::a]53", NULL},
		{"[]", NULL},
		{"fd00::a%eth0", NULL},
		{"0000000000000000000000000000000000000000000000000000000000000001::", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct server_set set = {0};
		struct error e = {0};
		int err = servers_add_flag(&set, rows[i].flag, &e);

		if ((err == 0) != (rows[i].text != NULL) || (!err && strcmp(text_of(&set), rows[i].text) != 0))
			fail_msg("\"%s\": %d, %s", rows[i].flag, err, text_of(&set));
		if (err)
			assert_non_null(strstr(e.text, rows[i].flag));
		servers_done(&set);
	}
}

static void the_same_address_is_there_once_and_all_are_sorted(void **state)
{
	struct server_set set = {0};
	struct error e = {0};

	(void)state;
	assert_int_equal(servers_add_flag(&set, "10.0.0.2", &e), 0);
	assert_int_equal(servers_add_flag(&set, "10.0.0.1:5353", &e), 0);
	assert_int_equal(servers_add_flag(&set, "10.0.0.2:53", &e), 0);
	assert_int_equal(servers_add_flag(&set, "10.0.0.1:53", &e), 0);
	assert_string_equal(text_of(&set), "10.0.0.1:53 flag, 10.0.0.1:5353 flag, 10.0.0.2:53 flag");
	servers_done(&set);
}

/* ---- the DNS service ---- */

#define SERVICE(spec)                                                                                           \
	"{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"kube-dns\",\"namespace\":\"kube-" \
	"system\"},\"spec\":{" spec "}}"
#define SLICE(name, body)                                                                                   \
	"{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"" name \
	"\",\"namespace\":\"kube-system\",\"labels\":{\"kubernetes.io/service-name\":\"kube-dns\"}}," body "}"
#define USUAL_PORTS                                                                                               \
	"\"ports\":[{\"name\":\"metrics\",\"port\":9153,\"protocol\":\"TCP\"},{\"name\":\"dns-tcp\",\"port\":53," \
	"\"protocol\":\"TCP\"},"                                                                                  \
	"{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"}]"

static void put(struct store *s, const char *json)
{
	struct kube_object *o = NULL;
	struct error e = {0};

	assert_int_equal(kube_decode_object(json, strlen(json), NULL, "test", &o, &e), 0);
	assert_non_null(o);
	assert_true(store_put(s, o) >= 0);
}

static void the_dns_service_gives_cluster_ips_and_endpoints(void **state)
{
	static const struct {
		const char *sentence, *service, *slice, *services, *headless;
	} rows[] = {
		{"kubeadm's", SERVICE("\"clusterIP\":\"10.96.0.10\",\"clusterIPs\":[\"10.96.0.10\"]," USUAL_PORTS),
		 SLICE("a", "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.1.0.2\"],\"conditions\":{"
			    "\"ready\":true}},"
			    "{\"addresses\":[\"10.1.0.3\"],\"conditions\":{\"ready\":false}},{\"addresses\":[\"10.1.0."
			    "4\"]}],"
			    "\"ports\":[{\"name\":\"dns-tcp\",\"port\":53,\"protocol\":\"TCP\"},{\"name\":\"dns\","
			    "\"port\":53,\"protocol\":\"UDP\"}]"),
		 "10.1.0.2:53 endpoint, 10.1.0.4:53 endpoint, 10.96.0.10:53 cluster-ip", "10.96.0.10:53 cluster-ip"},
		{"another port behind the service",
		 SERVICE("\"clusterIP\":\"172.30.0.10\",\"clusterIPs\":[\"172.30.0.10\",\"fd02::a\"]," USUAL_PORTS),
		 SLICE("a", "\"addressType\":\"IPv6\",\"endpoints\":[{\"addresses\":[\"fd01::5\"]}],"
			    "\"ports\":[{\"name\":\"dns\",\"port\":5353,\"protocol\":\"UDP\"}]"),
		 "172.30.0.10:53 cluster-ip, [fd01::5]:5353 endpoint, [fd02::a]:53 cluster-ip",
		 "172.30.0.10:53 cluster-ip, [fd02::a]:53 cluster-ip"},
		{"a slice without the DNS port",
		 SERVICE("\"clusterIP\":\"10.96.0.10\",\"clusterIPs\":[\"10.96.0.10\"]," USUAL_PORTS),
		 SLICE("a", "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.1.0.2\"]}],"
			    "\"ports\":[{\"name\":\"dns-tcp\",\"port\":53,\"protocol\":\"TCP\"}]"),
		 "10.96.0.10:53 cluster-ip", "10.96.0.10:53 cluster-ip"},
		{"one unnamed port",
		 SERVICE("\"clusterIP\":\"10.96.0.10\",\"clusterIPs\":[\"10.96.0.10\"],\"ports\":[{\"port\":54,"
			 "\"protocol\":\"UDP\"}]"),
		 SLICE("a", "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.1.0.2\"]}],"
			    "\"ports\":[{\"name\":\"\",\"port\":1053,\"protocol\":\"UDP\"}]"),
		 "10.1.0.2:1053 endpoint, 10.96.0.10:54 cluster-ip", "10.96.0.10:54 cluster-ip"},
		{"TCP alone is no DNS service for us",
		 SERVICE("\"clusterIP\":\"10.96.0.10\",\"clusterIPs\":[\"10.96.0.10\"],\"ports\":[{\"port\":53,"
			 "\"protocol\":\"TCP\"}]"),
		 NULL, "", ""},
		{"headless", SERVICE("\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"]," USUAL_PORTS),
		 SLICE("a", "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.1.0.2\"]}],"
			    "\"ports\":[{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"}]"),
		 "10.1.0.2:53 endpoint", ""},
		{"no service at all", NULL,
		 SLICE("a", "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.1.0.2\"]}],"
			    "\"ports\":[{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"}]"),
		 "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct record_params params = {.level = ANSWER_SERVICES};
		struct server_set all = {0}, few = {0};
		struct error e = {0};
		struct store *s;

		assert_int_equal(dns_name_parse("cluster.local", &params.zone, &e), 0);
		s = store_new(&params);
		if (rows[i].service)
			put(s, rows[i].service);
		if (rows[i].slice)
			put(s, rows[i].slice);
		assert_int_equal(servers_add_service(&all, s, "kube-system", "kube-dns", ANSWER_SERVICES), 0);
		if (strcmp(text_of(&all), rows[i].services) != 0)
			fail_msg("%s: %s", rows[i].sentence, text_of(&all));
		assert_int_equal(servers_add_service(&few, s, "kube-system", "kube-dns", ANSWER_HEADLESS), 0);
		if (strcmp(text_of(&few), rows[i].headless) != 0)
			fail_msg("%s: %s", rows[i].sentence, text_of(&few));
		servers_done(&all);
		servers_done(&few);
		store_free(s);
	}
}

static const uint8_t endpoint[4] = {10, 1, 0, 2}, cluster_ip[4] = {10, 96, 0, 10};

static void an_endpoint_that_went_lingers_and_a_cluster_ip_does_not(void **state)
{
	struct server_set before = {0}, after = {0}, later = {0}, last = {0};

	(void)state;
	assert_int_equal(servers_add(&before, AF_INET, endpoint, 53, "endpoint"), 0);
	assert_int_equal(servers_add(&before, AF_INET, cluster_ip, 53, "cluster-ip"), 0);
	assert_int_equal(servers_linger(&after, &before, 1000), 0);
	assert_string_equal(text_of(&after), "10.1.0.2:53 endpoint");
	assert_int_equal(servers_linger(&later, &after, 1000 + SERVERS_LINGER_MS - 1), 0);
	assert_string_equal(text_of(&later), "10.1.0.2:53 endpoint");
	assert_int_equal(servers_linger(&last, &later, 1000 + SERVERS_LINGER_MS), 0);
	assert_int_equal(last.count, 0);
	servers_done(&before);
	servers_done(&after);
	servers_done(&later);
	servers_done(&last);
}

static void an_endpoint_that_comes_back_lingers_anew(void **state)
{
	struct server_set gone = {0}, back = {0}, gone_again = {0};

	(void)state;
	assert_int_equal(servers_add(&gone, AF_INET, endpoint, 53, "endpoint"), 0);
	gone.entries[0].gone_ms = 1;
	assert_int_equal(servers_add(&back, AF_INET, endpoint, 53, "endpoint"), 0);
	assert_int_equal(servers_linger(&back, &gone, 50000), 0);
	assert_int_equal(back.count, 1);
	assert_int_equal(servers_linger(&gone_again, &back, 100000), 0);
	assert_int_equal(gone_again.entries[0].gone_ms, 100000);
	assert_true(servers_equal(&back, &gone_again));
	servers_done(&gone);
	servers_done(&back);
	servers_done(&gone_again);
}

static void no_more_than_the_map_holds(void **state)
{
	struct server_set set = {0};

	(void)state;
	for (unsigned int i = 0; i < NODENS_SERVERS_MAX; i++) {
		uint8_t a[4] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};

		assert_int_equal(servers_add(&set, AF_INET, a, 53, "endpoint"), 0);
	}
	assert_int_equal(servers_add(&set, AF_INET, cluster_ip, 53, "cluster-ip"), -ENOSPC);
	assert_int_equal(set.count, NODENS_SERVERS_MAX);
	servers_done(&set);
}

static void the_service_is_namespace_and_name(void **state)
{
	char ns[64], name[64];

	(void)state;
	assert_true(servers_parse_service("openshift-dns/dns-default", ns, name));
	assert_string_equal(ns, "openshift-dns");
	assert_string_equal(name, "dns-default");
	assert_false(servers_parse_service("kube-dns", ns, name));
	assert_false(servers_parse_service("/kube-dns", ns, name));
	assert_false(servers_parse_service("kube-system/", ns, name));
	assert_false(servers_parse_service("a/b/c", ns, name));
	assert_false(servers_parse_service("A/b", ns, name));
	assert_false(
		servers_parse_service("a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ns, name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_name_an_address_and_perhaps_a_port),
		cmocka_unit_test(the_same_address_is_there_once_and_all_are_sorted),
		cmocka_unit_test(the_dns_service_gives_cluster_ips_and_endpoints),
		cmocka_unit_test(an_endpoint_that_went_lingers_and_a_cluster_ip_does_not),
		cmocka_unit_test(an_endpoint_that_comes_back_lingers_anew),
		cmocka_unit_test(no_more_than_the_map_holds),
		cmocka_unit_test(the_service_is_namespace_and_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
