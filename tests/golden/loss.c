/*
 * Forward noise, targets, weights, losses and their gradients: diffusers' DreamBooth scripts and
 * kohya's trainers.
 */
#include "tests/golden/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/run/loss.h"
#include "kernels/run/noise_extra.h"

enum { LATENTS, NOISE, TIMES, PRED, MASK, WEIGHTS, DRAW, ROLES };
static const char *const roles[ROLES] = {
	"in.latents", "in.noise", "in.timesteps", "in.model_pred", "in.mask", "in.loss_weights", "in.draw_0"
};

struct work {
	struct tensor in[ROLES];
	struct noise_table table, original;     /* in force; before a rescaling to zero SNR */
	enum prediction predict;
	struct loss_options options;
	int64_t samples, each, total, pixels;
	float *noise, *noisy, *target, *pred, *mask, *grad;
	double *weight, *huber_c, *per_sample;
};

static const struct json *arg(const struct gcase *c, const char *key)
{
	return json_get(json_get(c->doc, "args"), key);
}

static const float *values(const struct tensor *t)
{
	return t->at;
}

static int time_of(const struct work *w, int64_t i)
{
	return (int)values(&w->in[TIMES])[i];
}

static int read_tables(struct gcase *c, struct work *w, struct err *e)
{
	struct noise_config k = noise_sd1;

	if (!strcmp(golden_word(c, "beta_schedule", ""), "squaredcos_cap_v2"))
		k.schedule = BETA_COSINE;
	if (noise_init(&w->original, &k, e) < 0)
		return -1;
	k.zero_snr = json_bool(arg(c, "zero_terminal_snr"), 0);
	return noise_init(&w->table, &k, e);
}

static int read_options(struct gcase *c, struct work *w, struct err *e)
{
	struct loss_options *o = &w->options;

	if (loss_kind_of_name(golden_word(c, "loss_type", "l2"), &o->kind, e) < 0 ||
	    huber_schedule_of_name(golden_word(c, "huber_schedule", "snr"), &o->huber, e) < 0)
		return -1;
	o->huber_c = golden_number(c, "huber_c", 0.1);
	o->huber_scale = golden_number(c, "huber_scale", 1);
	o->snr_gamma = golden_number(c, "min_snr_gamma", golden_number(c, "snr_gamma", 0));
	o->snr_plus_one = strstr(c->name, "plus-one") != NULL;
	o->scale_v = json_bool(arg(c, "scale_v_pred_loss_like_noise_pred"), 0);
	o->v_pred_like = golden_number(c, "v_pred_like_loss", 0);
	o->debiased = json_bool(arg(c, "debiased_estimation_loss"), 0);
	w->predict = json_bool(arg(c, "v_parameterization"), 0) || !strcmp(golden_word(c, "prediction", ""), "v") ?
		PREDICT_V : PREDICT_EPSILON;
	return 0;
}

static float *room(int64_t n)
{
	return xcalloc((size_t)n + 1, sizeof(float));
}

static int work_open(struct gcase *c, struct work *w, struct err *e)
{
	for (int i = 0; i < ROLES; i++)
		if (golden_has(c, roles[i]) && golden_tensor(c, roles[i], &w->in[i], e) < 0)
			return -1;
	if (!w->in[LATENTS].at || !w->in[TIMES].at || w->in[LATENTS].rank != 4)
		return fail(e, "the case has no latents or timesteps");
	if (read_tables(c, w, e) < 0 || read_options(c, w, e) < 0)
		return -1;
	w->samples = w->in[LATENTS].side[0];
	w->total = tensor_count(&w->in[LATENTS]);
	w->each = w->total / w->samples;
	w->pixels = w->in[LATENTS].side[2] * w->in[LATENTS].side[3];
	w->noise = room(w->total);
	w->noisy = room(w->total);
	w->target = room(w->total);
	w->pred = room(w->total);
	w->grad = room(w->total);
	w->mask = room(w->samples * w->pixels);
	w->weight = xcalloc((size_t)w->samples, sizeof(double));
	w->huber_c = xcalloc((size_t)w->samples, sizeof(double));
	w->per_sample = xcalloc((size_t)w->samples, sizeof(double));
	return 0;
}

static void work_release(struct work *w)
{
	for (int i = 0; i < ROLES; i++)
		tensor_release(&w->in[i]);
	noise_release(&w->table);
	noise_release(&w->original);
	free(w->noise);
	free(w->noisy);
	free(w->target);
	free(w->pred);
	free(w->grad);
	free(w->mask);
	free(w->weight);
	free(w->huber_c);
	free(w->per_sample);
}

