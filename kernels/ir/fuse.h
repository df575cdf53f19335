/*
 * Fusing: a sum whose one side is a matrix product or convolution (forward or to the input) that
 * nobody else reads becomes that node's own `r`, so that residuals and gradients that meet are
 * added while the product is written. Done after gradients are emitted. Drops what is unused;
 * returns map[old id] = new id or NONE, to be freed.
 */
#ifndef IR_FUSE_H
#define IR_FUSE_H

#include "kernels/ir/graph.h"

id *graph_fuse(struct graph *g);

#endif
