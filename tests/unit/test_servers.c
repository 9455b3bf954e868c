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
#define OTHER_SLICE(namespace, name, service, address)                                                            \
	"{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"" name       \
	"\",\"namespace\":\"" namespace "\",\"labels\":{\"kubernetes.io/service-name\":\"" service                \
					"\"}},\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"" address \
					"\"]}],\"ports\":[{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"}]}"
#define USUAL_PORTS                                                                                               \
	"\"ports\":[{\"name\":\"metrics\",\"port\":9153,\"protocol\":\"TCP\"},{\"name\":\"dns-tcp\",\"port\":53," \
	"\"protocol\":\"TCP\"},"                                                                                  \
	"{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"}]"

static struct store *new_store(void)
{
	struct record_params params = {.level = ANSWER_SERVICES};
	struct error e = {0};

	assert_int_equal(dns_name_parse("cluster.local", &params.zone, &e), 0);
	return store_new(&params);
}

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
		struct server_set all = {0}, few = {0};
		struct store *s = new_store();
		const struct server_service dns = {s, "kube-system", "kube-dns"};

		if (rows[i].service)
			put(s, rows[i].service);
		if (rows[i].slice)
			put(s, rows[i].slice);
		assert_int_equal(servers_add_service(&all, &dns, ANSWER_SERVICES), 0);
		if (strcmp(text_of(&all), rows[i].services) != 0)
			fail_msg("%s: %s", rows[i].sentence, text_of(&all));
		assert_int_equal(servers_add_service(&few, &dns, ANSWER_HEADLESS), 0);
		if (strcmp(text_of(&few), rows[i].headless) != 0)
			fail_msg("%s: %s", rows[i].sentence, text_of(&few));
		servers_done(&all);
		servers_done(&few);
		store_free(s);
	}
}

/* Everything that could name more addresses for the DNS service, made by somebody else. */
static void nobody_elses_objects_widen_the_set(void **state)
{
	static const char *const others[] = {
		"{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"kube-dns\",\"namespace\":"
		"\"evil\"},"
		"\"spec\":{\"clusterIP\":\"10.96.6.6\",\"clusterIPs\":[\"10.96.6.6\"]," USUAL_PORTS "}}",
		"{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"other\",\"namespace\":\"kube-"
		"system\","
		"\"labels\":{\"k8s-app\":\"kube-dns\"}},\"spec\":{\"clusterIP\":\"10.96.6.7\",\"clusterIPs\":[\"10.96."
		"6."
		"7\"]," USUAL_PORTS "}}",
		OTHER_SLICE("evil", "a", "kube-dns", "10.6.6.6"),
		OTHER_SLICE("kube-system", "b", "other", "10.6.6.7"),
		OTHER_SLICE("kube-system", "kube-dns-x", "", "10.6.6.8"),
	};
	struct store *s = new_store();
	const struct server_service dns = {s, "kube-system", "kube-dns"};
	struct server_set set = {0};

	(void)state;
	put(s, SERVICE("\"clusterIP\":\"10.96.0.10\",\"clusterIPs\":[\"10.96.0.10\"]," USUAL_PORTS));
	put(s, OTHER_SLICE("kube-system", "kube-dns-a", "kube-dns", "10.1.0.2"));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		put(s, others[i]);
	assert_int_equal(servers_add_service(&set, &dns, ANSWER_SERVICES), 0);
	assert_string_equal(text_of(&set), "10.1.0.2:53 endpoint, 10.96.0.10:53 cluster-ip");
	servers_done(&set);
	store_free(s);
}

/* ---- endpoints that went ---- */

static const uint8_t cluster_ip[4] = {10, 96, 0, 10};

/* Steps of one story: objects change, time passes, and what is answered for. */
static void step(const struct server_service *dns, struct server_set *set, uint64_t now_ms, const char *expected)
{
	struct server_set next = {0};

	assert_int_equal(servers_add_service(&next, dns, ANSWER_SERVICES), 0);
	assert_int_equal(servers_linger(&next, set, dns, now_ms), 0);
	if (strcmp(text_of(&next), expected) != 0)
		fail_msg("at %llu ms: \"%s\", not \"%s\"", (unsigned long long)now_ms, text_of(&next), expected);
	servers_done(set);
	*set = next;
}

#define OURS(address)	 OTHER_SLICE("kube-system", "kube-dns-a", "kube-dns", address)
#define METRICS(address) OTHER_SLICE("kube-system", "coredns-metrics-a", "coredns-metrics", address)
#define WEB(address)	 OTHER_SLICE("default", "web-a", "web", address)
#define NAMESAKE(address) OTHER_SLICE("default", "kube-dns-a", "kube-dns", address)

static struct store *store_with_dns(void)
{
	struct store *s = new_store();

	put(s, SERVICE("\"clusterIP\":\"10.96.0.10\",\"clusterIPs\":[\"10.96.0.10\"]," USUAL_PORTS));
	put(s, OURS("10.1.0.2"));
	return s;
}

static const char both[] = "10.1.0.2:53 endpoint, 10.96.0.10:53 cluster-ip", alone[] = "10.96.0.10:53 cluster-ip";

