/*
 * The plan: where every value of a graph lies, before anything runs.
 *
 *	arena   0 ........................................................ plan.arena
 *	        | value of node 7 (steps 7..31) | value of node 9 ...
 *	        | scratch of node 12 (step 12)  |
 *
 * A value lives from the step that writes it (an aux result: from its main node's step) to its last
 * reader; kept nodes to the end, inputs from the beginning to the end. Two values may share bytes
 * only if their lives do not meet. Sources other than inputs (weights, states) are persistent and
 * lie outside of the arena. Placement: largest first, at the lowest offset that is free for the
 * whole life; 64-byte aligned.
 */
#ifndef IR_PLAN_H
#define IR_PLAN_H

#include <stddef.h>
#include "kernels/ir/graph.h"

#define NOWHERE SIZE_MAX

struct plan {
	id n;                   /* nodes */
	size_t *at;             /* offset by node; NOWHERE: no place in the arena */
	size_t *scratch_at;     /* offset by node; NOWHERE: wants none */
	size_t *scratch;        /* bytes by node */
	id *first, *last;       /* life of the value, in steps */
	id *root;               /* the node whose place this one takes (itself, if its own) */
	size_t arena;           /* bytes */
};

/* scratch[i]: bytes that node i wants while it runs (copied). */
void plan_make(struct plan *p, const struct graph *g, const size_t *scratch);

/* The independent proof: no two lives that meet share a byte; everything lies inside the arena. */
int plan_check(const struct plan *p, const struct graph *g, struct err *e);

void plan_release(struct plan *p);

#endif
