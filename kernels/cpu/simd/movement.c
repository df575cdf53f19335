/* Ops that move values: casts, upsampling, and slices and concatenation along c. */
#include "kernels/cpu/simd/share.h"
#include "kernels/cpu/narrow.h"

#include <string.h>

KERNEL(cast)
{
	narrow_cast(&c->out[0], &c->in[0]);
}

KERNEL(upsample)
{
	const float *x = in_f32(c, 0);
	float *y = out_f32(c, 0);
	const int64_t *from = c->in[0].dim, *to = c->out[0].dim;
	int64_t width = to[3];

	PAR_FOR(view_count(&c->out[0]))
	for (int64_t r = 0; r < to[0] * to[1]; r++) {
		int64_t n = r / to[1], i = r % to[1] * from[1] / to[1];
		const float *row = x + (n * from[1] + i) * from[2] * width;
		for (int64_t j = 0; j < to[2]; j++)
			memcpy(y + (r * to[2] + j) * width, row + j * from[2] / to[2] * width,
			       (size_t)width * sizeof *y);
	}
}

/* i runs over the rows of `large` that were copied from row `at` of `small`. */
static int64_t first_copy(int64_t at, int64_t small, int64_t large)
{
	return (at * large + small - 1) / small;
}

static void gather(float *dx, const float *dy, int64_t stride, int64_t i0, int64_t i1, int64_t j0,
		   int64_t j1,
		   int64_t width)
{
	memset(dx, 0, (size_t)width * sizeof *dx);
	for (int64_t i = i0; i < i1; i++)
		for (int64_t j = j0; j < j1; j++) {
			const float *row = dy + i * stride + j * width;
#pragma omp simd
			for (int64_t w = 0; w < width; w++)
				dx[w] += row[w];
		}
}

KERNEL(upsample_dx)
{
	const float *dy = in_f32(c, 0);
	float *dx = out_f32(c, 0);
	const int64_t *large = c->in[0].dim, *small = c->out[0].dim;
	int64_t width = small[3], stride = large[2] * width;

	PAR_FOR(view_count(&c->in[0]))
	for (int64_t r = 0; r < small[0] * small[1]; r++) {
		int64_t n = r / small[1], i = r % small[1];
		int64_t i0 = first_copy(i, small[1], large[1]),
			i1 = first_copy(i + 1, small[1], large[1]);
		for (int64_t j = 0; j < small[2]; j++)
			gather(dx + (r * small[2] + j) * width, dy + n * large[1] * stride,
			       stride, i0, i1,
			       first_copy(j, small[2], large[2]),
				first_copy(j + 1, small[2], large[2]), width);
	}
}

/* Copies `count` columns of every row; rows are `from_width` and `to_width` apart. */
static void copy_columns(float *to, int64_t to_width, const float *from, int64_t from_width,
			 int64_t count,
			 int64_t rows)
{
	int64_t group = max64(1, BLOCK / count);

	PAR_FOR(rows * count)
	for (int64_t b = 0; b < blocks_of(rows, group); b++)
		for (int64_t r = b * group; r < min64(rows, (b + 1) * group); r++)
			memcpy(to + r * to_width, from + r * from_width,
			       (size_t)count * sizeof *to);
}

KERNEL(concat)
{
	int64_t a = c->in[0].dim[3], b = c->in[1].dim[3], rows = view_count(&c->out[0]) / (a + b);
	float *y = out_f32(c, 0);

	copy_columns(y, a + b, in_f32(c, 0), a, a, rows);
	copy_columns(y + a, a + b, in_f32(c, 1), b, b, rows);
}

KERNEL(slice)
{
	int64_t width = c->in[0].dim[3], count = c->out[0].dim[3];

	copy_columns(out_f32(c, 0), count, in_f32(c, 0) + c->n->at.slice.from, width, count,
		     view_count(&c->out[0]) / count);
}

KERNEL(pad_slice)
{
	const float *dy = in_f32(c, 0);
	float *dx = out_f32(c, 0);
	int64_t count = c->in[0].dim[3], width = c->out[0].dim[3],
		rows = view_count(&c->out[0]) / width;
	int64_t from = c->n->at.slice.from, group = max64(1, BLOCK / width);

	PAR_FOR(rows * width)
	for (int64_t b = 0; b < blocks_of(rows, group); b++)
		for (int64_t r = b * group; r < min64(rows, (b + 1) * group); r++) {
			float *row = dx + r * width;
			memset(row, 0, (size_t)from * sizeof *row);
			memcpy(row + from, dy + r * count, (size_t)count * sizeof *row);
			memset(row + from + count, 0, (size_t)(width - from - count) * sizeof *row);
		}
}
