#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "kernels/run/checkpoint.h"

/* Configurations in the words and order of diffusers 0.42 and transformers 5.23. */
#define DIFFUSERS "0.42.1"
#define TRANSFORMERS "5.23.0"
#define LEVELS 16

static int64_t side(const struct part_weights *w, const char *name, int axis)
{
	const struct tensor *t = part_find(w, name);

	return t && axis < t->rank ? t->side[axis] : 0;
}

/* side() of a name with a number in it. */
static int64_t side_at(const struct part_weights *w, const char *fmt_before, int i,
		       const char *after, int axis)
{
	char *name = xasprintf("%s%d%s", fmt_before, i, after);
	int64_t n = side(w, name, axis);

	free(name);
	return n;
}

/* How many there are from 0 on. */
static int count(const struct part_weights *w, const char *before, const char *after)
{
	int n = 0;

	while (n < 1000 && side_at(w, before, n, after, 0))
		n++;
	return n;
}

static int64_t gcd(int64_t a, int64_t b)
{
	return b ? gcd(b, a % b) : a;
}

static void put_list(struct buf *b, const char *name, const int64_t *at, int n)
{
	buf_addf(b, "  \"%s\": [\n", name);
	for (int i = 0; i < n; i++)
		buf_addf(b, "    %lld%s\n", (long long)at[i], i + 1 < n ? "," : "");
	buf_adds(b, "  ],\n");
}

static void put_types(struct buf *b, const char *name, const char *const *at, int n, int last)
{
	buf_addf(b, "  \"%s\": [\n", name);
	for (int i = 0; i < n; i++)
		buf_addf(b, "    \"%s\"%s\n", at[i], i + 1 < n ? "," : "");
	buf_adds(b, last ? "  ]\n" : "  ],\n");
}

/* Groups of the norms: 32, less if the channels of a narrow network do not divide. */
static int64_t groups_of(const int64_t *width, int n)
{
	int64_t g = 32;

	for (int i = 0; i < n; i++)
		g = gcd(width[i], g);
	return g;
}

/* ---- UNet ---- */

struct unet_facts {
	int levels, layers, attention[LEVELS], linear, v;
	int64_t width[LEVELS], in, out, cross;
};

static int unet_facts(struct unet_facts *u, const struct checkpoint *c, struct err *e)
{
	const struct part_weights *w = &c->part[PART_UNET];
	const struct tensor *proj = NULL;

	u->levels = count(w, "down_blocks.", ".resnets.0.conv1.weight");
	if (!u->levels || u->levels > LEVELS)
		return fail(e, "'%s': its UNet has %d levels", c->path, u->levels);
	u->layers = count(w, "down_blocks.0.resnets.", ".conv1.weight");
	u->in = side(w, "conv_in.weight", 1);
	u->out = side(w, "conv_out.weight", 0);
	for (int i = 0; i < u->levels; i++) {
		char *name = xasprintf("down_blocks.%d.attentions.0.proj_in.weight", i);
		const struct tensor *t = part_find(w, name);
		free(name);
		u->width[i] = side_at(w, "down_blocks.", i, ".resnets.0.conv1.weight", 0);
		u->attention[i] = t != NULL;
		if (t)
			proj = t;
	}
	if (!proj)
		proj = part_find(w, "mid_block.attentions.0.proj_in.weight");
	u->linear = proj && proj->rank == 2;
	u->cross = side(w, "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", 1);
	if (!u->in || !u->out || !u->cross)
		return fail(e,
			"'%s' is not complete: its UNet has no conv_in, conv_out or cross attention",
			c->path);
	return 0;
}

/* SD1: 8 heads everywhere. SD2: heads of 64. */
static void put_heads(struct buf *b, const struct unet_facts *u)
{
	int64_t heads[LEVELS];

	for (int i = 0; i < u->levels; i++)
		heads[i] = u->width[i] >= 64 ? u->width[i] / 64 : 1;
	if (u->linear)
		put_list(b, "attention_head_dim", heads, u->levels);
	else
		buf_adds(b, "  \"attention_head_dim\": 8,\n");
}

