#include "kernels/cuda/host/host.h"

#include "common/base/mem.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/host/run.h"

booth_cuda_open_fn booth_cuda_open;

int host_cuda_open(struct backend **out, enum host_order order, struct err *e)
{
	return booth_cuda_open(out, (int)order, CUDA_SHAPE, e);
}

struct lane *host_cuda_lane(struct backend *b)
{
	struct gpu *g = gpu_of(b);
	struct err e;

	if (b->wait(b, &e) < 0)
		BUG("%s", e.text);
	return &g->lane;
}

void host_cuda_dnn(struct backend *b, int strict)
{
	struct buf lines = { 0 };

	b->report(b, &lines);           /* whatever begins a library has ended */
	buf_release(&lines);
	host_cuda_lane(b)->dnn = host_dnn(host_cuda_lane(b)->stream, strict);
}
