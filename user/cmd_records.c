/* SPDX-License-Identifier: Apache-2.0 */
/* nodens records: the record set as zone files, from the loaded maps or from a source without touching the kernel. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "dns/render.h"
#include "dns/zonefile.h"
#include "kernel/generation.h"
#include "kube/store.h"
#include "source/source.h"
#include "source/spec.h"

/* For the first state of an API server, with all attempts. */
#define SYNC_WITHIN_MS 20000

struct records_options {
	struct option_globals globals;
	const char *source, *context, *zone, *zone_of;
	uint64_t ttl_s;
	int answer, output;
};

#define RECORDS_OFFSET(member) .offset = offsetof(struct records_options, member)

static const struct option_spec records_options[] = {
	{.name = "source",
	 .kind = OPTION_TEXT,
	 RECORDS_OFFSET(source),
	 .value_name = "SOURCE",
	 .help = "render the records of these objects: kube,\nkube:KUBECONFIG or file:PATH; nothing needs to be "
		 "loaded\n"
		 "(default: what is loaded)"},
	{.name = "context",
	 .kind = OPTION_TEXT,
	 RECORDS_OFFSET(context),
	 .value_name = "NAME",
	 .help = "with --source kube:KUBECONFIG: context (default: its\ncurrent one)"},
	{.name = "zone",
	 .kind = OPTION_TEXT,
	 RECORDS_OFFSET(zone),
	 .value_name = "NAME",
	 .fallback = "cluster.local",
	 .help = "with --source: cluster domain"},
	{.name = "ttl",
	 .kind = OPTION_NUMBER,
	 RECORDS_OFFSET(ttl_s),
	 .value_name = "SECONDS",
	 .fallback = "5",
	 .max = 3600,
	 .help = "with --source: TTL"},
	{.name = "answer",
	 .kind = OPTION_CHOICE,
	 RECORDS_OFFSET(answer),
	 .choices = "headless|services",
	 .fallback = "services",
	 .help = "with --source: level"},
	{.name = "zone-of",
	 .kind = OPTION_TEXT,
	 RECORDS_OFFSET(zone_of),
	 .value_name = "NAME",
	 .help = "only the zone that holds this name, or the reverse\nname of this address"},
	OPTION_OUTPUT(struct records_options, output),
};

/* Blobs on the heap. */
struct collection {
	struct zonefile_entry *entries;
	size_t count, cap;
};

/* The blob is the collection's, also on failure. */
static int collect(struct collection *c, struct nodens_name *blob)
{
	if (c->count == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 1024;
		struct zonefile_entry *entries = reallocarray(c->entries, cap, sizeof(*entries));

		if (!entries) {
			free(blob);
			return -ENOMEM;
		}
		c->entries = entries;
		c->cap = cap;
	}
	c->entries[c->count++].blob = blob;
	return 0;
}

static void free_collection(struct collection *c)
{
	for (size_t i = 0; i < c->count; i++)
		free((void *)c->entries[i].blob);
	free(c->entries);
}

/* ---- from the maps ---- */

static int on_copy(void *ctx, struct nodens_name *copy, size_t len)
{
	if (!zonefile_blob_is_valid(copy, len)) {
		free(copy);
		return 0;
	}
	return collect(ctx, copy);
}

static int read_maps(const struct records_options *o, struct collection *c, struct zonefile_params *p, struct error *e)
{
	struct generation *g;
	int err = generation_open(o->globals.bpffs, &g, e);

	if (err)
		return err;
	p->ttl_s = generation_config(g)->ttl_s;
	p->soa_serial = generation_config(g)->soa_serial;
	err = dns_name_parse(generation_config(g)->zone, &p->zone, e);
	if (err)
		error_prefix(e, err, "the zone in the maps");
	else
		err = table_copy_each(generation_memory(g), on_copy, c);
	generation_free(g);
	if (err == -EBADMSG && !e->text[0]) {
		fprintf(stderr, "nodens records: entries that cannot be read were left out\n");
		err = 0;
	}
	return err && !e->text[0] ? error_set(e, err, "the maps cannot be read: %s", strerror(-err)) : err;
}

/* ---- from a source ---- */

struct rendering {
	struct store *store;
	struct collection *collection;
	struct render_params params;
	int err;	      /* of a callback that returns nothing */
	struct loop *loop;    /* NULL: a file, read at once */
	struct error trouble; /* why the API server cannot be read; "" : it can */
};

