/*
 * What the own CUDA kernels (the .cu files beside this) are written in: C, with CUDA's words. nvcc
 * compiles them for the device; any C compiler compiles the same files over kernels/cuda/host, where
 * a block's threads are fibers, so that their arithmetic is tested on machines without a GPU.
 *
 *	struct scale_args { struct span y, x; int64_t n; float by; };
 *	KERNEL(scale, scale_args) { ... p.n ... threadIdx.x ... __syncthreads() ... }
 *	LAUNCH(lane, scale, grid, args)         (own.h)
 *
 * A kernel has one argument, a struct by value named p. Its blocks have at most THREADS threads.
 * Shared memory is declared by SHARED(type, name, n) at the top. Not to be used: references,
 * templates, atomics, anything that one of the two compilers lacks.
 *
 * One kernel serves every dtype: tensors are spans, whose type is looked at when an element is read
 * or written (the branch is the same for all threads, and memory is what is waited for); arithmetic
 * between is f32. An element read or written alone costs as much as VEC neighbours: use get_v, put_v.
 */
#ifndef CUDA_DEVICE_H
#define CUDA_DEVICE_H

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
extern "C" {
#endif
#include "common/base/dtype.h"
#include "kernels/backend.h"
#ifdef __CUDACC__
}
#define DEV static __device__ __forceinline__
#define SHARED(type, name, n) __shared__ type name[n]
#define KERNEL(name, args) \
	static __global__ void __launch_bounds__(THREADS) name(const __grid_constant__ struct args p)
#else
#include "kernels/cuda/host/host.h"
#endif

/* Before a loop over an array that registers hold; before one whose program would be long. */
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")
#else
#define UNROLL
#define ROLLED
#endif

#define THREADS 256
#define WARP 32

/* Elements that a thread takes at once: 16 bytes of bf16, 32 of f32. */
#define VEC 8

struct span {                   /* a tensor, or part of one; 16-byte aligned */
	void *at;
	int type;               /* enum dtype: F32, BF16, F16 */
};

struct vec { float f[VEC]; };

#ifdef __CUDACC__
DEV float of_bits(unsigned w)
{
	return __uint_as_float(w);
}

DEV unsigned to_bits(float x)
{
	return __float_as_uint(x);
}

DEV float of_bf16(uint16_t h)
{
	return __uint_as_float((unsigned)h << 16);
}

