/* SPDX-License-Identifier: Apache-2.0 */
/* Where the API server is and who we are: kubeconfigs, the service account of a pod, tokens, the identity of a server.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kube/config.h"

#define PEM	 "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
#define PEM_DATA "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="

static char dir[] = "/tmp/nodens-config-XXXXXX";

static const char *path_to(const char *name)
{
	static char path[4][128];
	static unsigned int i;
	char *p = path[i++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void write_file(const char *name, const char *text, size_t len)
{
	FILE *f = fopen(path_to(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* ---- kubeconfigs that work ---- */

#define CONTEXT	 "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
#define SERVER	 "server: https://10.0.0.1:6443"
#define CLUSTERS "clusters: [{name: k, cluster: {" SERVER "}}]\n"
#define USERS	 "users: [{name: u, user: {token: secret}}]\n"
/* With one more member in the cluster or the user. */
#define CLUSTER(member) CONTEXT USERS "clusters: [{name: k, cluster: {" SERVER ", " member "}}]\n"
#define USER(member)	CONTEXT CLUSTERS "users: [{name: u, user: {" member "}}]\n"

static const char *show(const char *text)
{
	return text ? text : "-";
}

/* "server name proxy ca key cert token insecure", of files and data whichever is set. */
static void describe(const struct kube_config *c, char *ret_text, size_t size)
{
	snprintf(ret_text, size, "server=%s name=%s proxy=%s ca=%s%s cert=%s%s key=%s%s token=%s%s%s", show(c->server),
		 show(c->server_name), show(c->proxy_url), show(c->ca_file), c->ca_data ? " data" : "",
		 show(c->cert_file), c->cert_data ? " data" : "", show(c->key_file), c->key_data ? " data" : "",
		 show(c->token), c->token_file ? " file=" : "", c->token_file ? c->token_file : "");
	if (c->is_insecure)
		strcat(ret_text, " insecure");
}

