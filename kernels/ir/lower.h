/*
 * Lowering: which numbers a graph computes in. Run last, over the complete graph (forward, backward,
 * updates), so that builders, gradients and fusing know f32 alone.
 *
 *	stays f32        inputs and kept nodes, as the host feeds and reads them; weights that learn, all
 *	                 states; results for weights (*_dw with their bias, dgamma, dbeta), what a SUM_TO
 *	                 sums up, statistics of norms, attention's lse; single numbers, such as losses
 *	becomes `type`   frozen weights, every other activation and gradient
 *
 * A sum, product or activation of nothing but f32 results stays f32. Kernels take operands of different
 * types, but for products (linear, conv2d, attention and their gradients): what they multiply is cast to
 * `type`, bias and residual to the result's type. A value is cast once, before its first use, a weight that
 * learns once a step: before all else, where its casts lie next to each other (and at the end of the forward
 * pass, where memory is scarce, all of them are wanted anyhow).
 */
#ifndef IR_LOWER_H
#define IR_LOWER_H

#include "kernels/ir/graph.h"

/* Is this weight kept in f32, though it does not learn in this graph (because it does in another)? */
typedef int lower_keeps(const void *data, const char *name);

/*
 * type F32: nothing changes. keeps may be NULL: none. Returns map[old id] = new id (of a kept node: what
 * is to be read), to be freed.
 */
id *graph_lower(struct graph *g, enum dtype type, lower_keeps *keeps, const void *data);

#endif
