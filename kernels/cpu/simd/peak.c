/*
 * What the arithmetic units can do: multiply-adds on registers alone, on all threads.
 */
#include <time.h>
#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/vec.h"

#define CHAINS 12                       /* independent sums: latency times units, in registers */
#define ROUNDS 2000

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ROUNDS multiply-adds on each of CHAINS vectors. */
static float burn(float by)
{
	vf c[CHAINS], x = vf_set(by), y = vf_set(1 - by);

	UNROLL for (int i = 0; i < CHAINS; i++)
		c[i] = vf_set((float)i);
	for (int k = 0; k < ROUNDS; k++) {
		UNROLL for (int i = 0; i < CHAINS; i++) {
			c[i] = c[i] * x + y;
			KEEP(c[i]);
		}
	}
	UNROLL for (int i = 1; i < CHAINS; i++)
		c[0] += c[i];
	return vf_sum(c[0]);
}

double ISA_NAME(peak)(double seconds)
{
	double total = 0;
	volatile float by = 0.999f;

#pragma omp parallel reduction(+:total)
	{
		double start = now(), end = start;
		long n = 0;
		volatile float keep = 0;

		for (; end - start < seconds; end = now(), n++)
			keep = burn(by);
		(void)keep;
		total += 2.0 * CHAINS * VF * ROUNDS * (double)n / (end - start);
	}
	return total;
}
