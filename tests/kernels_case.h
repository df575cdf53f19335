/*
 * The cases of tests/unit/kernels.c: for every op a few shapes, odd ones and one large enough that
 * threads share it. `tol` is the largest error allowed, relative to the largest value wanted.
 *
 * What a source is filled with follows from its name (kernels_data in kernels.c): "ids 50" integers
 * below 50, "offset" values near 100, "positive", "decay", "infinite", "nan", "time", "key", "hyper"; else values around 0.
 */
#ifndef KERNELS_CASE_H
#define KERNELS_CASE_H

#include "kernels/ir/build.h"

#define DIM(a, b, c, d) ((const int64_t[MAX_DIM]){ a, b, c, d })

struct kcase {
	enum op op;
	double tol;
	void (*build)(struct graph *g, const int64_t *p);
	int64_t p[12];
};

static id case_x(struct graph *g, const char *name, const int64_t *dim)
{
	return g_input(g, name, DT_F32, dim[0], dim[1], dim[2], dim[3]);
}

static void case_fill(struct graph *g, const int64_t *p)
{
	g_fill(g, p, -1.5f);
}

static void case_add(struct graph *g, const int64_t *p)
{
	g_add(g, case_x(g, "a", p), case_x(g, "b", p + 4));
}

static void case_mul(struct graph *g, const int64_t *p)
{
	g_mul(g, case_x(g, "a", p), case_x(g, "b", p + 4));
}

static void case_scale(struct graph *g, const int64_t *p)
{
	g_scale(g, case_x(g, "x", p), .18215f);
}

static void case_act(struct graph *g, const int64_t *p)
{
	g_act(g, case_x(g, p[5] ? "large" : "x", p), (enum act)p[4]);
}

static void case_act_dx(struct graph *g, const int64_t *p)
{
	id dy = case_x(g, "dy", p);

	g_act_dx(g, dy, case_x(g, p[5] ? "large" : "x", p), (enum act)p[4]);
}

static void case_sum_to(struct graph *g, const int64_t *p)
{
	g_sum_to(g, case_x(g, "x", p), p + 4);
}

/* n h w c, from, to */
static void case_cast(struct graph *g, const int64_t *p)
{
	g_cast(g, g_input(g, "x", (enum dtype)p[4], p[0], p[1], p[2], p[3]), (enum dtype)p[5]);
}

/* rows c k, bias, residual */
static void case_linear(struct graph *g, const int64_t *p)
{
	id x = case_x(g, "x", DIM(1, 1, p[0], p[1])), w = g_weight(g, "w", DIM(1, 1, p[2], p[1]), 1);
	id b = p[3] ? g_weight(g, "b", DIM(1, 1, 1, p[2]), 1) : NONE;

	g_linear_add(g, x, w, b, p[4] ? case_x(g, "r", DIM(1, 1, p[0], p[2])) : NONE);
}

static void case_linear_dx(struct graph *g, const int64_t *p)
{
	id dy = case_x(g, "dy", DIM(1, 1, p[0], p[2])), w = g_weight(g, "w", DIM(1, 1, p[2], p[1]), 1);

	g_linear_dx(g, dy, w, p[4] ? case_x(g, "r", DIM(1, 1, p[0], p[1])) : NONE,
		    DIM(1, 1, p[0], p[1]));
}

static void case_linear_dw(struct graph *g, const int64_t *p)
{
	id x = case_x(g, "x", DIM(1, 1, p[0], p[1])), db;

	g_linear_dw(g, x, case_x(g, "dy", DIM(1, 1, p[0], p[2])), &db);
}

/* n h w c, k r s, stride, top = left, bottom = right, residual */
static struct conv conv_of(const int64_t *p)
{
	return (struct conv){ (int)p[7], (int)p[8], (int)p[8], (int)p[9], (int)p[9] };
}

