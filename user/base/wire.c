/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded writer whose error sticks, and the Internet checksum's sum. */
#include "base/wire.h"

#include <string.h>

void wire_init(struct wire *w, void *buffer, size_t cap)
{
	*w = (struct wire){.data = buffer, .cap = cap};
}

/* The place of the next len octets, or NULL once something did not fit. */
static uint8_t *wire_take(struct wire *w, size_t len)
{
	uint8_t *at;

	if (w->overflow || len > w->cap - w->len) {
		w->overflow = true;
		return NULL;
	}
	at = w->data + w->len;
	w->len += len;
	return at;
}

void wire_put_u8(struct wire *w, uint8_t v)
{
	uint8_t *at = wire_take(w, 1);

	if (at)
		at[0] = v;
}

void wire_put_u16(struct wire *w, uint16_t v)
{
	uint8_t *at = wire_take(w, 2);

	if (!at)
		return;
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

void wire_put_u32(struct wire *w, uint32_t v)
{
	uint8_t *at = wire_take(w, 4);

	if (!at)
		return;
	at[0] = (uint8_t)(v >> 24);
	at[1] = (uint8_t)(v >> 16);
	at[2] = (uint8_t)(v >> 8);
	at[3] = (uint8_t)v;
}

void wire_put_bytes(struct wire *w, const void *src, size_t len)
{
	uint8_t *at = wire_take(w, len);

	/* memcpy of nothing from NULL is undefined. */
	if (at && len)
		memcpy(at, src, len);
}

void wire_put_zeros(struct wire *w, size_t len)
{
	uint8_t *at = wire_take(w, len);

	if (at && len)
		memset(at, 0, len);
}

void wire_align(struct wire *w, size_t align)
{
	wire_put_zeros(w, -w->len & (align - 1));
}

uint16_t wire_sum(const void *data, size_t len)
{
	const uint8_t *at = data;
	uint64_t sum = 0;
	uint16_t last = 0;
	uint32_t word;

	/* Words of 32 bits give the same sum once it is folded (RFC 1071 section 2 (C)); 2^32 of them fit the sum. */
	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if (len >= 2) {
		memcpy(&last, at, 2);
		sum += last;
		at += 2;
		len -= 2;
	}
	if (len) {
		last = 0;
		memcpy(&last, at, 1);
		sum += last;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}
