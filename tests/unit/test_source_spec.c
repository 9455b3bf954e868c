/* SPDX-License-Identifier: Apache-2.0 */
/* --source and --context, and what the agent refuses on its command line. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "commands.h"
#include "source/spec.h"

static const char *text_or_none(const char *text)
{
	return text ? text : "-";
}

static void a_source_is_kube_a_kubeconfig_or_a_path(void **state)
{
	static const struct {
		const char *source, *context, *path, *kubeconfig, *refusal;
	} rows[] = {
		{"kube", NULL, "-", "-", NULL},
		{"kube:/etc/config", NULL, "-", "/etc/config", NULL},
		{"kube:config", "admin", "-", "config", NULL},
		{"kube:file:x", NULL, "-", "file:x", NULL},
		{"file:/run/cluster.json", NULL, "/run/cluster.json", "-", NULL},
		{"kube:", NULL, NULL, NULL, "--source: \"kube:\" is none of kube, kube:KUBECONFIG, file:PATH"},
		{"file:", NULL, NULL, NULL, "--source: \"file:\" is none of kube, kube:KUBECONFIG, file:PATH"},
		{"", NULL, NULL, NULL, "--source: \"\" is none of kube, kube:KUBECONFIG, file:PATH"},
		{"kubeconfig", NULL, NULL, NULL,
		 "--source: \"kubeconfig\" is none of kube, kube:KUBECONFIG, file:PATH"},
		{"kube", "admin", NULL, NULL,
		 "--context: only a kubeconfig has contexts (--source kube:KUBECONFIG), not kube"},
		{"file:x", "admin", NULL, NULL,
		 "--context: only a kubeconfig has contexts (--source kube:KUBECONFIG), not file:x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct source_spec spec = {0};
		struct error e = {0};
		int err = source_spec_parse(rows[i].source, rows[i].context, &spec, &e);

		if (rows[i].refusal) {
			assert_int_equal(err, -EINVAL);
			assert_string_equal(e.text, rows[i].refusal);
			continue;
		}
		assert_int_equal(err, 0);
		assert_string_equal(text_or_none(spec.path), rows[i].path);
		assert_string_equal(text_or_none(spec.kubeconfig), rows[i].kubeconfig);
		assert_string_equal(text_or_none(spec.context), text_or_none(rows[i].context));
	}
}

/* Runs a command with these words and gives what it wrote to stderr. */
static int run_command(const struct command *command, const char *words, char ret_text[2048])
{
	struct option_globals globals = {0};
	char copy[256], *argv[16] = {(char *)command->name}, *save = NULL;
	int argc = 1, code, saved = dup(STDERR_FILENO);
	FILE *out = tmpfile();
	size_t len;

	snprintf(copy, sizeof(copy), "%s", words);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	assert_true(out && saved >= 0);
	fflush(stderr);
	dup2(fileno(out), STDERR_FILENO);
	code = command->run(command, &globals, argc, argv);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(out);
	len = fread(ret_text, 1, 2047, out);
	ret_text[len] = '\0';
	fclose(out);
	return code;
}

static void what_cannot_be_a_source_ends_before_anything_is_touched(void **state)
{
	static const struct {
		const struct command *command;
		const char *words;
		int code;
		const char *text;
	} rows[] = {
		{&command_run, "--source nowhere", EXIT_USAGE, "none of kube, kube:KUBECONFIG, file:PATH"},
		{&command_run, "--context admin", EXIT_USAGE, "only a kubeconfig has contexts"},
		{&command_run, "--api-stale-after 999ms", EXIT_USAGE,
		 "--api-stale-after: \"999ms\" is not within 1000 and 86400000 ms"},
		{&command_run, "--api-stale-after 25h", EXIT_USAGE, "--api-stale-after: \"25h\" is not within"},
		/* The default: a pod's service account, which is not here. */
		{&command_run, "", EXIT_FAILED, "KUBERNETES_SERVICE_HOST is not set"},
		{&command_run, "--source kube:/nonexistent/config", EXIT_FAILED, "/nonexistent/config"},
		{&command_records, "--source nowhere", EXIT_USAGE, "none of kube, kube:KUBECONFIG, file:PATH"},
		{&command_records, "--context admin", EXIT_USAGE, "only with --source kube:KUBECONFIG"},
		{&command_records, "--source kube", EXIT_FAILED, "KUBERNETES_SERVICE_HOST is not set"},
		{&command_records, "--source kube:/nonexistent/config", EXIT_FAILED, "/nonexistent/config"},
	};
	char text[2048];

	(void)state;
	unsetenv("KUBERNETES_SERVICE_HOST");
	unsetenv("NODENS_SOURCE");
	unsetenv("NODENS_CONTEXT");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int code = run_command(rows[i].command, rows[i].words, text);

		if (code != rows[i].code || !strstr(text, rows[i].text))
			fail_msg("nodens %s %s: exit %d, not %d: %s", rows[i].command->name, rows[i].words, code,
				 rows[i].code, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_is_kube_a_kubeconfig_or_a_path),
		cmocka_unit_test(what_cannot_be_a_source_ends_before_anything_is_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
