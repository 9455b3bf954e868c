/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the file source: sees when what a path leads to changes. Each folder on the way is watched for the one name
 * that matters in it, through every symlink, so that also a link or a folder replaced by rename is seen (a ConfigMap
 * mount is file -> ..data/file, ..data -> ..2026_01_01, and ..data is what is replaced).
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct file_watch;

/* NULL with the cause in e. Nothing is watched before file_watch_follow. */
struct file_watch *file_watch_new(const char *path, struct error *e);
void file_watch_free(struct file_watch *w);

int file_watch_fd(const struct file_watch *w);
/* Follows the path anew, as far as it leads: call it before reading, so that no change is missed in between.
 * -errno with the cause in e where the folder of what is read cannot be watched. */
int file_watch_follow(struct file_watch *w, struct error *e);
/* Takes all events; true if one may mean a change. */
bool file_watch_take(struct file_watch *w);
