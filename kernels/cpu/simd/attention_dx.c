/*
 * Attention backward, scores recomputed. Lanes are keys: a block of keys (up to four panels) meets
 * one block of queries after the other. For each panel
 *
 *	S[query][key] = Q K          P = 2^(S - lse)
 *	D[query][key] = dY V         dS = P (D - delta),   delta = sum over channels of dY Y
 *	dV[d][key] += dY P           dK[d][key] += Q dS
 * and for all of them
 *	dQ[query][d] += dS K
 *
 * The scale is part of K's panels in S, and is applied to dQ and dK at the end. Keys are dealt out
 * in `splits` runs that follow from the shape; each run has a dQ of its own, and these are added in
 * order.
 *
 * Shared scratch, for a few pairs (picture, head) at a time: struct packed. Own scratch: struct
 * own.
 */
#include "kernels/cpu/simd/flash.h"

#include <omp.h>
#include <string.h>

#define QUERIES (MR * (84 / MR))        /* a block of queries */

static int64_t panels_of(const struct heads *s)
{
	return s->d <= 192 ? 4 : 2;
}

static int64_t keys_of(const struct heads *s)
{
	return panels_of(s) * NR;
}

static int64_t padded(int64_t d)
{
	return (d + VF - 1) / VF * VF;
}

static int64_t round16(int64_t n)
{
	return (n + 15) & ~(int64_t)15;
}

struct own {                    /* of a thread */
	float *k, *v, *dk, *dv; /* panels [panels][d][NR] */
	float *rows;            /* K as it is: [panels * NR][d padded] */
	float *q, *dy;          /* closed up: [QUERIES][d] */
	float *p;               /* [QUERIES][NR] */
	float *ds;              /* [panels][QUERIES][NR] */
};

static int64_t own_floats(const struct heads *s)
{
	return 4 * panels_of(s) * s->d * NR + keys_of(s) * padded(s->d) +
		2 * round16(QUERIES * s->d) +
	       (panels_of(s) + 1) * QUERIES * NR;
}

static struct own own_at(const struct heads *s, float *at)
{
	int64_t panels = panels_of(s) * s->d * NR, rows = round16(QUERIES * s->d);
	struct own o;

	o.k = at;
	o.v = o.k + panels;
	o.dk = o.v + panels;
	o.dv = o.dk + panels;
	o.rows = o.dv + panels;
	o.q = o.rows + keys_of(s) * padded(s->d);
	o.dy = o.q + rows;
	o.p = o.dy + rows;
	o.ds = o.p + QUERIES * NR;
	return o;
}

struct packed {                 /* of a pair */
	float *q, *dy;          /* strips [tq / MR][d][MR] */
	float *lse, *delta;     /* [tq] */
	float *dq;              /* [splits][tq][d padded] */
};

static int64_t splits_of(const struct heads *s)
{
	int64_t blocks = blocks_of(s->tk, keys_of(s));

	return max64(1, min64(blocks, min64(8, blocks_of(16, s->pairs))));
}

static int64_t strip_floats(const struct heads *s)
{
	return round16(blocks_of(s->tq, MR) * MR * s->d);
}

static int64_t pair_floats(const struct heads *s)
{
	return 2 * strip_floats(s) + 2 * round16(s->tq) + splits_of(s) * s->tq * padded(s->d);
}

static struct packed packed_at(const struct heads *s, float *at)
{
	struct packed p;

	p.q = at;
	p.dy = p.q + strip_floats(s);
	p.lse = p.dy + strip_floats(s);
	p.delta = p.lse + round16(s->tq);
	p.dq = p.delta + round16(s->tq);
	return p;
}

/* Pairs at a time: what 8 MB hold, but enough for every thread to have a run of keys. */
static int64_t pairs_at_once(const struct heads *s)
{
	int64_t room = max64(1, (8 << 20) / (pair_floats(s) * (int64_t)sizeof(float)));
	int64_t share = blocks_of(omp_get_max_threads(), splits_of(s));

	return min64(s->pairs, blocks_of(room, share) * share);
}

SCRATCH(attention_dx)
{
	struct heads s = heads_of(n, g->node[n->in[1]].dim, g->node[n->in[2]].dim);
	int64_t floats = pairs_at_once(&s) * pair_floats(&s) +
		omp_get_max_threads() * own_floats(&s);

	return (size_t)floats * sizeof(float);
}

static float dot(const float *a, const float *b, int64_t n)
{
	vf sum = vf_zero();

	for (int64_t i = 0; i < n; i += VF)
		sum += vf_load_n(a + i, n - i) * vf_load_n(b + i, n - i);
	return vf_sum(sum);
}

