#include "kernels/model/names.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

/* How the numbers of a block are made from (level, layer). */
enum place {
	SAME,           /* the same numbers on both sides */
	DOWN,           /* input_blocks.N: 1 + level * (layers + 1) + layer */
	DOWN_END,       /* the downsampler behind a level */
	UP,             /* output_blocks.N: level * (layers +
			 * 1) + layer, one layer more than down */
	UP_END,         /* the upsampler behind a level with transformers */
	UP_END_PLAIN,   /* and behind one without */
	MIRROR,         /* the VAE's decoder counts levels from the other end */
};

struct part { const char *canonical, *original; };      /* beginning of what follows the block */

/* '#' is a number, '*' the rest. The first row that matches counts. */
struct rule {
	const char *canonical, *original;
	enum place place;
	const struct part *parts;       /* ended by NULL */
};

static const struct part resnet[] = {
	{ "norm1.", "in_layers.0." }, { "conv1.", "in_layers.2." }, { "time_emb_proj.", "emb_layers.1." },
	{ "norm2.", "out_layers.0." }, { "conv2.", "out_layers.3." }, { "conv_shortcut.", "skip_connection." },
	{ NULL, NULL }
};
static const struct part vae_resnet[] = { { "conv_shortcut.", "nin_shortcut." }, { NULL, NULL } };
static const struct part vae_attention[] = {
	{ "group_norm.", "norm." }, { "to_q.", "q." }, { "to_k.", "k." }, { "to_v.", "v." },
	{ "to_out.0.", "proj_out." }, { NULL, NULL }
};
static const struct part openclip_layer[] = {
	{ "layer_norm1.", "ln_1." }, { "layer_norm2.", "ln_2." }, { "mlp.fc1.", "mlp.c_fc." },
	{ "mlp.fc2.", "mlp.c_proj." }, { "self_attn.out_proj.", "attn.out_proj." },
	{ "self_attn.q_proj.", "attn.in_proj_" }, { "self_attn.k_proj.", "attn.in_proj_" },
	{ "self_attn.v_proj.", "attn.in_proj_" }, { NULL, NULL }
};

static const struct rule unet_rules[] = {
	{ "conv_in.*", "input_blocks.0.0.*", SAME, NULL },
	{ "time_embedding.linear_1.*", "time_embed.0.*", SAME, NULL },
	{ "time_embedding.linear_2.*", "time_embed.2.*", SAME, NULL },
	{ "down_blocks.#.downsamplers.0.conv.*", "input_blocks.#.0.op.*", DOWN_END, NULL },
	{ "down_blocks.#.resnets.#.*", "input_blocks.#.0.*", DOWN, resnet },
	{ "down_blocks.#.attentions.#.*", "input_blocks.#.1.*", DOWN, NULL },
	{ "mid_block.resnets.0.*", "middle_block.0.*", SAME, resnet },
	{ "mid_block.attentions.0.*", "middle_block.1.*", SAME, NULL },
	{ "mid_block.resnets.1.*", "middle_block.2.*", SAME, resnet },
	{ "up_blocks.#.upsamplers.0.conv.*", "output_blocks.#.2.conv.*", UP_END, NULL },
	{ "up_blocks.#.upsamplers.0.conv.*", "output_blocks.#.1.conv.*", UP_END_PLAIN, NULL },
	{ "up_blocks.#.resnets.#.*", "output_blocks.#.0.*", UP, resnet },
	{ "up_blocks.#.attentions.#.*", "output_blocks.#.1.*", UP, NULL },
	{ "conv_norm_out.*", "out.0.*", SAME, NULL },
	{ "conv_out.*", "out.2.*", SAME, NULL },
	{ NULL, NULL, SAME, NULL }
};
static const struct rule vae_rules[] = {
	{ "encoder.down_blocks.#.resnets.#.*", "encoder.down.#.block.#.*", SAME, vae_resnet },
	{ "encoder.down_blocks.#.downsamplers.0.conv.*", "encoder.down.#.downsample.conv.*", SAME, NULL },
	{ "encoder.mid_block.resnets.0.*", "encoder.mid.block_1.*", SAME, vae_resnet },
	{ "encoder.mid_block.resnets.1.*", "encoder.mid.block_2.*", SAME, vae_resnet },
	{ "encoder.mid_block.attentions.0.*", "encoder.mid.attn_1.*", SAME, vae_attention },
	{ "encoder.conv_norm_out.*", "encoder.norm_out.*", SAME, NULL },
	{ "decoder.up_blocks.#.resnets.#.*", "decoder.up.#.block.#.*", MIRROR, vae_resnet },
	{ "decoder.up_blocks.#.upsamplers.0.conv.*", "decoder.up.#.upsample.conv.*", MIRROR, NULL },
	{ "decoder.mid_block.resnets.0.*", "decoder.mid.block_1.*", SAME, vae_resnet },
	{ "decoder.mid_block.resnets.1.*", "decoder.mid.block_2.*", SAME, vae_resnet },
	{ "decoder.mid_block.attentions.0.*", "decoder.mid.attn_1.*", SAME, vae_attention },
	{ "decoder.conv_norm_out.*", "decoder.norm_out.*", SAME, NULL },
	{ "encoder.conv_in.*", "encoder.conv_in.*", SAME, NULL },
	{ "encoder.conv_out.*", "encoder.conv_out.*", SAME, NULL },
	{ "decoder.conv_in.*", "decoder.conv_in.*", SAME, NULL },
	{ "decoder.conv_out.*", "decoder.conv_out.*", SAME, NULL },
	{ "quant_conv.*", "quant_conv.*", SAME, NULL },
	{ "post_quant_conv.*", "post_quant_conv.*", SAME, NULL },
	{ NULL, NULL, SAME, NULL }
};
static const struct rule text_rules[] = {
	{ "text_model.*", "text_model.*", SAME, NULL },
	{ "text_model.embeddings.*", "embeddings.*", SAME, NULL },      /* files without the level, to be read only */
	{ "text_model.encoder.*", "encoder.*", SAME, NULL },
	{ "text_model.final_layer_norm.*", "final_layer_norm.*", SAME, NULL },
	{ NULL, NULL, SAME, NULL }
};
static const struct rule openclip_rules[] = {
	{ "text_model.embeddings.token_embedding.weight", "token_embedding.weight", SAME, NULL },
	{ "text_model.embeddings.position_embedding.weight", "positional_embedding", SAME, NULL },
	{ "text_model.encoder.layers.#.*", "transformer.resblocks.#.*", SAME, openclip_layer },
	{ "text_model.final_layer_norm.*", "ln_final.*", SAME, NULL },
	{ NULL, NULL, SAME, NULL }
};

