/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share. A target is one program with these entries (libFuzzer's), or replay.c's main in its place. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
/* libFuzzer's own mutation, for LLVMFuzzerCustomMutator. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t cap);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t cap, unsigned int seed);

/* Ends the program with what was found, in words. */
#define FUZZ_CHECK(condition, ...)                                                   \
	do {                                                                         \
		if (!(condition)) {                                                  \
			fprintf(stderr, "%s:%d: not so: ", __FILE__, __LINE__);      \
			fprintf(stderr, __VA_ARGS__);                                \
			fputc('\n', stderr);                                         \
			abort();                                                     \
		}                                                                    \
	} while (0)

/* Takes the input apart from its start; zeros behind its end. */
struct fuzz_input {
	const uint8_t *data;
	size_t len;
};

static inline uint8_t fuzz_take_u8(struct fuzz_input *in)
{
	if (in->len == 0)
		return 0;
	in->len--;
	return *in->data++;
}

/* A copy of the first len octets (or what there is) with exactly that many, so that reading behind it is seen. free() it. */
static inline char *fuzz_copy(const uint8_t *data, size_t len)
{
	char *copy = calloc(1, len ? len : 1);

	FUZZ_CHECK(copy, "memory");
	for (size_t i = 0; i < len; i++)
		copy[i] = (char)data[i];
	return copy;
}

/* The rest of the input as a text, the caller's. A zero octet ends it. */
static inline char *fuzz_take_text(struct fuzz_input *in)
{
	char *text = malloc(in->len + 1);

	FUZZ_CHECK(text, "memory");
	for (size_t i = 0; i < in->len; i++)
		text[i] = (char)in->data[i];
	text[in->len] = '\0';
	in->len = 0;
	return text;
}
