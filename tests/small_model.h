/* A Stable Diffusion of a few thousand weights, for tests of graphs. */
#ifndef SMALL_MODEL_H
#define SMALL_MODEL_H

#include "kernels/run/trainer.h"

/* Nothing learns yet. Latents of 4 channels, captions of 77 tokens. */
static struct trainer_config small_trainer(void)
{
	return (struct trainer_config){
		.unet = { .levels = 2, .in_channels = 4, .out_channels = 4, .width = { 16, 24 },
			  .cross_width = 16, .attention = { 1, 0 }, .heads = { 2, 2 }, .layers = 1,
			  .depth = 1, .groups = 4, .eps = 1e-5f, .flip_sin_to_cos = 1 },
		.text = { .vocab = 30, .width = 16, .inner = 32, .layers = 2, .heads = 2, .positions = 77,
			  .act = ACT_QUICK_GELU, .eps = 1e-5f },
		.vae = { .levels = 2, .in_channels = 3, .out_channels = 3, .latent = 4,
			 .width = { 8, 16 }, .layers = 1, .groups = 4, .quant = 1, .post_quant = 1,
			 .mid_attention = 1, .scaling = 1 },
		.tokens = 77, .chunks = 1,
	};
}

#endif
