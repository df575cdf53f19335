#include "kernels/ir/build.h"

#include <string.h>

/* A node of x's shape and type with no inputs yet. */
static struct node like(const struct graph *g, enum op op, id x)
{
	struct node n = { .op = op, .type = g->node[x].type,
			  .in = { NONE, NONE, NONE, NONE, NONE, NONE } };

	memcpy(n.dim, g->node[x].dim, sizeof n.dim);
	return n;
}

static struct node shaped(enum op op, enum dtype t, const int64_t dim[MAX_DIM])
{
	struct node n = { .op = op, .type = t, .in = { NONE, NONE, NONE, NONE, NONE, NONE } };

	memcpy(n.dim, dim, sizeof n.dim);
	return n;
}

static id emit2(struct graph *g, struct node n, id a, id b)
{
	n.in[0] = a;
	n.in[1] = b;
	return graph_emit(g, &n);
}

static id aux(struct graph *g, id x, int which, const int64_t dim[MAX_DIM])
{
	struct node n = shaped(OP_AUX, DT_F32, dim);

	n.at.aux.which = which;
	return emit2(g, n, x, NONE);
}

static const char *label(const struct graph *g, id x)
{
	return g->node[x].name ? g->node[x].name : op_info[g->node[x].op].name;
}

/* BUG unless x's side is `want`: a wrong model stops where it is built. */
static void want_side(const struct graph *g, id x, int side, int64_t want, const char *who)
{
	char d[96];

	if (x != NONE && g->node[x].dim[side] != want)
		BUG("%s: '%s' is %s, side %d must be %lld", who, label(g, x), dim_text(g->node[x].dim, d),
		    side, (long long)want);
}

static void want_same(const struct graph *g, id x, const int64_t dim[MAX_DIM], const char *who)
{
	char d[96], w[96];

	if (x != NONE && !same_dim(g->node[x].dim, dim))
		BUG("%s: '%s' is %s, must be %s", who, label(g, x), dim_text(g->node[x].dim, d), dim_text(dim, w));
}

/* ---- sources ---- */

static id source(struct graph *g, enum op op, const char *name, enum dtype t,
		 const int64_t dim[MAX_DIM], int trainable)
{
	struct node n = shaped(op, t, dim);
	id old = graph_find(g, op, name);

	if (old != NONE) {              /* used twice: one node */
		want_same(g, old, dim, name);
		return old;
	}
	n.name = graph_name(g, name);
	n.trainable = trainable;
	return graph_emit(g, &n);
}

id g_input(struct graph *g, const char *name, enum dtype t, int64_t n, int64_t h,
	   int64_t w, int64_t c)
{
	return source(g, OP_INPUT, name, t, (int64_t[]){ n, h, w, c }, 0);
}

id g_weight(struct graph *g, const char *name, const int64_t dim[MAX_DIM], int trainable)
{
	return source(g, OP_WEIGHT, name, DT_F32, dim, trainable);
}

id g_state(struct graph *g, const char *name, const int64_t dim[MAX_DIM])
{
	return source(g, OP_STATE, name, DT_F32, dim, 0);
}

id g_fill(struct graph *g, const int64_t dim[MAX_DIM], float value)
{
	struct node n = shaped(OP_FILL, DT_F32, dim);

	n.at.fill.value = value;
	return graph_emit(g, &n);
}

/* ---- elementwise ---- */

static id broadcast(struct graph *g, enum op op, id a, id b)
{
	struct node n = like(g, op, a);

	for (int i = 0; i < MAX_DIM; i++)
		if (g->node[b].dim[i] != 1)
			want_side(g, b, i, n.dim[i], op_info[op].name);
	return emit2(g, n, a, b);
}

id g_add(struct graph *g, id a, id b) { return broadcast(g, OP_ADD, a, b); }
id g_mul(struct graph *g, id a, id b) { return broadcast(g, OP_MUL, a, b); }

id g_scale(struct graph *g, id x, float by)
{
	struct node n = like(g, OP_SCALE, x);

	n.at.scale.by = by;
	return emit2(g, n, x, NONE);
}

id g_act(struct graph *g, id x, enum act kind)
{
	struct node n = like(g, OP_ACT, x);

	n.at.act.kind = kind;
	return emit2(g, n, x, NONE);
}

id g_act_dx(struct graph *g, id dy, id x, enum act kind)
{
	struct node n = like(g, OP_ACT_DX, x);

	want_same(g, dy, n.dim, "act_dx");
	n.at.act.kind = kind;
	return emit2(g, n, dy, x);
}

id g_sum_to(struct graph *g, id x, const int64_t dim[MAX_DIM])
{
	for (int i = 0; i < MAX_DIM; i++)
		if (dim[i] != 1)
			want_side(g, x, i, dim[i], "sum_to");
	if (same_dim(g->node[x].dim, dim))
		return x;
	return emit2(g, shaped(OP_SUM_TO, DT_F32, dim), x, NONE);
}

