/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: kills its process right behind the KILL_BEHIND-th change that it makes to what outlives it: pins, links and
 * folders of the bpffs.
 */
#include <dlfcn.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void changed(void)
{
	static unsigned long count;
	const char *at = getenv("KILL_BEHIND");

	if (++count == (at ? strtoul(at, NULL, 10) : 0))
		(void)raise(SIGKILL);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* libbpf's way into the kernel. */
long syscall(long number, ...)
{
	bool is_change;
	long a[6], ret;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	is_change = number == SYS_bpf && (a[0] == BPF_OBJ_PIN || a[0] == BPF_LINK_CREATE || a[0] == BPF_LINK_UPDATE ||
					  a[0] == BPF_LINK_DETACH);
	ret = NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (is_change)
		changed();
	return ret;
}

int mkdir(const char *path, mode_t mode)
{
	int ret = NEXT(mkdir)(path, mode);

	changed();
	return ret;
}

int rmdir(const char *path)
{
	int ret = NEXT(rmdir)(path);

	changed();
	return ret;
}

int symlink(const char *target, const char *path)
{
	int ret = NEXT(symlink)(target, path);

	changed();
	return ret;
}

int rename(const char *old, const char *new)
{
	int ret = NEXT(rename)(old, new);

	changed();
	return ret;
}

int unlink(const char *path)
{
	int ret = NEXT(unlink)(path);

	changed();
	return ret;
}

int unlinkat(int fd, const char *path, int flags)
{
	int ret = NEXT(unlinkat)(fd, path, flags);

	changed();
	return ret;
}
