/* SPDX-License-Identifier: Apache-2.0 */
/* A cause in words that travels up beside -errno: the module that failed writes it, the command reports it once. */
#pragma once

struct error {
	char text[512]; /* "" : none */
};

/* Replaces the text; NULL e is allowed. Returns err, so that callers can `return error_set(e, -EINVAL, "…", …)`. */
int error_set(struct error *e, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Puts words in front: "action: what was there". Returns err. */
int error_prefix(struct error *e, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
