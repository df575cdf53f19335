#include "kernels/ir/grad.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/ir/build.h"

/*
 * What a rule sees: the node (a copy: emitting may move the
 * array), its gradient, which inputs want one.
 */
struct flow {
	struct graph *g;
	struct node n;
	id y, dy;
	const char *needs;      /* by node */
	id dx[MAX_IN];          /* filled by the rule */
};

typedef void rule(struct flow *f);

static int wants(const struct flow *f, int i)
{
	return f->n.in[i] != NONE && f->needs[f->n.in[i]];
}

static const int64_t *dim_of(const struct flow *f, int i, int64_t out[MAX_DIM])
{
	return memcpy(out, f->g->node[f->n.in[i]].dim, MAX_DIM * sizeof *out);
}

static struct conv conv_of(const struct node *n)
{
	return (struct conv){ n->at.conv.stride, n->at.conv.top, n->at.conv.left, n->at.conv.bottom,
			      n->at.conv.right };
}

static void grad_add(struct flow *f)
{
	int64_t d[MAX_DIM];

	f->dx[0] = f->dy;
	if (wants(f, 1))
		f->dx[1] = g_sum_to(f->g, f->dy, dim_of(f, 1, d));
}

static void grad_mul(struct flow *f)
{
	int64_t d[MAX_DIM];

	if (wants(f, 0))
		f->dx[0] = g_mul(f->g, f->dy, f->n.in[1]);
	if (wants(f, 1))
		f->dx[1] = g_sum_to(f->g, g_mul(f->g, f->dy, f->n.in[0]), dim_of(f, 1, d));
}

static void grad_scale(struct flow *f)
{
	f->dx[0] = g_scale(f->g, f->dy, f->n.at.scale.by);
}

static void grad_act(struct flow *f)
{
	f->dx[0] = g_act_dx(f->g, f->dy, f->n.in[0], f->n.at.act.kind);
}

static void grad_sum_to(struct flow *f)
{
	int64_t d[MAX_DIM];

	f->dx[0] = g_add(f->g, g_fill(f->g, dim_of(f, 0, d), 0), f->dy);
}

static void grad_cast(struct flow *f)
{
	f->dx[0] = g_cast(f->g, f->dy, f->g->node[f->n.in[0]].type);
}

static void grad_linear(struct flow *f)
{
	int64_t d[MAX_DIM];

	if (wants(f, 1))
		f->dx[1] = g_linear_dw(f->g, f->n.in[0], f->dy, wants(f, 2) ? &f->dx[2] : NULL);
	else if (wants(f, 2))
		f->dx[2] = g_sum_to(f->g, f->dy, dim_of(f, 2, d));
	if (wants(f, 0))
		f->dx[0] = g_linear_dx(f->g, f->dy, f->n.in[1], NONE, dim_of(f, 0, d));
	f->dx[3] = f->dy;
}

static void grad_conv2d(struct flow *f)
{
	int64_t d[MAX_DIM];
	struct conv at = conv_of(&f->n);

	if (wants(f, 1))
		f->dx[1] = g_conv2d_dw(f->g, f->n.in[0], f->dy, dim_of(f, 1, d), at,
				       wants(f, 2) ? &f->dx[2] : NULL);
	else if (wants(f, 2))
		f->dx[2] = g_sum_to(f->g, f->dy, dim_of(f, 2, d));
	if (wants(f, 0))
		f->dx[0] = g_conv2d_dx(f->g, f->dy, f->n.in[1], NONE, dim_of(f, 0, d), at);
	f->dx[3] = f->dy;
}

static void grad_upsample(struct flow *f)
{
	int64_t d[MAX_DIM];

	f->dx[0] = g_upsample_dx(f->g, f->dy, dim_of(f, 0, d));
}

static void grad_concat(struct flow *f)
{
	int64_t a = f->g->node[f->n.in[0]].dim[3], b = f->g->node[f->n.in[1]].dim[3];

	if (wants(f, 0))
		f->dx[0] = g_slice(f->g, f->dy, 0, a);
	if (wants(f, 1))
		f->dx[1] = g_slice(f->g, f->dy, a, b);
}

static void grad_slice(struct flow *f)
{
	int64_t d[MAX_DIM];

	f->dx[0] = g_pad_slice(f->g, f->dy, f->n.at.slice.from, dim_of(f, 0, d));
}

static void grad_group_norm(struct flow *f)
{
	f->dx[0] = g_group_norm_dx(f->g, f->dy, f->y, wants(f, 1) ? &f->dx[1] : NULL,
				   wants(f, 2) ? &f->dx[2] : NULL);
}

