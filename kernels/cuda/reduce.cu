/*
 * sum_to: sides summed. Two launches: runs of rows of every column (what one result is made of), then
 * the runs of each column in order. Scratch: floats [parts][results].
 */
#include "kernels/cuda/device.h"
#include "kernels/cuda/sides.h"

#include <string.h>

struct fold {                   /* some of a tensor's sides: sizes and how far apart in memory */
	int n;
	int64_t size[MAX_DIM], step[MAX_DIM];
};

struct reduce_args {
	struct span y, x;
	float *part;
	struct fold kept, summed;
	int64_t results, rows, parts;   /* rows: what a result is the sum of */
	int tx, ty;                     /* columns and rows of a block */
};

DEV int64_t fold_at(const struct fold *f, int64_t i)
{
	int64_t at = 0;

	for (int k = 0; k < f->n; k++) {
		int64_t next = k + 1 < f->n ? quotient(i, f->size[k]) : 0;

		at += (i - next * f->size[k]) * f->step[k];
		i = next;
	}
	return at;
}

KERNEL(reduce_part, reduce_args)
{
	SHARED(float, sums, THREADS);
	int t = (int)threadIdx.x, x = t % p.tx, y = t / p.tx;
	int64_t part = blockIdx.y, column = (int64_t)blockIdx.x * p.tx + x;
	int64_t from = p.rows * part / p.parts, to = p.rows * (part + 1) / p.parts;
	float sum = 0;

	if (column < p.results) {
		int64_t base = fold_at(&p.kept, column);

		for (int64_t r = from + y; r < to; r += p.ty)
			sum += get(p.x, base + fold_at(&p.summed, r));
	}
	sums[t] = sum;
	for (int step = p.ty / 2; step; step /= 2) {
		__syncthreads();
		if (y < step)
			sums[t] += sums[t + step * p.tx];
	}
	if (y == 0 && column < p.results)
		p.part[part * p.results + column] = sums[t];
}

KERNEL(reduce_end, reduce_args)
{
	int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
	double sum = 0;

	if (i >= p.results)
		return;
	for (int64_t part = 0; part < p.parts; part++)
		sum += p.part[part * p.results + i];
	put(p.y, i, (float)sum);
}

static void fold_side(struct fold *f, int64_t size, int64_t step)
{
	f->size[f->n] = size;
	f->step[f->n++] = step;
}

static struct reduce_args reduce_of(const int64_t big[MAX_DIM], const int64_t small[MAX_DIM])
{
	struct sides s = sides_of(big, small);
	struct reduce_args a;
	int64_t step = 1, blocks;

	memset(&a, 0, sizeof a);
	a.results = a.rows = 1;
	for (int i = 0; i < s.n; i++, step *= s.size[i - 1]) {
		fold_side(s.step[i] ? &a.kept : &a.summed, s.size[i], step);
		if (s.step[i])
			a.results *= s.size[i];
		else
			a.rows *= s.size[i];
	}
	/* neighbours in memory go to neighbouring threads */
	a.tx = s.step[0] ? WARP : 1;
	a.ty = THREADS / a.tx;
	blocks = blocks_of(a.results, a.tx);
	a.parts = max64(1, min64(blocks_of(a.rows, a.ty * 8), 512 / max64(1, blocks)));
	return a;
}

size_t cuda_sum_to_scratch(const struct node *n, const struct graph *g)
{
	struct reduce_args a = reduce_of(g->node[n->in[0]].dim, n->dim);

	return (size_t)(a.parts * a.results) * sizeof(float);
}

void cuda_sum_to(const struct call *c, struct lane *l)
{
	struct reduce_args a = reduce_of(c->in[0].dim, c->out[0].dim);
	struct grid g = { blocks_of(a.results, a.tx), a.parts, THREADS, 1 };

	a.x = span_of(&c->in[0]);
	a.y = span_of(&c->out[0]);
	a.part = (float *)c->scratch;
	LAUNCH(l, reduce_part, g, a);
	LAUNCH(l, reduce_end, grid_of(a.results), a);
}
