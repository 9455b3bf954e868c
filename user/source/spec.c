/* SPDX-License-Identifier: Apache-2.0 */
/* --source and --context. */
#include "source/spec.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* What stands behind the prefix; NULL: another prefix, or nothing behind it. */
static const char *behind(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 && text[len] ? text + len : NULL;
}

int source_spec_parse(const char *source, const char *context, struct source_spec *ret_spec, struct error *e)
{
	struct source_spec spec = {
		.path = behind(source, "file:"), .kubeconfig = behind(source, "kube:"), .context = context};

	if (!spec.path && !spec.kubeconfig && strcmp(source, "kube") != 0)
		return error_set(e, -EINVAL, "--source: \"%s\" is none of kube, kube:KUBECONFIG, file:PATH", source);
	if (context && !spec.kubeconfig)
		return error_set(e, -EINVAL,
				 "--context: only a kubeconfig has contexts (--source kube:KUBECONFIG), not %s",
				 source);
	*ret_spec = spec;
	return 0;
}

int source_spec_load(const struct source_spec *spec, struct kube_config *ret_config, struct error *e)
{
	if (spec->kubeconfig)
		return kube_config_load(spec->kubeconfig, spec->context, ret_config, e);
	return kube_config_in_cluster(NULL, ret_config, e);
}
