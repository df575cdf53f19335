/*
 * Inside one instruction set's build: matrix products in packed pieces.
 *
 *	C[m][n] = sum_k A[m][k] B[k][n] (+ bias[n]) (+ res[m][n])
 *
 * A piece of A ("panel") holds MR rows, a piece of B NR = 2 VF columns; a tile of C is MR x NR and
 * stays in registers while k runs. K is cut into blocks of at most KC by its own length alone, and
 * every element of C is summed by one thread in ascending k, so the result depends neither on the
 * number of threads nor on how rows and columns were dealt out.
 *
 * Packed forms:
 *	B       [panel][k][NR], the last panel [k][VF] if VF columns are enough; missing columns 0
 *	A_ROWS  [panel][k / VF][MR][VF]: vectors of rows whose k is contiguous, copied
 *	A_COLS  [panel][k][MR]: for sources whose rows are contiguous
 */
#ifndef CPU_SIMD_GEMM_H
#define CPU_SIMD_GEMM_H

#include "kernels/cpu/simd/share.h"
#include "kernels/cpu/simd/vec.h"

#if VF == 16
#define MR 14
#elif VF == 8
#define MR 6
#else
#define MR 4
#endif
#define NR (2 * VF)
#define KC 320                          /* a multiple of VF */
#define MC (MR * (336 / MR))            /* rows packed at a time: KC MC floats fit the L2 cache */
#define SMALL_WORK (1 << 19)            /* multiply-adds: below, one thread is faster */

enum a_form { A_ROWS, A_COLS };

struct tile {
	const float *a, *b;             /* packed panels */
	int64_t k;
	float *c;
	int64_t ldc;
	int add;                        /* onto what is in c */
	int tail;                       /* columns in the last vector, 1..VF */
	const float *bias;              /* of these columns, or NULL */
	const float *res;               /* these rows and columns, or NULL */
	int64_t ldr;
};

typedef void tile_fn(const struct tile *t);

/* [form][vectors of columns - 1][rows] */
#define tile_fns ISA_NAME(tile_fns)
extern tile_fn *const tile_fns[2][2][MR + 1];

/* A convolution's input as a matrix: row = pixel (n, i, j) of oh x ow, column = (r, s, c). */
struct im2col {
	int64_t h, w, c;                /* of the pictures */
	int64_t oh, ow;
	int64_t r, s;                   /* filter sides */
	int64_t stride, top, left;
};

/*
 * Where an operand's elements are. FORM_ROWS: element (k, i) at i ld + k; FORM_COLS: at k ld + i.
 * FORM_IM2COL: see above (i or k is the pixel, whichever the operand needs). FORM_TAPS, only B:
 * k = (r, s, k'), the row at k' ld + tap[r s].
 */
enum form { FORM_ROWS, FORM_COLS, FORM_IM2COL, FORM_TAPS };

#define MAX_TAPS 256                    /* filters up to 16 x 16 */

struct operand {
	const float *at;
	enum form form;
	int64_t ld;
	const struct im2col *conv;
	const int64_t *tap;             /* FORM_TAPS */
	int64_t per_tap;
};

/*
 * A: FORM_ROWS or FORM_IM2COL (packed as A_ROWS), FORM_COLS (A_COLS). B: all forms; FORM_IM2COL has
 * k = pixel. The residual may be C itself. Small results of long sums: K is cut into parts (by
 * shape), each summed on its own and then added in order.
 */
struct product {
	int64_t m, n, k;
	struct operand a, b;
	float *c;
	int64_t ldc;
	const float *bias, *res;
	int64_t ldr;
	void *scratch;
};

#define product_run     ISA_NAME(product_run)
#define product_scratch ISA_NAME(product_scratch)
#define pack_a          ISA_NAME(pack_a)
#define pack_b          ISA_NAME(pack_b)
#define column_sums     ISA_NAME(column_sums)
#define column_scratch  ISA_NAME(column_scratch)

void product_run(const struct product *p);
size_t product_scratch(int64_t m, int64_t n, int64_t k);

/* Rows [i, i + rows), rows <= MR, of A; writes up to VF - MR floats beyond the panel in A_COLS. */
void pack_a(const struct operand *a, int64_t i, int64_t rows, int64_t k0, int64_t kc, float *dst);
/* Columns [j, j + cols), cols <= NR, of B. */
void pack_b(const struct operand *b, int64_t j, int64_t cols, int64_t k0, int64_t kc, float *dst);

/* out[c] = sum over m rows of x[m][n]; in blocks of rows, then over the blocks. */
void column_sums(const float *x, int64_t m, int64_t n, float *out, void *scratch);
size_t column_scratch(int64_t m, int64_t n);

static inline int64_t round_up(int64_t n, int64_t to)
{
	return (n + to - 1) / to * to;
}

/* Floats from one k to the next in a packed panel of B with this many columns. */
static inline int64_t panel_width(int64_t cols)
{
	return cols > VF ? NR : VF;
}

/* The part of n units that part t of T gets: [share(n, t, T), share(n, t + 1, T)). */
static inline int64_t share(int64_t n, int64_t t, int64_t of)
{
	return n * t / of;
}

#endif
