/* The backend over fibers: what kernels/cuda/open.c does, with the host's memory and at once. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/host/memory.h"
#include "kernels/cuda/host/run.h"

struct host_cuda {
	struct lane lane;       /* first: launch() gets at the rest through it */
	struct block *block;
	struct memory memory;
	struct host_dnn dnn;
};

static struct host_cuda *host_of(struct backend *b)
{
	return b->own;
}

static struct lane *lane_of(struct backend *b)
{
	return &host_of(b)->lane;
}

static void launch(struct lane *l, void (*kernel)(void), const char *name, struct grid g, const void *args)
{
	struct host_cuda *h = (struct host_cuda *)(void *)l;

	if (g.x && g.y)
		host_run(h->block, (void (*)(const void *))kernel, name, g, args);
}

static int host_alloc(struct backend *b, size_t bytes, void **dev, struct err *e)
{
	return memory_take(&host_of(b)->memory, bytes, dev, e);
}

static void host_release(struct backend *b, void *dev, size_t bytes)
{
	(void)bytes;
	memory_give(&host_of(b)->memory, dev);
}

static int host_put(struct backend *b, void *dev, const void *host, size_t bytes, struct err *e)
{
	(void)e;
	lane_flush(lane_of(b));
	if (bytes)
		memcpy(memory_at(&host_of(b)->memory, dev), host, bytes);
	return 0;
}

static int host_get(struct backend *b, void *host, const void *dev, size_t bytes, struct err *e)
{
	(void)e;
	lane_flush(lane_of(b));
	if (bytes)
		memcpy(host, memory_at(&host_of(b)->memory, dev), bytes);
	return 0;
}

static size_t host_scratch(struct backend *b, const struct graph *g, id x)
{
	return cuda_scratch_of(lane_of(b), g, x);
}

static int host_run_node(struct backend *b, const struct call *c, struct err *e)
{
	struct call at = memory_call(&host_of(b)->memory, c);

	return lane_run(lane_of(b), &at, e);
}

static int host_wait(struct backend *b, struct err *e)
{
	(void)e;
	lane_flush(lane_of(b));
	return 0;
}

static int host_memory(struct backend *b, size_t *unused, size_t *all, struct err *e)
{
	(void)b;
	(void)e;
	*unused = *all = mem_machine();
	return 0;
}

static void host_close(struct backend *b)
{
	struct host_cuda *h = host_of(b);

	memory_release(&h->memory);
	host_free(h->block);
	free(h);
	free(b);
}

int host_cuda_open(struct backend **out, enum host_order order, struct err *e)
{
	static const char *const words[] = { "forward", "backward", "mixed" };
	struct host_cuda *h;

	(void)e;
	h = xcalloc(1, sizeof *h);
	h->lane.launch = launch;
	h->lane.product = host_product;
	h->block = host_new(order);
	*out = xcalloc(1, sizeof **out);
	**out = (struct backend){
		.name = "cuda", .alloc = host_alloc, .release = host_release, .put = host_put,
		.get = host_get, .scratch = host_scratch, .run = host_run_node, .wait = host_wait,
		.memory = host_memory, .close = host_close, .own = h,
	};
	h->lane.b = *out;
	strcpy((*out)->device, "CUDA kernels on the host, ");
	strcat((*out)->device, words[order]);
	return 0;
}

void host_cuda_dnn(struct backend *b, int strict)
{
	struct host_cuda *h = b->own;

	h->dnn = host_dnn(strict);
	h->lane.dnn = &h->dnn.dnn;
}

struct lane *host_cuda_lane(struct backend *b)
{
	return lane_of(b);
}
