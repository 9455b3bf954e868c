/* SPDX-License-Identifier: Apache-2.0 */
/* Flags from argv, the environment and defaults, all through one setter, so that each source obeys the same rules. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENV_PREFIX "NODENS_"

static const struct option_spec global_options[] = {
	{.name = "bpffs",
	 .kind = OPTION_TEXT,
	 .offset = offsetof(struct option_globals, bpffs),
	 .value_name = "DIR",
	 .fallback = "/sys/fs/bpf/nodens",
	 .help = "folder of the pinned programs and maps"},
	{.name = "verbose",
	 .letter = 'v',
	 .kind = OPTION_FLAG,
	 .offset = offsetof(struct option_globals, is_verbose),
	 .help = "log more"},
	{.name = "help",
	 .letter = 'h',
	 .kind = OPTION_FLAG,
	 .offset = offsetof(struct option_globals, wants_help),
	 .help = "print this and end"},
};
#define GLOBAL_COUNT (sizeof(global_options) / sizeof(global_options[0]))

/* ---- values ---- */

bool options_parse_number(const char *text, uint64_t *ret_number)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

/* A number and one of the units; "" stands for no unit. */
struct unit {
	const char *suffix;
	uint64_t factor;
};

static bool parse_with_unit(const char *text, const struct unit *units, size_t unit_count, uint64_t *ret_value)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	if (digits == 0)
		return false;
	errno = 0;
	number = strtoull(text, NULL, 10);
	if (errno != 0)
		return false;
	for (size_t i = 0; i < unit_count; i++) {
		if (strcmp(text + digits, units[i].suffix) == 0)
			return !__builtin_mul_overflow(number, units[i].factor, ret_value);
	}
	return false;
}

bool options_parse_duration(const char *text, uint64_t *ret_ms)
{
	static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

	return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), ret_ms);
}

bool options_parse_size(const char *text, uint64_t *ret_octets)
{
	static const struct unit units[] = {{"", 1}, {"Ki", 1ULL << 10}, {"Mi", 1ULL << 20}, {"Gi", 1ULL << 30}};

	return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), ret_octets);
}

/* Position of text in "a|b|c", -1: not there. */
static int choice_index(const char *choices, const char *text)
{
	size_t len = strlen(text);
	int index = 0;

	for (const char *c = choices; c; index++) {
		size_t n = strcspn(c, "|");

		if (n == len && strncmp(c, text, n) == 0)
			return index;
		c = c[n] ? c + n + 1 : NULL;
	}
	return -1;
}

static int list_add(struct option_list *list, const char *text)
{
	const char **items = reallocarray(list->items, list->count + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	items[list->count++] = text;
	list->items = items;
	return 0;
}

static bool parse_scalar(enum option_kind kind, const char *text, uint64_t *ret_value)
{
	switch (kind) {
	case OPTION_NUMBER:
		return options_parse_number(text, ret_value);
	case OPTION_DURATION:
		return options_parse_duration(text, ret_value);
	case OPTION_SIZE:
		return options_parse_size(text, ret_value);
	default:
		return false;
	}
}

static const char *scalar_form(enum option_kind kind)
{
	switch (kind) {
	case OPTION_DURATION:
		return "a duration such as 500ms, 15s or 5m";
	case OPTION_SIZE:
		return "a size such as 64Mi";
	default:
		return "a number";
	}
}

/* `from` is how the user knows the flag: "--ttl" or "NODENS_TTL". */
static int set_scalar(const struct option_spec *o, const char *from, const char *text, uint64_t *ret_value,
		      struct error *e)
{
	uint64_t value;

	if (!parse_scalar(o->kind, text, &value))
		return error_set(e, -EINVAL, "%s: \"%s\" is not %s", from, text, scalar_form(o->kind));
	if (value < o->min || (o->max && value > o->max)) {
		const char *unit = o->kind == OPTION_DURATION ? " ms" : "";

		if (!o->max)
			return error_set(e, -EINVAL, "%s: \"%s\" is less than %llu%s", from, text,
					 (unsigned long long)o->min, unit);
		return error_set(e, -EINVAL, "%s: \"%s\" is not within %llu and %llu%s", from, text,
				 (unsigned long long)o->min, (unsigned long long)o->max, unit);
	}
	*ret_value = value;
	return 0;
}

static int set_value(const struct option_spec *o, const char *from, const char *text, void *values, struct error *e)
{
	void *value = (char *)values + o->offset;
	int index;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)value = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)value = text;
		return 0;
	case OPTION_LIST:
		return list_add(value, text);
	case OPTION_CHOICE:
		index = choice_index(o->choices, text);
		if (index < 0)
			return error_set(e, -EINVAL, "%s: \"%s\" is none of %s", from, text, o->choices);
		*(int *)value = index;
		return 0;
	case OPTION_NUMBER:
	case OPTION_DURATION:
	case OPTION_SIZE:
		return set_scalar(o, from, text, value, e);
	}
	return -EINVAL;
}