static const struct {
	const char *sentence, *text, *context;
	const char *expected; /* of describe; DIR stands for the kubeconfig's folder */
} good_rows[] = {
	{"a server and a token", CONTEXT CLUSTERS USERS, NULL,
	 "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=secret"},
	{"block style as kubectl writes it, with members that are none of ours",
	 "apiVersion: v1\nkind: Config\npreferences: {}\ncurrent-context: c\n"
	 "clusters:\n- cluster:\n    certificate-authority-data: " PEM_DATA "\n    server: https://[fd00::1]:6443\n"
	 "    extensions:\n    - name: x\n      extension: {a: 1}\n  name: k\n"
	 "contexts:\n- context:\n    cluster: k\n    namespace: web\n    user: u\n  name: c\n"
	 "users:\n- name: u\n  user:\n    client-certificate-data: " PEM_DATA "\n    client-key-data: " PEM_DATA "\n",
	 NULL, "server=https://[fd00::1]:6443 name=- proxy=- ca=- data cert=- data key=- data token=-"},
	{"JSON is YAML",
	 "{\"current-context\": \"c\", \"contexts\": [{\"name\": \"c\", \"context\": {\"cluster\": \"k\", \"user\": "
	 "\"u\"}}],\n"
	 "\t\"clusters\": [{\"name\": \"k\", \"cluster\": {\"server\": \"https://h\"}}], \"users\": [{\"name\": \"u\", "
	 "\"user\": {}}]}",
	 NULL, "server=https://h name=- proxy=- ca=- cert=- key=- token=-"},
	{"another context than the current one is chosen by name",
	 "current-context: gone\ncontexts: [{name: other, context: {cluster: k, user: u}}]\n" CLUSTERS USERS, "other",
	 "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=secret"},
	{"paths count from the kubeconfig's folder",
	 CONTEXT "clusters: [{name: k, cluster: {" SERVER ", certificate-authority: pki/ca.crt}}]\n"
		 "users: [{name: u, user: {client-certificate: ../c.pem, client-key: /abs/k.pem, tokenFile: token}}]\n",
	 NULL,
	 "server=https://10.0.0.1:6443 name=- proxy=- ca=DIR/pki/ca.crt cert=DIR/../c.pem key=/abs/k.pem token=- "
	 "file=DIR/token"},
	{"a token file comes before a token", USER("token: old, tokenFile: /t"), NULL,
	 "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=- file=/t"},
	{"a TLS name, a proxy", CLUSTER("tls-server-name: kubernetes, proxy-url: 'http://p:3128'"), NULL,
	 "server=https://10.0.0.1:6443 name=kubernetes proxy=http://p:3128 ca=- cert=- key=- token=secret"},
	{"a SOCKS proxy resolves the names itself", CLUSTER("proxy-url: 'socks5://p:1080'"), NULL,
	 "server=https://10.0.0.1:6443 name=- proxy=socks5h://p:1080 ca=- cert=- key=- token=secret"},
	{"no verification", CLUSTER("insecure-skip-tls-verify: true"), NULL,
	 "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=secret insecure"},
	{"false, null and empty are as if missing",
	 CLUSTER("insecure-skip-tls-verify: false, tls-server-name: ~, proxy-url: '', certificate-authority: null"),
	 NULL, "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=secret"},
	{"slashes at the server's end go, a path stays",
	 CONTEXT USERS "clusters: [{name: k, cluster: {server: 'https://h/k8s/clusters/c-1//'}}]", NULL,
	 "server=https://h/k8s/clusters/c-1 name=- proxy=- ca=- cert=- key=- token=secret"},
	{"aliases and merge keys are followed",
	 "base: &base {" SERVER ", tls-server-name: a}\n" CONTEXT USERS
	 "clusters: [{name: k, cluster: {<<: *base, tls-server-name: b}}]",
	 NULL, "server=https://10.0.0.1:6443 name=b proxy=- ca=- cert=- key=- token=secret"},
	{"a list of merged mappings",
	 "a: &a {x: 1}\nb: &b {" SERVER "}\n" CONTEXT USERS "clusters: [{name: k, cluster: {<<: [*a, *b]}}]", NULL,
	 "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=secret"},
	{"a name that is a number",
	 "current-context: 1\ncontexts: [{name: 1, context: {cluster: 2, user: 3}}]\n"
	 "clusters: [{name: 2, cluster: {" SERVER "}}]\nusers: [{name: 3, user: {token: 4}}]",
	 NULL, "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=4"},
	{"a context without a user is anonymous",
	 "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n" CLUSTERS, NULL,
	 "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=-"},
	{"a plugin beside a token is not needed", USER("token: t, exec: {command: aws}"), NULL,
	 "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=t"},
	{"data over several lines",
	 CONTEXT USERS
	 "clusters:\n- name: k\n  cluster:\n    " SERVER "\n    certificate-authority-data: |\n"
	 "      LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEK\n      LS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=\n",
	 NULL, "server=https://10.0.0.1:6443 name=- proxy=- ca=- data cert=- key=- token=secret"},
	{"a document's marks", "---\n" CONTEXT CLUSTERS USERS "...\n", NULL,
	 "server=https://10.0.0.1:6443 name=- proxy=- ca=- cert=- key=- token=secret"},
};

static void replace_dir(const char *text, char *ret_text, size_t size)
{
	size_t len = 0;

	for (; *text && len < size; text++)
		if (!strncmp(text, "DIR", 3)) {
			len += (size_t)snprintf(ret_text + len, size - len, "%s", dir);
			text += 2;
		} else {
			len += (size_t)snprintf(ret_text + len, size - len, "%c", *text);
		}
}

static void what_a_kubeconfig_says_is_taken(void **state)
{
	char found[2048], expected[2048];

	(void)state;
	for (size_t i = 0; i < sizeof(good_rows) / sizeof(*good_rows); i++) {
		struct kube_config c;
		struct error e = {""};

		write_file("config", good_rows[i].text, strlen(good_rows[i].text));
		if (kube_config_load(path_to("config"), good_rows[i].context, &c, &e))
			fail_msg("%s: %s", good_rows[i].sentence, e.text);
		describe(&c, found, sizeof(found));
		replace_dir(good_rows[i].expected, expected, sizeof(expected));
		if (strcmp(found, expected) != 0)
			fail_msg("%s:\n  found    %s\n  expected %s", good_rows[i].sentence, found, expected);
		if (c.ca_data)
			assert_string_equal(c.ca_data, PEM);
		kube_config_done(&c);
	}
}

static void the_origin_names_file_and_context(void **state)
{
	const char *text = CONTEXT CLUSTERS USERS;
	struct kube_config c;
	char expected[128];

	(void)state;
	write_file("config", text, strlen(text));
	assert_int_equal(kube_config_load(path_to("config"), NULL, &c, NULL), 0);
	snprintf(expected, sizeof(expected), "%s (context c)", path_to("config"));
	assert_string_equal(c.origin, expected);
	kube_config_done(&c);
}

