#include "kernels/run/trainer_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/ir/build.h"
#include "kernels/ir/fuse.h"
#include "kernels/ir/grad.h"
#include "kernels/ir/lower.h"

static const char *const hyper_names[PART__COUNT] = { "hyper_unet", "hyper_vae", "hyper_text" };

const char *trainer_hyper_name(int part)
{
	return hyper_names[part];
}

/* The part that a weight belongs to, by its name (a LoRA's by its module's). */
static int part_of(const char *name)
{
	if (!strncmp(name, "lora.", 5))
		name += 5;
	return !strncmp(name, "unet.", 5) ? PART_UNET : !strncmp(name, "vae.", 4) ? PART_VAE : PART_TEXT;
}

/* What the network does to a part: learns whole, has a LoRA that learns, or is left alone. */
static void enter_part(const struct trainer_config *c, struct model *m, int part, int frozen)
{
	m->lora = c->lora[part];
	m->train_lora = !frozen;
	m->train = c->train[part] && !c->lora[part] && !frozen;
	if (m->lora && m->lora->dropout > 0 && m->dropout_key == NONE)
		m->dropout_key = g_input(m->g, "dropout_key", DT_I32, 1, 1, 1, 4);
}

/*
 * Rows of the chunks that make up one caption: kohya's joining, H[0][0], H[k][1..75], H[last][76].
 */
static int32_t *join_rows(int64_t n, int chunks)
{
	int32_t *rows = xmalloc((size_t)(n * (75 * chunks + 2)) * sizeof *rows), *to = rows;

	for (int64_t i = 0; i < n; i++) {
		int32_t base = (int32_t)(i * chunks * 77);

		*to++ = base;
		for (int k = 0; k < chunks; k++)
			for (int t = 1; t <= 75; t++)
				*to++ = base + k * 77 + t;
		*to++ = base + (chunks - 1) * 77 + 76;
	}
	return rows;
}

static id text_part(const struct trainer_config *c, struct trainer_shape *s, struct model *m)
{
	id ids, x;

	if (!c->train[PART_TEXT])
		return g_input(m->g, "hidden", DT_F32, s->key.n, 1, c->tokens, c->unet.cross_width);
	enter_part(c, m, PART_TEXT, s->key.text_frozen || s->key.validate);
	ids = g_input(m->g, "ids", DT_I32, 1, 1, s->key.n * c->chunks, 77);
	x = text_encoder(m, &c->text, ids, c->text_skip, NULL);
	if (c->chunks > 1) {
		s->join = join_rows(s->key.n, c->chunks);
		x = g_embed(m->g, g_input(m->g, "join", DT_I32, 1, 1, s->key.n, c->tokens), x);
	}
	return x;
}

static id diffusion_loss(const struct trainer_config *c, struct trainer_shape *s, struct model *m)
{
	int64_t n = s->key.n, h = s->key.h, w = s->key.w;
	id text = text_part(c, s, m);
	id noisy = g_input(m->g, "noisy", DT_F32, n, h, w, c->unet.in_channels);
	id t = g_input(m->g, "timestep", DT_F32, 1, 1, 1, n);
	id p;

	enter_part(c, m, PART_UNET, s->key.validate);
	p = unet(m, &c->unet, noisy, t, text);
	return g_mse(m->g, p, g_input(m->g, "target", DT_F32, n, h, w, c->unet.out_channels),
		     g_input(m->g, "weight", DT_F32, 1, 1, 1, n));
}

/*
 * KL of N(mean, exp(logvar)) to N(0, 1), mean over elements: .5
 * (mean^2 + exp(logvar) - 1 - logvar). The -1 only moves the value.
 */
static id kl(struct model *m, id mean, id logvar)
{
	struct graph *g = m->g;
	id sum = g_add(g, g_act(g, mean, ACT_SQUARE), g_act(g, logvar, ACT_EXP));
	int64_t one[MAX_DIM] = { 1, 1, 1, 1 };
	float n = (float)node_count(&g->node[mean]);

	return g_scale(g, g_sum_to(g, g_add(g, sum, g_scale(g, logvar, -1)), one), .5f / n);
}

static id vae_loss(const struct trainer_config *c, struct trainer_shape *s, struct model *m)
{
	struct graph *g = m->g;
	int64_t n = s->key.n, latent = c->vae.latent;
	id image = g_input(g, "image", DT_F32, n, s->key.h, s->key.w, c->vae.in_channels);
	id moments, mean, logvar, noise, z, loss;

	enter_part(c, m, PART_VAE, s->key.validate);
	moments = vae_encode(m, &c->vae, image);
	mean = g_slice(g, moments, 0, latent);
	logvar = g_act(g, g_slice(g, moments, latent, latent), ACT_CLAMP_LOGVAR);
	noise = g_input(g, "noise", DT_F32, n, g->node[mean].dim[1], g->node[mean].dim[2], latent);
	z = g_add(g, g_mul(g, g_act(g, g_scale(g, logvar, .5f), ACT_EXP), noise), mean);
	loss = g_mse(g, vae_decode(m, &c->vae, z), image, g_input(g, "weight", DT_F32, 1, 1, 1, n));
	if (c->kl_weight > 0)
		loss = g_add(g, loss, g_scale(g, kl(m, mean, logvar), c->kl_weight));
	return loss;
}

