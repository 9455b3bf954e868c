/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BPF links on interfaces, pinned as DIR/links/<prefix>_<ifindex>, so that they outlive the agent and the next one adopts them.
 * What tcx and XDP have in common: a link of somebody else is never touched.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct pinned_link_kind {
	const char *prefix;	  /* of the link's pin */
	const char *program_pin;  /* of the program in a generation: DIR/g<number>/<program_pin> */
	const char *program_name; /* as the kernel keeps it */
	uint32_t link_type;	  /* enum bpf_link_type */
	uint32_t attach_type;	  /* enum bpf_attach_type; 0: links of this type have none */
	/* Makes a link that is not pinned yet: its descriptor or -errno. */
	int (*create)(uint32_t ifindex, int prog_fd, struct error *e);
	/* Whether the program with this id is on the interface: 1 or 0, or -errno. */
	int (*check)(uint32_t ifindex, uint32_t prog_id);
};

/*
 * `dir` is DIR/links, shorter than ATTACH_DIR_MAX. All return 0 or -errno with e; -EEXIST: the pin is not ours, left alone.
 * add: adopts a link of ours that is on this interface (one of another network namespace may have the same number) by
 * updating it atomically, else makes one. switch: -ENOENT: there is none.
 */
int pinned_link_add(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, int prog_fd, struct error *e);
int pinned_link_switch(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, int prog_fd,
		       struct error *e);
/* 1: removed, 0: there was none. */
int pinned_link_remove(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, struct error *e);
/* Removing many without waiting for each. find: 1: there is one of ours, 0: there is none. unpin of one that was found: the
 * kernel takes the link off a moment later, unless somebody holds it; find waits for that as whoever asks for the network. */
int pinned_link_find(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, struct error *e);
int pinned_link_unpin(const struct pinned_link_kind *kind, const char *dir, uint32_t ifindex, struct error *e);
