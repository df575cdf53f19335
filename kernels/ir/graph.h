/*
 * The graph: an array of nodes, index = execution order. A node's inputs have smaller indices, so
 * no pass sorts, and a graph can be copied, printed and hashed. A network is built once for each
 * shape (bucket), differentiated (grad.h), simplified (fuse.h), placed (plan.h) and run many times.
 *
 * Axes have letters, used in every signature and comment:
 *	n  picture in the batch          t  token
 *	h w  rows, columns               d  width of a token
 *	c  channel (input)               a  attention head
 *	k  channel (output)              r s  filter rows, columns
 *
 * Every tensor has four sides, outermost first; unused leading sides are 1. Activations are NHWC.
 *	picture  [n][h][w][c]     tokens  [n][1][t][d] (a picture's own: [n][h][w][c] as it is)
 *	linear weight [1][1][k][c]   conv weight [k][r][s][c]   bias, norm weight [1][1][1][c]
 * Linear weights and 1x1 convolutions thus share their layout; 3x3 weights are turned from the
 * files' [k][c][r][s] when they are bound (kernels/run).
 *
 * Pointers into g->node die when a node is emitted: copy the node first.
 */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H

#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/dtype.h"
#include "common/base/err.h"

#define MAX_DIM 4
#define MAX_IN  6
#define MAX_OUT 3

typedef int32_t id;             /* index into graph.node */
#define NONE (-1)

enum op {
	/* sources: bound before the run */
	OP_INPUT,               /* fed by the host before each run */
	OP_WEIGHT,              /* persistent, named as in the checkpoint */
	OP_STATE,               /* persistent, named; optimizer moments, sums */
	OP_FILL,                /* y = at.fill.value everywhere */
	/* the second and third result of the node before it (in[0]); at.aux.which = 1, 2 */
	OP_AUX,

	OP_ADD, OP_MUL, OP_SCALE, OP_ACT, OP_ACT_DX, OP_SUM_TO, OP_CAST,
	OP_LINEAR, OP_LINEAR_DX, OP_LINEAR_DW,
	OP_CONV2D, OP_CONV2D_DX, OP_CONV2D_DW,
	OP_UPSAMPLE, OP_UPSAMPLE_DX, OP_CONCAT, OP_SLICE, OP_PAD_SLICE,
	OP_GROUP_NORM, OP_GROUP_NORM_DX, OP_LAYER_NORM, OP_LAYER_NORM_DX,
	OP_GEGLU, OP_GEGLU_DX, OP_ATTENTION, OP_ATTENTION_DX,
	OP_EMBED, OP_EMBED_DW, OP_TIMESTEP, OP_DROPOUT,
	OP_MSE, OP_MSE_DX, OP_SUMSQ,
	OP_ADAMW, OP_ACCUM, OP_EMA,
	OP__COUNT
};

enum act { ACT_NONE, ACT_SILU, ACT_GELU, ACT_QUICK_GELU, ACT_EXP, ACT_SQUARE, ACT_CLAMP_LOGVAR,
	   ACT__COUNT };

union attr {
	struct { float value; } fill;
	struct { int which; } aux;
	struct { float by; } scale;
	struct { enum act kind; } act;
	struct { int stride, top, left, bottom, right; } conv;  /* padding by side */
	struct { int64_t from; } slice;                         /* first channel */
	struct { int groups; float eps; enum act act; } norm;
	struct { int heads; float scale; int causal; } attention;
	struct { int flip_sin_to_cos; float freq_shift, max_period; } timestep;
	struct { float p; uint32_t tag; } dropout;
	struct { float by; } accum;
};

struct node {
	enum op op;
	enum dtype type;
	int64_t dim[MAX_DIM];
	id in[MAX_IN];
	union attr at;
	int trainable;          /* of a weight: wants a gradient */
	const char *name;       /* of a source; owned by the graph */
};

struct graph {
	struct node *node;
	int32_t n, cap;
	char **names;           /* what node.name points to */
	size_t n_names, cap_names;
	id *keep;               /* nodes whose values are read after the run */
	size_t n_keep, cap_keep;
};

/* One row an op: what the passes and tests need to know. */
struct op_info {
	const char *name;       /* "group_norm_dx" */
	int min_in, max_in;     /* inputs; those between may be NONE */
	int outs;               /* results, 1..3; 0 = works by effect on its inputs (optimizer) */
	int in_place;           /* bit i: the result may take input
				 * i's place, element for element */
	int cheap;              /* bound by memory, not arithmetic */
	int source;
};
extern const struct op_info op_info[OP__COUNT];

void graph_release(struct graph *g);
const char *graph_name(struct graph *g, const char *name);      /* an owned copy */
id graph_emit(struct graph *g, const struct node *n);   /* checks inputs; BUG on a bad one */
void graph_keep(struct graph *g, id x);
/* a source by name, or NONE */
id graph_find(const struct graph *g, enum op op, const char *name);
int64_t node_count(const struct node *n);                       /* elements */
int64_t node_bytes(const struct node *n);
int same_dim(const int64_t a[MAX_DIM], const int64_t b[MAX_DIM]);
char *dim_text(const int64_t dim[MAX_DIM], char out[96]);       /* "1x64x64x320" */
void graph_print(const struct graph *g, struct buf *out);       /* a line a node */

/* The aux node of x, which = 1 or 2, if it was emitted; else NONE. Aux nodes follow x at once. */
id graph_aux(const struct graph *g, id x, int which);

/*
 * Keep only what reaches a kept node or works by effect;
 * ids change. map[old] = new or NONE; free it.
 */
id *graph_prune(struct graph *g);

#endif
