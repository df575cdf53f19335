/*
 * Timesteps and sigmas of a run.
 */
#include <math.h>
#include <stdlib.h>
#include "common/base/mem.h"
#include "kernels/run/sampler_parts.h"

/* How many timesteps DPM++ uses: those whose log-SNR is above the limit. */
static int last_timestep(const struct sampler *s)
{
	const struct noise_table *t = &s->table;
	int last = t->n;

	if (s->c.kind == SAMPLER_DPM_MULTI || s->c.kind == SAMPLER_DPM_SINGLE)
		while (last > 1 && -log(noise_sigma(t, last - 1)) < s->c.lambda_min)
			last--;
	return last;
}

/* Step k of n, counted from the largest timestep; f32 where the network gets fractions. */
static double spaced(const struct sampler *s, int k, int last)
{
	int n = s->steps, train = s->table.n, lambda = sampler_by_lambda(s->c.kind);
	double ratio = (double)train / n, even;
	int up = n - 1 - k;

	switch (s->c.spacing) {
	case SPACING_LEADING:
		if (lambda)
			return (double)(up + 1) * (last / (n + 1)) + s->c.steps_offset;
		return (double)up * (train / n) + s->c.steps_offset;
	case SPACING_TRAILING:
		/* numpy's arange steps by the rounded difference of its first two entries */
		return rint(last + k * ((last - ratio) - last)) - 1;
	default:
		if (lambda)
			return rint((double)(up + 1) * ((last - 1.0) / n));
		if (n == 1)
			return 0;
		if (k == 0)
			return train - 1;
		even = up * ((train - 1.0) / (n - 1));
		return sampler_by_time(s->c.kind) ? rint(even) : even;
	}
}

static float *spaced_all(const struct sampler *s)
{
	float *t = xcalloc((size_t)s->steps, sizeof *t);
	int last = last_timestep(s);

	for (int k = 0; k < s->steps; k++) {
		double v = spaced(s, k, last);
		t[k] = (float)(v < 0 ? 0 : v > s->table.n - 1 ? s->table.n - 1 : v);
	}
	return t;
}

/* The f32 table of sigmas, by timestep. */
static float *sigma_table(const struct noise_table *t)
{
	float *sigma = xcalloc((size_t)t->n, sizeof *sigma);

	for (int i = 0; i < t->n; i++)
		sigma[i] = sqrtf((1.0f - t->a[i]) / t->a[i]);
	return sigma;
}

static double interpolate(const float *table, int n, double t)
{
	int low = (int)floor(t);

	if (low >= n - 1)
		return table[n - 1];
	return ((double)table[low + 1] - table[low]) * (t - low) + table[low];
}

/* The timestep of a sigma, linear between the logarithms of the table. */
static double time_of_sigma(const float *table, int n, double sigma)
{
	double want = log(sigma > 1e-10 ? sigma : 1e-10), w;
	float low, high;
	int at = 0;

	while (at < n - 2 && (double)logf(table[at + 1]) <= want)
		at++;
	low = logf(table[at]);
	high = logf(table[at + 1]);
	w = (low - want) / (double)(low - high);
	w = w < 0 ? 0 : w > 1 ? 1 : w;
	return (1 - w) * at + w * (at + 1);
}

/*
 * Sigmas between two ends, the largest first (Karras et al. 2022, equation 5, rho = 7; or
 * geometric).
 */
static double spread_sigma(enum sigma_spread how, double max, double min, int k, int n)
{
	double f = n > 1 ? (double)k / (n - 1) : 0;

	if (how == SIGMAS_EXPONENTIAL)
		return exp(log(max) + f * (log(min) - log(max)));
	return pow(pow(max, 1 / 7.0) + f * (pow(min, 1 / 7.0) - pow(max, 1 / 7.0)), 7);
}

/*
 * Where a spread puts its points, their timesteps are rounded for the samplers that want whole
 * ones.
 */
static double whole(const struct sampler *s, double t)
{
	int cosine = s->c.noise.schedule == BETA_COSINE;
	int lambda = sampler_by_lambda(s->c.kind);

	if (lambda && (s->c.spread != SIGMAS_KARRAS || (s->c.kind == SAMPLER_DPM_MULTI && cosine)))
		return trunc(t);
	if (s->c.spread == SIGMAS_KARRAS &&
	    (lambda || s->c.kind == SAMPLER_DPM2 || s->c.kind == SAMPLER_DPM2_A))
		return rint(t);
	return t;
}

