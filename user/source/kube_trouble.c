/* SPDX-License-Identifier: Apache-2.0 */
/* Which trouble is told. */
#include "source/kube_trouble.h"

#include <string.h>

#define LASTING_MS 1000

static void tell(struct kube_trouble *t, unsigned int watch)
{
	t->told = 1 + (int)watch;
	t->has_news = true;
	t->news = t->watches[watch].cause;
}

static const char *skip_digits(const char *s)
{
	while (*s >= '0' && *s <= '9')
		s++;
	return s;
}

/* But for numbers: "after 12 ms" is no other cause than "after 13 ms". Status codes are. */
static bool is_same_cause(const char *a, const char *b)
{
	const char *code_a = strstr(a, "HTTP "), *code_b = strstr(b, "HTTP ");

	if (!code_a != !code_b || (code_a && strncmp(code_a, code_b, strlen("HTTP 500")) != 0))
		return false;
	while (*a && *b) {
		const char *a_end = skip_digits(a), *b_end = skip_digits(b);

		if ((a_end == a) != (b_end == b) || *a_end != *b_end)
			return false;
		a = *a_end ? a_end + 1 : a_end;
		b = *b_end ? b_end + 1 : b_end;
	}
	return *a == *b;
}

/* Another one that has lasted, when the one that was told is over. */
static void tell_next(struct kube_trouble *t)
{
	t->told = 0;
	t->has_news = true;
	t->news.text[0] = '\0';
	for (unsigned int i = 0; i < KUBE_WATCHES_MAX; i++)
		if (t->watches[i].cause.text[0] && t->watches[i].since_ms) {
			tell(t, i);
			return;
		}
}

void kube_trouble_set(struct kube_trouble *t, unsigned int watch, const struct error *e, uint64_t now_ms)
{
	struct error before = t->watches[watch].cause;
	bool is_told = t->told == 1 + (int)watch;

	if (!e) {
		t->watches[watch].cause.text[0] = '\0';
		t->watches[watch].since_ms = 0;
		if (is_told)
			tell_next(t);
		return;
	}
	t->watches[watch].cause = *e;
	if (!t->watches[watch].since_ms)
		t->watches[watch].since_ms = now_ms;
	if (is_told && !is_same_cause(before.text, e->text))
		tell(t, watch);
}

void kube_trouble_accepted(struct kube_trouble *t, unsigned int watch)
{
	t->watches[watch].since_ms = 0;
}

void kube_trouble_begin(struct kube_trouble *t, uint64_t now_ms)
{
	for (unsigned int i = 0; i < KUBE_WATCHES_MAX && !t->told; i++)
		if (t->watches[i].since_ms && now_ms >= t->watches[i].since_ms + LASTING_MS)
			tell(t, i);
}

uint64_t kube_trouble_next_ms(const struct kube_trouble *t, uint64_t now_ms)
{
	uint64_t best_ms = 0;

	for (unsigned int i = 0; i < KUBE_WATCHES_MAX && !t->told; i++) {
		uint64_t due_ms = t->watches[i].since_ms + LASTING_MS;
		uint64_t left_ms = due_ms > now_ms ? due_ms - now_ms : 1;

		if (t->watches[i].since_ms && (!best_ms || left_ms < best_ms))
			best_ms = left_ms;
	}
	return best_ms;
}

bool kube_trouble_take_news(struct kube_trouble *t, const struct error **ret_e)
{
	if (!t->has_news)
		return false;
	t->has_news = false;
	*ret_e = t->news.text[0] ? &t->news : NULL;
	return true;
}
