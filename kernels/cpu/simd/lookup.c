/* Rows of tables, features of the timestep, and dropout. */
#include "kernels/cpu/simd/share.h"

#include <math.h>
#include <string.h>

static const int32_t *ids_of(const struct call *c, int i)
{
	if (c->in[i].type != DT_I32)
		BUG("'%s' takes I32 at input %d, not %s", op_info[c->n->op].name, i,
		    dtype_name(c->in[i].type));
	return c->in[i].at;
}

KERNEL(embed)
{
	const int32_t *ids = ids_of(c, 0);
	const float *table = in_f32(c, 1);
	float *y = out_f32(c, 0);
	int64_t count = view_count(&c->in[0]), d = c->in[1].dim[3];

	PAR_FOR(count * d)
	for (int64_t i = 0; i < count; i++)
		memcpy(y + i * d, table + ids[i] * d, (size_t)d * sizeof *y);
}

/*
 * Columns are shared out, so the rows of one id are added
 * in the order of the tokens by every thread.
 */
#define COLUMNS 64

KERNEL(embed_dw)
{
	const int32_t *ids = ids_of(c, 0);
	const float *dy = in_f32(c, 1);
	float *dw = out_f32(c, 0);
	int64_t count = view_count(&c->in[0]), rows = c->out[0].dim[2], d = c->out[0].dim[3];

	PAR_FOR(rows * d)
	for (int64_t r = 0; r < rows; r++)
		memset(dw + r * d, 0, (size_t)d * sizeof *dw);
	PAR_FOR(count * d)
	for (int64_t from = 0; from < d; from += COLUMNS) {
		int64_t to = min64(d, from + COLUMNS);
		for (int64_t t = 0; t < count; t++) {
			float *to_row = dw + ids[t] * d;
			const float *row = dy + t * d;
#pragma omp simd
			for (int64_t i = from; i < to; i++)
				to_row[i] += row[i];
		}
	}
}

/*
 * Every step is rounded to f32 as in the reference implementations: an angle of 1000 has an error
 * of 3e-5, which is in every model's training and must be the same here.
 */
KERNEL(timestep)
{
	const float *t = in_f32(c, 0);
	float *y = out_f32(c, 0);
	int64_t pictures = c->out[0].dim[0], d = c->out[0].dim[3], half = d / 2;
	float log_period = (float)-log((double)c->n->at.timestep.max_period);
	float span = (float)(half - (double)c->n->at.timestep.freq_shift);
	int64_t sin_at = c->n->at.timestep.flip_sin_to_cos ? half : 0;

	for (int64_t n = 0; n < pictures; n++)
		for (int64_t i = 0; i < half; i++) {
			float angle = t[n] * expf(log_period * (float)i / span);
			y[n * d + sin_at + i] = sinf(angle);
			y[n * d + half - sin_at + i] = cosf(angle);
		}
	for (int64_t n = 0; d % 2 && n < pictures; n++)
		y[n * d + d - 1] = 0;
}

/*
 * Philox4x32-10 (common/base/rng.h) on LANES counters at once: keep[4 l + w] = word w of counter at
 * + l.
 */
#define LANES 32

struct drop { uint32_t key[2], item, step, tag; };

static void philox(struct drop k, uint32_t at, uint32_t keep[4 * LANES])
{
	uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];

	for (uint32_t l = 0; l < LANES; l++) {
		c0[l] = at + l;
		c1[l] = k.item;
		c2[l] = k.step;
		c3[l] = k.tag;
	}
	for (int round = 0; round < 10; round++) {
		uint32_t k0 = k.key[0] + (uint32_t)round * 0x9E3779B9u;
		uint32_t k1 = k.key[1] + (uint32_t)round * 0xBB67AE85u;
#pragma omp simd
		for (int l = 0; l < LANES; l++) {
			uint64_t a = (uint64_t)c0[l] * 0xD2511F53u,
				b = (uint64_t)c2[l] * 0xCD9E8D57u;
			c0[l] = (uint32_t)(b >> 32) ^ c1[l] ^ k0;
			c2[l] = (uint32_t)(a >> 32) ^ c3[l] ^ k1;
			c1[l] = (uint32_t)b;
			c3[l] = (uint32_t)a;
		}
	}
	for (int l = 0; l < LANES; l++) {
		keep[4 * l] = c0[l];
		keep[4 * l + 1] = c1[l];
		keep[4 * l + 2] = c2[l];
		keep[4 * l + 3] = c3[l];
	}
}

KERNEL(dropout)
{
	const int32_t *key = ids_of(c, 1);
	struct drop k = { { (uint32_t)key[0], (uint32_t)key[1] }, (uint32_t)key[2],
			  (uint32_t)key[3], c->n->at.dropout.tag };
	const float *x = in_f32(c, 0);
	float *y = out_f32(c, 0), p = c->n->at.dropout.p, by = p < 1 ? 1 / (1 - p) : 0;
	int64_t n = view_count(&c->in[0]), step = 4 * LANES;

	PAR_FOR(4 * n)
	for (int64_t at = 0; at < n; at += step) {
		uint32_t word[4 * LANES];
		philox(k, (uint32_t)(at / 4), word);
		for (int64_t i = 0; i < min64(step, n - at); i++)
			y[at + i] = (float)(word[i] >> 8) * 0x1p-24f >= p ? x[at + i] * by : 0;
	}
}
