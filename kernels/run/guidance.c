#include <math.h>
#include "kernels/run/guidance.h"

void guide(const float *without, const float *with, float scale, float *out, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		out[i] = without[i] + scale * (with[i] - without[i]);
}

static double deviation(const float *x, int64_t n)
{
	double sum = 0, squares = 0;

	for (int64_t i = 0; i < n; i++)
		sum += x[i];
	for (int64_t i = 0; i < n; i++)
		squares += (x[i] - sum / (double)n) * (x[i] - sum / (double)n);
	return n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
}

void guide_rescale(float *guided, const float *with, float amount, int64_t samples, int64_t each)
{
	for (int64_t s = 0; s < samples; s++) {
		float *g = guided + s * each;
		double have = deviation(g, each), want = deviation(with + s * each, each);
		/* A prediction without any variation has no contrast to correct. */
		float f = have > 0 ? (float)(1 - amount + amount * want / have) : 1.0f;
		for (int64_t i = 0; i < each; i++)
			g[i] *= f;
	}
}
