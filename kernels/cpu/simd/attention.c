/*
 * Attention without its matrix of scores (after Dao et al., "FlashAttention", 2022): a block of
 * queries, four panels wide, meets one block of keys after the other. For each panel
 *
 *	S[key][query] = K Q          d steps; the largest of each column on the way
 *	P = 2^(S - m), l += P        m, l: largest score and sum so far, corrected as m grows
 *	O[d][query] = c O + V P      as many steps as the block has keys
 *
 * and S stays in the first-level cache. Scores are in units of log 2.
 *
 * Shared scratch: K in strips and V closed up, for a few pairs (picture, head) at a time; own
 * scratch: struct own. What a query gets depends on the blocks of keys alone, not on who computes
 * it.
 */
#include "kernels/cpu/simd/flash.h"

#include <omp.h>
#include <string.h>

#define KEYS   (MR * (168 / MR))        /* a block of keys; S then takes 21 KB at most */
#define LOWEST (-1e30f)

static int64_t panels_of(const struct heads *s)
{
	return s->d <= 192 ? 4 : 2;
}

struct own {                    /* of a thread */
	float *q, *o;           /* panels [panels][d][NR] */
	float *s;               /* [KEYS][NR] */
	float *m, *l;           /* [panels][NR] */
	float *fix;             /* [NR] */
};

static int64_t own_floats(const struct heads *s)
{
	return panels_of(s) * (2 * s->d * NR + 2 * NR) + KEYS * NR + NR;
}

static struct own own_at(const struct heads *s, float *at)
{
	int64_t panels = panels_of(s);
	struct own o;

	o.q = at;
	o.o = o.q + panels * s->d * NR;
	o.s = o.o + panels * s->d * NR;
	o.m = o.s + KEYS * NR;
	o.l = o.m + panels * NR;
	o.fix = o.l + panels * NR;
	return o;
}

/* Floats of packed K and V of one pair: K in whole strips. */
static int64_t k_floats(const struct heads *s)
{
	return (blocks_of(s->tk, MR) * MR * s->d + 15) & ~(int64_t)15;
}

static int64_t pair_floats(const struct heads *s)
{
	return k_floats(s) + ((s->tk * s->d + 15) & ~(int64_t)15);
}

/* Pairs packed at a time: what 8 MB hold, but enough to give threads something to share. */
static int64_t pairs_at_once(const struct heads *s)
{
	int64_t room = (8 << 20) / (pair_floats(s) * (int64_t)sizeof(float));
	int64_t tasks = blocks_of(32, blocks_of(s->tq, panels_of(s) * NR));

	return min64(s->pairs, max64(room, tasks));
}

SCRATCH(attention)
{
	struct heads s = heads_of(n, g->node[n->in[0]].dim, g->node[n->in[1]].dim);
	int64_t floats = pairs_at_once(&s) * pair_floats(&s) +
		omp_get_max_threads() * own_floats(&s);

	return (size_t)floats * sizeof(float);
}

/* Keys from k0 on of one pair. */
static void pack_keys(const struct heads *s, const struct call *c, int64_t pair, int64_t k0,
		      float *packed)
{
	int64_t count = min64(KEYS, s->tk - k0), at = pair_at(s, pair, s->tk) + k0 * s->ld;
	const float *v = in_f32(c, 2) + at;
	float *to = packed + k_floats(s) + k0 * s->d;

	pack_strips(packed + k0 * s->d, in_f32(c, 1) + at, s->ld, count, s->d);
	for (int64_t t = 0; t < count; t++)
		memcpy(to + t * s->d, v + t * s->ld, (size_t)s->d * sizeof *to);
}

/* Causal: a key after its query counts as nothing; then the largest of each column again. */
static void hide(float *scores, float *top, int64_t k0, int64_t keys, int64_t q0, int vecs)
{
	for (int j = 0; j < vecs; j++) {
		vi query = vi_lanes() + vi_set((int32_t)(q0 + j * VF));
		vf most = vf_set(LOWEST);

		for (int64_t t = 0; t < keys; t++) {
			float *at = scores + t * NR + j * VF;
			vf x = vf_select(vi_set((int32_t)(k0 + t)) > query, vf_set(LOWEST),
					 vf_load(at));
			vf_store(at, x);
			most = vf_max(most, x);
		}
		vf_store(top + j * VF, most);
	}
}

/*
 * S becomes P; m and l go on; fix comes with the columns' largest scores and leaves with O's
 * correction.
 */
