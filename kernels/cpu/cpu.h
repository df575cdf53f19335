/*
 * The CPU backend's table: one kernel an op, compiled once for each instruction set from the same
 * sources in simd/ (symbols end in _avx512, _avx2, _plain through ISA_NAME).
 *
 * simd/vec.h is the only place that knows the width: `vf` is a vector of VF floats of the
 * compiler's vector extension.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "kernels/backend.h"

typedef void cpu_kernel(const struct call *c);
typedef size_t cpu_scratch(const struct node *n, const struct graph *g);      /* NULL = none */

struct cpu_table {
	const char *isa;
	cpu_kernel *kernel[OP__COUNT];
	cpu_scratch *scratch[OP__COUNT];
	/* register-only FMA loop on all threads: FLOP/s, for `make bench` */
	double (*peak)(double seconds);
};

extern const struct cpu_table cpu_table_avx512, cpu_table_avx2, cpu_table_plain;

#define ISA_PASTE2(a, b) a##_##b
#define ISA_PASTE(a, b) ISA_PASTE2(a, b)
#define ISA_NAME(f) ISA_PASTE(f, ISA)

#endif
