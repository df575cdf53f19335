/*
 * Samplers against diffusers' schedulers: whole trajectories with a stand-in for the network,
 * forward noise, starting from a picture, guidance.
 */
#include "tests/golden/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/run/guidance.h"
#include "kernels/run/sampler.h"

static const struct json *args_of(const struct gcase *c)
{
	return json_get(c->doc, "args");
}

static int config_of(const struct gcase *c, struct sampler_config *k, struct err *e)
{
	const struct json *step = json_get(args_of(c), "step_args");

	if (sampler_configure(k, json_get(args_of(c), "config"), golden_word(c, "scheduler", ""), e) < 0)
		return -1;
	k->eta = json_float(json_get(step, "eta"), 0);
	k->churn = json_float(json_get(step, "s_churn"), 0);
	k->churn_min = json_float(json_get(step, "s_tmin"), 0);
	k->churn_max = json_float(json_get(step, "s_tmax"), 0);
	k->churn_noise = json_float(json_get(step, "s_noise"), 1);
	return 0;
}

/* The K-th recorded draw belongs to the call that the case names. */
struct draws {
	struct gcase *c;
	int made;
	int wrong;
};

static void draw(void *who, int i, float *out, int64_t n)
{
	struct draws *d = who;
	const struct json *steps = json_get(args_of(d->c), "noise_drawn_at_step");
	struct tensor t = { 0 };
	struct err e;
	char name[32];

	snprintf(name, sizeof name, "in.noise_%d", d->made);
	if (json_int(json_at(steps, (size_t)d->made), -1) != i ||
	    golden_tensor(d->c, name, &t, &e) < 0 || tensor_count(&t) != n) {
		memset(out, 0, (size_t)n * sizeof *out);
		d->wrong = 1;
	} else {
		memcpy(out, t.at, (size_t)n * sizeof *out);
	}
	d->made++;
	tensor_release(&t);
}

/* Compare x with out.PREFIX + "x_K", where that was kept. */
static int compare_x(struct gcase *c, const char *prefix, int k, const float *x, int64_t n,
		     struct err *e)
{
	char name[64];

	snprintf(name, sizeof name, "out.%sx_%d", prefix, k);
	return golden_has(c, name) ? golden_compare(c, name, x, n, -1, 0, e) : 0;
}

/* out = a x + b c; `half` values of c's second half a sample become the variance. */
static void stand_in(const struct sampler *s, const struct tensor *c, float a, float b,
		     const float *in, float *out, float *variance)
{
	int64_t wide = tensor_count(c) / s->samples;
	const float *v = c->at;

	for (int64_t k = 0; k < s->samples; k++) {
		for (int64_t j = 0; j < s->each; j++) {
			out[k * s->each + j] = a * in[k * s->each + j] + b * v[k * wide + j];
			if (variance)
				variance[k * s->each + j] = b * v[k * wide + s->each + j];
		}
	}
}

/* Run calls from .. to - 1 of s on x, comparing along the way. */
static int walk(struct gcase *c, struct sampler *s, int from, int to, const char *prefix, float *x,
		struct err *e)
{
	int64_t n = s->samples * s->each;
	struct tensor mix = { 0 }, a = { 0 }, b = { 0 };
	struct draws d = { .c = c };
	struct sampler_noise noise = { draw, &d };
	float *in = xcalloc((size_t)n, sizeof *in), *out = xcalloc((size_t)n, sizeof *out),
		*variance = NULL;
	char name[64];
	int ret = -1;

