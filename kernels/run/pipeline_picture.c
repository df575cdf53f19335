/* Pictures to moments, whole or in tiles, and latents to pictures. */
#include "kernels/run/pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

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

static int check_picture(const struct pipeline *p, const struct image *im, int64_t tile,
			 struct err *e)
{
	int f = vae_factor(&p->vae);

	if (im->channels != 3)
		return fail(e, "a picture of %d channels, not 3", im->channels);
	if (im->w < f || im->h < f || im->w % f || im->h % f)
		return fail(e, "a picture of %dx%d pixels; sides must be multiples of %d", im->w, im->h, f);
	if (tile < 0 || tile % (4 * f))
		return fail(e, "tiles of %lld pixels; a multiple of %d is wanted", (long long)tile, 4 * f);
	return 0;
}

/* A part of a picture, in latent pixels. */
struct part_of {
	int64_t x, y, w, h;
};

static void part_to_floats(float *out, const struct image *im, struct part_of at, int64_t factor)
{
	for (int64_t y = 0; y < at.h * factor; y++) {
		const uint8_t *row = im->at + ((at.y * factor + y) * im->w + at.x * factor) * 3;

		for (int64_t x = 0; x < at.w * factor * 3; x++)
			*out++ = (float)row[x] / 255.0f * 2.0f - 1.0f;
	}
}

/* out [h][w][2 latent], as the encoder gives it */
static int encode_part(struct pipeline *p, const struct image *im, struct part_of at, float *out,
		       struct err *e)
{
	struct network *net = pipeline_network(p, &p->net_encode, PART_VAE, build_encode, &p->vae, e);
	int64_t f = vae_factor(&p->vae);
	struct network_shape *s = net ?
		network_shape(net, (int64_t[SHAPE_SIDES]){ 1, at.h * f, at.w * f, 0 }, e) : NULL;
	int ret = -1;
	float *in;

	if (!s)
		return -1;
	in = xmalloc((size_t)(at.w * f) * (size_t)(at.h * f) * 3 * sizeof *in);
	part_to_floats(in, im, at, f);
	if (session_put(&s->session, "image", in, e) == 0 && session_run(&s->session, e) == 0)
		ret = session_get(&s->session, s->out, out, e);
	free(in);
	return ret;
}

/* ---- tiles ---- */

struct tiles {                  /* all in latent pixels; the picture has w x h */
	int64_t w, h, channels;
	int64_t side, step, blend;      /* of a tile; to the next one; the width of the blend */
	float *above, *now;     /* rows of tiles [tile][side][side][channels] */
};

/* Where the tile in column i, row j lies; those at the right and lower edge are smaller. */
static struct part_of tile_at(const struct tiles *t, int64_t i, int64_t j)
{
	struct part_of at = { .x = i * t->step, .y = j * t->step };

	at.w = t->w - at.x < t->side ? t->w - at.x : t->side;
	at.h = t->h - at.y < t->side ? t->h - at.y : t->side;
	return at;
}

static float *tile_values(const struct tiles *t, float *row, int64_t i)
{
	return row + i * t->side * t->side * t->channels;
}

static int64_t least(int64_t a, int64_t b, int64_t c)
{
	a = a < b ? a : b;
	return a < c ? a : c;
}

/* b's first rows fade in over a's last ones: b[y] = a[-n + y] (1 - y/n) + b[y] y/n. */
static void blend_down(const struct tiles *t, const float *a, struct part_of pa, float *b,
		       struct part_of pb)
{
	int64_t n = least(pa.h, pb.h, t->blend), row = pb.w * t->channels;

	for (int64_t y = 0; y < n; y++)
		for (int64_t x = 0; x < row; x++) {
			float part = (float)y / (float)n;

			b[y * row + x] = a[(pa.h - n + y) * row + x] * (1 - part) + b[y * row + x] * part;
		}
}

/* The same from left to right. */
static void blend_right(const struct tiles *t, const float *a, struct part_of pa, float *b,
			struct part_of pb)
{
	int64_t n = least(pa.w, pb.w, t->blend), c = t->channels;

