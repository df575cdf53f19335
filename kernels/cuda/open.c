/*
 * The CUDA backend: one device, one stream. The only file that calls the CUDA runtime, which is linked
 * into the shared object and looks for the driver when it is first called.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/dnn/open.h"
#include "kernels/cuda/own.h"

#define SHOWN __attribute__((visibility("default")))
SHOWN booth_cuda_report_fn booth_cuda_report;
SHOWN booth_cuda_open_fn booth_cuda_open;

struct cuda {
	struct lane lane;       /* first: launch() gets at the rest through it */
	int device;
	char name[128];
	struct blas *blas;      /* opened by the first product */
	struct err no_dnn;      /* why own kernels do cuDNN's work, until that was told */
};

static struct cuda *cuda_of(struct backend *b)
{
	return b->own;
}

static void launch(struct lane *l, void (*kernel)(void), const char *name, struct grid g, const void *args)
{
	struct dim3 blocks = { (unsigned)g.x, (unsigned)g.y, 1 };
	struct dim3 threads = { (unsigned)g.tx, (unsigned)g.ty, 1 };
	void *list[1];
	cudaError_t code;

	if (!g.x || !g.y || l->failed)
		return;
	memcpy(&list[0], &args, sizeof args);   /* CUDA's prototype lacks the const */
	code = cudaLaunchKernel((const void *)kernel, blocks, threads, list, 0, l->stream);
	if (code == cudaSuccess)
		return;
	l->failed = 1;
	fail(&l->why, "cuda:%d, %s, did not take kernel '%s': %s", ((struct cuda *)(void *)l)->device,
	     ((struct cuda *)(void *)l)->name, name, cudaGetErrorString(code));
}

static void product(struct lane *l, const struct product *p)
{
	struct cuda *c = (struct cuda *)(void *)l;

	if ((!c->blas && blas_open(&c->blas, &l->why) < 0) ||
	    blas_run(c->blas, p, l->b->tf32, l->stream, &l->why) < 0)
		l->failed = 1;
}

/* What failed now or, in the stream, before. */
static int failed(struct cuda *c, cudaError_t code, const char *what, struct err *e)
{
	if (c->lane.failed)
		return fail(e, "%s", c->lane.why.text);
	return fail(e, "cuda:%d, %s, failed while %s: %s", c->device, c->name, what,
		    cudaGetErrorString(code));
}

static int dev_alloc(struct backend *b, size_t bytes, void **dev, struct err *e)
{
	struct cuda *c = cuda_of(b);
	size_t unused = 0, all = 0;

	if (cudaMalloc(dev, bytes ? bytes : 64) == cudaSuccess)
		return 0;
	*dev = NULL;
	cudaGetLastError();     /* or the next launch reports it */
	cudaMemGetInfo(&unused, &all);
	return fail(e, "cuda:%d, %s, has no memory for %zu MB: %zu of its %zu MB are unused", c->device,
		    c->name, bytes >> 20, unused >> 20, all >> 20);
}

static void dev_release(struct backend *b, void *dev, size_t bytes)
{
	(void)b;
	(void)bytes;
	cudaFree(dev);
}

static int dev_wait(struct backend *b, struct err *e)
{
	struct cuda *c = cuda_of(b);
	cudaError_t code;

	lane_flush(&c->lane);
	code = cudaStreamSynchronize(c->lane.stream);
	return code != cudaSuccess || c->lane.failed ? failed(c, code, "computing", e) : 0;
}

static int dev_put(struct backend *b, void *dev, const void *host, size_t bytes, struct err *e)
{
	struct cuda *c = cuda_of(b);
	cudaError_t code;

	lane_flush(&c->lane);
	code = cudaMemcpyAsync(dev, host, bytes, cudaMemcpyHostToDevice, c->lane.stream);
	if (code == cudaSuccess)        /* the caller may change `host` at once */
		code = cudaStreamSynchronize(c->lane.stream);
	return code != cudaSuccess ? failed(c, code, "memory was copied to it", e) : 0;
}

static int dev_get(struct backend *b, void *host, const void *dev, size_t bytes, struct err *e)
{
	struct cuda *c = cuda_of(b);
	cudaError_t code;

	lane_flush(&c->lane);
	code = cudaMemcpyAsync(host, dev, bytes, cudaMemcpyDeviceToHost, c->lane.stream);
	if (code == cudaSuccess)
		code = cudaStreamSynchronize(c->lane.stream);
	return code != cudaSuccess || c->lane.failed ? failed(c, code, "memory was copied from it", e) : 0;
}

