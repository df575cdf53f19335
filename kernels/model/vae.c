/*
 * AutoencoderKL (reference: diffusers). The encoder's downsampling pads on the right and bottom
 * only: symmetric padding shifts latents by half a pixel and still looks almost right. Group norm's
 * eps is 1e-6.
 */
#include <math.h>

#include "kernels/model/model.h"

static id resnet(struct model *m, const struct vae_config *c, int index, id x, int64_t out)
{
	id h;

	scope(m, "resnets.%d", index);
	h = conv3(m, "conv1", group_norm(m, "norm1", x, c->groups, 1e-6f, ACT_SILU), out);
	h = group_norm(m, "norm2", h, c->groups, 1e-6f, ACT_SILU);
	if (channels(m, x) != out)
		x = conv1(m, "conv_shortcut", x, out);
	h = conv_add(m, "conv2", h, out, 3, (struct conv){ 1, 1, 1, 1, 1 }, x);
	unscope(m);
	return h;
}

/* One head over all pixels. */
static id attention(struct model *m, const struct vae_config *c, id x)
{
	int64_t width = channels(m, x);
	id h, q, k, v;

	scope(m, "attentions.0");
	h = group_norm(m, "group_norm", x, c->groups, 1e-6f, ACT_NONE);
	q = linear(m, "to_q", h, width, 1);
	k = linear(m, "to_k", h, width, 1);
	v = linear(m, "to_v", h, width, 1);
	h = g_attention(m->g, q, k, v, 1, 1 / sqrtf((float)width), 0);
	h = linear_add(m, "to_out.0", h, width, 1, x);
	unscope(m);
	return h;
}

static id mid_block(struct model *m, const struct vae_config *c, id x)
{
	scope(m, "mid_block");
	x = resnet(m, c, 0, x, channels(m, x));
	if (c->mid_attention)
		x = attention(m, c, x);
	x = resnet(m, c, 1, x, channels(m, x));
	unscope(m);
	return x;
}

static id encoder(struct model *m, const struct vae_config *c, id x)
{
	scope(m, "encoder");
	x = conv3(m, "conv_in", x, c->width[0]);
	for (int i = 0; i < c->levels; i++) {
		scope(m, "down_blocks.%d", i);
		for (int j = 0; j < c->layers; j++)
			x = resnet(m, c, j, x, c->width[i]);
		if (i < c->levels - 1)
			x = conv(m, "downsamplers.0.conv", x, c->width[i], 3, (struct conv){ 2, 0, 0, 1, 1 });
		unscope(m);
	}
	x = mid_block(m, c, x);
	x = group_norm(m, "conv_norm_out", x, c->groups, 1e-6f, ACT_SILU);
	x = conv3(m, "conv_out", x, 2 * c->latent);
	unscope(m);
	return x;
}

static id decoder(struct model *m, const struct vae_config *c, id x)
{
	scope(m, "decoder");
	x = conv3(m, "conv_in", x, c->width[c->levels - 1]);
	x = mid_block(m, c, x);
	for (int i = 0; i < c->levels; i++) {
		int64_t width = c->width[c->levels - 1 - i];

		scope(m, "up_blocks.%d", i);
		for (int j = 0; j <= c->layers; j++)
			x = resnet(m, c, j, x, width);
		if (i < c->levels - 1) {
			x = g_upsample(m->g, x, 2 * m->g->node[x].dim[1], 2 * m->g->node[x].dim[2]);
			x = conv3(m, "upsamplers.0.conv", x, width);
		}
		unscope(m);
	}
	x = group_norm(m, "conv_norm_out", x, c->groups, 1e-6f, ACT_SILU);
	x = conv3(m, "conv_out", x, c->out_channels);
	unscope(m);
	return x;
}

id vae_encode(struct model *m, const struct vae_config *c, id x)
{
	scope(m, "vae");
	x = encoder(m, c, x);
	if (c->quant)
		x = conv1(m, "quant_conv", x, 2 * c->latent);
	unscope(m);
	return x;
}

id vae_decode(struct model *m, const struct vae_config *c, id z)
{
	scope(m, "vae");
	if (c->post_quant)
		z = conv1(m, "post_quant_conv", z, c->latent);
	z = decoder(m, c, z);
	unscope(m);
	return z;
}

int vae_factor(const struct vae_config *c)
{
	return 1 << (c->levels - 1);
}
