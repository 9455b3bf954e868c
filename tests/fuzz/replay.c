/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target once on each file named, or in each folder named: for compilers without libFuzzer, and for the corpora in
 * the normal tests. Prints how many inputs ran. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t cap)
{
	(void)data;
	(void)cap;
	return len;
}

static size_t ran;

static void die(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(1);
}

static void run_file(const char *path)
{
	struct stat st;
	uint8_t *data;
	FILE *f;
	size_t len;

	f = fopen(path, "rb");
	if (!f || fstat(fileno(f), &st) != 0)
		die(path);
	data = malloc(st.st_size ? (size_t)st.st_size : 1);
	if (!data)
		die(path);
	len = fread(data, 1, (size_t)st.st_size, f);
	if (ferror(f))
		die(path);
	fclose(f);
	/* The last line before a crash names the input. */
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	ran++;
}

static void run_path(const char *path)
{
	char below[4096];
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);

	if (count < 0 && errno == ENOTDIR) {
		run_file(path);
		return;
	}
	if (count < 0)
		die(path);
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.') {
			snprintf(below, sizeof(below), "%s/%s", path, entries[i]->d_name);
			run_path(below);
		}
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	printf("%zu inputs\n", ran);
	return ran ? 0 : 1;
}
