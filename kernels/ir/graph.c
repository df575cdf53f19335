#include "kernels/ir/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

const struct op_info op_info[OP__COUNT] = {
	/*                    name             in     outs in_place cheap source */
	[OP_INPUT]         = { "input",          0, 0, 1, 0, 1, 1 },
	[OP_WEIGHT]        = { "weight",         0, 0, 1, 0, 1, 1 },
	[OP_STATE]         = { "state",          0, 0, 1, 0, 1, 1 },
	[OP_FILL]          = { "fill",           0, 0, 1, 0, 1, 0 },
	[OP_AUX]           = { "aux",            1, 1, 1, 0, 1, 0 },
	[OP_ADD]           = { "add",            2, 2, 1, 1, 1, 0 },
	[OP_MUL]           = { "mul",            2, 2, 1, 1, 1, 0 },
	[OP_SCALE]         = { "scale",          1, 1, 1, 1, 1, 0 },
	[OP_ACT]           = { "act",            1, 1, 1, 1, 1, 0 },
	[OP_ACT_DX]        = { "act_dx",         2, 2, 1, 3, 1, 0 },
	[OP_SUM_TO]        = { "sum_to",         1, 1, 1, 0, 1, 0 },
	[OP_CAST]          = { "cast",           1, 1, 1, 0, 1, 0 },
	[OP_LINEAR]        = { "linear",         2, 4, 1, 0, 0, 0 },
	[OP_LINEAR_DX]     = { "linear_dx",      2, 3, 1, 0, 0, 0 },
	[OP_LINEAR_DW]     = { "linear_dw",      2, 2, 2, 0, 0, 0 },
	[OP_CONV2D]        = { "conv2d",         2, 4, 1, 0, 0, 0 },
	[OP_CONV2D_DX]     = { "conv2d_dx",      2, 3, 1, 0, 0, 0 },
	[OP_CONV2D_DW]     = { "conv2d_dw",      2, 2, 2, 0, 0, 0 },
	[OP_UPSAMPLE]      = { "upsample",       1, 1, 1, 0, 1, 0 },
	[OP_UPSAMPLE_DX]   = { "upsample_dx",    1, 1, 1, 0, 1, 0 },
	[OP_CONCAT]        = { "concat",         2, 2, 1, 0, 1, 0 },
	[OP_SLICE]         = { "slice",          1, 1, 1, 0, 1, 0 },
	[OP_PAD_SLICE]     = { "pad_slice",      1, 1, 1, 0, 1, 0 },
	[OP_GROUP_NORM]    = { "group_norm",     3, 3, 2, 0, 1, 0 },
	[OP_GROUP_NORM_DX] = { "group_norm_dx",  5, 5, 3, 0, 1, 0 },
	[OP_LAYER_NORM]    = { "layer_norm",     3, 3, 2, 0, 1, 0 },
	[OP_LAYER_NORM_DX] = { "layer_norm_dx",  4, 4, 3, 0, 1, 0 },
	[OP_GEGLU]         = { "geglu",          1, 1, 1, 0, 1, 0 },
	[OP_GEGLU_DX]      = { "geglu_dx",       2, 2, 1, 0, 1, 0 },
	[OP_ATTENTION]     = { "attention",      3, 3, 2, 0, 0, 0 },
	[OP_ATTENTION_DX]  = { "attention_dx",   6, 6, 3, 0, 0, 0 },
	[OP_EMBED]         = { "embed",          2, 2, 1, 0, 1, 0 },
	[OP_EMBED_DW]      = { "embed_dw",       2, 2, 1, 0, 1, 0 },
	[OP_TIMESTEP]      = { "timestep",       1, 1, 1, 0, 1, 0 },
	[OP_DROPOUT]       = { "dropout",        2, 2, 1, 1, 1, 0 },
	[OP_MSE]           = { "mse",            3, 3, 1, 0, 1, 0 },
	[OP_MSE_DX]        = { "mse_dx",         4, 4, 1, 0, 1, 0 },
	[OP_SUMSQ]         = { "sumsq",          1, 1, 1, 0, 1, 0 },
	[OP_ADAMW]         = { "adamw",          6, 6, 0, 0, 1, 0 },
	[OP_ACCUM]         = { "accum",          2, 2, 0, 0, 1, 0 },
	[OP_EMA]           = { "ema",            4, 4, 0, 0, 1, 0 },
};

void graph_release(struct graph *g)
{
	for (size_t i = 0; i < g->n_names; i++)
		free(g->names[i]);
	free(g->names);
	free(g->node);
	free(g->keep);
	*g = (struct graph){ 0 };
}