static char *unet_config(const struct unet_facts *u)
{
	const char *down[LEVELS], *up[LEVELS];
	struct buf b = { 0 };

	for (int i = 0; i < u->levels; i++) {
		down[i] = u->attention[i] ? "CrossAttnDownBlock2D" : "DownBlock2D";
		up[u->levels - 1 - i] = u->attention[i] ? "CrossAttnUpBlock2D" : "UpBlock2D";
	}
	buf_adds(&b,
		"{\n  \"_class_name\": \"UNet2DConditionModel\",\n  \"_diffusers_version\": \"" DIFFUSERS
		"\",\n"
		"  \"act_fn\": \"silu\",\n  \"addition_embed_type\": null,\n  \"addition_embed_type_num_heads\": 64,\n"
		"  \"addition_time_embed_dim\": null,\n");
	put_heads(&b, u);
	buf_adds(&b, "  \"attention_type\": \"default\",\n");
	put_list(&b, "block_out_channels", u->width, u->levels);
	buf_addf(&b, "  \"center_input_sample\": false,\n  \"class_embed_type\": null,\n"
		 "  \"class_embeddings_concat\": false,\n  \"conv_in_kernel\": 3,\n  \"conv_out_kernel\": 3,\n"
		 "  \"cross_attention_dim\": %lld,\n  \"cross_attention_norm\": null,\n", (long long)u->cross);
	put_types(&b, "down_block_types", down, u->levels, 0);
	buf_addf(&b,
		"  \"downsample_padding\": 1,\n  \"dropout\": 0.0,\n  \"dual_cross_attention\": false,\n"
		"  \"encoder_hid_dim\": null,\n  \"encoder_hid_dim_type\": null,\n  \"flip_sin_to_cos\": true,\n"
		"  \"freq_shift\": 0,\n  \"in_channels\": %lld,\n  \"layers_per_block\": %d,\n"
		"  \"mid_block_only_cross_attention\": null,\n  \"mid_block_scale_factor\": 1,\n"
		"  \"mid_block_type\": \"UNetMidBlock2DCrossAttn\",\n  \"norm_eps\": 1e-05,\n"
		"  \"norm_num_groups\": %lld,\n  \"num_attention_heads\": null,\n  \"num_class_embeds\": null,\n"
		"  \"only_cross_attention\": false,\n  \"out_channels\": %lld,\n",
		(long long)u->in, u->layers, (long long)groups_of(u->width, u->levels),
		(long long)u->out);
	buf_addf(&b,
		"  \"projection_class_embeddings_input_dim\": null,\n  \"resnet_out_scale_factor\": 1.0,\n"
		"  \"resnet_skip_time_act\": false,\n  \"resnet_time_scale_shift\": \"default\",\n"
		"  \"reverse_transformer_layers_per_block\": null,\n  \"sample_size\": %d,\n"
		"  \"time_cond_proj_dim\": null,\n  \"time_embedding_act_fn\": null,\n  \"time_embedding_dim\": null,\n"
		"  \"time_embedding_type\": \"positional\",\n  \"timestep_post_act\": null,\n"
		"  \"transformer_layers_per_block\": 1,\n",
		u->v ? 96 : 64);
	put_types(&b, "up_block_types", up, u->levels, 0);
	buf_addf(&b, "  \"upcast_attention\": %s,\n  \"use_linear_projection\": %s\n}\n",
		 u->linear ? "true" : "false", u->linear ? "true" : "false");
	return buf_detach(&b);
}

/* ---- VAE ---- */

