/* SPDX-License-Identifier: Apache-2.0 */
/* Native XDP on interfaces. */
#include "kernel/attach_xdp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/attach_internal.h"
#include "kernel/bpf_messages.h"
#include "kernel/pinned_link.h"

/* ---- what is on the interface ------------------------------------------------------------------------------------ */

/* Ids of the programs there, 0: none. */
static int query(uint32_t ifindex, uint32_t *ret_native, uint32_t *ret_other)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);
	int err = bpf_xdp_query((int)ifindex, 0, &opts);

	if (err < 0)
		return err;
	*ret_native = opts.drv_prog_id;
	*ret_other = opts.skb_prog_id ?: opts.hw_prog_id;
	return 0;
}

int attach_xdp_check(uint32_t ifindex, uint32_t prog_id)
{
	uint32_t native = 0, other = 0;
	int err = query(ifindex, &native, &other);

	return err < 0 ? err : native == prog_id;
}

bool attach_xdp_misses_tags(const char *name)
{
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};
	struct ifreq request = {.ifr_data = (char *)&flags};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has_flags;

	if (fd < 0)
		return false;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	has_flags = ioctl(fd, SIOCETHTOOL, &request) == 0;
	close(fd);
	return has_flags && flags.data & ETH_FLAG_RXVLAN;
}

static int refuse_foreign(uint32_t ifindex, struct error *e)
{
	uint32_t native = 0, other = 0;

	if (query(ifindex, &native, &other) < 0 || (!native && !other))
		return 0;
	return error_set(e, -EBUSY, "another XDP program is there (id %u%s): left alone", native ?: other,
			 native ? "" : ", not in native mode");
}

/*
 * Why the kernel refuses a link, in its own words: it has them for who attaches by netlink only. Should it take the
 * program that way, what hindered the link is gone, and the program is taken off again.
 */
static int explain_refusal(uint32_t ifindex, int prog_fd, int err, struct error *e)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = prog_fd);

	if (err == -EOPNOTSUPP)
		return error_set(e, err, "the driver has no native XDP");
	if (err != -EPERM &&
	    bpf_xdp_attach((int)ifindex, prog_fd, XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL) == 0)
		(void)bpf_xdp_detach((int)ifindex, XDP_FLAGS_DRV_MODE | XDP_FLAGS_REPLACE, &opts);
	return bpf_messages_explain(e, err, "attaching XDP in native mode");
}

/* ---- links ------------------------------------------------------------------------------------------------------ */

static int create_link(uint32_t ifindex, int prog_fd, struct error *e)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	int fd, err = refuse_foreign(ifindex, e);
	char name[IF_NAMESIZE];

	/* A link would say EINVAL. */
	if (!if_indextoname(ifindex, name))
		return error_set(e, -ENODEV, "the interface is gone");
	if (err)
		return err;
	bpf_messages_start();
	fd = bpf_link_create(prog_fd, (int)ifindex, BPF_XDP, &opts);
	return fd < 0 ? explain_refusal(ifindex, prog_fd, -errno, e) : fd;
}

static const struct pinned_link_kind xdp_link = {
	.prefix = "xdp",
	.program_pin = "xdp",
	.program_name = ATTACH_XDP_NAME,
	.link_type = BPF_LINK_TYPE_XDP,
	.create = create_link,
	.check = attach_xdp_check,
};

/* ---- interfaces ------------------------------------------------------------------------------------------------- */

/* Puts the interface in front of what went wrong. */
static int name_interface(struct error *e, int err, uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	return err >= 0 ? err
			: error_prefix(e, err, "interface %u (%s)", ifindex, if_indextoname(ifindex, name) ?: "gone");
}

int attach_xdp_add(const char *dir, uint32_t ifindex, int prog_fd, struct nodens_interface *entry, struct error *e)
{
	int err = pinned_link_add(&xdp_link, dir, ifindex, prog_fd, e);

	if (err)
		return name_interface(e, err, ifindex);
	entry->xdp = NODENS_HOOK_XDP;
	return 0;
}

int attach_xdp_switch(const char *dir, uint32_t ifindex, int prog_fd, struct error *e)
{
	return name_interface(e, pinned_link_switch(&xdp_link, dir, ifindex, prog_fd, e), ifindex);
}

int attach_xdp_remove(const char *dir, uint32_t ifindex, struct error *e)
{
	int err = pinned_link_remove(&xdp_link, dir, ifindex, e);

	return err < 0 ? name_interface(e, err, ifindex) : 0;
}

static void tell_removed(void (*removed)(void *ctx, const char *what), void *ctx, uint32_t ifindex)
{
	char name[IF_NAMESIZE], text[96];

	snprintf(text, sizeof(text), "XDP link on %s (%u)",
		 if_indextoname(ifindex, name) ?: "an interface that is gone", ifindex);
	removed(ctx, text);
}

int attach_xdp_remove_all(const char *dir, void (*removed)(void *ctx, const char *what), void *ctx, struct error *e)
{
	int first_err = 0;
	DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : error_set(e, -errno, "%s: %s", dir, strerror(errno));
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
		unsigned int ifindex;
		int err;

		if (sscanf(entry->d_name, "xdp_%u", &ifindex) != 1)
			continue;
		err = pinned_link_remove(&xdp_link, dir, ifindex, e);
		if (err > 0)
			tell_removed(removed, ctx, ifindex);
		else if (err < 0 && !first_err)
			first_err = err;
	}
	closedir(d);
	return first_err;
}
