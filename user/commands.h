/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the program: each is one table in its own cmd_*.c. */
#pragma once

#include "options.h"

extern const struct command command_run;
extern const struct command command_status;
extern const struct command command_lookup;
extern const struct command command_records;
extern const struct command command_detach;
extern const struct command command_version;

/* -o, --output of the commands that print data. */
enum output_format { OUTPUT_TEXT, OUTPUT_JSON };
#define OPTION_OUTPUT(type, member)                                                                       \
	{                                                                                                 \
		.name = "output", .letter = 'o', .kind = OPTION_CHOICE, .offset = offsetof(type, member), \
		.choices = "text|json", .fallback = "text", .help = "form of what is printed"             \
	}
