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

/* Channel c0 + k's group, of all pictures' groups; c0's first. */
struct group { int64_t at, channel; };

DEV struct group group_of(const struct sums_args *p, const struct share *s)
{
	int64_t g = quotient(s->c0, p->width);
	struct group first = { s->picture * p->groups + g, s->c0 - g * p->width };

	return first;
}

/* Behind the last channel it stays. */
DEV void group_next(struct group *g, const struct sums_args *p, const struct share *s, int k)
{
	if (k + 1 < s->left && ++g->channel == p->width) {
		g->channel = 0;
		g->at++;
	}
}

/* A row of x and dy, both asked for before one is looked at. */
struct two { struct raw x, dy; };

DEV struct two ask_two(const struct sums_args *p, const struct share *s, int64_t row)
{
	struct two v;

	v.x = ask_v(p->x, row * p->t.c + s->c0, s->left);
	v.dy = ask_v(p->dy, row * p->t.c + s->c0, s->left);
	return v;
}

/* dz of a group norm's gradient, see SUM_GROUP: dy before the activation. */
DEV struct vec before_act(const struct sums_args *p, struct vec dy, struct vec e, struct vec by, struct vec beta)
{
	if (p->act == ACT_NONE)
		return dy;
	for (int k = 0; k < VEC; k++)
		e.f[k] = e.f[k] * by.f[k] + beta.f[k];
	e = slope_v(e, p->act);
	for (int k = 0; k < VEC; k++)
		dy.f[k] *= e.f[k];
	return dy;
}

/* Blocks that keep a large device busy for several turns: with more of them, threads take more rows. */
#define ENOUGH 1024

/* A thread takes 4 rows about, or up to 16, so that what it does before and after them counts less. */
static inline struct tiles tiles_of(int64_t pictures, int64_t rows, int64_t c, int64_t most)
{
	struct tiles t;
	int64_t pieces = max64(1, blocks_of(c, VEC)), each = 4;

	t.pictures = pictures;
	t.rows = rows;
	t.c = c;
	t.tx = (int)blocks_of(pieces, blocks_of(pieces, WARP));
	t.ty = THREADS / t.tx;
	t.tiles = blocks_of(pieces, t.tx);
	while (each < 16 && pictures * t.tiles * rows / (t.ty * each * 2) >= ENOUGH)
		each *= 2;
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
	return tiles_of(pictures, rows, c, 256);
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
