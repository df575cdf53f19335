/*
 * Group norm, alone or with silu, and its backward: sums by channel (sums.h), folded into groups in
 * f64, then one pass that writes.
 *
 *	scratch   part [n][parts][2][c] | stat [n][groups][2] | fold [n][groups][2], all f32
 */
#include "kernels/cuda/sums.h"

#include <string.h>

struct norm_args {
	struct sums_args s;
	struct span y, stat_out, add;   /* stat_out.at NULL: not wanted; add.at NULL: nothing */
	float *stat, *fold;             /* fold: k1, k2 of the backward */
	float eps;
	int chunks;                     /* of WARP channels in a group */
};

#define LANES 8

/*
 * Mean and 1 / deviation of a group from its channels' sums: the spread within channels and that of
 * their means, each measured from the group's first value, so that a large mean costs nothing.
 */
KERNEL(settle_group, norm_args)
{
	SHARED(double, one, THREADS);
	SHARED(double, two, THREADS);
	SHARED(double, fold, 3 * WARP);
	const struct tiles *q = &p.s.t;
	int t = (int)threadIdx.x, x = t % WARP, y = t / WARP;
	int64_t n = quotient(blockIdx.x, p.s.groups), group = blockIdx.x - n * p.s.groups;
	int64_t c0 = group * p.s.width;
	double base = get(p.s.x, n * q->rows * q->c + c0), s1 = 0, s2 = 0, s3 = 0;

	for (int chunk = 0; chunk < p.chunks; chunk++) {
		int64_t i = (int64_t)chunk * WARP + x, c = c0 + i;
		double a = 0, b = 0;

		for (int64_t r = y; i < p.s.width && r < q->parts; r += LANES) {
			const float *at = p.s.part + (n * q->parts + r) * 2 * q->c + c;

			a += at[0];
			b += at[q->c];
		}
		one[t] = a;
		two[t] = b;
		__syncthreads();
		if (y == 0 && i < p.s.width) {
			double first, off;

			for (int k = 1; k < LANES; k++) {
				a += one[k * WARP + x];
				b += two[k * WARP + x];
			}
			first = a / (double)q->rows;
			off = get(p.s.x, n * q->rows * q->c + c) + first - base;
			s1 += off;
			s2 += off * off;
			s3 += b - first * a;
		}
		__syncthreads();
	}
	if (y == 0) {
		fold[x] = s1;
		fold[WARP + x] = s2;
		fold[2 * WARP + x] = s3;
	}
	__syncthreads();
	if (t == 0) {
		double width = (double)p.s.width, rows = (double)q->rows, spread;
		float mean, rstd;

		for (int k = 1; k < WARP; k++) {
			s1 += fold[k];
			s2 += fold[WARP + k];
			s3 += fold[2 * WARP + k];
		}
		spread = s3 + rows * (s2 - s1 * s1 / width);
		mean = (float)(base + s1 / width);
		rstd = (float)(1 / sqrt((spread > 0 ? spread : 0) / (rows * width) + p.eps));
		p.stat[blockIdx.x * 2] = mean;
		p.stat[blockIdx.x * 2 + 1] = rstd;
		if (p.stat_out.at) {
			put(p.stat_out, (int64_t)blockIdx.x * 2, mean);
			put(p.stat_out, (int64_t)blockIdx.x * 2 + 1, rstd);
		}
	}
}

/*
 * With e = x - mean, z = e rstd gamma + beta and dz = dy act'(z):
 *	dx = rstd gamma dz - k1 - k2 e,   N = elements of a group:
 *	k1 = rstd / N sum of gamma dz,    k2 = rstd^3 / N sum of gamma dz e
 */
KERNEL(settle_group_dx, norm_args)
{
	SHARED(double, part, THREADS);
	const struct tiles *q = &p.s.t;
	int64_t n = quotient(blockIdx.x, p.s.groups), group = blockIdx.x - n * p.s.groups;
	double one = 0, two = 0, rstd, count = (double)(q->rows * p.s.width);

	for (int64_t j = threadIdx.x; j < p.s.width * q->parts; j += THREADS) {
		int64_t r = quotient(j, p.s.width), c = group * p.s.width + j - r * p.s.width;
		const float *at = p.s.part + (n * q->parts + r) * 2 * q->c + c;
		double gamma = get(p.s.gamma, c);

		one += gamma * at[0];
		two += gamma * at[q->c];
	}
	one = block_sum(one, part);
	__syncthreads();
	two = block_sum(two, part);
	if (threadIdx.x)
		return;
	rstd = p.stat[blockIdx.x * 2 + 1];
	p.fold[blockIdx.x * 2] = (float)(rstd / count * one);
	p.fold[blockIdx.x * 2 + 1] = (float)(rstd * rstd * rstd / count * two);
}

