/*
 * The graphs that users run, at full size and without weights: Stable Diffusion 1.5 and 2, made by the same
 * builders as trainings and pictures, so that tests can walk over every shape there is.
 */
#ifndef REAL_GRAPHS_H
#define REAL_GRAPHS_H

#include <stdlib.h>

#include "kernels/ir/fuse.h"
#include "kernels/ir/lower.h"
#include "kernels/run/pipeline.h"
#include "kernels/run/trainer_graph.h"

static const struct unet_config real_unet[] = {
	{ .levels = 4, .in_channels = 4, .out_channels = 4, .width = { 320, 640, 1280, 1280 },
	  .cross_width = 768, .attention = { 1, 1, 1, 0 }, .heads = { 8, 8, 8, 8 }, .layers = 2,
	  .depth = 1, .groups = 32, .eps = 1e-5f, .flip_sin_to_cos = 1 },
	{ .levels = 4, .in_channels = 4, .out_channels = 4, .width = { 320, 640, 1280, 1280 },
	  .cross_width = 1024, .attention = { 1, 1, 1, 0 }, .heads = { 5, 10, 20, 20 }, .layers = 2,
	  .depth = 1, .linear_projection = 1, .groups = 32, .eps = 1e-5f, .flip_sin_to_cos = 1 },
};
static const struct text_config real_text[] = {
	{ .vocab = 49408, .width = 768, .inner = 3072, .layers = 12, .heads = 12, .positions = 77,
	  .act = ACT_QUICK_GELU, .eps = 1e-5f },
	{ .vocab = 49408, .width = 1024, .inner = 4096, .layers = 23, .heads = 16, .positions = 77,
	  .act = ACT_GELU, .eps = 1e-5f },
};
static const struct vae_config real_vae = {
	.levels = 4, .in_channels = 3, .out_channels = 3, .latent = 4, .width = { 128, 256, 512, 512 },
	.layers = 2, .groups = 32, .quant = 1, .post_quant = 1, .mid_attention = 1, .scaling = .18215f,
};
static const struct lora real_lora = { .cover = LORA_ATTENTION, .rank = 16, .alpha = 16 };
static const struct lora real_lora_conv = { .cover = LORA_CONV, .rank = 16, .conv_rank = 4, .alpha = 16 };

enum real_what {
	REAL_LORA, REAL_LORA_CONV, REAL_FULL, REAL_BOTH, REAL_VAE,      /* steps of training; BOTH: text, too */
	REAL_UNET, REAL_ENCODE, REAL_DECODE, REAL_TEXT,                 /* what is only run */
};

/* Of n pictures of h x w pixels; chunks of 75 tokens a caption, 0 is one; brief: in a short walk, too. */
struct real_graph {
	const char *name;
	enum real_what what;
	int sd;
	int64_t n, h, w;
	int chunks, brief;
};

