/*
 * A model that is used: text to hidden states, picture to moments, latent to picture, prompt to
 * pictures. Networks are built and their weights fetched when they are first needed. Everything is
 * a function of its arguments: the same prompt and seed give the same picture whatever else was
 * drawn before.
 */
#ifndef RUN_PIPELINE_H
#define RUN_PIPELINE_H

#include "common/data/image.h"
#include "common/data/tokenizer.h"
#include "kernels/run/network.h"
#include "kernels/run/noise.h"
#include "kernels/run/sampler.h"
#include "kernels/run/weights.h"

struct pipeline {
	struct backend *b;
	enum dtype type;                /* that networks are lowered to */
	const char *precision;          /* as it was asked for, never NULL; borrowed */
	struct checkpoint model;
	struct weights weights;         /* add trained tables and LoRAs before the first use */
	struct tokenizer *tokenizer;    /* NULL until text is needed */
	char *tokenizer_path;           /* from the model, or the user's; NULL: none */
	struct unet_config unet;
	struct vae_config vae;
	struct text_config text;
	struct noise_config noise;
	struct network net_unet, net_text, net_encode, net_decode;
	int64_t text_skip;              /* of the text network that is open */
};

struct pipeline_options {
	const char *model;              /* folder or file */
	const char *vae;                /* another autoencoder, or NULL */
	const char *tokenizer;          /* folder, or NULL: the model's own, or the installed one */
	int configs_only;               /* parts of the model may lack weights:
					 * they are trained from nothing */
	int threads;
	const char *precision;          /* a word of precision.h; NULL: f32 */
	const char *device;             /* what computes (device.h); NULL: BOOTH_DEVICE's or auto */
};

int pipeline_open(struct pipeline *p, const struct pipeline_options *o, struct err *e);
void pipeline_close(struct pipeline *p);

/*
 * The tokenizer that a model without one of its own uses: what tools/get-clip-vocabulary installed
 * ($XDG_DATA_HOME/booth/clip-tokenizer), or NULL if nothing is there. The caller's to free.
 */
char *pipeline_installed_tokenizer(void);

/*
 * Is the tokenizer there? Else a failure that names both
 * remedies (--tokenizer, tools/get-clip-vocabulary).
 */
int pipeline_need_tokenizer(struct pipeline *p, struct err *e);
/* That failure. */
int pipeline_no_tokenizer(const char *model, struct err *e);

/* ---- text ---- */

/* Hidden states a caption has: 77, or 75 n + 2 for max_tokens 150 and 225. */
int64_t text_tokens(int64_t max_tokens);

/*
 * out [text_tokens][width]. clip_skip 1: the last layer; 2: the one before, and so on (final norm
 * always).
 * *cut: tokens that did not fit (may be NULL).
 */
int pipeline_text(struct pipeline *p, const char *caption, int64_t clip_skip, int64_t max_tokens,
		  float *out, int *cut, struct err *e);

/* Bytes that pipeline_text takes on the device, from its first call on. */
int pipeline_text_bytes(struct pipeline *p, int64_t clip_skip, int64_t max_tokens, size_t *out,
			struct err *e);

/* ---- pictures ---- */

/*
 * moments [2 latent][h][w] (mean, clamped logvar), an owned f32 tensor. Sides must be multiples of
 * vae_factor.
 *
 * tile > 0: a picture with a side longer than that is encoded in squares of `tile` pixels (a
 * multiple of 4 vae_factor) that overlap by a quarter, whose moments are blended linearly where
 * they overlap, as AutoencoderKL.tiled_encode of diffusers does. Memory is then a tile's; the
 * moments differ a little, since normalisation and attention see a tile only.
 */
int pipeline_encode(struct pipeline *p, const struct image *im, int64_t tile,
		    struct tensor *moments, struct err *e);

/* latent [latent][h][w] as the UNet has it (times the scaling factor) -> RGB. */
int pipeline_decode(struct pipeline *p, const float *latent, int64_t h, int64_t w, struct image *im,
		    struct err *e);
/* The same before it is cut to 0..1 and rounded to 8 bits: out [rows][columns][3], about -1..1. */
int pipeline_decode_values(struct pipeline *p, const float *latent, int64_t h, int64_t w,
			   float *out, struct err *e);

/* ---- sampling ---- */

struct sample_options {
	const char *prompt, *negative;  /* negative "" by default */
	int64_t width, height;          /* pixels, multiples of vae_factor */
	int64_t steps;
	double scale;                   /* guidance; 1 and below: none */
	double rescale;                 /* guidance rescale, 0 = none */
	const char *sampler;            /* name, or NULL: the model's scheduler */
	uint64_t seed;
	int64_t clip_skip, max_tokens;
	double eta;
};

/* Called after every call of the network; another answer than 0 ends the drawing, which fails. */
typedef int sample_tick(void *who, int done, int total);

/*
 * `count` pictures, numbers first .. first + count - 1. Number i is what the seed `seed + i` gives
 * for number 0 (as web UIs count), so pictures do not depend on the batch. latent
 * [count][latent][h][w]; `each` may be NULL.
 */
int pipeline_sample(struct pipeline *p, const struct sample_options *o, int64_t first,
		    int64_t count, float *latent, sample_tick *each, void *who, struct err *e);

/*
 * The same from given unit noise [count][latent][h][w] (in:
 * noise, out: latent, after every tick too): for tests.
 */
int pipeline_sample_from(struct pipeline *p, const struct sample_options *o, int64_t count,
			 float *latent, const struct sampler_noise *noise, sample_tick *each,
			 void *who, struct err *e);

/* The network `net` of p, begun when it is first needed (inside). */
struct network *pipeline_network(struct pipeline *p, struct network *net, enum part part,
				 network_build *build, const void *config, struct err *e);

/* The UNet's graph: pictures, latent rows, columns, tokens (inside). */
id pipeline_unet_graph(struct model *m, const void *config, const int64_t s[SHAPE_SIDES]);

#endif