/* Of VEC channels: mean, rstd gamma, beta, and for the backward k1, k2. */
struct coefs { struct vec mean, by, beta, k1, k2; };

DEV struct coefs coefs_of(const struct norm_args *p, const struct share *s, int dx)
{
	struct group g = group_of(&p->s, s);
	struct coefs m;

	m.by = get_v(p->s.gamma, s->c0, s->left);
	m.beta = get_v(p->s.beta, s->c0, s->left);
	for (int k = 0; k < VEC; k++) {
		m.mean.f[k] = p->stat[g.at * 2];
		m.by.f[k] *= p->stat[g.at * 2 + 1];
		m.k1.f[k] = dx ? p->fold[g.at * 2] : 0;
		m.k2.f[k] = dx ? p->fold[g.at * 2 + 1] : 0;
		group_next(&g, &p->s, s, k);
	}
	return m;
}

/* The next row is on its way while one is worked on. */
KERNEL(norm_rows, norm_args)
{
	struct share s = share_of(&p.s.t);
	struct coefs m;
	struct raw next;

	if (s.left <= 0 || s.from >= s.to)
		return;
	next = ask_v(p.s.x, s.from * p.s.t.c + s.c0, s.left);
	m = coefs_of(&p, &s, 0);
	for (int64_t row = s.from; row < s.to; row += p.s.t.ty) {
		struct raw now = next;
		struct vec x;

		if (row + p.s.t.ty < s.to)
			next = ask_v(p.s.x, (row + p.s.t.ty) * p.s.t.c + s.c0, s.left);
		x = look(p.s.x, now);
		for (int k = 0; k < VEC; k++)
			x.f[k] = (x.f[k] - m.mean.f[k]) * m.by.f[k] + m.beta.f[k];
		put_v(p.y, row * p.s.t.c + s.c0, s.left, activate_v(x, p.s.act));
	}
}

KERNEL(norm_rows_dx, norm_args)
{
	struct share s = share_of(&p.s.t);
	struct coefs m;
	struct two next;

	if (s.left <= 0 || s.from >= s.to)
		return;
	next = ask_two(&p.s, &s, s.from);
	m = coefs_of(&p, &s, 1);
	for (int64_t row = s.from; row < s.to; row += p.s.t.ty) {
		struct raw add = ask_sum(p.add, row * p.s.t.c + s.c0, s.left);
		struct two now = next;
		struct vec e, dz;

		if (row + p.s.t.ty < s.to)
			next = ask_two(&p.s, &s, row + p.s.t.ty);
		e = look(p.s.x, now.x);
		dz = look(p.s.dy, now.dy);
		for (int k = 0; k < VEC; k++)
			e.f[k] -= m.mean.f[k];
		dz = before_act(&p.s, dz, e, m.by, m.beta);
		for (int k = 0; k < VEC; k++)
			e.f[k] = m.by.f[k] * dz.f[k] - (m.k1.f[k] + m.k2.f[k] * e.f[k]);
		put_v(p.y, row * p.s.t.c + s.c0, s.left, add_sum(p.y, e, p.add, add));
	}
}

/*
 * A group of 16-bit numbers that shared memory holds is read once and done by one launch instead of three: the
 * smaller levels of a UNet. Thread t has vectors t, t + THREADS, ... of it, which no other thread looks at.
 */
#define HELD 5

struct held { int64_t at; int channel; };      /* at < 0: there is none */

DEV struct held held_of(const struct norm_args *p, int v)
{
	const struct tiles *q = &p->s.t;
	int64_t n = quotient(blockIdx.x, p->s.groups);
	unsigned pieces = (unsigned)p->s.width / VEC, i = (unsigned)v * THREADS + threadIdx.x, pixel = i / pieces;
	struct held h;

	h.channel = (int)((blockIdx.x - n * p->s.groups) * p->s.width) + (int)(i - pixel * pieces) * VEC;
	h.at = pixel < q->rows ? (n * q->rows + pixel) * q->c + h.channel : -1;
	return h;
}

/* All are asked for before the first is there. */
DEV void hold(const struct norm_args *p, struct span s, uint4 *kept)
{
	uint4 asked[HELD], none = { 0, 0, 0, 0 };

	UNROLL
	for (int v = 0; v < HELD; v++) {
		int64_t at = held_of(p, v).at;

		asked[v] = at < 0 ? none : *(const uint4 *)((const uint16_t *)s.at + at);
	}
	UNROLL
	for (int v = 0; v < HELD; v++)
		kept[v * THREADS + threadIdx.x] = asked[v];
}

