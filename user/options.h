/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands and their flags. One table per command gives parsing, --help and the environment (NODENS_<FLAG>); the values
 * land in a structure of the command's own, which begins with a struct option_globals. Pure but for getenv.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum option_kind {
	OPTION_FLAG,	 /* bool; takes no value */
	OPTION_TEXT,	 /* const char *; NULL where neither given nor defaulted */
	OPTION_LIST,	 /* struct option_list; repeatable; words separated by blanks in the environment */
	OPTION_NUMBER,	 /* uint64_t within min … max */
	OPTION_DURATION, /* uint64_t, milliseconds within min … max: 500ms, 15s, 5m, 2h */
	OPTION_SIZE,	 /* uint64_t, octets within min … max: a number with Ki, Mi, Gi or nothing behind it */
	OPTION_CHOICE,	 /* int: position in `choices` */
};

struct option_list {
	const char **items; /* heap; the texts are argv's or the environment's, or in `words` */
	size_t count;
	char *words; /* heap or NULL */
};

struct option_spec {
	const char *name; /* without the dashes */
	char letter;	  /* 0: none */
	enum option_kind kind;
	size_t offset;		/* of the value in the command's structure */
	const char *value_name; /* "DURATION", for --help */
	const char *fallback;	/* as it would be typed; NULL: none */
	const char *choices;	/* "keep|detach" */
	uint64_t min, max;
	const char *help; /* may have several lines */
};

struct option_globals {
	const char *bpffs;
	bool is_verbose;
	bool wants_help; /* --help was met: nothing behind it was looked at */
};

struct command {
	const char *name;
	const char *arguments; /* "NAME [TYPE]", "" : none */
	const char *summary;   /* one line */
	const char *details;   /* printed behind the flags; NULL: none */
	const struct option_spec *options;
	size_t option_count;
	size_t argument_max;
	int (*run)(const struct command *command, const struct option_globals *globals, int argc, char **argv);
};

/* Exit codes of every command. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* What is not a flag. A word that begins with '-' is an argument only behind "--". */
struct option_arguments {
	const char **items; /* heap */
	size_t count;
};

/*
 * Fills *values (zeroed by the caller, its first member a struct option_globals, which may hold what stood before the
 * command): command line, else environment, else fallback. argv[0] is the command's name. -EINVAL with e naming the
 * flag; -ENOMEM. options_done afterwards in any case.
 */
int options_parse(const struct command *command, int argc, char **argv, void *values,
		  struct option_arguments *ret_arguments, struct error *e);
void options_done(const struct command *command, void *values, struct option_arguments *arguments);

/* The usual beginning of a command: parses, prints --help or the usage error. *ret_exit is set where the command must
 * end at once (false is returned). */
bool options_begin(const struct command *command, const struct option_globals *globals, int argc, char **argv,
		   void *values, struct option_arguments *ret_arguments, int *ret_exit);

/* Global flags in front of the command: returns how many words they take, or -EINVAL. */
int options_parse_globals(int argc, char **argv, struct option_globals *globals, struct error *e);
void options_print_help(FILE *out, const struct command *command);
void options_print_globals(FILE *out);

/* "15s" to milliseconds, "64Mi" to octets, "300" to 300; false: not of this form, or it overflows. */
bool options_parse_duration(const char *text, uint64_t *ret_ms);
bool options_parse_size(const char *text, uint64_t *ret_octets);
bool options_parse_number(const char *text, uint64_t *ret_number);
