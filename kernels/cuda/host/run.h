/* Launches over fibers; fibers and shared memory are kept from one launch to the next. */
#ifndef CUDA_HOST_RUN_H
#define CUDA_HOST_RUN_H

#include "kernels/cuda/host/host.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/product.h"

struct block;
struct block *host_new(enum host_order order);
void host_run(struct block *b, void (*kernel)(const void *args), const char *name, struct grid g,
	      const void *args);
void host_free(struct block *b);

void host_product(struct lane *l, const struct product *p);

struct host_dnn {
	struct dnn dnn;         /* first: its functions get at the rest through it */
	int strict;             /* takes nothing fused */
};
struct host_dnn host_dnn(int strict);

#endif
