/*
 * Products by cuBLASLt, which is looked for when the first one is run (library.h). For each description the
 * library's first deterministic algorithm is taken and kept.
 */
#ifndef CUDA_BLAS_H
#define CUDA_BLAS_H

#include "kernels/cuda/product.h"

struct blas;
int blas_open(struct blas **out, struct err *e);
/* tf32: products of f32 may round what they multiply. */
int blas_run(struct blas *b, const struct product *p, int tf32, void *stream, struct err *e);
void blas_close(struct blas *b);

#endif
