#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "kernels/run/noise.h"

#define MAX_TIMESTEPS 100000

const struct noise_config noise_sd1 = {
	.n = 1000, .schedule = BETA_SCALED_LINEAR, .beta_start = 0.00085, .beta_end = 0.012,
};

static const char *const schedule_names[] = { "linear", "scaled_linear", "squaredcos_cap_v2" };
static const char *const prediction_names[] = { "epsilon", "v_prediction", "sample" };

int prediction_of_name(const char *name, enum prediction *out, struct err *e)
{
	for (int i = 0; i < 3; i++) {
		if (!strcmp(name, prediction_names[i])) {
			*out = (enum prediction)i;
			return 0;
		}
	}
	return fail(e, "prediction type '%s' is unknown (epsilon, v_prediction, sample)", name);
}

const char *prediction_name(enum prediction p)
{
	return prediction_names[p];
}

static int check_config(const struct noise_config *c, struct err *e)
{
	if (c->n < 2 || c->n > MAX_TIMESTEPS)
		return fail(e, "a noise schedule of %d timesteps (2 to %d can be used)", c->n,
			    MAX_TIMESTEPS);
	if (c->schedule == BETA_COSINE)
		return 0;
	if (!(c->beta_start > 0 && c->beta_start < 1 && c->beta_end > 0 && c->beta_end < 1))
		return fail(e, "a noise schedule from beta %g to %g (both must be between 0 and 1)",
			    c->beta_start, c->beta_end);
	return 0;
}

int noise_config_read(struct noise_config *c, const struct json *file, struct err *e)
{
	const char *schedule = json_text(json_get(file, "beta_schedule"), "linear");
	const char *predict = json_text(json_get(file, "prediction_type"), "epsilon");
	int64_t n = json_int(json_get(file, "num_train_timesteps"), 1000);
	int known = 0;

	*c = (struct noise_config){ 0 };
	if (json_count(json_get(file, "trained_betas")) > 0)
		return fail(e, "a scheduler with 'trained_betas' cannot be used "
			    "(beta_start, beta_end and beta_schedule can)");
	for (int i = 0; i < 3; i++) {
		if (!strcmp(schedule, schedule_names[i])) {
			c->schedule = (enum beta_schedule)i;
			known = 1;
		}
	}
	if (!known)
		return fail(e, "beta schedule '%s' is unknown (linear, scaled_linear, "
			    "squaredcos_cap_v2)", schedule);
	if (prediction_of_name(predict, &c->predict, e) < 0)
		return -1;
	c->n = n < 0 || n > MAX_TIMESTEPS ? MAX_TIMESTEPS + 1 : (int)n;
	c->beta_start = json_float(json_get(file, "beta_start"), 0.0001);
	c->beta_end = json_float(json_get(file, "beta_end"), 0.02);
	c->zero_snr = json_bool(json_get(file, "rescale_betas_zero_snr"), 0);
	return check_config(c, e);
}

/* PyTorch's linspace: counted from the nearer end, one rounding an entry. */
static void linspace(float *out, int n, float start, float end)
{
	float step = (end - start) / (float)(n - 1);

	for (int i = 0; i < n; i++)
		out[i] = i < n / 2 ? fmaf((float)i, step, start) :
			fmaf(-(float)(n - 1 - i), step, end);
}

static double cosine_level(double u)
{
	double v = cos((u + 0.008) / 1.008 * M_PI / 2);

	return v * v;
}

static void fill_betas(float *beta, const struct noise_config *c)
{
	int n = c->n;

	if (c->schedule == BETA_COSINE) {
		for (int i = 0; i < n; i++) {
			double b = 1 - cosine_level((double)(i + 1) / n) /
				cosine_level((double)i / n);
			beta[i] = (float)(b < 0.999 ? b : 0.999);
		}
	} else if (c->schedule == BETA_LINEAR) {
		linspace(beta, n, (float)c->beta_start, (float)c->beta_end);
	} else {
		linspace(beta, n, (float)sqrt(c->beta_start), (float)sqrt(c->beta_end));
		for (int i = 0; i < n; i++)
			beta[i] *= beta[i];
	}
}

