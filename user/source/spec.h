/* SPDX-License-Identifier: Apache-2.0 */
/* --source and --context: which source is meant. */
#pragma once

#include "base/error.h"
#include "kube/config.h"

/* Texts are the caller's. */
struct source_spec {
	const char *path;	/* file:PATH; NULL: the API server */
	const char *kubeconfig; /* kube:KUBECONFIG; NULL: in-cluster */
	const char *context;	/* NULL: the current one */
};

/* context NULL: not given. -EINVAL with e naming the flag. Touches no file. */
int source_spec_parse(const char *source, const char *context, struct source_spec *ret_spec, struct error *e);
/* Of one without a path: how to reach the API server; kube_config_done afterwards. */
int source_spec_load(const struct source_spec *spec, struct kube_config *ret_config, struct error *e);
