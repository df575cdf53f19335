/*
 * Group norm, alone or with silu, and its backward. Rows are pixels, and what belongs to a group is
 * contiguous in each; so sums are made by channel, over `parts` runs of rows that follow from the
 * shape, and folded into groups afterwards, in f64.
 *
 * Scratch: sums by channel [n][parts][2][c], then COEFS rows of coefficients by channel
 * [n][COEFS][c].
 */
#include "kernels/cpu/simd/exp2.h"
#include "kernels/cpu/simd/share.h"

#include <omp.h>

#define COEFS 4

/* How a loop is compiled: with silu, and for numbers of channels that fill whole vectors. */
enum { SILU = 1, WHOLE = 2 };

/* Lanes i.. of a row of n. */
INLINE vf get(const float *row, int64_t i, int64_t n, int kind)
{
	return kind & WHOLE ? vf_load(row + i) : vf_load_n(row + i, n - i);
}

INLINE void put(float *row, int64_t i, int64_t n, vf x, int kind)
{
	if (kind & WHOLE)
		vf_store(row + i, x);
	else
		vf_store_n(row + i, x, n - i);
}

/* f(..., kind) with `kind` a constant. */
#define BY_KIND(kind, f, ...) \
	switch (kind) { \
	case 0: f(__VA_ARGS__, 0); break; \
	case SILU: f(__VA_ARGS__, SILU); break; \
	case WHOLE: f(__VA_ARGS__, WHOLE); break; \
	default: f(__VA_ARGS__, SILU | WHOLE); break; \
	}

struct group_norm {
	int64_t pictures, rows, c;      /* rows = h w */
	int64_t groups, width;          /* width = c / groups */
	int64_t parts;
	float *sums, *coefs;
	const float *x, *gamma, *beta;
	int kind;
};

/* A run is some 16384 elements, but no more than 32 runs unless they get longer than 512 rows. */
static int64_t parts_of(int64_t rows, int64_t c)
{
	return max64(1, max64(min64(32, rows * c / 16384), blocks_of(rows, 512)));
}

static struct group_norm group_norm_of(const struct node *n)
{
	struct group_norm s = { .pictures = n->dim[0], .rows = n->dim[1] * n->dim[2],
				.c = n->dim[3], .groups = n->at.norm.groups };

	if (n->at.norm.act != ACT_SILU && n->at.norm.act != ACT_NONE)
		BUG("'%s' knows silu or nothing, not activation %d", op_info[n->op].name, n->at.norm.act);
	s.kind = (n->at.norm.act == ACT_SILU ? SILU : 0) | (s.c % VF ? 0 : WHOLE);
	s.width = s.c / s.groups;
	s.parts = parts_of(s.rows, s.c);
	return s;
}

static size_t group_norm_scratch(const struct node *n)
{
	struct group_norm s = group_norm_of(n);

	return (size_t)(s.pictures * s.c * (2 * s.parts + COEFS)) * sizeof(float);
}

static void place(struct group_norm *s, float *scratch)
{
	s->sums = scratch;
	s->coefs = scratch + s->pictures * s->parts * 2 * s->c;
}

/* Run w % parts of picture w / parts: rows from..to. */
static int64_t run_from(const struct group_norm *s, int64_t w)
{
	return w / s->parts * s->rows + s->rows * (w % s->parts) / s->parts;
}

static int64_t run_to(const struct group_norm *s, int64_t w)
{
	return w / s->parts * s->rows + s->rows * (w % s->parts + 1) / s->parts;
}

/*
 * Sums of x - p and (x - p)^2, where p is the picture's first pixel: taking off a value of about
 * the right size keeps the variance exact when the mean is large.
 */
INLINE void sum_rows(const float *x, int64_t c, int rows, const float *pivot, float *sum,
		     float *square, int kind)
{
	for (int64_t i = 0; i < c; i += VF) {
		vf p = get(pivot, i, c, kind), a = get(x, i, c, kind) - p, b = a * a;

		for (int k = 1; k < rows; k++) {
			vf y = get(x + k * c, i, c, kind) - p;
			a += y;
			b += y * y;
		}
		put(sum, i, c, get(sum, i, c, kind) + a, kind);
		put(square, i, c, get(square, i, c, kind) + b, kind);
	}
}

INLINE void sum_run(const struct group_norm *s, int64_t w, int kind)
{
	const float *pivot = s->x + w / s->parts * s->rows * s->c;
	float *sum = s->sums + w * 2 * s->c, *square = sum + s->c;
	int64_t r = run_from(s, w), to = run_to(s, w), c = s->c;

	for (int64_t i = 0; i < 2 * c; i++)
		sum[i] = 0;
	for (; r + 4 <= to; r += 4)
		sum_rows(s->x + r * c, c, 4, pivot, sum, square, kind);
	for (; r < to; r++)
		sum_rows(s->x + r * c, c, 1, pivot, sum, square, kind);
}

