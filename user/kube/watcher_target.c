/* SPDX-License-Identifier: Apache-2.0 */
/* What the watcher asks for. */
#include "kube/watcher_target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 3986 section 2.3. Versions and continue tokens are opaque. */
static char *encode(const char *text)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *encoded = malloc(3 * strlen(text) + 1), *to = encoded;

	if (!encoded)
		return NULL;
	for (; *text; text++)
		if (strchr(unreserved, *text))
			*to++ = *text;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*text);
	*to = '\0';
	return encoded;
}

/* path?before version after[&selectors] */
static char *make(const char *path, const char *selectors, const char *before, const char *version, const char *after)
{
	char *encoded = encode(version), *target = NULL;

	if (encoded &&
	    asprintf(&target, "%s?%s%s%s%s%s", path, before, encoded, after, selectors[0] ? "&" : "", selectors) < 0)
		target = NULL;
	free(encoded);
	return target;
}

char *watcher_target_stream(const char *path, const char *selectors, const char *version, uint64_t timeout_s)
{
	char after[128];

	snprintf(after, sizeof(after),
		 "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=%" PRIu64, timeout_s);
	return make(path, selectors, "watch=1&sendInitialEvents=true&resourceVersion=", version[0] ? version : "0",
		    after);
}

char *watcher_target_list(const char *path, const char *selectors, const char *version, const char *more)
{
	if (more[0])
		return make(path, selectors, "continue=", more, "");
	if (version[0])
		return make(path, selectors, "resourceVersion=", version, "&resourceVersionMatch=NotOlderThan");
	return make(path, selectors, "resourceVersion=", "0", "");
}

/* No object is called "-": names begin with a letter or digit (RFC 1123). */
char *watcher_target_probe(const char *path, const char *selectors, const char *version)
{
	static const char field[] = "fieldSelector=", nobody[] = "metadata.name%3D-";
	const char *fields = strstr(selectors, field);
	char after[256];

	/* Of several such parameters the server takes one. */
	if (fields)
		snprintf(after, sizeof(after), "&resourceVersionMatch=NotOlderThan&%.*s%s%s%%2C%s",
			 (int)(fields - selectors), selectors, field, nobody, fields + strlen(field));
	else
		snprintf(after, sizeof(after), "&resourceVersionMatch=NotOlderThan&%s%s%s%s", field, nobody,
			 selectors[0] ? "&" : "", selectors);
	return make(path, "", "resourceVersion=", version, after);
}

char *watcher_target_watch(const char *path, const char *selectors, const char *version, uint64_t timeout_s)
{
	char after[128];

	snprintf(after, sizeof(after), "&allowWatchBookmarks=true&timeoutSeconds=%" PRIu64, timeout_s);
	return make(path, selectors, "watch=1&resourceVersion=", version, after);
}
