/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way of a query, the same on every hook: parse, gate, look up, plan, respond. */
#pragma once

#include "respond.bpf.h"

static __always_inline void verdict_count(enum nodens_verdict v)
{
	__u32 zero = 0;
	__u64 *counters = bpf_map_lookup_elem(&verdicts, &zero);
	__u64 slot = v;

	asm volatile("" : "+r"(slot)); /* one register is compared and used */
	if (counters && slot < NODENS_VERDICT_COUNT)
		counters[slot]++; /* per CPU, and not interrupted by another query */
}

/* Whether the controller lives and says that what is loaded is the truth. */
static __always_inline enum nodens_verdict gate_check(const struct nodens_config *cfg)
{
	__u32 gate = *(const volatile __u32 *)&cfg->gate;

	if (gate == NODENS_GATE_NOT_SYNCED)
		return NODENS_VERDICT_NOT_SYNCED;
	if (gate != NODENS_GATE_OPEN)
		return NODENS_VERDICT_CLOSED;
	if (bpf_jiffies64() > *(const volatile __u64 *)&cfg->deadline_jiffies)
		return NODENS_VERDICT_STALE;
	return NODENS_VERDICT_ANSWERED;
}

#define EXPLAIN_MTU 1500

/* MTU and flags of the interface; false: it is not one that is answered on. */
static __always_inline bool interface_find(struct hook *h)
{
	__u32 number = h->ifindex % NODENS_INTERFACE_SLOTS;
	const __u64 *slot = bpf_map_lookup_elem(&interface_slots, &number);
	const struct nodens_interface *interface;
	__u64 word = slot ? *(const volatile __u64 *)slot : 0;

	if (word >> 32 == h->ifindex) {
		h->mtu = word & NODENS_INTERFACE_MTU_MAX;
		h->interface_flags = word >> 24 & 0xff;
		return true;
	}
	interface = bpf_map_lookup_elem(&interfaces, &h->ifindex);
	if (interface) {
		h->mtu = interface->mtu;
		h->interface_flags = interface->flags;
		return interface->hook != NODENS_HOOK_NONE;
	}
	h->mtu = EXPLAIN_MTU;
	return h->is_explain;
}

static __always_inline enum nodens_verdict interface_check(struct hook *h, const struct datagram *d)
{
	if (!interface_find(h))
		return NODENS_VERDICT_INTERFACE;
	/* The source of a lookup is made up. */
	if ((h->interface_flags & NODENS_INTERFACE_ALLOW) && !h->is_explain && !is_source_allowed(h, d))
		return NODENS_VERDICT_SOURCE;
	return NODENS_VERDICT_ANSWERED;
}

static __always_inline enum nodens_verdict handle_frame(struct hook *h)
{
	struct datagram d = {};
	struct question q;
	struct answer a = {};
	struct blob b;
	const struct nodens_config *cfg;
	enum nodens_verdict v;
	__u32 zero = 0;

	cfg = bpf_map_lookup_elem(&config, &zero);
	if (!cfg)
		return NODENS_VERDICT_NOT_SYNCED;
	v = parse_datagram(h, &d, cfg);
	if (v != NODENS_VERDICT_ANSWERED)
		return v;
	v = gate_check(cfg);
	if (v != NODENS_VERDICT_ANSWERED)
		return v;
	v = interface_check(h, &d);
	if (v != NODENS_VERDICT_ANSWERED)
		return v;
	if (hook_is_segmented(h))
		return NODENS_VERDICT_SEGMENTS;
	v = parse_question(h, &d, &q);
	if (v != NODENS_VERDICT_ANSWERED)
		return v;
	v = lookup_name(h, &d, &q, &b);
	if (v != NODENS_VERDICT_ANSWERED)
		return v;
	v = plan_answer(h, &d, &q, &b, &a);
	if (v >= NODENS_VERDICT_FIRST_PASS)
		return v;
	/* The ways of planning become one where it costs the verifier most. */
	launder(a.rrs_len, q.hash, RRS_LEN_MASK);
	launder(v, q.hash, 0x1f);
	return respond(h, &d, &q, &b, &a, cfg, v);
}
