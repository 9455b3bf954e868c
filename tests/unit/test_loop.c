/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: order of life of its handles, timers, signals. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"

struct fixture {
	struct loop *loop;
	struct loop_handle *a, *b, *timer;
	int calls, fd_a, fd_b, signo;
};

static int make_event(void)
{
	int fd = eventfd(1, EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static void stop(void *ctx)
{
	struct fixture *f = ctx;

	loop_stop(f->loop, 7);
}

static void remove_both(void *ctx, uint32_t events)
{
	struct fixture *f = ctx;

	(void)events;
	f->calls++;
	loop_remove(f->loop, f->a);
	loop_remove(f->loop, f->b);
}

static void a_callback_may_remove_itself_and_a_handle_whose_event_waits(void **state)
{
	struct fixture f = {.loop = loop_new(), .fd_a = make_event(), .fd_b = make_event()};

	(void)state;
	f.a = loop_add_fd(f.loop, f.fd_a, EPOLLIN, remove_both, &f);
	f.b = loop_add_fd(f.loop, f.fd_b, EPOLLIN, remove_both, &f);
	assert_non_null(loop_add_timer(f.loop, 20, 0, stop, &f));
	assert_int_equal(loop_run(f.loop), 7);
	assert_int_equal(f.calls, 1);
	loop_free(f.loop);
	close(f.fd_a);
	close(f.fd_b);
}

static void on_period(void *ctx)
{
	struct fixture *f = ctx;

	if (++f->calls == 3)
		loop_stop(f->loop, 0);
}

static void a_periodic_timer_fires_until_the_loop_is_stopped(void **state)
{
	struct fixture f = {.loop = loop_new()};

	(void)state;
	f.timer = loop_add_timer(f.loop, 1, 1, on_period, &f);
	assert_non_null(f.timer);
	assert_int_equal(loop_run(f.loop), 0);
	assert_int_equal(f.calls, 3);
	loop_free(f.loop);
}

static void count_and_stop(void *ctx)
{
	struct fixture *f = ctx;

	f->calls++;
	loop_stop(f->loop, 1);
}

static void a_timer_is_disarmed_and_armed_again(void **state)
{
	struct fixture f = {.loop = loop_new()};

	(void)state;
	f.timer = loop_add_timer(f.loop, 5, 0, count_and_stop, &f);
	assert_int_equal(loop_set_timer(f.timer, 0, 0), 0);
	assert_non_null(loop_add_timer(f.loop, 20, 0, stop, &f));
	assert_int_equal(loop_run(f.loop), 7);
	assert_int_equal(f.calls, 0);
	/* No other timer beside it: which of two comes first that are both due is not told. */
	assert_int_equal(loop_set_timer(f.timer, 1, 0), 0);
	assert_int_equal(loop_run(f.loop), 1);
	assert_int_equal(f.calls, 1);
	loop_free(f.loop);
}

static void on_signal(void *ctx, int signo)
{
	struct fixture *f = ctx;

	f->signo = signo;
	loop_stop(f->loop, 0);
}

static void signals_come_through_the_loop_and_do_not_kill(void **state)
{
	struct fixture f = {.loop = loop_new()};
	sigset_t set;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	assert_non_null(loop_add_signals(f.loop, &set, on_signal, &f));
	raise(SIGHUP);
	assert_int_equal(loop_run(f.loop), 0);
	assert_int_equal(f.signo, SIGHUP);
	raise(SIGTERM);
	assert_int_equal(loop_run(f.loop), 0);
	assert_int_equal(f.signo, SIGTERM);
	loop_free(f.loop);
}

static void add_another(void *ctx)
{
	struct fixture *f = ctx;

	f->calls++;
	loop_remove(f->loop, f->timer);
	f->timer = f->calls < 50 ? loop_add_timer(f->loop, 1, 0, add_another, f) : NULL;
	if (!f->timer)
		loop_stop(f->loop, 0);
}

static void a_callback_may_replace_its_own_handle(void **state)
{
	struct fixture f = {.loop = loop_new()};

	(void)state;
	f.timer = loop_add_timer(f.loop, 1, 0, add_another, &f);
	assert_int_equal(loop_run(f.loop), 0);
	assert_int_equal(f.calls, 50);
	loop_free(f.loop);
}

static void a_handle_hears_only_the_events_it_asks_for(void **state)
{
	struct fixture f = {.loop = loop_new(), .fd_a = make_event()};

	(void)state;
	f.a = loop_add_fd(f.loop, f.fd_a, EPOLLIN, remove_both, &f);
	assert_int_equal(loop_set_events(f.a, 0), 0);
	assert_non_null(loop_add_timer(f.loop, 10, 0, stop, &f));
	assert_int_equal(loop_run(f.loop), 7);
	assert_int_equal(f.calls, 0);
	loop_free(f.loop);
	close(f.fd_a);
}

static void what_cannot_be_watched_is_an_error_with_its_cause(void **state)
{
	struct loop *l = loop_new();

	(void)state;
	assert_null(loop_add_fd(l, -1, EPOLLIN, remove_both, NULL));
	assert_int_equal(errno, EBADF);
	loop_remove(l, NULL);
	loop_free(l);
	loop_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_callback_may_remove_itself_and_a_handle_whose_event_waits),
		cmocka_unit_test(a_periodic_timer_fires_until_the_loop_is_stopped),
		cmocka_unit_test(a_timer_is_disarmed_and_armed_again),
		cmocka_unit_test(signals_come_through_the_loop_and_do_not_kill),
		cmocka_unit_test(a_callback_may_replace_its_own_handle),
		cmocka_unit_test(a_handle_hears_only_the_events_it_asks_for),
		cmocka_unit_test(what_cannot_be_watched_is_an_error_with_its_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
