#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "stages/train/train.h"

struct feed {                   /* host arrays of one micro-batch */
	struct run *r;
	int64_t n, h, w, c;     /* pictures; rows, columns, channels of what the loss is about */
	float *noisy, *target, *timestep, *weight, *hidden, *image, *noise, *scratch;
	int32_t *ids;
	struct microbatch b;
};

static void *floats(int64_t n)
{
	return xmalloc((size_t)(n ? n : 1) * sizeof(float));
}

static void feed_new(struct feed *f, struct run *r, int64_t n, int64_t h, int64_t w)
{
	int64_t all;

	*f = (struct feed){ .r = r, .n = n, .h = h, .w = w,
			    .c = is_vae(r) ? 3 : r->config.vae.latent };
	all = n * h * w * f->c;
	f->weight = floats(n);
	f->timestep = floats(n);
	f->scratch = floats(3 * h * w * f->c);
	if (is_vae(r)) {
		int64_t k = vae_factor(&r->config.vae);

		f->image = floats(all);
		f->noise = floats(n * (h / k) * (w / k) * r->config.vae.latent);
	} else {
		f->noisy = floats(all);
		f->target = floats(all);
		f->hidden = floats(n * r->config.tokens * r->config.unet.cross_width);
		f->ids = xmalloc((size_t)(n * r->config.chunks * 77) * sizeof *f->ids);
	}
	f->b = (struct microbatch){ .noisy = f->noisy, .target = f->target, .timestep = f->timestep,
				    .weight = f->weight, .hidden = f->hidden, .ids = f->ids,
				    .image = f->image, .noise = f->noise };
}

static void feed_release(struct feed *f)
{
	free(f->noisy);
	free(f->target);
	free(f->timestep);
	free(f->weight);
	free(f->hidden);
	free(f->image);
	free(f->noise);
	free(f->scratch);
	free(f->ids);
}

/* What is drawn for one picture. */
struct draw {
	uint64_t seed;
	const char *purpose;    /* "" while training, "validation " for fixed noise */
	uint32_t number, slot;  /* micro-batch, place in it */
	int t;
};

static struct rng stream(const struct draw *d, const char *what)
{
	char purpose[40];

	strcpy(purpose, d->purpose);
	strncat(purpose, what, sizeof purpose - strlen(purpose) - 1);
	return rng_stream(d->seed, purpose, d->number, d->slot);
}

/* z = (mean + exp(logvar / 2) n - shift) scaling, [c][h][w] */
static void draw_latent(const struct feed *f, const struct draw *d, const float *moments, float *z)
{
	const struct vae_config *v = &f->r->config.vae;
	int64_t n = f->c * f->h * f->w;
	struct rng s = stream(d, "latent");

	rng_normal(&s, z, n);
	for (int64_t i = 0; i < n; i++)
		z[i] = (moments[i] + expf(.5f * moments[n + i]) * z[i] - v->shift) * v->scaling;
}

static void draw_noise(const struct feed *f, const struct draw *d, float *noise)
{
	int64_t hw = f->h * f->w;
	struct rng s = stream(d, "noise");
	float offset[64];

	rng_normal(&s, noise, f->c * hw);
	if (f->r->o->noise_offset <= 0)
		return;
	s = stream(d, "noise offset");
	rng_normal(&s, offset, f->c);
	for (int64_t c = 0; c < f->c; c++)
		for (int64_t i = 0; i < hw; i++)
			noise[c * hw + i] += (float)f->r->o->noise_offset * offset[c];
}

static double snr_weight(const struct run *r, int t)
{
	double snr = noise_snr(&r->noise, t), gamma = r->o->min_snr;

	if (gamma <= 0)
		return 1;
	if (r->line.noise.predict == PREDICT_V)
		return fmin(snr, gamma) / (snr + 1);
	return snr > gamma ? gamma / snr : 1;   /* also where snr is 0 */
}