	snprintf(name, sizeof name, "in.%sa", prefix);
	if (golden_tensor(c, "in.c", &mix, e) < 0 || golden_tensor(c, name, &a, e) < 0)
		goto out;
	snprintf(name, sizeof name, "in.%sb", prefix);
	if (golden_tensor(c, name, &b, e) < 0)
		goto out;
	if (tensor_count(&a) != to - from || tensor_count(&b) != to - from) {
		fail(e, "%d calls are wanted, the case has %lld", to - from, (long long)tensor_count(&a));
		goto out;
	}
	if (tensor_count(&mix) == 2 * n)
		variance = xcalloc((size_t)n, sizeof *variance);
	if (compare_x(c, prefix, 0, x, n, e) < 0)
		goto out;
	for (int i = from; i < to; i++) {
		sampler_scale_input(s, i, x, in);
		stand_in(s, &mix, ((const float *)a.at)[i - from], ((const float *)b.at)[i - from],
			 in, out, variance);
		sampler_step(s, i, out, variance, x, &noise);
		if (compare_x(c, prefix, i - from + 1, x, n, e) < 0)
			goto out;
	}
	if (d.wrong || d.made != (int)json_count(json_get(args_of(c), "noise_drawn_at_step")))
		fail(e, "noise was drawn %d times, or at other calls than recorded", d.made);
	else
		ret = 0;
out:
	tensor_release(&mix);
	tensor_release(&a);
	tensor_release(&b);
	free(in);
	free(out);
	free(variance);
	return ret;
}

/* diffusers lists a sigma for each call of Heun, and one more for DPM2. */
static int compare_sigmas(struct gcase *c, const struct sampler *s, struct err *e)
{
	enum sampler_kind k = s->c.kind;
	int pairs = k == SAMPLER_HEUN || k == SAMPLER_DPM2 || k == SAMPLER_DPM2_A;
	int n = k == SAMPLER_HEUN ? 2 * s->steps : pairs ? 2 * s->steps + 2 : s->steps + 1;
	float *list;
	int ret;

	if (!golden_has(c, "out.sigmas") || !s->sigma)
		return 0;
	list = xcalloc((size_t)n, sizeof *list);
	for (int i = 0; i < n; i++) {
		int at = pairs ? (i + 1) / 2 : i;
		list[i] = s->sigma[at < s->steps ? at : s->steps];
	}
	ret = golden_compare(c, "out.sigmas", list, n, -1, 0, e);
	free(list);
	return ret;
}

static int compare_plan(struct gcase *c, const struct sampler *s, struct err *e)
{
	if (golden_compare(c, "out.timesteps", s->time + s->first, s->count - s->first, -1, 0, e) < 0)
		return -1;
	if (golden_has(c, "out.init_noise_sigma") && golden_compare(c, "out.init_noise_sigma", &s->init_sigma, 1, -1, 0, e) < 0)
		return -1;
	return compare_sigmas(c, s, e);
}

/* A sampler for the case's shape: that of `like`. */
static int open_sampler(struct gcase *c, struct sampler *s, const struct tensor *like,
			struct err *e)
{
	int steps = (int)golden_number(c, "steps", 0);
	int64_t samples = like->side[0], each = tensor_count(like) / samples;
	struct sampler_config k;
	struct tensor t = { 0 };
	int *list, ret;

	if (config_of(c, &k, e) < 0)
		return -1;
	if (!strstr(c->name, "-fast") && !strstr(c->name, "-smart"))
		return sampler_init(s, &k, steps, samples, each, e);
	if (golden_tensor(c, "out.timesteps", &t, e) < 0)
		return -1;
	list = xcalloc((size_t)tensor_count(&t) + 1, sizeof *list);
	for (int64_t i = 0; i < tensor_count(&t); i++)
		list[i] = (int)((const float *)t.at)[i];
	ret = sampler_init_list(s, &k, list, (int)tensor_count(&t), samples, each, e);
	free(list);
	tensor_release(&t);
	return ret;
}

static int check_trajectory(struct gcase *c, struct err *e)
{
	struct sampler s = { 0 };
	struct tensor noise = { 0 };
	float *x = NULL;
	int ret = -1;

	if (golden_tensor(c, "in.noise", &noise, e) < 0 || open_sampler(c, &s, &noise, e) < 0)
		goto out;
	x = xcalloc((size_t)tensor_count(&noise), sizeof *x);
	for (int64_t i = 0; i < tensor_count(&noise); i++)
		x[i] = ((const float *)noise.at)[i] * s.init_sigma;
	if (compare_plan(c, &s, e) < 0)
		goto out;
	ret = walk(c, &s, 0, s.count, "", x, e);
out:
	sampler_release(&s);
	tensor_release(&noise);
	free(x);
	return ret;
}