/* Queries from q0 on of one pair. */
static void pack_queries(const struct heads *s, const struct call *c, int64_t pair, int64_t q0,
			 struct packed to)
{
	int64_t count = min64(QUERIES, s->tq - q0), at = pair_at(s, pair, s->tq) + q0 * s->ld;
	const float *dy = in_f32(c, 0) + at, *y = in_f32(c, 4) + at;
	const float *lse = in_f32(c, 5) + pair * s->tq + q0;

	pack_strips(to.q + q0 * s->d, in_f32(c, 1) + at, s->ld, count, s->d);
	pack_strips(to.dy + q0 * s->d, dy, s->ld, count, s->d);
	for (int64_t t = 0; t < count; t++) {
		to.lse[q0 + t] = lse[t] * LOG2E;
		to.delta[q0 + t] = dot(dy + t * s->ld, y + t * s->ld, s->d);
	}
}

static void close_up(float *to, int64_t to_ld, const float *x, int64_t ld, int64_t rows, int64_t d)
{
	for (int64_t t = 0; t < rows; t++) {
		memcpy(to + t * to_ld, x + t * ld, (size_t)d * sizeof *to);
		memset(to + t * to_ld + d, 0, (size_t)(to_ld - d) * sizeof *to);
	}
}

static void pack_keys(const struct heads *s, const struct call *c, int64_t pair, int64_t k0,
		      int64_t keys, struct own *own)
{
	int64_t at = pair_at(s, pair, s->tk) + k0 * s->ld, panel = s->d * NR;
	const float *k = in_f32(c, 2) + at, *v = in_f32(c, 3) + at;

	for (int64_t p = 0; p * NR < keys; p++) {
		int64_t count = min64(NR, keys - p * NR);
		pack_lanes(own->k + p * panel, k + p * NR * s->ld, s->ld, count, s->d,
			   s->scale * LOG2E);
		pack_lanes(own->v + p * panel, v + p * NR * s->ld, s->ld, count, s->d, 1);
	}
	close_up(own->rows, padded(s->d), k, s->ld, keys, s->d);
	memset(own->dk, 0, (size_t)(panels_of(s) * panel) * sizeof *own->dk);
	memset(own->dv, 0, (size_t)(panels_of(s) * panel) * sizeof *own->dv);
}

/*
 * p holds S and becomes P, ds holds D and becomes dS. Causal: `shift` is the first query less the
 * first key.
 */
static void soften(float *p, float *ds, const float *lse, const float *delta, int64_t queries,
		   int vecs, int masked,
		   int64_t shift)
{
	for (int64_t i = 0; i < queries; i++) {
		vf top = vf_set(lse[i]), less = vf_set(delta[i]);
		for (int j = 0; j < vecs; j++) {
			float *at = p + i * NR + j * VF, *dat = ds + i * NR + j * VF;
			vf x = exp2_fast(vf_load(at) - top);

			if (masked) {
				vi lane = vi_lanes() + vi_set(j * VF);
				x = vf_select(lane > vi_set((int32_t)(shift + i)), vf_zero(), x);
			}
			vf_store(at, x);
			vf_store(dat, x * (vf_load(dat) - less));
		}
	}
}

/* One panel of a block of keys with one block of queries. */
static void meet(const struct heads *s, const struct own *own, struct packed from, int64_t panel,
		 int64_t k0,
		 int64_t keys, int64_t q0, int64_t queries)
{
	int64_t d = s->d, at = panel * d * NR;
	float *ds = own->ds + panel * QUERIES * NR;
	int vecs = keys > VF ? 2 : 1;
	struct strip scores = { .a = from.q + q0 * d, .lda = MR, .b = own->k + at, .k = d,
				.c = own->p };
	struct strip dp = { .a = from.dy + q0 * d, .lda = MR, .b = own->v + at, .k = d, .c = ds };
	struct strip dv = { .a = own->dy, .lda = d, .b = own->p, .k = queries, .c = own->dv + at,
			    .end = STRIP_ADD };
	struct strip dk = { .a = own->q, .lda = d, .b = ds, .k = queries, .c = own->dk + at,
			    .end = STRIP_ADD };

	strips_run(scores, queries, vecs);
	strips_run(dp, queries, vecs);
	soften(own->p, ds, from.lse + q0, from.delta + q0, queries, vecs,
	       s->causal && k0 + keys - 1 > q0, q0 - k0);
	strips_run(dv, d, vecs);
	strips_run(dk, d, vecs);
}

