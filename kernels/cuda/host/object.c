/*
 * booth-cuda.so without CUDA: the own kernels over this layer, behind the two functions that the real one
 * shows. Named by BOOTH_LIB_PATH, it is how everything that opens a GPU is tested where there is none.
 */
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/host/host.h"

#define SHOWN __attribute__((visibility("default")))
SHOWN booth_cuda_report_fn booth_cuda_report;
SHOWN booth_cuda_open_fn booth_cuda_open;

int booth_cuda_report(struct cuda_report *r, size_t shape, struct err *e)
{
	size_t memory = mem_machine();

	if (cuda_check_shape(shape, e) < 0)
		return -1;
	*r = (struct cuda_report){ .driver = 13000, .runtime = 13000, .n = 1 };
	r->device[0] = (struct cuda_device){ "the host's threads", 9, 0, memory };
	cuda_missing(r->missing, sizeof r->missing);
	return 0;
}

int booth_cuda_open(struct backend **out, int device, size_t shape, struct err *e)
{
	struct cuda_report r;

	*out = NULL;
	if (booth_cuda_report(&r, shape, e) < 0 || cuda_check_device(&r, device, e) < 0)
		return -1;
	return host_cuda_open(out, HOST_FORWARD, e);
}