/* ---- kubeconfigs that do not ---- */

static const struct {
	const char *sentence, *text;
	const char *said; /* part of the message */
} bad_rows[] = {
	{"an empty file", "", "is empty"},
	{"only a comment", "# nothing\n", "is empty"},
	{"no YAML, with its line", "a: b\nc: [\n", ":3: no YAML"},
	{"octets that are no text", "\xff\xfe\xfd\xfc\xff", "no YAML"},
	{"a list", "- a\n", "a mapping is expected"},
	{"two documents", CONTEXT CLUSTERS USERS "---\na: b\n", "more than one YAML document"},
	{"garbage behind the document", CONTEXT CLUSTERS USERS "---\n[", "no YAML"},
	{"another kind of object", "kind: Pod\n" CONTEXT CLUSTERS USERS, "its kind is Pod"},
	{"no current context", "contexts: [{name: a, context: {cluster: k}}, {name: b}]\n", "there are: a, b"},
	{"an unknown context", "current-context: x\ncontexts: [{name: a}, {name: b}]\n",
	 "there is no \"x\"; there are: a, b"},
	{"no contexts", "current-context: x\n", "there is no \"x\"; there are: none"},
	{"two contexts of one name", "current-context: c\ncontexts: [{name: c, context: {cluster: k}}, {name: c}]\n",
	 "comes twice"},
	{"contexts that are no list", "current-context: c\ncontexts: {name: c}\n", "contexts is no list"},
	{"a context that is a text", "current-context: c\ncontexts: [c]\n", "a mapping with \"name\" is expected"},
	{"a context without its part", "current-context: c\ncontexts: [{name: c}]\n", "has no \"context\""},
	{"a context without a cluster", "current-context: c\ncontexts: [{name: c, context: {user: u}}]\n",
	 "has no cluster"},
	{"an unknown cluster", CONTEXT USERS, "clusters: there is no \"k\""},
	{"an unknown user", CONTEXT CLUSTERS, "users: there is no \"u\""},
	{"a cluster without a server", CONTEXT USERS "clusters: [{name: k, cluster: {}}]\n", "has no server"},
	{"a server without a scheme", CONTEXT USERS "clusters: [{name: k, cluster: {server: 'h:6443'}}]\n",
	 "https:// or http://"},
	{"a server that is a scheme", CONTEXT USERS "clusters: [{name: k, cluster: {server: 'https://'}}]\n",
	 "https:// or http://"},
	{"a server without a host", CONTEXT USERS "clusters: [{name: k, cluster: {server: 'https:///'}}]\n",
	 "https:// or http://"},
	{"credentials in the URL", CONTEXT USERS "clusters: [{name: k, cluster: {server: 'https://a:b@h'}}]\n",
	 "no more than scheme"},
	{"a line break in the URL", CONTEXT USERS "clusters: [{name: k, cluster: {server: \"https://h\\n\"}}]\n",
	 "no more than scheme"},
	{"a NUL in the URL", CONTEXT USERS "clusters: [{name: k, cluster: {server: \"https://h\\0\"}}]\n",
	 "server is no text"},
	{"a server that is a list", CONTEXT USERS "clusters: [{name: k, cluster: {server: [a]}}]\n",
	 "server is no text"},
	{"a key that comes twice", CLUSTER(SERVER), "server comes twice"},
	{"data that is no base64", CLUSTER("certificate-authority-data: '%%%%'"), "is not base64"},
	{"base64 that was cut", CLUSTER("certificate-authority-data: LS0tL"), "is not base64"},
	{"base64 of something else", CLUSTER("certificate-authority-data: AQID"), "is not PEM"},
	{"base64 with a NUL in it", CLUSTER("certificate-authority-data: AAAA"), "is not base64"},
	{"file and data", CLUSTER("certificate-authority: a, certificate-authority-data: " PEM_DATA),
	 "both certificate-authority and certificate-authority-data"},
	{"insecure with an authority", CLUSTER("insecure-skip-tls-verify: true, certificate-authority: a"),
	 "both insecure-skip-tls-verify and"},
	{"neither true nor false", CLUSTER("insecure-skip-tls-verify: maybe"), "neither true nor false"},
	{"a quoted word is a text", CLUSTER("insecure-skip-tls-verify: 'true'"), "neither true nor false"},
	{"a proxy of another kind", CLUSTER("proxy-url: 'ftp://p'"), "proxy-url of \"k\""},
	{"an exec plugin", USER("exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [eks]}"),
	 "from \"aws\" (exec plugin), which nodens does not run: give a kubeconfig with a token"},
	{"an exec plugin without a command", USER("exec: {}"), "exec plugin"},
	{"an auth provider", USER("auth-provider: {name: gcp}"), "from \"gcp\" (auth-provider plugin)"},
	{"a password", USER("username: a, password: b"), "password"},
	{"impersonation", USER("token: t, as: admin"), "impersonation"},
	{"a certificate without a key", USER("client-certificate: a"), "without the other"},
	{"a key without a certificate", USER("client-key-data: " PEM_DATA), "without the other"},
	{"a mapping that merges itself", "a: &a {<<: *a}\n" CONTEXT USERS "clusters: [{name: k, cluster: *a}]\n",
	 "has no server"},
	{"an alias to nothing", "a: *b\n", "no YAML"},
};

