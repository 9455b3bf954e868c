/* SPDX-License-Identifier: Apache-2.0 */
/* The API client: requests side by side, and what callers may do from within callbacks. */
#include <errno.h>
#include <sys/epoll.h>

#include "client_scripts.h"

/* ---- side by side ---- */

static int one_less(struct fetch *f)
{
	if (--*f->pending == 0)
		loop_stop(f->loop, 0);
	return 0;
}

static void a_stalled_watch_stalls_no_other(void **state)
{
	struct fixture *x = *state;
	struct fetch stalled[3] = {{.at_data = one_less}, {.at_data = one_less}, {.at_data = one_less}}, f = {0};
	int pending = 3;

	for (int i = 0; i < 3; i++) {
		stalled[i].pending = &pending;
		fetch_start(&stalled[i], x->loop, x->client, "/stall");
	}
	fetch_run(x->loop);
	fetch_one(&f, x->loop, x->client, "/large");
	assert_int_equal(f.len, LARGE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(stalled[i].ends, 0);
}

static void sixty_four_requests_at_once(void **state)
{
	static const char *const targets[] = {"/hello", "/chunked", "/close", "/cut-length"};
	struct fixture *x = *state;
	struct fetch *f = calloc(64, sizeof(*f));
	int pending = 64;

	for (int i = 0; i < 64; i++) {
		f[i].pending = &pending;
		fetch_start(&f[i], x->loop, x->client, targets[i % 4]);
	}
	fetch_run(x->loop);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(f[i].end, i % 4 == 3 ? KUBE_END_CUT : KUBE_END_COMPLETE);
		assert_string_equal(f[i].body, "hello");
	}
	free(f);
}

static void again(struct fetch *f)
{
	static const char *const targets[] = {"/close", "/hello", "/cut-chunk", "/empty", "/reset"};
	int left = *f->pending - 1;

	if (!left)
		return;
	f->heads = f->datas = f->ends = 0;
	f->request = kube_client_get(f->client, targets[left % 5], false, &fetch_callbacks, f, NULL);
	assert_non_null(f->request);
}

/* The numbers of closed descriptors come again at once, beside a watch that stays. */
static void descriptors_used_again_confuse_nothing(void **state)
{
	struct fixture *x = *state;
	struct fetch watch = {0}, one = {.at_end = again}, other = {.at_end = again};
	int pending = 300;

	fetch_start(&watch, x->loop, x->client, "/stall");
	one.pending = other.pending = &pending;
	fetch_start(&one, x->loop, x->client, "/close");
	fetch_start(&other, x->loop, x->client, "/close");
	fetch_run(x->loop);
	assert_string_equal(watch.body, "first");
	assert_int_equal(watch.ends, 0);
}

static void connections_are_kept_for_the_next_request(void **state)
{
	struct fixture *x = *state;

	for (int i = 0; i < 10; i++) {
		struct fetch f = {0};

		fetch_one(&f, x->loop, x->client, "/hello");
		assert_int_equal(f.end, KUBE_END_COMPLETE);
	}
	assert_int_equal(x->server.count, 1);
}

static void a_kept_connection_that_the_server_closed_is_no_error(void **state)
{
	struct fixture *x = *state;
	struct fetch first = {0}, second = {0};
	uint16_t port = x->server.port;

	fetch_one(&first, x->loop, x->client, "/hello");
	pthread_mutex_lock(&x->server.lock);
	shutdown(x->server.fds[0], SHUT_RDWR);
	pthread_mutex_unlock(&x->server.lock);
	fetch_one(&second, x->loop, x->client, "/hello");
	assert_int_equal(second.end, KUBE_END_COMPLETE);
	assert_int_equal(x->server.port, port);
	assert_int_equal(x->server.count, 2);
}

static unsigned int turns;

/* The loop's call gets here. */
int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
	turns++;
	return epoll_pwait(epfd, events, maxevents, timeout, NULL);
}

static void a_kept_connection_that_the_server_closed_wakes_nobody(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	fetch_one(&f, x->loop, x->client, "/hello");
	pthread_mutex_lock(&x->server.lock);
	shutdown(x->server.fds[0], SHUT_RDWR);
	pthread_mutex_unlock(&x->server.lock);
	turns = 0;
	run_a_while(x);
	assert_in_range(turns, 1, 10);
}

/* ---- what callers may do from within ---- */

static void cancel_self(struct fetch *f)
{
	kube_request_cancel(f->request);
	loop_stop(f->loop, 0);
}

static int cancel_self_at_data(struct fetch *f)
{
	cancel_self(f);
	return 0;
}

static void a_request_cancelled_in_its_own_callback_is_silent_afterwards(void **state)
{
	static const char *const targets[] = {"/hello", "/large", "/stall", "/chunked", "/cut-chunk", "/gzip"};
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		struct fetch at_head = {.at_head = cancel_self}, at_data = {.at_data = cancel_self_at_data};

		fetch_start(&at_head, x->loop, x->client, targets[i]);
		fetch_run(x->loop);
		run_a_while(x);
		assert_int_equal(at_head.heads, 1);
		assert_int_equal(at_head.datas + at_head.ends, 0);
		fetch_start(&at_data, x->loop, x->client, targets[i]);
		fetch_run(x->loop);
		run_a_while(x);
		assert_int_equal(at_data.datas, 1);
		assert_int_equal(at_data.ends, 0);
	}
}

static void cancel_before(struct fetch *f)
{
	/* f->request is NULL since on_end; a caller may hold it still. */
	kube_request_cancel(f->other->request);
	f->other->request = NULL;
}

static int cancel_other_at_data(struct fetch *f)
{
	cancel_before(f);
	return 0;
}

