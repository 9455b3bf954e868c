/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of the API source: which trouble is told, once for each change of cause and not for each attempt. What is over
 * within a second (a cut connection, an API server that restarts) is counted elsewhere and not told. Pure: times are
 * arguments.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "source/kube_objects.h"

struct kube_trouble {
	struct {
		struct error cause; /* "" : none */
		uint64_t since_ms;  /* when a failure came that no accepted request followed; 0: none */
	} watches[KUBE_WATCHES_MAX];
	int told; /* 1 + the watch whose cause was told; 0: none */
	bool has_news;
	struct error news; /* "" : it works again */
};

/* e NULL: the watch works again. */
void kube_trouble_set(struct kube_trouble *t, unsigned int watch, const struct error *e, uint64_t now_ms);
/* A request was let in: what was not told yet is not worth it. */
void kube_trouble_accepted(struct kube_trouble *t, unsigned int watch);
/* Makes news of what has lasted for a second. */
void kube_trouble_begin(struct kube_trouble *t, uint64_t now_ms);
/* In how many ms to call begin; 0: no need. */
uint64_t kube_trouble_next_ms(const struct kube_trouble *t, uint64_t now_ms);
/* True: there is something to tell; *ret_e NULL: all works again. Valid until the next call. */
bool kube_trouble_take_news(struct kube_trouble *t, const struct error **ret_e);
