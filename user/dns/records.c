/* SPDX-License-Identifier: Apache-2.0 */
/* Which names a service has, and what each of them is made of. */
#include "dns/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dns/record_ports.h"
#include "dns/record_set.h"
#include "dns/roster.h"

struct walk {
	const struct service_view *view;
	const struct record_params *params;
	/* One of the two. */
	record_emit_fn emit;
	record_owner_fn emit_owner;
	void *ctx;

	struct dns_name service; /* the service's own name */
	struct set_maker *maker; /* with emit */
	uint32_t *members;	 /* entries of the name at hand */
};

/* ---- emitting ---- */

static int emit_passed(struct walk *w, const struct dns_name *owner, bool is_cut)
{
	struct record_set set = {.is_passed = true, .is_cut = is_cut};

	if (w->emit_owner)
		return w->emit_owner(w->ctx, owner);
	set.owner = *owner;
	return w->emit(w->ctx, &set);
}

static int emit_members(struct walk *w, struct roster *r, const struct record_ports *ports,
			const struct dns_name *owner, size_t count)
{
	struct record_set set = {0};

	if (w->emit_owner)
		return w->emit_owner(w->ctx, owner);
	set.owner = *owner;
	set_maker_fill(w->maker, r, ports->lists, w->members, count, &set);
	return w->emit(w->ctx, &set);
}

/* ---- names ---- */

/* service.namespace.svc.zone. false: longer than a name can be. */
static bool service_name(const char *service, const char *namespace, const struct dns_name *zone,
			 struct dns_name *ret_name)
{
	dns_name_begin(ret_name);
	dns_name_add_label(ret_name, service, strlen(service));
	dns_name_add_label(ret_name, namespace, strlen(namespace));
	dns_name_add_label(ret_name, "svc", 3);
	return dns_name_end(ret_name, zone);
}

/* _port._proto.service. false: nobody can ask for it. */
static bool port_name(const struct walk *w, const struct kube_port *port, struct dns_name *ret_name)
{
	const char *protocol = kube_protocol_label(port->protocol);
	char label[1 + sizeof(port->name)] = "_";

	dns_name_begin(ret_name);
	memcpy(label + 1, port->name, sizeof(port->name));
	dns_name_add_label(ret_name, label, strlen(label));
	memcpy(label + 1, protocol, strlen(protocol) + 1);
	dns_name_add_label(ret_name, label, strlen(label));
	return dns_name_end(ret_name, &w->service);
}

static bool endpoint_name(const struct walk *w, const struct roster_label *label, struct dns_name *ret_name)
{
	dns_name_begin(ret_name);
	dns_name_add_label(ret_name, label->text, label->len);
	return dns_name_end(ret_name, &w->service);
}

/* ---- a service that is understood ---- */

static size_t all_members(struct walk *w, const struct roster *r)
{
	for (size_t i = 0; i < r->entry_count; i++)
		w->members[i] = (uint32_t)i;
	return r->entry_count;
}

/* Entries of the sources of a run of refs, each once. */
static size_t port_members(struct walk *w, const struct roster *r, const struct port_ref *refs, size_t ref_count)
{
	const struct roster_source *s;
	size_t count = 0;

	for (size_t i = 0; i < ref_count; i++) {
		if (i > 0 && refs[i].source == refs[i - 1].source)
			continue;
		s = &r->sources[refs[i].source];
		for (uint32_t k = 0; k < s->count; k++)
			w->members[count++] = s->first + k;
	}
	return count;
}

static size_t label_members(struct walk *w, const struct roster *r, const struct roster_label *label)
{
	size_t count = 0;

	for (uint32_t i = label->first; i != ROSTER_NONE; i = r->entries[i].next)
		w->members[count++] = i;
	return count;
}

static int walk_port_names(struct walk *w, struct roster *r, struct record_ports *ports)
{
	struct dns_name owner;
	size_t run, count;
	int err = 0;

	record_ports_sort(ports);
	for (size_t i = 0; i < ports->ref_count && !err; i += run) {
		run = record_ports_select_run(ports, i);
		count = port_members(w, r, &ports->refs[i], run);
		if (count && port_name(w, ports->refs[i].port, &owner))
			err = emit_members(w, r, ports, &owner, count);
	}
	return err;
}

/* The service's own name and its ports' names. */
static int walk_service_names(struct walk *w, struct roster *r)
{
	struct record_ports ports;
	int err = record_ports_init(&ports, r);

	if (err)
		goto out;
	record_ports_select_all(&ports, r);
	err = emit_members(w, r, &ports, &w->service, all_members(w, r));
	if (!err)
		err = walk_port_names(w, r, &ports);
out:
	record_ports_done(&ports);
	return err;
}

static int walk_endpoint_names(struct walk *w, struct roster *r)
{
	struct record_ports ports;
	struct dns_name owner;
	int err = record_ports_init(&ports, r);

	if (err)
		goto out;
	record_ports_select_all(&ports, r);
	for (size_t i = 0; i < r->label_count && !err; i++)
		if (endpoint_name(w, &r->labels[i], &owner))
			err = emit_members(w, r, &ports, &owner, label_members(w, r, &r->labels[i]));
out:
	record_ports_done(&ports);
	return err;
}

