#include "kernels/model/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

void model_begin(struct model *m, struct graph *g)
{
	*m = (struct model){ .g = g, .train_lora = 1, .dropout_key = NONE };
}

void model_release(struct model *m)
{
	buf_release(&m->path);
}

/*
 * The path is a stack of scopes: each is closed by '.', and unscope needs to know where it began.
 */
void scope(struct model *m, const char *fmt, ...)
{
	va_list ap;

	buf_addc(&m->path, '\1');
	va_start(ap, fmt);
	buf_addv(&m->path, fmt, ap);
	va_end(ap);
	buf_addc(&m->path, '.');
}

void unscope(struct model *m)
{
	while (m->path.len && m->path.at[m->path.len - 1] != '\1')
		m->path.len--;
	if (!m->path.len)
		BUG("unscope without scope");
	m->path.at[--m->path.len] = 0;
}

/* The path without the marks, then `name` and `tail`. */
static void full_name(const struct model *m, const char *name, const char *tail, char out[256])
{
	size_t n = 0;

	for (size_t i = 0; i < m->path.len && n < 255; i++)
		if (m->path.at[i] != '\1')
			out[n++] = m->path.at[i];
	snprintf(out + n, 256 - n, "%s%s", name, tail);
}

int64_t channels(const struct model *m, id x)
{
	return m->g->node[x].dim[3];
}

static id named_weight(struct model *m, const char *full, int64_t k, int64_t r, int64_t s,
		       int64_t c, int train)
{
	return g_weight(m->g, full, (int64_t[]){ k, r, s, c }, train);
}

id weight(struct model *m, const char *name, int64_t k, int64_t r, int64_t s, int64_t c)
{
	char full[256];

	full_name(m, name, "", full);
	return named_weight(m, full, k, r, s, c, m->train);
}

static id row_weight(struct model *m, const char *name, const char *tail, int64_t c)
{
	char full[256];

	full_name(m, name, tail, full);
	return named_weight(m, full, 1, 1, 1, c, m->train);
}

/* ---- LoRA ---- */

static int is_attention(const char *path)
{
	static const char *const tail[] = { ".to_q", ".to_k", ".to_v", ".to_out.0", ".q_proj", ".k_proj", ".v_proj", ".out_proj" };

	for (size_t i = 0; i < sizeof tail / sizeof *tail; i++)
		if (ends_with(path, tail[i]))
			return 1;
	return 0;
}

static int is_transformer(const char *path)
{
	return strstr(path, ".attentions.") || strstr(path, ".encoder.layers.");
}

static int is_block(const char *path)
{
	return strstr(path, ".resnets.") || strstr(path, "samplers.0.conv");
}

static int covered(const struct lora *l, const char *path)
{
	switch (l->cover) {
	case LORA_ATTENTION: return is_attention(path);
	case LORA_LINEAR: return is_transformer(path) != 0;
	default: return is_transformer(path) || is_block(path);
	}
}

/* The rank of the module's LoRA (0 = none) and its scale alpha / rank. */
static int64_t lora_rank(const struct lora *l, const char *path, int filter, float *scale)
{
	int64_t rank = filter > 1 && l->conv_rank ? l->conv_rank : l->rank;
	float alpha = filter > 1 && l->conv_alpha != 0 ? l->conv_alpha : l->alpha;

	if (l->rank_of)
		rank = l->rank_of(l->data, path, &alpha);
	else if (!covered(l, path))
		rank = 0;
	*scale = rank ? alpha / (float)rank : 0;
	return rank;
}

static id lora_input(struct model *m, id x)
{
	if (m->lora->dropout <= 0 || m->dropout_key == NONE)
		return x;
	return g_dropout(m->g, x, m->dropout_key, m->lora->dropout, ++m->dropouts);
}

static id lora_weight(struct model *m, const char *path, const char *part, int64_t k, int64_t r,
		      int64_t s, int64_t c)
{
	char full[300];

	snprintf(full, sizeof full, "lora.%s.lora_%s.weight", path, part);
	return named_weight(m, full, k, r, s, c, m->train_lora);
}

/* y + alpha / rank * B(A(x)); y as it is if the module has no LoRA. filter 0: a linear layer. */
static id lora_add(struct model *m, const char *path, id x, id y, int64_t out, int filter,
		   struct conv at)
{
	float scale;
	int64_t rank = m->lora ? lora_rank(m->lora, path, filter, &scale) : 0;
	int64_t in = channels(m, x);
	id h;

	if (!rank)
		return y;
	x = lora_input(m, x);
	if (filter) {
		h = g_conv2d(m->g, x, lora_weight(m, path, "A", rank, filter, filter, in), NONE, at);
		h = scale == 1 ? h : g_scale(m->g, h, scale);
		return g_conv2d_add(m->g, h, lora_weight(m, path, "B", out, 1, 1, rank), NONE, y,
				    (struct conv){ .stride = 1 });
	}
	h = g_linear(m->g, x, lora_weight(m, path, "A", 1, 1, rank, in), NONE);
	h = scale == 1 ? h : g_scale(m->g, h, scale);
	return g_linear_add(m->g, h, lora_weight(m, path, "B", 1, 1, out, rank), NONE, y);
}

/* ---- layers ---- */

id linear_add(struct model *m, const char *name, id x, int64_t out, int bias, id residual)
{
	char full[256], path[256];
	id w, b, y;

	full_name(m, name, ".weight", full);
	w = named_weight(m, full, 1, 1, out, channels(m, x), m->train);
	b = bias ? row_weight(m, name, ".bias", out) : NONE;
	y = g_linear_add(m->g, x, w, b, residual);
	full_name(m, name, "", path);
	return lora_add(m, path, x, y, out, 0, (struct conv){ .stride = 1 });
}

id linear(struct model *m, const char *name, id x, int64_t out, int bias)
{
	return linear_add(m, name, x, out, bias, NONE);
}

id conv_add(struct model *m, const char *name, id x, int64_t out, int filter, struct conv at,
	    id residual)
{
	char full[256], path[256];
	id w, b, y;

	full_name(m, name, ".weight", full);
	w = named_weight(m, full, out, filter, filter, channels(m, x), m->train);
	b = row_weight(m, name, ".bias", out);
	y = g_conv2d_add(m->g, x, w, b, residual, at);
	full_name(m, name, "", path);
	return lora_add(m, path, x, y, out, filter, at);
}

id conv(struct model *m, const char *name, id x, int64_t out, int filter, struct conv at)
{
	return conv_add(m, name, x, out, filter, at, NONE);
}

id conv3(struct model *m, const char *name, id x, int64_t out)
{
	return conv(m, name, x, out, 3, (struct conv){ 1, 1, 1, 1, 1 });
}

id conv1(struct model *m, const char *name, id x, int64_t out)
{
	return conv(m, name, x, out, 1, (struct conv){ .stride = 1 });
}

id group_norm(struct model *m, const char *name, id x, int groups, float eps, enum act act)
{
	id gamma = row_weight(m, name, ".weight", channels(m, x));
	id beta = row_weight(m, name, ".bias", channels(m, x));

	return g_group_norm(m->g, x, gamma, beta, groups, eps, act);
}

id layer_norm(struct model *m, const char *name, id x, float eps)
{
	id gamma = row_weight(m, name, ".weight", channels(m, x));
	id beta = row_weight(m, name, ".bias", channels(m, x));

	return g_layer_norm(m->g, x, gamma, beta, eps);
}
