/* Values to the device and back. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/gpu.h"

static cudaError_t slot_open(struct slot *s)
{
	void *host = NULL, *dev = NULL;
	cudaError_t code = cudaHostAlloc(&host, SLOT_BYTES, cudaHostAllocDefault);

	s->host = host;
	if (code == cudaSuccess)
		code = cudaMalloc(&dev, SLOT_BYTES);
	s->dev = dev;
	if (code == cudaSuccess)
		code = cudaEventCreateWithFlags(&s->arrived, cudaEventDisableTiming);
	if (code == cudaSuccess)
		code = cudaEventCreateWithFlags(&s->placed, cudaEventDisableTiming);
	return code;
}

cudaError_t feed_open(struct gpu *g)
{
	void *back = NULL;
	cudaError_t code = cudaStreamCreateWithFlags(&g->up, cudaStreamNonBlocking);

	for (int i = 0; i < 2 && code == cudaSuccess; i++)
		code = slot_open(&g->slot[i]);
	if (code == cudaSuccess)
		code = cudaHostAlloc(&back, BACK_BYTES, cudaHostAllocDefault);
	g->back = back;
	return code;
}

void feed_close(struct gpu *g)
{
	for (int i = 0; i < 2; i++) {
		struct slot *s = &g->slot[i];

		if (s->arrived)
			cudaEventDestroy(s->arrived);
		if (s->placed)
			cudaEventDestroy(s->placed);
		if (s->dev)
			cudaFree(s->dev);
		if (s->host)
			cudaFreeHost(s->host);
		free(s->patches.at);
	}
	if (g->back)
		cudaFreeHost(g->back);
	free(g->due.at);
	if (g->up)
		cudaStreamDestroy(g->up);
}

static void patch_add(struct patches *p, void *to, size_t at, size_t bytes)
{
	p->at = grow(p->at, p->n, &p->cap, sizeof *p->at);
	p->at[p->n++] = (struct patch){ to, at, bytes };
}

/* ---- to the device ---- */

/* The slot leaves, and its values are placed when the lane comes to that; the other one is written next. */
static cudaError_t slot_send(struct gpu *g)
{
	struct slot *s = &g->slot[g->now];
	cudaError_t code = cudaStreamWaitEvent(g->up, s->placed, 0);

	if (code == cudaSuccess)
		code = cudaMemcpyAsync(s->dev, s->host, s->used, cudaMemcpyHostToDevice, g->up);
	if (code == cudaSuccess)
		code = cudaEventRecord(s->arrived, g->up);
	if (code == cudaSuccess)
		code = cudaStreamWaitEvent(g->lane.stream, s->arrived, 0);
	for (size_t i = 0; i < s->patches.n && code == cudaSuccess; i++) {
		const struct patch *p = &s->patches.at[i];

		code = cudaMemcpyAsync(p->to, s->dev + p->at, p->bytes, cudaMemcpyDeviceToDevice, g->lane.stream);
	}
	if (code == cudaSuccess)
		code = cudaEventRecord(s->placed, g->lane.stream);
	s->used = 0;
	s->patches.n = 0;
	g->now ^= 1;
	return code == cudaSuccess ? cudaEventSynchronize(g->slot[g->now].arrived) : code;
}

/* As much as the slot takes. */
static size_t slot_fill(struct slot *s, unsigned char *to, const unsigned char *from, size_t bytes)
{
	size_t room = SLOT_BYTES - s->used, n = bytes < room ? bytes : room;

	memcpy(s->host + s->used, from, n);
	patch_add(&s->patches, to, s->used, n);
	s->used += (n + 63) / 64 * 64;
	return n;
}

int gpu_put(struct backend *b, void *dev, const void *host, size_t bytes, struct err *e)
{
	struct gpu *g = gpu_of(b);
	cudaError_t code = cudaSuccess;

	if (gpu_enter(g, e) < 0)
		return -1;
	pthread_mutex_lock(&g->lock);
	for (size_t at = 0; at < bytes && code == cudaSuccess;) {
		at += slot_fill(&g->slot[g->now], (unsigned char *)dev + at, (const unsigned char *)host + at,
				bytes - at);
		if (g->slot[g->now].used == SLOT_BYTES) {
			lane_flush(&g->lane);   /* what was run before reads what was there before */
			code = slot_send(g);
		}
	}
	pthread_mutex_unlock(&g->lock);
	return code != cudaSuccess ? gpu_failed(g, code, "memory was copied to it", e) : 0;
}

int feed_send(struct gpu *g, struct err *e)
{
	cudaError_t code = g->slot[g->now].used ? slot_send(g) : cudaSuccess;

	return code != cudaSuccess ? gpu_failed(g, code, "memory was copied to it", e) : 0;
}

int gpu_begin(struct gpu *g, struct err *e)
{
	int ret;

	if (gpu_enter(g, e) < 0)
		return -1;
	pthread_mutex_lock(&g->lock);
	lane_flush(&g->lane);
	ret = feed_send(g, e);
	pthread_mutex_unlock(&g->lock);
	return ret;
}

/* ---- and back ---- */

int gpu_get(struct backend *b, void *host, const void *dev, size_t bytes, struct err *e)
{
	struct gpu *g = gpu_of(b);
	cudaError_t code;

	if (gpu_begin(g, e) < 0)
		return -1;
	code = cudaMemcpyAsync(host, dev, bytes, cudaMemcpyDeviceToHost, g->lane.stream);
	if (code == cudaSuccess)
		code = cudaStreamSynchronize(g->lane.stream);
	return code != cudaSuccess || g->lane.failed ? gpu_failed(g, code, "memory was copied from it", e) : 0;
}

int gpu_fetch(struct backend *b, void *host, const void *dev, size_t bytes, struct err *e)
{
	struct gpu *g = gpu_of(b);
	cudaError_t code;

	if (bytes > BACK_BYTES)
		return gpu_get(b, host, dev, bytes, e);
	if ((g->back_used + bytes > BACK_BYTES && gpu_wait(b, e) < 0) || gpu_begin(g, e) < 0)
		return -1;
	code = cudaMemcpyAsync(g->back + g->back_used, dev, bytes, cudaMemcpyDeviceToHost, g->lane.stream);
	patch_add(&g->due, host, g->back_used, bytes);
	g->back_used += (bytes + 15) / 16 * 16;
	return code != cudaSuccess ? gpu_failed(g, code, "memory was copied from it", e) : 0;
}

static int wait_for_all(struct gpu *g, struct err *e)
{
	cudaError_t code;

	if (gpu_begin(g, e) < 0)
		return -1;
	code = cudaStreamSynchronize(g->lane.stream);
	return code != cudaSuccess || g->lane.failed ? gpu_failed(g, code, "computing", e) : 0;
}

/* Whatever happened, nothing is written to where values were fetched once this is over. */
int gpu_wait(struct backend *b, struct err *e)
{
	struct gpu *g = gpu_of(b);
	int ret = wait_for_all(g, e);

	for (size_t i = 0; i < g->due.n && ret == 0; i++)
		memcpy(g->due.at[i].to, g->back + g->due.at[i].at, g->due.at[i].bytes);
	g->due.n = 0;
	g->back_used = 0;
	return ret;
}
