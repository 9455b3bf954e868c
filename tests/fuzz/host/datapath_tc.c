/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of the TC hook, compiled for the host. */
#include "datapath.h"

#define LICENSE license_tc
#include "nodens.bpf.c"