/* A block of keys from k0 on with all queries of its pair; dq is this run's. */
static void keys_run(const struct heads *s, const struct call *c, int64_t pair, int64_t k0,
		     struct packed from,
		     float *dq, struct own own)
{
	int64_t keys = min64(keys_of(s), s->tk - k0), d = s->d, at = pair_at(s, pair, s->tq);

	pack_keys(s, c, pair, k0, keys, &own);
	for (int64_t q0 = 0; q0 < s->tq; q0 += QUERIES) {
		int64_t queries = min64(QUERIES, s->tq - q0);
		if (s->causal && q0 + queries <= k0)
			continue;
		close_up(own.q, d, in_f32(c, 1) + at + q0 * s->ld, s->ld, queries, d);
		close_up(own.dy, d, in_f32(c, 0) + at + q0 * s->ld, s->ld, queries, d);
		for (int64_t p = 0; p * NR < keys; p++)
			meet(s, &own, from, p, k0 + p * NR, min64(NR, keys - p * NR), q0, queries);
		panels_run(own.ds, QUERIES, own.rows, keys, dq + q0 * padded(d),
			   padded(d), queries);
	}
	at = pair_at(s, pair, s->tk) + k0 * s->ld;
	for (int64_t p = 0; p * NR < keys; p++) {
		float *dk = out_f32(c, 1), *dv = out_f32(c, 2), by[NR], one[NR];
		int64_t count = min64(NR, keys - p * NR), to = at + p * NR * s->ld;

		for (int i = 0; i < NR; i++) {
			by[i] = s->scale;
			one[i] = 1;
		}
		if (dk)
			unpack_lanes(dk + to, s->ld, own.dk + p * d * NR, by, count, d);
		if (dv)
			unpack_lanes(dv + to, s->ld, own.dv + p * d * NR, one, count, d);
	}
}

static void split_run(const struct heads *s, const struct call *c, int64_t pair, int64_t split,
		      struct packed from,
		      struct own own)
{
	int64_t blocks = blocks_of(s->tk, keys_of(s)), splits = splits_of(s),
		size = s->tq * padded(s->d);
	float *dq = from.dq + split * size;

	memset(dq, 0, (size_t)size * sizeof *dq);
	for (int64_t b = blocks * split / splits; b < blocks * (split + 1) / splits; b++)
		keys_run(s, c, pair, b * keys_of(s), from, dq, own);
}

/* dQ of queries from q0 on: the runs' parts, in order. */
static void add_up(const struct heads *s, const struct call *c, int64_t pair, int64_t q0,
		   struct packed from)
{
	int64_t wide = padded(s->d), size = s->tq * wide;
	float *dq = out_f32(c, 0) + pair_at(s, pair, s->tq);

	for (int64_t t = q0; t < min64(s->tq, q0 + QUERIES); t++)
		for (int64_t i = 0; i < s->d; i += VF) {
			vf sum = vf_load(from.dq + t * wide + i);
			for (int64_t p = 1; p < splits_of(s); p++)
				sum += vf_load(from.dq + p * size + t * wide + i);
			vf_store_n(dq + t * s->ld + i, s->scale * sum, s->d - i);
		}
}

KERNEL(attention_dx)
{
	struct heads s = heads_of(c->n, c->in[1].dim, c->in[2].dim);
	int64_t at_once = pairs_at_once(&s), each = pair_floats(&s), splits = splits_of(&s);
	int64_t pieces = blocks_of(s.tq, QUERIES);
	float *shared = c->scratch, *own = shared + at_once * each;

#pragma omp parallel if (s.pairs * s.tq * s.tk * s.d >= 400000)
	{
		struct own mine = own_at(&s, own + omp_get_thread_num() * own_floats(&s));

		for (int64_t first = 0; first < s.pairs; first += at_once) {
			int64_t count = min64(at_once, s.pairs - first);
#pragma omp for schedule(static)
			for (int64_t w = 0; w < count * pieces; w++)
				pack_queries(&s, c, first + w / pieces, w % pieces * QUERIES,
					     packed_at(&s, shared + w / pieces * each));
#pragma omp for schedule(dynamic)
			for (int64_t w = 0; w < count * splits; w++)
				split_run(&s, c, first + w / splits, w % splits,
					  packed_at(&s, shared + w / splits * each), mine);
#pragma omp for schedule(static)
			for (int64_t w = 0; w < count * pieces; w++)
				add_up(&s, c, first + w / pieces, w % pieces * QUERIES,
				       packed_at(&s, shared + w / pieces * each));
		}
	}
}