/* ---- finding flags ---- */

/* Flags of the command, then the global ones. NULL: index is behind the last. */
static const struct option_spec *option_at(const struct command *command, size_t index)
{
	size_t own = command ? command->option_count : 0;

	if (index < own)
		return &command->options[index];
	return index - own < GLOBAL_COUNT ? &global_options[index - own] : NULL;
}

/* Index of the flag that `word` names (with '=' and a value behind it, or not); -1: unknown. */
static int find_option(const struct command *command, const char *word)
{
	bool is_long = word[1] == '-';
	size_t len = is_long ? strcspn(word + 2, "=") : 1;

	for (size_t i = 0; option_at(command, i); i++) {
		const struct option_spec *o = option_at(command, i);

		if (is_long ? strncmp(o->name, word + 2, len) == 0 && o->name[len] == '\0'
			    : o->letter && o->letter == word[1])
			return (int)i;
	}
	return -1;
}

/* One flag at argv[0]; returns how many words it took. */
static int take_option(const struct command *command, int argc, char **argv, void *values, uint64_t *given,
		       struct error *e)
{
	const char *word = argv[0];
	bool is_long = word[1] == '-';
	const char *inline_value = is_long ? strchr(word, '=') : word[2] ? word + 1 : NULL;
	int index = find_option(command, word);
	const struct option_spec *o;
	char from[64];
	int err;

	if (index < 0)
		return error_set(e, -EINVAL, "%.*s: no such flag", (int)(is_long ? strcspn(word, "=") : 2), word);
	o = option_at(command, (size_t)index);
	if (is_long)
		snprintf(from, sizeof(from), "--%s", o->name);
	else
		snprintf(from, sizeof(from), "-%c", o->letter);
	if (o->kind == OPTION_FLAG && inline_value)
		return error_set(e, -EINVAL, "%s takes no value", from);
	if (o->kind != OPTION_FLAG && !inline_value && argc < 2)
		return error_set(e, -EINVAL, "%s needs a value (%s)", from, o->value_name ? o->value_name : o->choices);
	*given |= 1ULL << index;
	if (o->kind == OPTION_FLAG)
		err = set_value(o, from, NULL, values, e);
	else
		err = set_value(o, from, inline_value ? inline_value + 1 : argv[1], values, e);
	return err ? err : o->kind == OPTION_FLAG || inline_value ? 1 : 2;
}

/* ---- environment and defaults ---- */

static void env_name(const struct option_spec *o, char ret_name[64])
{
	size_t n = (size_t)snprintf(ret_name, 64, ENV_PREFIX "%s", o->name);

	for (size_t i = 0; i < n && i < 63; i++)
		ret_name[i] = ret_name[i] == '-' ? '_' : (char)toupper((unsigned char)ret_name[i]);
}

static int set_list_from_words(const char *text, struct option_list *list)
{
	char *save = NULL;

	list->words = strdup(text);
	if (!list->words)
		return -ENOMEM;
	for (char *w = strtok_r(list->words, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save)) {
		if (list_add(list, w))
			return -ENOMEM;
	}
	return 0;
}

static int set_flag_from_text(const char *from, const char *text, bool *ret_value, struct error *e)
{
	int index = choice_index("0|1|false|true|no|yes", text);

	if (index < 0)
		return error_set(e, -EINVAL, "%s: \"%s\" is neither true nor false", from, text);
	*ret_value = index % 2;
	return 0;
}

static int set_from_env(const struct option_spec *o, void *values, bool *ret_found, struct error *e)
{
	char name[64];
	const char *text;

	env_name(o, name);
	text = getenv(name);
	*ret_found = text && *text;
	if (!*ret_found)
		return 0;
	if (o->kind == OPTION_LIST)
		return set_list_from_words(text, (struct option_list *)((char *)values + o->offset));
	if (o->kind == OPTION_FLAG)
		return set_flag_from_text(name, text, (bool *)((char *)values + o->offset), e);
	return set_value(o, name, text, values, e);
}

/* What main took from in front of the command stays. */
static bool is_set_already(const struct command *command, size_t index, const void *values)
{
	const struct option_spec *o = option_at(command, index);
	const void *value = (const char *)values + o->offset;

	if (index < command->option_count)
		return false;
	return o->kind == OPTION_TEXT ? *(const char *const *)value != NULL : *(const bool *)value;
}

