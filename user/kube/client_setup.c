/* SPDX-License-Identifier: Apache-2.0 */
/* What each transfer is set up with: server, TLS, connection, headers. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "kube/client_curl.h"
#include "kube/config_read.h"
#include "version.h"

/* A peer that is gone is noticed after at most a minute: 30 s of silence, then 30 s without an acknowledgement. */
#define KEEPALIVE_IDLE_S     30L
#define KEEPALIVE_INTERVAL_S 10L
#define UNACKNOWLEDGED_MS    30000

/* ---- the server ---- */

/* Is there already what each connection will want? The files are read by libcurl, anew for each. */
static int check_files(const struct kube_config *config, struct error *e)
{
	const struct {
		const char *what, *path;
	} files[] = {
		{"the certificate authority", config->ca_file},
		{"the client's certificate", config->cert_file},
		{"the client's key", config->key_file},
	};
	char *text;
	size_t len;
	int err = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(*files) && !err; i++) {
		if (!files[i].path)
			continue;
		err = config_read(files[i].path, CONFIG_PEM_MAX, &text, &len, e);
		if (err)
			return error_prefix(e, err, "%s", files[i].what);
		err = config_check_pem(files[i].what, files[i].path, text, e);
		explicit_bzero(text, len);
		free(text);
	}
	return err;
}

/* Verifying another name than the one connected to: the name becomes the URL's host, and the address goes beside it. */
static CURLUcode rename_server(struct kube_client *c, CURLU *url)
{
	const char *name = c->config->server_name;
	char *host = NULL, *port = NULL, *own_port = NULL, *entry = NULL, *literal = NULL;
	CURLUcode code = curl_url_get(url, CURLUPART_HOST, &host, 0);

	if (!code)
		code = curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	if (!code && (asprintf(&entry, "::%s:%s", host, port) < 0 || !(c->connect_to = curl_slist_append(NULL, entry))))
		code = CURLUE_OUT_OF_MEMORY;
	if (!code && curl_url_get(url, CURLUPART_PORT, &own_port, 0))
		own_port = NULL;
	if (!code && asprintf(&c->host_header, "Host: %s%s%s", host, own_port ? ":" : "", own_port ? own_port : "") < 0)
		code = CURLUE_OUT_OF_MEMORY;
	if (!code && asprintf(&literal, strchr(name, ':') ? "[%s]" : "%s", name) < 0)
		code = CURLUE_OUT_OF_MEMORY;
	if (!code)
		code = curl_url_set(url, CURLUPART_HOST, literal, 0);
	curl_free(host);
	curl_free(port);
	curl_free(own_port);
	free(entry);
	free(literal);
	return code;
}

static int set_server(struct kube_client *c, struct error *e)
{
	CURLU *url = curl_url();
	CURLUcode code = url ? curl_url_set(url, CURLUPART_URL, c->config->server, 0) : CURLUE_OUT_OF_MEMORY;
	size_t len;

	if (!code && c->config->server_name)
		code = rename_server(c, url);
	if (!code)
		code = curl_url_get(url, CURLUPART_URL, &c->url, 0);
	curl_url_cleanup(url);
	if (code)
		return error_set(e, -EINVAL, "server \"%s\"%s%s: %s", c->config->server,
				 c->config->server_name ? ", tls-server-name " : "",
				 c->config->server_name ? c->config->server_name : "", curl_url_strerror(code));
	len = strlen(c->url);
	while (len && c->url[len - 1] == '/')
		c->url[--len] = '\0';
	return 0;
}

/* ---- a request ---- */

/* Several options in a row: the first error sticks. */
#define SET(code, easy, option, value)                                   \
	do {                                                             \
		if (!*(code))                                            \
			*(code) = curl_easy_setopt(easy, option, value); \
	} while (0)

static void set_blob(CURLcode *code, CURL *easy, CURLoption option, const char *pem)
{
	/* Not copied: the configuration outlives the client. */
	struct curl_blob blob = {.data = (void *)pem, .len = strlen(pem), .flags = CURL_BLOB_NOCOPY};

	SET(code, easy, option, &blob);
}

