/* SPDX-License-Identifier: Apache-2.0 */
/* The API source: which watches there are, from start to end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "kube/client.h"
#include "kube/text.h"
#include "source/kube_state.h"

#define SERVICES   "/api/v1/services"
#define SLICES	   "/apis/discovery.k8s.io/v1/endpointslices"
#define MANAGED_BY "endpointslice.kubernetes.io%2Fmanaged-by"
#define CONTROLLER "endpointslice-controller.k8s.io"

static void add_watch(struct kube_source *s, enum kube_kind kind, const char *path, const char *selectors)
{
	struct kube_watch *w = &s->watches[s->count];

	w->source = s;
	w->index = s->count;
	w->kind = kind;
	snprintf(w->path, sizeof(w->path), "%s", path);
	snprintf(w->selectors, sizeof(w->selectors), "%s", selectors);
	s->doubt.watches[s->count].path = w->path;
	s->doubt.count = ++s->count;
}

/* The controller labels the slices of headless services. What others write need not carry that label. */
static void add_watches(struct kube_source *s, const struct source_kube_params *p)
{
	char path[128], selector[128];

	if (!p->is_headless_only) {
		add_watch(s, KUBE_SERVICE, SERVICES, "");
		add_watch(s, KUBE_SLICE, SLICES, "");
		return;
	}
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/services", p->dns_namespace);
	snprintf(selector, sizeof(selector), "fieldSelector=metadata.name%%3D%s", p->dns_service);
	add_watch(s, KUBE_SERVICE, SERVICES, "fieldSelector=spec.clusterIP%3DNone");
	add_watch(s, KUBE_SERVICE, path, selector);
	add_watch(s, KUBE_SLICE, SLICES,
		  "labelSelector=service.kubernetes.io%2Fheadless%2C" MANAGED_BY "%3D" CONTROLLER);
	add_watch(s, KUBE_SLICE, SLICES, "labelSelector=" MANAGED_BY "%21%3D" CONTROLLER);
}

static uint64_t choose_delay_ms(uint64_t spread_ms)
{
	uint64_t n = 0;

	if (spread_ms == 0 || getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
		return 0;
	return n % (spread_ms + 1);
}

static int start_watch(struct kube_source *s, struct kube_watch *w, const struct source_kube_params *p,
		       uint64_t delay_ms)
{
	struct watcher_params params = {.path = w->path,
					.selectors = w->selectors,
					.kind = w->kind,
					.delay_ms = delay_ms,
					.quiet_max_ms = p->api_stale_after_ms,
					.errors = &s->status.errors};

	snprintf(params.version, sizeof(params.version), "%.31s",
		 w->kind == KUBE_SERVICE ? p->service_version : p->slice_version);
	w->watcher = watcher_new(s->loop, s->client, &params, &kube_watcher_callbacks, w);
	return w->watcher ? 0 : -ENOMEM;
}

static void resync(struct source *source)
{
	struct kube_source *s = (struct kube_source *)source;

	for (unsigned int i = 0; i < s->count; i++) {
		s->watches[i].is_awaited = true;
		watcher_relist(s->watches[i].watcher, false);
	}
}

static void free_source(struct source *source)
{
	struct kube_source *s = (struct kube_source *)source;

	for (unsigned int i = 0; i < s->count; i++) {
		watcher_free(s->watches[i].watcher);
		kube_drop_changed(&s->watches[i]);
	}
	kube_client_free(s->client);
	loop_remove(s->loop, s->doubt_timer);
	loop_remove(s->loop, s->trouble_timer);
	loop_remove(s->loop, s->status_timer);
	kube_objects_done(&s->objects);
	free(s);
}

static int start(struct kube_source *s, const struct source_kube_params *p, struct error *e)
{
	uint64_t delay_ms = choose_delay_ms(p->spread_ms);

	s->client = kube_client_new(s->loop, p->config, e);
	if (!s->client)
		return -EINVAL;
	(void)error_set(e, 0, "out of memory");
	s->doubt_timer = loop_add_timer(s->loop, 0, 0, kube_on_doubt_timer, s);
	s->trouble_timer = loop_add_timer(s->loop, 0, 0, kube_on_trouble_timer, s);
	s->status_timer = loop_add_timer(s->loop, 0, 0, kube_on_status_timer, s);
	if (!s->doubt_timer || !s->trouble_timer || !s->status_timer)
		return error_set(e, -errno, "a timer cannot be made: %s", strerror(errno));
	add_watches(s, p);
	for (unsigned int i = 0; i < s->count; i++)
		if (start_watch(s, &s->watches[i], p, delay_ms) < 0)
			return -ENOMEM;
	return 0;
}

struct source *source_kube_new(struct loop *l, const struct source_kube_params *params,
			       const struct source_callbacks *cb, void *ctx, struct error *e)
{
	static const struct source_ops ops = {.resync = resync, .free = free_source};
	struct kube_source *s;

	if (params->is_headless_only &&
	    (!text_is_label(params->dns_namespace) || !text_is_label(params->dns_service))) {
		(void)error_set(e, 0, "the DNS service's name %s/%s is none", text_quote(params->dns_namespace).text,
				text_quote(params->dns_service).text);
		return NULL;
	}
	(void)error_set(e, 0, "out of memory"); /* unless a cause is told */
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->source.ops = &ops;
	s->loop = l;
	s->cb = *cb;
	s->ctx = ctx;
	kube_objects_init(&s->objects);
	s->doubt.stale_after_ms = params->api_stale_after_ms;
	if (start(s, params, e) < 0) {
		free_source(&s->source);
		return NULL;
	}
	return &s->source;
}
