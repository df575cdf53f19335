#include "kernels/run/config.h"

#include <string.h>

/* A number that may be a list by level. */
static int64_t by_level(const struct json *v, int level, int64_t otherwise)
{
	return json_type(v) == JSON_LIST ? json_int(json_at(v, (size_t)level), otherwise) :
		json_int(v, otherwise);
}

static int read_widths(int64_t width[MAX_LEVELS], int *levels, const struct json *list,
		       const char *what, struct err *e)
{
	size_t n = json_count(list);

	if (n < 1 || n > MAX_LEVELS)
		return fail(e, "%s: block_out_channels has %zu levels, 1 to %d are supported", what, n, MAX_LEVELS);
	*levels = (int)n;
	for (size_t i = 0; i < n; i++) {
		width[i] = json_int(json_at(list, i), 0);
		if (width[i] < 1 || width[i] > 1 << 20)
			return fail(e, "%s: block_out_channels[%zu] is %lld", what, i, (long long)width[i]);
	}
	return 0;
}

/* Fields whose presence means another architecture. */
static int refuse(const struct json *doc, const char *field, const char *accepted, struct err *e)
{
	const char *v = json_text(json_get(doc, field), NULL);

	if (v && strcmp(v, accepted))
		return fail(e, "unet: %s '%s' is not supported, only Stable Diffusion 1 and 2 are", field, v);
	return 0;
}

static int read_blocks(struct unet_config *c, const struct json *doc, struct err *e)
{
	const struct json *down = json_get(doc, "down_block_types"), *up = json_get(doc, "up_block_types");
	const struct json *heads = json_get(doc, "num_attention_heads");

	if (json_type(heads) != JSON_INT && json_type(heads) != JSON_LIST)
		heads = json_get(doc, "attention_head_dim");    /* misnamed in diffusers: the number of heads */
	for (int i = 0; i < c->levels; i++) {
		const char *d = json_text(json_at(down, (size_t)i), i < c->levels - 1 ? "CrossAttnDownBlock2D" : "DownBlock2D");
		const char *u = json_text(json_at(up, (size_t)(c->levels - 1 - i)),
					  strcmp(d, "DownBlock2D") ? "CrossAttnUpBlock2D" : "UpBlock2D");

		c->attention[i] = !strcmp(d, "CrossAttnDownBlock2D");
		if (!c->attention[i] && strcmp(d, "DownBlock2D"))
			return fail(e, "unet: block type '%s' is not supported", d);
		if (strcmp(u, c->attention[i] ? "CrossAttnUpBlock2D" : "UpBlock2D"))
			return fail(e, "unet: up block '%s' does not mirror down block '%s'", u, d);
		c->heads[i] = (int)by_level(heads, i, 8);
		if (c->heads[i] < 1 || c->width[i] % c->heads[i])
			return fail(e, "unet: %lld channels cannot be split into %d heads", (long long)c->width[i], c->heads[i]);
	}
	return 0;
}