DEV struct vec look_held(struct span s, const uint4 *kept, int v)
{
	uint4 a = kept[v * THREADS + threadIdx.x];
	struct raw r = { { a.x, a.y, a.z, a.w } };

	return look(s, r);
}

KERNEL(norm_held, norm_args)
{
	SHARED(double, part, THREADS);
	SHARED(uint4, kept, HELD * THREADS);
	int64_t n = quotient(blockIdx.x, p.s.groups), group = blockIdx.x - n * p.s.groups;
	float pivot = get(p.s.x, n * p.s.t.rows * p.s.t.c + group * p.s.width), mean, rstd, sum = 0, spread = 0;
	double count = (double)(p.s.t.rows * p.s.width);

	hold(&p, p.s.x, kept);
	ROLLED
	for (int v = 0; v < HELD && held_of(&p, v).at >= 0; v++) {
		struct vec x = look_held(p.s.x, kept, v);

		for (int k = 0; k < VEC; k++)
			sum += x.f[k] - pivot;
	}
	mean = (float)(pivot + block_sum_all(sum, part) / count);
	ROLLED
	for (int v = 0; v < HELD && held_of(&p, v).at >= 0; v++) {
		struct vec x = look_held(p.s.x, kept, v);

		for (int k = 0; k < VEC; k++)
			spread += (x.f[k] - mean) * (x.f[k] - mean);
	}
	rstd = (float)(1 / sqrt(block_sum_all(spread, part) / count + p.eps));
	ROLLED
	for (int v = 0; v < HELD; v++) {
		struct held h = held_of(&p, v);
		struct raw gamma, beta;
		struct vec x, by, up;

		if (h.at < 0)
			break;
		gamma = ask_v(p.s.gamma, h.channel, VEC);
		beta = ask_v(p.s.beta, h.channel, VEC);
		x = look_held(p.s.x, kept, v);
		by = look(p.s.gamma, gamma);
		up = look(p.s.beta, beta);
		for (int k = 0; k < VEC; k++)
			x.f[k] = (x.f[k] - mean) * (by.f[k] * rstd) + up.f[k];
		put_v(p.y, h.at, VEC, activate_v(x, p.s.act));
	}
	if (threadIdx.x == 0 && p.stat_out.at) {
		put(p.stat_out, (int64_t)blockIdx.x * 2, mean);
		put(p.stat_out, (int64_t)blockIdx.x * 2 + 1, rstd);
	}
}

/* gamma dz and e of a vector; see settle_group_dx. */
struct slopes { struct vec gdz, e; };

DEV struct slopes slopes_of(const struct norm_args *p, int channel, struct vec x, struct vec dy, float mean,
			    float rstd)
{
	struct raw gamma = ask_v(p->s.gamma, channel, VEC), beta = ask_v(p->s.beta, channel, VEC);
	struct vec by = look(p->s.gamma, gamma);
	struct slopes s;

	for (int k = 0; k < VEC; k++) {
		s.e.f[k] = x.f[k] - mean;
		by.f[k] *= rstd;
	}
	s.gdz = before_act(&p->s, dy, s.e, by, look(p->s.beta, beta));
	by = look(p->s.gamma, gamma);
	for (int k = 0; k < VEC; k++)
		s.gdz.f[k] *= by.f[k];
	return s;
}

/* Without dgamma and dbeta, which are sums over pictures. The first turn makes the sums, the second uses them. */
KERNEL(norm_held_dx, norm_args)
{
	SHARED(double, part, THREADS);
	SHARED(uint4, x, HELD * THREADS);
	SHARED(uint4, dy, HELD * THREADS);
	float mean = p.stat[blockIdx.x * 2], rstd = p.stat[blockIdx.x * 2 + 1], one = 0, two = 0, k1 = 0, k2 = 0;
	double count = (double)(p.s.t.rows * p.s.width);

	hold(&p, p.s.x, x);
	hold(&p, p.s.dy, dy);
	ROLLED
	for (int turn = 0; turn < 2; turn++) {
		ROLLED
		for (int v = 0; v < HELD; v++) {
			struct held h = held_of(&p, v);
			struct raw add;
			struct slopes s;

			if (h.at < 0)
				break;
			add = ask_sum(p.add, h.at, turn ? VEC : 0);
			s = slopes_of(&p, h.channel, look_held(p.s.x, x, v), look_held(p.s.dy, dy, v), mean, rstd);
			for (int k = 0; k < VEC; k++) {
				one += s.gdz.f[k];
				two += s.gdz.f[k] * s.e.f[k];
				s.e.f[k] = rstd * s.gdz.f[k] - (k1 + k2 * s.e.f[k]);
			}
			if (turn)
				put_v(p.y, h.at, VEC, add_sum(p.y, s.e, p.add, add));
		}
		if (turn)
			break;
		k1 = (float)(rstd / count * block_sum_all(one, part));
		k2 = (float)((double)rstd * rstd * rstd / count * block_sum_all(two, part));
	}
}

