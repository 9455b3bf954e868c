/* SPDX-License-Identifier: Apache-2.0 */
/* nodens status: whether the agent lives, what it has loaded, where it is attached, what became of the queries. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "kernel/generation.h"
#include "status_hooks.h"
#include "status_report.h"

struct status_options {
	struct option_globals globals;
	bool is_ready_wanted;
	int output;
};

static const struct option_spec status_options[] = {
	{.name = "ready",
	 .kind = OPTION_FLAG,
	 .offset = offsetof(struct status_options, is_ready_wanted),
	 .help = "exit 0 only if it also is synced, its gate is open, it knows a\nserver address, and it is attached "
		 "(where there is anything\nto attach to)"},
	OPTION_OUTPUT(struct status_options, output),
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- collecting ---- */

static int compare_interfaces(const void *a, const void *b)
{
	const struct status_interface *x = a, *y = b;

	return x->ifindex < y->ifindex ? -1 : x->ifindex > y->ifindex;
}

static void add_interface(void *ctx, uint32_t ifindex, const struct nodens_interface *entry)
{
	struct status_report *r = ctx;
	struct status_interface *all = reallocarray(r->interfaces, r->interface_count + 1, sizeof(*all));

	if (!all)
		return;
	r->interfaces = all;
	all[r->interface_count++] = (struct status_interface){.ifindex = ifindex, .entry = *entry};
}

static void add_server(void *ctx, const struct nodens_server *server)
{
	struct status_report *r = ctx;
	struct nodens_server *all = reallocarray(r->servers, r->server_count + 1, sizeof(*all));

	if (!all)
		return;
	r->servers = all;
	all[r->server_count++] = *server;
}

static int compare_servers(const void *a, const void *b)
{
	return strcmp(((const struct nodens_server *)a)->address, ((const struct nodens_server *)b)->address);
}

/* By the clock that the datapath obeys, which no step of the time of day moves. */
static bool is_alive(const struct generation *g, const struct status_report *r)
{
	uint64_t jiffies;

	if (generation_read_jiffies(g, &jiffies) == 0)
		return jiffies <= r->config.deadline_jiffies;
	return r->now_ms - r->status.heartbeat_ms <= r->status.stale_after_ms;
}

/* In a pod (POD_NAME) whose agent waits for the lock what is loaded is another one's. */
static bool is_of_another_pod(const struct nodens_status *s)
{
	const char *pod = getenv("POD_NAME");

	return pod && *pod && strncmp(pod, s->pod, sizeof(s->pod) - 1) != 0;
}

/* The first thing that is wrong, NULL: nothing. */
static const char *find_fault(const struct status_report *r, bool is_ready_wanted)
{
	bool is_any_wanted = false, is_any_attached = false;

	if (!r->is_alive)
		return "no sign of life from the agent: everything is passed on";
	if (!is_ready_wanted)
		return NULL;
	if (is_of_another_pod(&r->status))
		return "another agent answers on this node, not that of this pod (POD_NAME), which waits";
	if (status_is_former_serving(r))
		return "not synced: the records of the agent before are still answered from";
	if (!r->status.synced_ms)
		return "not synced: everything is passed on";
	if (r->config.gate != NODENS_GATE_OPEN)
		return "the gate is closed: everything is passed on";
	if (!r->server_count)
		return "no server address is known: everything is passed on";
	if (!r->status.ready_ms)
		return "still attaching to the interfaces";
	for (size_t i = 0; i < r->interface_count; i++) {
		is_any_attached |= r->interfaces[i].entry.hook != NODENS_HOOK_NONE;
		is_any_wanted |= status_interface_has_failed(&r->interfaces[i]);
	}
	return is_any_wanted && !is_any_attached ? "attached to no interface" : NULL;
}

static int collect(const char *dir, bool is_ready_wanted, struct status_report *r, struct error *e)
{
	struct generation *g;
	int err = generation_open(dir, &g, e);

	if (err)
		return err;
	r->now_ms = now_ms();
	r->config = *generation_config(g);
	r->status = *generation_status(g);
	r->size = generation_get_size(g);
	r->number = generation_number(g);
	err = generation_read_verdicts(g, &r->verdicts);
	(void)generation_each_interface(g, add_interface, r);
	(void)generation_each_server(g, add_server, r);
	r->is_alive = is_alive(g, r);
	generation_free(g);
	if (err)
		return error_set(e, err, "the verdicts cannot be read: %s", strerror(-err));
	/* NULL where there is none. */
	if (r->interfaces)
		qsort(r->interfaces, r->interface_count, sizeof(*r->interfaces), compare_interfaces);
	if (r->servers)
		qsort(r->servers, r->server_count, sizeof(*r->servers), compare_servers);
	r->hooks = status_hooks_collect(dir, r->interfaces, r->interface_count);
	r->fault = find_fault(r, is_ready_wanted);
	return 0;
}

static int print(const struct status_options *o)
{
	struct status_report r = {0};
	struct error e = {0};
	int err = collect(o->globals.bpffs, o->is_ready_wanted, &r, &e);

	if (err) {
		if (o->output == OUTPUT_JSON)
			status_print_absent_json(stdout, e.text);
		fprintf(stderr, "nodens status: %s\n", e.text[0] ? e.text : strerror(-err));
	} else if (o->output == OUTPUT_JSON) {
		status_print_json(stdout, &r);
	} else {
		status_print_text(stdout, &r);
	}
	if (!err && r.fault)
		fprintf(stderr, "nodens status: %s\n", r.fault);
	free(r.interfaces);
	free(r.servers);
	status_hooks_free(r.hooks);
	return err || r.fault ? EXIT_FAILED : EXIT_OK;
}

static int run(const struct command *command, const struct option_globals *globals, int argc, char **argv)
{
	struct status_options o = {0};
	struct option_arguments arguments;
	int code;

	if (!options_begin(command, globals, argc, argv, &o, &arguments, &code))
		return code;
	code = print(&o);
	options_done(command, &o, &arguments);
	return code;
}

const struct command command_status = {
	.name = "status",
	.arguments = "",
	.summary = "what is loaded and attached, and what became of the queries",
	.details = "Exit status: 0 the agent gives signs of life, 1 it does not (or, with --ready, is not ready).\n",
	.options = status_options,
	.option_count = sizeof(status_options) / sizeof(status_options[0]),
	.run = run,
};