id g_cast(struct graph *g, id x, enum dtype type)
{
	struct node n = like(g, OP_CAST, x);

	if (n.type == type)
		return x;
	n.type = type;
	return emit2(g, n, x, NONE);
}

/* ---- matrices ---- */

id g_linear_add(struct graph *g, id x, id w, id b, id r)
{
	struct node n = like(g, OP_LINEAR, x);

	want_side(g, w, 3, n.dim[3], "linear");
	n.dim[3] = g->node[w].dim[0] * g->node[w].dim[1] * g->node[w].dim[2];
	want_side(g, b, 3, n.dim[3], "linear");
	want_same(g, r, n.dim, "linear");
	n.in[2] = b;
	n.in[3] = r;
	return emit2(g, n, x, w);
}

id g_linear(struct graph *g, id x, id w, id b) { return g_linear_add(g, x, w, b, NONE); }

id g_linear_dx(struct graph *g, id dy, id w, id r, const int64_t x_dim[MAX_DIM])
{
	struct node n = shaped(OP_LINEAR_DX, DT_F32, x_dim);

	want_same(g, r, x_dim, "linear_dx");
	want_side(g, w, 3, x_dim[3], "linear_dx");
	n.in[2] = r;
	return emit2(g, n, dy, w);
}

id g_linear_dw(struct graph *g, id x, id dy, id *db)
{
	int64_t k = g->node[dy].dim[3], c = g->node[x].dim[3];
	id dw = emit2(g, shaped(OP_LINEAR_DW, DT_F32, (int64_t[]){ 1, 1, k, c }), x, dy);

	if (db)
		*db = aux(g, dw, 1, (int64_t[]){ 1, 1, 1, k });
	return dw;
}

static int64_t conv_side(int64_t in, int before, int after, int64_t filter, int stride)
{
	return (in + before + after - filter) / stride + 1;
}

id g_conv2d_add(struct graph *g, id x, id w, id b, id r, struct conv at)
{
	struct node n = like(g, OP_CONV2D, x);
	const int64_t *f = g->node[w].dim;

	want_side(g, w, 3, n.dim[3], "conv2d");
	n.dim[1] = conv_side(n.dim[1], at.top, at.bottom, f[1], at.stride);
	n.dim[2] = conv_side(n.dim[2], at.left, at.right, f[2], at.stride);
	n.dim[3] = f[0];
	want_side(g, b, 3, f[0], "conv2d");
	want_same(g, r, n.dim, "conv2d");
	n.at.conv.stride = at.stride;
	n.at.conv.top = at.top;
	n.at.conv.left = at.left;
	n.at.conv.bottom = at.bottom;
	n.at.conv.right = at.right;
	n.in[2] = b;
	n.in[3] = r;
	return emit2(g, n, x, w);
}

id g_conv2d(struct graph *g, id x, id w, id b, struct conv at)
{
	return g_conv2d_add(g, x, w, b, NONE, at);
}

static struct node conv_node(enum op op, const int64_t dim[MAX_DIM], struct conv at)
{
	struct node n = shaped(op, DT_F32, dim);

	n.at.conv.stride = at.stride;
	n.at.conv.top = at.top;
	n.at.conv.left = at.left;
	n.at.conv.bottom = at.bottom;
	n.at.conv.right = at.right;
	return n;
}

id g_conv2d_dx(struct graph *g, id dy, id w, id r, const int64_t x_dim[MAX_DIM], struct conv at)
{
	struct node n = conv_node(OP_CONV2D_DX, x_dim, at);

	want_side(g, w, 3, x_dim[3], "conv2d_dx");
	want_side(g, w, 0, g->node[dy].dim[3], "conv2d_dx");
	want_same(g, r, x_dim, "conv2d_dx");
	n.in[2] = r;
	return emit2(g, n, dy, w);
}

id g_conv2d_dw(struct graph *g, id x, id dy, const int64_t w_dim[MAX_DIM], struct conv at, id *db)
{
	id dw = emit2(g, conv_node(OP_CONV2D_DW, w_dim, at), x, dy);

	want_side(g, dy, 3, w_dim[0], "conv2d_dw");
	want_side(g, x, 3, w_dim[3], "conv2d_dw");
	if (db)
		*db = aux(g, dw, 1, (int64_t[]){ 1, 1, 1, w_dim[0] });
	return dw;
}

/* ---- movement ---- */

id g_upsample(struct graph *g, id x, int64_t h, int64_t w)
{
	struct node n = like(g, OP_UPSAMPLE, x);

	n.dim[1] = h;
	n.dim[2] = w;
	return emit2(g, n, x, NONE);
}