static void soften(float *scores, float *m, float *l, float *fix, int64_t keys, int vecs)
{
	for (int j = 0; j < vecs; j++) {
		vf old = vf_load(m + j * VF), most = vf_max(old, vf_load(fix + j * VF));
		vf by = exp2_fast(old - most), sum = vf_zero(), sum2 = vf_zero();
		float *at = scores + j * VF;
		int64_t t = 0;

		for (; t + 2 <= keys; t += 2, at += 2 * NR) {
			vf x = exp2_fast(vf_load(at) - most),
				y = exp2_fast(vf_load(at + NR) - most);
			vf_store(at, x);
			vf_store(at + NR, y);
			sum += x;
			sum2 += y;
		}
		if (t < keys) {
			vf x = exp2_fast(vf_load(at) - most);
			vf_store(at, x);
			sum += x;
		}
		vf_store(m + j * VF, most);
		vf_store(l + j * VF, vf_load(l + j * VF) * by + (sum + sum2));
		vf_store(fix + j * VF, by);
	}
}

/* One panel of queries from q0 on, one block of keys from k0 on. */
static void meet(const struct heads *s, const struct own *own, const float *packed, int64_t panel,
		 int64_t q0,
		 int64_t queries, int64_t k0)
{
	int64_t keys = min64(KEYS, s->tk - k0), d = s->d;
	int vecs = queries > VF ? 2 : 1;
	struct strip scores = { .a = packed + k0 * d, .lda = MR, .b = own->q + panel * d * NR,
				.k = d, .c = own->s,
				.end = STRIP_SET, .top = own->fix };
	struct strip sum = { .a = packed + k_floats(s) + k0 * d, .lda = d, .b = own->s,
			     .c = own->o + panel * d * NR,
			     .end = k0 ? STRIP_SCALE : STRIP_SET, .by = own->fix };

	if (s->causal)
		keys = min64(keys, q0 + queries - k0);
	for (int i = 0; i < NR; i++)
		own->fix[i] = LOWEST;
	strips_run(scores, keys, vecs);
	if (s->causal && k0 + keys - 1 > q0)
		hide(own->s, own->fix, k0, keys, q0, vecs);
	soften(own->s, own->m + panel * NR, own->l + panel * NR, own->fix, keys, vecs);
	sum.k = keys;
	strips_run(sum, d, vecs);
}

/* m and l -> 1 / l in l, and lse if wanted. */
static void settle(float *m, float *l, float *lse, int64_t queries)
{
	for (int64_t i = 0; lse && i < queries; i++)
		lse[i] = LN2 * (m[i] + log2f(l[i]));
	for (int j = 0; j < 2; j++)
		vf_store(l + j * VF, 1.0f / vf_max(vf_set(1e-30f), vf_load(l + j * VF)));
}

/* A block of queries from q0 on of one pair, against all keys. */
static void queries_run(const struct heads *s, const struct call *c, int64_t pair, int64_t q0,
			const float *packed,
			struct own own)
{
	int64_t end = min64(s->tq, q0 + panels_of(s) * NR), d = s->d, at = pair_at(s, pair, s->tq);
	float *lse = out_f32(c, 1);

	for (int64_t q = q0, p = 0; q < end; q += NR, p++) {
		pack_lanes(own.q + p * d * NR, in_f32(c, 0) + at + q * s->ld, s->ld,
			   min64(NR, end - q), d,
			   s->scale * LOG2E);
		for (int i = 0; i < NR; i++) {
			own.m[p * NR + i] = LOWEST;
			own.l[p * NR + i] = 0;
		}
	}
	for (int64_t k0 = 0; k0 < s->tk; k0 += KEYS)
		for (int64_t q = q0, p = 0; q < end; q += NR, p++)
			if (!s->causal || k0 < q + min64(NR, end - q))
				meet(s, &own, packed, p, q, min64(NR, end - q), k0);
	for (int64_t q = q0, p = 0; q < end; q += NR, p++) {
		settle(own.m + p * NR, own.l + p * NR, lse ? lse + pair * s->tq + q : NULL,
		       min64(NR, end - q));
		unpack_lanes(out_f32(c, 0) + at + q * s->ld, s->ld, own.o + p * d * NR,
			     own.l + p * NR, min64(NR, end - q), d);
	}
}

KERNEL(attention)
{
	struct heads s = heads_of(c->n, c->in[0].dim, c->in[1].dim);
	int64_t at_once = pairs_at_once(&s), each = pair_floats(&s), block = panels_of(&s) * NR;
	int64_t pieces = blocks_of(s.tk, KEYS), blocks = blocks_of(s.tq, block);
	float *packed = c->scratch, *own = packed + at_once * each;

#pragma omp parallel if (s.pairs * s.tq * s.tk * s.d >= 1000000)
	{
		struct own mine = own_at(&s, own + omp_get_thread_num() * own_floats(&s));

		for (int64_t first = 0; first < s.pairs; first += at_once) {
			int64_t count = min64(at_once, s.pairs - first);
#pragma omp for schedule(static)
			for (int64_t w = 0; w < count * pieces; w++)
				pack_keys(&s, c, first + w / pieces, w % pieces * KEYS,
					  packed + w / pieces * each);
#pragma omp for schedule(dynamic)
			for (int64_t w = 0; w < count * blocks; w++)
				queries_run(&s, c, first + w / blocks, w % blocks * block,
					    packed + w / blocks * each, mine);
		}
	}
}
