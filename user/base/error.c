/* SPDX-License-Identifier: Apache-2.0 */
/* Causes in words. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *e, int err, const char *format, ...)
{
	struct error text; /* apart, because an argument may be the old text */
	va_list args;

	if (!e)
		return err;
	va_start(args, format);
	(void)vsnprintf(text.text, sizeof(text.text), format, args);
	va_end(args);
	memcpy(e->text, text.text, strlen(text.text) + 1);
	return err;
}

int error_prefix(struct error *e, int err, const char *format, ...)
{
	char text[2 * sizeof(e->text)];
	va_list args;
	size_t len;

	if (!e)
		return err;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(e->text), format, args);
	va_end(args);
	len = strlen(text);
	if (e->text[0])
		(void)snprintf(text + len, sizeof(text) - len, ": %s", e->text);
	text[sizeof(e->text) - 1] = '\0';
	memcpy(e->text, text, strlen(text) + 1);
	return err;
}
