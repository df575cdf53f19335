/*
 * CUDA's words for a C compiler: what device.h stands on where there is no nvcc. Blocks run one
 * after the other, a block's threads as fibers that change places at barriers and shuffles.
 *
 * What a device would leave undefined is made to show: shared memory holds NaN before it is written,
 * threads that wait at different barriers or whose neighbours have ended abort, and blocks and
 * threads run in an order that can be changed (HOST_FORWARD, ...): a kernel that lacks a barrier, or
 * whose blocks lean on each other, gives other results then.
 */
#ifndef CUDA_HOST_HOST_H
#define CUDA_HOST_HOST_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include "kernels/cuda/host/cuda_runtime_api.h"
#include "kernels/cuda/own.h"

#define DEV static inline __attribute__((unused))

typedef struct { float x, y, z, w; } __attribute__((aligned(16))) float4;
typedef struct { unsigned x, y, z, w; } __attribute__((aligned(16))) uint4;

struct host_thread {            /* the thread that runs now */
	struct dim3 index, block, block_size, grid_size;
};
extern _Thread_local const struct host_thread *host_now;
#define threadIdx (host_now->index)
#define blockIdx (host_now->block)
#define blockDim (host_now->block_size)
#define gridDim (host_now->grid_size)

/* `line` tells barriers apart. */
void host_barrier(int line);
double host_shuffle_xor(double x, int mask, int line);
/* What device.h's loops of shuffles make, the same bits, for one wait instead of five. */
float host_warp_sum(float x, int line);
float host_warp_max(float x, int line);
void *host_shared(size_t bytes);

#define __syncthreads() host_barrier(__LINE__)
#define __shfl_xor_sync(lanes, x, mask) ((float)host_shuffle_xor(x, mask, __LINE__))
#define SHARED(type, name, n) type *name = (type *)host_shared((n) * sizeof(type))

/*
 * Stubs: the launcher hands a pointer, the kernel wants its struct by value. One that gets NULL tells about
 * itself instead, as CUDA's runtime knows of its kernels.
 */
struct host_kernel { const char *name; size_t bytes; };
extern _Thread_local struct host_kernel host_told;
#define KERNEL(name, args) \
	static void name##_body(const struct args p); \
	static void name(const void *at) \
	{ \
		if (at) \
			name##_body(*(const struct args *)at); \
		else \
			host_told = (struct host_kernel){ #name, sizeof(struct args) }; \
	} \
	static void name##_body(const struct args p)

enum host_order { HOST_FORWARD, HOST_BACKWARD, HOST_MIXED };

/*
 * The CUDA backend over this layer, for tests. Device memory is what its alloc hands out; calls and copies
 * take the host's own memory as well. Nothing runs before somebody waits.
 */
int host_cuda_open(struct backend **out, enum host_order order, struct err *e);
/* For what is not an op: casts, noise. */
struct lane *host_cuda_lane(struct backend *b);
/* From now on with a library for whole convolutions and attention; strict: one that takes no bias with them. */
void host_cuda_dnn(struct backend *b, int strict);

#endif
