/*
 * --precision: the numbers that a stage computes in, by the words that users of other trainers know.
 *
 *	f32     everything
 *	tf32    f32, but products and convolutions may round what they multiply to TF32 (10 bits); GPUs only
 *	bf16    activations, gradients and frozen weights in 16 bits with f32's range
 *	fp16    the same with three more bits of precision and a range that ends at 65504; trainings scale
 *	        their loss (kernels/run/loss_scale.h)
 *
 * Whatever it is: weights that learn, their moments and averages are f32, and so are sums, norms, softmax
 * and loss (kernels/ir/lower.h).
 */
#ifndef RUN_PRECISION_H
#define RUN_PRECISION_H

#include "kernels/backend.h"

/* The option row of stages that compute; at: const char *, "f32" if it is not given. */
#define PRECISION_ROW(at) { "precision", OPT_CHOICE, at, "", "numbers to compute in; what learns and what is summed up stays f32", .choices = "f32 tf32 bf16 fp16", .added = 1 }

/* *type: what graphs are lowered to; b is told about tf32. -1: the device can't. NULL is "f32". */
int precision_use(struct backend *b, const char *word, enum dtype *type, struct err *e);

/* As users call it: "bf16", "fp16" or "f32". */
const char *precision_name(enum dtype type);

#endif