static const struct real_graph real_graphs[] = {
	{ "SD 1.5 full 512 b1", REAL_FULL, 1, 1, 512, 512, 0, 1 },
	{ "SD 1.5 full 512 b8", REAL_FULL, 1, 8, 512, 512, 0, 1 },
	{ "SD 1.5 full with text 512 b1", REAL_BOTH, 1, 1, 512, 512, 0, 0 },
	{ "SD 1.5 LoRA 512 b1", REAL_LORA, 1, 1, 512, 512, 0, 0 },
	{ "SD 1.5 LoRA 512 b4", REAL_LORA, 1, 4, 512, 512, 0, 0 },
	{ "SD 1.5 LoRA 640x384 b4, 225 tokens", REAL_LORA, 1, 4, 640, 384, 3, 0 },
	{ "SD 1.5 LoRA of convolutions 512 b1", REAL_LORA_CONV, 1, 1, 512, 512, 0, 1 },
	{ "SD 1.5 VAE training 512 b1", REAL_VAE, 1, 1, 512, 512, 0, 0 },
	{ "SD 2 full 512 b1", REAL_FULL, 2, 1, 512, 512, 0, 1 },
	{ "SD 2 full 512 b8", REAL_FULL, 2, 8, 512, 512, 0, 0 },
	{ "SD 2 full 512 b64", REAL_FULL, 2, 64, 512, 512, 0, 0 },
	{ "SD 2 full 768 b1", REAL_FULL, 2, 1, 768, 768, 0, 0 },
	{ "SD 2 full 768 b8", REAL_FULL, 2, 8, 768, 768, 0, 0 },
	{ "SD 1.5 sample 512 b2", REAL_UNET, 1, 2, 512, 512, 0, 0 },
	{ "SD 1.5 sample 512 b16", REAL_UNET, 1, 16, 512, 512, 0, 0 },
	{ "SD 2 sample 768 b2", REAL_UNET, 2, 2, 768, 768, 0, 0 },
	{ "SD 2 sample 768 b16", REAL_UNET, 2, 16, 768, 768, 0, 0 },
	{ "VAE encode 512 b1", REAL_ENCODE, 1, 1, 512, 512, 0, 0 },
	{ "VAE encode 512 b8", REAL_ENCODE, 1, 8, 512, 512, 0, 1 },
	{ "VAE encode 768 b1", REAL_ENCODE, 1, 1, 768, 768, 0, 0 },
	{ "VAE decode 512 b1", REAL_DECODE, 1, 1, 512, 512, 0, 1 },
	{ "VAE decode 512 b8", REAL_DECODE, 1, 8, 512, 512, 0, 0 },
	{ "VAE decode 768 b1", REAL_DECODE, 1, 1, 768, 768, 0, 0 },
	{ "SD 1.5 text b1", REAL_TEXT, 1, 1, 0, 0, 0, 1 },
	{ "SD 1.5 text b3", REAL_TEXT, 1, 3, 0, 0, 0, 0 },
	{ "SD 2 text b1", REAL_TEXT, 2, 1, 0, 0, 0, 0 },
};
#define REAL_GRAPHS (sizeof real_graphs / sizeof *real_graphs)

static inline int real_trains(const struct real_graph *r)
{
	return r->what < REAL_UNET;
}

static inline void real_step(const struct real_graph *r, enum dtype type, struct graph *g)
{
	int vae = r->what == REAL_VAE, chunks = r->chunks ? r->chunks : 1;
	struct trainer_config c = {
		.unet = real_unet[r->sd - 1], .text = real_text[r->sd - 1], .vae = real_vae,
		.tokens = 75 * chunks + 2, .chunks = chunks, .type = type, .kl_weight = 1e-6f,
	};
	struct trainer_shape s = { .key = { r->n, r->h / (vae ? 1 : 8), r->w / (vae ? 1 : 8), .alone = 1 } };

	c.train[PART_UNET] = !vae;
	c.train[PART_VAE] = vae;
	c.train[PART_TEXT] = r->what == REAL_BOTH;
	c.lora[PART_UNET] = r->what == REAL_LORA ? &real_lora : r->what == REAL_LORA_CONV ? &real_lora_conv : NULL;
	trainer_graph(&c, &s, g);
	free(s.join);
}

static inline id real_network(const struct real_graph *r, struct model *m)
{
	const struct text_config *text = &real_text[r->sd - 1];
	struct graph *g = m->g;

	switch (r->what) {
	case REAL_ENCODE: return vae_encode(m, &real_vae, g_input(g, "x", DT_F32, r->n, r->h, r->w, 3));
	case REAL_DECODE: return vae_decode(m, &real_vae, g_input(g, "x", DT_F32, r->n, r->h / 8, r->w / 8, 4));
	case REAL_TEXT: return text_encoder(m, text, g_input(g, "ids", DT_I32, 1, 1, r->n, 77), 0, NULL);
	default: return pipeline_unet_graph(m, &real_unet[r->sd - 1], (int64_t[]){ r->n, r->h / 8, r->w / 8, 77 });
	}
}

static inline void real_graph(const struct real_graph *r, enum dtype type, struct graph *g)
{
	struct model m;

	if (real_trains(r)) {
		real_step(r, type, g);
		return;
	}
	model_begin(&m, g);
	graph_keep(g, real_network(r, &m));
	free(graph_fuse(g));
	model_release(&m);
	free(graph_lower(g, type, NULL, NULL));
}

#endif