static char *vae_config(const struct checkpoint *c, int v, struct err *e)
{
	const struct part_weights *w = &c->part[PART_VAE];
	const char *down[LEVELS], *up[LEVELS];
	int64_t width[LEVELS] = { 0 }, latent = side(w, "decoder.conv_in.weight", 1);
	int levels = count(w, "encoder.down_blocks.", ".resnets.0.conv1.weight");
	struct buf b = { 0 };

	if (!levels || levels > LEVELS || !latent) {
		fail(e,
		     "'%s' is not complete: its autoencoder has %d levels and %lld latent channels",
		     c->path, levels, (long long)latent);
		return NULL;
	}
	for (int i = 0; i < levels; i++) {
		width[i] = side_at(w, "encoder.down_blocks.", i, ".resnets.0.conv1.weight", 0);
		down[i] = "DownEncoderBlock2D";
		up[i] = "UpDecoderBlock2D";
	}
	buf_adds(&b,
		 "{\n  \"_class_name\": \"AutoencoderKL\",\n  \"_diffusers_version\": \"" DIFFUSERS
		 "\",\n"
		 "  \"act_fn\": \"silu\",\n");
	put_list(&b, "block_out_channels", width, levels);
	put_types(&b, "down_block_types", down, levels, 0);
	buf_addf(&b,
		"  \"force_upcast\": true,\n  \"in_channels\": %lld,\n  \"latent_channels\": %lld,\n"
		"  \"latents_mean\": null,\n  \"latents_std\": null,\n  \"layers_per_block\": %d,\n"
		"  \"mid_block_add_attention\": %s,\n  \"norm_num_groups\": %lld,\n  \"out_channels\": %lld,\n"
		"  \"sample_size\": %d,\n  \"scaling_factor\": 0.18215,\n  \"shift_factor\": null,\n",
		(long long)side(w, "encoder.conv_in.weight", 1), (long long)latent,
		count(w, "encoder.down_blocks.0.resnets.", ".conv1.weight"),
		part_find(w, "encoder.mid_block.attentions.0.to_q.weight") ? "true" : "false",
		(long long)groups_of(width, levels),
		(long long)side(w, "decoder.conv_out.weight", 0), v ? 768 : 512);
	put_types(&b, "up_block_types", up, levels, 0);
	buf_addf(&b, "  \"use_post_quant_conv\": %s,\n  \"use_quant_conv\": %s\n}\n",
		 part_find(w, "post_quant_conv.weight") ? "true" : "false",
		 part_find(w, "quant_conv.weight") ? "true" : "false");
	return buf_detach(&b);
}

/* ---- text encoder ---- */

static char *text_config(const struct checkpoint *c, struct err *e)
{
	const struct part_weights *w = &c->part[PART_TEXT];
	int64_t vocab = side(w, "text_model.embeddings.token_embedding.weight", 0);
	int64_t width = side(w, "text_model.embeddings.token_embedding.weight", 1);
	int64_t inner = side(w, "text_model.encoder.layers.0.mlp.fc1.weight", 0);
	int64_t positions = side(w, "text_model.embeddings.position_embedding.weight", 0);
	int layers = count(w, "text_model.encoder.layers.", ".mlp.fc1.weight"),
	    sd2 = c->family == FAMILY_SD2;
	struct buf b = { 0 };

	if (!vocab || !width || !inner || !positions) {
		fail(e, "'%s' is not complete: its text encoder has no embeddings or no layers",
		     c->path);
		return NULL;
	}
	buf_addf(&b,
		"{\n  \"architectures\": [\n    \"CLIPTextModel\"\n  ],\n  \"attention_dropout\": 0.0,\n"
		"  \"bos_token_id\": 0,\n  \"dtype\": \"float32\",\n  \"eos_token_id\": 2,\n"
		"  \"hidden_act\": \"%s\",\n  \"hidden_size\": %lld,\n  \"initializer_factor\": 1.0,\n"
		"  \"initializer_range\": 0.02,\n  \"intermediate_size\": %lld,\n  \"layer_norm_eps\": 1e-05,\n"
		"  \"max_position_embeddings\": %lld,\n  \"model_type\": \"clip_text_model\",\n",
		sd2 ? "gelu" : "quick_gelu", (long long)width, (long long)inner,
		(long long)positions);
	buf_addf(&b,
		"  \"num_attention_heads\": %lld,\n  \"num_hidden_layers\": %d,\n  \"pad_token_id\": 1,\n"
		"  \"projection_dim\": %lld,\n  \"transformers_version\": \"" TRANSFORMERS "\",\n"
		"  \"vocab_size\": %lld\n}\n",
		(long long)(width >= 64 ? width / 64 : 1), layers, (long long)(sd2 ? 512 : width),
		(long long)vocab);
	return buf_detach(&b);
}

/* ---- scheduler ---- */