static id prefixed(struct graph *g, const char *prefix, const struct node *w)
{
	char name[300];

	snprintf(name, sizeof name, "%s.%s", prefix, w->name);
	return g_state(g, name, w->dim);
}

/* norm2 = the sum of all sums of squares, added in the order of the nodes. */
static id total(struct graph *g, const id *grad, id n)
{
	id sum = NONE;

	for (id i = 0; i < n; i++)
		if (grad[i] != NONE) {
			id q = g_sumsq(g, grad[i]);

			sum = sum == NONE ? q : g_add(g, q, sum);
		}
	return sum;
}

/* Updates of every weight x with a gradient grad[x]. */
static void emit_updates(const struct trainer_config *c, struct graph *g, const id *grad,
			 id n, id norm2)
{
	id hyper[PART__COUNT];

	for (int i = 0; i < PART__COUNT; i++)
		hyper[i] = c->train[i] ? g_input(g, hyper_names[i], DT_F32, 1, 1, 1, HYPER) : NONE;
	for (id x = 0; x < n; x++) {
		struct node w = g->node[x];

		if (grad[x] == NONE)
			continue;
		g_adamw(g, x, grad[x], prefixed(g, "adam_m", &w), prefixed(g, "adam_v", &w),
			hyper[part_of(w.name)], norm2);
		if (c->ema)
			g_ema(g, prefixed(g, "ema", &w), x, g_input(g, "ema_decay", DT_F32, 1, 1, 1, 1), norm2);
	}
}

/* Only gradients of trainable weights stay. */
static void keep_trainable(const struct graph *g, id *grad, id n)
{
	for (id i = 0; i < n; i++)
		if (g->node[i].op != OP_WEIGHT || !g->node[i].trainable)
			grad[i] = NONE;
}

static void emit_sums(struct graph *g, const id *grad, id n)
{
	for (id x = 0; x < n; x++)
		if (grad[x] != NONE) {
			struct node w = g->node[x];

			g_accum(g, prefixed(g, "grad", &w), grad[x], 1);
		}
}

/* What gradients are taken of. */
static id scaled_loss(const struct trainer_config *c, struct graph *g, id loss)
{
	return c->type == DT_F16 ? g_mul(g, loss, g_input(g, "loss_scale", DT_F32, 1, 1, 1, 1)) : loss;
}

static void emit_backward(const struct trainer_config *c, struct trainer_shape *s, struct graph *g)
{
	id loss = scaled_loss(c, g, s->loss), n = g->n;
	id *grad = grad_emit(g, loss, NULL, 0);

	keep_trainable(g, grad, n);
	if (s->key.alone) {
		s->norm2 = total(g, grad, n);
		emit_updates(c, g, grad, n, s->norm2);
		graph_keep(g, s->norm2);
	} else {
		emit_sums(g, grad, n);
	}
	free(grad);
}

/* A weight that learns somewhere in the training is f32 in all of its graphs. */
static int learns(const void *config, const char *name)
{
	const struct trainer_config *c = config;
	int part = part_of(name), lora = !strncmp(name, "lora.", 5);

	return c->train[part] && lora == (c->lora[part] != NULL);
}

void trainer_graph(const struct trainer_config *c, struct trainer_shape *s, struct graph *g)
{
	struct model m;
	id *map, *lowered;

	model_begin(&m, g);
	s->norm2 = NONE;
	s->loss = c->train[PART_VAE] ? vae_loss(c, s, &m) : diffusion_loss(c, s, &m);
	graph_keep(g, s->loss);
	if (!s->key.validate)
		emit_backward(c, s, g);
	map = graph_fuse(g);
	lowered = graph_lower(g, c->type ? c->type : DT_F32, learns, c);
	s->loss = lowered[map[s->loss]];
	s->norm2 = s->norm2 == NONE ? NONE : lowered[map[s->norm2]];
	free(lowered);
	free(map);
	model_release(&m);
}

void trainer_update_graph(const struct trainer_config *c, const struct graph *like,
			  struct graph *g, id *norm2)
{
	id *grad = NULL, n = 0;
	size_t cap = 0;

	for (id i = 0; i < like->n; i++) {
		const struct node *w = &like->node[i];
		id x;

		if (w->op != OP_WEIGHT || !w->trainable)
			continue;
		x = g_weight(g, w->name, w->dim, 1);
		n = prefixed(g, "grad", w);
		while ((size_t)n >= cap)
			grad = grow(grad, cap, &cap, sizeof *grad);
		grad[x] = n++;
		grad[n - 1] = NONE;
	}
	*norm2 = total(g, grad, n);
	emit_updates(c, g, grad, n, *norm2);
	for (id x = 0; x < n; x++)      /* the sums start from zero again */
		if (grad[x] != NONE)
			g_accum(g, grad[x], grad[x], -1);
	graph_keep(g, *norm2);
	free(grad);
}
