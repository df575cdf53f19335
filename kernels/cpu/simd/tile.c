/*
 * The micro-kernel: a tile of MR x 2 vectors of C in registers. One function for each number of
 * rows and vectors, from one source with both as constants.
 *
 * The inner step must stay in this form: an array of accumulators whose every index is a constant
 * after unrolling, a broadcast of A kept in a register of its own (KEEP; otherwise gcc folds the
 * broadcast into both multiplications and loads twice), and a loop over k that is not unrolled.
 * Both gcc and clang then reach the peak.
 */
#include "kernels/cpu/simd/gemm.h"

#ifdef __clang__
#define ROLLED _Pragma("clang loop unroll(disable)")
#else
#define ROLLED _Pragma("GCC unroll 1")
#endif

/* c += a column of A (rows `row` floats apart) times a row of B. */
INLINE void step(vf c[MR][2], const float *a, int row, const float *b, int rows, int vecs)
{
	vf b0 = vf_load(b), b1 = vecs > 1 ? vf_load(b + VF) : vf_zero();

	__builtin_prefetch(b + vecs * VF * 8);
	if (vecs > 1 && VF == 16)
		__builtin_prefetch(b + vecs * VF * 8 + VF);
	UNROLL for (int i = 0; i < rows; i++) {
		vf x = vf_set(a[i * row]);
		KEEP(x);
		c[i][0] += x * b0;
		if (vecs > 1)
			c[i][1] += x * b1;
	}
}

INLINE void finish(const struct tile *t, vf c[MR][2], int rows, int vecs)
{
	int last = t->tail;
	vf bias[2] = { vf_zero(), vf_zero() };

	if (t->bias) {
		bias[0] = vf_load_n(t->bias, vecs > 1 ? VF : last);
		if (vecs > 1)
			bias[1] = vf_load_n(t->bias + VF, last);
	}
	UNROLL for (int i = 0; i < rows; i++) {
		UNROLL for (int j = 0; j < vecs; j++) {
			float *p = t->c + i * t->ldc + j * VF;
			int n = j < vecs - 1 ? VF : last;

			if (t->add)
				c[i][j] += vf_load_n(p, n);
			if (t->bias)
				c[i][j] += bias[j];
			if (t->res)
				c[i][j] += vf_load_n(t->res + i * t->ldr + j * VF, n);
			vf_store_n(p, c[i][j], n);
		}
	}
}

INLINE void tile_run(const struct tile *t, enum a_form form, int rows, int vecs)
{
	const float *a = t->a, *b = t->b;
	int64_t k = t->k;
	vf c[MR][2];

	UNROLL for (int i = 0; i < rows; i++) {
		c[i][0] = c[i][1] = vf_zero();
		__builtin_prefetch(t->c + i * t->ldc, 1);
	}
	if (form == A_ROWS) {
		ROLLED for (; k >= VF; k -= VF) {
			ROLLED for (int q = 0; q < VF; q++) {
				step(c, a + q, VF, b, rows, vecs);
				b += vecs * VF;
			}
			a += MR * VF;
		}
		ROLLED for (; k > 0; k--) {
			step(c, a, VF, b, rows, vecs);
			a++;
			b += vecs * VF;
		}
	} else {
		ROLLED for (; k > 0; k--) {
			step(c, a, 1, b, rows, vecs);
			a += MR;
			b += vecs * VF;
		}
	}
	finish(t, c, rows, vecs);
}

#define TILE(rows) \
	static void rows_1_##rows(const struct tile *t) { tile_run(t, A_ROWS, rows, 1); } \
	static void rows_2_##rows(const struct tile *t) { tile_run(t, A_ROWS, rows, 2); } \
	static void cols_1_##rows(const struct tile *t) { tile_run(t, A_COLS, rows, 1); } \
	static void cols_2_##rows(const struct tile *t) { tile_run(t, A_COLS, rows, 2); }

#if MR == 14
#define EACH(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14)
#elif MR == 6
#define EACH(F) F(1) F(2) F(3) F(4) F(5) F(6)
#else
#define EACH(F) F(1) F(2) F(3) F(4)
#endif
EACH(TILE)

#define R1(n) rows_1_##n,
#define R2(n) rows_2_##n,
#define C1(n) cols_1_##n,
#define C2(n) cols_2_##n,
tile_fn *const tile_fns[2][2][MR + 1] = {
	{ { 0, EACH(R1) }, { 0, EACH(R2) } },
	{ { 0, EACH(C1) }, { 0, EACH(C2) } },
};