static const char scheduler_epsilon[] =
	"{\n  \"_class_name\": \"PNDMScheduler\",\n  \"_diffusers_version\": \"" DIFFUSERS "\",\n"
	"  \"beta_end\": 0.012,\n  \"beta_schedule\": \"scaled_linear\",\n  \"beta_start\": 0.00085,\n"
	"  \"num_train_timesteps\": 1000,\n  \"prediction_type\": \"epsilon\",\n"
	"  \"set_alpha_to_one\": false,\n  \"skip_prk_steps\": true,\n  \"steps_offset\": 1,\n"
	"  \"timestep_spacing\": \"leading\",\n  \"trained_betas\": null\n}\n";
static const char scheduler_v[] =
	"{\n  \"_class_name\": \"DDIMScheduler\",\n  \"_diffusers_version\": \"" DIFFUSERS "\",\n"
	"  \"beta_end\": 0.012,\n  \"beta_schedule\": \"scaled_linear\",\n  \"beta_start\": 0.00085,\n"
	"  \"clip_sample\": false,\n  \"clip_sample_range\": 1.0,\n  \"dynamic_thresholding_ratio\": 0.995,\n"
	"  \"num_train_timesteps\": 1000,\n  \"prediction_type\": \"v_prediction\",\n"
	"  \"rescale_betas_zero_snr\": false,\n  \"sample_max_value\": 1.0,\n  \"set_alpha_to_one\": false,\n"
	"  \"steps_offset\": 1,\n  \"thresholding\": false,\n  \"timestep_spacing\": \"leading\",\n"
	"  \"trained_betas\": null\n}\n";

/*
 * Nothing in the weights says what the network predicts. What the caller or the metadata says
 * counts; else SD1 predicts epsilon and SD2 the velocity (768-v is by far the more common SD2).
 */
static int predicts_v(const struct checkpoint *c, const char *prediction)
{
	for (size_t i = 0; !prediction && i < c->n_meta; i++) {
		const char *key = c->meta[2 * i], *value = c->meta[2 * i + 1];
		if (!strcmp(key, "modelspec.prediction_type") && *value)
			prediction = value;
		else if (!strcmp(key, "modelspec.architecture") &&
			 starts_with(value, "stable-diffusion-v2-512"))
			prediction = "epsilon";
	}
	if (prediction)
		return *prediction == 'v';
	return c->family == FAMILY_SD2;
}

/* ---- all of them ---- */

/* SD2's projections, where a tool wrote them as 1x1 convolutions: its text is 1024 wide. */
static void make_linear(struct part_weights *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct tensor *t = &w->at[i].t;
		if (t->rank == 4 && t->side[2] == 1 && t->side[3] == 1 &&
		    (ends_with(w->at[i].name, ".proj_in.weight") ||
		     ends_with(w->at[i].name, ".proj_out.weight")))
			t->rank = 2;
	}
}

static int derive_unet(struct checkpoint *c, const char *prediction, struct err *e)
{
	struct unet_facts u = { 0 };

	if (unet_facts(&u, c, e) < 0)
		return -1;
	if (!u.linear && u.cross == 1024) {
		make_linear(&c->part[PART_UNET]);
		u.linear = 1;
	}
	c->family = u.linear ? FAMILY_SD2 : FAMILY_SD1;
	u.v = predicts_v(c, prediction);
	if (c->part[PART_UNET].config)
		return 0;
	return part_set_config(&c->part[PART_UNET], unet_config(&u), c->path, e);
}

int checkpoint_derive(struct checkpoint *c, const char *prediction, struct err *e)
{
	char *text;
	int v;

	if (c->part[PART_UNET].n && derive_unet(c, prediction, e) < 0)
		return -1;
	v = predicts_v(c, prediction);
	if (c->part[PART_VAE].n && !c->part[PART_VAE].config) {
		text = vae_config(c, v, e);
		if (!text || part_set_config(&c->part[PART_VAE], text, c->path, e) < 0)
			return -1;
	}
	if (c->part[PART_TEXT].n && !c->part[PART_TEXT].config) {
		text = text_config(c, e);
		if (!text || part_set_config(&c->part[PART_TEXT], text, c->path, e) < 0)
			return -1;
	}
	if (c->scheduler)
		return 0;
	return checkpoint_set_scheduler(c, xstrdup(v ? scheduler_v : scheduler_epsilon), c->path,
					e);
}
