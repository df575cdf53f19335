/*
 * Networks as plain functions that emit graph nodes. A weight's name, as in the checkpoint
 * (diffusers' names, after "unet.", "vae." or "text_encoder."), is written at its point of use: a
 * scope makes the path, nothing is declared twice, and there is no loader.
 *
 *	scope(&m, "down_blocks.%d", i);
 *	x = linear(&m, "to_q", x, 320, 0);
 *	unscope(&m);
 *
 * LoRA is a wrapper around linear and conv, chosen when the network is built: a module that
 * m->lora covers gets two more weights, "lora.PATH.lora_A.weight" and "lora.PATH.lora_B.weight".
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "common/base/buf.h"
#include "kernels/ir/build.h"

#define MAX_LEVELS 6            /* resolutions of a UNet or autoencoder */

enum lora_cover {               /* which modules get a LoRA */
	LORA_ATTENTION,         /* to_q to_k to_v to_out.0; text: q_proj k_proj v_proj out_proj */
	LORA_LINEAR,            /* all linear layers and 1x1 convolutions of the
				 * transformers (kohya's default); text: mlp too */
	LORA_CONV,              /* and those of residual blocks, down-
				 * and upsamplers (kohya's conv_dim) */
};

struct lora {
	enum lora_cover cover;
	int64_t rank;           /* of linear layers and 1x1 convolutions */
	int64_t conv_rank;      /* of larger filters; 0 = rank */
	float alpha, conv_alpha;        /* scale = alpha / rank; conv_alpha 0 = alpha */
	float dropout;          /* of the module's input; needs m->dropout_key */
	/*
	 * NULL: as `cover` says. Else asked with the module's path: the rank that its LoRA has (0 =
	 * none), and its alpha: for LoRA files that were read. */
	int64_t (*rank_of)(void *data, const char *path, float *alpha);
	void *data;
};

struct model {
	struct graph *g;
	struct buf path;        /* the scope, with a '.' at its end */
	int train;              /* the weights made from here on want gradients */
	int train_lora;         /* those of a LoRA do; on after model_begin */
	const struct lora *lora;        /* NULL: none; modules of the current part */
	id dropout_key;         /* I32 [1][1][1][4] input, or NONE (0 in a
				 * zeroed struct is not NONE: model_begin) */
	uint32_t dropouts;      /* made so far: their tags */
};

void model_begin(struct model *m, struct graph *g);
void model_release(struct model *m);
void scope(struct model *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void unscope(struct model *m);          /* drops the last scope() */

int64_t channels(const struct model *m, id x);
id weight(struct model *m, const char *name, int64_t k, int64_t r, int64_t s, int64_t c);
id linear(struct model *m, const char *name, id x, int64_t out, int bias);
id linear_add(struct model *m, const char *name, id x, int64_t out, int bias, id residual);
id conv(struct model *m, const char *name, id x, int64_t out, int filter, struct conv at);
id conv_add(struct model *m, const char *name, id x, int64_t out, int filter, struct conv at,
	    id residual);
/* 3x3, stride 1, padding 1 */
id conv3(struct model *m, const char *name, id x, int64_t out);
id conv1(struct model *m, const char *name, id x, int64_t out);         /* 1x1 */
id group_norm(struct model *m, const char *name, id x, int groups, float eps, enum act act);
id layer_norm(struct model *m, const char *name, id x, float eps);

/* ---- text encoder (text.c): CLIP as in transformers ---- */
/* ids I32 [1][1][n][t] -> [n][1][t][width] */
struct text_config {
	int64_t vocab, width, inner, layers, heads, positions;
	enum act act;           /* ACT_QUICK_GELU or ACT_GELU */
	float eps;
};
/*
 * Runs layers - skip layers and the final norm (clip_skip as kohya counts it: skip = clip_skip -
 * 1). hidden: NULL, or layers + 1 ids for the embeddings and every layer's output without the final
 * norm.
 */
id text_encoder(struct model *m, const struct text_config *c, id ids, int skip, id *hidden);

/* ---- UNet (unet.c): UNet2DConditionModel of SD 1 and 2 ---- */
struct unet_config {
	int levels;
	int64_t in_channels, out_channels, width[MAX_LEVELS], cross_width;
	int attention[MAX_LEVELS];      /* has transformers at that level (down; mirrored up) */
	int heads[MAX_LEVELS];          /* number of heads by level */
	int layers, depth;              /* residual blocks a level,
					 * transformer blocks a transformer */
	int linear_projection;          /* proj_in and proj_out are linear, not 1x1 convolutions */
	int groups;
	float eps;
	int flip_sin_to_cos;
	float freq_shift;
};
/* x [n][h][w][in], t F32 [1][1][1][n], text [n][1][tokens][cross_width] -> [n][h][w][out] */
id unet(struct model *m, const struct unet_config *c, id x, id t, id text);

/* ---- autoencoder (vae.c): AutoencoderKL ---- */
struct vae_config {
	int levels;
	int64_t in_channels, out_channels, latent, width[MAX_LEVELS];
	int layers, groups;
	int quant, post_quant;          /* has quant_conv, post_quant_conv */
	int mid_attention;
	float scaling;                  /* scaling_factor: latent fed to the UNet = z * scaling */
	float shift;
};
/* x [n][H][W][3] in -1..1 -> moments [n][h][w][2 latent]: mean, then logvar (not clamped) */
id vae_encode(struct model *m, const struct vae_config *c, id x);
/* z [n][h][w][latent], already divided by scaling -> [n][H][W][3] */
id vae_decode(struct model *m, const struct vae_config *c, id z);
int vae_factor(const struct vae_config *c);     /* pixels a latent: 2^(levels - 1) */

#endif