static const int64_t *conv_dim(const int64_t *p, int64_t y[MAX_DIM])
{
	y[0] = p[0];
	y[1] = (p[1] + p[8] + p[9] - p[5]) / p[7] + 1;
	y[2] = (p[2] + p[8] + p[9] - p[6]) / p[7] + 1;
	y[3] = p[4];
	return y;
}

static void case_conv2d(struct graph *g, const int64_t *p)
{
	int64_t y[MAX_DIM];
	id x = case_x(g, "x", p), w = g_weight(g, "w", DIM(p[4], p[5], p[6], p[3]), 1);
	id b = g_weight(g, "b", DIM(1, 1, 1, p[4]), 1);

	if (p[10])
		g_conv2d_add(g, x, w, b, case_x(g, "r", conv_dim(p, y)), conv_of(p));
	else
		g_conv2d(g, x, w, p[4] % 2 ? NONE : b, conv_of(p));
}

static void case_conv2d_dx(struct graph *g, const int64_t *p)
{
	int64_t y[MAX_DIM];
	id dy = case_x(g, "dy", conv_dim(p, y)), w = g_weight(g, "w", DIM(p[4], p[5], p[6], p[3]), 1);

	g_conv2d_dx(g, dy, w, p[10] ? case_x(g, "r", p) : NONE, p, conv_of(p));
}

static void case_conv2d_dw(struct graph *g, const int64_t *p)
{
	int64_t y[MAX_DIM];
	id x = case_x(g, "x", p), db;

	g_conv2d_dw(g, x, case_x(g, "dy", conv_dim(p, y)), DIM(p[4], p[5], p[6], p[3]),
		    conv_of(p), &db);
}

static void case_upsample(struct graph *g, const int64_t *p)
{
	g_upsample(g, case_x(g, "x", p), p[4], p[5]);
}

static void case_upsample_dx(struct graph *g, const int64_t *p)
{
	g_upsample_dx(g, case_x(g, "dy", DIM(p[0], p[4], p[5], p[3])), p);
}

static void case_concat(struct graph *g, const int64_t *p)
{
	id a = case_x(g, "a", p);

	g_concat(g, a, case_x(g, "b", DIM(p[0], p[1], p[2], p[4])));
}

static void case_slice(struct graph *g, const int64_t *p)
{
	g_slice(g, case_x(g, "x", p), p[4], p[5]);
}

static void case_pad_slice(struct graph *g, const int64_t *p)
{
	g_pad_slice(g, case_x(g, "dy", DIM(p[0], p[1], p[2], p[5])), p[4], p);
}

/* n h w c, groups, act, offset, backward (2: without gamma's and beta's) */
static void case_group_norm(struct graph *g, const int64_t *p)
{
	id x = case_x(g, p[6] ? "offset" : "x", p), db;
	id gamma = g_weight(g, "gamma", DIM(1, 1, 1, p[3]), 1);
	id y = g_group_norm(g, x, gamma, g_weight(g, "beta", DIM(1, 1, 1, p[3]), 1), (int)p[4],
			    1e-5f, (enum act)p[5]);

	if (p[7])
		g_group_norm_dx(g, case_x(g, "dy", p), y, p[7] == 1 ? &gamma : NULL, p[7] == 1 ? &db : NULL);
}

static void case_layer_norm(struct graph *g, const int64_t *p)
{
	id x = case_x(g, p[6] ? "offset" : "x", p), db;
	id gamma = g_weight(g, "gamma", DIM(1, 1, 1, p[3]), 1);
	id y = g_layer_norm(g, x, gamma, g_weight(g, "beta", DIM(1, 1, 1, p[3]), 1), 1e-5f);

	if (p[7])
		g_layer_norm_dx(g, case_x(g, "dy", p), y, &gamma, &db);
}

static void case_geglu(struct graph *g, const int64_t *p)
{
	g_geglu(g, case_x(g, "x", p));
}