static int walk_rosters(struct walk *w, struct roster *endpoints, struct roster *cluster_ips)
{
	struct roster *own = w->view->service->service.type == KUBE_HEADLESS ? endpoints : cluster_ips;
	size_t cap = endpoints->entry_count + cluster_ips->entry_count;
	int err;

	if (!own->entry_count)
		return 0;
	w->members = calloc(cap, sizeof(*w->members));
	if (w->emit)
		w->maker = set_maker_new(&w->service, cap);
	if (!w->members || (w->emit && !w->maker))
		return -ENOMEM;
	err = walk_service_names(w, own);
	return err ? err : walk_endpoint_names(w, endpoints);
}

static int walk_understood(struct walk *w)
{
	const struct service_view *v = w->view;
	const struct kube_service *service = &v->service->service;
	struct roster endpoints = {0}, cluster_ips = {0};
	size_t cap = 0;
	int err;

	for (size_t i = 0; i < v->slice_count; i++)
		cap += roster_slice_cap(&v->slices[i]->slice);
	err = roster_init(&endpoints, v->slice_count, cap);
	if (!err)
		err = roster_init(&cluster_ips, 1, service->cluster_ip_count);
	if (err)
		goto out;
	for (size_t i = 0; i < v->slice_count; i++)
		roster_add_slice(&endpoints, &v->slices[i]->slice);
	if (service->type == KUBE_CLUSTER_IP)
		roster_add_service(&cluster_ips, service);
	err = walk_rosters(w, &endpoints, &cluster_ips);
out:
	roster_done(&endpoints);
	roster_done(&cluster_ips);
	return err;
}

/* ---- a service that is passed on ---- */

static int walk_told_names(struct walk *w, struct roster *r)
{
	struct record_ports ports;
	struct dns_name owner;
	int err = record_ports_init(&ports, r);

	if (err)
		goto out;
	err = emit_passed(w, &w->service, true);
	record_ports_sort(&ports);
	for (size_t i = 0; i < ports.ref_count && !err; i += record_ports_select_run(&ports, i))
		if (port_name(w, ports.refs[i].port, &owner))
			err = emit_passed(w, &owner, false);
	for (size_t i = 0; i < r->label_count && !err; i++)
		if (endpoint_name(w, &r->labels[i], &owner))
			err = emit_passed(w, &owner, false);
out:
	record_ports_done(&ports);
	return err;
}

static int walk_told(struct walk *w)
{
	const struct service_view *v = w->view;
	struct roster r;
	size_t cap = 0;
	int err;

	for (size_t i = 0; i < v->slice_count; i++)
		cap += roster_slice_cap(&v->slices[i]->slice);
	err = roster_init(&r, v->slice_count + 1, cap);
	if (err)
		goto out;
	roster_add_told_service(&r, &v->service->service);
	for (size_t i = 0; i < v->slice_count; i++)
		roster_add_told(&r, &v->slices[i]->slice, v->slices[i]->broken != NULL);
	err = walk_told_names(w, &r);
out:
	roster_done(&r);
	return err;
}

/* ---- which of the two ---- */

static bool is_at_level(const struct walk *w)
{
	/* The type of a broken service is not to be trusted. */
	return w->params->level != ANSWER_HEADLESS || w->view->service->broken ||
	       w->view->service->service.type == KUBE_HEADLESS;
}

static bool is_understood(const struct service_view *v)
{
	const struct kube_object *o = v->service;

	if (o->broken || o->service.type == KUBE_EXTERNAL_NAME)
		return false;
	/* CoreDNS makes a CNAME of an address that is none, also of a missing one. */
	if (o->service.type == KUBE_CLUSTER_IP && !o->service.cluster_ip_count)
		return false;
	for (size_t i = 0; i < v->slice_count; i++)
		if (v->slices[i]->broken || v->slices[i]->slice.is_fqdn)
			return false;
	return true;
}

static int walk_run(struct walk *w)
{
	const struct service_view *v = w->view;
	int err;

	if (!v->service || !is_at_level(w) || !service_name(v->name, v->namespace, &w->params->zone, &w->service))
		return 0;
	err = is_understood(v) ? walk_understood(w) : walk_told(w);
	set_maker_free(w->maker);
	free(w->members);
	return err;
}

int records_build(const struct service_view *view, const struct record_params *params, record_emit_fn emit, void *ctx)
{
	struct walk w = {.view = view, .params = params, .emit = emit, .ctx = ctx};

	return walk_run(&w);
}

int records_owners(const struct service_view *view, const struct record_params *params, record_owner_fn emit, void *ctx)
{
	struct walk w = {.view = view, .params = params, .emit_owner = emit, .ctx = ctx};

	return walk_run(&w);
}
