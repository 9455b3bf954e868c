/* SPDX-License-Identifier: Apache-2.0 */
/* nodens: finds the command and runs it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "version.h"

static const struct command *const commands[] = {
	&command_run, &command_status, &command_lookup, &command_records, &command_detach, &command_version,
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
	fprintf(out, "nodens answers the DNS questions of a Kubernetes node's pods in the kernel.\n\n"
		     "Usage: nodens [FLAG ...] COMMAND [ARGUMENT ...]\n\nCommands:\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\nFlags of every command:\n");
	options_print_globals(out);
	fprintf(out, "      --version                   print the version and end\n"
		     "\nMore on a command: nodens COMMAND --help, and nodens(8).\n");
}

static int fail_usage(const char *text)
{
	fprintf(stderr, "nodens: %s\nTry: nodens --help\n", text);
	return EXIT_USAGE;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

/* What was printed may still be in memory: a full disk shows here. */
static int finish(const struct command *command, int code)
{
	errno = 0;
	if ((!fflush(stdout) && !ferror(stdout)) || code != EXIT_OK)
		return code;
	fprintf(stderr, "nodens %s: writing to the standard output: %s\n", command->name,
		errno ? strerror(errno) : "it is not whole");
	return EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct option_globals globals = {0};
	const struct command *command;
	struct error e = {0};
	char text[128];
	int taken;

	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf("nodens %s\n", NODENS_VERSION);
		return EXIT_OK;
	}
	taken = options_parse_globals(argc - 1, argv + 1, &globals, &e);
	if (taken < 0)
		return fail_usage(e.text);
	argc -= taken + 1;
	argv += taken + 1;
	if (globals.wants_help || (argc && strcmp(argv[0], "help") == 0)) {
		print_usage(stdout);
		return EXIT_OK;
	}
	if (argc == 0)
		return fail_usage("which command?");
	command = find_command(argv[0]);
	if (!command) {
		snprintf(text, sizeof(text), "%.60s: no such command", argv[0]);
		return fail_usage(text);
	}
	return finish(command, command->run(command, &globals, argc, argv));
}