static void set_tls(CURLcode *code, CURL *easy, const struct kube_config *config)
{
	SET(code, easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(code, easy, CURLOPT_SSL_VERIFYPEER, config->is_insecure ? 0L : 1L);
	SET(code, easy, CURLOPT_SSL_VERIFYHOST, config->is_insecure ? 0L : 2L);
	/* The authority's file is replaced in place when a cluster's changes. */
	SET(code, easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	if (config->ca_file || config->ca_data) {
		/* Debian's libcurl trusts /etc/ssl/certs besides, unless told otherwise. */
		SET(code, easy, CURLOPT_CAPATH, NULL);
		SET(code, easy, CURLOPT_CAINFO, config->ca_file);
	}
	if (config->ca_data)
		set_blob(code, easy, CURLOPT_CAINFO_BLOB, config->ca_data);
	if (config->cert_file)
		SET(code, easy, CURLOPT_SSLCERT, config->cert_file);
	if (config->key_file)
		SET(code, easy, CURLOPT_SSLKEY, config->key_file);
	/* The server checks a connection's certificate again with each request: on a connection kept from before the file was
	 * renewed, it answers 401 for ever once the old one has expired. */
	if (config->cert_file || config->key_file) {
		SET(code, easy, CURLOPT_FORBID_REUSE, 1L);
		SET(code, easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	}
	if (config->cert_data)
		set_blob(code, easy, CURLOPT_SSLCERT_BLOB, config->cert_data);
	if (config->key_data)
		set_blob(code, easy, CURLOPT_SSLKEY_BLOB, config->key_data);
}

/* libcurl with GnuTLS takes certificates from files alone. */
static int check_tls(const struct kube_config *config, struct error *e)
{
	CURL *easy = curl_easy_init();
	CURLcode code = easy ? CURLE_OK : CURLE_OUT_OF_MEMORY;

	set_tls(&code, easy, config);
	curl_easy_cleanup(easy);
	if (!code)
		return 0;
	return error_set(e, -EINVAL, "TLS cannot be set up: %s (%s)%s", curl_easy_strerror(code), curl_version(),
			 config->ca_data || config->cert_data || config->key_data
				 ? "; name files instead of …-data, or use libcurl with OpenSSL"
				 : "");
}

int client_setup_server(struct kube_client *c, struct error *e)
{
	int err = check_files(c->config, e);

	if (!err)
		err = check_tls(c->config, e);
	return err ? err : set_server(c, e);
}

static int on_curl_open(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	unsigned int unacknowledged_ms = UNACKNOWLEDGED_MS;

	(void)ctx;
	(void)purpose;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms));
	return CURL_SOCKOPT_OK;
}

static void set_connection(CURLcode *code, CURL *easy, const struct kube_client *c)
{
	SET(code, easy, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(code, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(code, easy, CURLOPT_FOLLOWLOCATION, 0L);
	SET(code, easy, CURLOPT_CONNECTTIMEOUT_MS, c->connect_ms);
	/* No SIGALRM, and an end that does not wait for a resolver thread hanging in getaddrinfo. */
	SET(code, easy, CURLOPT_NOSIGNAL, 1L);
	SET(code, easy, CURLOPT_QUICK_EXIT, 1L);
	SET(code, easy, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(code, easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	SET(code, easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	SET(code, easy, CURLOPT_SOCKOPTFUNCTION, on_curl_open);
	SET(code, easy, CURLOPT_CLOSESOCKETFUNCTION, client_socket_close);
	SET(code, easy, CURLOPT_CLOSESOCKETDATA, (void *)c);
	if (c->connect_to)
		SET(code, easy, CURLOPT_CONNECT_TO, c->connect_to);
	if (c->config->proxy_url) {
		SET(code, easy, CURLOPT_PROXY, c->config->proxy_url);
		/* Not weakened by no_proxy of the environment, as with kubectl. */
		SET(code, easy, CURLOPT_NOPROXY, "");
	}
	SET(code, easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static bool add_header(struct kube_request *r, const char *text)
{
	struct curl_slist *more = text ? curl_slist_append(r->headers, text) : NULL;

	if (more)
		r->headers = more;
	return more;
}

/* The headers go to the server alone, never to a proxy (CURLHEADER_SEPARATE). */
static int set_headers(CURLcode *code, struct kube_request *r, struct error *e)
{
	const struct kube_client *c = r->client;
	char *token = NULL, *line = NULL;
	bool is_good = add_header(r, "Accept: application/json");
	int err;

	if (c->host_header)
		is_good = is_good && add_header(r, c->host_header);
	err = kube_config_read_token(c->config, &token, e);
	if (err)
		return err;
	if (token) {
		is_good = is_good && asprintf(&line, "Authorization: Bearer %s", token) >= 0 && add_header(r, line);
		explicit_bzero(token, strlen(token));
		free(token);
		free(line);
	}
	if (!is_good)
		return error_set(e, -ENOMEM, "out of memory");
	SET(code, r->easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	SET(code, r->easy, CURLOPT_HTTPHEADER, r->headers);
	SET(code, r->easy, CURLOPT_USERAGENT, "nodens/" NODENS_VERSION);
	if (r->wants_gzip)
		SET(code, r->easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	return 0;
}

static CURLcode set_url(struct kube_request *r)
{
	char *url = NULL;
	CURLcode code;

	if (asprintf(&url, "%s%s", r->client->url, r->target) < 0)
		return CURLE_OUT_OF_MEMORY;
	code = curl_easy_setopt(r->easy, CURLOPT_URL, url);
	free(url);
	return code;
}

int client_setup_request(struct kube_request *r, struct error *e)
{
	CURLcode code;
	int err;

	r->easy = curl_easy_init();
	if (!r->easy)
		return error_set(e, -ENOMEM, "out of memory");
	code = set_url(r);
	set_connection(&code, r->easy, r->client);
	set_tls(&code, r->easy, r->client->config);
	err = set_headers(&code, r, e);
	if (!err && code)
		err = error_set(e, -EINVAL, "libcurl: %s", curl_easy_strerror(code));
	return err;
}
