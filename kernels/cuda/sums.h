/*
 * Sums by channel over rows [n][rows][c]: what norms and their gradients, and the gradient of a bias,
 * are made of. A block takes a run of rows of a tile of channels, each thread VEC channels of every
 * ty-th row; so what is read is contiguous. Two sums are kept for each run and channel:
 *
 *	part [n][parts][2][c]
 *
 * Which two, is `what`:
 *	SUM_PIVOT     e = x - (the picture's first pixel):   e and e^2
 *	SUM_GROUP     e = x - mean:  dz and dz e;  dz = dy act'(e rstd gamma + beta), stat by picture and group
 *	SUM_LAYER     dy and dy (x - mean) rstd, stat by row
 *	SUM_ONLY      dy and 0
 */
#ifndef CUDA_SUMS_H
#define CUDA_SUMS_H

#include "kernels/cuda/act.h"
#include "kernels/cuda/sides.h"

enum { SUM_PIVOT, SUM_GROUP, SUM_LAYER, SUM_ONLY };

struct tiles {                  /* how rows and channels are shared out */
	int64_t pictures, rows, c, parts, tiles;
	int tx, ty;
};

struct sums_args {
	struct tiles t;
	struct span x, dy, gamma, beta;
	const float *stat;      /* [..][2] mean, rstd */
	float *part;
	int64_t groups, width;  /* width = c / groups */
	int what, act;
};

/* What this thread works on: `left` of VEC channels from c0 on, rows from..to by ty. */
struct share { int64_t picture, part, c0, left, from, to; int x, y; };

DEV struct share share_of(const struct tiles *t)
{
	struct share s;
	int64_t run = quotient(blockIdx.x, t->tiles), tile = blockIdx.x - run * t->tiles, pieces;

	s.x = (int)threadIdx.x % t->tx;
	s.y = (int)threadIdx.x / t->tx;
	s.picture = quotient(run, t->parts);
	s.part = run - s.picture * t->parts;
	pieces = tile * t->tx + s.x;
	s.c0 = pieces * VEC;
	s.left = t->c - s.c0;
	s.from = s.picture * t->rows + t->rows * s.part / t->parts + s.y;
	s.to = s.picture * t->rows + t->rows * (s.part + 1) / t->parts;
	return s;
}

/* `each`: rows that a thread should take about. */
static inline struct tiles tiles_of(int64_t pictures, int64_t rows, int64_t c, int each, int64_t most)
{
	struct tiles t;
	int64_t pieces = max64(1, blocks_of(c, VEC));

	t.pictures = pictures;
	t.rows = rows;
	t.c = c;
	t.tx = (int)blocks_of(pieces, blocks_of(pieces, WARP));
	t.ty = THREADS / t.tx;
	t.tiles = blocks_of(pieces, t.tx);
	t.parts = max64(1, min64(most, rows / (t.ty * each)));
	return t;
}

static inline struct grid tiles_grid(const struct tiles *t)
{
	struct grid g = { t->c ? t->pictures * t->parts * t->tiles : 0, 1, t->tx * t->ty, 1 };

	return g;
}

static inline size_t sums_bytes(const struct tiles *t)
{
	return (size_t)(t->pictures * t->parts * 2 * t->c) * sizeof(float);
}

/* 256 runs a picture at most. */
static inline struct tiles sums_tiles(int64_t pictures, int64_t rows, int64_t c)
{
	return tiles_of(pictures, rows, c, 4, 256);
}

#ifdef __CUDACC__
extern "C" {
#endif
void sums_launch(struct lane *l, const struct sums_args *a);
/*
 * second[c] and first[c]: the sums over all runs and pictures, where given (at not NULL); of the
 * second ones, those of picture n and group g times stat's rstd, if `scaled`.
 */
void sums_settle(struct lane *l, const struct sums_args *a, struct span second, struct span first,
		 int scaled);
#ifdef __CUDACC__
}
#endif

#endif
