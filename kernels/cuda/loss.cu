/*
 * The loss, in f64 as on the CPU: blocks add up CHUNK elements each, one block adds the blocks' sums. Scratch:
 * a double for each block.
 */
#include "kernels/cuda/device.h"
#include "kernels/cuda/sides.h"

#define CHUNK (THREADS * VEC * 2)

/* each: elements of a picture; blocks: of a picture. */
struct squares_args {
	struct span a, b, weight, y;
	double *part;
	int64_t pictures, each, blocks;
};

KERNEL(squares_part, squares_args)
{
	SHARED(double, part, THREADS);
	int64_t from = (int64_t)blockIdx.x * CHUNK, base = (int64_t)blockIdx.y * p.each;
	double sum = 0;

	for (int64_t i = from + threadIdx.x * VEC; i < from + CHUNK && i < p.each; i += THREADS * VEC) {
		struct vec a = get_v(p.a, base + i, p.each - i), b = get_v(p.b, base + i, p.each - i);

		for (int k = 0; k < VEC; k++) {
			float d = a.f[k] - b.f[k];

			sum += (double)d * d;
		}
	}
	sum = block_sum(sum, part);
	if (threadIdx.x == 0)
		p.part[(int64_t)blockIdx.y * p.blocks + blockIdx.x] = sum;
}

/* Threads share the blocks' sums of a picture out among them, then add up theirs. */
KERNEL(squares_end, squares_args)
{
	SHARED(double, part, THREADS);
	double loss = 0;

	for (int64_t n = 0; n < p.pictures; n++) {
		double sum = 0;

		for (int64_t b = threadIdx.x; b < p.blocks; b += THREADS)
			sum += p.part[n * p.blocks + b];
		loss += get(p.weight, n) * (sum / (double)p.each);
	}
	loss = block_sum(loss, part);
	if (threadIdx.x == 0)
		put(p.y, 0, (float)loss);
}

static int64_t parts_of(int64_t each)
{
	return blocks_of(each, CHUNK);
}

static int64_t picture_of(int64_t count, int64_t pictures)
{
	return pictures ? count / pictures : 0;
}

size_t cuda_mse_scratch(const struct node *n, const struct graph *g)
{
	const struct node *x = &g->node[n->in[0]];

	return (size_t)(x->dim[0] * parts_of(picture_of(node_count(x), x->dim[0]))) * sizeof(double);
}

void cuda_mse(const struct call *c, struct lane *l)
{
	int64_t pictures = c->in[0].dim[0], each = picture_of(view_count(&c->in[0]), pictures);
	struct squares_args a = { span_of(&c->in[0]), span_of(&c->in[1]), span_of(&c->in[2]),
				  span_of(&c->out[0]), (double *)c->scratch, pictures, each,
				  parts_of(each) };
	struct grid parts = { a.blocks, a.pictures, THREADS, 1 }, one = { 1, 1, THREADS, 1 };

	LAUNCH(l, squares_part, parts, a);
	LAUNCH(l, squares_end, one, a);
}

struct mse_dx_args { struct span y, a, b, weight, dloss; int64_t n, each; };

KERNEL(mse_dx_all, mse_dx_args)
{
	int64_t i = my_vec();
	struct vec a, b;

	if (i >= p.n)
		return;
	a = get_v(p.a, i, p.n - i);
	b = get_v(p.b, i, p.n - i);
	for (int k = 0; k < VEC; k++) {
		int64_t n = quotient(i + k, p.each);
		float weight = i + k < p.n ? get(p.weight, n) : 0;

		a.f[k] = (float)(2.0 * get(p.dloss, 0) * weight / (double)p.each) * (a.f[k] - b.f[k]);
	}
	put_v(p.y, i, p.n - i, a);
}

void cuda_mse_dx(const struct call *c, struct lane *l)
{
	int64_t n = view_count(&c->in[0]);
	struct mse_dx_args a = { span_of(&c->out[0]), span_of(&c->in[0]), span_of(&c->in[1]),
				 span_of(&c->in[2]), span_of(&c->in[3]), n,
				 picture_of(n, c->in[0].dim[0]) };

	LAUNCH(l, mse_dx_all, grid_of(blocks_of(n, VEC)), a);
}