const char *graph_name(struct graph *g, const char *name)
{
	g->names = grow(g->names, g->n_names, &g->cap_names, sizeof *g->names);
	return g->names[g->n_names++] = xstrdup(name);
}

static void check_node(const struct graph *g, const struct node *n)
{
	const struct op_info *info = &op_info[n->op];

	if (!info->name)
		BUG("op %d has no row in op_info", n->op);
	for (int i = 0; i < MAX_IN; i++) {
		if (n->in[i] != NONE && (i >= info->max_in || n->in[i] < 0 || n->in[i] >= g->n))
			BUG("node %d '%s' cannot take node %d as input %d", g->n, info->name, n->in[i], i);
		if (n->in[i] == NONE && i < info->min_in)
			BUG("node %d '%s' lacks input %d", g->n, info->name, i);
	}
	if (info->outs && size_product(n->dim, MAX_DIM) < 0)
		BUG("node %d '%s' is too large", g->n, info->name);
}

id graph_emit(struct graph *g, const struct node *n)
{
	struct node copy = *n;          /* n may point into the array that is about to move */

	check_node(g, &copy);
	if (g->n == g->cap) {
		g->cap = g->cap ? 2 * g->cap : 256;
		g->node = xrealloc(g->node, (size_t)g->cap * sizeof *g->node);
	}
	g->node[g->n] = copy;
	return g->n++;
}

void graph_keep(struct graph *g, id x)
{
	g->keep = grow(g->keep, g->n_keep, &g->cap_keep, sizeof *g->keep);
	g->keep[g->n_keep++] = x;
}

id graph_find(const struct graph *g, enum op op, const char *name)
{
	for (id i = 0; i < g->n; i++)
		if (g->node[i].op == op && !strcmp(g->node[i].name, name))
			return i;
	return NONE;
}

int64_t node_count(const struct node *n)
{
	return size_product(n->dim, MAX_DIM);
}

int64_t node_bytes(const struct node *n)
{
	return node_count(n) * (int64_t)dtype_size(n->type);
}

int same_dim(const int64_t a[MAX_DIM], const int64_t b[MAX_DIM])
{
	return !memcmp(a, b, MAX_DIM * sizeof *a);
}

char *dim_text(const int64_t dim[MAX_DIM], char out[96])
{
	snprintf(out, 96, "%lldx%lldx%lldx%lld", (long long)dim[0], (long long)dim[1],
		 (long long)dim[2], (long long)dim[3]);
	return out;
}

void graph_print(const struct graph *g, struct buf *out)
{
	char d[96];

	for (id i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];

		buf_addf(out, "%d %s %s %s", i, op_info[n->op].name, dtype_name(n->type), dim_text(n->dim, d));
		for (int k = 0; k < op_info[n->op].max_in; k++)
			buf_addf(out, " %d", n->in[k]);
		if (n->name)
			buf_addf(out, " '%s'", n->name);
		buf_addc(out, '\n');
	}
}

id graph_aux(const struct graph *g, id x, int which)
{
	for (id i = x + 1; i < g->n && i <= x + 2 && g->node[i].op == OP_AUX; i++)
		if (g->node[i].in[0] == x && g->node[i].at.aux.which == which)
			return i;
	return NONE;
}

/* Mark what node i needs. Inputs are smaller, so one walk from the end suffices. */
static char *reachable(const struct graph *g)
{
	char *live = xcalloc((size_t)g->n + 1, 1);

	for (size_t i = 0; i < g->n_keep; i++)
		live[g->keep[i]] = 1;
	for (id i = g->n - 1; i >= 0; i--) {
		const struct node *n = &g->node[i];

		if (!op_info[n->op].outs || n->op == OP_INPUT)
			live[i] = 1;
		for (int k = 0; live[i] && k < MAX_IN; k++)
			if (n->in[k] != NONE)
				live[n->in[k]] = 1;
	}
	return live;
}

id *graph_prune(struct graph *g)
{
	char *live = reachable(g);
	id *map = xmalloc(((size_t)g->n + 1) * sizeof *map), to = 0;

	for (id i = 0; i < g->n; i++) {
		struct node n = g->node[i];

		map[i] = live[i] ? to : NONE;
		if (!live[i])
			continue;
		for (int k = 0; k < MAX_IN; k++)
			if (n.in[k] != NONE)
				n.in[k] = map[n.in[k]];
		g->node[to++] = n;
	}
	g->n = to;
	for (size_t i = 0; i < g->n_keep; i++)
		g->keep[i] = map[g->keep[i]];
	free(live);
	return map;
}
