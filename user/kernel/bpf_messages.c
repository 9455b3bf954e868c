/* SPDX-License-Identifier: Apache-2.0 */
/* The last lines of libbpf and the verifier, and the causes of EPERM. */
#include "kernel/bpf_messages.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define KEPT_LINES    3
#define KEPT_LINE_MAX 120

static struct {
	pthread_mutex_t lock;
	char lines[KEPT_LINES][KEPT_LINE_MAX];
	unsigned int count; /* lines ever */
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Lines around the verifier's log that say nothing of the cause. */
static bool line_is_noise(const char *line, size_t len)
{
	static const char *const noise[] = {
		"-- BEGIN PROG LOAD LOG",      "-- END PROG LOAD LOG", "processed ", "failed to load object",
		"failed to load BPF skeleton", "verification time",    "stack depth"};

	for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++) {
		if (memmem(line, len, noise[i], strlen(noise[i])))
			return true;
	}
	return len == 0;
}

static void keep_line(const char *line, size_t len)
{
	if (len > 8 && memcmp(line, "libbpf: ", 8) == 0) {
		line += 8;
		len -= 8;
	}
	if (line_is_noise(line, len))
		return;
	snprintf(kept.lines[kept.count++ % KEPT_LINES], KEPT_LINE_MAX, "%.*s", (int)len, line);
}

static int keep_message(enum libbpf_print_level level, const char *format, va_list args)
{
	char *text;

	if (level == LIBBPF_DEBUG || vasprintf(&text, format, args) < 0)
		return 0;
	pthread_mutex_lock(&kept.lock);
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");

		keep_line(line, len);
		line += len + (line[len] == '\n');
	}
	pthread_mutex_unlock(&kept.lock);
	free(text);
	return 0;
}

void bpf_messages_start(void)
{
	pthread_mutex_lock(&kept.lock);
	kept.count = 0;
	pthread_mutex_unlock(&kept.lock);
	libbpf_set_print(keep_message);
}

static void last_lines(char *ret_text, size_t size)
{
	size_t at = 0;
	unsigned int first;

	ret_text[0] = '\0';
	pthread_mutex_lock(&kept.lock);
	first = kept.count > KEPT_LINES ? kept.count - KEPT_LINES : 0;
	for (unsigned int i = first; i < kept.count && at < size; i++)
		at += (size_t)snprintf(ret_text + at, size - at, "%s%s", i == first ? " (" : "; ",
				       kept.lines[i % KEPT_LINES]);
	if (at > 0 && at < size)
		snprintf(ret_text + at, size - at, ")");
	pthread_mutex_unlock(&kept.lock);
}

/* Effective capabilities of this thread; all if that cannot be told. */
static uint64_t capabilities(void)
{
	FILE *f = fopen("/proc/thread-self/status", "re");
	uint64_t caps = UINT64_MAX;
	char line[256];

	if (!f)
		return caps;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "CapEff: %" SCNx64, &caps) == 1)
			break;
	}
	fclose(f);
	return caps;
}

/* Below Linux 5.11 the memory of maps counts against RLIMIT_MEMLOCK. */
static bool kernel_counts_memlock(void)
{
	unsigned int major, minor;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major < 5 || (major == 5 && minor < 11);
}

/* Profiles from before 2022 allow bpf(2) with CAP_SYS_ADMIN alone. A call that a filter refuses looks like any other. */
static bool has_seccomp_filter(void)
{
	return prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER;
}

static void explain_denied(char *ret_text, size_t size)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {{CAP_BPF, "CAP_BPF"}, {CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {CAP_PERFMON, "CAP_PERFMON"}};
	uint64_t caps = capabilities();
	struct rlimit limit;
	size_t at = 0;

	ret_text[0] = '\0';
	if (caps & (1ULL << CAP_SYS_ADMIN))
		caps |= 1ULL << CAP_BPF | 1ULL << CAP_PERFMON;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (!(caps & (1ULL << needed[i].cap)))
			at += (size_t)snprintf(ret_text + at, size - at, "%s%s", at ? ", " : ": missing ",
					       needed[i].name);
	}
	if (at > 0)
		return;
	if (has_seccomp_filter()) {
		snprintf(ret_text, size, ": a seccomp filter is on this process: it must allow bpf(2) with CAP_BPF");
		return;
	}
	if (!kernel_counts_memlock() || getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return;
	snprintf(ret_text, size,
		 ": below Linux 5.11 maps count as locked memory, and the limit is %llu KiB: needs CAP_SYS_RESOURCE or "
		 "an unlimited RLIMIT_MEMLOCK",
		 (unsigned long long)limit.rlim_cur / 1024);
}

int bpf_messages_explain(struct error *e, int err, const char *action)
{
	char lines[KEPT_LINES * (KEPT_LINE_MAX + 2) + 4], cause[192] = "";

	last_lines(lines, sizeof(lines));
	/* Without CAP_PERFMON the verifier refuses pointer arithmetic with EACCES. */
	if (err == -EPERM || err == -EACCES)
		explain_denied(cause, sizeof(cause));
	return error_set(e, err, "%s: %s%s%s", action, strerror(-err), cause, lines);
}
