/* SPDX-License-Identifier: Apache-2.0 */
/* What `nodens status` prints, as text and as JSON. */
#include "status_report.h"

#include <inttypes.h>
#include <string.h>

#include "base/jsonout.h"
#include "status_hooks.h"

/* The verdict list with names, in the order of verdict.h. */
struct verdict_line {
	const char *name;
	const char *meaning;
	unsigned long long count;
};

static void list_verdicts(const struct nodens_verdicts *v, struct verdict_line ret_lines[NODENS_VERDICT_COUNT])
{
	size_t n = 0;

#define X(NAME, name, meaning) ret_lines[n++] = (struct verdict_line){#name, meaning, v->name};
	NODENS_VERDICTS(X)
#undef X
}

static const char *gate_name(uint32_t gate)
{
	switch (gate) {
	case NODENS_GATE_NOT_SYNCED:
		return "not-synced";
	case NODENS_GATE_OPEN:
		return "open";
	case NODENS_GATE_CLOSED:
		return "closed";
	}
	return "unknown";
}

static const char *hook_name(uint32_t hook)
{
	switch (hook) {
	case NODENS_HOOK_NONE:
		return "none";
	case NODENS_HOOK_TCX:
		return "tcx";
	case NODENS_HOOK_CLSACT:
		return "clsact";
	case NODENS_HOOK_XDP:
		return "xdp";
	}
	return "unknown";
}

/* Flags are those of a wanted interface: a skipped one has none. */
bool status_interface_has_failed(const struct status_interface *i)
{
	return i->entry.hook == NODENS_HOOK_NONE && i->entry.flags != 0;
}

