/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the watcher: what it asks for, as path and query. Pure. */
#pragma once

#include <stdint.h>

/* All are heap texts of the caller's; NULL: out of memory. selectors "" : none; version "" : any will do. */

/* The state and then its changes in one answer (KEP-3157). */
char *watcher_target_stream(const char *path, const char *selectors, const char *version, uint64_t timeout_s);
/* The state. more: metadata.continue of the page before, "" : from the beginning. */
char *watcher_target_list(const char *path, const char *selectors, const char *version, const char *more);
/* No objects, but the version at which the collection is: those with an impossible name, from the server's cache. */
char *watcher_target_probe(const char *path, const char *selectors, const char *version);
/* Changes behind this version. */
char *watcher_target_watch(const char *path, const char *selectors, const char *version, uint64_t timeout_s);
