#include "kernels/ir/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define ALIGN 64

static size_t round_up(size_t n)
{
	return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* Does the node's value lie in the arena? */
static int in_arena(const struct node *n)
{
	return op_info[n->op].outs && n->op != OP_WEIGHT && n->op != OP_STATE;
}

static void find_lives(struct plan *p, const struct graph *g)
{
	for (id i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];

		p->first[i] = n->op == OP_AUX ? n->in[0] : n->op == OP_INPUT ? 0 : i;
		p->last[i] = n->op == OP_INPUT ? g->n : i;
		for (int k = 0; k < MAX_IN; k++)
			if (n->in[k] != NONE && n->op != OP_AUX && p->last[n->in[k]] < i)
				p->last[n->in[k]] = i;
	}
	for (size_t i = 0; i < g->n_keep; i++)
		p->last[g->keep[i]] = g->n;
}

/*
 * May node y write over input k? Its value must end here, and have y's size and a place of its own.
 */
static int may_replace(const struct plan *p, const struct graph *g, id y, int k)
{
	id x = g->node[y].in[k];

	if (x == NONE || !(op_info[g->node[y].op].in_place >> k & 1) || !in_arena(&g->node[x]))
		return 0;
	return p->last[p->root[x]] == y && node_bytes(&g->node[x]) == node_bytes(&g->node[y]) &&
		g->node[x].op != OP_INPUT;
}

static void share_places(struct plan *p, const struct graph *g)
{
	for (id y = 0; y < g->n; y++) {
		p->root[y] = y;
		for (int k = 0; k < 2; k++) {
			id x = g->node[y].in[k], other = g->node[y].in[1 - k];

			/* the other input must not lie in the place that is written over */
			if (!may_replace(p, g, y, k) ||
			    (other != NONE && p->root[other] == p->root[x] && other != x))
				continue;
			p->root[y] = p->root[x];
			if (p->last[p->root[x]] < p->last[y])
				p->last[p->root[x]] = p->last[y];
			break;
		}
	}
}

struct item {                   /* something to place */
	size_t bytes, at;
	id first, last;
	id node;
	int is_scratch;
};

static int larger_first(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	if (x->node != y->node)
		return x->node < y->node ? -1 : 1;
	return x->is_scratch - y->is_scratch;
}

static size_t list_items(const struct plan *p, const struct graph *g, struct item *item)
{
	size_t n = 0;

	for (id i = 0; i < g->n; i++) {
		if (in_arena(&g->node[i]) && p->root[i] == i)
			item[n++] = (struct item){ round_up((size_t)node_bytes(&g->node[i])), 0,
						   p->first[i], p->last[i], i, 0 };
		if (p->scratch[i])
			item[n++] = (struct item){ round_up(p->scratch[i]), 0, i, i, i, 1 };
	}
	qsort(item, n, sizeof *item, larger_first);
	return n;
}

/*
 * Placed items are kept sorted by offset; walk them and stop at the first gap that is free for the
 * whole life. Returns the index at which to insert.
 */
static size_t find_gap(struct item *const *placed, size_t n, struct item *it)
{
	size_t end = 0, where = 0;

	for (size_t i = 0; i < n; i++) {
		const struct item *o = placed[i];

		if (o->last < it->first || it->last < o->first)
			continue;
		if (o->at >= end + it->bytes)
			break;
		if (o->at + o->bytes > end)
			end = o->at + o->bytes;
	}
	it->at = end;
	while (where < n && placed[where]->at < end)
		where++;
	return where;
}

static void place(struct plan *p, struct item *item, size_t n)
{
	struct item **placed = xmalloc((n + 1) * sizeof *placed);

	for (size_t i = 0; i < n; i++) {
		size_t where = find_gap(placed, i, &item[i]);

		memmove(placed + where + 1, placed + where, (i - where) * sizeof *placed);
		placed[where] = &item[i];
		*(item[i].is_scratch ? &p->scratch_at[item[i].node] :
		  &p->at[item[i].node]) = item[i].at;
		if (item[i].at + item[i].bytes > p->arena)
			p->arena = item[i].at + item[i].bytes;
	}
	free(placed);
}

static size_t *sizes(id n, size_t fill)
{
	size_t *a = xmalloc(((size_t)n + 1) * sizeof *a);

	for (id i = 0; i < n; i++)
		a[i] = fill;
	return a;
}

void plan_make(struct plan *p, const struct graph *g, const size_t *scratch)
{
	struct item *item = xmalloc((2 * (size_t)g->n + 1) * sizeof *item);

	*p = (struct plan){ .n = g->n };
	p->at = sizes(g->n, NOWHERE);
	p->scratch_at = sizes(g->n, NOWHERE);
	p->scratch = sizes(g->n, 0);
	memcpy(p->scratch, scratch, (size_t)g->n * sizeof *scratch);
	p->first = xcalloc((size_t)g->n + 1, sizeof *p->first);
	p->last = xcalloc((size_t)g->n + 1, sizeof *p->last);
	p->root = xcalloc((size_t)g->n + 1, sizeof *p->root);
	find_lives(p, g);
	share_places(p, g);
	place(p, item, list_items(p, g, item));
	for (id i = 0; i < g->n; i++)
		if (in_arena(&g->node[i]))
			p->at[i] = p->at[p->root[i]];
	free(item);
}

void plan_release(struct plan *p)
{
	free(p->at);
	free(p->scratch_at);
	free(p->scratch);
	free(p->first);
	free(p->last);
	free(p->root);
	*p = (struct plan){ 0 };
}
