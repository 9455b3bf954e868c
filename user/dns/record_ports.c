/* SPDX-License-Identifier: Apache-2.0 */
/* Which ports count for which name. */
#include "dns/record_ports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int record_ports_init(struct record_ports *p, const struct roster *r)
{
	const struct roster_source *s;
	size_t cap = 0;

	*p = (struct record_ports){0};
	for (size_t i = 0; i < r->source_count; i++)
		cap += r->sources[i].port_count;
	p->refs = calloc(cap + 1, sizeof(*p->refs));
	p->numbers = calloc(cap + 1, sizeof(*p->numbers));
	p->lists = calloc(r->source_count + 1, sizeof(*p->lists));
	if (!p->refs || !p->numbers || !p->lists)
		return -ENOMEM;
	for (size_t i = 0; i < r->source_count; i++) {
		s = &r->sources[i];
		for (size_t k = 0; k < s->port_count; k++)
			p->refs[p->ref_count++] = (struct port_ref){&s->ports[k], (uint32_t)i};
	}
	return 0;
}

void record_ports_done(struct record_ports *p)
{
	free(p->refs);
	free(p->numbers);
	free(p->lists);
	*p = (struct record_ports){0};
}

/* The refs are of one source. */
static void fill_list(struct record_ports *p, const struct port_ref *refs, size_t count)
{
	struct port_list *list = &p->lists[refs[0].source];
	uint64_t seen[(UINT16_MAX + 1) / 64] = {0};
	uint16_t number;

	*list = (struct port_list){.count = (uint32_t)count, .numbers = p->numbers + p->number_count};
	for (size_t i = 0; i < count; i++) {
		number = (uint16_t)refs[i].port->number;
		if (refs[i].port->number < 0 || seen[number / 64] & 1ULL << number % 64)
			continue;
		seen[number / 64] |= 1ULL << number % 64;
		p->numbers[p->number_count++] = number;
		list->number_count++;
	}
}

/* Refs from refs[first] on, before end, that have its source. */
static size_t source_run(const struct record_ports *p, size_t first, size_t end)
{
	size_t i = first + 1;

	while (i < end && p->refs[i].source == p->refs[first].source)
		i++;
	return i - first;
}

static void fill_lists(struct record_ports *p, size_t first, size_t end)
{
	size_t run;

	p->number_count = 0;
	for (; first < end; first += run) {
		run = source_run(p, first, end);
		fill_list(p, &p->refs[first], run);
	}
}

void record_ports_select_all(struct record_ports *p, const struct roster *r)
{
	for (size_t i = 0; i < r->source_count; i++)
		p->lists[i] = (struct port_list){.count = 1};
	fill_lists(p, 0, p->ref_count);
}

static int compare_names(const struct port_ref *a, const struct port_ref *b)
{
	int r = strcmp(a->port->name, b->port->name);

	return r ? r : (int)a->port->protocol - (int)b->port->protocol;
}

static int compare_refs(const void *a, const void *b)
{
	const struct port_ref *x = a, *y = b;
	int r = compare_names(x, y);

	if (r)
		return r;
	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	return (x->port > y->port) - (x->port < y->port);
}

void record_ports_sort(struct record_ports *p)
{
	size_t named = 0;

	for (size_t i = 0; i < p->ref_count; i++)
		if (p->refs[i].port->name[0])
			p->refs[named++] = p->refs[i];
	p->ref_count = named;
	qsort(p->refs, named, sizeof(*p->refs), compare_refs);
}

size_t record_ports_select_run(struct record_ports *p, size_t first)
{
	size_t end = first + 1;

	while (end < p->ref_count && compare_names(&p->refs[first], &p->refs[end]) == 0)
		end++;
	fill_lists(p, first, end);
	return end - first;
}
