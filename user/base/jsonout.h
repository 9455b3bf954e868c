/* SPDX-License-Identifier: Apache-2.0 */
/* Writes indented JSON to a stream, value by value. Text is escaped; octets that are not UTF-8 become U+FFFD. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSONOUT_DEPTH_MAX 16

struct jsonout {
	FILE *out;
	unsigned int depth;
	bool has_member[JSONOUT_DEPTH_MAX];
};

void jsonout_init(struct jsonout *j, FILE *out);
/* key NULL: the value is an array's element or the whole document. */
void jsonout_open_object(struct jsonout *j, const char *key);
void jsonout_open_array(struct jsonout *j, const char *key);
/* Ends the innermost object or array; after the outermost a newline is written. */
void jsonout_close(struct jsonout *j, char bracket);
void jsonout_text(struct jsonout *j, const char *key, const char *value);
void jsonout_number(struct jsonout *j, const char *key, uint64_t value);
void jsonout_bool(struct jsonout *j, const char *key, bool value);
