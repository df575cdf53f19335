/*
 * The CUDA backend's table: for each op the function that launches its kernels. A kernel's contract
 * is the comment of its builder in kernels/ir/build.h. Geometry follows from shapes alone, sums are
 * made in a fixed order, no float is added atomically: two runs give the same bytes.
 *
 *	elementwise.cu   fill, add, mul, scale       act.cu       act, act_dx, geglu, geglu_dx
 *	movement.cu      columns, upsampling         reduce.cu    sum_to
 *	norm.cu          group norms                 layer_norm.cu    (sums.cu: what both are made of)
 *	lookup.cu        embed, timestep, dropout    loss.cu      mse, mse_dx
 *	optimizer.cu     adamw, accum, ema           sumsq.cu     sumsq, and sums of those
 *	convert.cu       casts, layouts, noise
 *	linear.c         products (product.h)        conv.cu, attention.cu   kernels around products
 *	convolve.c, attend.c   whole ones by cuDNN (dnn.h), which run where it takes them
 *	table.c          lists them by op and names what is missing
 */
#ifndef CUDA_OWN_H
#define CUDA_OWN_H

#ifdef __CUDACC__
extern "C" {
#endif
#include "common/base/rng.h"
#include "kernels/backend.h"

struct grid { int64_t x, y; int tx, ty; };      /* blocks, and threads of each */

/* One tensor under adamw; a launch takes ADAMW_MOST of them. */
#define ADAMW_MOST 32
struct adamw_item {
	void *w, *m, *v, *grad;
	int64_t n;
	int grad_type;
};
struct adamw_args {
	struct adamw_item item[ADAMW_MOST];
	int64_t from[ADAMW_MOST];       /* their first blocks in the launch */
	int n;
	const float *hyper, *norm2;
};

/*
 * One tensor whose squares are summed, y = that sum; a launch takes SUMSQ_MOST of them. sum, if it is not
 * NULL: y + *on, or y + what the item before makes, where it is chained to that.
 */
#define SUMSQ_MOST 32
#define SUMSQ_PARTS 256         /* of a tensor's sum, at most */
#define SUMSQ_BYTES (sizeof(double) * SUMSQ_MOST * SUMSQ_PARTS)
struct sumsq_item {
	const void *x;
	void *y;
	float *sum;
	const float *on;
	int64_t n;
	int64_t parts;          /* blocks that it has */
	int x_type, y_type, chained;
};
struct sumsq_args {
	struct sumsq_item item[SUMSQ_MOST];
	int64_t from[SUMSQ_MOST];
	int n;
	double *part;           /* SUMSQ_BYTES on the device */
};

/* One tensor to cast; a launch takes CASTS_MOST of them, none of which reads or overwrites another's. */
#define CASTS_MOST 32
struct cast_item {
	void *y;
	const void *x;
	int64_t n;
	int y_type, x_type;
};
struct casts_args {
	struct cast_item item[CASTS_MOST];
	int64_t from[CASTS_MOST];
	int n;
};

struct product;
struct dnn;

/* Where kernels are launched: one stream's order, and what went wrong first. */
struct lane {
	void *stream;
	const struct backend *b;        /* whose lane it is; for b->tf32 */
	void (*launch)(struct lane *l, void (*kernel)(void), const char *name, struct grid g,
		       const void *args);
	void (*product)(struct lane *l, const struct product *p);      /* product.h */
	struct dnn *dnn;        /* dnn.h; NULL: kernels around products do its work */
	int failed;             /* then nothing runs any more */
	struct err why;
	/* What runs behind the call that runs now, where that is known; joined: the call did it, too. */
	const struct call *then;
	int joined;
	/* What waits to be launched as one, by lane_flush() at the latest; of one kind at a time. */
	struct adamw_args adamw;
	struct sumsq_args sumsq;
	struct casts_args casts;
};

typedef void cuda_kernel(const struct call *c, struct lane *l);
typedef size_t cuda_scratch(const struct node *n, const struct graph *g);

struct cuda_row {
	cuda_kernel *run;
	cuda_scratch *scratch;  /* NULL: none */
};
extern const struct cuda_row cuda_table[OP__COUNT];

/* Runs c's node, or fails: no kernel, a dtype that no kernel takes. */
int lane_run(struct lane *l, const struct call *c, struct err *e);
void lane_flush(struct lane *l);
/*
 * Is l->then a sum of c's first result and another tensor like it, in that result's place? Then that tensor, and
 * c's kernel adds it to what it has rounded, which makes the same bytes; else nothing (at NULL).
 */
struct view lane_joins(struct lane *l, const struct call *c);
/* Bytes; 0 for an op that has no row. Settles how x will run. */
size_t cuda_scratch_of(struct lane *l, const struct graph *g, id x);

#define LAUNCH(l, kernel, g, args) (l)->launch(l, (void (*)(void))(kernel), #kernel, g, &(args))

/* Declared for every op that has own kernels: cuda_NAME, and cuda_NAME_scratch where it wants some. */
#define OWN(name) void cuda_##name(const struct call *c, struct lane *l)
#define OWN_SCRATCH(name) size_t cuda_##name##_scratch(const struct node *n, const struct graph *g)
OWN(fill); OWN(add); OWN(mul); OWN(scale); OWN(act); OWN(act_dx); OWN(geglu); OWN(geglu_dx);
OWN(upsample); OWN(upsample_dx); OWN(concat); OWN(slice); OWN(pad_slice); OWN(sum_to); OWN(cast_node);
OWN(group_norm); OWN(group_norm_dx); OWN(layer_norm); OWN(layer_norm_dx);
OWN(embed); OWN(embed_dw); OWN(timestep); OWN(dropout);
OWN(mse); OWN(mse_dx); OWN(sumsq); OWN(accum); OWN(ema); OWN(adamw);
OWN(linear); OWN(linear_dx); OWN(linear_dw); OWN(conv2d); OWN(conv2d_dx); OWN(conv2d_dw);
OWN(attention); OWN(attention_dx);
OWN_SCRATCH(linear_dw); OWN_SCRATCH(conv2d); OWN_SCRATCH(conv2d_dx); OWN_SCRATCH(conv2d_dw);
OWN_SCRATCH(attention); OWN_SCRATCH(attention_dx);
OWN_SCRATCH(sum_to); OWN_SCRATCH(group_norm); OWN_SCRATCH(group_norm_dx); OWN_SCRATCH(layer_norm_dx);
OWN_SCRATCH(mse);

/* What waits in l->adamw, and so on; nothing may. */
void adamw_launch(struct lane *l);
void sumsq_launch(struct lane *l);
void casts_launch(struct lane *l);
/* 1: c adds to a sum of squares that waits, and waits with it. */
int sumsq_joins(const struct call *c, struct lane *l);

void cuda_zero(struct lane *l, struct view y);
/* y[i] = x[i] in y's type, n elements. */
void cuda_cast(struct lane *l, struct view y, struct view x);
/* [n][c][p] -> [n][p][c] and back, p = h w: pictures and 3x3 weights as files have them. */
void cuda_turn(struct lane *l, struct view y, struct view x, int64_t n, int64_t rows, int64_t columns);
/* rng_normal(r, y, n), bit for bit as far as the device's log, sin and cos in f64 agree with libm's. */
void cuda_normal(struct lane *l, struct view y, struct rng r, int64_t n);

/* db[k] = sum over rows of dy[row][k]; scratch of bias_scratch() bytes. */
void cuda_bias(struct lane *l, struct view db, struct view dy, int64_t rows, int64_t k, void *scratch);
size_t cuda_bias_scratch(int64_t rows, int64_t k);

#ifdef __CUDACC__
}
#endif

static inline int64_t view_count(const struct view *v)
{
	return v->dim[0] * v->dim[1] * v->dim[2] * v->dim[3];
}

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t blocks_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

/* One thread for each of n things. */
static inline struct grid grid_of(int64_t n)
{
	struct grid g = { blocks_of(n, 256), 1, 256, 1 };

	return g;
}

#endif
