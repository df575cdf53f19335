/* Layer norm: a warp takes a row, which stays in the nearest cache from pass to pass. */
#include "kernels/cuda/sums.h"

#define ROWS (THREADS / WARP)   /* of a block */

struct layer_args {
	struct span y, x, dy, gamma, beta, stat_out, add;
	const float *stat;
	int64_t rows, d;
	float eps;
};

DEV int64_t my_row(void)
{
	return (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP;
}

DEV int my_lane(void)
{
	return (int)threadIdx.x % WARP;
}

KERNEL(layer_rows, layer_args)
{
	int64_t row = my_row(), at = row * p.d;
	float sum = 0, spread = 0, pivot, mean, rstd;

	if (row >= p.rows)
		return;
	pivot = get(p.x, at);
	for (int64_t i = my_lane() * VEC; i < p.d; i += WARP * VEC) {
		struct vec x = get_v(p.x, at + i, p.d - i);

		for (int k = 0; k < VEC; k++)
			sum += i + k < p.d ? x.f[k] - pivot : 0;
	}
	mean = pivot + warp_sum(sum) / (float)p.d;
	for (int64_t i = my_lane() * VEC; i < p.d; i += WARP * VEC) {
		struct vec x = get_v(p.x, at + i, p.d - i);

		for (int k = 0; k < VEC; k++)
			spread += i + k < p.d ? (x.f[k] - mean) * (x.f[k] - mean) : 0;
	}
	rstd = 1 / sqrtf(warp_sum(spread) / (float)p.d + p.eps);
	for (int64_t i = my_lane() * VEC; i < p.d; i += WARP * VEC) {
		struct raw rx = ask_v(p.x, at + i, p.d - i), rgamma = ask_v(p.gamma, i, p.d - i),
			rbeta = ask_v(p.beta, i, p.d - i);
		struct vec x = look(p.x, rx), gamma = look(p.gamma, rgamma), beta = look(p.beta, rbeta);

		for (int k = 0; k < VEC; k++)
			x.f[k] = (x.f[k] - mean) * rstd * gamma.f[k] + beta.f[k];
		put_v(p.y, at + i, p.d - i, x);
	}
	if (p.stat_out.at && my_lane() == 0) {
		put(p.stat_out, 2 * row, mean);
		put(p.stat_out, 2 * row + 1, rstd);
	}
}

/*
 * With h = (x - mean) rstd and q = dy gamma:   dx = rstd (q - mean of q - h mean of q h)
 */
KERNEL(layer_rows_dx, layer_args)
{
	int64_t row = my_row(), at = row * p.d;
	float one = 0, two = 0, mean, rstd;

	if (row >= p.rows)
		return;
	mean = p.stat[2 * row];
	rstd = p.stat[2 * row + 1];
	for (int64_t i = my_lane() * VEC; i < p.d; i += WARP * VEC) {
		struct raw rx = ask_v(p.x, at + i, p.d - i), rdy = ask_v(p.dy, at + i, p.d - i),
			rgamma = ask_v(p.gamma, i, p.d - i);
		struct vec x = look(p.x, rx), dy = look(p.dy, rdy), gamma = look(p.gamma, rgamma);

		for (int k = 0; k < VEC; k++) {
			float q = dy.f[k] * gamma.f[k];

			one += q;
			two += q * ((x.f[k] - mean) * rstd);
		}
	}
	one = warp_sum(one) / (float)p.d;
	two = warp_sum(two) / (float)p.d;
	for (int64_t i = my_lane() * VEC; i < p.d; i += WARP * VEC) {
		struct raw rx = ask_v(p.x, at + i, p.d - i), rdy = ask_v(p.dy, at + i, p.d - i),
			rgamma = ask_v(p.gamma, i, p.d - i), radd = ask_sum(p.add, at + i, p.d - i);
		struct vec x = look(p.x, rx), dy = look(p.dy, rdy), gamma = look(p.gamma, rgamma);

		for (int k = 0; k < VEC; k++)
			x.f[k] = rstd * (dy.f[k] * gamma.f[k] - one - (x.f[k] - mean) * rstd * two);
		put_v(p.y, at + i, p.d - i, add_sum(p.y, x, p.add, radd));
	}
}

static struct grid layer_grid(const struct layer_args *a)
{
	struct grid g = { a->d ? blocks_of(a->rows, ROWS) : 0, 1, THREADS, 1 };

	return g;
}

void cuda_layer_norm(const struct call *c, struct lane *l)
{
	struct span x = span_of(&c->in[0]);
	const int64_t *dim = c->in[0].dim;
	struct layer_args a = { span_of(&c->out[0]), x, x, span_of(&c->in[1]), span_of(&c->in[2]),
				span_of(&c->out[1]), { NULL, DT_F32 }, NULL, dim[0] * dim[1] * dim[2],
				dim[3], c->n->at.norm.eps };

	LAUNCH(l, layer_rows, layer_grid(&a), a);
}

size_t cuda_layer_norm_dx_scratch(const struct node *n, const struct graph *g)
{
	struct tiles t = sums_tiles(1, n->dim[0] * n->dim[1] * n->dim[2], n->dim[3]);

	(void)g;
	return sums_bytes(&t);
}

void cuda_layer_norm_dx(const struct call *c, struct lane *l)
{
	struct span dy = span_of(&c->in[0]), x = span_of(&c->in[1]), gamma = span_of(&c->in[2]);
	const int64_t *dim = c->in[1].dim;
	int64_t rows = dim[0] * dim[1] * dim[2];
	const float *stat = (const float *)c->in[3].at;
	struct view add = lane_joins(l, c);
	struct layer_args a = { span_of(&c->out[0]), x, dy, gamma, gamma, gamma, span_of(&add), stat, rows,
				dim[3], 0 };
	struct sums_args s = { sums_tiles(1, rows, dim[3]), x, dy, gamma, gamma, stat,
			       (float *)c->scratch, 1, dim[3], SUM_LAYER, ACT_NONE };

	if (c->out[1].at || c->out[2].at)
		sums_launch(l, &s);
	sums_settle(l, &s, span_of(&c->out[1]), span_of(&c->out[2]), 0);
	LAUNCH(l, layer_rows_dx, layer_grid(&a), a);
}
