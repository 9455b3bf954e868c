/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel that lacks something: it is done without, and told. The system call is refused here, before the kernel. Needs
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "kernel/generation.h"
#include "kernel_env.h"

static const struct generation_size small = {.bucket_count = 256, .page_count = 2};

static struct error error;

/* What the kernel does not know, and how often it was asked. */
static struct {
	bool xdp, frags, iterators;
	unsigned int refused;
} lacks;

static bool is_refused(int cmd, const union bpf_attr *attr)
{
	if (cmd == BPF_LINK_CREATE)
		return lacks.iterators && attr->link_create.attach_type == BPF_TRACE_ITER;
	if (cmd != BPF_PROG_LOAD || attr->prog_type != BPF_PROG_TYPE_XDP)
		return false;
	return lacks.xdp || (lacks.frags && attr->prog_flags & BPF_F_XDP_HAS_FRAGS);
}

/* libbpf's calls come here: the program's own symbols go before those of the C library. */
long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long a[6];
	va_list args;

	va_start(args, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_bpf && is_refused((int)a[0], (const union bpf_attr *)a[1])) {
		lacks.refused++;
		errno = EINVAL;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static struct generation *publish(void)
{
	struct generation *g = NULL;

	if (generation_prepare_dir(env.dir, &error) || generation_new(env.dir, small, &g, &error) ||
	    generation_publish(g, &error))
		fail_msg("%s", error.text);
	return g;
}

static bool has_pin(const char *name)
{
	char path[192];
	struct stat st;

	snprintf(path, sizeof(path), "%s/current/%s", env.dir, name);
	return stat(path, &st) == 0;
}

/* Whatever else is missing. */
static void assert_works(struct generation *g)
{
	struct generation *opened;
	uint64_t jiffies;

	assert_true(generation_tc_fd(g) >= 0);
	assert_true(has_pin("tc") && has_pin("explain") && has_pin("arena"));
	assert_int_equal(generation_open(env.dir, &opened, &error), 0);
	assert_int_equal(generation_read_jiffies(opened, &jiffies), 0);
	generation_free(opened);
}

static void remove_all(struct generation *g)
{
	generation_free(g);
	assert_int_equal(generation_remove_others(env.dir, NULL, &error), 0);
}

static void everything_is_there_where_the_kernel_has_it(void **state)
{
	struct generation *g;

	(void)state;
	kernel_env_need();
	memset(&lacks, 0, sizeof(lacks));
	g = publish();
	assert_works(g);
	assert_true(generation_xdp_fd(g) >= 0 && has_pin("xdp"));
	assert_string_equal(generation_xdp_note(g), "");
	assert_true(has_pin("records"));
	assert_string_equal(generation_records_note(g), "");
	remove_all(g);
	assert_false(has_pin("records"));
}

static void the_xdp_program_does_without_frames_of_several_buffers(void **state)
{
	struct generation *g;

	(void)state;
	kernel_env_need();
	memset(&lacks, 0, sizeof(lacks));
	lacks.frags = true;
	g = publish();
	assert_int_equal(lacks.refused, 1);
	assert_works(g);
	assert_true(generation_xdp_fd(g) >= 0 && has_pin("xdp"));
	assert_string_equal(generation_xdp_note(g), "");
	remove_all(g);
}

static void without_xdp_tc_goes_on(void **state)
{
	struct generation *g;

	(void)state;
	kernel_env_need();
	memset(&lacks, 0, sizeof(lacks));
	lacks.xdp = true;
	g = publish();
	assert_works(g);
	assert_int_equal(generation_xdp_fd(g), -1);
	assert_false(has_pin("xdp"));
	print_message("%s\n", generation_xdp_note(g));
	assert_non_null(strstr(generation_xdp_note(g), "Invalid argument"));
	assert_non_null(strstr(generation_xdp_note(g), "nodens_xdp"));
	remove_all(g);
}

static void without_iterators_all_else_works(void **state)
{
	struct generation *g;

	(void)state;
	kernel_env_need();
	memset(&lacks, 0, sizeof(lacks));
	lacks.iterators = true;
	g = publish();
	assert_works(g);
	assert_true(has_pin("xdp"));
	assert_false(has_pin("records"));
	print_message("%s\n", generation_records_note(g));
	assert_non_null(strstr(generation_records_note(g), "attaching the iterator: Invalid argument"));
	assert_string_equal(generation_records_note(g), generation_status(g)->records_note);
	remove_all(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_there_where_the_kernel_has_it),
		cmocka_unit_test(the_xdp_program_does_without_frames_of_several_buffers),
		cmocka_unit_test(without_xdp_tc_goes_on),
		cmocka_unit_test(without_iterators_all_else_works),
	};

	return cmocka_run_group_tests(tests, kernel_env_setup, kernel_env_teardown);
}
