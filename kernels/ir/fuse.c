#include "kernels/ir/fuse.h"

#include <stdlib.h>

#include "common/base/mem.h"

/* The input that takes what is added on top, or 0 if the op has none. */
static int residual_slot(enum op op)
{
	switch (op) {
	case OP_LINEAR: case OP_CONV2D: return 3;
	case OP_LINEAR_DX: case OP_CONV2D_DX: return 2;
	default: return 0;
	}
}

static int *count_uses(const struct graph *g)
{
	int *uses = xcalloc((size_t)g->n + 1, sizeof *uses);

	for (id i = 0; i < g->n; i++)
		for (int k = 0; k < MAX_IN; k++)
			if (g->node[i].in[k] != NONE)
				uses[g->node[i].in[k]]++;
	for (size_t i = 0; i < g->n_keep; i++)
		uses[g->keep[i]]++;
	return uses;
}

/* Can product p take `other` as its residual in the place of sum y? */
static int fits(const struct graph *g, const int *uses, id y, id p, id other)
{
	int slot = residual_slot(g->node[p].op);

	return slot && g->node[p].in[slot] == NONE && uses[p] == 1 && other < p &&
		same_dim(g->node[y].dim, g->node[p].dim) &&
		same_dim(g->node[y].dim, g->node[other].dim);
}

/* The product that takes over sum y, or NONE. */
static id absorb(struct graph *g, const int *uses, id y)
{
	id a = g->node[y].in[0], b = g->node[y].in[1];

	if (fits(g, uses, y, a, b)) {
		g->node[a].in[residual_slot(g->node[a].op)] = b;
		return a;
	}
	if (fits(g, uses, y, b, a)) {
		g->node[b].in[residual_slot(g->node[b].op)] = a;
		return b;
	}
	return NONE;
}

id *graph_fuse(struct graph *g)
{
	int *uses = count_uses(g);
	id *to = xmalloc(((size_t)g->n + 1) * sizeof *to), *map;
	id n = g->n;

	for (id i = 0; i < n; i++) {
		for (int k = 0; k < MAX_IN; k++)
			if (g->node[i].in[k] != NONE)
				g->node[i].in[k] = to[g->node[i].in[k]];
		to[i] = i;
		if (g->node[i].op == OP_ADD) {
			id p = absorb(g, uses, i);

			if (p != NONE) {
				to[i] = p;
				uses[p] = uses[i];
			}
		}
	}
	for (size_t i = 0; i < g->n_keep; i++)
		g->keep[i] = to[g->keep[i]];
	map = graph_prune(g);
	for (id i = 0; i < n; i++)
		to[i] = map[to[i]];
	free(map);
	free(uses);
	return to;
}
