/* SPDX-License-Identifier: Apache-2.0 */
/* The API client against a server that does what servers and networks do wrong. */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "client_scripts.h"

/* ---- answers ---- */

static const struct {
	const char *sentence, *target;
	enum kube_end end;
	int status;
	const char *body, *said;
} answers[] = {
	{"a body of known length", "/hello", KUBE_END_COMPLETE, 200, "hello", ""},
	{"chunks and trailers", "/chunked", KUBE_END_COMPLETE, 200, "hello", ""},
	{"100 Continue comes before the answer", "/continue", KUBE_END_COMPLETE, 200, "hello", ""},
	{"an error status is an answer like others", "/too-many", KUBE_END_COMPLETE, 429, "later", ""},
	{"redirects are not followed", "/redirect", KUBE_END_COMPLETE, 302, "", ""},
	{"a cut within a chunk", "/cut-chunk", KUBE_END_CUT, 200, "hel", "outstanding read data"},
	{"a cut between chunks", "/cut-between", KUBE_END_CUT, 200, "hello", "outstanding read data"},
	{"a chunk without a size", "/bad-chunk", KUBE_END_CUT, 200, "hello", "chunk"},
	{"fewer octets than promised", "/cut-length", KUBE_END_CUT, 200, "hello", "5 bytes remaining"},
	{"gzip that is none", "/gzip-broken", KUBE_END_CUT, 200, "", ""},
	{"closed without an answer", "/empty", KUBE_END_CONNECT, 0, "", "Empty reply"},
	{"a reset", "/reset", KUBE_END_CONNECT, 0, "", "reset"},
	{"another protocol", "/garbage", KUBE_END_CONNECT, 0, "", "HTTP/0.9"},
	{"a head without an end", "/endless-head", KUBE_END_LOCAL, 0, "", "a line of the response's head is too long"},
};

static void each_answer_ends_as_what_it_is(void **state)
{
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		struct fetch f = {0};
		int pending = 1;

		f.pending = &pending;
		f.loop = x->loop;
		f.client = x->client;
		/* gzip only where it is about gzip. */
		f.request = kube_client_get(x->client, answers[i].target, !strncmp(answers[i].target, "/gzip", 5),
					    &fetch_callbacks, &f, NULL);
		fetch_run(x->loop);
		if (f.end != answers[i].end || f.response.status != answers[i].status ||
		    strcmp(f.body, answers[i].body) != 0)
			fail_msg("%s: end %d, status %d, body \"%s\", %s", answers[i].sentence, f.end,
				 f.response.status, f.body, f.error.text);
		if (!strstr(f.error.text, answers[i].said) ||
		    (f.end != KUBE_END_COMPLETE && !strstr(f.error.text, x->url)))
			fail_msg("%s: \"%s\"", answers[i].sentence, f.error.text);
		assert_int_equal(f.heads, answers[i].status ? 1 : 0);
	}
}

static void the_head_tells_type_and_when_to_come_again(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	fetch_one(&f, x->loop, x->client, "/too-many");
	assert_int_equal(f.response.status, 429);
	assert_string_equal(f.response.content_type, "text/plain; charset=utf-8");
	assert_int_equal(f.response.retry_after_ms, 1000);
}

static int go_on(struct fetch *f)
{
	(void)f;
	sem_post(&go);
	return 0;
}

static void a_body_is_handed_on_while_it_arrives(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {.at_data = go_on};

	/* The server sends the next octet only after this one was seen. */
	fetch_one(&f, x->loop, x->client, "/trickle");
	assert_int_equal(f.end, KUBE_END_COMPLETE);
	assert_string_equal(f.body, "123");
	assert_int_equal(f.datas, 3);
}

static void a_large_body_is_complete_and_counted(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	fetch_one(&f, x->loop, x->client, "/large");
	assert_int_equal(f.end, KUBE_END_COMPLETE);
	assert_int_equal(f.len, LARGE);
	assert_int_equal(kube_client_octets(x->client), LARGE);
}

static int note_octets(struct fetch *f)
{
	/* While the request goes on. */
	assert_true(kube_client_octets(f->client) > 0);
	return 0;
}

static void gzip_is_undone_and_octets_count_as_they_came(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {.at_data = note_octets};
	unsigned char data[4096];
	int pending = 1;

	f.pending = &pending;
	f.loop = x->loop;
	f.client = x->client;
	f.request = kube_client_get(x->client, "/gzip", true, &fetch_callbacks, &f, NULL);
	fetch_run(x->loop);
	assert_int_equal(f.end, KUBE_END_COMPLETE);
	assert_int_equal(f.len, PLAIN_LEN);
	assert_int_equal(kube_client_octets(x->client), compress_text(data, sizeof(data)));
}

static void without_wishing_for_gzip_none_is_asked_for(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	fetch_one(&f, x->loop, x->client, "/gzip");
	assert_string_equal(f.body, "hello");
}

