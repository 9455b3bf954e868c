/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet frames with a UDP datagram inside, for `nodens lookup`. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/generation.h"

/* From a documentation address (RFC 5737, RFC 3849), port 40000, to the server. Checksums are right. Returns the
 * frame's length, 0: cap is too small. */
size_t frame_build_query(const struct server_addr *server, const void *message, size_t len, void *ret_frame,
			 size_t cap);
/* The DNS message within a frame of an answer; false: not a whole UDP datagram over IPv4 or IPv6. */
bool frame_find_message(const void *frame, size_t len, const uint8_t **ret_message, size_t *ret_len);