static const struct { const char *prefix; const struct rule *rules; } families[NAME__FAMILIES] = {
	[NAME_UNET] = { "model.diffusion_model.", unet_rules },
	[NAME_VAE] = { "first_stage_model.", vae_rules },
	[NAME_TEXT] = { "cond_stage_model.transformer.", text_rules },
	[NAME_OPENCLIP] = { "cond_stage_model.model.", openclip_rules },
};

const char *name_prefix(enum name_family f)
{
	return families[f].prefix;
}

/* ---- patterns ---- */

struct found { int number[2], n; const char *rest; };

static int take_number(const char **s, int *out)
{
	const char *p = *s;
	int v = 0;

	while (*p >= '0' && *p <= '9' && p - *s < 5)
		v = v * 10 + *p++ - '0';
	if (p == *s || (p - *s > 1 && **s == '0'))
		return 0;
	*s = p;
	*out = v;
	return 1;
}

static int match(const char *pattern, const char *s, struct found *f)
{
	f->n = 0;
	f->rest = "";
	for (; *pattern; pattern++) {
		if (*pattern == '*') {
			f->rest = s;
			return *s != 0;
		}
		if (*pattern == '#') {
			if (!take_number(&s, &f->number[f->n++]))
				return 0;
		} else if (*pattern != *s++) {
			return 0;
		}
	}
	return !*s;
}

static void put(struct buf *out, const char *pattern, const struct found *f, const char *rest_from,
		const char *rest_to)
{
	int n = 0;

	for (; *pattern; pattern++) {
		if (*pattern == '#') {
			buf_addf(out, "%d", f->number[n++]);
		} else if (*pattern == '*') {
			buf_adds(out, rest_to);
			buf_adds(out, f->rest + strlen(rest_from));
		} else {
			buf_addc(out, *pattern);
		}
	}
}

/* ---- numbers ---- */

static int has_attention(const struct name_layout *l, int up_level)
{
	return l->attention >> (l->levels - 1 - up_level) & 1;
}

/* (level, layer) -> the original's number. 0: there is no such block. */
static int number_there(enum place place, const struct name_layout *l, struct found *f)
{
	int level = f->number[0], layer = place == DOWN || place == UP ? f->number[1] : 0,
	    a = l->layers;

	if (place == SAME)
		return 1;
	if (level >= l->levels || layer > a || (place == DOWN && layer >= a))
		return 0;
	switch (place) {
	case DOWN: f->number[0] = 1 + level * (a + 1) + layer; break;
	case DOWN_END: f->number[0] = (level + 1) * (a + 1); break;
	case UP: f->number[0] = level * (a + 1) + layer; break;
	case UP_END:
	case UP_END_PLAIN:
		if (has_attention(l, level) != (place == UP_END))
			return 0;
		f->number[0] = level * (a + 1) + a;
		break;
	default: f->number[0] = l->levels - 1 - level; break;   /* MIRROR */
	}
	return 1;
}

