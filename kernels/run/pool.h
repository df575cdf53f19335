/*
 * The pool: everything that outlives a step on the device, by name. Weights, optimizer moments,
 * sums, averages. Graphs for different shapes bind to the same pool, so a weight lies on the device
 * once.
 *
 * Host side the values are in the files' layout (convolutions [k][c][r][s]); on the device they are
 * in the graph's ([k][r][s][c]). pool_put and pool_get turn them. Here they are f32 or what a file has,
 * there they have the type that the graph's node has (kernels/ir/lower.h).
 *
 * One allocation: names are declared first (pool_declare, from the graphs' sources), then
 * pool_place allocates, then values are put.
 */
#ifndef RUN_POOL_H
#define RUN_POOL_H

#include "common/data/tensor.h"
#include "kernels/backend.h"

struct pool_entry {
	char *name;
	int64_t dim[MAX_DIM];   /* the graph's layout */
	enum dtype type;        /* on the device: F32, BF16 or F16 */
	enum op kind;           /* OP_WEIGHT or OP_STATE */
	int trainable;
	size_t at;              /* offset in the pool's memory */
	int set;                /* a value was put */
};

struct pool {
	struct backend *b;
	struct pool_entry *entry;       /* sorted by name after pool_place */
	size_t n, cap;
	unsigned char *memory;          /* on the device */
	size_t bytes;
};

/* Take in all weights and states of a graph. A name with other sides or another type than before is a failure. */
int pool_declare(struct pool *p, const struct graph *g, struct err *e);
size_t pool_bytes(const struct pool *p);        /* what pool_place will allocate */
int pool_place(struct pool *p, struct backend *b, struct err *e);
void pool_release(struct pool *p);

struct pool_entry *pool_find(const struct pool *p, const char *name);   /* or NULL */

/*
 * Put a tensor of the files' layout: any float type; its shape must be the entry's ([k][c][r][s]
 * for filters, [k][c] for linear layers, [c] for rows; leading and trailing 1-sides of a linear
 * weight's are tolerated). Fails on a wrong shape ("weight 'x' is 320x4x3x3, the model wants 320x8x3x3"),
 * on non-finite values, and on such that the entry's type can't hold; the entry has no value then.
 * Different entries may be put by several threads.
 */
int pool_put(struct pool *p, struct pool_entry *w, const struct tensor *t, struct err *e);
/* The shape's part of that alone. */
int pool_check_shape(const struct pool_entry *w, const struct tensor *t, struct err *e);
int pool_fill(struct pool *p, struct pool_entry *w, float value, struct err *e);
/* out: an owned f32 tensor in the files' layout and rank. */
int pool_get(const struct pool *p, const struct pool_entry *w, struct tensor *out, struct err *e);

/* Values in the device's layout, as f32: for states saved and restored as they are. */
int pool_put_raw(struct pool *p, struct pool_entry *w, const float *in, struct err *e);
int pool_get_raw(const struct pool *p, const struct pool_entry *w, float *out, struct err *e);

/* The shape in files: sides into side[], returns the rank. */
int pool_file_shape(const struct pool_entry *w, int64_t side[TENSOR_RANK]);

/* Fails naming the first weight (not state) without a value and how many there are. */
int pool_complete(const struct pool *p, struct err *e);

#endif
