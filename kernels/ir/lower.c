#include "kernels/ir/lower.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/ir/build.h"

struct lowering {
	struct graph g;         /* the new one; names stay the old one's */
	enum dtype type;
	lower_keeps *keeps;
	const void *data;
	id *map;                /* by old id */
	id *narrow, *wide;      /* by new id: its cast to `type` and to f32, NONE: not made yet */
	id n_casts;             /* entries of both */
};

/* ---- types ---- */

static int is_product(enum op op)
{
	return (op >= OP_LINEAR && op <= OP_CONV2D_DW) || op == OP_ATTENTION || op == OP_ATTENTION_DX;
}

/* Results that are for weights: they are summed up, clipped and given to the optimizer in f32. */
static int is_for_weights(enum op op)
{
	return op == OP_LINEAR_DW || op == OP_CONV2D_DW || op == OP_EMBED_DW || op == OP_SUM_TO;
}

/* Aux results are sums and statistics, but for the gradients of keys and values. */
static enum dtype type_of_aux(const struct lowering *l, const struct node *n)
{
	return l->g.node[n->in[0]].op == OP_ATTENTION_DX ? l->type : DT_F32;
}

/* A source is f32 because the host or the optimizer wants it, not for its numbers' sake. */
static int is_wide(const struct lowering *l, id x)
{
	const struct node *n = &l->g.node[x];

	return n->type == DT_F32 && !op_info[n->op].source;
}

static enum dtype type_by_inputs(const struct lowering *l, const struct node *n)
{
	int inputs = n->op == OP_SCALE || n->op == OP_ACT || n->op == OP_DROPOUT ? 1 : 2;

	for (int i = 0; i < inputs; i++)
		if (!is_wide(l, n->in[i]))
			return l->type;
	return DT_F32;
}

/* n has its new inputs. */
static enum dtype type_of(const struct lowering *l, const struct node *n)
{
	if (n->op == OP_WEIGHT)
		return n->trainable || (l->keeps && l->keeps(l->data, n->name)) ? DT_F32 : l->type;
	if (n->op == OP_AUX)
		return type_of_aux(l, n);
	if (n->type != DT_F32 || op_info[n->op].source || !op_info[n->op].outs || n->op == OP_CAST ||
	    n->op == OP_FILL || is_for_weights(n->op))
		return n->type;
	if (is_product(n->op))
		return l->type;
	if (node_count(n) == 1)
		return DT_F32;
	switch (n->op) {
	case OP_ADD: case OP_MUL: case OP_SCALE: case OP_ACT: case OP_ACT_DX: case OP_DROPOUT:
		return type_by_inputs(l, n);
	default:
		return l->type;
	}
}

/* The type that input i of product n must have. */
static enum dtype wanted(const struct lowering *l, const struct node *n, int i)
{
	int bias_or_residual = ((n->op == OP_LINEAR || n->op == OP_CONV2D) && i >= 2) ||
		((n->op == OP_LINEAR_DX || n->op == OP_CONV2D_DX) && i == 2);

	if (n->op == OP_ATTENTION_DX && i == 5)
		return DT_F32;
	return bias_or_residual ? n->type : l->type;
}

/* ---- casts ---- */

static void make_room(struct lowering *l)
{
	if (l->g.n <= l->n_casts)
		return;
	l->narrow = xrealloc(l->narrow, (size_t)l->g.cap * sizeof *l->narrow);
	l->wide = xrealloc(l->wide, (size_t)l->g.cap * sizeof *l->wide);
	for (; l->n_casts < l->g.cap; l->n_casts++)
		l->narrow[l->n_casts] = l->wide[l->n_casts] = NONE;
}

static id cast_to(struct lowering *l, id x, enum dtype type)
{
	id *made, y;

	if (l->g.node[x].type == type)
		return x;
	make_room(l);
	made = type == DT_F32 ? l->wide : l->narrow;
	if (made[x] != NONE)
		return made[x];
	y = g_cast(&l->g, x, type);
	made[x] = y;
	return y;
}

static id emit(struct lowering *l, struct node n)
{
	for (int i = 0; i < MAX_IN; i++)
		if (n.in[i] != NONE)
			n.in[i] = l->map[n.in[i]];
	n.type = type_of(l, &n);
	for (int i = 0; i < MAX_IN && is_product(n.op); i++)
		if (n.in[i] != NONE)
			n.in[i] = cast_to(l, n.in[i], wanted(l, &n, i));
	return graph_emit(&l->g, &n);
}

static id *identity(id n)
{
	id *map = xmalloc(((size_t)n + 1) * sizeof *map);

	for (id i = 0; i < n; i++)
		map[i] = i;
	return map;
}

/* ---- weights first ---- */

static int comes_first(const struct graph *g, id x)
{
	const struct node *n = &g->node[x];

	return op_info[n->op].source || (n->op == OP_CAST && g->node[n->in[0]].op == OP_WEIGHT);
}

/*
 * Sources and the casts of weights before all else, in the order that they had: the casts of a step lie next to
 * each other. to[id] = where it is now.
 */
static void weights_first(struct graph *g, id *to)
{
	struct node *node = xmalloc(((size_t)g->n + 1) * sizeof *node);
	id n = 0;

	for (int turn = 1; turn >= 0; turn--)
		for (id i = 0; i < g->n; i++)
			if (comes_first(g, i) == turn) {
				node[n] = g->node[i];
				to[i] = n++;
			}
	for (id i = 0; i < n; i++)
		for (int k = 0; k < MAX_IN; k++)
			if (node[i].in[k] != NONE)
				node[i].in[k] = to[node[i].in[k]];
	free(g->node);
	g->node = node;
	g->cap = n + 1;
}

id *graph_lower(struct graph *g, enum dtype type, lower_keeps *keeps, const void *data)
{
	struct lowering l = { .type = type, .keeps = keeps, .data = data, .map = identity(g->n) };
	id old = g->n, *to;

	if (type == DT_F32)
		return l.map;
	for (id i = 0; i < g->n; i++)
		l.map[i] = emit(&l, g->node[i]);
	for (size_t i = 0; i < g->n_keep; i++) {
		id *x = &l.map[g->keep[i]];

		if (l.g.node[*x].type == type)
			*x = cast_to(&l, *x, DT_F32);
		g->keep[i] = *x;
	}
	to = identity(l.g.n);
	weights_first(&l.g, to);
	for (id i = 0; i < old; i++)
		l.map[i] = to[l.map[i]];
	for (size_t i = 0; i < g->n_keep; i++)
		g->keep[i] = to[g->keep[i]];
	free(to);
	free(g->node);
	g->node = l.g.node;
	g->n = l.g.n;
	g->cap = l.g.cap;
	free(l.narrow);
	free(l.wide);
	return l.map;
}
