#include "kernels/run/device.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/talk.h"

#define OBJECT "booth-cuda.so"

struct object {
	booth_cuda_report_fn *report;
	booth_cuda_open_fn *open;
};

/*
 * Folders from that of the running executable: of a build, of bin where it is installed, and of
 * libexec/booth there.
 */
static const char *const places[] = { "../lib", "../lib/booth", "../../lib/booth" };

/* The first of them that has it, or else where it would be in a build; the caller's to free. */
static char *object_path(void)
{
	const char *folder = getenv("BOOTH_LIB_PATH");
	char exe[4096], *path = NULL;
	ssize_t n;

	if (folder && *folder)
		return xasprintf("%s/" OBJECT, folder);
	n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	exe[n < 0 ? 0 : n] = 0;
	if (strrchr(exe, '/'))
		*strrchr(exe, '/') = 0;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		path = xasprintf("%s/%s/" OBJECT, exe, places[i]);
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	return xasprintf("%s/%s/" OBJECT, exe, places[0]);
}

/* A data pointer that dlsym hands out for a function. */
static int find(void *to, void *handle, const char *name, const char *path, struct err *e)
{
	void *at = dlsym(handle, name);

	if (!at)
		return fail(e, "'%s' has no '%s': it is not booth's", path, name);
	memcpy(to, &at, sizeof at);
	return 0;
}

static int object_load(struct object *o, struct err *e)
{
	char *path = object_path();
	void *handle;
	int ret;

	if (access(path, F_OK) < 0) {
		ret = fail(e, "this build of booth is without CUDA: there is no '%s' (make cuda builds it, with nvcc)",
			   path);
	} else if (!(handle = dlopen(path, RTLD_NOW | RTLD_LOCAL))) {
		ret = fail(e, "'%s' can't be loaded: %s", path, dlerror());
	} else {
		ret = find(&o->report, handle, "booth_cuda_report", path, e);
		if (ret == 0)
			ret = find(&o->open, handle, "booth_cuda_open", path, e);
	}
	free(path);
	return ret;
}

/* The number in "cuda" or "cuda:N", or -1. */
static int cuda_number(const char *device)
{
	char *end;
	long n;

	if (!strcmp(device, "cuda"))
		return 0;
	if (strncmp(device, "cuda:", 5) || device[5] < '0' || device[5] > '9')
		return -1;
	n = strtol(device + 5, &end, 10);
	return *end || n > 9999 ? -1 : (int)n;
}

const char *device_word(const char *given)
{
	const char *word = given ? given : getenv("BOOTH_DEVICE");

	return word && *word ? word : "auto";
}

static int is_auto(const char *word)
{
	return !strcmp(word, "auto");
}

int device_check(const char *given, struct err *e)
{
	const char *word = device_word(given);

	if (is_auto(word) || !strcmp(word, "cpu") || cuda_number(word) >= 0)
		return 0;
	return fail(e, "%s is '%s'; cpu, cuda, cuda:N and auto are possible", given ? "--device" : "BOOTH_DEVICE", word);
}

static int may_be_auto(const char *word)
{
	return is_auto(word) || !strcmp(word, "cpu") || cuda_number(word) == 0;
}

int device_same(const char *a, const char *b)
{
	a = device_word(a);
	b = device_word(b);
	if (is_auto(a) || is_auto(b))
		return may_be_auto(a) && may_be_auto(b);
	return !strcmp(a, b) || (cuda_number(a) >= 0 && cuda_number(a) == cuda_number(b));
}

/* ---- by itself ---- */

/* A GPU's driver shows itself by this file; where it is another, the object is asked, which costs more. */
static int is_gpu_likely(void)
{
	return access("/dev/nvidiactl", F_OK) == 0;
}

/*
 * The first GPU that opens, or NULL. *told: there is a GPU, and why says what keeps it from being used.
 * On a machine without one this must cost next to nothing.
 */
static struct backend *open_first(int *told, struct err *why)
{
	struct cuda_report r = { 0 };
	struct backend *b = NULL;
	struct object o;

	*told = is_gpu_likely();
	if (object_load(&o, why) < 0 || o.report(&r, CUDA_SHAPE, why) < 0)
		return NULL;
	*told = r.driver && (r.n || *r.trouble);
	if (*r.missing) {
		fail(why, "the GPU's backend has no kernel for %s", r.missing);
		return NULL;
	}
	for (int i = 0; !b && i < (r.n ? r.n : 1); i++) {
		struct err e;

		if (o.open(&b, i, CUDA_SHAPE, &e) < 0 && i == 0)
			*why = e;
	}
	return b;
}

