/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of the XDP hook, compiled for the host. */
#include "datapath.h"

#define LICENSE license_xdp
#include "nodens_xdp.bpf.c"
