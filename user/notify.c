/* SPDX-License-Identifier: Apache-2.0 */
/* The sd_notify protocol. */
#include "notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int open_address(const char *path, struct sockaddr_un *ret_addr, socklen_t *ret_len)
{
	size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(ret_addr->sun_path))
		return -EINVAL;
	*ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret_addr->sun_path, path, len);
	/* '@' stands for the abstract namespace, whose names begin with a zero and have no end mark. */
	if (path[0] == '@')
		ret_addr->sun_path[0] = '\0';
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] == '/'));
	return 0;
}

int notify_send(const char *lines)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr;
	socklen_t addr_len;
	int fd, err;

	if (!path || !*path)
		return 0;
	err = open_address(path, &addr, &addr_len);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (struct sockaddr *)&addr, addr_len) < 0)
		err = -errno;
	close(fd);
	return err;
}

void notify_status(const char *format, ...)
{
	char text[512] = "STATUS=";
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text + strlen(text), sizeof(text) - strlen(text), format, ap);
	va_end(ap);
	(void)notify_send(text);
}

uint64_t notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (!usec || (pid && strtoul(pid, NULL, 10) != (unsigned long)getpid()))
		return 0;
	return strtoull(usec, NULL, 10) / 1000;
}
