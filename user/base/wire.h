/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded writer whose error sticks: write everything, look at the error once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
	uint8_t *data;
	size_t cap;
	size_t len;    /* octets written; never beyond cap */
	bool overflow; /* something did not fit; nothing was written from then on */
};

/* The buffer stays the caller's. */
void wire_init(struct wire *w, void *buffer, size_t cap);

/* Integers are written in network byte order. */
void wire_put_u8(struct wire *w, uint8_t v);
void wire_put_u16(struct wire *w, uint16_t v);
void wire_put_u32(struct wire *w, uint32_t v);
void wire_put_bytes(struct wire *w, const void *src, size_t len);
void wire_put_zeros(struct wire *w, size_t len);
/* Zeros until len is a multiple of align (a power of two). */
void wire_align(struct wire *w, size_t align);

/* Ones-complement sum of 16-bit words as the host loads them, folded, not complemented (RFC 1071). An odd last octet
 * counts as a word with a zero behind it. */
uint16_t wire_sum(const void *data, size_t len);
