/* SPDX-License-Identifier: Apache-2.0 */
/* The tcx hook: links at the head of the chain, and what else is on it. */
#include "kernel/attach_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stddef.h>

#include "kernel/bpf_messages.h"
#include "kernel/pinned_link.h"

/* linux/bpf.h of Linux 6.6 and later; older headers lack them. */
#define TCX_BEFORE    8U  /* BPF_F_BEFORE: alone, the head of the chain */
#define LINK_TYPE_TCX 11U /* BPF_LINK_TYPE_TCX */

#define LOOPBACK_IFINDEX 1

/* ---- what is on the interface ------------------------------------------------------------------------------------ */

int tcx_query(uint32_t ifindex, uint32_t ret_ids[TCX_PROGRAMS_MAX], size_t *ret_count)
{
	__u32 count = TCX_PROGRAMS_MAX;

	if (bpf_prog_query((int)ifindex, TCX_INGRESS, 0, NULL, ret_ids, &count) < 0) {
		/* Nobody was ever on this hook; or no such hook in this kernel. */
		if (errno != ENOENT && errno != EINVAL)
			return -errno;
		count = 0;
	}
	*ret_count = count;
	return 0;
}

int tcx_check(uint32_t ifindex, uint32_t prog_id)
{
	uint32_t ids[TCX_PROGRAMS_MAX];
	size_t count;
	int err = tcx_query(ifindex, ids, &count);

	if (err)
		return err;
	for (size_t i = 0; i < count; i++) {
		if (ids[i] == prog_id)
			return ATTACH_PRESENT;
	}
	return ATTACH_LOST;
}

/* ---- links ------------------------------------------------------------------------------------------------------ */

static int create_link(uint32_t ifindex, int prog_fd, struct error *e)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = TCX_BEFORE);
	int fd;

	bpf_messages_start();
	fd = bpf_link_create(prog_fd, (int)ifindex, TCX_INGRESS, &opts);
	return fd < 0 ? bpf_messages_explain(e, -errno, "making a tcx link") : fd;
}

static const struct pinned_link_kind tcx_link = {
	.prefix = "tcx",
	.program_pin = "tc",
	.program_name = ATTACH_PROG_NAME,
	.link_type = LINK_TYPE_TCX,
	.attach_type = TCX_INGRESS,
	.create = create_link,
	.check = tcx_check,
};

int tcx_add(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	return pinned_link_add(&tcx_link, dir, ifindex, prog_fd, e);
}

int tcx_switch(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	return pinned_link_switch(&tcx_link, dir, ifindex, prog_fd, e);
}

int tcx_remove(const char *dir, uint32_t ifindex, struct error *e)
{
	return pinned_link_remove(&tcx_link, dir, ifindex, e);
}

int tcx_find(const char *dir, uint32_t ifindex, struct error *e)
{
	return pinned_link_find(&tcx_link, dir, ifindex, e);
}

int tcx_unpin(const char *dir, uint32_t ifindex, struct error *e)
{
	return pinned_link_unpin(&tcx_link, dir, ifindex, e);
}

/* Linux 6.6 knows the hook: older ones say EINVAL. */
int tcx_probe(enum nodens_hook *ret_hook, struct error *e)
{
	__u32 count = 0;

	if (bpf_prog_query(LOOPBACK_IFINDEX, TCX_INGRESS, 0, NULL, NULL, &count) == 0)
		*ret_hook = NODENS_HOOK_TCX;
	else if (errno == EINVAL)
		*ret_hook = NODENS_HOOK_CLSACT;
	else
		return bpf_messages_explain(e, -errno, "probing for tcx");
	return 0;
}
