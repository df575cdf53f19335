/*
 * Inside one instruction set's build: the names of all kernels. A kernel's contract is the comment
 * of its builder in kernels/ir/build.h.
 *
 * linear.c (products: gemm.c)    linear, linear_dx, linear_dw
 * conv.c, winograd*.c            conv2d, conv2d_dx, conv2d_dw
 * attention*.c  norm.c  layer_norm.c  elementwise.c  act.c  movement.c  optimizer.c
 * lookup.c                       embed, timestep, dropout
 * table.c lists all of them by op.
 */
#ifndef CPU_SIMD_KERNELS_H
#define CPU_SIMD_KERNELS_H

#include "kernels/cpu/cpu.h"

/* Declares k_NAME_ISA; table.c of each set lists them by op. */
#define KERNEL(name) void ISA_NAME(k_##name)(const struct call *c)
#define SCRATCH(name) size_t ISA_NAME(s_##name)(const struct node *n, const struct graph *g)

KERNEL(fill); KERNEL(add); KERNEL(mul); KERNEL(scale); KERNEL(act); KERNEL(act_dx); KERNEL(sum_to);
KERNEL(cast);
KERNEL(linear); KERNEL(linear_dx); KERNEL(linear_dw);
KERNEL(conv2d); KERNEL(conv2d_dx); KERNEL(conv2d_dw);
KERNEL(upsample); KERNEL(upsample_dx); KERNEL(concat); KERNEL(slice); KERNEL(pad_slice);
KERNEL(group_norm); KERNEL(group_norm_dx); KERNEL(layer_norm); KERNEL(layer_norm_dx);
KERNEL(geglu); KERNEL(geglu_dx); KERNEL(attention); KERNEL(attention_dx);
KERNEL(embed); KERNEL(embed_dw); KERNEL(timestep); KERNEL(dropout);
KERNEL(mse); KERNEL(mse_dx); KERNEL(sumsq); KERNEL(adamw); KERNEL(accum); KERNEL(ema);

SCRATCH(linear); SCRATCH(linear_dx); SCRATCH(linear_dw);
SCRATCH(conv2d); SCRATCH(conv2d_dx); SCRATCH(conv2d_dw);
SCRATCH(group_norm); SCRATCH(group_norm_dx); SCRATCH(layer_norm_dx); SCRATCH(attention);
SCRATCH(attention_dx);
SCRATCH(sum_to); SCRATCH(mse); SCRATCH(sumsq);

double ISA_NAME(peak)(double seconds);

#endif