static void on_replace(void *ctx)
{
	store_replace_begin(((struct rendering *)ctx)->store);
}

static void on_put(void *ctx, struct kube_object *object)
{
	struct rendering *r = ctx;

	if (store_put(r->store, object) == -ENOMEM)
		r->err = -ENOMEM;
}

static void on_replaced(void *ctx, size_t nameless, const char *why)
{
	struct rendering *r = ctx;

	if (nameless)
		fprintf(stderr,
			"nodens records: %zu object%s cannot be named, so that the agent would pass everything on: "
			"%s\n",
			nameless, nameless == 1 ? "" : "s", why);
	if (store_replace_end(r->store) == -ENOMEM)
		r->err = -ENOMEM;
	if (r->loop)
		loop_stop(r->loop, 0);
}

static void on_delete(void *ctx, enum kube_kind kind, const char *namespace, const char *name)
{
	(void)ctx, (void)kind, (void)namespace, (void)name;
}

static void on_batch(void *ctx)
{
	(void)ctx;
}

static void on_error(void *ctx, const struct error *e)
{
	struct rendering *r = ctx;

	if (e)
		r->trouble = *e;
	else
		r->trouble.text[0] = '\0';
}

static void on_doubt(void *ctx, const char *reason)
{
	(void)ctx, (void)reason;
}

static void on_api_status(void *ctx, const struct nodens_api_status *status)
{
	(void)ctx, (void)status;
}

static const struct source_callbacks callbacks = {.on_replace = on_replace,
						  .on_put = on_put,
						  .on_delete = on_delete,
						  .on_replaced = on_replaced,
						  .on_batch = on_batch,
						  .on_error = on_error,
						  .on_doubt = on_doubt,
						  .on_api_status = on_api_status};

static int render_set(void *ctx, const struct record_set *set)
{
	struct rendering *r = ctx;
	size_t cap = (render_blob_bound(set) + 7) / 8 * 8, len;
	struct nodens_name *blob = aligned_alloc(8, cap);
	int err = blob ? render_blob(set, &r->params, blob, cap, &len) : -ENOMEM;

	if (err) {
		free(blob);
		return err;
	}
	return collect(r->collection, blob);
}

static int ignore_removal(void *ctx, const struct dns_name *owner)
{
	(void)ctx, (void)owner;
	return 0;
}

static void warn_broken(void *ctx, const struct kube_object *o)
{
	(void)ctx;
	fprintf(stderr, "nodens records: %s %s/%s is not understood, its names are passed on: %s\n",
		o->kind == KUBE_SERVICE ? "Service" : "EndpointSlice", o->namespace, o->name, o->broken);
}

/* ---- from an API server ---- */

static void on_time_out(void *ctx)
{
	struct rendering *r = ctx;

	loop_stop(r->loop, -ETIMEDOUT);
}

/* Until the first state is complete. */
static int follow(struct rendering *r, const struct source_kube_params *params, struct error *e)
{
	struct source *source = source_kube_new(r->loop, params, &callbacks, r, e);
	int err = -EIO;

	if (source && loop_add_timer(r->loop, SYNC_WITHIN_MS, 0, on_time_out, r))
		err = loop_run(r->loop);
	source_free(source);
	if (err == -ETIMEDOUT)
		return error_set(e, err, "%s: not read within %d s%s%s", params->config->server, SYNC_WITHIN_MS / 1000,
				 r->trouble.text[0] ? ": " : "", r->trouble.text);
	return err;
}

static int read_api(const struct source_spec *spec, struct rendering *r, enum answer_level level, struct error *e)
{
	struct kube_config config = {0};
	struct source_kube_params params = {.config = &config,
					    .is_headless_only = level == ANSWER_HEADLESS,
					    .dns_namespace = "kube-system",
					    .dns_service = "kube-dns",
					    .api_stale_after_ms = 10ULL * SYNC_WITHIN_MS};
	int err = source_spec_load(spec, &config, e);

	if (err)
		return err;
	if (config.is_insecure)
		fprintf(stderr, "nodens records: THE CERTIFICATE OF %s IS NOT VERIFIED (insecure-skip-tls-verify)\n",
			config.server);
	if (kube_config_is_clear(&config))
		fprintf(stderr, "nodens records: %s IS ASKED IN THE CLEAR (http://)\n", config.server);
	r->loop = loop_new();
	err = r->loop ? follow(r, &params, e) : -ENOMEM;
	loop_free(r->loop);
	kube_config_done(&config);
	return err;
}

