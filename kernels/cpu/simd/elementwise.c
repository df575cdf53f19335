/* Sums and products element by element, with repetition and its reverse. */
#include "kernels/cpu/simd/share.h"

#include <string.h>

KERNEL(fill)
{
	float *y = out_f32(c, 0), value = c->n->at.fill.value;
	int64_t n = view_count(&c->out[0]);

	PAR_FOR(n)
	for (int64_t b = 0; b < blocks_of(n, BLOCK); b++)
		for (int64_t i = b * BLOCK; i < min64(n, (b + 1) * BLOCK); i++)
			y[i] = value;
}

KERNEL(scale)
{
	const float *x = in_f32(c, 0);
	float *y = out_f32(c, 0), by = c->n->at.scale.by;
	int64_t n = view_count(&c->out[0]);

	PAR_FOR(n)
	for (int64_t b = 0; b < blocks_of(n, BLOCK); b++)
#pragma omp simd
		for (int64_t i = b * BLOCK; i < min64(n, (b + 1) * BLOCK); i++)
			y[i] = by * x[i];
}

/*
 * Sides of a tensor next to each other that are both repeated, or both not, are one side. `step` is
 * how far the small tensor moves along a side, 0 where it is repeated.
 */
struct sides {
	int n;
	int64_t size[MAX_DIM], step[MAX_DIM];
};

static struct sides sides_of(const int64_t big[MAX_DIM], const int64_t small[MAX_DIM])
{
	struct sides s = { 0 };
	int64_t step = 1;

	for (int i = MAX_DIM - 1; i >= 0; i--) {
		int repeated = small[i] != big[i];
		if (big[i] == 1)
			continue;
		if (s.n && repeated == !s.step[s.n - 1]) {
			s.size[s.n - 1] *= big[i];
		} else {
			s.size[s.n] = big[i];
			s.step[s.n++] = repeated ? 0 : step;
		}
		step *= small[i];
	}
	if (!s.n) {
		s.size[0] = s.step[0] = 1;
		s.n = 1;
	}
	return s;               /* innermost first */
}

/* Where the small tensor's row lies that belongs to row r of the big one. */
static int64_t row_at(const struct sides *s, int64_t r)
{
	int64_t at = 0;

	for (int i = 1; i < s->n; i++) {
		at += r % s->size[i] * s->step[i];
		r /= s->size[i];
	}
	return at;
}

static void add_rows(float *y, const float *a, const float *b, int repeated, int64_t n)
{
	if (repeated) {
		float v = *b;
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			y[i] = a[i] + v;
		return;
	}
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		y[i] = a[i] + b[i];
}

static void mul_rows(float *y, const float *a, const float *b, int repeated, int64_t n)
{
	if (repeated) {
		float v = *b;
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			y[i] = a[i] * v;
		return;
	}
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		y[i] = a[i] * b[i];
}

typedef void row_op(float *y, const float *a, const float *b, int repeated, int64_t n);

static void repeat(const struct call *c, row_op *op)
{
	const float *a = in_f32(c, 0), *b = in_f32(c, 1);
	float *y = out_f32(c, 0);
	struct sides s = sides_of(c->in[0].dim, c->in[1].dim);
	int64_t count = view_count(&c->out[0]), width = s.size[0], rows = count / width;
	int64_t pieces = blocks_of(width, BLOCK), group = max64(1, BLOCK / width);

	/* wide rows are cut into pieces, narrow rows taken together */
	PAR_FOR(count)
	for (int64_t w = 0; w < blocks_of(rows, group) * pieces; w++) {
		int64_t from = w % pieces * BLOCK, n = min64(BLOCK, width - from);
		for (int64_t r = w / pieces * group; r < min64(rows, (w / pieces + 1) * group); r++)
			op(y + r * width + from, a + r * width + from, b + row_at(&s, r) +
			   from * s.step[0],
			   !s.step[0], n);
	}
}

KERNEL(add)
{
	repeat(c, add_rows);
}

KERNEL(mul)
{
	repeat(c, mul_rows);
}

/*
 * sum_to sees x as [k0][r0][k1][r1][k2], y as [k0][k1][k2]; the sums over r0 and r1 are cut into
 * `parts` runs of rows, each a partial result in scratch, added up in f64 and in order. Four sides
 * that alternate always fit, with sizes of 1 where there is nothing.
 */
struct fold {
	int64_t k0, r0, k1, r1, k2, parts;
};

static struct fold fold_of(const int64_t x[MAX_DIM], const int64_t y[MAX_DIM])
{
	struct sides s = sides_of(x, y);
	int64_t size[5] = { 1, 1, 1, 1, 1 };
	int at = s.step[0] ? 0 : 1;     /* k2 or r1 first */
	struct fold f;

	for (int i = 0; i < s.n; i++)
		size[at++] = s.size[i];
	f = (struct fold){ .k2 = size[0], .r1 = size[1], .k1 = size[2], .r0 = size[3],
			   .k0 = size[4] };
	f.parts = f.r0 * f.r1 * f.k2 / BLOCK;
	f.parts = max64(1, min64(f.parts, min64(64, f.r0 * f.r1)));
	return f;
}

SCRATCH(sum_to)
{
	struct fold f = fold_of(g->node[n->in[0]].dim, n->dim);

	return (size_t)(f.k0 * f.k1 * f.k2 * f.parts) * sizeof(float);
}

static float row_sum(const float *x, int64_t n)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (int64_t i = 0; i < n; i++)
		sum += x[i];
	return sum;
}

/* Rows `from` to `to` of the r0 x r1 rows that belong to (i0, i1); out[k2]. */
static void fold_rows(const struct fold *f, const float *x, int64_t i0, int64_t i1, int64_t from,
		      int64_t to,
		      float *out)
{
	memset(out, 0, (size_t)f->k2 * sizeof *out);
	while (from < to) {
		int64_t j0 = from / f->r1, j1 = from % f->r1, run = min64(to - from, f->r1 - j1);
		const float *row = x + (((i0 * f->r0 + j0) * f->k1 + i1) * f->r1 + j1) * f->k2;

		from += run;
		if (f->k2 == 1) {
			for (; run > 0; run -= 1024, row += 1024)
				*out += row_sum(row, min64(run, 1024));
			continue;
		}
		for (; run > 0; run--, row += f->k2)
#pragma omp simd
			for (int64_t i = 0; i < f->k2; i++)
				out[i] += row[i];
	}
}

KERNEL(sum_to)
{
	const float *x = in_f32(c, 0);
	float *y = out_f32(c, 0), *part = c->scratch;
	struct fold f = fold_of(c->in[0].dim, c->out[0].dim);
	int64_t count = view_count(&c->in[0]), outs = f.k0 * f.k1, rows = f.r0 * f.r1, width = f.k2;

	PAR_FOR(count)
	for (int64_t w = 0; w < outs * f.parts; w++) {
		int64_t o = w / f.parts, p = w % f.parts;
		fold_rows(&f, x, o / f.k1, o % f.k1, rows * p / f.parts, rows * (p + 1) / f.parts,
			  part + w * width);
	}
	PAR_FOR(outs * f.parts * width)
	for (int64_t o = 0; o < outs; o++)
		for (int64_t i = 0; i < width; i++) {
			double sum = 0;
			for (int64_t p = 0; p < f.parts; p++)
				sum += part[(o * f.parts + p) * width + i];
			y[o * width + i] = (float)sum;
		}
}