static void an_endpoint_that_went_lingers_for_its_time(void **state)
{
	struct store *s = store_with_dns();
	const struct server_service dns = {s, "kube-system", "kube-dns"};
	struct server_set set = {0};

	(void)state;
	step(&dns, &set, 1, both);
	assert_false(servers_any_lingers(&set));
	store_delete(s, KUBE_SLICE, "kube-system", "kube-dns-a");
	step(&dns, &set, 1000, both);
	assert_true(servers_any_lingers(&set));
	step(&dns, &set, 1000 + SERVERS_LINGER_MS - 1, both);
	step(&dns, &set, 1000 + SERVERS_LINGER_MS, alone);
	assert_false(servers_any_lingers(&set));
	servers_done(&set);
	store_free(s);
}

static void a_cluster_ip_that_went_is_gone_at_once(void **state)
{
	struct store *s = store_with_dns();
	const struct server_service dns = {s, "kube-system", "kube-dns"};
	struct server_set set = {0};

	(void)state;
	step(&dns, &set, 1, both);
	store_delete(s, KUBE_SERVICE, "kube-system", "kube-dns");
	step(&dns, &set, 2, "10.1.0.2:53 endpoint");
	servers_done(&set);
	store_free(s);
}

static void an_address_that_another_service_got_is_answered_for_no_longer(void **state)
{
	struct store *s = store_with_dns();
	const struct server_service dns = {s, "kube-system", "kube-dns"};
	struct server_set set = {0};

	(void)state;
	step(&dns, &set, 1, both);
	put(s, OURS("10.1.0.3"));
	step(&dns, &set, 2, "10.1.0.2:53 endpoint, 10.1.0.3:53 endpoint, 10.96.0.10:53 cluster-ip");
	put(s, WEB("10.1.0.2"));
	step(&dns, &set, 3, "10.1.0.3:53 endpoint, 10.96.0.10:53 cluster-ip");
	/* Going and coming in one step. */
	store_delete(s, KUBE_SLICE, "kube-system", "kube-dns-a");
	put(s, WEB("10.1.0.3"));
	step(&dns, &set, 4, alone);
	/* A service of the same name in another namespace is another one. */
	put(s, OURS("10.1.0.4"));
	step(&dns, &set, 5, "10.1.0.4:53 endpoint, 10.96.0.10:53 cluster-ip");
	store_delete(s, KUBE_SLICE, "kube-system", "kube-dns-a");
	put(s, NAMESAKE("10.1.0.4"));
	step(&dns, &set, 6, alone);
	servers_done(&set);
	store_free(s);
}

/* Prometheus' service has the same pods, and hears of their end a moment later. */
static void a_service_that_always_had_the_address_is_no_successor(void **state)
{
	struct store *s = store_with_dns();
	const struct server_service dns = {s, "kube-system", "kube-dns"};
	struct server_set set = {0};

	(void)state;
	put(s, METRICS("10.1.0.2"));
	step(&dns, &set, 1, both);
	store_delete(s, KUBE_SLICE, "kube-system", "kube-dns-a");
	step(&dns, &set, 2, both);
	step(&dns, &set, 3, both);
	store_delete(s, KUBE_SLICE, "kube-system", "coredns-metrics-a");
	step(&dns, &set, 4, both);
	put(s, WEB("10.1.0.2"));
	step(&dns, &set, 5, alone);
	servers_done(&set);
	store_free(s);
}

static void an_endpoint_that_comes_back_lingers_anew(void **state)
{
	struct store *s = store_with_dns();
	const struct server_service dns = {s, "kube-system", "kube-dns"};
	struct server_set set = {0};

	(void)state;
	step(&dns, &set, 1, both);
	store_delete(s, KUBE_SLICE, "kube-system", "kube-dns-a");
	step(&dns, &set, 2, both);
	put(s, OURS("10.1.0.2"));
	step(&dns, &set, 50000, both);
	assert_false(servers_any_lingers(&set));
	store_delete(s, KUBE_SLICE, "kube-system", "kube-dns-a");
	step(&dns, &set, 100000, both);
	step(&dns, &set, 100000 + SERVERS_LINGER_MS - 1, both);
	servers_done(&set);
	store_free(s);
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
	assert_false(servers_parse_service("kube-system/-dns", ns, name));
	assert_false(servers_parse_service("kube-/dns", ns, name));
	assert_false(
		servers_parse_service("a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ns, name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_name_an_address_and_perhaps_a_port),
		cmocka_unit_test(the_same_address_is_there_once_and_all_are_sorted),
		cmocka_unit_test(the_dns_service_gives_cluster_ips_and_endpoints),
		cmocka_unit_test(nobody_elses_objects_widen_the_set),
		cmocka_unit_test(an_endpoint_that_went_lingers_for_its_time),
		cmocka_unit_test(a_cluster_ip_that_went_is_gone_at_once),
		cmocka_unit_test(an_address_that_another_service_got_is_answered_for_no_longer),
		cmocka_unit_test(a_service_that_always_had_the_address_is_no_successor),
		cmocka_unit_test(an_endpoint_that_comes_back_lingers_anew),
		cmocka_unit_test(no_more_than_the_map_holds),
		cmocka_unit_test(the_service_is_namespace_and_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
