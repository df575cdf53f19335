#include "kernels/run/pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "kernels/run/claim.h"
#include "kernels/run/config.h"

/* ---- graphs ---- */

id pipeline_unet_graph(struct model *m, const void *config, const int64_t s[SHAPE_SIDES])
{
	const struct unet_config *c = config;
	id x = g_input(m->g, "x", DT_F32, s[0], s[1], s[2], c->in_channels);
	id t = g_input(m->g, "t", DT_F32, 1, 1, 1, s[0]);

	return unet(m, c, x, t, g_input(m->g, "text", DT_F32, s[0], 1, s[3], c->cross_width));
}

/* side 0: rows of ids, side 1: layers left out */
static id build_text(struct model *m, const void *config, const int64_t s[SHAPE_SIDES])
{
	return text_encoder(m, config, g_input(m->g, "ids", DT_I32, 1, 1, s[0], s[3]),
			    (int)s[1], NULL);
}

static id build_encode(struct model *m, const void *config, const int64_t s[SHAPE_SIDES])
{
	const struct vae_config *c = config;

	return vae_encode(m, c, g_input(m->g, "image", DT_F32, s[0], s[1], s[2], c->in_channels));
}

static id build_decode(struct model *m, const void *config, const int64_t s[SHAPE_SIDES])
{
	const struct vae_config *c = config;

	return vae_decode(m, c, g_input(m->g, "z", DT_F32, s[0], s[1], s[2], c->latent));
}

/* ---- opening ---- */

static int read_configs(struct pipeline *p, struct err *e)
{
	const struct checkpoint *c = &p->model;

	if (c->part[PART_UNET].config && config_unet(&p->unet, c->part[PART_UNET].config, e) < 0)
		return -1;
	if (c->part[PART_VAE].config && config_vae(&p->vae, c->part[PART_VAE].config, e) < 0)
		return -1;
	if (c->part[PART_TEXT].config && config_text(&p->text, c->part[PART_TEXT].config, e) < 0)
		return -1;
	return noise_config_read(&p->noise, c->scheduler, e);
}

char *pipeline_installed_tokenizer(void)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	char *path;

	if (data && *data)
		path = xasprintf("%s/booth/clip-tokenizer", data);
	else
		path = xasprintf("%s/.local/share/booth/clip-tokenizer", home ? home : "");
	if (is_folder(path))
		return path;
	free(path);
	return NULL;
}

/* The user's, the model's own, or the one that tools/get-clip-vocabulary installed. */
static char *find_tokenizer(const struct pipeline *p, const char *given)
{
	if (given)
		return xstrdup(given);
	return p->model.tokenizer ? xstrdup(p->model.tokenizer) : pipeline_installed_tokenizer();
}

int pipeline_open(struct pipeline *p, const struct pipeline_options *o, struct err *e)
{
	struct checkpoint_options co = { .configs_only = o->configs_only };

	*p = (struct pipeline){ 0 };
	if (cpu_open(&p->b, o->threads, NULL, e) < 0 ||
	    checkpoint_open(&p->model, o->model, &co, e) < 0)
		return -1;
	if (o->vae && checkpoint_take_vae(&p->model, o->vae, e) < 0)
		return -1;
	weights_begin(&p->weights, &p->model);
	p->tokenizer_path = find_tokenizer(p, o->tokenizer);
	if (read_configs(p, e) < 0 || (!o->configs_only && claim_check(p, e) < 0))
		return err_prefix(e, "'%s'", o->model);
	p->text_skip = -1;
	return 0;
}

void pipeline_close(struct pipeline *p)
{
	network_release(&p->net_unet);
	network_release(&p->net_text);
	network_release(&p->net_encode);
	network_release(&p->net_decode);
	weights_release(&p->weights);
	checkpoint_close(&p->model);
	tokenizer_close(p->tokenizer);
	free(p->tokenizer_path);
	if (p->b)
		p->b->close(p->b);
	*p = (struct pipeline){ 0 };
}

int pipeline_no_tokenizer(const char *model, struct err *e)
{
	return fail(e, "'%s' has no vocabulary, as single files never have: give --tokenizer FOLDER with CLIP's vocab.json "
		    "and merges.txt, or install one by tools/get-clip-vocabulary", model);
}

int pipeline_need_tokenizer(struct pipeline *p, struct err *e)
{
	if (p->tokenizer)
		return 0;
	if (!p->tokenizer_path)
		return pipeline_no_tokenizer(p->model.path, e);
	return tokenizer_open(&p->tokenizer, p->tokenizer_path, e);
}

