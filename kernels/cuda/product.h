/*
 * Matrix products, described before they are run: the ops make descriptions from shapes (pure, tested on
 * the host, where plain loops run them), blas.c hands them to cuBLASLt.
 *
 *	y[rows][cols] = alpha x[rows][inner] w[inner][cols] + add[rows][cols] + bias[cols]
 *
 * A turned operand is stored the other way round: x as [inner][rows], w as [cols][inner]. ld is from one
 * stored row to the next, step from one product of a batch to the next, in elements. x and w have one
 * type; y and add have one, theirs or f32; sums are f32. add may be y itself.
 */
#ifndef CUDA_PRODUCT_H
#define CUDA_PRODUCT_H

#ifdef __CUDACC__
extern "C" {
#endif
#include "kernels/cuda/own.h"

struct operand {
	void *at;               /* NULL: absent (add, bias) */
	enum dtype type;
	int turned;
	int64_t ld, step;
};

struct product {
	int64_t rows, cols, inner, batch;
	float alpha;
	struct operand x, w, y, add, bias;
};

/* Runs it on the lane's library; a product without rows or columns is nothing. */
void product_run(struct lane *l, const struct product *p);

/* The product that a linear op is, from its call; 1x1 convolutions are such, too. */
struct product product_linear(const struct call *c);
struct product product_linear_dx(const struct call *c);
struct product product_linear_dw(const struct call *c);
#ifdef __CUDACC__
}
#endif

static inline struct operand operand_of(void *at, enum dtype type, int64_t ld)
{
	struct operand o = { at, type, 0, ld, 0 };

	return o;
}

static inline struct operand operand_turned(struct operand o)
{
	o.turned = 1;
	return o;
}

/* `by` elements further. */
static inline struct operand operand_from(struct operand o, int64_t by)
{
	if (o.at)
		o.at = (char *)o.at + by * (int64_t)dtype_size(o.type);
	return o;
}

#endif