static int put_text(struct feed *f, int64_t i, const struct item *it, const struct draw *d,
		    int64_t step, int64_t epoch, struct err *e)
{
	struct run *r = f->r;
	struct buf caption = { 0 };
	int64_t size = r->config.tokens * r->config.unet.cross_width;
	const float *hidden;
	int ret = -1;

	text_caption(&caption, r, it, *d->purpose != 0, step, epoch, (int64_t)d->number * 1024 + d->slot);
	if (trainer_has_text(&r->t)) {
		ret = text_ids(r, buf_str(&caption), f->ids + i * r->config.chunks * 77, e) < 0 ?
			-1 : 0;
	} else if ((hidden = text_hidden(r, buf_str(&caption), e))) {
		memcpy(f->hidden + i * size, hidden, (size_t)size * sizeof *hidden);
		ret = 0;
	}
	buf_release(&caption);
	return ret;
}

static int put_latent(struct feed *f, int64_t i, struct item *it, struct draw *d, int64_t step,
		      int64_t epoch, struct err *e)
{
	const float *moments = item_values(f->r, it, e);
	int64_t n = f->c * f->h * f->w;
	float *z = f->scratch, *noise = z + n, *out = noise + n;
	struct rng s = stream(d, "timestep");

	if (!moments)
		return -1;
	if (d->t < 0)
		d->t = (int)rng_below(&s, 0, (uint64_t)f->r->noise.n);
	draw_latent(f, d, moments, z);
	draw_noise(f, d, noise);
	noise_add(&f->r->noise, d->t, z, noise, out, n);
	to_nhwc(f->noisy + i * n, out, 1, f->c, f->h, f->w);
	noise_target(&f->r->noise, f->r->line.noise.predict, d->t, z, noise, out, n);
	to_nhwc(f->target + i * n, out, 1, f->c, f->h, f->w);
	f->timestep[i] = (float)d->t;
	return put_text(f, i, it, d, step, epoch, e);
}

static int put_image(struct feed *f, int64_t i, struct item *it, const struct draw *d,
		     struct err *e)
{
	const float *pixels = item_values(f->r, it, e);
	int64_t n = f->h * f->w * 3, k = vae_factor(&f->r->config.vae);
	int64_t z = (f->h / k) * (f->w / k) * f->r->config.vae.latent;
	struct rng s = stream(d, "latent");

	if (!pixels)
		return -1;
	memcpy(f->image + i * n, pixels, (size_t)n * sizeof *pixels);
	rng_normal(&s, f->noise + i * z, z);
	return 0;
}

static int put_item(struct feed *f, int64_t i, struct item *it, struct draw *d, int64_t step,
		    int64_t epoch, struct err *e)
{
	return is_vae(f->r) ? put_image(f, i, it, d, e) : put_latent(f, i, it, d, step, epoch, e);
}

/* ---- shapes ---- */

static struct trainer_key key_of(const struct run *r, const struct batch_group *g, int groups,
				 int64_t step)
{
	return (struct trainer_key){
		.n = g->n, .h = g->h, .w = g->w,
		.text_frozen = trainer_has_text(&r->t) && r->o->stop_text &&
			step >= r->o->stop_text,
		.alone = r->o->accumulate == 1 && groups == 1,
	};
}

static struct trainer_key validation_key(const struct item *it)
{
	return (struct trainer_key){ .n = 1, .h = it->h, .w = it->w, .validate = 1 };
}

int step_shapes(struct run *r, struct err *e)
{
	struct batch_group g[2];
	int64_t n = batches_per_epoch(r->batches);
	int64_t stop = r->o->stop_text && r->o->stop_text < r->steps ? r->o->stop_text : 0;

	for (int64_t at = 0; at < n; at++) {
		int groups = batches_at(r->batches, at, g);

		for (int i = 0; i < groups; i++)
			if (trainer_shape(&r->t, key_of(r, &g[i], groups, 0), e) < 0 ||
			    (stop && trainer_shape(&r->t, key_of(r, &g[i], groups, stop), e) < 0))
				return -1;
	}
	for (size_t i = 0; i < r->n_held; i++)
		if (trainer_shape(&r->t, validation_key(&r->held[i]), e) < 0)
			return -1;
	return 0;
}