static int set_missing(const struct command *command, uint64_t given, void *values, struct error *e)
{
	for (size_t i = 0; option_at(command, i); i++) {
		const struct option_spec *o = option_at(command, i);
		bool is_found = false;
		int err;

		if ((given & 1ULL << i) || is_set_already(command, i, values) || strcmp(o->name, "help") == 0)
			continue;
		err = set_from_env(o, values, &is_found, e);
		if (!err && !is_found && o->fallback)
			err = set_value(o, o->name, o->fallback, values, e);
		if (err)
			return err;
	}
	return 0;
}

/* ---- parsing ---- */

static int add_argument(const struct command *command, const char *text, struct option_arguments *arguments,
			struct error *e)
{
	if (arguments->count == command->argument_max)
		return error_set(e, -EINVAL, "unexpected argument \"%s\"", text);
	arguments->items[arguments->count++] = text;
	return 0;
}

int options_parse(const struct command *command, int argc, char **argv, void *values,
		  struct option_arguments *ret_arguments, struct error *e)
{
	const struct option_globals *globals = values;
	uint64_t given = 0;
	bool is_plain = false;

	*ret_arguments = (struct option_arguments){.items = calloc(command->argument_max + 1, sizeof(char *))};
	if (!ret_arguments->items)
		return -ENOMEM;
	for (int i = 1; i < argc && !globals->wants_help;) {
		int taken = 1;

		if (!is_plain && strcmp(argv[i], "--") == 0)
			is_plain = true;
		else if (!is_plain && argv[i][0] == '-' && argv[i][1])
			taken = take_option(command, argc - i, argv + i, values, &given, e);
		else if (add_argument(command, argv[i], ret_arguments, e))
			taken = -EINVAL;
		if (taken < 0)
			return taken;
		i += taken;
	}
	return globals->wants_help ? 0 : set_missing(command, given, values, e);
}

void options_done(const struct command *command, void *values, struct option_arguments *arguments)
{
	for (size_t i = 0; i < command->option_count; i++) {
		struct option_list *list = (struct option_list *)((char *)values + command->options[i].offset);

		if (command->options[i].kind != OPTION_LIST)
			continue;
		free(list->items);
		free(list->words);
		*list = (struct option_list){0};
	}
	free(arguments->items);
	*arguments = (struct option_arguments){0};
}

int options_parse_globals(int argc, char **argv, struct option_globals *globals, struct error *e)
{
	uint64_t given = 0;
	int i = 0;

	while (i < argc && argv[i][0] == '-' && argv[i][1] && !globals->wants_help) {
		int taken = take_option(NULL, argc - i, argv + i, globals, &given, e);

		if (taken < 0)
			return taken;
		i += taken;
	}
	return i;
}

bool options_begin(const struct command *command, const struct option_globals *globals, int argc, char **argv,
		   void *values, struct option_arguments *ret_arguments, int *ret_exit)
{
	struct option_globals *own = values;
	struct error e = {0};
	int err;

	*own = *globals;
	err = options_parse(command, argc, argv, values, ret_arguments, &e);
	if (!err && !own->wants_help)
		return true;
	if (err)
		fprintf(stderr, "nodens %s: %s\nTry: nodens %s --help\n", command->name,
			e.text[0] ? e.text : strerror(-err), command->name);
	else
		options_print_help(stdout, command);
	*ret_exit = err ? EXIT_USAGE : EXIT_OK;
	options_done(command, values, ret_arguments);
	return false;
}

/* ---- help ---- */

static void print_option(FILE *out, const struct option_spec *o)
{
	const char *value = o->kind == OPTION_FLAG ? "" : o->value_name ? o->value_name : o->choices;
	char left[80];
	int n = snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ',
			 o->letter ? ", " : "  ", o->name, *value ? " " : "", value);

	fprintf(out, "  %-32s", left);
	if (n > 31)
		fprintf(out, "\n  %-32s", "");
	for (const char *h = o->help; *h; h++) {
		fputc(*h, out);
		if (*h == '\n')
			fprintf(out, "  %-32s", "");
	}
	if (o->kind == OPTION_LIST)
		fprintf(out, " (repeatable)");
	if (o->fallback)
		fprintf(out, " [%s]", o->fallback);
	fputc('\n', out);
}

void options_print_globals(FILE *out)
{
	for (size_t i = 0; i < GLOBAL_COUNT; i++)
		print_option(out, &global_options[i]);
}

void options_print_help(FILE *out, const struct command *command)
{
	fprintf(out, "Usage: nodens %s [FLAG ...]%s%s\n\n%s\n\nFlags:\n", command->name, *command->arguments ? " " : "",
		command->arguments, command->summary);
	for (size_t i = 0; i < command->option_count; i++)
		print_option(out, &command->options[i]);
	options_print_globals(out);
	if (command->details)
		fprintf(out, "\n%s", command->details);
	fprintf(out, "\nFlags may also come from the environment as NODENS_<FLAG>, for instance NODENS_BPFFS.\n");
}
