/* SPDX-License-Identifier: Apache-2.0 */
/* Flags: command line, environment, defaults, and what is refused, with the words of the refusal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"

struct values {
	struct option_globals globals;
	const char *name;
	struct option_list servers;
	uint64_t ttl, wait_ms, room;
	int form;
	bool is_forced;
};

#define AT(member) .offset = offsetof(struct values, member)

static const struct option_spec specs[] = {
	{.name = "name", .letter = 'n', .kind = OPTION_TEXT, AT(name), .value_name = "NAME", .help = "a name"},
	{.name = "server", .kind = OPTION_LIST, AT(servers), .value_name = "ADDR", .help = "a server"},
	{.name = "ttl",
	 .kind = OPTION_NUMBER,
	 AT(ttl),
	 .value_name = "S",
	 .fallback = "5",
	 .max = 3600,
	 .help = "a number"},
	{.name = "stale-after",
	 .kind = OPTION_DURATION,
	 AT(wait_ms),
	 .value_name = "D",
	 .fallback = "15s",
	 .min = 1000,
	 .help = "a time"},
	{.name = "room", .kind = OPTION_SIZE, AT(room), .value_name = "SIZE", .fallback = "1Mi", .help = "a size"},
	{.name = "output",
	 .letter = 'o',
	 .kind = OPTION_CHOICE,
	 AT(form),
	 .choices = "text|json",
	 .fallback = "text",
	 .help = "a form"},
	{.name = "force", .kind = OPTION_FLAG, AT(is_forced), .help = "a flag"},
};

static const struct command command = {
	.name = "try",
	.arguments = "WHAT",
	.summary = "tries",
	.options = specs,
	.option_count = sizeof(specs) / sizeof(specs[0]),
	.argument_max = 2,
};

struct parsed {
	struct values v;
	struct option_arguments arguments;
	struct error e;
	int err;
};

/* words: separated by one blank each; cut in place. */
static struct parsed *parse(const char *words)
{
	static struct parsed p;
	static char copy[256];
	char *argv[16] = {"try"}, *save = NULL;
	int argc = 1;

	p = (struct parsed){0};
	snprintf(copy, sizeof(copy), "%s", words);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	p.err = options_parse(&command, argc, argv, &p.v, &p.arguments, &p.e);
	return &p;
}

static void done(struct parsed *p)
{
	options_done(&command, &p->v, &p->arguments);
}

