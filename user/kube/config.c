/* SPDX-License-Identifier: Apache-2.0 */
/* How to reach an API server: what the cluster gives each pod, the token to send, the identity of the server. */
#include "kube/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/config_read.h"

#define SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
/* Tokens of service accounts have about 1 KiB; servers refuse heads of more than 1 MiB. */
#define TOKEN_MAX ((size_t)64 << 10)

void kube_config_done(struct kube_config *c)
{
	char **const texts[] = {&c->origin,   &c->server,   &c->server_name, &c->proxy_url,
				&c->ca_file,  &c->ca_data,  &c->cert_file,   &c->cert_data,
				&c->key_file, &c->key_data, &c->token,	     &c->token_file};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (*texts[i])
			explicit_bzero(*texts[i], strlen(*texts[i]));
		free(*texts[i]);
	}
	*c = (struct kube_config){0};
}

/* ---- in a pod ---- */

static int not_in_cluster(const char *what, struct error *e)
{
	return error_set(e, -ENOENT, "not in a pod of a cluster: %s; elsewhere give a kubeconfig (--source kube:FILE)",
			 what);
}

/* An address, or a name as some providers set. */
static bool is_host(const char *host)
{
	struct in6_addr addr;

	if (strchr(host, ':'))
		return inet_pton(AF_INET6, host, &addr) == 1;
	return host[0] &&
	       host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")] == '\0';
}

static bool is_port(const char *port)
{
	return port[0] && strspn(port, "0123456789") == strlen(port) && strlen(port) <= 5 && atoi(port) >= 1 &&
	       atoi(port) <= 65535;
}

static int server_of_environment(char **ret_server, struct error *e)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");

	if (!host || !host[0])
		return not_in_cluster("KUBERNETES_SERVICE_HOST is not set", e);
	if (!port || !port[0])
		return not_in_cluster("KUBERNETES_SERVICE_PORT is not set", e);
	if (!is_host(host))
		return error_set(e, -EINVAL, "KUBERNETES_SERVICE_HOST \"%.100s\" is neither an address nor a name",
				 host);
	if (!is_port(port))
		return error_set(e, -EINVAL, "KUBERNETES_SERVICE_PORT \"%.100s\" is no port number", port);
	if (asprintf(ret_server, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port) < 0) {
		*ret_server = NULL;
		return error_set(e, -ENOMEM, "out of memory");
	}
	return 0;
}

/* A file of the service account, to be read again later: it must be there and be readable. */
static int account_file(const char *dir, const char *name, char **ret_path, struct error *e)
{
	char *text = NULL;
	size_t len;
	int err;

	if (asprintf(ret_path, "%s/%s", dir, name) < 0) {
		*ret_path = NULL;
		return error_set(e, -ENOMEM, "out of memory");
	}
	err = config_read(*ret_path, CONFIG_PEM_MAX, &text, &len, e);
	if (!err && !strcmp(name, "ca.crt"))
		err = config_check_pem("the cluster's certificate authority", *ret_path, text, e);
	free(text);
	if (err == -ENOENT)
		return error_set(
			e, err,
			"%s is missing: the pod has no service account token mounted (automountServiceAccountToken)",
			*ret_path);
	return err;
}

int kube_config_in_cluster(const char *dir, struct kube_config *ret_config, struct error *e)
{
	struct kube_config c = {.origin = strdup("in-cluster")};
	int err;

	if (!dir)
		dir = SERVICE_ACCOUNT_DIR;
	err = c.origin ? server_of_environment(&c.server, e) : error_set(e, -ENOMEM, "out of memory");
	if (!err)
		err = account_file(dir, "token", &c.token_file, e);
	if (!err)
		err = account_file(dir, "ca.crt", &c.ca_file, e);
	if (err) {
		kube_config_done(&c);
		return err;
	}
	*ret_config = c;
	return 0;
}

/* ---- the token ---- */

/* RFC 6750 §2.1 is narrower, but kube-apiserver takes any of these in its token file. */
static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return len > 0;
}

static size_t trimmed_len(const char *text, size_t len)
{
	while (len && strchr(" \t\r\n", text[len - 1]) && text[len - 1])
		len--;
	return len;
}

/* Takes text over. */
static int take_token(char *text, size_t len, const char *where, char **ret_token, struct error *e)
{
	len = trimmed_len(text, len);
	if (!is_token(text, len)) {
		explicit_bzero(text, len);
		free(text);
		return error_set(e, -EINVAL, "%s: %s", where,
				 len ? "the token has blanks or other characters that cannot be sent"
				     : "the token is empty");
	}
	text[len] = '\0';
	*ret_token = text;
	return 0;
}

int kube_config_read_token(const struct kube_config *config, char **ret_token, struct error *e)
{
	char *text = NULL;
	size_t len;
	int err;

	if (config->token_file) {
		err = config_read(config->token_file, TOKEN_MAX, &text, &len, e);
		return err ? err : take_token(text, len, config->token_file, ret_token, e);
	}
	if (!config->token) {
		*ret_token = NULL;
		return 0;
	}
	text = strdup(config->token);
	if (!text)
		return error_set(e, -ENOMEM, "out of memory");
	return take_token(text, strlen(text), config->origin ? config->origin : "kubeconfig", ret_token, e);
}

bool kube_config_is_clear(const struct kube_config *config)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]"};
	static const char scheme[] = "http://";
	const char *host;

	if (strncmp(config->server, scheme, strlen(scheme)) != 0)
		return false;
	host = config->server + strlen(scheme);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
		size_t len = strlen(hosts[i]);

		/* strchr finds the end of the text as well. */
		if (!strncmp(host, hosts[i], len) && strchr(":/", host[len]))
			return false;
	}
	return true;
}

/* ---- identity ---- */

/* FNV-1a: the same in each process (hmap_hash is keyed anew); nobody gains by making two servers look alike. */
static uint64_t mix(uint64_t hash, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
	return (hash ^ 0xff) * 0x100000001b3; /* an end that no UTF-8 text contains */
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
	return mix(hash, text ? text : "", text ? strlen(text) : 0);
}

uint64_t kube_config_identity(const struct kube_config *config)
{
	uint64_t hash = 0xcbf29ce484222325;
	char *ca = NULL;
	size_t len;

	hash = mix_text(hash, config->server);
	hash = mix_text(hash, config->server_name);
	hash = mix_text(hash, config->proxy_url);
	/* The content: in each cluster's pods the path is the same. */
	if (config->ca_file && !config_read(config->ca_file, CONFIG_PEM_MAX, &ca, &len, NULL))
		hash = mix(hash, ca, trimmed_len(ca, len));
	else if (config->ca_data)
		hash = mix(hash, config->ca_data, trimmed_len(config->ca_data, strlen(config->ca_data)));
	else
		hash = mix_text(hash, config->ca_file);
	free(ca);
	return hash ? hash : 1;
}