static int check_img2img(struct gcase *c, struct err *e)
{
	struct sampler s = { 0 };
	struct tensor noise = { 0 }, start = { 0 };
	float *x = NULL;
	int ret = -1;

	if (golden_tensor(c, "in.noise", &noise, e) < 0 || golden_tensor(c, "in.latents", &start, e) < 0 ||
	    open_sampler(c, &s, &noise, e) < 0)
		goto out;
	if (sampler_set_strength(&s, golden_number(c, "strength", 0)) != (int)golden_number(c, "begin_index", -1)) {
		fail(e, "begins at call %d, not %g", s.first, golden_number(c, "begin_index", -1));
		goto out;
	}
	x = xcalloc((size_t)tensor_count(&noise), sizeof *x);
	sampler_noise(&s, s.first, start.at, noise.at, x, tensor_count(&noise));
	if (compare_plan(c, &s, e) < 0)
		goto out;
	ret = walk(c, &s, s.first, s.count, "", x, e);
out:
	sampler_release(&s);
	tensor_release(&noise);
	tensor_release(&start);
	free(x);
	return ret;
}

static int check_refiner(struct gcase *c, struct err *e)
{
	struct sampler s = { 0 };
	struct tensor noise = { 0 };
	float *x = NULL;
	int ret = -1, at;

	if (golden_tensor(c, "in.noise", &noise, e) < 0 || open_sampler(c, &s, &noise, e) < 0)
		goto out;
	at = sampler_split(&s, golden_number(c, "denoising_end", 0));
	x = xcalloc((size_t)tensor_count(&noise), sizeof *x);
	for (int64_t i = 0; i < tensor_count(&noise); i++)
		x[i] = ((const float *)noise.at)[i] * s.init_sigma;
	if (golden_compare(c, "out.base_timesteps", s.time, at, -1, 0, e) < 0 ||
	    golden_compare(c, "out.refiner_timesteps", s.time + at, s.count - at, -1, 0, e) < 0 ||
	    compare_sigmas(c, &s, e) < 0 || walk(c, &s, 0, at, "base_", x, e) < 0)
		goto out;
	sampler_restart(&s);
	ret = walk(c, &s, at, s.count, "refiner_", x, e);
out:
	sampler_release(&s);
	tensor_release(&noise);
	free(x);
	return ret;
}

struct forward {        /* the tensors of an add-noise case */
	struct tensor x, noise, times;
	int64_t each;
	float *noisy, *velocity;
};

static int forward_open(struct gcase *c, struct forward *f, struct err *e)
{
	if (golden_tensor(c, "in.x", &f->x, e) < 0 || golden_tensor(c, "in.noise", &f->noise, e) < 0 ||
	    golden_tensor(c, "in.timesteps", &f->times, e) < 0)
		return -1;
	f->each = tensor_count(&f->x) / tensor_count(&f->times);
	f->noisy = xcalloc((size_t)tensor_count(&f->x), sizeof(float));
	f->velocity = xcalloc((size_t)tensor_count(&f->x), sizeof(float));
	return 0;
}

static void forward_release(struct forward *f)
{
	tensor_release(&f->x);
	tensor_release(&f->noise);
	tensor_release(&f->times);
	free(f->noisy);
	free(f->velocity);
}

static void forward_by_table(const struct noise_table *t, enum dtype type, struct forward *f)
{
	for (int64_t i = 0; i < tensor_count(&f->times); i++) {
		int at = (int)((const float *)f->times.at)[i];
		const float *x = (const float *)f->x.at + i * f->each,
			*n = (const float *)f->noise.at + i * f->each;
		if (type == DT_F32) {
			noise_add(t, at, x, n, f->noisy + i * f->each, f->each);
			noise_velocity(t, at, x, n, f->velocity + i * f->each, f->each);
		} else {
			noise_add_as(t, type, at, x, n, f->noisy + i * f->each, f->each);
			noise_velocity_as(t, type, at, x, n, f->velocity + i * f->each, f->each);
		}
	}
}

