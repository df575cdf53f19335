/*
 * Names of weights. The canonical ones, used everywhere inside, are diffusers' (text encoder with
 * the level "text_model."), without the part in front. Here is how they are called
 *   - in the original single files of Stable Diffusion 1 and 2 (one rule a kind of block: levels
 *     and layers are numbered through there), and
 *   - in LoRA files: kohya's ("lora_unet_down_blocks_0_..."), diffusers' and PEFT's.
 * A new network is a few rows in names.c.
 */
#ifndef MODEL_NAMES_H
#define MODEL_NAMES_H

#include "common/base/buf.h"
#include "common/base/file.h"

enum name_family {
	NAME_UNET,              /* "model.diffusion_model." */
	NAME_VAE,               /* "first_stage_model." */
	NAME_TEXT,              /* CLIP of transformers: "cond_stage_model.transformer." */
	NAME_OPENCLIP,          /* "cond_stage_model.model.", q, k and v in one tensor */
	NAME__FAMILIES
};

struct name_layout {            /* what the numbers depend on; zeroed for the text encoders */
	int levels;             /* resolutions */
	int layers;             /* residual blocks a level (down) */
	unsigned attention;     /* UNet: bit i = level i (down; mirrored up) has transformers */
};

const char *name_prefix(enum name_family f);

/*
 * Canonical -> original with its prefix, appended. Returns 1, or 0: no such weight. OpenCLIP's
 * q_proj, k_proj and v_proj all give the fused tensor's name.
 */
int name_to_original(struct buf *out, enum name_family f, const struct name_layout *l,
		     const char *canonical);

/*
 * Original (with its prefix) -> canonical, appended. 1, or 0. Of a fused tensor, `third` says which
 * part is meant: 0 q, 1 k, 2 v.
 */
int name_from_original(struct buf *out, enum name_family f, const struct name_layout *l,
		       const char *original, int third);

int name_is_fused(const char *original);        /* q, k and v in one */
int name_third(const char *canonical);          /* fused in OpenCLIP: 0 q, 1 k, 2 v; else -1 */

/* The EMA copy's name: "model.diffusion_model.out.0.bias" -> "model_ema.diffusion_modelout0bias". 1, or 0. */
int name_of_ema(struct buf *out, const char *original);

/*
 * Things that single files of SD1 and SD2 carry beside the
 * weights: schedules, EMA, position_ids, ...
 */
int name_is_extra(const char *original);

/*
 * Is the weight's shape [k][c] with diffusers and
 * [k][c][1][1] in the original (the VAE's attention)?
 */
int name_is_conv_there(enum name_family f, const char *canonical);

/*
 * Names of VAE attention weights older than diffusers 0.17
 * -> today's, appended (unchanged if not such).
 */
void name_modernize(struct buf *out, const char *name);

/* ---- LoRA ---- */

enum lora_dialect {
	LORA_KOHYA,             /* lora_unet_..., lora_te_...:
				 * .lora_down.weight .lora_up.weight .alpha */
	LORA_DIFFUSERS,         /* unet.X.lora.down.weight,
				 * text_encoder.X.lora_linear_layer.up.weight: attention only */
	LORA_PEFT,              /* unet.X.lora_A.weight */
};
enum lora_role { LORA_A, LORA_B, LORA_ALPHA, LORA_OTHER };

/* The key of a module ("unet.down_blocks.0...to_q", "text_encoder.text_model...q_proj"), appended. */
void name_lora_key(struct buf *out, enum lora_dialect d, const char *module, enum lora_role role);

/* Does the dialect LORA_DIFFUSERS have a name for this module? */
int name_lora_is_attention(const char *module);

/*
 * Matching: every module that SD1's or SD2's layout can have, of any size, is listed once with its
 * name in kohya's files, so that nothing is ever split at underscores.
 */
struct lora_names {
	struct names module;            /* canonical */
	struct lora_pair { char *kohya; const char *module; } *pair;    /* by kohya's name */
};
void lora_names_init(struct lora_names *l);
void lora_names_release(struct lora_names *l);

/*
 * A key of any dialect -> its module (appended to `module`) and role. 1; 0: of no dialect or no
 * module of SD1 or SD2. LORA_OTHER: a tensor of a kind of adapter that is not plain LoRA (DoRA,
 * LoHa, LoKr).
 */
int lora_names_match(const struct lora_names *l, const char *key, struct buf *module,
		     enum lora_role *role);

#endif
