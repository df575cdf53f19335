#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "kernels/run/sampler_parts.h"

/* Newest outputs that a sampler keeps. */
static int history_length(const struct sampler_config *c)
{
	switch (c->kind) {
	case SAMPLER_PNDM:
	case SAMPLER_LMS:
		return 4;
	case SAMPLER_HEUN:
		return 1;
	case SAMPLER_DPM_MULTI:
	case SAMPLER_DPM_SINGLE:
		return c->order;
	case SAMPLER_UNIPC:
		/* the corrector needs the new one beside the predictor's */
		return c->order + 1;
	default:
		return c->clip || c->threshold;
	}
}

static int take(float **out, int64_t n, struct err *e)
{
	int64_t side[2] = { n, sizeof(float) };
	int64_t bytes = size_product(side, 2);
	void *p;

	if (bytes < 0)
		return fail(e, "a sampler of %lld values is too large", (long long)n);
	if (mem_try(&p, (size_t)bytes + (bytes == 0), "a sampler's state", e) < 0)
		return -1;
	*out = p;
	return 0;
}

static int take_state(struct sampler *s, struct err *e)
{
	int64_t side[2] = { s->samples, s->each };
	int64_t n = size_product(side, 2);
	int draws = 0, keep = history_length(&s->c);

	if (n < 0)
		return fail(e, "a sampler of %lld pictures of %lld values is too large",
			    (long long)s->samples, (long long)s->each);
	for (int i = 0; i < keep; i++)
		if (take(&s->history[i], n, e) < 0)
			return -1;
	for (int i = 0; i < s->count; i++)
		draws |= sampler_draws(s, i);
	if (draws && take(&s->drawn, n, e) < 0)
		return -1;
	if (s->c.threshold && take(&s->sorted, s->each, e) < 0)
		return -1;
	if (sampler_in_pairs(s->c.kind) || s->c.kind == SAMPLER_PNDM ||
	    s->c.kind == SAMPLER_DPM_SINGLE || s->c.kind == SAMPLER_UNIPC)
		return take(&s->saved, n, e);
	return 0;
}

int sampler_init_list(struct sampler *s, const struct sampler_config *c, const int *time, int steps,
		      int64_t samples, int64_t each, struct err *e)
{
	*s = (struct sampler){ .c = *c, .steps = steps, .samples = samples, .each = each };
	if (sampler_plan(s, time, e) < 0 || take_state(s, e) < 0) {
		sampler_release(s);
		return -1;
	}
	return 0;
}

int sampler_init(struct sampler *s, const struct sampler_config *c, int steps, int64_t samples,
		 int64_t each, struct err *e)
{
	return sampler_init_list(s, c, NULL, steps, samples, each, e);
}

void sampler_release(struct sampler *s)
{
	noise_release(&s->table);
	free(s->time);
	free(s->sigma);
	free(s->middle);
	for (int i = 0; i < 4; i++)
		free(s->history[i]);
	free(s->saved);
	free(s->drawn);
	free(s->sorted);
	*s = (struct sampler){ 0 };
}

void sampler_restart(struct sampler *s)
{
	s->calls = 0;
	s->order_before = 0;
}

int sampler_set_strength(struct sampler *s, double strength)
{
	/* The product is truncated, not rounded: 50 steps of strength 0.58 are 28. */
	double part = s->steps * strength;
	int made = part >= s->steps ? s->steps : part > 0 ? (int)part : 0;

	s->first = (s->steps - made) * (sampler_in_pairs(s->c.kind) ? 2 : 1);
	if (s->first > s->count)
		s->first = s->count;
	return s->first;
}

int sampler_split(const struct sampler *s, double fraction)
{
	double cutoff = rint(s->table.n - fraction * s->table.n);
	int i = 0;

	while (i < s->count && s->time[i] >= cutoff)
		i++;
	return i;
}

double sampler_sigma(const struct sampler *s, int i)
{
	if (!sampler_in_pairs(s->c.kind))
		return s->sigma[i];
	if (s->middle && i % 2)
		return s->middle[i / 2];
	return s->sigma[(i + 1) / 2];
}

void sampler_noise(const struct sampler *s, int i, const float *x, const float *noise, float *out,
		   int64_t n)
{
	double sigma, keep = 1;

	if (sampler_by_time(s->c.kind)) {
		noise_add(&s->table, (int)s->time[i], x, noise, out, n);
		return;
	}
	sigma = sampler_sigma(s, i);
	if (sampler_by_lambda(s->c.kind))
		keep = 1 / sqrt(sigma * sigma + 1);
	for (int64_t k = 0; k < n; k++)
		out[k] = (float)(keep * x[k] + keep * sigma * noise[k]);
}