static void clear_environment(void)
{
	static const char *const names[] = {"NODENS_NAME",	  "NODENS_SERVER", "NODENS_TTL",
					    "NODENS_STALE_AFTER", "NODENS_ROOM",   "NODENS_OUTPUT",
					    "NODENS_FORCE",	  "NODENS_BPFFS",  "NODENS_VERBOSE"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

static int setup(void **state)
{
	(void)state;
	clear_environment();
	return 0;
}

static void defaults_hold_where_nothing_is_given(void **state)
{
	struct parsed *p = parse("");

	(void)state;
	assert_int_equal(p->err, 0);
	assert_null(p->v.name);
	assert_int_equal(p->v.servers.count, 0);
	assert_int_equal(p->v.ttl, 5);
	assert_int_equal(p->v.wait_ms, 15000);
	assert_int_equal(p->v.room, 1 << 20);
	assert_int_equal(p->v.form, 0);
	assert_false(p->v.is_forced);
	assert_string_equal(p->v.globals.bpffs, "/sys/fs/bpf/nodens");
	done(p);
}

static void flags_are_given_in_every_usual_form(void **state)
{
	struct parsed *p =
		parse("--name=a=b x --ttl 0 -o json --force --server 1.2.3.4 --server ::1 --bpffs=/x -v -- -y");

	(void)state;
	assert_int_equal(p->err, 0);
	assert_string_equal(p->v.name, "a=b");
	assert_int_equal(p->v.ttl, 0);
	assert_int_equal(p->v.form, 1);
	assert_true(p->v.is_forced);
	assert_int_equal(p->v.servers.count, 2);
	assert_string_equal(p->v.servers.items[1], "::1");
	assert_string_equal(p->v.globals.bpffs, "/x");
	assert_true(p->v.globals.is_verbose);
	assert_int_equal(p->arguments.count, 2);
	assert_string_equal(p->arguments.items[1], "-y");
	done(p);
	p = parse("-ojson -nq");
	assert_int_equal(p->err, 0);
	assert_int_equal(p->v.form, 1);
	assert_string_equal(p->v.name, "q");
	done(p);
}

static void the_environment_counts_where_the_command_line_is_silent(void **state)
{
	struct parsed *p;

	(void)state;
	setenv("NODENS_STALE_AFTER", "500ms", 1);
	p = parse("");
	assert_int_equal(p->err, -EINVAL);
	assert_non_null(strstr(p->e.text, "NODENS_STALE_AFTER"));
	done(p);
	setenv("NODENS_STALE_AFTER", "2m", 1);
	setenv("NODENS_SERVER", " 10.0.0.1  10.0.0.2:53 ", 1);
	setenv("NODENS_FORCE", "1", 1);
	setenv("NODENS_TTL", "30", 1);
	setenv("NODENS_ROOM", "", 1);
	p = parse("--ttl 7");
	assert_int_equal(p->err, 0);
	assert_int_equal(p->v.wait_ms, 120000);
	assert_int_equal(p->v.servers.count, 2);
	assert_string_equal(p->v.servers.items[1], "10.0.0.2:53");
	assert_true(p->v.is_forced);
	assert_int_equal(p->v.ttl, 7);
	assert_int_equal(p->v.room, 1 << 20);
	done(p);
	p = parse("--server 9.9.9.9");
	assert_int_equal(p->v.servers.count, 1);
	done(p);
	setenv("NODENS_FORCE", "perhaps", 1);
	p = parse("");
	assert_int_equal(p->err, -EINVAL);
	done(p);
	clear_environment();
}

static void what_is_wrong_is_refused_with_the_name_of_the_flag(void **state)
{
	static const struct {
		const char *words, *text;
	} rows[] = {
		{"--nam x", "--nam: no such flag"},
		{"--names x", "--names: no such flag"},
		{"-z", "-z: no such flag"},
		{"--name", "--name needs a value (NAME)"},
		{"-o", "-o needs a value (text|json)"},
		{"--force=1", "--force takes no value"},
		{"--ttl 3601", "--ttl: \"3601\" is not within 0 and 3600"},
		{"--ttl -1", "--ttl: \"-1\" is not a number"},
		{"--ttl 5s", "--ttl: \"5s\" is not a number"},
		{"--ttl 99999999999999999999", "--ttl: \"99999999999999999999\" is not a number"},
		{"--stale-after 15", "--stale-after: \"15\" is not a duration such as 500ms, 15s or 5m"},
		{"--stale-after 999ms", "--stale-after: \"999ms\" is less than 1000 ms"},
		{"--room 5MB", "--room: \"5MB\" is not a size such as 64Mi"},
		{"--room 99999999999Gi", "--room: \"99999999999Gi\" is not a size such as 64Mi"},
		{"--output js", "--output: \"js\" is none of text|json"},
		{"-o tex", "-o: \"tex\" is none of text|json"},
		{"a b c", "unexpected argument \"c\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct parsed *p = parse(rows[i].words);

		assert_int_equal(p->err, -EINVAL);
		assert_string_equal(p->e.text, rows[i].text);
		done(p);
	}
}

static void durations_and_sizes(void **state)
{
	uint64_t v = 77;

	(void)state;
	assert_true(options_parse_duration("500ms", &v) && v == 500);
	assert_true(options_parse_duration("15s", &v) && v == 15000);
	assert_true(options_parse_duration("2h", &v) && v == 7200000);
	assert_true(options_parse_size("512", &v) && v == 512);
	assert_true(options_parse_size("3Ki", &v) && v == 3072);
	assert_true(options_parse_size("2Gi", &v) && v == 2ULL << 30);
	v = 77;
	assert_false(options_parse_duration("", &v));
	assert_false(options_parse_duration("s", &v));
	assert_false(options_parse_duration("5 s", &v));
	assert_false(options_parse_duration("99999999999999999h", &v));
	assert_false(options_parse_size("Mi", &v));
	assert_false(options_parse_number("+5", &v));
	assert_false(options_parse_number(" 5", &v));
}

static void help_names_every_flag_and_ends_parsing(void **state)
{
	struct parsed *p = parse("--help --nonsense");
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_int_equal(p->err, 0);
	assert_true(p->v.globals.wants_help);
	done(p);
	options_print_help(out, &command);
	fclose(out);
	for (size_t i = 0; i < command.option_count; i++) {
		char flag[64];

		snprintf(flag, sizeof(flag), "--%s", specs[i].name);
		assert_non_null(strstr(text, flag));
	}
	assert_non_null(strstr(text, "--bpffs DIR"));
	assert_non_null(strstr(text, "[15s]"));
	free(text);
}

static void global_flags_may_stand_before_the_command(void **state)
{
	char *argv[] = {"--bpffs", "/y", "-v", "status", "--ready"};
	struct option_globals g = {0};
	struct error e = {0};
	struct values v = {0};
	struct option_arguments arguments;
	char *rest[] = {"try"};

	(void)state;
	assert_int_equal(options_parse_globals(5, argv, &g, &e), 3);
	assert_string_equal(g.bpffs, "/y");
	assert_true(g.is_verbose);
	/* They stay, although the environment and the default say otherwise. */
	setenv("NODENS_BPFFS", "/z", 1);
	v.globals = g;
	assert_int_equal(options_parse(&command, 1, rest, &v, &arguments, &e), 0);
	assert_string_equal(v.globals.bpffs, "/y");
	options_done(&command, &v, &arguments);
	clear_environment();
	argv[0] = "--ready";
	assert_int_equal(options_parse_globals(5, argv, &g, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(defaults_hold_where_nothing_is_given, setup),
		cmocka_unit_test_setup(flags_are_given_in_every_usual_form, setup),
		cmocka_unit_test_setup(the_environment_counts_where_the_command_line_is_silent, setup),
		cmocka_unit_test_setup(what_is_wrong_is_refused_with_the_name_of_the_flag, setup),
		cmocka_unit_test(durations_and_sizes),
		cmocka_unit_test_setup(help_names_every_flag_and_ends_parsing, setup),
		cmocka_unit_test_setup(global_flags_may_stand_before_the_command, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
