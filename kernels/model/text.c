/*
 * CLIP's text encoder (transformers' CLIPTextModel): pre-norm transformer, causal, learned
 * positions. SD 1: quick_gelu, 12 layers; SD 2: gelu, 23 of OpenCLIP's 24 layers. Padding is
 * attended to.
 */
#include <math.h>

#include "kernels/model/model.h"

static id self_attention(struct model *m, const struct text_config *c, id x, id residual)
{
	id q, k, v;

	scope(m, "self_attn");
	q = linear(m, "q_proj", x, c->width, 1);
	k = linear(m, "k_proj", x, c->width, 1);
	v = linear(m, "v_proj", x, c->width, 1);
	x = g_attention(m->g, q, k, v, (int)c->heads,
			1 / sqrtf((float)c->width / (float)c->heads), 1);
	x = linear_add(m, "out_proj", x, c->width, 1, residual);
	unscope(m);
	return x;
}

static id layer(struct model *m, const struct text_config *c, id x)
{
	id h;

	x = self_attention(m, c, layer_norm(m, "layer_norm1", x, c->eps), x);
	h = layer_norm(m, "layer_norm2", x, c->eps);
	h = g_act(m->g, linear(m, "mlp.fc1", h, c->inner, 1), c->act);
	return linear_add(m, "mlp.fc2", h, c->width, 1, x);
}

static id embeddings(struct model *m, const struct text_config *c, id ids)
{
	id token = weight(m, "embeddings.token_embedding.weight", 1, 1, c->vocab, c->width);
	id place = weight(m, "embeddings.position_embedding.weight", 1, 1, c->positions, c->width);

	return g_add(m->g, g_embed(m->g, ids, token), place);
}

id text_encoder(struct model *m, const struct text_config *c, id ids, int skip, id *hidden)
{
	id x;

	scope(m, "text_encoder.text_model");
	x = embeddings(m, c, ids);
	if (hidden)
		hidden[0] = x;
	for (int i = 0; i < c->layers - skip; i++) {
		scope(m, "encoder.layers.%d", i);
		x = layer(m, c, x);
		unscope(m);
		if (hidden)
			hidden[i + 1] = x;
	}
	x = layer_norm(m, "final_layer_norm", x, c->eps);
	unscope(m);
	return x;
}
