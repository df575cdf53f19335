/* Sums by channel: sums.h. */
#include "kernels/cuda/sums.h"

struct pair { struct vec a, b; };

/* What a row is measured by: of VEC channels, or of all (layer norm's changes with the row). */
struct measure { struct vec mean, by, beta; };

DEV struct measure measure_of(const struct sums_args *p, const struct share *s, int what)
{
	struct measure m = { { { 0 } }, { { 0 } }, { { 0 } } };
	struct group g;

	if (what == SUM_PIVOT)
		m.mean = get_v(p->x, s->picture * p->t.rows * p->t.c + s->c0, s->left);
	if (what != SUM_GROUP)
		return m;
	g = group_of(p, s);
	m.by = get_v(p->gamma, s->c0, s->left);
	m.beta = get_v(p->beta, s->c0, s->left);
	for (int k = 0; k < VEC; k++) {
		m.mean.f[k] = p->stat[g.at * 2];
		m.by.f[k] *= p->stat[g.at * 2 + 1];
		group_next(&g, p, s, k);
	}
	return m;
}

/* A row as it was asked for; where it has no statistics, and x or dy, what = SUM_ONLY and SUM_PIVOT say. */
struct asked { struct two two; float mean, rstd; };

DEV struct asked ask_row(const struct sums_args *p, const struct share *s, int64_t row, int what)
{
	int64_t at = row * p->t.c + s->c0;
	struct asked a = { { { { 0 } }, { { 0 } } }, 0, 0 };

	if (what != SUM_ONLY)
		a.two.x = ask_v(p->x, at, s->left);
	if (what != SUM_PIVOT)
		a.two.dy = ask_v(p->dy, at, s->left);
	if (what == SUM_LAYER) {
		a.mean = p->stat[2 * row];
		a.rstd = p->stat[2 * row + 1];
	}
	return a;
}

DEV void add_row(const struct sums_args *p, const struct asked *a, const struct measure *m, struct pair *sum,
		 int what)
{
	struct vec e = { { 0 } }, dz = { { 0 } };

	if (what != SUM_ONLY)
		e = look(p->x, a->two.x);
	if (what != SUM_PIVOT)
		dz = look(p->dy, a->two.dy);
	for (int k = 0; k < VEC && what == SUM_LAYER; k++)
		e.f[k] = (e.f[k] - a->mean) * a->rstd;
	for (int k = 0; k < VEC && (what == SUM_PIVOT || what == SUM_GROUP); k++)
		e.f[k] -= m->mean.f[k];
	if (what == SUM_GROUP)
		dz = before_act(p, dz, e, m->by, m->beta);
	for (int k = 0; k < VEC; k++) {
		sum->a.f[k] += what == SUM_PIVOT ? e.f[k] : dz.f[k];
		if (what != SUM_ONLY)
			sum->b.f[k] += (what == SUM_PIVOT ? e.f[k] : dz.f[k]) * e.f[k];
	}
}

/* This thread's rows; the next one is on its way while one is added. */
DEV void add_rows(const struct sums_args *p, const struct share *s, struct pair *sum, int what)
{
	struct asked next;
	struct measure m;

	if (s->left <= 0 || s->from >= s->to)
		return;
	next = ask_row(p, s, s->from, what);
	m = measure_of(p, s, what);
	for (int64_t row = s->from; row < s->to; row += p->t.ty) {
		struct asked now = next;

		if (row + p->t.ty < s->to)
			next = ask_row(p, s, row + p->t.ty, what);
		add_row(p, &now, &m, sum, what);
	}
}

