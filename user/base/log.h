/* SPDX-License-Identifier: Apache-2.0 */
/* Structured logging to stderr: logfmt (ts=… level=… msg="…" key=value …) or one JSON object a line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_field {
	const char *key;
	const char *text; /* NULL: number is meant */
	int64_t number;
};

/* A function, so that the address of an array may be given as well as a pointer that may be NULL. */
static inline struct log_field log_text_field(const char *key, const char *text)
{
	return (struct log_field){key, text ? text : "", 0};
}

#define LOG_TEXT(key, text) log_text_field((key), (text))
#define LOG_NUM(key, number) ((struct log_field){(key), NULL, (int64_t)(number)})

/* Lines below `level` are not printed. Until called: LOG_LOGFMT, LOG_INFO. */
void log_init(enum log_format format, enum log_level level);
void log_write(enum log_level level, const char *msg, const struct log_field *fields, size_t n);

/* log_info("file applied", LOG_TEXT("path", path), LOG_NUM("names", n)); values are quoted and escaped as needed. */
#define LOG_FIELDS_(...) (const struct log_field[]){__VA_ARGS__ __VA_OPT__(,) {0}}
#define LOG_COUNT_(...) (sizeof((const struct log_field[]){__VA_ARGS__ __VA_OPT__(,) {0}}) / sizeof(struct log_field) - 1)
#define log_at_(level, msg, ...) log_write(level, msg, LOG_FIELDS_(__VA_ARGS__), LOG_COUNT_(__VA_ARGS__))
#define log_debug(msg, ...) log_at_(LOG_DEBUG, msg, __VA_ARGS__)
#define log_info(msg, ...) log_at_(LOG_INFO, msg, __VA_ARGS__)
#define log_warn(msg, ...) log_at_(LOG_WARN, msg, __VA_ARGS__)
#define log_error(msg, ...) log_at_(LOG_ERROR, msg, __VA_ARGS__)
