/* Activations and their slopes; the formulas are in g_act's comment (kernels/ir/build.h). */
#ifndef CUDA_ACT_H
#define CUDA_ACT_H

#include "kernels/cuda/device.h"

/*
 * 1 / x for x from 1 to infinity, within 2 units of the last place. A division that is rounded right looks
 * for special cases, a branch after which nothing else goes on meanwhile.
 */
#ifdef __CUDACC__
DEV float inverse(float x)
{
	return __fdividef(1, x);
}
#else
DEV float inverse(float x) { return 1 / x; }
#endif

DEV float sigmoid(float x)
{
	return inverse(1 + expf(-x));
}

/* Gauss' distribution function. */
DEV float phi(float x)
{
	return .5f * (1 + erff(x * .70710678f));
}

DEV float gelu_slope(float x)
{
	return phi(x) + x * .39894228f * expf(-.5f * x * x);
}

/* of x s(by x) */
DEV float silu_slope(float x, float by)
{
	float s = sigmoid(by * x);

	return s * (1 + by * x * (1 - s));
}

DEV float activate(float x, int kind)
{
	switch (kind) {
	case ACT_SILU: return x * sigmoid(x);
	case ACT_GELU: return x * phi(x);
	case ACT_QUICK_GELU: return x * sigmoid(1.702f * x);
	case ACT_EXP: return expf(x);
	case ACT_SQUARE: return x * x;
	case ACT_CLAMP_LOGVAR: return x < -30 ? -30 : x > 20 ? 20 : x;
	default: return x;
	}
}

DEV float slope(float x, int kind)
{
	switch (kind) {
	case ACT_SILU: return silu_slope(x, 1);
	case ACT_GELU: return gelu_slope(x);
	case ACT_QUICK_GELU: return silu_slope(x, 1.702f);
	case ACT_EXP: return expf(x);
	case ACT_SQUARE: return 2 * x;
	case ACT_CLAMP_LOGVAR: return x >= -30 && x <= 20 ? 1 : 0;
	default: return 1;
	}
}

/* Of VEC numbers: which kind is asked once, so that the numbers are worked on side by side. */
DEV struct vec activate_v(struct vec x, int kind)
{
	if (kind == ACT_SILU)
		for (int k = 0; k < VEC; k++)
			x.f[k] = activate(x.f[k], ACT_SILU);
	else if (kind != ACT_NONE)
		for (int k = 0; k < VEC; k++)
			x.f[k] = activate(x.f[k], kind);
	return x;
}

DEV struct vec slope_v(struct vec x, int kind)
{
	if (kind == ACT_SILU)
		for (int k = 0; k < VEC; k++)
			x.f[k] = slope(x.f[k], ACT_SILU);
	else
		for (int k = 0; k < VEC; k++)
			x.f[k] = slope(x.f[k], kind);
	return x;
}

#endif
