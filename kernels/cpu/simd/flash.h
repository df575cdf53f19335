/*
 * What attention forward and backward share: micro-kernels and packing.
 *
 * A panel is [row][NR] floats: its NR = 2 VF lanes are tokens, its rows are channels of a head or
 * tokens of the other kind. With one side of every product across lanes, the softmax needs no
 * sums across lanes, and what one product leaves in a panel is what the next one reads, unpacked.
 * `vecs` (1 or 2) is how many vectors of a panel are in use.
 *
 * Rows that are broadcast come as "strips": row i at step k is a[k * lda + i]. Packed strips are
 * [rows / MR][d][MR] (lda = MR); a matrix whose rows are the steps is a strip as it lies.
 */
#ifndef CPU_SIMD_FLASH_H
#define CPU_SIMD_FLASH_H

#include "kernels/cpu/simd/exp2.h"
#include "kernels/cpu/simd/gemm.h"
#include "kernels/cpu/simd/share.h"

enum strip_end { STRIP_SET, STRIP_ADD, STRIP_SCALE };

/* C[i][lane] = (C, or by[lane] C, or 0) + sum_k a[k lda + i] B[k][lane] */
struct strip {
	const float *a, *b;
	int64_t lda, k;
	float *c;               /* a panel */
	enum strip_end end;
	const float *by;        /* [NR], of STRIP_SCALE */
	float *top;             /* [NR] of STRIP_SET, or NULL: becomes max(top, C) */
};

/* Any number of rows. */
#define strips_run ISA_NAME(strips_run)
void strips_run(struct strip s, int64_t rows, int vecs);

/*
 * C[i][n] += sum_k A[i][k] B[k][n], A in panels of [a_rows][NR], n < d, C and B ld apart (d
 * rounded up to VF).
 */
#define panels_run ISA_NAME(panels_run)
void panels_run(const float *a, int64_t a_rows, const float *b, int64_t k, float *c, int64_t ld,
		int64_t rows);

/*
 * `tokens` rows of d floats, ld apart, times `by`, -> panel [d][NR]; lanes without a token are 0.
 */
#define pack_lanes ISA_NAME(pack_lanes)
void pack_lanes(float *panel, const float *x, int64_t ld, int64_t tokens, int64_t d, float by);
/* The way back; lane i is multiplied by by[i]. */
#define unpack_lanes ISA_NAME(unpack_lanes)
void unpack_lanes(float *y, int64_t ld, const float *panel, const float *by,
		  int64_t tokens, int64_t d);
/* `tokens` rows -> strips [tokens / MR][d][MR]; missing rows of the last strip are 0. */
#define pack_strips ISA_NAME(pack_strips)
void pack_strips(float *strips, const float *x, int64_t ld, int64_t tokens, int64_t d);

struct heads {                  /* the shape of one attention */
	int64_t pairs;          /* pictures times heads; pair p is
				 * head p % heads of picture p / heads */
	int64_t heads, tq, tk, d;
	int64_t ld;             /* heads * d: from token to token */
	float scale;
	int causal;
};

static inline struct heads heads_of(const struct node *n, const int64_t q[MAX_DIM],
				    const int64_t k[MAX_DIM])
{
	struct heads s = { .heads = n->at.attention.heads, .ld = q[3],
			   .scale = n->at.attention.scale, .causal = n->at.attention.causal };

	s.pairs = q[0] * s.heads;
	s.tq = q[1] * q[2];
	s.tk = k[1] * k[2];
	s.d = s.ld / s.heads;
	return s;
}

/* Where token 0 of pair p lies in a tensor with t tokens a picture. */
static inline int64_t pair_at(const struct heads *s, int64_t p, int64_t t)
{
	return p / s->heads * t * s->ld + p % s->heads * s->d;
}

#define LN2   0.69314718055994530942f

#endif