/* ---- from either ---- */

static int render_source(struct rendering *r, const struct source_spec *spec, enum answer_level level, struct error *e)
{
	struct store_sink sink = {.put = render_set, .remove = ignore_removal, .ctx = r};
	int err = spec->path ? source_file_read(spec->path, &callbacks, r, e) : read_api(spec, r, level, e);

	if (!err)
		err = r->err;
	if (err)
		return err;
	store_each_broken(r->store, warn_broken, NULL);
	return store_emit_all(r->store, &sink);
}

static int read_source(const struct records_options *o, struct collection *c, struct zonefile_params *p,
		       struct error *e)
{
	struct record_params params = {.zone = p->zone, .level = o->answer == 0 ? ANSWER_HEADLESS : ANSWER_SERVICES};
	struct rendering r = {.collection = c, .params = {.ttl_s = (uint32_t)o->ttl_s}};
	struct source_spec spec;
	int err = source_spec_parse(o->source, o->context, &spec, e);

	if (err)
		return err;
	p->ttl_s = (uint32_t)o->ttl_s;
	p->soa_serial = (uint32_t)time(NULL);
	r.store = store_new(&params);
	err = r.store ? render_source(&r, &spec, params.level, e) : -ENOMEM;
	store_free(r.store);
	return err;
}

/* ---- the command ---- */

/* What the command line says; only is for --zone-of. A usage error names the flag. */
static int take_flags(const struct records_options *o, struct zonefile_params *p, struct dns_name *only,
		      struct error *e)
{
	struct source_spec spec;
	uint8_t addr[16];
	int err = 0;

	if (o->source)
		err = source_spec_parse(o->source, o->context, &spec, e);
	else if (o->context)
		err = error_set(e, -EINVAL, "--context: only with --source kube:KUBECONFIG");
	if (err)
		return err;
	p->format = o->output == OUTPUT_JSON ? ZONEFILE_JSON : ZONEFILE_TEXT;
	err = dns_name_parse(o->zone, &p->zone, e);
	if (err)
		return error_prefix(e, err, "--zone \"%s\"", o->zone);
	if (!o->zone_of)
		return 0;
	p->only_zone_of = only;
	/* An address stands for its reverse name, as with dig -x. */
	if (inet_pton(AF_INET, o->zone_of, addr) == 1 || inet_pton(AF_INET6, o->zone_of, addr) == 1) {
		dns_name_reverse(strchr(o->zone_of, ':') ? AF_INET6 : AF_INET, addr, only);
		return 0;
	}
	err = dns_name_parse(o->zone_of, only, e);
	return err ? error_prefix(e, err, "--zone-of \"%s\"", o->zone_of) : 0;
}

static int print(const struct records_options *o, struct zonefile_params *p, struct error *e)
{
	struct collection c = {0};
	int err = o->source ? read_source(o, &c, p, e) : read_maps(o, &c, p, e);

	if (!err)
		err = zonefile_print(stdout, c.entries, c.count, p);
	if (!err && fflush(stdout))
		err = -errno;
	if (err && !e->text[0] && ferror(stdout))
		err = error_set(e, err, "writing to the standard output: %s", strerror(-err));
	free_collection(&c);
	return err;
}

static int run(const struct command *command, const struct option_globals *globals, int argc, char **argv)
{
	struct records_options o = {0};
	struct option_arguments arguments;
	struct zonefile_params p = {0};
	struct dns_name only;
	struct error e = {0};
	int code, err;

	if (!options_begin(command, globals, argc, argv, &o, &arguments, &code))
		return code;
	err = take_flags(&o, &p, &only, &e);
	code = err ? EXIT_USAGE : EXIT_FAILED;
	if (!err)
		err = print(&o, &p, &e);
	if (err)
		fprintf(stderr, "nodens records: %s\n%s", e.text[0] ? e.text : strerror(-err),
			code == EXIT_USAGE ? "Try: nodens records --help\n" : "");
	options_done(command, &o, &arguments);
	return err ? code : EXIT_OK;
}

const struct command command_records = {
	.name = "records",
	.arguments = "",
	.summary = "the record set as zone files, loaded or rendered from a source",
	.options = records_options,
	.option_count = sizeof(records_options) / sizeof(records_options[0]),
	.run = run,
};
