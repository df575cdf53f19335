#include "kernels/run/device.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"

#define OBJECT "booth-cuda.so"

struct object {
	booth_cuda_report_fn *report;
	booth_cuda_open_fn *open;
};

/* FOLDER/../lib/booth-cuda.so of the running executable; the caller's to free. */
static char *object_path(void)
{
	const char *folder = getenv("BOOTH_LIB_PATH");
	char exe[4096];
	ssize_t n;

	if (folder && *folder)
		return xasprintf("%s/" OBJECT, folder);
	n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	exe[n < 0 ? 0 : n] = 0;
	for (int up = 0; up < 2 && strrchr(exe, '/'); up++)
		*strrchr(exe, '/') = 0;
	return xasprintf("%s/lib/" OBJECT, exe);
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

int device_open(struct backend **out, const char *device, int threads, struct err *e)
{
	struct object o;
	int number = cuda_number(device);

	*out = NULL;
	if (!strcmp(device, "cpu"))
		return cpu_open(out, threads, NULL, e);
	if (number < 0)
		return fail(e, "unknown device '%s', wanted cpu, cuda or cuda:N", device);
	if (object_load(&o, e) < 0)
		return -1;
	return o.open(out, number, CUDA_SHAPE, e);
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
	struct err e;

	buf_addf(out, "cuda:%d\t%s, compute capability %d.%d, %zu MB of memory, %zu unused", i, d->name,
		 d->major, d->minor, d->memory >> 20, d->unused >> 20);
	if (o->open(&b, i, CUDA_SHAPE, &e) < 0) {
		buf_addf(out, "; can't be used: %s\n", e.text);
		return;
	}
	buf_addc(out, '\n');
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

void device_report(struct buf *out)
{
	struct cuda_report r = { 0 };
	struct object o;
	struct err e;

	report_cpu(out);
	if (object_load(&o, &e) < 0 || o.report(&r, CUDA_SHAPE, &e) < 0) {
		buf_addf(out, "cuda\tno: %s\nruns on\tthe CPU\n", e.text);
		return;
	}
	report_driver(out, &r);
	for (int i = 0; i < r.n && i < CUDA_MOST; i++)
		report_gpu(out, &r, &o, i);
	if (!r.n)
		buf_addf(out, "cuda\tno GPU is seen\n");
	if (*r.missing)
		buf_addf(out, "runs on\tthe CPU; the GPU's backend lacks %s\n", r.missing);
	else
		buf_addf(out, "runs on\tthe CPU%s\n", r.n ? "; stages can't be told to use a GPU yet" : "");
}