DEV uint16_t to_bf16(float x)
{
	return __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

DEV float of_f16(uint16_t h)
{
	return __half2float(__ushort_as_half(h));
}

DEV uint16_t to_f16(float x)
{
	return __half_as_ushort(__float2half_rn(x));
}
#else
DEV float of_bits(unsigned w)
{
	union { unsigned w; float f; } as = { w };

	return as.f;
}

DEV unsigned to_bits(float x)
{
	union { float f; unsigned w; } as = { x };

	return as.w;
}

DEV float of_bf16(uint16_t h) { return bf16_to_f32(h); }
DEV uint16_t to_bf16(float x) { return bf16_of_f32(x); }
DEV float of_f16(uint16_t h) { return f16_to_f32(h); }
DEV uint16_t to_f16(float x) { return f16_of_f32(x); }
#endif

DEV float get(struct span s, int64_t i)
{
	if (s.type == DT_F32)
		return ((const float *)s.at)[i];
	if (s.type == DT_BF16)
		return of_bf16(((const uint16_t *)s.at)[i]);
	return of_f16(((const uint16_t *)s.at)[i]);
}

DEV void put(struct span s, int64_t i, float x)
{
	if (s.type == DT_F32)
		((float *)s.at)[i] = x;
	else if (s.type == DT_BF16)
		((uint16_t *)s.at)[i] = to_bf16(x);
	else
		((uint16_t *)s.at)[i] = to_f16(x);
}

/*
 * VEC elements as they lie in memory. A kernel that wants several vectors asks for all of them before it
 * looks at the first: looking waits for it, and what comes later in the program is not asked for meanwhile.
 */
struct raw { unsigned w[VEC]; };

/* Elements i, i + 1, ... of s, `left` of them at most; zero behind. */
DEV struct raw ask_v(struct span s, int64_t i, int64_t left)
{
	struct raw r = { { 0 } };

	if (left < VEC || i % VEC) {
		for (int k = 0; k < VEC; k++)
			if (k < left && s.type == DT_F32)
				r.w[k] = ((const unsigned *)s.at)[i + k];
			else if (k < left)
				r.w[k / 2] |= (unsigned)((const uint16_t *)s.at)[i + k] << k % 2 * 16;
	} else {
		const uint4 *at = (const uint4 *)((const char *)s.at + (s.type == DT_F32 ? 4 * i : 2 * i));
		uint4 a = at[0];

		r.w[0] = a.x; r.w[1] = a.y; r.w[2] = a.z; r.w[3] = a.w;
		if (s.type == DT_F32) {
			a = at[1];
			r.w[4] = a.x; r.w[5] = a.y; r.w[6] = a.z; r.w[7] = a.w;
		}
	}
	return r;
}

DEV struct vec look(struct span s, struct raw r)
{
	struct vec v;

	if (s.type == DT_F32)
		for (int k = 0; k < VEC; k++)
			v.f[k] = of_bits(r.w[k]);
	else if (s.type == DT_BF16)
		for (int k = 0; k < VEC; k++)
			v.f[k] = of_bf16((uint16_t)(r.w[k / 2] >> k % 2 * 16));
	else
		for (int k = 0; k < VEC; k++)
			v.f[k] = of_f16((uint16_t)(r.w[k / 2] >> k % 2 * 16));
	return v;
}

DEV struct vec get_v(struct span s, int64_t i, int64_t left)
{
	return look(s, ask_v(s, i, left));
}

/* v as it will lie in memory. */
DEV struct raw pack(struct span s, struct vec v)
{
	struct raw r = { { 0 } };

	if (s.type == DT_F32)
		for (int k = 0; k < VEC; k++)
			r.w[k] = to_bits(v.f[k]);
	else if (s.type == DT_BF16)
		for (int k = 0; k < VEC; k++)
			r.w[k / 2] |= (unsigned)to_bf16(v.f[k]) << k % 2 * 16;
	else
		for (int k = 0; k < VEC; k++)
			r.w[k / 2] |= (unsigned)to_f16(v.f[k]) << k % 2 * 16;
	return r;
}

DEV void put_v(struct span s, int64_t i, int64_t left, struct vec v)
{
	struct raw r = pack(s, v);

	if (left < VEC || i % VEC) {
		for (int k = 0; k < VEC; k++)
			if (k < left && s.type == DT_F32)
				((unsigned *)s.at)[i + k] = r.w[k];
			else if (k < left)
				((uint16_t *)s.at)[i + k] = (uint16_t)(r.w[k / 2] >> k % 2 * 16);
	} else {
		uint4 *at = (uint4 *)((char *)s.at + (s.type == DT_F32 ? 4 * i : 2 * i)), a;

		a.x = r.w[0]; a.y = r.w[1]; a.z = r.w[2]; a.w = r.w[3];
		at[0] = a;
		if (s.type == DT_F32) {
			a.x = r.w[4]; a.y = r.w[5]; a.z = r.w[6]; a.w = r.w[7];
			at[1] = a;
		}
	}
}

/* What is added to a result in its place (lane_joins), or at NULL nothing: asked for, and added to y as rounded. */
DEV struct raw ask_sum(struct span add, int64_t i, int64_t left)
{
	struct raw none = { { 0 } };

	return add.at ? ask_v(add, i, left) : none;
}

DEV struct vec add_sum(struct span s, struct vec y, struct span add, struct raw asked)
{
	struct vec sum;

	if (!add.at)
		return y;
	y = look(s, pack(s, y));
	sum = look(add, asked);
	for (int k = 0; k < VEC; k++)
		sum.f[k] += y.f[k];
	return sum;
}

/* The first element of this thread's vector, when a launch shares out one row of elements. */
DEV int64_t my_vec(void)
{
	return ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * VEC;
}

/* Of n tensors in one launch, which begin at blocks from[0], ...: the last that does so at or before this block. */
DEV int my_item(const int64_t *from, int n)
{
	int lo = 0, hi = n;

	while (hi - lo > 1) {
		int mid = (lo + hi) / 2;

		if (from[mid] <= (int64_t)blockIdx.x)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* a / b of numbers that are not negative: most fit 32 bits, where a division is a fifth the work. */
DEV int64_t quotient(int64_t a, int64_t b)
{
	return (a | b) >> 32 ? a / b : (int64_t)((uint32_t)a / (uint32_t)b);
}

/* Sums over the lanes of a warp; every lane gets them. In a fixed order. */
#ifdef __CUDACC__
DEV float warp_sum(float x)
{
	for (int step = WARP / 2; step; step /= 2)
		x += __shfl_xor_sync(0xffffffffu, x, step);
	return x;
}

DEV float warp_max(float x)
{
	for (int step = WARP / 2; step; step /= 2)
		x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
	return x;
}
#else
#define warp_sum(x) host_warp_sum(x, __LINE__)
#define warp_max(x) host_warp_max(x, __LINE__)
#endif

/* The sum over all threads of a one-dimensional block of THREADS, for thread 0. part: THREADS. */
DEV double block_sum(double x, double *part)
{
	int t = (int)threadIdx.x;

	part[t] = x;
	for (int step = THREADS / 2; step; step /= 2) {
		__syncthreads();
		if (t < step)
			part[t] += part[t + step];
	}
	return part[0];
}

/* The same for all threads, and part may be used again. */
DEV double block_sum_all(double x, double *part)
{
	block_sum(x, part);
	__syncthreads();
	x = part[0];
	__syncthreads();
	return x;
}

#endif
