/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pod that asks at a steady rate, and the upstream that answers what is passed on; each answer is judged as it comes.
 *
 *   load SHARED NETNS SERVER RATE NAMES RECORDS_MIN RECORDS_MAX [SLOW_OBJECT PERIOD HOLD]
 *
 * SHARED is a file of struct load_shared (load_shared.h), zeros at the start. The upstream serves SERVER in the network
 * namespace it is started in; the pod is in NETNS (a path) and asks for n0 to n<NAMES - 1>.load.svc.cluster.local, each
 * with RECORDS_MIN to RECORDS_MAX addresses, and now and then for a name of nobody. Ends when SHARED says so, and
 * prints what the counters of SHARED do not have as JSON.
 *
 * With SLOW_OBJECT (slow_reader.bpf.c) the pod's thread is looked at each PERIOD nanoseconds of its own time, and held
 * up for HOLD nanoseconds when it is in the middle of the datapath.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/jsonout.h"
#include "load_pod.h"
#include "load_slow.h"

static int enter_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 || setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

static struct load_shared *map_shared(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	void *at;

	if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size != sizeof(struct load_shared)) {
		fprintf(stderr, "load: %s: not a file of %zu octets\n", path, sizeof(struct load_shared));
		return NULL;
	}
	at = mmap(NULL, sizeof(struct load_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return at == MAP_FAILED ? NULL : at;
}

/* ---- from start to end ---- */

static void print_result(const struct pod *p, const struct upstream *u, const struct slow *s)
{
	struct jsonout j;

	jsonout_init(&j, stdout);
	jsonout_open_object(&j, NULL);
	jsonout_number(&j, "sent", p->sent);
	jsonout_number(&j, "not_sent_in_time", p->skipped);
	jsonout_number(&j, "dropped_by_pod_sockets", p->dropped);
	jsonout_number(&j, "dropped_by_upstream_socket", pod_count_dropped(u->fd));
	jsonout_number(&j, "held_up", slow_count(s));
	jsonout_close(&j, '}');
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(-err));
	return 1;
}

static int run(struct pod *p, struct upstream *u)
{
	int err = upstream_start(u);

	if (err)
		return err;
	err = pod_run(p);
	upstream_stop(u);
	return err;
}

int main(int argc, char **argv)
{
	static struct pod pod;
	static struct upstream upstream;
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};
	const struct sched_param priority = {.sched_priority = 1};
	struct slow slow = {0};
	int err;

	if ((argc != 8 && argc != 11) || inet_pton(AF_INET, argv[3], &server.sin_addr) != 1)
		return fprintf(stderr, "usage: load SHARED NETNS SERVER RATE NAMES RECORDS_MIN RECORDS_MAX "
				       "[SLOW_OBJECT PERIOD HOLD]\n"),
		       2;
	pod.rate = (__u32)atoi(argv[4]);
	pod.names = (__u32)atoi(argv[5]);
	pod.range = (struct load_range){(__u32)atoi(argv[6]), (__u32)atoi(argv[7])};
	if (pod.rate < 100 || pod.names < 1 || pod.names > LOAD_NAMES_MAX || pod.range.min < 1 ||
	    pod.range.max < pod.range.min || pod.range.max > LOAD_RECORDS_MAX)
		return fprintf(stderr, "load: a number is out of range\n"), 2;
	pod.shared = map_shared(argv[1]);
	if (!pod.shared)
		return 1;
	/* It measures others: on a busy machine it must not be what is late. */
	(void)sched_setscheduler(0, SCHED_RR, &priority);
	err = upstream_open(&upstream, &server, POD_BUFFER_LEN);
	if (err)
		return fail("the upstream", err);
	err = enter_netns(argv[2]);
	if (!err)
		err = pod_open(&pod, &server);
	if (err)
		return fail("the pod", err);
	if (argc == 11) {
		err = slow_start(&slow, argv[8], strtoull(argv[9], NULL, 10), strtoull(argv[10], NULL, 10));
		if (err)
			return fail(argv[8], err);
	}
	err = run(&pod, &upstream);
	if (err)
		fail("running", err);
	else
		print_result(&pod, &upstream, &slow);
	slow_stop(&slow);
	return err ? 1 : 0;
}