static void grad_layer_norm(struct flow *f)
{
	f->dx[0] = g_layer_norm_dx(f->g, f->dy, f->y, wants(f, 1) ? &f->dx[1] : NULL,
				   wants(f, 2) ? &f->dx[2] : NULL);
}

static void grad_geglu(struct flow *f)
{
	f->dx[0] = g_geglu_dx(f->g, f->dy, f->n.in[0]);
}

static void grad_attention(struct flow *f)
{
	f->dx[0] = g_attention_dx(f->g, f->dy, f->y, wants(f, 1) ? &f->dx[1] : NULL,
				  wants(f, 2) ? &f->dx[2] : NULL);
}

static void grad_embed(struct flow *f)
{
	int64_t d[MAX_DIM];

	if (wants(f, 1))
		f->dx[1] = g_embed_dw(f->g, f->n.in[0], f->dy, dim_of(f, 1, d));
}

static void grad_dropout(struct flow *f)
{
	f->dx[0] = g_dropout(f->g, f->dy, f->n.in[1], f->n.at.dropout.p, f->n.at.dropout.tag);
}

static void grad_mse(struct flow *f)
{
	if (wants(f, 0))
		f->dx[0] = g_mse_dx(f->g, f->n.in[0], f->n.in[1], f->n.in[2], f->dy);
	/* the target may depend on weights too (reconstruction of itself) */
	if (wants(f, 1))
		f->dx[1] = g_scale(f->g,
				   g_mse_dx(f->g, f->n.in[0], f->n.in[1], f->n.in[2], f->dy), -1);
}

static rule *const rules[OP__COUNT] = {
	[OP_ADD] = grad_add, [OP_MUL] = grad_mul, [OP_SCALE] = grad_scale, [OP_ACT] = grad_act,
	[OP_SUM_TO] = grad_sum_to, [OP_CAST] = grad_cast, [OP_LINEAR] = grad_linear, [OP_CONV2D] = grad_conv2d,
	[OP_UPSAMPLE] = grad_upsample, [OP_CONCAT] = grad_concat, [OP_SLICE] = grad_slice,
	[OP_GROUP_NORM] = grad_group_norm, [OP_LAYER_NORM] = grad_layer_norm,
	[OP_GEGLU] = grad_geglu, [OP_ATTENTION] = grad_attention, [OP_EMBED] = grad_embed,
	[OP_DROPOUT] = grad_dropout, [OP_MSE] = grad_mse,
};

int grad_has_rule(enum op op)
{
	return rules[op] != NULL;
}

/* needs[x]: a trainable weight, a wanted node, or something that depends on one. */
static char *find_needs(const struct graph *g, const id *wanted, int n_wanted)
{
	char *needs = xcalloc((size_t)g->n + 1, 1);

	for (int i = 0; i < n_wanted; i++)
		needs[wanted[i]] = 1;
	for (id i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];

		if (n->op == OP_WEIGHT && n->trainable)
			needs[i] = 1;
		for (int k = 0; k < MAX_IN; k++)
			if (n->in[k] != NONE && needs[n->in[k]] && n->op != OP_AUX)
				needs[i] = 1;
	}
	return needs;
}

static void contribute(struct graph *g, id *sum, id x, id dx)
{
	sum[x] = sum[x] == NONE ? dx : g_add(g, dx, sum[x]);
}

static void flow_back(struct graph *g, id y, const char *needs, id *sum)
{
	struct flow f = { .g = g, .n = g->node[y], .y = y, .dy = sum[y], .needs = needs,
			  .dx = { NONE, NONE, NONE, NONE, NONE, NONE } };

	if (!rules[f.n.op])
		BUG("node %d '%s' needs a gradient, but its op has no rule", y, op_info[f.n.op].name);
	rules[f.n.op](&f);
	for (int k = 0; k < MAX_IN; k++)
		if (f.dx[k] != NONE && wants(&f, k))
			contribute(g, sum, f.n.in[k], f.dx[k]);
}

id *grad_emit(struct graph *g, id loss, const id *wanted, int n_wanted)
{
	id last = g->n;
	char *needs = find_needs(g, wanted, n_wanted);
	id *sum = xmalloc((size_t)last * sizeof *sum);

	for (id i = 0; i < last; i++)
		sum[i] = NONE;
	if (node_count(&g->node[loss]) != 1)
		BUG("the loss has %lld elements, not 1", (long long)node_count(&g->node[loss]));
	sum[loss] = g_fill(g, (int64_t[]){ 1, 1, 1, 1 }, 1);
	for (id y = loss; y >= 0; y--)
		if (sum[y] != NONE && needs[y] && !op_info[g->node[y].op].source)
			flow_back(g, y, needs, sum);
	free(needs);
	return sum;
}