/* The network, begun when it is first needed. */
static struct network *begin(struct pipeline *p, struct network *net, enum part part,
			     network_build *build, const void *config, struct err *e)
{
	if (!p->model.part[part].config) {
		fail(e, "'%s' has no %s%s", p->model.path, part_name(part), part == PART_VAE ? ": give --vae PATH" : "");
		return NULL;
	}
	if (!net->b)
		network_begin(net, p->b, build, config,
			      (struct weight_source){ weights_get, &p->weights, p->model.path });
	return net;
}

/* ---- text ---- */

int64_t text_tokens(int64_t max_tokens)
{
	return max_tokens <= 75 ? 77 : max_tokens + 2;
}

/* H[0][0], H[k][1..75] of every chunk, H[last][76] (reference/kohya.md 2.5). */
static void join_chunks(float *out, const float *hidden, int64_t chunks, int64_t width)
{
	size_t row = (size_t)width * sizeof *out;

	memcpy(out, hidden, row);
	for (int64_t k = 0; k < chunks; k++)
		memcpy(out + (1 + 75 * k) * width, hidden + (k * 77 + 1) * width, 75 * row);
	memcpy(out + (1 + 75 * chunks) * width, hidden + (chunks * 77 - 1) * width, row);
}

static int run_text(struct pipeline *p, const int32_t *ids, int64_t rows, int64_t skip,
		    int64_t length, float *out, struct err *e)
{
	struct network *net = begin(p, &p->net_text, PART_TEXT, build_text, &p->text, e);
	struct network_shape *s;
	float *hidden;
	int ret = -1;

	/* Fewer layers would leave the pool without the last ones' weights: another network. */
	if (net && p->text_skip != skip && p->text_skip >= 0) {
		network_release(net);
		net = begin(p, &p->net_text, PART_TEXT, build_text, &p->text, e);
	}
	p->text_skip = skip;
	s = net ? network_shape(net, (int64_t[SHAPE_SIDES]){ rows, skip, 0, length }, e) : NULL;
	if (!s)
		return -1;
	hidden = xmalloc((size_t)(rows * length * p->text.width) * sizeof *hidden);
	if (session_put(&s->session, "ids", ids, e) == 0 && session_run(&s->session, e) == 0 &&
	    session_get(&s->session, s->out, hidden, e) == 0) {
		if (rows > 1)
			join_chunks(out, hidden, rows, p->text.width);
		else
			memcpy(out, hidden, (size_t)(length * p->text.width) * sizeof *out);
		ret = 0;
	}
	free(hidden);
	return ret;
}

static int check_ids(const struct pipeline *p, const int32_t *ids, int64_t n, struct err *e)
{
	for (int64_t i = 0; i < n; i++)
		if (ids[i] < 0 || ids[i] >= p->text.vocab)
			return fail(e, "token %d is not in the text encoder's table of %lld: the tokenizer '%s' belongs to another model",
				    ids[i], (long long)p->text.vocab, p->tokenizer_path);
	return 0;
}

int pipeline_text(struct pipeline *p, const char *caption, int64_t clip_skip, int64_t max_tokens,
		  float *out, int *cut, struct err *e)
{
	int64_t chunks = max_tokens / 75;
	int32_t ids[3 * 77];
	int lost;

	if (max_tokens != 75 && max_tokens != 150 && max_tokens != 225)
		return fail(e, "max tokens is %lld, not 75, 150 or 225", (long long)max_tokens);
	if (clip_skip < 1 || clip_skip > p->text.layers)
		return fail(e, "clip skip is %lld, the text encoder has %lld layers", (long long)clip_skip, (long long)p->text.layers);
	if (p->text.positions != 77)
		return fail(e, "the text encoder has %lld positions, 77 are supported", (long long)p->text.positions);
	if (pipeline_need_tokenizer(p, e) < 0)
		return -1;
	lost = chunks == 1 ? tokenizer_row(p->tokenizer, caption, ids, 77, e)
			   : tokenizer_chunks(p->tokenizer, caption, ids, (int)max_tokens, e);
	if (lost < 0 || check_ids(p, ids, chunks * 77, e) < 0)
		return -1;
	if (cut)
		*cut = lost;
	return run_text(p, ids, chunks, clip_skip - 1, 77, out, e);
}

/* ---- pictures ---- */