static void what_cannot_be_used_is_told_with_the_file_and_the_cause(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_rows) / sizeof(*bad_rows); i++) {
		struct kube_config c;
		struct error e = {""};
		int err;

		write_file("config", bad_rows[i].text, strlen(bad_rows[i].text));
		memset(&c, 0x55, sizeof(c));
		err = kube_config_load(path_to("config"), NULL, &c, &e);
		if (err != -EINVAL)
			fail_msg("%s: %d", bad_rows[i].sentence, err);
		if (!strstr(e.text, bad_rows[i].said) ||
		    strncmp(e.text, path_to("config"), strlen(path_to("config"))) != 0)
			fail_msg("%s: \"%s\" is not in \"%s\"", bad_rows[i].sentence, bad_rows[i].said, e.text);
		/* Outputs stay untouched. */
		assert_int_equal(((unsigned char *)&c)[0], 0x55);
	}
}

static void every_cut_of_a_kubeconfig_is_an_error_or_complete(void **state)
{
	const char *text = good_rows[1].text;
	struct kube_config c;
	int err;

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		write_file("config", text, len);
		err = kube_config_load(path_to("config"), NULL, &c, NULL);
		if (!err)
			kube_config_done(&c);
		else
			assert_int_equal(err, -EINVAL);
	}
}

static int load_error(const char *name, struct error *e)
{
	struct kube_config c;

	return kube_config_load(path_to(name), NULL, &c, e);
}

static void only_a_regular_file_of_sane_size_is_read(void **state)
{
	struct error e = {""};

	(void)state;
	assert_int_equal(load_error("missing", &e), -ENOENT);
	assert_non_null(strstr(e.text, "/missing: cannot be opened: No such file"));
	assert_int_equal(load_error("a:b", &e), -ENOENT);
	assert_non_null(strstr(e.text, "--flatten"));
	assert_int_equal(load_error(".", &e), -EISDIR);
	assert_non_null(strstr(e.text, "is a directory"));
	/* Never waited for. */
	assert_int_equal(mkfifo(path_to("pipe"), 0600), 0);
	assert_int_equal(load_error("pipe", &e), -EINVAL);
	write_file("huge", "", 0);
	assert_int_equal(truncate(path_to("huge"), (off_t)1 << 40), 0);
	assert_int_equal(load_error("huge", &e), -EFBIG);
	assert_non_null(strstr(e.text, "/huge: has 1099511627776 octets"));
}

static void deep_nesting_is_an_error_and_no_crash(void **state)
{
	char *text = malloc(200001);
	struct error e = {""};

	(void)state;
	memset(text, '[', 200000);
	write_file("config", text, 200000);
	assert_int_equal(load_error("config", &e), -EINVAL);
	assert_non_null(strstr(e.text, "nests deeper"));
	for (int i = 0; i < 200000; i++)
		text[i] = i % 2 ? ' ' : '-';
	write_file("config", text, 200000);
	assert_int_equal(load_error("config", &e), -EINVAL);
	free(text);
}

