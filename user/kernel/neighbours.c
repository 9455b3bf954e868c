/* SPDX-License-Identifier: Apache-2.0 */
/* Who is on the hooks of an interface beside us. */
#include "kernel/neighbours.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/attach_internal.h"
#include "kernel/netlink.h"

/* Generations that lie side by side at a switch, times their programs, and some slack. */
#define OURS_MAX    32
#define FILTERS_MAX 64

struct neighbours {
	uint32_t ours[OURS_MAX]; /* ids */
	size_t ours_count;
};

/* ---- which are ours --------------------------------------------------------------------------------------------- */

static void add_pin(struct neighbours *n, const char *dir, const char *generation, const char *pin)
{
	char path[PATH_MAX];
	uint32_t id;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s/%s", dir, generation, pin) >= (int)sizeof(path))
		return;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	id = attach_program_id(fd);
	close(fd);
	if (id && n->ours_count < OURS_MAX)
		n->ours[n->ours_count++] = id;
}

struct neighbours *neighbours_new(const char *dir)
{
	struct neighbours *n = calloc(1, sizeof(*n));
	DIR *d = n ? opendir(dir) : NULL;

	if (!d)
		return n;
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		if (entry->d_name[0] != 'g')
			continue;
		add_pin(n, dir, entry->d_name, "tc");
		add_pin(n, dir, entry->d_name, "xdp");
	}
	closedir(d);
	return n;
}

void neighbours_free(struct neighbours *n)
{
	free(n);
}

/* By their own names too: what an agent before this one left is ours as well. */
static void find_owner(const struct neighbours *n, struct neighbour *who)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);
	int fd;

	for (size_t i = 0; i < n->ours_count; i++)
		who->is_ours |= n->ours[i] == who->prog_id;
	fd = who->prog_id ? bpf_prog_get_fd_by_id(who->prog_id) : -1;
	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0) {
		snprintf(who->name, sizeof(who->name), "%s", info.name);
		who->is_ours |=
			strcmp(info.name, who->hook == NODENS_HOOK_XDP ? ATTACH_XDP_NAME : ATTACH_PROG_NAME) == 0;
	}
	close(fd);
}

/* ---- one hook after the other ----------------------------------------------------------------------------------- */

typedef void (*neighbour_fn)(void *ctx, const struct neighbour *neighbour);

static int take_xdp(const struct nlmsghdr *nlh, void *ctx)
{
	const struct nlattr *attr, *nested;
	uint32_t *ret_id = ctx;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(attr) != IFLA_XDP)
			continue;
		mnl_attr_for_each_nested(nested, attr)
		{
			if (mnl_attr_get_type(nested) == IFLA_XDP_PROG_ID)
				*ret_id = mnl_attr_get_u32(nested);
		}
	}
	return MNL_CB_OK;
}

/* libbpf would read all interfaces for one. */
static int each_xdp(const struct neighbours *n, uint32_t ifindex, neighbour_fn fn, void *ctx)
{
	_Alignas(struct nlmsghdr) char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct ifinfomsg))];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct neighbour who = {.hook = NODENS_HOOK_XDP};
	struct ifinfomsg *ifi;
	int err;

	nlh->nlmsg_type = RTM_GETLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	err = netlink_get(nlh, take_xdp, &who.prog_id);
	if (err || !who.prog_id)
		return err;
	find_owner(n, &who);
	fn(ctx, &who);
	return 0;
}

static int each_tcx(const struct neighbours *n, uint32_t ifindex, neighbour_fn fn, void *ctx)
{
	uint32_t ids[TCX_PROGRAMS_MAX];
	size_t count;
	int err = tcx_query(ifindex, ids, &count);

	for (size_t i = 0; !err && i < count; i++) {
		struct neighbour who = {.hook = NODENS_HOOK_TCX, .prog_id = ids[i]};

		find_owner(n, &who);
		fn(ctx, &who);
	}
	return err;
}

/* A dump that began anew shows a filter twice. */
struct filters {
	struct neighbour found[FILTERS_MAX];
	size_t count;
};

static void add_filter(struct filters *f, const struct neighbour *who)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->found[i].priority == who->priority && f->found[i].handle == who->handle)
			return;
	}
	if (f->count < FILTERS_MAX)
		f->found[f->count++] = *who;
}

static int take_attr(const struct nlattr *attr, void *ctx)
{
	const struct nlattr **attrs = ctx;

	if (mnl_attr_get_type(attr) <= TCA_BPF_MAX)
		attrs[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static void take_options(struct neighbour *who, const struct nlattr *options)
{
	const struct nlattr *attrs[TCA_BPF_MAX + 1] = {0};

	if (strcmp(who->kind, "bpf") != 0 || mnl_attr_parse_nested(options, take_attr, attrs) < 0)
		return;
	if (attrs[TCA_BPF_ID] && mnl_attr_validate(attrs[TCA_BPF_ID], MNL_TYPE_U32) >= 0)
		who->prog_id = mnl_attr_get_u32(attrs[TCA_BPF_ID]);
	if (attrs[TCA_BPF_NAME] && mnl_attr_validate(attrs[TCA_BPF_NAME], MNL_TYPE_NUL_STRING) >= 0)
		snprintf(who->name, sizeof(who->name), "%s", mnl_attr_get_str(attrs[TCA_BPF_NAME]));
}

static int take_filter(const struct nlmsghdr *nlh, void *ctx)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *options = NULL, *attr;
	struct neighbour who = {.hook = NODENS_HOOK_CLSACT};

	/* A priority without filters is dumped as its chain alone, without a handle. */
	if (nlh->nlmsg_type != RTM_NEWTFILTER || tc->tcm_handle == 0)
		return MNL_CB_OK;
	who.priority = TC_H_MAJ(tc->tcm_info) >> 16;
	who.handle = tc->tcm_handle;
	mnl_attr_for_each(attr, nlh, sizeof(*tc))
	{
		if (mnl_attr_get_type(attr) == TCA_KIND && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			snprintf(who.kind, sizeof(who.kind), "%s", mnl_attr_get_str(attr));
		else if (mnl_attr_get_type(attr) == TCA_OPTIONS)
			options = attr;
	}
	if (options)
		take_options(&who, options);
	add_filter(ctx, &who);
	return MNL_CB_OK;
}

static int each_filter(const struct neighbours *n, uint32_t ifindex, neighbour_fn fn, void *ctx)
{
	struct filters f = {.count = 0};
	int err = clsact_dump(ifindex, take_filter, &f);

	for (size_t i = 0; i < f.count; i++) {
		find_owner(n, &f.found[i]);
		fn(ctx, &f.found[i]);
	}
	return err;
}

int neighbours_each(const struct neighbours *n, uint32_t ifindex, neighbour_fn fn, void *ctx, struct error *e)
{
	int err_xdp = each_xdp(n, ifindex, fn, ctx);
	int err_tcx = each_tcx(n, ifindex, fn, ctx);
	int err_filters = each_filter(n, ifindex, fn, ctx);

	if (err_xdp)
		return error_set(e, err_xdp, "asking for the XDP program: %s", strerror(-err_xdp));
	if (err_tcx)
		return error_set(e, err_tcx, "asking for tcx programs: %s", strerror(-err_tcx));
	if (err_filters)
		return error_set(e, err_filters, "listing tc filters: %s", strerror(-err_filters));
	return 0;
}
