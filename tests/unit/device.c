/* The word behind --device, and how the CUDA backend is looked for. Needs neither a GPU nor its object. */
#include "kernels/run/device.h"

#include <unistd.h>

#include "tests/test.h"

static void refused(const char *device, const char *says)
{
	struct backend *b = NULL;
	struct err e = { "" };

	CHECK_INT(device_open(&b, device, 1, &e), -1);
	CHECK(b == NULL);
	if (!strstr(e.text, says))
		printf("# '%s': %s\n", device, e.text);
	CHECK(strstr(e.text, says) != NULL);
}

static void words(void)
{
	static const char *const bad[] = { "gpu", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda1", "CPU" };
	struct backend *b = NULL;
	struct err e;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused(bad[i], "cpu, cuda, cuda:N and auto are possible");
	CHECK_OK(device_open(&b, "cpu", 1, &e), e);
	if (!b)
		return;
	CHECK_STR(b->name, "cpu");
	b->close(b);
}

/* What nobody gave comes from the environment, and then is auto. */
static void defaults(void)
{
	struct err e = { "" };

	CHECK_STR(device_word(NULL), "auto");
	CHECK_STR(device_word("cuda:2"), "cuda:2");
	CHECK(device_same(NULL, "cuda") && device_same("cpu", NULL) && !device_same(NULL, "cuda:1"));
	setenv("BOOTH_DEVICE", "cuda:1", 1);
	CHECK_STR(device_word(NULL), "cuda:1");
	CHECK_STR(device_word("cpu"), "cpu");
	CHECK(device_same(NULL, "cuda:1") && !device_same(NULL, "cuda") && !device_same(NULL, "cpu"));
	CHECK(device_same("cuda", "cuda:0") && device_same("a", "a") && !device_same("a", "b"));
	CHECK_OK(device_check(NULL, &e), e);
	setenv("BOOTH_DEVICE", "gpu", 1);
	CHECK_INT(device_check(NULL, &e), -1);
	CHECK_STR(e.text, "BOOTH_DEVICE is 'gpu'; cpu, cuda, cuda:N and auto are possible");
	CHECK_OK(device_check("auto", &e), e);
	unsetenv("BOOTH_DEVICE");
}

/* No object; a file that is none; in both cases the CPU is named as what runs. */
static void object(void)
{
	const char *folder = test_folder("device");
	struct buf b = { 0 };
	char path[300];
	FILE *f;

	setenv("BOOTH_LIB_PATH", folder, 1);
	refused("cuda", "without CUDA: there is no 'build/scratch/device/booth-cuda.so'");
	device_report(&b);
	CHECK(strstr(buf_str(&b), "auto\tthe CPU: this build of booth is without CUDA") != NULL);
	snprintf(path, sizeof path, "%s/booth-cuda.so", folder);
	f = fopen(path, "w");
	CHECK(f && fputs("no object", f) >= 0 && !fclose(f));
	refused("cuda:3", "can't be loaded");
	unsetenv("BOOTH_LIB_PATH");
	buf_release(&b);
}

/* The real one, where `make cuda` built it: without a GPU it says so, and nothing else happens. */
static void real_object(void)
{
	struct buf b = { 0 };
	struct backend *g = NULL;
	struct err e = { "" };

	device_report(&b);
	if (strstr(buf_str(&b), "without CUDA")) {
		buf_release(&b);
		SKIP("make cuda was not run");
	}
	CHECK(strstr(buf_str(&b), "auto\t") != NULL);
	CHECK(!strstr(buf_str(&b), "can't be loaded"));
	if (device_open(&g, "cuda", 1, &e) == 0) {
		CHECK(strstr(buf_str(&b), "cuda:0\t") != NULL);
		g->close(g);
	} else {
		CHECK(*e.text);
	}
	refused("cuda:9999", "");
	buf_release(&b);
}

/* The kernels over the host's layer, behind the same two functions. */
static void host_object(void)
{
	float in[3] = { 1, 2, 3 }, out[3] = { 0 };
	char folder[4096] = "";
	struct backend *b = NULL;
	struct buf text = { 0 };
	void *at = NULL;
	struct err e;

	CHECK(readlink("/proc/self/exe", folder, sizeof folder - 16) > 0 && strstr(folder, "/test/"));
	strcpy(strstr(folder, "/test/"), "/lib-host");
	setenv("BOOTH_LIB_PATH", folder, 1);
	device_report(&text);
	CHECK(strstr(buf_str(&text), "cuda:0\tthe host's threads (forward), compute capability 9.0") != NULL);
	refused("cuda:3", "there is no GPU cuda:3: this machine has 3");
	CHECK_OK(device_open(&b, "cuda:0", 0, &e), e);
	if (b) {
		CHECK_STR(b->name, "cuda");
		CHECK_OK(b->alloc(b, sizeof in, &at, &e), e);
		CHECK_OK(b->put(b, at, in, sizeof in, &e), e);
		CHECK_OK(b->get(b, out, at, sizeof out, &e), e);
		CHECK(!memcmp(in, out, sizeof in));
		b->release(b, at, sizeof in);
		b->close(b);
	}
	unsetenv("BOOTH_LIB_PATH");
	buf_release(&text);
}

int main(void)
{
	unsetenv("BOOTH_DEVICE");
	TEST(words);
	TEST(defaults);
	TEST(real_object);      /* before the other: it may come from BOOTH_LIB_PATH, too */
	TEST(object);
	TEST(host_object);
	return test_end();
}
