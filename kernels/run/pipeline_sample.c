#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "kernels/run/guidance.h"
#include "kernels/run/pipeline.h"

/*
 * The network is asked about one picture at a time (with guidance: without and with the prompt, as
 * two rows): kernels choose their ways by the number of rows, so the last bits would depend on the
 * batch otherwise. A pair of rows keeps a CPU busy already.
 */
struct drawing {                /* pictures on their way from noise to latents */
	struct pipeline *p;
	const struct sample_options *o;
	struct sampler s;
	struct network_shape *shape;
	int64_t n, h, w, each;          /* pictures; latent sides; floats a picture */
	int rows;                       /* 2 with guidance, else 1 */
	float *text;                    /* [rows][tokens][width]: without the prompt first */
	float *in, *nhwc, *out;         /* [n][each], [rows][each], [rows][each] */
	float *answer;                  /* [n][each] */
};

static int read_text(struct drawing *d, struct err *e)
{
	const struct sample_options *o = d->o;
	int64_t size = text_tokens(o->max_tokens) * d->p->text.width;

	d->text = xmalloc((size_t)(d->rows * size) * sizeof *d->text);
	if (d->rows == 2 && pipeline_text(d->p, o->negative ? o->negative : "", o->clip_skip,
					  o->max_tokens, d->text, NULL, e) < 0)
		return -1;
	return pipeline_text(d->p, o->prompt, o->clip_skip, o->max_tokens,
			     d->text + (d->rows - 1) * size, NULL, e);
}

static int start(struct drawing *d, struct err *e)
{
	struct pipeline *p = d->p;
	struct network *net = pipeline_network(p, &p->net_unet, PART_UNET, pipeline_unet_graph, &p->unet, e);
	struct sampler_config c;
	size_t all = (size_t)(d->n * d->each), pair = (size_t)(d->rows * d->each);

	if (!net || sampler_configure(&c, p->model.scheduler, d->o->sampler, e) < 0)
		return -1;
	c.eta = d->o->eta;
	if (sampler_init(&d->s, &c, (int)d->o->steps, d->n, d->each, e) < 0 || read_text(d, e) < 0)
		return -1;
	d->in = xmalloc(all * sizeof(float));
	d->answer = xmalloc(all * sizeof(float));
	d->nhwc = xmalloc(pair * sizeof(float));
	d->out = xmalloc(pair * sizeof(float));
	d->shape = network_shape(net, (int64_t[SHAPE_SIDES]){ d->rows, d->h, d->w,
							      text_tokens(d->o->max_tokens) }, e);
	return d->shape ? session_put(&d->shape->session, "text", d->text, e) : -1;
}

/* The network's guided answer about one picture. */
static int predict_one(struct drawing *d, float time, const float *in, float *answer, struct err *e)
{
	struct session *s = &d->shape->session;
	int64_t c = d->p->unet.in_channels, n = d->each;
	float times[2] = { time, time };

	to_nhwc(d->nhwc, in, 1, c, d->h, d->w);
	if (d->rows == 2)
		memcpy(d->nhwc + n, d->nhwc, (size_t)n * sizeof *d->nhwc);
	if (session_put(s, "x", d->nhwc, e) < 0 || session_put(s, "t", times, e) < 0 ||
	    session_run(s, e) < 0 || session_get(s, d->shape->out, d->nhwc, e) < 0)
		return -1;
	to_nchw(d->out, d->nhwc, d->rows, c, d->h, d->w);
	if (d->rows == 1) {
		memcpy(answer, d->out, (size_t)n * sizeof *answer);
		return 0;
	}
	guide(d->out, d->out + n, (float)d->o->scale, answer, n);
	if (d->o->rescale > 0)
		guide_rescale(answer, d->out + n, (float)d->o->rescale, 1, n);
	return 0;
}

static int predict(struct drawing *d, int i, const float *x, struct err *e)
{
	sampler_scale_input(&d->s, i, x, d->in);
	for (int64_t k = 0; k < d->n; k++)
		if (predict_one(d, sampler_timestep(&d->s, i), d->in + k * d->each,
				d->answer + k * d->each, e) < 0)
			return -1;
	return 0;
}

static void finish(struct drawing *d)
{
	sampler_release(&d->s);
	free(d->text);
	free(d->in);
	free(d->answer);
	free(d->nhwc);
	free(d->out);
}

static int check_options(const struct pipeline *p, const struct sample_options *o, int64_t count,
			 struct err *e)
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

int pipeline_sample_from(struct pipeline *p, const struct sample_options *o, int64_t count,
			 float *latent, const struct sampler_noise *noise, sample_tick *each,
			 void *who, struct err *e)
{
	struct drawing d = { .p = p, .o = o, .n = count, .rows = o->scale > 1 ? 2 : 1 };
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
		sampler_step(&d.s, i, d.answer, NULL, latent, noise);
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

int pipeline_sample(struct pipeline *p, const struct sample_options *o, int64_t first,
		    int64_t count, float *latent, sample_tick *each, void *who, struct err *e)
{
	int f = vae_factor(&p->vae);
	struct draws d = { o->seed + (uint64_t)first,
			   p->vae.latent * (o->height / f) * (o->width / f) };
	struct sampler_noise noise = { draw_step, &d };

	if (check_options(p, o, count, e) < 0)
		return -1;
	for (int64_t k = 0; k < count; k++) {
		struct rng r = rng_stream(d.seed + (uint64_t)k, "sample noise", 0, 0);

		rng_normal(&r, latent + k * d.each, d.each);
	}
	return pipeline_sample_from(p, o, count, latent, &noise, each, who, e);
}
