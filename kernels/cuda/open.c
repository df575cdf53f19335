/*
 * The CUDA backend: one device. CUDA's runtime is linked into the shared object and looks for the driver
 * when it is first called; what takes long (the device's context, the libraries) is begun by threads of
 * their own, while the caller reads what it will compute on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/dnn/open.h"
#include "kernels/cuda/gpu.h"

#define SHOWN __attribute__((visibility("default")))
SHOWN booth_cuda_report_fn booth_cuda_report;
SHOWN booth_cuda_open_fn booth_cuda_open;

/* ---- starting ---- */

static void starter_begin(struct starter *s, void *(*work)(void *), struct gpu *g)
{
	pthread_mutex_init(&s->lock, NULL);
	s->running = pthread_create(&s->thread, NULL, work, g) == 0;
	if (!s->running)
		work(g);
}

static int starter_join(struct starter *s, struct err *e)
{
	pthread_mutex_lock(&s->lock);
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = 0;
	pthread_mutex_unlock(&s->lock);
	return *s->why.text ? fail(e, "%s", s->why.text) : 0;
}

static void *start_context(void *data)
{
	struct gpu *g = data;
	cudaStream_t stream = NULL;
	void *part = NULL;
	cudaError_t code = cudaSetDevice(g->device);

	if (code == cudaSuccess)
		code = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
	g->lane.stream = stream;
	if (code == cudaSuccess)
		code = feed_open(g);
	if (code == cudaSuccess)
		code = cudaMalloc(&part, SUMSQ_BYTES);
	g->lane.sumsq.part = part;
	if (code != cudaSuccess)
		fail(&g->context.why, "cuda:%d, %s, can't be used: %s", g->device, g->name,
		     cudaGetErrorString(code));
	return NULL;
}

static void *start_library(void *data)
{
	struct gpu *g = data;

	if (cudaSetDevice(g->device) == cudaSuccess)
		blas_open(&g->blas, &g->library.why);
	return NULL;
}

static void enter(void *data)
{
	struct gpu *g = data;

	cudaSetDevice(g->device);
}

/* Without it, own kernels do its work. */
static void *start_dnn(void *data)
{
	struct gpu *g = data;
	struct dnn_options with = { .enter = enter, .data = g, .capability = g->capability };
	struct err e;

	if (starter_join(&g->context, &e) == 0 && cudaSetDevice(g->device) == cudaSuccess) {
		with.stream = g->lane.stream;
		dnn_open(&g->lane.dnn, &with, &g->no_dnn);
	}
	return NULL;
}

int gpu_enter(struct gpu *g, struct err *e)
{
	cudaError_t code;

	if (starter_join(&g->context, e) < 0)
		return -1;
	code = cudaSetDevice(g->device);        /* a thread's own */
	return code != cudaSuccess ? gpu_failed(g, code, "it was chosen", e) : 0;
}

int gpu_failed(struct gpu *g, cudaError_t code, const char *what, struct err *e)
{
	if (g->lane.failed)
		return fail(e, "%s", g->lane.why.text);
	return fail(e, "cuda:%d, %s, failed while %s: %s", g->device, g->name, what,
		    cudaGetErrorString(code));
}

/* ---- running ---- */

static void launch(struct lane *l, void (*kernel)(void), const char *name, struct grid g, const void *args)
{
	const struct gpu *gpu = (const struct gpu *)(const void *)l;
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
	fail(&l->why, "cuda:%d, %s, did not take kernel '%s': %s", gpu->device, gpu->name, name,
	     cudaGetErrorString(code));
}

static void product(struct lane *l, const struct product *p)
{
	struct gpu *g = (struct gpu *)(void *)l;

	if (starter_join(&g->library, &l->why) < 0 || blas_run(g->blas, p, l->b->tf32, l->stream, &l->why) < 0)
		l->failed = 1;
}

static size_t gpu_scratch(struct backend *b, const struct graph *g, id x)
{
	struct gpu *gpu = gpu_of(b);
	struct err e;

	starter_join(&gpu->dnn, &e);    /* settled for the run: does it have the library? */
	gpu_enter(gpu, &e);             /* plans are loaded on the calling thread's device */
	return cuda_scratch_of(&gpu->lane, g, x);
}

