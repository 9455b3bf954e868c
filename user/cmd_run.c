/* SPDX-License-Identifier: Apache-2.0 */
/* nodens run: the agent. What stands on the command line becomes controller_params; the rest is controller.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "commands.h"
#include "controller.h"
#include "source/spec.h"

struct run_options {
	struct option_globals globals;
	const char *source, *context, *zone, *dns_service, *answer;
	struct option_list servers, interfaces, allowed;
	uint64_t ttl_s, stale_after_ms, api_stale_after_ms, max_memory;
	int on_exit, log_format;
};

#define RUN_OFFSET(member) .offset = offsetof(struct run_options, member)

static const struct option_spec run_options[] = {
	{.name = "source",
	 .kind = OPTION_TEXT,
	 RUN_OFFSET(source),
	 .value_name = "SOURCE",
	 .fallback = "kube",
	 .help = "where objects come from: kube (the API server, as the pod's\nservice account), kube:KUBECONFIG, or "
		 "file:PATH: a file as\nkubectl get services,endpointslices -A -o json prints it, or\na folder of such "
		 "files (*.json), followed"},
	{.name = "context",
	 .kind = OPTION_TEXT,
	 RUN_OFFSET(context),
	 .value_name = "NAME",
	 .help = "of the kubeconfig (default: its current one)"},
	{.name = "zone",
	 .kind = OPTION_TEXT,
	 RUN_OFFSET(zone),
	 .value_name = "NAME",
	 .fallback = "cluster.local",
	 .help = "cluster domain"},
	{.name = "ttl",
	 .kind = OPTION_NUMBER,
	 RUN_OFFSET(ttl_s),
	 .value_name = "SECONDS",
	 .fallback = "5",
	 .max = 3600,
	 .help = "TTL of answers, 0 to 3600"},
	{.name = "answer",
	 .kind = OPTION_TEXT,
	 RUN_OFFSET(answer),
	 .value_name = "headless|services",
	 .fallback = "services",
	 .help = "headless services alone, or all services and PTR"},
	{.name = "dns-service",
	 .kind = OPTION_TEXT,
	 RUN_OFFSET(dns_service),
	 .value_name = "NS/NAME",
	 .fallback = "kube-system/kube-dns",
	 .help = "the Service for whose addresses we answer"},
	{.name = "server",
	 .kind = OPTION_LIST,
	 RUN_OFFSET(servers),
	 .value_name = "ADDR[:PORT]",
	 .help = "answer for this address instead"},
	{.name = "interface",
	 .kind = OPTION_LIST,
	 RUN_OFFSET(interfaces),
	 .value_name = "SPEC",
	 .help = "pods (every pod's veth, the default), NAME or GLOB,\neach with an optional :tc, or :xdp (NIC: XDP "
		 "besides),\nor !GLOB to leave out"},
	{.name = "allow-from",
	 .kind = OPTION_LIST,
	 RUN_OFFSET(allowed),
	 .value_name = "CIDR",
	 .help = "only these sources are answered on interfaces that are\nnot a pod's; required there"},
	{.name = "stale-after",
	 .kind = OPTION_DURATION,
	 RUN_OFFSET(stale_after_ms),
	 .value_name = "DURATION",
	 .fallback = "15s",
	 .min = 1000,
	 .max = 3600000,
	 .help = "without a sign of life from the agent for this long\neverything is passed on; 1s to 1h"},
	{.name = "api-stale-after",
	 .kind = OPTION_DURATION,
	 RUN_OFFSET(api_stale_after_ms),
	 .value_name = "DURATION",
	 .fallback = "5m",
	 .min = 1000,
	 .max = 86400000,
	 .help = "without an event or bookmark of the API server for this\nlong everything is passed on; 1s to 24h. "
		 "A quiet server\nis asked in time, from 15s on"},
	{.name = "on-exit",
	 .kind = OPTION_CHOICE,
	 RUN_OFFSET(on_exit),
	 .choices = "keep|detach",
	 .fallback = "keep",
	 .help = "at SIGTERM: leave the datapath to its heartbeat, or\nremove it"},
	{.name = "max-memory",
	 .kind = OPTION_SIZE,
	 RUN_OFFSET(max_memory),
	 .value_name = "SIZE",
	 .fallback = "256Mi",
	 .min = 8 << 20,
	 .max = 1ULL << 36,
	 .help = "ceiling for the maps (Ki, Mi, Gi): two generations of at\nmost half of it each; names that do not "
		 "fit are passed on"},
	{.name = "log-format",
	 .kind = OPTION_CHOICE,
	 RUN_OFFSET(log_format),
	 .choices = "logfmt|json",
	 .fallback = "logfmt",
	 .help = "form of the log on stderr"},
};

/* ---- from texts to parameters: each names its flag ---- */

static int take_level(const struct run_options *o, struct controller_params *p, struct error *e)
{
	p->level = o->answer;
	if (strcmp(o->answer, "headless") == 0)
		p->records.level = ANSWER_HEADLESS;
	else if (strcmp(o->answer, "services") == 0)
		p->records.level = ANSWER_SERVICES;
	else if (strcmp(o->answer, "zone") == 0)
		return error_set(e, -EINVAL, "--answer: level zone is not in this version (headless or services)");
	else
		return error_set(e, -EINVAL, "--answer: \"%s\" is neither headless nor services", o->answer);
	return 0;
}

