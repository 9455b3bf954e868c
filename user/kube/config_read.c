/* SPDX-License-Identifier: Apache-2.0 */
/* Small files into memory. */
#include "kube/config_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_kind(const char *path, const struct stat *st, size_t max, struct error *e)
{
	if (S_ISDIR(st->st_mode))
		return error_set(e, -EISDIR, "%s: is a directory", path);
	if (!S_ISREG(st->st_mode))
		return error_set(e, -EINVAL, "%s: is no regular file", path);
	if ((uint64_t)st->st_size > max)
		return error_set(e, -EFBIG, "%s: has %lld octets, more than the %zu that make sense", path,
				 (long long)st->st_size, max);
	return 0;
}

/* Until the end: files in /proc and /sys have no size, and one may grow meanwhile. */
static int read_all(int fd, const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *e)
{
	size_t len = 0, capacity = 0;
	char *text = NULL, *more;
	ssize_t n;

	do {
		if (len + 1 >= capacity) {
			capacity = capacity ? 2 * capacity : 4096;
			more = realloc(text, capacity);
			if (!more) {
				free(text);
				return error_set(e, -ENOMEM, "%s: out of memory", path);
			}
			text = more;
		}
		n = read(fd, text + len, capacity - len - 1);
		if (n > 0)
			len += (size_t)n;
	} while ((n > 0 && len <= max) || (n < 0 && errno == EINTR));
	if (n < 0 || len > max) {
		int err = n < 0 ? -errno : -EFBIG;

		free(text);
		return error_set(e, err, "%s: %s", path, n < 0 ? strerror(-err) : "has more octets than make sense");
	}
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	return 0;
}

int config_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int err;

	if (fd < 0) {
		err = -errno;
		/* As the manifests and the unit run it. */
		return error_set(
			e, err, "%s: cannot be opened: %s%s", path, strerror(-err),
			err == -EACCES && geteuid() == 0 ? " (UID 0 without CAP_DAC_OVERRIDE: root must own it)" : "");
	}
	err = fstat(fd, &st) ? error_set(e, -errno, "%s: %s", path, strerror(errno)) : check_kind(path, &st, max, e);
	if (!err)
		err = read_all(fd, path, max, ret_text, ret_len, e);
	close(fd);
	return err;
}

int config_check_pem(const char *what, const char *path, const char *text, struct error *e)
{
	if (strstr(text, "-----BEGIN "))
		return 0;
	return error_set(e, -EINVAL, "%s: %s is not in PEM form (no \"-----BEGIN\")", path, what);
}