static int dev_memory(struct backend *b, size_t *unused, size_t *all, struct err *e)
{
	cudaError_t code = cudaMemGetInfo(unused, all);

	return code != cudaSuccess ? failed(cuda_of(b), code, "it was asked for its memory", e) : 0;
}

static size_t dev_scratch(struct backend *b, const struct graph *g, id x)
{
	return cuda_scratch_of(&cuda_of(b)->lane, g, x);
}

static int dev_run(struct backend *b, const struct call *call, struct err *e)
{
	return lane_run(&cuda_of(b)->lane, call, e);
}

static void dev_close(struct backend *b)
{
	struct cuda *c = cuda_of(b);

	blas_close(c->blas);
	dnn_close(c->lane.dnn);
	cudaStreamDestroy(c->lane.stream);
	free(c);
	free(b);
}

static void report_device(struct cuda_device *d, int i)
{
	struct cudaDeviceProp p;

	if (cudaGetDeviceProperties(&p, i) != cudaSuccess)
		return;
	snprintf(d->name, sizeof d->name, "%.*s", (int)sizeof d->name - 1, p.name);
	d->major = p.major;
	d->minor = p.minor;
	d->memory = p.totalGlobalMem;
}

/* Asks the driver, and opens no device: what nobody computes on is left as it is. */
int booth_cuda_report(struct cuda_report *r, size_t shape, struct err *e)
{
	cudaError_t code;
	struct err no_dnn;

	if (cuda_check_shape(shape, e) < 0)
		return -1;
	*r = (struct cuda_report){ 0 };
	cuda_missing(r->missing, sizeof r->missing);
	if (dnn_version(r->dnn, sizeof r->dnn, &no_dnn) < 0)
		snprintf(r->no_dnn, sizeof r->no_dnn, "%.*s", (int)sizeof r->no_dnn - 1, no_dnn.text);
	cudaRuntimeGetVersion(&r->runtime);
	if (cudaDriverGetVersion(&r->driver) != cudaSuccess)
		r->driver = 0;
	code = r->driver ? cudaGetDeviceCount(&r->n) : cudaErrorNoDevice;
	if (code != cudaSuccess) {
		r->n = 0;
		if (code != cudaErrorNoDevice)
			snprintf(r->trouble, sizeof r->trouble, "%s", cudaGetErrorString(code));
	}
	for (int i = 0; i < r->n && i < CUDA_MOST; i++)
		report_device(&r->device[i], i);
	cudaGetLastError();
	return 0;
}

static void dev_report(struct backend *b, struct buf *out)
{
	struct cuda *c = cuda_of(b);

	if (c->lane.dnn)
		dnn_report(c->lane.dnn, out);
	else if (*c->no_dnn.text)
		buf_addf(out, "convolutions and attention: own kernels (%s)\n", c->no_dnn.text);
	c->no_dnn.text[0] = 0;
}

static struct backend *backend_new(struct cuda *c, const struct cuda_device *d)
{
	struct backend *b = xcalloc(1, sizeof *b);

	*b = (struct backend){
		.name = "cuda", .alloc = dev_alloc, .release = dev_release, .put = dev_put,
		.get = dev_get, .scratch = dev_scratch, .run = dev_run, .wait = dev_wait, .memory = dev_memory,
		.report = dev_report, .close = dev_close, .own = c,
	};
	if (d->major < 8)
		b->lacks = 1 << PRECISION_TF32 | 1 << PRECISION_BF16;
	c->lane.b = b;
	snprintf(b->device, sizeof b->device, "cuda:%d, %.80s, %zu MB", c->device, d->name,
		 d->memory >> 20);
	return b;
}

int booth_cuda_open(struct backend **out, int device, size_t shape, struct err *e)
{
	struct cuda_report r;
	struct cuda *c;
	cudaStream_t stream = NULL;
	cudaError_t code;

	*out = NULL;
	if (booth_cuda_report(&r, shape, e) < 0 || cuda_check_device(&r, device, e) < 0)
		return -1;
	code = cudaSetDevice(device);
	if (code == cudaSuccess)
		code = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
	if (code != cudaSuccess)
		return fail(e, "cuda:%d, %s, can't be used: %s", device, r.device[device].name,
			    cudaGetErrorString(code));
	c = xcalloc(1, sizeof *c);
	c->device = device;
	c->lane.stream = stream;
	c->lane.launch = launch;
	c->lane.product = product;
	memcpy(c->name, r.device[device].name, sizeof c->name);
	/* settled for the run: without it, own kernels do its work */
	dnn_open(&c->lane.dnn, &(struct dnn_options){ .stream = stream, .capability =
		 r.device[device].major * 10 + r.device[device].minor }, &c->no_dnn);
	*out = backend_new(c, &r.device[device]);
	return 0;
}