void status_format_age(uint64_t ms, char ret_text[32])
{
	uint64_t s = ms / 1000;

	if (s < 1)
		snprintf(ret_text, 32, "%" PRIu64 "ms", ms);
	else if (s < 60)
		snprintf(ret_text, 32, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(ret_text, 32, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(ret_text, 32, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s % 3600 / 60);
	else
		snprintf(ret_text, 32, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s % 86400 / 3600);
}

void status_format_size(uint64_t octets, char ret_text[32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)octets;
	size_t i = 0;

	while (value >= 1024 && i < 4) {
		value /= 1024;
		i++;
	}
	snprintf(ret_text, 32, i ? "%.1f %s" : "%.0f %s", value, units[i]);
}

bool status_is_former_serving(const struct status_report *r)
{
	return !r->status.synced_ms && r->is_alive && r->config.gate == NODENS_GATE_OPEN;
}

/* ---- text ---- */

struct age_text {
	char text[32];
};

/* How long ago; "never" for 0. */
static struct age_text age_of(const struct status_report *r, uint64_t then_ms)
{
	struct age_text a = {"never"};

	if (then_ms)
		status_format_age(r->now_ms > then_ms ? r->now_ms - then_ms : 0, a.text);
	return a;
}

static void print_synced(FILE *out, const struct status_report *r)
{
	const struct nodens_status *s = &r->status;

	if (s->synced_ms)
		fprintf(out, "synced      for %s", age_of(r, s->synced_ms).text);
	else if (status_is_former_serving(r))
		fprintf(out,
			"synced      no: answers are those of the agent before, until its last heartbeat is too old");
	else
		fprintf(out, "synced      no");
	if (s->last_change_ms)
		fprintf(out, ", records last changed %s ago", age_of(r, s->last_change_ms).text);
	fputc('\n', out);
}

static void print_api_errors(FILE *out, const struct nodens_api_errors *errors)
{
	const char *sep = "            errors: ";

#define X(name, meaning)                                                                 \
	if (errors->name) {                                                              \
		fprintf(out, "%s" #name " %llu", sep, (unsigned long long)errors->name); \
		sep = ", ";                                                              \
	}
	NODENS_API_ERRORS(X)
#undef X
	if (sep[0] == ',')
		fputc('\n', out);
}

static void print_api(FILE *out, const struct status_report *r)
{
	const struct nodens_api_status *a = &r->status.api;
	char received[32];

	status_format_size(a->octets, received);
	fprintf(out, "api         %s, last heard of %s%s\n", a->server, age_of(r, a->event_ms).text,
		a->event_ms ? " ago" : "");
	fprintf(out, "            %llu events, %llu relists, %llu reconnects, %s received\n", a->events, a->relists,
		a->reconnects, received);
	fprintf(out, "            resource versions: services %s, slices %s\n",
		a->service_version[0] ? a->service_version : "none", a->slice_version[0] ? a->slice_version : "none");
	print_api_errors(out, &a->errors);
}

static void print_source(FILE *out, const struct status_report *r)
{
	const struct nodens_status *s = &r->status;

	fprintf(out, "source      %s", s->source);
	if (s->api.server[0])
		fputc('\n', out);
	else
		fprintf(out, ", read %s ago\n", age_of(r, s->source_ok_ms).text);
	if (s->source_error_ms)
		fprintf(out, "            UNREADABLE for %s: %s\n", age_of(r, s->source_error_ms).text,
			s->source_error);
	if (s->api.server[0])
		print_api(out, r);
}

static void print_agent(FILE *out, const struct status_report *r)
{
	const struct nodens_status *s = &r->status;
	char stale[32];

	status_format_age(s->stale_after_ms, stale);
	fprintf(out, "agent       %s: version %s, pid %u on %s%s%s, started %s ago\n",
		r->is_alive ? "alive" : "NO SIGN OF LIFE", s->version, s->pid, s->host, s->pod[0] ? ", pod " : "", s->pod,
		age_of(r, s->started_ms).text);
	fprintf(out, "heartbeat   %s ago (passes everything on after %s)\n", age_of(r, s->heartbeat_ms).text, stale);
	if (r->config.gate == NODENS_GATE_OPEN)
		fprintf(out, "gate        open%s\n", r->is_alive ? "" : ", but its deadline is over");
	else
		fprintf(out, "gate        %s: %s\n", gate_name(r->config.gate), s->gate_reason);
	print_synced(out, r);
	print_source(out, r);
}

static void print_records(FILE *out, const struct status_report *r)
{
	const struct nodens_status *s = &r->status;
	char used[32], capacity[32], maps[32];

	status_format_size(s->arena_bytes, used);
	status_format_size(s->arena_capacity, capacity);
	status_format_size(s->map_bytes, maps);
	fprintf(out, "zone        %s, TTL %us, level %s, SOA serial %u\n", r->config.zone, r->config.ttl_s,
		r->config.answer, r->config.soa_serial);
	fprintf(out, "objects     %llu services, %llu slices, %llu endpoints", s->services, s->slices, s->endpoints);
	fprintf(out, s->broken_objects ? ", %llu NOT UNDERSTOOD\n" : "\n", s->broken_objects);
	fprintf(out, "names       %llu, of these passed on %llu", s->names, s->passed_names);
	fprintf(out, s->unfit_names ? "; %llu more DO NOT FIT into --max-memory\n" : "\n", s->unfit_names);
	fprintf(out, "memory      %s of maps: records %s of %s\n", maps, used, capacity);
	fprintf(out, "generation  %llu, grown %llu times, %llu names updated\n", (unsigned long long)r->number,
		s->growths, s->updates);
	fprintf(out,
		"freed       %llu blobs ever, %llu in quarantine now, %llu given out again, %llu"
		" grace periods\n",
		s->retired_blobs, s->quarantined_blobs, s->reused_blobs, s->grace_periods);
	if (s->records_note[0])
		fprintf(out, "iterator    none: %s\n", s->records_note);
}

static void print_interface(FILE *out, const struct status_interface *i)
{
	const struct nodens_interface *n = &i->entry;

	if (n->hook == NODENS_HOOK_NONE) {
		fprintf(out, "  %-16s %-8u %-8s %s\n", n->name, i->ifindex,
			status_interface_has_failed(i) ? "FAILED" : "skipped", n->reason);
		return;
	}
	fprintf(out, "  %-16s %-8u %-8s mtu %u%s%s%s\n", n->name, i->ifindex, hook_name(n->hook), n->mtu,
		n->xdp == NODENS_HOOK_XDP ? ", and xdp" : "",
		n->flags & NODENS_INTERFACE_PEER ? ", answers into the peer" : "",
		n->flags & NODENS_INTERFACE_ALLOW ? ", only --allow-from" : "");
	if (n->reason[0])
		fprintf(out, "  %-16s %-8s %-8s %s\n", "", "", "", n->reason);
}

static void print_places(FILE *out, const struct status_report *r)
{
	fprintf(out, "\nservers     %zu%s\n", r->server_count,
		r->server_count || !r->status.synced_ms ? "" : ": NONE IS KNOWN, everything is passed on");
	for (size_t i = 0; i < r->server_count; i++)
		fprintf(out, "  %-48s %s\n", r->servers[i].address, r->servers[i].origin);
	fprintf(out, "\ninterfaces  %zu\n", r->interface_count);
	for (size_t i = 0; i < r->interface_count; i++)
		print_interface(out, &r->interfaces[i]);
	status_hooks_print_text(out, r->hooks);
}

static void print_verdicts(FILE *out, const struct status_report *r)
{
	struct verdict_line lines[NODENS_VERDICT_COUNT];
	unsigned long long answered = 0, passed = 0;

	list_verdicts(&r->verdicts, lines);
	for (size_t i = 0; i < NODENS_VERDICT_COUNT; i++) {
		if (i < NODENS_VERDICT_FIRST_PASS)
			answered += lines[i].count;
		else
			passed += lines[i].count;
	}
	fprintf(out, "\nverdicts    %llu answered, %llu passed on\n", answered, passed);
	for (size_t i = 0; i < NODENS_VERDICT_COUNT; i++) {
		if (lines[i].count)
			fprintf(out, "  %12llu  %-12s %s\n", lines[i].count, lines[i].name, lines[i].meaning);
	}
}

void status_print_text(FILE *out, const struct status_report *r)
{
	print_agent(out, r);
	fputc('\n', out);
	print_records(out, r);
	print_places(out, r);
	print_verdicts(out, r);
}

/* ---- JSON ---- */

static void put_state(struct jsonout *j, const struct status_report *r)
{
	const struct nodens_status *s = &r->status;

	jsonout_bool(j, "alive", r->is_alive);
	jsonout_text(j, "fault", r->fault ? r->fault : "");
	jsonout_text(j, "version", s->version);
	jsonout_number(j, "pid", s->pid);
	jsonout_text(j, "host", s->host);
	jsonout_text(j, "pod", s->pod);
	jsonout_number(j, "generation", r->number);
	jsonout_text(j, "gate", gate_name(r->config.gate));
	jsonout_text(j, "gate_reason", s->gate_reason);
	jsonout_number(j, "now_ms", r->now_ms);
	jsonout_number(j, "started_ms", s->started_ms);
	jsonout_number(j, "heartbeat_ms", s->heartbeat_ms);
	jsonout_number(j, "stale_after_ms", s->stale_after_ms);
	jsonout_number(j, "jiffies_per_second", s->hz);
	jsonout_number(j, "synced_ms", s->synced_ms);
	jsonout_number(j, "ready_ms", s->ready_ms);
	jsonout_number(j, "last_change_ms", s->last_change_ms);
	jsonout_text(j, "source", s->source);
	jsonout_number(j, "source_ok_ms", s->source_ok_ms);
	jsonout_number(j, "source_error_ms", s->source_error_ms);
	jsonout_text(j, "source_error", s->source_error);
	jsonout_text(j, "records_note", s->records_note);
}

/* Absent with a file. */
static void put_api(struct jsonout *j, const struct nodens_api_status *a)
{
	if (!a->server[0])
		return;
	jsonout_open_object(j, "api");
	jsonout_text(j, "server", a->server);
	jsonout_number(j, "event_ms", a->event_ms);
	jsonout_number(j, "events", a->events);
	jsonout_number(j, "octets", a->octets);
	jsonout_number(j, "relists", a->relists);
	jsonout_number(j, "reconnects", a->reconnects);
	jsonout_text(j, "service_version", a->service_version);
	jsonout_text(j, "slice_version", a->slice_version);
	jsonout_open_object(j, "errors");
#define X(name, meaning) jsonout_number(j, #name, a->errors.name);
	NODENS_API_ERRORS(X)
#undef X
	jsonout_close(j, '}');
	jsonout_close(j, '}');
}

static void put_records(struct jsonout *j, const struct status_report *r)
{
	const struct nodens_status *s = &r->status;

	jsonout_text(j, "zone", r->config.zone);
	jsonout_number(j, "ttl_s", r->config.ttl_s);
	jsonout_text(j, "answer", r->config.answer);
	jsonout_number(j, "soa_serial", r->config.soa_serial);
	jsonout_number(j, "services", s->services);
	jsonout_number(j, "slices", s->slices);
	jsonout_number(j, "endpoints", s->endpoints);
	jsonout_number(j, "broken_objects", s->broken_objects);
	jsonout_number(j, "names", s->names);
	jsonout_number(j, "passed_names", s->passed_names);
	jsonout_number(j, "unfit_names", s->unfit_names);
	jsonout_number(j, "arena_bytes", s->arena_bytes);
	jsonout_number(j, "arena_capacity", s->arena_capacity);
	jsonout_number(j, "index_buckets", r->size.bucket_count);
	jsonout_number(j, "map_bytes", s->map_bytes);
	jsonout_number(j, "quarantined_blobs", s->quarantined_blobs);
	jsonout_number(j, "retired_blobs", s->retired_blobs);
	jsonout_number(j, "reused_blobs", s->reused_blobs);
	jsonout_number(j, "grace_periods", s->grace_periods);
	jsonout_number(j, "updates", s->updates);
	jsonout_number(j, "growths", s->growths);
}

static void put_interface(struct jsonout *j, const struct status_interface *i)
{
	const struct nodens_interface *n = &i->entry;

	jsonout_open_object(j, NULL);
	jsonout_text(j, "name", n->name);
	jsonout_number(j, "ifindex", i->ifindex);
	jsonout_number(j, "mtu", n->mtu);
	jsonout_text(j, "hook", hook_name(n->hook));
	jsonout_bool(j, "xdp", n->xdp == NODENS_HOOK_XDP);
	jsonout_bool(j, "failed", status_interface_has_failed(i));
	jsonout_bool(j, "peer", n->flags & NODENS_INTERFACE_PEER);
	jsonout_bool(j, "allow_from", n->flags & NODENS_INTERFACE_ALLOW);
	jsonout_number(j, "tc_priority", n->priority);
	jsonout_number(j, "tc_handle", n->handle);
	jsonout_text(j, "reason", n->reason);
	jsonout_close(j, '}');
}

static void put_places(struct jsonout *j, const struct status_report *r)
{
	jsonout_open_array(j, "servers");
	for (size_t i = 0; i < r->server_count; i++) {
		jsonout_open_object(j, NULL);
		jsonout_text(j, "address", r->servers[i].address);
		jsonout_text(j, "origin", r->servers[i].origin);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	jsonout_open_array(j, "interfaces");
	for (size_t i = 0; i < r->interface_count; i++)
		put_interface(j, &r->interfaces[i]);
	jsonout_close(j, ']');
	status_hooks_put_json(j, r->hooks);
}

static void put_verdicts(struct jsonout *j, const struct status_report *r)
{
	struct verdict_line lines[NODENS_VERDICT_COUNT];

	list_verdicts(&r->verdicts, lines);
	jsonout_open_object(j, "verdicts");
	for (size_t i = 0; i < NODENS_VERDICT_COUNT; i++)
		jsonout_number(j, lines[i].name, lines[i].count);
	jsonout_close(j, '}');
}

void status_print_json(FILE *out, const struct status_report *r)
{
	struct jsonout j;

	jsonout_init(&j, out);
	jsonout_open_object(&j, NULL);
	put_state(&j, r);
	put_api(&j, &r->status.api);
	put_records(&j, r);
	put_places(&j, r);
	put_verdicts(&j, r);
	jsonout_close(&j, '}');
}

void status_print_absent_json(FILE *out, const char *why)
{
	struct jsonout j;

	jsonout_init(&j, out);
	jsonout_open_object(&j, NULL);
	jsonout_bool(&j, "alive", false);
	jsonout_text(&j, "fault", why);
	jsonout_close(&j, '}');
}
