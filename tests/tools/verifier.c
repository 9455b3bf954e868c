/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verifier of this kernel says of each program of the datapath and of the iterator: one line each with the
 * instructions it processed (of 1,000,000 at most), or the end of its log and exit 1. Loads the objects as the agent does,
 * attaches nothing.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodens.skel.h"
#include "records.skel.h"

#define LOG_STATISTICS	4U /* BPF_LOG_STATS */
#define LOG_STEPS	1U /* BPF_LOG_LEVEL1 */
#define STATISTICS_LEN	(64U << 10)
#define STEPS_LEN	((16U << 20) - 1)
#define LINES_SHOWN	60

static int silent(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
	return 0;
}

/* The last LINES_SHOWN lines. */
static const char *tail_of(const char *log)
{
	const char *at = log + strlen(log);

	for (int lines = 0; at > log; at--) {
		if (at[-1] == '\n' && lines++ == LINES_SHOWN)
			break;
	}
	return at;
}

/* The line "processed N insns (limit …", which Linux 7.2 precedes with others that begin alike. */
static const char *statistics_of(const char *log)
{
	const char *at = strstr(log, " insns (limit ");

	while (at && at > log && at[-1] != '\n')
		at--;
	return at ?: log;
}

/* The caller's (bpf_object__destroy_skeleton). */
static struct bpf_object_skeleton *open_datapath(void)
{
	struct nodens_bpf *skel = nodens_bpf__open();

	if (!skel)
		return NULL;
	skel->rodata->index_mask = 255;
	(void)bpf_map__set_max_entries(skel->maps.index, 256);
	(void)bpf_map__set_max_entries(skel->maps.arena, 2);
	return skel->skeleton;
}

static struct bpf_object_skeleton *open_records(void)
{
	struct records_bpf *skel = records_bpf__open();

	return skel ? skel->skeleton : NULL;
}

typedef struct bpf_object_skeleton *(*open_fn)(void);

/* Loads program number `wanted` alone with a log of its own; prints its statistics or why it is refused. 1: there is none. */
static int report(open_fn open_object, size_t wanted, unsigned int level, size_t log_len)
{
	struct bpf_object_skeleton *skel = open_object();
	char *log = calloc(1, log_len);
	struct bpf_program *p = NULL, *at;
	size_t i = 0;
	int err = 1;

	if (!skel || !log)
		exit(2);
	bpf_object__for_each_program(at, *skel->obj) {
		(void)bpf_program__set_autoload(at, i == wanted);
		if (i++ == wanted)
			p = at;
	}
	if (p) {
		(void)bpf_program__set_log_level(p, level);
		(void)bpf_program__set_log_buf(p, log, log_len);
		err = bpf_object__load_skeleton(skel);
	}
	if (p && !err)
		printf("%s: %zu instructions; %s", bpf_program__name(p), bpf_program__insn_cnt(p), statistics_of(log));
	else if (p && level == LOG_STEPS)
		printf("%s: refused: %s\n%s\n", bpf_program__name(p), strerror(-err), tail_of(log));
	bpf_object__destroy_skeleton(skel);
	free(log);
	return err;
}

/* How many programs of the object are refused. */
static int report_all(open_fn open_object)
{
	int refused = 0;

	for (size_t i = 0;; i++) {
		int err = report(open_object, i, LOG_STATISTICS, STATISTICS_LEN);

		if (err == 1)
			return refused;
		if (err) {
			(void)report(open_object, i, LOG_STEPS, STEPS_LEN);
			refused++;
		}
	}
}

int main(void)
{
	libbpf_set_print(silent);
	return report_all(open_datapath) + report_all(open_records) ? 1 : 0;
}
