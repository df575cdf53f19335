/*
 * The samplers that work with sigma, x = x0 + sigma noise: Euler, Euler ancestral, LMS, Heun, DPM2,
 * DPM2 ancestral (Karras et al. 2022; k-diffusion).
 */
#include <math.h>
#include <string.h>
#include "kernels/run/sampler_parts.h"

/* x0 = x * of_x + out * of_out at that sigma. */
struct mix {
	double of_x, of_out;
};

static struct mix to_x0(enum prediction p, double sigma)
{
	double square = sigma * sigma + 1;

	switch (p) {
	case PREDICT_EPSILON: return (struct mix){ 1, -sigma };
	case PREDICT_V: return (struct mix){ 1 / square, -sigma / sqrt(square) };
	default: return (struct mix){ 0, 1 };
	}
}

/*
 * An ancestral step from one sigma to another: down to `down` by the ODE, then up by fresh noise.
 */
static void ancestral(double from, double to, double *down, double *up)
{
	double f = to * to * (from * from - to * to) / (from * from);

	*up = f > 0 ? sqrt(f) : 0;
	*down = to * to / from;
}

double sampler_churn(const struct sampler *s, int i)
{
	double sigma = s->sigma[i], most = sqrt(2) - 1, c = s->c.churn / s->steps;

	if (!(s->c.churn > 0) || sigma < s->c.churn_min ||
	    (s->c.churn_max > 0 && sigma > s->c.churn_max))
		return 0;
	return c < most ? c : most;
}

/*
 * With churn the noise level is raised first; diffusers' v prediction goes on using the sigma
 * before that.
 */
void sampler_step_euler(struct sampler *s, int i, const float *out, float *x,
			const struct sampler_noise *noise)
{
	const float *n = sampler_draws(s, i) ? sampler_draw(s, i, noise) : NULL;
	double sigma = s->sigma[i], raised = sigma, to = s->sigma[i + 1], up = 0, before = 0;
	struct mix m;

	if (s->c.kind == SAMPLER_EULER_A) {
		ancestral(sigma, s->sigma[i + 1], &to, &up);
	} else if (n) {
		raised = sigma * (1 + sampler_churn(s, i));
		before = s->c.churn_noise * sqrt(raised * raised - sigma * sigma);
	}
	m = to_x0(s->c.noise.predict, s->c.noise.predict == PREDICT_V ? sigma : raised);
	for (int64_t k = 0; k < sampler_total(s); k++) {
		double v = x[k] + (n ? before * n[k] : 0);
		double slope = (v - (m.of_x * v + m.of_out * out[k])) / raised;
		x[k] = (float)(v + slope * (to - raised) + (n ? up * n[k] : 0));
	}
}

/* The polynomial that is 1 at node j of `n` nodes and 0 at the others. */
static double lagrange(const double *node, int n, int j, double at)
{
	double p = 1;

	for (int m = 0; m < n; m++)
		if (m != j)
			p *= (at - node[m]) / (node[j] - node[m]);
	return p;
}

/* Its integral from a to b: Gauss's two points are exact up to cubics, and n is at most 4. */
static double lagrange_integral(const double *node, int n, int j, double a, double b)
{
	double centre = (a + b) / 2, half = (b - a) / 2, off = half / sqrt(3);

	return half * (lagrange(node, n, j, centre - off) + lagrange(node, n, j, centre + off));
}

void sampler_step_lms(struct sampler *s, int i, const float *out, float *x)
{
	double sigma = s->sigma[i], node[4], w[4] = { 0 };
	int n = s->calls + 1 < 4 ? s->calls + 1 : 4;
	struct mix m = to_x0(s->c.noise.predict, sigma);
	float *slope = sampler_push(s);

	for (int j = 0; j < n; j++)
		node[j] = s->sigma[i - j];
	for (int j = 0; j < n; j++)
		w[j] = lagrange_integral(node, n, j, sigma, s->sigma[i + 1]);
	for (int64_t k = 0; k < sampler_total(s); k++) {
		double v = x[k];
		slope[k] = (float)((x[k] - (m.of_x * x[k] + m.of_out * out[k])) / sigma);
		for (int j = 0; j < n; j++)
			v += w[j] * s->history[j][k];
		x[k] = (float)v;
	}
}

static double clipped(const struct sampler *s, double x0)
{
	if (!s->c.clip)
		return x0;
	return x0 < -s->c.clip_range ? -s->c.clip_range :
		x0 > s->c.clip_range ? s->c.clip_range : x0;
}

/*
 * Two calls: an Euler step to the end (Heun) or the middle (DPM2) of the interval, then the whole
 * interval from the saved x with the mean of both slopes (Heun) or the slope of the middle. The
 * last interval ends at 0 and has the first call only.
 */
void sampler_step_pair(struct sampler *s, int i, const float *out, float *x,
		       const struct sampler_noise *noise)
{
	int step = i / 2, second = i % 2, heun = s->c.kind == SAMPLER_HEUN;
	double from = s->sigma[step], to = s->sigma[step + 1], end = to, up = 0;
	double here = sampler_sigma(s, i);
	struct mix m = to_x0(s->c.noise.predict, here);
	const float *n = sampler_draws(s, i) ? sampler_draw(s, i, noise) : NULL;

	if (!heun && !second && step + 1 < s->steps)
		end = s->middle[step];
	if (n)
		ancestral(from, to, &end, &up);
	if (!second)
		memcpy(s->saved, x, (size_t)sampler_total(s) * sizeof *x);
	for (int64_t k = 0; k < sampler_total(s); k++) {
		double slope = (x[k] - clipped(s, m.of_x * x[k] + m.of_out * out[k])) / here;
		if (heun && second)
			slope = (slope + s->history[0][k]) / 2;
		if (heun && !second)
			s->history[0][k] = (float)slope;
		x[k] = (float)(s->saved[k] + slope * (end - from) + (n ? up * n[k] : 0));
	}
}
