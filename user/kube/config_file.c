/* SPDX-License-Identifier: Apache-2.0 */
/* A kubeconfig: the context's server and credentials (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/).
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/config.h"
#include "kube/config_read.h"
#include "kube/config_yaml.h"

/* Some hundreds of clusters with all their certificates. */
#define FILE_MAX ((size_t)4 << 20)

/* What one user or cluster section is read from. */
struct section {
	struct config_yaml *yaml;
	const char *path; /* of the kubeconfig */
	const char *name;
	const struct config_node *node;
};

/* ---- values ---- */

static int base64_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

/* RFC 4648 §4, with white space anywhere. In place; the result ends with '\0'. false: malformed, or holds a '\0'. */
static bool base64_decode(char *text)
{
	size_t digits = 0, padding = 0, len = 0;
	uint32_t bits = 0;
	char *out = text;

	for (const char *p = text; *p; p++) {
		int v = base64_value(*p);

		if (strchr(" \t\r\n", *p))
			continue;
		if (*p == '=')
			padding++;
		else if (v < 0 || padding)
			return false;
		digits++;
		bits = bits << 6 | (v < 0 ? 0 : (uint32_t)v);
		if (digits % 4)
			continue;
		for (int shift = 16; shift >= 0; shift -= 8)
			out[len++] = (char)(bits >> shift);
	}
	if (digits % 4 || padding > 2 || len < padding)
		return false;
	len -= padding;
	out[len] = '\0';
	return strlen(out) == len;
}

static char *text_of(const struct section *s, const char *key)
{
	return config_yaml_text(s->yaml, s->node, key);
}

/* Relative to the kubeconfig's folder. */
static char *path_of(const struct section *s, const char *key)
{
	char *value = text_of(s, key), *path = NULL;
	const char *slash = strrchr(s->path, '/');

	if (!value || value[0] == '/' || !slash)
		return value;
	if (asprintf(&path, "%.*s%s", (int)(slash + 1 - s->path), s->path, value) < 0) {
		path = NULL;
		config_yaml_no_memory(s->yaml);
	}
	free(value);
	return path;
}

static char *pem_of(const struct section *s, const char *key)
{
	char *text = text_of(s, key);

	if (!text)
		return NULL;
	if (!base64_decode(text))
		config_yaml_fail(s->yaml, s->node, "%s of \"%s\" is not base64", key, s->name);
	else if (!strstr(text, "-----BEGIN "))
		config_yaml_fail(s->yaml, s->node, "%s of \"%s\" is not PEM in base64 (no \"-----BEGIN\")", key,
				 s->name);
	return text;
}

/* KEY names a file, KEY-data holds its content. */
static void file_or_data(const struct section *s, const char *key, char **ret_file, char **ret_data)
{
	char data_key[64];

	(void)snprintf(data_key, sizeof(data_key), "%s-data", key);
	*ret_file = path_of(s, key);
	*ret_data = pem_of(s, data_key);
	if (*ret_file && *ret_data)
		config_yaml_fail(s->yaml, s->node, "\"%s\" has both %s and %s", s->name, key, data_key);
}

/* ---- cluster ---- */

/* And something behind it that may be a host. */
static bool has_scheme(const char *url, const char *const *schemes)
{
	for (; *schemes; schemes++) {
		size_t len = strlen(*schemes);

		if (!strncmp(url, *schemes, len) && url[len] && url[len] != '/')
			return true;
	}
	return false;
}

static void read_server(const struct section *s, struct kube_config *c)
{
	static const char *const schemes[] = {"https://", "http://", NULL};
	size_t len;

	c->server = text_of(s, "server");
	if (!c->server) {
		config_yaml_fail(s->yaml, s->node, "cluster \"%s\" has no server", s->name);
		return;
	}
	len = strlen(c->server);
	for (size_t i = 0; i < len; i++)
		if (c->server[i] <= ' ' || c->server[i] > '~' || strchr("@?#\"\\", c->server[i]))
			config_yaml_fail(s->yaml, s->node,
					 "server of \"%s\" may be no more than scheme, host, port and path", s->name);
	if (!has_scheme(c->server, schemes))
		config_yaml_fail(s->yaml, s->node,
				 "server \"%.100s\" of \"%s\" does not begin with https:// or http://", c->server,
				 s->name);
	while (len && c->server[len - 1] == '/')
		c->server[--len] = '\0';
}

static void read_proxy(const struct section *s, struct kube_config *c)
{
	static const char *const schemes[] = {"http://", "https://", "socks5://", "socks5h://", NULL};
	static const char *const socks[] = {"socks5://", NULL};
	char *text = text_of(s, "proxy-url");

	c->proxy_url = text;
	if (!text)
		return;
	if (!has_scheme(text, schemes)) {
		config_yaml_fail(s->yaml, s->node,
				 "proxy-url of \"%s\" does not begin with http://, https:// or socks5://", s->name);
	} else if (has_scheme(text, socks)) {
		/* As kubectl has it: names are the proxy's to resolve. */
		if (asprintf(&c->proxy_url, "socks5h://%s", text + strlen("socks5://")) < 0) {
			c->proxy_url = NULL;
			config_yaml_no_memory(s->yaml);
		}
		free(text);
	}
}

static void read_cluster(const struct section *s, struct kube_config *c)
{
	read_server(s, c);
	read_proxy(s, c);
	c->server_name = text_of(s, "tls-server-name");
	file_or_data(s, "certificate-authority", &c->ca_file, &c->ca_data);
	c->is_insecure = config_yaml_bool(s->yaml, s->node, "insecure-skip-tls-verify");
	if (c->is_insecure && (c->ca_file || c->ca_data))
		config_yaml_fail(s->yaml, s->node,
				 "cluster \"%s\" has both insecure-skip-tls-verify and a certificate authority",
				 s->name);
}

