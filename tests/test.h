/*
 * The whole test framework. A unit test is a program:
 *
 *	static void adds(void) { CHECK(1 + 1 == 2); CHECK_INT(sum(1, 2), 3); }
 *	int main(void) { TEST(adds); return test_end(); }
 *
 * prints "ok name" or "not ok name" for each test and ends with "N passed, N failed, N skipped";
 * the exit code is 1 if any failed. SKIP("reason") ends the running test as skipped. Tests run in
 * a scratch folder of their own, test_folder().
 */
#ifndef TEST_H
#define TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_passed, test_failed, test_skipped, test_bad, test_skip;

#define CHECK(x) do { if (!(x)) { printf("# %s:%d: %s\n", __FILE__, __LINE__, #x); test_bad = 1; } } while (0)
#define CHECK_INT(x, want) do { long long x_ = (x), w_ = (want); if (x_ != w_) { \
	printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #x, x_, w_); test_bad = 1; } } while (0)
#define CHECK_STR(x, want) do { const char *x_ = (x), *w_ = (want); if (strcmp(x_, w_)) { \
	printf("# %s:%d: %s is '%s', not '%s'\n", __FILE__, __LINE__, #x, x_, w_); test_bad = 1; } } while (0)
#define CHECK_NEAR(x, want, eps) do { double x_ = (x), w_ = (want); \
	if (!(fabs(x_ - w_) <= (eps))) { \
	printf("# %s:%d: %s is %.9g, not %.9g\n", __FILE__, __LINE__, #x, x_, w_); test_bad = 1; } } while (0)
/* For calls that return < 0 with a struct err: prints the sentence. */
#define CHECK_OK(x, e) do { if ((x) < 0) { \
	printf("# %s:%d: %s: %s\n", __FILE__, __LINE__, #x, (e).text); test_bad = 1; } } while (0)
#define SKIP(reason) do { printf("# skipped: %s\n", reason); test_skip = 1; return; } while (0)

#define TEST(f) test_one(#f, f)

static inline void test_one(const char *name, void (*f)(void))
{
	test_bad = test_skip = 0;
	f();
	if (test_bad) {
		test_failed++;
		printf("not ok %s\n", name);
	} else if (test_skip) {
		test_skipped++;
		printf("ok %s # skip\n", name);
	} else {
		test_passed++;
		printf("ok %s\n", name);
	}
	fflush(stdout);
}

static inline int test_end(void)
{
	printf("%d passed, %d failed, %d skipped\n", test_passed, test_failed, test_skipped);
	return test_failed > 0;
}

/* A fresh folder below build/, removed and made again at the first call. */
static inline const char *test_folder(const char *test)
{
	static char path[256];
	char cmd[600];

	snprintf(path, sizeof path, "build/scratch/%s", test);
	snprintf(cmd, sizeof cmd, "rm -rf '%s' && mkdir -p '%s'", path, path);
	if (system(cmd))
		abort();
	return path;
}

/* Where the recorded numbers are, or NULL where they are missing (then SKIP). */
static inline const char *test_shared(void)
{
	static const char *const tries[] = { "../shared", "shared" };
	char path[300];

	for (int i = 0; i < 2; i++) {
		FILE *f;
		snprintf(path, sizeof path, "%s/golden/README.md", tries[i]);
		f = fopen(path, "r");
		if (f) {
			fclose(f);
			return tries[i];
		}
	}
	return NULL;
}

#endif
