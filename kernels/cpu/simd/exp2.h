/*
 * The exponential where it is most of the work: softmax and silu. Fewer steps than vf_exp, for a
 * range that is enough there. NaN stays NaN.
 */
#ifndef CPU_SIMD_EXP2_H
#define CPU_SIMD_EXP2_H

#include "kernels/cpu/simd/vec.h"

#define LOG2E 1.44269504088896340736f

/* 2^x for x <= 126, at least 2^-126; relative error 1e-7. */
INLINE vf exp2_fast(vf x)
{
	const vf magic = vf_set(12582912.0f);
	vf n, r, p;

	x = vf_max(vf_set(-126.0f), x);
	n = x + magic;
	r = x - (n - magic);
	p = vf_set(1.326472712e-03f);
	p = p * r + 9.671512645e-03f;
	p = p * r + 5.550733743e-02f;
	p = p * r + 2.402224209e-01f;
	p = p * r + 6.931469776e-01f;
	p = p * r + 1.0f;
	return vi_bits((vi)((vu)vf_bits(p) + ((vu)vf_bits(n) << 23)));  /* of NaN, anything */
}

/*
 * 1 / x for 1 <= x < 2^127: an estimate and one step of Newton's, where a division takes as long
 * as the rest.
 */
INLINE vf inverse_fast(vf x)
{
#if defined(ISA_avx512)
	vf y = (vf)_mm512_rcp14_ps((__m512)x);

	return y + y * (1.0f - x * y);
#else
	return 1.0f / x;
#endif
}

/* Absolute error 1e-7; below -87 it stays at 2^-126. */
INLINE vf sigmoid_fast(vf x)
{
	return inverse_fast(1.0f + exp2_fast(vf_min(vf_set(126.0f), -LOG2E * x)));
}

#endif