static void fill_products(struct noise_table *s)
{
	double product = 1;

	for (int i = 0; i < s->n; i++) {
		product *= 1.0f - s->beta[i];
		s->a[i] = (float)product;
	}
}

static void rescale_to_zero_snr(struct noise_table *s)
{
	float first = sqrtf(s->a[0]), last = sqrtf(s->a[s->n - 1]), before = 1;
	float scale = first / (first - last);

	for (int i = 0; i < s->n; i++) {
		float root = (sqrtf(s->a[i]) - last) * scale;
		float level = root * root;
		s->beta[i] = 1.0f - (i ? level / before : level);
		before = level;
	}
	fill_products(s);
}

int noise_init(struct noise_table *s, const struct noise_config *c, struct err *e)
{
	*s = (struct noise_table){ 0 };
	if (check_config(c, e) < 0)
		return -1;
	s->n = c->n;
	s->beta = xcalloc((size_t)c->n, sizeof *s->beta);
	s->a = xcalloc((size_t)c->n, sizeof *s->a);
	fill_betas(s->beta, c);
	fill_products(s);
	if (c->zero_snr)
		rescale_to_zero_snr(s);
	return 0;
}

void noise_release(struct noise_table *s)
{
	free(s->beta);
	free(s->a);
	*s = (struct noise_table){ 0 };
}

static float level_at(const struct noise_table *s, int t)
{
	if (t < 0 || t >= s->n)
		BUG("timestep %d of %d", t, s->n);
	return s->a[t];
}

double noise_snr(const struct noise_table *s, int t)
{
	float a = level_at(s, t), root = sqrtf(a) / sqrtf(1.0f - a);

	return root * root;
}

double noise_sigma(const struct noise_table *s, int t)
{
	float a = level_at(s, t);

	return sqrtf((1.0f - a) / a);
}

void noise_add(const struct noise_table *s, int t, const float *x, const float *noise, float *out,
	       int64_t n)
{
	float a = level_at(s, t), keep = sqrtf(a), add = sqrtf(1.0f - a);

	for (int64_t i = 0; i < n; i++)
		out[i] = keep * x[i] + add * noise[i];
}

void noise_velocity(const struct noise_table *s, int t, const float *x, const float *noise,
		    float *out, int64_t n)
{
	float a = level_at(s, t), keep = sqrtf(a), add = sqrtf(1.0f - a);

	for (int64_t i = 0; i < n; i++)
		out[i] = keep * noise[i] - add * x[i];
}

static float rounded(float f, enum dtype type)
{
	if (type == DT_BF16)
		return bf16_to_f32(bf16_of_f32(f));
	return type == DT_F16 ? f16_to_f32(f16_of_f32(f)) : f;
}

/* out = p[i] * keep + q[i] * add with every step rounded. */
static void blend_as(enum dtype type, float keep, const float *p, float add, const float *q,
		     float *out, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		float kept = rounded(keep * p[i], type);
		float added = rounded(add * q[i], type);
		out[i] = rounded(kept + added, type);
	}
}

void noise_add_as(const struct noise_table *s, enum dtype type, int t, const float *x,
		  const float *noise, float *out, int64_t n)
{
	float a = rounded(level_at(s, t), type);
	float add = rounded(sqrtf(rounded(1.0f - a, type)), type);

	blend_as(type, rounded(sqrtf(a), type), x, add, noise, out, n);
}

void noise_velocity_as(const struct noise_table *s, enum dtype type, int t, const float *x,
		       const float *noise, float *out, int64_t n)
{
	float a = rounded(level_at(s, t), type);
	float add = rounded(sqrtf(rounded(1.0f - a, type)), type);

	blend_as(type, rounded(sqrtf(a), type), noise, -add, x, out, n);
}

void noise_target(const struct noise_table *s, enum prediction p, int t, const float *x,
		  const float *noise, float *out, int64_t n)
{
	if (p == PREDICT_V)
		noise_velocity(s, t, x, noise, out, n);
	else
		memmove(out, p == PREDICT_SAMPLE ? x : noise, (size_t)n * sizeof *out);
}
