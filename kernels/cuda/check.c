#include "kernels/cuda/check.h"

#include <stdio.h>

#include "kernels/cuda/own.h"

int cuda_check_shape(size_t shape, struct err *e)
{
	if (shape != CUDA_SHAPE)
		return fail(e, "booth-cuda.so was built from another version of booth: run make cuda");
	return 0;
}

/* A driver runs programs of every CUDA of its own major version, and of older ones. */
int cuda_check_driver(const struct cuda_report *r, struct err *e)
{
	if (!r->driver)
		return fail(e, "there is no NVIDIA driver on this machine");
	if (r->driver / 1000 < r->runtime / 1000)
		return fail(e, "the NVIDIA driver is for CUDA %d.%d, this program needs CUDA %d.0: install a newer driver",
			    r->driver / 1000, r->driver % 1000 / 10, r->runtime / 1000);
	if (!r->n)
		return fail(e, "the NVIDIA driver sees no GPU%s%s", *r->trouble ? ": " : "", r->trouble);
	return 0;
}

int cuda_check_device(const struct cuda_report *r, int device, struct err *e)
{
	const struct cuda_device *d;

	if (cuda_check_driver(r, e) < 0)
		return -1;
	if (device < 0 || device >= r->n)
		return fail(e, "there is no GPU cuda:%d: this machine has %d, cuda:0%s", device, r->n,
			    r->n > 1 ? " and so on" : "");
	if (device >= CUDA_MOST)
		return fail(e, "cuda:%d: only the first %d GPUs can be used", device, CUDA_MOST);
	d = &r->device[device];
	if (d->major * 10 + d->minor < CUDA_OLDEST)
		return fail(e, "cuda:%d, %s, has compute capability %d.%d and %d.%d is the oldest that will do",
			    device, d->name, d->major, d->minor, CUDA_OLDEST / 10, CUDA_OLDEST % 10);
	return 0;
}

void cuda_missing(char *out, size_t size)
{
	size_t at = 0;

	out[0] = 0;
	for (int op = 0; op < OP__COUNT && at < size; op++)
		if (!cuda_table[op].run && !op_info[op].source && op != OP_AUX)
			at += (size_t)snprintf(out + at, size - at, "%s%s", at ? " " : "", op_info[op].name);
}
