/*
 * One training step as graphs: forward, backward, gradient norm, clipping, AdamW, averages, all of
 * it planned before it runs. A step is one or more micro-batches, each of one shape. One
 * micro-batch runs as one graph; several add their gradients up in sums ("grad.NAME") and are
 * followed by a graph of updates alone.
 *
 * What a micro-batch is fed is the caller's: noisy latents, target, timesteps, weights by picture,
 * text. The loss is sum_n weight[n] mean((prediction - target)^2), so prior preservation, min-SNR
 * and accumulation are weights: 1/n a picture for a plain mean, and divided by the number of
 * micro-batches.
 *
 * In bf16 and f16 (config.type; kernels/ir/lower.h) weights that learn, their moments, sums and averages
 * are f32 as ever. f16's gradients are those of the loss times hyper.scale, or small ones would be 0; a step
 * whose gradients are infinite or no numbers changes nothing (loss_scale.h).
 *
 * Names in the pool: the weights' own ("unet.conv_in.weight", "lora.unet.....lora_A.weight"), and for each
 * trainable one "adam_m.NAME", "adam_v.NAME", "grad.NAME" (with accumulation), "ema.NAME" (with averages).
 */
#ifndef RUN_TRAINER_H
#define RUN_TRAINER_H

#include "kernels/model/model.h"
#include "kernels/model/part.h"
#include "kernels/run/session.h"

struct trainer_config {
	struct unet_config unet;
	struct text_config text;
	struct vae_config vae;
	int train[PART__COUNT];               /* full: the part's weights; LoRA: the part's LoRA */
	const struct lora *lora[PART__COUNT]; /* NULL: full */
	int text_skip;                  /* layers of the text encoder left out (clip_skip - 1) */
	int64_t tokens;                 /* hidden states a caption: 77, or 75 n + 2 */
	int chunks;                     /* rows of 77 ids a caption */
	enum dtype type;                /* that is computed in: BF16, F16; DT_NONE is F32, too */
	int accumulate;                 /* some step has several
					 * micro-batches: keep gradient sums */
	int ema;                        /* keep an average of the weights */
	/* train[PART_VAE]: reconstruction instead of diffusion */
	float kl_weight;                /* of KL / (latent elements), vae only */
};

struct trainer {
	struct trainer_config c;
	struct backend *b;
	struct pool pool;
	struct arena arena;
	struct trainer_shape *shape;    /* one a shape and variant */
	size_t shapes, cap_shapes;
	struct session update;          /* with accumulation */
	id update_norm2;
	size_t arena_bytes;
	struct trainer_due *due;        /* norms that trainer_wait will have */
	size_t n_due, cap_due;
};

/* Which graph a micro-batch runs: its shape, and whether the text encoder learns in it. */
struct trainer_key {
	int64_t n, h, w;        /* pictures, latent rows and columns (vae: pixels) */
	int text_frozen;        /* text encoder runs, but does not learn any more */
	int alone;              /* the step's only micro-batch: updates in the same graph */
	int validate;           /* forward only */
};

/*
 * Declare shapes (trainer_shape), then place memory; then weights are put into t->pool by name and
 * states filled with 0. trainer_shape returns the shape's index or -1.
 */
void trainer_begin(struct trainer *t, const struct trainer_config *c, struct backend *b);
int trainer_shape(struct trainer *t, struct trainer_key key, struct err *e);
int trainer_plan(struct trainer *t, struct err *e);     /* the update graph; after all shapes */
size_t trainer_pool_bytes(const struct trainer *t);     /* weights, moments, sums */
int trainer_place(struct trainer *t, struct err *e);
void trainer_release(struct trainer *t);

struct microbatch {             /* host arrays, NHWC */
	const float *noisy, *target;    /* [n][h][w][latent] */
	const float *timestep;          /* [n] */
	const float *weight;            /* [n] */
	const float *hidden;            /* [n][tokens][width]: text not in the graph */
	const int32_t *ids;             /* [n * chunks][77]: text in the graph */
	int32_t dropout_key[4];         /* seed low, seed high, item, step */
	const float *image, *noise;     /* vae: [n][H][W][3], [n][h][w][latent] */
};

struct hyper {                  /* of one update */
	float lr[PART__COUNT];
	float beta1, beta2, eps, weight_decay, max_norm;        /* max_norm 0: no clipping */
	int64_t step;           /* counts updates from 1, for the bias correction */
	float ema_decay;
	float scale;            /* in f16 the loss is multiplied by this (0: by 1) */
};

/*
 * Run micro-batch `b` in shape `index`; *loss gets its weighted loss. With key.alone the update is
 * done too and *norm gets the gradient norm (before clipping, of the loss as it is); where that is
 * not finite nothing was changed.
 */
int trainer_run(struct trainer *t, int index, const struct microbatch *b, const struct hyper *h,
		float *loss, float *norm, struct err *e);
/* After several micro-batches: the update, or none as above; gradient sums are zero again. */
int trainer_update(struct trainer *t, const struct hyper *h, float *norm, struct err *e);

/*
 * The same without waiting where the backend runs on by itself: *loss and *norm are written by
 * trainer_wait, and have to stay until then; host arrays of the micro-batch may be used again at once.
 * norm NULL: not wanted.
 */
int trainer_go(struct trainer *t, int index, const struct microbatch *b, const struct hyper *h,
	       float *loss, float *norm, struct err *e);
int trainer_update_go(struct trainer *t, const struct hyper *h, float *norm, struct err *e);
int trainer_wait(struct trainer *t, struct err *e);

/* Is the text encoder part of the graph (trained, or frozen half-way)? */
int trainer_has_text(const struct trainer *t);

#endif