static int check_forward(struct gcase *c, struct err *e)
{
	const char *type = golden_word(c, "dtype", "");
	enum dtype as = !strcmp(type, "bfloat16") ? DT_BF16 : !strcmp(type, "float16") ? DT_F16 : DT_F32;
	int steps = (int)golden_number(c, "steps", 0), ret = -1;
	struct sampler s = { 0 };
	struct sampler_config k;
	struct forward f = { 0 };

	if (config_of(c, &k, e) < 0 || forward_open(c, &f, e) < 0 ||
	    sampler_init(&s, &k, steps ? steps : 1, 1, 1, e) < 0)
		goto out;
	if (!steps) {
		/* rounded at every step, the reference's numbers must be met exactly */
		double rtol = as == DT_F32 ? -1 : 0;
		forward_by_table(&s.table, as, &f);
		if (golden_compare(c, "out.noisy", f.noisy, tensor_count(&f.x), rtol, 0, e) < 0 ||
		    golden_compare(c, "out.velocity", f.velocity, tensor_count(&f.x), rtol, 0, e) < 0)
			goto out;
		ret = 0;
		goto out;
	}
	for (int64_t i = 0; i < tensor_count(&f.times); i++) {
		int at = 0;
		while (at < s.count - 1 && s.time[at] != ((const float *)f.times.at)[i])
			at++;
		sampler_noise(&s, at, (const float *)f.x.at + i * f.each,
			      (const float *)f.noise.at + i * f.each, f.noisy + i * f.each, f.each);
	}
	if (compare_sigmas(c, &s, e) == 0 &&
	    golden_compare(c, "out.noisy", f.noisy, tensor_count(&f.x), -1, 0, e) == 0)
		ret = 0;
out:
	sampler_release(&s);
	forward_release(&f);
	return ret;
}

static int check_guidance(struct gcase *c, struct err *e)
{
	float scale = (float)golden_number(c, "scale", 0),
		rescale = (float)golden_number(c, "rescale", 0), *g = NULL;
	struct tensor without = { 0 }, with = { 0 };
	int ret = -1;
	int64_t n, each, part;

	if (golden_tensor(c, "in.uncond", &without, e) < 0 || golden_tensor(c, "in.cond", &with, e) < 0)
		goto out;
	n = tensor_count(&with);
	each = n / with.side[0];
	/* a learned variance is not guided: it stays that of the text */
	part = golden_word(c, "variance", NULL) ? each / 2 : each;
	g = xcalloc((size_t)n, sizeof *g);
	memcpy(g, with.at, (size_t)n * sizeof *g);
	for (int64_t s = 0; s < with.side[0]; s++)
		guide((const float *)without.at + s * each, (const float *)with.at + s * each,
		      scale, g + s * each, part);
	if (golden_compare(c, "out.guided", g, n, -1, 0, e) < 0)
		goto out;
	if (golden_has(c, "out.rescaled")) {
		guide_rescale(g, with.at, rescale, with.side[0], each);
		if (golden_compare(c, "out.rescaled", g, n, -1, 0, e) < 0)
			goto out;
	}
	ret = 0;
out:
	tensor_release(&without);
	tensor_release(&with);
	free(g);
	return ret;
}

static int check(struct gcase *c, enum golden_verdict *v, struct err *e)
{
	*v = GOLDEN_CHECKED;
	if (!strncmp(c->name, "if2-low", 7)) {
		*v = GOLDEN_NOT_YET;
		return 0;
	}
	if (!strncmp(c->name, "add-noise-", 10))
		return check_forward(c, e);
	if (!strncmp(c->name, "guidance", 8))
		return check_guidance(c, e);
	if (!strncmp(c->name, "img2img-", 8))
		return check_img2img(c, e);
	if (!strcmp(c->name, "sdxl-base-refiner"))
		return check_refiner(c, e);
	return check_trajectory(c, e);
}

const struct golden_group golden_sampler = { .name = "sampler", .check = check };
