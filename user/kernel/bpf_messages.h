/* SPDX-License-Identifier: Apache-2.0 */
/* What libbpf prints is kept for the text of an error and is silent otherwise. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Forgets what was kept; from the first call on libbpf prints nothing by itself. */
void bpf_messages_start(void);

/*
 * Puts the cause of a failed bpf(2) into words, with what libbpf or the verifier said last (since bpf_messages_start):
 * for EPERM and EACCES the capability that is missing, or the limit on locked memory below Linux 5.11. `action` is what
 * was tried. Returns err.
 */
int bpf_messages_explain(struct error *e, int err, const char *action);
