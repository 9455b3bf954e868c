/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner that cuts a JSON list into items: one octet decides one step, so pieces may end anywhere. */
#include "kube/items.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state {
	AT_DOCUMENT,
	AT_VALUE,
	AT_VALUE_OR_END, /* behind '[' */
	AT_KEY,
	AT_KEY_OR_END, /* behind '{' */
	AT_COLON,
	AT_NEXT, /* behind a value: ',' or the end of what holds it */
	AT_END,  /* behind the document */
	IN_STRING,
	IN_ESCAPE,
	IN_HEX,
	IN_LITERAL,
	IN_NUMBER,
};

/* RFC 8259 section 6. The upper ones may end a number. */
enum number_state { NUM_MINUS, NUM_DOT, NUM_E, NUM_SIGN, NUM_ZERO, NUM_INT, NUM_FRACTION, NUM_EXPONENT };

/* The value being cut out. */
struct capture {
	bool is_on;
	bool is_item;
	bool is_too_large;
	size_t which;	  /* member or item index */
	size_t depth;	  /* of what holds the value */
	const char *from; /* its part in the piece being fed */
	char *text;	  /* its part in earlier pieces */
	size_t len;
	size_t cap;
};

struct items {
	struct items_callbacks cb;
	void *ctx;
	enum state state;
	enum number_state number;
	const char *literal; /* what is still to come of true, false, null */
	int hex_left;
	bool is_key; /* the string being read */
	bool is_list;
	bool has_items;
	bool is_in_items; /* depth 2 is the array of items */
	uint32_t seen;	  /* bits of wanted members */
	size_t index;	  /* of the next item */
	size_t depth;
	uint64_t is_object[ITEMS_DEPTH_MAX / 64];
	size_t line;
	size_t line_start; /* offset */
	size_t offset;	   /* of the piece being fed */
	char key[32];	   /* top-level key as it stands in the text, cut */
	size_t key_len;
	struct capture capture;
};

static const char *const nothing_wanted[] = {NULL};

static void items_init(struct items *it)
{
	memset(it, 0, sizeof(*it));
	it->line = 1;
	it->cb.wanted = nothing_wanted;
}

struct items *items_new(const struct items_callbacks *cb, void *ctx)
{
	struct items *it = malloc(sizeof(*it));

	if (!it)
		return NULL;
	items_init(it);
	it->cb = *cb;
	it->ctx = ctx;
	it->is_list = true;
	return it;
}

void items_free(struct items *it)
{
	if (!it)
		return;
	free(it->capture.text);
	free(it);
}

/* ---- errors ---- */

static int error_at(const struct items *it, size_t offset, struct error *e, const char *what)
{
	return error_set(e, -EINVAL, "line %zu, column %zu: %s", it->line, offset - it->line_start + 1, what);
}

static int unexpected(const struct items *it, size_t offset, char c, struct error *e, const char *wanted)
{
	char what[96];

	if (c > ' ' && c < 0x7f)
		snprintf(what, sizeof(what), "expected %s, found '%c'", wanted, c);
	else
		snprintf(what, sizeof(what), "expected %s, found octet 0x%02x", wanted, (unsigned char)c);
	return error_at(it, offset, e, what);
}

static int comes_twice(const struct items *it, size_t offset, struct error *e, const char *key)
{
	char what[96];

	snprintf(what, sizeof(what), "%s comes twice", key);
	return error_at(it, offset, e, what);
}

/* ---- captures ---- */

static int capture_keep(struct capture *c, const char *end)
{
	size_t len = (size_t)(end - c->from);

	if (c->is_too_large || c->len + len > ITEMS_ITEM_MAX) {
		c->is_too_large = true;
		return 0;
	}
	if (c->len + len > c->cap) {
		size_t cap = 2 * (c->len + len) + 1024;
		char *text = realloc(c->text, cap);

		if (!text)
			return -ENOMEM;
		c->text = text;
		c->cap = cap;
	}
	memcpy(c->text + c->len, c->from, len);
	c->len += len;
	return 0;
}

