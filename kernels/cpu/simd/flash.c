/* Micro-kernels and packing for attention. The inner loops follow the rules that tile.c states. */
#include "kernels/cpu/simd/flash.h"

#ifdef __clang__
#define ROLLED _Pragma("clang loop unroll(disable)")
#else
#define ROLLED _Pragma("GCC unroll 1")
#endif

/*
 * Whole vectors are stored: lanes without a token hold
 * harmless values, and panels have room for them.
 */
INLINE void strip_finish(const struct strip *s, vf c[MR][2], int rows, int vecs)
{
	UNROLL for (int j = 0; j < vecs; j++) {
		if (s->end == STRIP_SCALE) {
			vf by = vf_load(s->by + j * VF);
			UNROLL for (int i = 0; i < rows; i++)
				c[i][j] += by * vf_load(s->c + i * NR + j * VF);
		} else if (s->end == STRIP_ADD) {
			UNROLL for (int i = 0; i < rows; i++)
				c[i][j] += vf_load(s->c + i * NR + j * VF);
		} else if (s->top) {
			vf top = vf_load(s->top + j * VF);
			UNROLL for (int i = 0; i < rows; i++)
				top = vf_max(top, c[i][j]);
			vf_store(s->top + j * VF, top);
		}
		UNROLL for (int i = 0; i < rows; i++)
			vf_store(s->c + i * NR + j * VF, c[i][j]);
	}
}

INLINE void strip_run(const struct strip *s, int rows, int vecs)
{
	const float *a = s->a, *b = s->b;
	vf c[MR][2];

	UNROLL for (int i = 0; i < rows; i++)
		c[i][0] = c[i][1] = vf_zero();
	ROLLED for (int64_t k = s->k; k > 0; k--) {
		vf b0 = vf_load(b), b1 = vecs > 1 ? vf_load(b + VF) : vf_zero();
		UNROLL for (int i = 0; i < rows; i++) {
			vf x = vf_set(a[i]);
			KEEP(x);
			c[i][0] += x * b0;
			if (vecs > 1)
				c[i][1] += x * b1;
		}
		a += s->lda;
		b += NR;
	}
	strip_finish(s, c, rows, vecs);
}

struct rows {
	const float *a, *b;
	int64_t panel;          /* floats from panel to panel of a */
	int64_t k;              /* steps */
	int64_t ld;             /* floats from row to row of b and c */
	float *c;
};

/* With three vectors, so many rows leave registers for b and the broadcast. */
#if VF == 16
#define MR3 9
#else
#define MR3 4
#endif

INLINE void rows_run(const struct rows *t, int rows, int vecs)
{
	const float *b = t->b;
	vf c[MR][3];

	UNROLL for (int i = 0; i < rows; i++)
		UNROLL for (int j = 0; j < vecs; j++)
			c[i][j] = vf_load(t->c + i * t->ld + j * VF);
	ROLLED for (int64_t at = 0; at < t->k; at += NR) {
		const float *a = t->a + at / NR * t->panel;
		ROLLED for (int64_t k = min64(NR, t->k - at); k > 0; k--) {
			vf b0 = vf_load(b), b1 = vecs > 1 ? vf_load(b + VF) : b0,
				b2 = vecs > 2 ? vf_load(b + 2 * VF) : b0;
			UNROLL for (int i = 0; i < rows; i++) {
				vf x = vf_set(a[i * NR]);
				KEEP(x);
				c[i][0] += x * b0;
				if (vecs > 1)
					c[i][1] += x * b1;
				if (vecs > 2)
					c[i][2] += x * b2;
			}
			a++;
			b += t->ld;
		}
	}
	UNROLL for (int i = 0; i < rows; i++)
		UNROLL for (int j = 0; j < vecs; j++)
			vf_store(t->c + i * t->ld + j * VF, c[i][j]);
}

#define STRIP(n) \
	static void strip_1_##n(const struct strip *s) { strip_run(s, n, 1); } \
	static void strip_2_##n(const struct strip *s) { strip_run(s, n, 2); } \
	static void rows_1_##n(const struct rows *t) { rows_run(t, n, 1); } \
	static void rows_2_##n(const struct rows *t) { rows_run(t, n, 2); }
#define ROWS3(n) static void rows_3_##n(const struct rows *t) { rows_run(t, n, 3); }

#if VF == 16
#define EACH3(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9)
#define EACH(F) EACH3(F) F(10) F(11) F(12) F(13) F(14)
#else
#define EACH3(F) F(1) F(2) F(3) F(4)
#if VF == 8
#define EACH(F) EACH3(F) F(5) F(6)
#else
#define EACH(F) EACH3(F)
#endif
#endif
EACH(STRIP)
EACH3(ROWS3)