/* The recorded draws and uniform numbers, one after the other. */
struct replay {
	struct gcase *c;
	int draws, uniforms, wrong;
};

static void replay_normal(void *who, float *out, int64_t n)
{
	struct replay *r = who;
	struct tensor t = { 0 };
	struct err e;
	char name[32];

	snprintf(name, sizeof name, "in.draw_%d", r->draws++);
	if (golden_tensor(r->c, name, &t, &e) == 0 && tensor_count(&t) == n) {
		memcpy(out, t.at, (size_t)n * sizeof *out);
	} else {
		memset(out, 0, (size_t)n * sizeof *out);
		r->wrong = 1;
	}
	tensor_release(&t);
}

static double replay_uniform(void *who)
{
	struct replay *r = who;
	struct tensor t = { 0 };
	struct err e;
	char name[32];
	double v = 0;

	snprintf(name, sizeof name, "in.uniform_%d", r->uniforms++);
	if (golden_tensor(r->c, name, &t, &e) == 0)
		v = *(const float *)t.at;
	else
		r->wrong = 1;
	tensor_release(&t);
	return v;
}

static struct noise_options noise_options_of(const struct gcase *c)
{
	return (struct noise_options){
		.offset = golden_number(c, "noise_offset", golden_number(c, "offset_noise", 0)),
		.offset_random = json_bool(arg(c, "noise_offset_random_strength"), 0),
		.adaptive = golden_number(c, "adaptive_noise_scale", 0),
		.multires = (int)golden_number(c, "multires_noise_iterations", 0),
		.multires_discount = golden_number(c, "multires_noise_discount", 0.3),
		.ip_gamma = golden_number(c, "ip_noise_gamma", 0),
		.ip_random = json_bool(arg(c, "ip_noise_gamma_random_strength"), 0),
	};
}

static void add_noise(const struct work *w, const float *noise, float *out)
{
	for (int64_t i = 0; i < w->samples; i++)
		noise_add(&w->table, time_of(w, i), values(&w->in[LATENTS]) + i * w->each,
			  noise + i * w->each, out + i * w->each, w->each);
}

/* White or shaped noise, what the network sees and what it should say. */
static int make_noise(struct gcase *c, struct work *w, struct err *e)
{
	struct replay r = { .c = c };
	struct noise_source from = { replay_normal, replay_uniform, &r };
	struct noise_options o = noise_options_of(c);
	const int64_t *side = w->in[LATENTS].side;
	struct noise_shape shape = { side[0], side[1], side[2], side[3], 0 };

	if (w->in[NOISE].at) {
		memcpy(w->noise, w->in[NOISE].at, (size_t)w->total * sizeof *w->noise);
	} else {
		replay_normal(&r, w->noise, w->total);
		noise_shape_up(&o, &shape, w->in[LATENTS].at, w->noise, w->noisy, &from);
	}
	/* the target and grad have room for what the network sees until they are needed */
	noise_perturb(&o, w->noise, w->target, w->total, &from);
	add_noise(w, w->target, w->noisy);
	for (int64_t i = 0; i < w->samples; i++)
		noise_target(&w->table, w->predict, time_of(w, i),
			     values(&w->in[LATENTS]) + i * w->each, w->noise + i * w->each,
			     w->target + i * w->each, w->each);
	return r.wrong ? fail(e, "draws are not those of the case") : 0;
}

static void make_weights(struct gcase *c, struct work *w)
{
	unsigned char prior[64] = { 0 };

	for (int64_t i = 0; i < w->samples; i++) {
		w->weight[i] = loss_weight(&w->options, &w->original, w->predict, time_of(w, i));
		w->huber_c[i] = loss_huber_c(&w->options, &w->table, time_of(w, i));
		if (w->in[WEIGHTS].at)
			w->weight[i] *= values(&w->in[WEIGHTS])[i];
		if (i < 64)
			prior[i] = i >= w->samples / 2;
	}
	if (golden_number(c, "prior_loss_weight", 0) > 0 || strstr(c->name, "variance-prior"))
		loss_prior_weights(w->weight, prior, w->samples, golden_number(c, "prior_loss_weight", 1), 1);
}

/*
 * The network's output without a learned variance; masks from pictures of -1..1 or from 0..1,
 * shrunk.
 */