static void capture_begin(struct items *it, bool is_item, size_t which, const char *at)
{
	struct capture *c = &it->capture;

	c->is_on = true;
	c->is_item = is_item;
	c->is_too_large = false;
	c->which = which;
	c->depth = it->depth;
	c->from = at;
	c->len = 0;
}

/* The value ends before `end`. */
static int capture_end(struct items *it, const char *end, struct error *e)
{
	struct capture *c = &it->capture;
	const char *text = c->from;
	size_t len = (size_t)(end - c->from);

	c->is_on = false;
	if (c->len > 0 || c->is_too_large || len > ITEMS_ITEM_MAX) {
		int r = capture_keep(c, end);

		if (r < 0)
			return error_set(e, r, "out of memory");
		text = c->is_too_large ? NULL : c->text;
		len = c->is_too_large ? 0 : c->len;
	}
	if (c->is_item)
		return it->cb.on_item(it->ctx, c->which, text, len, e);
	if (!text)
		return error_set(e, -EINVAL, "%s is larger than %zu octets", it->cb.wanted[c->which], ITEMS_ITEM_MAX);
	return it->cb.on_member(it->ctx, c->which, text, len, e);
}

/* ---- hooks of the scanner ---- */

static bool key_is(const struct items *it, const char *name)
{
	return it->key_len == strlen(name) && memcmp(it->key, name, it->key_len) == 0;
}

static int begin_items(struct items *it, const char *at, size_t offset, struct error *e)
{
	if (it->has_items)
		return comes_twice(it, offset, e, "items");
	if (*at != '[' && *at != 'n')
		return error_at(it, offset, e, "items is not an array");
	it->has_items = true;
	it->is_in_items = *at == '[';
	return 0;
}

static int begin_member(struct items *it, const char *at, size_t offset, struct error *e)
{
	if (key_is(it, "items"))
		return begin_items(it, at, offset, e);
	for (size_t i = 0; it->cb.wanted[i]; i++) {
		if (!key_is(it, it->cb.wanted[i]))
			continue;
		if (it->seen & (1U << i))
			return comes_twice(it, offset, e, it->cb.wanted[i]);
		it->seen |= 1U << i;
		capture_begin(it, false, i, at);
	}
	return 0;
}

static int begin_value_hook(struct items *it, const char *at, size_t offset, struct error *e)
{
	if (it->depth == 1 && it->is_list)
		return begin_member(it, at, offset, e);
	if (it->depth == 2 && it->is_in_items)
		capture_begin(it, true, it->index++, at);
	return 0;
}

static int end_value(struct items *it, const char *end, struct error *e)
{
	it->state = it->depth == 0 ? AT_END : AT_NEXT;
	if (it->depth == 1)
		it->is_in_items = false;
	if (it->capture.is_on && it->capture.depth == it->depth)
		return capture_end(it, end, e);
	return 0;
}

/* ---- the scanner ---- */

static bool in_object(const struct items *it)
{
	return it->is_object[(it->depth - 1) / 64] >> ((it->depth - 1) % 64) & 1;
}

static int push(struct items *it, bool is_object, size_t offset, struct error *e)
{
	uint64_t bit = 1ULL << (it->depth % 64);

	if (it->depth == ITEMS_DEPTH_MAX)
		return error_at(it, offset, e, "nested too deeply");
	if (is_object)
		it->is_object[it->depth / 64] |= bit;
	else
		it->is_object[it->depth / 64] &= ~bit;
	it->depth++;
	it->state = is_object ? AT_KEY_OR_END : AT_VALUE_OR_END;
	return 0;
}

static int pop(struct items *it, const char *at, struct error *e)
{
	it->depth--;
	return end_value(it, at + 1, e);
}

static void begin_literal(struct items *it, const char *rest)
{
	it->literal = rest;
	it->state = IN_LITERAL;
}

