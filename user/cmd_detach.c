/* SPDX-License-Identifier: Apache-2.0 */
/* nodens detach: removes every program, link and pin; the node is as before. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/jsonout.h"
#include "commands.h"
#include "kernel/attach.h"
#include "kernel/generation.h"

struct detach_options {
	struct option_globals globals;
	bool is_forced;
	int output;
};

static const struct option_spec detach_options[] = {
	{.name = "force",
	 .kind = OPTION_FLAG,
	 .offset = offsetof(struct detach_options, is_forced),
	 .help = "also while an agent runs (it goes on without its datapath)"},
	OPTION_OUTPUT(struct detach_options, output),
};

struct report {
	struct jsonout json;
	int output;
	size_t count;
};

static void on_removed(void *ctx, const char *what)
{
	struct report *r = ctx;

	r->count++;
	if (r->output == OUTPUT_JSON)
		jsonout_text(&r->json, NULL, what);
	else
		printf("removed %s\n", what);
}

static int refuse(const char *dir)
{
	struct generation *g = NULL;
	struct error e = {0};

	fprintf(stderr, "nodens detach: an agent runs on %s", dir);
	if (generation_open(dir, &g, &e) == 0)
		fprintf(stderr, " (pid %u on %s)", generation_status(g)->pid, generation_status(g)->host);
	fprintf(stderr, ": end it first, or pass --force\n");
	generation_free(g);
	return EXIT_FAILED;
}

static int remove_all(const char *dir, struct report *r, struct error *e)
{
	char links[4096], what[4200];
	struct generation *g = NULL;
	struct error ignored = {0};
	int err, err_generations;

	snprintf(links, sizeof(links), "%s/links", dir);
	err = attach_remove_all(links, ATTACH_PATIENT, on_removed, r, e);
	/* Opened only to be told: one of another layout is removed just as well. */
	if (generation_open(dir, &g, &ignored) == 0)
		snprintf(what, sizeof(what), "generation %llu and all its maps",
			 (unsigned long long)generation_number(g));
	else
		snprintf(what, sizeof(what), "%s", dir);
	generation_free(g);
	err_generations = generation_remove_others(dir, NULL, err ? &ignored : e);
	if (!err)
		err = err_generations;
	(void)rmdir(links);
	if (rmdir(dir) == 0 || !err_generations)
		on_removed(r, what);
	return err;
}

static int detach(const struct detach_options *o, struct report *r)
{
	const char *dir = o->globals.bpffs;
	struct error e = {0};
	int err, lock = generation_lock_dir(dir, &e);

	if (lock == -EWOULDBLOCK && !o->is_forced)
		return refuse(dir);
	if (lock < 0 && lock != -EWOULDBLOCK && lock != -ENOENT) {
		fprintf(stderr, "nodens detach: %s\n", e.text);
		return EXIT_FAILED;
	}
	if (r->output == OUTPUT_JSON) {
		jsonout_open_object(&r->json, NULL);
		jsonout_open_array(&r->json, "removed");
	}
	if (lock == -ENOENT && generation_check_place(dir, &e))
		fprintf(stderr, "nodens detach: no pins can be found: %s\n", e.text);
	e = (struct error){0};
	/* Without the folder there may still be clsact filters: those that lost their pins. */
	err = lock == -ENOENT ? attach_remove_all(dir, ATTACH_PATIENT, on_removed, r, &e) : remove_all(dir, r, &e);
	if (r->output == OUTPUT_JSON) {
		jsonout_close(&r->json, ']');
		jsonout_close(&r->json, '}');
	} else if (!err && r->count == 0) {
		printf("nothing to remove\n");
	}
	if (lock >= 0)
		close(lock);
	if (err)
		fprintf(stderr, "nodens detach: %s\n", e.text[0] ? e.text : strerror(-err));
	return err ? EXIT_FAILED : EXIT_OK;
}

static int run(const struct command *command, const struct option_globals *globals, int argc, char **argv)
{
	struct detach_options o = {0};
	struct option_arguments arguments;
	struct report r = {0};
	int code;

	if (!options_begin(command, globals, argc, argv, &o, &arguments, &code))
		return code;
	r.output = o.output;
	jsonout_init(&r.json, stdout);
	code = detach(&o, &r);
	options_done(command, &o, &arguments);
	return code;
}

const struct command command_detach = {
	.name = "detach",
	.arguments = "",
	.summary = "removes every program, link and pin: the node is as before",
	.options = detach_options,
	.option_count = sizeof(detach_options) / sizeof(detach_options[0]),
	.run = run,
};
