/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces of their own for tests that need root and BPF, with a BPF file system; and veth pairs to attach to. */
#pragma once

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

struct kernel_env {
	char root[64];	   /* the BPF file system */
	char dir[96];	   /* DIR of generations in it, not made yet */
	char links[112];   /* DIR/links */
	char skipped[160]; /* "" or why these tests cannot run */
};

static struct kernel_env env;

/* Group setup. A reason to skip is no failure of the setup: each test tells it. */
static inline int kernel_env_setup(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		snprintf(env.skipped, sizeof(env.skipped), "needs root");
		return 0;
	}
	strcpy(env.root, "/tmp/nodens-test-XXXXXX");
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(env.root)) {
		snprintf(env.skipped, sizeof(env.skipped), "cannot make namespaces: %s", strerror(errno));
		env.root[0] = '\0';
		return 0;
	}
	if (mount("bpf", env.root, "bpf", 0, "mode=0700") < 0)
		snprintf(env.skipped, sizeof(env.skipped), "cannot mount a BPF file system: %s", strerror(errno));
	snprintf(env.dir, sizeof(env.dir), "%s/nodens", env.root);
	snprintf(env.links, sizeof(env.links), "%s/links", env.dir);
	return 0;
}

static inline int kernel_env_teardown(void **state)
{
	(void)state;
	if (!env.root[0])
		return 0;
	(void)umount2(env.root, MNT_DETACH);
	return rmdir(env.root);
}

/* The first line of each test. */
#define kernel_env_need()                                            \
	do {                                                         \
		if (env.skipped[0]) {                                \
			print_message("skipped: %s\n", env.skipped); \
			skip();                                      \
		}                                                    \
	} while (0)

/* Runs a command of iproute2; its exit code. */
__attribute__((format(printf, 1, 2))) static inline int command(const char *format, ...)
{
	char text[512];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	status = system(text);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
