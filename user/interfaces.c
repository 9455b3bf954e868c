/* SPDX-License-Identifier: Apache-2.0 */
/* Which interfaces are ours: the meaning of --interface. */
#include "interfaces.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* Cuts an optional ":tc" or ":xdp" off. */
static int take_hook(const char *spec, size_t *len, bool *ret_is_xdp, struct error *e)
{
	const char *colon = strrchr(spec, ':');

	if (!colon)
		return 0;
	if (strcmp(colon, ":tc") != 0 && strcmp(colon, ":xdp") != 0)
		return error_set(e, -EINVAL, "\"%s\": the hook behind the colon is neither tc nor xdp", spec);
	*ret_is_xdp = strcmp(colon, ":xdp") == 0;
	*len = (size_t)(colon - spec);
	return 0;
}

static int parse_rule(const char *spec, struct interface_rule *rule, struct error *e)
{
	const char *name = spec[0] == '!' ? spec + 1 : spec;
	size_t len = strlen(name);
	bool is_xdp = false;
	int err = take_hook(name, &len, &is_xdp, e);

	if (err)
		return err;
	*rule = (struct interface_rule){.is_negative = name != spec, .is_xdp = is_xdp};
	if (rule->is_negative && name[len])
		return error_set(e, -EINVAL, "\"%s\": what is left out is left out on every hook (no :tc or :xdp here)",
				 spec);
	if (len == 0)
		return error_set(e, -EINVAL, "\"%s\": no interface name", spec);
	if (len >= sizeof(rule->pattern))
		return error_set(e, -EINVAL, "\"%s\": too long", spec);
	memcpy(rule->pattern, name, len);
	rule->is_pods = !rule->is_negative && strcmp(rule->pattern, "pods") == 0;
	if (rule->is_pods && is_xdp)
		return error_set(
			e, -EINVAL,
			"\"%s\": XDP is for network cards; on a pod's veth it loses answers and costs the pod its "
			"throughput",
			spec);
	rule->is_glob = strpbrk(rule->pattern, "*?[") != NULL;
	if (!rule->is_glob && !rule->is_pods && len >= IFNAMSIZ)
		return error_set(e, -EINVAL, "\"%s\": longer than an interface name can be (%d)", spec, IFNAMSIZ - 1);
	return 0;
}

int interfaces_parse(const char *const *specs, size_t count, bool has_allow, struct interface_rules *ret_rules,
		     struct error *e)
{
	struct interface_rules r = {
		.rules = calloc(count + 1, sizeof(*r.rules)), .count = count, .has_allow = has_allow};
	bool has_positive = false;

	if (!r.rules)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		int err = parse_rule(specs[i], &r.rules[i], e);

		if (err) {
			free(r.rules);
			return err;
		}
		has_positive |= !r.rules[i].is_negative;
	}
	if (!has_positive)
		r.rules[r.count++] = (struct interface_rule){.is_pods = true, .pattern = "pods"};
	*ret_rules = r;
	return 0;
}

void interfaces_done(struct interface_rules *rules)
{
	free(rules->rules);
	*rules = (struct interface_rules){0};
}

bool interfaces_is_pod(const struct link_info *link)
{
	return link->is_veth && link->peer_is_elsewhere && !link->has_default_route;
}

bool interfaces_rule_names(const struct interface_rule *rule, const char *name)
{
	return !rule->is_negative && !rule->is_pods && !rule->is_glob && strcmp(rule->pattern, name) == 0;
}

static bool rule_matches_name(const struct interface_rule *rule, const char *name)
{
	return !rule->is_pods && fnmatch(rule->pattern, name, 0) == 0;
}

/* How the rules see an interface, before its own properties count. */
struct match {
	bool by_name;  /* a NAME or GLOB */
	bool by_pods;  /* "pods" is asked for */
	bool left_out; /* !GLOB */
	bool is_exact; /* a NAME */
	bool by_xdp;   /* a NAME or GLOB with :xdp */
};

static struct match match_rules(const struct interface_rules *rules, const char *name)
{
	struct match m = {0};

	for (size_t i = 0; i < rules->count; i++) {
		const struct interface_rule *rule = &rules->rules[i];
		bool matches = rule_matches_name(rule, name);

		m.by_pods |= rule->is_pods;
		m.left_out |= rule->is_negative && matches;
		m.by_name |= !rule->is_negative && matches;
		m.is_exact |= interfaces_rule_names(rule, name);
		m.by_xdp |= !rule->is_negative && matches && rule->is_xdp;
	}
	return m;
}

/* Why an interface is not a pod's; NULL: it is. */
static const char *why_no_pod(const struct link_info *link)
{
	if (!link->is_veth)
		return "not a veth";
	if (!link->peer_is_elsewhere)
		return "veth whose peer is in the same network namespace: not a pod's";
	if (link->has_default_route)
		return "carries the node's default route: not a pod's";
	return NULL;
}

static void skip(struct interface_choice *c, const char *reason)
{
	c->decision = INTERFACE_SKIPPED;
	c->reason = reason;
}

void interfaces_choose(const struct interface_rules *rules, const struct link_info *link,
		       struct interface_choice *ret_choice)
{
	struct match m = match_rules(rules, link->name);
	const char *no_pod = why_no_pod(link);
	struct interface_choice *c = ret_choice;

	*c = (struct interface_choice){.decision = INTERFACE_UNRELATED, .is_named = m.is_exact, .reason = ""};
	if (!m.by_name && !link->is_veth)
		return;
	if (m.left_out)
		return skip(c, "left out by --interface !GLOB");
	if (!m.by_name && !m.by_pods)
		return skip(c, "no --interface names it");
	if (!m.by_name && no_pod)
		return skip(c, no_pod);
	if (!link->has_ethernet_header)
		return skip(c, "has no Ethernet header");
	if (no_pod && !rules->has_allow) {
		c->lacks_allow = true;
		return skip(c, "not a pod's interface: needs --allow-from");
	}
	c->decision = INTERFACE_WANTED;
	c->is_xdp = m.by_xdp;
	if (link->is_veth && link->peer_is_elsewhere)
		c->flags |= NODENS_INTERFACE_PEER;
	if (no_pod)
		c->flags |= NODENS_INTERFACE_ALLOW;
}