/* Each alias doubles: 2^40 nodes if they were copied. */
static void aliases_are_not_expanded(void **state)
{
	char text[4096];
	size_t len = (size_t)snprintf(text, sizeof(text), "a0: &a0 [x]\n");
	struct kube_config c;

	(void)state;
	for (int i = 1; i <= 40; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", CONTEXT CLUSTERS USERS);
	write_file("config", text, len);
	assert_int_equal(kube_config_load(path_to("config"), NULL, &c, NULL), 0);
	kube_config_done(&c);
}

/* ---- in a pod ---- */

static void set_env(const char *host, const char *port)
{
	(void)(host ? setenv("KUBERNETES_SERVICE_HOST", host, 1) : unsetenv("KUBERNETES_SERVICE_HOST"));
	(void)(port ? setenv("KUBERNETES_SERVICE_PORT", port, 1) : unsetenv("KUBERNETES_SERVICE_PORT"));
}

static void a_pod_reaches_its_server_by_the_environment_and_its_account(void **state)
{
	static const char *const rows[][3] = {
		{"10.96.0.1", "443", "https://10.96.0.1:443"},
		{"fd00:10:96::1", "6443", "https://[fd00:10:96::1]:6443"},
		{"kube.example.com", "443", "https://kube.example.com:443"},
	};
	struct kube_config c;
	struct error e = {""};

	(void)state;
	write_file("token", "t\n", 2);
	write_file("ca.crt", PEM, strlen(PEM));
	for (size_t i = 0; i < 3; i++) {
		set_env(rows[i][0], rows[i][1]);
		if (kube_config_in_cluster(dir, &c, &e))
			fail_msg("%s", e.text);
		assert_string_equal(c.server, rows[i][2]);
		assert_string_equal(c.origin, "in-cluster");
		assert_string_equal(c.token_file, path_to("token"));
		assert_string_equal(c.ca_file, path_to("ca.crt"));
		assert_null(c.token);
		assert_false(c.is_insecure);
		kube_config_done(&c);
	}
}

static void outside_of_a_pod_it_says_what_is_missing_and_what_to_give_instead(void **state)
{
	struct kube_config c;
	struct error e = {""};

	(void)state;
	set_env(NULL, "443");
	assert_int_equal(kube_config_in_cluster(dir, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "KUBERNETES_SERVICE_HOST is not set"));
	assert_non_null(strstr(e.text, "--source kube:FILE"));
	set_env("10.96.0.1", "");
	assert_int_equal(kube_config_in_cluster(dir, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "KUBERNETES_SERVICE_PORT is not set"));
	set_env("10.96.0.1", "443");
	unlink(path_to("token"));
	assert_int_equal(kube_config_in_cluster(dir, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/token is missing"));
	write_file("token", "t", 1);
	unlink(path_to("ca.crt"));
	assert_int_equal(kube_config_in_cluster(dir, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/ca.crt is missing"));
	write_file("ca.crt", "x", 1);
	assert_int_equal(kube_config_in_cluster(dir, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "not in PEM form"));
}

static void an_environment_that_makes_no_url_is_refused(void **state)
{
	static const char *const rows[][2] = {
		{"10.96.0.1/x", "443"},	     {"a b", "443"},	     {"fd00::zz", "443"},   {"[fd00::1]", "443"},
		{"10.96.0.1", "0"},	     {"10.96.0.1", "65536"}, {"10.96.0.1", "443a"}, {"10.96.0.1", "-1"},
		{"10.96.0.1", "4294967739"}, {"h@evil", "443"},
	};
	struct kube_config c;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		set_env(rows[i][0], rows[i][1]);
		assert_int_equal(kube_config_in_cluster(dir, &c, NULL), -EINVAL);
	}
}

/* ---- tokens ---- */

static void a_token_file_is_read_anew_each_time(void **state)
{
	struct kube_config c = {.token_file = (char *)path_to("tok")};
	char *token;

	(void)state;
	write_file("tok", "first\n", 6);
	assert_int_equal(kube_config_read_token(&c, &token, NULL), 0);
	assert_string_equal(token, "first");
	free(token);
	write_file("tok", "second", 6);
	assert_int_equal(kube_config_read_token(&c, &token, NULL), 0);
	assert_string_equal(token, "second");
	free(token);
	unlink(path_to("tok"));
	assert_int_equal(kube_config_read_token(&c, &token, NULL), -ENOENT);
}

static void without_a_token_none_is_sent(void **state)
{
	struct kube_config c = {NULL};
	char *token = (char *)"";

	(void)state;
	assert_int_equal(kube_config_read_token(&c, &token, NULL), 0);
	assert_null(token);
}

static void a_token_that_would_break_the_request_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		int err;
	} rows[] = {
		{"", 0, -EINVAL},	   {"\n", 1, -EINVAL},
		{"a b", 3, -EINVAL},	   {"a\r\nHost: evil", 13, -EINVAL},
		{"a\0b", 3, -EINVAL},	   {"a\x7f", 2, -EINVAL},
		{"\xc3\xa4", 2, -EINVAL},  {"\0", 1, -EINVAL},
		{"eyJ.-_~+/=\r\n", 12, 0}, {" a", 2, -EINVAL},
	};
	struct kube_config c = {.token_file = (char *)path_to("tok")};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *token = NULL;
		struct error e = {""};

		write_file("tok", rows[i].text, rows[i].len);
		assert_int_equal(kube_config_read_token(&c, &token, &e), rows[i].err);
		if (rows[i].err)
			assert_non_null(strstr(e.text, "/tok: the token"));
		free(token);
	}
}

/* ---- identity ---- */

static void the_identity_follows_server_and_authority_not_who_we_are(void **state)
{
	struct kube_config a = {.server = "https://a:1", .ca_data = PEM, .token = "x"};
	struct kube_config same = {.server = "https://a:1", .ca_data = PEM, .token = "y", .origin = "elsewhere"};
	struct kube_config server = {.server = "https://a:2", .ca_data = PEM};
	struct kube_config ca = {.server = "https://a:1", .ca_data = PEM "x"};
	struct kube_config none = {.server = "https://a:1"};
	struct kube_config file = {.server = "https://a:1", .ca_file = (char *)path_to("ca.pem")};
	uint64_t before;

	(void)state;
	assert_true(kube_config_identity(&a) == kube_config_identity(&same));
	assert_true(kube_config_identity(&a) != kube_config_identity(&server));
	assert_true(kube_config_identity(&a) != kube_config_identity(&ca));
	assert_true(kube_config_identity(&a) != kube_config_identity(&none));
	/* By the file's content: its path is the same in all clusters. */
	write_file("ca.pem", PEM, strlen(PEM));
	before = kube_config_identity(&file);
	assert_true(before == kube_config_identity(&a));
	write_file("ca.pem", PEM "x", strlen(PEM "x"));
	assert_true(kube_config_identity(&file) != before);
	unlink(path_to("ca.pem"));
	assert_true(kube_config_identity(&file) != 0);
}

/* Kept across restarts, so it must not depend on the process. */
static void the_identity_is_the_same_in_every_process(void **state)
{
	const struct kube_config c = {.server = "https://10.96.0.1:443"};

	(void)state;
	assert_int_equal(kube_config_identity(&c), 0xf410a97c38b39374);
}

static void http_to_another_machine_is_in_the_clear(void **state)
{
	static const struct {
		const char *server;
		bool is_clear;
	} rows[] = {
		{"https://10.0.0.1:6443", false},    {"https://127.0.0.1.example.com", false},
		{"http://10.0.0.1:8080", true},	     {"http://127.0.0.1.example.com:80", true},
		{"http://localhostess/api", true},   {"http://[fd00::1]:80", true},
		{"http://127.0.0.1:8001", false},    {"http://127.0.0.1", false},
		{"http://localhost/clusters", false}, {"http://[::1]:8001", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct kube_config c = {.server = (char *)rows[i].server};

		if (kube_config_is_clear(&c) != rows[i].is_clear)
			fail_msg("%s", rows[i].server);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_kubeconfig_says_is_taken),
		cmocka_unit_test(the_origin_names_file_and_context),
		cmocka_unit_test(what_cannot_be_used_is_told_with_the_file_and_the_cause),
		cmocka_unit_test(every_cut_of_a_kubeconfig_is_an_error_or_complete),
		cmocka_unit_test(only_a_regular_file_of_sane_size_is_read),
		cmocka_unit_test(deep_nesting_is_an_error_and_no_crash),
		cmocka_unit_test(aliases_are_not_expanded),
		cmocka_unit_test(a_pod_reaches_its_server_by_the_environment_and_its_account),
		cmocka_unit_test(outside_of_a_pod_it_says_what_is_missing_and_what_to_give_instead),
		cmocka_unit_test(an_environment_that_makes_no_url_is_refused),
		cmocka_unit_test(a_token_file_is_read_anew_each_time),
		cmocka_unit_test(without_a_token_none_is_sent),
		cmocka_unit_test(a_token_that_would_break_the_request_is_refused),
		cmocka_unit_test(the_identity_follows_server_and_authority_not_who_we_are),
		cmocka_unit_test(the_identity_is_the_same_in_every_process),
		cmocka_unit_test(http_to_another_machine_is_in_the_clear),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
