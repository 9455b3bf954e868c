/* SPDX-License-Identifier: Apache-2.0 */
/* The clsact hook of kernels without tcx: one filter of ours, recognised by priority, handle and program name. */
#include "kernel/attach_internal.h"

#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/bpf_messages.h"
#include "kernel/netlink.h"

/* ---- what is there ---------------------------------------------------------------------------------------------- */

/* Filters of one interface, counted in a dump. */
struct filters {
	size_t count;	  /* of all */
	bool has_at_ours; /* one at our priority and handle */
	bool has_ours;	  /* and its program is ours */
	bool has_before;  /* one of our priority stands before it: filters are dumped in the order in which they run */
	uint32_t prog_id; /* of ours */
};

static int take_attr(const struct nlattr *attr, void *ctx)
{
	const struct nlattr **attrs = ctx;

	if (mnl_attr_get_type(attr) <= TCA_BPF_MAX)
		attrs[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

/* libbpf names a filter "<program>:[<id>]", others as they like; the kernel gives the id itself. */
static bool options_are_ours(const struct nlattr *options, uint32_t *ret_id)
{
	const struct nlattr *attrs[TCA_BPF_MAX + 1] = {0};
	char name[64];

	if (!options || mnl_attr_parse_nested(options, take_attr, attrs) < 0 || !attrs[TCA_BPF_NAME] ||
	    !attrs[TCA_BPF_ID])
		return false;
	snprintf(name, sizeof(name), "%s:[%u]", ATTACH_PROG_NAME, mnl_attr_get_u32(attrs[TCA_BPF_ID]));
	*ret_id = mnl_attr_get_u32(attrs[TCA_BPF_ID]);
	return mnl_attr_validate(attrs[TCA_BPF_NAME], MNL_TYPE_NUL_STRING) >= 0 &&
	       strcmp(mnl_attr_get_str(attrs[TCA_BPF_NAME]), name) == 0;
}

static int count_filter(const struct nlmsghdr *nlh, void *ctx)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *options = NULL, *attr;
	struct filters *f = ctx;
	bool is_bpf = false;

	/* A priority without filters is dumped as its chain alone, without a handle. */
	if (nlh->nlmsg_type != RTM_NEWTFILTER || tc->tcm_handle == 0)
		return MNL_CB_OK;
	f->count++;
	if (TC_H_MAJ(tc->tcm_info) >> 16 != CLSACT_PRIORITY)
		return MNL_CB_OK;
	if (tc->tcm_handle != CLSACT_HANDLE) {
		f->has_before |= !f->has_at_ours;
		return MNL_CB_OK;
	}
	mnl_attr_for_each(attr, nlh, sizeof(*tc))
	{
		if (mnl_attr_get_type(attr) == TCA_KIND)
			is_bpf = strcmp(mnl_attr_get_str(attr), "bpf") == 0;
		else if (mnl_attr_get_type(attr) == TCA_OPTIONS)
			options = attr;
	}
	f->has_at_ours = true;
	f->has_ours = is_bpf && options_are_ours(options, &f->prog_id);
	return MNL_CB_OK;
}

static int dump_filters(uint32_t ifindex, uint32_t parent, mnl_cb_t fn, void *ctx)
{
	_Alignas(struct nlmsghdr) char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct tcmsg))];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct tcmsg *tc;
	int err;

	nlh->nlmsg_type = RTM_GETTFILTER;
	tc = mnl_nlmsg_put_extra_header(nlh, sizeof(*tc));
	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = (int)ifindex;
	tc->tcm_parent = parent;
	err = netlink_dump(nlh, fn, ctx);
	/* No such qdisc, no such interface: no filters. */
	return err == -EINVAL || err == -ENOENT || err == -ENODEV ? 0 : err;
}

int clsact_dump(uint32_t ifindex, int (*fn)(const struct nlmsghdr *nlh, void *ctx), void *ctx)
{
	return dump_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), fn, ctx);
}

static int find_filters(uint32_t ifindex, struct filters *ret_filters, struct error *e)
{
	struct filters f = {0};
	int err = clsact_dump(ifindex, count_filter, &f);

	if (err)
		return error_set(e, err, "listing tc filters: %s", strerror(-err));
	*ret_filters = f;
	return 0;
}

/* ---- what we do ------------------------------------------------------------------------------------------------- */

static struct bpf_tc_hook hook_of(uint32_t ifindex, enum bpf_tc_attach_point point)
{
	return (struct bpf_tc_hook){.sz = sizeof(struct bpf_tc_hook), .ifindex = (int)ifindex, .attach_point = point};
}

static void marker_path(const char *dir, uint32_t ifindex, char ret_path[ATTACH_PATH_MAX])
{
	snprintf(ret_path, ATTACH_PATH_MAX, "%s/qdisc_%u", dir, ifindex);
}