static void case_geglu_dx(struct graph *g, const int64_t *p)
{
	id dy = case_x(g, "dy", DIM(p[0], p[1], p[2], p[3] / 2));

	g_geglu_dx(g, dy, case_x(g, "x", p));
}

/* n tq tk d, heads, causal, backward */
static void case_attention(struct graph *g, const int64_t *p)
{
	id q = case_x(g, "q", DIM(p[0], 1, p[1], p[3] * p[4])),
		k = case_x(g, "k", DIM(p[0], 1, p[2], p[3] * p[4])), dk, dv;
	id y = g_attention(g, q, k, case_x(g, "v", DIM(p[0], 1, p[2], p[3] * p[4])), (int)p[4],
			   1 / sqrtf((float)p[3]), (int)p[5]);

	if (p[6])
		g_attention_dx(g, case_x(g, "dy", DIM(p[0], 1, p[1], p[3] * p[4])), y, &dk, &dv);
}

/* n t rows d */
static void case_embed(struct graph *g, const int64_t *p)
{
	char name[32];

	snprintf(name, sizeof name, "ids %d", (int)p[2]);
	g_embed(g, g_input(g, name, DT_I32, 1, 1, p[0], p[1]),
		g_weight(g, "table", DIM(1, 1, p[2], p[3]), 1));
}

static void case_embed_dw(struct graph *g, const int64_t *p)
{
	char name[32];
	id ids;

	snprintf(name, sizeof name, "ids %d", (int)p[2]);
	ids = g_input(g, name, DT_I32, 1, 1, p[0], p[1]);
	g_embed_dw(g, ids, case_x(g, "dy", DIM(p[0], 1, p[1], p[3])), DIM(1, 1, p[2], p[3]));
}

static void case_timestep(struct graph *g, const int64_t *p)
{
	g_timestep(g, case_x(g, "time", DIM(1, 1, 1, p[0])), p[1], (int)p[2], (float)p[3]);
}

static void case_dropout(struct graph *g, const int64_t *p)
{
	g_dropout(g, case_x(g, "x", p), g_input(g, "key", DT_I32, 1, 1, 1, 4), (float)p[4] / 10,
		  (uint32_t)p[5]);
}

static void case_mse(struct graph *g, const int64_t *p)
{
	id a = case_x(g, "a", p), b = case_x(g, "b", p),
	   weight = case_x(g, "positive", DIM(1, 1, 1, p[0]));

	if (p[4])
		g_mse_dx(g, a, b, weight, case_x(g, "dloss", DIM(1, 1, 1, 1)));
	else
		g_mse(g, a, b, weight);
}

static void case_sumsq(struct graph *g, const int64_t *p)
{
	g_sumsq(g, case_x(g, "x", p));
}

/* A sum of squares that is finite, infinite (1) or no number (2). */
static id case_norm2(struct graph *g, int64_t bad)
{
	return case_x(g, bad == 2 ? "nan" : bad ? "infinite" : "positive", DIM(1, 1, 1, 1));
}

/* n h w c, clipping, norm2 */
static void case_adamw(struct graph *g, const int64_t *p)
{
	id w = g_weight(g, "w", p, 1), grad = case_x(g, "grad", p), m = g_state(g, "m", p);
	id v = g_state(g, "positive", p), hyper = case_x(g, p[4] ? "hyper clip" : "hyper",
							 DIM(1, 1, 1, HYPER));

	g_adamw(g, w, grad, m, v, hyper, case_norm2(g, p[5]));
}

static void case_accum(struct graph *g, const int64_t *p)
{
	id s = g_state(g, "s", p);

	g_accum(g, s, case_x(g, "grad", p), .25f);
}

static void case_ema(struct graph *g, const int64_t *p)
{
	id e = g_state(g, "e", p), w = g_weight(g, "w", p, 0);

	g_ema(g, e, w, case_x(g, "decay", DIM(1, 1, 1, 1)), case_norm2(g, p[5]));
}

#include "tests/kernels_table.h"

#endif