static int begin_value(struct items *it, const char *at, size_t offset, struct error *e)
{
	int r = begin_value_hook(it, at, offset, e);

	if (r < 0)
		return r;
	switch (*at) {
	case '{':
		return push(it, true, offset, e);
	case '[':
		return push(it, false, offset, e);
	case '"':
		it->is_key = false;
		it->state = IN_STRING;
		return 0;
	case 't':
		begin_literal(it, "rue");
		return 0;
	case 'f':
		begin_literal(it, "alse");
		return 0;
	case 'n':
		begin_literal(it, "ull");
		return 0;
	case '-':
		it->number = NUM_MINUS;
		it->state = IN_NUMBER;
		return 0;
	default:
		if (*at < '0' || *at > '9')
			return unexpected(it, offset, *at, e, "a value");
		it->number = *at == '0' ? NUM_ZERO : NUM_INT;
		it->state = IN_NUMBER;
		return 0;
	}
}

static int begin_key(struct items *it, const char *at, size_t offset, struct error *e)
{
	if (*at != '"')
		return unexpected(it, offset, *at, e, it->state == AT_KEY ? "a key" : "a key or '}'");
	it->is_key = true;
	it->key_len = 0;
	it->state = IN_STRING;
	return 0;
}

static int step_next(struct items *it, const char *at, size_t offset, struct error *e)
{
	bool is_object = in_object(it);

	if (*at == (is_object ? '}' : ']'))
		return pop(it, at, e);
	if (*at != ',')
		return unexpected(it, offset, *at, e, is_object ? "',' or '}'" : "',' or ']'");
	it->state = is_object ? AT_KEY : AT_VALUE;
	return 0;
}

/* One octet between tokens that is not white space. */
static int step_structure(struct items *it, const char *at, size_t offset, struct error *e)
{
	switch (it->state) {
	case AT_DOCUMENT:
		return *at == '{' ? push(it, true, offset, e) : unexpected(it, offset, *at, e, "an object");
	case AT_VALUE_OR_END:
		return *at == ']' ? pop(it, at, e) : begin_value(it, at, offset, e);
	case AT_KEY_OR_END:
		return *at == '}' ? pop(it, at, e) : begin_key(it, at, offset, e);
	case AT_KEY:
		return begin_key(it, at, offset, e);
	case AT_COLON:
		it->state = AT_VALUE;
		return *at == ':' ? 0 : unexpected(it, offset, *at, e, "':'");
	case AT_NEXT:
		return step_next(it, at, offset, e);
	case AT_END:
		return unexpected(it, offset, *at, e, "nothing more");
	default:
		return begin_value(it, at, offset, e);
	}
}

/* -1: the octet does not belong to the number. */
static int number_next(enum number_state s, char c)
{
	bool is_digit = c >= '0' && c <= '9';

	switch (s) {
	case NUM_MINUS:
		return is_digit ? (c == '0' ? NUM_ZERO : NUM_INT) : -1;
	case NUM_ZERO:
		return c == '.' ? NUM_DOT : c == 'e' || c == 'E' ? NUM_E : -1;
	case NUM_INT:
		return is_digit ? NUM_INT : c == '.' ? NUM_DOT : c == 'e' || c == 'E' ? NUM_E : -1;
	case NUM_DOT:
		return is_digit ? NUM_FRACTION : -1;
	case NUM_FRACTION:
		return is_digit ? NUM_FRACTION : c == 'e' || c == 'E' ? NUM_E : -1;
	case NUM_E:
		return is_digit ? NUM_EXPONENT : c == '+' || c == '-' ? NUM_SIGN : -1;
	case NUM_SIGN:
	case NUM_EXPONENT:
		return is_digit ? NUM_EXPONENT : -1;
	}
	return -1;
}

static int end_string(struct items *it, const char *at, struct error *e)
{
	if (!it->is_key)
		return end_value(it, at + 1, e);
	it->state = AT_COLON;
	return 0;
}

/* A list's own keys are compared as they stand; nobody writes them with escapes. */
static int begin_escape(struct items *it, size_t offset, struct error *e)
{
	if (it->is_key && it->depth == 1 && it->is_list)
		return error_at(it, offset, e, "a key of the list is written with an escape");
	it->state = IN_ESCAPE;
	return 0;
}

static void keep_key(struct items *it, const char *from, const char *end)
{
	size_t len = (size_t)(end - from);
	size_t room = sizeof(it->key) - it->key_len;

	if (!it->is_key || it->depth != 1)
		return;
	if (len > room)
		len = room;
	memcpy(it->key + it->key_len, from, len);
	it->key_len += len;
}

