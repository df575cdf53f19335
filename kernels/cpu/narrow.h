/*
 * bf16 and f16 on the CPU, whose kernels know f32 alone: what is narrow is widened into scratch, the
 * kernel runs, and narrow results are rounded once, half to even. So a step in 16 bits takes less memory
 * where weights are frozen, not less time; and it is what a GPU's kernels are held against.
 */
#ifndef CPU_NARROW_H
#define CPU_NARROW_H

#include "kernels/cpu/cpu.h"

/* Has a call a tensor of 16 bits? A cast has, too, and its kernel takes it as it is. */
int narrow_is(const struct call *c);
/* Bytes on top of the kernel's own. */
size_t narrow_scratch(const struct graph *g, id x);
/* Fails where the optimizer would move something that is kept in 16 bits. */
int narrow_run(cpu_kernel *kernel, const struct call *c, struct err *e);

/* y = x in y's type, by several threads. Both F32, BF16 or F16. */
void narrow_cast(const struct view *y, const struct view *x);

#endif