static void make_inputs(struct gcase *c, struct work *w)
{
	const struct tensor *m = &w->in[MASK];
	int64_t stride = tensor_count(&w->in[PRED]) / w->samples,
		area = m->at ? m->side[1] * m->side[2] : 0;
	int signs = !strncmp(golden_word(c, "mask", ""), "first", 5);
	float *one = room(area);

	for (int64_t i = 0; i < w->samples; i++) {
		memcpy(w->pred + i * w->each, values(&w->in[PRED]) + i * stride,
		       (size_t)w->each * sizeof(float));
		for (int64_t k = 0; k < area; k++)
			one[k] = signs ? values(m)[i * area + k] / 2 + 0.5f :
				values(m)[i * area + k];
		if (area)
			loss_shrink_mask(one, m->side[1], m->side[2], w->mask + i * w->pixels,
					 w->in[LATENTS].side[2], w->in[LATENTS].side[3]);
	}
	free(one);
}

static int compare_doubles(struct gcase *c, const char *name, const double *v, int64_t n,
			   struct err *e)
{
	float *f = room(n);
	int ret;

	if (!golden_has(c, name)) {
		free(f);
		return 0;
	}
	for (int64_t i = 0; i < n; i++)
		f[i] = (float)v[i];
	ret = golden_compare(c, name, f, n, -1, 0, e);
	free(f);
	return ret;
}

/* The gradient as the network's output is laid out: none for a learned variance. */
static int compare_grad(struct gcase *c, struct work *w, struct err *e)
{
	int64_t n = tensor_count(&w->in[PRED]), stride = n / w->samples;
	float *grad = room(n);
	int ret;

	for (int64_t i = 0; i < w->samples; i++)
		memcpy(grad + i * stride, w->grad + i * w->each, (size_t)w->each * sizeof *grad);
	ret = golden_compare(c, "grad.model_pred", grad, n, golden_number(c, "rtol_grad", 1e-5), 0, e);
	free(grad);
	return ret;
}

static int compare_parts(struct gcase *c, struct work *w, struct err *e)
{
	double weighted[64], halves[2] = { 0, 0 };

	for (int64_t i = 0; i < w->samples && i < 64; i++) {
		weighted[i] = w->per_sample[i] * w->weight[i];
		halves[i >= w->samples / 2] += w->per_sample[i] / (double)(w->samples / 2);
	}
	if (compare_doubles(c, "out.per_sample", w->per_sample, w->samples, e) < 0 ||
	    compare_doubles(c, "out.mse", w->per_sample, w->samples, e) < 0 ||
	    compare_doubles(c, "out.weight", w->weight, w->samples, e) < 0 ||
	    compare_doubles(c, "out.weighted", weighted, w->samples, e) < 0 ||
	    compare_doubles(c, "out.instance_loss", halves, 1, e) < 0 ||
	    compare_doubles(c, "out.prior_loss", halves + 1, 1, e) < 0)
		return -1;
	return golden_has(c, "out.huber_c") ? compare_doubles(c, "out.huber_c", w->huber_c, w->samples, e) : 0;
}

static int check_loss(struct gcase *c, struct work *w, struct err *e)
{
	struct loss_batch b = { .samples = w->samples, .channels = w->in[LATENTS].side[1],
				.pixels = w->pixels };
	double loss;

	make_inputs(c, w);
	make_weights(c, w);
	b.pred = w->pred;
	b.target = w->target;
	b.mask = w->in[MASK].at ? w->mask : NULL;
	b.weight = w->weight;
	b.huber_c = w->huber_c;
	loss = loss_compute(w->options.kind, &b, w->per_sample, w->grad);
	if (golden_compare(c, "out.target", w->target, w->total, -1, 0, e) < 0 ||
	    compare_doubles(c, "out.loss", &loss, 1, e) < 0 || compare_parts(c, w, e) < 0)
		return -1;
	return compare_grad(c, w, e);
}

static int check(struct gcase *c, enum golden_verdict *v, struct err *e)
{
	struct work w = { .samples = 0 };
	int ret = -1;

	*v = GOLDEN_CHECKED;
	if (!strncmp(c->name, "edm-style", 9)) {
		*v = GOLDEN_NOT_YET;
		return 0;
	}
	if (work_open(c, &w, e) < 0 || make_noise(c, &w, e) < 0)
		goto out;
	if (golden_compare(c, "out.noisy", w.noisy, w.total, -1, 0, e) < 0)
		goto out;
	if (golden_has(c, "out.noise") && golden_compare(c, "out.noise", w.noise, w.total, -1, 0, e) < 0)
		goto out;
	ret = w.in[PRED].at ? check_loss(c, &w, e) : 0;
out:
	work_release(&w);
	return ret;
}

const struct golden_group golden_loss = { .name = "loss", .check = check };
