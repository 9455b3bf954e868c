/* SPDX-License-Identifier: Apache-2.0 */
/* The helper thread of grace periods: batches go in under a lock, come back through an eventfd. */
#include "kernel/grace.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Between two tries of a wait that fails. */
#define RETRY_MS 100

struct job {
	struct job *next;
	struct table *table;
	struct table_batch *batch;
};

struct grace {
	struct loop *loop;
	struct loop_handle *handle;
	grace_wait_fn wait;
	grace_done_fn done;
	void *ctx;
	int event_fd;
	size_t pending;	    /* of the loop's thread */
	uint64_t completed; /* of the loop's thread */

	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Under the lock: */
	struct job *queued;
	struct job *finished;
	bool stop;
};

static void finish(struct grace *g, struct job *jobs)
{
	while (jobs) {
		struct job *job = jobs;

		jobs = job->next;
		g->pending--;
		g->completed++;
		g->done(g->ctx, job->table, job->batch);
		free(job);
	}
}

static void on_event(void *ctx, uint32_t events)
{
	struct grace *g = ctx;
	struct job *jobs;
	uint64_t count;

	(void)events;
	if (read(g->event_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&g->lock);
	jobs = g->finished;
	g->finished = NULL;
	pthread_mutex_unlock(&g->lock);
	finish(g, jobs);
}

/* Until it succeeds: units must not be given out again on a guess. At the end one failure is enough, nothing is written
 * any more. */
static void wait_readers(struct grace *g)
{
	const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
	bool stop = false;

	while (g->wait(g->ctx) < 0 && !stop) {
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&g->lock);
		stop = g->stop;
		pthread_mutex_unlock(&g->lock);
	}
}

static void append(struct job **list, struct job *jobs)
{
	while (*list)
		list = &(*list)->next;
	*list = jobs;
}

/* One wait ends the grace period of all that were queued when it began. */
static void *run(void *ctx)
{
	const uint64_t one = 1;
	struct grace *g = ctx;
	struct job *jobs;

	pthread_mutex_lock(&g->lock);
	for (;;) {
		while (!g->queued && !g->stop)
			pthread_cond_wait(&g->wake, &g->lock);
		if (!g->queued)
			break;
		jobs = g->queued;
		g->queued = NULL;
		pthread_mutex_unlock(&g->lock);
		wait_readers(g);
		pthread_mutex_lock(&g->lock);
		append(&g->finished, jobs);
		(void)!write(g->event_fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

/* Signals are the loop's. */
static int start_thread(struct grace *g)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&g->thread, NULL, run, g);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

struct grace *grace_new(struct loop *l, grace_wait_fn wait, grace_done_fn done, void *ctx)
{
	struct grace *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return NULL;
	*g = (struct grace){.loop = l, .wait = wait, .done = done, .ctx = ctx};
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->wake, NULL);
	g->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->event_fd >= 0)
		g->handle = loop_add_fd(l, g->event_fd, EPOLLIN, on_event, g);
	err = g->handle ? start_thread(g) : -errno;
	if (!err)
		return g;
	loop_remove(l, g->handle);
	if (g->event_fd >= 0)
		close(g->event_fd);
	free(g);
	errno = -err;
	return NULL;
}

int grace_submit(struct grace *g, struct table *table, struct table_batch *batch)
{
	struct job *job = malloc(sizeof(*job));

	if (!job)
		return -ENOMEM;
	*job = (struct job){.table = table, .batch = batch};
	g->pending++;
	pthread_mutex_lock(&g->lock);
	append(&g->queued, job);
	pthread_cond_signal(&g->wake);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

size_t grace_pending(const struct grace *g)
{
	return g->pending;
}

uint64_t grace_completed(const struct grace *g)
{
	return g->completed;
}

void grace_free(struct grace *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->lock);
	g->stop = true;
	pthread_cond_signal(&g->wake);
	pthread_mutex_unlock(&g->lock);
	pthread_join(g->thread, NULL);
	finish(g, g->finished);
	loop_remove(g->loop, g->handle);
	close(g->event_fd);
	pthread_cond_destroy(&g->wake);
	pthread_mutex_destroy(&g->lock);
	free(g);
}