#define S1(n) strip_1_##n,
#define S2(n) strip_2_##n,
#define N1(n) rows_1_##n,
#define N2(n) rows_2_##n,
#define N3(n) rows_3_##n,
static void (*const strip_fns[2][MR + 1])(const struct strip *) = { { 0, EACH(S1) },
								    { 0, EACH(S2) } };
static void (*const rows_fns[3][MR + 1])(const struct rows *) = {
	{ 0, EACH(N1) }, { 0, EACH(N2) }, { 0, EACH3(N3) }
};

/* Rows a tile so that all tiles are about as tall: a short last one would wait for its own sums. */
static int64_t tile_rows(int64_t rows, int64_t most)
{
	return blocks_of(rows, blocks_of(rows, most));
}

void strips_run(struct strip s, int64_t rows, int vecs)
{
	/* packed strips are taken as they were packed */
	int64_t each = s.lda == MR && s.end == STRIP_SET ? MR : tile_rows(rows, MR);
	int64_t step = s.lda == MR && s.end == STRIP_SET ? MR * s.k : each;

	for (int64_t i = 0; i < rows; i += each) {
		strip_fns[vecs - 1][min64(each, rows - i)](&s);
		s.a += step;
		s.c += each * NR;
	}
}

void panels_run(const float *a, int64_t a_rows, const float *b, int64_t k, float *c, int64_t ld,
		int64_t rows)
{
	int64_t left = ld / VF;

	while (left > 0) {
		int vecs = left == 3 || (left % 2 && left > 3) ? 3 : (int)min64(left, 2);
		int64_t each = tile_rows(rows, vecs == 3 ? MR3 : MR);

		for (int64_t i = 0; i < rows; i += each) {
			struct rows t = { a + i * NR, b, a_rows * NR, k, ld, c + i * ld };
			rows_fns[vecs - 1][min64(each, rows - i)](&t);
		}
		left -= vecs;
		b += vecs * VF;
		c += vecs * VF;
	}
}

/* Column `at` of up to VF rows, as rows; those that are missing are 0. */
INLINE void load_block(vf r[VF], const float *x, int64_t ld, int64_t tokens, int64_t left)
{
	if (tokens >= VF && left >= VF) {
		UNROLL for (int i = 0; i < VF; i++)
			r[i] = vf_load(x + i * ld);
	} else {
		UNROLL for (int i = 0; i < VF; i++)
			r[i] = i < tokens ? vf_load_n(x + i * ld, left) : vf_zero();
	}
	vf_transpose(r);
}

void pack_lanes(float *panel, const float *x, int64_t ld, int64_t tokens, int64_t d, float by)
{
	vf r[VF];

	for (int v = 0; v < 2; v++)
		for (int64_t at = 0; at < d; at += VF) {
			load_block(r, x + v * VF * ld + at, ld, tokens - v * VF, d - at);
			for (int i = 0; i < min64(VF, d - at); i++)
				vf_store(panel + (at + i) * NR + v * VF, by * r[i]);
		}
}

void unpack_lanes(float *y, int64_t ld, const float *panel, const float *by,
		  int64_t tokens, int64_t d)
{
	vf r[VF];

	for (int v = 0; v * VF < tokens; v++)
		for (int64_t at = 0; at < d; at += VF) {
			UNROLL for (int i = 0; i < VF; i++)
				r[i] = i < d - at ?
					vf_load(panel + (at + i) * NR + v * VF) : vf_zero();
			vf scale = vf_load(by + v * VF);
			UNROLL for (int i = 0; i < VF; i++)
				r[i] *= scale;
			vf_transpose(r);
			for (int i = 0; i < min64(VF, tokens - v * VF); i++)
				vf_store_n(y + (v * VF + i) * ld + at, r[i], d - at);
		}
}

void pack_strips(float *strips, const float *x, int64_t ld, int64_t tokens, int64_t d)
{
	vf r[VF];

	for (int64_t t = 0; t < tokens; t += MR, strips += MR * d, x += MR * ld)
		for (int64_t at = 0; at < d; at += VF) {
			load_block(r, x + at, ld, min64(MR, tokens - t), d - at);
			/* a whole vector reaches into the next column, which is written after it */
			for (int i = 0; i < min64(VF, d - at); i++)
				vf_store_n(strips + (at + i) * MR, r[i], at + i < d - 1 ? VF : MR);
		}
}