int config_unet(struct unet_config *c, const struct json *doc, struct err *e)
{
	*c = (struct unet_config){
		.in_channels = json_int(json_get(doc, "in_channels"), 4),
		.out_channels = json_int(json_get(doc, "out_channels"), 4),
		.cross_width = json_int(json_get(doc, "cross_attention_dim"), 1280),
		.layers = (int)json_int(json_get(doc, "layers_per_block"), 2),
		.depth = (int)json_int(json_get(doc, "transformer_layers_per_block"), 1),
		.linear_projection = json_bool(json_get(doc, "use_linear_projection"), 0),
		.groups = (int)json_int(json_get(doc, "norm_num_groups"), 32),
		.eps = (float)json_float(json_get(doc, "norm_eps"), 1e-5),
		.flip_sin_to_cos = json_bool(json_get(doc, "flip_sin_to_cos"), 1),
		.freq_shift = (float)json_float(json_get(doc, "freq_shift"), 0),
	};
	if (refuse(doc, "addition_embed_type", "", e) < 0 || refuse(doc, "class_embed_type", "", e) < 0 ||
	    refuse(doc, "encoder_hid_dim_type", "", e) < 0 || refuse(doc, "act_fn", "silu", e) < 0 ||
	    refuse(doc, "mid_block_type", "UNetMidBlock2DCrossAttn", e) < 0 ||
	    refuse(doc, "resnet_time_scale_shift", "default", e) < 0)
		return -1;
	if (read_widths(c->width, &c->levels, json_get(doc, "block_out_channels"), "unet", e) < 0)
		return -1;
	if (c->layers < 1 || c->layers > 6 || c->depth < 1 || c->groups < 1)
		return fail(e, "unet: layers_per_block %d, transformer depth %d, groups %d", c->layers, c->depth, c->groups);
	for (int i = 0; i < c->levels; i++)
		if (c->width[i] % c->groups)
			return fail(e, "unet: %lld channels cannot be split into %d groups", (long long)c->width[i], c->groups);
	return read_blocks(c, doc, e);
}

int config_vae(struct vae_config *c, const struct json *doc, struct err *e)
{
	*c = (struct vae_config){
		.in_channels = json_int(json_get(doc, "in_channels"), 3),
		.out_channels = json_int(json_get(doc, "out_channels"), 3),
		.latent = json_int(json_get(doc, "latent_channels"), 4),
		.layers = (int)json_int(json_get(doc, "layers_per_block"), 1),
		.groups = (int)json_int(json_get(doc, "norm_num_groups"), 32),
		.quant = json_bool(json_get(doc, "use_quant_conv"), 1),
		.post_quant = json_bool(json_get(doc, "use_post_quant_conv"), 1),
		.mid_attention = json_bool(json_get(doc, "mid_block_add_attention"), 1),
		.scaling = (float)json_float(json_get(doc, "scaling_factor"), 0.18215),
		.shift = (float)json_float(json_get(doc, "shift_factor"), 0),
	};
	if (c->layers < 1 || c->layers > 6 || c->groups < 1 || c->latent < 1 || c->latent > 64)
		return fail(e, "vae: layers_per_block %d, groups %d, latent channels %lld", c->layers, c->groups, (long long)c->latent);
	if (read_widths(c->width, &c->levels, json_get(doc, "block_out_channels"), "vae", e) < 0)
		return -1;
	for (int i = 0; i < c->levels; i++)
		if (c->width[i] % c->groups)
			return fail(e, "vae: %lld channels cannot be split into %d groups", (long long)c->width[i], c->groups);
	return 0;
}

int config_text(struct text_config *c, const struct json *doc, struct err *e)
{
	const char *act = json_text(json_get(doc, "hidden_act"), "quick_gelu");

	*c = (struct text_config){
		.vocab = json_int(json_get(doc, "vocab_size"), 49408),
		.width = json_int(json_get(doc, "hidden_size"), 512),
		.inner = json_int(json_get(doc, "intermediate_size"), 2048),
		.layers = json_int(json_get(doc, "num_hidden_layers"), 12),
		.heads = json_int(json_get(doc, "num_attention_heads"), 8),
		.positions = json_int(json_get(doc, "max_position_embeddings"), 77),
		.act = !strcmp(act, "quick_gelu") ? ACT_QUICK_GELU : ACT_GELU,
		.eps = (float)json_float(json_get(doc, "layer_norm_eps"), 1e-5),
	};
	if (strcmp(act, "quick_gelu") && strcmp(act, "gelu"))
		return fail(e, "text encoder: hidden_act '%s' is not supported, only quick_gelu and gelu are", act);
	if (c->vocab < 1 || c->width < 1 || c->inner < 1 || c->layers < 1 || c->positions < 1 ||
	    c->heads < 1 || c->width % c->heads)
		return fail(e, "text encoder: %lld layers of width %lld with %lld heads cannot be built",
			    (long long)c->layers, (long long)c->width, (long long)c->heads);
	return 0;
}
