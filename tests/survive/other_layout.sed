# SPDX-License-Identifier: Apache-2.0
# include/nodens/abi.h as another version might have it: another number, and members that stand elsewhere.
s|^#define NODENS_ABI_VERSION .*|#define NODENS_ABI_VERSION 1000U /* other layout: NODENS_ABI_VERSION */|
/^struct nodens_config {/a\
	__u64 other[3]; /* other layout: nodens_config */
/^struct nodens_name {/a\
	__u64 other; /* other layout: nodens_name */
/^struct nodens_status {/a\
	__u64 other[5]; /* other layout: nodens_status */
/^struct nodens_interface {/a\
	__u64 other; /* other layout: nodens_interface */
s|^NODENS_ASSERT_SIZE(struct nodens_name, 32)|NODENS_ASSERT_SIZE(struct nodens_name, 40)|
s|^NODENS_ASSERT_SIZE(struct nodens_interface, \([0-9]*\))|NODENS_ASSERT_SIZE(struct nodens_interface, \1 + 8)|
s|^NODENS_ASSERT_OFFSET(struct nodens_config, \([a-z0-9_]*\), \([0-9]*\))|NODENS_ASSERT_OFFSET(struct nodens_config, \1, \2 + 24)|
s|^NODENS_ASSERT_SIZE(struct nodens_config, |NODENS_ASSERT_SIZE(struct nodens_config, 24 + |
