/*
 * What the files of the samplers share. Not for others.
 */
#ifndef RUN_SAMPLER_PARTS_H
#define RUN_SAMPLER_PARTS_H

#include "kernels/run/sampler.h"

/* Families: by timestep (DDPM, DDIM, PNDM), by sigma, by log-SNR (DPM++, UniPC). */
static inline int sampler_by_time(enum sampler_kind k)
{
	return k <= SAMPLER_PNDM;
}

static inline int sampler_by_lambda(enum sampler_kind k)
{
	return k >= SAMPLER_DPM_MULTI;
}

/* Two calls a step. */
static inline int sampler_in_pairs(enum sampler_kind k)
{
	return k == SAMPLER_HEUN || k == SAMPLER_DPM2 || k == SAMPLER_DPM2_A;
}

static inline int64_t sampler_total(const struct sampler *s)
{
	return s->samples * s->each;
}

/* Fill s->table, time, sigma, middle, init_sigma. */
int sampler_plan(struct sampler *s, const int *list, struct err *e);

/* The sigma at which call i asks the network. */
double sampler_sigma(const struct sampler *s, int i);

/* Make history[0] the oldest buffer, to be filled anew; the others move one back. */
float *sampler_push(struct sampler *s);

/* Dynamic thresholding or clipping of x0[samples * each], as the options say. */
void sampler_limit(struct sampler *s, float *x0);

/* Draw into s->drawn. */
const float *sampler_draw(struct sampler *s, int i, const struct sampler_noise *noise);

void sampler_step_ddpm(struct sampler *s, int i, const float *out, const float *variance, float *x,
		       const struct sampler_noise *noise);
void sampler_step_ddim(struct sampler *s, int i, const float *out, float *x,
		       const struct sampler_noise *noise);
void sampler_step_pndm(struct sampler *s, int i, const float *out, float *x);
void sampler_step_euler(struct sampler *s, int i, const float *out, float *x,
			const struct sampler_noise *noise);
void sampler_step_lms(struct sampler *s, int i, const float *out, float *x);
void sampler_step_pair(struct sampler *s, int i, const float *out, float *x,
		       const struct sampler_noise *noise);
void sampler_step_dpm(struct sampler *s, int i, const float *out, float *x,
		      const struct sampler_noise *noise);
void sampler_step_unipc(struct sampler *s, int i, const float *out, float *x);

/* The churn factor of Euler's step i. */
double sampler_churn(const struct sampler *s, int i);

#endif
