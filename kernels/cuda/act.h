/* Activations and their slopes; the formulas are in g_act's comment (kernels/ir/build.h). */
#ifndef CUDA_ACT_H
#define CUDA_ACT_H

#include "kernels/cuda/device.h"

DEV float sigmoid(float x)
{
	return 1 / (1 + expf(-x));
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

#endif
