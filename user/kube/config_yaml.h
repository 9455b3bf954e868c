/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the configuration: a YAML text as a tree of mappings, sequences and texts. Its error sticks: read everything,
 * look at the error once. Anchors, aliases and merge keys ("<<") are followed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct config_yaml;
struct config_node; /* lives as long as the tree; NULL stands for what is missing, and has no members */

/* One document whose root is a mapping. path: for messages. NULL with e: no YAML (line), another root, out of memory.
 */
struct config_yaml *config_yaml_new(const char *path, const char *text, size_t len, struct error *e);
void config_yaml_free(struct config_yaml *y);
/* The first error: 0, -EINVAL or -ENOMEM with the e of config_yaml_new. After one, all below return NULL or false. */
int config_yaml_error(const struct config_yaml *y);

const struct config_node *config_yaml_root(const struct config_yaml *y);
/* NULL: missing, null. Error: the node is no mapping, the key comes twice. */
const struct config_node *config_yaml_get(struct config_yaml *y, const struct config_node *node, const char *key);
/* A scalar of any type as a text, the caller's (free); NULL: missing, null, "". Error: no scalar, or a NUL inside. */
char *config_yaml_text(struct config_yaml *y, const struct config_node *node, const char *key);
/* false: missing. Error: neither true nor false. */
bool config_yaml_bool(struct config_yaml *y, const struct config_node *node, const char *key);
/* Member `key` of the element called `name` in the sequence root.list, whose elements look like {name: …, KEY: …}.
 * Error: none is called so (says which there are), two are, or it has no such member. */
const struct config_node *config_yaml_named(struct config_yaml *y, const char *list, const char *name, const char *key);
/* Names of the sequence's elements, "a, b, …", cut to size; "none". */
void config_yaml_names(struct config_yaml *y, const char *list, char *ret_text, size_t size);
/* An error of the caller's own about the node's line; node NULL: about the file. */
void config_yaml_fail(struct config_yaml *y, const struct config_node *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The caller ran out of memory. */
void config_yaml_no_memory(struct config_yaml *y);