float sampler_timestep(const struct sampler *s, int i)
{
	if (i < 0 || i >= s->count)
		BUG("call %d of %d", i, s->count);
	return s->time[i];
}

void sampler_scale_input(const struct sampler *s, int i, const float *x, float *in)
{
	int64_t n = sampler_total(s);
	double sigma;
	float by;

	if (sampler_by_time(s->c.kind) || sampler_by_lambda(s->c.kind)) {
		if (in != x)
			memmove(in, x, (size_t)n * sizeof *in);
		return;
	}
	sigma = sampler_sigma(s, i);
	by = (float)sqrt(sigma * sigma + 1);
	for (int64_t k = 0; k < n; k++)
		in[k] = x[k] / by;
}

int sampler_draws(const struct sampler *s, int i)
{
	switch (s->c.kind) {
	case SAMPLER_DDPM:
		return s->time[i] > 0;
	case SAMPLER_DDIM:
		return s->c.eta > 0;
	case SAMPLER_EULER:
		return sampler_churn(s, i) > 0;
	case SAMPLER_EULER_A:
		return 1;
	case SAMPLER_DPM2_A:
		return i % 2;
	case SAMPLER_DPM_MULTI:
	case SAMPLER_DPM_SINGLE:
		return s->c.sde;
	default:
		return 0;
	}
}

const float *sampler_draw(struct sampler *s, int i, const struct sampler_noise *noise)
{
	if (!noise || !noise->draw)
		BUG("call %d of %d draws noise, but there is none", i, s->count);
	noise->draw(noise->who, i, s->drawn, sampler_total(s));
	return s->drawn;
}

float *sampler_push(struct sampler *s)
{
	int n = history_length(&s->c);
	float *oldest = s->history[n - 1];

	memmove(s->history + 1, s->history, (size_t)(n - 1) * sizeof *s->history);
	s->history[0] = oldest;
	return oldest;
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* The value below which `ratio` of |x[n]| lie, linear between neighbours. */
static double quantile(float *sorted, const float *x, int64_t n, double ratio)
{
	double rank = ratio * (double)(n - 1);
	int64_t low = (int64_t)rank;

	for (int64_t i = 0; i < n; i++)
		sorted[i] = fabsf(x[i]);
	qsort(sorted, (size_t)n, sizeof *sorted, by_size);
	if (low >= n - 1)
		return sorted[n - 1];
	return sorted[low] + (rank - (double)low) * ((double)sorted[low + 1] - sorted[low]);
}

static void clip(float *x, int64_t n, double limit, double divide)
{
	for (int64_t i = 0; i < n; i++) {
		double v = x[i] < -limit ? -limit : x[i] > limit ? limit : x[i];
		x[i] = (float)(v / divide);
	}
}

void sampler_limit(struct sampler *s, float *x0)
{
	if (!s->c.threshold) {
		if (s->c.clip)
			clip(x0, sampler_total(s), s->c.clip_range, 1);
		return;
	}
	for (int64_t k = 0; k < s->samples && s->each > 0; k++) {
		float *x = x0 + k * s->each;
		double limit = quantile(s->sorted, x, s->each, s->c.threshold_ratio);
		if (limit > s->c.threshold_max)
			limit = s->c.threshold_max;
		if (!(limit > 1))
			limit = 1;
		clip(x, s->each, limit, limit);
	}
}

void sampler_step(struct sampler *s, int i, const float *out, const float *variance, float *x,
		  const struct sampler_noise *noise)
{
	if (i < 0 || i >= s->count || (s->calls == 0 && sampler_in_pairs(s->c.kind) && i % 2))
		BUG("sampler called with step %d of %d after %d calls", i, s->count, s->calls);
	switch (s->c.kind) {
	case SAMPLER_DDPM: sampler_step_ddpm(s, i, out, variance, x, noise); break;
	case SAMPLER_DDIM: sampler_step_ddim(s, i, out, x, noise); break;
	case SAMPLER_PNDM: sampler_step_pndm(s, i, out, x); break;
	case SAMPLER_LMS: sampler_step_lms(s, i, out, x); break;
	case SAMPLER_EULER:
	case SAMPLER_EULER_A: sampler_step_euler(s, i, out, x, noise); break;
	case SAMPLER_HEUN:
	case SAMPLER_DPM2:
	case SAMPLER_DPM2_A: sampler_step_pair(s, i, out, x, noise); break;
	case SAMPLER_DPM_MULTI:
	case SAMPLER_DPM_SINGLE: sampler_step_dpm(s, i, out, x, noise); break;
	case SAMPLER_UNIPC: sampler_step_unipc(s, i, out, x); break;
	}
	s->calls++;
}
