/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a change costs the agent: from the octets of a watch event to the new answer in the map, through the
 * controller's own callbacks and a loaded generation, in namespaces and a BPF file system of its own. One change at a
 * time, with 1,000 and with 150,000 names beside it; medians and 99th percentiles of the time spent.
 *
 *   decode   the event's JSON into an object
 *   apply    object into the store, records, blobs, map, servers, status: what delays the answer
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "controller_state.h"
#include "kube/decode.h"
#include "nodens/abi.h"

#define CHANGES		400
#define SLICE_ENDPOINTS 1000 /* as many as the API allows */
#define SMALL_MEDIAN_NS 200000

/* Something to change: a headless service of so many endpoints, one of which gets another address. */
struct change_case {
	const char *title;
	unsigned int endpoints;
	bool has_broken; /* an object somewhere that is not understood */
	bool is_bounded; /* must stay below SMALL_MEDIAN_NS */
};

static const struct change_case cases[] = {
	{"3 endpoints", 3, false, true},
	{"3 endpoints, a broken object elsewhere", 3, true, true},
	{"100 endpoints", 100, false, false},
	{"5,000 endpoints, one slice of five", 5000, false, false},
};

static void die(const char *what, const struct error *e)
{
	fprintf(stderr, "bench_update: %s: %s\n", what, e && e->text[0] ? e->text : strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

/* ---- objects, as an API server sends them ---- */

static struct kube_object *decode(const char *json, size_t len)
{
	struct kube_object *o = NULL;
	struct error e = {0};

	if (kube_decode_object(json, len, NULL, "", &o, &e) || !o)
		die("decoding", &e);
	return o;
}

static struct kube_object *make_service(const char *namespace, const char *name, const char *cluster_ip)
{
	char json[1024];
	int n = snprintf(
		json, sizeof(json),
		"{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"},"
		"\"spec\":{\"clusterIP\":\"%s\",\"clusterIPs\":[\"%s\"],\"ports\":[{\"name\":\"dns\",\"protocol\":"
		"\"UDP\",\"port\":53}]}}",
		name, namespace, cluster_ip, cluster_ip);

	return decode(json, (size_t)n);
}

/* An event of the changed service's slice `slice`; *len octets, the caller's to free. The endpoint `changed` has an
 * address that no other has. */
static char *make_event(unsigned int endpoints, unsigned int slice, unsigned int changed, unsigned int round,
			size_t *len)
{
	unsigned int from = slice * SLICE_ENDPOINTS;
	unsigned int to = from + SLICE_ENDPOINTS < endpoints ? from + SLICE_ENDPOINTS : endpoints;
	char *json = NULL;
	FILE *out = open_memstream(&json, len);

	if (!out)
		die("memory", NULL);
	fprintf(out,
		"{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"EndpointSlice\",\"apiVersion\":\"discovery.k8s.io/v1\","
		"\"metadata\":{\"name\":\"changing-%u\",\"generateName\":\"changing-\",\"namespace\":\"bench\",\"uid\":"
		"\"2c8fd1f3-6c54-4b37-9f2b-7c1a5b0c7c11\",\"resourceVersion\":\"%u\",\"generation\":%u,"
		"\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"labels\":{\"endpointslice.kubernetes.io/managed-by\":"
		"\"endpointslice-controller.k8s.io\",\"kubernetes.io/service-name\":\"changing\","
		"\"service.kubernetes.io/headless\":\"\"},\"annotations\":{\"endpoints.kubernetes.io/"
		"last-change-trigger-"
		"time\":\"2026-01-01T00:00:00Z\"},\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Service\","
		"\"name\":"
		"\"changing\",\"uid\":\"0b6bfa36-8e57-4f31-9f0e-9f0d9a51a7a5\",\"controller\":true,"
		"\"blockOwnerDeletion\":true}],\"managedFields\":[{\"manager\":\"kube-controller-manager\","
		"\"operation\":"
		"\"Update\",\"apiVersion\":\"discovery.k8s.io/v1\",\"time\":\"2026-01-01T00:00:00Z\",\"fieldsType\":"
		"\"FieldsV1\",\"fieldsV1\":{\"f:addressType\":{},\"f:endpoints\":{},\"f:metadata\":{\"f:annotations\":{"
		"\".\":"
		"{},\"f:endpoints.kubernetes.io/"
		"last-change-trigger-time\":{}},\"f:generateName\":{},\"f:labels\":{\".\":{},"
		"\"f:kubernetes.io/service-name\":{}}},\"f:ports\":{}}}]},\"addressType\":\"IPv4\",\"endpoints\":[",
		slice, 1000 + round, round);
	for (unsigned int i = from; i < to; i++)
		fprintf(out,
			"%s{\"addresses\":[\"10.%u.%u.%u\"],\"conditions\":{\"ready\":true,\"serving\":true,"
			"\"terminating\":"
			"false},\"hostname\":\"pod-%u\",\"targetRef\":{\"kind\":\"Pod\",\"namespace\":\"bench\","
			"\"name\":"
			"\"pod-%u\",\"uid\":\"5b2c3d67-51f4-4c37-8d75-8f2a8f2f1b10\"},\"nodeName\":\"node-%u\","
			"\"zone\":\"a\"}",
			i > from ? "," : "", i == changed ? 200 + round % 2 : 100, i / 250, i % 250 + 1, i, i, i % 100);
	fprintf(out, "],\"ports\":[{\"name\":\"http\",\"port\":80,\"protocol\":\"TCP\"}]}}\n");
	fclose(out);
	return json;
}

/* ---- an agent without signals, lock and source ---- */

static struct controller c;
static struct controller_params params = {.ttl_s = 5,
					  .stale_after_ms = 15000,
					  .max_memory = 512 << 20,
					  .dns_namespace = "kube-system",
					  .dns_service = "kube-dns",
					  .source_path = "bench",
					  .zone = "cluster.local",
					  .level = "services"};
static const struct source_callbacks *const cb = &controller_source_callbacks;

static int ignore_progress(void *ctx)
{
	(void)ctx;
	return 0;
}

static void load(unsigned int services, const struct change_case *what)
{
	char name[64], address[32];
	struct error e = {0};

	gate_init(&c.gate);
	hmap_init(&c.told_broken);
	c.params = &params;
	c.loop = loop_new();
	c.store = store_new(&params.records);
	const struct loader_params lp = {.dir = params.dir,
					 .store = c.store,
					 .loop = c.loop,
					 .render = {.ttl_s = params.ttl_s},
					 .max_memory = params.max_memory,
					 .on_progress = ignore_progress,
					 .on_switch = controller_switch,
					 .ctx = &c};
	c.loader = loader_new(&lp);
	c.attachments = attachments_new(c.loop, params.dir, &params.interfaces, &e);
	if (!c.store || !c.loader || !c.attachments)
		die("preparing", &e);
	cb->on_replace(&c);
	cb->on_put(&c, make_service("kube-system", "kube-dns", "10.96.0.10"));
	cb->on_put(&c, make_service("bench", "changing", "None"));
	/* Each with its name, an SRV name, and a PTR: three names. */
	for (unsigned int i = 0; i < services; i++) {
		snprintf(name, sizeof(name), "service-%u", i);
		snprintf(address, sizeof(address), "10.%u.%u.%u", 97 + i / 50000, i / 250 % 200, i % 250 + 1);
		cb->on_put(&c, make_service("bench", name, address));
	}
	if (what->has_broken)
		cb->on_put(&c, make_service("bench", "broken", "no-address"));
	for (unsigned int slice = 0; slice * SLICE_ENDPOINTS < what->endpoints; slice++) {
		struct kube_event event;
		size_t len;
		char *json = make_event(what->endpoints, slice, UINT32_MAX, 0, &len);

		if (kube_decode_event(json, len, &event, &e))
			die("decoding", &e);
		cb->on_put(&c, event.object);
		free(json);
	}
	cb->on_replaced(&c, 0, NULL);
	c.is_running = true;
	if (controller_go_live(&c, &e))
		die("loading", &e);
}

static void unload(void)
{
	struct error e = {0};

	attachments_free(c.attachments);
	loader_free(c.loader);
	store_free(c.store);
	controller_forget_broken(&c);
	hmap_done(&c.told_broken);
	servers_done(&c.servers);
	loop_free(c.loop);
	(void)generation_remove_others(params.dir, NULL, &e);
	c = (struct controller){0};
}

/* ---- one change ---- */

static void stop(void *ctx)
{
	loop_stop(ctx, 0);
}

/* What comes between two events in an agent: grace periods that end. */
static void run_loop_ms(uint64_t ms)
{
	struct loop_handle *timer = loop_add_timer(c.loop, ms, 0, stop, c.loop);

	(void)loop_run(c.loop);
	loop_remove(c.loop, timer);
}

/* Whether the changed endpoint's name now has this address in the map. */
static bool is_visible(unsigned int changed, uint8_t second_octet)
{
	struct error e = {0};
	struct dns_name name;
	char text[96];
	const struct nodens_name *blob;
	const uint8_t *record;

	snprintf(text, sizeof(text), "pod-%u.changing.bench.svc.cluster.local", changed);
	if (dns_name_parse(text, &name, &e))
		die(text, &e);
	blob = table_find(generation_table(controller_generation(&c)), name.data, name.len);
	if (!blob || blob->section[NODENS_SLOT_A].count != 1)
		return false;
	/* Owner (2), type, class, TTL, length, then the address. */
	record = (const uint8_t *)blob + blob->section[NODENS_SLOT_A].off;
	return record[13] == second_octet;
}

struct times {
	uint64_t decode_ns[CHANGES], apply_ns[CHANGES];
};

static void change_once(const struct change_case *what, unsigned int round, struct times *times)
{
	unsigned int slice = (what->endpoints - 1) / SLICE_ENDPOINTS;
	unsigned int changed = slice * SLICE_ENDPOINTS;
	struct kube_event event;
	struct error e = {0};
	size_t len;
	char *json = make_event(what->endpoints, slice, changed, round, &len);
	uint64_t begun_ns = now_ns(), decoded_ns;

	if (kube_decode_event(json, len, &event, &e))
		die("decoding", &e);
	decoded_ns = now_ns();
	cb->on_put(&c, event.object);
	cb->on_batch(&c);
	times->apply_ns[round] = now_ns() - decoded_ns;
	times->decode_ns[round] = decoded_ns - begun_ns;
	if (!is_visible(changed, 200 + round % 2))
		die("the change is not in the map", NULL);
	free(json);
	run_loop_ms(1);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double share_us(uint64_t *ns, unsigned int percent)
{
	qsort(ns, CHANGES, sizeof(*ns), compare);
	return (double)ns[CHANGES * percent / 100] / 1000;
}

/* In a process of its own: memory begins as an agent's does. */
static int measure(unsigned int services, const struct change_case *what)
{
	static struct times times;
	double decode_us, apply_us;

	load(services, what);
	for (unsigned int round = 0; round < CHANGES; round++)
		change_once(what, round, &times);
	decode_us = share_us(times.decode_ns, 50);
	apply_us = share_us(times.apply_ns, 50);
	printf("%-40s %9llu %10.1f %10.1f %10.1f %10.1f\n", what->title, (unsigned long long)c.status.names, decode_us,
	       share_us(times.decode_ns, 99), apply_us, share_us(times.apply_ns, 99));
	fflush(stdout);
	unload();
	return what->is_bounded && (decode_us + apply_us) * 1000 > SMALL_MEDIAN_NS;
}

static int measure_apart(unsigned int services, const struct change_case *what)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		exit(measure(services, what));
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		die("measuring", NULL);
	return WEXITSTATUS(status);
}

int main(void)
{
	static const unsigned int services[] = {300, 50000};
	static char root[] = "/tmp/nodens-bench-XXXXXX", dir[sizeof(root) + 16];
	const char *none[] = {"!*"};
	struct error e = {0};
	int failed = 0;

	log_init(LOG_LOGFMT, LOG_ERROR);
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(root))
		die("needs root and namespaces", NULL);
	if (mount("bpf", root, "bpf", 0, "mode=0700") < 0)
		die("a BPF file system", NULL);
	snprintf(dir, sizeof(dir), "%s/nodens", root);
	params.dir = dir;
	params.records.level = ANSWER_SERVICES;
	if (dns_name_parse(params.zone, &params.records.zone, &e) || generation_prepare_dir(dir, &e) ||
	    interfaces_parse(none, 1, false, &params.interfaces, &e))
		die("preparing", &e);
	printf("%-40s %9s %21s %21s\n", "one endpoint of a service changes", "names", "decode, us (p50 p99)",
	       "apply, us (p50 p99)");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t k = 0; k < sizeof(services) / sizeof(services[0]); k++)
			failed |= measure_apart(services[k], &cases[i]);
	}
	interfaces_done(&params.interfaces);
	(void)umount2(root, MNT_DETACH);
	(void)rmdir(root);
	if (failed)
		printf("FAILED: a median of decode and apply together is above %d us\n", SMALL_MEDIAN_NS / 1000);
	return failed ? 1 : 0;
}