static void what_is_sent_is_a_plain_get_for_json(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};
	char line[128];

	fetch_one(&f, x->loop, x->client, "/hello?watch=1&a=b%3Dc");
	assert_ptr_equal(strstr(x->server.head, "GET /hello?watch=1&a=b%3Dc HTTP/1.1\r\n"), x->server.head);
	snprintf(line, sizeof(line), "\r\nHost: 127.0.0.1:%u\r\n", x->server.port);
	assert_non_null(strstr(x->server.head, line));
	assert_non_null(strstr(x->server.head, "\r\nAccept: application/json\r\n"));
	assert_non_null(strstr(x->server.head, "\r\nUser-Agent: nodens/"));
	assert_null(strstr(x->server.head, "Authorization"));
}

static void a_path_in_the_servers_url_stays_in_front(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	strcat(x->url, "/prefix");
	kube_client_free(x->client);
	make_client(x);
	fetch_one(&f, x->loop, x->client, "/hello");
	assert_ptr_equal(strstr(x->server.head, "GET /prefix/hello HTTP/1.1\r\n"), x->server.head);
}

/* ---- reaching the server ---- */

static void a_refused_connection_names_server_and_cause(void **state)
{
	struct fixture *x = *state;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct fetch f = {0};

	/* Nobody listens there, and nobody else can: a port that was left may be another's at once. */
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len) | getsockname(fd, (struct sockaddr *)&a, &len), 0);
	snprintf(x->url, sizeof(x->url), "http://127.0.0.1:%u", ntohs(a.sin_port));
	kube_client_free(x->client);
	make_client(x);
	fetch_one(&f, x->loop, x->client, "/hello");
	assert_int_equal(f.end, KUBE_END_CONNECT);
	assert_non_null(strstr(f.error.text, x->url));
	assert_non_null(strstr(f.error.text, "Connection refused"));
	close(fd);
}

static void a_head_that_does_not_come_in_time_ends_the_request(void **state)
{
	static const char *const targets[] = {"/no-answer", "/half-head"};
	struct fixture *x = *state;

	kube_client_set_limits(x->client, 10000, 100);
	for (int i = 0; i < 2; i++) {
		struct fetch f = {0};

		fetch_one(&f, x->loop, x->client, targets[i]);
		assert_int_equal(f.end, KUBE_END_CONNECT);
		assert_int_equal(f.heads, 0);
		assert_non_null(strstr(f.error.text, "no response within 100 ms"));
	}
}

static void on_late(void *ctx)
{
	struct fetch *f = ctx;

	assert_int_equal(f->ends, 0);
	kube_request_cancel(f->request);
	loop_stop(f->loop, 0);
}

static void the_body_has_all_the_time_it_wants(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	/* Within this the head must be there, on a busy machine as well. */
	kube_client_set_limits(x->client, 5000, 5000);
	fetch_start(&f, x->loop, x->client, "/stall");
	assert_non_null(loop_add_timer(x->loop, 5500, 0, on_late, &f));
	fetch_run(x->loop);
	assert_int_equal(f.heads, 1);
	assert_int_equal(f.ends, 0);
}

static void the_servers_address_may_be_ipv6(void **state)
{
	struct fixture *x = *state;
	struct server six;
	struct fetch f = {0};

	if (!server_start(&six, AF_INET6, scripts, NULL)) {
		print_message("skipped: no ::1 here\n");
		skip();
	}
	snprintf(x->url, sizeof(x->url), "http://[::1]:%u", six.port);
	kube_client_free(x->client);
	make_client(x);
	fetch_one(&f, x->loop, x->client, "/hello");
	assert_int_equal(f.end, KUBE_END_COMPLETE);
	assert_string_equal(f.body, "hello");
	server_stop(&six);
}

/* libcurl's call gets here: a name whose resolution hangs until it is told to fail (or for so long). */
#define HANGS_S 60
static atomic_int resolving;
static sem_t resolver_go;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (node && !strcmp(node, "hangs.invalid")) {
		struct timespec late;

		atomic_fetch_add(&resolving, 1);
		clock_gettime(CLOCK_REALTIME, &late);
		late.tv_sec += HANGS_S;
		(void)sem_timedwait(&resolver_go, &late);
		atomic_fetch_sub(&resolving, 1);
		return EAI_AGAIN;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, res);
}

static int own_threads; /* before there is a server */

static int threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = -2; /* . and .. */

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* None is left but the server's: the resolver's has closed its descriptor and freed what it has. */
static void await_resolver(void)
{
	sem_post(&resolver_go);
	while (threads() > own_threads + 1)
		usleep(1000);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void on_resolving(void *ctx)
{
	/* The loop goes on meanwhile. */
	if (atomic_load(&resolving))
		loop_stop(ctx, 0);
}

static void a_name_that_hangs_stops_neither_the_loop_nor_the_end(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};
	struct loop_handle *poll;
	uint64_t begin;

	sem_init(&resolver_go, 0, 0);
	strcpy(x->url, "http://hangs.invalid:1");
	kube_client_free(x->client);
	make_client(x);
	fetch_start(&f, x->loop, x->client, "/hello");
	poll = loop_add_timer(x->loop, 1, 1, on_resolving, x->loop);
	fetch_run(x->loop);
	loop_remove(x->loop, poll);
	begin = now_ms();
	kube_client_free(x->client);
	x->client = NULL;
	/* The resolver still hangs, as long as it likes. */
	assert_true(now_ms() - begin < HANGS_S * 1000 / 2);
	assert_int_equal(atomic_load(&resolving), 1);
	assert_int_equal(f.ends, 0);
	await_resolver();
}