	for (int64_t y = 0; y < pb.h; y++)
		for (int64_t x = 0; x < n * c; x++) {
			float part = (float)(x / c) / (float)n;
			const float *from = a + (y * pa.w + pa.w - n) * c;

			b[y * pb.w * c + x] = from[x] * (1 - part) + b[y * pb.w * c + x] * part;
		}
}

/* What a tile adds to the picture: all up to where the next one's blend begins. */
static void keep_tile(const struct tiles *t, const float *from, struct part_of at, float *out)
{
	int64_t keep = t->side - t->blend;
	int64_t w = at.w < keep ? at.w : keep, h = at.h < keep ? at.h : keep;

	for (int64_t y = 0; y < h; y++)
		memcpy(out + ((at.y + y) * t->w + at.x) * t->channels, from + y * at.w * t->channels,
		       (size_t)(w * t->channels) * sizeof *out);
}

static int encode_row(struct pipeline *p, const struct image *im, const struct tiles *t, int64_t j,
		      float *out, struct err *e)
{
	for (int64_t i = 0; i * t->step < t->w; i++) {
		struct part_of at = tile_at(t, i, j);
		float *v = tile_values(t, t->now, i);

		if (encode_part(p, im, at, v, e) < 0)
			return -1;
		if (j > 0)
			blend_down(t, tile_values(t, t->above, i), tile_at(t, i, j - 1), v, at);
		if (i > 0)
			blend_right(t, tile_values(t, t->now, i - 1), tile_at(t, i - 1, j), v, at);
		keep_tile(t, v, at, out);
	}
	return 0;
}

static int encode_tiles(struct pipeline *p, const struct image *im, struct tiles t, float *out,
			struct err *e)
{
	size_t row = (size_t)((t.w + t.step - 1) / t.step * t.side * t.side * t.channels);
	int ret = 0;

	t.above = xmalloc(row * sizeof *t.above);
	t.now = xmalloc(row * sizeof *t.now);
	for (int64_t j = 0; j * t.step < t.h && ret == 0; j++) {
		float *other = t.above;

		ret = encode_row(p, im, &t, j, out, e);
		t.above = t.now;
		t.now = other;
	}
	free(t.above);
	free(t.now);
	return ret;
}

/* ---- */

static void finish_moments(float *out, const float *nhwc, int64_t latent, int64_t h, int64_t w)
{
	int64_t half = latent * h * w;

	to_nchw(out, nhwc, 1, 2 * latent, h, w);
	/* logvar; NaN stays NaN and is found below */
	for (int64_t i = half; i < 2 * half; i++)
		out[i] = out[i] < -30 ? -30 : out[i] > 20 ? 20 : out[i];
}

int pipeline_encode(struct pipeline *p, const struct image *im, int64_t tile,
		    struct tensor *moments, struct err *e)
{
	int64_t f, h, w, c = 2 * p->vae.latent;
	void *values;
	float *nhwc;
	int ret;

	if (!pipeline_network(p, &p->net_encode, PART_VAE, build_encode, &p->vae, e) ||
	    check_picture(p, im, tile, e) < 0)
		return -1;
	f = vae_factor(&p->vae);
	h = im->h / f;
	w = im->w / f;
	if (tensor_new(moments, DT_F32, 3, (int64_t[]){ c, h, w }, &values, e) < 0)
		return -1;
	nhwc = xmalloc((size_t)(c * h * w) * sizeof *nhwc);
	if (tile == 0 || (im->w <= tile && im->h <= tile))
		ret = encode_part(p, im, (struct part_of){ 0, 0, w, h }, nhwc, e);
	else
		ret = encode_tiles(p, im, (struct tiles){ w, h, c, tile / f, tile / f / 4 * 3, tile / f / 4,
				   NULL, NULL }, nhwc, e);
	if (ret == 0)
		finish_moments(values, nhwc, p->vae.latent, h, w);
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
	struct network *net = pipeline_network(p, &p->net_decode, PART_VAE, build_decode, &p->vae, e);
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
			fail(e, "the picture is not finite (value %lld is %g)%s", (long long)i, (double)out[i],
			     p->type == DT_F16 ? ": it does not fit into fp16, use --precision bf16 or f32" : "");
			goto out;
		}
	for (int64_t i = 0; i < pixels; i++)
		im->at[i] = level(out[i]);
	ret = 0;
out:
	free(out);
	return ret;
}
