/*
 * The device's memory: what is taken, what is left, and who has the rest. NVIDIA's management library
 * knows the last; it comes with the driver and is asked only if it is there.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/gpu.h"

#define PROCESSES 32

/* nvml.h's, version 3 of the function and 2 of its struct; all addresses are given as void *. */
struct process { unsigned pid; unsigned long long bytes; unsigned instance, part; };
struct management {
	int (*begin)(void);
	int (*end)(void);
	int (*device)(const char *bus, void **out);
	int (*processes)(void *device, unsigned *n, struct process *out);
};

static int management_load(struct management *m, void *handle)
{
	static const char *const names[] = { "nvmlInit_v2", "nvmlShutdown", "nvmlDeviceGetHandleByPciBusId_v2",
		"nvmlDeviceGetComputeRunningProcesses_v3" };
	void *const to[] = { &m->begin, &m->end, &m->device, &m->processes };

	for (int i = 0; i < 4; i++) {
		void *at = dlsym(handle, names[i]);

		if (!at)
			return -1;
		memcpy(to[i], &at, sizeof at);
	}
	return 0;
}

static void add_processes(const struct process *p, unsigned n, char *out, size_t size)
{
	size_t at = 0;

	for (unsigned i = 0; i < n && at < size; i++) {
		if (p[i].pid == (unsigned)getpid())
			continue;
		at += (size_t)snprintf(out + at, size - at, "%sprocess %u", at ? ", " : "", p[i].pid);
		if (at < size && p[i].bytes != ~0ull)
			at += (size_t)snprintf(out + at, size - at, " holds %llu MB", p[i].bytes >> 20);
	}
}

static void find_holders(int device, char *out, size_t size)
{
	void *handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL), *d;
	struct management m;
	struct process p[PROCESSES];
	unsigned n = PROCESSES;
	char bus[32];

	*out = 0;
	if (handle && management_load(&m, handle) == 0 && m.begin() == 0) {
		if (cudaDeviceGetPCIBusId(bus, sizeof bus, device) == cudaSuccess && m.device(bus, &d) == 0 &&
		    m.processes(d, &n, p) == 0)
			add_processes(p, n, out, size);
		m.end();
	}
	if (handle)
		dlclose(handle);
}

int gpu_room(struct backend *b, struct room *r, struct err *e)
{
	struct gpu *g = gpu_of(b);
	cudaError_t code;

	*r = (struct room){ .ours = g->held + b->overhead };
	if (gpu_enter(g, e) < 0)
		return -1;
	code = cudaMemGetInfo(&r->unused, &r->all);
	if (code != cudaSuccess)
		return gpu_failed(g, code, "it was asked for its memory", e);
	find_holders(g->device, r->holders, sizeof r->holders);
	return 0;
}

static int refuse(struct backend *b, size_t bytes, struct err *e)
{
	struct gpu *g = gpu_of(b);
	struct room r;
	size_t others;

	cudaGetLastError();     /* or the next launch reports it */
	if (gpu_room(b, &r, e) < 0)
		return -1;
	others = r.all - r.unused > r.ours ? r.all - r.unused - r.ours : 0;
	return fail(e, "cuda:%d, %s, has no memory for %zu MB: %zu of its %zu MB are unused, this program holds %zu, others and the driver %zu%s%s%s",
		    g->device, g->name, bytes >> 20, r.unused >> 20, r.all >> 20, r.ours >> 20, others >> 20,
		    *r.holders ? " (" : "", r.holders, *r.holders ? ")" : "");
}

int gpu_alloc(struct backend *b, size_t bytes, void **dev, struct err *e)
{
	struct gpu *g = gpu_of(b);
	cudaError_t code;

	*dev = NULL;
	if (gpu_enter(g, e) < 0)
		return -1;
	code = cudaMalloc(dev, bytes ? bytes : 64);
	if (code == cudaErrorMemoryAllocation)
		return refuse(b, bytes, e);
	if (code != cudaSuccess)
		return gpu_failed(g, code, "memory was asked for", e);
	g->held += bytes;
	return 0;
}

void gpu_release(struct backend *b, void *dev, size_t bytes)
{
	struct gpu *g = gpu_of(b);
	struct err e;

	if (!dev)
		return;
	/* what is on its way there arrives before; the driver waits, too */
	if (gpu_begin(g, &e) == 0)
		cudaStreamSynchronize(g->lane.stream);
	cudaFree(dev);
	g->held -= bytes;
}
