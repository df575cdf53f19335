/* What the layer's own files share: launches over fibers, the machine, and what waits in streams. */
#ifndef CUDA_HOST_RUN_H
#define CUDA_HOST_RUN_H

#include "kernels/cuda/host/host.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/product.h"

/* host.c: fibers and shared memory are kept from one launch to the next. */
struct block;
struct block *host_new(enum host_order order);
void host_run(struct block *b, void (*kernel)(const void *args), const char *name, struct grid g,
	      const void *args);
void host_free(struct block *b);

/* product.c */
void host_product(const struct product *p);

/* dnn.c; strict: one that takes nothing fused */
struct dnn *host_dnn(void *stream, int strict);

/* runtime.c, with the machine locked */
void machine_lock(void);
void machine_unlock(void);
int machine_device(void);               /* the calling thread's */
cudaError_t machine_state(void);        /* what every call answers: success, or lost */
int machine_launch(void);               /* 0: the device was lost meanwhile, nothing runs */
int machine_launch_graph(void);
void machine_reach(int may);            /* may device memory be reached? */
int machine_is_pinned(const void *at);

/* stream.c: run(data) in the stream's order, with a copy of `bytes` bytes of data; for libraries. */
void host_enqueue(void *stream, void (*run)(const void *data), const void *data, size_t bytes);
int stream_is_capturing(void);

#endif
