/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the configuration: small files (tokens, certificates, kubeconfigs) into memory. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Certificates and keys: a bundle of some 150 authorities has 230 KiB. */
#define CONFIG_PEM_MAX ((size_t)4 << 20)

/* A regular file of at most `max` octets, never waited for (a pipe is refused). *ret_text is the caller's (free), with
 * a
 * '\0' behind ret_len octets; there may be more of them inside. -errno with e: the path, the cause. */
int config_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *e);

/* PEM of some kind. what: "the certificate authority", for the message. */
int config_check_pem(const char *what, const char *path, const char *text, struct error *e);
