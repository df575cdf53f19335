/*
 * The samplers that work with a[t] by timestep: DDPM (Ho et al. 2020), DDIM (Song et al. 2021),
 * PNDM's linear multistep part (Liu et al. 2022).
 */
#include <math.h>
#include <string.h>
#include "kernels/run/sampler_parts.h"

/* x0 = x * of_x + out * of_out at level a. */
struct mix {
	double of_x, of_out;
};

/* 1 - a is rounded to f32 as the reference does: near a = 1 that is all the digits there are. */
static double rest(float a)
{
	return (double)(1.0f - a);
}

static struct mix to_x0(enum prediction p, float a)
{
	switch (p) {
	case PREDICT_EPSILON: return (struct mix){ 1 / sqrt(a), -sqrt(rest(a) / a) };
	case PREDICT_V: return (struct mix){ sqrt(a), -sqrt(rest(a)) };
	default: return (struct mix){ 0, 1 };
	}
}

static struct mix to_epsilon(enum prediction p, float a)
{
	switch (p) {
	case PREDICT_EPSILON: return (struct mix){ 0, 1 };
	case PREDICT_V: return (struct mix){ sqrt(rest(a)), sqrt(a) };
	default: return (struct mix){ 1 / sqrt(rest(a)), -sqrt(a / rest(a)) };
	}
}

/* The x0 of all elements, limited, if the options ask for limits; else NULL. */
static const float *limited_x0(struct sampler *s, struct mix m, const float *out, const float *x)
{
	float *x0 = s->history[0];

	if (!s->c.clip && !s->c.threshold)
		return NULL;
	for (int64_t k = 0; k < sampler_total(s); k++)
		x0[k] = (float)(m.of_x * x[k] + m.of_out * out[k]);
	sampler_limit(s, x0);
	return x0;
}

/* Standard deviations of DDPM's step: the small and the large one. */
static void deviations(const struct sampler *s, float a, float before, double *small, double *large)
{
	double step = 1 - (double)a / before;
	double variance = rest(before) / rest(a) * step;

	if (variance < 1e-20)
		variance = 1e-20;
	*small = s->c.variance == VARIANCE_SMALL_LOG ? exp(0.5 * log(variance)) : sqrt(variance);
	*large = sqrt(step);
}

static void add_variance(struct sampler *s, int i, float before, const float *variance, float *x,
			 const struct sampler_noise *noise)
{
	const float *n = sampler_draw(s, i, noise);
	double small, large;

	deviations(s, s->table.a[(int)s->time[i]], before, &small, &large);
	if (s->c.variance == VARIANCE_LEARNED_RANGE && variance) {
		for (int64_t k = 0; k < sampler_total(s); k++) {
			double f = (variance[k] + 1.0) / 2;
			x[k] = (float)(x[k] + exp(f * log(large) + (1 - f) * log(small)) * n[k]);
		}
		return;
	}
	if (s->c.variance == VARIANCE_LARGE)
		small = large;
	for (int64_t k = 0; k < sampler_total(s); k++)
		x[k] = (float)(x[k] + small * n[k]);
}

/* The step before is the next entry of the list, whatever its distance; before the start a = 1. */
void sampler_step_ddpm(struct sampler *s, int i, const float *out, const float *variance, float *x,
		       const struct sampler_noise *noise)
{
	float a = s->table.a[(int)s->time[i]];
	float before = i + 1 < s->count ? s->table.a[(int)s->time[i + 1]] : 1;
	struct mix m = to_x0(s->c.noise.predict, a);
	const float *x0 = limited_x0(s, m, out, x);
	double step = (double)a / before;
	double of_x0 = sqrt(before) * (1 - step) / rest(a),
		of_x = sqrt(step) * rest(before) / rest(a);

	for (int64_t k = 0; k < sampler_total(s); k++) {
		double p = x0 ? (double)x0[k] : m.of_x * x[k] + m.of_out * out[k];
		x[k] = (float)(of_x0 * p + of_x * x[k]);
	}
	if (s->time[i] > 0)
		add_variance(s, i, before, variance, x, noise);
}

/* a at the timestep one stride of T / n before t, whatever the list says. */
static float level_before(const struct sampler *s, int t)
{
	if (t < 0)
		return s->c.alpha_to_one ? 1 : s->table.a[0];
	return s->table.a[t < s->table.n ? t : s->table.n - 1];
}

/* A clipped x0 does not change the epsilon, which stays the network's. */
void sampler_step_ddim(struct sampler *s, int i, const float *out, float *x,
		       const struct sampler_noise *noise)
{
	int t = (int)s->time[i];
	float a = s->table.a[t], before = level_before(s, t - s->table.n / s->steps);
	struct mix m = to_x0(s->c.noise.predict, a), q = to_epsilon(s->c.noise.predict, a);
	const float *x0 = limited_x0(s, m, out, x);
	const float *n = sampler_draws(s, i) ? sampler_draw(s, i, noise) : NULL;
	double most = sqrt(rest(before) / rest(a) * (1 - (double)a / before));
	double std = s->c.eta > 0 ? s->c.eta * most : 0;
	double left = rest(before) - std * std, of_epsilon = left > 0 ? sqrt(left) : 0;

	for (int64_t k = 0; k < sampler_total(s); k++) {
		double p = x0 ? (double)x0[k] : m.of_x * x[k] + m.of_out * out[k];
		double epsilon = q.of_x * x[k] + q.of_out * out[k];
		x[k] = (float)(sqrt(before) * p + of_epsilon * epsilon + (n ? std * n[k] : 0));
	}
}

/* Weights of the newest outputs once 2, 3 and 4 of them are there (Adams-Bashforth). */
static const double bashforth[3][4] = {
	{ 3 / 2.0, -1 / 2.0 },
	{ 23 / 12.0, -16 / 12.0, 5 / 12.0 },
	{ 55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0 },
};

/*
 * The second call is at the timestep after the first, and goes back to make the first step again
 * from the saved x with the mean of both outputs. It is not kept among the outputs.
 */
void sampler_step_pndm(struct sampler *s, int i, const float *out, float *x)
{
	int t = (int)s->time[i], stride = s->table.n / s->steps, again = s->calls == 1;
	int64_t total = sampler_total(s);
	float a = level_before(s, again ? t + stride : t);
	float before = level_before(s, again ? t : t - stride);
	double w[4] = { 1 };
	struct mix q = to_epsilon(s->c.noise.predict, a);
	double of_x = sqrt((double)before / a);
	double below = a * sqrt(rest(before)) + sqrt((double)a * rest(a) * before);
	double of_e = ((double)a - before) / below;

	if (again) {
		w[0] = 0.5;
		memcpy(x, s->saved, (size_t)total * sizeof *x);
	} else {
		int have = s->calls ? s->calls : 1;
		memcpy(sampler_push(s), out, (size_t)total * sizeof *x);
		if (have >= 2)
			memcpy(w, bashforth[have > 4 ? 2 : have - 2], sizeof w);
		if (!s->calls)
			memcpy(s->saved, x, (size_t)total * sizeof *x);
	}
	for (int64_t k = 0; k < total; k++) {
		double e = w[0] * s->history[0][k];
		if (again)
			e += 0.5 * out[k];
		for (int j = 1; j < 4 && w[j] != 0; j++)
			e += w[j] * s->history[j][k];
		x[k] = (float)(of_x * x[k] + of_e * (q.of_x * x[k] + q.of_out * e));
	}
}
