/*
 * What the kernels that are bound by memory have in common: typed views, and how work is cut.
 *
 * Work is cut into blocks whose size depends on the shape alone. Threads take whole blocks, and
 * sums are made within a block first and over the blocks, in order, after that, so a result is the
 * same for every number of threads. Below PAR_MIN elements read and written once (some 10 to 20
 * microseconds) waking other threads costs more than it gives; ops that do more count theirs
 * double.
 */
#ifndef CPU_SIMD_SHARE_H
#define CPU_SIMD_SHARE_H

#include "kernels/cpu/simd/kernels.h"

#define BLOCK   8192
#define PAR_MIN 65536

#define PRAGMA(x) _Pragma(#x)
/* A loop over blocks b of work of n elements in all. */
#define PAR_FOR(n) PRAGMA(omp parallel for schedule(static) if ((n) >= PAR_MIN))

static inline int64_t view_count(const struct view *v)
{
	return v->dim[0] * v->dim[1] * v->dim[2] * v->dim[3];
}

static inline const float *in_f32(const struct call *c, int i)
{
	if (c->in[i].at && c->in[i].type != DT_F32)
		BUG("'%s' takes f32, its input %d is %s", op_info[c->n->op].name, i,
		    dtype_name(c->in[i].type));
	return c->in[i].at;
}

static inline float *out_f32(const struct call *c, int i)
{
	if (c->out[i].at && c->out[i].type != DT_F32)
		BUG("'%s' makes f32, its result %d is %s", op_info[c->n->op].name, i,
		    dtype_name(c->out[i].type));
	return c->out[i].at;
}

/* An input that the kernel writes to (weights and moments under the optimizer). */
static inline float *state_f32(const struct call *c, int i)
{
	in_f32(c, i);
	return c->in[i].at;
}

static inline int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static inline int64_t blocks_of(int64_t n, int64_t size)
{
	return (n + size - 1) / size;
}

/* Bytes rounded up so that what follows in scratch is aligned for every vector. */
static inline size_t aligned(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

#endif