static void a_name_that_hangs_ends_with_the_limit_for_connecting(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	sem_init(&resolver_go, 0, 0);
	strcpy(x->url, "http://hangs.invalid:1");
	kube_client_free(x->client);
	make_client(x);
	kube_client_set_limits(x->client, 100, 20000);
	fetch_one(&f, x->loop, x->client, "/hello");
	assert_int_equal(f.end, KUBE_END_CONNECT);
	assert_non_null(strstr(f.error.text, "timed out"));
	await_resolver();
}

static void a_name_that_does_not_resolve_is_told(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	sem_init(&resolver_go, 0, 1);
	strcpy(x->url, "http://hangs.invalid:1");
	kube_client_free(x->client);
	make_client(x);
	fetch_one(&f, x->loop, x->client, "/hello");
	assert_int_equal(f.end, KUBE_END_CONNECT);
	assert_non_null(strstr(f.error.text, "hangs.invalid"));
	assert_non_null(strstr(f.error.text, "resolve"));
}

/* ---- tokens ---- */

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void the_token_is_read_anew_for_each_request(void **state)
{
	struct fixture *x = *state;
	char path[] = "/tmp/nodens-token-XXXXXX";
	struct fetch first = {0}, second = {0}, third = {0};

	close(mkstemp(path));
	x->config.token_file = path;
	write_text(path, "one\n");
	fetch_one(&first, x->loop, x->client, "/hello");
	assert_non_null(strstr(x->server.head, "\r\nAuthorization: Bearer one\r\n"));
	write_text(path, "two\n");
	fetch_one(&second, x->loop, x->client, "/hello");
	assert_non_null(strstr(x->server.head, "\r\nAuthorization: Bearer two\r\n"));
	/* On the same connection. */
	assert_int_equal(x->server.count, 1);
	unlink(path);
	fetch_one(&third, x->loop, x->client, "/hello");
	assert_int_equal(third.end, KUBE_END_LOCAL);
	assert_non_null(strstr(third.error.text, path));
	assert_int_equal(x->server.requests, 2);
}

/* ---- the program around it ---- */

static void a_broken_connection_does_not_end_the_process(void **state)
{
	struct sigaction now;

	(void)state;
	assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
	assert_true(now.sa_handler == SIG_IGN);
}

static void a_configuration_that_cannot_work_is_told_at_once(void **state)
{
	struct fixture *x = *state;
	struct kube_config c = {.server = x->url, .ca_file = (char *)"/nonexistent/ca.crt"};
	struct error e = {""};

	assert_null(kube_client_new(x->loop, &c, &e));
	assert_non_null(strstr(e.text, "/nonexistent/ca.crt"));
	assert_non_null(strstr(e.text, "certificate authority"));
	c = (struct kube_config){.server = x->url, .ca_file = (char *)"/proc/self/status"};
	assert_null(kube_client_new(x->loop, &c, &e));
	assert_non_null(strstr(e.text, "not in PEM form"));
	c = (struct kube_config){.server = x->url, .server_name = (char *)"a b"};
	assert_null(kube_client_new(x->loop, &c, &e));
	assert_non_null(strstr(e.text, "tls-server-name a b"));
	c = (struct kube_config){.server = (char *)"http://[::1"};
	assert_null(kube_client_new(x->loop, &c, &e));
	assert_non_null(strstr(e.text, "http://[::1"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_answer_ends_as_what_it_is),
		CASE(the_head_tells_type_and_when_to_come_again),
		CASE(a_body_is_handed_on_while_it_arrives),
		CASE(a_large_body_is_complete_and_counted),
		CASE(gzip_is_undone_and_octets_count_as_they_came),
		CASE(without_wishing_for_gzip_none_is_asked_for),
		CASE(what_is_sent_is_a_plain_get_for_json),
		CASE(a_path_in_the_servers_url_stays_in_front),
		CASE(a_refused_connection_names_server_and_cause),
		CASE(a_head_that_does_not_come_in_time_ends_the_request),
		CASE(the_body_has_all_the_time_it_wants),
		CASE(the_servers_address_may_be_ipv6),
		CASE(a_name_that_hangs_stops_neither_the_loop_nor_the_end),
		CASE(a_name_that_hangs_ends_with_the_limit_for_connecting),
		CASE(a_name_that_does_not_resolve_is_told),
		CASE(the_token_is_read_anew_for_each_request),
		CASE(a_broken_connection_does_not_end_the_process),
		CASE(a_configuration_that_cannot_work_is_told_at_once),
	};

	/* Not this machine's proxy. */
	setenv("no_proxy", "*", 1);
	own_threads = threads();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
