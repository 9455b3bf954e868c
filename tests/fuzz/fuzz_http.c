/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a response line by line, and a watch's body cut into lines: the same however it is cut into pieces.
 *
 * Input: what is meant, how it is cut into pieces, then the octets.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "kube/client_head.h"
#include "kube/lines.h"

#define LINE_MAX_LEN 200
#define RETRY_MAX_MS 3600000

static void read_head(const uint8_t *data, size_t len)
{
	struct client_head h = {0};
	struct kube_response done = {0};
	bool is_complete = false;

	while (len > 0) {
		const uint8_t *end = memchr(data, '\n', len);
		size_t line = end ? (size_t)(end - data) + 1 : len;
		char *copy = fuzz_copy(data, line);
		bool is_end = client_head_line(&h, copy, line, 1000);

		free(copy);
		FUZZ_CHECK(!(is_end && is_complete), "a head is complete once");
		if (is_complete)
			FUZZ_CHECK(memcmp(&h.response, &done, sizeof(done)) == 0, "trailers change nothing");
		if (is_end) {
			is_complete = true;
			done = h.response;
			FUZZ_CHECK(done.status >= 200, "a final status: %d", done.status);
		}
		FUZZ_CHECK(h.response.retry_after_ms <= RETRY_MAX_MS, "an hour at most");
		FUZZ_CHECK(memchr(h.response.content_type, '\0', sizeof(h.response.content_type)), "a type ends");
		data += line;
		len -= line;
	}
}

/* The lines told, one after the other with their ends. */
struct told {
	char *text;
	size_t len;
};

static int take_line(void *ctx, const char *line, size_t len)
{
	struct told *t = ctx;

	FUZZ_CHECK(len > 0 && !memchr(line, '\n', len), "a line of %zu octets", len);
	memcpy(t->text + t->len, line, len);
	t->len += len;
	t->text[t->len++] = '\n';
	return 0;
}

/* 0 or what the feed ended with. */
static int cut(const uint8_t *data, size_t len, size_t piece, struct told *ret_told, size_t *ret_rest)
{
	struct lines l;
	struct error e = {0};
	size_t done = 0;
	int err = 0;

	lines_init(&l, LINE_MAX_LEN);
	while (err == 0 && done < len) {
		size_t n = len - done < piece ? len - done : piece;
		char *copy = fuzz_copy(data + done, n);

		err = lines_feed(&l, copy, n, take_line, ret_told, &e);
		free(copy);
		done += n;
	}
	FUZZ_CHECK(err == 0 || (err == -EMSGSIZE && e.text[0]), "%d %s", err, e.text);
	*ret_rest = lines_rest(&l);
	lines_reset(&l);
	return err;
}

static void read_lines(const uint8_t *data, size_t len, size_t piece)
{
	struct told whole = {malloc(2 * len + 1), 0}, parts = {malloc(2 * len + 1), 0};
	size_t rest_whole, rest_parts;
	int err;

	FUZZ_CHECK(whole.text && parts.text, "memory");
	err = cut(data, len, len ? len : 1, &whole, &rest_whole);
	FUZZ_CHECK(cut(data, len, piece, &parts, &rest_parts) == err, "another end in pieces of %zu", piece);
	FUZZ_CHECK(whole.len == parts.len && memcmp(whole.text, parts.text, whole.len) == 0, "other lines in pieces of %zu", piece);
	FUZZ_CHECK(err != 0 || rest_whole == rest_parts, "another rest in pieces of %zu", piece);
	free(whole.text);
	free(parts.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2)
		return -1;
	if (data[0] % 2 == 0)
		read_head(data + 2, len - 2);
	else
		read_lines(data + 2, len - 2, 1 + (size_t)data[1]);
	return 0;
}
