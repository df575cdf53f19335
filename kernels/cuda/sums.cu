/* Sums by channel: sums.h. */
#include "kernels/cuda/sums.h"

struct pair { struct vec a, b; };

/* What a row is measured by: of VEC channels, or of all (layer norm's changes with the row). */
struct measure { struct vec mean, by, beta; };

DEV struct measure measure_of(const struct sums_args *p, const struct share *s)
{
	struct measure m;

	if (p->what == SUM_PIVOT)
		m.mean = get_v(p->x, s->picture * p->t.rows * p->t.c + s->c0, s->left);
	if (p->what != SUM_GROUP)
		return m;
	m.by = get_v(p->gamma, s->c0, s->left);
	m.beta = get_v(p->beta, s->c0, s->left);
	for (int k = 0; k < VEC; k++) {
		int64_t g = k < s->left ? quotient(s->c0 + k, p->width) : 0;
		const float *stat = p->stat + (s->picture * p->groups + g) * 2;

		m.mean.f[k] = stat[0];
		m.by.f[k] *= stat[1];
	}
	return m;
}

DEV void add_row(const struct sums_args *p, const struct share *s, const struct measure *m, int64_t row,
		 struct pair *sum)
{
	int64_t at = row * p->t.c + s->c0;
	struct vec x = { { 0 } }, dy = { { 0 } };

	if (p->what != SUM_ONLY)
		x = get_v(p->x, at, s->left);
	if (p->what != SUM_PIVOT)
		dy = get_v(p->dy, at, s->left);
	for (int k = 0; k < VEC; k++) {
		float e, dz = dy.f[k];

		if (p->what == SUM_ONLY) {
			sum->a.f[k] += dz;
		} else if (p->what == SUM_LAYER) {
			e = (x.f[k] - p->stat[2 * row]) * p->stat[2 * row + 1];
			sum->a.f[k] += dz;
			sum->b.f[k] += dz * e;
		} else if (p->what == SUM_GROUP) {
			e = x.f[k] - m->mean.f[k];
			if (p->act != ACT_NONE)
				dz *= slope(e * m->by.f[k] + m->beta.f[k], p->act);
			sum->a.f[k] += dz;
			sum->b.f[k] += dz * e;
		} else {
			e = x.f[k] - m->mean.f[k];
			sum->a.f[k] += e;
			sum->b.f[k] += e * e;
		}
	}
}

KERNEL(sums_part, sums_args)
{
	SHARED(float, sums, 2 * VEC * THREADS);
	struct share s = share_of(&p.t);
	struct pair sum = { { { 0 } }, { { 0 } } };
	int all = p.t.tx * p.t.ty, t = (int)threadIdx.x;
	float *to = p.part + (s.picture * p.t.parts + s.part) * 2 * p.t.c;

	if (s.left > 0) {
		struct measure m = measure_of(&p, &s);

		for (int64_t row = s.from; row < s.to; row += p.t.ty)
			add_row(&p, &s, &m, row, &sum);
	}
	for (int k = 0; k < VEC; k++) {
		sums[k * all + t] = sum.a.f[k];
		sums[(VEC + k) * all + t] = sum.b.f[k];
	}
	__syncthreads();
	/* the ty threads of a channel, in order */
	for (int i = t; i < 2 * VEC * p.t.tx; i += all) {
		int k = i % VEC, which = i / VEC % 2, x = i / (2 * VEC);
		int64_t c = s.c0 + (int64_t)(x - s.x) * VEC + k;
		float total = 0;

		for (int y = 0; y < p.t.ty; y++)
			total += sums[(which * VEC + k) * all + y * p.t.tx + x];
		if (c < p.t.c)
			to[which * p.t.c + c] = total;
	}
}

struct settle_args {
	struct sums_args s;
	struct span second, first;
	int scaled;
};

#define LANES 8                 /* threads that share a channel's runs */

KERNEL(sums_end, settle_args)
{
	SHARED(double, one, THREADS);
	SHARED(double, two, THREADS);
	int t = (int)threadIdx.x, x = t % WARP, y = t / WARP;
	int64_t c = (int64_t)blockIdx.x * WARP + x, runs = p.s.t.pictures * p.s.t.parts;
	double a = 0, b = 0;

	for (int64_t r = y; c < p.s.t.c && r < runs; r += LANES) {
		const float *at = p.s.part + r * 2 * p.s.t.c + c;
		double by = 1;

		if (p.scaled)
			by = p.s.stat[(quotient(r, p.s.t.parts) * p.s.groups +
				       quotient(c, p.s.width)) * 2 + 1];
		a += at[0];
		b += by * at[p.s.t.c];
	}
	one[t] = a;
	two[t] = b;
	__syncthreads();
	if (y || c >= p.s.t.c)
		return;
	for (int k = 1; k < LANES; k++) {
		a += one[k * WARP + x];
		b += two[k * WARP + x];
	}
	if (p.first.at)
		put(p.first, c, (float)a);
	if (p.second.at)
		put(p.second, c, (float)b);
}

void sums_launch(struct lane *l, const struct sums_args *a)
{
	LAUNCH(l, sums_part, tiles_grid(&a->t), *a);
}

void sums_settle(struct lane *l, const struct sums_args *a, struct span second, struct span first,
		 int scaled)
{
	struct settle_args s = { *a, second, first, scaled };
	struct grid g = { blocks_of(a->t.c, WARP), 1, THREADS, 1 };

	if (first.at || second.at)
		LAUNCH(l, sums_end, g, s);
}

size_t cuda_bias_scratch(int64_t rows, int64_t k)
{
	struct tiles t = sums_tiles(1, rows, k);

	return sums_bytes(&t);
}

void cuda_bias(struct lane *l, struct view db, struct view dy, int64_t rows, int64_t k, void *scratch)
{
	struct span none = { NULL, DT_F32 }, y = span_of(&dy);
	struct sums_args a = { sums_tiles(1, rows, k), y, y, none, none, NULL, (float *)scratch, 1, k,
			       SUM_ONLY, ACT_NONE };

	sums_launch(l, &a);
	sums_settle(l, &a, none, span_of(&db), 0);
}