id g_upsample_dx(struct graph *g, id dy, const int64_t x_dim[MAX_DIM])
{
	want_side(g, dy, 3, x_dim[3], "upsample_dx");
	return emit2(g, shaped(OP_UPSAMPLE_DX, DT_F32, x_dim), dy, NONE);
}

id g_concat(struct graph *g, id a, id b)
{
	struct node n = like(g, OP_CONCAT, a);

	for (int i = 0; i < 3; i++)
		want_side(g, b, i, n.dim[i], "concat");
	n.dim[3] += g->node[b].dim[3];
	return emit2(g, n, a, b);
}

id g_slice(struct graph *g, id x, int64_t from, int64_t count)
{
	struct node n = like(g, OP_SLICE, x);

	if (from < 0 || count < 0 || from + count > n.dim[3])
		BUG("slice of %lld channels from %lld out of %lld", (long long)count, (long long)from, (long long)n.dim[3]);
	n.dim[3] = count;
	n.at.slice.from = from;
	return emit2(g, n, x, NONE);
}

id g_pad_slice(struct graph *g, id dy, int64_t from, const int64_t x_dim[MAX_DIM])
{
	struct node n = shaped(OP_PAD_SLICE, DT_F32, x_dim);

	n.at.slice.from = from;
	return emit2(g, n, dy, NONE);
}

/* ---- norms ---- */

id g_group_norm(struct graph *g, id x, id gamma, id beta, int groups, float eps, enum act act)
{
	struct node n = like(g, OP_GROUP_NORM, x);
	id y;

	if (n.dim[3] % groups)
		BUG("group_norm '%s': %lld channels in %d groups", label(g, gamma), (long long)n.dim[3], groups);
	want_side(g, gamma, 3, n.dim[3], "group_norm");
	want_side(g, beta, 3, n.dim[3], "group_norm");
	n.at.norm.groups = groups;
	n.at.norm.eps = eps;
	n.at.norm.act = act;
	n.in[2] = beta;
	y = emit2(g, n, x, gamma);
	aux(g, y, 1, (int64_t[]){ 1, n.dim[0], groups, 2 });
	return y;
}

id g_layer_norm(struct graph *g, id x, id gamma, id beta, float eps)
{
	struct node n = like(g, OP_LAYER_NORM, x);
	id y;

	want_side(g, gamma, 3, n.dim[3], "layer_norm");
	want_side(g, beta, 3, n.dim[3], "layer_norm");
	n.at.norm.eps = eps;
	n.in[2] = beta;
	y = emit2(g, n, x, gamma);
	aux(g, y, 1, (int64_t[]){ n.dim[0], n.dim[1], n.dim[2], 2 });
	return y;
}

/* The gradient of norm y: inputs in `n` but dy; then the aux results that are wanted. */
static id norm_dx(struct graph *g, struct node n, id dy, id x, id *dgamma, id *dbeta)
{
	int64_t row[MAX_DIM] = { 1, 1, 1, n.dim[3] };
	id dx = emit2(g, n, dy, x);

	if (dgamma)
		*dgamma = aux(g, dx, 1, row);
	if (dbeta)
		*dbeta = aux(g, dx, 2, row);
	return dx;
}

id g_group_norm_dx(struct graph *g, id dy, id y, id *dgamma, id *dbeta)
{
	struct node from = g->node[y], n = like(g, OP_GROUP_NORM_DX, from.in[0]);

	n.at = from.at;
	n.in[2] = from.in[1];
	n.in[3] = from.in[2];
	n.in[4] = graph_aux(g, y, 1);
	return norm_dx(g, n, dy, from.in[0], dgamma, dbeta);
}

id g_layer_norm_dx(struct graph *g, id dy, id y, id *dgamma, id *dbeta)
{
	struct node from = g->node[y], n = like(g, OP_LAYER_NORM_DX, from.in[0]);

	n.at = from.at;
	n.in[2] = from.in[1];
	n.in[3] = graph_aux(g, y, 1);
	return norm_dx(g, n, dy, from.in[0], dgamma, dbeta);
}

id g_geglu(struct graph *g, id x)
{
	struct node n = like(g, OP_GEGLU, x);

	if (n.dim[3] % 2)
		BUG("geglu of %lld channels", (long long)n.dim[3]);
	n.dim[3] /= 2;
	return emit2(g, n, x, NONE);
}

id g_geglu_dx(struct graph *g, id dy, id x)
{
	want_side(g, dy, 3, g->node[x].dim[3] / 2, "geglu_dx");
	return emit2(g, like(g, OP_GEGLU_DX, x), dy, x);
}

/* ---- attention ---- */

