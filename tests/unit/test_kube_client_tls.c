/* SPDX-License-Identifier: Apache-2.0 */
/* The API client and TLS: whom it trusts, as whom it comes, through which proxy, and to whom the token goes. */
#include <poll.h>

#include "fetch.h"
#include "http_server.h"
#include "tls_cert.h"

/* ---- scripts ---- */

static bool hello(struct conn *c)
{
	return conn_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

static bool hello_and_close(struct conn *c)
{
	(void)conn_say(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
	return false;
}

static bool cut(struct conn *c)
{
	return conn_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n") && false;
}

static bool forward(int from, int to)
{
	char data[4096];
	ssize_t n = recv(from, data, sizeof(data), 0);

	return n > 0 && send(to, data, (size_t)n, MSG_NOSIGNAL) == n;
}

/* "CONNECT 127.0.0.1:PORT HTTP/1.1": octets both ways until one side is done. */
static bool tunnel(struct conn *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const char *port = strchr(c->head, ':');
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd p[2] = {{.fd = c->fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

	a.sin_port = htons((uint16_t)(port ? atoi(port + 1) : 0));
	if (!connect(fd, (struct sockaddr *)&a, sizeof(a)) &&
	    conn_say(c, "HTTP/1.1 200 Tunnel\r\nRetry-After: 9\r\n\r\n"))
		while (poll(p, 2, -1) > 0)
			if ((p[0].revents && !forward(c->fd, fd)) || (p[1].revents && !forward(fd, c->fd)))
				break;
	close(fd);
	return false;
}

static bool refuse(struct conn *c)
{
	return conn_say(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") && false;
}

static const struct script scripts[] = {{"/hello", hello}, {"/close", hello_and_close}, {"/cut", cut}, {NULL, NULL}};
static const struct script proxy_scripts[] = {{"CONNECT", tunnel}, {"/", hello}, {NULL, NULL}};
static const struct script refusing_scripts[] = {{"CONNECT", refuse}, {NULL, NULL}};

/* ---- the fixture ---- */

/* Authorities: ours, a stranger's. Servers' by what is right or wrong with them. A client's. */
static struct cert ours, strangers, good, named, expired, client_cert;

static int make_certificates(void **state)
{
	(void)state;
	cert_make(&ours, NULL, "Test CA", NULL, 10 * CERT_DAY);
	cert_make(&strangers, NULL, "Another CA", NULL, 10 * CERT_DAY);
	cert_make(&good, &ours, "server", "IP:127.0.0.1,DNS:good.test", 10 * CERT_DAY);
	cert_make(&named, &ours, "server", "DNS:kubernetes.default.svc,IP:10.96.0.1", 10 * CERT_DAY);
	cert_make(&expired, &ours, "server", "IP:127.0.0.1", -CERT_DAY);
	cert_make(&client_cert, &ours, "system:node:one", NULL, 10 * CERT_DAY);
	return 0;
}

static int free_certificates(void **state)
{
	struct cert *const all[] = {&ours, &strangers, &good, &named, &expired, &client_cert};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		cert_free(all[i]);
	return 0;
}

struct fixture {
	SSL_CTX *tls;
	struct server server;
	struct loop *loop;
	struct kube_config config;
	struct kube_client *client;
	char url[64];
};

static void start_server(struct fixture *x, const struct cert *c, const struct cert *clients)
{
	x->tls = c ? cert_server(c, clients) : NULL;
	assert_true(server_start(&x->server, AF_INET, scripts, x->tls));
	x->loop = loop_new();
	snprintf(x->url, sizeof(x->url), "https://127.0.0.1:%u", x->server.port);
	x->config.server = x->url;
}

static void start_client(struct fixture *x)
{
	struct error e = {""};

	x->client = kube_client_new(x->loop, &x->config, &e);
	if (!x->client)
		fail_msg("%s", e.text);
}

static void stop(struct fixture *x)
{
	kube_client_free(x->client);
	loop_free(x->loop);
	server_stop(&x->server);
	SSL_CTX_free(x->tls);
}

static const char *write_pem(char path[static 32], const char *pem)
{
	FILE *f;

	strcpy(path, "/tmp/nodens-pem-XXXXXX");
	f = fdopen(mkstemp(path), "w");
	assert_non_null(f);
	fputs(pem, f);
	fclose(f);
	return path;
}

/* ---- whom it trusts ---- */

static int folders_trusted;

/* libcurl's call gets here (OpenSSL): a folder of authorities. */
int X509_STORE_load_path(X509_STORE *store, const char *path)
{
	X509_LOOKUP *l = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());

	folders_trusted++;
	return l && X509_LOOKUP_add_dir(l, path, X509_FILETYPE_PEM) > 0;
}

struct trust {
	const char *sentence;
	const struct cert *server, *authority; /* authority NULL: none is configured */
	const char *server_name;
	bool is_insecure, is_good;
	const char *said;
};

static const struct trust trusts[] = {
	{"our authority, an address in the certificate", &good, &ours, NULL, false, true, ""},
	{"another authority", &good, &strangers, NULL, false, false, "issuer certificate"},
	{"no authority: the system's do not know it", &good, NULL, NULL, false, false,
	 "no certificate-authority is configured"},
	{"an address that is not in the certificate", &named, &ours, NULL, false, false, "target host name"},
	{"tls-server-name is verified instead of the address", &named, &ours, "kubernetes.default.svc", false, true,
	 ""},
	{"tls-server-name may be an address", &named, &ours, "10.96.0.1", false, true, ""},
	{"tls-server-name that is not in the certificate", &good, &ours, "kubernetes.default.svc", false, false,
	 "target host name"},
	{"tls-server-name, another authority", &named, &strangers, "kubernetes.default.svc", false, false,
	 "issuer certificate"},
	{"expired", &expired, &ours, NULL, false, false, "expired"},
	{"anything goes when told so", &expired, NULL, NULL, true, true, ""},
	{"any name goes when told so", &named, NULL, NULL, true, true, ""},
};

static void try_trust(const struct trust *t, bool has_file)
{
	struct fixture x = {0};
	struct fetch f = {0};
	char path[32] = "", host[64];

	start_server(&x, t->server, NULL);
	x.config.server_name = (char *)t->server_name;
	x.config.is_insecure = t->is_insecure;
	x.config.token = (char *)"secret";
	if (t->authority && has_file)
		x.config.ca_file = (char *)write_pem(path, t->authority->pem);
	else if (t->authority)
		x.config.ca_data = (char *)t->authority->pem;
	start_client(&x);
	folders_trusted = 0;
	fetch_one(&f, x.loop, x.client, "/hello");
	/* A configured authority is the only one. */
	assert_true(!t->authority || !folders_trusted);
	if (f.end != (t->is_good ? KUBE_END_COMPLETE : KUBE_END_CONNECT) || !strstr(f.error.text, t->said))
		fail_msg("%s: end %d, \"%s\"", t->sentence, f.end, f.error.text);
	if (!t->is_good) {
		/* The message names server and authority; the token was not told. */
		assert_non_null(strstr(f.error.text, x.url));
		assert_true(!has_file || !t->authority || strstr(f.error.text, path));
		assert_int_equal(x.server.requests, 0);
	} else {
		snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%u\r\n", x.server.port);
		assert_non_null(strstr(x.server.head, host));
		assert_non_null(strstr(x.server.head, "\r\nAuthorization: Bearer secret\r\n"));
	}
	if (path[0])
		unlink(path);
	stop(&x);
}

static void servers_are_trusted_as_configured_by_file(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(trusts) / sizeof(*trusts); i++)
		try_trust(&trusts[i], true);
}

static void servers_are_trusted_as_configured_by_data(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(trusts) / sizeof(*trusts); i++)
		try_trust(&trusts[i], false);
}

static void an_authority_replaced_in_place_counts_for_the_next_connection(void **state)
{
	struct fixture x = {0};
	struct fetch first = {0}, second = {0}, third = {0};
	char path[32];
	FILE *f;

	(void)state;
	start_server(&x, &good, NULL);
	x.config.ca_file = (char *)write_pem(path, ours.pem);
	start_client(&x);
	fetch_one(&first, x.loop, x.client, "/close");
	assert_int_equal(first.end, KUBE_END_COMPLETE);
	f = fopen(path, "w");
	fputs(strangers.pem, f);
	fclose(f);
	fetch_one(&second, x.loop, x.client, "/close");
	assert_int_equal(second.end, KUBE_END_CONNECT);
	unlink(path);
	fetch_one(&third, x.loop, x.client, "/close");
	assert_int_equal(third.end, KUBE_END_LOCAL);
	assert_non_null(strstr(third.error.text, path));
	stop(&x);
}

static void authority_data_that_is_no_certificate_is_told(void **state)
{
	struct fixture x = {0};
	struct fetch f = {0};

	(void)state;
	start_server(&x, &good, NULL);
	x.config.ca_data = (char *)"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	start_client(&x);
	fetch_one(&f, x.loop, x.client, "/hello");
	assert_int_equal(f.end, KUBE_END_LOCAL);
	assert_int_equal(x.server.requests, 0);
	stop(&x);
}

/* ---- as whom it comes ---- */

static void the_clients_certificate_is_shown_from_files_and_data(void **state)
{
	(void)state;
	for (int has_files = 0; has_files < 2; has_files++) {
		struct fixture x = {0};
		struct fetch f = {0};
		char cert[32] = "", key[32] = "";

		start_server(&x, &good, &ours);
		x.config.ca_data = ours.pem;
		if (has_files) {
			x.config.cert_file = (char *)write_pem(cert, client_cert.pem);
			x.config.key_file = (char *)write_pem(key, client_cert.key_pem);
		} else {
			x.config.cert_data = client_cert.pem;
			x.config.key_data = client_cert.key_pem;
		}
		start_client(&x);
		fetch_one(&f, x.loop, x.client, "/hello");
		if (f.end != KUBE_END_COMPLETE)
			fail_msg("%s", f.error.text);
		assert_string_equal(x.server.peer, "system:node:one");
		if (has_files) {
			unlink(cert);
			unlink(key);
		}
		stop(&x);
	}
}

static void a_server_that_wants_a_certificate_turns_others_away(void **state)
{
	struct fixture x = {0};
	struct fetch f = {0};

	(void)state;
	start_server(&x, &good, &ours);
	x.config.ca_data = ours.pem;
	start_client(&x);
	fetch_one(&f, x.loop, x.client, "/hello");
	assert_int_equal(f.end, KUBE_END_CONNECT);
	assert_int_equal(x.server.requests, 0);
	stop(&x);
}

static void a_key_of_another_certificate_is_told(void **state)
{
	struct fixture x = {0};
	struct fetch f = {0};

	(void)state;
	start_server(&x, &good, &ours);
	x.config.ca_data = ours.pem;
	x.config.cert_data = client_cert.pem;
	x.config.key_data = good.key_pem;
	start_client(&x);
	fetch_one(&f, x.loop, x.client, "/hello");
	assert_int_equal(f.end, KUBE_END_LOCAL);
	assert_non_null(strstr(f.error.text, "belong together"));
	stop(&x);
}

/* ---- not TLS, or not all of it ---- */

static void a_server_without_tls_is_told(void **state)
{
	struct fixture x = {0};
	struct fetch f = {0};

	(void)state;
	start_server(&x, NULL, NULL);
	start_client(&x);
	kube_client_set_limits(x.client, 5000, 5000);
	fetch_one(&f, x.loop, x.client, "/hello");
	assert_int_equal(f.end, KUBE_END_CONNECT);
	assert_int_equal(x.server.requests, 0);
	stop(&x);
}

static void http_to_a_tls_port_is_told(void **state)
{
	struct fixture x = {0};
	struct fetch f = {0};

	(void)state;
	start_server(&x, &good, NULL);
	snprintf(x.url, sizeof(x.url), "http://127.0.0.1:%u", x.server.port);
	start_client(&x);
	fetch_one(&f, x.loop, x.client, "/hello");
	assert_int_equal(f.end, KUBE_END_CONNECT);
	stop(&x);
}

/* Accepts by the kernel alone: nobody speaks. */
static void a_handshake_that_does_not_go_on_ends_with_the_limit(void **state)
{
	struct fixture x = {.loop = loop_new()};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct fetch f = {0};

	(void)state;
	assert_int_equal(
		bind(fd, (struct sockaddr *)&a, len) | listen(fd, 1) | getsockname(fd, (struct sockaddr *)&a, &len), 0);
	snprintf(x.url, sizeof(x.url), "https://127.0.0.1:%u", ntohs(a.sin_port));
	x.config.server = x.url;
	start_client(&x);
	kube_client_set_limits(x.client, 200, 20000);
	fetch_one(&f, x.loop, x.client, "/hello");
	assert_int_equal(f.end, KUBE_END_CONNECT);
	assert_non_null(strcasestr(f.error.text, "time"));
	kube_client_free(x.client);
	loop_free(x.loop);
	close(fd);
}

static void a_cut_under_tls_is_a_cut(void **state)
{
	struct fixture x = {0};
	struct fetch f = {0};

	(void)state;
	start_server(&x, &good, NULL);
	x.config.ca_data = ours.pem;
	start_client(&x);
	fetch_one(&f, x.loop, x.client, "/cut");
	assert_int_equal(f.end, KUBE_END_CUT);
	assert_string_equal(f.body, "hello");
	stop(&x);
}

/* ---- proxies ---- */

static void a_proxy_sees_neither_token_nor_text(void **state)
{
	struct fixture x = {0};
	struct server proxy;
	struct fetch f = {0};
	char url[64], line[64];

	(void)state;
	start_server(&x, &named, NULL);
	assert_true(server_start(&proxy, AF_INET, proxy_scripts, NULL));
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", proxy.port);
	x.config.proxy_url = url;
	x.config.ca_data = ours.pem;
	x.config.server_name = (char *)"kubernetes.default.svc";
	x.config.token = (char *)"secret";
	start_client(&x);
	fetch_one(&f, x.loop, x.client, "/hello");
	if (f.end != KUBE_END_COMPLETE)
		fail_msg("%s", f.error.text);
	/* The head is the server's, not that of the tunnel. */
	assert_int_equal(f.response.retry_after_ms, 0);
	assert_int_equal(proxy.requests, 1);
	snprintf(line, sizeof(line), "CONNECT 127.0.0.1:%u HTTP/1.1\r\n", x.server.port);
	assert_ptr_equal(strstr(proxy.head, line), proxy.head);
	assert_null(strstr(proxy.head, "secret"));
	assert_non_null(strstr(x.server.head, "\r\nAuthorization: Bearer secret\r\n"));
	stop(&x);
	server_stop(&proxy);
}

static void a_proxy_that_refuses_is_told(void **state)
{
	struct fixture x = {0};
	struct server proxy;
	struct fetch f = {0};
	char url[64];

	(void)state;
	start_server(&x, &good, NULL);
	assert_true(server_start(&proxy, AF_INET, refusing_scripts, NULL));
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", proxy.port);
	x.config.proxy_url = url;
	x.config.ca_data = ours.pem;
	start_client(&x);
	fetch_one(&f, x.loop, x.client, "/hello");
	assert_int_equal(f.end, KUBE_END_CONNECT);
	assert_int_equal(f.heads, 0);
	assert_non_null(strstr(f.error.text, "403"));
	stop(&x);
	server_stop(&proxy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_are_trusted_as_configured_by_file),
		cmocka_unit_test(servers_are_trusted_as_configured_by_data),
		cmocka_unit_test(an_authority_replaced_in_place_counts_for_the_next_connection),
		cmocka_unit_test(authority_data_that_is_no_certificate_is_told),
		cmocka_unit_test(the_clients_certificate_is_shown_from_files_and_data),
		cmocka_unit_test(a_server_that_wants_a_certificate_turns_others_away),
		cmocka_unit_test(a_key_of_another_certificate_is_told),
		cmocka_unit_test(a_server_without_tls_is_told),
		cmocka_unit_test(http_to_a_tls_port_is_told),
		cmocka_unit_test(a_handshake_that_does_not_go_on_ends_with_the_limit),
		cmocka_unit_test(a_cut_under_tls_is_a_cut),
		cmocka_unit_test(a_proxy_sees_neither_token_nor_text),
		cmocka_unit_test(a_proxy_that_refuses_is_told),
	};

	/* Not this machine's proxy. */
	setenv("no_proxy", "*", 1);
	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