static int take_zone(const struct run_options *o, struct controller_params *p, struct error *e)
{
	int err = dns_name_parse(o->zone, &p->records.zone, e);

	p->zone = o->zone;
	if (!err && p->records.zone.len <= 1)
		err = error_set(e, -EINVAL, "the root is no cluster domain");
	if (!err && strlen(o->zone) >= NODENS_ZONE_TEXT_MAX)
		err = error_set(e, -EINVAL, "too long");
	return err ? error_prefix(e, err, "--zone \"%s\"", o->zone) : 0;
}

static int take_servers(const struct run_options *o, struct controller_params *p, struct error *e)
{
	if (!servers_parse_service(o->dns_service, p->dns_namespace, p->dns_service))
		return error_set(e, -EINVAL, "--dns-service: \"%s\" is not NAMESPACE/NAME", o->dns_service);
	for (size_t i = 0; i < o->servers.count; i++) {
		int err = servers_add_flag(&p->servers, o->servers.items[i], e);

		if (err)
			return error_prefix(e, err, "--server");
	}
	return 0;
}

static bool parse_prefix(const char *text, struct allow_prefix *ret_prefix)
{
	struct allow_prefix p = {0};
	char host[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "/");
	uint64_t bits;

	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	p.family = strchr(host, ':') ? AF_INET6 : AF_INET;
	bits = p.family == AF_INET ? 32 : 128;
	if (inet_pton(p.family, host, p.octets) != 1)
		return false;
	if (text[len] && (!options_parse_number(text + len + 1, &bits) || bits > (p.family == AF_INET ? 32U : 128U)))
		return false;
	p.prefix_len = (uint8_t)bits;
	*ret_prefix = p;
	return true;
}

static int take_allowed(const struct run_options *o, struct controller_params *p, struct error *e)
{
	struct allow_prefix *prefixes;

	if (o->allowed.count > NODENS_ALLOW_MAX)
		return error_set(e, -EINVAL, "--allow-from: more than %d", NODENS_ALLOW_MAX);
	prefixes = calloc(o->allowed.count + 1, sizeof(*prefixes));
	if (!prefixes)
		return -ENOMEM;
	p->allowed = prefixes;
	p->allowed_count = o->allowed.count;
	for (size_t i = 0; i < o->allowed.count; i++) {
		if (!parse_prefix(o->allowed.items[i], &prefixes[i]))
			return error_set(e, -EINVAL, "--allow-from: \"%s\" is neither ADDR nor ADDR/BITS",
					 o->allowed.items[i]);
	}
	return 0;
}

static int take_interfaces(const struct run_options *o, struct controller_params *p, struct error *e)
{
	int err = interfaces_parse(o->interfaces.items, o->interfaces.count, o->allowed.count > 0, &p->interfaces, e);

	return err ? error_prefix(e, err, "--interface") : 0;
}

static int take_all(const struct run_options *o, struct controller_params *p, struct error *e)
{
	int err = take_level(o, p, e);

	p->dir = o->globals.bpffs;
	p->ttl_s = (uint32_t)o->ttl_s;
	p->stale_after_ms = o->stale_after_ms;
	p->api_stale_after_ms = o->api_stale_after_ms;
	p->max_memory = o->max_memory;
	p->is_detached_on_exit = o->on_exit == 1;
	if (!err)
		err = take_zone(o, p, e);
	if (!err)
		err = take_servers(o, p, e);
	if (!err)
		err = take_allowed(o, p, e);
	return err ? err : take_interfaces(o, p, e);
}

static void free_params(struct controller_params *p)
{
	servers_done(&p->servers);
	interfaces_done(&p->interfaces);
	free((void *)p->allowed);
}

static int run_agent(const struct source_spec *source, struct controller_params *p, struct error *e)
{
	struct kube_config kube = {0};
	int err = source->path ? 0 : source_spec_load(source, &kube, e);

	p->source_path = source->path;
	p->kube = source->path ? NULL : &kube;
	if (!err)
		err = controller_run(p, e);
	kube_config_done(&kube);
	return err;
}

static int run(const struct command *command, const struct option_globals *globals, int argc, char **argv)
{
	struct run_options o = {0};
	struct controller_params p = {0};
	struct option_arguments arguments;
	struct source_spec source;
	struct error e = {0};
	int code;

	if (!options_begin(command, globals, argc, argv, &o, &arguments, &code))
		return code;
	if (source_spec_parse(o.source, o.context, &source, &e) || take_all(&o, &p, &e)) {
		fprintf(stderr, "nodens run: %s\nTry: nodens run --help\n", e.text);
		code = EXIT_USAGE;
	} else {
		int err;

		log_init(o.log_format == 1 ? LOG_JSON : LOG_LOGFMT, o.globals.is_verbose ? LOG_DEBUG : LOG_INFO);
		err = run_agent(&source, &p, &e);
		if (err < 0)
			log_error("ended", LOG_TEXT("cause", e.text[0] ? e.text : strerror(-err)));
		code = err < 0 ? EXIT_FAILED : EXIT_OK;
	}
	free_params(&p);
	options_done(command, &o, &arguments);
	return code;
}

const struct command command_run = {
	.name = "run",
	.arguments = "",
	.summary = "the agent, in the foreground: loads the records and keeps the datapath attached",
	.details = "Signals: SIGTERM and SIGINT end it, SIGHUP reads the source again.\n",
	.options = run_options,
	.option_count = sizeof(run_options) / sizeof(run_options[0]),
	.run = run,
};
