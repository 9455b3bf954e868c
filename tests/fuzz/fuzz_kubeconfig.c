/* SPDX-License-Identifier: Apache-2.0 */
/* A kubeconfig as a file of memory: refused with a cause, or a whole configuration. Includes the YAML reader. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "kube/config.h"

static char path[64];
static int file = -1;

static void make_file(void)
{
	file = memfd_create("kubeconfig", MFD_CLOEXEC);
	FUZZ_CHECK(file >= 0, "memfd_create: %s", strerror(errno));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
}

static void check_config(const struct kube_config *c)
{
	size_t len;

	FUZZ_CHECK(c->origin && c->server && (strncmp(c->server, "https://", 8) == 0 || strncmp(c->server, "http://", 7) == 0), "a server");
	len = strlen(c->server);
	FUZZ_CHECK(c->server[len - 1] != '/', "no slash at the end of %s", c->server);
	FUZZ_CHECK(!(c->ca_file && c->ca_data) && !(c->cert_file && c->cert_data) && !(c->key_file && c->key_data) && !(c->token && c->token_file),
		   "one of each pair");
	FUZZ_CHECK(!c->ca_data || strstr(c->ca_data, "-----BEGIN"), "PEM");
	FUZZ_CHECK(kube_config_identity(c) != 0, "an identity");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct kube_config config = {0};
	struct error e = {0};
	int err;

	if (file < 0)
		make_file();
	FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, data, len, 0) == (ssize_t)len, "the file: %s", strerror(errno));
	err = kube_config_load(path, len % 4 == 3 ? "other" : NULL, &config, &e);
	FUZZ_CHECK(err == 0 || (err < 0 && e.text[0]), "%d without a cause", err);
	FUZZ_CHECK(memchr(e.text, '\0', sizeof(e.text)), "a cause ends");
	if (err == 0) {
		check_config(&config);
		kube_config_done(&config);
	}
	return 0;
}
