/*
 * Training noise that is not plain white: an offset for each channel (pictures learn to be darker
 * or brighter than the average), coarser fields added (multires), and noise that the target does
 * not know of (input perturbation). The formulas, and the order of the draws, are those of kohya's
 * trainers.
 */
#ifndef RUN_NOISE_EXTRA_H
#define RUN_NOISE_EXTRA_H

#include <stdint.h>

struct noise_options {                  /* {0}: none */
	double offset;                  /* strength of one draw a sample and channel; 0.05 to 0.1 */
	int offset_random;              /* times a uniform number, one a batch */
	double adaptive;                /* strength += this * |mean of
					 * the channel's latents|, to 0 */
	int multires;                   /* levels at most; 6 to 10 */
	double multires_discount;       /* strength of level i is discount^i; 0.3 */
	double ip_gamma;                /* input perturbation; 0.1 */
	int ip_random;                  /* times a uniform number, one a batch */
};

struct noise_shape {
	int64_t samples, channels, h, w;
	int channels_last;              /* [samples][h][w][channels],
					 * else [samples][channels][h][w] */
};

/* Where draws come from, one after the other. */
struct noise_source {
	void (*normal)(void *who, float *out, int64_t n);
	double (*uniform)(void *who);   /* in [0, 1) */
	void *who;
};

/*
 * A source of (seed, step): the k-th draw is a stream of its own, and so depends on nothing else.
 */
struct noise_draws {
	uint64_t seed;
	uint32_t step, at;
};
struct noise_source noise_source(struct noise_draws *d);

/*
 * noise[...], white, gets offset and multires. These change the target too: call it before
 * noise_target. `scratch` has room for as many values as `noise`. Multires ends by dividing by the
 * standard deviation of the whole batch.
 */
void noise_shape_up(const struct noise_options *o, const struct noise_shape *shape,
	const float *latents, float *noise, float *scratch, const struct noise_source *from);

/*
 * out = noise + gamma (or a random part of it) * new noise: for x_t, while the target keeps
 * `noise`. Not in place.
 */
void noise_perturb(const struct noise_options *o, const float *noise, float *out, int64_t n,
		   const struct noise_source *from);

#endif
