/* SPDX-License-Identifier: Apache-2.0 */
/* nodens version: what this binary is and what it runs on. */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/jsonout.h"
#include "commands.h"
#include "version.h"

struct version_options {
	struct option_globals globals;
	int output;
};

static const struct option_spec version_options[] = {OPTION_OUTPUT(struct version_options, output)};

static void print_json(const char *libbpf, const char *kernel)
{
	struct jsonout j;

	jsonout_init(&j, stdout);
	jsonout_open_object(&j, NULL);
	jsonout_text(&j, "version", NODENS_VERSION);
	jsonout_text(&j, "commit", NODENS_COMMIT);
	jsonout_text(&j, "libbpf", libbpf);
	jsonout_text(&j, "kernel", kernel);
	jsonout_close(&j, '}');
}

static int run(const struct command *command, const struct option_globals *globals, int argc, char **argv)
{
	struct version_options o = {0};
	struct option_arguments arguments;
	struct utsname kernel = {0};
	const char *libbpf = libbpf_version_string();
	int code;

	if (!options_begin(command, globals, argc, argv, &o, &arguments, &code))
		return code;
	(void)uname(&kernel);
	libbpf += *libbpf == 'v';
	if (o.output == OUTPUT_JSON)
		print_json(libbpf, kernel.release);
	else
		printf("nodens  %s\ncommit  %s\nlibbpf  %s\nkernel  %s\n", NODENS_VERSION, NODENS_COMMIT, libbpf,
		       kernel.release);
	options_done(command, &o, &arguments);
	return EXIT_OK;
}

const struct command command_version = {
	.name = "version",
	.arguments = "",
	.summary = "version, commit, libbpf, kernel",
	.options = version_options,
	.option_count = 1,
	.run = run,
};