static void image_to_floats(float *out, const struct image *im)
{
	int64_t n = (int64_t)im->w * im->h * 3;

	for (int64_t i = 0; i < n; i++)
		out[i] = (float)im->at[i] / 255.0f * 2.0f - 1.0f;
}

static int check_picture(const struct pipeline *p, const struct image *im, struct err *e)
{
	int f = vae_factor(&p->vae);

	if (im->channels != 3)
		return fail(e, "a picture of %d channels, not 3", im->channels);
	if (im->w < f || im->h < f || im->w % f || im->h % f)
		return fail(e, "a picture of %dx%d pixels; sides must be multiples of %d", im->w, im->h, f);
	return 0;
}

static void finish_moments(float *out, const float *nhwc, int64_t latent, int64_t h, int64_t w)
{
	int64_t half = latent * h * w;

	to_nchw(out, nhwc, 1, 2 * latent, h, w);
	/* logvar; NaN stays NaN and is found below */
	for (int64_t i = half; i < 2 * half; i++)
		out[i] = out[i] < -30 ? -30 : out[i] > 20 ? 20 : out[i];
}

int pipeline_encode(struct pipeline *p, const struct image *im, struct tensor *moments,
		    struct err *e)
{
	struct network *net = begin(p, &p->net_encode, PART_VAE, build_encode, &p->vae, e);
	int64_t h, w, c = 2 * p->vae.latent;
	struct network_shape *s;
	float *in = NULL, *nhwc = NULL;
	void *values;
	int ret = -1;

	if (!net || check_picture(p, im, e) < 0)
		return -1;
	h = im->h / vae_factor(&p->vae);
	w = im->w / vae_factor(&p->vae);
	s = network_shape(net, (int64_t[SHAPE_SIDES]){ 1, im->h, im->w, 0 }, e);
	if (!s || tensor_new(moments, DT_F32, 3, (int64_t[]){ c, h, w }, &values, e) < 0)
		return -1;
	in = xmalloc((size_t)im->w * (size_t)im->h * 3 * sizeof *in);
	nhwc = xmalloc((size_t)(c * h * w) * sizeof *nhwc);
	image_to_floats(in, im);
	if (session_put(&s->session, "image", in, e) < 0 || session_run(&s->session, e) < 0 ||
	    session_get(&s->session, s->out, nhwc, e) < 0)
		goto out;
	finish_moments(values, nhwc, p->vae.latent, h, w);
	ret = 0;
out:
	free(in);
	free(nhwc);
	return ret;
}

static uint8_t level(float v)
{
	v = v / 2 + .5f;
	v = v < 0 ? 0 : v > 1 ? 1 : v;
	return (uint8_t)(v * 255 + .5f);
}

int pipeline_decode_values(struct pipeline *p, const float *latent, int64_t h, int64_t w,
			   float *out, struct err *e)
{
	struct network *net = begin(p, &p->net_decode, PART_VAE, build_decode, &p->vae, e);
	struct network_shape *s = net ?
		network_shape(net, (int64_t[SHAPE_SIDES]){ 1, h, w, 0 }, e) : NULL;
	int64_t n = p->vae.latent * h * w;
	int ret = -1;
	float *z;

	if (!s)
		return -1;
	z = xmalloc((size_t)n * sizeof *z);
	to_nhwc(z, latent, 1, p->vae.latent, h, w);
	for (int64_t i = 0; i < n; i++)
		z[i] = z[i] / p->vae.scaling + p->vae.shift;
	if (session_put(&s->session, "z", z, e) == 0 && session_run(&s->session, e) == 0)
		ret = session_get(&s->session, s->out, out, e);
	free(z);
	return ret;
}

int pipeline_decode(struct pipeline *p, const float *latent, int64_t h, int64_t w, struct image *im,
		    struct err *e)
{
	int64_t f = vae_factor(&p->vae), pixels = h * f * w * f * 3;
	float *out = xmalloc((size_t)pixels * sizeof *out);
	int ret = -1;

	if (image_new(im, (int)(w * f), (int)(h * f), 3, e) < 0 ||
	    pipeline_decode_values(p, latent, h, w, out, e) < 0)
		goto out;
	for (int64_t i = 0; i < pixels; i++)
		if (!isfinite(out[i])) {
			fail(e, "the picture is not finite (value %lld is %g)", (long long)i, (double)out[i]);
			goto out;
		}
	for (int64_t i = 0; i < pixels; i++)
		im->at[i] = level(out[i]);
	ret = 0;
out:
	free(out);
	return ret;
}