static void a_request_may_be_cancelled_in_anothers_callbacks(void **state)
{
	static const char *const targets[] = {"/stall", "/hello", "/large", "/no-answer", "/close"};
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
		for (int when = 0; when < 3; when++) {
			struct fetch other = {0}, f = {.other = &other};
			int before;

			f.at_head = when == 0 ? cancel_before : NULL;
			f.at_data = when == 1 ? cancel_other_at_data : NULL;
			f.at_end = when == 2 ? cancel_before : NULL;
			fetch_start(&other, x->loop, x->client, targets[i]);
			fetch_one(&f, x->loop, x->client, "/hello");
			assert_int_equal(f.end, KUBE_END_COMPLETE);
			before = other.heads + other.datas + other.ends;
			run_a_while(x);
			assert_int_equal(other.heads + other.datas + other.ends, before);
		}
}

static struct kube_request *kept;

static void cancel_kept(struct fetch *f)
{
	(void)f;
	kube_request_cancel(kept);
}

static void cancelling_in_on_end_does_nothing(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {.at_end = cancel_kept};
	int pending = 1;

	f.pending = &pending;
	fetch_start(&f, x->loop, x->client, "/hello");
	kept = f.request;
	fetch_run(x->loop);
	assert_int_equal(f.ends, 1);
}

static void a_request_cancelled_before_it_began_is_never_sent(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	fetch_start(&f, x->loop, x->client, "/hello");
	kube_request_cancel(f.request);
	kube_request_cancel(NULL);
	run_a_while(x);
	assert_int_equal(f.heads + f.datas + f.ends, 0);
	assert_int_equal(x->server.requests, 0);
}

static int stop_by_result(struct fetch *f)
{
	(void)f;
	return 1;
}

static void on_data_may_stop_the_request(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {.at_data = stop_by_result};

	fetch_one(&f, x->loop, x->client, "/large");
	assert_int_equal(f.end, KUBE_END_STOPPED);
	assert_int_equal(f.datas, 1);
}

static int get_more(struct fetch *f)
{
	if (f->other && !f->other->request)
		fetch_start(f->other, f->loop, f->client, "/chunked");
	return 0;
}

static void requests_may_be_made_from_callbacks(void **state)
{
	struct fixture *x = *state;
	struct fetch inner = {0}, f = {.at_data = get_more, .other = &inner};
	int pending = 2;

	f.pending = inner.pending = &pending;
	fetch_start(&f, x->loop, x->client, "/hello");
	fetch_run(x->loop);
	assert_string_equal(f.body, "hello");
	assert_string_equal(inner.body, "hello");
	assert_int_equal(inner.end, KUBE_END_COMPLETE);
}

static void free_client(struct fetch *f)
{
	kube_client_free(f->client);
	loop_stop(f->loop, 0);
}

static int free_client_at_data(struct fetch *f)
{
	free_client(f);
	return 0;
}

static void free_client_later(void *ctx)
{
	free_client(ctx);
}

static void the_client_may_be_freed_anywhere_with_requests_under_way(void **state)
{
	static const char *const targets[] = {"/hello", "/large", "/stall", "/cut-length"};
	struct fixture *x = *state;

	for (int i = 0; i < 16; i++) {
		struct fetch waiting = {0}, queued = {0}, f = {0};
		int ends;

		f.at_head = i % 4 == 0 ? free_client : NULL;
		f.at_data = i % 4 == 1 ? free_client_at_data : NULL;
		f.at_end = i % 4 == 2 ? free_client : NULL;
		/* A stalled request has no end; freed by the timer then. */
		assert_non_null(loop_add_timer(x->loop, i % 4 == 3 || i / 4 == 2 ? 30 : 0, 0, free_client_later, &f));
		if (i % 4 < 2 && i / 4 == 2)
			f.at_head = NULL, f.at_data = NULL;
		fetch_start(&waiting, x->loop, x->client, "/no-answer");
		fetch_start(&f, x->loop, x->client, targets[i / 4]);
		fetch_start(&queued, x->loop, x->client, "/stall");
		fetch_run(x->loop);
		ends = f.ends;
		assert_int_equal(waiting.ends + queued.ends, 0);
		make_client(x);
		run_a_while(x);
		assert_int_equal(f.ends, ends);
		assert_int_equal(waiting.ends + queued.ends, 0);
	}
	kube_client_free(NULL);
}

static void a_client_freed_at_once_has_sent_nothing(void **state)
{
	struct fixture *x = *state;
	struct fetch f = {0};

	fetch_start(&f, x->loop, x->client, "/hello");
	kube_client_free(x->client);
	x->client = NULL;
	run_a_while(x);
	assert_int_equal(f.ends, 0);
	assert_int_equal(x->server.requests, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_stalled_watch_stalls_no_other),
		CASE(sixty_four_requests_at_once),
		CASE(descriptors_used_again_confuse_nothing),
		CASE(connections_are_kept_for_the_next_request),
		CASE(a_kept_connection_that_the_server_closed_is_no_error),
		CASE(a_kept_connection_that_the_server_closed_wakes_nobody),
		CASE(a_request_cancelled_in_its_own_callback_is_silent_afterwards),
		CASE(a_request_may_be_cancelled_in_anothers_callbacks),
		CASE(cancelling_in_on_end_does_nothing),
		CASE(a_request_cancelled_before_it_began_is_never_sent),
		CASE(on_data_may_stop_the_request),
		CASE(requests_may_be_made_from_callbacks),
		CASE(the_client_may_be_freed_anywhere_with_requests_under_way),
		CASE(a_client_freed_at_once_has_sent_nothing),
	};

	/* Not this machine's proxy. */
	setenv("no_proxy", "*", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
