/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How to reach an API server and who we are there: a pod's service account (in-cluster) or a kubeconfig. The only
 * module that includes a YAML library. Reads files, makes no connection.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Heap texts, NULL: not set. Of each pair (file, data) at most one is set; data is PEM, decoded from base64 already. */
struct kube_config {
	char *origin;	   /* for messages: "in-cluster", "/path/config (context NAME)" */
	char *server;	   /* "https://10.96.0.1:443", "https://[fd00::1]:443"; no slash at the end */
	char *server_name; /* TLS name to verify instead of the URL's host (tls-server-name) */
	char *proxy_url;
	char *ca_file, *ca_data;
	char *cert_file, *cert_data;
	char *key_file, *key_data;
	char *token, *token_file;
	bool is_insecure; /* insecure-skip-tls-verify: the caller warns loudly */
};

/* KUBERNETES_SERVICE_HOST and _PORT (IPv6 too) and the files of the service account; dir NULL: the usual one.
 * -ENOENT with e: not in a cluster (what is missing, and what to give instead). */
int kube_config_in_cluster(const char *dir, struct kube_config *ret_config, struct error *e);
/* context NULL: current-context. Relative paths count from the file's folder, as kubectl has it. -EINVAL with e: no
 * YAML (line), no such context, cluster or user, an exec or auth-provider plugin (not supported: says what to do), ….
 */
int kube_config_load(const char *path, const char *context, struct kube_config *ret_config, struct error *e);
void kube_config_done(struct kube_config *config);

/* The token to send now: tokenFile is read anew each time, as service account tokens are rotated in place. *ret_token
 * is the caller's (free), NULL where none is configured. A token with control characters is -EINVAL. */
int kube_config_read_token(const struct kube_config *config, char **ret_token, struct error *e);
/* http:// to another machine: neither the token nor the answers are protected. The caller warns loudly. */
bool kube_config_is_clear(const struct kube_config *config);
/* The same for the same server and CA, else different with near certainty; never 0. */
uint64_t kube_config_identity(const struct kube_config *config);