/* ---- running ---- */

static void set_weights(struct feed *f, const struct run *r, const struct batch_group *g,
			const struct draw *d)
{
	int64_t class = 0;

	for (int64_t i = 0; i < g->n; i++)
		class += r->item[g->item[i]].is_class;
	for (int64_t i = 0; i < g->n; i++) {
		int c = r->item[g->item[i]].is_class;
		double w = (c ? r->o->prior_weight / (double)class : 1 / (double)(g->n - class)) /
			(double)r->o->accumulate;

		f->weight[i] = (float)(is_vae(r) ? w : w * snr_weight(r, d[i].t));
	}
}

/* The part whose learning rate the log shows. */
static enum part main_part(const struct run *r)
{
	return is_vae(r) ? PART_VAE : r->config.train[PART_UNET] ? PART_UNET : PART_TEXT;
}

/* One micro-batch: what is drawn for it, and in which shape it runs. */
struct micro {
	struct feed f;
	int shape;
};

static int micro_draw(struct micro *m, struct run *r, const struct batch_group *g, int groups, int64_t number,
		      uint32_t slot, struct err *e)
{
	int64_t epoch = number / batches_per_epoch(r->batches) + 1;
	struct draw *d = xcalloc((size_t)g->n, sizeof *d);
	int ret = 0;

	m->shape = trainer_shape(&r->t, key_of(r, g, groups, r->step), e);
	feed_new(&m->f, r, g->n, g->h, g->w);
	for (int64_t i = 0; i < g->n && ret == 0; i++) {
		d[i] = (struct draw){ (uint64_t)r->o->seed, "", (uint32_t)number,
				      slot + (uint32_t)i, -1 };
		ret = put_item(&m->f, i, &r->item[g->item[i]], &d[i], r->step, epoch, e);
	}
	if (ret == 0)
		set_weights(&m->f, r, g, d);
	memcpy(m->f.b.dropout_key,
	       (int32_t[]){ (int32_t)r->o->seed, (int32_t)((uint64_t)r->o->seed >> 32),
			    (int32_t)slot, (int32_t)number }, sizeof m->f.b.dropout_key);
	free(d);
	return m->shape < 0 ? -1 : ret;
}

/* The reading of step r->step, which begins now: rate and scale are known, since in fp16 all before it are over. */
static struct reading *reading_new(struct run *r)
{
	struct reading *to = &r->ahead[r->n_ahead++];
	size_t most = 2 * (size_t)r->o->accumulate;

	*to = (struct reading){ .step = r->step, .lr = method_hyper(r, r->step).lr[main_part(r)],
				.scale = r->scale.scale };
	to->loss = xcalloc(most, sizeof *to->loss);
	to->first = xcalloc(most, sizeof *to->first);
	return to;
}

/* Everything is drawn while the steps before this one run; only then, in fp16, are they waited for. */
static int run_group(struct run *r, const struct batch_group *g, int groups, int64_t number,
		     uint32_t slot, struct reading **to, struct err *e)
{
	struct micro m;
	struct hyper h;
	float loss;
	int ret = micro_draw(&m, r, g, groups, number, slot, e);

	if (ret == 0 && !*to && is_scaled(r))
		ret = step_settle(r, &loss, e);
	if (ret == 0) {
		if (!*to)
			*to = reading_new(r);
		h = method_hyper(r, r->step);
		(*to)->first[(*to)->n] = r->item[g->item[0]].name;
		ret = trainer_go(&r->t, m.shape, &m.f.b, &h, &(*to)->loss[(*to)->n], &(*to)->norm, e);
		(*to)->n++;
	}
	feed_release(&m.f);
	return ret;
}

