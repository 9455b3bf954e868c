/* SPDX-License-Identifier: Apache-2.0 */
/* Who else is on the hooks of our interfaces, for `nodens status`. */
#pragma once

#include <stdio.h>

#include "base/jsonout.h"
#include "status_report.h"

struct status_hooks;

/* Asks the kernel for each interface that is attached or should be. dir: the folder of the generations. NULL: out of
 * memory, which printing takes as nothing known. */
struct status_hooks *status_hooks_collect(const char *dir, const struct status_interface *interfaces, size_t count);
void status_hooks_free(struct status_hooks *h);
/* Only interfaces that are shared with others. */
void status_hooks_print_text(FILE *out, const struct status_hooks *h);
/* A member "hooks": all of them. */
void status_hooks_put_json(struct jsonout *j, const struct status_hooks *h);
