/*
 * Gradients, emitted into the same graph with the builders that networks use: one rule an op says
 * what flows to each of its inputs; a walk from the loss backwards adds up. Only nodes on a path
 * from a trainable weight (or a node in `wanted`) are entered.
 */
#ifndef IR_GRAD_H
#define IR_GRAD_H

#include "kernels/ir/graph.h"

/*
 * d loss / d x for every node x that needs one: returns an array of g->n ids (as g->n was before),
 * NONE where no gradient flows; free it. loss is a scalar. `wanted` (n_wanted ids, may be NULL)
 * are further nodes whose gradients are asked for, inputs for instance.
 */
id *grad_emit(struct graph *g, id loss, const id *wanted, int n_wanted);

/*
 * Does the op have a rule? For the completeness test: ops
 * without one are those that only appear in gradients.
 */
int grad_has_rule(enum op op);

#endif