static bool is_plain(char c)
{
	return c != '"' && c != '\\' && (unsigned char)c >= ' ';
}

/* Returns how many octets were taken or a negative error. */
static ptrdiff_t step_string(struct items *it, const char *at, const char *end, size_t offset, struct error *e)
{
	const char *p = at;
	int r;

	while (p < end && is_plain(*p))
		p++;
	keep_key(it, at, p);
	if (p == end)
		return p - at;
	offset += (size_t)(p - at);
	if (*p == '"')
		r = end_string(it, p, e);
	else if (*p == '\\')
		r = begin_escape(it, offset, e);
	else
		r = unexpected(it, offset, *p, e, "the rest of a string");
	return r < 0 ? r : p - at + 1;
}

static int step_escape(struct items *it, const char *at, size_t offset, struct error *e)
{
	if (*at == 'u') {
		it->hex_left = 4;
		it->state = IN_HEX;
		return 0;
	}
	if (*at == '\0' || !strchr("\"\\/bfnrt", *at))
		return unexpected(it, offset, *at, e, "an escape");
	it->state = IN_STRING;
	return 0;
}

static int step_hex(struct items *it, const char *at, size_t offset, struct error *e)
{
	char c = *at | 0x20;

	if (!(*at >= '0' && *at <= '9') && !(c >= 'a' && c <= 'f'))
		return unexpected(it, offset, *at, e, "a hexadecimal digit");
	if (--it->hex_left == 0)
		it->state = IN_STRING;
	return 0;
}

static int step_literal(struct items *it, const char *at, size_t offset, struct error *e)
{
	if (*at != *it->literal)
		return unexpected(it, offset, *at, e, "true, false or null");
	it->literal++;
	return *it->literal ? 0 : end_value(it, at + 1, e);
}

/* 1: taken, 0: the number ended before it. */
static int step_number(struct items *it, const char *at, size_t offset, struct error *e)
{
	int next = number_next(it->number, *at);

	if (next >= 0) {
		it->number = (enum number_state)next;
		return 1;
	}
	if (it->number < NUM_ZERO)
		return unexpected(it, offset, *at, e, "a digit");
	return end_value(it, at, e);
}

static bool take_space(struct items *it, char c, size_t offset)
{
	if (c == '\n') {
		it->line++;
		it->line_start = offset + 1;
	}
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Returns how many octets were taken or a negative error. */
static ptrdiff_t step(struct items *it, const char *at, const char *end, size_t offset, struct error *e)
{
	int r;

	switch (it->state) {
	case IN_STRING:
		return step_string(it, at, end, offset, e);
	case IN_NUMBER:
		return step_number(it, at, offset, e);
	case IN_ESCAPE:
		r = step_escape(it, at, offset, e);
		break;
	case IN_HEX:
		r = step_hex(it, at, offset, e);
		break;
	case IN_LITERAL:
		r = step_literal(it, at, offset, e);
		break;
	default:
		r = take_space(it, *at, offset) ? 0 : step_structure(it, at, offset, e);
		break;
	}
	return r < 0 ? r : 1;
}

int items_feed(struct items *it, const char *data, size_t len, struct error *e)
{
	const char *end = data + len;

	it->capture.from = data;
	for (const char *p = data; p < end;) {
		ptrdiff_t taken = step(it, p, end, it->offset + (size_t)(p - data), e);

		if (taken < 0)
			return (int)taken;
		p += taken;
	}
	it->offset += len;
	if (it->capture.is_on && capture_keep(&it->capture, end) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	return 0;
}

int items_finish(struct items *it, struct error *e)
{
	if (it->state == AT_DOCUMENT)
		return error_set(e, -EINVAL, "empty");
	if (it->state != AT_END)
		return error_at(it, it->offset, e, "the text ends too early");
	if (it->is_list && !it->has_items)
		return error_set(e, -EINVAL, "not a list: it has no items");
	return 0;
}

int items_check_object(const char *json, size_t len, struct error *e)
{
	struct items it;
	int r;

	items_init(&it);
	r = items_feed(&it, json, len, e);
	return r < 0 ? r : items_finish(&it, e);
}
