/*
 * Products by cuBLASLt, which is looked for at run time (library.h). For each description the library's
 * first deterministic algorithm is taken and kept.
 */
#ifndef CUDA_BLAS_H
#define CUDA_BLAS_H

#include "kernels/cuda/product.h"

#define BLAS_NAME "libcublasLt.so.13"
#define BLAS_MISSING "cuBLASLt (" BLAS_NAME ") is not found: install it, or name its folder in BOOTH_CUDA_PATH"
#ifndef BLAS_WORKSPACE          /* bytes on the device: what Hopper wants; older ones take less */
#define BLAS_WORKSPACE ((size_t)32 << 20)
#endif

struct blas;
int blas_find(struct err *e);   /* is there a library? */
int blas_open(struct blas **out, struct err *e);
/* tf32: products of f32 may round what they multiply. */
int blas_run(struct blas *b, const struct product *p, int tf32, void *stream, struct err *e);
void blas_close(struct blas *b);
/*
 * For tests: the library alone, which without a device tells no more than whether it takes a description.
 * blas_describe: 1: it does, 0: it was asked before.
 */
int blas_load(struct blas **out, struct err *e);
int blas_describe(struct blas *b, const struct product *p, int tf32, struct err *e);
/* What was chosen since the last call: a line for each description. NULL is fine. */
void blas_report(struct blas *b, struct buf *out);

#endif
