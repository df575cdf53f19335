/*
 * UNet2DConditionModel of Stable Diffusion 1 and 2 (reference: diffusers). Details that have caused
 * bugs:
 *   - the timestep embedding passes silu before each block's time_emb_proj
 *   - group norm's eps is 1e-5 in residual blocks, 1e-6 in transformers
 *   - up blocks concatenate [hidden, skip], one skip a layer, layers + 1 layers
 *   - upsampling goes to the size of the next skip, so sides need not be divisible by 2^levels
 */
#include <math.h>

#include "common/base/mem.h"
#include "kernels/model/model.h"

struct walk {                   /* what the blocks share */
	const struct unet_config *c;
	id emb;                 /* silu(time embedding) [n][1][1][4 width0] */
	id text;
	id skip[MAX_LEVELS * 8];
	int skips;
};

static id resnet(struct model *m, const struct walk *u, const char *name, int index, id x,
		 int64_t out)
{
	id h, e;

	scope(m, "%s.%d", name, index);
	h = group_norm(m, "norm1", x, u->c->groups, u->c->eps, ACT_SILU);
	h = conv3(m, "conv1", h, out);
	e = linear(m, "time_emb_proj", u->emb, out, 1);
	h = g_add(m->g, h, e);
	h = group_norm(m, "norm2", h, u->c->groups, u->c->eps, ACT_SILU);
	if (channels(m, x) != out)
		x = conv1(m, "conv_shortcut", x, out);
	h = conv_add(m, "conv2", h, out, 3, (struct conv){ 1, 1, 1, 1, 1 }, x);
	unscope(m);
	return h;
}

static id attention(struct model *m, const char *name, id x, id context, int heads, id residual)
{
	int64_t width = channels(m, x);
	id q, k, v;

	scope(m, "%s", name);
	q = linear(m, "to_q", x, width, 0);
	k = linear(m, "to_k", context, width, 0);
	v = linear(m, "to_v", context, width, 0);
	x = g_attention(m->g, q, k, v, heads, 1 / sqrtf((float)width / (float)heads), 0);
	x = linear_add(m, "to_out.0", x, width, 1, residual);
	unscope(m);
	return x;
}

static id transformer_block(struct model *m, const struct walk *u, id x, int heads)
{
	id h = layer_norm(m, "norm1", x, 1e-5f);

	x = attention(m, "attn1", h, h, heads, x);
	x = attention(m, "attn2", layer_norm(m, "norm2", x, 1e-5f), u->text, heads, x);
	h = linear(m, "ff.net.0.proj", layer_norm(m, "norm3", x, 1e-5f), 8 * channels(m, x), 1);
	return linear_add(m, "ff.net.2", g_geglu(m->g, h), channels(m, x), 1, x);
}

static id transformer(struct model *m, const struct walk *u, int index, id x, int heads)
{
	int64_t width = channels(m, x);
	id h;

	scope(m, "attentions.%d", index);
	h = group_norm(m, "norm", x, u->c->groups, 1e-6f, ACT_NONE);
	h = u->c->linear_projection ? linear(m, "proj_in", h, width, 1) : conv1(m, "proj_in", h, width);
	for (int i = 0; i < u->c->depth; i++) {
		scope(m, "transformer_blocks.%d", i);
		h = transformer_block(m, u, h, heads);
		unscope(m);
	}
	if (u->c->linear_projection)
		h = linear_add(m, "proj_out", h, width, 1, x);
	else
		h = conv_add(m, "proj_out", h, width, 1, (struct conv){ .stride = 1 }, x);
	unscope(m);
	return h;
}

static void push(struct walk *u, id x)
{
	if (u->skips == (int)(sizeof u->skip / sizeof *u->skip))
		BUG("a UNet with more than %d skip connections", u->skips);
	u->skip[u->skips++] = x;
}

static id down_block(struct model *m, struct walk *u, int level, id x)
{
	scope(m, "down_blocks.%d", level);
	for (int j = 0; j < u->c->layers; j++) {
		x = resnet(m, u, "resnets", j, x, u->c->width[level]);
		if (u->c->attention[level])
			x = transformer(m, u, j, x, u->c->heads[level]);
		push(u, x);
	}
	if (level < u->c->levels - 1) {
		x = conv(m, "downsamplers.0.conv", x, u->c->width[level], 3, (struct conv){ 2, 1, 1, 1, 1 });
		push(u, x);
	}
	unscope(m);
	return x;
}

static id mid_block(struct model *m, const struct walk *u, id x)
{
	int last = u->c->levels - 1;

	scope(m, "mid_block");
	x = resnet(m, u, "resnets", 0, x, u->c->width[last]);
	x = transformer(m, u, 0, x, u->c->heads[last]);
	x = resnet(m, u, "resnets", 1, x, u->c->width[last]);
	unscope(m);
	return x;
}

/* Up block i works at level levels - 1 - i. */
static id up_block(struct model *m, struct walk *u, int i, id x)
{
	int level = u->c->levels - 1 - i;

	scope(m, "up_blocks.%d", i);
	for (int j = 0; j <= u->c->layers; j++) {
		x = g_concat(m->g, x, u->skip[--u->skips]);
		x = resnet(m, u, "resnets", j, x, u->c->width[level]);
		if (u->c->attention[level])
			x = transformer(m, u, j, x, u->c->heads[level]);
	}
	if (level > 0) {
		const struct node skip = m->g->node[u->skip[u->skips - 1]];

		x = g_upsample(m->g, x, skip.dim[1], skip.dim[2]);
		x = conv3(m, "upsamplers.0.conv", x, u->c->width[level]);
	}
	unscope(m);
	return x;
}

static id time_embedding(struct model *m, const struct unet_config *c, id t)
{
	id e = g_timestep(m->g, t, c->width[0], c->flip_sin_to_cos, c->freq_shift);

	e = linear(m, "time_embedding.linear_1", e, 4 * c->width[0], 1);
	e = linear(m, "time_embedding.linear_2", g_act(m->g, e, ACT_SILU), 4 * c->width[0], 1);
	return g_act(m->g, e, ACT_SILU);
}

id unet(struct model *m, const struct unet_config *c, id x, id t, id text)
{
	struct walk u = { .c = c, .text = text };

	scope(m, "unet");
	u.emb = time_embedding(m, c, t);
	x = conv3(m, "conv_in", x, c->width[0]);
	push(&u, x);
	for (int i = 0; i < c->levels; i++)
		x = down_block(m, &u, i, x);
	x = mid_block(m, &u, x);
	for (int i = 0; i < c->levels; i++)
		x = up_block(m, &u, i, x);
	x = group_norm(m, "conv_norm_out", x, c->groups, c->eps, ACT_SILU);
	x = conv3(m, "conv_out", x, c->out_channels);
	unscope(m);
	return x;
}
