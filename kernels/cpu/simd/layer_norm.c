/* Layer norm and its backward: a row stays in the first-level cache between its passes. */
#include "kernels/cpu/simd/share.h"
#include "kernels/cpu/simd/vec.h"

static float row_mean(const float *x, int64_t c)
{
	vf a = vf_zero(), b = vf_zero();
	int64_t i = 0;

	for (; i + 2 * VF <= c; i += 2 * VF) {
		a += vf_load(x + i);
		b += vf_load(x + i + VF);
	}
	for (; i < c; i += VF)
		a += vf_load_n(x + i, c - i);
	return vf_sum(a + b) / (float)c;
}

static float row_variance(const float *x, float mean, int64_t c)
{
	vf a = vf_zero(), b = vf_zero();
	int64_t i = 0;

	for (; i + 2 * VF <= c; i += 2 * VF) {
		vf p = vf_load(x + i) - mean, q = vf_load(x + i + VF) - mean;
		a += p * p;
		b += q * q;
	}
	for (; i + VF <= c; i += VF) {
		vf p = vf_load(x + i) - mean;
		a += p * p;
	}
	if (i < c) {
		/* lanes beyond the row would count as -mean */
		vf p = vf_select(vi_lanes() < vi_set((int32_t)(c - i)),
				 vf_load_n(x + i, c - i) - mean, vf_zero());
		a += p * p;
	}
	return vf_sum(a + b) / (float)c;
}

KERNEL(layer_norm)
{
	const float *x = in_f32(c, 0), *gamma = in_f32(c, 1), *beta = in_f32(c, 2);
	float *y = out_f32(c, 0), *stat = out_f32(c, 1);
	int64_t width = c->in[0].dim[3], count = view_count(&c->in[0]), rows = count / width;

	PAR_FOR(2 * count)
	for (int64_t r = 0; r < rows; r++) {
		const float *at = x + r * width;
		float mean = row_mean(at, width);
		float rstd = 1 / sqrtf(row_variance(at, mean, width) + c->n->at.norm.eps);

		for (int64_t i = 0; i < width; i += VF) {
			vf v = (vf_load_n(at + i, width - i) - mean) * rstd;
			v *= vf_load_n(gamma + i, width - i);
			vf_store_n(y + r * width + i,
				   v + vf_load_n(beta + i, width - i), width - i);
		}
		if (stat) {
			stat[2 * r] = mean;
			stat[2 * r + 1] = rstd;
		}
	}
}

/*
 * With h = (x - mean) rstd and q = dy gamma:  dx = rstd (q - mean of q - h mean of q h),
 * dgamma = sum of dy h, dbeta = sum of dy. The last two are made by runs of rows that follow from
 * the shape, [parts][2][c] in scratch.
 */
static int64_t parts_of(int64_t rows, int64_t c)
{
	return max64(1, min64(rows, max64(min64(32, rows * c / 16384), blocks_of(rows, 512))));
}

SCRATCH(layer_norm_dx)
{
	int64_t rows = n->dim[0] * n->dim[1] * n->dim[2], c = n->dim[3];

	(void)g;
	return (size_t)(parts_of(rows, c) * 2 * c) * sizeof(float);
}

static void row_dx(float *dx, const float *dy, const float *x, const float *gamma,
		   const float *stat, int64_t c)
{
	vf one = vf_zero(), two = vf_zero(), mean = vf_set(stat[0]), rstd = vf_set(stat[1]), k1, k2;

	for (int64_t i = 0; i < c; i += VF) {
		vf q = vf_load_n(dy + i, c - i) * vf_load_n(gamma + i, c - i);
		one += q;
		two += q * ((vf_load_n(x + i, c - i) - mean) * rstd);
	}
	k1 = vf_set(vf_sum(one) / (float)c);
	k2 = vf_set(vf_sum(two) / (float)c);
	for (int64_t i = 0; i < c; i += VF) {
		vf q = vf_load_n(dy + i, c - i) * vf_load_n(gamma + i, c - i);
		vf h = (vf_load_n(x + i, c - i) - mean) * rstd;
		vf_store_n(dx + i, rstd * (q - k1 - h * k2), c - i);
	}
}

/*
 * part is [2][c]: sums for dgamma and dbeta. A loop of its own, so that dx has the same bits
 * without it.
 */
static void row_parts(float *part, const float *dy, const float *x, const float *stat, int64_t c)
{
	vf mean = vf_set(stat[0]), rstd = vf_set(stat[1]);

	for (int64_t i = 0; i < c; i += VF) {
		vf grad = vf_load_n(dy + i, c - i), h = (vf_load_n(x + i, c - i) - mean) * rstd;

		vf_store_n(part + i, vf_load_n(part + i, c - i) + grad * h, c - i);
		vf_store_n(part + c + i, vf_load_n(part + c + i, c - i) + grad, c - i);
	}
}

static void add_parts(float *out, const float *part, int64_t parts, int64_t c)
{
	for (int64_t i = 0; out && i < c; i++) {
		double sum = 0;
		for (int64_t p = 0; p < parts; p++)
			sum += part[p * 2 * c + i];
		out[i] = (float)sum;
	}
}

KERNEL(layer_norm_dx)
{
	const float *dy = in_f32(c, 0), *x = in_f32(c, 1), *gamma = in_f32(c, 2),
		*stat = in_f32(c, 3);
	float *dx = out_f32(c, 0), *dgamma = out_f32(c, 1), *dbeta = out_f32(c, 2);
	int64_t width = c->in[1].dim[3], count = view_count(&c->in[1]), rows = count / width;
	int64_t parts = parts_of(rows, width);

	PAR_FOR(2 * count)
	for (int64_t p = 0; p < parts; p++) {
		float *part = dgamma || dbeta ? (float *)c->scratch + p * 2 * width : NULL;

		for (int64_t i = 0; part && i < 2 * width; i++)
			part[i] = 0;
		for (int64_t r = rows * p / parts; r < rows * (p + 1) / parts; r++) {
			row_dx(dx + r * width, dy + r * width, x + r * width, gamma,
			       stat + 2 * r, width);
			if (part)
				row_parts(part, dy + r * width, x + r * width, stat + 2 * r, width);
		}
	}
	add_parts(dgamma, c->scratch, parts, width);
	add_parts(dbeta, (float *)c->scratch + width, parts, width);
}