static int gpu_run(struct backend *b, const struct call *call, struct err *e)
{
	struct gpu *g = gpu_of(b);
	int ret = 0;

	if (gpu_enter(g, e) < 0)
		return -1;
	pthread_mutex_lock(&g->lock);
	if (g->slot[g->now].used) {
		lane_flush(&g->lane);
		ret = feed_send(g, e);
	}
	if (ret == 0)
		ret = lane_run(&g->lane, call, e);
	pthread_mutex_unlock(&g->lock);
	return ret;
}

static void gpu_report(struct backend *b, struct buf *out)
{
	struct gpu *g = gpu_of(b);
	struct err e;

	starter_join(&g->dnn, &e);
	if (g->lane.dnn)
		dnn_report(g->lane.dnn, out);
	else if (*g->no_dnn.text)
		buf_addf(out, "convolutions and attention: own kernels (%s)\n", g->no_dnn.text);
	g->no_dnn.text[0] = 0;
	if (starter_join(&g->library, &e) == 0)
		blas_report(g->blas, out);
}

/* ---- opening ---- */

static void gpu_close(struct backend *b)
{
	struct gpu *g = gpu_of(b);
	struct err e;

	starter_join(&g->context, &e);
	starter_join(&g->library, &e);
	starter_join(&g->dnn, &e);
	cudaSetDevice(g->device);
	if (g->lane.stream)
		cudaStreamSynchronize(g->lane.stream);
	dnn_close(g->lane.dnn);
	blas_close(g->blas);
	feed_close(g);
	if (g->lane.sumsq.part)
		cudaFree(g->lane.sumsq.part);
	if (g->lane.stream)
		cudaStreamDestroy(g->lane.stream);
	pthread_mutex_destroy(&g->context.lock);
	pthread_mutex_destroy(&g->library.lock);
	pthread_mutex_destroy(&g->dnn.lock);
	pthread_mutex_destroy(&g->lock);
	free(g);
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

static void report_dnn(struct cuda_report *r)
{
	struct err why;

	if (dnn_version(r->dnn, sizeof r->dnn, &why) < 0)
		snprintf(r->no_dnn, sizeof r->no_dnn, "%.*s", (int)sizeof r->no_dnn - 1, why.text);
}

/* Asks the driver, and opens no device: what nobody computes on is left as it is. */
int booth_cuda_report(struct cuda_report *r, size_t shape, struct err *e)
{
	int libraries = r->libraries;
	cudaError_t code;

	if (cuda_check_shape(shape, e) < 0)
		return -1;
	*r = (struct cuda_report){ .libraries = libraries };
	if (libraries)
		report_dnn(r);
	cuda_missing(r->missing, sizeof r->missing);
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

static struct backend *backend_new(struct gpu *g, const struct cuda_device *d)
{
	struct backend *b = xcalloc(1, sizeof *b);

	*b = (struct backend){
		.name = "cuda", .overhead = BLAS_WORKSPACE + 2 * SLOT_BYTES + SUMSQ_BYTES,
		.alloc = gpu_alloc, .release = gpu_release, .put = gpu_put, .get = gpu_get,
		.scratch = gpu_scratch, .run = gpu_run, .wait = gpu_wait, .memory = gpu_room, .report = gpu_report,
		.record = gpu_record, .replay = gpu_replay, .forget = gpu_forget, .fetch = gpu_fetch,
		.close = gpu_close, .own = g,
	};
	if (d->major < 8)
		b->lacks = 1 << PRECISION_TF32 | 1 << PRECISION_BF16;
	g->lane.b = b;
	snprintf(b->device, sizeof b->device, "cuda:%d, %.80s, %zu MB", g->device, d->name,
		 d->memory >> 20);
	return b;
}

int booth_cuda_open(struct backend **out, int device, size_t shape, struct err *e)
{
	struct cuda_report r = { 0 };
	struct gpu *g;

	*out = NULL;
	if (booth_cuda_report(&r, shape, e) < 0 || cuda_check_device(&r, device, e) < 0 || blas_find(e) < 0)
		return -1;
	g = xcalloc(1, sizeof *g);
	g->device = device;
	g->capability = r.device[device].major * 10 + r.device[device].minor;
	g->lane.launch = launch;
	g->lane.product = product;
	memcpy(g->name, r.device[device].name, sizeof g->name);
	pthread_mutex_init(&g->lock, NULL);
	starter_begin(&g->context, start_context, g);
	starter_begin(&g->library, start_library, g);
	starter_begin(&g->dnn, start_dnn, g);
	*out = backend_new(g, &r.device[device]);
	return 0;
}
