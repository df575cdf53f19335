#include "common/base/rng.h"

#include <math.h>
#include <string.h>

#include "common/base/oid.h"

uint32_t rng_word(const char *name)
{
	struct oid o;

	oid_of(&o, KIND_TEXT, name, strlen(name));
	return (uint32_t)o.at[0] << 24 | (uint32_t)o.at[1] << 16 | (uint32_t)o.at[2] << 8 | o.at[3];
}

struct rng rng_stream(uint64_t seed, const char *purpose, uint32_t step, uint32_t item)
{
	return (struct rng){
		.key = { (uint32_t)seed, (uint32_t)(seed >> 32) },
		.purpose = rng_word(purpose),
		.step = step,
		.item = item,
	};
}

void rng_block(const struct rng *r, uint32_t at, uint32_t out[4])
{
	uint32_t c[4] = { at, r->item, r->step, r->purpose };
	uint32_t k0 = r->key[0], k1 = r->key[1];

	for (int round = 0; round < 10; round++) {
		uint64_t a = (uint64_t)c[0] * 0xD2511F53u, b = (uint64_t)c[2] * 0xCD9E8D57u;
		uint32_t n0 = (uint32_t)(b >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(a >> 32) ^ c[3] ^ k1;

		c[0] = n0;
		c[1] = (uint32_t)b;
		c[2] = n2;
		c[3] = (uint32_t)a;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	memcpy(out, c, sizeof c);
}

static void normal_pair(uint32_t a, uint32_t b, float out[2])
{
	double u = (a + .5) * 0x1p-32, v = (b + .5) * 0x1p-32 * 6.283185307179586476925;
	double radius = sqrt(-2 * log(u));

	out[0] = (float)(radius * cos(v));
	out[1] = (float)(radius * sin(v));
}

void rng_normal(const struct rng *r, float *out, int64_t n)
{
	for (int64_t at = 0; at < n; at += 4) {
		uint32_t w[4];
		float z[4];
		int64_t m = n - at < 4 ? n - at : 4;

		rng_block(r, (uint32_t)(at / 4), w);
		normal_pair(w[0], w[1], z);
		normal_pair(w[2], w[3], z + 2);
		memcpy(out + at, z, (size_t)m * sizeof *z);
	}
}

float rng_uniform(const struct rng *r, uint32_t at)
{
	uint32_t w[4];

	rng_block(r, at / 4, w);
	return (float)(w[at % 4] >> 8) * 0x1p-24f;
}

uint64_t rng_below(const struct rng *r, uint32_t at, uint64_t n)
{
	uint32_t w[4];
	uint64_t x;

	rng_block(r, at / 2, w);
	x = (uint64_t)w[at % 2 * 2] << 32 | w[at % 2 * 2 + 1];
	return (uint64_t)((unsigned __int128)x * n >> 64);
}

void rng_shuffle(const struct rng *r, int64_t *out, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		out[i] = i;
	for (int64_t i = n - 1; i > 0; i--) {
		int64_t j = (int64_t)rng_below(r, (uint32_t)i, (uint64_t)i + 1);
		int64_t t = out[i];

		out[i] = out[j];
		out[j] = t;
	}
}
