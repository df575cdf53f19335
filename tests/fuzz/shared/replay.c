/*
 * Hands every file in tests/fuzz/seeds/TARGET to each target named: what `make test` runs, built
 * by any compiler. The file at hand is printed first, so that after an abort the last line names it.
 */
#include <dlfcn.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/shared/fuzz.h"

/*
 * No input is worth a piece of more than 64 MiB: libFuzzer watches that (-malloc_limit_mb), and here it
 * is the C library's own functions under other names. With the address sanitizer these are its own.
 */
#define PIECE_MOST ((size_t)64 << 20)
#if defined __GLIBC__ && !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
#ifdef __has_feature
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif
#if !SANITIZED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *at, size_t n);
void *__libc_memalign(size_t align, size_t n);

static void watch(size_t n)
{
	if (n > PIECE_MOST)
		BUG("a piece of %zu bytes was asked for, at most %zu are fine", n, PIECE_MOST);
}

void *malloc(size_t n)
{
	watch(n);
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	size_t all;

	watch(__builtin_mul_overflow(n, size, &all) ? SIZE_MAX : all);
	return __libc_calloc(n, size);
}

void *realloc(void *at, size_t n)
{
	watch(n);
	return __libc_realloc(at, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	watch(n);
	return __libc_memalign(align, n);
}
#endif
#endif

static int compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int replay(int (*target)(const uint8_t *, size_t), const char *path)
{
	FILE *f = fopen(path, "rb");
	static uint8_t bytes[1 << 20];
	uint8_t *exact;
	size_t n;

	if (!f)
		return 0;
	n = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	exact = malloc(n ? n : 1);      /* no byte more, so that a sanitizer sees one too many */
	if (!exact)
		abort();
	memcpy(exact, bytes, n);
	printf("# %s\n", path);
	fflush(stdout);
	target(exact, n);
	free(exact);
	return 1;
}

static int replay_all(const char *name)
{
	char symbol[64], folder[128], path[400];
	struct dirent **list;
	int (*target)(const uint8_t *, size_t);
	int n, done = 0;
	void *found;

	snprintf(symbol, sizeof symbol, "fuzz_%s", name);
	snprintf(folder, sizeof folder, "tests/fuzz/seeds/%s", name);
	found = dlsym(RTLD_DEFAULT, symbol);
	memcpy(&target, &found, sizeof target);
	n = found ? scandir(folder, &list, NULL, compare) : -1;
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
		if (*list[i]->d_name != '.')
			done += replay(target, path);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	printf("%s %s: %d inputs\n", done ? "ok" : "not ok", name, done);
	return done > 0;
}

int main(int argc, char **argv)
{
	int passed = 0;

	program_name = "fuzz";
	for (int i = 1; i < argc; i++)
		passed += replay_all(argv[i]);
	printf("%d passed, %d failed, 0 skipped\n", passed, argc - 1 - passed);
	return passed != argc - 1;
}