/* The original's number -> (level, layer). */
static int number_here(enum place place, const struct name_layout *l, struct found *f)
{
	int n = f->number[0], a = l->layers + 1;
	int from = place == DOWN || place == DOWN_END ? n - 1 : n;

	if (place == SAME)
		return 1;
	if (place == MIRROR) {
		f->number[0] = l->levels - 1 - n;
		return f->number[0] >= 0;
	}
	if (from < 0 || from / a >= l->levels)
		return 0;
	f->number[0] = from / a;
	f->number[1] = from % a;
	switch (place) {
	case DOWN: return f->number[1] < a - 1;
	case DOWN_END: return f->number[1] == a - 1;
	case UP: return 1;
	default:
		return f->number[1] == a - 1 && has_attention(l, f->number[0]) == (place == UP_END);
	}
}

/* ---- both ways ---- */

static const char *end_of(const struct part *parts, const char *rest, int original, int third,
			  const char **from)
{
	*from = "";
	for (const struct part *p = parts; p && p->canonical; p++) {
		const char *mine = original ? p->original : p->canonical;
		if (!starts_with(rest, mine))
			continue;
		if (original && name_is_fused(rest) && third-- > 0)
			continue;       /* q, k, v are three rows of one name */
		*from = mine;
		return original ? p->canonical : p->original;
	}
	return "";
}

static int translate(struct buf *out, enum name_family f, const struct name_layout *l,
		     const char *name, int original, int third)
{
	for (const struct rule *r = families[f].rules; r->canonical; r++) {
		struct found at;
		const char *from, *to;
		if (!match(original ? r->original : r->canonical, name, &at) ||
		    !(original ? number_here : number_there)(r->place, l, &at))
			continue;
		to = end_of(r->parts, at.rest, original, third, &from);
		put(out, original ? r->canonical : r->original, &at, from, to);
		return 1;
	}
	return 0;
}

int name_to_original(struct buf *out, enum name_family f, const struct name_layout *l,
		     const char *canonical)
{
	size_t before = out->len;

	buf_adds(out, families[f].prefix);
	if (translate(out, f, l, canonical, 0, 0))
		return 1;
	out->len = before;
	out->at[before] = 0;
	return 0;
}

int name_from_original(struct buf *out, enum name_family f, const struct name_layout *l,
		       const char *original, int third)
{
	if (!starts_with(original, families[f].prefix))
		return 0;
	return translate(out, f, l, original + strlen(families[f].prefix), 1, third);
}

int name_is_fused(const char *original)
{
	return ends_with(original, "attn.in_proj_weight") ||
	       ends_with(original, "attn.in_proj_bias");
}

int name_third(const char *canonical)
{
	static const char *const word[] = { ".self_attn.q_proj.", ".self_attn.k_proj.",
					    ".self_attn.v_proj." };

	for (int i = 0; i < 3; i++)
		if (strstr(canonical, word[i]))
			return i;
	return -1;
}

int name_of_ema(struct buf *out, const char *original)
{
	if (!starts_with(original, "model."))
		return 0;
	buf_adds(out, "model_ema.");
	for (const char *p = original + strlen("model."); *p; p++)
		if (*p != '.')
			buf_addc(out, *p);
	return 1;
}

int name_is_extra(const char *original)
{
	static const char *const whole[] = {
		"betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
		"sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
		"sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
		"posterior_mean_coef1", "posterior_mean_coef2", "scale_factor", "logvar",
		"cond_stage_model.logit_scale", "cond_stage_model.text_projection.weight",
		"cond_stage_model.transformer.text_projection.weight",
		"cond_stage_model.model.text_projection", "cond_stage_model.model.logit_scale",
		"cond_stage_model.model.attn_mask", "model.diffusion_model.time_embedding.cond_proj.weight",
	};
	static const char *const begin[] = {
		"model_ema.", "embedding_manager.", "first_stage_model.loss.", "control_model.",
		"cond_stage_model.transformer.vision_model.",
	};

	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
		if (!strcmp(original, whole[i]))
			return 1;
	for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
		if (starts_with(original, begin[i]))
			return 1;
	return ends_with(original, ".position_ids");
}

int name_is_conv_there(enum name_family f, const char *canonical)
{
	return f == NAME_VAE && strstr(canonical, "mid_block.attentions.0.to_") &&
	       ends_with(canonical, ".weight");
}

void name_modernize(struct buf *out, const char *name)
{
	static const struct part old[] = {
		{ ".to_q.", ".query." }, { ".to_k.", ".key." }, { ".to_v.", ".value." }, { ".to_out.0.", ".proj_attn." },
	};

	for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
		const char *at = strstr(name, old[i].original);
		if (!at)
			continue;
		buf_add(out, name, (size_t)(at - name));
		buf_adds(out, old[i].canonical);
		buf_adds(out, at + strlen(old[i].original));
		return;
	}
	buf_adds(out, name);
}
