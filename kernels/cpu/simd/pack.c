/*
 * Packing: from where the operands lie into the panels that the micro-kernel reads.
 */
#include "kernels/cpu/simd/gemm.h"

/* Where a row of the grid begins in the pictures; pixels outside are known by y and x. */
struct spot {
	const float *picture;
	int64_t y, x;
};

static void spots_of(const struct operand *o, int64_t i, int64_t rows, struct spot *out)
{
	const struct im2col *v = o->conv;
	int64_t col = i % v->ow, row = i / v->ow % v->oh, n = i / v->ow / v->oh;

	for (int64_t q = 0; q < rows; q++) {
		out[q].picture = o->at + n * v->h * v->w * v->c;
		out[q].y = row * v->stride - v->top;
		out[q].x = col * v->stride - v->left;
		if (++col == v->ow) {
			col = 0;
			if (++row == v->oh) {
				row = 0;
				n++;
			}
		}
	}
}

/* The channels under tap (r, s), or NULL outside of the picture. */
INLINE const float *under(const struct im2col *v, const struct spot *at, int64_t r, int64_t s)
{
	int64_t y = at->y + r, x = at->x + s;

	if (y < 0 || y >= v->h || x < 0 || x >= v->w)
		return NULL;
	return at->picture + (y * v->w + x) * v->c;
}

/* n floats (zeros if from is NULL) to places pos, pos + 1, ... of one row of an A_ROWS panel. */
INLINE void put_row(float *dst, int64_t pos, const float *from, int64_t n)
{
	float *d = dst + pos / VF * (MR * VF);
	int64_t k = 0;

	if (pos % VF == 0) {
		if (from)
			for (; k + VF <= n; k += VF, d += MR * VF)
				vf_store(d, vf_load(from + k));
		else
			for (; k + VF <= n; k += VF, d += MR * VF)
				vf_store(d, vf_zero());
		if (k < n)
			vf_store(d, from ? vf_load_n(from + k, n - k) : vf_zero());
		return;
	}
	for (; k < n; k++, pos++)
		dst[pos / VF * (MR * VF) + pos % VF] = from ? from[k] : 0;
}

static void a_im2col(const struct operand *a, int64_t i, int64_t rows, int64_t k0, int64_t kc,
		     float *dst)
{
	const struct im2col *v = a->conv;
	struct spot at[MR];
	int64_t tap = k0 / v->c, c = k0 % v->c, r = tap / v->s, s = tap % v->s;

	spots_of(a, i, rows, at);
	for (int64_t pos = 0; pos < kc; ) {
		int64_t n = min64(v->c - c, kc - pos);

		for (int64_t q = 0; q < rows; q++) {
			const float *from = under(v, &at[q], r, s);

			put_row(dst + q * VF, pos, from ? from + c : NULL, n);
		}
		pos += n;
		c = 0;
		if (++s == v->s) {
			s = 0;
			r++;
		}
	}
}

void pack_a(const struct operand *a, int64_t i, int64_t rows, int64_t k0, int64_t kc, float *dst)
{
	if (a->form == FORM_IM2COL) {
		a_im2col(a, i, rows, k0, kc, dst);
	} else if (a->form == FORM_ROWS) {
		for (int64_t q = 0; q < rows; q++)
			put_row(dst + q * VF, 0, a->at + (i + q) * a->ld + k0, kc);
	} else {
		const float *from = a->at + k0 * a->ld + i;

		for (int64_t k = 0; k < kc; k++)
			vf_store(dst + k * MR, vf_load_n(from + k * a->ld, rows));
	}
}

/* VF columns whose k is contiguous: transposed, VF at a time. */
static void b_rows(const float *at, int64_t ld, int64_t cols, int64_t kc, float *dst, int64_t width)
{
	vf r[VF];

	for (int64_t k = 0; k < kc; k += VF) {
		int64_t n = min64(VF, kc - k);

		if (cols >= VF && n == VF)
			UNROLL for (int j = 0; j < VF; j++)
				r[j] = vf_load(at + j * ld + k);
		else
			UNROLL for (int j = 0; j < VF; j++)
				r[j] = j < cols ? vf_load_n(at + j * ld + k, n) : vf_zero();
		vf_transpose(r);
		if (n == VF)
			UNROLL for (int j = 0; j < VF; j++)
				vf_store(dst + (k + j) * width, r[j]);
		else
			for (int64_t j = 0; j < n; j++)
				vf_store(dst + (k + j) * width, r[j]);
	}
}

/* One row of a panel: `cols` floats, then zeros up to the width. */
INLINE void put_columns(float *dst, const float *from, int64_t cols, int64_t width)
{
	if (cols == NR) {
		vf_store(dst, vf_load(from));
		vf_store(dst + VF, vf_load(from + VF));
		return;
	}
	vf_store(dst, vf_load_n(from, cols));
	if (width > VF)
		vf_store(dst + VF, vf_load_n(from + VF, cols - VF));
}

static void b_taps(const struct operand *b, int64_t j, int64_t cols, int64_t k0, int64_t kc,
		   float *dst)
{
	int64_t tap = k0 / b->per_tap, q = k0 % b->per_tap, width = panel_width(cols);

	for (int64_t k = 0; k < kc; k++, dst += width) {
		put_columns(dst, b->at + q * b->ld + b->tap[tap] + j, cols, width);
		if (++q == b->per_tap) {
			q = 0;
			tap++;
		}
	}
}

/* k = pixel; the columns [j, j + cols) may reach over several taps. */
static void b_im2col(const struct operand *b, int64_t j, int64_t cols, int64_t k0, int64_t kc,
		     float *dst)
{
	const struct im2col *v = b->conv;
	int64_t width = panel_width(cols);
	struct spot at[32];

	for (int64_t k = 0; k < kc; k += 32) {
		int64_t rows = min64(32, kc - k), tap = j / v->c, c = j % v->c;

		spots_of(b, k0 + k, rows, at);
		for (int64_t q = 0; q < width; ) {
			int64_t n = q < cols ? min64(v->c - c, cols - q) : width - q;
			float *d = dst + k * width + q;

			for (int64_t p = 0; p < rows; p++, d += width) {
				const float *from =
					q < cols ? under(v, &at[p], tap / v->s, tap % v->s) : NULL;
				int64_t u = 0;

				if (from)
					for (; u + VF <= n; u += VF)
						vf_store(d + u, vf_load(from + c + u));
				else
					for (; u + VF <= n; u += VF)
						vf_store(d + u, vf_zero());
				for (; u < n; u++)
					d[u] = from ? from[c + u] : 0;
			}
			q += n;
			c = 0;
			tap++;
		}
	}
}

void pack_b(const struct operand *b, int64_t j, int64_t cols, int64_t k0, int64_t kc, float *dst)
{
	int64_t width = panel_width(cols);

	switch (b->form) {
	case FORM_ROWS:
		for (int64_t q = 0; q < width; q += VF)
			b_rows(b->at + (j + q) * b->ld + k0, b->ld, cols - q, kc, dst + q, width);
		break;
	case FORM_COLS:
		for (int64_t k = 0; k < kc; k++)
			put_columns(dst + k * width, b->at + (k0 + k) * b->ld + j, cols, width);
		break;
	case FORM_TAPS:
		b_taps(b, j, cols, k0, kc, dst);
		break;
	case FORM_IM2COL:
		b_im2col(b, j, cols, k0, kc, dst);
		break;
	}
}
