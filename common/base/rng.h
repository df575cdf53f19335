/*
 * Random numbers as a function, not a state: Philox4x32-10 (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011) of
 *   key      64 bits: the user's seed
 *   counter 128 bits: purpose (hash of a name), step, item, and the position in the stream
 * so a number depends on nothing that batch order, resume, thread count or launch geometry
 * could change, and can be drawn again anywhere (CPU or GPU).
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {                    /* one stream; a value, copy it freely */
	uint32_t key[2];        /* seed, low word first */
	uint32_t purpose;       /* rng_word of its name */
	uint32_t step;
	uint32_t item;
};

/* The first 32 bits of a name's hash. */
uint32_t rng_word(const char *name);

/* The stream of (seed, purpose, step, item). `purpose` is a short English name such as "noise". */
struct rng rng_stream(uint64_t seed, const char *purpose, uint32_t step, uint32_t item);

/* The 4 words at block `at` of the stream: counter = { at, item, step, purpose }. */
void rng_block(const struct rng *r, uint32_t at, uint32_t out[4]);

/*
 * out[n] standard normals: words (a, b) of each pair ->
 * Box-Muller, u = (a + .5) 2^-32 (in f64, result f32).
 */
void rng_normal(const struct rng *r, float *out, int64_t n);

/* Uniform in [0, 1): 24 bits of word `at` of the stream. */
float rng_uniform(const struct rng *r, uint32_t at);

/* Uniform integer in [0, n), n >= 1, from words 2 at and 2 at + 1 (64 bits times n, upper part). */
uint64_t rng_below(const struct rng *r, uint32_t at, uint64_t n);

/* A permutation of 0 .. n - 1 (Fisher-Yates with rng_below). */
void rng_shuffle(const struct rng *r, int64_t *out, int64_t n);

#endif
