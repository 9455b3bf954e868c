/* SPDX-License-Identifier: Apache-2.0 */
/* YAML by libyaml: its document tree, looked up by key. */
#include "kube/config_yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yaml.h>

/* Merge keys within merged mappings; also ends a mapping that merges itself. */
#define MERGE_DEPTH_MAX 8
#define DEPTH_MAX	100

struct config_yaml {
	char *path;
	yaml_document_t document;
	bool has_document;
	int err;
	struct error *e;
};

static yaml_node_t *of_node(const struct config_node *node)
{
	return (yaml_node_t *)node;
}

static const struct config_node *to_node(const yaml_node_t *node)
{
	return (const struct config_node *)node;
}

void config_yaml_fail(struct config_yaml *y, const struct config_node *node, const char *format, ...)
{
	char text[sizeof(y->e->text)];
	va_list args;

	if (y->err)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	y->err = node ? error_set(y->e, -EINVAL, "%s:%zu: %s", y->path, of_node(node)->start_mark.line + 1, text)
		      : error_set(y->e, -EINVAL, "%s: %s", y->path, text);
}

void config_yaml_no_memory(struct config_yaml *y)
{
	if (!y->err)
		y->err = error_set(y->e, -ENOMEM, "%s: out of memory", y->path);
}

int config_yaml_error(const struct config_yaml *y)
{
	return y->err;
}

/* ---- parsing ---- */

static void parser_failed(struct config_yaml *y, const yaml_parser_t *p)
{
	size_t line = p->error == YAML_READER_ERROR ? 0 : p->problem_mark.line + 1;

	if (p->error == YAML_MEMORY_ERROR)
		config_yaml_no_memory(y);
	else if (line)
		y->err = error_set(y->e, -EINVAL, "%s:%zu: no YAML: %s", y->path, line,
				   p->problem ? p->problem : "malformed");
	else
		config_yaml_fail(y, NULL, "no YAML: %s", p->problem ? p->problem : "malformed");
}

/* What follows the first document: nothing. */
static void check_single(struct config_yaml *y, yaml_parser_t *p)
{
	yaml_document_t more;

	if (!yaml_parser_load(p, &more)) {
		parser_failed(y, p);
		return;
	}
	if (yaml_document_get_root_node(&more))
		config_yaml_fail(y, NULL, "has more than one YAML document");
	yaml_document_delete(&more);
}

/* libyaml 0.2.5 looks through all open brackets at each token: 200,000 of them would take minutes. Brackets in texts
 * count as well, which nobody has a hundred of unclosed. */
static bool is_deep(const char *text, size_t len)
{
	unsigned int depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '[' || text[i] == '{')
			depth++;
		else if (depth && (text[i] == ']' || text[i] == '}'))
			depth--;
		if (depth > DEPTH_MAX)
			return true;
	}
	return false;
}

static void parse(struct config_yaml *y, const char *text, size_t len)
{
	const yaml_node_t *root;
	yaml_parser_t p;

	if (is_deep(text, len)) {
		config_yaml_fail(y, NULL, "nests deeper than %d brackets", DEPTH_MAX);
		return;
	}
	if (!yaml_parser_initialize(&p)) {
		config_yaml_no_memory(y);
		return;
	}
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	y->has_document = yaml_parser_load(&p, &y->document);
	if (!y->has_document)
		parser_failed(y, &p);
	root = y->has_document ? yaml_document_get_root_node(&y->document) : NULL;
	if (y->has_document && !root)
		config_yaml_fail(y, NULL, "is empty");
	else if (root && root->type != YAML_MAPPING_NODE)
		config_yaml_fail(y, to_node(root), "a mapping is expected");
	else if (root)
		check_single(y, &p);
	yaml_parser_delete(&p);
}

struct config_yaml *config_yaml_new(const char *path, const char *text, size_t len, struct error *e)
{
	struct config_yaml *y = calloc(1, sizeof(*y));

	if (!y || !(y->path = strdup(path))) {
		free(y);
		(void)error_set(e, -ENOMEM, "%s: out of memory", path);
		return NULL;
	}
	y->e = e;
	parse(y, text, len);
	if (!y->err)
		return y;
	config_yaml_free(y);
	return NULL;
}

void config_yaml_free(struct config_yaml *y)
{
	if (!y)
		return;
	if (y->has_document)
		yaml_document_delete(&y->document);
	free(y->path);
	free(y);
}

/* ---- looking up ---- */

const struct config_node *config_yaml_root(const struct config_yaml *y)
{
	return to_node(yaml_document_get_root_node((yaml_document_t *)&y->document));
}

static yaml_node_t *node_at(struct config_yaml *y, int index)
{
	return yaml_document_get_node(&y->document, index);
}

static bool is_text(const yaml_node_t *n, const char *text)
{
	return n && n->type == YAML_SCALAR_NODE && n->data.scalar.length == strlen(text) &&
	       !memcmp(n->data.scalar.value, text, n->data.scalar.length);
}