static void plan_sigmas(struct sampler *s, const float *table, float *time)
{
	int n = s->steps, train = s->table.n, all = sampler_by_lambda(s->c.kind);
	double max = all ? table[train - 1] : interpolate(table, train, time[0]);
	double min = all ? table[0] : interpolate(table, train, time[n - 1]);

	s->sigma = xcalloc((size_t)n + 1, sizeof *s->sigma);
	for (int k = 0; k < n; k++) {
		if (s->c.spread == SIGMAS_OF_TIMESTEPS) {
			s->sigma[k] = (float)interpolate(table, train, time[k]);
		} else {
			double sigma = spread_sigma(s->c.spread, max, min, k, n);
			s->sigma[k] = (float)sigma;
			time[k] = (float)whole(s, time_of_sigma(table, train, sigma));
		}
	}
	s->sigma[n] = s->c.final_sigma_min ? table[0] : 0;
}

/*
 * DPM2's middle is the geometric mean of its ends; DPM2 a's of sigma and the lower end of its ODE
 * step.
 */
static void plan_middles(struct sampler *s)
{
	s->middle = xcalloc((size_t)s->steps, sizeof *s->middle);
	for (int k = 0; k + 1 < s->steps; k++) {
		double from = s->sigma[k], to = s->sigma[k + 1];
		s->middle[k] = (float)(s->c.kind == SAMPLER_DPM2 ? sqrt(from * to) : to);
	}
}

/* From one timestep a step to one a call. */
static void plan_calls(struct sampler *s, const float *table, const float *time)
{
	for (int i = 0; i < s->count; i++) {
		if (s->c.kind == SAMPLER_PNDM)
			s->time[i] = time[i < 2 ? i : i - 1];
		else if (!sampler_in_pairs(s->c.kind))
			s->time[i] = time[i];
		else if (s->c.kind == SAMPLER_HEUN || i % 2 == 0)
			s->time[i] = time[(i + 1) / 2];
		else
			s->time[i] = (float)time_of_sigma(table, s->table.n, s->middle[i / 2]);
	}
}

static int call_count(enum sampler_kind k, int steps)
{
	if (k == SAMPLER_PNDM)
		return steps > 1 ? steps + 1 : 1;
	return sampler_in_pairs(k) ? 2 * steps - 1 : steps;
}

static int check_list(const struct sampler *s, const int *list, struct err *e)
{
	if (s->c.kind != SAMPLER_DDPM)
		return fail(e, "timesteps can be listed for DDPM only");
	for (int k = 0; k < s->steps; k++) {
		if (list[k] < 0 || list[k] >= s->table.n || (k && list[k] >= list[k - 1]))
			return fail(e, "timestep %d at place %d (they must fall, from %d at most to 0)",
				    list[k], k + 1, s->table.n - 1);
	}
	return 0;
}

int sampler_plan(struct sampler *s, const int *list, struct err *e)
{
	float *time = NULL, *table = NULL;

	if (noise_init(&s->table, &s->c.noise, e) < 0)
		return -1;
	if (s->steps < 1 || s->steps > s->table.n)
		return fail(e, "%d sampling steps (1 to %d are possible)", s->steps, s->table.n);
	if (list && check_list(s, list, e) < 0)
		return -1;
	/*
	 * Sigma would be infinite where a is 0; DDPM and DDIM never divide by it if the network
	 * predicts v.
	 */
	if (s->table.a[s->table.n - 1] == 0 && s->c.kind != SAMPLER_DDPM &&
	    s->c.kind != SAMPLER_DDIM)
		s->table.a[s->table.n - 1] = 0x1p-24f;
	if (s->table.a[s->table.n - 1] == 0 && s->c.noise.predict == PREDICT_EPSILON)
		return fail(e, "a network that predicts noise cannot start from zero SNR "
			    "(one of v_prediction can)");
	s->count = call_count(s->c.kind, s->steps);
	s->time = xcalloc((size_t)s->count, sizeof *s->time);
	s->init_sigma = 1;
	time = spaced_all(s);
	for (int k = 0; list && k < s->steps; k++)
		time[k] = (float)list[k];
	table = sigma_table(&s->table);
	if (!sampler_by_time(s->c.kind))
		plan_sigmas(s, table, time);
	if (s->c.kind == SAMPLER_DPM2 || s->c.kind == SAMPLER_DPM2_A)
		plan_middles(s);
	if (!sampler_by_time(s->c.kind) && !sampler_by_lambda(s->c.kind)) {
		double max = s->sigma[0];
		s->init_sigma = (float)(s->c.spacing == SPACING_LEADING ?
					sqrt(max * max + 1) : max);
	}
	plan_calls(s, table, time);
	free(time);
	free(table);
	return 0;
}
