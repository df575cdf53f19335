/* What is no op of the graph: number types, layouts, noise. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/philox.h"
#include "kernels/cuda/sides.h"

#define CHUNK (THREADS * VEC)   /* elements a block takes */

KERNEL(casts_all, casts_args)
{
	int item = my_item(p.from, p.n);
	const struct cast_item *t = &p.item[item];
	struct span y = { t->y, t->y_type }, x = { (void *)t->x, t->x_type };
	int64_t i = ((int64_t)blockIdx.x - p.from[item]) * CHUNK + (int64_t)threadIdx.x * VEC;

	if (i < t->n)
		put_v(y, i, t->n - i, get_v(x, i, t->n - i));
}

void casts_launch(struct lane *l)
{
	struct casts_args *a = &l->casts;
	struct grid g = { 0, 1, THREADS, 1 };

	for (int i = 0; i < a->n; i++) {
		a->from[i] = g.x;
		g.x += blocks_of(a->item[i].n, CHUNK);
	}
	LAUNCH(l, casts_all, g, *a);
	a->n = 0;
}

/* Of n numbers each. */
static int overlap(const void *a, int a_type, int64_t a_n, const void *b, int b_type, int64_t b_n)
{
	const char *p = (const char *)a, *q = (const char *)b;

	return p < q + b_n * (int64_t)dtype_size((enum dtype)b_type) &&
		q < p + a_n * (int64_t)dtype_size((enum dtype)a_type);
}

/* Does t read what another makes, or write what another reads or makes? */
static int is_tied(const struct cast_item *t, const struct cast_item *to)
{
	return overlap(t->x, t->x_type, t->n, to->y, to->y_type, to->n) ||
		overlap(t->y, t->y_type, t->n, to->x, to->x_type, to->n) ||
		overlap(t->y, t->y_type, t->n, to->y, to->y_type, to->n);
}

static void cast_waits(struct lane *l, const struct view *y, const struct view *x)
{
	struct casts_args *a = &l->casts;
	struct cast_item t = { y->at, x->at, view_count(x), (int)y->type, (int)x->type };
	int tied = a->n == CASTS_MOST;

	for (int i = 0; i < a->n; i++)
		tied |= is_tied(&t, &a->item[i]);
	if (tied)
		casts_launch(l);
	if (t.n)
		a->item[a->n++] = t;
}

/* Waits for others of its kind: those of weights lie next to each other (kernels/ir/lower.h). */
void cuda_cast_node(const struct call *c, struct lane *l)
{
	cast_waits(l, &c->out[0], &c->in[0]);
}

/* A part of another op: what that launches next wants it. */
void cuda_cast(struct lane *l, struct view y, struct view x)
{
	cast_waits(l, &y, &x);
	casts_launch(l);
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