int step_run(struct run *r, struct err *e)
{
	int summed = r->o->accumulate > 1;
	struct reading *to = NULL;
	struct hyper h;

	for (int64_t k = 0; k < r->o->accumulate; k++) {
		int64_t number = r->step * r->o->accumulate + k;
		struct batch_group g[2];
		int groups = batches_at(r->batches, number, g);
		uint32_t slot = 0;

		summed |= groups > 1;
		for (int i = 0; i < groups; i++) {
			if (run_group(r, &g[i], groups, number, slot, &to, e) < 0)
				return -1;
			slot += (uint32_t)g[i].n;
		}
	}
	h = method_hyper(r, r->step);
	return summed ? trainer_update_go(&r->t, &h, &to->norm, e) : 0;
}

void step_drop(struct run *r)
{
	struct err e;

	if (r->n_ahead)         /* losses on their way are written to what is freed */
		trainer_wait(&r->t, &e);
	for (int i = 0; i < r->n_ahead; i++) {
		free(r->ahead[i].loss);
		free(r->ahead[i].first);
	}
	r->n_ahead = 0;
}

/*
 * The forward pass was finite, so a smaller scale will do, as a rule at once. Where even the gradients of
 * the loss as it is do not fit, the training has gone astray or fp16 is not for it.
 */
static int next_scale(struct run *r, const struct reading *s, struct err *e)
{
	int finite = isfinite(s->norm);

	if (!finite && s->scale <= 1)
		return fail(e, "the gradients of step %lld do not fit into fp16, not even of the loss times %g; --precision bf16 or a "
			    "lower learning rate may help, the last saved state stays as it is", (long long)s->step + 1,
			    (double)s->scale);
	loss_scale_next(&r->scale, finite);
	if (!finite)
		talk("step %lld is skipped: its gradients do not fit into fp16 with the loss times %g; %g from here on",
		     (long long)s->step + 1, (double)s->scale, (double)r->scale.scale);
	return 0;
}

static int read_step(struct run *r, const struct reading *s, float *loss, struct err *e)
{
	*loss = 0;
	for (int i = 0; i < s->n; i++) {
		if (!isfinite(s->loss[i]))
			return fail(e, "the loss of step %lld is %g (first picture '%s'); %s, the last saved state "
				    "stays as it is", (long long)s->step + 1, (double)s->loss[i], s->first[i],
				    is_scaled(r) ? "where the model does not fit into fp16 --precision bf16 or f32 helps, else a lower learning rate"
				    : "a lower learning rate may help");
		*loss += s->loss[i];
	}
	if (is_scaled(r) && next_scale(r, s, e) < 0)
		return -1;
	if (!is_scaled(r) && !isfinite(s->norm))
		return fail(e, "the gradient norm of step %lld is %g; a lower learning rate may help, the last saved state stays as it is",
			    (long long)s->step + 1, (double)s->norm);
	log_step(r, s->step + 1, *loss, s->norm, s->lr, s->scale);
	return 0;
}

int step_settle(struct run *r, float *loss, struct err *e)
{
	int ret = trainer_wait(&r->t, e);

	for (int i = 0; i < r->n_ahead && ret == 0; i++)
		ret = read_step(r, &r->ahead[i], loss, e);
	step_drop(r);
	return ret;
}

int step_validate(struct run *r, struct item *it, int t, uint32_t number, float *loss,
		  struct err *e)
{
	struct draw d = { (uint64_t)r->o->seed, "validation ", number, 0, t };
	int shape = trainer_shape(&r->t, validation_key(it), e), ret;
	struct feed f;

	feed_new(&f, r, 1, it->h, it->w);
	f.weight[0] = 1;
	ret = shape < 0 || put_item(&f, 0, it, &d, 0, 1, e) < 0 ? -1 :
		trainer_run(&r->t, shape, &f.b, NULL, loss, NULL, e);
	feed_release(&f);
	return ret;
}