static bool is_plain(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* YAML 1.1's null. */
static bool is_null(const yaml_node_t *n)
{
	return is_plain(n) &&
	       (is_text(n, "") || is_text(n, "~") || is_text(n, "null") || is_text(n, "Null") || is_text(n, "NULL"));
}

/* The mapping's own member. */
static yaml_node_t *own_member(struct config_yaml *y, yaml_node_t *n, const char *key)
{
	yaml_node_t *found = NULL;

	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
		if (!is_text(node_at(y, p->key), key))
			continue;
		if (found)
			config_yaml_fail(y, to_node(node_at(y, p->key)), "%s comes twice", key);
		found = node_at(y, p->value);
	}
	return found;
}

static yaml_node_t *member(struct config_yaml *y, yaml_node_t *n, const char *key, int depth)
{
	yaml_node_t *found, *merged;

	if (n->type != YAML_MAPPING_NODE) {
		config_yaml_fail(y, to_node(n), "a mapping with \"%s\" is expected", key);
		return NULL;
	}
	found = own_member(y, n, key);
	merged = found || depth == MERGE_DEPTH_MAX ? NULL : own_member(y, n, "<<");
	if (!merged)
		return found;
	if (merged->type != YAML_SEQUENCE_NODE)
		return member(y, merged, key, depth + 1);
	for (yaml_node_item_t *i = merged->data.sequence.items.start; !found && i < merged->data.sequence.items.top;
	     i++)
		found = member(y, node_at(y, *i), key, depth + 1);
	return found;
}

const struct config_node *config_yaml_get(struct config_yaml *y, const struct config_node *node, const char *key)
{
	yaml_node_t *n = node && !y->err ? member(y, of_node(node), key, 0) : NULL;

	return !y->err && n && !is_null(n) ? to_node(n) : NULL;
}

char *config_yaml_text(struct config_yaml *y, const struct config_node *node, const char *key)
{
	const struct config_node *value = config_yaml_get(y, node, key);
	const yaml_node_t *n = of_node(value);
	char *text;

	if (!n)
		return NULL;
	if (n->type != YAML_SCALAR_NODE || memchr(n->data.scalar.value, '\0', n->data.scalar.length)) {
		config_yaml_fail(y, value, "%s is no text", key);
		return NULL;
	}
	if (!n->data.scalar.length)
		return NULL;
	text = strdup((const char *)n->data.scalar.value);
	if (!text)
		config_yaml_no_memory(y);
	return text;
}

bool config_yaml_bool(struct config_yaml *y, const struct config_node *node, const char *key)
{
	static const char *const words[] = {"false", "no", "off", "true", "yes", "on"}; /* YAML 1.1 */
	const struct config_node *value = config_yaml_get(y, node, key);
	const yaml_node_t *n = of_node(value);

	if (!n)
		return false;
	for (size_t i = 0; i < 6 && is_plain(n); i++)
		if (!strcasecmp((const char *)n->data.scalar.value, words[i]))
			return i >= 3;
	config_yaml_fail(y, value, "%s is neither true nor false", key);
	return false;
}

/* ---- sequences of named elements ---- */

/* The items of root.list; NULL: none. */
static yaml_node_t *sequence(struct config_yaml *y, const char *list)
{
	const struct config_node *value = config_yaml_get(y, config_yaml_root(y), list);

	if (!value || of_node(value)->type == YAML_SEQUENCE_NODE)
		return of_node(value);
	config_yaml_fail(y, value, "%s is no list", list);
	return NULL;
}

const struct config_node *config_yaml_named(struct config_yaml *y, const char *list, const char *name, const char *key)
{
	yaml_node_t *s = sequence(y, list);
	const struct config_node *found = NULL, *item, *value;
	char names[200];

	for (yaml_node_item_t *i = s ? s->data.sequence.items.start : NULL; s && i < s->data.sequence.items.top; i++) {
		item = to_node(node_at(y, *i));
		if (!is_text(of_node(config_yaml_get(y, item, "name")), name))
			continue;
		if (found)
			config_yaml_fail(y, item, "%s: \"%s\" comes twice", list, name);
		found = item;
	}
	if (y->err)
		return NULL;
	if (!found) {
		config_yaml_names(y, list, names, sizeof(names));
		config_yaml_fail(y, NULL, "%s: there is no \"%s\"; there are: %s", list, name, names);
		return NULL;
	}
	value = config_yaml_get(y, found, key);
	if (!value)
		config_yaml_fail(y, found, "%s: \"%s\" has no \"%s\"", list, name, key);
	return value;
}

void config_yaml_names(struct config_yaml *y, const char *list, char *ret_text, size_t size)
{
	yaml_node_t *s = sequence(y, list);
	size_t len = 0;

	(void)snprintf(ret_text, size, "none");
	for (yaml_node_item_t *i = s ? s->data.sequence.items.start : NULL;
	     s && i < s->data.sequence.items.top && len < size; i++) {
		const yaml_node_t *n = of_node(config_yaml_get(y, to_node(node_at(y, *i)), "name"));

		if (n && n->type == YAML_SCALAR_NODE)
			len += (size_t)snprintf(ret_text + len, size - len, "%s%s", len ? ", " : "",
						(const char *)n->data.scalar.value);
	}
}
