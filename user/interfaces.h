/* SPDX-License-Identifier: Apache-2.0 */
/* Which interfaces are ours: the meaning of --interface, as a function of what links.h tells of an interface. Pure. */
#pragma once

#include "base/error.h"
#include "kernel/links.h"
#include "nodens/abi.h"

#define INTERFACE_PATTERN_MAX 64

struct interface_rule {
	bool is_negative; /* !GLOB */
	bool is_pods;	  /* "pods" */
	bool is_glob;	  /* has * ? [ : may match many or none */
	bool is_xdp;	  /* :xdp : XDP in front of TC */
	char pattern[INTERFACE_PATTERN_MAX];
};

struct interface_rules {
	struct interface_rule *rules; /* heap */
	size_t count;
	bool has_allow; /* --allow-from was given */
};

/* Each spec is pods | NAME | GLOB, with an optional :tc or :xdp (not for pods) behind it, or !GLOB. Without a positive one,
 * "pods" is added. -EINVAL with e naming the spec; -ENOMEM. */
int interfaces_parse(const char *const *specs, size_t count, bool has_allow, struct interface_rules *ret_rules,
		     struct error *e);
void interfaces_done(struct interface_rules *rules);

enum interface_decision {
	INTERFACE_UNRELATED, /* nobody would expect us there: not even listed as skipped */
	INTERFACE_SKIPPED,   /* a candidate that is left out; reason says why */
	INTERFACE_WANTED,
};

struct interface_choice {
	enum interface_decision decision;
	bool lacks_allow; /* skipped because it is no pod's and there is no --allow-from */
	bool is_named;	  /* by its whole name: leaving it out is an error at start */
	bool is_xdp;	  /* wanted with XDP in front of TC */
	uint32_t flags;	  /* enum nodens_interface_flag */
	const char *reason;
};

/* A pod's: a veth whose peer lives in another network namespace and that does not carry the node's default route. */
bool interfaces_is_pod(const struct link_info *link);
void interfaces_choose(const struct interface_rules *rules, const struct link_info *link,
		       struct interface_choice *ret_choice);
/* The rule asks for this one interface by its whole name. */
bool interfaces_rule_names(const struct interface_rule *rule, const char *name);
