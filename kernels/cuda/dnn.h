/*
 * Whole convolutions and attention, described before they are run: the ops make descriptions from shapes
 * (pure, tested on the host, where plain loops run them); cudnn.c hands them to cuDNN. A lane without this
 * table, and what the library does not take, run as kernels around products (conv.cu, attention.cu).
 *
 * Which of the two is settled by plan(), when scratch is asked for before the run, and kept: run() is
 * called with descriptions that plan() took, and with the same address, or none, in every place.
 *
 * All tensors lie as in the graph (NHWC, weights [k][r][s][c], tokens [n][t][heads d]), without gaps and
 * at multiples of 16 bytes.
 */
#ifndef CUDA_DNN_H
#define CUDA_DNN_H

#include "kernels/cuda/own.h"

struct side {                   /* one tensor; at NULL: absent */
	void *at;
	enum dtype type;
};

enum filter_way { FILTER_FORWARD, FILTER_DX, FILTER_DW };

/*
 * x [n][h][w][c], filter [k][r][s][c], y [n][i][j][k], as in conv2d's contract:
 *	forward   y = filter * x       dx   x = the transpose, applied to y       dw   filter = y x
 * fused (forward only): y = filter * x + bias[k] + add, add like y, either may be absent.
 * onto: what is made is added to what was there.     Sums are f32, rounded once.
 */
struct filter {
	enum filter_way way;
	int64_t n, h, w, c, i, j, k, r, s;
	int64_t stride, top, left, bottom, right;
	struct side x, filter, y, bias, add;
	int fused, onto;
	int tf32;               /* f32 numbers may be rounded to 11 bits before they are multiplied */
};

/* Attention's contract; of `type`, but lse (f32). dx: y, dy and lse are read, dq, dk and dv written. */
struct heads {
	int64_t n, heads, tq, tk, d;
	float scale;
	int causal, dx;
	enum dtype type;
	void *q, *k, *v, *y, *lse, *dy, *dq, *dk, *dv;
};

struct dnn {
	int64_t scores;         /* bytes, two for each, that attention's gradients may take at a time */
	/* Bytes that it wants while it runs; -1: not taken. The answer does not change. */
	int64_t (*plan_filter)(struct dnn *d, const struct filter *f);
	int64_t (*plan_heads)(struct dnn *d, const struct heads *h);
	/* Settles what plan_heads will be asked, all at once; NULL: nothing is won by that. */
	void (*prepare)(struct dnn *d, const struct heads *h, size_t n);
	int (*run_filter)(struct dnn *d, const struct filter *f, void *scratch, struct err *e);
	int (*run_heads)(struct dnn *d, const struct heads *h, void *scratch, struct err *e);
};

/*
 * Bytes that node n wants if the lane's library takes it, else -1; its run, 1 if the library took it,
 * 0 if not.
 */
int64_t convolve_scratch(struct lane *l, const struct node *n, const struct graph *g);
int convolve_run(struct lane *l, const struct call *c);
int64_t attend_scratch(struct lane *l, const struct node *n, const struct graph *g);
void attend_prepare(struct lane *l, const struct graph *g);     /* before the others, of all nodes */
int attend_run(struct lane *l, const struct call *c);

#endif