static int open_auto(struct backend **out, int threads, struct err *e)
{
	struct err why;
	int told;

	*out = open_first(&told, &why);
	if (*out) {
		talk("device: %s", (*out)->device);
		return 0;
	}
	if (told)
		talk("device: the CPU, because %s", why.text);
	return cpu_open(out, threads, NULL, e);
}

int device_open(struct backend **out, const char *given, int threads, struct err *e)
{
	const char *word = device_word(given);
	struct object o;

	*out = NULL;
	if (device_check(given, e) < 0)
		return -1;
	if (is_auto(word))
		return open_auto(out, threads, e);
	if (!strcmp(word, "cpu"))
		return cpu_open(out, threads, NULL, e);
	if (object_load(&o, e) < 0)
		return -1;
	return o.open(out, cuda_number(word), CUDA_SHAPE, e);
}

/* ---- what there is ---- */

static void report_cpu(struct buf *out)
{
	struct backend *b;
	struct err e;

	if (cpu_open(&b, 0, NULL, &e) < 0) {
		buf_addf(out, "cpu\tno: %s\n", e.text);
		return;
	}
	buf_addf(out, "cpu\t%s, %zu MB of memory\n", b->device, mem_machine() >> 20);
	b->close(b);
}

static void report_gpu(struct buf *out, const struct cuda_report *r, const struct object *o, int i)
{
	const struct cuda_device *d = &r->device[i];
	struct backend *b;
	struct room room;
	struct err e;

	buf_addf(out, "cuda:%d\t%s, compute capability %d.%d, %zu MB of memory", i, d->name, d->major, d->minor,
		 d->memory >> 20);
	if (o->open(&b, i, CUDA_SHAPE, &e) < 0) {
		buf_addf(out, "; can't be used: %s\n", e.text);
		return;
	}
	if (b->memory(b, &room, &e) == 0)
		buf_addf(out, ", %zu unused%s%s\n", room.unused >> 20, *room.holders ? ", " : "", room.holders);
	else
		buf_addf(out, "; %s\n", e.text);
	b->close(b);
}

static void report_driver(struct buf *out, const struct cuda_report *r)
{
	if (r->driver)
		buf_addf(out, "driver\tfor CUDA %d.%d; booth-cuda.so is built with CUDA %d.%d\n",
			 r->driver / 1000, r->driver % 1000 / 10, r->runtime / 1000,
			 r->runtime % 1000 / 10);
	else
		buf_addf(out, "driver\tno NVIDIA driver on this machine; booth-cuda.so is built with CUDA %d.%d\n",
			 r->runtime / 1000, r->runtime % 1000 / 10);
}

static void report_dnn(struct buf *out, const struct cuda_report *r)
{
	if (*r->dnn)
		buf_addf(out, "cudnn\t%s runs convolutions and attention\n", r->dnn);
	else if (*r->no_dnn)
		buf_addf(out, "cudnn\tno: %s; slower kernels of our own run convolutions and attention\n", r->no_dnn);
}

/* What auto takes, and why. */
static void report_choice(struct buf *out)
{
	const char *word = device_word(NULL);
	struct backend *b;
	struct err why;
	int told;

	if ((b = open_first(&told, &why))) {
		buf_addf(out, "auto\t%.*s\n", (int)strcspn(b->device, ","), b->device);
		b->close(b);
	} else {
		buf_addf(out, "auto\tthe CPU: %s\n", why.text);
	}
	if (!is_auto(word))
		buf_addf(out, "runs on\t%s, as BOOTH_DEVICE says\n", word);
}

void device_report(struct buf *out)
{
	struct cuda_report r = { .libraries = 1 };
	struct object o;
	struct err e;

	report_cpu(out);
	if (object_load(&o, &e) < 0 || o.report(&r, CUDA_SHAPE, &e) < 0) {
		buf_addf(out, "cuda\tno: %s\n", e.text);
	} else {
		report_driver(out, &r);
		report_dnn(out, &r);
		for (int i = 0; i < r.n && i < CUDA_MOST; i++)
			report_gpu(out, &r, &o, i);
	}
	report_choice(out);
}