/* Sum `which` (0 or 1) of channel i of picture n, over the runs in order. */
static double channel_sum(const struct group_norm *s, int64_t n, int which, int64_t i)
{
	const float *at = s->sums + (n * s->parts * 2 + which) * s->c + i;
	double sum = 0;

	for (int64_t p = 0; p < s->parts; p++)
		sum += at[p * 2 * s->c];
	return sum;
}

/*
 * Mean and 1 / deviation of a group from its channels' sums: the spread within channels and that of
 * their means. Coefficients: 0 mean, 1 rstd gamma.
 */
static void settle_group(const struct group_norm *s, int64_t n, int64_t group, float eps,
			 float *stat)
{
	const float *pivot = s->x + n * s->rows * s->c;
	float *coef = s->coefs + n * COEFS * s->c;
	double mean = 0, spread = 0, rstd;
	int64_t from = group * s->width, to = from + s->width;

	for (int64_t i = from; i < to; i++) {
		double first = channel_sum(s, n, 0, i) / (double)s->rows;
		spread += channel_sum(s, n, 1, i) - first * first * (double)s->rows;
		coef[i] = (float)first;
		mean += pivot[i] + first;
	}
	mean /= (double)s->width;
	for (int64_t i = from; i < to; i++) {
		double off = pivot[i] + (double)coef[i] - mean;
		spread += off * off * (double)s->rows;
	}
	rstd = 1 / sqrt(fmax(spread, 0) / (double)(s->rows * s->width) + eps);
	for (int64_t i = from; i < to; i++) {
		coef[i] = (float)mean;
		coef[s->c + i] = (float)rstd * s->gamma[i];
	}
	if (stat) {
		stat[(n * s->groups + group) * 2] = (float)mean;
		stat[(n * s->groups + group) * 2 + 1] = (float)rstd;
	}
}

INLINE void norm_rows(const struct group_norm *s, int64_t w, float *y, int kind)
{
	const float *mean = s->coefs + w / s->parts * COEFS * s->c, *by = mean + s->c;
	int64_t c = s->c;

	for (int64_t r = run_from(s, w); r < run_to(s, w); r++)
		for (int64_t i = 0; i < c; i += VF) {
			vf e = get(s->x + r * c, i, c, kind) - get(mean, i, c, kind);
			vf z = e * get(by, i, c, kind) + get(s->beta, i, c, kind);
			put(y + r * c, i, c, kind & SILU ? z * sigmoid_fast(z) : z, kind);
		}
}

SCRATCH(group_norm)
{
	(void)g;
	return group_norm_scratch(n);
}

KERNEL(group_norm)
{
	struct group_norm s = group_norm_of(c->n);
	float *y = out_f32(c, 0), *stat = out_f32(c, 1), eps = c->n->at.norm.eps;

	s.x = in_f32(c, 0);
	s.gamma = in_f32(c, 1);
	s.beta = in_f32(c, 2);
	place(&s, c->scratch);
#pragma omp parallel if (s.pictures * s.rows * s.c >= PAR_MIN / 2)
	{
#pragma omp for schedule(static)
		for (int64_t w = 0; w < s.pictures * s.parts; w++)
			BY_KIND(s.kind, sum_run, &s, w)
#pragma omp for schedule(static)
		for (int64_t w = 0; w < s.pictures * s.groups; w++)
			settle_group(&s, w / s.groups, w % s.groups, eps, stat);
#pragma omp for schedule(static)
		for (int64_t w = 0; w < s.pictures * s.parts; w++)
			BY_KIND(s.kind, norm_rows, &s, w, y)
	}
}

/* ---- backward ---- */

/*
 * With e = x - mean, z = e rstd gamma + beta and dz = dy act'(z):
 *	dbeta = sum of dz         dgamma = rstd sum of dz e      (by channel, over pictures)
 *	dx = rstd gamma dz - k1 - k2 e,   N = elements of a group:
 *	k1 = rstd / N sum of gamma dz,    k2 = rstd^3 / N sum of gamma dz e      (by group)
 * Coefficients: 0 mean, 1 rstd gamma, 2 k1, 3 k2.
 */
INLINE vf inner(vf dy, vf e, vf by, vf beta, int kind)
{
	vf z, s;

	if (!(kind & SILU))
		return dy;
	z = e * by + beta;
	s = sigmoid_fast(z);
	return dy * (s + z * s * (1.0f - s));
}

