/* Arithmetic of a node: additions and multiplications that a plain loop does. */
#ifndef TOOLS_FLOP_H
#define TOOLS_FLOP_H

#include "kernels/ir/graph.h"

static inline double flop_rows(const struct node *n)
{
	return (double)(n->dim[0] * n->dim[1] * n->dim[2]);
}

static inline double flop_of(const struct graph *g, const struct node *n)
{
	const struct node *a = n->in[0] == NONE ? NULL : &g->node[n->in[0]],
		*b = n->in[1] == NONE ? NULL : &g->node[n->in[1]];
	double q, k;

	switch (n->op) {
	case OP_LINEAR:
		return 2 * flop_rows(n) * (double)(n->dim[3] * a->dim[3]);
	case OP_LINEAR_DX:
		return 2 * flop_rows(n) * (double)(n->dim[3] * a->dim[3]);
	case OP_LINEAR_DW:
		return 2 * flop_rows(a) * (double)(n->dim[2] * n->dim[3]);
	case OP_CONV2D:         /* weight [k][r][s][c] */
		return 2 * flop_rows(n) * (double)node_count(b);
	case OP_CONV2D_DX:
		return 2 * flop_rows(a) * (double)node_count(b);
	case OP_CONV2D_DW:
		return 2 * flop_rows(b) * (double)node_count(n);
	case OP_ATTENTION:
		q = (double)node_count(a);
		return 4 * q * (double)(b->dim[1] * b->dim[2]);
	case OP_ATTENTION_DX:   /* in: dy, q, k: five products instead of two */
		q = (double)node_count(b);
		k = (double)(g->node[n->in[2]].dim[1] * g->node[n->in[2]].dim[2]);
		return 10 * q * k;
	default:
		return 0;
	}
}

/* Bytes that a node has to read and write once; what it keeps for itself is not counted. */
static inline double bytes_of(const struct graph *g, const struct node *n)
{
	double sum = op_info[n->op].outs ? (double)node_bytes(n) : 0;

	for (int i = 0; i < MAX_IN; i++)
		if (n->in[i] != NONE)
			sum += (double)node_bytes(&g->node[n->in[i]]);
	return sum;
}

#endif
