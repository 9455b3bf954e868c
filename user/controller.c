/* SPDX-License-Identifier: Apache-2.0 */
/* The agent from start to end: lock, source, records, datapath, heartbeat, signals. */
#include "controller.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "controller_state.h"
#include "kernel/attach.h"
#include "notify.h"

/* Beats between two looks for servers: endpoints linger, and a node-local cache may come. */
#define SERVERS_EVERY 10
/* Each after the folder was removed between making and locking it. */
#define LOCK_TRIES 3
/* Of the second in which SIGTERM ends us, with --on-exit detach. */
#define DETACH_PATIENCE_MS 300

/* ---- the lock ---- */

static void log_holder(const char *dir)
{
	struct generation *g = NULL;
	struct error e = {0};
	const struct nodens_status *s;
	uint64_t now_ms = heartbeat_now_ms();
	int err = generation_open(dir, &g, &e);

	if (err == -ENOENT) {
		log_warn("another agent holds the lock and has loaded nothing yet: waiting", LOG_TEXT("bpffs", dir));
		return;
	}
	if (err) {
		log_warn("another agent holds the lock: waiting", LOG_TEXT("bpffs", dir), LOG_TEXT("who", e.text));
		return;
	}
	s = generation_status(g);
	log_warn("another agent holds the lock: waiting", LOG_TEXT("bpffs", dir), LOG_NUM("pid", s->pid),
		 LOG_TEXT("host", s->host), LOG_TEXT("pod", s->pod),
		 LOG_NUM("running_s", s->started_ms < now_ms ? (now_ms - s->started_ms) / 1000 : 0));
	generation_free(g);
}

static void make_signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

/* Who ends may take the folder away before it lets go of the lock (--on-exit detach, nodens detach): then it is made anew. */
static int make_and_lock_dir(const char *dir, struct error *e)
{
	int fd = -ENOENT;

	for (int i = 0; fd == -ENOENT && i < LOCK_TRIES; i++) {
		fd = generation_prepare_dir(dir, e);
		if (!fd)
			fd = generation_lock_dir(dir, e);
	}
	return fd;
}

/* Signals are blocked already. -EINTR: told to end. */
static int wait_for_lock(struct controller *c, struct error *e)
{
	const struct timespec second = {.tv_sec = 1};
	bool is_told = false;
	sigset_t set;

	make_signal_set(&set);
	for (;;) {
		int signo;
		int fd = make_and_lock_dir(c->params->dir, e);

		if (fd >= 0)
			c->lock_fd = fd;
		if (fd != -EWOULDBLOCK)
			return fd < 0 ? fd : 0;
		if (!is_told) {
			log_holder(c->params->dir);
			notify_status("waiting: another agent holds the lock");
		}
		is_told = true;
		signo = sigtimedwait(&set, NULL, &second);
		if (signo == SIGTERM || signo == SIGINT)
			return -EINTR;
	}
}

/* ---- heartbeat ---- */

void controller_beat(struct controller *c)
{
	int err = c->is_live ? heartbeat_beat(&c->heart, controller_generation(c)) : 0;

	if (err)
		log_error("the heartbeat cannot be written: the datapath will pass everything on",
			  LOG_TEXT("cause", strerror(-err)));
}

static void resume(struct controller *c)
{
	log_warn("the machine slept or the agent stood still: everything is passed on until the source has answered");
	(void)gate_shut(&c->gate, GATE_RESUMED, "the machine slept or the agent stood still, and the source has not answered since");
	controller_apply_gate(c);
	source_resync(c->source);
}

/* Not synced: once the agent before serves no more, a generation of ours stands there, so that people see us. */
static void stand_in(struct controller *c)
{
	struct error e = {0};
	int err;

	if (controller_former_serves_ms(c))
		return;
	err = controller_go_live(c, &e);
	if (err)
		controller_fail(c, err, &e);
}

static void beat_live(struct controller *c)
{
	struct error e = {0};

	/* First, so that no beat opens for records from before the sleep. */
	if (heartbeat_has_slept(&c->heart))
		resume(c);
	controller_beat(c);
	loader_tick(c->loader);
	if (c->beats % SERVERS_EVERY == 0 && controller_update_servers(c, &e))
		log_error("the server addresses cannot be written", LOG_TEXT("cause", e.text));
	controller_write_status(c);
}

static void on_beat(void *ctx)
{
	struct controller *c = ctx;

	c->beats++;
	if (c->is_live)
		beat_live(c);
	else
		stand_in(c);
	if (!controller_is_synced(c) && c->beats % SERVERS_EVERY == 0)
		(void)notify_send(CONTROLLER_START_GOES_ON);
	if (notify_watchdog_ms())
		(void)notify_send("WATCHDOG=1");
}