/* ---- user ---- */

#define INSTEAD "give a kubeconfig with a token or a client certificate, of a ServiceAccount for instance"

static void refuse_plugin(const struct section *s, const char *kind, const char *name_key)
{
	const struct config_node *plugin = config_yaml_get(s->yaml, s->node, kind);
	char *name = config_yaml_text(s->yaml, plugin, name_key);

	if (plugin)
		config_yaml_fail(
			s->yaml, plugin,
			"user \"%s\" gets its credentials from \"%s\" (%s plugin), which nodens does not run: %s",
			s->name, name ? name : "?", kind, INSTEAD);
	free(name);
}

static void refuse_unsupported(const struct section *s, const struct kube_config *c)
{
	static const char *const impersonation[] = {"as", "as-uid", "as-groups", "as-user-extra", NULL};

	for (const char *const *key = impersonation; *key; key++)
		if (config_yaml_get(s->yaml, s->node, *key))
			config_yaml_fail(s->yaml, s->node,
					 "user \"%s\" has \"%s\" (impersonation), which nodens does not do: %s",
					 s->name, *key, INSTEAD);
	/* As with kubectl, a token or certificate that stands there comes first. */
	if (c->token || c->token_file || c->cert_file || c->cert_data)
		return;
	refuse_plugin(s, "exec", "command");
	refuse_plugin(s, "auth-provider", "name");
	if (config_yaml_get(s->yaml, s->node, "username"))
		config_yaml_fail(s->yaml, s->node, "user \"%s\" has a password, which API servers take no longer: %s",
				 s->name, INSTEAD);
}

static void read_user(const struct section *s, struct kube_config *c)
{
	file_or_data(s, "client-certificate", &c->cert_file, &c->cert_data);
	file_or_data(s, "client-key", &c->key_file, &c->key_data);
	c->token_file = path_of(s, "tokenFile");
	c->token = text_of(s, "token");
	if (c->token_file) {
		free(c->token);
		c->token = NULL;
	}
	refuse_unsupported(s, c);
	if (!(c->cert_file || c->cert_data) != !(c->key_file || c->key_data))
		config_yaml_fail(s->yaml, s->node,
				 "user \"%s\" has a client-certificate or a client-key without the other", s->name);
}

/* ---- the file ---- */

static void check_kind(struct config_yaml *y)
{
	char *kind = config_yaml_text(y, config_yaml_root(y), "kind");

	if (kind && strcmp(kind, "Config") != 0)
		config_yaml_fail(y, NULL, "is no kubeconfig: its kind is %.60s", kind);
	free(kind);
}

/* The caller's; NULL: an error. */
static char *context_name(struct config_yaml *y, const char *wanted)
{
	char *name = wanted ? strdup(wanted) : config_yaml_text(y, config_yaml_root(y), "current-context"), names[200];

	if (wanted && !name)
		config_yaml_no_memory(y);
	if (name || config_yaml_error(y))
		return name;
	config_yaml_names(y, "contexts", names, sizeof(names));
	config_yaml_fail(y, NULL, "has no current-context: choose one (--context); there are: %s", names);
	return NULL;
}

static void read_sections(struct config_yaml *y, const char *path, const char *context, struct kube_config *c)
{
	const struct config_node *node = config_yaml_named(y, "contexts", context, "context");
	char *cluster = config_yaml_text(y, node, "cluster"), *user = config_yaml_text(y, node, "user");
	struct section s = {.yaml = y, .path = path, .name = cluster};

	if (node && !cluster)
		config_yaml_fail(y, node, "context \"%s\" has no cluster", context);
	if (cluster && (s.node = config_yaml_named(y, "clusters", cluster, "cluster")))
		read_cluster(&s, c);
	s.name = user;
	/* Without a user, requests are anonymous. */
	if (user && (s.node = config_yaml_named(y, "users", user, "user")))
		read_user(&s, c);
	free(cluster);
	free(user);
}

static int read_config(struct config_yaml *y, const char *path, const char *context, struct kube_config *c)
{
	char *name;

	check_kind(y);
	name = context_name(y, context);
	if (name)
		read_sections(y, path, name, c);
	if (name && asprintf(&c->origin, "%s (context %s)", path, name) < 0) {
		c->origin = NULL;
		config_yaml_no_memory(y);
	}
	free(name);
	return config_yaml_error(y);
}

static int read_file(const char *path, char **ret_text, size_t *ret_len, struct error *e)
{
	int err = config_read(path, FILE_MAX, ret_text, ret_len, e);

	if (err == -ENOENT && strchr(path, ':'))
		return error_set(e, err,
				 "%s: no such file; nodens reads one file, a list separated by ':' is not merged "
				 "(kubectl config view --flatten makes one)",
				 path);
	return err;
}

int kube_config_load(const char *path, const char *context, struct kube_config *ret_config, struct error *e)
{
	struct kube_config c = {NULL};
	struct error unread; /* where the caller wants none */
	struct config_yaml *y;
	char *text;
	size_t len;
	int err;

	if (!e)
		e = &unread;
	err = read_file(path, &text, &len, e);
	if (err)
		return err;
	y = config_yaml_new(path, text, len, e);
	free(text);
	err = y ? read_config(y, path, context, &c) : -EINVAL;
	config_yaml_free(y);
	if (err) {
		kube_config_done(&c);
		return err;
	}
	*ret_config = c;
	return 0;
}
