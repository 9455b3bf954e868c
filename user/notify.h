/* SPDX-License-Identifier: Apache-2.0 */
/* The sd_notify protocol (sd_notify(3)): datagrams to $NOTIFY_SOCKET. Without one every call does nothing. */
#pragma once

#include <stdint.h>

/* One or more lines of VARIABLE=VALUE; 0 or -errno. */
int notify_send(const char *lines);
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* How often WATCHDOG=1 is expected of this process at least, 0: never. */
uint64_t notify_watchdog_ms(void);
