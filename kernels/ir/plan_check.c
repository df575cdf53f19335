#include "kernels/ir/plan.h"

#include <stdlib.h>

#include "common/base/mem.h"

/*
 * Kept apart from plan.c on purpose: it derives the lives again from the graph, believes nothing
 * but the offsets, and is quadratic and obvious.
 */
struct life {
	id first, last;         /* of a value; last = g->n: to the end */
};

static struct life *all_lives(const struct graph *g)
{
	struct life *l = xcalloc((size_t)g->n + 1, sizeof *l);

	for (id i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];

		l[i] = (struct life){ n->op == OP_AUX ? n->in[0] : i, i };
		for (int k = 0; k < MAX_IN; k++)
			if (n->in[k] != NONE && n->op != OP_AUX)
				l[n->in[k]].last = i;
		if (n->op == OP_INPUT)
			l[i] = (struct life){ 0, g->n };
	}
	for (id i = 0; i < g->n; i++)
		if (g->node[i].op == OP_INPUT)
			l[i].last = g->n;
	for (size_t i = 0; i < g->n_keep; i++)
		l[g->keep[i]].last = g->n;
	return l;
}

static int bytes_meet(size_t a, size_t a_len, size_t b, size_t b_len)
{
	return a != NOWHERE && b != NOWHERE && a < b + b_len && b < a + a_len;
}

/* y took x's place, lawfully: same offset and size, x ends at y, and the op allows it. */
static int replaced(const struct plan *p, const struct graph *g, struct life lx, id x, id y)
{
	for (int k = 0; k < 2; k++)
		if (g->node[y].in[k] == x && lx.last == y && p->at[x] == p->at[y] &&
		    (op_info[g->node[y].op].in_place >> k & 1) &&
		    node_bytes(&g->node[x]) == node_bytes(&g->node[y]))
			return 1;
	return 0;
}

static int check_pair(const struct plan *p, const struct graph *g, struct life la, id a,
		      struct life lb, id b, struct err *e)
{
	size_t na = (size_t)node_bytes(&g->node[a]), nb = (size_t)node_bytes(&g->node[b]);

	if (la.last < lb.first || lb.last < la.first || !bytes_meet(p->at[a], na, p->at[b], nb))
		return 0;
	if (replaced(p, g, la, a, b))
		return 0;
	return fail(e, "nodes %d '%s' and %d '%s' are both alive at step %d and share bytes", a,
		    op_info[g->node[a].op].name, b, op_info[g->node[b].op].name,
		    la.first > lb.first ? la.first : lb.first);
}

static int check_scratch(const struct plan *p, const struct graph *g, struct life l, id x,
			 struct err *e)
{
	for (id s = l.first; s <= l.last && s < g->n; s++)
		if (p->scratch[s] && bytes_meet(p->at[x], (size_t)node_bytes(&g->node[x]),
						p->scratch_at[s], p->scratch[s]))
			return fail(e, "node %d '%s' is alive while step %d uses its bytes as scratch", x,
				    op_info[g->node[x].op].name, s);
	return 0;
}

static int check_node(const struct plan *p, const struct graph *g, const struct life *l, id a,
		      struct err *e)
{
	if (p->scratch[a] &&
	    (p->scratch_at[a] == NOWHERE || p->scratch_at[a] + p->scratch[a] > p->arena))
		return fail(e, "scratch of node %d lies outside the arena of %zu bytes", a, p->arena);
	if (p->at[a] == NOWHERE)
		return 0;
	if (p->at[a] + (size_t)node_bytes(&g->node[a]) > p->arena)
		return fail(e, "node %d lies outside the arena of %zu bytes", a, p->arena);
	if (check_scratch(p, g, l[a], a, e) < 0)
		return -1;
	for (id b = a + 1; b < g->n; b++)
		if (p->at[b] != NOWHERE && check_pair(p, g, l[a], a, l[b], b, e) < 0)
			return -1;
	return 0;
}

int plan_check(const struct plan *p, const struct graph *g, struct err *e)
{
	struct life *l = all_lives(g);
	int ret = 0;

	for (id a = 0; ret == 0 && a < g->n; a++)
		ret = check_node(p, g, l, a, e);
	free(l);
	return ret;
}
