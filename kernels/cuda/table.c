/* The CUDA backend's table, and how a node is run by it. */
#include "kernels/cuda/dnn.h"

#define K(op, name) [op] = { cuda_##name, NULL }
#define KS(op, name) [op] = { cuda_##name, cuda_##name##_scratch }

const struct cuda_row cuda_table[OP__COUNT] = {
	K(OP_FILL, fill), K(OP_ADD, add), K(OP_MUL, mul), K(OP_SCALE, scale), K(OP_ACT, act),
	K(OP_ACT_DX, act_dx), KS(OP_SUM_TO, sum_to), K(OP_CAST, cast_node), K(OP_UPSAMPLE, upsample),
	K(OP_UPSAMPLE_DX, upsample_dx), K(OP_CONCAT, concat), K(OP_SLICE, slice),
	K(OP_PAD_SLICE, pad_slice), KS(OP_GROUP_NORM, group_norm),
	KS(OP_GROUP_NORM_DX, group_norm_dx), K(OP_LAYER_NORM, layer_norm),
	KS(OP_LAYER_NORM_DX, layer_norm_dx), K(OP_GEGLU, geglu), K(OP_GEGLU_DX, geglu_dx),
	K(OP_EMBED, embed), K(OP_EMBED_DW, embed_dw), K(OP_TIMESTEP, timestep),
	K(OP_DROPOUT, dropout), KS(OP_MSE, mse), K(OP_MSE_DX, mse_dx), K(OP_SUMSQ, sumsq),
	K(OP_LINEAR, linear), K(OP_LINEAR_DX, linear_dx), KS(OP_LINEAR_DW, linear_dw),
	KS(OP_CONV2D, conv2d), KS(OP_CONV2D_DX, conv2d_dx), KS(OP_CONV2D_DW, conv2d_dw),
	KS(OP_ATTENTION, attention), KS(OP_ATTENTION_DX, attention_dx),
	K(OP_ADAMW, adamw), K(OP_ACCUM, accum), K(OP_EMA, ema),
};

void lane_flush(struct lane *l)
{
	if (l->sumsq.n)
		sumsq_launch(l);
	if (l->adamw.n)
		adamw_launch(l);
	if (l->casts.n)
		casts_launch(l);
}

/* 1: c was done by waiting. What it reads, or will be followed by, is in the stream before it. */
static int waits(const struct call *c, struct lane *l)
{
	enum op op = c->n->op;

	if (sumsq_joins(c, l))
		return 1;
	if (op != OP_SUMSQ && l->sumsq.n)
		sumsq_launch(l);
	if (op != OP_ADAMW && l->adamw.n)
		adamw_launch(l);
	if (op != OP_CAST && l->casts.n)
		casts_launch(l);
	return 0;
}

static int is_convolution(enum op op) { return op >= OP_CONV2D && op <= OP_CONV2D_DW; }
static int is_attention(enum op op) { return op == OP_ATTENTION || op == OP_ATTENTION_DX; }

size_t cuda_scratch_of(struct lane *l, const struct graph *g, id x)
{
	const struct node *n = &g->node[x];
	cuda_scratch *f = cuda_table[n->op].scratch;
	int64_t bytes = -1;

	if (x == 0)             /* graphs are asked for from their beginning on */
		attend_prepare(l, g);
	if (is_convolution(n->op))
		bytes = convolve_scratch(l, n, g);
	else if (is_attention(n->op))
		bytes = attend_scratch(l, n, g);
	return bytes >= 0 ? (size_t)bytes : f ? f(n, g) : 0;
}

/* 1: the library ran it. */
static int run_whole(struct lane *l, const struct call *c)
{
	return (is_convolution(c->n->op) && convolve_run(l, c)) || (is_attention(c->n->op) && attend_run(l, c));
}

/*
 * Activations, gradients and weights may be f32, bf16 or f16. What sums are kept in is f32: statistics
 * of norms, and all that the optimizer moves.
 */
static int must_be_f32(enum op op, int in)
{
	switch (op) {
	case OP_GROUP_NORM_DX: return in == 4;
	case OP_LAYER_NORM_DX: return in == 3;
	case OP_ADAMW: return in != 1;
	case OP_EMA: return in >= 2;
	default: return 0;
	}
}

static int must_be_ids(enum op op, int in)
{
	return ((op == OP_EMBED || op == OP_EMBED_DW) && in == 0) || (op == OP_DROPOUT && in == 1);
}

static int fits(enum op op, int in, enum dtype t)
{
	if (in >= 0 && must_be_ids(op, in))
		return t == DT_I32;
	if (in >= 0 && must_be_f32(op, in))
		return t == DT_F32;
	return t == DT_F32 || t == DT_BF16 || t == DT_F16;
}

static int check_types(const struct call *c, struct err *e)
{
	enum op op = c->n->op;

	for (int i = 0; i < MAX_IN; i++)
		if (c->in[i].at && !fits(op, i, c->in[i].type))
			return fail(e, "the CUDA kernel of '%s' does not take %s at input %d",
				    op_info[op].name, dtype_name(c->in[i].type), i);
	for (int i = 0; i < MAX_OUT; i++)
		if (c->out[i].at && !fits(op, -1, c->out[i].type))
			return fail(e, "the CUDA kernel of '%s' does not make %s as result %d",
				    op_info[op].name, dtype_name(c->out[i].type), i);
	return 0;
}

static int is_like(const struct view *a, const struct view *b)
{
	return a->type == b->type && same_dim(a->dim, b->dim);
}

struct view lane_joins(struct lane *l, const struct call *c)
{
	const struct call *t = l->then;
	const struct view *y = &c->out[0], *other;

	if (!t || t->n->op != OP_ADD || t->out[0].at != y->at || (t->in[0].at == y->at) == (t->in[1].at == y->at))
		return (struct view){ NULL, NULL, DT_NONE };
	other = &t->in[t->in[0].at == y->at];
	if (!is_like(&t->in[0], y) || !is_like(&t->in[1], y) || !is_like(&t->out[0], y))
		return (struct view){ NULL, NULL, DT_NONE };
	l->joined = 1;
	return *other;
}

int lane_run(struct lane *l, const struct call *c, struct err *e)
{
	enum op op = c->n->op;

	if (!cuda_table[op].run)
		return fail(e, "the CUDA backend has no kernel for '%s'", op_info[op].name);
	if (check_types(c, e) < 0)
		return -1;
	if (!waits(c, l) && !run_whole(l, c))
		cuda_table[op].run(c, l);
	return l->failed ? fail(e, "%s", l->why.text) : 0;
}