/* The ty threads of a channel, in order. sums: 2 VEC THREADS. */
DEV void add_threads(const struct sums_args *p, const struct share *s, const struct pair *sum, float *sums)
{
	int all = p->t.tx * p->t.ty, t = (int)threadIdx.x;
	float *to = p->part + (s->picture * p->t.parts + s->part) * 2 * p->t.c;

	for (int k = 0; k < VEC; k++) {
		sums[k * all + t] = sum->a.f[k];
		sums[(VEC + k) * all + t] = sum->b.f[k];
	}
	__syncthreads();
	for (int i = t; i < 2 * VEC * p->t.tx; i += all) {
		int k = i % VEC, which = i / VEC % 2, x = i / (2 * VEC);
		int64_t c = s->c0 + (int64_t)(x - s->x) * VEC + k;
		float total = 0;

		for (int y = 0; y < p->t.ty; y++)
			total += sums[(which * VEC + k) * all + y * p->t.tx + x];
		if (c < p->t.c)
			to[which * p->t.c + c] = total;
	}
}

/* One for each way, so that none holds what others want. */
#define SUMS(name, what) \
	KERNEL(name, sums_args) \
	{ \
		SHARED(float, sums, 2 * VEC * THREADS); \
		struct share s = share_of(&p.t); \
		struct pair sum = { { { 0 } }, { { 0 } } }; \
		\
		add_rows(&p, &s, &sum, what); \
		add_threads(&p, &s, &sum, sums); \
	}
SUMS(sums_pivot, SUM_PIVOT)
SUMS(sums_group, SUM_GROUP)
SUMS(sums_layer, SUM_LAYER)
SUMS(sums_only, SUM_ONLY)

struct settle_args {
	struct sums_args s;
	struct span second, first;
	int scaled;
};

/* Channels of a block, 32 bytes next to each other; the threads that share a channel's runs. */
#define CHANNELS 8
#define LANES (THREADS / CHANNELS)
#define AHEAD 4                 /* runs that are asked for before the first is added */

KERNEL(sums_end, settle_args)
{
	SHARED(double, one, THREADS);
	SHARED(double, two, THREADS);
	int t = (int)threadIdx.x, x = t % CHANNELS, y = t / CHANNELS;
	int64_t c = (int64_t)blockIdx.x * CHANNELS + x, runs = p.s.t.pictures * p.s.t.parts;
	int64_t group = p.scaled ? quotient(c, p.s.width) : 0;
	double a = 0, b = 0;

	for (int64_t r = y; c < p.s.t.c && r < runs; r += LANES * AHEAD) {
		float first[AHEAD], second[AHEAD], by[AHEAD];

		for (int k = 0; k < AHEAD; k++) {
			int64_t run = r + k * LANES;
			const float *at = p.s.part + run * 2 * p.s.t.c + c;
			int is = run < runs;

			first[k] = is ? at[0] : 0;
			second[k] = is ? at[p.s.t.c] : 0;
			by[k] = !p.scaled ? 1 : !is ? 0 :
				p.s.stat[(quotient(run, p.s.t.parts) * p.s.groups + group) * 2 + 1];
		}
		for (int k = 0; k < AHEAD; k++) {
			a += first[k];
			b += (double)by[k] * second[k];
		}
	}
	one[t] = a;
	two[t] = b;
	__syncthreads();
	if (y || c >= p.s.t.c)
		return;
	for (int k = 1; k < LANES; k++) {
		a += one[k * CHANNELS + x];
		b += two[k * CHANNELS + x];
	}
	if (p.first.at)
		put(p.first, c, (float)a);
	if (p.second.at)
		put(p.second, c, (float)b);
}

void sums_launch(struct lane *l, const struct sums_args *a)
{
	struct grid g = tiles_grid(&a->t);

	switch (a->what) {
	case SUM_PIVOT: LAUNCH(l, sums_pivot, g, *a); break;
	case SUM_GROUP: LAUNCH(l, sums_group, g, *a); break;
	case SUM_LAYER: LAUNCH(l, sums_layer, g, *a); break;
	default: LAUNCH(l, sums_only, g, *a);
	}
}

void sums_settle(struct lane *l, const struct sums_args *a, struct span second, struct span first,
		 int scaled)
{
	struct settle_args s = { *a, second, first, scaled };
	struct grid g = { blocks_of(a->t.c, CHANNELS), 1, THREADS, 1 };

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
