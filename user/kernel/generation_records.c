/* SPDX-License-Identifier: Apache-2.0 */
/* The iterator that shows a generation's records as text: loaded over its maps, pinned as DIR/g<number>/records. */
#include "kernel/generation_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel/bpf_messages.h"
#include "records.skel.h"

#define KERNEL_TYPES "/sys/kernel/btf/vmlinux"

static int load(const struct generation *g, struct records_bpf **ret_skel, struct error *e)
{
	struct records_bpf *skel;
	int err;

	/* libbpf's own words for it are many and not these. */
	if (access(KERNEL_TYPES, R_OK) < 0)
		return error_set(e, -errno, "%s: %s", KERNEL_TYPES, strerror(errno));
	bpf_messages_start();
	skel = records_bpf__open();
	if (!skel)
		return bpf_messages_explain(e, -errno, "opening the iterator");
	err = bpf_map__reuse_fd(skel->maps.arena, g->map_fd[MAP_ARENA]);
	if (!err)
		err = records_bpf__load(skel);
	if (err) {
		records_bpf__destroy(skel);
		return bpf_messages_explain(e, err, "loading the iterator");
	}
	*ret_skel = skel;
	return 0;
}

/* The link holds program and maps. */
static int pin_link(const struct generation *g, const struct bpf_program *program, const char *path, struct error *e)
{
	union bpf_iter_link_info target = {.map = {.map_fd = (__u32)g->map_fd[MAP_INDEX]}};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &target, .link_info_len = sizeof(target));
	struct bpf_link *link = bpf_program__attach_iter(program, &opts);
	int err = 0;

	if (!link)
		return bpf_messages_explain(e, -errno, "attaching the iterator");
	if (bpf_obj_pin(bpf_link__fd(link), path) < 0)
		err = error_set(e, -errno, "pinning %s: %s", path, strerror(errno));
	bpf_link__destroy(link);
	return err;
}

static int publish(const struct generation *g, const char *folder, struct error *e)
{
	char path[GENERATION_PATH_MAX];
	struct records_bpf *skel = NULL;
	int err = load(g, &skel, e);

	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/records", folder);
	err = pin_link(g, skel->progs.nodens_records, path, e);
	records_bpf__destroy(skel);
	return err;
}

void generation_publish_records(struct generation *g, const char *folder)
{
	struct nodens_status *status = generation_status(g);
	struct error e = {0};

	(void)publish(g, folder, &e);
	snprintf(status->records_note, sizeof(status->records_note), "%.*s", (int)sizeof(status->records_note) - 1, e.text);
}

const char *generation_records_note(const struct generation *g)
{
	return ((const struct nodens_status *)g->region[MAP_STATUS].at)->records_note;
}
