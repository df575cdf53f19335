/* Loss, the gradient's norm and the optimizer: single passes over memory. */
#include "kernels/cpu/simd/share.h"

#include <math.h>

/*
 * Within a block of BLOCK elements f32 lanes would do, but the sums decide about clipping and are
 * compared between machines: f64 costs nothing here, memory is what is waited for.
 */
static double squares(const float *x, int64_t n)
{
	double sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	return sum;
}

static double squared_difference(const float *p, const float *t, int64_t n)
{
	double sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t i = 0; i < n; i++) {
		float d = p[i] - t[i];
		sum += (double)d * d;
	}
	return sum;
}

SCRATCH(sumsq)
{
	return (size_t)blocks_of(node_count(&g->node[n->in[0]]), BLOCK) * sizeof(double);
}

KERNEL(sumsq)
{
	const float *x = in_f32(c, 0);
	int64_t n = view_count(&c->in[0]), blocks = blocks_of(n, BLOCK);
	double *part = c->scratch, sum = 0;

	PAR_FOR(n)
	for (int64_t b = 0; b < blocks; b++)
		part[b] = squares(x + b * BLOCK, min64(BLOCK, n - b * BLOCK));
	for (int64_t b = 0; b < blocks; b++)
		sum += part[b];
	*out_f32(c, 0) = (float)sum;
}

SCRATCH(mse)
{
	const struct node *p = &g->node[n->in[0]];
	int64_t each = node_count(p) / max64(p->dim[0], 1);

	return (size_t)(p->dim[0] * blocks_of(each, BLOCK)) * sizeof(double);
}

KERNEL(mse)
{
	const float *p = in_f32(c, 0), *target = in_f32(c, 1), *weight = in_f32(c, 2);
	int64_t count = view_count(&c->in[0]), pictures = c->in[0].dim[0], each = count / pictures;
	int64_t blocks = blocks_of(each, BLOCK);
	double *part = c->scratch, loss = 0;

	PAR_FOR(count)
	for (int64_t b = 0; b < pictures * blocks; b++) {
		int64_t from = b % blocks * BLOCK, at = b / blocks * each + from;
		part[b] = squared_difference(p + at, target + at, min64(BLOCK, each - from));
	}
	for (int64_t n = 0; n < pictures; n++) {
		double sum = 0;
		for (int64_t b = 0; b < blocks; b++)
			sum += part[n * blocks + b];
		loss += weight[n] * (sum / (double)each);
	}
	*out_f32(c, 0) = (float)loss;
}

KERNEL(mse_dx)
{
	const float *p = in_f32(c, 0), *target = in_f32(c, 1), *weight = in_f32(c, 2),
		*dloss = in_f32(c, 3);
	float *dp = out_f32(c, 0);
	int64_t count = view_count(&c->in[0]), each = count / c->in[0].dim[0],
		blocks = blocks_of(each, BLOCK);

	PAR_FOR(count)
	for (int64_t b = 0; b < c->in[0].dim[0] * blocks; b++) {
		int64_t n = b / blocks, from = b % blocks * BLOCK, to = min64(each, from + BLOCK);
		float by = (float)(2.0 * dloss[0] * weight[n] / (double)each);
#pragma omp simd
		for (int64_t i = n * each + from; i < n * each + to; i++)
			dp[i] = by * (p[i] - target[i]);
	}
}

struct adamw {
	float clip, keep, b1, b2, rate, root, eps;      /* root = 1 / sqrt(c2), rate = lr / c1 */
};

static struct adamw adamw_of(const float *h, const float *norm2)
{
	float clip = 1;

	if (h[7] > 0)
		clip = fminf(1, h[7] / (sqrtf(*norm2) * h[8] + 1e-6f));
	return (struct adamw){
		.clip = clip * h[8], .keep = (float)(1 - (double)h[0] * h[4]), .b1 = h[1], .b2 = h[2],
		.rate = (float)((double)h[0] / h[5]), .root = (float)(1 / sqrt(h[6])), .eps = h[3],
	};
}

static void adamw_rows(struct adamw a, float *w, const float *grad, float *m, float *v, int64_t n)
{
	float r1 = 1 - a.b1, r2 = 1 - a.b2;

#pragma omp simd
	for (int64_t i = 0; i < n; i++) {
		float g = grad[i] * a.clip;
		float mi = a.b1 * m[i] + r1 * g, vi = a.b2 * v[i] + r2 * g * g;

		m[i] = mi;
		v[i] = vi;
		w[i] = w[i] * a.keep - a.rate * mi / (sqrtf(vi) * a.root + a.eps);
	}
}

KERNEL(adamw)
{
	float *w = state_f32(c, 0), *m = state_f32(c, 2), *v = state_f32(c, 3);
	const float *grad = in_f32(c, 1);
	struct adamw a = adamw_of(in_f32(c, 4), in_f32(c, 5));
	int64_t n = view_count(&c->in[0]);

	if (!isfinite(*in_f32(c, 5)))
		return;
	PAR_FOR(2 * n)
	for (int64_t at = 0; at < n; at += BLOCK)
		adamw_rows(a, w + at, grad + at, m + at, v + at, min64(BLOCK, n - at));
}

KERNEL(accum)
{
	float *s = state_f32(c, 0), by = c->n->at.accum.by;
	const float *grad = in_f32(c, 1);
	int64_t n = view_count(&c->in[0]);

	PAR_FOR(n)
	for (int64_t at = 0; at < n; at += BLOCK)
#pragma omp simd
		for (int64_t i = at; i < min64(n, at + BLOCK); i++)
			s[i] += by * grad[i];
}

KERNEL(ema)
{
	float *e = state_f32(c, 0), d = *in_f32(c, 2), r = 1 - d;
	const float *w = in_f32(c, 1);
	int64_t n = view_count(&c->in[0]);

	if (!isfinite(*in_f32(c, 3)))
		return;
	PAR_FOR(n)
	for (int64_t at = 0; at < n; at += BLOCK)
#pragma omp simd
		for (int64_t i = at; i < min64(n, at + BLOCK); i++)
			e[i] = d * e[i] + r * w[i];
}