/* A long load is a sign of life too, and ends when the agent is told to. The signal stays pending for the loop. */
int controller_on_progress(void *ctx)
{
	sigset_t pending;

	controller_beat(ctx);
	sigpending(&pending);
	return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1 ? -EINTR : 0;
}

static uint64_t beat_period_ms(const struct controller *c)
{
	uint64_t period_ms = heartbeat_period_ms(c->params->stale_after_ms);
	uint64_t watchdog_ms = notify_watchdog_ms();

	return watchdog_ms && watchdog_ms / 2 < period_ms ? watchdog_ms / 2 + 1 : period_ms;
}

/* ---- signals ---- */

static void on_signal(void *ctx, int signo)
{
	struct controller *c = ctx;

	if (signo == SIGHUP) {
		log_info("SIGHUP: reading the source again");
		source_resync(c->source);
		return;
	}
	log_info("ending", LOG_TEXT("signal", signo == SIGTERM ? "SIGTERM" : "SIGINT"));
	(void)notify_send("STOPPING=1");
	loop_stop(c->loop, 0);
}

/* ---- start ---- */

static int start(struct controller *c, struct error *e)
{
	uint64_t period_ms = beat_period_ms(c);
	sigset_t set;
	int err;

	make_signal_set(&set);
	c->loop = loop_new();
	if (!c->loop || !loop_add_signals(c->loop, &set, on_signal, c))
		return error_set(e, -errno, "the event loop cannot be made: %s", strerror(errno));
	err = wait_for_lock(c, e);
	if (err)
		return err;
	err = controller_load(c, e);
	if (err)
		return err;
	if (!loop_add_timer(c->loop, period_ms, period_ms, on_beat, c))
		return error_set(e, -errno, "the heartbeat cannot be started: %s", strerror(errno));
	return 0;
}

void controller_tell_ready(struct controller *c)
{
	struct attachment_counts n;

	attachments_count(c->attachments, &n);
	/* The map first: who sees the line, or is notified, may ask at once. */
	c->status.ready_ms = heartbeat_now_ms();
	controller_write_status(c);
	controller_tell_status(c);
	log_info("ready", LOG_NUM("generation", generation_number(controller_generation(c))),
		 LOG_NUM("names", c->status.names), LOG_NUM("interfaces", n.attached), LOG_NUM("skipped", n.skipped),
		 LOG_NUM("failed", n.failed), LOG_NUM("ms", heartbeat_now_ms() - c->status.started_ms));
	(void)notify_send("READY=1");
}

/* ---- end ---- */

static void on_removed(void *ctx, const char *what)
{
	(void)ctx;
	log_info("removed", LOG_TEXT("what", what));
}

static int detach_all(struct controller *c, struct error *e)
{
	char links[4096];
	int err;

	/* What is still on an interface passes everything, also behind our end. */
	if (controller_generation(c))
		__atomic_store_n(&generation_config(controller_generation(c))->gate, NODENS_GATE_CLOSED, __ATOMIC_RELEASE);
	/* close() of inotify waits for a kernel worker: not behind the hundreds that take links off. */
	source_free(c->source);
	c->source = NULL;
	snprintf(links, sizeof(links), "%s/links", c->params->dir);
	err = attach_remove_all(links, DETACH_PATIENCE_MS, on_removed, NULL, e);
	if (!err)
		err = generation_remove_others(c->params->dir, NULL, e);
	(void)rmdir(links);
	(void)rmdir(c->params->dir);
	return err;
}

static void finish(struct controller *c)
{
	source_free(c->source);
	controller_close_former(c);
	attachments_free(c->attachments);
	loader_free(c->loader);
	store_free(c->store);
	controller_forget_broken(c);
	hmap_done(&c->told_broken);
	servers_done(&c->servers);
	loop_free(c->loop);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
}

int controller_run(const struct controller_params *params, struct error *e)
{
	struct controller c = {.params = params, .lock_fd = -1};
	int err;

	gate_init(&c.gate);
	hmap_init(&c.told_broken);
	err = start(&c, e);
	if (!err && controller_is_synced(&c))
		controller_tell_ready(&c);
	if (!err)
		err = loop_run(c.loop);
	if (err < 0 && c.failed)
		*e = c.failure;
	/* Told to end while it waited for the lock, or loaded: that is no failure, and nothing is ours to remove. */
	if (err == -EINTR && !c.is_live)
		err = 0;
	else if (!err && params->is_detached_on_exit)
		err = detach_all(&c, e);
	finish(&c);
	return err;
}