INLINE void sum_run_dx(const struct group_norm *s, int64_t w, const float *dy, int kind)
{
	const float *mean = s->coefs + w / s->parts * COEFS * s->c, *by = mean + s->c;
	float *sum = s->sums + w * 2 * s->c, *product = sum + s->c;
	int64_t from = run_from(s, w), to = run_to(s, w), c = s->c;

	for (int64_t i = 0; i < 2 * c; i++)
		sum[i] = 0;
	for (int64_t r = from; r < to; r += 4) {
		int rows = (int)min64(4, to - r);
		for (int64_t i = 0; i < c; i += VF) {
			vf a = get(sum, i, c, kind), b = get(product, i, c, kind);
			vf m = get(mean, i, c, kind), f = get(by, i, c, kind),
				beta = get(s->beta, i, c, kind);
			for (int k = 0; k < rows; k++) {
				vf e = get(s->x + (r + k) * c, i, c, kind) - m;
				vf dz = inner(get(dy + (r + k) * c, i, c, kind), e, f, beta, kind);
				a += dz;
				b += dz * e;
			}
			put(sum, i, c, a, kind);
			put(product, i, c, b, kind);
		}
	}
}

INLINE void norm_rows_dx(const struct group_norm *s, int64_t w, const float *dy,
			 float *dx, int kind)
{
	const float *mean = s->coefs + w / s->parts * COEFS * s->c, *by = mean + s->c;
	const float *k1 = by + s->c, *k2 = k1 + s->c;
	int64_t c = s->c;

	for (int64_t r = run_from(s, w); r < run_to(s, w); r++)
		for (int64_t i = 0; i < c; i += VF) {
			vf e = get(s->x + r * c, i, c, kind) - get(mean, i, c, kind),
				f = get(by, i, c, kind);
			vf dz = inner(get(dy + r * c, i, c, kind), e, f,
				      get(s->beta, i, c, kind), kind);
			vf shift = get(k1, i, c, kind) + get(k2, i, c, kind) * e;
			put(dx + r * c, i, c, f * dz - shift, kind);
		}
}

static void spread_stat(const struct group_norm *s, int64_t n, const float *stat)
{
	float *coef = s->coefs + n * COEFS * s->c;

	for (int64_t i = 0; i < s->c; i++) {
		const float *at = stat + (n * s->groups + i / s->width) * 2;
		coef[i] = at[0];
		coef[s->c + i] = at[1] * s->gamma[i];
	}
}

static void settle_group_dx(const struct group_norm *s, int64_t n, int64_t group, const float *stat)
{
	float *k1 = s->coefs + (n * COEFS + 2) * s->c, *k2 = k1 + s->c;
	double rstd = stat[(n * s->groups + group) * 2 + 1], one = 0, two = 0;
	double share = 1 / (double)(s->rows * s->width);

	for (int64_t i = group * s->width; i < (group + 1) * s->width; i++) {
		one += s->gamma[i] * channel_sum(s, n, 0, i);
		two += s->gamma[i] * channel_sum(s, n, 1, i);
	}
	for (int64_t i = group * s->width; i < (group + 1) * s->width; i++) {
		k1[i] = (float)(rstd * share * one);
		k2[i] = (float)(rstd * rstd * rstd * share * two);
	}
}

static void settle_weights(const struct group_norm *s, int64_t group, const float *stat,
			   float *dgamma, float *dbeta)
{
	for (int64_t i = group * s->width; i < (group + 1) * s->width; i++) {
		double gamma = 0, beta = 0;
		for (int64_t n = 0; n < s->pictures; n++) {
			if (dbeta)
				beta += channel_sum(s, n, 0, i);
			if (dgamma)
				gamma += stat[(n * s->groups + group) * 2 + 1] *
					channel_sum(s, n, 1, i);
		}
		if (dgamma)
			dgamma[i] = (float)gamma;
		if (dbeta)
			dbeta[i] = (float)beta;
	}
}

SCRATCH(group_norm_dx)
{
	(void)g;
	return group_norm_scratch(n);
}

KERNEL(group_norm_dx)
{
	struct group_norm s = group_norm_of(c->n);
	const float *dy = in_f32(c, 0), *stat = in_f32(c, 4);
	float *dx = out_f32(c, 0), *dgamma = out_f32(c, 1), *dbeta = out_f32(c, 2);

	s.x = in_f32(c, 1);
	s.gamma = in_f32(c, 2);
	s.beta = in_f32(c, 3);
	place(&s, c->scratch);
#pragma omp parallel if (s.pictures * s.rows * s.c >= PAR_MIN / 2)
	{
#pragma omp for schedule(static)
		for (int64_t n = 0; n < s.pictures; n++)
			spread_stat(&s, n, stat);
#pragma omp for schedule(static)
		for (int64_t w = 0; w < s.pictures * s.parts; w++)
			BY_KIND(s.kind, sum_run_dx, &s, w, dy)
#pragma omp for schedule(static)
		for (int64_t w = 0; w < s.pictures * s.groups; w++)
			settle_group_dx(&s, w / s.groups, w % s.groups, stat);
#pragma omp for schedule(static) nowait
		for (int64_t w = 0; w < s.pictures * s.parts; w++)
			BY_KIND(s.kind, norm_rows_dx, &s, w, dy, dx)
#pragma omp for schedule(static)
		for (int64_t group = 0; group < s.groups; group++)
			if (dgamma || dbeta)
				settle_weights(&s, group, stat, dgamma, dbeta);
	}
}
