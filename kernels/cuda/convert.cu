/* What is no op of the graph: number types, layouts, noise. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/philox.h"
#include "kernels/cuda/sides.h"

struct cast_args { struct span y, x; int64_t n; };

KERNEL(cast_all, cast_args)
{
	int64_t i = my_vec();

	if (i < p.n)
		put_v(p.y, i, p.n - i, get_v(p.x, i, p.n - i));
}

void cuda_cast(struct lane *l, struct view y, struct view x)
{
	struct cast_args a = { span_of(&y), span_of(&x), view_count(&x) };

	LAUNCH(l, cast_all, grid_of(blocks_of(a.n, VEC)), a);
}

void cuda_cast_node(const struct call *c, struct lane *l)
{
	cuda_cast(l, c->out[0], c->in[0]);
}

/* A tile of SIDE x SIDE is read along its rows and written along its columns. */
#define SIDE 32

struct turn_args { struct span y, x; int64_t rows, columns, across; };

KERNEL(turn_all, turn_args)
{
	SHARED(float, tile, SIDE * (SIDE + 1));         /* the extra column keeps banks apart */
	int x = (int)threadIdx.x % SIDE, y = (int)threadIdx.x / SIDE, step = THREADS / SIDE;
	int64_t down = quotient(blockIdx.x, p.across), r0 = down * SIDE;
	int64_t c0 = (blockIdx.x - down * p.across) * SIDE, base = (int64_t)blockIdx.y * p.rows * p.columns;

	for (int k = y; k < SIDE; k += step)
		if (r0 + k < p.rows && c0 + x < p.columns)
			tile[k * (SIDE + 1) + x] = get(p.x, base + (r0 + k) * p.columns + c0 + x);
	__syncthreads();
	for (int k = y; k < SIDE; k += step)
		if (c0 + k < p.columns && r0 + x < p.rows)
			put(p.y, base + (c0 + k) * p.rows + r0 + x, tile[x * (SIDE + 1) + k]);
}

void cuda_turn(struct lane *l, struct view y, struct view x, int64_t n, int64_t rows, int64_t columns)
{
	struct turn_args a = { span_of(&y), span_of(&x), rows, columns, blocks_of(columns, SIDE) };
	struct grid g = { a.across * blocks_of(rows, SIDE), n, THREADS, 1 };

	LAUNCH(l, turn_all, g, a);
}

struct normal_args { struct span y; struct philox key; int64_t n; };

DEV void normal_pair(uint32_t a, uint32_t b, float *out)
{
	double u = (a + .5) * 0x1p-32, v = (b + .5) * 0x1p-32 * 6.283185307179586476925;
	double radius = sqrt(-2 * log(u));

	out[0] = (float)(radius * cos(v));
	out[1] = (float)(radius * sin(v));
}

KERNEL(normal_all, normal_args)
{
	int64_t i = my_vec();
	struct vec v;

	if (i >= p.n)
		return;
	for (int half = 0; half < VEC / 4; half++) {
		struct words w = philox(p.key, (uint32_t)(i / 4 + half));

		normal_pair(w.w[0], w.w[1], v.f + half * 4);
		normal_pair(w.w[2], w.w[3], v.f + half * 4 + 2);
	}
	put_v(p.y, i, p.n - i, v);
}

void cuda_normal(struct lane *l, struct view y, struct rng r, int64_t n)
{
	struct normal_args a = { span_of(&y), { { r.key[0], r.key[1] }, r.item, r.step, r.purpose }, n };

	LAUNCH(l, normal_all, grid_of(blocks_of(n, VEC)), a);
}