void clsact_forget_qdisc(const char *dir, uint32_t ifindex)
{
	char path[ATTACH_PATH_MAX];

	marker_path(dir, ifindex, path);
	(void)rmdir(path);
}

void clsact_forget_unsure(const char *dir)
{
	DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		struct filters f = {0};
		unsigned int ifindex;

		if (sscanf(entry->d_name, "qdisc_%u", &ifindex) == 1 && clsact_dump(ifindex, count_filter, &f) == 0 &&
		    !f.has_ours)
			clsact_forget_qdisc(dir, ifindex);
	}
	closedir(d);
}

/* The marker comes behind the qdisc: a marker never claims a qdisc of somebody else. */
static int make_qdisc(const char *dir, uint32_t ifindex, struct error *e)
{
	struct bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS);
	char path[ATTACH_PATH_MAX];
	int err = bpf_tc_hook_create(&hook);

	if (err == -EEXIST)
		return 0;
	if (err)
		return bpf_messages_explain(e, err, "making the clsact qdisc");
	marker_path(dir, ifindex, path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(e, -errno, "making %s: %s", path, strerror(errno));
	return 0;
}

static int put_filter(uint32_t ifindex, int prog_fd, bool is_replace, struct error *e)
{
	struct bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog_fd, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY,
		    .flags = is_replace ? BPF_TC_F_REPLACE : 0);
	int err = bpf_tc_attach(&hook, &opts);

	return err ? bpf_messages_explain(e, err, "adding the tc filter") : 0;
}

static int refuse_foreign(struct error *e)
{
	return error_set(e, -EEXIST, "tc filter of priority %d, handle 0x%x is not %s: left alone", CLSACT_PRIORITY,
			 CLSACT_HANDLE, ATTACH_PROG_NAME);
}

int clsact_add(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	struct filters f = {0};
	int err;

	bpf_messages_start();
	err = make_qdisc(dir, ifindex, e);
	if (!err)
		err = find_filters(ifindex, &f, e);
	if (err)
		return err;
	/* Forgets libbpf's complaint about a qdisc that is there already. */
	bpf_messages_start();
	if (f.has_at_ours && !f.has_ours)
		return refuse_foreign(e);
	return put_filter(ifindex, prog_fd, f.has_ours, e);
}

int clsact_switch(uint32_t ifindex, int prog_fd, struct error *e)
{
	struct filters f = {0};
	int err = find_filters(ifindex, &f, e);

	if (err)
		return err;
	if (f.has_at_ours && !f.has_ours)
		return refuse_foreign(e);
	if (!f.has_ours)
		return error_set(e, -ENOENT, "no tc filter of ours");
	bpf_messages_start();
	return put_filter(ifindex, prog_fd, true, e);
}

/* Both directions hang on the one qdisc. */
static int remove_qdisc_if_unused(const char *dir, uint32_t ifindex, struct error *e)
{
	struct bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
	struct filters f = {0};
	char path[ATTACH_PATH_MAX];
	int err;

	marker_path(dir, ifindex, path);
	if (rmdir(path) < 0)
		return errno == ENOENT ? 0 : error_set(e, -errno, "removing %s: %s", path, strerror(errno));
	err = clsact_dump(ifindex, count_filter, &f);
	if (!err)
		err = dump_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), count_filter, &f);
	if (!err && f.count == 0)
		err = bpf_tc_hook_destroy(&hook);
	if (err && err != -ENODEV && err != -ENOENT && err != -EINVAL)
		return bpf_messages_explain(e, err, "removing the clsact qdisc");
	return 0;
}

int clsact_remove(const char *dir, uint32_t ifindex, struct error *e)
{
	struct bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	struct filters f = {0};
	int err = find_filters(ifindex, &f, e);

	if (err)
		return err;
	bpf_messages_start();
	if (f.has_ours) {
		err = bpf_tc_detach(&hook, &opts);
		if (err && err != -ENOENT && err != -ENODEV)
			return bpf_messages_explain(e, err, "removing the tc filter");
	}
	err = remove_qdisc_if_unused(dir, ifindex, e);
	return err ? err : f.has_ours;
}

int clsact_check(uint32_t ifindex, uint32_t prog_id, struct error *e)
{
	struct filters f = {0};
	int err = find_filters(ifindex, &f, e);

	if (err)
		return err;
	if (!f.has_ours || f.prog_id != prog_id)
		return ATTACH_LOST;
	return f.has_before ? ATTACH_BEHIND : ATTACH_PRESENT;
}

int clsact_move_front(uint32_t ifindex, int prog_fd, struct error *e)
{
	struct bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	int err;

	bpf_messages_start();
	err = bpf_tc_detach(&hook, &opts);
	if (err)
		return bpf_messages_explain(e, err, "removing the tc filter");
	return put_filter(ifindex, prog_fd, false, e);
}