static int is_held(const struct norm_args *a)
{
	return a->s.width % VEC == 0 && a->s.t.rows * (a->s.width / VEC) <= HELD * THREADS &&
		a->s.x.type != DT_F32;
}

static size_t aligned(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

static struct norm_args norm_of(const struct node *n, void *scratch)
{
	struct norm_args a;
	struct sums_args *s = &a.s;
	char *at = (char *)scratch;

	memset(&a, 0, sizeof a);
	s->t = sums_tiles(n->dim[0], n->dim[1] * n->dim[2], n->dim[3]);
	s->groups = n->at.norm.groups;
	s->width = n->dim[3] / s->groups;
	s->act = (int)n->at.norm.act;
	a.chunks = (int)blocks_of(s->width, WARP);
	a.eps = n->at.norm.eps;
	if (!scratch)           /* only shapes are asked for, or there is nothing to do */
		return a;
	s->part = (float *)scratch;
	a.stat = (float *)(void *)(at + aligned(sums_bytes(&s->t)));
	a.fold = a.stat + n->dim[0] * s->groups * 2;
	return a;
}

size_t cuda_group_norm_scratch(const struct node *n, const struct graph *g)
{
	struct norm_args a = norm_of(n, NULL);

	(void)g;
	return aligned(sums_bytes(&a.s.t)) + (size_t)(n->dim[0] * a.s.groups * 4) * sizeof(float);
}

size_t cuda_group_norm_dx_scratch(const struct node *n, const struct graph *g)
{
	return cuda_group_norm_scratch(n, g);
}

/* The last pass: as sums, but shorter runs, since nothing is kept of them. */
static struct grid rows_grid(struct norm_args *a)
{
	a->s.t = tiles_of(a->s.t.pictures, a->s.t.rows, a->s.t.c, INT32_MAX);
	return tiles_grid(&a->s.t);
}

static struct grid groups_grid(const struct norm_args *a)
{
	struct grid g = { a->s.t.pictures * a->s.groups, 1, THREADS, 1 };

	return g;
}

void cuda_group_norm(const struct call *c, struct lane *l)
{
	struct norm_args a = norm_of(c->n, c->scratch);
	struct grid g;

	if (!view_count(&c->in[0]))
		return;
	a.s.what = SUM_PIVOT;
	a.s.x = span_of(&c->in[0]);
	a.s.gamma = span_of(&c->in[1]);
	a.s.beta = span_of(&c->in[2]);
	a.y = span_of(&c->out[0]);
	a.stat_out = span_of(&c->out[1]);
	if (is_held(&a)) {
		LAUNCH(l, norm_held, groups_grid(&a), a);
		return;
	}
	sums_launch(l, &a.s);
	LAUNCH(l, settle_group, groups_grid(&a), a);
	g = rows_grid(&a);
	LAUNCH(l, norm_rows, g, a);
}

void cuda_group_norm_dx(const struct call *c, struct lane *l)
{
	struct norm_args a = norm_of(c->n, c->scratch);
	struct view add = lane_joins(l, c);
	struct grid g;

	a.s.what = SUM_GROUP;
	a.add = span_of(&add);
	a.s.dy = span_of(&c->in[0]);
	a.s.x = span_of(&c->in[1]);
	a.s.gamma = span_of(&c->in[2]);
	a.s.beta = span_of(&c->in[3]);
	a.s.stat = a.stat = (float *)c->in[4].at;
	a.y = span_of(&c->out[0]);
	if (is_held(&a) && a.s.dy.type == a.s.x.type && !c->out[1].at && !c->out[2].at) {
		LAUNCH(l, norm_held_dx, groups_grid(&a), a);
		return;
	}
	sums_launch(l, &a.s);
	sums_settle(l, &a.s, span_of(&c->out[1]), span_of(&c->out[2]), 1);
	if (!view_count(&c->in[0]))
		return;
	LAUNCH(l, settle_group_dx, groups_grid(&a), a);
	g = rows_grid(&a);
	LAUNCH(l, norm_rows_dx, g, a);
}
