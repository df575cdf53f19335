#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "kernels/run/guidance.h"
#include "kernels/run/pipeline.h"

struct drawing {                /* one batch on its way from noise to latents */
	struct pipeline *p;
	const struct sample_options *o;
	struct sampler s;
	struct network_shape *shape;
	int64_t n, h, w, each;          /* pictures; latent sides; floats a picture */
	int guided;
	float *text;                    /* [2 n or n][tokens][width]: without the prompt first */
	float *in, *nhwc, *out;
};

static int read_text(struct drawing *d, struct err *e)
{
	int64_t tokens = text_tokens(d->o->max_tokens), size = tokens * d->p->text.width;
	float *with;
	int rows = d->guided ? 2 : 1;

	d->text = xmalloc((size_t)(rows * d->n * size) * sizeof *d->text);
	with = d->text + (rows - 1) * d->n * size;
	if (d->guided && pipeline_text(d->p, d->o->negative ? d->o->negative : "", d->o->clip_skip, d->o->max_tokens, d->text, NULL, e) < 0)
		return -1;
	if (pipeline_text(d->p, d->o->prompt, d->o->clip_skip, d->o->max_tokens, with, NULL, e) < 0)
		return -1;
	for (int64_t i = 1; i < d->n; i++) {
		memcpy(with + i * size, with, (size_t)size * sizeof *with);
		if (d->guided)
			memcpy(d->text + i * size, d->text, (size_t)size * sizeof *d->text);
	}
	return 0;
}

static int start(struct drawing *d, struct err *e)
{
	struct sampler_config c;
	int64_t all = d->n * d->each, rows = d->guided ? 2 : 1;

	if (sampler_configure(&c, d->p->model.scheduler, d->o->sampler, e) < 0)
		return -1;
	c.eta = d->o->eta;
	if (sampler_init(&d->s, &c, (int)d->o->steps, d->n, d->each, e) < 0 || read_text(d, e) < 0)
		return -1;
	d->in = xmalloc((size_t)all * sizeof(float));
	d->nhwc = xmalloc((size_t)(rows * all) * sizeof(float));
	d->out = xmalloc((size_t)(rows * all) * sizeof(float));
	if (!d->p->net_unet.b)
		network_begin(&d->p->net_unet, d->p->b, pipeline_unet_graph, &d->p->unet,
			      (struct weight_source){ weights_get, &d->p->weights });
	d->shape = network_shape(&d->p->net_unet,
				 (int64_t[SHAPE_SIDES]){ rows * d->n, d->h, d->w, text_tokens(d->o->max_tokens) }, e);
	return d->shape ? session_put(&d->shape->session, "text", d->text, e) : -1;
}

/* The network's answer for x at call i, guided: in d->out, [n][c][h][w]. */
static int predict(struct drawing *d, int i, const float *x, struct err *e)
{
	int64_t all = d->n * d->each, c = d->p->unet.in_channels, rows = (d->guided ? 2 : 1) * d->n;
	float time[256];

	for (int64_t k = 0; k < rows; k++)
		time[k] = sampler_timestep(&d->s, i);
	sampler_scale_input(&d->s, i, x, d->in);
	to_nhwc(d->nhwc, d->in, d->n, c, d->h, d->w);
	if (d->guided)
		memcpy(d->nhwc + all, d->nhwc, (size_t)all * sizeof *d->nhwc);
	if (session_put(&d->shape->session, "x", d->nhwc, e) < 0 || session_put(&d->shape->session, "t", time, e) < 0 ||
	    session_run(&d->shape->session, e) < 0 || session_get(&d->shape->session, d->shape->out, d->nhwc, e) < 0)
		return -1;
	to_nchw(d->out, d->nhwc, rows, c, d->h, d->w);
	if (d->guided) {
		guide(d->out, d->out + all, (float)d->o->scale, d->out, all);
		if (d->o->rescale > 0)
			guide_rescale(d->out, d->out + all, (float)d->o->rescale, d->n, d->each);
	}
	return 0;
}

static void finish(struct drawing *d)
{
	sampler_release(&d->s);
	free(d->text);
	free(d->in);
	free(d->nhwc);
	free(d->out);
}

static int check_options(const struct pipeline *p, const struct sample_options *o, int64_t count, struct err *e)
{
	int f = vae_factor(&p->vae);

	if (o->width < f || o->height < f || o->width % f || o->height % f)
		return fail(e, "pictures of %lldx%lld pixels; sides must be multiples of %d", (long long)o->width, (long long)o->height, f);
	if (count < 1 || count > 128)
		return fail(e, "a batch of %lld pictures, 1 to 128 are supported", (long long)count);
	if (p->unet.in_channels != p->vae.latent || p->unet.out_channels != p->vae.latent)
		return fail(e, "the UNet takes %lld channels and gives %lld, the autoencoder has %lld", (long long)p->unet.in_channels,
			    (long long)p->unet.out_channels, (long long)p->vae.latent);
	return 0;
}

int pipeline_sample_from(struct pipeline *p, const struct sample_options *o, int64_t count, float *latent,
			 const struct sampler_noise *noise, sample_tick *each, void *who, struct err *e)
{
	struct drawing d = { .p = p, .o = o, .n = count, .guided = o->scale > 1 };
	int ret = -1;

	if (check_options(p, o, count, e) < 0)
		return -1;
	d.h = o->height / vae_factor(&p->vae);
	d.w = o->width / vae_factor(&p->vae);
	d.each = p->vae.latent * d.h * d.w;
	if (start(&d, e) < 0)
		goto out;
	for (int64_t i = 0; i < count * d.each; i++)
		latent[i] *= d.s.init_sigma;
	for (int i = d.s.first; i < d.s.count; i++) {
		if (predict(&d, i, latent, e) < 0)
			goto out;
		sampler_step(&d.s, i, d.out, NULL, latent, noise);
		if (each && each(who, i + 1, d.s.count)) {
			fail(e, "stopped after step %d of %d", i + 1, d.s.count);
			goto out;
		}
	}
	ret = 0;
out:
	finish(&d);
	return ret;
}

struct draws {                  /* noise of steps by (the picture's seed, call) */
	uint64_t seed;          /* of the first picture */
	int64_t each;
};

static void draw_step(void *who, int i, float *out, int64_t n)
{
	const struct draws *d = who;

	for (int64_t k = 0; k * d->each < n; k++) {
		struct rng r = rng_stream(d->seed + (uint64_t)k, "sampler noise", (uint32_t)i, 0);

		rng_normal(&r, out + k * d->each, d->each);
	}
}

int pipeline_sample(struct pipeline *p, const struct sample_options *o, int64_t first, int64_t count, float *latent,
		    sample_tick *each, void *who, struct err *e)
{
	int f = vae_factor(&p->vae);
	struct draws d = { o->seed + (uint64_t)first, p->vae.latent * (o->height / f) * (o->width / f) };
	struct sampler_noise noise = { draw_step, &d };

	if (check_options(p, o, count, e) < 0)
		return -1;
	for (int64_t k = 0; k < count; k++) {
		struct rng r = rng_stream(d.seed + (uint64_t)k, "sample noise", 0, 0);

		rng_normal(&r, latent + k * d.each, d.each);
	}
	return pipeline_sample_from(p, o, count, latent, &noise, each, who, e);
}