id g_attention(struct graph *g, id q, id k, id v, int heads, float scale, int causal)
{
	struct node n = like(g, OP_ATTENTION, q);
	id y;

	if (n.dim[3] % heads)
		BUG("attention: %lld features in %d heads", (long long)n.dim[3], heads);
	want_side(g, k, 0, n.dim[0], "attention");
	want_side(g, k, 3, n.dim[3], "attention");
	want_same(g, v, g->node[k].dim, "attention");
	n.at.attention.heads = heads;
	n.at.attention.scale = scale;
	n.at.attention.causal = causal;
	n.in[2] = v;
	y = emit2(g, n, q, k);
	aux(g, y, 1, (int64_t[]){ 1, n.dim[0], heads, n.dim[1] * n.dim[2] });
	return y;
}

id g_attention_dx(struct graph *g, id dy, id y, id *dk, id *dv)
{
	struct node from = g->node[y], n = like(g, OP_ATTENTION_DX, from.in[0]);
	int64_t kv[MAX_DIM];
	id dq;

	memcpy(kv, g->node[from.in[1]].dim, sizeof kv);
	n.at = from.at;
	n.in[2] = from.in[1];
	n.in[3] = from.in[2];
	n.in[4] = y;
	n.in[5] = graph_aux(g, y, 1);
	dq = emit2(g, n, dy, from.in[0]);
	if (dk)
		*dk = aux(g, dq, 1, kv);
	if (dv)
		*dv = aux(g, dq, 2, kv);
	return dq;
}

/* ---- tables and noise ---- */

id g_embed(struct graph *g, id ids, id table)
{
	const struct node *i = &g->node[ids];

	if (i->type != DT_I32)
		BUG("embed: ids are %s, not I32", dtype_name(i->type));
	return emit2(g, shaped(OP_EMBED, DT_F32, (int64_t[]){ i->dim[2], 1, i->dim[3],
							      g->node[table].dim[3] }), ids, table);
}

id g_embed_dw(struct graph *g, id ids, id dy, const int64_t table_dim[MAX_DIM])
{
	return emit2(g, shaped(OP_EMBED_DW, DT_F32, table_dim), ids, dy);
}

id g_timestep(struct graph *g, id t, int64_t d, int flip_sin_to_cos, float freq_shift)
{
	struct node n = shaped(OP_TIMESTEP, DT_F32, (int64_t[]){ g->node[t].dim[3], 1, 1, d });

	n.at.timestep.flip_sin_to_cos = flip_sin_to_cos;
	n.at.timestep.freq_shift = freq_shift;
	n.at.timestep.max_period = 10000;
	return emit2(g, n, t, NONE);
}

id g_dropout(struct graph *g, id x, id key, float p, uint32_t tag)
{
	struct node n = like(g, OP_DROPOUT, x);

	n.at.dropout.p = p;
	n.at.dropout.tag = tag;
	return emit2(g, n, x, key);
}

/* ---- loss and optimizer ---- */

static const int64_t scalar[MAX_DIM] = { 1, 1, 1, 1 };

id g_mse(struct graph *g, id p, id target, id weight)
{
	struct node n = shaped(OP_MSE, DT_F32, scalar);

	want_same(g, target, g->node[p].dim, "mse");
	want_side(g, weight, 3, g->node[p].dim[0], "mse");
	n.in[2] = weight;
	return emit2(g, n, p, target);
}

id g_mse_dx(struct graph *g, id p, id target, id weight, id dloss)
{
	struct node n = like(g, OP_MSE_DX, p);

	n.in[2] = weight;
	n.in[3] = dloss;
	return emit2(g, n, p, target);
}

id g_sumsq(struct graph *g, id x)
{
	return emit2(g, shaped(OP_SUMSQ, DT_F32, scalar), x, NONE);
}

id g_adamw(struct graph *g, id w, id grad, id m, id v, id hyper, id norm2)
{
	struct node n = like(g, OP_ADAMW, w);

	want_same(g, grad, n.dim, "adamw");
	want_same(g, m, n.dim, "adamw");
	want_same(g, v, n.dim, "adamw");
	want_side(g, hyper, 3, HYPER, "adamw");
	n.in[2] = m;
	n.in[3] = v;
	n.in[4] = hyper;
	n.in[5] = norm2;
	return emit2(g, n, w, grad);
}

id g_accum(struct graph *g, id s, id grad, float by)
{
	struct node n = like(g, OP_ACCUM, s);

	want_same(g, grad, n.dim, "accum");
	n.at.accum.by = by;
	return emit2(g, n, s, grad);
}

id g_ema(struct graph *g, id e, id w, id decay, id norm2)
{
	struct node n = like(g, OP_EMA, e);

	want_same(g, w, n.dim, "ema");
	n.in[2] = decay;
	n.in[3] = norm2;
	return emit2(g, n, e, w);
}
