/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent is made of, with the lock held: records, source, interfaces, and the first generation. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "controller_state.h"
#include "notify.h"
#include "version.h"

/* First lists of many nodes are spread over this time, where the agent before still serves. What changed while no agent ran is
 * to be seen within two seconds of the next one's start. */
#define SPREAD_MS 1000
/* A watch lasts five seconds at least, and when it has ended without a sign the server is asked for one. */
#define QUIET_MS 15000

static void describe_self(struct controller *c)
{
	const struct kube_config *kube = c->params->kube;
	struct nodens_status *s = &c->status;
	const char *pod = getenv("POD_NAME"); /* from the manifests: a pod on the node's network has the node's name */

	s->abi_version = NODENS_ABI_VERSION;
	s->pid = (uint32_t)getpid();
	s->started_ms = heartbeat_now_ms();
	s->stale_after_ms = (uint32_t)c->params->stale_after_ms;
	snprintf(s->version, sizeof(s->version), "%s", NODENS_VERSION);
	if (gethostname(s->host, sizeof(s->host) - 1))
		s->host[0] = '\0';
	if (pod)
		snprintf(s->pod, sizeof(s->pod), "%s", pod);
	if (!controller_is_kube(c)) {
		snprintf(s->source, sizeof(s->source), "file:%s", c->params->source_path);
		return;
	}
	snprintf(s->source, sizeof(s->source), "kube: %s", kube->origin);
	snprintf(s->api.server, sizeof(s->api.server), "%s", kube->server);
	s->api.server_identity = kube_config_identity(kube);
}

static int start_store(struct controller *c)
{
	struct store *store = store_new(&c->params->records);
	const struct loader_params params = {
		.dir = c->params->dir,
		.store = store,
		.loop = c->loop,
		.render = {.ttl_s = c->params->ttl_s},
		.max_memory = c->params->max_memory,
		.on_progress = controller_on_progress,
		.on_switch = controller_switch,
		.ctx = c,
	};
	c->store = store;
	c->loader = store ? loader_new(&params) : NULL;
	return c->loader ? 0 : -ENOMEM;
}

/* A file has nothing to wait for. */
static int check_servers(const struct controller *c, struct error *e)
{
	if (c->servers.count || controller_is_kube(c))
		return 0;
	return error_set(e, -EINVAL,
			 "no server addresses: %s has no Service %s/%s with a UDP port; pass them, for instance "
			 "--server 10.96.0.10",
			 c->status.source, c->params->dns_namespace, c->params->dns_service);
}

static int start_file(struct controller *c, struct error *e)
{
	c->source = source_file_new(c->loop, c->params->source_path, &controller_source_callbacks, c, e);
	return c->source ? 0 : error_prefix(e, -EIO, "%s", c->status.source);
}

/* Only where the agent before serves meanwhile, and never so long that this would end before we are synced. */
static uint64_t pick_spread_ms(const struct controller *c)
{
	uint64_t serves_ms = controller_former_serves_ms(c);

	return serves_ms / 3 < SPREAD_MS ? serves_ms / 3 : SPREAD_MS;
}

static int start_kube(struct controller *c, struct error *e)
{
	const struct controller_params *p = c->params;
	struct source_kube_params params = {
		.config = p->kube,
		.is_headless_only = p->records.level == ANSWER_HEADLESS,
		.dns_namespace = p->dns_namespace,
		.dns_service = p->dns_service,
		.api_stale_after_ms = p->api_stale_after_ms,
		.spread_ms = pick_spread_ms(c),
	};

	if (p->kube->is_insecure)
		log_warn("THE API SERVER'S CERTIFICATE IS NOT VERIFIED (insecure-skip-tls-verify): whoever is on the "
			 "way to it can make pods get wrong answers",
			 LOG_TEXT("server", p->kube->server));
	if (kube_config_is_clear(p->kube))
		log_warn("THE API SERVER IS ASKED IN THE CLEAR (http://): whoever is on the way to it can read the "
			 "token and make pods get wrong answers",
			 LOG_TEXT("server", p->kube->server));
	if (p->api_stale_after_ms < QUIET_MS)
		log_warn("--api-stale-after leaves no time to ask a quiet API server for a sign: a quiet cluster is passed on "
			 "again and again",
			 LOG_NUM("api_stale_after_ms", p->api_stale_after_ms), LOG_NUM("advised_ms", QUIET_MS));
	controller_take_position(c);
	log_info("following the API server", LOG_TEXT("server", p->kube->server), LOG_TEXT("by", p->kube->origin),
		 LOG_NUM("spread_ms", params.spread_ms), LOG_TEXT("not_older_than", c->status.api.service_version));
	memcpy(params.service_version, c->status.api.service_version, sizeof(params.service_version));
	memcpy(params.slice_version, c->status.api.slice_version, sizeof(params.slice_version));
	controller_tell_waiting(c);
	(void)notify_send(CONTROLLER_START_GOES_ON);
	c->source = source_kube_new(c->loop, &params, &controller_source_callbacks, c, e);
	return c->source ? 0 : error_prefix(e, -EIO, "%s", c->status.source);
}

int controller_go_live(struct controller *c, struct error *e)
{
	/* Sized for the records there are: the source comes first where it tells at once. */
	int err = loader_begin(c->loader, e);

	if (!err)
		err = heartbeat_begin(&c->heart, c->params->stale_after_ms, controller_generation(c));
	if (err)
		return err;
	if (controller_is_synced(c)) {
		controller_apply(c);
		if (c->failed) {
			*e = c->failure;
			return c->failed;
		}
		err = check_servers(c, e);
	}
	return err ? err : controller_publish_first(c, e);
}

static void on_interfaces_changed(void *ctx)
{
	controller_tell_status(ctx);
}

/* The source; then, if it has told its state or nobody serves meanwhile, the datapath. */
int controller_load(struct controller *c, struct error *e)
{
	int err;

	describe_self(c);
	err = start_store(c);
	if (err)
		return err;
	controller_open_former(c);
	c->attachments = attachments_new(c->loop, c->params->dir, &c->params->interfaces, e);
	if (!c->attachments)
		return error_prefix(e, -EIO, "interfaces");
	attachments_on_change(c->attachments, on_interfaces_changed, c);
	attachments_on_progress(c->attachments, controller_on_progress, c);
	err = attachments_check(c->attachments, e);
	if (!err)
		err = controller_is_kube(c) ? start_kube(c, e) : start_file(c, e);
	if (err)
		return err;
	if (c->failed) {
		*e = c->failure;
		return c->failed;
	}
	if (controller_is_synced(c) || !controller_former_serves_ms(c))
		err = controller_go_live(c, e);
	c->is_running = true;
	return err;
}
